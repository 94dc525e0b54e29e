// softmax, log_softmax: a workgroup a row; maximum and sum in one pass, then the result.
#version 460
#extension GL_GOOGLE_include_directive : require
#include "common.glsl"
#include "reduce.glsl"
#include "softmax.glsl"
#include "push.h"

layout(push_constant) uniform Push { softmax_push p; };
IN(0, x);  // [rows, cols]
OUT(1, y); // [rows, cols]

void main()
{
    HN_GROUP_GUARD;
    const uint row = group_index() * p.cols;

    running_sum s = running_none;
    for (uint c = gl_LocalInvocationID.x; c < p.cols; c += gl_WorkGroupSize.x)
        s = running_add(s, LD(x, row + c));
    const float most = reduce_max(s.most), sum = reduce_add(running_to(s, most));
    const float shift = p.log_of != 0u ? log(sum) : 0.0, inverse = 1.0 / sum;

    for (uint c = gl_LocalInvocationID.x; c < p.cols; c += gl_WorkGroupSize.x) {
        const float v = LD(x, row + c) - most;
        ST(y, row + c, p.log_of != 0u ? v - shift : exp(v) * inverse);
    }
}
