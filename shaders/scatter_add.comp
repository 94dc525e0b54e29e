// scatter_add, code_gather: a thread sums the items of a slot, in their order, for four neighbours
// of a row.
// types: f32 f32d f16 bf16 f16p bf16p
#version 460
#extension GL_GOOGLE_include_directive : require
#include "common.glsl"
#include "push.h"

layout(push_constant) uniform Push { scatter_push p; };
#include "rows.glsl"
IN_ROWS(0, x)   // items
INI(1, count);  // of items, a slot each
INI(2, ends);   // after its items in `sorted`, a slot each
INI(3, sorted); // items by slot, then by number
OUT_ROWS(4, y)  // slots

float sum_of(uint slot, uint lane)
{
    const int end = ends[slot], begin = end - count[slot];
    float sum = 0.0;
    for (int at = begin; at < end; at++)
        sum += LD(x, uint(sorted[at]) * p.item_step + lane * p.item_lane);
    return sum;
}

void main()
{
    HN_GROUP_GUARD;
    const uint row = thread_index() / RUNS, r = thread_index() % RUNS;
    vec4 sum = vec4(0.0);

    if (row >= p.rows)
        return;
    if (p.row_is_one != 0u) {
        const int end = ends[row], begin = end - count[row];
        for (int at = begin; at < end; at++)
            sum += get_x(uint(sorted[at]), r, 0.0);
    } else {
        for (uint j = 0u; j < 4u; j++)
            sum[j] = sum_of(min(4u * r + j, p.cols - 1u), row);
    }
    put_y(row, r, sum);
}
