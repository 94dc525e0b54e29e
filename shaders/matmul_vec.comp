// matmul for GPUs where m is at most 8, however the operands lie and without subgroup operations:
// nothing is read twice, so it is bound by reading b. LANES threads share a column's sums, or those of
// four neighbouring columns where neighbours of b follow n.
// types: f32 f16 bf16 f16p bf16p w_f16 w_bf16 w_f16p w_bf16p w_q8_0 w_q4_0 w_q4_1 w_q5_0 w_q5_1 w_q4_k w_q5_k w_q6_k
#version 460
#extension GL_GOOGLE_include_directive : require
#extension GL_EXT_control_flow_attributes : require

layout(constant_id = 1) const uint LANES = 4;
layout(constant_id = 2) const uint ROWS = 1; // at least m
layout(constant_id = 3) const uint LAYOUT = 0;
layout(constant_id = 4) const uint NORM = 0; // whether a passes an RMS norm first
#define MATMUL_NORM
#include "matmul_four.glsl"

const uint SIZE = 128u, WIDE = B_ALONG_K ? 1u : 4u; // columns of a thread
const uint TEAMS = SIZE / LANES, COLS = TEAMS * WIDE, SUMS = ROWS * WIDE;
shared float part[SUMS * SIZE];
shared float part_square[NORM != 0u ? ROWS * LANES : 1u]; // of a's rows
float sum[SUMS], square[ROWS];

vec4 four_norm(uint k)
{
    vec4 v = vec4(0.0);
    [[unroll]] for (uint e = 0u; e < 4u; e++)
        if (k + e < p.k)
            v[e] = LD(norm, k + e);
    return v;
}

void add_along_k(matmul_base at, uint col, uint lane)
{
    if (A_ALONG_K) { // four neighbours by a load
        for (uint k = lane * 4u; k < p.k; k += LANES * 4u) {
            vec4 v = group(OF_B, at.b, col, k, p.k);
            if (NORM != 0u)
                v *= four_norm(k);
            [[unroll]] for (uint r = 0u; r < ROWS; r++) {
                const vec4 u = group(OF_A, at.a, r, k, p.k);
                sum[r * WIDE] += dot(u, v);
                if (NORM != 0u)
                    square[r] += dot(u, u);
            }
        }
        return;
    }
    for (uint k = lane; k < p.k; k += LANES) {
        const float v = LDB(at.b + min(col, p.n - 1u) * p.b_col + k);
        [[unroll]] for (uint r = 0u; r < ROWS; r++)
            sum[r * WIDE] = fma(LDA(at.a + min(r, p.m - 1u) * p.a_row + k * p.a_col), v, sum[r * WIDE]);
    }
}

void add_along_n(matmul_base at, uint col, uint lane)
{
    for (uint k = lane; k < p.k; k += LANES) {
        vec4 v = group(OF_B, at.b, col, k, p.k);
        if (NORM != 0u)
            v *= LD(norm, k);
        [[unroll]] for (uint r = 0u; r < ROWS; r++) {
            const float u = LDA(at.a + min(r, p.m - 1u) * p.a_row + k * p.a_col);
            if (NORM != 0u)
                square[r] = fma(u, u, square[r]);
            [[unroll]] for (uint w = 0u; w < WIDE; w++)
                sum[r * WIDE + w] = fma(u, v[w], sum[r * WIDE + w]);
        }
    }
}

void main()
{
    HN_GROUP_GUARD;
    const uint blocks = (p.n + COLS - 1u) / COLS, me = gl_LocalInvocationID.x;
    const matmul_base at = matmul_at(group_index() / blocks);
    const uint col = group_index() % blocks * COLS;
    // Neighbouring threads follow what neighbours in memory do.
    const uint lane = B_ALONG_K ? me % LANES : me / TEAMS, team = B_ALONG_K ? me / LANES : me % TEAMS;

    [[unroll]] for (uint s = 0u; s < SUMS; s++)
        sum[s] = 0.0;
    [[unroll]] for (uint r = 0u; r < ROWS; r++)
        square[r] = 0.0;
    if (B_ALONG_K)
        add_along_k(at, col + team, lane);
    else
        add_along_n(at, col + team * WIDE, lane);
    [[unroll]] for (uint r = 0u; r < ROWS; r++)
        [[unroll]] for (uint w = 0u; w < WIDE; w++)
            part[(r * COLS + team * WIDE + w) * LANES + lane] = sum[r * WIDE + w];
    if (NORM != 0u && team == 0u)
        [[unroll]] for (uint r = 0u; r < ROWS; r++)
            part_square[r * LANES + lane] = square[r];
    barrier();

    for (uint i = me; i < p.m * COLS; i += SIZE) { // a sum of LANES parts each
        float total = 0.0, squares = 0.0;
        for (uint l = 0u; l < LANES; l++) {
            total += part[i * LANES + l];
            if (NORM != 0u)
                squares += part_square[i / COLS * LANES + l];
        }
        if (NORM != 0u)
            total *= inversesqrt(squares / float(p.k) + p.norm_eps);
        if (col + i % COLS < p.n)
            matmul_store(at.y, i / COLS, col + i % COLS, total);
    }
}
