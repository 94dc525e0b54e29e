// embedding, code_scatter: a thread an element copies what its id names, or 0.
#version 460
#extension GL_GOOGLE_include_directive : require
#include "common.glsl"
#include "push.h"

layout(push_constant) uniform Push { scatter_push p; };
IN(0, x);    // slots
INI(1, ids); // an item each
OUT(2, y);   // items

void main()
{
    HN_GROUP_GUARD;
    const uint i = thread_index(), outer = i / p.inner, inner = i % p.inner;
    if (i >= p.total)
        return;
    const uint item = p.inner_is_lane != 0u ? outer : inner, lane = p.inner_is_lane != 0u ? inner : outer;
    const uint slot = uint(ids[item]);
    ST(y, i, slot < p.n_slots ? LD(x, slot * p.slot_step + lane * p.slot_lane) : 0.0);
}
