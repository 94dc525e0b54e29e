// layer_norm: a workgroup ROWS rows, two passes over them. In the first a thread sums its elements
// and their squares, both about the mean of its first four: mean(x^2) - mean(x)^2 would lose
// everything where the mean is large. Threads are joined by their means and sums of squares about
// them (Chan, Golub and LeVeque 1979).
// types: f32 f32d f32s f16 f16s bf16 bf16s f16p bf16p
#version 460
#extension GL_GOOGLE_include_directive : require
#extension GL_EXT_control_flow_attributes : require
#include "common.glsl"
#include "reduce.glsl"
#include "push.h"

layout(constant_id = 2) const uint ROWS = 1u; // that share what is read of w and b
layout(push_constant) uniform Push { layer_norm_push p; };
#include "rows.glsl"
IN_ROWS(0, x)  // [rows, cols]
IN_ROWS(1, w)  // [cols]
IN_ROWS(2, b)  // [cols]
OUT_ROWS(3, y) // [rows, cols]

struct moments {
    float n, mean, square; // elements; sum of squares about the mean
};

// Of this thread's elements.
moments own_moments(uint row)
{
    const uint first = min(gl_LocalInvocationID.x, RUNS - 1u);
    const vec4 some = get_x(row, first, 0.0);
    const float near = 4u * first + 4u <= p.cols ? run_sum(some) * 0.25 : some.x;
    vec4 sum = vec4(0.0), square = vec4(0.0);
    uint n = 0u;
    for (uint r = gl_LocalInvocationID.x; r < RUNS; r += gl_WorkGroupSize.x) {
        vec4 d = get_x(row, r, 0.0) - near;
        if (WHOLE == 0u)
            d = mix(vec4(0.0), d, lessThan(4u * r + uvec4(0u, 1u, 2u, 3u), uvec4(p.cols)));
        sum += d;
        square += d * d;
        n += min(p.cols - 4u * r, 4u);
    }
    const float away = run_sum(sum) / float(max(n, 1u));
    return moments(float(n), near + away, run_sum(square) - run_sum(sum) * away);
}

void main()
{
    HN_GROUP_GUARD;
    const uint row = group_index() * ROWS;
    float mean[ROWS], scale[ROWS];

    [[unroll]] for (uint i = 0u; i < ROWS; i++) {
        const moments m = own_moments(row + i);
        mean[i] = reduce_add(m.n * m.mean) / float(p.cols);
        const float away = m.mean - mean[i];
        const float variance = reduce_add(m.square + m.n * away * away) / float(p.cols);
        scale[i] = inversesqrt(variance + p.eps);
    }
    for (uint r = gl_LocalInvocationID.x; r < RUNS; r += gl_WorkGroupSize.x) {
        const vec4 w_run = get_w(0u, r, 0.0), b_run = get_b(0u, r, 0.0);
        [[unroll]] for (uint i = 0u; i < ROWS; i++)
            put_y(row + i, r, (get_x(row + i, r, 0.0) - mean[i]) * scale[i] * w_run + b_run);
    }
}
