// softmax, log_softmax: along the last dimension.
#include "ops/table.h"

#include "ops/rows.h"

hn_val hn_softmax(hn_graph *g, hn_val x)
{
    return HN__EMIT(g, softmax, NULL, x);
}

hn_val hn_log_softmax(hn_graph *g, hn_val x)
{
    return HN__EMIT(g, log_softmax, NULL, x);
}

static hn_status infer(hn__inst *n)
{
    HN_TRY(hn__want_float(n, 0));
    if (n->in[0].rank < 1)
        return hn_fail(HN_ERR_SHAPE, "a scalar has no last dimension");
    n->n_out = 1;
    n->out[0] = n->in[0];
    return HN_OK;
}

static void ref_rows(const hn__inst *n, const double *x, double *y, bool log_of)
{
    const int64_t cols = hn__cols(&n->in[0]), rows = hn__rows(&n->in[0]);

    for (int64_t r = 0; r < rows; r++, x += cols, y += cols) {
        double most = x[0], sum = 0;
        for (int64_t c = 1; c < cols; c++)
            most = x[c] > most ? x[c] : most;
        for (int64_t c = 0; c < cols; c++)
            sum += exp(x[c] - most);
        for (int64_t c = 0; c < cols; c++)
            y[c] = log_of ? x[c] - most - log(sum) : exp(x[c] - most) / sum;
    }
}

static void ref(const hn__inst *n, const double *const in[], double *const out[])
{
    ref_rows(n, in[0], out[0], false);
}

static void ref_log(const hn__inst *n, const double *const in[], double *const out[])
{
    ref_rows(n, in[0], out[0], true);
}

typedef struct job {
    const float *x;
    float *y;
    int64_t cols;
} job;

HN__HOT static void rows(void *ctx, int64_t begin, int64_t end, int thread)
{
    const job *j = ctx;
    const int64_t cols = j->cols;

    (void)thread;
    for (int64_t r = begin; r < end; r++) {
        float *restrict y = j->y + r * cols;
        const float *x = j->x + r * cols;
        const float inverse = 1 / hn__row_exp(x, 1, hn__row_max(x, cols), y, cols);
        for (int64_t c = 0; c < cols; c++)
            y[c] *= inverse;
    }
}

HN__HOT static void log_rows(void *ctx, int64_t begin, int64_t end, int thread)
{
    const job *j = ctx;
    const int64_t cols = j->cols;

    (void)thread;
    for (int64_t r = begin; r < end; r++) {
        float *restrict y = j->y + r * cols;
        const float *x = j->x + r * cols, most = hn__row_max(x, cols);
        const float log_sum = logf(hn__row_exp_sum(x, most, cols));
        for (int64_t c = 0; c < cols; c++)
            y[c] = (x[c] - most) - log_sum;
    }
}

static void run(const hn__inst *n, const hn__host *h, hn__range_fn fn)
{
    job j = { h->in[0], h->out[0], hn__cols(&n->in[0]) };

    hn__parallel(h->pool, hn__rows(&n->in[0]), 1 + 4096 / j.cols, fn, &j);
}

static void host(const hn__inst *n, const hn__host *h)
{
    run(n, h, rows);
}

static void host_log(const hn__inst *n, const hn__host *h)
{
    run(n, h, log_rows);
}

// dx = y (dy - sum(y dy)).
static void grad(hn_graph *g, const hn__inst *n, const hn_val in[], const hn_val out[],
                 const hn_val dy[], hn_val din[])
{
    (void)n, (void)in;
    din[0] = hn_mul(g, out[0], hn_sub(g, dy[0], hn_sum(g, hn_mul(g, out[0], dy[0]), -1)));
}

// dx = dy - exp(y) sum(dy).
static void grad_log(hn_graph *g, const hn__inst *n, const hn_val in[], const hn_val out[],
                     const hn_val dy[], hn_val din[])
{
    (void)n, (void)in;
    din[0] = hn_sub(g, dy[0], hn_mul(g, hn_exp(g, out[0]), hn_sum(g, dy[0], -1)));
}

static void launch_rows(const hn__inst *n, hn__launch *l, uint32_t log_of)
{
    hn__dispatch *d = hn__add_dispatch(l, n, "softmax");

    HN__PUSH(d, softmax_push, .cols = (uint32_t)hn__cols(&n->in[0]), .log_of = log_of);
    hn__row_groups(l, d, &n->in[0]);
}

static void launch(const hn__inst *n, hn__launch *l)
{
    launch_rows(n, l, 0);
}

static void launch_log(const hn__inst *n, hn__launch *l)
{
    launch_rows(n, l, 1);
}

static void sample(hn_rng *rng, hn__sample *s)
{
    const int64_t r = hn__rng_dim(rng, 40), cols = hn__rng_dim(rng, 1100);

    s->inst.n_in = 1;
    s->inst.in[0] = (hn_type){ .rank = 2, .dim = { r, cols } };
    s->range[0].lo = -6;
    s->range[0].hi = 6;
}

const hn__op_fns hn__fns_softmax = {
    .infer = infer, .ref = ref, .host = host, .grad = grad, .launch = launch, .sample = sample
};
const hn__op_fns hn__fns_log_softmax = { .infer = infer,
                                         .ref = ref_log,
                                         .host = host_log,
                                         .grad = grad_log,
                                         .launch = launch_log,
                                         .sample = sample };
