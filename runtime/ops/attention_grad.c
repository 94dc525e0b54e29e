// attention_grad: gradients of q, k and v from the kept log-sum-exp, with no [tq, tk] matrix in
// device memory (Dao 2023, arXiv 2307.08691, algorithm 2). With p = exp(s - lse):
//   dp = dy v^T     delta = sum(dy y) - dlse     ds = scale p (dp - delta)
//   dq = ds k       dk = ds^T q                  dv = p^T dy
// Inputs: q, k, v, y, lse, dy, and where the attributes say so n_keys and dlse.
#include "ops/attention.h"

#include "ops/gemm.h"
#include "ops/rows.h"

#include <string.h>

enum { Q, K, V, Y, LSE, DY, N_KEYS = HN__ATTENTION_N_KEYS };

static hn_status infer(hn__inst *n)
{
    const hn__attention_attr *a = n->attr;

    HN_TRY(hn__attention_check(n, N_KEYS));
    const hn_type lse = hn__attention_lse(&n->in[Q]);
    HN_TRY(hn__want_type(&n->in[Y], &n->in[Q], "y"));
    HN_TRY(hn__want_type(&n->in[DY], &n->in[Q], "dy"));
    HN_TRY(hn__want_type(&n->in[LSE], &lse, "log-sum-exp"));
    if (a->has_dlse)
        HN_TRY(hn__want_type(&n->in[hn__attention_dlse_at(n)], &lse, "gradient of the log-sum-exp"));
    n->n_out = 3;
    for (int i = 0; i < 3; i++)
        n->out[i] = n->in[i];
    return HN_OK;
}

// ---- definition ----------------------------------------------------------------------------

// Of query i of a head: offsets into q and k, the row of the log-sum-exp.
typedef struct place {
    int64_t q, kv, row, limit;
} place;

static place place_of(const hn__attention_dims *a, int64_t b, int64_t h, int64_t i, int64_t n_keys)
{
    return (place){ (b * a->tq + i) * a->q_row + h * a->d,
                    b * a->tk * a->k_row + h / (a->heads / a->kv_heads) * a->d,
                    (b * a->heads + h) * a->tq + i, hn__attention_limit(a, i, n_keys) };
}

static void ref_query(const hn__attention_dims *a, const place *p, const double *const in[],
                      double dlse, double *const out[])
{
    const double *q = in[Q] + p->q, *y = in[Y] + p->q, *dy = in[DY] + p->q;
    double delta = -dlse;

    for (int64_t c = 0; c < a->d; c++)
        delta += dy[c] * y[c];
    for (int64_t j = 0; j < p->limit; j++) {
        const int64_t at = p->kv + j * a->k_row;
        double s = 0, dp = 0;
        for (int64_t c = 0; c < a->d; c++) {
            s += (double)a->scale * q[c] * in[K][at + c];
            dp += dy[c] * in[V][at + c];
        }
        const double e = exp(s - in[LSE][p->row]), ds = (double)a->scale * e * (dp - delta);
        for (int64_t c = 0; c < a->d; c++) {
            out[Q][p->q + c] += ds * in[K][at + c];
            out[K][at + c] += ds * q[c];
            out[V][at + c] += e * dy[c];
        }
    }
}

static void ref(const hn__inst *n, const double *const in[], double *const out[])
{
    const hn__attention_attr *at = n->attr;
    const hn__attention_dims a = hn__attention_dims_of(n);

    for (int i = 0; i < 3; i++)
        memset(out[i], 0, sizeof(double) * (size_t)hn__numel(&n->out[i]));
    for (int64_t b = 0; b < a.batch; b++)
        for (int64_t h = 0; h < a.heads; h++)
            for (int64_t i = 0; i < a.tq; i++) {
                const place p =
                    place_of(&a, b, h, i, at->has_n_keys ? (int64_t)in[N_KEYS][b] : a.tk);
                ref_query(&a, &p, in, at->has_dlse ? in[hn__attention_dlse_at(n)][p.row] : 0, out);
            }
}

// ---- host ----------------------------------------------------------------------------------

typedef struct job {
    hn__attention_dims a;
    const float *q, *k, *v, *y, *lse, *dy, *dlse;
    const int32_t *n_keys;
    float *dq, *dk, *dv, *scratch;
    hn__pool *pool;
} job;

// A block of m queries, n keys: p and ds in scratch.
typedef struct tile {
    int64_t m, n, first;
    place at; // of the first query
    float *p, *ds;
    float *room; // the thread's
} tile;

// In place: scores become weights, dp becomes ds. What a query does not see becomes 0.
HN__HOT static void weigh(const job *j, const tile *t, int64_t n_keys)
{
    for (int64_t i = 0; i < t->m; i++) {
        const int64_t limit = hn__attention_limit(&j->a, t->first + i, n_keys),
                      row = t->at.row + i;
        const float *dy = j->dy + t->at.q + i * j->a.q_row, *y = j->y + t->at.q + i * j->a.q_row;
        const float delta = hn__row_dot(dy, y, j->a.d) - (j->dlse ? j->dlse[row] : 0);
        float *restrict p = t->p + i * t->n, *restrict ds = t->ds + i * t->n;
        const float scale = j->a.scale, lse = j->lse[row];
        for (int64_t c = 0; c < limit; c++) {
            const float e = hn__vexp(p[c] - lse);
            p[c] = e;
            ds[c] = scale * e * (ds[c] - delta);
        }
        for (int64_t c = limit; c < t->n; c++)
            p[c] = ds[c] = 0;
    }
}

static void products(const job *j, const tile *t)
{
    const hn__attention_dims *a = &j->a;
    const int64_t q = t->at.q, kv = t->at.kv;

    hn__gemm(&(hn__gemm_args){ .m = t->m,
                               .n = a->d,
                               .k = t->n,
                               .a = t->ds,
                               .lda = t->n,
                               .b = j->k + kv,
                               .ldb = a->k_row,
                               .c = j->dq + q,
                               .ldc = a->q_row,
                               .scale = 1,
                               .room = t->room });
    hn__gemm(&(hn__gemm_args){ .transpose_a = true,
                               .m = t->n,
                               .n = a->d,
                               .k = t->m,
                               .a = t->ds,
                               .lda = t->n,
                               .b = j->q + q,
                               .ldb = a->q_row,
                               .c = j->dk + kv,
                               .ldc = a->k_row,
                               .scale = 1,
                               .keep = 1,
                               .room = t->room });
    hn__gemm(&(hn__gemm_args){ .transpose_a = true,
                               .m = t->n,
                               .n = a->d,
                               .k = t->m,
                               .a = t->p,
                               .lda = t->n,
                               .b = j->dy + q,
                               .ldb = a->q_row,
                               .c = j->dv + kv,
                               .ldc = a->k_row,
                               .scale = 1,
                               .keep = 1,
                               .room = t->room });
}

static void clear_rows(float *x, int64_t rows, int64_t step, int64_t d)
{
    for (int64_t r = 0; r < rows; r++)
        memset(x + r * step, 0, sizeof *x * (size_t)d);
}

static void block(const job *j, int64_t b, int64_t h, int64_t first, int thread)
{
    const hn__attention_dims *a = &j->a;
    const int64_t n_keys = j->n_keys ? j->n_keys[b] : a->tk, left = a->tq - first;
    tile t = { .m = left < HN__ATTENTION_ROWS ? left : HN__ATTENTION_ROWS,
               .first = first,
               .at = place_of(a, b, h, first, n_keys),
               .p = j->scratch + thread * 2 * HN__ATTENTION_ROWS * a->tk,
               .room = hn__pool_room(j->pool, thread) };

    t.ds = t.p + HN__ATTENTION_ROWS * a->tk;
    t.n = hn__attention_limit(a, first + t.m - 1, n_keys);
    if (!t.n) {
        clear_rows(j->dq + t.at.q, t.m, a->q_row, a->d);
        return;
    }
    hn__gemm(&(hn__gemm_args){ .transpose_b = true,
                               .m = t.m,
                               .n = t.n,
                               .k = a->d,
                               .a = j->q + t.at.q,
                               .lda = a->q_row,
                               .b = j->k + t.at.kv,
                               .ldb = a->k_row,
                               .c = t.p,
                               .ldc = t.n,
                               .scale = a->scale,
                               .room = t.room });
    hn__gemm(&(hn__gemm_args){ .transpose_b = true,
                               .m = t.m,
                               .n = t.n,
                               .k = a->d,
                               .a = j->dy + t.at.q,
                               .lda = a->q_row,
                               .b = j->v + t.at.kv,
                               .ldb = a->k_row,
                               .c = t.ds,
                               .ldc = t.n,
                               .scale = 1,
                               .room = t.room });
    weigh(j, &t, n_keys);
    products(j, &t);
}

// A thread has whole key heads, with all query heads that use them, so that dk and dv have one
// writer.
static void key_heads(void *ctx, int64_t begin, int64_t end, int thread)
{
    const job *j = ctx;
    const hn__attention_dims *a = &j->a;
    const int64_t group = a->heads / a->kv_heads;

    for (int64_t t = begin; t < end; t++) {
        const int64_t b = t / a->kv_heads, h0 = t % a->kv_heads * group,
                      kv = place_of(a, b, h0, 0, 0).kv;
        clear_rows(j->dk + kv, a->tk, a->k_row, a->d);
        clear_rows(j->dv + kv, a->tk, a->k_row, a->d);
        for (int64_t h = h0; h < h0 + group; h++)
            for (int64_t first = 0; first < a->tq; first += HN__ATTENTION_ROWS)
                block(j, b, h, first, thread);
    }
}

static int64_t scratch(const hn__inst *n, int n_threads)
{
    return (int64_t)sizeof(float) * 2 * n_threads * HN__ATTENTION_ROWS * n->in[K].dim[1];
}

static void host(const hn__inst *n, const hn__host *h)
{
    const hn__attention_attr *at = n->attr;
    job j = { .a = hn__attention_dims_of(n),
              .q = h->in[Q],
              .k = h->in[K],
              .v = h->in[V],
              .y = h->in[Y],
              .lse = h->in[LSE],
              .dy = h->in[DY],
              .n_keys = at->has_n_keys ? h->in[N_KEYS] : NULL,
              .dlse = at->has_dlse ? h->in[hn__attention_dlse_at(n)] : NULL,
              .dq = h->out[Q],
              .dk = h->out[K],
              .dv = h->out[V],
              .scratch = h->scratch,
              .pool = h->pool };

    hn__parallel(h->pool, j.a.batch * j.a.kv_heads, 1, key_heads, &j);
}

// ---- sample --------------------------------------------------------------------------------

static void sample(hn_rng *rng, hn__sample *s)
{
    hn__attention_attr *a = s->inst.attr;

    hn__attention_draw(rng, s, N_KEYS);
    a->has_dlse = hn__rng_below(rng, 2);
    s->inst.in[Y] = s->inst.in[DY] = s->inst.in[Q];
    s->inst.in[LSE] = hn__attention_lse(&s->inst.in[Q]);
    s->range[LSE].lo = 2; // so that weights are below 1
    s->range[LSE].hi = 4;
    // dp - delta is a sum of terms of one sign: where few queries see few keys, it would make the
    // whole result small by chance.
    s->range[V].lo = s->range[DY].lo = 0.1;
    s->range[V].hi = s->range[DY].hi = 1;
    s->range[Y].lo = -1;
    s->inst.n_in = hn__attention_dlse_at(&s->inst);
    if (a->has_dlse) {
        s->range[s->inst.n_in].hi = 1;
        s->inst.in[s->inst.n_in++] = s->inst.in[LSE];
    }
}

const hn__op_fns hn__fns_attention_grad = { .attr_bytes = sizeof(hn__attention_attr),
                                            .infer = infer,
                                            .ref = ref,
                                            .host = host,
                                            .scratch = scratch,
                                            .variants = hn__attention_grad_variants,
                                            .launch = hn__attention_grad_launch,
                                            .sample = sample };
