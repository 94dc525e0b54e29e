// conv2d: a thread computes PLACES places of the image, a workgroup's width apart, for TILE output
// channels: what it loads serves a whole row or column of that tile.
#version 460
#extension GL_GOOGLE_include_directive : require
#include "common.glsl"
#include "push.h"
#include "conv.glsl"

IN(0, x);  // [n, groups * cg, h, w]
IN(1, w);  // [groups * og, cg, kh, kw]
OUT(2, y); // [n, groups * og, oh, ow]

void main()
{
    HN_GROUP_GUARD;
    const uint places = p.oh * p.ow, all = p.n * places, tiles = (p.og + TILE - 1u) / TILE;
    const uint width = gl_WorkGroupSize.x * PLACES, blocks = (all + width - 1u) / width;
    const uint g = group_index() / blocks / tiles, o = group_index() / blocks % tiles * TILE;
    const uint first = group_index() % blocks * width + gl_LocalInvocationID.x;
    const uint taps = p.kh * p.kw, image_step = p.h * p.w;
    const uint weights = (g * p.og + o) * p.cg * taps, last = min(TILE, p.og - o) - 1u;

    clear_tile();
    for (uint tap = 0u; tap < taps; tap++) {
        const int dh = int(tap / p.kw) * p.dilation_h - p.pad_h;
        const int dw = int(tap % p.kw) * p.dilation_w - p.pad_w;
        uint from[8];
        bool inside[8];
        for (uint j = 0u; j < PLACES; j++) {
            const uint at = min(first + j * gl_WorkGroupSize.x, all - 1u), place = at % places;
            const int ih = int(place / p.ow) * p.stride_h + dh;
            const int iw = int(place % p.ow) * p.stride_w + dw;
            inside[j] = uint(ih) < p.h && uint(iw) < p.w;
            from[j] = (at / places * p.groups + g) * p.cg * image_step
                      + (inside[j] ? uint(ih) * p.w + uint(iw) : 0u);
        }
        for (uint k = 0u; k < p.cg; k++) {
            float v[8];
            for (uint j = 0u; j < PLACES; j++) {
                const float there = LD(x, from[j] + k * image_step);
                v[j] = inside[j] ? there : 0.0;
            }
            for (uint r = 0u; r < TILE; r++) {
                const float weight = LD(w, weights + (min(r, last) * p.cg + k) * taps + tap);
                for (uint j = 0u; j < PLACES; j++)
                    acc[r * PLACES + j] = fma(v[j], weight, acc[r * PLACES + j]);
            }
        }
    }
    for (uint j = 0u; j < PLACES; j++) {
        const uint at = first + j * gl_WorkGroupSize.x;
        const uint to = (at / places * p.groups + g) * p.og + o;
        for (uint r = 0u; r < TILE; r++)
            if (at < all && r <= last)
                ST(y, (to + r) * places + at % places, acc[r * PLACES + j]);
    }
}
