// Pointwise operators: builders, types, gradients, and the f64 reference made from formulas.h.
#include "ops/pointwise.h"

#include <float.h>
#include <math.h>
#include <string.h>

// ---- reference -----------------------------------------------------------------------------

#define K(c) ((double)(c))
#define ADD(x, y) ((x) + (y))
#define SUB(x, y) ((x) - (y))
#define MUL(x, y) ((x) * (y))
#define DIV(x, y) ((x) / (y))
#define NEG(x) (-(x))
#define ABS(x) fabs(x)
#define FLOOR(x) floor(x)
#define SQRT(x) sqrt(x)
#define RSQRT(x) (1 / sqrt(x))
#define EXP(x) exp(x)
#define LOG(x) log(x)
#define TANH(x) tanh(x)
#define ERF(x) erf(x)
#define CDF(x) (0.5 * erfc(-0.70710678118654752440 * (x)))
#define BELL(x) exp(-0.5 * (x) * (x))
#define SIN(x) sin(x)
#define COS(x) cos(x)
#define LT(x, y) ((x) < (y))
#define LE(x, y) ((x) <= (y))
#define EQ(x, y) ((x) == (y))
#define NOT(t) (!(t))
#define OR(s, t) ((s) || (t))
#define PICK(truth, a, b) ((truth) ? (a) : (b))
#define LARGEST ((double)FLT_MAX)

typedef struct lane {
    double x, y, z, a0, a1;
    hn_dtype to;
} lane;

// out[i] = fn(the operands broadcast to i).
static void each(const hn__inst *n, const double *const in[], double *out,
                 double (*fn)(const lane *))
{
    const hn__pw_attr *a = n->attr;
    const hn_type *to = &n->out[0];
    const int64_t count = hn__numel(to);
    int64_t stride[3][HN_MAX_RANK], at[HN_MAX_RANK] = { 0 }, off[3] = { 0 };
    lane l = { .a0 = a ? (double)a->a[0] : 0, .a1 = a ? (double)a->a[1] : 0, .to = to->dtype };

    for (int k = 0; k < n->n_in; k++)
        hn__broadcast_strides(&n->in[k], to, stride[k]);
    for (int64_t i = 0; i < count; i++) {
        double *const operand[3] = { &l.x, &l.y, &l.z };
        for (int k = 0; k < n->n_in; k++)
            *operand[k] = in[k][off[k]];
        out[i] = fn(&l);
        for (int d = to->rank - 1; d >= 0; d--) {
            const bool wraps = ++at[d] == to->dim[d];
            for (int k = 0; k < n->n_in; k++)
                off[k] += wraps ? -stride[k][d] * (to->dim[d] - 1) : stride[k][d];
            if (!wraps)
                break;
            at[d] = 0;
        }
    }
}

#define REF(name, n_in, formula)                                                                  \
    static double name##_f64(const lane *l)                                                       \
    {                                                                                             \
        const double x = l->x, y = l->y, A0 = l->a0, A1 = l->a1;                                  \
        (void)x, (void)y, (void)A0, (void)A1;                                                     \
        return formula;                                                                           \
    }                                                                                             \
    static void name##_ref(const hn__inst *n, const double *const in[], double *const out[])      \
    {                                                                                             \
        each(n, in, out[0], name##_f64);                                                          \
    }

// Through the type, so that it rounds.
static double through(hn_dtype t, double x)
{
    char one[8];
    hn__from_f64(t, &x, one, 1);
    hn__to_f64(t, one, &x, 1);
    return x;
}

HN__FORMULAS_ANY(REF)
HN__FORMULAS_TEST(REF)
HN__FORMULAS_FLOAT(REF)
REF(select, 3, x != 0 ? y : l->z)
REF(cast, 1, through(l->to, x))

// ---- types ---------------------------------------------------------------------------------

static bool is_i32(hn_dtype t)
{
    return t == HN_I32;
}

static bool is_number(hn_dtype t)
{
    return hn__is_float(t) || is_i32(t);
}

// Operands `first` and on have one type, which `ok` allows; the result is what all broadcast to.
static hn_status same(hn__inst *n, int first, bool (*ok)(hn_dtype), const char *wanted)
{
    n->n_out = 1;
    n->out[0] = n->in[0];
    for (int i = 0; i < n->n_in; i++) {
        char a[128], b[128];
        if (i >= first && ok && !ok(n->in[i].dtype))
            return hn_fail(HN_ERR_ARG, "operand %d is %s, must be %s", i,
                           hn__type_text(&n->in[i], a, sizeof a), wanted);
        if (i > first && n->in[i].dtype != n->in[first].dtype)
            return hn_fail(HN_ERR_SHAPE, "operands are %s and %s: cast one",
                           hn__type_text(&n->in[first], a, sizeof a),
                           hn__type_text(&n->in[i], b, sizeof b));
        HN_TRY(hn__broadcast_shape(&n->out[0], &n->in[i], &n->out[0]));
    }
    n->out[0].dtype = n->in[first].dtype;
    return HN_OK;
}

static hn_status any_infer(hn__inst *n)
{
    return same(n, 0, NULL, NULL);
}

static hn_status number_infer(hn__inst *n)
{
    return same(n, 0, is_number, "f32, f16, bf16 or i32");
}

static hn_status float_infer(hn__inst *n)
{
    return same(n, 0, hn__is_float, "f32, f16 or bf16");
}

static hn_status test_infer(hn__inst *n)
{
    HN_TRY(number_infer(n));
    n->out[0].dtype = HN_U8;
    return HN_OK;
}

static hn_status select_infer(hn__inst *n)
{
    if (hn__is_float(n->in[0].dtype))
        return hn_fail(HN_ERR_ARG, "the condition is %s, must be u8 or i32",
                       hn_dtype_name(n->in[0].dtype));
    return same(n, 1, is_number, "f32, f16, bf16 or i32");
}

static hn_status clamp_infer(hn__inst *n)
{
    const hn__pw_attr *a = n->attr;

    if (!(a->a[0] <= a->a[1]))
        return hn_fail(HN_ERR_ARG, "bounds are %g and %g", (double)a->a[0], (double)a->a[1]);
    return float_infer(n);
}

static hn_status cast_infer(hn__inst *n)
{
    const hn__pw_attr *a = n->attr;

    HN_TRY(any_infer(n));
    n->out[0].dtype = a->to.dtype;
    return HN_OK; // the graph checks the type
}

static hn_status broadcast_infer(hn__inst *n)
{
    const hn__pw_attr *a = n->attr;
    hn_type to = a->to;

    to.dtype = n->in[0].dtype;
    HN_TRY(hn__type_check(&to));
    n->n_out = 1;
    n->out[0].dtype = to.dtype;
    HN_TRY(hn__broadcast_shape(&n->in[0], &to, &n->out[0]));
    if (hn__shape_equal(&n->out[0], &to))
        return HN_OK;
    char from[128], text[128];
    return hn_fail(HN_ERR_SHAPE, "%s does not stretch to %s",
                   hn__type_text(&n->in[0], from, sizeof from),
                   hn__type_text(&to, text, sizeof text));
}

// ---- builders ------------------------------------------------------------------------------

#define UNARY(name)                                                                               \
    hn_val hn_##name(hn_graph *g, hn_val x)                                                       \
    {                                                                                             \
        return HN__EMIT(g, name, NULL, x);                                                        \
    }
#define BINARY(name)                                                                              \
    hn_val hn_##name(hn_graph *g, hn_val x, hn_val y)                                             \
    {                                                                                             \
        return HN__EMIT(g, name, NULL, x, y);                                                     \
    }
UNARY(neg) UNARY(abs) UNARY(exp) UNARY(log) UNARY(sqrt) UNARY(rsqrt) UNARY(tanh) UNARY(erf)
UNARY(sin) UNARY(cos) UNARY(floor) UNARY(sigmoid) UNARY(relu) UNARY(silu) UNARY(gelu)
UNARY(gelu_tanh) UNARY(is_finite) UNARY(stop_gradient)
BINARY(add) BINARY(sub) BINARY(mul) BINARY(div) BINARY(min) BINARY(max) BINARY(eq) BINARY(ne)
BINARY(lt) BINARY(le) BINARY(straight_through)

hn_val hn_select(hn_graph *g, hn_val cond, hn_val a, hn_val b)
{
    return HN__EMIT(g, select, NULL, cond, a, b);
}

hn_val hn_leaky_relu(hn_graph *g, hn_val x, float slope)
{
    return HN__EMIT(g, leaky_relu, (&(hn__pw_attr){ .a = { slope } }), x);
}

hn_val hn_clamp(hn_graph *g, hn_val x, float lo, float hi)
{
    return HN__EMIT(g, clamp, (&(hn__pw_attr){ .a = { lo, hi } }), x);
}

hn_val hn_affine(hn_graph *g, hn_val x, float scale, float shift)
{
    return HN__EMIT(g, affine, (&(hn__pw_attr){ .a = { scale, shift } }), x);
}

hn_val hn_cast(hn_graph *g, hn_val x, hn_dtype to)
{
    if (x.id && hn__type(g, x)->dtype == to)
        return x;
    return HN__EMIT(g, cast, (&(hn__pw_attr){ .to = { .dtype = to } }), x);
}

hn_val hn_broadcast(hn_graph *g, hn_val x, int rank, const int64_t dim[])
{
    hn__pw_attr a = { .to = { .rank = rank } };

    if (rank < 0 || rank > HN_MAX_RANK)
        return hn__graph_fail(
            g, hn_fail(HN_ERR_ARG, "broadcast: rank is %d, at most %d", rank, HN_MAX_RANK));
    memcpy(a.to.dim, dim, sizeof *dim * (size_t)rank);
    if (x.id && hn__shape_equal(hn__type(g, x), &a.to))
        return x;
    return HN__EMIT(g, broadcast, &a, x);
}

// ---- gradients -----------------------------------------------------------------------------

static hn_val zero(hn_graph *g, hn_val like)
{
    const float x = 0; // all bits 0 in every type
    return hn_const(g, (hn_type){ .dtype = hn_val_type(g, like).dtype }, &x);
}

static hn_val scalar(hn_graph *g, float x, hn_val like)
{
    return hn_cast(g, hn_scalar(g, x), hn_val_type(g, like).dtype);
}

static hn_val square(hn_graph *g, hn_val x)
{
    return hn_mul(g, x, x);
}

// 1 - x
static hn_val rest(hn_graph *g, hn_val x)
{
    return hn_affine(g, x, -1, 1);
}

// d where the test holds, else 0.
static hn_val where(hn_graph *g, hn_val test, hn_val d)
{
    return hn_select(g, test, d, zero(g, d));
}

static hn_val unless(hn_graph *g, hn_val test, hn_val d)
{
    return hn_select(g, test, zero(g, d), d);
}

// exp(-x^2 / 2) scaled.
static hn_val bell(hn_graph *g, hn_val x, float exponent, float scale)
{
    return hn_mul_scalar(g, hn_exp(g, hn_mul_scalar(g, square(g, x), exponent)), scale);
}

static hn_val abs_slope(hn_graph *g, hn_val x, hn_val d)
{
    const hn_val none = zero(g, d);
    return hn_select(g, hn_lt(g, none, x), d, hn_select(g, hn_lt(g, x, none), hn_neg(g, d), none));
}

static hn_val clamp_slope(hn_graph *g, hn_val x, const hn__pw_attr *a, hn_val d)
{
    const hn_val low = hn_lt(g, x, scalar(g, a->a[0], x));
    return unless(g, hn_lt(g, scalar(g, a->a[1], x), x), unless(g, low, d));
}

// Gradients from the operands x and y, the result r, its gradient d, the attributes a.
#define GRAD(name, ...)                                                                           \
    static void name##_grad(hn_graph *g, const hn__inst *n, const hn_val in[],                    \
                            const hn_val out[], const hn_val dy[], hn_val din[])                  \
    {                                                                                             \
        const hn_val x = in[0], y = in[n->n_in - 1], r = out[0], d = dy[0];                       \
        const hn__pw_attr *a = n->attr;                                                           \
        const hn_val each_in[] = { __VA_ARGS__ };                                                 \
        (void)x, (void)y, (void)r, (void)d, (void)a;                                              \
        for (int i = 0; i < (int)(sizeof each_in / sizeof *each_in); i++)                         \
            if (each_in[i].id)                                                                    \
                din[i] = hn_sum_to(g, each_in[i], in[i]);                                         \
    }
#define NO_GRAD(name) GRAD(name, { 0 })
GRAD(add, d, d)
GRAD(sub, d, hn_neg(g, d))
GRAD(mul, hn_mul(g, d, y), hn_mul(g, d, x))
GRAD(div, hn_div(g, d, y), hn_neg(g, hn_div(g, hn_mul(g, d, r), y)))
GRAD(min, where(g, hn_le(g, x, y), d), unless(g, hn_le(g, x, y), d))
GRAD(max, where(g, hn_le(g, y, x), d), unless(g, hn_le(g, y, x), d))
GRAD(neg, hn_neg(g, d))
GRAD(abs, abs_slope(g, x, d))
GRAD(exp, hn_mul(g, d, r))
GRAD(log, hn_div(g, d, x))
GRAD(sqrt, hn_mul_scalar(g, hn_div(g, d, r), 0.5f))
GRAD(rsqrt, hn_mul_scalar(g, hn_mul(g, d, hn_mul(g, r, square(g, r))), -0.5f))
GRAD(tanh, hn_mul(g, d, rest(g, square(g, r))))
GRAD(erf, hn_mul(g, d, bell(g, x, -1, 1.12837917f)))
GRAD(sin, hn_mul(g, d, hn_cos(g, x)))
GRAD(cos, hn_neg(g, hn_mul(g, d, hn_sin(g, x))))
NO_GRAD(floor)
GRAD(sigmoid, hn_mul(g, d, hn_mul(g, r, rest(g, r))))
GRAD(relu, where(g, hn_lt(g, zero(g, x), x), d))
GRAD(leaky_relu, hn_select(g, hn_lt(g, x, zero(g, x)), hn_mul_scalar(g, d, a->a[0]), d))
GRAD(silu, hn_mul(g, d, HN__EMIT(g, silu_grad, NULL, x)))
GRAD(gelu, hn_mul(g, d, HN__EMIT(g, gelu_grad, NULL, x)))
GRAD(gelu_tanh, hn_mul(g, d, HN__EMIT(g, gelu_tanh_grad, NULL, x)))
GRAD(clamp, clamp_slope(g, x, a, d))
GRAD(affine, hn_mul_scalar(g, d, a->a[0]))
GRAD(select, { 0 }, where(g, x, d), unless(g, x, d))
GRAD(cast, hn__is_float(n->in[0].dtype) && hn__is_float(n->out[0].dtype)
               ? hn_cast(g, d, n->in[0].dtype) : (hn_val){ 0 })
GRAD(broadcast, d)
NO_GRAD(stop_gradient)
GRAD(straight_through, d)

// ---- samples -------------------------------------------------------------------------------

// n operands that broadcast together: ranks that differ, and dimensions that stretch.
static void shapes(hn_rng *rng, hn__sample *s, int n)
{
    hn_type to = { .rank = (int)hn__rng_below(rng, 5) };
    for (int i = 0; i < to.rank; i++)
        to.dim[i] = hn__rng_dim(rng, to.rank == 1 ? 5000 : to.rank == 2 ? 130 : 12);

    s->inst.n_in = n;
    const int whole = (int)hn__rng_below(rng, n + 1); // this operand is not stretched; n: none is
    for (int k = 0; k < n; k++) {
        hn_type *t = &s->inst.in[k];
        *t = to;
        if (k == whole || whole == n)
            continue;
        for (int i = 0; i < t->rank; i++)
            if (hn__rng_below(rng, 2))
                t->dim[i] = 1;
        const int drop = (int)hn__rng_below(rng, t->rank + 1);
        t->rank -= drop;
        memmove(t->dim, t->dim + drop, sizeof *t->dim * (size_t)t->rank);
    }
}

static void span(hn__sample *s, int i, double lo, double hi)
{
    s->range[i].lo = lo;
    s->range[i].hi = hi;
}

// One side of 0: differences of the reference must not step over a kink or a pole.
static void side(hn_rng *rng, hn__sample *s, int i, double lo, double hi)
{
    if (hn__rng_below(rng, 2))
        span(s, i, lo, hi);
    else
        span(s, i, -hi, -lo);
}

// All operands i32 in a small range (ties are common) now and then.
static bool integers(hn_rng *rng, hn__sample *s)
{
    if (hn__rng_below(rng, 4))
        return false;
    for (int i = 0; i < s->inst.n_in; i++) {
        s->inst.in[i].dtype = HN_I32;
        span(s, i, -5, 5);
    }
    return true;
}

#define SAMPLE(name, n, ...)                                                                      \
    static void name##_sample(hn_rng *rng, hn__sample *s)                                         \
    {                                                                                             \
        hn__pw_attr *a = s->inst.attr;                                                            \
        shapes(rng, s, n);                                                                        \
        (void)a;                                                                                  \
        __VA_ARGS__;                                                                              \
    }
// Ties are kinks of min and max: one operand is kept above the other.
static void apart(hn_rng *rng, hn__sample *s)
{
    if (integers(rng, s))
        return;
    const int low = (int)hn__rng_below(rng, 2);
    span(s, low, -2, -0.1);
    span(s, !low, 0.1, 2);
}

static void cell(hn_rng *rng, hn__sample *s)
{
    const double at = (double)hn__rng_below(rng, 9) - 4;
    span(s, 0, at + 0.1, at + 0.9);
}

// Beside the root of a slope, where what is left of two terms is all rounding.
static void bend(hn_rng *rng, hn__sample *s, double lo, double hi)
{
    if (hn__rng_below(rng, 2))
        span(s, 0, -0.5, 5);
    else
        span(s, 0, lo, hi);
}

static void clamp_zone(hn_rng *rng, hn__sample *s, hn__pw_attr *a)
{
    static const double zone[3][2] = { { -2, -0.8 }, { -0.7, 0.4 }, { 0.6, 2 } };
    const int i = (int)hn__rng_below(rng, 3);

    a->a[0] = -0.75f, a->a[1] = 0.5f;
    span(s, 0, zone[i][0], zone[i][1]);
}

static void condition(hn_rng *rng, hn__sample *s)
{
    s->inst.in[0].dtype = hn__rng_below(rng, 2) ? HN_U8 : HN_I32;
    span(s, 0, 0, 1);
    if (!hn__rng_below(rng, 4))
        s->inst.in[1].dtype = s->inst.in[2].dtype = HN_I32;
}

static void any_to_any(hn_rng *rng, hn__sample *s, hn__pw_attr *a)
{
    static const hn_dtype types[] = { 0, HN_F32, HN_F16, HN_BF16, HN_I32, HN_U8 };

    s->inst.in[0].dtype = types[hn__rng_below(rng, 6)];
    span(s, 0, s->inst.in[0].dtype == HN_U8 ? 0 : -300, 300);
    if (s->inst.in[0].dtype == HN_U8)
        span(s, 0, 0, 255);
    a->to = (hn_type){ .dtype = types[1 + hn__rng_below(rng, 5)] };
}

static void stretch(hn_rng *rng, hn__sample *s, hn__pw_attr *a)
{
    shapes(rng, s, 2);
    s->inst.n_in = 1;
    hn__broadcast_shape(&s->inst.in[0], &s->inst.in[1], &a->to);
}

SAMPLE(add, 2, integers(rng, s))
SAMPLE(sub, 2, integers(rng, s))
SAMPLE(mul, 2, integers(rng, s))
SAMPLE(div, 2, side(rng, s, 1, 0.3, 3))
SAMPLE(min, 2, apart(rng, s))
SAMPLE(max, 2, apart(rng, s))
SAMPLE(eq, 2, integers(rng, s))
SAMPLE(ne, 2, integers(rng, s))
SAMPLE(lt, 2, integers(rng, s))
SAMPLE(le, 2, integers(rng, s))
SAMPLE(select, 3, condition(rng, s))
SAMPLE(neg, 1, integers(rng, s))
SAMPLE(abs, 1, side(rng, s, 0, 0.1, 2))
SAMPLE(exp, 1, span(s, 0, -8, 8))
SAMPLE(log, 1, span(s, 0, 0.01, 8))
SAMPLE(sqrt, 1, span(s, 0, 0.01, 4))
SAMPLE(rsqrt, 1, span(s, 0, 0.1, 4))
SAMPLE(tanh, 1, span(s, 0, -6, 6))
SAMPLE(erf, 1, span(s, 0, -5, 5))
SAMPLE(sin, 1, span(s, 0, -100, 100))
SAMPLE(cos, 1, span(s, 0, -100, 100))
SAMPLE(floor, 1, cell(rng, s))
SAMPLE(sigmoid, 1, span(s, 0, -9, 9))
SAMPLE(relu, 1, side(rng, s, 0, 0.1, 2))
SAMPLE(leaky_relu, 1, a->a[0] = 0.125f; side(rng, s, 0, 0.1, 2))
SAMPLE(silu, 1, span(s, 0, -9, 9))
SAMPLE(silu_grad, 1, bend(rng, s, -9, -2))
SAMPLE(gelu, 1, span(s, 0, -4, 5))
SAMPLE(gelu_grad, 1, bend(rng, s, -3, -1))
SAMPLE(gelu_tanh, 1, span(s, 0, -4, 5))
SAMPLE(gelu_tanh_grad, 1, bend(rng, s, -3, -1))
SAMPLE(clamp, 1, clamp_zone(rng, s, a))
SAMPLE(affine, 1, a->a[0] = -1.5f; a->a[1] = 0.25f)
SAMPLE(is_finite, 1, span(s, 0, -1e4, 1e4))
SAMPLE(cast, 1, any_to_any(rng, s, a))
SAMPLE(broadcast, 1, stretch(rng, s, a))
SAMPLE(stop_gradient, 1, integers(rng, s))
SAMPLE(straight_through, 2, (void)a)

// ---- the table -----------------------------------------------------------------------------

#define FNS(name, type, bytes, gradient)                                                          \
    const hn__op_fns hn__fns_##name = {                                                           \
        .attr_bytes = bytes, .infer = type##_infer, .ref = name##_ref, .grad = gradient,          \
        .sample = name##_sample, .tile = hn__tile_##name, .emit = hn__emit_##name                 \
    };
#define PLAIN(name, type) FNS(name, type, 0, name##_grad)
#define WITH_ATTR(name, type) FNS(name, type, sizeof(hn__pw_attr), name##_grad)
#define NO_SLOPE(name, type) FNS(name, type, 0, NULL)
PLAIN(add, number) PLAIN(sub, number) PLAIN(mul, number) PLAIN(div, float) PLAIN(min, number)
PLAIN(max, number) NO_SLOPE(eq, test) NO_SLOPE(ne, test) NO_SLOPE(lt, test)
NO_SLOPE(le, test)
PLAIN(select, select) PLAIN(neg, number) PLAIN(abs, number) PLAIN(exp, float) PLAIN(log, float)
PLAIN(sqrt, float) PLAIN(rsqrt, float) PLAIN(tanh, float) PLAIN(erf, float) PLAIN(sin, float)
PLAIN(cos, float) PLAIN(floor, float) PLAIN(sigmoid, float) PLAIN(relu, float)
WITH_ATTR(leaky_relu, float) PLAIN(silu, float) PLAIN(gelu, float) PLAIN(gelu_tanh, float)
NO_SLOPE(silu_grad, float) NO_SLOPE(gelu_grad, float) NO_SLOPE(gelu_tanh_grad, float)
WITH_ATTR(clamp, clamp) WITH_ATTR(affine, float) NO_SLOPE(is_finite, test) WITH_ATTR(cast, cast)
WITH_ATTR(broadcast, broadcast) PLAIN(stop_gradient, any) PLAIN(straight_through, any)
