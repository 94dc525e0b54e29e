// types: f32 f16 bf16 f16p bf16p u8
// update: rows of x over those of y from row at[0] on, one thread an element; what falls outside
// is dropped.
#version 460
#extension GL_GOOGLE_include_directive : require
#include "common.glsl"
#include "raw.glsl"
#include "push.h"

layout(push_constant) uniform Push { update_push p; };
INW(0, x);  // [outer, rows, inner]
INI(1, at); // [1]
OUTW(2, y); // [outer, size, inner]

void main()
{
    HN_GROUP_GUARD;
    const uint i = thread_index();

    if (i >= p.total)
        return;
    const uint row = i / p.inner;
    const int to = at[0] + int(row % p.rows);
    if (to >= 0 && to < int(p.size))
        STW(y, (row / p.rows * p.size + uint(to)) * p.inner + i % p.inner, LDW(x, i));
}
