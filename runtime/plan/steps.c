// Steps and slots: where each value lies and how long it lives, what outputs and assignments add.
#include "plan/build.h"

#include <stdio.h>
#include <string.h>

static hn_status add_slot(hn_plan *p, const hn__slot *slot, uint32_t *out)
{
    HN_TRY(hn__reserve((void **)&p->slots, &p->cap_slots, p->n_slots + 1, sizeof *p->slots));
    *out = (uint32_t)p->n_slots;
    p->slots[p->n_slots++] = *slot;
    return HN_OK;
}

hn_status hn__add_tmp(hn_plan *p, int64_t step, int64_t n_bytes)
{
    uint32_t slot;
    HN_TRY(add_slot(
        p,
        &(hn__slot){ .where = HN__BLOCK, .bytes = n_bytes, .first = (int)step, .last = (int)step },
        &slot));
    hn__step *s = &p->steps[step];
    s->tmp[s->n_tmp++] = (int)slot;
    return HN_OK;
}

static hn_status add_copy(hn_plan *p, uint32_t from, uint32_t to, const hn_type *t, bool in_front)
{
    HN_TRY(hn__reserve((void **)&p->steps, &p->cap_steps, p->n_steps + 1, sizeof *p->steps));
    hn__step *at = &p->steps[p->n_steps];
    if (in_front) {
        memmove(p->steps + 1, p->steps, sizeof *at * (size_t)p->n_steps);
        at = p->steps;
    }
    *at =
        (hn__step){ .kind = HN__STEP_COPY, .n_in = 1, .n_out = 1, .in = { from }, .out = { to } };
    at->inst.in[0] = at->inst.out[0] = *t;
    snprintf(at->label, sizeof at->label, "copy");
    p->n_steps++;
    return HN_OK;
}

static void io_slot(hn_plan *p, uint32_t slot, int64_t bytes)
{
    p->slots[slot].where = HN__IO;
    p->slots[slot].bytes = bytes;
    p->slots[slot].offset = p->info.io_bytes;
    p->info.io_bytes += hn__align(bytes);
}

static hn_status source_slot(hn_plan *p, const hn__node *n)
{
    const hn__source_attr *a = n->attr;

    if (!n->name || strcmp(n->op->name, "param")) {
        io_slot(p, n->out, hn_type_bytes(&a->type));
        return HN_OK;
    }
    hn__slot *s = &p->slots[n->out];
    s->buf = hn__weights_buffer(p->params.weights, n->name, &a->type);
    if (!s->buf && !p->predicting) {
        char t[128];
        return hn_fail(HN_ERR_ARG, "the weights have no '%s' of type %s", n->name,
                       hn__type_text(&a->type, t, sizeof t));
    }
    s->where = HN__WEIGHT;
    s->bytes = hn_type_bytes(&a->type);
    p->info.weight_bytes += s->bytes;
    return HN_OK;
}

static bool is_source(const hn_plan *p, uint32_t value)
{
    return p->g->nodes[p->g->values[value].node].op->flags & HN__SOURCE;
}

static hn_status make_slots(hn_plan *p)
{
    const hn_graph *g = p->g;

    HN_TRY(hn__reserve((void **)&p->slots, &p->cap_slots, g->n_values, sizeof *p->slots));
    memset(p->slots, 0, sizeof *p->slots * (size_t)g->n_values);
    p->n_slots = g->n_values;
    for (uint32_t v = 1; v < g->n_values; v++) {
        const hn__node *n = &g->nodes[g->values[v].node];
        p->root[v] = n->op->flags & HN__VIEW ? p->root[n->in[0]] : v;
        if (n->op->flags & HN__SOURCE)
            HN_TRY(source_slot(p, n));
        else if (p->root[v] == v)
            p->slots[v] =
                (hn__slot){ .where = HN__BLOCK, .bytes = hn__block_bytes(p, &g->values[v].type) };
    }
    return HN_OK;
}

// ---- assignments ---------------------------------------------------------------------------

static int64_t producer(const hn_plan *p, uint32_t slot)
{
    for (int64_t i = 0; i < p->n_steps; i++)
        for (int k = 0; k < p->steps[i].n_out; k++)
            if (p->steps[i].out[k] == slot)
                return i;
    return -1;
}

// Whether every input of the expression that is `slot` is walked exactly as outputs are.
static bool dense_input(const hn__expr *e, const hn__step *s, uint32_t slot)
{
    for (int i = 0; i < e->n_in; i++) {
        int64_t want = 1;
        if (s->in[i] != slot)
            continue;
        for (int d = e->rank - 1; d >= 0; want *= e->dim[d--])
            if (e->dim[d] > 1 && e->in[i].stride[d] != want)
                return false;
    }
    return true;
}

// Whether step s may write `src` over the memory of `dst` that it reads itself.
static bool overwrites_itself(const hn__step *s, uint32_t dst, uint32_t src)
{
    if (s->kind == HN__STEP_EXPR) {
        for (int k = 0; k < s->n_out; k++)
            if (s->out[k] == src && s->expr->out[k].reduced)
                return false;
        return dense_input(s->expr, s, dst);
    }
    if (s->kind != HN__STEP_OP || !(s->inst.op->flags & HN__INPLACE))
        return false;
    for (int k = 0; k < s->n_in; k++)
        if (s->in[k] == dst && (k >= s->n_out || s->out[k] != src))
            return false;
    return true;
}

// The source's step may write straight into the weight where nothing reads the old value later.
static bool can_write_in_place(const hn_plan *p, uint32_t dst, uint32_t src)
{
    const int64_t made = producer(p, src);
    if (made < 0 || p->slots[src].where != HN__BLOCK)
        return false;
    for (int64_t i = made; i < p->n_steps; i++)
        for (int k = 0; k < p->steps[i].n_in; k++)
            if (p->steps[i].in[k] == dst &&
                (i > made || !overwrites_itself(&p->steps[i], dst, src)))
                return false;
    return true;
}

// A copy of a source's value from before the run.
static hn_status keep_early(hn_plan *p, uint32_t *slot, const hn_type *t)
{
    uint32_t kept;
    HN_TRY(add_slot(p, &(hn__slot){ .where = HN__BLOCK, .bytes = hn__block_bytes(p, t) }, &kept));
    HN_TRY(add_copy(p, *slot, kept, t, true));
    *slot = kept;
    return HN_OK;
}

static hn_status make_assigns(hn_plan *p)
{
    const hn_graph *g = p->g;

    for (int64_t i = 0; i < g->n_assigns; i++) {
        const uint32_t dst = p->root[g->assigns[i].dst];
        uint32_t src = p->root[g->assigns[i].src];
        if (src == dst)
            continue;
        if (can_write_in_place(p, dst, src)) {
            p->slots[src] = p->slots[dst];
            continue;
        }
        if (is_source(p, src))
            HN_TRY(keep_early(p, &src, &g->values[g->assigns[i].src].type));
        HN_TRY(add_copy(p, src, dst, &g->values[g->assigns[i].src].type, false));
    }
    return HN_OK;
}

// ---- outputs and lifetimes -----------------------------------------------------------------

static hn_status make_outputs(hn_plan *p)
{
    const hn_graph *g = p->g;

    for (int64_t i = 0; i < g->n_outputs; i++) {
        uint32_t slot = p->root[g->outputs[i].val];
        const hn_type *t = &g->values[g->outputs[i].val].type;
        if (is_source(p, slot)) {
            uint32_t kept;
            HN_TRY(add_slot(p, &(hn__slot){ 0 }, &kept));
            HN_TRY(add_copy(p, slot, kept, t, true));
            slot = kept;
        }
        if (p->slots[slot].where != HN__WEIGHT && p->slots[slot].where != HN__IO)
            io_slot(p, slot, hn_type_bytes(t));
        p->out_slot[i] = slot;
    }
    return HN_OK;
}

static void make_lifetimes(hn_plan *p)
{
    for (int64_t i = 0; i < p->n_slots; i++)
        p->slots[i].first = -1;
    for (int64_t i = 0; i < p->n_steps; i++) {
        const hn__step *s = &p->steps[i];
        for (int k = 0; k < s->n_out; k++) {
            hn__slot *o = &p->slots[s->out[k]];
            o->first = o->first < 0 ? (int)i : o->first;
            o->last = (int)i;
        }
        for (int k = 0; k < s->n_in; k++)
            p->slots[s->in[k]].last = (int)i;
    }
    // What no step makes (a member kept inside its group) takes no place.
    for (int64_t i = 0; i < p->n_slots; i++)
        if (p->slots[i].where == HN__BLOCK && p->slots[i].first < 0)
            p->slots[i].where = HN__NOWHERE;
}

// ---- results in the place of operands ------------------------------------------------------

// The block's slot that `slot` is placed with.
static uint32_t place_of(const hn_plan *p, uint32_t slot)
{
    return p->slots[slot].on ? p->slots[slot].on : slot;
}

// Whether output k of the step has the elements of a type, each where it is in a dense operand.
static bool same_elements(const hn__step *s, int k, int in)
{
    if (s->kind == HN__STEP_EXPR)
        return s->expr->in[in].type == s->expr->out[k].type &&
               (s->expr->reduce == HN__REDUCE_NONE || hn_dtype_size(s->expr->out[k].type) == 4);
    return k == in && hn__type_equal(&s->inst.in[in], &s->inst.out[k]);
}

// An output of step i takes the place of an operand that nothing reads later, where the step may
// write over what it reads.
static void take_over(hn_plan *p, int64_t i, int k)
{
    const hn__step *s = &p->steps[i];
    hn__slot *out = &p->slots[s->out[k]];

    // One that nothing reads must not share with another output of the step.
    if (s->kind == HN__STEP_COPY || out->where != HN__BLOCK || out->first != i || out->last == i)
        return;
    for (int j = 0; j < s->n_in; j++) {
        const uint32_t place = place_of(p, s->in[j]);
        hn__slot *in = &p->slots[place];
        if (in->where != HN__BLOCK || in->last != i || p->slots[s->in[j]].first == i ||
            hn__align(in->bytes) != hn__align(out->bytes) || !same_elements(s, k, j) ||
            !overwrites_itself(s, s->in[j], s->out[k]))
            continue;
        out->on = place;
        in->last = out->last;
        return;
    }
}

static void make_places(hn_plan *p)
{
    for (int64_t i = 0; i < p->n_steps; i++)
        for (int k = 0; k < p->steps[i].n_out; k++)
            take_over(p, i, k);
}

hn_status hn__steps_make(hn_plan *p)
{
    p->root = hn__calloc((size_t)p->g->n_values, sizeof *p->root);
    p->out_slot = hn__calloc((size_t)p->g->n_outputs + 1, sizeof *p->out_slot);
    if (!p->root || !p->out_slot)
        return hn__nomem((size_t)p->g->n_values * sizeof *p->root);
    HN_TRY(make_slots(p));
    HN_TRY(hn__group_steps(p));
    HN_TRY(make_assigns(p));
    HN_TRY(make_outputs(p));
    make_lifetimes(p);
    make_places(p);
    p->info.n_steps = (int)p->n_steps;
    return HN_OK;
}
