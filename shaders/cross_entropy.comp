// cross_entropy: a workgroup a row, one pass.
// types: f32 f32d f32s f16 f16s bf16 bf16s f16p bf16p
#version 460
#extension GL_GOOGLE_include_directive : require
#include "common.glsl"
#include "reduce.glsl"
#include "softmax.glsl"
#include "push.h"

layout(push_constant) uniform Push { cross_entropy_push p; };
#include "rows.glsl"
IN_ROWS(0, x)    // [rows, cols]
INI(1, targets); // [rows]
OUTF(2, loss);   // [rows]
OUTF(3, lse);    // [rows]

void main()
{
    HN_GROUP_GUARD;
    const uint row = group_index();

    // In one long sum over a vocabulary the many small terms would be lost beside the large one.
    running_sum s = running_none, part = running_none;
    uint n = 0u;
    for (uint r = gl_LocalInvocationID.x; r < RUNS; r += gl_WorkGroupSize.x) {
        part = running_add_run(part, get_x(row, r, NOTHING));
        if (++n % 32u == 0u) {
            s = running_join(s, part);
            part = running_none;
        }
    }
    s = running_join(s, part);
    const float most = reduce_max(s.most), log_sum = log(reduce_add(running_to(s, most)));
    if (gl_LocalInvocationID.x == 0u) {
        const uint target = uint(targets[row]);
        lse[row] = most + log_sum;
        loss[row] = target < p.cols ? (most - LD(x, row * p.cols + target)) + log_sum : 0.0;
    }
}
