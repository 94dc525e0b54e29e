// matmul for GPUs where m is at most 8 and both operands lie along k: bound by reading b. A workgroup
// makes COLS columns of ROWS rows; its threads share k, each with eight elements of every column in
// flight, and add up by subgroups.
// types: f32 f16 bf16 f16p bf16p w_f16 w_bf16 w_f16p w_bf16p w_q8_0 w_q4_0 w_q4_1 w_q5_0 w_q5_1 w_q4_k w_q5_k w_q6_k
#version 460
#extension GL_GOOGLE_include_directive : require
#extension GL_EXT_control_flow_attributes : require
#extension GL_KHR_shader_subgroup_basic : require
#extension GL_KHR_shader_subgroup_arithmetic : require

layout(constant_id = 1) const uint COLS = 4;
layout(constant_id = 2) const uint ROWS = 1; // at least m
#define LAYOUT (MATMUL_A_ALONG_K | MATMUL_B_ALONG_K | MATMUL_A_FOURS | MATMUL_B_FOURS)
#include "matmul_four.glsl"

const uint SIZE = gl_WorkGroupSize.x, SUMS = ROWS * COLS;
const uint LEAST_SUBGROUP = 4u; // smaller ones are not given this kernel
#ifdef HN_BLOCKS
const uint APART = WEIGHTS_APART; // second four elements from the first
#else
const uint APART = 4u;
#endif
shared float part[SIZE / LEAST_SUBGROUP * SUMS];

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

void main()
{
    HN_GROUP_GUARD;
    const uint blocks = (p.n + COLS - 1u) / COLS, me = gl_LocalInvocationID.x;
    const matmul_base at = matmul_at(group_index() / blocks);
    const uint col = group_index() % blocks * COLS;

    float sum[SUMS];
    [[unroll]] for (uint s = 0u; s < SUMS; s++)
        sum[s] = 0.0;
    for (uint i = me; i < p.k / 8u; i += SIZE) {
        const uint k = i / (APART / 4u) * (2u * APART) + i % (APART / 4u) * 4u;
        vec4 a0[ROWS], a1[ROWS], b0[COLS], b1[COLS]; // beyond the edge the last one again
        [[unroll]] for (uint c = 0u; c < COLS; c++)
            eight_b(at.b + min(col + c, p.n - 1u) * p.b_col + k, b0[c], b1[c]);
        [[unroll]] for (uint r = 0u; r < ROWS; r++)
            eight_a(at.a + min(r, p.m - 1u) * p.a_row + k, a0[r], a1[r]);
        [[unroll]] for (uint r = 0u; r < ROWS; r++)
            [[unroll]] for (uint c = 0u; c < COLS; c++)
                sum[r * COLS + c] += dot(a0[r], b0[c]) + dot(a1[r], b1[c]);
    }
    [[unroll]] for (uint s = 0u; s < SUMS; s++) {
        const float v = subgroupAdd(sum[s]);
        if (subgroupElect())
            part[gl_SubgroupID * SUMS + s] = v;
    }
    barrier();

    for (uint s = me; s < SUMS; s += SIZE) {
        float total = 0.0;
        for (uint g = 0u; g < gl_NumSubgroups; g++)
            total += part[g * SUMS + s];
        if (s / COLS < p.m && col + s % COLS < p.n)
            matmul_store(at.y, s / COLS, col + s % COLS, total);
    }
}
