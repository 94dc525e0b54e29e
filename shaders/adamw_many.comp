// types: f32 f32d
// adamw_many: what adamw does, in place, for up to HN_MANY tensors; the workgroups of one follow those
// of the other.
#version 460
#extension GL_GOOGLE_include_directive : require
#include "common.glsl"
#include "push.h"

layout(push_constant) uniform Push { adamw_many_push p; };
#include "adamw.glsl"

INF(0, hyper); // [3]
#define TENSOR(t)                                                                                 \
    RUNS_OF(1 + 4 * t, w##t);                                                                     \
    RUNS_OF(2 + 4 * t, m##t);                                                                     \
    RUNS_OF(3 + 4 * t, v##t);                                                                     \
    RUNS_OF(4 + 4 * t, g##t);
TENSOR(0) TENSOR(1) TENSOR(2) TENSOR(3) TENSOR(4) TENSOR(5) TENSOR(6) TENSOR(7)

#define STEP(t)                                                                                   \
    case t: {                                                                                     \
        vec4 w = GET(w##t, r), m = GET(m##t, r), v = GET(v##t, r);                                \
        adamw_step(vec3(hyper[0], hyper[1], hyper[2]), GET(g##t, r), w, m, v);                    \
        PUT(w##t, r, n, w)                                                                        \
        PUT(m##t, r, n, m)                                                                        \
        PUT(v##t, r, n, v)                                                                        \
        break;                                                                                    \
    }

void main()
{
    HN_GROUP_GUARD;
    const uint each = 4u * gl_WorkGroupSize.x; // elements of a workgroup
    uint t = 0u, group = group_index();

    while (t < HN_MANY - 1u && group >= (p.n[t] + each - 1u) / each)
        group -= (p.n[t++] + each - 1u) / each;
    const uint r = group * gl_WorkGroupSize.x + gl_LocalInvocationID.x, n = p.n[t];
    if (4u * r >= n)
        return;
    switch (t) {
        STEP(0) STEP(1) STEP(2) STEP(3) STEP(4) STEP(5) STEP(6) STEP(7)
    }
}
