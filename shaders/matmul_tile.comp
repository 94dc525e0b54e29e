// matmul for GPUs: a workgroup makes a TILE_M x TILE_N tile from slices of both operands, DEPTH of k
// at a time, in shared memory; TM x TN sums a thread. The next slice is on its way into registers
// while this one is multiplied. Where p.k_part is less than k, sums go to scratch in parts of k, and
// matmul_join adds them.
// types: f32 f16 bf16 f16p bf16p w_f16 w_bf16 w_f16p w_bf16p w_q8_0 w_q4_0 w_q4_1 w_q5_0 w_q5_1 w_q4_k w_q5_k w_q6_k
#version 460
#extension GL_GOOGLE_include_directive : require
#extension GL_EXT_control_flow_attributes : require

// Multiples of 4, but BUFFERS; a workgroup is (TILE_M / TM) x (TILE_N / TN) threads, multiples of 4 and
// of 8, and each of them loads as many groups of a slice as the others.
layout(constant_id = 1) const uint TILE_M = 64;
layout(constant_id = 2) const uint TILE_N = 64;
layout(constant_id = 3) const uint DEPTH = 16;
layout(constant_id = 4) const uint TM = 8;
layout(constant_id = 5) const uint TN = 4;
layout(constant_id = 6) const uint BUFFERS = 1; // slices in shared memory: 1 or 2
layout(constant_id = 7) const uint LAYOUT = 0;
#define IN_PARTS
#include "matmul_four.glsl"

const uint SIZE = (TILE_M / TM) * (TILE_N / TN);
const uint LOADS_A = TILE_M * DEPTH / 4u / SIZE, LOADS_B = TILE_N * DEPTH / 4u / SIZE;
const uint GROUPS_M = TILE_M / 4u, GROUPS_N = TILE_N / 4u, GROUPS_K = DEPTH / 4u;
const uint PITCH_A = GROUPS_M + 1u, PITCH_B = GROUPS_N + 1u; // keeps neighbours in k off one bank
const uint STEP = 4u; // of k without a jump
const uint TM4 = TM / 4u, TN4 = TN / 4u;

shared vec4 slice_a[BUFFERS * DEPTH * PITCH_A], slice_b[BUFFERS * DEPTH * PITCH_B]; // [k, m or n]
vec4 next_a[LOADS_A], next_b[LOADS_B], sum[TM * TN4];

// Group i of a slice as (element along the tile, element along k): neighbouring threads follow what
// is contiguous in memory.
uvec2 place(uint i, bool along_k, uint groups)
{
    return along_k ? uvec2(i / GROUPS_K, i % GROUPS_K * 4u) : uvec2(i % groups * 4u, i / groups);
}

void fetch(matmul_base at, uint row, uint col, uint k0, uint k_end)
{
    [[unroll]] for (uint i = 0u; i < LOADS_A; i++) {
        const uvec2 u = place(gl_LocalInvocationID.x + i * SIZE, A_ALONG_K, GROUPS_M);
        next_a[i] = group(OF_A, at.a, row + u.x, k0 + u.y, k_end);
    }
    [[unroll]] for (uint i = 0u; i < LOADS_B; i++) {
        const uvec2 u = place(gl_LocalInvocationID.x + i * SIZE, B_ALONG_K, GROUPS_N);
        next_b[i] = group(OF_B, at.b, col + u.x, k0 + u.y, k_end);
    }
}

void keep(uint buffer_k) // the first k of the buffer
{
    [[unroll]] for (uint i = 0u; i < LOADS_A; i++) {
        const uvec2 u = place(gl_LocalInvocationID.x + i * SIZE, A_ALONG_K, GROUPS_M);
        const uint to = (buffer_k + u.y) * PITCH_A + u.x / 4u;
        if (A_ALONG_K)
            [[unroll]] for (uint e = 0u; e < 4u; e++)
                slice_a[to + e * PITCH_A][u.x & 3u] = next_a[i][e];
        else
            slice_a[to] = next_a[i];
    }
    [[unroll]] for (uint i = 0u; i < LOADS_B; i++) {
        const uvec2 u = place(gl_LocalInvocationID.x + i * SIZE, B_ALONG_K, GROUPS_N);
        const uint to = (buffer_k + u.y) * PITCH_B + u.x / 4u;
        if (B_ALONG_K)
            [[unroll]] for (uint e = 0u; e < 4u; e++)
                slice_b[to + e * PITCH_B][u.x & 3u] = next_b[i][e];
        else
            slice_b[to] = next_b[i];
    }
}

// The products of one k: a's column and b's row from these places on.
void add_products(uint from_a, uint from_b)
{
    vec4 va[TM4], vb[TN4];
    [[unroll]] for (uint i = 0u; i < TM4; i++)
        va[i] = slice_a[from_a + i * (TILE_M / TM)];
    [[unroll]] for (uint j = 0u; j < TN4; j++)
        vb[j] = slice_b[from_b + j * (TILE_N / TN)];
    [[unroll]] for (uint i = 0u; i < TM; i++)
        [[unroll]] for (uint j = 0u; j < TN4; j++)
            sum[i * TN4 + j] = fma(vec4(va[i / 4u][i % 4u]), vb[j], sum[i * TN4 + j]);
}

void main()
{
    HN_GROUP_GUARD;
    const matmul_tile t = matmul_tile_of(TILE_M, TILE_N);
    // A thread's rows and columns come in fours, spread over the tile: neighbours read neighbours.
    // Of 32 threads 4 rows times 8 columns: the fewest different words for all of them.
    const uint me = gl_LocalInvocationID.x, across = TILE_N / TN / 8u;
    const uint me_m = me / 32u / across * 4u + me / 8u % 4u, me_n = me / 32u % across * 8u + me % 8u;

    [[unroll]] for (uint i = 0u; i < TM * TN4; i++)
        sum[i] = vec4(0.0);
    fetch(t.at, t.row, t.col, t.begin, t.k_end);
    keep(0u);
    barrier();
    uint buffer_k = 0u;
    for (uint k0 = t.begin; k0 < t.k_end; k0 += DEPTH) {
        const bool more = k0 + DEPTH < t.k_end;
        if (more)
            fetch(t.at, t.row, t.col, k0 + DEPTH, t.k_end);
        for (uint k = 0u; k < DEPTH; k += STEP)
            [[unroll]] for (uint e = 0u; e < STEP; e++)
                add_products((buffer_k + k + e) * PITCH_A + me_m, (buffer_k + k + e) * PITCH_B + me_n);
        if (BUFFERS == 1u)
            barrier();
        else
            buffer_k = DEPTH - buffer_k;
        if (more)
            keep(buffer_k);
        barrier();
    }

    [[unroll]] for (uint i = 0u; i < TM; i++) {
        const uint r = t.row + (i / 4u * (TILE_M / TM) + me_m) * 4u + i % 4u;
        [[unroll]] for (uint j = 0u; j < TN4; j++)
            [[unroll]] for (uint e = 0u; e < 4u; e++) {
                const uint c = t.col + (j * (TILE_N / TN) + me_n) * 4u + e;
                if (r < p.m && c < p.n)
                    matmul_store(t.at.y, r, c, sum[i * TN4 + j][e]);
            }
    }
}
