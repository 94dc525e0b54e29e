// cumsum: a workgroup a row. Each thread sums a run of neighbours, the runs' sums are summed up in
// shared memory, and each thread walks its run again.
#version 460
#extension GL_GOOGLE_include_directive : require
#include "common.glsl"
#include "push.h"

layout(push_constant) uniform Push { cumsum_push p; };
IN(0, x);  // [rows, cols]
OUT(1, y); // [rows, cols]

shared float run_sum[gl_WorkGroupSize.x];

// Element i of the walk, from either end.
uint place(uint i)
{
    return group_index() * p.cols + (p.reverse != 0u ? p.cols - 1u - i : i);
}

void main()
{
    HN_GROUP_GUARD;
    const uint me = gl_LocalInvocationID.x;
    const uint length = (p.cols + gl_WorkGroupSize.x - 1u) / gl_WorkGroupSize.x;
    const uint begin = min(me * length, p.cols), end = min(begin + length, p.cols);

    float sum = 0.0;
    for (uint i = begin; i < end; i++)
        sum += LD(x, place(i));
    run_sum[me] = sum;
    for (uint step = 1u; step < gl_WorkGroupSize.x; step *= 2u) {
        barrier();
        const float before = me >= step ? run_sum[me - step] : 0.0;
        barrier();
        run_sum[me] += before;
    }
    barrier();

    sum = me > 0u ? run_sum[me - 1u] : 0.0;
    for (uint i = begin; i < end; i++) {
        sum += LD(x, place(i));
        ST(y, place(i), sum);
    }
}
