// Epilogues: an operator takes in the pointwise operator that is the only reader of its result,
// where it can do that work itself (hn__op_fns.absorb), and the next one, as far as that goes. What
// was several passes over memory becomes one. And what comes before an operator, where all that read
// it can do its work themselves (hn__op_fns.prepend).
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
    hn_val *map;     // value of from -> value of to; 0: not made yet
    int32_t *uses;   // of a value; outputs and assignments count as many
    int64_t *reader; // the last node that reads it
    int32_t *takers; // readers that can do the work of the node that makes it
    const hn_device_info *device;
    bool again;      // parts of the graph are computed again
} pass;

enum { MANY = 2 };
static const hn_val TAKEN = { UINT32_MAX }; // in map: part of another node, and read by nothing else

static hn__inst inst_of(const hn_graph *g, made *m)
{
    hn__inst n = { .op = m->op, .n_in = m->n_in, .attr = m->attr };
    for (int k = 0; k < m->n_in; k++)
        n.in[k] = g->values[m->in[k]].type;
    return n;
}

// m with the node `next` taken in, of which `value`, m's result, is an operand. False where it cannot.
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

// Whether all that m reads is there now. A weight or an input is made where it is missing; what is
// computed later is not waited for: m's other operands would have to be kept until then.
static bool is_there(pass *p, const made *m)
{
    for (int k = 0; k < m->n_in; k++) {
        const hn__node *n = &p->from->nodes[p->from->values[m->in[k]].node];
        if (!p->map[m->in[k]].id && n->op->flags & HN__SOURCE)
            p->map[m->in[k]] = hn__emit_copy(p->to, n, NULL);
        if (!p->map[m->in[k]].id)
            return false;
    }
    return true;
}

// The node whose work m can do as well, being the only reader of m's result `value`; NULL: none.
static const hn__node *next_of(pass *p, const made *m, uint32_t value, uint32_t again, made *out)
{
    if (!m->op->fn->absorb || p->uses[value] != 1)
        return NULL;
    const hn__node *next = &p->from->nodes[p->reader[value]];
    // Where a block is computed again, what it keeps otherwise has fewer readers. A sum has the same
    // bits wherever it is made; a function has not, and training is to be the same with and without.
    if (!(next->op->flags & HN__FUSE) || next->again != again || (p->again && next->n_in == 1) ||
        !join(p->from, m, next, value, out) || !is_there(p, out))
        return NULL;
    return next;
}

static made made_of(const hn__node *n)
{
    made m = { .op = n->op, .n_in = n->n_in };

    memcpy(m.in, n->in, sizeof n->in);
    if (n->op->fn->attr_bytes && !(n->op->flags & HN__SOURCE))
        memcpy(m.attr, n->attr, n->op->fn->attr_bytes);
    return m;
}

// m with the node that makes its operand 0 taken in. False where it cannot.
static bool precede(const pass *p, const hn__node *n, made *m)
{
    if (!n->op->fn->prepend)
        return false;
    const hn__node *before = &p->from->nodes[p->from->values[n->in[0]].node];
    const hn__inst b = hn__graph_inst(p->from, p->from->values[n->in[0]].node);
    *m = made_of(n);
    hn__inst i = inst_of(p->from, m);
    int at;
    if (before->again != n->again || i.op->fn->infer(&i) ||
        !i.op->fn->prepend(&i, &b, p->device, &at))
        return false;
    memmove(&m->in[at + 1], &m->in[at], (size_t)(m->n_in - at) * sizeof *m->in);
    m->in[0] = before->in[0];
    m->in[at] = before->in[1];
    m->n_in++;
    i = inst_of(p->from, m);
    return i.op->fn->infer(&i) == HN_OK;
}

// Whether all who read a node's result do its work themselves.
static bool is_done_by_readers(const pass *p, uint32_t value)
{
    return p->takers[value] && p->takers[value] == p->uses[value];
}

static hn_status pass_node(pass *p, const hn__node *n)
{
    made m = made_of(n), more;
    hn_val in[HN__MAX_IN];
    uint32_t last = n->out;

    if (p->map[n->out].id) // taken in, or a source that was made early
        return HN_OK;
    if (is_done_by_readers(p, n->out)) {
        p->map[n->out] = TAKEN;
        return HN_OK;
    }
    const bool does_more = n->n_in && is_done_by_readers(p, n->in[0]) && precede(p, n, &m);
    for (const hn__node *next; n->n_out == 1 && (next = next_of(p, &m, last, n->again, &more));) {
        m = more;
        p->map[last] = TAKEN;
        last = next->out;
    }
    for (int k = 0; k < m.n_in; k++)
        in[k] = p->map[m.in[k]];
    if (last == n->out && !does_more) {
        const hn_val y = hn__emit_copy(p->to, n, in);
        for (int k = 0; k < n->n_out; k++)
            p->map[n->out + (uint32_t)k] = hn__out(y, k);
        return hn_graph_status(p->to);
    }
    p->map[last] = hn__emit(p->to, m.op, m.attr, in, m.n_in);
    if (p->map[last].id)
        p->to->nodes[p->to->n_nodes - 1].again = n->again;
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
        made m;
        p->takers[g->nodes[i].in[0]] += precede(p, &g->nodes[i], &m);
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
    return hn__copy_ends(g, p->map, p->to);
}

hn_status hn__absorb(const hn_graph *g, const hn_device_info *d, hn_graph **out)
{
    pass p = { .from = g, .device = d };
    hn_status s = hn_graph_create(&p.to);

    *out = NULL;
    if (s == HN_OK) {
        p.map = hn__calloc((size_t)g->n_values, sizeof *p.map);
        p.uses = hn__calloc((size_t)g->n_values, sizeof *p.uses);
        p.reader = hn__calloc((size_t)g->n_values, sizeof *p.reader);
        p.takers = hn__calloc((size_t)g->n_values, sizeof *p.takers);
        s = p.map && p.uses && p.reader && p.takers ? pass_all(&p)
                                                    : hn__nomem((size_t)g->n_values * 20);
    }
    hn__free(p.map);
    hn__free(p.uses);
    hn__free(p.reader);
    hn__free(p.takers);
    if (s)
        hn_graph_destroy(&p.to);
    *out = p.to;
    return s;
}
