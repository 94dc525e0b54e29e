// types: f32 f16 bf16 f16p bf16p u8
// copy: a box of elements from strided places to strided places, one thread an element; places of
// the box outside [lo, hi) along an axis get a value instead.
#version 460
#extension GL_GOOGLE_include_directive : require
#include "common.glsl"
#include "raw.glsl"
#include "push.h"

layout(push_constant) uniform Push { copy_push p; };
INW(0, x);
OUTW(1, y);

void main()
{
    HN_GROUP_GUARD;
    uint rest = thread_index(), src = p.src, dst = p.dst;
    bool inside = true;

    if (rest >= p.total)
        return;
    for (uint k = p.rank; k-- > 0u;) {
        const uint at = rest % p.n[k];
        rest /= p.n[k];
        src += at * p.from[k]; // may wrap below 0 where it is not inside
        dst += at * p.to[k];
        if (k == p.axis)
            inside = at >= p.lo && at < p.hi;
    }
    uint v = p.value;
    if (inside)
        v = LDW(x, src);
    STW(y, dst, v);
}
