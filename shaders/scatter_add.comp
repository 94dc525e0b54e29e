// scatter_add, code_gather: a thread sums the items of slots, in their order, for four neighbours
// of a row; where slots are columns, of ROWS rows.
// types: f32 f32d f16 bf16 f16p bf16p
#version 460
#extension GL_GOOGLE_include_directive : require
#extension GL_EXT_control_flow_attributes : require
#include "common.glsl"
#include "push.h"

layout(push_constant) uniform Push { scatter_push p; };
#include "rows.glsl"
IN_ROWS(0, x)   // items
INI(1, count);  // of items, a slot each
INI(2, ends);   // after its items in `sorted`, a slot each
INI(3, sorted); // items by slot, then by number
OUT_ROWS(4, y)  // slots

#include "pieces.glsl"

vec4 sum_of_row(uint slot, uint r)
{
    const int end = ends[slot], begin = end - count[slot];
    vec4 sum = vec4(0.0);
    for (int at = begin; at < end; at++)
        sum += get_x(uint(sorted[at]), r, 0.0);
    return sum;
}

// Slot `slot` of rows row, row + 1, ...; beyond the last it is the last again.
void sum_of_column(uint slot, uint row, uint j, inout vec4 sum[ROWS])
{
    const int end = ends[slot], begin = end - count[slot];
    for (int at = begin; at < end; at++) {
        const uint item = uint(sorted[at]) * p.item_step;
        [[unroll]] for (uint i = 0u; i < ROWS; i++)
            sum[i][j] += LD(x, item + min(row + i, p.rows - 1u) * p.item_lane);
    }
}

void main()
{
    HN_GROUP_GUARD;
    const uint row = PIECE_ROW;

    if (p.row_is_one != 0u) {
        PIECE_RUNS(r)
            put_y(row, r, sum_of_row(row, r));
        return;
    }
    PIECE_RUNS(r) {
        vec4 sum[ROWS];
        [[unroll]] for (uint i = 0u; i < ROWS; i++)
            sum[i] = vec4(0.0);
        [[unroll]] for (uint j = 0u; j < 4u; j++)
            sum_of_column(min(4u * r + j, p.cols - 1u), row, j, sum);
        for (uint i = 0u; i < ROWS && row + i < p.rows; i++)
            put_y(row + i, r, sum[i]);
    }
}
