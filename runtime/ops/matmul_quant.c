// Products with a b that is stored otherwise than a: quantised, or 16-bit beside f32. b is never
// expanded: the host takes it a row or a panel of some rows at a time.
#include "ops/matmul.h"

#include "base/formats.h"
#include "ops/gemm.h"

static bool is_quantised(const hn_type *t)
{
    return hn__is_quantised(t->dtype);
}

hn_status hn__matmul_check_types(const hn__inst *n)
{
    const hn__matmul_attr *at = n->attr;
    const hn_type *a = &n->in[0], *b = &n->in[1];
    const char *wrong = NULL;
    char ta[128], tb[128];

    if (a->dtype == b->dtype && hn__is_float(a->dtype))
        return HN_OK;
    if (a->dtype == HN_Q8_0 ? !is_quantised(b) : a->dtype != HN_F32)
        wrong = a->dtype == HN_Q8_0 ? "a of q8_0 goes with a quantised b"
                : hn__is_float(a->dtype) && hn__is_float(b->dtype)
                    ? "element types differ, and a is not f32"
                    : "a must be f32, or have b's float type";
    else if (!hn__is_float(b->dtype) && !is_quantised(b))
        wrong = "b must be float or quantised";
    else if (b->rank != 2)
        wrong = "a b of another type than a's must be one matrix";
    else if (at->transpose_a)
        wrong = "a b of another type than a's goes with an a that is not transposed";
    else if (a->dtype == HN_Q8_0 && !at->transpose_b)
        wrong = "a of q8_0 goes with a transposed b, whose blocks lie along the sum";
    return wrong ? hn_fail(HN_ERR_SHAPE, "%s times %s: %s", hn__type_text(a, ta, sizeof ta),
                           hn__type_text(b, tb, sizeof tb), wrong)
                 : HN_OK;
}

bool hn__matmul_is_stored(const hn__inst *n)
{
    const hn__matmul_attr *at = n->attr;
    return n->in[1].dtype != HN_F32 && n->in[1].rank == 2 && !at->transpose_a;
}

// ---- host ----------------------------------------------------------------------------------

enum {
    PANEL = 1 << 17, // elements of b that a thread holds as f32: half a megabyte
    // Most rows of a for which b goes straight to the sums. Measured on one thread of a Zen 4,
    // GFLOP/s: sums of q4_1 53 (q4_k 44, f16 23), by integers 70; OpenBLAS on panels 26 with 16
    // rows, 41 with 32, 58 with 64, 92 with 512.
    FEW_ROWS_16 = 8,  // 16-bit b
    FEW_ROWS = 32,    // b in blocks
    FEW_ROWS_8 = 48,  // both in blocks: a prompt in chunks of 64 is faster by panels
    GRAIN = 1 << 17,  // multiplications that are worth another thread
    MOST_BLOCK = 256, // elements
};

typedef struct job {
    const hn__matmul_attr *at;
    hn__matmul_dims d;
    hn_dtype type; // of b
    int64_t unit;  // columns of y that are split no further
    const float *a;
    const char *b;
    const float *bias, *other;
    float *y;
    void *scratch; // sums of a; a in blocks made ready; or panels, panel_size elements a thread
    int64_t panel_size;
    hn__dots_fn dots;
    hn__dots8_fn dots8; // both NULL: by panels
    hn__pool *pool;
} job;

// Where element (row, col) of b lies; col at the beginning of a block.
static const char *place(const job *j, int64_t row, int64_t col)
{
    const hn_type before = { .dtype = j->type, .rank = 1, .dim = { row * j->d.ldb + col } };
    return j->b + hn_type_bytes(&before);
}

static void finish_part(const job *j, int64_t col, int64_t n)
{
    if (!j->at->act && !j->bias && !j->other)
        return;
    for (int64_t r = 0; r < j->d.m; r++) {
        const int64_t first = r * j->d.n + col;
        hn__matmul_finish(j->at, n, j->y + first, j->bias ? j->bias + col : NULL,
                          j->other ? j->other + first : NULL);
    }
}

// b transposed: its rows are columns of y, and each is read once for a few rows of a, which stay
// in the nearest cache: they are the larger side.
static void few_rows(const job *j, int64_t col, int64_t n)
{
    hn__dots d = { .k = j->d.k, .lda = j->d.lda, .scale = j->at->scale, .ldy = j->d.n };

    for (int64_t r = 0; r < j->d.m; r += HN__DOTS_ROWS) {
        d.m = j->d.m - r < HN__DOTS_ROWS ? j->d.m - r : HN__DOTS_ROWS;
        d.a = j->a + r * j->d.lda;
        d.sums = (const float *)j->scratch + r * (j->d.k / HN__BLOCK_32);
        for (int64_t c = col; c < col + n; c++)
            j->dots(&d, place(j, c, 0), j->y + r * j->d.n + c);
    }
}

static void few_rows_8(const job *j, int64_t col, int64_t n)
{
    hn__dots8 d = { .k = j->d.k, .scale = j->at->scale, .ldy = j->d.n };

    for (int64_t r = 0; r < j->d.m; r += HN__DOTS_ROWS) {
        d.m = j->d.m - r < HN__DOTS_ROWS ? j->d.m - r : HN__DOTS_ROWS;
        d.a = (const hn__row8 *)j->scratch + r * (j->d.k / HN__BLOCK_32);
        for (int64_t c = col; c < col + n; c++)
            j->dots8(&d, place(j, c, 0), j->y + r * j->d.n + c);
    }
}

static void transposed_panels(const job *j, int64_t col, int64_t n, float *panel, int thread)
{
    const int64_t most = j->panel_size / j->d.k;

    for (int64_t c = col; c < col + n; c += most) {
        const int64_t rows = col + n - c < most ? col + n - c : most;
        hn__to_f32(j->type, place(j, c, 0), panel, rows * j->d.k);
        hn__gemm(&(hn__gemm_args){ .transpose_b = true,
                                   .m = j->d.m,
                                   .n = rows,
                                   .k = j->d.k,
                                   .a = j->a,
                                   .lda = j->d.lda,
                                   .b = panel,
                                   .ldb = j->d.k,
                                   .c = j->y + c,
                                   .ldc = j->d.n,
                                   .scale = j->at->scale,
                                   .room = hn__pool_room(j->pool, thread) });
    }
}

// b not transposed: a panel is some rows of these columns, and adds its part of the sum.
static void plain_panels(const job *j, int64_t col, int64_t n, float *panel, int thread)
{
    const int64_t fit = j->panel_size / n, most = fit ? fit : 1;

    for (int64_t k = 0; k < j->d.k; k += most) {
        const int64_t rows = j->d.k - k < most ? j->d.k - k : most;
        for (int64_t r = 0; r < rows; r++)
            hn__to_f32(j->type, place(j, k + r, col), panel + r * n, n);
        hn__gemm(&(hn__gemm_args){ .m = j->d.m,
                                   .n = n,
                                   .k = rows,
                                   .a = j->a + k,
                                   .lda = j->d.lda,
                                   .b = panel,
                                   .ldb = n,
                                   .c = j->y + col,
                                   .ldc = j->d.n,
                                   .scale = j->at->scale,
                                   .keep = k ? 1 : 0,
                                   .room = hn__pool_room(j->pool, thread) });
    }
}

static void part(void *ctx, int64_t begin, int64_t end, int thread)
{
    const job *j = ctx;
    const int64_t col = begin * j->unit, stop = end * j->unit < j->d.n ? end * j->unit : j->d.n;
    float *mine = (float *)j->scratch + thread * j->panel_size;

    if (!j->at->transpose_b) {
        for (int64_t c = col; c < stop; c += j->panel_size)
            plain_panels(j, c, stop - c < j->panel_size ? stop - c : j->panel_size, mine, thread);
    } else if (j->dots8) {
        few_rows_8(j, col, stop - col);
    } else if (j->dots) {
        few_rows(j, col, stop - col);
    } else {
        transposed_panels(j, col, stop - col, mine, thread);
    }
    finish_part(j, col, stop - col);
}

// At least a row of a transposed b; a multiple of every block's size.
static int64_t panel_size(const hn__inst *n)
{
    const int64_t k = hn__matmul_dims_of(n).k,
                  row = (k + MOST_BLOCK - 1) / MOST_BLOCK * MOST_BLOCK;
    return row > PANEL ? row : PANEL;
}

static hn__dots_fn dots_of(const hn__inst *n)
{
    const hn__matmul_dims d = hn__matmul_dims_of(n);
    const int64_t most = is_quantised(&n->in[1]) ? FEW_ROWS : FEW_ROWS_16;
    const bool few = ((const hn__matmul_attr *)n->attr)->transpose_b && d.m <= most;
    return few ? hn__dots_of(n->in[1].dtype, d.k) : NULL;
}

static hn__dots8_fn dots8_of(const hn__inst *n)
{
    const bool few = n->in[0].dtype == HN_Q8_0 && hn__matmul_dims_of(n).m <= FEW_ROWS_8;
    return few ? hn__dots8_of(n->in[1].dtype) : NULL;
}

// Bytes of scratch before a as f32, if it comes in blocks and is expanded.
static int64_t own_scratch(const hn__inst *n, int n_threads)
{
    const hn__matmul_dims d = hn__matmul_dims_of(n);
    const int64_t pieces = d.m * (d.k / HN__BLOCK_32);
    return dots8_of(n)  ? pieces * (int64_t)sizeof(hn__row8)
           : dots_of(n) ? pieces * (int64_t)sizeof(float)
                        : n_threads * panel_size(n) * (int64_t)sizeof(float);
}

static bool expands_a(const hn__inst *n)
{
    return n->in[0].dtype == HN_Q8_0 && !dots8_of(n);
}

int64_t hn__matmul_stored_scratch(const hn__inst *n, int n_threads)
{
    const int64_t wide = expands_a(n) ? hn__numel(&n->in[0]) : 0;
    return own_scratch(n, n_threads) + wide * (int64_t)sizeof(float) + hn__matmul_norm_scratch(n);
}

void hn__matmul_stored(const hn__inst *n, const hn__host *h)
{
    const hn__matmul_attr *at = n->attr;
    const int block = hn_dtype_block(n->in[1].dtype);
    job j = { .at = at,
              .d = hn__matmul_dims_of(n),
              .type = n->in[1].dtype,
              .unit = at->transpose_b ? 1
                      : block > 16    ? block
                                      : 16,
              .b = h->in[1],
              .bias = at->has_bias ? h->in[2] : NULL,
              .other = hn__matmul_other(n) ? h->in[hn__matmul_other(n)] : NULL,
              .y = h->out[0],
              .scratch = h->scratch,
              .panel_size = panel_size(n),
              .dots = dots_of(n),
              .dots8 = dots8_of(n),
              .pool = h->pool };

    void *room = (char *)h->scratch + own_scratch(n, hn__pool_threads(h->pool));
    j.a = hn__matmul_norm_host(n, h, room); // never of an a in blocks
    if (expands_a(n)) {
        hn__to_f32(HN_Q8_0, h->in[0], room, j.d.m * j.d.k);
        j.a = room;
    }
    if (j.dots8)
        hn__dots8_rows(j.type, h->in[0], j.d.m * j.d.k, h->scratch);
    else if (j.dots)
        hn__dots_sums(j.a, j.d.m * j.d.k, j.scratch);

    hn__parallel(h->pool, (j.d.n + j.unit - 1) / j.unit, 1 + GRAIN / (j.d.m * j.d.k * j.unit),
                 part, &j);
}
