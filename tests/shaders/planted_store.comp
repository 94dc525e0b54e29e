// A planted bug (test_planted.c): dropout in 16 bits packed two to a word, whose store writes the
// whole word, and so its neighbour.
#version 460
#extension GL_GOOGLE_include_directive : require
#define T_F16P 1
#include "common.glsl"
#include "philox.glsl"
#include "push.h"

layout(push_constant) uniform Push { dropout_push p; };
IN(0, x);
INI(1, key);
OUT(2, y);

void main()
{
    HN_GROUP_GUARD;
    const uint i = thread_index();
    if (4u * i >= p.n)
        return;
    const uvec4 word = philox_block(ivec2(key[0], key[1]), i, p.stream);
    for (uint k = 0u; k < 4u && 4u * i + k < p.n; k++) {
        const uint at = 4u * i + k;
        const float v = (word[k] >> 8) >= p.threshold ? LD(x, at) * p.scale : 0.0;
        y[at >> 1] = pack_element(v) << ((at & 1u) * 16u);
    }
}
