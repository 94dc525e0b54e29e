// top_k: a workgroup a row. Each of k passes finds the best of what comes after the last choice.
#version 460
#extension GL_GOOGLE_include_directive : require
#include "common.glsl"
#include "pick.glsl"
#include "push.h"

layout(push_constant) uniform Push { top_k_push p; };
IN(0, x);       // [rows, cols]
OUT(1, y);      // [rows, k]
OUTI(2, index); // [rows, k]

void main()
{
    HN_GROUP_GUARD;
    const uint row = group_index();
    pick last;

    for (uint j = 0u; j < p.k; j++) {
        pick best = pick_none();
        for (uint c = gl_LocalInvocationID.x; c < p.cols; c += gl_WorkGroupSize.x) {
            const pick v = pick_of(LD(x, row * p.cols + c), c);
            if (j == 0u || v.key < last.key || (v.key == last.key && v.at > last.at))
                best = pick_better(best, v);
        }
        last = pick_reduce(best);
        if (gl_LocalInvocationID.x == 0u) {
            ST(y, row * p.k + j, LD(x, row * p.cols + last.at));
            index[row * p.k + j] = int(last.at);
        }
    }
}
