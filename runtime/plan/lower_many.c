// Steps of the optimiser go together: neighbours that do the same to tensors of their own become one
// dispatch of a kernel that takes several (hn__dispatch.many). They depend on nothing that one of
// them does, so their order is free.
#include "plan/lower.h"

#include <string.h>

static bool is_in_place(const hn_plan *p, const hn__step *s)
{
    for (int k = 0; k < s->n_out; k++) {
        const hn__slot *in = &p->slots[s->in[k]], *out = &p->slots[s->out[k]];
        if (in->where != HN__WEIGHT || out->where != HN__WEIGHT || in->buf != out->buf)
            return false;
    }
    return true;
}

// Of a step's operands the last is the same for all that go together, the others are its own.
static int n_own(const hn__step *s)
{
    return s->n_in - 1;
}

static bool goes_together(const hn_plan *p, const hn__step *s)
{
    return s->kind == HN__STEP_OP && !s->is_lowered && s->launch->n == 1 && s->launch->d[0].many &&
           1 + n_own(s) * (int)HN_MANY <= (int)p->dev->info.max_bindings && is_in_place(p, s);
}

// Whether they do the same, but to other tensors.
static bool are_alike(const hn__step *a, const hn__step *b)
{
    return a->inst.op == b->inst.op && a->in[n_own(a)] == b->in[n_own(b)] &&
           !memcmp(a->inst.attr, b->inst.attr, a->inst.op->fn->attr_bytes);
}

// The steps from `at` on that go with that one, itself the first; returns how many.
static int find(const hn_plan *p, int64_t at, hn__step *out[HN_MANY])
{
    int n = 0;

    for (int64_t i = at; i < p->n_steps && n < (int)HN_MANY; i++) {
        hn__step *s = &p->steps[i];
        if (s->kind != HN__STEP_OP || s->inst.op != p->steps[at].inst.op)
            break;
        if (goes_together(p, s) && are_alike(&p->steps[at], s))
            out[n++] = s;
    }
    return n;
}

static void bind(const hn_plan *p, hn__cmd *c, const hn__step *s)
{
    for (int k = 0; k < n_own(s); k++) {
        c->bind[c->n_bind] = hn__bind_slot(p, s->in[k], k < s->n_out);
        c->bind[c->n_bind++].read = true;
    }
}

// The dispatch of one of them with a number of elements a tensor at the end of its push constants.
static hn__dispatch join(hn__step *const s[], int n)
{
    hn__dispatch d = s[0]->launch->d[0];
    const uint32_t last = d.push_bytes / 4 - 1;

    d.kernel = d.many;
    d.n_bind = 1 + n_own(s[0]) * (int)HN_MANY;
    d.push_bytes += 4 * (HN_MANY - 1);
    for (int i = 1; i < (int)HN_MANY; i++) {
        d.push[last + (uint32_t)i] = i < n ? s[i]->launch->d[0].push[last] : 0;
        d.n_groups += i < n ? s[i]->launch->d[0].n_groups : 0;
        d.flop += i < n ? s[i]->launch->d[0].flop : 0;
    }
    return d;
}

hn_status hn__lower_many(hn_plan *p, int64_t at)
{
    hn__step *s[HN_MANY];

    if (p->params.no_fuse || p->force_op || !goes_together(p, &p->steps[at]))
        return HN_OK;
    const int n = find(p, at, s);
    if (n < 2)
        return HN_OK;
    const hn__dispatch d = join(s, n);
    hn__cmd *c;
    HN_TRY(hn__add_kernel(p, s[0]->label, &d, &c));
    c->bind[c->n_bind++] = hn__bind_slot(p, s[0]->in[n_own(s[0])], false);
    for (int i = 0; i < (int)HN_MANY; i++)
        bind(p, c, s[i < n ? i : 0]); // what is not there has no elements
    for (int i = 0; i < n; i++)
        s[i]->is_lowered = true;
    return hn__check_ranges(p, s[0]->label, c);
}
