// matmul for GPUs: a workgroup of 128 makes a 64 x 64 tile from slices of both operands in shared
// memory, 8 x 4 sums a thread.
// types: f32 f16 bf16 f16p bf16p w_f16 w_bf16 w_f16p w_bf16p w_q8_0 w_q4_0 w_q4_1 w_q5_0 w_q5_1 w_q4_k w_q5_k w_q6_k
#version 460
#extension GL_GOOGLE_include_directive : require
#extension GL_EXT_control_flow_attributes : require
#include "matmul.glsl"

const uint TILE = 64u, DEPTH = 16u, TM = 8u, TN = 4u;
const uint PITCH = TILE + 4u; // keeps neighbours in k off one bank
shared float slice_a[DEPTH * PITCH], slice_b[DEPTH * PITCH];

// Element i of 64 x 16 as (place along the tile, place along k): neighbouring threads follow what
// is contiguous in memory.
uvec2 place(uint i, bool k_contiguous)
{
    return k_contiguous ? uvec2(i / DEPTH, i % DEPTH) : uvec2(i % TILE, i / TILE);
}

#ifdef HN_BLOCKS
// b's slice where blocks lie along k: four neighbours come by a word.
void load_blocks(matmul_base at, uint col, uint k0)
{
    for (uint i = gl_LocalInvocationID.x; i < TILE * DEPTH / 4u; i += gl_WorkGroupSize.x) {
        const uint c = i / (DEPTH / 4u), k = i % (DEPTH / 4u) * 4u;
        const bool inside = col + c < p.n && k0 + k < p.k;
        const uint place = inside ? at.b + (col + c) * p.b_col + k0 + k : 0u;
        const uint quants = weights_quants(place);
        const vec2 scale = inside ? weights_scale(place) : vec2(0.0);
        [[unroll]] for (uint e = 0u; e < 4u; e++)
            slice_b[(k + e) * PITCH + c] = weights_of(quants, e, scale);
    }
}
#endif

void load_slices(matmul_base at, uint row, uint col, uint k0)
{
    for (uint i = gl_LocalInvocationID.x; i < TILE * DEPTH; i += gl_WorkGroupSize.x) {
        const uvec2 u = place(i, p.a_col == 1u), v = place(i, p.b_row == 1u);
        const bool in_a = row + u.x < p.m && k0 + u.y < p.k, in_b = col + v.x < p.n && k0 + v.y < p.k;
        slice_a[u.y * PITCH + u.x] = in_a ? LDA(at.a + (row + u.x) * p.a_row + (k0 + u.y) * p.a_col) : 0.0;
#ifdef HN_BLOCKS
        if (p.b_row == 1u)
            continue;
#endif
        slice_b[v.y * PITCH + v.x] = in_b ? LDB(at.b + (col + v.x) * p.b_col + (k0 + v.y) * p.b_row) : 0.0;
    }
#ifdef HN_BLOCKS
    if (p.b_row == 1u)
        load_blocks(at, col, k0);
#endif
}

void main()
{
    HN_GROUP_GUARD;
    const uint tiles_m = (p.m + TILE - 1u) / TILE, tiles_n = (p.n + TILE - 1u) / TILE;
    const uint in_batch = group_index() % (tiles_m * tiles_n);
    const matmul_base at = matmul_at(group_index() / (tiles_m * tiles_n));
    const uint row = in_batch / tiles_n * TILE, col = in_batch % tiles_n * TILE;
    const uint my_row = gl_LocalInvocationID.x / (TILE / TN) * TM;
    const uint my_col = gl_LocalInvocationID.x % (TILE / TN) * TN;

    float sum[TM * TN];
    [[unroll]] for (uint i = 0u; i < TM * TN; i++)
        sum[i] = 0.0;
    for (uint k0 = 0u; k0 < p.k; k0 += DEPTH) {
        load_slices(at, row, col, k0);
        barrier();
        [[unroll]] for (uint k = 0u; k < DEPTH; k++) {
            float va[TM], vb[TN];
            [[unroll]] for (uint i = 0u; i < TM; i++)
                va[i] = slice_a[k * PITCH + my_row + i];
            [[unroll]] for (uint j = 0u; j < TN; j++)
                vb[j] = slice_b[k * PITCH + my_col + j];
            [[unroll]] for (uint i = 0u; i < TM; i++)
                [[unroll]] for (uint j = 0u; j < TN; j++)
                    sum[i * TN + j] = fma(va[i], vb[j], sum[i * TN + j]);
        }
        barrier();
    }

    [[unroll]] for (uint i = 0u; i < TM; i++)
        [[unroll]] for (uint j = 0u; j < TN; j++)
            if (row + my_row + i < p.m && col + my_col + j < p.n)
                matmul_store(at.y, row + my_row + i, col + my_col + j, sum[i * TN + j]);
}
