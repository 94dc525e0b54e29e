// matmul for GPUs where m is at most 4: nothing is read twice, so it is bound by reading b. LANES
// threads share a column's sum; a workgroup makes 128 / LANES columns.
// types: f32 f16 bf16 f16p bf16p w_f16 w_bf16 w_f16p w_bf16p w_q8_0 w_q4_0 w_q4_1 w_q5_0 w_q5_1 w_q4_k w_q5_k w_q6_k
#version 460
#extension GL_GOOGLE_include_directive : require
#extension GL_EXT_control_flow_attributes : require

layout(constant_id = 1) const uint LANES = 4;
layout(constant_id = 2) const uint LAYOUT = 0;
#include "matmul_four.glsl"

const uint ROWS = 4u, SIZE = 128u;
shared float part[ROWS * SIZE];

void main()
{
    HN_GROUP_GUARD;
    const uint cols = SIZE / LANES, blocks = (p.n + cols - 1u) / cols, me = gl_LocalInvocationID.x;
    const matmul_base at = matmul_at(group_index() / blocks);
    const bool along_k = p.b_row == 1u; // what neighbouring threads follow
    const uint lane = along_k ? me % LANES : me / cols, c = along_k ? me / LANES : me % cols;
    const uint col = group_index() % blocks * cols + c, read_col = min(col, p.n - 1u);

    float sum[ROWS];
    [[unroll]] for (uint r = 0u; r < ROWS; r++)
        sum[r] = 0.0;
    uint first = lane;
    if (A_ALONG_K && B_ALONG_K) { // four neighbours by a load
        for (uint k = lane * 4u; k < p.k; k += LANES * 4u) {
            const vec4 v = group_b(at.b, read_col, k, p.k);
            [[unroll]] for (uint r = 0u; r < ROWS; r++)
                if (r < p.m)
                    sum[r] += dot(group_a(at.a, r, k, p.k), v);
        }
        first = p.k;
    }
    for (uint k = first; k < p.k; k += LANES) {
        const float v = LDB(at.b + read_col * p.b_col + k * p.b_row);
        [[unroll]] for (uint r = 0u; r < ROWS; r++)
            if (r < p.m)
                sum[r] = fma(LDA(at.a + r * p.a_row + k * p.a_col), v, sum[r]);
    }
    [[unroll]] for (uint r = 0u; r < ROWS; r++)
        part[(r * cols + c) * LANES + lane] = sum[r];
    barrier();

    for (uint i = me; i < p.m * cols; i += SIZE) { // a sum of LANES parts each
        const uint out_col = group_index() % blocks * cols + i % cols;
        float total = 0.0;
        for (uint l = 0u; l < LANES; l++)
            total += part[i * LANES + l];
        if (out_col < p.n)
            matmul_store(at.y, i / cols, out_col, total);
    }
}
