// top_k: a workgroup a row, in PARTS parts a thread. Each thread knows the best of each of its
// parts; the best of all is chosen k times, and only in the part it came from is the next searched.
#version 460
#extension GL_GOOGLE_include_directive : require
#include "common.glsl"
#include "pick.glsl"
#include "push.h"

layout(constant_id = 1) const uint PARTS = 1u;
layout(push_constant) uniform Push { top_k_push p; };
IN(0, x);       // [rows, cols]
OUT(1, y);      // [rows, k]
OUTI(2, index); // [rows, k]

shared float part_key[gl_WorkGroupSize.x * PARTS];
shared uint part_at[gl_WorkGroupSize.x * PARTS];

// The best element of a part that comes after `last` in the order of choice.
pick scan(uint row, uint part, pick last)
{
    pick best = pick_none();
    for (uint c = part; c < p.cols; c += gl_WorkGroupSize.x * PARTS) {
        const pick v = pick_of(LD(x, row * p.cols + c), c);
        if (v.key < last.key || (v.key == last.key && v.at > last.at))
            best = pick_better(best, v);
    }
    return best;
}

void keep(uint part, pick best)
{
    part_key[part] = best.key;
    part_at[part] = best.at;
}

pick best_of_own()
{
    pick best = pick_none();
    for (uint i = 0u; i < PARTS; i++) {
        const uint part = i * gl_WorkGroupSize.x + gl_LocalInvocationID.x;
        best = pick_better(best, pick(part_key[part], part_at[part]));
    }
    return best;
}

void main()
{
    HN_GROUP_GUARD;
    const uint row = group_index(), me = gl_LocalInvocationID.x;

    for (uint part = me; part < gl_WorkGroupSize.x * PARTS; part += gl_WorkGroupSize.x) {
        pick best = pick_none();
        for (uint c = part; c < p.cols; c += gl_WorkGroupSize.x * PARTS)
            best = pick_better(best, pick_of(LD(x, row * p.cols + c), c));
        keep(part, best);
    }
    pick best = best_of_own();
    for (uint j = 0u; j < p.k; j++) {
        const pick choice = pick_reduce(best);
        if (me == 0u) {
            ST(y, row * p.k + j, LD(x, row * p.cols + choice.at));
            index[row * p.k + j] = int(choice.at);
        }
        if (choice.at == best.at) {
            const uint part = choice.at % (gl_WorkGroupSize.x * PARTS);
            keep(part, scan(row, part, choice));
            best = best_of_own();
        }
    }
}
