// Reverse-mode gradients: walks the nodes from the loss back and lets each operator add its own.
#include "hornito/ops.h"
#include "ir/ir.h"

#include <string.h>

typedef struct walk {
    hn_graph *g;
    hn_val *d;      // gradient so far of each value that was there at the start
    bool *needed;   // values that depend on one of wrt
} walk;

static void add_to(walk *w, uint32_t value, hn_val dv)
{
    if (!dv.id || !w->needed[value])
        return;
    w->d[value] = w->d[value].id ? hn_add(w->g, w->d[value], dv) : dv;
}

// One node: the gradients of its outputs to those of its inputs.
static hn_status step(walk *w, int64_t at)
{
    hn_graph *g = w->g;
    const hn__node n = g->nodes[at]; // a copy: the array may move
    hn_val in[HN__MAX_IN], out[HN__MAX_OUT], dy[HN__MAX_OUT], din[HN__MAX_IN] = { { 0 } };
    bool reached = false, wanted = false;

    for (int i = 0; i < n.n_in; i++) {
        in[i] = (hn_val){ n.in[i] };
        wanted |= w->needed[n.in[i]];
    }
    for (int i = 0; i < n.n_out; i++) {
        out[i] = (hn_val){ n.out + (uint32_t)i };
        dy[i] = w->d[out[i].id];
        reached |= dy[i].id != 0;
    }
    if (!reached || !wanted || n.op->flags & HN__NO_GRAD)
        return HN_OK;
    if (!n.op->fn->grad)
        return hn_fail(HN_ERR_UNSUPPORTED, "operator %s has no gradient", n.op->name);
    const hn__inst inst = hn__graph_inst(g, at);
    n.op->fn->grad(g, &inst, in, out, dy, din);
    for (int i = 0; i < n.n_in; i++)
        add_to(w, n.in[i], din[i]);
    return g->status;
}

static hn_status run(walk *w, hn_val loss, const hn_val wrt[], int n, hn_val out[])
{
    hn_graph *g = w->g;
    const int64_t n_nodes = g->n_nodes;

    for (int i = 0; i < n; i++)
        w->needed[wrt[i].id] = true;
    for (int64_t i = 0; i < n_nodes; i++) {
        bool any = false;
        for (int k = 0; k < g->nodes[i].n_in; k++)
            any |= w->needed[g->nodes[i].in[k]];
        for (int k = 0; any && k < g->nodes[i].n_out; k++)
            w->needed[g->nodes[i].out + (uint32_t)k] = true;
    }
    w->d[loss.id] = hn_fill(g, *hn__type(g, loss), 1);
    for (int64_t i = n_nodes - 1; i >= 0 && !g->status; i--)
        HN_TRY(step(w, i));
    for (int i = 0; i < n; i++)
        out[i] = w->d[wrt[i].id].id ? w->d[wrt[i].id] : hn_fill(g, *hn__type(g, wrt[i]), 0);
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

hn_status hn_graph_grad(hn_graph *g, hn_val loss, const hn_val wrt[], int n, hn_val out[])
{
    HN_TRY(check(g, loss, wrt, n));
    const int64_t n_nodes = g->n_nodes, n_values = g->n_values;
    walk w = { g, hn__calloc((size_t)n_values, sizeof(hn_val)), hn__calloc((size_t)n_values, 1) };
    hn_status s = HN_OK;
    if (!w.d || !w.needed)
        s = hn__nomem((size_t)n_values * sizeof(hn_val));
    if (s == HN_OK)
        s = run(&w, loss, wrt, n, out);
    if (s) { // as it was: nodes only grow
        g->n_nodes = n_nodes;
        g->n_values = n_values;
        g->status = HN_OK;
        memset(out, 0, sizeof *out * (size_t)n);
    }
    hn__free(w.d);
    hn__free(w.needed);
    return s;
}
