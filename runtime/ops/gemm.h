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
} hn__gemm_args;

// OpenBLAS where it was found at build, otherwise blocked loops. May be called from several
// threads at once.
void hn__gemm(const hn__gemm_args *g);

#endif
