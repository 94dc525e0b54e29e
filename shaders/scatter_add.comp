// scatter_add, code_gather: a thread an element sums the items of its slot, in their order.
#version 460
#extension GL_GOOGLE_include_directive : require
#include "common.glsl"
#include "push.h"

layout(push_constant) uniform Push { scatter_push p; };
IN(0, x);       // items
INI(1, count);  // of items, a slot each
INI(2, ends);   // after its items in `sorted`, a slot each
INI(3, sorted); // items by slot, then by number
OUT(4, y);      // slots

void main()
{
    HN_GROUP_GUARD;
    const uint i = thread_index(), outer = i / p.inner, inner = i % p.inner;
    if (i >= p.total)
        return;
    const uint slot = p.inner_is_lane != 0u ? outer : inner, lane = p.inner_is_lane != 0u ? inner : outer;
    const int end = ends[slot], begin = end - count[slot];
    float sum = 0.0;
    for (int at = begin; at < end; at++)
        sum += LD(x, uint(sorted[at]) * p.item_step + lane * p.item_lane);
    ST(y, i, sum);
}
