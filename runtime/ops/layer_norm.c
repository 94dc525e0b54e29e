// layer_norm: rows to mean 0 and variance 1, then a learned weight and bias.
#include "ops/table.h"

#include "ops/rows.h"

typedef struct attr {
    float eps;
} attr;

hn_val hn_layer_norm(hn_graph *g, hn_val x, hn_val w, hn_val b, float eps)
{
    return HN__EMIT(g, layer_norm, (&(attr){ .eps = eps }), x, w, b);
}

static hn_status infer(hn__inst *n)
{
    const attr *a = n->attr;
    const hn_type cols = { .dtype = n->in[0].dtype, .rank = 1, .dim = { hn__cols(&n->in[0]) } };

    HN_TRY(hn__want_float(n, 0));
    HN_TRY(hn__want_type(&n->in[1], &cols, "weight"));
    HN_TRY(hn__want_type(&n->in[2], &cols, "bias"));
    if (!(a->eps > 0))
        return hn_fail(HN_ERR_ARG, "eps is %g, must be > 0", (double)a->eps);
    n->n_out = 1;
    n->out[0] = n->in[0];
    return HN_OK;
}

static void ref(const hn__inst *n, const double *const in[], double *const out[])
{
    const int64_t n_rows = hn__rows(&n->in[0]), cols = hn__cols(&n->in[0]);
    const attr *a = n->attr;

    for (int64_t r = 0; r < n_rows; r++) {
        const double *x = in[0] + r * cols;
        double mean = 0, var = 0;
        for (int64_t c = 0; c < cols; c++)
            mean += x[c] / (double)cols;
        for (int64_t c = 0; c < cols; c++)
            var += (x[c] - mean) * (x[c] - mean) / (double)cols;
        const double s = 1 / sqrt(var + (double)a->eps);
        for (int64_t c = 0; c < cols; c++)
            out[0][r * cols + c] = in[1][c] * (x[c] - mean) * s + in[2][c];
    }
}

typedef struct job {
    const float *x, *w, *b;
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
        float *restrict y = j->y + r * cols;
        const float mean = hn__row_sum(x, cols) / (float)cols;
        const float s = 1 / sqrtf(hn__row_spread(x, mean, cols) / (float)cols + j->eps);
        for (int64_t c = 0; c < cols; c++)
            y[c] = (x[c] - mean) * s * j->w[c] + j->b[c];
    }
}

static void host(const hn__inst *n, const hn__host *h)
{
    const attr *a = n->attr;
    job j = { h->in[0], h->in[1], h->in[2], h->out[0], hn__cols(&n->in[0]), a->eps };

    hn__parallel(h->pool, hn__rows(&n->in[0]), 1 + 4096 / j.cols, rows, &j);
}

// With z = (x - mean) s and u = w dy, row by row:
//   dx = s (u - mean(u) - z mean(u z))     dw = sum over rows of z dy     db = sum over rows of dy
static void grad(hn_graph *g, const hn__inst *n, const hn_val in[], const hn_val out[],
                 const hn_val dy[], hn_val din[])
{
    const attr *a = n->attr;
    const hn_val x = in[0], centred = hn_sub(g, x, hn_mean(g, x, -1));
    const hn_val var = hn_mean(g, hn_mul(g, centred, centred), -1);
    const hn_val s = hn_rsqrt(g, hn_add_scalar(g, var, a->eps));
    const hn_val z = hn_mul(g, centred, s), u = hn_mul(g, in[1], dy[0]);
    const hn_val along = hn_mul(g, z, hn_mean(g, hn_mul(g, u, z), -1));

    (void)out;
    din[0] = hn_mul(g, s, hn_sub(g, hn_sub(g, u, hn_mean(g, u, -1)), along));
    din[1] = hn_sum_to(g, hn_mul(g, z, dy[0]), in[1]);
    din[2] = hn_sum_to(g, dy[0], in[2]);
}

static void launch(const hn__inst *n, hn__launch *l)
{
    const attr *a = n->attr;
    hn__dispatch *d = hn__add_dispatch(l, n, "layer_norm");

    HN__PUSH(d, layer_norm_push, .cols = (uint32_t)hn__cols(&n->in[0]), .eps = a->eps);
    hn__row_sharers(l, d, &n->in[0]);
}

static void sample(hn_rng *rng, hn__sample *s)
{
    const int64_t n_rows = hn__rng_dim(rng, 64), cols = hn__rng_dim(rng, 1100);

    s->inst.n_in = 3;
    s->inst.in[0] = (hn_type){ .rank = 2, .dim = { n_rows, cols } };
    s->inst.in[1] = s->inst.in[2] = (hn_type){ .rank = 1, .dim = { cols } };
    *(attr *)s->inst.attr =
        (attr){ .eps = 1e-2f }; // of two close elements a small one is ill-conditioned
}

const hn__op_fns hn__fns_layer_norm = {
    .attr_bytes = sizeof(attr), .infer = infer, .ref = ref, .host = host, .grad = grad,
    .launch = launch, .sample = sample
};
