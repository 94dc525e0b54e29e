// rope: a thread rotates EACH pairs of a head, or passes so many of the elements beyond the pairs.
#version 460
#extension GL_GOOGLE_include_directive : require
#include "common.glsl"
#include "push.h"

layout(constant_id = 1) const uint EACH = 1u;
layout(push_constant) uniform Push { rope_push p; };
IN(0, x);         // [B, T, H, D]
INF(1, cosines);  // [T, pairs]
INF(2, sines);    // [T, pairs]
OUT(3, y);        // [B, T, H, D]

void rotate(uint head, uint entry, uint unit)
{
    const uint first = head + (p.neighbours != 0u ? 2u * unit : unit);
    const uint second = first + (p.neighbours != 0u ? 1u : p.pairs);
    const float c = cosines[entry + unit], s = sines[entry + unit];
    const float a = LD(x, first), b = LD(x, second);
    ST(y, first, a * c - b * s);
    ST(y, second, b * c + a * s);
}

void main()
{
    HN_GROUP_GUARD;
    const uint at = thread_index(), units = (p.d - p.pairs) / EACH;
    if (at >= p.total / EACH)
        return;
    const uint row = at / units, unit = (at - row * units) * EACH, head = row * p.d;

    if (unit >= p.pairs) {
        for (uint j = 0u; j < EACH; j++) {
            const uint i = head + unit + j + p.pairs;
            ST(y, i, LD(x, i));
        }
        return;
    }
    const uint entry = row / p.heads % p.t * p.pairs;
    for (uint j = 0u; j < EACH; j++)
        rotate(head, entry, unit + j);
}
