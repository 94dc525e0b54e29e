// What products of at most 8 rows share where both operands lie along k. A workgroup makes COLS
// columns of ROWS rows; its threads share k, each with eight elements of every column in flight, and
// add up by subgroups.
#ifndef HN_MATMUL_DOTS_GLSL
#define HN_MATMUL_DOTS_GLSL

#extension GL_KHR_shader_subgroup_basic : require
#extension GL_KHR_shader_subgroup_arithmetic : require

layout(constant_id = 1) const uint COLS = 4;
layout(constant_id = 2) const uint ROWS = 1; // at least m
layout(constant_id = 3) const uint NORM = 0; // whether a passes an RMS norm first
#define LAYOUT (MATMUL_A_ALONG_K | MATMUL_B_ALONG_K | MATMUL_A_FOURS | MATMUL_B_FOURS)
#include "matmul_four.glsl"

const uint SIZE = gl_WorkGroupSize.x, SUMS = ROWS * COLS;
const uint ALL = SUMS + (NORM != 0u ? ROWS : 0u); // with the squares of rows
const uint LEAST_SUBGROUP = 4u; // smaller ones are not given this kernel
#ifdef HN_BLOCKS
const uint APART = WEIGHTS_APART; // second four elements from the first
#else
const uint APART = 4u;
#endif
shared float part[SIZE / LEAST_SUBGROUP * ALL];
float sum[ALL];

// The first of a thread's eight elements in turn i.
uint first_k(uint i)
{
    return i / (APART / 4u) * (2u * APART) + i % (APART / 4u) * 4u;
}

// Where a row of a and a column of b begin; beyond the edge the last one again.
uint row_at(matmul_base at, uint row)
{
    return at.a + min(row, p.m - 1u) * p.a_row;
}

uint col_at(matmul_base at, uint col)
{
    return at.b + min(col, p.n - 1u) * p.b_col;
}

// Stores what all threads' sums come to.
void finish(matmul_base at, uint col)
{
    const uint me = gl_LocalInvocationID.x;

    [[unroll]] for (uint s = 0u; s < ALL; s++) {
        const float v = subgroupAdd(sum[s]);
        if (subgroupElect())
            part[gl_SubgroupID * ALL + s] = v;
    }
    barrier();
    for (uint s = me; s < SUMS; s += SIZE) {
        float total = 0.0, squares = 0.0;
        for (uint g = 0u; g < gl_NumSubgroups; g++) {
            total += part[g * ALL + s];
            if (NORM != 0u)
                squares += part[g * ALL + SUMS + s / COLS];
        }
        if (NORM != 0u)
            total *= inversesqrt(squares / float(p.k) + p.norm_eps);
        if (s / COLS < p.m && col + s % COLS < p.n)
            matmul_store(at.y, s / COLS, col + s % COLS, total);
    }
}

#endif
