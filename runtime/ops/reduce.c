// Sums, means and extremes along an axis, which stays with size 1. They run as the end of a fused
// dispatch (plan/expr.h); a NaN on the way makes the result NaN, for extremes too.
#include "ops/table.h"

#include <math.h>

typedef struct attr {
    int axis; // from 0
} attr;

static hn_val reduce(hn_graph *g, const hn__op *op, hn_val x, int axis)
{
    attr a = { 0 };

    if (!x.id)
        return x;
    const hn_status s = hn__axis(hn__type(g, x), axis, &a.axis);
    if (s)
        return hn__graph_fail(g, hn_context(s, "%s", op->name));
    return hn__emit(g, op, &a, &x, 1);
}

hn_val hn_sum(hn_graph *g, hn_val x, int axis)
{
    return reduce(g, &hn__ops[HN__OP_reduce_sum], x, axis);
}

hn_val hn_mean(hn_graph *g, hn_val x, int axis)
{
    return reduce(g, &hn__ops[HN__OP_reduce_mean], x, axis);
}

hn_val hn_reduce_max(hn_graph *g, hn_val x, int axis)
{
    return reduce(g, &hn__ops[HN__OP_reduce_max], x, axis);
}

hn_val hn_reduce_min(hn_graph *g, hn_val x, int axis)
{
    return reduce(g, &hn__ops[HN__OP_reduce_min], x, axis);
}

// The greatest divisor of n that is at most `most`.
static int64_t divisor(int64_t n, int64_t most)
{
    for (int64_t d = most; d > 1; d--)
        if (n % d == 0)
            return d;
    return 1;
}

// [n] -> [1]: long ones in two stages, so that many workgroups have a part.
static hn_val sum_line(hn_graph *g, hn_val x, int64_t n)
{
    const int64_t parts = n < 8192 ? 1 : divisor(n, 1024);

    if (parts < 16)
        return hn_sum(g, hn_reshape(g, x, 1, &n), 0);
    const hn_val rows = hn_sum(g, hn_reshape(g, x, 2, (const int64_t[]){ parts, n / parts }), 1);
    return hn_sum(g, hn_reshape(g, rows, 1, &parts), 0);
}

hn_val hn_sum_all(hn_graph *g, hn_val x)
{
    if (!x.id)
        return x;
    return hn_reshape(g, sum_line(g, x, hn__numel(hn__type(g, x))), 0, NULL);
}

// The sum is scaled last, in f32 whatever the type: the count of a 16-bit tensor may be beyond it.
hn_val hn_mean_all(hn_graph *g, hn_val x)
{
    if (!x.id)
        return x;
    const hn_type t = *hn__type(g, x);
    const hn_val sum = hn_sum_all(g, hn_cast(g, x, HN_F32));
    return hn_cast(g, hn_mul_scalar(g, sum, 1 / (float)hn__numel(&t)), t.dtype);
}

// Dimensions of x, merged where neighbours are both summed or both kept.
typedef struct group {
    int64_t dim;
    bool summed;
} group;

static int merge(const hn_type *x, const hn_type *like, group out[HN_MAX_RANK])
{
    int n = 0;
    for (int i = 0; i < x->rank; i++) {
        const int at = i - (x->rank - like->rank);
        const bool summed = (at < 0 || like->dim[at] == 1) && x->dim[i] > 1;
        if (x->dim[i] == 1)
            continue;
        if (n && out[n - 1].summed == summed)
            out[n - 1].dim *= x->dim[i];
        else
            out[n++] = (group){ x->dim[i], summed };
    }
    return n;
}

hn_val hn_sum_to(hn_graph *g, hn_val x, hn_val like)
{
    if (!x.id || !like.id)
        return (hn_val){ 0 };
    const hn_type from = *hn__type(g, x), to = *hn__type(g, like);
    hn_type back = { .dtype = from.dtype };
    const hn_status s = hn__broadcast_shape(&to, &from, &back);
    if (s || !hn__shape_equal(&back, &from))
        return hn__graph_fail(
            g, s ? s : hn_fail(HN_ERR_SHAPE, "sum_to: the operand is smaller than the result"));
    if (hn__shape_equal(&from, &to))
        return x;

    group part[HN_MAX_RANK];
    const int n = merge(&from, &to, part);
    if (n == 1 && part[0].summed)
        return hn_reshape(g, sum_line(g, x, part[0].dim), to.rank, to.dim);
    int64_t dim[HN_MAX_RANK];
    for (int i = 0; i < n; i++)
        dim[i] = part[i].dim;
    hn_val y = hn_reshape(g, x, n, dim);
    for (int i = 0; i < n; i++)
        if (part[i].summed)
            y = hn_sum(g, y, i);
    return hn_reshape(g, y, to.rank, to.dim);
}

hn__reduce hn__reduce_of(const hn__inst *n, int *axis)
{
    if (!(n->op->flags & HN__REDUCE))
        return HN__REDUCE_NONE;
    *axis = ((const attr *)n->attr)->axis;
    switch (n->op->id) {
    case HN__OP_reduce_sum: return HN__REDUCE_SUM;
    case HN__OP_reduce_mean: return HN__REDUCE_MEAN;
    case HN__OP_reduce_max: return HN__REDUCE_MAX;
    default: return HN__REDUCE_MIN;
    }
}

static hn_status infer(hn__inst *n)
{
    const attr *a = n->attr;
    const bool sums = n->op->id == HN__OP_reduce_sum;

    if (!(sums && n->in[0].dtype == HN_I32))
        HN_TRY(hn__want_float(n, 0));
    if (a->axis < 0 || a->axis >= n->in[0].rank)
        return hn_fail(HN_ERR_ARG, "axis %d of a tensor of rank %d", a->axis, n->in[0].rank);
    n->n_out = 1;
    n->out[0] = n->in[0];
    n->out[0].dim[a->axis] = 1;
    return HN_OK;
}

// y = fn(y, x) along the axis, from the first element on.
static void fold(const hn__inst *n, const double *x, double *y, double (*fn)(double, double))
{
    const attr *a = n->attr;
    const int64_t count = n->in[0].dim[a->axis], inner = hn__inner(&n->in[0], a->axis);

    for (int64_t o = 0; o < hn__outer(&n->in[0], a->axis); o++)
        for (int64_t i = 0; i < inner; i++) {
            double r = x[o * count * inner + i];
            for (int64_t k = 1; k < count; k++)
                r = fn(r, x[(o * count + k) * inner + i]);
            y[o * inner + i] = r;
        }
}

static double plus(double a, double b)
{
    return a + b;
}

static double greater(double a, double b)
{
    return a >= b || a != a ? a : b;
}

static double less(double a, double b)
{
    return a <= b || a != a ? a : b;
}

static void sum_ref(const hn__inst *n, const double *const in[], double *const out[])
{
    fold(n, in[0], out[0], plus);
}

static void mean_ref(const hn__inst *n, const double *const in[], double *const out[])
{
    const attr *a = n->attr;

    fold(n, in[0], out[0], plus);
    for (int64_t i = 0; i < hn__numel(&n->out[0]); i++)
        out[0][i] /= (double)n->in[0].dim[a->axis];
}

static void max_ref(const hn__inst *n, const double *const in[], double *const out[])
{
    fold(n, in[0], out[0], greater);
}

static void min_ref(const hn__inst *n, const double *const in[], double *const out[])
{
    fold(n, in[0], out[0], less);
}

static void sum_grad(hn_graph *g, const hn__inst *n, const hn_val in[], const hn_val out[],
                     const hn_val dy[], hn_val din[])
{
    (void)in, (void)out;
    din[0] = hn_broadcast(g, dy[0], n->in[0].rank, n->in[0].dim);
}

static void mean_grad(hn_graph *g, const hn__inst *n, const hn_val in[], const hn_val out[],
                      const hn_val dy[], hn_val din[])
{
    const attr *a = n->attr;
    const hn_val d = hn_mul_scalar(g, dy[0], 1 / (float)n->in[0].dim[a->axis]);

    (void)in, (void)out;
    din[0] = hn_broadcast(g, d, n->in[0].rank, n->in[0].dim);
}

// dy shared by the elements that equal the extreme.
static void extreme_grad(hn_graph *g, const hn__inst *n, const hn_val in[], const hn_val out[],
                         const hn_val dy[], hn_val din[])
{
    const attr *a = n->attr;
    const hn_val hit = hn_cast(g, hn_eq(g, in[0], out[0]), n->in[0].dtype);

    din[0] = hn_mul(g, hit, hn_div(g, dy[0], hn_sum(g, hit, a->axis)));
}

// Rows that are long, columns that are many, and shapes with an axis in the middle.
static void sample(hn_rng *rng, hn__sample *s)
{
    static const int64_t most[4][3] = {
        { 20, 3000, 1 }, { 4, 700, 70 }, { 300, 12, 5 }, { 2, 3, 2500 }
    };
    const int64_t *m = most[hn__rng_below(rng, 4)];
    attr *a = s->inst.attr;

    s->inst.n_in = 1;
    s->inst.in[0] = (hn_type){ .rank = 3, .dim = { hn__rng_dim(rng, m[0]), hn__rng_dim(rng, m[1]),
                                                   hn__rng_dim(rng, m[2]) } };
    a->axis = hn__rng_below(rng, 4) ? 1 : (int)hn__rng_below(rng, 3);
}

static void sum_sample(hn_rng *rng, hn__sample *s)
{
    sample(rng, s);
    if (hn__rng_below(rng, 4) == 0) {
        s->inst.in[0].dtype = HN_I32;
        s->range[0].lo = -1000;
        s->range[0].hi = 1000;
    }
}

static void extreme_sample(hn_rng *rng, hn__sample *s)
{
    sample(rng, s);
    s->range[0].lo = -40;
    s->range[0].hi = 40;
    s->range[0].distinct = true;
}

const hn__op_fns hn__fns_reduce_sum = { .attr_bytes = sizeof(attr),
                                        .infer = infer,
                                        .ref = sum_ref,
                                        .grad = sum_grad,
                                        .sample = sum_sample };
const hn__op_fns hn__fns_reduce_mean = { .attr_bytes = sizeof(attr),
                                         .infer = infer,
                                         .ref = mean_ref,
                                         .grad = mean_grad,
                                         .sample = sample };
const hn__op_fns hn__fns_reduce_max = { .attr_bytes = sizeof(attr),
                                        .infer = infer,
                                        .ref = max_ref,
                                        .grad = extreme_grad,
                                        .sample = extreme_sample };
const hn__op_fns hn__fns_reduce_min = { .attr_bytes = sizeof(attr),
                                        .infer = infer,
                                        .ref = min_ref,
                                        .grad = extreme_grad,
                                        .sample = extreme_sample };
