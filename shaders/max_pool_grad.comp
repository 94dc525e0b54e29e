// max_pool_grad: one thread a place of x; for each window that covers it, whether it is the first
// of the largest there.
#version 460
#extension GL_GOOGLE_include_directive : require
#include "common.glsl"
#include "push.h"

layout(push_constant) uniform Push { pool_push p; };
IN(0, x);   // [planes, h, w]
IN(1, dy);  // [planes, oh, ow]
OUT(2, dx); // [planes, h, w]

// The first largest place of a window, within its plane.
uint largest(uint plane, int h0, int w0)
{
    uint best = uint(max(h0, 0)) * p.w + uint(max(w0, 0));
    float most = LD(x, plane + best);

    for (int h = max(h0, 0); h < min(h0 + p.window_h, int(p.h)); h++)
        for (int w = max(w0, 0); w < min(w0 + p.window_w, int(p.w)); w++) {
            const float v = LD(x, plane + uint(h) * p.w + uint(w));
            if (v > most) {
                most = v;
                best = uint(h) * p.w + uint(w);
            }
        }
    return best;
}

void main()
{
    HN_GROUP_GUARD;
    const uint i = thread_index(), places = p.h * p.w;

    if (i >= p.planes * places)
        return;
    const uint plane = i / places;
    const int h = int(i / p.w % p.h) + p.pad_h, w = int(i % p.w) + p.pad_w;
    float sum = 0.0;

    for (int oh = max(h - p.window_h + p.stride_h, 0) / p.stride_h; oh <= min(h / p.stride_h, int(p.oh) - 1); oh++)
        for (int ow = max(w - p.window_w + p.stride_w, 0) / p.stride_w; ow <= min(w / p.stride_w, int(p.ow) - 1); ow++)
            if (largest(plane * places, oh * p.stride_h - p.pad_h, ow * p.stride_w - p.pad_w) == i % places)
                sum += LD(dy, (plane * p.oh + uint(oh)) * p.ow + uint(ow));
    ST(dx, i, sum);
}
