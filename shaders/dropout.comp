// dropout: a thread serves the four elements of a Philox block.
#version 460
#extension GL_GOOGLE_include_directive : require
#include "common.glsl"
#include "philox.glsl"
#include "push.h"

layout(push_constant) uniform Push { dropout_push p; };
IN(0, x);    // [n]
INI(1, key); // [2]
OUT(2, y);   // [n]

void main()
{
    HN_GROUP_GUARD;
    const uint i = thread_index();

    if (4u * i >= p.n)
        return;
    const uvec4 word = philox_block(ivec2(key[0], key[1]), i, p.stream);
    for (uint k = 0u; k < 4u && 4u * i + k < p.n; k++) {
        float v = 0.0;
        if ((word[k] >> 8) >= p.threshold)
            v = LD(x, 4u * i + k) * p.scale;
        ST(y, 4u * i + k, v);
    }
}
