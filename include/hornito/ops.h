// Operators: builders that add nodes to a graph. Every builder returns the new value, or {0} after
// an error (hn_graph_status). Shapes are row-major, slowest dimension first; "float" is f32, f16
// or bf16, and the floats of one operator have one type unless it says otherwise. Quantised types
// are taken where it says so (hn_matmul, hn_embedding, hn_reshape, hn_output) and nowhere else.
// An axis counts from 0; negative ones from the end (-1 is the last).
#ifndef HORNITO_OPS_H
#define HORNITO_OPS_H

#include "hornito/graph.h"

#ifdef __cplusplus
extern "C" {
#endif

// ---- pointwise -----------------------------------------------------------------------------
// Operands are broadcast as NumPy does: shapes are aligned at the end, and a dimension of 1
// stretches. Both operands have one type; i32 is taken where it says "or i32".

HN_API hn_val hn_add(hn_graph *g, hn_val a, hn_val b); // or i32
HN_API hn_val hn_sub(hn_graph *g, hn_val a, hn_val b); // or i32
HN_API hn_val hn_mul(hn_graph *g, hn_val a, hn_val b); // or i32
HN_API hn_val hn_div(hn_graph *g, hn_val a, hn_val b);
HN_API hn_val hn_min(hn_graph *g, hn_val a, hn_val b); // or i32; the gradient of a tie goes to a
HN_API hn_val hn_max(hn_graph *g, hn_val a, hn_val b); // or i32; the same

// 1 where it holds, else 0; u8. Operands float or i32.
HN_API hn_val hn_eq(hn_graph *g, hn_val a, hn_val b);
HN_API hn_val hn_ne(hn_graph *g, hn_val a, hn_val b);
HN_API hn_val hn_lt(hn_graph *g, hn_val a, hn_val b);
HN_API hn_val hn_le(hn_graph *g, hn_val a, hn_val b);
// a where cond (u8 or i32) is not 0, else b. a and b float or i32.
HN_API hn_val hn_select(hn_graph *g, hn_val cond, hn_val a, hn_val b);

HN_API hn_val hn_neg(hn_graph *g, hn_val x); // or i32
HN_API hn_val hn_abs(hn_graph *g, hn_val x); // or i32; gradient 0 at 0
HN_API hn_val hn_exp(hn_graph *g, hn_val x);
HN_API hn_val hn_log(hn_graph *g, hn_val x);
HN_API hn_val hn_sqrt(hn_graph *g, hn_val x);
HN_API hn_val hn_rsqrt(hn_graph *g, hn_val x); // 1 / sqrt(x)
HN_API hn_val hn_tanh(hn_graph *g, hn_val x);
HN_API hn_val hn_erf(hn_graph *g, hn_val x);
HN_API hn_val hn_sin(hn_graph *g, hn_val x); // |x| up to 100
HN_API hn_val hn_cos(hn_graph *g, hn_val x);
HN_API hn_val hn_floor(hn_graph *g, hn_val x);   // gradient 0
HN_API hn_val hn_sigmoid(hn_graph *g, hn_val x); // 1 / (1 + exp(-x))
HN_API hn_val hn_relu(hn_graph *g, hn_val x);
HN_API hn_val hn_leaky_relu(hn_graph *g, hn_val x, float slope); // slope * x below 0
HN_API hn_val hn_silu(hn_graph *g, hn_val x);      // x sigmoid(x)
HN_API hn_val hn_gelu(hn_graph *g, hn_val x);      // x (1 + erf(x / sqrt 2)) / 2
HN_API hn_val hn_gelu_tanh(hn_graph *g,
                           hn_val x); // x (1 + tanh(sqrt(2/pi) (x + 0.044715 x^3))) / 2
HN_API hn_val hn_clamp(hn_graph *g, hn_val x, float lo, float hi); // gradient 0 outside
// scale * x + shift.
HN_API hn_val hn_affine(hn_graph *g, hn_val x, float scale, float shift);
static inline hn_val hn_add_scalar(hn_graph *g, hn_val x, float s)
{
    return hn_affine(g, x, 1, s);
}
static inline hn_val hn_mul_scalar(hn_graph *g, hn_val x, float s)
{
    return hn_affine(g, x, s, 0);
}
// 1 where x is neither infinite nor NaN, else 0; u8.
HN_API hn_val hn_is_finite(hn_graph *g, hn_val x);
// Any type to any. Floats to integers truncate and saturate; NaN gives 0.
HN_API hn_val hn_cast(hn_graph *g, hn_val x, hn_dtype to);
// x, with no gradient.
HN_API hn_val hn_stop_gradient(hn_graph *g, hn_val x);
// The value of y with the gradient going to x unchanged (straight-through; Bengio et al. 2013,
// arXiv 1308.3432). x and y of one type.
HN_API hn_val hn_straight_through(hn_graph *g, hn_val x, hn_val y);
// x stretched to a shape as pointwise operands are.
HN_API hn_val hn_broadcast(hn_graph *g, hn_val x, int rank, const int64_t dim[]);

// ---- reductions ----------------------------------------------------------------------------
// Over one axis, which stays with size 1. Order of summation is fixed. x float (hn_sum: or i32).

HN_API hn_val hn_sum(hn_graph *g, hn_val x, int axis);
HN_API hn_val hn_mean(hn_graph *g, hn_val x, int axis);
HN_API hn_val hn_reduce_max(hn_graph *g, hn_val x, int axis); // gradient: shared equally by ties
HN_API hn_val hn_reduce_min(hn_graph *g, hn_val x, int axis);
// Over all axes, to a scalar of rank 0.
HN_API hn_val hn_sum_all(hn_graph *g, hn_val x);
HN_API hn_val hn_mean_all(hn_graph *g, hn_val x);
// Sums x over the axes along which the shape of `like` was stretched to x's, and has its shape.
HN_API hn_val hn_sum_to(hn_graph *g, hn_val x, hn_val like);
// Running sums along the last dimension: y_i = x_0 + ... + x_i, or with `reverse` x_i + ... +
// x_last.
HN_API hn_val hn_cumsum(hn_graph *g, hn_val x, bool reverse);
// Index of the largest or smallest along an axis, the first of equals; i32; the axis stays with
// size 1. x float. No gradient.
HN_API hn_val hn_argmax(hn_graph *g, hn_val x, int axis);
HN_API hn_val hn_argmin(hn_graph *g, hn_val x, int axis);
// The k largest of each row, in falling order (of equals the first): *out_index is i32 of the same
// shape [..., k]. x: float [..., cols], 1 <= k <= min(cols, 128). The gradient goes to the places
// chosen.
HN_API hn_val hn_top_k(hn_graph *g, hn_val x, int k, hn_val *out_index);

// ---- views and copies ----------------------------------------------------------------------
// Any type.

// The same elements in the same order. One dimension may be -1: what is left over.
HN_API hn_val hn_reshape(hn_graph *g, hn_val x, int rank, const int64_t dim[]);
// Dimension i of the result is dimension perm[i] of x.
HN_API hn_val hn_transpose(hn_graph *g, hn_val x, const int perm[]);
// Elements start, start + step, ... (n of them) along an axis; step >= 1.
HN_API hn_val hn_slice(hn_graph *g, hn_val x, int axis, int64_t start, int64_t n, int64_t step);
// a then b along an axis; the other dimensions are equal.
HN_API hn_val hn_concat(hn_graph *g, hn_val a, hn_val b, int axis);
// x with `before` and `after` elements of `value` around it along an axis.
HN_API hn_val hn_pad(hn_graph *g, hn_val x, int axis, int64_t before, int64_t after, float value);
// x with rows [at[0], at[0] + n) along axis `axis` replaced by y (n = y's size there); at: i32
// [1]. What falls outside is dropped. For caches: assigned to x's own state it is done in place.
// No gradient.
HN_API hn_val hn_update(hn_graph *g, hn_val x, hn_val y, hn_val at, int axis);

// ---- matrix product ------------------------------------------------------------------------

typedef enum hn_act {
    HN_ACT_NONE,
    HN_ACT_RELU,
    HN_ACT_GELU,
    HN_ACT_GELU_TANH,
    HN_ACT_SILU
} hn_act;

typedef struct hn_matmul_params {
    bool transpose_a;  // a is [..., K, M]
    bool transpose_b;  // b is [..., N, K]
    float scale;       // of the product; 0 stands for 1
    hn_val bias;       // [N], added to each row; {0}: none
    hn_act act;        // after the bias
    hn_val residual;   // [..., M, N], added after the activation; {0}: none
} hn_matmul_params;

// y = act(scale a b + bias) + residual. a: [..., M, K]; b: [..., K, N]; leading dimensions equal,
// or b has rank 2 and serves all of a. Accumulates in f32. params may be NULL. The gradient of an
// activation given here makes the product again: where memory allows, train with it as its own op.
//
// Weights as they are stored: a is f32 (or the q8_0 of hn_quantize), and b, of rank 2, is f16, bf16 or quantised; a is not
// transposed, and y, bias and residual are f32. No device expands more of b than a panel. Blocks lie
// along b's last dimension, so that a weight [N, K] is given with transpose_b. Such a b has no
// gradient: a quantised one is refused by name (hn_graph_grad), a 16-bit one gets zeros.
HN_API hn_val hn_matmul(hn_graph *g, hn_val a, hn_val b, const hn_matmul_params *params);

// x in blocks of 32 along its last dimension, HN_Q8_0: scale max |x| / 127, elements rounded to
// nearest (halves away from 0).   x: f32 [..., cols], cols a multiple of 32. The result serves as the
// a of hn_matmul beside a quantised, transposed b: the product is that of the values both stand for.
// The gradient goes through as if x were not rounded.
HN_API hn_val hn_quantize(hn_graph *g, hn_val x);

// ---- normalisation, softmax, loss ----------------------------------------------------------

// y[r,c] = w[c] * x[r,c] / sqrt(mean_c(x[r,c]^2) + eps).   x: [..., cols]   w: [cols]
// (Zhang and Sennrich 2019, arXiv 1910.07467, eq. 4.) eps > 0.
HN_API hn_val hn_rms_norm(hn_graph *g, hn_val x, hn_val w, float eps);
// y = w * (x - mean) / sqrt(var + eps) + b by rows, var being the biased one (Ba et al. 2016,
// arXiv 1607.06450).   x: [..., cols]   w, b: [cols]   eps > 0.
HN_API hn_val hn_layer_norm(hn_graph *g, hn_val x, hn_val w, hn_val b, float eps);
// Along the last dimension.
HN_API hn_val hn_softmax(hn_graph *g, hn_val x);
HN_API hn_val hn_log_softmax(hn_graph *g, hn_val x);
// Per row: log(sum(exp(logits))) - logits[target], f32 of the targets' shape; 0 where the target
// is outside [0, cols) (such as -1: masked). logits: float [..., cols]   targets: i32 [...]
HN_API hn_val hn_cross_entropy(hn_graph *g, hn_val logits, hn_val targets);

// ---- transformers --------------------------------------------------------------------------

// Rotary positions (Su et al. 2021, arXiv 2104.09864, eq. 34), pairs (i, i + dim/2) or, with
// `neighbours`, (2i, 2i + 1), on the first `dim` elements of each head; the angle of pair i at
// position p is p * base^(-2i/dim).   x: [B, T, H, D]   positions: i32 [T], 0 to 524,287   dim
// even,
// <= D and <= HN_MAX_ROPE. The angles have the accuracy of f32 at every position.
#define HN_MAX_ROPE 512
typedef struct hn_rope_params {
    int dim;    // 0: D
    float base; // 0: 10000
    bool neighbours;
    const float *divide; // [dim / 2]: the angle of pair i is divided by it, > 0; NULL: by 1. Read
                         // during the call only
} hn_rope_params;
HN_API hn_val hn_rope(hn_graph *g, hn_val x, hn_val positions, const hn_rope_params *params);

typedef struct hn_attention_params {
    bool causal;   // query i sees keys j <= i + n_keys - Tq
    int block;     // > 0: also every key of its own block of this many positions (block-causal)
    float scale;   // of q.k; 0: 1 / sqrt(D)
    hn_val n_keys; // i32 [B]: keys j < n_keys[b] are seen (padding; the filled part of a cache);
                   // above Tk, the queries stand past the end and see all keys; {0}: all Tk
} hn_attention_params;
// softmax(scale q k^T, masked) v, never storing [Tq, Tk] in memory of the device (Dao 2023, arXiv
// 2307.08691). q: [B, Tq, H, D]   k, v: [B, Tk, Hkv, D]   H a multiple of Hkv: query head h uses
// key head h / (H / Hkv).   Result [B, Tq, H, D]; a query that sees no key gives 0.
HN_API hn_val hn_attention(hn_graph *g, hn_val q, hn_val k, hn_val v,
                           const hn_attention_params *params);

// Rows of a table. table: float [V, d]   ids: i32 [...]   result [..., d]; 0 for ids outside [0,
// V). The gradient of the table is hn_scatter_add. Of a quantised table the result is f32 (and the
// table has no gradient); otherwise it has the table's type.
HN_API hn_val hn_embedding(hn_graph *g, hn_val table, hn_val ids);
// y[v] = sum of the rows x[i] whose ids[i] is v, in rising i.   x: float [..., d]   ids: i32 [...]
// result [n_rows, d].
HN_API hn_val hn_scatter_add(hn_graph *g, hn_val x, hn_val ids, int64_t n_rows);
// Codebook scatter, the expansion of code logits to token logits (VQ-Logits, arXiv 2505.10202):
// y[r, i] = x[r, map[i]].   x: float [..., K]   map: i32 [V]   result [..., V]; 0 where the map is
// outside [0, K). The gradient sums over the tokens of a code.
HN_API hn_val hn_code_scatter(hn_graph *g, hn_val x, hn_val map);
// The transpose of it: y[r, k] = sum of x[r, i] over map[i] == k, in rising i.   result [..., K].
HN_API hn_val hn_code_gather(hn_graph *g, hn_val x, hn_val map, int64_t n_codes);

// ---- convolution and pooling ---------------------------------------------------------------

typedef struct hn_conv_params {
    int stride[2];        // height, width; 0: 1
    int dilation[2];      // 0: 1
    int pad_before[2], pad_after[2]; // zeros; causal: all before
    int groups;           // 0: 1
} hn_conv_params;
// x: [N, C, H, W]   w: [O, C / groups, KH, KW]   result [N, O, OH, OW], cross-correlation as in
// every framework. params may be NULL. Bias is an hn_add of [O, 1, 1].
HN_API hn_val hn_conv2d(hn_graph *g, hn_val x, hn_val w, const hn_conv_params *params);
// Its transpose (the gradient to x): y: [N, O, OH, OW] -> [N, C, H, W] with (H, W) given, which
// must be sizes that hn_conv2d maps to (OH, OW).
HN_API hn_val hn_conv2d_transpose(hn_graph *g, hn_val y, hn_val w, int64_t h, int64_t width,
                                  const hn_conv_params *params);
// One dimension: index 0 of the parameters.   x: [N, C, T]   w: [O, C / groups, K]
HN_API hn_val hn_conv1d(hn_graph *g, hn_val x, hn_val w, const hn_conv_params *params);
HN_API hn_val hn_conv1d_transpose(hn_graph *g, hn_val y, hn_val w, int64_t t,
                                  const hn_conv_params *params);

typedef struct hn_pool_params {
    int window[2], stride[2]; // height, width; stride 0: the window
    int pad_before[2], pad_after[2];
    bool count_pad; // average: padding counts as zeros; otherwise it is left out of the count
} hn_pool_params;
// x: [N, C, H, W]. For one dimension give H = 1 and window[0] = 1. Padding smaller than the
// window.
HN_API hn_val hn_avg_pool(hn_graph *g, hn_val x, const hn_pool_params *params);
HN_API hn_val hn_max_pool(hn_graph *g, hn_val x, const hn_pool_params *params); // ties: the first

// ---- vector quantisation -------------------------------------------------------------------

typedef struct hn_nearest {
    hn_val index;         // i32 [...]: nearest row of the codebook, the first of equals
    hn_val distance;      // f32 [...]: squared Euclidean distance to it
    hn_val second;        // i32 [...]: second nearest, -1 where K is 1
    hn_val second_distance; // 0 where K is 1
} hn_nearest;
// x: float [..., d]   codes: float [K, d]. No gradient. Candidates are ordered by
// x.c - |c|^2 / 2 in f32; the distances are sums of squared differences.
HN_API hn_nearest hn_nearest_code(hn_graph *g, hn_val x, hn_val codes);

// ---- random --------------------------------------------------------------------------------
// Counted Philox 4x32-10: element i of a draw depends on key and i only. key: i32 [2] (seed and
// step, an input or state); `stream` tells the draws of one step apart.

HN_API hn_val hn_uniform(hn_graph *g, hn_type type, hn_val key, uint32_t stream); // [0, 1)
HN_API hn_val hn_normal(hn_graph *g, hn_type type, hn_val key, uint32_t stream);  // Box-Muller
// x / (1 - p) with probability 1 - p, otherwise 0. 0 <= p < 1.
HN_API hn_val hn_dropout(hn_graph *g, hn_val x, float p, hn_val key, uint32_t stream);

// ---- optimisers ----------------------------------------------------------------------------
// f32. They give new values; hn_assign keeps them, in place where it can.

typedef struct hn_adamw_params {
    float beta1, beta2, eps; // 0.9, 0.999, 1e-8 are usual; all > 0
    float weight_decay;
} hn_adamw_params;
// AdamW (Loshchilov and Hutter 2019, arXiv 1711.05101, algorithm 2, with the decay times the rate
// as PyTorch has it). p, grad, m, v: one shape.   hyper: f32 [3]: learning rate, step t (from 1),
// factor of the gradient (clipping, loss scale). Where the factor is 0, nothing changes.
typedef struct hn_adamw_out {
    hn_val p, m, v;
} hn_adamw_out;
HN_API hn_adamw_out hn_adamw(hn_graph *g, hn_val p, hn_val grad, hn_val m, hn_val v, hn_val hyper,
                             const hn_adamw_params *params);
// m' = momentum m + (factor grad + weight_decay p); p' = p - lr m'.   hyper: f32 [2]: learning
// rate, factor. Where the factor is 0, nothing changes.
typedef struct hn_sgd_out {
    hn_val p, m;
} hn_sgd_out;
HN_API hn_sgd_out hn_sgd(hn_graph *g, hn_val p, hn_val grad, hn_val m, hn_val hyper,
                         float momentum, float weight_decay);

#ifdef __cplusplus
}
#endif
#endif
