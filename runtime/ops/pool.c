// avg_pool, max_pool and their gradients to x: windows over the two last dimensions.
#include "ops/table.h"

#include <math.h>

typedef struct attr {
    hn_pool_params p;
    int64_t size[2]; // avg_pool_grad: of x, which its operand does not tell
} attr;

// x is [planes, size[0], size[1]], y [planes, out[0], out[1]].
typedef struct pool {
    int64_t planes, size[2], out[2], window[2], stride[2], pad[2];
    bool count_pad, is_max;
} pool;

static hn_status make_pool(const hn_type *x, hn_pool_params *p, pool *out)
{
    char text[128];
    const int most = 1 << 20;

    if (x->rank != 4)
        return hn_fail(HN_ERR_SHAPE, "%s, must be [N, C, H, W]",
                       hn__type_text(x, text, sizeof text));
    *out = (pool){ .planes = x->dim[0] * x->dim[1], .count_pad = p->count_pad };
    for (int i = 0; i < 2; i++) {
        const int w = p->window[i], before = p->pad_before[i], after = p->pad_after[i];
        const int64_t have = x->dim[2 + i];
        p->stride[i] = p->stride[i] ? p->stride[i] : w;
        if (w < 1 || w > most || p->stride[i] < 1 || p->stride[i] > most)
            return hn_fail(HN_ERR_ARG, "window %d and stride %d, must be 1 to %d", w, p->stride[i],
                           most);
        if (before < 0 || before >= w || after < 0 || after >= w)
            return hn_fail(HN_ERR_ARG, "padding %d and %d, must be smaller than the window of %d",
                           before, after, w);
        if (have + before + after < w)
            return hn_fail(HN_ERR_SHAPE, "a window of %d over %" PRId64 " places with padding", w,
                           have + before + after);
        out->size[i] = have;
        out->window[i] = w;
        out->stride[i] = p->stride[i];
        out->pad[i] = before;
        out->out[i] = (have + before + after - w) / p->stride[i] + 1;
    }
    return HN_OK;
}

static hn_type pooled(const hn_type *x, const pool *p)
{
    return (hn_type){ x->dtype, 4, { x->dim[0], x->dim[1], p->out[0], p->out[1] } };
}

// A window, clipped to the image: [lo, hi) in each dimension, and what an average divides by.
typedef struct window {
    int64_t lo[2], hi[2];
    double count;
} window;

static window window_at(const pool *p, int64_t oh, int64_t ow)
{
    const int64_t at[2] = { oh, ow };
    window w;

    for (int i = 0; i < 2; i++) {
        const int64_t first = at[i] * p->stride[i] - p->pad[i], end = first + p->window[i];
        w.lo[i] = first < 0 ? 0 : first;
        w.hi[i] = end > p->size[i] ? p->size[i] : end;
    }
    w.count = p->count_pad ? (double)(p->window[0] * p->window[1])
                           : (double)((w.hi[0] - w.lo[0]) * (w.hi[1] - w.lo[1]));
    return w;
}

// ---- reference -----------------------------------------------------------------------------

// One plane. The first largest place of a window, or the sum over it.
static int64_t ref_largest(const pool *p, const window *w, const double *x)
{
    int64_t best = w->lo[0] * p->size[1] + w->lo[1];

    for (int64_t h = w->lo[0]; h < w->hi[0]; h++)
        for (int64_t c = w->lo[1]; c < w->hi[1]; c++)
            if (x[h * p->size[1] + c] > x[best])
                best = h * p->size[1] + c;
    return best;
}

static void ref_forward(const pool *p, const double *x, double *y)
{
    for (int64_t i = 0; i < p->out[0] * p->out[1]; i++) {
        const window w = window_at(p, i / p->out[1], i % p->out[1]);
        double sum = 0;
        for (int64_t h = w.lo[0]; h < w.hi[0]; h++)
            for (int64_t c = w.lo[1]; c < w.hi[1]; c++)
                sum += x[h * p->size[1] + c];
        y[i] = p->is_max ? x[ref_largest(p, &w, x)] : sum / w.count;
    }
}

static void ref_backward(const pool *p, const double *x, const double *dy, double *dx)
{
    for (int64_t i = 0; i < p->size[0] * p->size[1]; i++)
        dx[i] = 0;
    for (int64_t i = 0; i < p->out[0] * p->out[1]; i++) {
        const window w = window_at(p, i / p->out[1], i % p->out[1]);
        if (p->is_max) {
            dx[ref_largest(p, &w, x)] += dy[i];
            continue;
        }
        for (int64_t h = w.lo[0]; h < w.hi[0]; h++)
            for (int64_t c = w.lo[1]; c < w.hi[1]; c++)
                dx[h * p->size[1] + c] += dy[i] / w.count;
    }
}

// ---- host ----------------------------------------------------------------------------------

// One row of x, seen by tap k of the windows of a row of outputs.
HN__HOT static void add_tap(const pool *p, const float *x, int64_t k, float *y)
{
    const int64_t at = k - p->pad[1], s = p->stride[1];
    const int64_t lo = at < 0 ? (-at + s - 1) / s : 0;
    int64_t hi = at >= p->size[1] ? 0 : (p->size[1] - 1 - at) / s + 1;

    hi = hi < p->out[1] ? hi : p->out[1];
    if (p->is_max)
        for (int64_t i = lo; i < hi; i++)
            y[i] = x[i * s + at] > y[i] ? x[i * s + at] : y[i];
    else
        for (int64_t i = lo; i < hi; i++)
            y[i] += x[i * s + at];
}

static void forward(const pool *p, const float *x, float *y)
{
    for (int64_t oh = 0; oh < p->out[0]; oh++, y += p->out[1]) {
        const window rows = window_at(p, oh, 0);
        for (int64_t i = 0; i < p->out[1]; i++)
            y[i] = p->is_max ? -INFINITY : 0;
        for (int64_t h = rows.lo[0]; h < rows.hi[0]; h++)
            for (int64_t k = 0; k < p->window[1]; k++)
                add_tap(p, x + h * p->size[1], k, y);
        for (int64_t i = 0; i < p->out[1] && !p->is_max; i++)
            y[i] /= (float)window_at(p, oh, i).count;
    }
}

static void backward_max(const pool *p, const window *w, const float *x, float dy, float *dx)
{
    int64_t best = w->lo[0] * p->size[1] + w->lo[1];

    for (int64_t h = w->lo[0]; h < w->hi[0]; h++)
        for (int64_t c = w->lo[1]; c < w->hi[1]; c++)
            if (x[h * p->size[1] + c] > x[best])
                best = h * p->size[1] + c;
    dx[best] += dy;
}

static void backward(const pool *p, const float *x, const float *dy, float *dx)
{
    for (int64_t i = 0; i < p->size[0] * p->size[1]; i++)
        dx[i] = 0;
    for (int64_t i = 0; i < p->out[0] * p->out[1]; i++) {
        const window w = window_at(p, i / p->out[1], i % p->out[1]);
        const float d = dy[i] / (float)w.count;
        if (p->is_max) {
            backward_max(p, &w, x, dy[i], dx);
            continue;
        }
        for (int64_t h = w.lo[0]; h < w.hi[0]; h++)
            for (int64_t c = w.lo[1]; c < w.hi[1]; c++)
                dx[h * p->size[1] + c] += d;
    }
}

typedef struct job {
    pool p;
    const float *x, *dy; // x is NULL where it is not needed
    float *out;
} job;

static void forward_planes(void *ctx, int64_t begin, int64_t end, int thread)
{
    const job *j = ctx;
    const int64_t nx = j->p.size[0] * j->p.size[1], ny = j->p.out[0] * j->p.out[1];

    (void)thread;
    for (int64_t i = begin; i < end; i++)
        forward(&j->p, j->x + i * nx, j->out + i * ny);
}

static void backward_planes(void *ctx, int64_t begin, int64_t end, int thread)
{
    const job *j = ctx;
    const int64_t nx = j->p.size[0] * j->p.size[1], ny = j->p.out[0] * j->p.out[1];

    (void)thread;
    for (int64_t i = begin; i < end; i++)
        backward(&j->p, j->x ? j->x + i * nx : NULL, j->dy + i * ny, j->out + i * nx);
}

static int64_t grain(const pool *p)
{
    return 1 + 4096 / (p->out[0] * p->out[1] * p->window[0] * p->window[1]);
}

static struct pool_push push_of(const pool *p)
{
    return (struct pool_push){ .planes = (uint32_t)p->planes, .h = (uint32_t)p->size[0],
                               .w = (uint32_t)p->size[1], .oh = (uint32_t)p->out[0],
                               .ow = (uint32_t)p->out[1], .window_h = (int)p->window[0],
                               .window_w = (int)p->window[1], .stride_h = (int)p->stride[0],
                               .stride_w = (int)p->stride[1], .pad_h = (int)p->pad[0],
                               .pad_w = (int)p->pad[1], .count_pad = p->count_pad };
}

static void pool_launch(const hn__inst *n, hn__launch *l, const char *stem, const pool *p,
                        int64_t threads)
{
    hn__dispatch *d = hn__add_dispatch(l, n, stem);
    const struct pool_push push = push_of(p);

    hn__push(d, &push, sizeof push);
    d->spec[d->n_spec++] = p->is_max;
    d->flop *= (double)(p->window[0] * p->window[1]);
    hn__threads(d, threads);
}

static hn_type sample_pool(hn_rng *rng, hn_pool_params *p, pool *out)
{
    hn_type x;

    do {
        *p = (hn_pool_params){ .count_pad = hn__rng_below(rng, 2) };
        x = (hn_type){ .rank = 4, .dim = { hn__rng_dim(rng, 3), hn__rng_dim(rng, 5) } };
        for (int i = 0; i < 2; i++) {
            x.dim[2 + i] = hn__rng_dim(rng, 17);
            p->window[i] = (int)hn__rng_dim(rng, 5);
            p->stride[i] = (int)hn__rng_below(rng, 4);
            p->pad_before[i] = (int)hn__rng_below(rng, p->window[i]);
            p->pad_after[i] = (int)hn__rng_below(rng, p->window[i]);
        }
    } while (make_pool(&x, p, out));
    return x;
}

// ---- forward -------------------------------------------------------------------------------

static hn_val no_params(hn_graph *g)
{
    return hn__graph_fail(g, hn_fail(HN_ERR_ARG, "pool: no parameters; a window is needed"));
}

hn_val hn_avg_pool(hn_graph *g, hn_val x, const hn_pool_params *params)
{
    return params ? HN__EMIT(g, avg_pool, (&(attr){ .p = *params }), x) : no_params(g);
}

hn_val hn_max_pool(hn_graph *g, hn_val x, const hn_pool_params *params)
{
    return params ? HN__EMIT(g, max_pool, (&(attr){ .p = *params }), x) : no_params(g);
}

static hn_status infer(hn__inst *n)
{
    pool p;

    HN_TRY(hn__want_float(n, 0));
    HN_TRY(make_pool(&n->in[0], &((attr *)n->attr)->p, &p));
    n->n_out = 1;
    n->out[0] = pooled(&n->in[0], &p);
    return HN_OK;
}

// Of the forward operators and max_pool_grad: x is their first operand.
static pool pool_of(const hn__inst *n)
{
    hn_pool_params params = ((const attr *)n->attr)->p;
    pool p = { 0 };

    make_pool(&n->in[0], &params, &p); // infer has seen that it fits
    p.is_max = n->op->id == HN__OP_max_pool || n->op->id == HN__OP_max_pool_grad;
    return p;
}

static void ref(const hn__inst *n, const double *const in[], double *const out[])
{
    const pool p = pool_of(n);
    for (int64_t i = 0; i < p.planes; i++)
        ref_forward(&p, in[0] + i * p.size[0] * p.size[1], out[0] + i * p.out[0] * p.out[1]);
}

static void host(const hn__inst *n, const hn__host *h)
{
    job j = { .p = pool_of(n), .x = h->in[0], .out = h->out[0] };
    hn__parallel(h->pool, j.p.planes, grain(&j.p), forward_planes, &j);
}

static void launch(const hn__inst *n, hn__launch *l)
{
    const pool p = pool_of(n);
    pool_launch(n, l, "pool", &p, hn__numel(&n->out[0]));
}

static void grad_avg(hn_graph *g, const hn__inst *n, const hn_val in[], const hn_val out[],
                     const hn_val dy[], hn_val din[])
{
    attr a = *(const attr *)n->attr;

    (void)in, (void)out;
    a.size[0] = n->in[0].dim[2];
    a.size[1] = n->in[0].dim[3];
    din[0] = HN__EMIT(g, avg_pool_grad, &a, dy[0]);
}

static void grad_max(hn_graph *g, const hn__inst *n, const hn_val in[], const hn_val out[],
                     const hn_val dy[], hn_val din[])
{
    (void)out;
    din[0] = HN__EMIT(g, max_pool_grad, n->attr, in[0], dy[0]);
}

static void sample(hn_rng *rng, hn__sample *s)
{
    pool p;

    s->inst.n_in = 1;
    s->inst.in[0] = sample_pool(rng, &((attr *)s->inst.attr)->p, &p);
    s->range[0].lo = -1;
    s->range[0].hi = 1;
    s->range[0].distinct = s->inst.op->id == HN__OP_max_pool;
}

const hn__op_fns hn__fns_avg_pool = {
    .attr_bytes = sizeof(attr), .infer = infer, .ref = ref, .host = host, .grad = grad_avg,
    .launch = launch, .sample = sample
};
const hn__op_fns hn__fns_max_pool = {
    .attr_bytes = sizeof(attr), .infer = infer, .ref = ref, .host = host, .grad = grad_max,
    .launch = launch, .sample = sample
};

// ---- avg_pool_grad: dy -> dx ---------------------------------------------------------------

static hn_status sizes_avg_grad(const hn__inst *n, attr *a, pool *p)
{
    const hn_type *y = &n->in[0];
    const hn_type x = { y->dtype, y->rank, { y->dim[0], y->dim[1], a->size[0], a->size[1] } };

    HN_TRY(hn__type_check(&x));
    HN_TRY(make_pool(&x, &a->p, p));
    const hn_type want = pooled(&x, p);
    char have_text[128], want_text[128];
    return hn__type_equal(y, &want)
               ? HN_OK
               : hn_fail(HN_ERR_SHAPE, "the gradient is %s, must be %s",
                         hn__type_text(y, have_text, sizeof have_text),
                         hn__type_text(&want, want_text, sizeof want_text));
}

static hn_status infer_avg_grad(hn__inst *n)
{
    pool p;

    HN_TRY(hn__want_float(n, 0));
    HN_TRY(sizes_avg_grad(n, n->attr, &p));
    n->n_out = 1;
    n->out[0] = n->in[0];
    n->out[0].dim[2] = p.size[0];
    n->out[0].dim[3] = p.size[1];
    return HN_OK;
}

static pool pool_of_avg_grad(const hn__inst *n)
{
    attr a = *(const attr *)n->attr;
    pool p = { 0 };

    sizes_avg_grad(n, &a, &p); // infer has seen that it fits
    return p;
}

static void ref_avg_grad(const hn__inst *n, const double *const in[], double *const out[])
{
    const pool p = pool_of_avg_grad(n);
    for (int64_t i = 0; i < p.planes; i++)
        ref_backward(&p, NULL, in[0] + i * p.out[0] * p.out[1],
                     out[0] + i * p.size[0] * p.size[1]);
}

static void host_avg_grad(const hn__inst *n, const hn__host *h)
{
    job j = { .p = pool_of_avg_grad(n), .dy = h->in[0], .out = h->out[0] };
    hn__parallel(h->pool, j.p.planes, grain(&j.p), backward_planes, &j);
}

static void launch_avg_grad(const hn__inst *n, hn__launch *l)
{
    const pool p = pool_of_avg_grad(n);
    pool_launch(n, l, "avg_pool_grad", &p, hn__numel(&n->out[0]));
}

static void grad_avg_grad(hn_graph *g, const hn__inst *n, const hn_val in[], const hn_val out[],
                          const hn_val dy[], hn_val din[])
{
    (void)in, (void)out;
    din[0] = hn_avg_pool(g, dy[0], &((const attr *)n->attr)->p);
}

static void sample_avg_grad(hn_rng *rng, hn__sample *s)
{
    attr *a = s->inst.attr;
    pool p;
    const hn_type x = sample_pool(rng, &a->p, &p);

    a->size[0] = p.size[0];
    a->size[1] = p.size[1];
    s->inst.n_in = 1;
    s->inst.in[0] = pooled(&x, &p);
}

const hn__op_fns hn__fns_avg_pool_grad = {
    .attr_bytes = sizeof(attr), .infer = infer_avg_grad, .ref = ref_avg_grad,
    .host = host_avg_grad, .grad = grad_avg_grad, .launch = launch_avg_grad,
    .sample = sample_avg_grad
};

// ---- max_pool_grad: x, dy -> dx ------------------------------------------------------------
// The largest of a window is looked for again: cheaper than keeping its place for every output.

static hn_status infer_max_grad(hn__inst *n)
{
    pool p;

    HN_TRY(hn__want_float(n, 0));
    HN_TRY(make_pool(&n->in[0], &((attr *)n->attr)->p, &p));
    const hn_type want = pooled(&n->in[0], &p);
    if (!hn__type_equal(&n->in[1], &want)) {
        char have_text[128], want_text[128];
        return hn_fail(HN_ERR_SHAPE, "the gradient is %s, must be %s",
                       hn__type_text(&n->in[1], have_text, sizeof have_text),
                       hn__type_text(&want, want_text, sizeof want_text));
    }
    n->n_out = 1;
    n->out[0] = n->in[0];
    return HN_OK;
}

static void ref_max_grad(const hn__inst *n, const double *const in[], double *const out[])
{
    const pool p = pool_of(n);
    const int64_t nx = p.size[0] * p.size[1];

    for (int64_t i = 0; i < p.planes; i++)
        ref_backward(&p, in[0] + i * nx, in[1] + i * p.out[0] * p.out[1], out[0] + i * nx);
}

static void host_max_grad(const hn__inst *n, const hn__host *h)
{
    job j = { .p = pool_of(n), .x = h->in[0], .dy = h->in[1], .out = h->out[0] };
    hn__parallel(h->pool, j.p.planes, grain(&j.p), backward_planes, &j);
}

static void launch_max_grad(const hn__inst *n, hn__launch *l)
{
    const pool p = pool_of(n);
    pool_launch(n, l, "max_pool_grad", &p, hn__numel(&n->out[0]));
}

static void sample_max_grad(hn_rng *rng, hn__sample *s)
{
    pool p;

    s->inst.n_in = 2;
    s->inst.in[0] = sample_pool(rng, &((attr *)s->inst.attr)->p, &p);
    s->inst.in[1] = pooled(&s->inst.in[0], &p);
}

const hn__op_fns hn__fns_max_pool_grad = {
    .attr_bytes = sizeof(attr), .infer = infer_max_grad, .ref = ref_max_grad,
    .host = host_max_grad, .launch = launch_max_grad, .sample = sample_max_grad
};
