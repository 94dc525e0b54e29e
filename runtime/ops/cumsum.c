// cumsum: running sums along the last dimension, from either end.
#include "ops/table.h"

typedef struct attr {
    bool reverse;
} attr;

hn_val hn_cumsum(hn_graph *g, hn_val x, bool reverse)
{
    return HN__EMIT(g, cumsum, (&(attr){ .reverse = reverse }), x);
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

static void ref(const hn__inst *n, const double *const in[], double *const out[])
{
    const int64_t rows = hn__rows(&n->in[0]), cols = hn__cols(&n->in[0]);
    const attr *a = n->attr;

    for (int64_t r = 0; r < rows; r++) {
        double sum = 0;
        for (int64_t i = 0; i < cols; i++) {
            const int64_t at = r * cols + (a->reverse ? cols - 1 - i : i);
            out[0][at] = sum += in[0][at];
        }
    }
}

typedef struct job {
    const float *x;
    float *y;
    int64_t cols;
    bool reverse;
} job;

static void rows_of(void *ctx, int64_t begin, int64_t end, int thread)
{
    const job *j = ctx;

    (void)thread;
    for (int64_t r = begin; r < end; r++) {
        double sum = 0;
        for (int64_t i = 0; i < j->cols; i++) {
            const int64_t at = r * j->cols + (j->reverse ? j->cols - 1 - i : i);
            j->y[at] = (float)(sum += (double)j->x[at]);
        }
    }
}

static void host(const hn__inst *n, const hn__host *h)
{
    const attr *a = n->attr;
    job j = { h->in[0], h->out[0], hn__cols(&n->in[0]), a->reverse };

    hn__parallel(h->pool, hn__rows(&n->in[0]), 1 + 4096 / j.cols, rows_of, &j);
}

// y_i sums what comes before, so x_i reaches every y after it.
static void grad(hn_graph *g, const hn__inst *n, const hn_val in[], const hn_val out[],
                 const hn_val dy[], hn_val din[])
{
    const attr *a = n->attr;

    (void)in, (void)out;
    din[0] = hn_cumsum(g, dy[0], !a->reverse);
}

static void launch(const hn__inst *n, hn__launch *l)
{
    const attr *a = n->attr;
    hn__dispatch *d = hn__add_dispatch(l, n, "cumsum");

    HN__PUSH(d, cumsum_push, .cols = (uint32_t)hn__cols(&n->in[0]), .reverse = a->reverse);
    hn__groups(d, hn__rows(&n->in[0]));
}

static void sample(hn_rng *rng, hn__sample *s)
{
    const int64_t rows = hn__rng_dim(rng, 64), cols = hn__rng_dim(rng, 2048);

    s->inst.n_in = 1;
    s->inst.in[0] = (hn_type){ .rank = 2, .dim = { rows, cols } };
    *(attr *)s->inst.attr = (attr){ .reverse = hn__rng_below(rng, 2) };
}

const hn__op_fns hn__fns_cumsum = {
    .attr_bytes = sizeof(attr), .infer = infer, .ref = ref, .host = host, .grad = grad,
    .launch = launch, .sample = sample
};
