// cross_entropy_grad: a workgroup a row.
// types: f32 f32d f16 bf16 f16p bf16p
#version 460
#extension GL_GOOGLE_include_directive : require
#include "common.glsl"
#include "push.h"

layout(push_constant) uniform Push { cross_entropy_grad_push p; };
#include "rows.glsl"
IN_ROWS(0, x)    // [rows, cols]
INI(1, targets); // [rows]
INF(2, lse);     // [rows]
INF(3, dloss);   // [rows]
INF(4, dlse);    // [rows], where p.has_dlse
OUT_ROWS(5, dx)  // [rows, cols]

void main()
{
    HN_GROUP_GUARD;
    const uint row = group_index(), target = uint(targets[row]);
    const float d = target < p.cols ? dloss[row] : 0.0, shift = lse[row];
    const float all = p.has_dlse != 0u ? d + dlse[row] : d;

    for (uint r = gl_LocalInvocationID.x; r < RUNS; r += gl_WorkGroupSize.x) {
        const vec4 v = exp(get_x(row, r, 0.0) - shift) * all;
        const bvec4 here = equal(4u * r + uvec4(0u, 1u, 2u, 3u), uvec4(target));
        put_dx(row, r, v - mix(vec4(0.0), vec4(d), here));
    }
}
