// layer_norm: one workgroup a row, two passes over it. The first joins means and sums of squares
// about them (Chan, Golub and LeVeque 1979), four elements at a time, then the threads':
// mean(x^2) - mean(x)^2 would lose everything where the mean is large.
#version 460
#extension GL_GOOGLE_include_directive : require
#include "common.glsl"
#include "reduce.glsl"
#include "push.h"

layout(push_constant) uniform Push { layer_norm_push p; };
#include "rows.glsl"
IN_ROWS(0, x)  // [rows, cols]
IN_ROWS(1, w)  // [cols]
IN_ROWS(2, b)  // [cols]
OUT_ROWS(3, y) // [rows, cols]

struct moments {
    float n, mean, square; // elements; sum of squares about the mean
};

moments take(moments m, uint row, uint r)
{
    const vec4 v = get_x(row, r, 0.0);
    const float n = WHOLE != 0u ? 4.0 : float(min(p.cols - 4u * r, 4u)), all = m.n + n;
    const float mean = run_sum(v) / n, away = mean - m.mean;
    vec4 d = v - mean;
    if (WHOLE == 0u)
        d = mix(vec4(0.0), d, lessThan(4u * r + uvec4(0u, 1u, 2u, 3u), uvec4(p.cols)));
    const float share = n / all;
    return moments(all, m.mean + away * share,
                   m.square + dot(d, d) + away * away * share * m.n);
}

void main()
{
    HN_GROUP_GUARD;
    const uint row = group_index();

    moments m = moments(0.0, 0.0, 0.0);
    for (uint r = gl_LocalInvocationID.x; r < RUNS; r += gl_WorkGroupSize.x)
        m = take(m, row, r);
    const float mean = reduce_add(m.n * m.mean) / float(p.cols), away = m.mean - mean;
    const float variance = reduce_add(m.square + m.n * away * away) / float(p.cols);
    const float s = inversesqrt(variance + p.eps);

    for (uint r = gl_LocalInvocationID.x; r < RUNS; r += gl_WorkGroupSize.x)
        put_y(row, r, (get_x(row, r, 0.0) - mean) * s * get_w(0u, r, 0.0) + get_b(0u, r, 0.0));
}
