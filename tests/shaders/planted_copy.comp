// A planted bug (test_planted.c): one thread too many passes the bound.
#version 460
#extension GL_GOOGLE_include_directive : require
#define T_F32 1
#include "common.glsl"
#include "raw.glsl"
#include "push.h"

layout(push_constant) uniform Push { copy_push p; };
INW(0, x);
OUTW(1, y);

void main()
{
    HN_GROUP_GUARD;
    const uint i = thread_index();
    uint rest = i, src = p.src, dst = p.dst;

    if (i > p.total)
        return;
    for (uint k = p.rank; k-- > 0u;) {
        const uint n = k == 0u ? p.total + 1u : p.n[k]; // the slowest has no end
        src += rest % n * p.from[k];
        dst += rest % n * p.to[k];
        rest /= n;
    }
    STW(y, dst, LDW(x, src));
}
