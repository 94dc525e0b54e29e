// rope: rotary positions. The angles are made from the positions by pointwise operators, one table
// for all layers; the operator itself rotates pairs by given cosines and sines.
#include "ops/table.h"

#include <math.h>

typedef struct attr {
    int32_t neighbours;
} attr;

static hn_val rotate(hn_graph *g, hn_val x, hn_val c, hn_val s, int32_t neighbours)
{
    return HN__EMIT(g, rope, (&(attr){ neighbours }), x, c, s);
}

// ---- angles --------------------------------------------------------------------------------
// A position p = 128 a + b turns pair i by p f_i turns, f_i = base^(-2i/dim) / (2 pi). In f32 the
// product would lose what matters, its fraction, as p grows. So f_i and the fraction of 128 f_i
// are each kept as 12 bits and a rest: products with the 12 bits are exact while a and b are below
// 4096, which covers positions up to 524,288; those with the rest are tiny.

typedef struct split {
    float high[2][HN_MAX_ROPE / 2], low[2][HN_MAX_ROPE / 2]; // of f_i, and of 128 f_i
} split;

static void split_frequencies(int pairs, double base, const float *divide, split *s)
{
    for (int i = 0; i < pairs; i++) {
        double f = pow(base, -2.0 * i / (2 * pairs)) / 6.283185307179586;
        f /= divide ? (double)divide[i] : 1;
        for (int k = 0; k < 2; k++, f *= 128) {
            const double part = f - floor(f), high = floor(part * 4096) / 4096;
            s->high[k][i] = (float)high;
            s->low[k][i] = (float)(part - high);
        }
    }
}

static hn_val row(hn_graph *g, const float *x, int n)
{
    return hn_const(g, (hn_type){ HN_F32, 2, { 1, n } }, x);
}

static hn_val fraction(hn_graph *g, hn_val x)
{
    return hn_sub(g, x, hn_floor(g, x));
}

// Angles in radians, [T, pairs]. positions: i32 [T]
static hn_val angles(hn_graph *g, hn_val positions, int pairs, double base,
                     const float *divide)
{
    split s;
    const int64_t t = hn__numel(hn__type(g, positions));
    const hn_val p = hn_cast(g, hn_reshape(g, positions, 2, (int64_t[]){ t, 1 }), HN_F32);
    const hn_val a = hn_floor(g, hn_mul_scalar(g, p, 1 / 128.0f));
    const hn_val part[2] = { hn_sub(g, p, hn_mul_scalar(g, a, 128)), a }; // b, a
    hn_val turns = { 0 };

    split_frequencies(pairs, base, divide, &s);
    for (int k = 0; k < 2; k++) {
        const hn_val high = fraction(g, hn_mul(g, part[k], row(g, s.high[k], pairs)));
        const hn_val low = hn_mul(g, part[k], row(g, s.low[k], pairs));
        turns = k ? hn_add(g, turns, hn_add(g, high, low)) : hn_add(g, high, low);
    }
    return hn_mul_scalar(g, fraction(g, turns), 6.2831853f);
}

static hn_val rope(hn_graph *g, hn_val x, hn_val positions, const hn_rope_params *params)
{
    const hn_rope_params p = params ? *params : (hn_rope_params){ 0 };
    const hn_type *tx = hn__type(g, x), *tp = hn__type(g, positions);
    const int64_t most = tx->rank == 4 ? tx->dim[3] : 0, dim = p.dim ? p.dim : most;

    if (tx->rank != 4 || tp->dtype != HN_I32 || tp->rank != 1 || tp->dim[0] != tx->dim[1])
        return hn__graph_fail(
            g, hn_fail(HN_ERR_SHAPE, "rope: x must be [B, T, H, D], positions i32 [T]"));
    if (dim < 2 || dim % 2 || dim > most || dim > HN_MAX_ROPE)
        return hn__graph_fail(g, hn_fail(HN_ERR_ARG,
                                         "rope: %" PRId64 " rotated elements of %" PRId64
                                         ", must be even and at most %d",
                                         dim, most, HN_MAX_ROPE));
    if (!(p.base >= 0))
        return hn__graph_fail(
            g, hn_fail(HN_ERR_ARG, "rope: base is %g, must be > 0", (double)p.base));
    for (int64_t i = 0; p.divide && i < dim / 2; i++)
        if (!(p.divide[i] > 0))
            return hn__graph_fail(g, hn_fail(HN_ERR_ARG, "rope: pair %d is divided by %g, must be > 0",
                                             (int)i, (double)p.divide[i]));
    const hn_val angle =
        angles(g, positions, (int)dim / 2, p.base > 0 ? p.base : 10000, p.divide);
    return rotate(g, x, hn_cos(g, angle), hn_sin(g, angle), p.neighbours);
}

hn_val hn_rope(hn_graph *g, hn_val x, hn_val positions, const hn_rope_params *params)
{
    return x.id && positions.id ? rope(g, x, positions, params) : (hn_val){ 0 };
}

// ---- the rotation --------------------------------------------------------------------------

static hn_status infer(hn__inst *n)
{
    const hn_type *x = &n->in[0], *c = &n->in[1], *s = &n->in[2];

    HN_TRY(hn__want_float(n, 0));
    if (x->rank != 4 || c->rank != 2 || c->dim[0] != x->dim[1] || 2 * c->dim[1] > x->dim[3] ||
        c->dtype != HN_F32 || !hn__type_equal(c, s))
        return hn_fail(HN_ERR_SHAPE,
                       "x must be [B, T, H, D], cosines and sines f32 [T, at most D / 2]");
    n->n_out = 1;
    n->out[0] = *x;
    return HN_OK;
}

// Places of pair i's elements in a head.
static inline void pair_at(const attr *a, int64_t pairs, int64_t i, int64_t *first,
                           int64_t *second)
{
    *first = a->neighbours ? 2 * i : i;
    *second = a->neighbours ? 2 * i + 1 : i + pairs;
}

static void ref(const hn__inst *n, const double *const in[], double *const out[])
{
    const attr *a = n->attr;
    const int64_t t = n->in[0].dim[1], heads = n->in[0].dim[2], d = n->in[0].dim[3],
                  pairs = n->in[1].dim[1];

    for (int64_t r = 0; r < hn__rows(&n->in[0]); r++) {
        const double *x = in[0] + r * d, *c = in[1] + r / heads % t * pairs,
                     *s = in[2] + r / heads % t * pairs;
        double *y = out[0] + r * d;
        for (int64_t i = 2 * pairs; i < d; i++)
            y[i] = x[i];
        for (int64_t i = 0; i < pairs; i++) {
            int64_t p, q;
            pair_at(a, pairs, i, &p, &q);
            y[p] = x[p] * c[i] - x[q] * s[i];
            y[q] = x[q] * c[i] + x[p] * s[i];
        }
    }
}

typedef struct job {
    const float *x, *c, *s;
    float *y;
    int64_t t, heads, d, pairs;
    attr a;
} job;

HN__HOT static void heads_of(void *ctx, int64_t begin, int64_t end, int thread)
{
    const job *j = ctx;
    const int64_t pairs = j->pairs;

    (void)thread;
    for (int64_t r = begin; r < end; r++) {
        const float *x = j->x + r * j->d, *c = j->c + r / j->heads % j->t * pairs;
        const float *s = j->s + r / j->heads % j->t * pairs;
        float *y = j->y + r * j->d;
        for (int64_t i = 2 * pairs; i < j->d; i++)
            y[i] = x[i];
        if (j->a.neighbours)
            for (int64_t i = 0; i < pairs; i++) {
                y[2 * i] = x[2 * i] * c[i] - x[2 * i + 1] * s[i];
                y[2 * i + 1] = x[2 * i + 1] * c[i] + x[2 * i] * s[i];
            }
        else
            for (int64_t i = 0; i < pairs; i++) {
                y[i] = x[i] * c[i] - x[i + pairs] * s[i];
                y[i + pairs] = x[i + pairs] * c[i] + x[i] * s[i];
            }
    }
}

static void host(const hn__inst *n, const hn__host *h)
{
    const hn_type *x = &n->in[0];
    job j = { h->in[0],  h->in[1],        h->in[2],
              h->out[0], x->dim[1],       x->dim[2],
              x->dim[3], n->in[1].dim[1], *(const attr *)n->attr };

    hn__parallel(h->pool, hn__rows(x), 1 + 4096 / j.d, heads_of, &j);
}

// The first or second elements of all pairs: [B, T, H, pairs].
static hn_val side(hn_graph *g, hn_val x, int64_t pairs, bool neighbours, int which)
{
    return neighbours ? hn_slice(g, hn_slice(g, x, 3, 0, 2 * pairs, 1), 3, which, pairs, 2)
                      : hn_slice(g, x, 3, which * pairs, pairs, 1);
}

// Sum over B and H of [B, T, H, pairs] as [T, pairs] in f32.
static hn_val gather_table(hn_graph *g, hn_val x, const hn_type *like)
{
    return hn_reshape(g, hn_sum(g, hn_sum(g, hn_cast(g, x, HN_F32), 2), 0), 2, like->dim);
}

// The rotation back; and, should anyone want them, the gradients of the table.
static void grad(hn_graph *g, const hn__inst *n, const hn_val in[], const hn_val out[],
                 const hn_val dy[], hn_val din[])
{
    const attr *a = n->attr;
    const int64_t pairs = n->in[1].dim[1];
    const hn_val x0 = side(g, in[0], pairs, a->neighbours, 0),
                 x1 = side(g, in[0], pairs, a->neighbours, 1);
    const hn_val d0 = side(g, dy[0], pairs, a->neighbours, 0),
                 d1 = side(g, dy[0], pairs, a->neighbours, 1);

    (void)out;
    din[0] = rotate(g, dy[0], in[1], hn_neg(g, in[2]), a->neighbours);
    din[1] = gather_table(g, hn_add(g, hn_mul(g, d0, x0), hn_mul(g, d1, x1)), &n->in[1]);
    din[2] = gather_table(g, hn_sub(g, hn_mul(g, d1, x0), hn_mul(g, d0, x1)), &n->in[2]);
}

// A thread takes a pair, or one of the elements that pass.
static void launch(const hn__inst *n, hn__launch *l)
{
    const attr *a = n->attr;
    const hn_type *x = &n->in[0];
    const int64_t pairs = n->in[1].dim[1], units = x->dim[3] - pairs;
    hn__dispatch *d = hn__add_dispatch(l, n, "rope");

    d->type = x->dtype;
    HN__PUSH(d, rope_push, .total = (uint32_t)(hn__rows(x) * units), .t = (uint32_t)x->dim[1],
             .heads = (uint32_t)x->dim[2], .d = (uint32_t)x->dim[3], .pairs = (uint32_t)pairs,
             .neighbours = (uint32_t)a->neighbours);
    d->spec[1] = pairs % 4 == 0 && units % 4 == 0 ? 4 : 1;
    d->n_spec = 2;
    hn__threads(d, hn__rows(x) * units / d->spec[1]);
}

static void sample(hn_rng *rng, hn__sample *s)
{
    const int64_t t = hn__rng_dim(rng, 16), pairs = hn__rng_dim(rng, 32),
                  rest = hn__rng_below(rng, 4);

    s->inst.n_in = 3;
    s->inst.in[0] =
        (hn_type){ .rank = 4,
                   .dim = { hn__rng_dim(rng, 3), t, hn__rng_dim(rng, 5), 2 * pairs + rest } };
    s->inst.in[1] = s->inst.in[2] = (hn_type){ .dtype = HN_F32, .rank = 2, .dim = { t, pairs } };
    *(attr *)s->inst.attr = (attr){ .neighbours = (int32_t)hn__rng_below(rng, 2) };
}

const hn__op_fns hn__fns_rope = {
    .attr_bytes = sizeof(attr), .infer = infer, .ref = ref, .host = host, .grad = grad,
    .launch = launch, .sample = sample
};
