// conv2d_transpose: a thread gathers, for PLACES places of x a workgroup's width apart and TILE of
// its channels, the places of y whose windows cover them.
#version 460
#extension GL_GOOGLE_include_directive : require
#include "common.glsl"
#include "push.h"
#include "conv.glsl"

IN(0, y);  // [n, groups * og, oh, ow]
IN(1, w);  // [groups * og, cg, kh, kw]
OUT(2, x); // [n, groups * cg, h, w]

void main()
{
    HN_GROUP_GUARD;
    const uint places = p.h * p.w, all = p.n * places, tiles = (p.cg + TILE - 1u) / TILE;
    const uint width = gl_WorkGroupSize.x * PLACES, blocks = (all + width - 1u) / width;
    const uint g = group_index() / blocks / tiles, k = group_index() / blocks % tiles * TILE;
    const uint first = group_index() % blocks * width + gl_LocalInvocationID.x;
    const uint taps = p.kh * p.kw, image_step = p.oh * p.ow, last = min(TILE, p.cg - k) - 1u;

    clear_tile();
    for (uint tap = 0u; tap < taps; tap++) {
        const int dh = p.pad_h - int(tap / p.kw) * p.dilation_h;
        const int dw = p.pad_w - int(tap % p.kw) * p.dilation_w;
        uint from[8];
        bool covers[8];
        for (uint j = 0u; j < PLACES; j++) {
            const uint at = min(first + j * gl_WorkGroupSize.x, all - 1u), place = at % places;
            const int th = int(place / p.w) + dh, tw = int(place % p.w) + dw;
            const int ih = th / p.stride_h, iw = tw / p.stride_w;
            covers[j] = th >= 0 && tw >= 0 && ih * p.stride_h == th && iw * p.stride_w == tw
                        && ih < int(p.oh) && iw < int(p.ow);
            from[j] = (at / places * p.groups + g) * p.og * image_step
                      + (covers[j] ? uint(ih) * p.ow + uint(iw) : 0u);
        }
        for (uint o = 0u; o < p.og; o++) {
            float v[8];
            for (uint j = 0u; j < PLACES; j++) {
                const float there = LD(y, from[j] + o * image_step);
                v[j] = covers[j] ? there : 0.0;
            }
            for (uint r = 0u; r < TILE; r++) {
                const float weight =
                    LD(w, ((g * p.og + o) * p.cg + k + min(r, last)) * taps + tap);
                for (uint j = 0u; j < PLACES; j++)
                    acc[r * PLACES + j] = fma(v[j], weight, acc[r * PLACES + j]);
            }
        }
    }
    for (uint j = 0u; j < PLACES; j++) {
        const uint at = first + j * gl_WorkGroupSize.x;
        const uint to = (at / places * p.groups + g) * p.cg + k;
        for (uint r = 0u; r < TILE; r++)
            if (at < all && r <= last)
                ST(x, (to + r) * places + at % places, acc[r * PLACES + j]);
    }
}
