// matmul by tiles where both operands are blocks and a is q8_0: products of 8-bit integers, four and
// their sum by one instruction. A slice is 32 of k, a block of a: its sums of integers are scaled by a's d
// and b's s; what b is offset by meets a's sum. Exact but for the scales, as in matmul_dots8.
// types: w_q8_0 w_q4_0 w_q4_1 w_q5_0 w_q5_1 w_q4_k w_q5_k w_q6_k
#version 460
#extension GL_GOOGLE_include_directive : require
#extension GL_EXT_control_flow_attributes : require

// A workgroup is (TILE_M / TM) x (TILE_N / TN) threads.
layout(constant_id = 1) const uint TILE_M = 64;
layout(constant_id = 2) const uint TILE_N = 64;
layout(constant_id = 3) const uint TM = 4;
layout(constant_id = 4) const uint TN = 4;
#define LAYOUT (MATMUL_A_ALONG_K | MATMUL_B_ALONG_K | MATMUL_A_FOURS | MATMUL_B_FOURS)
#define IN_PARTS
#include "matmul_four.glsl"
#include "dot8.glsl"

#ifndef T_W_Q8_0 // q8_0 is multiplied as it is stored
#define OFFSETS
#endif
#ifdef T_W_Q6_K
const uint RUNS = 2u; // of a slice, with a scale each
#else
const uint RUNS = 1u;
#endif
const uint SIZE = (TILE_M / TM) * (TILE_N / TN), DEPTH = 32u;
const uint WORDS = DEPTH / 4u, PITCH = WORDS + 1u; // odd: keeps neighbours off one bank
const uint ACROSS = TILE_N / TN;

shared int slice_a[TILE_M * PITCH], slice_b[TILE_N * PITCH];
shared float scale_a[TILE_M], scale_b[RUNS * TILE_N];
#ifdef OFFSETS
shared float offset_b[RUNS * TILE_N];
#endif
float sum[TM * TN];

// A thread's rows and columns come in turn: neighbours have neighbours.
uint row_of(uint i)
{
    return i * (TILE_M / TM) + gl_LocalInvocationID.x / ACROSS;
}

uint col_of(uint j)
{
    return j * ACROSS + gl_LocalInvocationID.x % ACROSS;
}

// Beyond the last row and column they are the last one again, and not stored.
void load(matmul_tile t, uint k0)
{
    for (uint g = gl_LocalInvocationID.x; g < TILE_M * WORDS; g += SIZE) {
        const uint r = g / WORDS, w = g % WORDS;
        const uint at = (t.at.a + min(t.row + r, p.m - 1u) * p.a_row + k0) / 32u * 34u;
        slice_a[r * PITCH + w] = int(a_word(at + 2u + w * 4u));
        if (w == 0u)
            scale_a[r] = half_value(a[at >> 2] >> ((at & 2u) * 8u));
    }
    for (uint g = gl_LocalInvocationID.x; g < TILE_N * WORDS; g += SIZE) {
        const uint c = g / WORDS, w = g % WORDS;
        const uint from = t.at.b + min(t.col + c, p.n - 1u) * p.b_col + k0;
        slice_b[c * PITCH + w] = int(weights_quants_of(from, w * 4u));
#ifndef OFFSETS
        slice_b[c * PITCH + w] ^= int(0x80808080u);
#endif
        if (w % (WORDS / RUNS) == 0u) {
            const vec2 so = weights_scale_of(from, w * 4u);
            scale_b[w / (WORDS / RUNS) * TILE_N + c] = so.x;
#ifdef OFFSETS
            offset_b[w / (WORDS / RUNS) * TILE_N + c] = so.y;
#endif
        }
    }
}

// The products of a run, whose first word is `from`.
void add_run(uint run, uint from)
{
    int products[TM * TN], ones[TM];
    [[unroll]] for (uint i = 0u; i < TM; i++) {
        ones[i] = 0;
        [[unroll]] for (uint j = 0u; j < TN; j++)
            products[i * TN + j] = 0;
    }
    for (uint w = from; w < from + WORDS / RUNS; w++) {
        int va[TM], vb[TN];
        [[unroll]] for (uint i = 0u; i < TM; i++) {
            va[i] = slice_a[row_of(i) * PITCH + w];
#ifdef OFFSETS
            ones[i] += dot8(va[i], 0x01010101);
#endif
        }
        [[unroll]] for (uint j = 0u; j < TN; j++)
            vb[j] = slice_b[col_of(j) * PITCH + w];
        [[unroll]] for (uint i = 0u; i < TM; i++)
            [[unroll]] for (uint j = 0u; j < TN; j++)
                products[i * TN + j] += dot8(va[i], vb[j]);
    }
    [[unroll]] for (uint i = 0u; i < TM; i++)
        [[unroll]] for (uint j = 0u; j < TN; j++) {
            float v = float(products[i * TN + j]) * scale_b[run * TILE_N + col_of(j)];
#ifdef OFFSETS
            v = fma(float(ones[i]), offset_b[run * TILE_N + col_of(j)], v);
#endif
            sum[i * TN + j] = fma(scale_a[row_of(i)], v, sum[i * TN + j]);
        }
}

void main()
{
    HN_GROUP_GUARD;
    const matmul_tile t = matmul_tile_of(TILE_M, TILE_N);

    [[unroll]] for (uint i = 0u; i < TM * TN; i++)
        sum[i] = 0.0;
    for (uint k0 = t.begin; k0 < t.k_end; k0 += DEPTH) {
        load(t, k0);
        barrier();
        [[unroll]] for (uint run = 0u; run < RUNS; run++)
            add_run(run, run * (WORDS / RUNS));
        barrier();
    }
    [[unroll]] for (uint i = 0u; i < TM; i++)
        [[unroll]] for (uint j = 0u; j < TN; j++) {
            const uint r = t.row + row_of(i), c = t.col + col_of(j);
            if (r < p.m && c < p.n)
                matmul_store(t.at.y, r, c, sum[i * TN + j]);
        }
}
