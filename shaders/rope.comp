// rope: a thread rotates one pair of a head, or passes one of the elements beyond the pairs.
#version 460
#extension GL_GOOGLE_include_directive : require
#include "common.glsl"
#include "push.h"

layout(push_constant) uniform Push { rope_push p; };
IN(0, x);         // [B, T, H, D]
INF(1, cosines);  // [T, pairs]
INF(2, sines);    // [T, pairs]
OUT(3, y);        // [B, T, H, D]

void main()
{
    HN_GROUP_GUARD;
    const uint at = thread_index(), units = p.d - p.pairs;
    if (at >= p.total)
        return;
    const uint row = at / units, unit = at % units, head = row * p.d;

    if (unit >= p.pairs) {
        const uint i = head + unit + p.pairs;
        ST(y, i, LD(x, i));
        return;
    }
    const uint first = head + (p.neighbours != 0u ? 2u * unit : unit);
    const uint second = first + (p.neighbours != 0u ? 1u : p.pairs);
    const uint entry = row / p.heads % p.t * p.pairs + unit;
    const float c = cosines[entry], s = sines[entry], a = LD(x, first), b = LD(x, second);
    ST(y, first, a * c - b * s);
    ST(y, second, b * c + a * s);
}
