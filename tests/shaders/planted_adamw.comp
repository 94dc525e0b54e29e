// A planted bug (test_planted.c): no correction of the moments' bias.
#version 460
#extension GL_GOOGLE_include_directive : require
#define T_F32 1
#include "common.glsl"
#include "push.h"

layout(push_constant) uniform Push { adamw_push p; };
INF(0, w);
INF(1, m);
INF(2, v);
INF(3, g);
INF(4, hyper);
OUTF(5, w_out);
OUTF(6, m_out);
OUTF(7, v_out);

void main()
{
    HN_GROUP_GUARD;
    const uint i = thread_index();
    if (i >= p.n)
        return;
    const bool stays = hyper[2] == 0.0;
    const float grad = hyper[2] * g[i];
    const float m_new = stays ? m[i] : p.beta1 * m[i] + p.rest1 * grad;
    const float v_new = stays ? v[i] : p.beta2 * v[i] + p.rest2 * (grad * grad);
    const float w_new = w[i] * (1.0 - hyper[0] * p.decay) - hyper[0] * m_new / (sqrt(v_new) + p.eps);
    w_out[i] = stays ? w[i] : w_new;
    m_out[i] = m_new;
    v_out[i] = v_new;
}
