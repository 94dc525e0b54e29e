// avg_pool_grad: one thread a place of x gathers from the windows that cover it.
#version 460
#extension GL_GOOGLE_include_directive : require
#include "common.glsl"
#include "push.h"

layout(push_constant) uniform Push { pool_push p; };
IN(0, dy);  // [planes, oh, ow]
OUT(1, dx); // [planes, h, w]

// Places of the window of output `at` that are inside [0, size).
int inside(int at, int stride, int pad, int window, int size)
{
    const int first = at * stride - pad;
    return min(first + window, size) - max(first, 0);
}

void main()
{
    HN_GROUP_GUARD;
    const uint i = thread_index(), places = p.h * p.w;

    if (i >= p.planes * places)
        return;
    const uint plane = i / places * p.oh * p.ow;
    const int h = int(i / p.w % p.h) + p.pad_h, w = int(i % p.w) + p.pad_w;
    float sum = 0.0;

    // The first window that reaches this place, to the last that begins at or before it.
    for (int oh = max(h - p.window_h + p.stride_h, 0) / p.stride_h; oh <= min(h / p.stride_h, int(p.oh) - 1); oh++)
        for (int ow = max(w - p.window_w + p.stride_w, 0) / p.stride_w; ow <= min(w / p.stride_w, int(p.ow) - 1); ow++) {
            int count = p.window_h * p.window_w;
            if (p.count_pad == 0u)
                count = inside(oh, p.stride_h, p.pad_h, p.window_h, int(p.h)) *
                        inside(ow, p.stride_w, p.pad_w, p.window_w, int(p.w));
            sum += LD(dy, plane + uint(oh) * p.ow + uint(ow)) / float(count);
        }
    ST(dx, i, sum);
}
