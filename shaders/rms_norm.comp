// rms_norm: a workgroup ROWS rows, two passes over them.
// types: f32 f32d f32s f16 f16s bf16 bf16s f16p bf16p
#version 460
#extension GL_GOOGLE_include_directive : require
#extension GL_EXT_control_flow_attributes : require
#include "common.glsl"
#include "reduce.glsl"
#include "push.h"

layout(constant_id = 2) const uint ROWS = 1u; // that share what is read of w
layout(push_constant) uniform Push { rms_norm_push p; };
#include "rows.glsl"
IN_ROWS(0, x)  // [rows, cols]
IN_ROWS(1, w)  // [cols]
OUT_ROWS(2, y) // [rows, cols]

void main()
{
    HN_GROUP_GUARD;
    const uint row = group_index() * ROWS;
    float scale[ROWS];

    [[unroll]] for (uint i = 0u; i < ROWS; i++) {
        vec4 sum = vec4(0.0);
        for (uint r = gl_LocalInvocationID.x; r < RUNS; r += gl_WorkGroupSize.x) {
            const vec4 v = get_x(row + i, r, 0.0);
            sum += v * v;
        }
        scale[i] = inversesqrt(reduce_add(run_sum(sum)) / float(p.cols) + p.eps);
    }
    for (uint r = gl_LocalInvocationID.x; r < RUNS; r += gl_WorkGroupSize.x) {
        const vec4 w_run = get_w(0u, r, 0.0);
        [[unroll]] for (uint i = 0u; i < ROWS; i++)
            put_y(row + i, r, w_run * get_x(row + i, r, 0.0) * scale[i]);
    }
}
