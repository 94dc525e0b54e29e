// Steps of a counting sort of items by the slot that their ids name (ops/scatter.c). What atomics
// leave to chance, the order of a slot's items in `list`, the last step takes away.
// types: f32
#version 460
#extension GL_GOOGLE_include_directive : require
#include "common.glsl"
#include "push.h"

layout(push_constant) uniform Push { scatter_sort_push p; };
INI(0, ids);     // [n_items]
OUTI(1, count);  // [n_slots]
OUTI(2, first);  // [n_slots]
OUTI(3, list);   // [n_items] items by slot
OUTI(4, sorted); // [n_items] the same, rising in each slot

shared int part[gl_WorkGroupSize.x];

// first = sums of count before each slot: a piece a thread, by one workgroup.
void scan()
{
    const uint me = gl_LocalInvocationID.x, size = (p.n_slots + gl_WorkGroupSize.x - 1u) / gl_WorkGroupSize.x;
    const uint begin = min(me * size, p.n_slots), end = min(begin + size, p.n_slots);

    int sum = 0;
    for (uint s = begin; s < end; s++)
        sum += count[s];
    part[me] = sum;
    barrier();
    int before = 0;
    for (uint t = 0u; t < me; t++)
        before += part[t];
    for (uint s = begin; s < end; s++) {
        first[s] = before;
        before += count[s];
    }
}

// Moves first[slot] to the end of the slot's items.
void place(uint i, uint slot)
{
    list[atomicAdd(first[slot], 1)] = int(i);
}

void rank(uint i, uint slot)
{
    const int end = first[slot], begin = end - count[slot];
    int n_before = 0;
    for (int at = begin; at < end; at++)
        n_before += list[at] < int(i) ? 1 : 0;
    sorted[begin + n_before] = int(i);
}

void main()
{
    HN_GROUP_GUARD;
    const uint i = thread_index();
    if (p.step == SCATTER_SCAN) {
        scan();
    } else if (p.step == SCATTER_CLEAR) {
        if (i < p.n_slots)
            count[i] = 0;
    } else if (i < p.n_items && uint(ids[i]) < p.n_slots) {
        if (p.step == SCATTER_COUNT)
            atomicAdd(count[ids[i]], 1);
        else if (p.step == SCATTER_PLACE)
            place(i, uint(ids[i]));
        else
            rank(i, uint(ids[i]));
    }
}
