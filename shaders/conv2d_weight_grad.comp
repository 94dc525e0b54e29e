// conv2d_weight_grad: a workgroup sums over all images and places for one tap of PLACES input
// channels and TILE output channels.
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
    const uint taps = p.kh * p.kw, tiles = (p.og + TILE - 1u) / TILE;
    const uint across = (p.cg + PLACES - 1u) / PLACES, places = p.oh * p.ow;
    const uint tap = group_index() % taps, k = group_index() / taps % across * PLACES;
    const uint channels = group_index() / taps / across;
    const uint g = channels / tiles, o = channels % tiles * TILE;
    const uint last = min(TILE, p.og - o) - 1u, last_k = min(PLACES, p.cg - k) - 1u;
    const int h0 = int(tap / p.kw) * p.dilation_h - p.pad_h;
    const int w0 = int(tap % p.kw) * p.dilation_w - p.pad_w;

    clear_tile();
    for (uint i = gl_LocalInvocationID.x; i < p.n * places; i += gl_WorkGroupSize.x) {
        const uint image = i / places, place = i % places;
        const int ih = int(place / p.ow) * p.stride_h + h0;
        const int iw = int(place % p.ow) * p.stride_w + w0;
        const bool inside = uint(ih) < p.h && uint(iw) < p.w;
        const uint from = (image * p.groups + g) * p.og + o;
        const uint from_x = (image * p.groups + g) * p.cg + k;
        const uint at = inside ? uint(ih) * p.w + uint(iw) : 0u;
        float v[8];
        for (uint j = 0u; j < PLACES; j++) {
            const float there = LD(x, (from_x + min(j, last_k)) * p.h * p.w + at);
            v[j] = inside ? there : 0.0;
        }
        for (uint r = 0u; r < TILE; r++) {
            const float dy = LD(y, (from + min(r, last)) * places + place);
            for (uint j = 0u; j < PLACES; j++)
                acc[r * PLACES + j] = fma(v[j], dy, acc[r * PLACES + j]);
        }
    }
    for (uint r = 0u; r < TILE; r++)
        for (uint j = 0u; j < PLACES; j++) {
            const float sum = reduce_add(acc[r * PLACES + j]);
            if (gl_LocalInvocationID.x == 0u && r <= last && j <= last_k)
                ST(w, ((g * p.og + o + r) * p.cg + k + j) * taps + tap, sum);
        }
}
