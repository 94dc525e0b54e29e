// nearest_code: the two nearest rows of a codebook. The order is that of x.c - |c|^2 / 2, in f32;
// the distances given are then taken from the differences, which lose nothing to cancellation.
#include "ops/table.h"

#include "ops/gemm.h"
#include "ops/rows.h"

hn_nearest hn_nearest_code(hn_graph *g, hn_val x, hn_val codes)
{
    const hn_val first = HN__EMIT(g, nearest_code, NULL, x, codes);
    return (hn_nearest){ first, hn__out(first, 1), hn__out(first, 2), hn__out(first, 3) };
}

static hn_status infer(hn__inst *n)
{
    const hn_type *x = &n->in[0], *codes = &n->in[1];
    char tx[128], tc[128];

    HN_TRY(hn__want_float(n, 0));
    if (x->rank < 1 || codes->rank != 2 || codes->dtype != x->dtype ||
        hn__cols(x) != codes->dim[1])
        return hn_fail(HN_ERR_SHAPE,
                       "x is %s, codes are %s: must be [..., d] and [K, d] of one type",
                       hn__type_text(x, tx, sizeof tx), hn__type_text(codes, tc, sizeof tc));
    n->n_out = 4;
    for (int i = 0; i < 4; i++) {
        n->out[i] = *x;
        n->out[i].rank--;
        n->out[i].dtype = i % 2 ? HN_F32 : HN_I32;
    }
    return HN_OK;
}

static double distance_f64(const double *x, const double *c, int64_t d)
{
    double sum = 0;
    for (int64_t i = 0; i < d; i++)
        sum += (x[i] - c[i]) * (x[i] - c[i]);
    return sum;
}

static void ref(const hn__inst *n, const double *const in[], double *const out[])
{
    const int64_t d = hn__cols(&n->in[0]), n_rows = hn__rows(&n->in[0]), k = n->in[1].dim[0];

    for (int64_t r = 0; r < n_rows; r++) {
        double at[2] = { 0, -1 }, least[2] = { INFINITY, INFINITY };
        for (int64_t c = 0; c < k; c++) {
            const double dist = distance_f64(in[0] + r * d, in[1] + c * d, d);
            if (dist < least[0]) {
                at[1] = c ? at[0] : -1;
                least[1] = least[0];
                at[0] = (double)c;
                least[0] = dist;
            } else if (dist < least[1]) {
                at[1] = (double)c;
                least[1] = dist;
            }
        }
        out[0][r] = at[0];
        out[1][r] = least[0];
        out[2][r] = at[1];
        out[3][r] = k > 1 ? least[1] : 0;
    }
}

// ---- host ----------------------------------------------------------------------------------

enum { ROWS = 64 }; // whose scores against all codes stay in cache

typedef struct job {
    const float *x, *codes;
    float *norm; // half the squared length of each code
    float *score;
    int32_t *index[2];
    float *distance[2];
    int64_t d, k;
    hn__pool *pool;
} job;

typedef struct best {
    float score[2];
    int32_t at[2]; // -1: none
} best;

static void consider(best *b, float score, int32_t at)
{
    if (b->at[0] < 0 || score > b->score[0]) {
        b->score[1] = b->score[0];
        b->at[1] = b->at[0];
        b->score[0] = score;
        b->at[0] = at;
    } else if (b->at[1] < 0 || score > b->score[1]) {
        b->score[1] = score;
        b->at[1] = at;
    }
}

// A group of lanes is looked into only where one of them beats the second best so far.
HN__HOT static best search(const float *score, const float *norm, int64_t k)
{
    best b = { { 0, 0 }, { -1, -1 } };
    int64_t c = 0;

    for (; c + HN__LANES <= k; c += HN__LANES) {
        float lane[HN__LANES];
        int n_better = 0;
        for (int l = 0; l < HN__LANES; l++) {
            lane[l] = score[c + l] - norm[c + l];
            n_better += lane[l] > b.score[1];
        }
        const bool look = n_better || b.at[1] < 0;
        for (int l = 0; l < HN__LANES && look; l++)
            consider(&b, lane[l], (int32_t)(c + l));
    }
    for (; c < k; c++)
        consider(&b, score[c] - norm[c], (int32_t)c);
    return b;
}

HN__ROW_SUM(distance, (const float *x, const float *c, int64_t n), (x[i] - c[i]) * (x[i] - c[i]))

HN__HOT static void keep(const job *j, int64_t r, const best *b)
{
    for (int i = 0; i < 2; i++) {
        j->index[i][r] = b->at[i];
        j->distance[i][r] =
            b->at[i] < 0 ? 0 : distance(j->x + r * j->d, j->codes + b->at[i] * j->d, j->d);
    }
}

static void rows(void *ctx, int64_t begin, int64_t end, int thread)
{
    const job *j = ctx;
    float *score = j->score + thread * ROWS * j->k;

    for (int64_t r = begin; r < end; r += ROWS) {
        const int64_t m = end - r < ROWS ? end - r : ROWS;
        hn__gemm(&(hn__gemm_args){ .transpose_b = true,
                                   .m = m,
                                   .n = j->k,
                                   .k = j->d,
                                   .a = j->x + r * j->d,
                                   .lda = j->d,
                                   .b = j->codes,
                                   .ldb = j->d,
                                   .c = score,
                                   .ldc = j->k,
                                   .scale = 1,
                                   .room = hn__pool_room(j->pool, thread) });
        for (int64_t i = 0; i < m; i++) {
            const best b = search(score + i * j->k, j->norm, j->k);
            keep(j, r + i, &b);
        }
    }
}

HN__HOT static void norms(void *ctx, int64_t begin, int64_t end, int thread)
{
    const job *j = ctx;

    (void)thread;
    for (int64_t c = begin; c < end; c++)
        j->norm[c] = 0.5f * hn__row_dot(j->codes + c * j->d, j->codes + c * j->d, j->d);
}

static int64_t scratch(const hn__inst *n, int n_threads)
{
    return (int64_t)sizeof(float) * n->in[1].dim[0] * (1 + n_threads * ROWS);
}

static void host(const hn__inst *n, const hn__host *h)
{
    const int64_t k = n->in[1].dim[0];
    job j = { .x = h->in[0],
              .codes = h->in[1],
              .norm = h->scratch,
              .score = (float *)h->scratch + k,
              .index = { h->out[0], h->out[2] },
              .distance = { h->out[1], h->out[3] },
              .d = hn__cols(&n->in[0]),
              .k = k,
              .pool = h->pool };

    hn__parallel(h->pool, k, 1 + 16384 / j.d, norms, &j);
    hn__parallel(h->pool, hn__rows(&n->in[0]), 1 + 32768 / (k * j.d), rows, &j);
}

// ---- launch, sample ------------------------------------------------------------------------

// A thread takes a tile of rows through one part of the codes; a second dispatch joins the parts.
static void launch(const hn__inst *n, hn__launch *l)
{
    const int64_t n_rows = hn__rows(&n->in[0]), k = n->in[1].dim[0],
                  size = hn__register_tile(l->device);
    const int64_t n_tiles = (n_rows + size - 1) / size, wanted = 4096 / n_tiles + 1,
                  most = (k + 63) / 64;
    const int64_t n_parts = wanted < most ? wanted : most;
    const struct nearest_code_push p = { .rows = (uint32_t)n_rows,
                                         .k = (uint32_t)k,
                                         .d = (uint32_t)hn__cols(&n->in[0]),
                                         .n_parts = (uint32_t)n_parts,
                                         .per_part = (uint32_t)((k + n_parts - 1) / n_parts) };

    l->n_tmp = 1;
    l->tmp_bytes[0] = 16 * n_rows * n_parts;
    hn__dispatch *d = hn__add_dispatch(l, n, "nearest_code");
    d->n_bind = 3;
    d->bind[2] = HN__TMP(0);
    d->spec[0] = 32;
    d->spec[d->n_spec++] = (uint32_t)size;
    d->flop = 4.0 * (double)n_rows * (double)k * (double)p.d;
    hn__push(d, &p, sizeof p);
    hn__threads(d, n_tiles * n_parts);

    d = hn__add_dispatch(l, n, "nearest_code_join");
    d->bind[d->n_bind++] = HN__TMP(0);
    hn__push(d, &p, sizeof p);
    hn__threads(d, n_rows);
}

// Elements are multiples of 1/8, so that scores and distances are exact and ties are common.
static void sample(hn_rng *rng, hn__sample *s)
{
    const int64_t r = hn__rng_dim(rng, 130), d = hn__rng_dim(rng, 40), k = hn__rng_dim(rng, 300);

    s->inst.n_in = 2;
    s->inst.in[0] = (hn_type){ .rank = 2, .dim = { r, d } };
    s->inst.in[1] = (hn_type){ .rank = 2, .dim = { k, d } };
    s->range[0].step = s->range[1].step = 0.125;
}

const hn__op_fns hn__fns_nearest_code = { .infer = infer,
                                          .ref = ref,
                                          .host = host,
                                          .scratch = scratch,
                                          .launch = launch,
                                          .sample = sample };
