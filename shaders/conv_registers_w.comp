// conv2d_weight_grad for devices where loads and barriers are dear (software ones), of x and y in grids of
// equal rows (conv_grid): a thread has TM channels of y and TN of x for one tap, in registers.
#version 460
#extension GL_GOOGLE_include_directive : require
#extension GL_EXT_control_flow_attributes : require
#include "common.glsl"
#include "conv_sum.glsl"
#include "conv_grid.glsl"

layout(constant_id = 1) const uint TM = 8;
layout(constant_id = 2) const uint TN = 8;

INF(0, grid_x);
INF(1, grid_y);
OUT(2, w);

float sum[TM * TN];

// The places of an image.
void add_products(uint from_x[TN], uint from_y[TM])
{
    for (uint at = 0u; at < p.plane_y; at++) {
        float x[TN], y[TM];
        [[unroll]] for (uint o = 0u; o < TM; o++)
            y[o] = grid_y[from_y[o] + at];
        [[unroll]] for (uint c = 0u; c < TN; c++)
            x[c] = grid_x[from_x[c] + at];
        [[unroll]] for (uint o = 0u; o < TM; o++)
            [[unroll]] for (uint c = 0u; c < TN; c++)
                sum[o * TN + c] = fma(y[o], x[c], sum[o * TN + c]);
    }
}

void main()
{
    HN_GROUP_GUARD;
    const uint taps = p.kh * p.kw, tap = thread_index() % taps, tile = thread_index() / taps;
    const uint row = tile % p.tiles_m * TM, col = tile / p.tiles_m % p.tiles_n * TN;
    const uint g = tile / p.tiles_m / p.tiles_n, phases = uint(p.stride_h * p.stride_w);
    if (g >= p.groups)
        return;
    const uint off = tap_in_x(uvec2(tap / p.kw, tap % p.kw));

    [[unroll]] for (uint i = 0u; i < TM * TN; i++)
        sum[i] = 0.0;
    for (uint image = 0u; image < p.n; image++) {
        uint from_x[TN], from_y[TM]; // beyond the edge the last channel, not stored
        [[unroll]] for (uint c = 0u; c < TN; c++)
            from_x[c] = ((image * p.groups + g) * p.cg + min(col + c, p.cg - 1u)) * phases * p.plane + off;
        [[unroll]] for (uint o = 0u; o < TM; o++)
            from_y[o] = ((image * p.groups + g) * p.og + min(row + o, p.og - 1u)) * p.plane_y;
        add_products(from_x, from_y);
    }
    [[unroll]] for (uint o = 0u; o < TM; o++)
        [[unroll]] for (uint c = 0u; c < TN; c++)
            if (row + o < p.og && col + c < p.cg)
                ST(w, ((g * p.og + row + o) * p.cg + col + c) * taps + tap, sum[o * TN + c]);
}
