// conv2d and conv2d_transpose for devices where loads and barriers are dear (software ones), of what
// conv_grid and conv_panel copied: a thread has TM channels of TN neighbouring places, in registers. Places
// go on from row to row: those in between are not stored.
#version 460
#extension GL_GOOGLE_include_directive : require
#extension GL_EXT_control_flow_attributes : require
#include "common.glsl"
#include "conv_sum.glsl"
#include "conv_grid.glsl"

layout(constant_id = 1) const uint TM = 8;
layout(constant_id = 2) const uint TN = 8;
layout(constant_id = 3) const uint SIDE = CONV_Y;

INF(0, grid);
INF(1, panel);
OUT(2, result);

float sum[TM * TN];

// All channels of a tap.
void add_products(uint at, uint step, uint weights)
{
    for (uint k = 0u; k < p.grid_channels; k++) {
        float w[TM], x[TN];
        [[unroll]] for (uint i = 0u; i < TM; i++)
            w[i] = panel[weights + k * TM + i];
        [[unroll]] for (uint j = 0u; j < TN; j++)
            x[j] = grid[at + k * step + j];
        [[unroll]] for (uint i = 0u; i < TM; i++)
            [[unroll]] for (uint j = 0u; j < TN; j++)
                sum[i * TN + j] = fma(w[i], x[j], sum[i * TN + j]);
    }
}

void main()
{
    HN_GROUP_GUARD;
    const uint tiles = p.tiles_m * p.tiles_n, tile = thread_index() % tiles, part = thread_index() / tiles;
    const uint first = tile % p.tiles_n * TN, row = tile / p.tiles_n * TM;
    const uint phases = SIDE == CONV_Y ? uint(p.stride_h * p.stride_w) : 1u;
    if (part >= parts_of_sum(SIDE == CONV_X))
        return;
    uint image, g;
    const conv_sum s = sum_of_part(SIDE == CONV_X, part, image, g);
    const uint from = (image * p.groups + g) * p.grid_channels * phases * p.plane + first;

    [[unroll]] for (uint i = 0u; i < TM * TN; i++)
        sum[i] = 0.0;
    for (uint i = 0u; i < s.taps.x; i++)
        for (uint j = 0u; j < s.taps.y; j++) {
            const uvec2 t = uvec2(i, j), tap = s.tap_first + t * s.tap_step;
            const uint off = SIDE == CONV_Y ? tap_in_x(t) : tap_in_y(s, t);
            const uint weights = (g * p.tiles_m + row / TM) * p.kh * p.kw + tap.x * p.kw + tap.y;
            add_products(from + off, phases * p.plane, weights * p.grid_channels * TM);
        }

    [[unroll]] for (uint j = 0u; j < TN; j++) {
        const uvec2 place = uvec2((first + j) / p.cols, (first + j) % p.cols);
        uint step;
        const uint to = place_to(s, SIDE == CONV_X, uvec3(image, place), step);
        [[unroll]] for (uint i = 0u; i < TM; i++)
            if (place.x < s.places.x && place.y < s.places.y && row + i < s.m)
                ST(result, to + (row + i) * step, sum[i * TN + j]);
    }
}
