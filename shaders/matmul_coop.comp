// matmul by cooperative matrices: f16 times f16, summed in f32. Slices of both operands lie in shared
// memory as in the buffers, so that they are copied 16 bytes at a time; the matrices are loaded by rows
// or by columns. The next slice is on its way into registers while this one is multiplied.
// types: f16
#version 460
#extension GL_GOOGLE_include_directive : require
#extension GL_EXT_control_flow_attributes : require
#pragma use_vulkan_memory_model

layout(constant_id = 8) const uint BUFFERS = 1; // slices in shared memory: 1 or 2
layout(constant_id = 9) const uint LAYOUT = 0;
#include "matmul_coop.glsl"

const bool A_ALONG_K = (LAYOUT & MATMUL_A_ALONG_K) != 0u, A_EIGHTS = (LAYOUT & MATMUL_A_EIGHTS) != 0u;
const bool B_ALONG_K = (LAYOUT & MATMUL_B_ALONG_K) != 0u, B_EIGHTS = (LAYOUT & MATMUL_B_EIGHTS) != 0u;
const bool OF_A = false, OF_B = true;
const uint GROUPS_K = DEPTH / 8u;
const uint GROUPS_A = TILE_M * GROUPS_K, GROUPS_B = TILE_N * GROUPS_K; // of eight elements
const uint LOADS_A = (GROUPS_A + SIZE - 1u) / SIZE, LOADS_B = (GROUPS_B + SIZE - 1u) / SIZE;
// Elements from a row of a slice to the next: 8 more than it has, to keep neighbours off one bank.
const uint PITCH_A = (A_ALONG_K ? DEPTH : TILE_M) + 8u, PITCH_B = (B_ALONG_K ? DEPTH : TILE_N) + 8u;
const uint SLICE_A = (A_ALONG_K ? TILE_M : DEPTH) * PITCH_A / 8u; // groups
const uint SLICE_B = (B_ALONG_K ? TILE_N : DEPTH) * PITCH_B / 8u;

layout(binding = 0) readonly buffer InA8 { uvec4 a8[]; }; // the same memory as a and b
layout(binding = 1) readonly buffer InB8 { uvec4 b8[]; };
shared uvec4 slice_a[BUFFERS * SLICE_A], slice_b[BUFFERS * SLICE_B];
uvec4 next_a[LOADS_A], next_b[LOADS_B];

// Group i of a slice as (element along the tile, element along k).
uvec2 place(uint i, bool along_k, uint groups)
{
    return along_k ? uvec2(i / GROUPS_K, i % GROUPS_K * 8u) : uvec2(i % groups * 8u, i / groups);
}

// Eight neighbours from (i, k) on, i a row of a or a column of b, along k or along i; 0 beyond the
// last i and from k_end on.
uvec4 group(bool of_b, uint base, uint i, uint k, uint k_end)
{
    const bool along_k = of_b ? B_ALONG_K : A_ALONG_K, eights = of_b ? B_EIGHTS : A_EIGHTS;
    const uint step = of_b ? p.b_col : p.a_row, step_k = of_b ? p.b_row : p.a_col, n = of_b ? p.n : p.m;
    uvec4 v = uvec4(0u);

    if (eights) {
        const uint at = (base + i * step + k * step_k) >> 3;
        if (i < n && k < k_end)
            v = of_b ? b8[at] : a8[at];
        return v;
    }
    [[unroll]] for (uint e = 0u; e < 8u; e++) {
        const uint r = along_k ? i : i + e, c = along_k ? k + e : k, at = base + r * step + c * step_k;
        if (r < n && c < k_end)
            v[e / 2u] |= packHalf2x16(vec2(of_b ? LDB(at) : LDA(at), 0.0)) << e % 2u * 16u;
    }
    return v;
}

void fetch(matmul_tile t, uint k0)
{
    [[unroll]] for (uint i = 0u; i < LOADS_A; i++) {
        const uvec2 u = place(gl_LocalInvocationID.x + i * SIZE, A_ALONG_K, TILE_M / 8u);
        next_a[i] = group(OF_A, t.at.a, t.row + u.x, k0 + u.y, t.k_end);
    }
    [[unroll]] for (uint i = 0u; i < LOADS_B; i++) {
        const uvec2 u = place(gl_LocalInvocationID.x + i * SIZE, B_ALONG_K, TILE_N / 8u);
        next_b[i] = group(OF_B, t.at.b, t.col + u.x, k0 + u.y, t.k_end);
    }
}

void keep(uint which) // of the buffers
{
    [[unroll]] for (uint i = 0u; i < LOADS_A; i++) {
        const uint g = gl_LocalInvocationID.x + i * SIZE;
        const uvec2 u = place(g, A_ALONG_K, TILE_M / 8u);
        if (g < GROUPS_A)
            slice_a[which * SLICE_A + ((A_ALONG_K ? u.x : u.y) * PITCH_A + (A_ALONG_K ? u.y : u.x)) / 8u] =
                next_a[i];
    }
    [[unroll]] for (uint i = 0u; i < LOADS_B; i++) {
        const uint g = gl_LocalInvocationID.x + i * SIZE;
        const uvec2 u = place(g, B_ALONG_K, TILE_N / 8u);
        if (g < GROUPS_B)
            slice_b[which * SLICE_B + ((B_ALONG_K ? u.x : u.y) * PITCH_B + (B_ALONG_K ? u.y : u.x)) / 8u] =
                next_b[i];
    }
}

// The products of a slice.
void multiply(uint which)
{
    const uint begin_a = which * SLICE_A, begin_b = which * SLICE_B;
    MATRIX_A va[FRAGS_M];
    MATRIX_B vb;
    for (uint k = 0u; k < DEPTH; k += MAT_K) {
        [[unroll]] for (uint i = 0u; i < FRAGS_M; i++) {
            const uint row = my_row() + i * MAT_M;
            if (A_ALONG_K)
                coopMatLoad(va[i], slice_a, begin_a + (row * PITCH_A + k) / 8u, PITCH_A / 8u,
                            gl_CooperativeMatrixLayoutRowMajor);
            else
                coopMatLoad(va[i], slice_a, begin_a + (k * PITCH_A + row) / 8u, PITCH_A / 8u,
                            gl_CooperativeMatrixLayoutColumnMajor);
        }
        [[unroll]] for (uint j = 0u; j < FRAGS_N; j++) {
            const uint col = my_col() + j * MAT_N;
            if (B_ALONG_K)
                coopMatLoad(vb, slice_b, begin_b + (col * PITCH_B + k) / 8u, PITCH_B / 8u,
                            gl_CooperativeMatrixLayoutColumnMajor);
            else
                coopMatLoad(vb, slice_b, begin_b + (k * PITCH_B + col) / 8u, PITCH_B / 8u,
                            gl_CooperativeMatrixLayoutRowMajor);
            [[unroll]] for (uint i = 0u; i < FRAGS_M; i++)
                sum[i * FRAGS_N + j] = coopMatMulAdd(va[i], vb, sum[i * FRAGS_N + j]);
        }
    }
}

#include "matmul_coop_store.glsl"

void main()
{
    HN_GROUP_GUARD;
    const matmul_tile t = matmul_tile_of(TILE_M, TILE_N);

    [[unroll]] for (uint i = 0u; i < FRAGS_M * FRAGS_N; i++)
        sum[i] = SUMS(0.0);
    fetch(t, t.begin);
    keep(0u);
    barrier();
    uint which = 0u;
    for (uint k0 = t.begin; k0 < t.k_end; k0 += DEPTH) {
        const bool more = k0 + DEPTH < t.k_end;
        if (more)
            fetch(t, k0 + DEPTH);
        multiply(which);
        if (BUFFERS == 1u)
            barrier();
        else
            which ^= 1u;
        if (more)
            keep(which);
        barrier();
    }
    store(t.at, t.row + my_row(), t.col + my_col());
}
