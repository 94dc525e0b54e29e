// types: f32 f16 bf16 f16p bf16p u8
// copy: a box of elements from strided places to strided places; places of the box outside
// [lo, hi) along an axis get a value instead. A thread takes EACH neighbours along the last
// dimension; as one vector of words where WIDE, when they are neighbours on both sides.
#version 460
#extension GL_GOOGLE_include_directive : require
#include "common.glsl"
#include "raw.glsl"
#include "push.h"

layout(constant_id = 1) const uint EACH = 1u; // 4 where n[rank - 1] is a multiple of it
layout(constant_id = 2) const uint WIDE = 0u; // 32-bit elements only
layout(push_constant) uniform Push { copy_push p; };
INW(0, x);
OUTW(1, y);
#ifdef T_F32
layout(binding = 0) readonly buffer InWide { uvec4 x_wide[]; };
layout(binding = 1) buffer OutWide { uvec4 y_wide[]; };
#endif

void main()
{
    HN_GROUP_GUARD;
    uint rest = thread_index(), src = p.src, dst = p.dst;
    uint last = 0u, from = 0u, to = 0u;
    bool inside = true, by_last = false;

    if (rest >= p.total / EACH)
        return;
    for (uint k = p.rank; k-- > 0u;) {
        const bool is_last = k + 1u == p.rank;
        const uint n = is_last ? p.n[k] / EACH : p.n[k], at = rest % n * (is_last ? EACH : 1u);
        rest /= n;
        src += at * p.from[k]; // may wrap below 0 where it is not inside
        dst += at * p.to[k];
        if (is_last) {
            last = at, from = p.from[k], to = p.to[k];
            by_last = k == p.axis;
        } else if (k == p.axis)
            inside = at >= p.lo && at < p.hi;
    }
#ifdef T_F32
    if (WIDE != 0u) {
        uvec4 v = uvec4(p.value);
        if (inside)
            v = x_wide[src / 4u];
        y_wide[dst / 4u] = v;
        return;
    }
#endif
    for (uint j = 0u; j < EACH; j++) {
        const bool there = inside && (!by_last || (last + j >= p.lo && last + j < p.hi));
        uint v = p.value;
        if (there)
            v = LDW(x, src + j * from);
        STW(y, dst + j * to, v);
    }
}
