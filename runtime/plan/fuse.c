// Grouping: chains of pointwise operators, with the reduction that ends them, become one step.
//
// Nodes are visited in order. A group runs where its last member stands, so everything outside
// that reads one of its values must come later: the first such reader closes the group. That one
// rule keeps the order legal, whatever joins.
#include "ops/table.h"
#include "plan/build.h"

#include <stdio.h>
#include <string.h>

typedef struct group {
    hn_type shape;  // of the iteration space
    int n;          // members
    int nodes[HN__EXPR_INSN + 1];
    bool closed;
} group;

typedef struct fuser {
    hn_plan *p;
    const hn_graph *g;
    group **groups;  // by group
    int64_t n_groups;
    int64_t *of;     // node -> group, -1
    int32_t *uses;   // value -> readers, outputs and assignments
} fuser;

static group *group_of(const fuser *f, uint32_t value)
{
    const int64_t k = f->of[f->g->values[value].node];
    return k >= 0 ? f->groups[k] : NULL;
}

static void count_uses(fuser *f)
{
    const hn_graph *g = f->g;
    for (int64_t i = 0; i < g->n_nodes; i++)
        for (int k = 0; k < g->nodes[i].n_in; k++)
            f->uses[g->nodes[i].in[k]]++;
    for (int64_t i = 0; i < g->n_outputs; i++)
        f->uses[g->outputs[i].val]++;
    for (int64_t i = 0; i < g->n_assigns; i++)
        f->uses[g->assigns[i].src]++;
}

static bool has(const group *a, int node)
{
    for (int i = 0; i < a->n; i++)
        if (a->nodes[i] == node)
            return true;
    return false;
}

// Readers of node's value inside the group.
static int uses_inside(const fuser *f, const group *a, int node)
{
    int n = 0;
    for (int i = 0; i < a->n; i++) {
        const hn__node *m = &f->g->nodes[a->nodes[i]];
        for (int k = 0; k < m->n_in; k++)
            n += m->in[k] == f->g->nodes[node].out;
    }
    return n;
}

static bool is_stored(const fuser *f, const group *a, int node)
{
    return uses_inside(f, a, node) < f->uses[f->g->nodes[node].out];
}

// Whether the group fits in a kernel: distinct outside operands, stored values, instructions.
static bool fits(const fuser *f, const group *a)
{
    uint32_t seen[HN__EXPR_IN];
    int n_in = 0, n_out = 0;

    if (a->n > HN__EXPR_INSN)
        return false;
    for (int i = 0; i < a->n; i++) {
        const hn__node *m = &f->g->nodes[a->nodes[i]];
        for (int k = 0; k < m->n_in; k++) {
            bool known = has(a, (int)f->g->values[m->in[k]].node);
            for (int j = 0; j < n_in && !known; j++)
                known = seen[j] == m->in[k];
            if (known)
                continue;
            if (n_in == HN__EXPR_IN)
                return false;
            seen[n_in++] = m->in[k];
        }
        n_out += is_stored(f, a, a->nodes[i]);
    }
    return n_out <= HN__EXPR_OUT;
}

// A group of one.
static hn_status start_group(fuser *f, const hn_type *shape, int node, group **out)
{
    group *a = hn__arena_alloc(&f->p->arena, sizeof *a);
    if (!a)
        return hn__nomem(sizeof *a);
    *a = (group){ .shape = *shape, .n = 1, .nodes = { node } };
    f->of[node] = f->n_groups;
    f->groups[f->n_groups++] = *out = a;
    return HN_OK;
}

// Makes `joined` the group of all its members, in the place of its first one's.
static group *adopt(fuser *f, const group *joined)
{
    const int64_t at = f->of[joined->nodes[0]];
    *f->groups[at] = *joined;
    for (int i = 0; i < joined->n; i++)
        f->of[joined->nodes[i]] = at;
    return f->groups[at];
}

// Adds the members of b that a lacks, in node order. False where they do not fit.
static bool merge(group *a, const group *b)
{
    for (int i = 0; i < b->n; i++) {
        if (has(a, b->nodes[i]))
            continue;
        if (a->n == HN__EXPR_INSN)
            return false;
        int at = a->n++;
        for (; at > 0 && a->nodes[at - 1] > b->nodes[i]; at--)
            a->nodes[at] = a->nodes[at - 1];
        a->nodes[at] = b->nodes[i];
    }
    return true;
}

// The group that `node` can join or complete: the open groups of its operands, merged as far as
// they fit, with the node at the end. `into` is scratch.
static bool try_join(const fuser *f, int node, const hn_type *shape, group *into)
{
    const hn__node *n = &f->g->nodes[node];

    *into = (group){ .shape = *shape };
    for (int k = 0; k < n->n_in; k++) {
        const group *b = group_of(f, n->in[k]);
        if (!b || b->closed || !hn__shape_equal(&b->shape, shape))
            continue;
        group more = *into;
        if (!merge(&more, b))
            continue;
        more.nodes[more.n] = node;
        more.n++;
        const bool ok = fits(f, &more);
        more.n--;
        if (ok)
            *into = more;
    }
    into->nodes[into->n++] = node;
    return into->n > 1;
}

static void close_operands(const fuser *f, int node, const group *except)
{
    const hn__node *n = &f->g->nodes[node];
    for (int k = 0; k < n->n_in; k++) {
        group *b = group_of(f, f->p->root[n->in[k]]);
        if (b && b != except)
            b->closed = true;
    }
}

static hn_status visit_fuse(fuser *f, int node)
{
    const hn_type *shape = &f->g->values[f->g->nodes[node].out].type;
    group joined, *a = NULL;

    if (!f->p->params.no_fuse && try_join(f, node, shape, &joined))
        a = adopt(f, &joined);
    else
        HN_TRY(start_group(f, shape, node, &a));
    close_operands(f, node, a);
    return HN_OK;
}

// A reduction joins where it keeps the kernel parallel: along the last axis, or where nothing but
// the reduction leaves the group.
static bool can_reduce(const fuser *f, int node, const group *joined, const hn_type *shape)
{
    int axis;
    hn__inst inst = hn__graph_inst(f->g, node);
    hn__reduce_of(&inst, &axis);
    if (hn__inner(shape, axis) == 1)
        return true;
    for (int i = 0; i + 1 < joined->n; i++)
        if (is_stored(f, joined, joined->nodes[i]))
            return false;
    return true;
}

static hn_status visit_reduce(fuser *f, int node)
{
    const hn_type *shape = &f->g->values[f->g->nodes[node].in[0]].type;
    group joined, *a = NULL;

    if (!f->p->params.no_fuse && try_join(f, node, shape, &joined) &&
        can_reduce(f, node, &joined, shape))
        a = adopt(f, &joined);
    else
        HN_TRY(start_group(f, shape, node, &a));
    a->closed = true;
    close_operands(f, node, a);
    return HN_OK;
}

// ---- groups to expressions -----------------------------------------------------------------

static int input_of(hn__expr *e, hn__step *s, uint32_t root, const hn_type *t,
                    const hn_type *shape)
{
    hn__expr_in in = { .type = t->dtype };
    hn__broadcast_strides(t, shape, in.stride);
    for (int i = 0; i < e->n_in; i++)
        if (s->in[i] == root && !memcmp(&e->in[i], &in, sizeof in))
            return i;
    s->in[s->n_in++] = root;
    e->in[e->n_in] = in;
    return e->n_in++;
}

// Values of expressions are numbered inputs first, so operands are gathered before instructions.
static void gather(const fuser *f, const group *a, hn__expr *e, hn__step *s)
{
    for (int i = 0; i < a->n; i++) {
        const hn__node *m = &f->g->nodes[a->nodes[i]];
        for (int k = 0; k < m->n_in; k++) {
            const hn__value *v = &f->g->values[m->in[k]];
            if (!has(a, (int)v->node))
                input_of(e, s, f->p->root[m->in[k]], &v->type, &a->shape);
        }
    }
}

static int value_of(const fuser *f, const group *a, hn__expr *e, hn__step *s, uint32_t value)
{
    const hn__value *v = &f->g->values[value];
    for (int i = 0; i < a->n; i++)
        if (a->nodes[i] == (int)v->node)
            return e->n_in + i;
    return input_of(e, s, f->p->root[value], &v->type, &a->shape);
}

static void add_insn(const fuser *f, const group *a, hn__expr *e, hn__step *s, int node)
{
    const hn__node *m = &f->g->nodes[node];
    hn__expr_insn *insn = &e->insn[e->n_insn++];

    *insn = (hn__expr_insn){ .op = m->op, .arg = { -1, -1, -1 } };
    insn->pw.attr = m->attr;
    insn->pw.out = f->g->values[m->out].type.dtype;
    for (int k = 0; k < m->n_in; k++) {
        insn->arg[k] = value_of(f, a, e, s, m->in[k]);
        insn->pw.in[k] = f->g->values[m->in[k]].type.dtype;
    }
    if (is_stored(f, a, node)) {
        e->out[e->n_out++] = (hn__expr_out){ insn->pw.out, e->n_in + e->n_insn - 1, false };
        s->out[s->n_out++] = m->out;
    }
}

static void add_reduction(const fuser *f, const group *a, hn__expr *e, hn__step *s, int node)
{
    const hn__node *m = &f->g->nodes[node];
    const hn__inst inst = hn__graph_inst(f->g, node);

    e->reduce = hn__reduce_of(&inst, &e->axis);
    e->out[e->n_out++] = (hn__expr_out){ inst.out[0].dtype, value_of(f, a, e, s, m->in[0]), true };
    s->out[s->n_out++] = m->out;
}

static void name_step(const fuser *f, const group *a, hn__step *s)
{
    size_t at = 0;
    for (int i = 0; i < a->n && at < sizeof s->label - 1; i++)
        at += (size_t)snprintf(s->label + at, sizeof s->label - at, i ? "+%s" : "%s",
                               f->g->nodes[a->nodes[i]].op->name);
}

static hn_status make_expr(const fuser *f, const group *a, hn__step *s)
{
    hn__expr *e = hn__arena_alloc(&f->p->arena, sizeof *e);
    if (!e)
        return hn__nomem(sizeof *e);
    s->kind = HN__STEP_EXPR;
    s->expr = e;
    e->rank = a->shape.rank;
    memcpy(e->dim, a->shape.dim, sizeof e->dim);
    gather(f, a, e, s);
    for (int i = 0; i < a->n; i++)
        if (f->g->nodes[a->nodes[i]].op->flags & HN__REDUCE)
            add_reduction(f, a, e, s, a->nodes[i]);
        else
            add_insn(f, a, e, s, a->nodes[i]);
    name_step(f, a, s);
    hn__expr_collapse(e);
    return HN_OK;
}

static hn_status make_op(const fuser *f, int node, hn__step *s)
{
    const hn__node *n = &f->g->nodes[node];

    s->kind = HN__STEP_OP;
    s->inst = hn__graph_inst(f->g, node);
    s->n_in = n->n_in;
    s->n_out = n->n_out;
    for (int k = 0; k < n->n_in; k++)
        s->in[k] = f->p->root[n->in[k]];
    for (int k = 0; k < n->n_out; k++)
        s->out[k] = n->out + (uint32_t)k;
    snprintf(s->label, sizeof s->label, "%s", n->op->name);
    return HN_OK;
}

static hn_status emit_steps(fuser *f)
{
    hn_plan *p = f->p;
    for (int64_t i = 0; i < f->g->n_nodes; i++) {
        const group *a = f->of[i] >= 0 ? f->groups[f->of[i]] : NULL;
        if (f->g->nodes[i].op->flags & (HN__SOURCE | HN__VIEW) || (a && a->nodes[a->n - 1] != i))
            continue;
        HN_TRY(hn__reserve((void **)&p->steps, &p->cap_steps, p->n_steps + 1, sizeof *p->steps));
        hn__step *s = &p->steps[p->n_steps++];
        *s = (hn__step){ 0 };
        HN_TRY(a ? make_expr(f, a, s) : make_op(f, (int)i, s));
    }
    return HN_OK;
}

// On the ref device every operator is a step by its reference.
static hn_status visit(fuser *f, int node)
{
    const uint32_t flags = f->g->nodes[node].op->flags;

    if (flags & (HN__SOURCE | HN__VIEW))
        return HN_OK;
    f->p->info.n_ops++;
    if (flags & HN__FUSE && !hn__is_ref(f->p))
        return visit_fuse(f, node);
    if (flags & HN__REDUCE && !hn__is_ref(f->p))
        return visit_reduce(f, node);
    close_operands(f, node, NULL);
    return HN_OK;
}

hn_status hn__group_steps(hn_plan *p)
{
    const hn_graph *g = p->g;
    fuser f = { .p = p, .g = g };
    hn_status s = HN_OK;

    f.groups = hn__calloc((size_t)g->n_nodes + 1, sizeof *f.groups);
    f.of = hn__calloc((size_t)g->n_nodes + 1, sizeof *f.of);
    f.uses = hn__calloc((size_t)g->n_values, sizeof *f.uses);
    if (!f.groups || !f.of || !f.uses)
        s = hn__nomem((size_t)g->n_nodes * 16);
    for (int64_t i = 0; s == HN_OK && i < g->n_nodes; i++)
        f.of[i] = -1;
    if (s == HN_OK)
        count_uses(&f);
    for (int64_t i = 0; s == HN_OK && i < g->n_nodes; i++)
        s = visit(&f, (int)i);
    if (s == HN_OK)
        s = emit_steps(&f);
    hn__free(f.groups);
    hn__free(f.of);
    hn__free(f.uses);
    return s;
}
