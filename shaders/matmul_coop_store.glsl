// The epilogue of products by cooperative matrices: where an element lies in a matrix only a store
// tells, so each goes by shared memory, where a's slices (slice_a, of uvec4) were. Whoever lists the
// variants (matmul_gpu.c) sees to it that there is room for a matrix of each subgroup.
#ifndef HN_MATMUL_COOP_STORE_GLSL
#define HN_MATMUL_COOP_STORE_GLSL

// row, col: where the first of this subgroup's matrices belongs.
void store(matmul_base at, uint row, uint col)
{
    const uint fours = MAT_M * MAT_N / 4u, mine = gl_SubgroupID * fours;
    [[unroll]] for (uint i = 0u; i < FRAGS_M; i++)
        [[unroll]] for (uint j = 0u; j < FRAGS_N; j++) {
            coopMatStore(sum[i * FRAGS_N + j], slice_a, mine, MAT_N / 4u, gl_CooperativeMatrixLayoutRowMajor);
            wait_for_subgroup();
            for (uint f = gl_SubgroupInvocationID; f < fours; f += gl_SubgroupSize) {
                const uint r = row + i * MAT_M + f / (MAT_N / 4u), c = col + j * MAT_N + f % (MAT_N / 4u) * 4u;
                const vec4 v = uintBitsToFloat(slice_a[mine + f]);
                [[unroll]] for (uint e = 0u; e < 4u; e++)
                    if (r < p.m && c + e < p.n)
                        matmul_store(at.y, r, c + e, v[e]);
            }
            wait_for_subgroup();
        }
}

#endif
