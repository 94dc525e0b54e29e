// rms_norm: one workgroup a row, two passes over it.
// types: f32 f32d f16 bf16 f16p bf16p
#version 460
#extension GL_GOOGLE_include_directive : require
#include "common.glsl"
#include "reduce.glsl"
#include "push.h"

layout(push_constant) uniform Push { rms_norm_push p; };
#include "rows.glsl"
IN_ROWS(0, x)  // [rows, cols]
IN_ROWS(1, w)  // [cols]
OUT_ROWS(2, y) // [rows, cols]

void main()
{
    HN_GROUP_GUARD;
    const uint row = group_index();

    vec4 sum = vec4(0.0);
    for (uint r = gl_LocalInvocationID.x; r < RUNS; r += gl_WorkGroupSize.x) {
        const vec4 v = get_x(row, r, 0.0);
        sum += v * v;
    }
    const float s = inversesqrt(reduce_add(run_sum(sum)) / float(p.cols) + p.eps);

    for (uint r = gl_LocalInvocationID.x; r < RUNS; r += gl_WorkGroupSize.x)
        put_y(row, r, get_w(0u, r, 0.0) * get_x(row, r, 0.0) * s);
}
