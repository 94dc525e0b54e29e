// top_k_grad: a thread a place of x gathers the gradients of the choices that are it.
#version 460
#extension GL_GOOGLE_include_directive : require
#include "common.glsl"
#include "push.h"

layout(push_constant) uniform Push { top_k_push p; };
IN(0, dy);     // [rows, k]
INI(1, index); // [rows, k]
OUT(2, dx);    // [rows, cols]

void main()
{
    HN_GROUP_GUARD;
    const uint i = thread_index();

    if (i >= p.n)
        return;
    const uint row = i / p.cols * p.k;
    float sum = 0.0;
    for (uint j = 0u; j < p.k; j++)
        if (index[row + j] == int(i % p.cols))
            sum += LD(dy, row + j);
    ST(dx, i, sum);
}
