// types: f32 f32d f16 bf16 f16p bf16p u8
// copy: a box of elements from strided places to strided places; places of the box outside
// [lo, hi) along an axis get a value instead. A thread takes EACH neighbours along the last
// dimension; as vectors of words where WIDE, when they are neighbours on both sides. Where TURN,
// the last dimension's elements are neighbours in y and those along the axis in x: a thread turns a
// tile of EACH x EACH in its registers.
#version 460
#extension GL_GOOGLE_include_directive : require
#extension GL_EXT_control_flow_attributes : require
#include "common.glsl"
#include "raw.glsl"
#include "push.h"

layout(constant_id = 1) const uint EACH = 1u; // divides n[rank - 1]
layout(constant_id = 2) const uint WIDE = 0u; // 32-bit elements only
layout(constant_id = 3) const uint TURN = 0u; // the same; EACH divides n[axis] too
layout(push_constant) uniform Push { copy_push p; };
INW(0, x);
OUTW(1, y);
#ifdef T_F32
#ifdef HN_PAIRS
layout(binding = 0) readonly buffer InWide { u64vec2 x_wide[]; };
layout(binding = 1) buffer OutWide { u64vec2 y_wide[]; };
uvec4 load_wide(uint i)
{
    const u64vec2 v = x_wide[i];
    return uvec4(unpackUint2x32(v.x), unpackUint2x32(v.y));
}
void store_wide(uint i, uvec4 v)
{
    y_wide[i] = u64vec2(packUint2x32(v.xy), packUint2x32(v.zw));
}
#else
layout(binding = 0) readonly buffer InWide { uvec4 x_wide[]; };
layout(binding = 1) buffer OutWide { uvec4 y_wide[]; };
#define load_wide(i) x_wide[i]
#define store_wide(i, v) y_wide[i] = (v)
#endif

#define WIDES ((EACH + 3u) / 4u)
void turn(uint src, uint dst, uint from, uint to)
{
    uvec4 v[EACH * WIDES];
    [[unroll]] for (uint i = 0u; i < EACH; i++)
        [[unroll]] for (uint j = 0u; j < WIDES; j++)
            v[i * WIDES + j] = load_wide((src + i * from) / 4u + j);
    [[unroll]] for (uint i = 0u; i < EACH; i++)
        [[unroll]] for (uint j = 0u; j < WIDES; j++) {
            uvec4 row;
            [[unroll]] for (uint k = 0u; k < 4u; k++)
                row[k] = v[(4u * j + k) * WIDES + i / 4u][i & 3u];
            store_wide((dst + i * to) / 4u + j, row);
        }
}
#endif

void main()
{
    HN_GROUP_GUARD;
    uint rest = thread_index(), src = p.src, dst = p.dst;
    uint last = 0u, from = 0u, to = 0u;
    bool inside = true, by_last = false;

    if (rest >= p.total / (TURN != 0u ? EACH * EACH : EACH))
        return;
    for (uint k = p.rank; k-- > 0u;) {
        const bool is_last = k + 1u == p.rank;
        const uint each = is_last || (TURN != 0u && k == p.axis) ? EACH : 1u;
        const uint n = p.n[k] / each, next = k > 0u ? rest / n : 0u, at = (rest - next * n) * each;
        rest = next;
        src += at * p.from[k]; // may wrap below 0 where it is not inside
        dst += at * p.to[k];
        if (is_last) {
            last = at, from = p.from[k], to = p.to[k];
            by_last = k == p.axis;
        } else if (k == p.axis)
            inside = at >= p.lo && at < p.hi;
    }
#ifdef T_F32
    if (TURN != 0u) {
        turn(src, dst, from, p.to[p.axis]);
        return;
    }
    if (WIDE != 0u) {
        for (uint j = 0u; j < WIDES; j++) {
            const uint at = last + 4u * j;
            uvec4 v = uvec4(p.value);
            if (inside && (!by_last || (at >= p.lo && at < p.hi)))
                v = load_wide(src / 4u + j);
            store_wide(dst / 4u + j, v);
        }
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
