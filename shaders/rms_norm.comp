// rms_norm: one workgroup a row, two passes over it.
#version 460
#extension GL_GOOGLE_include_directive : require
#include "common.glsl"
#include "reduce.glsl"
#include "push.h"

layout(push_constant) uniform Push { rms_norm_push p; };
IN(0, x);  // [rows, cols]
IN(1, w);  // [cols]
OUT(2, y); // [rows, cols]

void main()
{
    HN_GROUP_GUARD;
    const uint row = group_index() * p.cols;

    float sum = 0.0;
    for (uint c = gl_LocalInvocationID.x; c < p.cols; c += gl_WorkGroupSize.x) {
        const float v = LD(x, row + c);
        sum += v * v;
    }
    const float s = inversesqrt(reduce_add(sum) / float(p.cols) + p.eps);

    for (uint c = gl_LocalInvocationID.x; c < p.cols; c += gl_WorkGroupSize.x)
        ST(y, row + c, LD(w, c) * LD(x, row + c) * s);
}
