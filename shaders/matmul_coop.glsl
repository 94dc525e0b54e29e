// What products by cooperative matrices share: a workgroup of WARPS_M x WARPS_N subgroups makes a
// TILE_M x TILE_N tile, each subgroup its part of the tile as matrices of MAT_M x MAT_N.
#ifndef HN_MATMUL_COOP_GLSL
#define HN_MATMUL_COOP_GLSL

#include "coop.glsl"
#define IN_PARTS
#include "matmul.glsl" // first: it says how large a workgroup is

layout(constant_id = 1) const uint TILE_M = 64;
layout(constant_id = 2) const uint TILE_N = 64;
layout(constant_id = 3) const uint WARPS_M = 2;
layout(constant_id = 4) const uint WARPS_N = 2;
layout(constant_id = 5) const uint MAT_M = 16; // a size that the device lists
layout(constant_id = 6) const uint MAT_N = 16;
layout(constant_id = 7) const uint MAT_K = 16;

const uint SIZE = gl_WorkGroupSize.x;
const uint FRAGS_M = TILE_M / WARPS_M / MAT_M, FRAGS_N = TILE_N / WARPS_N / MAT_N;
const uint DEPTH = 32u; // of k in a slice: a multiple of every listed MAT_K

#define SUMS coopmat<float, gl_ScopeSubgroup, MAT_M, MAT_N, gl_MatrixUseAccumulator>
#define MATRIX_A coopmat<float16_t, gl_ScopeSubgroup, MAT_M, MAT_K, gl_MatrixUseA>
#define MATRIX_B coopmat<float16_t, gl_ScopeSubgroup, MAT_K, MAT_N, gl_MatrixUseB>
SUMS sum[FRAGS_M * FRAGS_N];

// This subgroup's first row and column in the tile.
uint my_row()
{
    return gl_SubgroupID / WARPS_N * FRAGS_M * MAT_M;
}

uint my_col()
{
    return gl_SubgroupID % WARPS_N * FRAGS_N * MAT_N;
}

#endif
