// matmul of operands that panels.comp copied, for software devices (lanes.glsl): each lane has a
// column of b and TM rows of a. Elements of a are the same for all lanes and come as an operand of
// the multiplication; a register of b serves TM products. STEPS steps of k are written out, or the
// loop would cost as much as they do; k is a multiple, and not 0.
// types: f32 f16 bf16
#version 460
#extension GL_GOOGLE_include_directive : require
#define MATMUL_ADDRESSES 2
#include "matmul.glsl"
#include "lanes.glsl"

layout(constant_id = 1) const uint TM = 24;
layout(constant_id = 2) const uint STEPS = 32;

float sum[TM];

void add_products(uint a_from, uint b_from)
{
    const uint lanes = gl_WorkGroupSize.x;
    uint k = 0u;
    do { // tests last: see lanes.glsl
        Floats a_steps = Floats(place_of(0u, a_from + k * TM, 2u));
        Floats b_steps = Floats(place_of(1u, b_from + k * lanes, 2u));
        [[unroll]] for (uint u = 0u; u < STEPS; u++) {
            const float b_u = floats_of(b_steps, u * lanes);
            [[unroll]] for (uint i = 0u; i < TM; i++)
                sum[i] = fma(a_steps.v[u * TM + i], b_u, sum[i]);
        }
        k += STEPS;
    } while (k < p.k);
}

void main()
{
    HN_GROUP_GUARD;
    const uint lanes = gl_WorkGroupSize.x;
    const uint tiles_m = (p.m + TM - 1u) / TM, tiles_n = (p.n + lanes - 1u) / lanes;
    const uint tile = group_index() % (tiles_m * tiles_n);
    const uint band = tile / (tiles_m * p.band) * p.band;
    const uint in_band = tile - band * tiles_m, width = min(p.band, tiles_n - band);
    const uint row_tile = in_band / width, col_tile = band + in_band % width;
    const uint row = row_tile * TM, col = col_tile * lanes + gl_LocalInvocationID.x;
    const matmul_base at = matmul_at(group_index() / (tiles_m * tiles_n));

    [[unroll]] for (uint i = 0u; i < TM; i++)
        sum[i] = 0.0;
    add_products(at.a + row * p.k, at.b + col_tile * lanes * p.k);

    if (p.flags == 0u && p.act == 0u) { // few instructions: what is written out below is long
        [[unroll]] for (uint i = 0u; i < TM; i++)
            if (row + i < p.m && col < p.n)
                ST(y, at.y + (row + i) * p.n + col, sum[i] * p.scale);
        return;
    }
    [[unroll]] for (uint i = 0u; i < TM; i++)
        if (row + i < p.m && col < p.n)
            matmul_store(at.y, row + i, col, sum[i]);
}
