// What the matrix product's files share: attributes, sizes, the epilogue, and products with a b
// that is not f32 in memory.
#ifndef HN_OPS_MATMUL_H
#define HN_OPS_MATMUL_H

#include "ops/table.h"

// int32_t throughout: no padding, so that equal attributes have equal bytes.
typedef struct hn__matmul_attr {
    int32_t transpose_a, transpose_b, has_bias, has_residual, act;
    float scale;
    int32_t has_factor; // instead of a residual: what the result is multiplied by
    float norm_eps;     // above 0: an RMS norm that a passes first; its weight stands after the bias
} hn__matmul_attr;

// The operand that joins the result at the end, which is the last: residual or factor; 0: none.
int hn__matmul_other(const hn__inst *n);

// What a node was made with; bias and residual are values of its graph.
hn_matmul_params hn__matmul_params(const hn__node *n);

// The product as a batch of m x k times k x n. Where one b serves all of a and a's rows follow
// each other, the batch is part of m.
typedef struct hn__matmul_dims {
    int64_t batch, m, n, k;
    int64_t a_batch, b_batch; // elements from matrix to matrix
    int64_t lda, ldb;
} hn__matmul_dims;

hn__matmul_dims hn__matmul_dims_of(const hn__inst *n);

// The epilogue of n neighbouring elements on the host: of bias, and of the operand that joins them,
// as many; both may be NULL.
void hn__matmul_finish(const hn__matmul_attr *at, int64_t n, float *y, const float *bias,
                       const float *other);

// ---- on devices (matmul_launch.c) -----------------------------------------------------------

int hn__matmul_variants(const hn__inst *n, const hn_device_info *info, hn__variant out[]);
void hn__matmul_launch(const hn__inst *n, hn__launch *l);
// A dispatch with the operands at their places; an absent one is a again, and not read.
hn__dispatch *hn__matmul_dispatch(const hn__inst *n, hn__launch *l, const char *stem);

// ---- copies into panels, on software devices (matmul_panels.c) -------------------------------

// Whether rows and columns are enough to pay for the copies.
bool hn__matmul_panels_pay(const hn__matmul_dims *d, const hn_device_info *info);
// None where the device has no kernel for panels, or a copy would be larger than a binding.
int hn__matmul_panel_variants(const hn__matmul_dims *d, const hn_device_info *info,
                              hn__variant out[]);
void hn__matmul_panel_launch(const hn__inst *n, hn__launch *l);

// ---- on GPUs (matmul_gpu.c) -----------------------------------------------------------------

int hn__matmul_gpu_variants(const hn__inst *n, const hn_device_info *info, hn__variant out[]);
void hn__matmul_gpu_launch(const hn__inst *n, hn__launch *l);
// How the operands lie in memory, as the kernels want it (push.h).
uint32_t hn__matmul_layout(const hn__inst *n);

// ---- few rows on GPUs (matmul_few.c) --------------------------------------------------------

// None where there are more rows than these kernels take.
int hn__matmul_few_variants(const hn__inst *n, const hn_device_info *info, hn__variant out[]);
void hn__matmul_few_launch(const hn__inst *n, hn__launch *l);

// ---- the norm of a (matmul_norm.c) ----------------------------------------------------------

// Which operand is the norm's weight; 0: none.
int hn__matmul_norm_weight(const hn__inst *n);
// hn__op_fns.prepend: of few rows, where the device's first kernel does the norm on the way.
bool hn__matmul_prepend(hn__inst *n, const hn__inst *before, const hn_device_info *info, int *out_at);
// After the launch of a variant: puts the norm before it where its kernel does not do it.
void hn__matmul_norm_launch(const hn__inst *n, hn__launch *l);
// Binds the norm's weight behind all else; whether the dispatch does the norm, as its constant.
uint32_t hn__matmul_norm_bind(const hn__inst *n, hn__dispatch *k);
// Bytes that a takes behind the norm on the host, and a behind it: in `room`, or where it is.
int64_t hn__matmul_norm_scratch(const hn__inst *n);
const void *hn__matmul_norm_host(const hn__inst *n, const hn__host *h, void *room);

// ---- b as it is stored (matmul_quant.c) ----------------------------------------------------

// Whether the types of a and b go together; SHAPE or ARG with both where they do not.
hn_status hn__matmul_check_types(const hn__inst *n);
// Whether the host kernel takes b as it lies in memory: quantised, or 16-bit and one matrix.
bool hn__matmul_is_stored(const hn__inst *n);
void hn__matmul_stored(const hn__inst *n, const hn__host *h);
int64_t hn__matmul_stored_scratch(const hn__inst *n, int n_threads);

// ---- few rows (matmul_dots.c) --------------------------------------------------------------

enum { HN__DOTS_ROWS = 8 };

// At most HN__DOTS_ROWS rows of a, [m, k], with one row of b; a result goes to each row of y.
typedef struct hn__dots {
    int64_t m, k;
    const float *a;
    int64_t lda;
    const float *sums; // [m, k / 32]: of each 32 neighbours of a (hn__dots_sums)
    float scale;
    int64_t ldy;
} hn__dots;
typedef void (*hn__dots_fn)(const hn__dots *d, const void *row, float *y);

// NULL where there is none for b's type, its k, or this compiler.
hn__dots_fn hn__dots_of(hn_dtype t, int64_t k);
// For a b of f16 and a k that is a multiple of 16; NULL where the processor does not convert (matmul_dots16.c).
hn__dots_fn hn__dots16_of(void);
// sums[i] = a[32 i] + ... + a[32 i + 31], of n elements.
void hn__dots_sums(const float *a, int64_t n, float *sums);

// ---- few rows of blocks (matmul_dots8.c) ---------------------------------------------------

// 32 elements of a, as the products want them.
typedef struct hn__row8 {
    int8_t q[32];
    int32_t start[8]; // where the sums of four products begin: less what u is too large by
    float d, sum;     // scale; scale times the sum of q
} hn__row8;

typedef struct hn__dots8 {
    int64_t m, k;
    const hn__row8 *a; // [m, k / 32]
    float scale;
    int64_t ldy;
} hn__dots8;
typedef void (*hn__dots8_fn)(const hn__dots8 *d, const void *row, float *y);

// NULL where there is none for b's type, this processor or this compiler.
hn__dots8_fn hn__dots8_of(hn_dtype t);
// n elements of a, q8_0, for products with a b of type t.
void hn__dots8_rows(hn_dtype t, const void *a, int64_t n, hn__row8 *out);

#endif
