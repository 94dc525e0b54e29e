// What the matrix product's files share: attributes, sizes, the epilogue, and products with a b that
// is not f32 in memory.
#ifndef HN_OPS_MATMUL_H
#define HN_OPS_MATMUL_H

#include "ops/table.h"

// int32_t throughout: no padding, so that equal attributes have equal bytes.
typedef struct hn__matmul_attr {
    int32_t transpose_a, transpose_b, has_bias, has_residual, act;
    float scale;
} hn__matmul_attr;

// The product as a batch of m x k times k x n. Where one b serves all of a and a's rows follow
// each other, the batch is part of m.
typedef struct hn__matmul_dims {
    int64_t batch, m, n, k;
    int64_t a_batch, b_batch; // elements from matrix to matrix
    int64_t lda, ldb;
} hn__matmul_dims;

hn__matmul_dims hn__matmul_dims_of(const hn__inst *n);

// The epilogue of n neighbouring elements on the host; bias and residual may be NULL.
void hn__matmul_finish(int act, int64_t n, float *y, const float *bias, const float *residual);

// ---- b as it is stored (matmul_quant.c) ----------------------------------------------------

// Whether the types of a and b go together; SHAPE or ARG with both where they do not.
hn_status hn__matmul_check_types(const hn__inst *n);
// Whether the host kernel takes b as it lies in memory: quantised, or 16-bit and one matrix.
bool hn__matmul_is_stored(const hn__inst *n);
void hn__matmul_stored(const hn__inst *n, const hn__host *h);
int64_t hn__matmul_stored_scratch(const hn__inst *n, int n_threads);

#endif
