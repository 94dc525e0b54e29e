// softmax, log_softmax: a workgroup a row; maximum and sum in one pass, then the result.
// types: f32 f32d f32s f16 f16s bf16 bf16s f16p bf16p
#version 460
#extension GL_GOOGLE_include_directive : require
#include "common.glsl"
#include "reduce.glsl"
#include "softmax.glsl"
#include "push.h"

layout(push_constant) uniform Push { softmax_push p; };
#include "rows.glsl"
IN_ROWS(0, x)  // [rows, cols]
OUT_ROWS(1, y) // [rows, cols]

void main()
{
    HN_GROUP_GUARD;
    const uint row = group_index();

    running_sum s = running_none;
    for (uint r = gl_LocalInvocationID.x; r < RUNS; r += gl_WorkGroupSize.x)
        s = running_add_run(s, get_x(row, r, NOTHING));
    const float most = reduce_max(s.most), sum = reduce_add(running_to(s, most));
    const float shift = p.log_of != 0u ? log(sum) : 0.0, inverse = 1.0 / sum;

    if (p.log_of != 0u)
        for (uint r = gl_LocalInvocationID.x; r < RUNS; r += gl_WorkGroupSize.x)
            put_y(row, r, (get_x(row, r, 0.0) - most) - shift);
    else
        for (uint r = gl_LocalInvocationID.x; r < RUNS; r += gl_WorkGroupSize.x)
            put_y(row, r, exp(get_x(row, r, 0.0) - most) * inverse);
}
