// conv2d_transpose: a thread gathers, for one place of x and a tile of its channels, the places of
// y whose windows cover it.
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
    const uint places = p.h * p.w, tiles = (p.cg + TILE - 1u) / TILE;
    const uint i = thread_index(), at = i % (p.n * places), channels = i / (p.n * places);
    const uint g = channels / tiles, k = channels % tiles * TILE, taps = p.kh * p.kw;

    if (g >= p.groups)
        return;
    const uint image = at / places, place = at % places;

    clear_tile();
    for (uint kh = 0u; kh < p.kh; kh++) {
        const int th = int(place / p.w) + p.pad_h - int(kh) * p.dilation_h;
        if (th < 0 || th % p.stride_h != 0 || th / p.stride_h >= int(p.oh))
            continue;
        for (uint kw = 0u; kw < p.kw; kw++) {
            const int tw = int(place % p.w) + p.pad_w - int(kw) * p.dilation_w;
            if (tw < 0 || tw % p.stride_w != 0 || tw / p.stride_w >= int(p.ow))
                continue;
            const uint from = uint(th / p.stride_h) * p.ow + uint(tw / p.stride_w);
            for (uint o = g * p.og; o < (g + 1u) * p.og; o++) {
                const float v = LD(y, (image * p.groups * p.og + o) * p.oh * p.ow + from);
                for (uint r = 0u; r < TILE; r++)
                    acc[r] += v * LD(w, (o * p.cg + min(k + r, p.cg - 1u)) * taps + kh * p.kw + kw);
            }
        }
    }
    for (uint r = 0u; r < TILE; r++)
        if (k + r < p.cg)
            ST(x, ((image * p.groups + g) * p.cg + k + r) * places + place, acc[r]);
}
