// Attention where a subgroup is a workgroup: each lane owns ROWS rows (of queries, or of keys) in
// its registers, and the rows of the other side are met together, MET at a time. Eight neighbouring
// elements of a met row come by one load, an element a lane, and go to all lanes by broadcasts. For
// devices where a load is dear whatever its address, and shared memory and barriers are too.
#ifndef HN_ATTENTION_LANES_GLSL
#define HN_ATTENTION_LANES_GLSL

#extension GL_KHR_shader_subgroup_ballot : require
#include "attention.glsl"

layout(constant_id = 2) const uint ROWS = 2;
layout(constant_id = 3) const uint MET = 4;
layout(constant_id = 4) const uint WIDTH = 64; // p.d, rounded up to a multiple of 8

#define lane() gl_SubgroupInvocationID
// Own rows of a workgroup. A lane's are a workgroup's width apart, so that neighbours own neighbours.
#define TILE_ROWS (ROWS * gl_WorkGroupSize.x)
#define own_row(first, r) ((first) + (r) * gl_WorkGroupSize.x + lane())

// An element of an own row; 0 behind its end.
#define OWN(name, at, c) ((c) < p.d ? LD(name, (at) + (c)) : 0.0)

// An element of a met row, one of eight neighbours; which one is the lane's number. 0 behind its end.
#define MEET(name, at, c) OWN(name, at, (c) + (lane() & 7u))

// sum[m * ROWS + r] += own row r times met row m, in column c + e.
#define DOT(sum, own, met, c, e)                                                                  \
    [[unroll]] for (uint m = 0u; m < MET; m++) {                                                  \
        const float x_ = subgroupBroadcast(met[m], e);                                            \
        [[unroll]] for (uint r = 0u; r < ROWS; r++)                                               \
            sum[m * ROWS + r] = fma(own[((c) + e) * ROWS + r], x_, sum[m * ROWS + r]);            \
    }
// own row r += weight[m * ROWS + r] times met row m, in column c + e.
#define ADD(own, weight, met, c, e)                                                               \
    [[unroll]] for (uint m = 0u; m < MET; m++) {                                                  \
        const float x_ = subgroupBroadcast(met[m], e);                                            \
        [[unroll]] for (uint r = 0u; r < ROWS; r++)                                               \
            own[((c) + e) * ROWS + r] = fma(weight[m * ROWS + r], x_, own[((c) + e) * ROWS + r]); \
    }
// A step in columns c to c + 7. The lane of a broadcast must be a literal before SPIR-V 1.5.
#define EIGHT(STEP, x, y, met, c)                                                                 \
    STEP(x, y, met, c, 0u) STEP(x, y, met, c, 1u) STEP(x, y, met, c, 2u) STEP(x, y, met, c, 3u)   \
    STEP(x, y, met, c, 4u) STEP(x, y, met, c, 5u) STEP(x, y, met, c, 6u) STEP(x, y, met, c, 7u)

#endif
