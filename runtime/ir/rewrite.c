// Rewrites: a simplified copy of a graph. Constants are folded by the references, equal nodes are
// shared, and what no output or assignment needs is dropped. Random operators are left alone, and
// what computes a block again is not shared with what computed it first.
#include "ir/ir.h"

#include <string.h>

enum { FOLD_MOST = 1 << 16 }; // elements; a larger constant is made on the device

typedef struct copy {
    const hn_graph *from;
    hn_graph *to;
    bool *live;      // nodes
    hn_val *map;     // value of from -> value of to
    int64_t *bucket; // hash -> node of to + 1
    int64_t n_buckets;
} copy;

static void mark(copy *c)
{
    const hn_graph *g = c->from;

    for (int64_t i = 0; i < g->n_outputs; i++)
        c->live[g->values[g->outputs[i].val].node] = true;
    for (int64_t i = 0; i < g->n_assigns; i++) {
        c->live[g->values[g->assigns[i].src].node] = true;
        c->live[g->values[g->assigns[i].dst].node] = true;
    }
    for (int64_t i = g->n_nodes - 1; i >= 0; i--) {
        const hn__node *n = &g->nodes[i];
        // Inputs stay: the caller may write them whether or not they matter.
        if (n->name && !((const hn__source_attr *)n->attr)->trainable)
            c->live[i] = true;
        for (int k = 0; c->live[i] && k < n->n_in; k++)
            c->live[g->values[n->in[k]].node] = true;
    }
}

// Constants are what their type and bytes say; other nodes what operator, operands and attributes
// say.
static bool is_constant(const hn__node *n)
{
    return n->op->flags & HN__SOURCE && !n->name;
}

static uint64_t hash_node(const hn__node *n)
{
    const hn__source_attr *a = n->attr;

    if (is_constant(n))
        return hn__hash(a->data, (size_t)hn_type_bytes(&a->type), (uint64_t)a->type.dtype);
    uint64_t h = hn__hash(&n->op, sizeof n->op, n->again);
    h = hn__hash(n->in, sizeof *n->in * (size_t)n->n_in, h);
    return n->attr ? hn__hash(n->attr, n->op->fn->attr_bytes, h) : h;
}

static bool same_node(const hn__node *a, const hn__node *b)
{
    if (a->op != b->op || a->name || b->name || a->n_in != b->n_in || !a->attr != !b->attr ||
        a->again != b->again)
        return false;
    if (is_constant(a)) {
        const hn__source_attr *x = a->attr, *y = b->attr;
        return hn__type_equal(&x->type, &y->type) &&
               !memcmp(x->data, y->data, (size_t)hn_type_bytes(&x->type));
    }
    return !memcmp(a->in, b->in, sizeof *a->in * (size_t)a->n_in) &&
           (!a->attr || !memcmp(a->attr, b->attr, a->op->fn->attr_bytes));
}

// The node of `to` that equals n, or -1.
static int64_t find(const copy *c, const hn__node *n)
{
    for (int64_t at = (int64_t)(hash_node(n) % (uint64_t)c->n_buckets); c->bucket[at];
         at = (at + 1) % c->n_buckets)
        if (same_node(&c->to->nodes[c->bucket[at] - 1], n))
            return c->bucket[at] - 1;
    return -1;
}

static void insert(copy *c, int64_t node)
{
    int64_t at = (int64_t)(hash_node(&c->to->nodes[node]) % (uint64_t)c->n_buckets);
    while (c->bucket[at])
        at = (at + 1) % c->n_buckets;
    c->bucket[at] = node + 1;
}

static bool foldable(const copy *c, const hn__node *n)
{
    if (n->op->flags & (HN__SOURCE | HN__RANDOM) || !n->op->fn->ref || n->n_out != 1 || !n->n_in)
        return false;
    if (hn__numel(&c->to->values[n->out].type) > FOLD_MOST)
        return false;
    for (int k = 0; k < n->n_in; k++)
        if (!is_constant(&c->to->nodes[c->to->values[n->in[k]].node]) ||
            hn__numel(&c->to->values[n->in[k]].type) > FOLD_MOST)
            return false;
    // A stretched scalar is better left for fusion than stored.
    return !(n->op->flags & HN__FUSE) || hn__numel(&c->to->values[n->out].type) <=
                                             hn__numel(&c->to->values[n->in[0]].type);
}

// Computes the newest node of `to` by its reference and makes it a constant.
static hn_status fold(copy *c)
{
    hn_graph *g = c->to;
    hn__node *n = &g->nodes[g->n_nodes - 1];
    const hn__inst inst = hn__graph_inst(g, g->n_nodes - 1);
    hn__arena tmp = { 0 };
    double *in[HN__MAX_IN] = { 0 };
    const int64_t n_out = hn__numel(&inst.out[0]);
    double *out = hn__arena_alloc(&tmp, sizeof *out * (size_t)n_out);
    void *data = hn__arena_alloc(&g->arena, (size_t)hn_type_bytes(&inst.out[0]));
    hn__source_attr *a = hn__arena_alloc(&g->arena, sizeof *a);
    bool ok = out && data && a;
    for (int k = 0; ok && k < inst.n_in; k++) {
        const hn__source_attr *src = g->nodes[g->values[n->in[k]].node].attr;
        in[k] = hn__arena_alloc(&tmp, sizeof(double) * (size_t)hn__numel(&inst.in[k]));
        ok = in[k] != NULL;
        if (ok)
            hn__to_f64(src->type.dtype, src->data, in[k], hn__numel(&inst.in[k]));
    }
    if (ok) {
        inst.op->fn->ref(&inst, (const double *const *)in, &out);
        hn__from_f64(inst.out[0].dtype, out, data, n_out);
        *a = (hn__source_attr){ .type = inst.out[0], .data = data };
        *n = (hn__node){ .op = hn__op_find("constant"), .n_out = 1, .out = n->out, .attr = a };
    }
    hn__arena_reset(&tmp);
    return ok ? HN_OK : hn__nomem((size_t)n_out * sizeof *out);
}

// A cast or a stretch to the type it has already, or a reshape to the same shape.
static bool is_identity(const hn_graph *g, const hn__node *n)
{
    static const char *const names[] = { "cast", "broadcast", "reshape" };
    if (n->n_in != 1 || !hn__type_equal(&g->values[n->in[0]].type, &g->values[n->out].type))
        return false;
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (!strcmp(n->op->name, names[i]))
            return true;
    return false;
}

// Pointwise operators stretch their operands themselves: where an operand comes out of a
// `broadcast`, takes what went in, if the result keeps its type.
static void unstretch(const copy *c, const hn__node *n, hn_val in[])
{
    hn__inst inst = { .op = n->op, .n_in = n->n_in, .attr = n->attr };
    const hn_type *want = &c->from->values[n->out].type;

    if (!(n->op->flags & HN__FUSE) || n->n_in < 2)
        return;
    for (int k = 0; k < n->n_in; k++) {
        const hn__node *from = &c->to->nodes[c->to->values[in[k].id].node];
        if (strcmp(from->op->name, "broadcast") != 0)
            continue;
        for (int i = 0; i < n->n_in; i++)
            inst.in[i] = c->to->values[i == k ? from->in[0] : in[i].id].type;
        if (n->op->fn->infer(&inst) == HN_OK && hn__type_equal(&inst.out[0], want))
            in[k].id = from->in[0];
    }
}

static void drop_last(hn_graph *g)
{
    g->n_values -= g->nodes[--g->n_nodes].n_out;
}

static hn_status copy_node(copy *c, int64_t i)
{
    const hn__node *n = &c->from->nodes[i];
    hn_graph *to = c->to;
    hn_val in[HN__MAX_IN];

    for (int k = 0; k < n->n_in; k++)
        in[k] = c->map[n->in[k]];
    unstretch(c, n, in);
    if (!hn__emit_copy(to, n, in).id)
        return hn_graph_status(to);
    const hn__node *made = &to->nodes[to->n_nodes - 1];
    if (foldable(c, made))
        HN_TRY(fold(c));
    uint32_t first = made->out;
    const int64_t same = made->name || n->op->flags & HN__RANDOM ? -1 : find(c, made);
    if (is_identity(to, made)) {
        first = made->in[0];
        drop_last(to);
    } else if (same >= 0) {
        first = to->nodes[same].out;
        drop_last(to);
    } else {
        insert(c, to->n_nodes - 1);
    }
    for (int k = 0; k < n->n_out; k++)
        c->map[n->out + (uint32_t)k].id = first + (uint32_t)k;
    return HN_OK;
}

static hn_status copy_all(copy *c)
{
    const hn_graph *g = c->from;

    mark(c);
    for (int64_t i = 0; i < g->n_nodes; i++)
        if (c->live[i])
            HN_TRY(copy_node(c, i));
    return hn__copy_ends(g, c->map, c->to);
}

static hn_status once(const hn_graph *g, hn_graph **out)
{
    *out = NULL;
    copy c = { .from = g, .n_buckets = 2 * g->n_nodes + 1 };
    hn_status s = hn_graph_create(&c.to);
    if (s == HN_OK) {
        c.live = hn__calloc((size_t)g->n_nodes + 1, sizeof *c.live);
        c.map = hn__calloc((size_t)g->n_values, sizeof *c.map);
        c.bucket = hn__calloc((size_t)c.n_buckets, sizeof *c.bucket);
        s = c.live && c.map && c.bucket ? copy_all(&c) : hn__nomem((size_t)g->n_values * 16);
    }
    hn__free(c.live);
    hn__free(c.map);
    hn__free(c.bucket);
    if (s)
        hn_graph_destroy(&c.to);
    *out = c.to;
    return s;
}

// Twice: the second pass drops what the first one made useless.
hn_status hn__rewrite(const hn_graph *g, hn_graph **out)
{
    hn_graph *half;

    *out = NULL;
    HN_TRY(hn_graph_status(g));
    HN_TRY(once(g, &half));
    const hn_status s = once(half, out);
    hn_graph_destroy(&half);
    return s;
}
