// The known question that a variant answers before it is used on a driver.
#include "plan/case.h"
#include "plan/choose.h"

#include <string.h>

enum { MOST_DRAWS = 1024, WANTED = 2 }; // seeds looked at for each type; draws that are run

// Whether a drawn instance lists the variant and runs the same code with it.
static bool runs_it(const hn_device_info *info, const hn__inst *n, const hn__variant *v,
                    uint64_t code)
{
    hn__variant list[HN__MAX_VARIANTS];
    const int count = hn__variants(n, info, list);
    hn__launch l;
    uint64_t own;

    for (int i = 0; i < count; i++) {
        const bool same = v->kernel ? list[i].kernel && !strcmp(list[i].kernel, v->kernel) &&
                                          !memcmp(list[i].param, v->param, sizeof v->param)
                                    : !list[i].kernel;
        if (same)
            return hn__launch_variant(n, info, v, false, &l, &own) == HN_OK && own == code;
    }
    return false;
}

static hn_status run_draw(hn_device *d, const hn__op *op, hn_dtype t, uint64_t seed,
                          const hn__variant *v)
{
    hn__case *c;
    HN_TRY(hn__case_draw(op, t, seed, &c));
    hn__case_run_ref(c);
    hn_status s = hn__case_run_variant(c, d, v);
    if (s == HN_OK)
        s = hn__case_compare(c);
    hn__case_destroy(&c);
    return s;
}

// What is done with the draws of an operator that run the variant.
typedef struct search {
    hn_device *d;
    const hn__op *op;
    const hn__variant *v;
    uint64_t code;
    bool run; // them, and compare; otherwise they are only counted
    int found;
} search;

// Looks at the draws of one type under test, until WANTED were found.
static hn_status try_type(search *f, hn_dtype t)
{
    for (uint64_t seed = 1; seed <= MOST_DRAWS && f->found < WANTED; seed++) {
        hn__arena a = { 0 };
        hn__sample sample;
        hn_status s = hn__case_types(f->op, t, seed, &a, &sample);
        const bool fits = s == HN_OK && runs_it(&f->d->info, &sample.inst, f->v, f->code);
        hn__arena_reset(&a);
        f->found += fits;
        if (fits && f->run)
            s = run_draw(f->d, f->op, t, seed, f->v);
        HN_TRY(s);
    }
    return HN_OK;
}

static hn_status look(search *f, const hn__inst *n)
{
    if (!f->op->fn->sample)
        return HN_OK;
    // The types of the instance itself; that of its second operand names a build of the weights.
    for (int i = 0; i < n->n_in + n->n_out && f->found < WANTED; i++) {
        const hn_dtype t = i < n->n_in ? n->in[i].dtype : n->out[i - n->n_in].dtype;
        if (f->op->tol[t] > 0)
            HN_TRY(try_type(f, t));
    }
    // Operators that move any type, or of integers, are drawn with another one.
    for (hn_dtype t = HN_F32; t < HN_DTYPE_COUNT && !f->found; t++)
        if (f->op->tol[t] > 0)
            HN_TRY(try_type(f, t));
    return HN_OK;
}

hn_status hn__self_test(hn_device *d, const hn__inst *n, const hn__variant *v, uint64_t code,
                        bool *out_reached)
{
    search f = { d, n->op, v, code, true, 0 };
    const hn_status s = look(&f, n);
    *out_reached = f.found > 0;
    return s;
}

bool hn__self_test_finds(hn_device *d, const hn__inst *n, const hn__variant *v, uint64_t code)
{
    search f = { d, n->op, v, code, false, 0 };
    return look(&f, n) == HN_OK && f.found > 0;
}

hn_status hn__self_test_chain(hn_device *d, const hn__op *op)
{
    const hn__variant only = { 0 };
    hn_dtype t = HN_F32;

    while (t < HN_DTYPE_COUNT && !(op->tol[t] > 0))
        t++;
    for (uint64_t seed = 1; op->fn->sample && t < HN_DTYPE_COUNT && seed <= WANTED; seed++)
        HN_TRY(run_draw(d, op, t, seed, &only));
    return HN_OK;
}
