// conv2d_weight_grad for software devices (lanes.glsl), of x and y in grids of equal rows (conv_grid):
// lanes share the places of a tap's sums, a register of eight at a time, for TM channels of y and TN of x.
// TURN places are written out; what lies in y's grid beside its places is 0.
// types: f32 f16 bf16
#version 460
#extension GL_GOOGLE_include_directive : require
#extension GL_KHR_shader_subgroup_arithmetic : require
#define CONV_ADDRESSES 2
#include "common.glsl"
#include "conv_sum.glsl"
#include "conv_grid.glsl"
#include "lanes.glsl"

layout(constant_id = 1) const uint TM = 6;
layout(constant_id = 2) const uint TN = 4;
layout(constant_id = 3) const uint TURN = 32;

INF(0, grid_x);
INF(1, grid_y);
OUT(2, w);

float sum[TM * TN];

// The places of an image.
void add_products(uint from_x[TN], uint from_y[TM])
{
    uint i = 0u;
    do { // tests last: see lanes.glsl
        [[unroll]] for (uint u = 0u; u < TURN; u += gl_WorkGroupSize.x) {
            float x[TN];
            [[unroll]] for (uint c = 0u; c < TN; c++)
                x[c] = floats_of(Floats(place_of(0u, from_x[c] + i, 2u)), u);
            [[unroll]] for (uint o = 0u; o < TM; o++) {
                const float y = floats_of(Floats(place_of(1u, from_y[o] + i, 2u)), u);
                [[unroll]] for (uint c = 0u; c < TN; c++)
                    sum[o * TN + c] = fma(y, x[c], sum[o * TN + c]);
            }
        }
        i += TURN;
    } while (i < p.plane_y);
}

void main()
{
    HN_GROUP_GUARD;
    const uint taps = p.kh * p.kw, tap = group_index() % taps, tile = group_index() / taps;
    const uint row = tile % p.tiles_m * TM, col = tile / p.tiles_m % p.tiles_n * TN;
    const uint g = tile / p.tiles_m / p.tiles_n;
    const uint phases = uint(p.stride_h * p.stride_w), at = tap_in_x(uvec2(tap / p.kw, tap % p.kw));

    [[unroll]] for (uint i = 0u; i < TM * TN; i++)
        sum[i] = 0.0;
    uint image = 0u;
    do {
        uint from_x[TN], from_y[TM];
        [[unroll]] for (uint c = 0u; c < TN; c++) // beyond the edge the last channel, not stored
            from_x[c] = ((image * p.groups + g) * p.cg + min(col + c, p.cg - 1u)) * phases * p.plane + at;
        [[unroll]] for (uint o = 0u; o < TM; o++)
            from_y[o] = ((image * p.groups + g) * p.og + min(row + o, p.og - 1u)) * p.plane_y;
        add_products(from_x, from_y);
    } while (++image < p.n);
    [[unroll]] for (uint o = 0u; o < TM; o++)
        [[unroll]] for (uint c = 0u; c < TN; c++) {
            const float v = subgroupAdd(sum[o * TN + c]);
            if (gl_LocalInvocationID.x == 0u && row + o < p.og && col + c < p.cg)
                ST(w, ((g * p.og + row + o) * p.cg + col + c) * taps + tap, v);
        }
}
