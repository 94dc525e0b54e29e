// matmul for GPUs where m is at most 8 and both operands lie along k: bound by reading b.
// types: f32 f16 bf16 f16p bf16p w_f16 w_bf16 w_f16p w_bf16p w_q8_0 w_q4_0 w_q4_1 w_q5_0 w_q5_1 w_q4_k w_q5_k w_q6_k
#version 460
#extension GL_GOOGLE_include_directive : require
#extension GL_EXT_control_flow_attributes : require
#define MATMUL_NORM
#include "matmul_dots.glsl"

IN4(5, norm);

// 16-bit elements: eight by one load.
#if defined(T_F16) || defined(T_F16P) || defined(T_BF16) || defined(T_BF16P)
layout(binding = 0) readonly buffer InA8 { uvec4 a8[]; };
#endif
#if !defined(HN_BLOCKS) && (!defined(T_F32) || defined(HN_WEIGHTS))
layout(binding = 1) readonly buffer InB8 { uvec4 b8[]; };
#endif

void eight_a(uint i, out vec4 v, out vec4 w)
{
#ifdef T_F32
    v = four_a(i);
    w = four_a(i + APART);
#else
    const uvec4 u = a8[i >> 3];
    v = FOUR(u.xy);
    w = FOUR(u.zw);
#endif
}

void eight_b(uint i, out vec4 v, out vec4 w)
{
#if defined(HN_BLOCKS)
    weights_eight(i, v, w);
#elif defined(T_F32) && !defined(HN_WEIGHTS)
    v = four_b(i);
    w = four_b(i + APART);
#else
    const uvec4 u = b8[i >> 3];
#if defined(T_W_F16) || defined(T_W_F16P)
    v = four_f16(u.xy);
    w = four_f16(u.zw);
#elif defined(T_W_BF16) || defined(T_W_BF16P)
    v = four_bf16(u.xy);
    w = four_bf16(u.zw);
#else
    v = FOUR(u.xy);
    w = FOUR(u.zw);
#endif
#endif
}

void add_eight(matmul_base at, uint col, uint k)
{
    vec4 a0[ROWS], a1[ROWS], b0[COLS], b1[COLS];

    [[unroll]] for (uint c = 0u; c < COLS; c++)
        eight_b(col_at(at, col + c) + k, b0[c], b1[c]);
    [[unroll]] for (uint r = 0u; r < ROWS; r++)
        eight_a(row_at(at, r) + k, a0[r], a1[r]);
    if (NORM != 0u) {
        const vec4 w0 = FOUR(norm4[k >> 2]), w1 = FOUR(norm4[(k + APART) >> 2]);
        [[unroll]] for (uint r = 0u; r < ROWS; r++) {
            sum[SUMS + r] += dot(a0[r], a0[r]) + dot(a1[r], a1[r]);
            a0[r] *= w0;
            a1[r] *= w1;
        }
    }
    [[unroll]] for (uint r = 0u; r < ROWS; r++)
        [[unroll]] for (uint c = 0u; c < COLS; c++)
            sum[r * COLS + c] += dot(a0[r], b0[c]) + dot(a1[r], b1[c]);
}

void main()
{
    HN_GROUP_GUARD;
    const uint blocks = (p.n + COLS - 1u) / COLS, col = group_index() % blocks * COLS;
    const matmul_base at = matmul_at(group_index() / blocks);

    [[unroll]] for (uint s = 0u; s < ALL; s++)
        sum[s] = 0.0;
    for (uint i = gl_LocalInvocationID.x; i < p.k / 8u; i += SIZE)
        add_eight(at, col, first_k(i));
    finish(at, col);
}
