// What the matrix products share: operands, the place of a tile in the grid, the epilogue.
// y[m, n] = act(scale sum_k a[m, k] b[k, n] + bias[n]) + residual[m, n], or times a factor, a batch at
// a time.
#ifndef HN_MATMUL_GLSL
#define HN_MATMUL_GLSL

#include "common.glsl"
#include "act.glsl"
#include "push.h"

#ifndef MATMUL_FLAGS // the epilogue's, where a kernel has no constants for them
#define MATMUL_FLAGS p.flags
#define MATMUL_ACT p.act
#endif
#ifdef MATMUL_ADDRESSES
layout(push_constant) uniform Push { matmul_push p; uint address[2 * MATMUL_ADDRESSES]; };
#else
layout(push_constant) uniform Push { matmul_push p; };
#endif
#ifdef HN_WEIGHTS
#define WEIGHTS_BINDING 1
#include "weights.glsl"
#define LDB(i) LDW(i)
#elif defined(MATMUL_RUNS)
layout(binding = 1) readonly buffer InB { u64vec4 b_runs[]; };
#else
IN(1, b);
#define LDB(i) LD(b, i)
#endif
#ifdef HN_BLOCKS // a is f32, or where p.flags has MATMUL_A_BLOCKS q8_0
layout(binding = 0) readonly buffer InA { uint a[]; };
#define LDA(i) a_element(i)
#elif defined(MATMUL_RUNS) // f32 in panels, eight neighbours at once
layout(binding = 0) readonly buffer InA { u64vec4 a_runs[]; };
#else
IN(0, a);
#define LDA(i) LD(a, i)
#endif
IN(2, bias);     // [n], where p.flags has MATMUL_BIAS
IN(3, other);    // like y: a residual or a factor, where p.flags has MATMUL_RESIDUAL or MATMUL_FACTOR
OUT(4, y);       // [batch, m, n]
#ifdef MATMUL_NORM
IN(5, norm);     // [k]: weight of the RMS norm that a passes first, where the constant NORM is not 0
#endif
#ifdef IN_PARTS
OUTF(4, sums);   // instead of y where p.flags has MATMUL_PARTS: [parts, batch, m, n]
#endif

#ifdef HN_BLOCKS
float a_element(uint i)
{
    if ((p.flags & MATMUL_A_BLOCKS) == 0u)
        return uintBitsToFloat(a[i]);
    const uint at = i / 32u * 34u, q = at + 2u + i % 32u;
    const float d = half_value(a[at >> 2] >> ((at & 2u) * 8u));
    return d * float(int(a[q >> 2] << (24u - (q & 3u) * 8u)) >> 24);
}
#endif

// First elements of this batch.
struct matmul_base {
    uint a, b, y;
};

matmul_base matmul_at(uint batch)
{
    return matmul_base(batch * p.a_batch, batch * p.b_batch, batch * p.m * p.n);
}

#ifdef IN_PARTS
// The tile that a workgroup makes, and its part of k. Bands of 8 rows of tiles are made together: what
// they read of b stays in the cache.
struct matmul_tile {
    matmul_base at;
    uint row, col, begin, k_end;
};

matmul_tile matmul_tile_of(uint tile_m, uint tile_n)
{
    const uint BAND = 8u, tiles_m = (p.m + tile_m - 1u) / tile_m, tiles_n = (p.n + tile_n - 1u) / tile_n;
    const uint tile = group_index() % (tiles_m * tiles_n), rest = group_index() / (tiles_m * tiles_n);
    const uint part = rest / p.batch, band = tile / (BAND * tiles_n) * BAND;
    const uint rows = min(tiles_m - band, BAND), in_band = tile - band * tiles_n;
    matmul_tile t;

    t.at = matmul_at(rest % p.batch);
    t.at.y += part * p.batch * p.m * p.n;
    t.row = (band + in_band % rows) * tile_m;
    t.col = in_band / rows * tile_n;
    t.begin = part * p.k_part;
    t.k_end = min(t.begin + p.k_part, p.k);
    return t;
}
#endif

void matmul_store(uint y_base, uint row, uint col, float sum)
{
    const uint i = y_base + row * p.n + col;
#ifdef IN_PARTS
    if ((MATMUL_FLAGS & MATMUL_PARTS) != 0u) { // matmul_join does the rest
        sums[i] = sum;
        return;
    }
#endif
    float v = sum * p.scale;
    if ((MATMUL_FLAGS & MATMUL_BIAS) != 0u)
        v += LD(bias, col);
    v = act_apply(MATMUL_ACT, v);
    if ((MATMUL_FLAGS & MATMUL_RESIDUAL) != 0u)
        v += LD(other, i);
    if ((MATMUL_FLAGS & MATMUL_FACTOR) != 0u)
        v *= LD(other, i);
    ST(y, i, v);
}

#endif
