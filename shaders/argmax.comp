// argmax and argmin: index of the first largest of sign * x along an axis. ROWS: a workgroup a row
// of neighbouring elements; otherwise a thread a column.
#version 460
#extension GL_GOOGLE_include_directive : require
#include "common.glsl"
#include "pick.glsl"
#include "push.h"

layout(constant_id = 1) const bool ROWS = true;
layout(push_constant) uniform Push { argmax_push p; };
IN(0, x);   // [n / inner, len, inner]
OUTI(1, y); // [n / inner, 1, inner]

void main()
{
    HN_GROUP_GUARD;
    if (ROWS) {
        pick best = pick_none();
        for (uint c = gl_LocalInvocationID.x; c < p.len; c += gl_WorkGroupSize.x)
            best = pick_better(best, pick_of(p.sign * LD(x, group_index() * p.len + c), c));
        best = pick_reduce(best);
        if (gl_LocalInvocationID.x == 0u)
            y[group_index()] = int(best.at);
        return;
    }
    const uint i = thread_index();
    if (i >= p.n)
        return;
    pick best = pick_none();
    for (uint k = 0u; k < p.len; k++)
        best = pick_better(best, pick_of(p.sign * LD(x, (i / p.inner * p.len + k) * p.inner + i % p.inner), k));
    y[i] = int(best.at);
}
