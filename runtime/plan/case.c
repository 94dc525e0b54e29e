// Drawing an instance, its reference, and comparing.
#include "plan/case.h"

#include <math.h>
#include <string.h>

static void *get(hn__case *c, int64_t n, size_t size)
{
    return hn__arena_alloc(&c->arena, (size_t)n * size + 1);
}

// ---- drawing -------------------------------------------------------------------------------

// 0, 1, ... n - 1 in random order, spread over [lo, hi]: no two are closer than (hi - lo) / n.
static void draw_distinct(hn_rng *rng, double *x, int64_t n, double lo, double hi)
{
    for (int64_t i = 0; i < n; i++) {
        const int64_t k = hn__rng_below(rng, i + 1);
        x[i] = x[k];
        x[k] = (double)i;
    }
    for (int64_t i = 0; i < n; i++)
        x[i] = lo + (hi - lo) * (x[i] + 0.5) / (double)n;
}

void hn__draw_blocks(hn_rng *rng, hn_dtype t, void *raw, int64_t n)
{
    static const struct {
        int d, m;     // where the scale and the minimum stand; m 0: there is none
        double most;  // of what the scale is multiplied with
    } layout[HN_DTYPE_COUNT] = {
        [HN_Q8_0] = { 0, 0, 128 }, [HN_Q4_0] = { 0, 0, 8 },   [HN_Q4_1] = { 0, 2, 15 },
        [HN_Q5_0] = { 0, 0, 16 },  [HN_Q5_1] = { 0, 2, 31 },  [HN_Q4_K] = { 0, 2, 63 * 15 },
        [HN_Q5_K] = { 0, 2, 63 * 31 }, [HN_Q6_K] = { 208, 0, 128 * 32 },
    };
    const bool k = hn_dtype_block(t) == 256;

    uint8_t *p = raw;
    for (int64_t i = 0; i < n; i++, p += hn_dtype_size(t)) {
        for (int b = 0; b < hn_dtype_size(t); b++)
            p[b] = (uint8_t)hn__rng_u32(rng);
        const double step = hn__rng_range(rng, 0.2, 2) / layout[t].most;
        const double least = hn__rng_range(rng, 0.1, 1) / (k ? 63 : -1); // subtracted with scales
        const uint16_t d = hn__f32_to_f16((float)step), m = hn__f32_to_f16((float)least);
        memcpy(p + layout[t].d, &d, sizeof d);
        if (layout[t].m)
            memcpy(p + layout[t].m, &m, sizeof m);
    }
}

// Draws n elements, or blocks, of type t.
static void draw_first(const hn__fill *f, hn_dtype t, int64_t n, void *raw)
{
    enum { PART = 256 };
    double part[PART];
    hn_rng rng = hn__rng(1, f->stream);

    if (hn__is_quantised(t)) {
        hn__draw_blocks(&rng, t, raw, n);
        return;
    }
    for (int64_t at = 0; at < n; at += PART) {
        const int64_t now = n - at < PART ? n - at : PART;
        for (int64_t i = 0; i < now; i++)
            part[i] = hn__is_float(t) ? hn__rng_range(&rng, f->lo, f->hi)
                                      : (double)hn__rng_below(&rng, f->below);
        hn__from_f64(t, part, (char *)raw + at * hn_dtype_size(t), now);
    }
}

void hn__fill_tensor(const hn__fill *f, const hn_type *t, void *raw)
{
    enum { PERIOD = 65521, BLOCKS = 4093 };
    const int64_t period = hn__is_quantised(t->dtype) ? BLOCKS : PERIOD;
    const int64_t bytes = hn_type_bytes(t), size = hn_dtype_size(t->dtype), first = period * size;

    draw_first(f, t->dtype, bytes < first ? bytes / size : period, raw);
    for (int64_t at = first; at < bytes; at += first)
        memcpy((char *)raw + at, raw, (size_t)(bytes - at < first ? bytes - at : first));
}

static hn_status draw_quantised(hn__case *c, hn_rng *rng, int i)
{
    const hn_type *t = &c->s.inst.in[i];

    c->raw[i] = get(c, hn_type_bytes(t), 1);
    c->in[i] = get(c, hn__numel(t), sizeof(double));
    if (!c->raw[i] || !c->in[i])
        return hn__nomem((size_t)hn__numel(t) * sizeof(double));
    hn__draw_blocks(rng, t->dtype, c->raw[i], hn__numel(t) / hn_dtype_block(t->dtype));
    hn__to_f64(t->dtype, c->raw[i], c->in[i], hn__numel(t));
    return HN_OK;
}

static hn_status draw_input(hn__case *c, hn_rng *rng, int i)
{
    const hn_type *t = &c->s.inst.in[i];
    const int64_t n = hn__numel(t);
    const bool usual = c->s.range[i].lo == 0 && c->s.range[i].hi == 0;
    const double lo = usual ? t->dtype == HN_U8 ? 0 : -1 : c->s.range[i].lo;
    const double hi = usual ? 1 : c->s.range[i].hi;
    double *x = get(c, n, sizeof *x);
    void *own = get(c, n, (size_t)hn_dtype_size(t->dtype));

    if (!x || !own)
        return hn__nomem((size_t)n * sizeof *x);
    c->raw[i] = own;
    if (c->s.range[i].distinct)
        draw_distinct(rng, x, n, lo, hi);
    else
        for (int64_t k = 0; k < n; k++)
            x[k] = hn__is_float(t->dtype) ? hn__rng_range(rng, lo, hi)
                                          : floor(hn__rng_range(rng, lo, hi + 1));
    for (int64_t k = 0; k < n && c->s.range[i].step > 0; k++)
        x[k] = c->s.range[i].step * floor(x[k] / c->s.range[i].step + 0.5);
    hn__from_f64(t->dtype, x, own, n);
    hn__to_f64(t->dtype, own, x, n);
    c->in[i] = x;
    return HN_OK;
}

// Uniform in [-1, 1], rounded to the type.
static double *draw_direction(hn__case *c, hn_rng *rng, const hn_type *t)
{
    double *x = hn__is_float(t->dtype) ? get(c, hn__numel(t), sizeof *x) : NULL;

    for (int64_t k = 0; x && k < hn__numel(t); k++) {
        float own;
        x[k] = hn__rng_range(rng, -1, 1);
        hn__from_f64(t->dtype, &x[k], &own, 1);
        hn__to_f64(t->dtype, &own, &x[k], 1);
    }
    return x;
}

// Draws from rng, which goes on to the elements.
static hn_status draw_types(const hn__op *op, hn_dtype type, hn_rng *rng, hn__arena *a,
                            hn__sample *s)
{
    hn__inst *n = &s->inst;

    *s = (hn__sample){ .inst.op = op, .type = type };
    if (!op->fn->sample)
        return hn_fail(HN_ERR_ARG, "no sample");
    n->attr = op->fn->attr_bytes ? hn__arena_alloc(a, HN__MAX_ATTR) : NULL;
    if (op->fn->attr_bytes && !n->attr)
        return hn__nomem(HN__MAX_ATTR);
    op->fn->sample(rng, s);
    for (int i = 0; i < n->n_in; i++)
        if (!n->in[i].dtype)
            n->in[i].dtype = type;
    return hn_context(op->fn->infer(n), "infer");
}

static hn_rng rng_of(const hn__op *op, uint64_t seed)
{
    return hn__rng(seed, hn__hash_string(op->name));
}

hn_status hn__case_types(const hn__op *op, hn_dtype type, uint64_t seed, hn__arena *a,
                         hn__sample *out)
{
    hn_rng rng = rng_of(op, seed);
    return draw_types(op, type, &rng, a, out);
}

static hn_status draw(hn__case *c)
{
    hn__inst *n = &c->s.inst;
    hn_rng rng = rng_of(c->op, c->seed);

    HN_TRY(draw_types(c->op, c->type, &rng, &c->arena, &c->s));
    for (int i = 0; i < n->n_in; i++)
        HN_TRY(hn__is_quantised(n->in[i].dtype) ? draw_quantised(c, &rng, i)
                                                : draw_input(c, &rng, i));
    for (int i = 0; i < n->n_in; i++)
        c->dir[i] = draw_direction(c, &rng, &n->in[i]);
    for (int k = 0; k < n->n_out; k++) {
        const int64_t size = hn__numel(&n->out[k]);
        c->v[k] = draw_direction(c, &rng, &n->out[k]);
        c->want[k] = get(c, size, sizeof(double));
        c->got[k] = get(c, size, sizeof(double));
        if (!c->want[k] || !c->got[k])
            return hn__nomem((size_t)size * sizeof(double));
    }
    return HN_OK;
}

hn_status hn__case_draw(const hn__op *op, hn_dtype type, uint64_t seed, hn__case **c)
{
    *c = hn__calloc(1, sizeof **c);
    if (!*c)
        return hn__nomem(sizeof **c);
    **c = (hn__case){ .op = op, .type = type, .seed = seed };
    const hn_status s = draw(*c);
    if (s)
        hn__case_destroy(c);
    return hn_context(s, "draw");
}

void hn__case_destroy(hn__case **c)
{
    if (!*c)
        return;
    hn__arena_reset(&(*c)->arena);
    hn__free(*c);
    *c = NULL;
}

// ---- reference and comparison --------------------------------------------------------------

void hn__case_run_ref(hn__case *c)
{
    c->op->fn->ref(&c->s.inst, (const double *const *)c->in, c->want);
}

static double root_mean_square(const double *x, int64_t n)
{
    double sq = 0;
    for (int64_t i = 0; i < n; i++)
        sq += x[i] * x[i];
    return sqrt(sq / (double)n);
}

// Infinite where `got` or `want` is no number and they are not the same infinity.
static double off_by(double got, double want, double rms)
{
    if (got == want)
        return 0;
    const double e = fabs(got - want) / (fabs(want) + rms);
    return isnan(e) ? INFINITY : e;
}

// Index of the first element off by more than tol * (|want| + rms(want)), or -1. One wrong
// element is found in a tensor of any size, and a NaN is never within a tolerance.
static int64_t first_bad(const double *got, const double *want, int64_t n, double tol)
{
    const double rms = root_mean_square(want, n);
    for (int64_t i = 0; i < n; i++)
        if (off_by(got[i], want[i], rms) > tol)
            return i;
    return -1;
}

double hn__case_error(const hn__case *c)
{
    double worst = 0;
    for (int k = 0; k < c->s.inst.n_out; k++) {
        const hn_type *t = &c->s.inst.out[k];
        const double rms = root_mean_square(c->want[k], hn__numel(t));
        for (int64_t i = 0; i < hn__numel(t); i++) {
            double e = off_by(c->got[k][i], c->want[k][i], rms);
            if (e > 0 && !hn__is_float(t->dtype))
                e = INFINITY;
            worst = e > worst ? e : worst;
        }
    }
    return worst;
}

hn_status hn__case_compare(const hn__case *c)
{
    for (int k = 0; k < c->s.inst.n_out; k++) {
        const hn_type *t = &c->s.inst.out[k];
        const double own = c->op->tol[t->dtype]; // what the result is rounded to says most
        const double tol = t->dtype == HN_I32 || t->dtype == HN_U8 ? 0
                           : own > 0                               ? own
                                                                   : c->op->tol[c->type];
        const int64_t bad = first_bad(c->got[k], c->want[k], hn__numel(t), tol);
        char text[128];
        if (bad >= 0)
            return hn_fail(HN_ERR_DEVICE, "output %d %s: [%" PRId64 "] is %.9g, want %.9g", k,
                           hn__type_text(t, text, sizeof text), bad, c->got[k][bad],
                           c->want[k][bad]);
    }
    return HN_OK;
}
