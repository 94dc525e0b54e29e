// What the kernels of adamw share: the step of four neighbours, a run. Where the factor of the gradient
// is 0, everything stays.
//
// Needs: push constants `p` with the fields of adamw_push. What lies behind a tensor's last run may be
// read, and is not written.
#ifndef HN_ADAMW_GLSL
#define HN_ADAMW_GLSL

#extension GL_EXT_control_flow_attributes : require
#include "runs.glsl"

// Buffer `name` at a binding, in runs and in elements.
#define RUNS_OF(b, name)                                                                          \
    layout(binding = b) buffer Runs##name { HN_RUN name##_runs[]; };                              \
    layout(binding = b) buffer Elements##name { float name[]; }
#define GET(name, r) RUN_LANES(name##_runs[r])
#define PUT(name, r, n, x)                                                                        \
    if (4u * (r) + 4u <= (n)) {                                                                   \
        name##_runs[r] = LANES_RUN(x);                                                            \
    } else {                                                                                      \
        [[unroll]] for (uint e_ = 0u; e_ < 3u; e_++)                                              \
            if (4u * (r) + e_ < (n))                                                              \
                name[4u * (r) + e_] = (x)[e_];                                                    \
    }

// 1 - exp(x), x < 0, without losing the small ones to 1.
float one_minus_exp(float x)
{
    if (x < -0.25)
        return 1.0 - exp(x);
    return -x * (1.0 + x * (1.0 / 2.0 + x * (1.0 / 6.0 + x * (1.0 / 24.0 + x * (1.0 / 120.0 + x * (1.0 / 720.0))))));
}

// hyper: rate, step, factor.
void adamw_step(vec3 hyper, vec4 g, inout vec4 w, inout vec4 m, inout vec4 v)
{
    const vec4 grad = hyper.z * g;

    if (hyper.z == 0.0)
        return;
    m = p.beta1 * m + p.rest1 * grad;
    v = p.beta2 * v + p.rest2 * (grad * grad);
    const vec4 mean = m / one_minus_exp(hyper.y * p.log1);
    const vec4 root = sqrt(v / one_minus_exp(hyper.y * p.log2));
    w = w * (1.0 - hyper.x * p.decay) - hyper.x * mean / (root + p.eps);
}

#endif
