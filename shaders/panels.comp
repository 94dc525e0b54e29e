// Copies an operand of a product into panels of WIDE rows or columns, [batch, panels, k, WIDE] in
// f32, with zeros beyond the edge and beyond k: matmul_panels then reads it from beginning to end.
// A workgroup has DEEP steps of k of a panel.
// types: f32 f32d f16 bf16 w_f16 w_bf16 w_q8_0 w_q4_0 w_q4_1 w_q5_0 w_q5_1 w_q4_k w_q5_k w_q6_k
#version 460
#extension GL_GOOGLE_include_directive : require
#include "common.glsl"
#include "push.h"
layout(push_constant) uniform Push { panels_push p; uint address[2]; };
#ifdef HN_WEIGHTS
#define WEIGHTS_BINDING 0
#include "weights.glsl"
#define LDX(i) LDW(i)
#else
IN(0, x);
#define LDX(i) LD(x, i)
#endif
OUTF(1, panel);
#include "lanes.glsl"
#ifdef HN_PAIRS
#include "runs.glsl"
layout(binding = 0) readonly buffer RunX { HN_RUN x_runs[]; };
layout(binding = 1) writeonly buffer RunPanel { HN_RUN panel_runs[]; };
#endif

layout(constant_id = 1) const uint WIDE = 8;
layout(constant_id = 2) const uint DEEP = 64;
layout(constant_id = 3) const uint HAS_RUNS = 0; // x may be read through its address

float run_of_x(uint i)
{
    return run_of(Run(place_of(0u, i, ELEMENT_SHIFT)), 0u);
}

// Neighbours in memory are of one step; WIDE is a multiple of the lanes.
void copy_across(uint from, uint to)
{
    uint k = 0u;
    do // tests last, as below: see lanes.glsl
        [[unroll]] for (uint c = 0u; c < WIDE; c += gl_WorkGroupSize.x)
            panel[to + k * WIDE + c + gl_LocalInvocationID.x] = run_of_x(from + k * p.k_step + c);
    while (++k < DEEP);
}

// Neighbours in memory are steps of one column; DEEP is a multiple of the lanes.
void copy_along(uint from, uint to)
{
    uint k = 0u;
    do {
        [[unroll]] for (uint j = 0u; j < WIDE; j++)
            panel[to + (k + gl_LocalInvocationID.x) * WIDE + j] = run_of_x(from + k + j * p.step);
        k += gl_WorkGroupSize.x;
    } while (k < DEEP);
}

#ifdef HN_PAIRS
// The same where a load is dear whatever it brings, four neighbours a lane; WIDE and DEEP are
// multiples of four times the lanes.
void copy_runs_across(uint from, uint to)
{
    for (uint k = 0u; k < DEEP; k++)
        for (uint c = gl_LocalInvocationID.x * 4u; c < WIDE; c += gl_WorkGroupSize.x * 4u)
            panel_runs[(to + k * WIDE + c) / 4u] = x_runs[(from + k * p.k_step + c) / 4u];
}

void copy_runs_along(uint from, uint to)
{
    for (uint c = gl_LocalInvocationID.x * 4u; c < WIDE; c += gl_WorkGroupSize.x * 4u)
        for (uint k = 0u; k < DEEP; k += 4u) {
            mat4 columns;
            [[unroll]] for (uint j = 0u; j < 4u; j++)
                columns[j] = RUN_LANES(x_runs[(from + (c + j) * p.step + k) / 4u]);
            const mat4 steps = transpose(columns);
            [[unroll]] for (uint u = 0u; u < 4u; u++)
                panel_runs[(to + (k + u) * WIDE + c) / 4u] = LANES_RUN(steps[u]);
        }
}
#endif

void main()
{
    HN_GROUP_GUARD;
    const uint pieces = (p.k_panel + DEEP - 1u) / DEEP, panels = (p.count + WIDE - 1u) / WIDE;
    const uint k = group_index() % pieces * DEEP, at = group_index() / pieces;
    const uint first = at % panels * WIDE;
    const uint from = at / panels * p.batch_step + first * p.step + k * p.k_step;
    const uint to = (at * p.k_panel + k) * WIDE;
    const bool inner = first + WIDE <= p.count && k + DEEP <= p.k;
    const bool whole = HAS_RUNS != 0u && inner;

#ifdef HN_PAIRS
    const bool pairs = HAS_RUNS == 0u && inner;
    if (pairs && (from | p.k_step) % 4u == 0u && p.step == 1u) {
        copy_runs_across(from, to);
        return;
    }
    if (pairs && (from | p.step) % 4u == 0u && p.k_step == 1u) {
        copy_runs_along(from, to);
        return;
    }
#endif
    if (whole && p.step == 1u && WIDE % gl_WorkGroupSize.x == 0u) {
        copy_across(from, to);
    } else if (whole && p.k_step == 1u) {
        copy_along(from, to);
    } else {
        for (uint i = gl_LocalInvocationID.x; i < WIDE * min(DEEP, p.k_panel - k);
             i += gl_WorkGroupSize.x) {
            const uint j = i % WIDE, u = i / WIDE;
            const bool inside = first + j < p.count && k + u < p.k;
            const float v = LDX(inside ? from + j * p.step + u * p.k_step : 0u);
            panel[to + i] = inside ? v : 0.0;
        }
    }
}
