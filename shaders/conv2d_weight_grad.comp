// conv2d_weight_grad: a workgroup sums over all images and places for one tap of one input channel
// and a tile of output channels.
#version 460
#extension GL_GOOGLE_include_directive : require
#include "common.glsl"
#include "reduce.glsl"
#include "push.h"
#include "conv.glsl"

IN(0, x);  // [n, groups * cg, h, w]
IN(1, y);  // [n, groups * og, oh, ow]: the gradient
OUT(2, w); // [groups * og, cg, kh, kw]

void main()
{
    HN_GROUP_GUARD;
    const uint taps = p.cg * p.kh * p.kw, tiles = (p.og + TILE - 1u) / TILE;
    const uint tap = group_index() % taps, channels = group_index() / taps;
    const uint g = channels / tiles, o = channels % tiles * TILE;
    const uint k = tap / (p.kh * p.kw), places = p.oh * p.ow;
    const int h0 = int(tap / p.kw % p.kh) * p.dilation_h - p.pad_h;
    const int w0 = int(tap % p.kw) * p.dilation_w - p.pad_w;

    clear_tile();
    for (uint i = gl_LocalInvocationID.x; i < p.n * places; i += gl_WorkGroupSize.x) {
        const uint image = i / places, place = i % places;
        const int ih = int(place / p.ow) * p.stride_h + h0;
        const int iw = int(place % p.ow) * p.stride_w + w0;
        if (ih < 0 || ih >= int(p.h) || iw < 0 || iw >= int(p.w))
            continue;
        const float v = LD(x, (((image * p.groups + g) * p.cg + k) * p.h + uint(ih)) * p.w + uint(iw));
        const uint from = (image * p.groups + g) * p.og;
        for (uint r = 0u; r < TILE; r++)
            acc[r] += v * LD(y, (from + min(o + r, p.og - 1u)) * places + place);
    }
    for (uint r = 0u; r < TILE; r++) {
        const float sum = reduce_add(acc[r]);
        if (gl_LocalInvocationID.x == 0u && o + r < p.og)
            ST(w, (g * p.og + o + r) * taps + tap, sum);
    }
}
