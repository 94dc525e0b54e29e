// top_k: a workgroup a row. Each thread knows the best of its own elements; the best of those is
// chosen k times, and only the thread it came from looks for its next.
#version 460
#extension GL_GOOGLE_include_directive : require
#include "common.glsl"
#include "pick.glsl"
#include "push.h"

layout(push_constant) uniform Push { top_k_push p; };
IN(0, x);       // [rows, cols]
OUT(1, y);      // [rows, k]
OUTI(2, index); // [rows, k]

// The best of this thread's elements that come after `last` in the order of choice.
pick scan(uint row, pick last)
{
    pick best = pick_none();
    for (uint c = gl_LocalInvocationID.x; c < p.cols; c += gl_WorkGroupSize.x) {
        const pick v = pick_of(LD(x, row * p.cols + c), c);
        if (v.key < last.key || (v.key == last.key && v.at > last.at))
            best = pick_better(best, v);
    }
    return best;
}

void main()
{
    HN_GROUP_GUARD;
    const uint row = group_index();
    pick best = pick_none();

    for (uint c = gl_LocalInvocationID.x; c < p.cols; c += gl_WorkGroupSize.x)
        best = pick_better(best, pick_of(LD(x, row * p.cols + c), c));
    for (uint j = 0u; j < p.k; j++) {
        const pick choice = pick_reduce(best);
        if (gl_LocalInvocationID.x == 0u) {
            ST(y, row * p.k + j, LD(x, row * p.cols + choice.at));
            index[row * p.k + j] = int(choice.at);
        }
        if (choice.at == best.at)
            best = scan(row, choice);
    }
}
