// matmul by cooperative matrices: f16 times f16, summed in f32. A workgroup of WARPS_M x WARPS_N
// subgroups makes a TILE_M x TILE_N tile from slices of both operands in shared memory, each subgroup
// its part of the tile as matrices of MAT_M x MAT_N. Slices lie in shared memory as in the buffers, so
// that they are copied 16 bytes at a time; the matrices are loaded by rows or by columns.
// types: f16
#version 460
#extension GL_GOOGLE_include_directive : require
#extension GL_EXT_control_flow_attributes : require
#extension GL_KHR_shader_subgroup_basic : require
#extension GL_KHR_memory_scope_semantics : require
#extension GL_KHR_cooperative_matrix : require
#extension GL_EXT_shader_explicit_arithmetic_types_float16 : require
#pragma use_vulkan_memory_model

layout(constant_id = 1) const uint TILE_M = 64;
layout(constant_id = 2) const uint TILE_N = 64;
layout(constant_id = 3) const uint WARPS_M = 2;
layout(constant_id = 4) const uint WARPS_N = 2;
layout(constant_id = 5) const uint MAT_M = 16; // a size that the device lists
layout(constant_id = 6) const uint MAT_N = 16;
layout(constant_id = 7) const uint MAT_K = 16;
layout(constant_id = 8) const uint LAYOUT = 0;
#include "matmul.glsl"

const bool A_ALONG_K = (LAYOUT & MATMUL_A_ALONG_K) != 0u, A_EIGHTS = (LAYOUT & MATMUL_A_EIGHTS) != 0u;
const bool B_ALONG_K = (LAYOUT & MATMUL_B_ALONG_K) != 0u, B_EIGHTS = (LAYOUT & MATMUL_B_EIGHTS) != 0u;
const uint SIZE = gl_WorkGroupSize.x;
const uint DEPTH = 32u, GROUPS_K = DEPTH / 8u; // a multiple of every listed MAT_K
const uint FRAGS_M = TILE_M / WARPS_M / MAT_M, FRAGS_N = TILE_N / WARPS_N / MAT_N;
const uint GROUPS_A = TILE_M * GROUPS_K, GROUPS_B = TILE_N * GROUPS_K; // of eight elements
const uint LOADS_A = (GROUPS_A + SIZE - 1u) / SIZE, LOADS_B = (GROUPS_B + SIZE - 1u) / SIZE;
// Elements from a row of a slice to the next: 8 more than it has, to keep neighbours off one bank.
const uint PITCH_A = (A_ALONG_K ? DEPTH : TILE_M) + 8u, PITCH_B = (B_ALONG_K ? DEPTH : TILE_N) + 8u;
const uint ROWS_A = A_ALONG_K ? TILE_M : DEPTH, ROWS_B = B_ALONG_K ? TILE_N : DEPTH;
const uint BAND = 8u; // rows of tiles that are made together: what they read of b stays in the cache

layout(binding = 0) readonly buffer InA8 { uvec4 a8[]; }; // the same memory as a and b
layout(binding = 1) readonly buffer InB8 { uvec4 b8[]; };
shared uvec4 slice_a[ROWS_A * PITCH_A / 8u], slice_b[ROWS_B * PITCH_B / 8u];
shared float finished[WARPS_M * WARPS_N * MAT_M * MAT_N]; // a matrix of each subgroup
uvec4 next_a[LOADS_A], next_b[LOADS_B];
coopmat<float, gl_ScopeSubgroup, MAT_M, MAT_N, gl_MatrixUseAccumulator> sum[FRAGS_M * FRAGS_N];

// Group i of a slice as (element along the tile, element along k).
uvec2 place(uint i, bool along_k, uint groups)
{
    return along_k ? uvec2(i / GROUPS_K, i % GROUPS_K * 8u) : uvec2(i % groups * 8u, i / groups);
}

uint two_a(uint base, uint row, uint k) // elements 0 and 1 of a group; 0 beyond the edge
{
    const uint r = A_ALONG_K ? row : row + 1u, c = A_ALONG_K ? k + 1u : k;
    const float low = row < p.m && k < p.k ? LDA(base + row * p.a_row + k * p.a_col) : 0.0;
    const float high = r < p.m && c < p.k ? LDA(base + r * p.a_row + c * p.a_col) : 0.0;
    return packHalf2x16(vec2(low, high));
}

uint two_b(uint base, uint col, uint k)
{
    const uint r = B_ALONG_K ? col : col + 1u, c = B_ALONG_K ? k + 1u : k;
    const float low = col < p.n && k < p.k ? LDB(base + col * p.b_col + k * p.b_row) : 0.0;
    const float high = r < p.n && c < p.k ? LDB(base + r * p.b_col + c * p.b_row) : 0.0;
    return packHalf2x16(vec2(low, high));
}

uvec4 group_a(uint base, uint row, uint k)
{
    uvec4 v = uvec4(0u);
    if (A_EIGHTS) {
        if (row < p.m && k < p.k)
            v = a8[(base + row * p.a_row + k * p.a_col) >> 3];
        return v;
    }
    [[unroll]] for (uint e = 0u; e < 4u; e++)
        v[e] = two_a(base, A_ALONG_K ? row : row + 2u * e, A_ALONG_K ? k + 2u * e : k);
    return v;
}

uvec4 group_b(uint base, uint col, uint k)
{
    uvec4 v = uvec4(0u);
    if (B_EIGHTS) {
        if (col < p.n && k < p.k)
            v = b8[(base + col * p.b_col + k * p.b_row) >> 3];
        return v;
    }
    [[unroll]] for (uint e = 0u; e < 4u; e++)
        v[e] = two_b(base, B_ALONG_K ? col : col + 2u * e, B_ALONG_K ? k + 2u * e : k);
    return v;
}

void fetch(matmul_base at, uint row, uint col, uint k0)
{
    [[unroll]] for (uint i = 0u; i < LOADS_A; i++) {
        const uvec2 u = place(gl_LocalInvocationID.x + i * SIZE, A_ALONG_K, TILE_M / 8u);
        next_a[i] = group_a(at.a, row + u.x, k0 + u.y);
    }
    [[unroll]] for (uint i = 0u; i < LOADS_B; i++) {
        const uvec2 u = place(gl_LocalInvocationID.x + i * SIZE, B_ALONG_K, TILE_N / 8u);
        next_b[i] = group_b(at.b, col + u.x, k0 + u.y);
    }
}

void keep()
{
    [[unroll]] for (uint i = 0u; i < LOADS_A; i++) {
        const uint g = gl_LocalInvocationID.x + i * SIZE;
        const uvec2 u = place(g, A_ALONG_K, TILE_M / 8u);
        if (g < GROUPS_A)
            slice_a[((A_ALONG_K ? u.x : u.y) * PITCH_A + (A_ALONG_K ? u.y : u.x)) / 8u] = next_a[i];
    }
    [[unroll]] for (uint i = 0u; i < LOADS_B; i++) {
        const uint g = gl_LocalInvocationID.x + i * SIZE;
        const uvec2 u = place(g, B_ALONG_K, TILE_N / 8u);
        if (g < GROUPS_B)
            slice_b[((B_ALONG_K ? u.x : u.y) * PITCH_B + (B_ALONG_K ? u.y : u.x)) / 8u] = next_b[i];
    }
}

// The products of a slice; my_row, my_col: this subgroup's part of the tile.
void multiply(uint my_row, uint my_col)
{
    coopmat<float16_t, gl_ScopeSubgroup, MAT_M, MAT_K, gl_MatrixUseA> va[FRAGS_M];
    coopmat<float16_t, gl_ScopeSubgroup, MAT_K, MAT_N, gl_MatrixUseB> vb;
    for (uint k = 0u; k < DEPTH; k += MAT_K) {
        [[unroll]] for (uint i = 0u; i < FRAGS_M; i++) {
            const uint row = my_row + i * MAT_M;
            if (A_ALONG_K)
                coopMatLoad(va[i], slice_a, (row * PITCH_A + k) / 8u, PITCH_A / 8u,
                            gl_CooperativeMatrixLayoutRowMajor);
            else
                coopMatLoad(va[i], slice_a, (k * PITCH_A + row) / 8u, PITCH_A / 8u,
                            gl_CooperativeMatrixLayoutColumnMajor);
        }
        [[unroll]] for (uint j = 0u; j < FRAGS_N; j++) {
            const uint col = my_col + j * MAT_N;
            if (B_ALONG_K)
                coopMatLoad(vb, slice_b, (col * PITCH_B + k) / 8u, PITCH_B / 8u,
                            gl_CooperativeMatrixLayoutColumnMajor);
            else
                coopMatLoad(vb, slice_b, (k * PITCH_B + col) / 8u, PITCH_B / 8u,
                            gl_CooperativeMatrixLayoutRowMajor);
            [[unroll]] for (uint i = 0u; i < FRAGS_M; i++)
                sum[i * FRAGS_N + j] = coopMatMulAdd(va[i], vb, sum[i * FRAGS_N + j]);
        }
    }
}

void wait_for_subgroup()
{
    controlBarrier(gl_ScopeSubgroup, gl_ScopeSubgroup, gl_StorageSemanticsShared,
                   gl_SemanticsAcquireRelease);
}

// The epilogue: where an element lies in a matrix only a store tells, so each goes by shared memory.
void store(matmul_base at, uint row, uint col)
{
    const uint mine = gl_SubgroupID * MAT_M * MAT_N;
    [[unroll]] for (uint i = 0u; i < FRAGS_M; i++)
        [[unroll]] for (uint j = 0u; j < FRAGS_N; j++) {
            coopMatStore(sum[i * FRAGS_N + j], finished, mine, MAT_N, gl_CooperativeMatrixLayoutRowMajor);
            wait_for_subgroup();
            for (uint e = gl_SubgroupInvocationID; e < MAT_M * MAT_N; e += gl_SubgroupSize) {
                const uint r = row + i * MAT_M + e / MAT_N, c = col + j * MAT_N + e % MAT_N;
                if (r < p.m && c < p.n)
                    matmul_store(at.y, r, c, finished[mine + e]);
            }
            wait_for_subgroup();
        }
}

void main()
{
    HN_GROUP_GUARD;
    const uint tiles_m = (p.m + TILE_M - 1u) / TILE_M, tiles_n = (p.n + TILE_N - 1u) / TILE_N;
    const uint tile = group_index() % (tiles_m * tiles_n);
    const matmul_base at = matmul_at(group_index() / (tiles_m * tiles_n));
    const uint band = tile / (BAND * tiles_n) * BAND, rows = min(tiles_m - band, BAND);
    const uint in_band = tile - band * tiles_n;
    const uint row = (band + in_band % rows) * TILE_M, col = in_band / rows * TILE_N;
    const uint my_row = gl_SubgroupID / WARPS_N * FRAGS_M * MAT_M;
    const uint my_col = gl_SubgroupID % WARPS_N * FRAGS_N * MAT_N;

    [[unroll]] for (uint i = 0u; i < FRAGS_M * FRAGS_N; i++)
        sum[i] = coopmat<float, gl_ScopeSubgroup, MAT_M, MAT_N, gl_MatrixUseAccumulator>(0.0);
    fetch(at, row, col, 0u);
    for (uint k0 = 0u; k0 < p.k; k0 += DEPTH) {
        keep();
        barrier();
        if (k0 + DEPTH < p.k)
            fetch(at, row, col, k0 + DEPTH);
        multiply(my_row, my_col);
        barrier();
    }
    store(at, row + my_row, col + my_col);
}
