// attention: softmax(scale q k^T, masked) v and its log-sum-exp, without a [tq, tk] matrix in
// device memory.
#include "ops/attention.h"

#include "ops/gemm.h"
#include "ops/rows.h"


hn_val hn_attention(hn_graph *g, hn_val q, hn_val k, hn_val v, const hn_attention_params *params)
{
    const hn_attention_params p = params ? *params : (hn_attention_params){ 0 };
    const hn__attention_attr a = {
        .causal = p.causal, .block = p.block, .has_n_keys = p.n_keys.id != 0, .scale = p.scale
    };
    return hn__emit(g, &hn__ops[HN__OP_attention], &a, (const hn_val[]){ q, k, v, p.n_keys },
                    a.has_n_keys ? 4 : 3);
}

hn__attention_dims hn__attention_dims_of(const hn__inst *n)
{
    const hn_type *q = &n->in[0], *k = &n->in[1];
    const hn__attention_attr *a = n->attr;

    return (hn__attention_dims){
        .batch = q->dim[0], .tq = q->dim[1], .heads = q->dim[2], .d = q->dim[3], .tk = k->dim[1],
        .kv_heads = k->dim[2], .q_row = q->dim[2] * q->dim[3], .k_row = k->dim[2] * k->dim[3],
        .causal = a->causal, .block = a->block,
        .scale = a->scale != 0 ? a->scale : (float)(1 / sqrt((double)q->dim[3]))
    };
}

hn_type hn__attention_lse(const hn_type *q)
{
    return (hn_type){ .dtype = HN_F32, .rank = 3, .dim = { q->dim[0], q->dim[2], q->dim[1] } };
}

hn_status hn__attention_check(const hn__inst *n, int n_keys_at)
{
    const hn_type *q = &n->in[0], *k = &n->in[1], *v = &n->in[2];
    const hn__attention_attr *a = n->attr;
    char tq[128], tk[128];

    HN_TRY(hn__want_float(n, 0));
    hn__type_text(q, tq, sizeof tq);
    hn__type_text(k, tk, sizeof tk);
    if (q->rank != 4 || k->rank != 4)
        return hn_fail(HN_ERR_SHAPE, "queries are %s, keys %s: both must be [B, T, H, D]", tq, tk);
    HN_TRY(hn__want_type(v, k, "values"));
    if (k->dtype != q->dtype || k->dim[0] != q->dim[0] || k->dim[3] != q->dim[3])
        return hn_fail(HN_ERR_SHAPE, "queries are %s, keys %s: type, B and D must be equal", tq,
                       tk);
    if (q->dim[2] % k->dim[2])
        return hn_fail(HN_ERR_SHAPE,
                       "%" PRId64 " query heads are no multiple of %" PRId64 " key heads",
                       q->dim[2], k->dim[2]);
    if (a->block < 0 || (a->block && !a->causal))
        return hn_fail(HN_ERR_ARG, "block is %d, must be 0, or above 0 and causal", a->block);
    if (a->has_n_keys) {
        const hn_type want = { .dtype = HN_I32, .rank = 1, .dim = { q->dim[0] } };
        HN_TRY(hn__want_type(&n->in[n_keys_at], &want, "n_keys"));
    }
    return HN_OK;
}

static hn_status infer(hn__inst *n)
{
    HN_TRY(hn__attention_check(n, 3));
    n->n_out = 2;
    n->out[0] = n->in[0];
    n->out[1] = hn__attention_lse(&n->in[0]);
    return HN_OK;
}

// ---- definition ----------------------------------------------------------------------------

typedef struct ref_row {
    const double *q, *k, *v; // k and v from position to position by dims.k_row
    double *y;
    int64_t limit;
} ref_row;

// One query of one head; returns the log-sum-exp, 0 where no key is seen.
static double ref_query(const hn__attention_dims *a, const ref_row *r)
{
    double most = -INFINITY, sum = 0;

    for (int64_t c = 0; c < a->d; c++)
        r->y[c] = 0;
    for (int pass = 0; pass < 2; pass++)
        for (int64_t j = 0; j < r->limit; j++) {
            double s = 0;
            for (int64_t c = 0; c < a->d; c++)
                s += (double)a->scale * r->q[c] * r->k[j * a->k_row + c];
            if (pass == 0) {
                most = s > most ? s : most;
                continue;
            }
            sum += exp(s - most);
            for (int64_t c = 0; c < a->d; c++)
                r->y[c] += exp(s - most) * r->v[j * a->k_row + c];
        }
    for (int64_t c = 0; c < a->d && r->limit; c++)
        r->y[c] /= sum;
    return r->limit ? most + log(sum) : 0;
}

static void ref(const hn__inst *n, const double *const in[], double *const out[])
{
    const hn__attention_dims a = hn__attention_dims_of(n);
    const double *n_keys = n->n_in > 3 ? in[3] : NULL;

    for (int64_t b = 0; b < a.batch; b++)
        for (int64_t h = 0; h < a.heads; h++)
            for (int64_t i = 0; i < a.tq; i++) {
                const int64_t at = (b * a.tq + i) * a.q_row + h * a.d;
                const int64_t kv = b * a.tk * a.k_row + h / (a.heads / a.kv_heads) * a.d;
                const ref_row r = { in[0] + at, in[1] + kv, in[2] + kv, out[0] + at,
                                    hn__attention_limit(&a, i,
                                                        n_keys ? (int64_t)n_keys[b] : a.tk) };
                out[1][(b * a.heads + h) * a.tq + i] = ref_query(&a, &r);
            }
}

// ---- host ----------------------------------------------------------------------------------

typedef struct job {
    hn__attention_dims a;
    const float *q, *k, *v;
    const int32_t *n_keys;
    float *y, *lse, *scratch;
    int64_t n_blocks;
    hn__pool *pool;
} job;

// Softmax of a row of scores; its first `limit` are seen, the rest of n becomes 0. Returns the sum
// that the row is still to be divided by.
HN__HOT static float soften(float *row, int64_t limit, int64_t n, float *lse)
{
    const float most = hn__row_max(row, limit), sum = hn__row_exp(row, 1, most, row, limit);

    for (int64_t j = limit; j < n; j++)
        row[j] = 0;
    *lse = most + logf(sum);
    return sum;
}

HN__HOT static void divide(float *y, int64_t n, float by)
{
    for (int64_t c = 0; c < n; c++)
        y[c] *= 1 / by;
}

// A block of queries of one head. Blocks are taken from both ends in turn, so that with a causal
// mask every thread's share is about equal.
static void block(const job *j, int64_t task, int thread)
{
    float *const score = j->scratch + thread * HN__ATTENTION_ROWS * j->a.tk,
                 *const room = hn__pool_room(j->pool, thread);
    const hn__attention_dims *a = &j->a;
    const int64_t turn = task % j->n_blocks, bh = task / j->n_blocks, b = bh / a->heads,
                  h = bh % a->heads;
    const int64_t first = (turn % 2 ? j->n_blocks - 1 - turn / 2 : turn / 2) * HN__ATTENTION_ROWS;
    const int64_t m = a->tq - first < HN__ATTENTION_ROWS ? a->tq - first : HN__ATTENTION_ROWS;
    const int64_t n_keys = j->n_keys ? j->n_keys[b] : a->tk;
    const int64_t n = hn__attention_limit(a, first + m - 1, n_keys);
    const int64_t at = (b * a->tq + first) * a->q_row + h * a->d;
    const int64_t kv = b * a->tk * a->k_row + h / (a->heads / a->kv_heads) * a->d;
    float sum[HN__ATTENTION_ROWS];

    if (n)
        hn__gemm(&(hn__gemm_args){ .transpose_b = true,
                                   .m = m,
                                   .n = n,
                                   .k = a->d,
                                   .a = j->q + at,
                                   .lda = a->q_row,
                                   .b = j->k + kv,
                                   .ldb = a->k_row,
                                   .c = score,
                                   .ldc = n,
                                   .scale = a->scale,
                                   .room = room });
    for (int64_t i = 0; i < m; i++) {
        const int64_t limit = hn__attention_limit(a, first + i, n_keys);
        float *lse = j->lse + bh * a->tq + first + i;
        *lse = 0;
        sum[i] = 1; // where no key is seen, the scores are 0 and so is the result
        if (limit)
            sum[i] = soften(score + i * n, limit, n, lse);
        else
            for (int64_t c = 0; c < n; c++)
                score[i * n + c] = 0;
    }
    if (n)
        hn__gemm(&(hn__gemm_args){ .m = m,
                                   .n = a->d,
                                   .k = n,
                                   .a = score,
                                   .lda = n,
                                   .b = j->v + kv,
                                   .ldb = a->k_row,
                                   .c = j->y + at,
                                   .ldc = a->q_row,
                                   .scale = 1,
                                   .room = room });
    for (int64_t i = 0; i < m; i++)
        if (n)
            divide(j->y + at + i * a->q_row, a->d, sum[i]);
        else
            for (int64_t c = 0; c < a->d; c++)
                j->y[at + i * a->q_row + c] = 0;
}

static void blocks(void *ctx, int64_t begin, int64_t end, int thread)
{
    const job *j = ctx;

    for (int64_t t = begin; t < end; t++)
        block(j, t, thread);
}

static int64_t scratch(const hn__inst *n, int n_threads)
{
    return (int64_t)sizeof(float) * n_threads * HN__ATTENTION_ROWS * n->in[1].dim[1];
}

static void host(const hn__inst *n, const hn__host *h)
{
    job j = { .a = hn__attention_dims_of(n),
              .q = h->in[0],
              .k = h->in[1],
              .v = h->in[2],
              .n_keys = n->n_in > 3 ? h->in[3] : NULL,
              .y = h->out[0],
              .lse = h->out[1],
              .scratch = h->scratch,
              .pool = h->pool };

    j.n_blocks = (j.a.tq + HN__ATTENTION_ROWS - 1) / HN__ATTENTION_ROWS;
    hn__parallel(h->pool, j.a.batch * j.a.heads * j.n_blocks, 1, blocks, &j);
}

// ---- gradient, sample ----------------------------------------------------------------------

static void grad(hn_graph *g, const hn__inst *n, const hn_val in[], const hn_val out[],
                 const hn_val dy[], hn_val din[])
{
    hn__attention_attr a = *(const hn__attention_attr *)n->attr;
    hn_val all[HN__MAX_IN] = { in[0],  in[1],  in[2],
                               out[0], out[1], dy[0].id ? dy[0] : hn_fill(g, n->out[0], 0) };
    int count = 6;

    if (a.has_n_keys)
        all[count++] = in[3];
    a.has_dlse = dy[1].id != 0;
    if (a.has_dlse)
        all[count++] = dy[1];
    const hn_val dq = hn__emit(g, &hn__ops[HN__OP_attention_grad], &a, all, count);
    for (int i = 0; i < 3; i++)
        din[i] = hn__out(dq, i);
}

void hn__attention_draw(hn_rng *rng, hn__sample *s, int n_keys_at)
{
    static const int64_t usual[] = { 32, 64, 80, 128 };
    const int64_t kv_heads = hn__rng_dim(rng, 3), heads = kv_heads * hn__rng_dim(rng, 3);
    const int64_t batch = hn__rng_dim(rng, 3), tk = hn__rng_dim(rng, 80);
    const int64_t drawn =
        hn__rng_below(rng, 8) ? hn__rng_dim(rng, 16) : usual[hn__rng_below(rng, 4)];
    const int64_t tq = hn__rng_below(rng, 3) ? tk : hn__rng_dim(rng, 70); // same, a cache, or more
    const int64_t fewest = tq * heads < tk * kv_heads ? tq * heads : tk * kv_heads;
    const int64_t d =
        drawn * fewest < 16 ? 16 + drawn : drawn; // a lone element may be near 0 by chance
    hn__attention_attr *a = s->inst.attr;

    *a = (hn__attention_attr){ .causal = hn__rng_below(rng, 2),
                               .has_n_keys = hn__rng_below(rng, 2),
                               .scale = drawn > 16 || hn__rng_below(rng, 2) ? 0 : 1 };
    a->block = a->causal && hn__rng_below(rng, 2) ? (int32_t)hn__rng_dim(rng, 9) : 0;
    s->inst.n_in = 3;
    s->inst.in[0] = (hn_type){ .rank = 4, .dim = { batch, tq, heads, d } };
    s->inst.in[1] = s->inst.in[2] = (hn_type){ .rank = 4, .dim = { batch, tk, kv_heads, d } };
    if (a->has_n_keys) {
        s->inst.in[n_keys_at] = (hn_type){ .dtype = HN_I32, .rank = 1, .dim = { batch } };
        s->range[n_keys_at].lo = 0;
        s->range[n_keys_at].hi = (double)tk + 1;
    }
}

static void sample(hn_rng *rng, hn__sample *s)
{
    hn__attention_draw(rng, s, 3);
    s->inst.n_in += ((const hn__attention_attr *)s->inst.attr)->has_n_keys;
}

const hn__op_fns hn__fns_attention = { .attr_bytes = sizeof(hn__attention_attr),
                                       .infer = infer,
                                       .ref = ref,
                                       .host = host,
                                       .scratch = scratch,
                                       .grad = grad,
                                       .variants = hn__attention_variants,
                                       .launch = hn__attention_launch,
                                       .sample = sample };
