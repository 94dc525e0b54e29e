// conv2d and conv2d_transpose for software devices (lanes.glsl), of what conv_grid and conv_panel
// copied: each lane has a place of the grid and TM channels of the result. Lanes are neighbours, so that
// what a tap reads for them is one register, and weights are the same for all of them. TURN channels are
// written out. Places go on from row to row: those in between are not stored.
// types: f32 f16 bf16
#version 460
#extension GL_GOOGLE_include_directive : require
#define CONV_ADDRESSES 2
#include "common.glsl"
#include "conv_sum.glsl"
#include "conv_grid.glsl"
#include "lanes.glsl"

layout(constant_id = 1) const uint TM = 24;
layout(constant_id = 2) const uint TURN = 8;
layout(constant_id = 3) const uint SIDE = CONV_Y;

INF(0, grid);
INF(1, panel);
OUT(2, result);

float sum[TM];

// All channels of a tap.
void add_products(uint at, uint step, uint weights)
{
    uint k = 0u;
    do { // tests last: see lanes.glsl
        Floats w = Floats(place_of(1u, weights + k * TM, 2u));
        [[unroll]] for (uint u = 0u; u < TURN; u++) {
            const float x = floats_of(Floats(place_of(0u, at + (k + u) * step, 2u)), 0u);
            [[unroll]] for (uint i = 0u; i < TM; i++)
                sum[i] = fma(w.v[u * TM + i], x, sum[i]);
        }
        k += TURN;
    } while (k < p.grid_channels);
}

void add_taps(conv_sum s, uint from, uint weights)
{
    const uint phases = SIDE == CONV_Y ? uint(p.stride_h * p.stride_w) : 1u;
    const uint count = s.taps.x * s.taps.y;
    uint i = 0u;
    do { // once where a place of x has none: what is read then is there
        const uvec2 t = uvec2(i / max(s.taps.y, 1u), i % max(s.taps.y, 1u));
        const uvec2 tap = count > 0u ? s.tap_first + t * s.tap_step : uvec2(0u);
        uint at = 0u;
        if (count > 0u)
            at = SIDE == CONV_Y ? tap_in_x(t) : tap_in_y(s, t);
        add_products(from + at, phases * p.plane,
                     weights + (tap.x * p.kw + tap.y) * p.grid_channels * TM);
    } while (++i < count);
    if (count == 0u)
        [[unroll]] for (uint r = 0u; r < TM; r++)
            sum[r] = 0.0;
}

void main()
{
    HN_GROUP_GUARD;
    // Panels of a band of neighbouring runs of places are done together.
    const uint tiles = p.tiles_m * p.tiles_n, tile = group_index() % tiles;
    const uint band = tile / (p.tiles_m * p.band) * p.band, in_band = tile - band * p.tiles_m;
    const uint width = min(p.band, p.tiles_n - band), row_tile = in_band / width;
    const uint phases = SIDE == CONV_Y ? uint(p.stride_h * p.stride_w) : 1u;
    uint image, g;
    const conv_sum s = sum_of_part(SIDE == CONV_X, group_index() / tiles, image, g);

    const uint first = (band + in_band % width) * gl_WorkGroupSize.x;
    [[unroll]] for (uint i = 0u; i < TM; i++)
        sum[i] = 0.0;
    add_taps(s, (image * p.groups + g) * p.grid_channels * phases * p.plane + first,
             (g * p.tiles_m + row_tile) * p.kh * p.kw * p.grid_channels * TM);

    uvec2 place = uvec2(first / p.cols, first % p.cols + gl_LocalInvocationID.x);
    const uint more = uint((float(place.y) + 0.5) / float(p.cols));
    place += uvec2(more, -more * p.cols);
    uint step;
    const uint to = place_to(s, SIDE == CONV_X, uvec3(image, place), step);
    const bool there = place.x < s.places.x && place.y < s.places.y;
    [[unroll]] for (uint i = 0u; i < TM; i++)
        if (there && row_tile * TM + i < s.m)
            ST(result, to + (row_tile * TM + i) * step, sum[i]);
}
