// types: f32
// sgd: one thread an element. Where the factor of the gradient is 0, everything stays.
#version 460
#extension GL_GOOGLE_include_directive : require
#include "common.glsl"
#include "push.h"

layout(push_constant) uniform Push { sgd_push p; };
INF(0, w);     // [n]: parameter
INF(1, m);     // [n]
INF(2, g);     // [n]: gradient
INF(3, hyper); // [2]: rate, factor
OUTF(4, w_out);
OUTF(5, m_out);

void main()
{
    HN_GROUP_GUARD;
    const uint i = thread_index();

    if (i >= p.n)
        return;
    float w_new = w[i], m_new = m[i];
    if (hyper[1] != 0.0) {
        m_new = p.momentum * m_new + hyper[1] * g[i] + p.decay * w_new;
        w_new = w_new - hyper[0] * m_new;
    }
    w_out[i] = w_new;
    m_out[i] = m_new;
}
