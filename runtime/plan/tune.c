// Measuring the variants of a plan's operators on its device.
#include "base/os.h"
#include "device/tuning.h"
#include "plan/case.h"
#include "plan/choose.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { SHORTLIST = 3, ROUNDS = 9, MOST_STEPS = 16 };
#define WIN 0.97 // of the default's time: less is noise, and the default stays

// An operator of the plan that has a choice.
typedef struct target {
    const hn__inst *inst;
    int count; // steps of the plan that are like it
    double flop; // of all of them
} target;

// One variant while it is measured.
typedef struct entrant {
    hn__variant variant;
    hn_plan *plan; // NULL: not made, or out of the race
    double ns;
    uint64_t code;
} entrant;

// ---- running one ---------------------------------------------------------------------------

// Floats between -1 and 1, so that no variant meets numbers that are slow to work with; integers
// are 0, which is a legal index wherever there is one.
static hn_status write_input(hn_plan *p, int i, const hn_type *t)
{
    const char name[] = { 'i', 'n', (char)('0' + i), '\0' };
    const hn__fill how = { .stream = (uint64_t)i, .lo = -1, .hi = 1, .below = 1 };
    const int64_t n = hn_type_bytes(t);
    void *own = hn__calloc((size_t)n, 1);

    if (!own)
        return hn__nomem((size_t)n);
    hn__fill_tensor(&how, t, own);
    const hn_status s = hn_plan_write(p, name, own, n);
    hn__free(own);
    return s;
}

static hn_status enter(hn_device *d, const hn__inst *n, entrant *e)
{
    hn_graph *g = NULL;
    hn_status s = hn_graph_create(&g);
    if (s == HN_OK)
        s = hn__inst_graph(n, g);
    if (s == HN_OK)
        s = hn__plan_forced(g, d, n->op, &e->variant, &e->plan);
    hn_graph_destroy(&g);
    for (int i = 0; s == HN_OK && i < n->n_in; i++)
        s = write_input(e->plan, i, &n->in[i]);
    if (s == HN_OK)
        s = hn_plan_run(e->plan); // compiles, measures its submissions
    return s;
}

// Nanoseconds of one run: by the device's clock where it has one.
static hn_status run_once(entrant *e, double *out_ns)
{
    hn_step_time steps[MOST_STEPS];
    int n;
    const hn_status s = hn_plan_time(e->plan, steps, MOST_STEPS, &n);

    *out_ns = 0;
    if (s == HN_OK) {
        for (int i = 0; i < n && i < MOST_STEPS; i++)
            *out_ns += steps[i].ns;
        return HN_OK;
    }
    if (s != HN_ERR_UNSUPPORTED)
        return s;
    const uint64_t begin = hn__now_ns();
    HN_TRY(hn_plan_run(e->plan));
    *out_ns = (double)(hn__now_ns() - begin);
    return HN_OK;
}

// ---- the race ------------------------------------------------------------------------------

// A first time for each variant, one at a time so that their memory is not needed together. What
// fails is out; what is lost ends it.
static hn_status heats(hn_device *d, const hn__inst *n, entrant e[], int count, double end_ns)
{
    for (int i = 0; i < count; i++) {
        double ns[2] = { INFINITY, INFINITY };
        e[i].ns = INFINITY;
        if (i && (double)hn__now_ns() > end_ns)
            continue;
        hn_status s = enter(d, n, &e[i]);
        for (int k = 0; s == HN_OK && k < 2; k++)
            s = run_once(&e[i], &ns[k]);
        hn_plan_destroy(&e[i].plan);
        if (d->lost)
            return s;
        e[i].ns = s ? INFINITY : fmin(ns[0], ns[1]);
    }
    return HN_OK;
}

static int by_time(const void *a, const void *b)
{
    const entrant *x = a, *y = b;
    return (x->ns > y->ns) - (x->ns < y->ns);
}

static int by_value(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

// The default and the fastest of the heats in turn; medians into ns.
static hn_status final(hn_device *d, const hn__inst *n, entrant e[], int count, double end_ns)
{
    double ns[SHORTLIST + 1][ROUNDS];
    int rounds = 0;
    hn_status s = HN_OK;

    for (int i = 0; s == HN_OK && i < count; i++)
        s = enter(d, n, &e[i]);
    for (; s == HN_OK && rounds < ROUNDS && (rounds < 3 || (double)hn__now_ns() < end_ns); rounds++)
        for (int i = 0; s == HN_OK && i < count; i++)
            s = run_once(&e[i], &ns[i][rounds]);
    for (int i = 0; i < count; i++) {
        hn_plan_destroy(&e[i].plan);
        if (s == HN_OK) {
            qsort(ns[i], (size_t)rounds, sizeof **ns, by_value);
            e[i].ns = ns[i][rounds / 2];
        }
    }
    return s;
}

// Keeps what won; the default where nothing beats it by more than noise.
static hn_status keep(hn_device *d, const hn__inst *n, const entrant *first, const entrant *best)
{
    const entrant *won = best->ns < WIN * first->ns ? best : first;
    char inst[HN__TEXT], variant[HN__TEXT];
    hn__launch l;
    uint64_t code;

    HN_TRY(hn__launch_variant(n, &d->info, &won->variant, false, &l, &code));
    hn__log(HN_LOG_INFO, "tuned %s: %s, %.1f us; by default %.1f", hn__inst_text(n, inst),
            hn__variant_text(n, &won->variant, variant), won->ns * 1e-3, first->ns * 1e-3);
    return hn__tuning_put(d->tuning, &(hn__tuning_row){ .kind = HN__BEST, .code = code,
                                                        .what = inst, .variant = variant,
                                                        .us = won->ns * 1e-3,
                                                        .default_us = first->ns * 1e-3 });
}

static hn_status race(hn_device *d, const hn__inst *n, double end_ns)
{
    hn__variant v[HN__MAX_VARIANTS];
    entrant e[HN__MAX_VARIANTS] = { 0 };
    const int count = hn__variants(n, &d->info, v);

    for (int i = 0; i < count; i++)
        e[i].variant = v[i];
    HN_TRY(heats(d, n, e, count, end_ns));
    if (isinf(e[0].ns)) // the default itself could not be run: there is nothing to compare with
        return HN_OK;
    qsort(e + 1, (size_t)count - 1, sizeof *e, by_time);
    int n_final = 1;
    while (n_final < count && n_final <= SHORTLIST && e[n_final].ns < 1.1 * e[0].ns)
        n_final++;
    if (n_final > 1) {
        HN_TRY(final(d, n, e, n_final, end_ns));
        qsort(e + 1, (size_t)n_final - 1, sizeof *e, by_time);
    }
    return keep(d, n, &e[0], &e[n_final > 1 ? 1 : 0]);
}

// ---- what is worth it ----------------------------------------------------------------------

static bool is_known(const hn_device *d, const hn__inst *n)
{
    char text[HN__TEXT];
    hn__inst_text(n, text);
    for (int64_t i = 0; i < hn__tuning_count(d->tuning); i++) {
        const hn__tuning_row *r = hn__tuning_at(d->tuning, i);
        if (r->kind == HN__BEST && !strcmp(r->what, text))
            return true;
    }
    return false;
}

static void add_target(const hn_plan *p, const hn__step *s, target *t, int *n)
{
    hn__variant v[HN__MAX_VARIANTS];
    char own[HN__TEXT], other[HN__TEXT];
    hn__launch l;
    uint64_t code;

    if (s->kind != HN__STEP_OP || !s->inst.op->fn->variants ||
        hn__variants(&s->inst, &p->dev->info, v) < 2 || is_known(p->dev, &s->inst) ||
        hn__launch_variant(&s->inst, &p->dev->info, &v[0], false, &l, &code))
        return;
    int i = 0;
    hn__inst_text(&s->inst, own);
    while (i < *n && strcmp(own, hn__inst_text(t[i].inst, other)))
        i++;
    if (i == *n)
        t[(*n)++] = (target){ .inst = &s->inst };
    t[i].count++;
    for (int k = 0; k < l.n; k++)
        t[i].flop += l.d[k].flop;
}

static int by_flop(const void *a, const void *b)
{
    const target *x = a, *y = b;
    return (x->flop < y->flop) - (x->flop > y->flop);
}

hn_status hn__tune_steps(hn_plan *p)
{
    hn_device *d = p->dev;
    const double budget = d->tune_ns, began = (double)hn__now_ns();
    target *t = hn__calloc((size_t)p->n_steps + 1, sizeof *t);
    hn_status s = HN_OK;
    int n = 0;

    if (!t)
        return hn__nomem((size_t)p->n_steps * sizeof *t);
    d->tune_ns = 0; // the plans made on the way are not tuned
    for (int64_t i = 0; i < p->n_steps; i++)
        add_target(p, &p->steps[i], t, &n);
    qsort(t, (size_t)n, sizeof *t, by_flop);
    for (int i = 0; s == HN_OK && i < n && (double)hn__now_ns() < began + budget; i++)
        s = race(d, t[i].inst, began + budget);
    hn__free(t);
    d->tune_ns = fmax(0, budget - ((double)hn__now_ns() - began));
    return s;
}
