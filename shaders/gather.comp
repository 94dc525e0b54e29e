// embedding, code_scatter: a thread an element copies what its id names, or 0.
// types: f32 f16 bf16 f16p bf16p w_q8_0 w_q4_0 w_q4_1 w_q5_0 w_q5_1 w_q4_k w_q5_k w_q6_k
#version 460
#extension GL_GOOGLE_include_directive : require
#include "common.glsl"
#include "push.h"

layout(push_constant) uniform Push { scatter_push p; };
#ifdef HN_WEIGHTS // slots
#define WEIGHTS_BINDING 0
#include "weights.glsl"
#define LDX(i) LDW(i)
#else
IN(0, x);
#define LDX(i) LD(x, i)
#endif
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
    ST(y, i, slot < p.n_slots ? LDX(slot * p.slot_step + lane * p.slot_lane) : 0.0);
}
