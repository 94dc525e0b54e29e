// hn__gemm: a matrix product on the calling thread.
#include "ops/gemm.h"

#include "base/base.h"

#include <string.h>

#ifdef HN_HAVE_OPENBLAS
#include <cblas.h>

static void multiply(const hn__gemm_args *g)
{
    const blasint m = (blasint)g->m, n = (blasint)g->n, k = (blasint)g->k;
    const blasint lda = (blasint)g->lda, ldb = (blasint)g->ldb, ldc = (blasint)g->ldc;

    if (m == 1) // a product of a row is bound by reading b: sgemm would copy it first
        cblas_sgemv(CblasRowMajor, g->transpose_b ? CblasNoTrans : CblasTrans,
                    g->transpose_b ? n : k, g->transpose_b ? k : n, g->scale, g->b, ldb, g->a,
                    g->transpose_a ? lda : 1, g->keep, g->c, 1);
    else
        cblas_sgemm(CblasRowMajor, g->transpose_a ? CblasTrans : CblasNoTrans,
                    g->transpose_b ? CblasTrans : CblasNoTrans, m, n, k, g->scale, g->a, lda, g->b,
                    ldb, g->keep, g->c, ldc);
}

#else

enum { ROWS = 4, COLS = 64, DEPTH = 128 }; // of a tile; its piece of b, copied, takes 32 KiB

// A piece of op(b), DEPTH x COLS, copied dense; columns beyond n are 0.
static void copy_b(const hn__gemm_args *g, int64_t k0, int64_t depth, int64_t n0, int64_t n,
                   float *to)
{
    for (int64_t k = 0; k < depth; k++)
        for (int64_t j = 0; j < COLS; j++)
            to[k * COLS + j] = j >= n            ? 0
                               : g->transpose_b ? g->b[(n0 + j) * g->ldb + k0 + k]
                                                : g->b[(k0 + k) * g->ldb + n0 + j];
}

// Adds to rows [m0, m0 + rows) of the tile's columns the product over `depth` of the sum.
HN__HOT static void tile(const hn__gemm_args *g, const float *b, int64_t k0, int64_t depth,
                         int64_t m0, int64_t rows, int64_t n0, int64_t n)
{
    const int64_t row_step = g->transpose_a ? 1 : g->lda, k_step = g->transpose_a ? g->lda : 1;
    float sum[ROWS][COLS] = { { 0 } };

    for (int64_t k = 0; k < depth; k++)
        for (int64_t r = 0; r < ROWS; r++) {
            const float a = g->a[(m0 + (r < rows ? r : 0)) * row_step + (k0 + k) * k_step];
            for (int64_t j = 0; j < COLS; j++)
                sum[r][j] += a * b[k * COLS + j];
        }
    for (int64_t r = 0; r < rows; r++)
        for (int64_t j = 0; j < n; j++) {
            float *c = &g->c[(m0 + r) * g->ldc + n0 + j];
            const float before = k0 ? *c : g->keep != 0 ? g->keep * *c : 0;
            *c = before + g->scale * sum[r][j];
        }
}

static void multiply(const hn__gemm_args *g)
{
    float b[DEPTH * COLS];

    for (int64_t n0 = 0; n0 < g->n; n0 += COLS)
        for (int64_t k0 = 0; k0 < g->k; k0 += DEPTH) {
            const int64_t n = g->n - n0 < COLS ? g->n - n0 : COLS;
            const int64_t depth = g->k - k0 < DEPTH ? g->k - k0 : DEPTH;
            copy_b(g, k0, depth, n0, n, b);
            for (int64_t m0 = 0; m0 < g->m; m0 += ROWS)
                tile(g, b, k0, depth, m0, g->m - m0 < ROWS ? g->m - m0 : ROWS, n0, n);
        }
}

#endif

void hn__gemm(const hn__gemm_args *g)
{
    if (g->m > 1 && hn__gemm_has_avx512()) {
        hn__gemm_avx512(g);
        return;
    }
    multiply(g);
    if (g->finish)
        g->finish(g->ctx, 0, g->m, 0, g->n);
}
