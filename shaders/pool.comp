// avg_pool and max_pool: one thread an output.
#version 460
#extension GL_GOOGLE_include_directive : require
#include "common.glsl"
#include "push.h"

layout(constant_id = 1) const bool IS_MAX = false;
layout(push_constant) uniform Push { pool_push p; };
IN(0, x);  // [planes, h, w]
OUT(1, y); // [planes, oh, ow]

void main()
{
    HN_GROUP_GUARD;
    const uint i = thread_index(), places = p.oh * p.ow;

    if (i >= p.planes * places)
        return;
    const uint plane = i / places * p.h * p.w;
    const int h0 = int(i / p.ow % p.oh) * p.stride_h - p.pad_h, w0 = int(i % p.ow) * p.stride_w - p.pad_w;
    const int h1 = min(h0 + p.window_h, int(p.h)), w1 = min(w0 + p.window_w, int(p.w));
    float sum = 0.0, best = LD(x, plane + uint(max(h0, 0)) * p.w + uint(max(w0, 0)));

    for (int h = max(h0, 0); h < h1; h++)
        for (int w = max(w0, 0); w < w1; w++) {
            const float v = LD(x, plane + uint(h) * p.w + uint(w));
            sum += v;
            if (v > best)
                best = v;
        }
    const int inside = (h1 - max(h0, 0)) * (w1 - max(w0, 0));
    const int count = p.count_pad != 0u ? p.window_h * p.window_w : inside;
    if (IS_MAX)
        ST(y, i, best);
    else
        ST(y, i, sum / float(count));
}
