// matmul of a (f32, or q8_0) with blocks by cooperative matrices of f16, as exact as in f32: an element
// of b is s (u - MIDDLE) + o with a whole number u, which f16 holds; one of a, times a power of two that
// brings the largest of 32 neighbours near f16's end, is the sum of two numbers of f16 to 22 bits. So a
// slice takes two products, whose sums are scaled by a's power and by b's s: vectors along the tile's
// sides, which are loaded as matrices whose columns, or rows, are all the same (a stride of 0).
// types: w_q8_0 w_q4_0 w_q4_1 w_q5_0 w_q5_1 w_q4_k w_q5_k w_q6_k
#version 460
#extension GL_GOOGLE_include_directive : require
#extension GL_EXT_control_flow_attributes : require
#extension GL_KHR_shader_subgroup_shuffle : require
#pragma use_vulkan_memory_model

#define LAYOUT (MATMUL_A_ALONG_K | MATMUL_B_ALONG_K | MATMUL_A_FOURS | MATMUL_B_FOURS)
#include "matmul_coop.glsl"
#include "matmul_four.glsl"

#if defined(T_W_Q8_0)
const float MIDDLE = 128.0;
#elif defined(T_W_Q4_0)
const float MIDDLE = 8.0;
#elif defined(T_W_Q5_0)
const float MIDDLE = 16.0;
#elif defined(T_W_Q6_K)
const float MIDDLE = 32.0;
#else
#define OFFSETS // o is not 0
const float MIDDLE = 0.0;
#endif
#if defined(T_W_Q6_K)
const uint RUN = 16u; // of k with one scale
#else
const uint RUN = DEPTH;
#endif
const uint RUNS = DEPTH / RUN;
const uint FOURS_A = TILE_M * 8u / SIZE, FOURS_B = TILE_N * 8u / SIZE; // a thread's, of a slice
const uint PITCH = DEPTH + 8u; // keeps neighbours off one bank

shared uvec4 slice_a[2u * TILE_M * PITCH / 8u], slice_b[TILE_N * PITCH / 8u]; // a's upper parts, lower
shared float scale_a[TILE_M], scale_b[RUNS * TILE_N];
#ifdef OFFSETS
shared float total_a[TILE_M], offset_b[TILE_N];
#endif

// Puts four f16 at a place that is a multiple of four: the half of a vector.
#define PUT(slice, at, four)                                                                      \
    do {                                                                                          \
        const uint put_at = at;                                                                   \
        const uvec2 put_u = uvec2(packHalf2x16(four.xy), packHalf2x16(four.zw));                  \
        slice[put_at / 8u][put_at / 2u % 4u] = put_u.x;                                           \
        slice[put_at / 8u][put_at / 2u % 4u + 1u] = put_u.y;                                      \
    } while (false)

void load_a(matmul_tile t, uint k0)
{
    [[unroll]] for (uint i = 0u; i < FOURS_A; i++) {
        const uint g = gl_LocalInvocationID.x + i * SIZE, r = g / 8u, e = g % 8u * 4u;
        vec4 v = vec4(0.0);
        if (t.row + r < p.m)
            v = four_a(t.at.a + (t.row + r) * p.a_row + k0 + e);

        const vec4 size = abs(v);
        float most = max(max(size.x, size.y), max(size.z, size.w)); // of eight threads' fours
        [[unroll]] for (uint lane = 1u; lane < 8u; lane *= 2u)
            most = max(most, subgroupShuffleXor(most, lane));
        const uint up = min(268u - (floatBitsToUint(most) >> 23), 253u); // most then has exponent 14
        const vec4 scaled = v * uintBitsToFloat(up << 23);
        const vec4 upper = vec4(unpackHalf2x16(packHalf2x16(scaled.xy)), unpackHalf2x16(packHalf2x16(scaled.zw)));
        const vec4 lower = scaled - upper;
        PUT(slice_a, r * PITCH + e, upper);
        PUT(slice_a, (TILE_M + r) * PITCH + e, lower);
        if (e == 0u)
            scale_a[r] = uintBitsToFloat((254u - up) << 23);
#ifdef OFFSETS
        float total = (v.x + v.y) + (v.z + v.w);
        [[unroll]] for (uint lane = 1u; lane < 8u; lane *= 2u)
            total += subgroupShuffleXor(total, lane);
        if (e == 0u)
            total_a[r] = total;
#endif
    }
}

void load_b(matmul_tile t, uint k0)
{
    [[unroll]] for (uint i = 0u; i < FOURS_B; i++) {
        const uint g = gl_LocalInvocationID.x + i * SIZE, c = g / 8u, e = g % 8u * 4u;
        const uint from = t.at.b + min(t.col + c, p.n - 1u) * p.b_col + k0;
        const vec4 v = weights_bytes(weights_quants_of(from, e)) - MIDDLE;
        PUT(slice_b, c * PITCH + e, v);
        if (e % RUN == 0u) {
            const vec2 so = weights_scale_of(from, e);
            scale_b[e / RUN * TILE_N + c] = so.x;
#ifdef OFFSETS
            offset_b[c] = so.y;
#endif
        }
    }
}

// A matrix whose columns all are the elements from i on; or whose rows are.
#define ALONG_M(m, vector, i) coopMatLoad(m, vector, i, 0u, gl_CooperativeMatrixLayoutColumnMajor)
#define ALONG_N(m, vector, i) coopMatLoad(m, vector, i, 0u, gl_CooperativeMatrixLayoutRowMajor)

// One matrix of the tile: what run adds to it.
void add_run(uint run, uint i, uint j, SUMS along_m)
{
    const uint row = my_row() + i * MAT_M, col = my_col() + j * MAT_N;
    SUMS products = SUMS(0.0); // one a line: glslang 13 makes another type of a second declarator
    SUMS along_n;
    MATRIX_A upper;
    MATRIX_A lower;
    MATRIX_B vb;

    for (uint k = run * RUN; k < run * RUN + RUN; k += MAT_K) {
        coopMatLoad(upper, slice_a, (row * PITCH + k) / 8u, PITCH / 8u, gl_CooperativeMatrixLayoutRowMajor);
        coopMatLoad(lower, slice_a, ((TILE_M + row) * PITCH + k) / 8u, PITCH / 8u,
                    gl_CooperativeMatrixLayoutRowMajor);
        coopMatLoad(vb, slice_b, (col * PITCH + k) / 8u, PITCH / 8u, gl_CooperativeMatrixLayoutColumnMajor);
        products = coopMatMulAdd(lower, vb, products);
        products = coopMatMulAdd(upper, vb, products);
    }
    ALONG_N(along_n, scale_b, run * TILE_N + col);
    for (uint e = 0u; e < products.length(); e++)
        sum[i * FRAGS_N + j][e] += products[e] * along_m[e] * along_n[e];
}

void multiply()
{
    [[unroll]] for (uint i = 0u; i < FRAGS_M; i++) {
        SUMS along_m;
        ALONG_M(along_m, scale_a, my_row() + i * MAT_M);
        for (uint run = 0u; run < RUNS; run++)
            [[unroll]] for (uint j = 0u; j < FRAGS_N; j++)
                add_run(run, i, j, along_m);
#ifdef OFFSETS
        SUMS totals;
        SUMS offsets;
        ALONG_M(totals, total_a, my_row() + i * MAT_M);
        [[unroll]] for (uint j = 0u; j < FRAGS_N; j++) {
            ALONG_N(offsets, offset_b, my_col() + j * MAT_N);
            for (uint e = 0u; e < totals.length(); e++)
                sum[i * FRAGS_N + j][e] += totals[e] * offsets[e];
        }
#endif
    }
}

#include "matmul_coop_store.glsl"

void main()
{
    HN_GROUP_GUARD;
    const matmul_tile t = matmul_tile_of(TILE_M, TILE_N);

    [[unroll]] for (uint i = 0u; i < FRAGS_M * FRAGS_N; i++)
        sum[i] = SUMS(0.0);
    for (uint k0 = t.begin; k0 < t.k_end; k0 += DEPTH) {
        load_a(t, k0);
        load_b(t, k0);
        barrier();
        multiply();
        barrier();
    }
    store(t.at, t.row + my_row(), t.col + my_col());
}
