// Reductions at the end of a fused expression on the cpu. Work is cut by shape alone, never by the
// number of threads, and parts are joined in order: the result is the same on every run.
#include "plan/expr_host.h"

#include <math.h>
#include <string.h>

// The space as [outer, count, inner], reduced over count, which is cut in `chunks` of `chunk`.
typedef struct job {
    const hn__program *p;
    int64_t outer, count, inner, chunk, chunks;
    int n;                    // reduced outputs
    int out[HN__EXPR_OUT];    // which
    char *partial[HN__EXPR_OUT]; // where chunks > 1
} job;

enum { UNITS = 16, FLUSH = 32 };

static bool by_columns(const hn__expr *e)
{
    return e->axis < e->rank - 1;
}

static job job_of(const hn__expr *e, const hn__tiling *t)
{
    job j = { .outer = 1, .count = e->dim[e->axis], .inner = 1 };
    for (int i = 0; i < e->axis; i++)
        j.outer *= e->dim[i];
    for (int i = e->axis + 1; i < e->rank; i++)
        j.inner *= e->dim[i];
    for (int i = 0; i < e->n_out; i++)
        if (e->out[i].reduced)
            j.out[j.n++] = i;

    // few units: cut the axis, in parts of at least 16 tiles
    const int64_t steps = by_columns(e) ? (j.count + t->block - 1) / t->block : t->pieces;
    const int64_t units = j.outer * (by_columns(e) ? t->pieces : 1);
    int64_t want = (UNITS + units - 1) / units;
    want = want < steps / 16 ? want : steps / 16;
    want = want > 1 ? want : 1;
    const int64_t per = (steps + want - 1) / want;
    j.chunk = per * (by_columns(e) ? t->block : t->step);
    j.chunks = (j.count + j.chunk - 1) / j.chunk;
    return j;
}

static int64_t partial_bytes(const job *j)
{
    return j->chunks > 1 ? (j->outer * j->inner * j->chunks * 8 + 63) / 64 * 64 : 0;
}

int hn__reduce_regs(const hn__expr *e)
{
    int n = 0;
    for (int i = 0; i < e->n_out; i++)
        n += e->out[i].reduced ? 2 : 0;
    return n;
}

int64_t hn__reduce_scratch(const hn__expr *e)
{
    hn__program p;
    if (e->reduce == HN__REDUCE_NONE)
        return 0;
    hn__program_make(e, NULL, NULL, &p);
    const job j = job_of(e, &p.t);
    return partial_bytes(&j) * j.n;
}

// ---- lanes ---------------------------------------------------------------------------------

enum { LANES = 32 };

HN__HOT static double sum_f32(const float *x, int64_t n)
{
    float lane[LANES] = { 0 };
    double sum = 0;
    int64_t i = 0;
    for (; i + LANES <= n; i += LANES)
        for (int k = 0; k < LANES; k++)
            lane[k] += x[i + k];
    for (; i < n; i++)
        sum += (double)x[i];
    for (int k = 0; k < LANES; k++)
        sum += (double)lane[k];
    return sum;
}

HN__HOT static double sum_i32(const int32_t *x, int64_t n)
{
    int64_t sum = 0;
    for (int64_t i = 0; i < n; i++)
        sum += x[i];
    return (double)sum;
}

// A NaN stays.
#define GREATER(a, b) (((b) > (a)) | ((b) != (b)) ? (b) : (a))
#define LESS(a, b) (((b) < (a)) | ((b) != (b)) ? (b) : (a))
#define EXTREME(name, better, worst)                                                              \
    HN__HOT static double name##_f32(const float *x, int64_t n)                                   \
    {                                                                                             \
        float lane[LANES], r = worst;                                                             \
        int64_t i = 0;                                                                            \
        for (int k = 0; k < LANES; k++)                                                           \
            lane[k] = worst;                                                                      \
        for (; i + LANES <= n; i += LANES)                                                        \
            for (int k = 0; k < LANES; k++)                                                       \
                lane[k] = better(lane[k], x[i + k]);                                              \
        for (; i < n; i++)                                                                        \
            r = better(r, x[i]);                                                                  \
        for (int k = 0; k < LANES; k++)                                                           \
            r = better(r, lane[k]);                                                               \
        return (double)r;                                                                         \
    }                                                                                             \
    HN__HOT static void name##_lanes(float *restrict acc, const float *restrict x, int64_t n)     \
    {                                                                                             \
        for (int64_t i = 0; i < n; i++)                                                           \
            acc[i] = better(acc[i], x[i]);                                                        \
    }
EXTREME(max, GREATER, -INFINITY)
EXTREME(min, LESS, INFINITY)

HN__HOT static void add_lanes(float *restrict acc, const float *restrict x, int64_t n)
{
    for (int64_t i = 0; i < n; i++)
        acc[i] += x[i];
}

HN__HOT static void add_lanes_i32(uint32_t *restrict acc, const uint32_t *restrict x, int64_t n)
{
    for (int64_t i = 0; i < n; i++)
        acc[i] += x[i];
}

static bool is_i32(const job *j, int o)
{
    return j->p->e->out[j->out[o]].type == HN_I32;
}

static void join_lanes(const job *j, int o, void *acc, const void *x, int64_t n)
{
    const hn__reduce kind = j->p->e->reduce;
    if (is_i32(j, o))
        add_lanes_i32(acc, x, n);
    else if (kind == HN__REDUCE_MAX)
        max_lanes(acc, x, n);
    else if (kind == HN__REDUCE_MIN)
        min_lanes(acc, x, n);
    else
        add_lanes(acc, x, n);
}

static float identity(hn__reduce kind)
{
    return kind == HN__REDUCE_MAX ? -INFINITY : kind == HN__REDUCE_MIN ? INFINITY : 0;
}

static void clear_lanes(hn__reduce kind, float *x, int64_t n)
{
    const float one = identity(kind);
    for (int64_t i = 0; i < n; i++)
        x[i] = one;
}

// ---- along rows ----------------------------------------------------------------------------

static double fold(const job *j, int o, const void *x, int64_t n)
{
    const hn__reduce kind = j->p->e->reduce;
    if (is_i32(j, o))
        return sum_i32(x, n);
    return kind == HN__REDUCE_MAX   ? max_f32(x, n)
           : kind == HN__REDUCE_MIN ? min_f32(x, n)
                                    : sum_f32(x, n);
}

static double join(hn__reduce kind, double a, double b)
{
    return kind == HN__REDUCE_MAX ? GREATER(a, b) : kind == HN__REDUCE_MIN ? LESS(a, b) : a + b;
}

static void finish(const job *j, int o, int64_t row, double x)
{
    const hn__expr *e = j->p->e;
    const int k = j->out[o];
    const float f = (float)(e->reduce == HN__REDUCE_MEAN ? x / (double)j->count : x);
    const uint32_t i = is_i32(j, o) ? (uint32_t)(int64_t)x : 0;

    hn__lanes_store(e->out[k].type, is_i32(j, o) ? (const void *)&i : &f, j->p->ptr[e->n_in + k],
                    row, 1);
}

static const void *reduced(const job *j, const hn__lanes *l, int o)
{
    return l->value[j->p->e->out[j->out[o]].value];
}

// Several rows a tile.
static void short_rows(void *ctx, int64_t begin, int64_t end, int thread)
{
    const job *j = ctx;
    const hn__tiling *t = &j->p->t;
    hn__lanes l = hn__lanes_of(j->p, thread);

    for (int64_t b = begin; b < end; b++) {
        const int64_t row = b * t->block, n = t->rows - row < t->block ? t->rows - row : t->block;
        hn__tile_run(&l, row * t->cols, n * t->cols);
        for (int o = 0; o < j->n; o++)
            for (int64_t r = 0; r < n; r++)
                finish(j, o, row + r,
                       fold(j, o, (const float *)reduced(j, &l, o) + r * t->cols, t->cols));
    }
}

// Several tiles a row. A unit is a chunk of a row.
static void long_rows(void *ctx, int64_t begin, int64_t end, int thread)
{
    const job *j = ctx;
    const hn__tiling *t = &j->p->t;
    const hn__reduce kind = j->p->e->reduce;
    hn__lanes l = hn__lanes_of(j->p, thread);

    for (int64_t u = begin; u < end; u++) {
        const int64_t row = u / j->chunks, from = u % j->chunks * j->chunk;
        const int64_t to = from + j->chunk < t->cols ? from + j->chunk : t->cols;
        double acc[HN__EXPR_OUT];
        for (int o = 0; o < j->n; o++)
            acc[o] = (double)identity(kind);
        for (int64_t c = from; c < to; c += t->step) {
            const int64_t n = to - c < t->step ? to - c : t->step;
            hn__tile_run(&l, row * t->cols + c, n);
            for (int o = 0; o < j->n; o++)
                acc[o] = join(kind, acc[o], fold(j, o, reduced(j, &l, o), n));
        }
        for (int o = 0; o < j->n; o++)
            if (j->chunks > 1)
                ((double *)j->partial[o])[u] = acc[o];
            else
                finish(j, o, row, acc[o]);
    }
}

static void run_rows(const job *j, hn__pool *pool)
{
    const hn__tiling *t = &j->p->t;

    if (t->pieces == 1) {
        hn__parallel(pool, (t->rows + t->block - 1) / t->block,
                     hn__program_grain(j->p, t->block * t->cols), short_rows, (void *)j);
        return;
    }
    hn__parallel(pool, j->outer * j->chunks, hn__program_grain(j->p, j->chunk), long_rows,
                 (void *)j);
    for (int o = 0; o < j->n && j->chunks > 1; o++)
        for (int64_t row = 0; row < j->outer; row++) {
            const double *part = (const double *)j->partial[o] + row * j->chunks;
            double x = part[0];
            for (int64_t s = 1; s < j->chunks; s++)
                x = join(j->p->e->reduce, x, part[s]);
            finish(j, o, row, x);
        }
}

// ---- along columns -------------------------------------------------------------------------

// This thread's accumulators of output o: `level` 0 takes tiles, level 1 what level 0 held after
// every FLUSH of them, so that a long sum is not one chain.
static float *accumulator(const job *j, const hn__lanes *l, int o, int level)
{
    return (float *)l->reg + (j->p->n_regs - 1 - 2 * o - level) * HN__TILE;
}

static void flush(const job *j, const hn__lanes *l, int64_t n)
{
    for (int o = 0; o < j->n; o++) {
        join_lanes(j, o, accumulator(j, l, o, 1), accumulator(j, l, o, 0), n);
        clear_lanes(j->p->e->reduce, accumulator(j, l, o, 0), n);
    }
}

static void finish_lanes(const job *j, int o, float *x, int64_t at, int64_t n)
{
    const hn__expr *e = j->p->e;
    const int k = j->out[o];
    for (int64_t i = 0; i < n && e->reduce == HN__REDUCE_MEAN; i++)
        x[i] /= (float)j->count;
    hn__lanes_store(e->out[k].type, x, j->p->ptr[e->n_in + k], at, n);
}

// Rows [from, to) of the axis, columns [col, col + n); the result is left in the accumulators of
// level 1.
static void sum_columns(const job *j, hn__lanes *l, int64_t o, int64_t from, int64_t to,
                        int64_t col, int64_t n)
{
    const int64_t block = j->p->t.block, wide = block * n;
    int64_t tiles = 0;

    for (int k = 0; k < j->n; k++) {
        clear_lanes(j->p->e->reduce, accumulator(j, l, k, 0), wide);
        clear_lanes(j->p->e->reduce, accumulator(j, l, k, 1), wide);
    }
    for (int64_t r = from; r < to; r += block) {
        const int64_t m = (to - r < block ? to - r : block) * n;
        hn__tile_run(l, (o * j->count + r) * j->inner + col, m);
        for (int k = 0; k < j->n; k++)
            join_lanes(j, k, accumulator(j, l, k, 0), reduced(j, l, k), m);
        if (++tiles % FLUSH == 0)
            flush(j, l, wide);
    }
    flush(j, l, wide);
    for (int k = 0; k < j->n; k++) // several rows stand side by side in a tile
        for (int64_t r = 1; r < block; r++)
            join_lanes(j, k, accumulator(j, l, k, 1), accumulator(j, l, k, 1) + r * n, n);
}

// A unit is a piece of the columns in a chunk of the rows of one outer index.
static void columns(void *ctx, int64_t begin, int64_t end, int thread)
{
    const job *j = ctx;
    const hn__tiling *t = &j->p->t;
    hn__lanes l = hn__lanes_of(j->p, thread);

    for (int64_t u = begin; u < end; u++) {
        const int64_t col = u % t->pieces * t->step, s = u / t->pieces % j->chunks;
        const int64_t o = u / t->pieces / j->chunks, from = s * j->chunk;
        const int64_t to = from + j->chunk < j->count ? from + j->chunk : j->count;
        const int64_t n = t->cols - col < t->step ? t->cols - col : t->step;
        sum_columns(j, &l, o, from, to, col, n);
        for (int k = 0; k < j->n; k++) {
            float *x = accumulator(j, &l, k, 1);
            if (j->chunks > 1)
                memcpy((float *)j->partial[k] + (s * j->outer + o) * j->inner + col, x,
                       (size_t)n * 4);
            else
                finish_lanes(j, k, x, o * j->inner + col, n);
        }
    }
}

static void join_chunks(void *ctx, int64_t begin, int64_t end, int thread)
{
    const job *j = ctx;
    const int64_t width = j->outer * j->inner;
    (void)thread;

    for (int o = 0; o < j->n; o++) {
        float *x = (float *)j->partial[o];
        for (int64_t s = 1; s < j->chunks; s++)
            join_lanes(j, o, x + begin, x + s * width + begin, end - begin);
        finish_lanes(j, o, x + begin, begin, end - begin);
    }
}

void hn__reduce_run(const hn__program *p, hn__pool *pool)
{
    job j = job_of(p->e, &p->t);

    j.p = p;
    for (int o = 0; o < j.n; o++)
        j.partial[o] =
            p->scratch + p->thread_bytes * hn__pool_threads(pool) + partial_bytes(&j) * o;
    if (!by_columns(p->e)) {
        run_rows(&j, pool);
        return;
    }
    hn__parallel(pool, j.outer * p->t.pieces * j.chunks, hn__program_grain(p, j.chunk * p->t.step),
                 columns, &j);
    if (j.chunks > 1)
        hn__parallel(pool, j.outer * j.inner, 4096, join_chunks, &j);
}
