// matmul: batched matrix product with an epilogue: bias, activation, residual or factor.
#include "ops/matmul.h"

#include "ops/gemm.h"
#include "ops/vecmath.h"
#include <string.h>

typedef hn__matmul_attr attr;
typedef hn__matmul_dims dims;

hn_val hn_matmul(hn_graph *g, hn_val a, hn_val b, const hn_matmul_params *params)
{
    const hn_matmul_params p = params ? *params : (hn_matmul_params){ 0 };
    const attr at = { .transpose_a = p.transpose_a,
                      .transpose_b = p.transpose_b,
                      .has_bias = p.bias.id != 0,
                      .has_residual = p.residual.id != 0,
                      .act = (int32_t)p.act,
                      .scale = p.scale == 0 ? 1 : p.scale };
    hn_val in[4] = { a, b };
    int n = 2;

    if (at.has_bias)
        in[n++] = p.bias;
    if (at.has_residual)
        in[n++] = p.residual;
    return hn__emit(g, &hn__ops[HN__OP_matmul], &at, in, n);
}

hn_matmul_params hn__matmul_params(const hn__node *n)
{
    const attr *at = n->attr;
    return (hn_matmul_params){
        .transpose_a = at->transpose_a,
        .transpose_b = at->transpose_b,
        .scale = at->scale,
        .bias = { at->has_bias ? n->in[2] : 0 },
        .act = (hn_act)at->act,
        .residual = { at->has_residual ? n->in[n->n_in - 1] : 0 },
    };
}

int hn__matmul_other(const hn__inst *n)
{
    const attr *at = n->attr;
    return at->has_residual || at->has_factor ? n->n_in - 1 : 0;
}

dims hn__matmul_dims_of(const hn__inst *n)
{
    const attr *at = n->attr;
    const hn_type *a = &n->in[0], *b = &n->in[1];
    dims d = { .batch = 1, .lda = hn__cols(a), .ldb = hn__cols(b) };

    const int64_t a_rows = a->dim[a->rank - 2], b_rows = b->dim[b->rank - 2];
    d.m = at->transpose_a ? d.lda : a_rows;
    d.k = at->transpose_a ? a_rows : d.lda;
    d.n = at->transpose_b ? b_rows : d.ldb;
    for (int i = 0; i < a->rank - 2; i++)
        d.batch *= a->dim[i];
    if (b->rank == 2 && !at->transpose_a) {
        d.m *= d.batch;
        d.batch = 1;
    }
    d.a_batch = d.m * d.k;
    d.b_batch = b->rank == 2 ? 0 : d.k * d.n;
    return d;
}

static int act_of(const hn__op *op)
{
    return op->id == HN__OP_relu        ? HN_ACT_RELU
           : op->id == HN__OP_gelu      ? HN_ACT_GELU
           : op->id == HN__OP_gelu_tanh ? HN_ACT_GELU_TANH
           : op->id == HN__OP_silu      ? HN_ACT_SILU
                                        : HN_ACT_NONE;
}

// y = act(scale a b + bias) + residual, or times a factor, in that order.
static bool absorb(hn__inst *n, const hn__inst *next, int operand, int *out_extra, int *out_at)
{
    attr *at = n->attr;
    const hn_type *other = &next->in[1 - operand];

    if (at->has_residual || at->has_factor)
        return false;
    if (next->op->id == HN__OP_mul) {
        at->has_factor = 1;
        *out_extra = 1 - operand;
        *out_at = n->n_in;
        return hn__type_equal(other, &n->out[0]);
    }
    if (next->op->id != HN__OP_add) {
        if (at->act)
            return false;
        at->act = act_of(next->op);
        return at->act != HN_ACT_NONE;
    }
    *out_extra = 1 - operand;
    if (other->rank == 1 && n->out[0].rank > 1 && !at->has_bias && !at->act &&
        other->dim[0] == hn__cols(&n->out[0])) {
        at->has_bias = 1;
        *out_at = 2;
    } else {
        at->has_residual = 1;
        *out_at = n->n_in;
    }
    return true;
}

static hn_status check_shapes(const hn__inst *n)
{
    const attr *at = n->attr;
    const hn_type *a = &n->in[0], *b = &n->in[1];
    char ta[128], tb[128];

    hn__type_text(a, ta, sizeof ta);
    hn__type_text(b, tb, sizeof tb);
    if (a->rank < 2 || b->rank < 2)
        return hn_fail(HN_ERR_SHAPE, "%s times %s: both must have two dimensions or more", ta, tb);
    bool same = a->rank == b->rank;
    for (int i = 0; same && i < a->rank - 2; i++)
        same = a->dim[i] == b->dim[i];
    if (!same && b->rank != 2)
        return hn_fail(HN_ERR_SHAPE, "%s times %s: leading dimensions differ", ta, tb);
    const int64_t ka = a->dim[a->rank - (at->transpose_a ? 2 : 1)];
    const int64_t kb = b->dim[b->rank - (at->transpose_b ? 1 : 2)];
    if (ka != kb)
        return hn_fail(HN_ERR_SHAPE,
                       "%s%s times %s%s: the product runs over %" PRId64 " and %" PRId64, ta,
                       at->transpose_a ? " transposed" : "", tb,
                       at->transpose_b ? " transposed" : "", ka, kb);
    return HN_OK;
}

static hn_status infer(hn__inst *n)
{
    const attr *at = n->attr;
    int next = 2;

    HN_TRY(hn__matmul_check_types(n));
    HN_TRY(check_shapes(n));
    if (at->act < HN_ACT_NONE || at->act > HN_ACT_SILU)
        return hn_fail(HN_ERR_ARG, "activation is %d, must be 0 to %d", at->act, HN_ACT_SILU);
    n->n_out = 1;
    n->out[0] = n->in[0];
    n->out[0].dtype = hn__is_float(n->in[0].dtype) ? n->in[0].dtype : HN_F32;
    n->out[0].dim[n->in[0].rank - 2] = n->in[0].dim[n->in[0].rank - (at->transpose_a ? 1 : 2)];
    n->out[0].dim[n->in[0].rank - 1] = n->in[1].dim[n->in[1].rank - (at->transpose_b ? 2 : 1)];
    if (at->has_bias) {
        const hn_type *bias = &n->in[next++], want = { .dtype = n->out[0].dtype, .rank = 1,
                                                       .dim = { hn__cols(&n->out[0]) } };
        HN_TRY(hn__want_type(bias, &want, "bias"));
    }
    if (hn__matmul_norm_weight(n)) {
        const hn_type want = { .dtype = n->in[0].dtype, .rank = 1, .dim = { hn__cols(&n->in[0]) } };
        if (at->transpose_a || !hn__is_float(want.dtype))
            return hn_fail(HN_ERR_ARG, "an a that passes a norm is of floats and not transposed");
        HN_TRY(hn__want_type(&n->in[next++], &want, "norm's weight"));
    }
    if (hn__matmul_other(n))
        HN_TRY(hn__want_type(&n->in[next], &n->out[0], at->has_factor ? "factor" : "residual"));
    return HN_OK;
}

// What a row of a is multiplied by, beside the norm's weight.
static double norm_f64(const hn__inst *n, const double *row)
{
    const attr *at = n->attr;
    const int64_t k = hn__cols(&n->in[0]);
    double sum = 0;

    if (!hn__matmul_norm_weight(n))
        return 1;
    for (int64_t i = 0; i < k; i++)
        sum += row[i] * row[i];
    return 1 / sqrt(sum / (double)k + at->norm_eps);
}

static double act_f64(int act, double x)
{
    switch (act) {
    case HN_ACT_RELU: return x > 0 ? x : 0;
    case HN_ACT_GELU: return x * erfc(x * -0.70710678118654752) / 2;
    case HN_ACT_GELU_TANH:
        return x * (1 + tanh(0.79788456080286536 * (x + 0.044715 * x * x * x))) / 2;
    case HN_ACT_SILU: return x / (1 + exp(-x));
    default: return x;
    }
}

static void ref(const hn__inst *n, const double *const in[], double *const out[])
{
    const attr *at = n->attr;
    const dims d = hn__matmul_dims_of(n);
    const double *bias = at->has_bias ? in[2] : NULL, *other = in[hn__matmul_other(n)];
    const double *w = hn__matmul_norm_weight(n) ? in[hn__matmul_norm_weight(n)] : NULL;

    for (int64_t i = 0; i < d.batch * d.m; i++) {
        const double *a = in[0] + i / d.m * d.a_batch, *b = in[1] + i / d.m * d.b_batch;
        const int64_t r = i % d.m;
        const double scale = at->scale * norm_f64(n, a + r * d.lda);
        for (int64_t c = 0; c < d.n; c++) {
            double sum = 0;
            for (int64_t k = 0; k < d.k; k++)
                sum += a[at->transpose_a ? k * d.lda + r : r * d.lda + k] * (w ? w[k] : 1) *
                       b[at->transpose_b ? c * d.ldb + k : k * d.ldb + c];
            const double v = act_f64(at->act, scale * sum + (bias ? bias[c] : 0));
            out[0][i * d.n + c] = at->has_residual ? v + other[i * d.n + c]
                                  : at->has_factor ? v * other[i * d.n + c]
                                                   : v;
        }
    }
}

// ---- host ----------------------------------------------------------------------------------

typedef struct job {
    const attr *at;
    dims d;
    const float *a, *b, *bias, *other;
    float *y;
    hn__pool *pool;
} job;

#define ACT_LOOP(value)                                                                           \
    for (int64_t i = 0; i < n; i++) {                                                             \
        const float x = y[i];                                                                     \
        y[i] = value;                                                                             \
    }                                                                                             \
    break

// The epilogue of n neighbouring elements.
HN__HOT void hn__matmul_finish(const attr *at, int64_t n, float *restrict y,
                               const float *restrict bias, const float *restrict other)
{
    if (bias)
        for (int64_t i = 0; i < n; i++)
            y[i] += bias[i];
    switch (at->act) {
    case HN_ACT_RELU: ACT_LOOP(x > 0 ? x : 0);
    case HN_ACT_GELU: ACT_LOOP(x * hn__vcdf(x));
    case HN_ACT_GELU_TANH: // (1 + tanh u) / 2 = 1 / (1 + exp(-2 u)), without cancellation
        ACT_LOOP(x * hn__vsigmoid(1.59576912f * (x + 0.044715f * x * x * x)));
    case HN_ACT_SILU: ACT_LOOP(x * hn__vsigmoid(x));
    default: break;
    }
    if (at->has_residual)
        for (int64_t i = 0; i < n; i++)
            y[i] += other[i];
    if (at->has_factor)
        for (int64_t i = 0; i < n; i++)
            y[i] *= other[i];
}

typedef struct part {
    const job *j;
    int64_t first; // element of y that is the part's first
    int64_t col;
} part;

static void finish_part(const void *ctx, int64_t row, int64_t rows, int64_t col, int64_t cols)
{
    const part *p = ctx;
    const job *j = p->j;

    for (int64_t r = row; r < row + rows; r++) {
        const int64_t at = p->first + r * j->d.n + col;
        hn__matmul_finish(j->at, cols, j->y + at, j->bias ? j->bias + p->col + col : NULL,
                          j->other ? j->other + at : NULL);
    }
}

// Rows [row, row + m) of a batch, columns [col, col + n), on the thread of this number.
static void piece(const job *j, int64_t batch, int64_t row, int64_t m, int64_t col, int64_t n,
                  int thread)
{
    const attr *at = j->at;
    const dims *d = &j->d;
    const part p = { j, (batch * d->m + row) * d->n + col, col };
    const float *a = j->a + batch * d->a_batch, *b = j->b + batch * d->b_batch;
    const bool finishes = at->act || j->bias || j->other;

    hn__gemm(&(hn__gemm_args){
        .transpose_a = at->transpose_a, .transpose_b = at->transpose_b, .m = m, .n = n, .k = d->k,
        .a = a + (at->transpose_a ? row : row * d->lda), .lda = d->lda,
        .b = b + (at->transpose_b ? col * d->ldb : col), .ldb = d->ldb,
        .c = j->y + p.first, .ldc = d->n, .scale = at->scale,
        .room = hn__pool_room(j->pool, thread),
        .finish = finishes ? finish_part : NULL, .ctx = &p });
}

// Rows are counted through all batches.
static void by_rows(void *ctx, int64_t begin, int64_t end, int thread)
{
    const job *j = ctx;

    while (begin < end) {
        const int64_t row = begin % j->d.m, left = j->d.m - row;
        const int64_t m = left < end - begin ? left : end - begin;
        piece(j, begin / j->d.m, row, m, 0, j->d.n, thread);
        begin += m;
    }
}

static void by_cols(void *ctx, int64_t begin, int64_t end, int thread)
{
    piece(ctx, 0, 0, ((const job *)ctx)->d.m, begin, end - begin, thread);
}

enum { GRAIN = 1 << 17 }; // multiplications that are worth another thread: about 3 us

static bool stored(const hn__inst *n, int i)
{
    return i == 1 && hn__matmul_is_stored(n);
}

static int64_t scratch(const hn__inst *n, int n_threads)
{
    return hn__matmul_is_stored(n) ? hn__matmul_stored_scratch(n, n_threads)
                                   : hn__matmul_norm_scratch(n);
}

static void host(const hn__inst *n, const hn__host *h)
{
    const attr *at = n->attr;

    if (hn__matmul_is_stored(n)) {
        hn__matmul_stored(n, h);
        return;
    }
    job j = { at, hn__matmul_dims_of(n), hn__matmul_norm_host(n, h, h->scratch), h->in[1],
              at->has_bias ? h->in[2] : NULL,
              hn__matmul_other(n) ? h->in[hn__matmul_other(n)] : NULL, h->out[0], h->pool };
    const dims *d = &j.d;

    // A thread reads all of the side that is not split: split the longer one.
    if (d->batch == 1 && d->n > d->m)
        hn__parallel(h->pool, d->n, 1 + GRAIN / (d->m * d->k), by_cols, &j);
    else
        hn__parallel(h->pool, d->batch * d->m, 1 + GRAIN / (d->n * d->k), by_rows, &j);
}

// ---- gradient ------------------------------------------------------------------------------

// Gradient of act at z: that of the pointwise operator it stands for.
static hn_val act_grad(hn_graph *g, int act, hn_val z, hn_val dy)
{
    const hn_val y = act == HN_ACT_RELU        ? hn_relu(g, z)
                     : act == HN_ACT_GELU      ? hn_gelu(g, z)
                     : act == HN_ACT_GELU_TANH ? hn_gelu_tanh(g, z)
                                               : hn_silu(g, z);
    hn_val dz = { 0 };

    if (!y.id)
        return y;
    const hn__inst n = hn__graph_inst(g, g->values[y.id].node);
    n.op->fn->grad(g, &n, &z, &y, &dy, &dz);
    return dz;
}

static hn_val transposed(hn_graph *g, hn_val x)
{
    if (!x.id)
        return x;
    const int rank = hn__type(g, x)->rank;
    int perm[HN_MAX_RANK];
    for (int i = 0; i < rank; i++)
        perm[i] = i < rank - 2 ? i : 2 * rank - 3 - i;
    return hn_transpose(g, x, perm);
}

static hn_val as_matrix(hn_graph *g, hn_val x)
{
    return x.id ? hn_reshape(g, x, 2, (const int64_t[]){ -1, hn__cols(hn__type(g, x)) }) : x;
}

static hn_val product(hn_graph *g, hn_val a, bool ta, hn_val b, bool tb, float scale)
{
    return hn_matmul(g, a, b,
                     &(hn_matmul_params){ .transpose_a = ta, .transpose_b = tb, .scale = scale });
}

// a's gradient: dz b^T, or its transpose where a came transposed.
static hn_val grad_a(hn_graph *g, const hn__inst *n, hn_val b, hn_val dz)
{
    const attr *at = n->attr;

    if (!at->transpose_a)
        return product(g, dz, false, b, !at->transpose_b, at->scale);
    if (n->in[0].rank == n->in[1].rank)
        return product(g, b, at->transpose_b, dz, true, at->scale);
    return transposed(g, product(g, dz, false, b, !at->transpose_b, at->scale));
}

// b's gradient: a^T dz, or its transpose; summed over the batch where one b served all of it.
static hn_val grad_b(hn_graph *g, const hn__inst *n, hn_val a, hn_val dz)
{
    const attr *at = n->attr;
    const bool shared = n->in[1].rank < n->in[0].rank;

    if (shared && at->transpose_a) // a's columns do not follow each other through the batch
        a = transposed(g, a);
    const bool ta = at->transpose_a && !shared;
    if (shared) {
        a = as_matrix(g, a);
        dz = as_matrix(g, dz);
    }
    return at->transpose_b ? product(g, dz, true, a, ta, at->scale)
                           : product(g, a, !ta, dz, false, at->scale);
}

// *da, a's gradient, becomes x's, of which a is the norm; *dw that of its weight.
static void grad_norm(hn_graph *g, hn_val a, hn_val x, hn_val w, hn_val *da, hn_val *dw)
{
    hn_val din[2] = { { 0 }, { 0 } };

    if (!a.id)
        return;
    const hn__inst norm = hn__graph_inst(g, g->values[a.id].node);
    norm.op->fn->grad(g, &norm, (const hn_val[]){ x, w }, &a, da, din);
    *da = din[0];
    *dw = din[1];
}

// What is before the activation is not kept: where it is wanted, the product is made again.
static void grad(hn_graph *g, const hn__inst *n, const hn_val in[], const hn_val out[],
                 const hn_val dy[], hn_val din[])
{
    const attr *at = n->attr;
    const int weight = hn__matmul_norm_weight(n);
    hn_matmul_params p = { .transpose_a = at->transpose_a,
                           .transpose_b = at->transpose_b,
                           .scale = at->scale,
                           .bias = at->has_bias ? in[2] : (hn_val){ 0 } };
    hn_val dz = dy[0], a = in[0];

    (void)out;
    if (weight)
        a = hn_rms_norm(g, in[0], in[weight], at->norm_eps);
    if (at->has_factor)
        dz = hn_mul(g, dz, in[n->n_in - 1]);
    if (at->act)
        dz = act_grad(g, at->act, hn_matmul(g, a, in[1], &p), dz);
    din[0] = grad_a(g, n, in[1], dz);
    if (n->in[1].dtype == n->out[0].dtype) // a stored weight is no variable
        din[1] = grad_b(g, n, a, dz);
    if (weight)
        grad_norm(g, a, in[0], in[weight], &din[0], &din[weight]);
    if (at->has_bias)
        din[2] = hn_sum_to(g, dz, in[2]);
    if (at->has_residual)
        din[n->n_in - 1] = dy[0];
    p.act = (hn_act)at->act;
    if (at->has_factor)
        din[n->n_in - 1] = hn_mul(g, dy[0], hn_matmul(g, a, in[1], &p));
}

// ---- samples ------------------------------------------------------------------------------

// A norm at first, a residual or a factor at the end, or nothing.
static void sample_ends(hn_rng *rng, attr *at)
{
    const int64_t what = hn__rng_below(rng, 4);

    at->has_residual = what == 1 || what == 2;
    at->has_factor = what == 3;
    at->norm_eps = !at->transpose_a && hn__rng_below(rng, 4) == 0 ? 1e-5f : 0;
}

// b of the type under test, blocks or 16 bits, beside an a of f32 or q8_0. At least 16 results: a
// lone sum near 0 has no relative error.
static void sample_stored(hn_rng *rng, hn__sample *s)
{
    hn__inst *i = &s->inst;
    attr *at = i->attr;
    const int64_t block = hn_dtype_block(s->type), batch = hn__rng_dim(rng, 3);
    const int64_t m = hn__rng_below(rng, 3) ? hn__rng_dim(rng, 48) : 1;
    int64_t n = 15 + hn__rng_dim(rng, 80), k = block * hn__rng_dim(rng, block > 32 ? 3 : 9);

    *at = (attr){ .transpose_b = hn__rng_below(rng, 4) > 0,
                  .has_bias = (int32_t)hn__rng_below(rng, 2),
                  .act = (int32_t)hn__rng_below(rng, HN_ACT_SILU + 1) };
    sample_ends(rng, at);
    if (!at->transpose_b) {
        n = (n + block - 1) / block * block;
        k = hn__rng_dim(rng, 96);
    }
    if (batch * m * n > 512 && at->act == HN_ACT_RELU) // differences would meet its kink
        at->act = HN_ACT_SILU;
    at->scale = (float)(hn__rng_range(rng, 0.25, 2) / sqrt((double)k));
    const bool blocks = block > 1 && at->transpose_b && !at->norm_eps && hn__rng_below(rng, 3) == 0;
    i->in[0] = (hn_type){ blocks ? HN_Q8_0 : HN_F32, 3, { batch, m, k } };
    i->in[1] = (hn_type){ .rank = 2, .dim = { at->transpose_b ? n : k, at->transpose_b ? k : n } };
    i->n_in = 2;
    if (at->has_bias)
        i->in[i->n_in++] = (hn_type){ .dtype = HN_F32, .rank = 1, .dim = { n } };
    if (at->norm_eps > 0)
        i->in[i->n_in++] = (hn_type){ .dtype = HN_F32, .rank = 1, .dim = { k } };
    if (at->has_residual || at->has_factor)
        i->in[i->n_in++] = (hn_type){ .dtype = HN_F32, .rank = 3, .dim = { batch, m, n } };
}

// Shapes with every mix of transposes, batches and epilogue; 1 in 4 has a single row.
static void sample_plain(hn_rng *rng, hn__sample *s)
{
    hn__inst *i = &s->inst;
    const int64_t m = hn__rng_below(rng, 4) ? hn__rng_dim(rng, 96) : 1;
    const int64_t n = hn__rng_dim(rng, 96), k = hn__rng_dim(rng, 96), batch = hn__rng_dim(rng, 3);
    const bool flat = hn__rng_below(rng, 2), shared = flat || hn__rng_below(rng, 2);
    attr *at = i->attr;

    *at = (attr){ .transpose_a = (int32_t)hn__rng_below(rng, 2),
                  .transpose_b = (int32_t)hn__rng_below(rng, 2),
                  .has_bias = (int32_t)hn__rng_below(rng, 2),
                  .act = (int32_t)hn__rng_below(rng, HN_ACT_SILU + 1),
                  .scale = (float)(hn__rng_range(rng, 0.25, 2) /
                                   sqrt((double)k)) }; // activations are ill-conditioned far out
    sample_ends(rng, at);
    i->in[0] =
        (hn_type){ .rank = 3, .dim = { batch, at->transpose_a ? k : m, at->transpose_a ? m : k } };
    i->in[1] =
        (hn_type){ .rank = 3, .dim = { batch, at->transpose_b ? n : k, at->transpose_b ? k : n } };
    if (flat)
        i->in[0] = (hn_type){ .rank = 2, .dim = { i->in[0].dim[1], i->in[0].dim[2] } };
    if (shared)
        i->in[1] = (hn_type){ .rank = 2, .dim = { i->in[1].dim[1], i->in[1].dim[2] } };
    i->n_in = 2;
    if (at->has_bias)
        i->in[i->n_in++] = (hn_type){ .rank = 1, .dim = { n } };
    if (at->norm_eps > 0)
        i->in[i->n_in++] = (hn_type){ .rank = 1, .dim = { k } };
    if (at->has_residual || at->has_factor)
        i->in[i->n_in++] = flat ? (hn_type){ .rank = 2, .dim = { m, n } }
                                : (hn_type){ .rank = 3, .dim = { batch, m, n } };
    for (int j = 0; j < i->n_in && m * n < 16;
         j++) { // all positive: a lone sum near 0 has no relative error
        s->range[j].lo = 0.1;
        s->range[j].hi = 1;
    }
}

static void sample(hn_rng *rng, hn__sample *s)
{
    const bool beside_f32 = s->type != HN_F32 && hn__rng_below(rng, 3) == 0;

    if (hn__is_quantised(s->type) || beside_f32)
        sample_stored(rng, s);
    else
        sample_plain(rng, s);
}

const hn__op_fns hn__fns_matmul = {
    .attr_bytes = sizeof(attr), .infer = infer, .ref = ref, .host = host, .scratch = scratch,
    .stored = stored, .grad = grad, .absorb = absorb, .prepend = hn__matmul_prepend, .variants = hn__matmul_variants,
    .launch = hn__matmul_launch, .sample = sample
};
