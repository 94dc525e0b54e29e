// types: f32 f32d
// adamw: one thread four neighbours of one tensor.
#version 460
#extension GL_GOOGLE_include_directive : require
#include "common.glsl"
#include "push.h"

layout(push_constant) uniform Push { adamw_push p; };
#include "adamw.glsl"

RUNS_OF(0, w); // [n]: parameter
RUNS_OF(1, m); // [n]
RUNS_OF(2, v); // [n]
RUNS_OF(3, g); // [n]: gradient
INF(4, hyper); // [3]
RUNS_OF(5, w_out);
RUNS_OF(6, m_out);
RUNS_OF(7, v_out);

void main()
{
    HN_GROUP_GUARD;
    const uint r = thread_index();

    if (4u * r >= p.n)
        return;
    vec4 w_new = GET(w, r), m_new = GET(m, r), v_new = GET(v, r);
    adamw_step(vec3(hyper[0], hyper[1], hyper[2]), GET(g, r), w_new, m_new, v_new);
    PUT(w_out, r, p.n, w_new)
    PUT(m_out, r, p.n, m_new)
    PUT(v_out, r, p.n, v_new)
}
