// Epilogues: an operator takes in the pointwise operator that is the only reader of its result,
// where it can do that work itself (hn__op_fns.absorb), and the next one, as far as that goes. What
// was several passes over memory becomes one.
#include "ir/ir.h"

#include <string.h>

// A node as it is going to be, over values of the graph that is read.
typedef struct made {
    const hn__op *op;
    char attr[HN__MAX_ATTR];
    int n_in;
    uint32_t in[HN__MAX_IN];
} made;

typedef struct pass {
    const hn_graph *from;
    hn_graph *to;
    uint32_t *map;   // value of from -> value of to
    int32_t *uses;   // of a value; outputs and assignments count as many
    int64_t *reader; // the last node that reads it
    made **held;     // by value: made where its reader stands
    bool again;      // parts of the graph are computed again
} pass;

enum { MANY = 2 };

static hn__inst inst_of(const hn_graph *g, made *m)
{
    hn__inst n = { .op = m->op, .n_in = m->n_in, .attr = m->attr };
    for (int k = 0; k < m->n_in; k++)
        n.in[k] = g->values[m->in[k]].type;
    return n;
}

// What m becomes when it takes in the node `next`, of which it is an operand. False where it cannot.
static bool join(const hn_graph *g, const made *m, const hn__node *next, uint32_t value, made *out)
{
    hn__inst after = hn__graph_inst(g, g->values[next->out].node);
    int operand = 0, extra = -1, at = m->n_in;

    while (next->in[operand] != value)
        operand++;
    *out = *m;
    hn__inst n = inst_of(g, out);
    if (n.op->fn->infer(&n) || !n.op->fn->absorb(&n, &after, operand, &extra, &at))
        return false;
    if (extra >= 0) {
        memmove(&out->in[at + 1], &out->in[at], (size_t)(out->n_in - at) * sizeof *out->in);
        out->in[at] = next->in[extra];
        out->n_in++;
    }
    n = inst_of(g, out);
    return n.op->fn->infer(&n) == HN_OK && hn__type_equal(&n.out[0], &after.out[0]);
}

// The value of `to`, made now where it was held for a reader that took in another operand.
static hn_val value_of(pass *p, uint32_t value);

static hn_val emit(pass *p, const made *m)
{
    hn_val in[HN__MAX_IN];
    for (int k = 0; k < m->n_in; k++)
        in[k] = value_of(p, m->in[k]);
    return hn__emit(p->to, m->op, m->op->fn->attr_bytes ? m->attr : NULL, in, m->n_in);
}

static hn_val value_of(pass *p, uint32_t value)
{
    if (p->held[value]) {
        const made *m = p->held[value];
        p->held[value] = NULL;
        p->map[value] = emit(p, m).id;
    }
    return (hn_val){ p->map[value] };
}

// What node i is to be: with a held operand taken in, or as it stands.
static bool take_in(pass *p, const hn__node *n, made *out)
{
    for (int k = 0; k < n->n_in; k++) {
        const made *m = p->held[n->in[k]];
        if (m && join(p->from, m, n, n->in[k], out)) {
            p->held[n->in[k]] = NULL;
            return true;
        }
    }
    *out = (made){ .op = n->op, .n_in = n->n_in };
    memcpy(out->in, n->in, sizeof n->in);
    if (n->op->fn->attr_bytes)
        memcpy(out->attr, n->attr, n->op->fn->attr_bytes);
    return false;
}

// Whether the only reader of n's result can be taken in by m, which gives that result.
static bool waits(const pass *p, const hn__node *n, const made *m)
{
    made later;

    if (!m->op->fn->absorb || n->n_out != 1 || p->uses[n->out] != 1)
        return false;
    const hn__node *next = &p->from->nodes[p->reader[n->out]];
    // Where a block is computed again, what it keeps otherwise has fewer readers. A sum has the same
    // bits wherever it is made; a function has not, and training is to be the same with and without.
    if (p->again && next->n_in == 1)
        return false;
    return next->op->flags & HN__FUSE && next->again == n->again &&
           join(p->from, m, next, n->out, &later);
}

static hn_status pass_node(pass *p, const hn__node *n)
{
    made m;
    const bool joined = take_in(p, n, &m);

    if (waits(p, n, &m)) {
        p->held[n->out] = hn__arena_copy(&p->to->arena, &m, sizeof m);
        return p->held[n->out] ? HN_OK : hn__nomem(sizeof m);
    }
    hn_val in[HN__MAX_IN], y;
    if (joined) {
        y = emit(p, &m);
        if (y.id)
            p->to->nodes[p->to->n_nodes - 1].again = n->again;
    } else {
        for (int k = 0; k < n->n_in; k++)
            in[k] = value_of(p, n->in[k]);
        y = hn__emit_copy(p->to, n, in);
    }
    for (int k = 0; k < n->n_out; k++)
        p->map[n->out + (uint32_t)k] = hn__out(y, k).id;
    return hn_graph_status(p->to);
}

static void count(pass *p)
{
    const hn_graph *g = p->from;

    for (int64_t i = 0; i < g->n_nodes; i++) {
        p->again |= g->nodes[i].again != 0;
        for (int k = 0; k < g->nodes[i].n_in; k++) {
            p->uses[g->nodes[i].in[k]]++;
            p->reader[g->nodes[i].in[k]] = i;
        }
    }
    for (int64_t i = 0; i < g->n_outputs; i++)
        p->uses[g->outputs[i].val] += MANY;
    for (int64_t i = 0; i < g->n_assigns; i++)
        p->uses[g->assigns[i].src] += MANY;
}

static hn_status pass_all(pass *p)
{
    const hn_graph *g = p->from;

    count(p);
    for (int64_t i = 0; i < g->n_nodes; i++)
        HN_TRY(pass_node(p, &g->nodes[i]));
    for (int64_t i = 0; i < g->n_outputs; i++)
        hn_output(p->to, g->outputs[i].name, (hn_val){ p->map[g->outputs[i].val] });
    for (int64_t i = 0; i < g->n_assigns; i++)
        hn_assign(p->to, (hn_val){ p->map[g->assigns[i].dst] },
                  (hn_val){ p->map[g->assigns[i].src] });
    return hn_graph_status(p->to);
}

hn_status hn__absorb(const hn_graph *g, hn_graph **out)
{
    pass p = { .from = g };
    hn_status s = hn_graph_create(&p.to);

    *out = NULL;
    if (s == HN_OK) {
        p.map = hn__calloc((size_t)g->n_values, sizeof *p.map);
        p.uses = hn__calloc((size_t)g->n_values, sizeof *p.uses);
        p.reader = hn__calloc((size_t)g->n_values, sizeof *p.reader);
        p.held = hn__calloc((size_t)g->n_values, sizeof *p.held);
        s = p.map && p.uses && p.reader && p.held ? pass_all(&p)
                                                  : hn__nomem((size_t)g->n_values * 24);
    }
    hn__free(p.map);
    hn__free(p.uses);
    hn__free(p.reader);
    hn__free(p.held);
    if (s)
        hn_graph_destroy(&p.to);
    *out = p.to;
    return s;
}
