// rms_norm: scale each row to unit root mean square, then by a learned weight.
#include "ops/rms_norm.h"

#include "ops/rows.h"

#include <math.h>

typedef hn__rms_norm_attr attr;

hn_val hn_rms_norm(hn_graph *g, hn_val x, hn_val w, float eps)
{
    return HN__EMIT(g, rms_norm, (&(attr){ .eps = eps }), x, w);
}

static hn_status infer(hn__inst *n)
{
    const hn_type *x = &n->in[0], *w = &n->in[1];
    const attr *a = n->attr;

    HN_TRY(hn__want_float(n, 0));
    if (w->rank != 1 || w->dim[0] != hn__cols(x) || w->dtype != x->dtype)
        return hn_fail(HN_ERR_SHAPE, "weight has %" PRId64 " elements, rows have %" PRId64,
                       hn__numel(w), hn__cols(x));
    if (!(a->eps > 0))
        return hn_fail(HN_ERR_ARG, "eps is %g, must be > 0", a->eps);
    n->n_out = 1;
    n->out[0] = *x;
    return HN_OK;
}

static void ref(const hn__inst *n, const double *const in[], double *const out[])
{
    const int64_t rows = hn__rows(&n->in[0]), cols = hn__cols(&n->in[0]);
    const attr *a = n->attr;

    for (int64_t r = 0; r < rows; r++) {
        const double *x = in[0] + r * cols, *w = in[1];
        double sum = 0;
        for (int64_t c = 0; c < cols; c++)
            sum += x[c] * x[c];
        const double s = 1 / sqrt(sum / (double)cols + a->eps);
        for (int64_t c = 0; c < cols; c++)
            out[0][r * cols + c] = w[c] * x[c] * s;
    }
}

typedef struct job {
    const float *x, *w;
    float *y;
    int64_t cols;
    float eps;
} job;

HN__HOT static void rows(void *ctx, int64_t begin, int64_t end, int thread)
{
    const job *j = ctx;
    const int64_t cols = j->cols;

    (void)thread;
    for (int64_t r = begin; r < end; r++) {
        const float *x = j->x + r * cols;
        const float s = 1 / sqrtf(hn__row_dot(x, x, cols) / (float)cols + j->eps);
        for (int64_t c = 0; c < cols; c++)
            j->y[r * cols + c] = j->w[c] * x[c] * s;
    }
}

static void host(const hn__inst *n, const hn__host *h)
{
    const attr *a = n->attr;
    job j = { h->in[0], h->in[1], h->out[0], hn__cols(&n->in[0]), a->eps };

    hn__parallel(h->pool, hn__rows(&n->in[0]), 1 + 4096 / j.cols, rows, &j);
}

// With s = 1/sqrt(mean(x^2) + eps) and u = w dy, row by row:
//   dx = s u - s^3 x mean(u x)        dw = sum over rows of s x dy
static void grad(hn_graph *g, const hn__inst *n, const hn_val in[], const hn_val out[],
                 const hn_val dy[], hn_val din[])
{
    const attr *a = n->attr;
    const hn_val x = in[0], w = in[1], ms = hn_mean(g, hn_mul(g, x, x), -1);
    const hn_val s = hn_rsqrt(g, hn_add_scalar(g, ms, a->eps));
    const hn_val xs = hn_mul(g, x, s), us = hn_mul(g, hn_mul(g, w, dy[0]), s);

    (void)out;
    din[0] = hn_sub(g, us, hn_mul(g, xs, hn_mean(g, hn_mul(g, us, xs), -1)));
    din[1] = hn_sum_to(g, hn_mul(g, xs, dy[0]), w);
}

static void launch(const hn__inst *n, hn__launch *l)
{
    const attr *a = n->attr;
    hn__dispatch *d = hn__add_dispatch(l, n, "rms_norm");

    HN__PUSH(d, rms_norm_push, .cols = (uint32_t)hn__cols(&n->in[0]), .eps = a->eps);
    hn__row_sharers(l, d, &n->in[0]);
}

static void sample(hn_rng *rng, hn__sample *s)
{
    const int64_t rows = hn__rng_dim(rng, 64), cols = hn__rng_dim(rng, 2048);

    s->inst.n_in = 2;
    s->inst.in[0] = (hn_type){ .rank = 2, .dim = { rows, cols } };
    s->inst.in[1] = (hn_type){ .rank = 1, .dim = { cols } };
    *(attr *)s->inst.attr = (attr){ .eps = 1e-5f };
}

const hn__op_fns hn__fns_rms_norm = {
    .attr_bytes = sizeof(attr), .infer = infer, .ref = ref, .host = host, .grad = grad,
    .launch = launch, .sample = sample
};
