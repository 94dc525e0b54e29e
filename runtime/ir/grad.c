// Reverse-mode gradients: walks the nodes from the loss back and lets each operator add its own.
//
// A block that is computed again (Chen et al. 2016, arXiv 1604.06174) has its nodes copied where
// the walk enters it, and the gradients of its operators read the copies. The block's last value is
// marked, so it is kept, and so is what anything outside reads; with no reader left, the first
// values of the others end in the forward pass.
#include "hornito/ops.h"
#include "ir/ir.h"

#include <string.h>

typedef struct walk {
    hn_graph *g;
    hn_val *d;      // gradient so far of each value that was there at the start
    bool *needed;   // values that depend on one of wrt
    uint32_t *copy; // of values computed again; 0: not yet
    int64_t *first; // node that reads the value first, + 1
    int n_again;    // blocks, from the first
    int block;      // whose copies are there; -1: none so far
} walk;

static void add_to(walk *w, uint32_t value, hn_val dv)
{
    if (!dv.id || !w->needed[value])
        return;
    w->d[value] = w->d[value].id ? hn_add(w->g, w->d[value], dv) : dv;
}

// The node of the k-th mark.
static int64_t mark_node(const hn_graph *g, int64_t k)
{
    return g->values[g->marks[k]].node;
}

// The block to be computed again that the node is in, between mark k and mark k + 1; -1: none.
static int block_of(const walk *w, int64_t node)
{
    for (int k = 0; k < w->n_again; k++)
        if (node > mark_node(w->g, k) && node <= mark_node(w->g, k + 1))
            return k;
    return -1;
}

// Copies the block's nodes, but for the last and for what lies in weights or came from the caller.
static void copy_block(walk *w, int k)
{
    hn_graph *g = w->g;

    for (int64_t i = mark_node(g, k) + 1; i < mark_node(g, k + 1) && !g->status; i++) {
        hn__node n = g->nodes[i]; // a copy: the array may move
        hn_val in[HN__MAX_IN];
        if (n.op->flags & HN__SOURCE)
            continue;
        for (int j = 0; j < n.n_in; j++)
            in[j].id = w->copy[n.in[j]] ? w->copy[n.in[j]] : n.in[j];
        n.again = (uint32_t)k + 1;
        const hn_val v = hn__emit_copy(g, &n, in);
        for (int j = 0; j < n.n_out; j++)
            w->copy[n.out + (uint32_t)j] = hn__out(v, j).id;
    }
    w->block = k;
}

hn_val hn__cast_again(hn_graph *g, hn_val v, uint32_t again)
{
    if (!v.id)
        return v;
    hn__node n = g->nodes[g->values[v.id].node]; // a copy: the array may move
    if (strcmp(n.op->name, "cast") != 0)
        return v;
    const hn_dtype from = g->values[n.in[0]].type.dtype, to = hn__type(g, v)->dtype;
    if (!hn__is_float(from) || !hn__is_float(to) || (!hn__is_half(from) && !hn__is_half(to)))
        return v;
    n.again = again;
    return hn__emit_copy(g, &n, (const hn_val[]){ { n.in[0] } });
}

// Whether what v is cast from is there anyway when the gradient comes, in no more bytes: a weight,
// or 16 bits of it.
static bool is_cheap_cast(const hn_graph *g, hn_val v)
{
    const hn__node *n = &g->nodes[g->values[v.id].node];
    return n->n_in == 1 && (hn__is_half(g->values[n->in[0]].type.dtype) ||
                            g->nodes[g->values[n->in[0]].node].op->flags & HN__SOURCE);
}

// The value as the gradient of a node in block k reads it.
static hn_val as_read(const walk *w, uint32_t value, int k)
{
    const bool same = k >= 0 && block_of(w, w->g->values[value].node) == k;
    const hn_val v = { same && w->copy[value] ? w->copy[value] : value };
    return is_cheap_cast(w->g, v) ? hn__cast_again(w->g, v, HN__AGAIN_READ) : v;
}

// One node: the gradients of its outputs to those of its inputs.
static hn_status step(walk *w, int64_t at)
{
    hn_graph *g = w->g;
    const hn__node n = g->nodes[at]; // a copy: the array may move
    hn_val in[HN__MAX_IN], out[HN__MAX_OUT], dy[HN__MAX_OUT], din[HN__MAX_IN] = { { 0 } };
    bool reached = false, wanted = false;

    for (int i = 0; i < n.n_in; i++) {
        wanted |= w->needed[n.in[i]];
    }
    for (int i = 0; i < n.n_out; i++) {
        dy[i] = w->d[n.out + (uint32_t)i];
        reached |= dy[i].id != 0;
    }
    if (!reached || !wanted || n.op->flags & HN__NO_GRAD)
        return HN_OK;
    if (!n.op->fn->grad)
        return hn_fail(HN_ERR_UNSUPPORTED, "operator %s has no gradient", n.op->name);
    const int block = block_of(w, at);
    if (block >= 0 && block != w->block)
        copy_block(w, block);
    for (int i = 0; i < n.n_in; i++)
        in[i] = as_read(w, n.in[i], block);
    for (int i = 0; i < n.n_out; i++)
        out[i] = as_read(w, n.out + (uint32_t)i, block);
    const hn__inst inst = hn__graph_inst(g, at);
    n.op->fn->grad(g, &inst, in, out, dy, din);
    for (int i = 0; i < n.n_in; i++)
        add_to(w, n.in[i], din[i]);
    return g->status;
}

static hn_val square(hn_graph *g, hn_val d)
{
    const hn_val x = hn__cast_again(g, d, HN__AGAIN_NORM);
    return hn_sum_all(g, hn_mul(g, x, x));
}

// The squares of gradients that are whole after node i: it is the first reader of their values.
static void add_squares(walk *w, int64_t i, const hn_val wrt[], int n, hn_val squares[])
{
    for (int k = 0; k < n; k++)
        if (w->first[wrt[k].id] == i + 1 && w->d[wrt[k].id].id)
            squares[k] = square(w->g, w->d[wrt[k].id]);
}

// What depends on wrt, and who reads what first.
static void look_forward(walk *w, const hn_val wrt[], int n)
{
    const hn_graph *g = w->g;

    for (int i = 0; i < n; i++)
        w->needed[wrt[i].id] = true;
    for (int64_t i = 0; i < g->n_nodes; i++) {
        bool any = false;
        for (int k = 0; k < g->nodes[i].n_in; k++) {
            const uint32_t v = g->nodes[i].in[k];
            any |= w->needed[v];
            w->first[v] = w->first[v] ? w->first[v] : i + 1;
        }
        for (int k = 0; any && k < g->nodes[i].n_out; k++)
            w->needed[g->nodes[i].out + (uint32_t)k] = true;
    }
}

static hn_status run(walk *w, hn_val loss, const hn_val wrt[], int n, hn_val out[],
                     hn_val squares[])
{
    hn_graph *g = w->g;

    look_forward(w, wrt, n);
    const int64_t n_nodes = g->n_nodes;
    w->d[loss.id] = hn_fill(g, *hn__type(g, loss), 1);
    if (squares)
        memset(squares, 0, sizeof *squares * (size_t)n);
    for (int64_t i = n_nodes - 1; i >= 0 && !g->status; i--) {
        HN_TRY(step(w, i));
        if (squares)
            add_squares(w, i, wrt, n, squares);
    }
    for (int i = 0; i < n; i++) {
        out[i] = w->d[wrt[i].id].id ? w->d[wrt[i].id] : hn_fill(g, *hn__type(g, wrt[i]), 0);
        if (squares && !squares[i].id)
            squares[i] = square(g, out[i]);
    }
    return hn_graph_status(g);
}

static hn_status check(const hn_graph *g, hn_val loss, const hn_val wrt[], int n)
{
    HN_TRY(hn_graph_status(g));
    if (!loss.id || loss.id >= g->n_values)
        return hn_fail(HN_ERR_ARG, "gradient: the loss is no value of this graph");
    if (hn__numel(hn__type(g, loss)) != 1 || !hn__is_float(hn__type(g, loss)->dtype)) {
        char t[128];
        return hn_fail(HN_ERR_SHAPE, "gradient: the loss is %s, must be one float",
                       hn__type_text(hn__type(g, loss), t, sizeof t));
    }
    for (int i = 0; i < n; i++) {
        if (!wrt[i].id || wrt[i].id >= g->n_values)
            return hn_fail(HN_ERR_ARG, "gradient: value %d is none of this graph", i);
        const char *name = g->nodes[g->values[wrt[i].id].node].name;
        char t[128];
        if (hn__is_quantised(hn__type(g, wrt[i])->dtype))
            return hn_fail(HN_ERR_UNSUPPORTED, "gradient: %s is %s: quantised values have none",
                           name ? name : "a value", hn__type_text(hn__type(g, wrt[i]), t, sizeof t));
    }
    return HN_OK;
}

static int blocks_again(const hn_graph *g, int n_again)
{
    const int most = g->n_marks > 1 ? (int)g->n_marks - 1 : 0;
    return n_again < 0 || n_again > most ? most : n_again;
}

hn_status hn__graph_grad(hn_graph *g, hn_val loss, const hn_val wrt[], int n, int n_again,
                         hn_val out[], hn_val squares[])
{
    HN_TRY(check(g, loss, wrt, n));
    const int64_t n_nodes = g->n_nodes, n_values = g->n_values;
    walk w = { .g = g, .n_again = blocks_again(g, n_again), .block = -1 };
    hn_status s = HN_OK;
    w.d = hn__calloc((size_t)n_values, sizeof *w.d);
    w.needed = hn__calloc((size_t)n_values, sizeof *w.needed);
    w.copy = hn__calloc((size_t)n_values, sizeof *w.copy);
    w.first = hn__calloc((size_t)n_values, sizeof *w.first);
    if (!w.d || !w.needed || !w.copy || !w.first)
        s = hn__nomem((size_t)n_values * sizeof(hn_val));
    if (s == HN_OK)
        s = run(&w, loss, wrt, n, out, squares);
    if (s) { // as it was: nodes only grow
        g->n_nodes = n_nodes;
        g->n_values = n_values;
        g->status = HN_OK;
        memset(out, 0, sizeof *out * (size_t)n);
    }
    hn__free(w.d);
    hn__free(w.needed);
    hn__free(w.copy);
    hn__free(w.first);
    return s;
}

hn_status hn_graph_grad(hn_graph *g, hn_val loss, const hn_val wrt[], int n, hn_val out[])
{
    return hn__graph_grad(g, loss, wrt, n, 0, out, NULL);
}
