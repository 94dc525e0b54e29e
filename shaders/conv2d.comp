// conv2d: a thread computes one place of the image for a tile of output channels, so that each
// element of x it loads serves all of them.
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
    const uint places = p.oh * p.ow, tiles = (p.og + TILE - 1u) / TILE;
    const uint i = thread_index(), at = i % (p.n * places), channels = i / (p.n * places);
    const uint g = channels / tiles, o = channels % tiles * TILE;

    if (g >= p.groups)
        return;
    const uint image = at / places, place = at % places;
    const int h0 = int(place / p.ow) * p.stride_h - p.pad_h;
    const int w0 = int(place % p.ow) * p.stride_w - p.pad_w;
    const uint taps = p.cg * p.kh * p.kw;

    clear_tile();
    for (uint k = 0u; k < p.cg; k++)
        for (uint kh = 0u; kh < p.kh; kh++) {
            const int ih = h0 + int(kh) * p.dilation_h;
            if (ih < 0 || ih >= int(p.h))
                continue;
            const uint row = ((image * p.groups + g) * p.cg + k) * p.h + uint(ih);
            for (uint kw = 0u; kw < p.kw; kw++) {
                const int iw = w0 + int(kw) * p.dilation_w;
                if (iw < 0 || iw >= int(p.w))
                    continue;
                const float v = LD(x, row * p.w + uint(iw));
                const uint tap = (k * p.kh + kh) * p.kw + kw;
                for (uint r = 0u; r < TILE; r++)
                    acc[r] += v * LD(w, (g * p.og + min(o + r, p.og - 1u)) * taps + tap);
            }
        }
    for (uint r = 0u; r < TILE; r++)
        if (o + r < p.og)
            ST(y, ((image * p.groups + g) * p.og + o + r) * places + place, acc[r]);
}
