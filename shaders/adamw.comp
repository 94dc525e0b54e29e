// types: f32
// adamw: one thread an element. Where the factor of the gradient is 0, everything stays.
#version 460
#extension GL_GOOGLE_include_directive : require
#include "common.glsl"
#include "push.h"

layout(push_constant) uniform Push { adamw_push p; };
INF(0, w);     // [n]: parameter
INF(1, m);     // [n]
INF(2, v);     // [n]
INF(3, g);     // [n]: gradient
INF(4, hyper); // [3]: rate, step, factor
OUTF(5, w_out);
OUTF(6, m_out);
OUTF(7, v_out);

// 1 - exp(x), x < 0, without losing the small ones to 1.
float one_minus_exp(float x)
{
    if (x < -0.25)
        return 1.0 - exp(x);
    return -x * (1.0 + x * (1.0 / 2.0 + x * (1.0 / 6.0 + x * (1.0 / 24.0 + x * (1.0 / 120.0 + x * (1.0 / 720.0))))));
}

void main()
{
    HN_GROUP_GUARD;
    const uint i = thread_index();

    if (i >= p.n)
        return;
    float w_new = w[i], m_new = m[i], v_new = v[i];
    const float rate = hyper[0], t = hyper[1], grad = hyper[2] * g[i];
    if (hyper[2] != 0.0) {
        m_new = p.beta1 * m_new + p.rest1 * grad;
        v_new = p.beta2 * v_new + p.rest2 * (grad * grad);
        const float mean = m_new / one_minus_exp(t * p.log1);
        const float root = sqrt(v_new / one_minus_exp(t * p.log2));
        w_new = w_new * (1.0 - rate * p.decay) - rate * mean / (root + p.eps);
    }
    w_out[i] = w_new;
    m_out[i] = m_new;
    v_out[i] = v_new;
}
