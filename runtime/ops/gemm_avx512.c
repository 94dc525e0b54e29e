// hn__gemm where the processor has AVX-512: the blocked product of Goto and van de Geijn (2008,
// "Anatomy of high-performance matrix multiplication"), with what comes after the product done
// while its rows are in the nearest cache.
//
// A panel of op(b), DEPTH x COLS, is copied into strips of STRIP columns that stay in the second
// cache; a sliver of op(a), ROWS x DEPTH, lies in the first one while it meets all of them.
#include "ops/gemm.h"

#include "device/device.h"

#if defined(__GNUC__) && !defined(__clang__) && defined(__x86_64__) && !defined(HN_NO_CLONES)
#include <assert.h>
#include <immintrin.h>

#define AVX512 __attribute__((target("avx2,fma,avx512f,avx512bw,avx512dq,avx512vl")))
#define AVX512_INLINE AVX512 static inline __attribute__((always_inline))
// Inlined into its loop over strips, a tile would share the registers with what is kept across
// strips, and read part of b from the stack for every sum.
#define AVX512_ALONE AVX512 static __attribute__((noinline))

enum {
    LANES = 16,
    ROWS = 12,          // with STRIP, of a tile of c in registers: 24 sums
    STRIP = 2 * LANES,
    DEPTH = 256,
    COLS = 512,
};
static_assert(DEPTH * COLS <= HN__POOL_ROOM, "a panel is larger than the room for it");

bool hn__gemm_has_avx512(void)
{
    return __builtin_cpu_supports("x86-64-v4");
}

// ---- copying -------------------------------------------------------------------------------

AVX512_INLINE __mmask16 first(int64_t n)
{
    return (__mmask16)(n >= LANES ? 0xffff : n <= 0 ? 0 : (1 << n) - 1);
}

// Rows to columns, in place.
AVX512_INLINE void transpose(__m512 x[LANES])
{
    __m512 y[LANES];
    for (int i = 0; i < LANES; i += 4) { // 4 x 4 inside each quarter of the lanes
        const __m512 a = _mm512_unpacklo_ps(x[i], x[i + 1]),
                     b = _mm512_unpackhi_ps(x[i], x[i + 1]),
                     c = _mm512_unpacklo_ps(x[i + 2], x[i + 3]),
                     d = _mm512_unpackhi_ps(x[i + 2], x[i + 3]);
        y[i] = _mm512_shuffle_ps(a, c, 0x44);
        y[i + 1] = _mm512_shuffle_ps(a, c, 0xee);
        y[i + 2] = _mm512_shuffle_ps(b, d, 0x44);
        y[i + 3] = _mm512_shuffle_ps(b, d, 0xee);
    }
    for (int i = 0; i < 4; i++) { // the quarters
        const __m512 a = _mm512_shuffle_f32x4(y[i], y[i + 4], 0x88),
                     b = _mm512_shuffle_f32x4(y[i + 8], y[i + 12], 0x88),
                     c = _mm512_shuffle_f32x4(y[i], y[i + 4], 0xdd),
                     d = _mm512_shuffle_f32x4(y[i + 8], y[i + 12], 0xdd);
        x[i] = _mm512_shuffle_f32x4(a, b, 0x88);
        x[i + 4] = _mm512_shuffle_f32x4(c, d, 0x88);
        x[i + 8] = _mm512_shuffle_f32x4(a, b, 0xdd);
        x[i + 12] = _mm512_shuffle_f32x4(c, d, 0xdd);
    }
}

// Up to 16 lanes of `depth` steps: to[k * step + l]. A step's lanes are neighbours, or, where they
// lie `along` the sum, `ld` apart. Lanes from n on become 0; all 16 are written, so that those
// beyond `step` are replaced by the next step's.
AVX512_INLINE void copy(bool along, const float *x, int64_t ld, int64_t n, int64_t depth, float *to,
                        int64_t step)
{
    if (!along) {
        for (int64_t k = 0; k < depth; k++)
            _mm512_storeu_ps(to + k * step, _mm512_maskz_loadu_ps(first(n), x + k * ld));
        return;
    }
    for (int64_t k = 0; k < depth; k += LANES) {
        __m512 v[LANES];
        for (int64_t l = 0; l < LANES; l++)
            v[l] = l < n ? _mm512_maskz_loadu_ps(first(depth - k), x + l * ld + k)
                         : _mm512_setzero_ps();
        transpose(v);
        for (int64_t i = 0; i < LANES && k + i < depth; i++)
            _mm512_storeu_ps(to + (k + i) * step, v[i]);
    }
}

// ---- a tile --------------------------------------------------------------------------------

typedef struct tile {
    const float *a, *b; // a sliver, [depth, ROWS], and a strip, [depth, STRIP]
    float *c;
    int64_t ldc, depth, rows, cols;
    float scale, keep;
} tile;

// `rows` of a tile, at most as many as are summed. keep is 0 or 1 here, or the caller's own.
AVX512_INLINE void multiply(const tile *t, int rows)
{
    __m512 sum[ROWS][2];
    const float *a = t->a, *b = t->b;

#pragma GCC unroll 12
    for (int r = 0; r < rows; r++)
        sum[r][0] = sum[r][1] = _mm512_setzero_ps();
#pragma GCC unroll 12
    for (int r = 0; r < rows; r++) { // c comes while the sums are made
        const float *c = t->c + (r < t->rows ? r : 0) * t->ldc;
        _mm_prefetch((const char *)c, _MM_HINT_T0);
        _mm_prefetch((const char *)(c + LANES), _MM_HINT_T0);
    }
    for (int64_t k = 0; k < t->depth; k++, a += ROWS, b += STRIP) {
        const __m512 low = _mm512_loadu_ps(b), high = _mm512_loadu_ps(b + LANES);
#pragma GCC unroll 12
        for (int r = 0; r < rows; r++) {
            const __m512 x = _mm512_set1_ps(a[r]);
            sum[r][0] = _mm512_fmadd_ps(x, low, sum[r][0]);
            sum[r][1] = _mm512_fmadd_ps(x, high, sum[r][1]);
        }
    }
    const __mmask16 low = first(t->cols), high = first(t->cols - LANES);
    const __m512 scale = _mm512_set1_ps(t->scale), keep = _mm512_set1_ps(t->keep);
#pragma GCC unroll 12
    for (int r = 0; r < rows; r++) {
        float *c = t->c + r * t->ldc;
        __m512 x = _mm512_mul_ps(sum[r][0], scale), y = _mm512_mul_ps(sum[r][1], scale);
        if (r >= t->rows)
            break;
        if (t->keep != 0) {
            x = _mm512_fmadd_ps(_mm512_maskz_loadu_ps(low, c), keep, x);
            y = _mm512_fmadd_ps(_mm512_maskz_loadu_ps(high, c + LANES), keep, y);
        }
        _mm512_mask_storeu_ps(c, low, x);
        _mm512_mask_storeu_ps(c + LANES, high, y);
    }
}

AVX512_ALONE void multiply_12(const tile *t)
{
    multiply(t, 12);
}

AVX512_ALONE void multiply_8(const tile *t)
{
    multiply(t, 8);
}

AVX512_ALONE void multiply_4(const tile *t)
{
    multiply(t, 4);
}

// ---- blocks --------------------------------------------------------------------------------

typedef struct block {
    int64_t col, cols, k, depth;
} block;

AVX512 static void copy_panel(const hn__gemm_args *g, const block *p)
{
    for (int64_t j = 0; j < p->cols; j += LANES) {
        const int64_t col = p->col + j;
        const float *b = g->b + (g->transpose_b ? col * g->ldb + p->k : p->k * g->ldb + col);
        copy(g->transpose_b, b, g->ldb, p->cols - j, p->depth,
             g->room + j / STRIP * STRIP * p->depth + j % STRIP, STRIP);
    }
    if (p->cols % STRIP > 0 && p->cols % STRIP <= LANES)
        for (int64_t k = 0; k < p->depth; k++)
            _mm512_storeu_ps(g->room + p->cols / STRIP * STRIP * p->depth + k * STRIP + LANES,
                             _mm512_setzero_ps());
}

// A sliver of rows with all strips of the panel.
AVX512 static void sliver(const hn__gemm_args *g, const block *p, int64_t row, int64_t rows,
                          const float *a)
{
    tile t = { .a = a, .ldc = g->ldc, .depth = p->depth, .rows = rows, .scale = g->scale,
               .keep = p->k ? 1 : g->keep };

    for (int64_t j = 0; j < p->cols; j += STRIP) {
        t.b = g->room + j * p->depth;
        t.c = g->c + row * g->ldc + p->col + j;
        t.cols = p->cols - j < STRIP ? p->cols - j : STRIP;
        if (rows > 8)
            multiply_12(&t);
        else if (rows > 4)
            multiply_8(&t);
        else
            multiply_4(&t);
    }
}

AVX512 static void multiply_block(const hn__gemm_args *g, const block *p)
{
    float a[DEPTH * ROWS + LANES];

    copy_panel(g, p);
    for (int64_t row = 0; row < g->m; row += ROWS) {
        const int64_t rows = g->m - row < ROWS ? g->m - row : ROWS;
        const float *from = g->a + (g->transpose_a ? p->k * g->lda + row : row * g->lda + p->k);
        copy(!g->transpose_a, from, g->lda, rows, p->depth, a, ROWS);
        sliver(g, p, row, rows, a);
        if (g->finish && p->k + p->depth == g->k)
            g->finish(g->ctx, row, rows, p->col, p->cols);
    }
}

void hn__gemm_avx512(const hn__gemm_args *g)
{
    const int64_t deep = (g->k + DEPTH - 1) / DEPTH, wide = (g->n + COLS - 1) / COLS;
    const int64_t depth = (g->k + deep - 1) / deep;
    const int64_t cols = ((g->n + wide - 1) / wide + STRIP - 1) / STRIP * STRIP;

    for (block p = { 0 }; p.col < g->n; p.col += cols) {
        p.cols = g->n - p.col < cols ? g->n - p.col : cols;
        for (p.k = 0; p.k < g->k; p.k += depth) {
            p.depth = g->k - p.k < depth ? g->k - p.k : depth;
            multiply_block(g, &p);
        }
    }
}

#else

bool hn__gemm_has_avx512(void)
{
    return false;
}

void hn__gemm_avx512(const hn__gemm_args *g)
{
    (void)g;
}

#endif
