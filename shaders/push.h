// Push constants, one struct a shader, read by C and by GLSL. The first two words are the grid's:
// the device sets them, so that a long dispatch can be cut.
#ifndef HN_PUSH_H
#define HN_PUSH_H

#ifdef GL_core_profile
#define HN_PUSH_GRID uint end_group, first_group;
#else
#include <stdint.h>
#define HN_PUSH_GRID uint32_t end_group, first_group;
#define uint uint32_t
#endif

#define MATMUL_BIAS 1u
#define MATMUL_RESIDUAL 2u
#define MATMUL_A_BLOCKS 4u // a is q8_0
#define MATMUL_PARTS 8u    // sums over k_part of k each go to scratch, as f32
#define MATMUL_FACTOR 16u
// How operands lie in memory, a specialization constant of the GPUs' kernels: neighbours follow k, or
// m and n; rows of neighbours begin at multiples of 4 or 8 elements and end there.
#define MATMUL_A_ALONG_K 1u
#define MATMUL_B_ALONG_K 2u
#define MATMUL_A_FOURS 4u
#define MATMUL_B_FOURS 8u
#define MATMUL_A_EIGHTS 16u
#define MATMUL_B_EIGHTS 32u
struct matmul_push {
    HN_PUSH_GRID
    uint batch, m, n, k;
    uint a_batch, a_row, a_col; // steps, in elements
    uint b_batch, b_row, b_col;
    float scale;
    uint act, flags;
    uint k_part; // k, where there are no parts
    float norm_eps; // of the RMS norm that a passes first, in kernels that do it
    uint band;   // neighbouring columns of tiles that are done row by row (matmul_panels)
};
// count rows or columns of k elements, k_panel in the copy; batch_step, step and k_step lead from one
// matrix, row or column, and element of it to the next.
struct panels_push { HN_PUSH_GRID uint count, k, k_panel, batch_step, step, k_step; };

struct quantize_push { HN_PUSH_GRID uint blocks; };
struct cumsum_push { HN_PUSH_GRID uint cols, reverse; };
struct rope_push { HN_PUSH_GRID uint total, t, heads, d, pairs, neighbours; };
struct rms_norm_push { HN_PUSH_GRID uint cols; float eps; };
struct copy_push {
    HN_PUSH_GRID
    uint total, rank, n[6], from[6], to[6], src, dst; // elements
    uint axis, lo, hi, value;
};
struct update_push { HN_PUSH_GRID uint total, rows, inner, size; };
// The tensor that is made: the image, the weight or the result.
#define CONV_X 0u
#define CONV_W 1u
#define CONV_Y 2u
struct conv_push {
    HN_PUSH_GRID
    uint n, groups, cg, og, h, w, kh, kw, oh, ow;
    int stride_h, stride_w, dilation_h, dilation_w, pad_h, pad_w;
    uint tiles_m, tiles_n, k_part; // k_part: 0, or the length of a part of the sum (conv_tile)
    // Of kernels that read grids (conv_grid): their sizes, and of y's how many rows and columns lie before
    // its first; runs of places that make a band; images, groups and corners (conv_grid.glsl) together.
    uint grid_channels, cols, plane, plane_y, before_h, before_w, band;
};
struct conv_grid_push {
    HN_PUSH_GRID
    uint channels, grid_channels, h, w, step_h, step_w;
    int first_h, first_w;
    uint rows, cols, plane;
};
// Steps, in elements, from one row and channel to the next.
struct conv_panel_push {
    HN_PUSH_GRID
    uint rows, channels, panel_channels, taps, panels, row_step, channel_step;
};
struct softmax_push { HN_PUSH_GRID uint cols, log_of; };
struct cross_entropy_push { HN_PUSH_GRID uint cols; };
struct cross_entropy_grad_push { HN_PUSH_GRID uint cols, has_dlse; };
struct layer_norm_push { HN_PUSH_GRID uint cols; float eps; };
struct scatter_push {
    HN_PUSH_GRID
    uint rows, cols, row_is_one, n_slots; // row_is_one: a row of y is one item, or slot
    uint item_step, item_lane, slot_step, slot_lane; // elements
};
#define SCATTER_PIECE 8u // runs a thread takes
#define SCATTER_CLEAR 0u
#define SCATTER_COUNT 1u
#define SCATTER_SCAN 2u
#define SCATTER_PLACE 3u
#define SCATTER_RANK 4u
struct scatter_sort_push { HN_PUSH_GRID uint step, n_items, n_slots; };
struct pool_push {
    HN_PUSH_GRID
    uint planes, h, w, oh, ow;
    int window_h, window_w, stride_h, stride_w, pad_h, pad_w;
    uint count_pad;
};
struct draw_push { HN_PUSH_GRID uint n, stream, shift; float scale; };
struct dropout_push { HN_PUSH_GRID uint n, stream, threshold; float scale; };
// rest: 1 - beta; log: its logarithm. Both begin alike: what differs by tensor is at the end.
#define ADAMW_PUSH HN_PUSH_GRID float beta1, beta2, rest1, rest2, log1, log2, eps, decay;
struct adamw_push { ADAMW_PUSH uint n; };
#define HN_MANY 8u // tensors that one dispatch takes (hn__dispatch.many)
struct adamw_many_push { ADAMW_PUSH uint n[HN_MANY]; };
struct argmax_push { HN_PUSH_GRID uint n, len, inner; float sign; };
struct top_k_push { HN_PUSH_GRID uint cols, k, n; };
struct sgd_push { HN_PUSH_GRID uint n; float momentum, decay; };
struct attention_push {
    HN_PUSH_GRID
    uint n_threads, tq, tk, heads, kv_heads, d;
    uint causal, block, has_n_keys, has_dlse;
    float scale;
};
// Sums a thread, steps of a turn of the loop: which is fastest differs by driver.
#define PEAK_FORMS(X) X(0u, 16u, 4u) X(1u, 32u, 4u) X(2u, 12u, 16u) X(3u, 24u, 8u)
#define PEAK_MATRICES 8u // sums a subgroup
#define PEAK_LANES 8u // threads that begin differently
struct peak_push { HN_PUSH_GRID uint steps, x, y; }; // x, y: bits of the element type
#define PEAK_WORDS 4u // a thread
struct peak_copy_push { HN_PUSH_GRID uint total; };
struct nearest_code_push { HN_PUSH_GRID uint rows, k, d, n_parts, per_part; };

#ifndef GL_core_profile
#undef uint
#endif
#endif
