// A planted bug (test_planted.c): the last column is left as it was.
#version 460
#extension GL_GOOGLE_include_directive : require
#define T_F32 1
#include "common.glsl"
#include "reduce.glsl"
#include "push.h"

layout(push_constant) uniform Push { rms_norm_push p; };
IN(0, x);
IN(1, w);
OUT(2, y);

void main()
{
    HN_GROUP_GUARD;
    const uint row = group_index() * p.cols, me = gl_LocalInvocationID.x;
    float sum = 0.0;

    for (uint c = me; c < p.cols; c += gl_WorkGroupSize.x)
        sum += LD(x, row + c) * LD(x, row + c);
    const float s = inversesqrt(reduce_add(sum) / float(p.cols) + p.eps);
    for (uint c = me; c + 1u < p.cols; c += gl_WorkGroupSize.x)
        ST(y, row + c, LD(w, c) * LD(x, row + c) * s);
}
