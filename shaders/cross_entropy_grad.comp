// cross_entropy_grad: a thread an element.
#version 460
#extension GL_GOOGLE_include_directive : require
#include "common.glsl"
#include "push.h"

layout(push_constant) uniform Push { cross_entropy_grad_push p; };
IN(0, x);        // [rows, cols]
INI(1, targets); // [rows]
INF(2, lse);     // [rows]
INF(3, dloss);   // [rows]
INF(4, dlse);    // [rows], where p.has_dlse
OUT(5, dx);      // [rows, cols]

void main()
{
    HN_GROUP_GUARD;
    const uint i = thread_index(), row = i / p.cols;
    if (i >= p.total)
        return;
    const uint target = uint(targets[row]);
    const float d = target < p.cols ? dloss[row] : 0.0;
    const float all = p.has_dlse != 0u ? d + dlse[row] : d;
    ST(dx, i, exp(LD(x, i) - lse[row]) * all - (i % p.cols == target ? d : 0.0));
}
