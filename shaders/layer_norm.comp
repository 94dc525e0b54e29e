// layer_norm: one workgroup a row, three passes over it: the variance about the mean, since
// mean(x^2) - mean(x)^2 loses everything where the mean is large.
#version 460
#extension GL_GOOGLE_include_directive : require
#include "common.glsl"
#include "reduce.glsl"
#include "push.h"

layout(push_constant) uniform Push { layer_norm_push p; };
IN(0, x);  // [rows, cols]
IN(1, w);  // [cols]
IN(2, b);  // [cols]
OUT(3, y); // [rows, cols]

void main()
{
    HN_GROUP_GUARD;
    const uint row = group_index() * p.cols;

    float sum = 0.0, square = 0.0;
    for (uint c = gl_LocalInvocationID.x; c < p.cols; c += gl_WorkGroupSize.x)
        sum += LD(x, row + c);
    const float mean = reduce_add(sum) / float(p.cols);
    for (uint c = gl_LocalInvocationID.x; c < p.cols; c += gl_WorkGroupSize.x) {
        const float v = LD(x, row + c) - mean;
        square += v * v;
    }
    const float s = inversesqrt(reduce_add(square) / float(p.cols) + p.eps);

    for (uint c = gl_LocalInvocationID.x; c < p.cols; c += gl_WorkGroupSize.x)
        ST(y, row + c, (LD(x, row + c) - mean) * s * LD(w, c) + LD(b, c));
}
