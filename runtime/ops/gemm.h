// Single-precision matrix product on one thread, for host kernels.
#ifndef HN_OPS_GEMM_H
#define HN_OPS_GEMM_H

#include <stdbool.h>
#include <stdint.h>

// c = scale op(a) op(b) + keep c, row-major: c is m x n, op(a) m x k, op(b) k x n; `transpose_a`
// says that a is stored k x m. lda, ldb, ldc: elements from row to row as stored. Where keep is 0,
// c is only written.
typedef struct hn__gemm_args {
    bool transpose_a, transpose_b;
    int64_t m, n, k;
    const float *a, *b;
    float *c;
    int64_t lda, ldb, ldc;
    float scale, keep;
    float *room; // this thread's: hn__pool_room
    // Called once for every part of c that is done, rows [row, row + rows) and columns
    // [col, col + cols), on this thread; or NULL.
    void (*finish)(const void *ctx, int64_t row, int64_t rows, int64_t col, int64_t cols);
    const void *ctx;
} hn__gemm_args;

// Our own where the processor has AVX-512 (gemm_avx512.c), OpenBLAS where it was found at build,
// otherwise blocked loops. May be called from several threads at once.
void hn__gemm(const hn__gemm_args *g);

// Whether the build and the processor have it; the product itself.
bool hn__gemm_has_avx512(void);
void hn__gemm_avx512(const hn__gemm_args *g);

#endif
