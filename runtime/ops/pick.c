// argmax, argmin, top_k: where the largest (smallest) elements are. NaN counts as the least
// wanted.
#include "ops/table.h"

#include <math.h>
#include <string.h>
#include <string.h>

// ---- argmax, argmin ------------------------------------------------------------------------

typedef struct arg_attr {
    int axis;
} arg_attr;

hn_val hn_argmax(hn_graph *g, hn_val x, int axis)
{
    return HN__EMIT(g, argmax, (&(arg_attr){ axis }), x);
}

hn_val hn_argmin(hn_graph *g, hn_val x, int axis)
{
    return HN__EMIT(g, argmin, (&(arg_attr){ axis }), x);
}

static hn_status infer_arg(hn__inst *n)
{
    arg_attr *a = n->attr;

    HN_TRY(hn__want_float(n, 0));
    HN_TRY(hn__axis(&n->in[0], a->axis, &a->axis));
    if (n->in[0].dim[a->axis] > INT32_MAX)
        return hn_fail(HN_ERR_SHAPE, "%" PRId64 " elements along the axis, an index holds %d",
                       n->in[0].dim[a->axis], INT32_MAX);
    n->n_out = 1;
    n->out[0] = n->in[0];
    n->out[0].dtype = HN_I32;
    n->out[0].dim[a->axis] = 1;
    return HN_OK;
}

static double sign_of(const hn__inst *n)
{
    return n->op->id == HN__OP_argmin ? -1 : 1;
}

static void ref_arg(const hn__inst *n, const double *const in[], double *const out[])
{
    const int axis = ((const arg_attr *)n->attr)->axis;
    const int64_t outer = hn__outer(&n->in[0], axis), inner = hn__inner(&n->in[0], axis);
    const int64_t len = n->in[0].dim[axis];
    const double sign = sign_of(n);

    for (int64_t i = 0; i < outer * inner; i++) {
        const double *x = in[0] + i / inner * len * inner + i % inner;
        double best = -INFINITY;
        out[0][i] = 0;
        for (int64_t k = 0; k < len; k++)
            if (sign * x[k * inner] > best) {
                best = sign * x[k * inner];
                out[0][i] = (double)k;
            }
    }
}

typedef struct arg_job {
    const float *x;
    int32_t *y;
    int64_t len, inner;
    float sign;
} arg_job;

static void arg_part(void *ctx, int64_t begin, int64_t end, int thread)
{
    const arg_job *j = ctx;

    (void)thread;
    for (int64_t i = begin; i < end; i++) {
        const float *x = j->x + i / j->inner * j->len * j->inner + i % j->inner;
        float best = -INFINITY;
        int32_t at = 0;
        for (int64_t k = 0; k < j->len; k++)
            if (j->sign * x[k * j->inner] > best) {
                best = j->sign * x[k * j->inner];
                at = (int32_t)k;
            }
        j->y[i] = at;
    }
}

static void host_arg(const hn__inst *n, const hn__host *h)
{
    const int axis = ((const arg_attr *)n->attr)->axis;
    arg_job j = { h->in[0], h->out[0], n->in[0].dim[axis], hn__inner(&n->in[0], axis),
                  (float)sign_of(n) };

    hn__parallel(h->pool, hn__numel(&n->out[0]), 1 + 4096 / j.len, arg_part, &j);
}

// Along the last dimension a workgroup shares a row; otherwise neighbouring threads take
// neighbouring columns.
// A workgroup a row of x; a few vectors wide where barriers are dear.
static void row_groups(const hn__launch *l, hn__dispatch *d, int64_t rows)
{
    if (!strcmp(l->device->type, "software"))
        d->spec[0] = 32;
    hn__groups(d, rows);
}

static void launch_arg(const hn__inst *n, hn__launch *l)
{
    const int axis = ((const arg_attr *)n->attr)->axis;
    const int64_t inner = hn__inner(&n->in[0], axis), size = hn__numel(&n->out[0]);
    hn__dispatch *d = hn__add_dispatch(l, n, "argmax");

    HN__PUSH(d, argmax_push, .n = (uint32_t)size, .len = (uint32_t)n->in[0].dim[axis],
             .inner = (uint32_t)inner, .sign = (float)sign_of(n));
    d->spec[d->n_spec++] = inner == 1;
    if (inner == 1)
        row_groups(l, d, size);
    else
        hn__threads(d, size);
}

static void sample_arg(hn_rng *rng, hn__sample *s)
{
    arg_attr *a = s->inst.attr;

    s->inst.n_in = 1;
    s->inst.in[0] = (hn_type){ .rank = 3, .dim = { hn__rng_dim(rng, 9), hn__rng_dim(rng, 300),
                                                   hn__rng_dim(rng, 9) } };
    a->axis = (int)hn__rng_below(rng, 3);
    if (hn__rng_below(rng, 2)) { // the last
        s->inst.in[0].dim[1] = hn__rng_dim(rng, 9);
        s->inst.in[0].dim[2] = hn__rng_dim(rng, 300);
    }
}

const hn__op_fns hn__fns_argmax = {
    .attr_bytes = sizeof(arg_attr), .infer = infer_arg, .ref = ref_arg, .host = host_arg,
    .launch = launch_arg, .sample = sample_arg
};
const hn__op_fns hn__fns_argmin = {
    .attr_bytes = sizeof(arg_attr), .infer = infer_arg, .ref = ref_arg, .host = host_arg,
    .launch = launch_arg, .sample = sample_arg
};

// ---- top_k ---------------------------------------------------------------------------------

enum { MOST_K = 128 };

typedef struct top_attr {
    int64_t k;
} top_attr;

hn_val hn_top_k(hn_graph *g, hn_val x, int k, hn_val *out_index)
{
    const hn_val v = HN__EMIT(g, top_k, (&(top_attr){ k }), x);

    *out_index = hn__out(v, 1);
    return v;
}

static hn_status infer_top(hn__inst *n)
{
    const int64_t k = ((const top_attr *)n->attr)->k, cols = hn__cols(&n->in[0]);

    HN_TRY(hn__want_float(n, 0));
    if (n->in[0].rank < 1)
        return hn_fail(HN_ERR_SHAPE, "a scalar has no rows");
    if (k < 1 || k > MOST_K || k > cols)
        return hn_fail(HN_ERR_ARG, "k is %" PRId64 ", must be 1 to %d and at most the %" PRId64
                       " of a row", k, MOST_K, cols);
    n->n_out = 2;
    n->out[0] = n->in[0];
    n->out[0].dim[n->in[0].rank - 1] = k;
    n->out[1] = n->out[0];
    n->out[1].dtype = HN_I32;
    return HN_OK;
}

static double key_of(double x)
{
    return isnan(x) ? -INFINITY : x;
}

// Each choice is the first of the largest among those not chosen yet.
static void ref_top(const hn__inst *n, const double *const in[], double *const out[])
{
    const int64_t k = ((const top_attr *)n->attr)->k, cols = hn__cols(&n->in[0]);

    for (int64_t r = 0; r < hn__rows(&n->in[0]); r++) {
        const double *x = in[0] + r * cols;
        double *index = out[1] + r * k;
        for (int64_t j = 0; j < k; j++) {
            int64_t best = -1;
            for (int64_t c = 0; c < cols; c++) {
                bool taken = false;
                for (int64_t i = 0; i < j; i++)
                    taken |= index[i] == (double)c;
                if (!taken && (best < 0 || key_of(x[c]) > key_of(x[best])))
                    best = c;
            }
            index[j] = (double)best;
            out[0][r * k + j] = x[best];
        }
    }
}

typedef struct top_job {
    const float *x;
    float *y;
    int32_t *index;
    int64_t k, cols;
} top_job;

// One pass, keeping the best so far in order: most elements are below the last of them.
static void top_rows(void *ctx, int64_t begin, int64_t end, int thread)
{
    const top_job *j = ctx;

    (void)thread;
    for (int64_t r = begin; r < end; r++) {
        const float *x = j->x + r * j->cols;
        int32_t *index = j->index + r * j->k;
        float key[MOST_K];
        int64_t n = 0;
        for (int64_t c = 0; c < j->cols; c++) {
            const float v = isnan(x[c]) ? -INFINITY : x[c];
            if (n == j->k && !(v > key[n - 1]))
                continue;
            int64_t at = n < j->k ? n++ : n - 1;
            for (; at > 0 && v > key[at - 1]; at--) {
                key[at] = key[at - 1];
                index[at] = index[at - 1];
            }
            key[at] = v;
            index[at] = (int32_t)c;
        }
        for (int64_t i = 0; i < j->k; i++)
            j->y[r * j->k + i] = x[index[i]];
    }
}

static void host_top(const hn__inst *n, const hn__host *h)
{
    top_job j = { h->in[0], h->out[0], h->out[1], ((const top_attr *)n->attr)->k,
                  hn__cols(&n->in[0]) };

    hn__parallel(h->pool, hn__rows(&n->in[0]), 1 + 2048 / j.cols, top_rows, &j);
}

static void grad_top(hn_graph *g, const hn__inst *n, const hn_val in[], const hn_val out[],
                     const hn_val dy[], hn_val din[])
{
    (void)in;
    if (dy[0].id)
        din[0] = HN__EMIT(g, top_k_grad, (&(top_attr){ hn__cols(&n->in[0]) }), dy[0], out[1]);
}

static void launch_top(const hn__inst *n, hn__launch *l)
{
    const int64_t k = ((const top_attr *)n->attr)->k, cols = hn__cols(&n->in[0]);
    hn__dispatch *d = hn__add_dispatch(l, n, "top_k");

    HN__PUSH(d, top_k_push, .cols = (uint32_t)cols, .k = (uint32_t)k);
    d->flop = (double)hn__numel(&n->in[0]) * 4;
    const bool few = !strcmp(l->device->type, "software"); // barriers are dear: of many parts each
    if (few)
        d->spec[0] = 8;
    d->spec[1] = few ? 16 : 1;
    d->n_spec = 2;
    hn__groups(d, hn__rows(&n->in[0]));
}

static void sample_top(hn_rng *rng, hn__sample *s)
{
    top_attr *a = s->inst.attr;
    const int64_t cols = hn__rng_dim(rng, 300);

    a->k = hn__rng_dim(rng, cols < MOST_K ? cols : MOST_K);
    s->inst.n_in = 1;
    s->inst.in[0] = (hn_type){ .rank = 2, .dim = { hn__rng_dim(rng, 9), cols } };
    s->range[0].lo = -1;
    s->range[0].hi = 1;
    s->range[0].distinct = true;
}

const hn__op_fns hn__fns_top_k = {
    .attr_bytes = sizeof(top_attr), .infer = infer_top, .ref = ref_top, .host = host_top,
    .grad = grad_top, .launch = launch_top, .sample = sample_top
};

// ---- top_k_grad: dy, index -> dx -----------------------------------------------------------

static hn_status infer_top_grad(hn__inst *n)
{
    char dy[128], index[128];

    HN_TRY(hn__want_float(n, 0));
    HN_TRY(hn__want_i32(n, 1));
    if (!hn__shape_equal(&n->in[0], &n->in[1]))
        return hn_fail(HN_ERR_SHAPE, "the gradient is %s, the index %s",
                       hn__type_text(&n->in[0], dy, sizeof dy),
                       hn__type_text(&n->in[1], index, sizeof index));
    n->n_out = 1;
    n->out[0] = n->in[0];
    n->out[0].dim[n->in[0].rank - 1] = ((const top_attr *)n->attr)->k;
    return HN_OK;
}

static void ref_top_grad(const hn__inst *n, const double *const in[], double *const out[])
{
    const int64_t k = hn__cols(&n->in[0]), cols = hn__cols(&n->out[0]);

    for (int64_t i = 0; i < hn__numel(&n->out[0]); i++)
        out[0][i] = 0;
    for (int64_t i = 0; i < hn__numel(&n->in[0]); i++)
        out[0][i / k * cols + (int64_t)in[1][i]] += in[0][i];
}

static void host_top_grad(const hn__inst *n, const hn__host *h)
{
    const int64_t k = hn__cols(&n->in[0]), cols = hn__cols(&n->out[0]);
    const float *dy = h->in[0];
    const int32_t *index = h->in[1];
    float *dx = h->out[0];

    memset(dx, 0, sizeof *dx * (size_t)hn__numel(&n->out[0]));
    for (int64_t i = 0; i < hn__numel(&n->in[0]); i++)
        dx[i / k * cols + index[i]] += dy[i];
}

static void launch_top_grad(const hn__inst *n, hn__launch *l)
{
    hn__dispatch *d = hn__add_dispatch(l, n, "top_k_grad");
    const int64_t k = hn__cols(&n->in[0]), size = hn__numel(&n->out[0]);

    HN__PUSH(d, top_k_push, .cols = (uint32_t)hn__cols(&n->out[0]), .k = (uint32_t)k,
             .n = (uint32_t)size);
    d->flop = (double)size * (double)k;
    hn__threads(d, size);
}

static void sample_top_grad(hn_rng *rng, hn__sample *s)
{
    top_attr *a = s->inst.attr;

    a->k = 1 + hn__rng_dim(rng, 300); // with 1, the range of an index would be the usual one
    s->inst.n_in = 2;
    s->inst.in[0] = (hn_type){ .rank = 2, .dim = { hn__rng_dim(rng, 9), hn__rng_dim(rng, 65) } };
    s->inst.in[1] = s->inst.in[0];
    s->inst.in[1].dtype = HN_I32;
    s->range[1].hi = (double)a->k - 1;
}

const hn__op_fns hn__fns_top_k_grad = {
    .attr_bytes = sizeof(top_attr), .infer = infer_top_grad, .ref = ref_top_grad,
    .host = host_top_grad, .launch = launch_top_grad, .sample = sample_top_grad
};
