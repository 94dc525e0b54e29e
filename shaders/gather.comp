// embedding, code_scatter: a thread copies what ids name, or 0, to four neighbours of a row, or of
// ROWS rows where ids go with columns.
// types: f32 f32d f16 bf16 f16p bf16p w_q8_0 w_q4_0 w_q4_1 w_q5_0 w_q5_1 w_q4_k w_q5_k w_q6_k
#version 460
#extension GL_GOOGLE_include_directive : require
#include "common.glsl"
#include "push.h"

layout(push_constant) uniform Push { scatter_push p; };
#include "rows.glsl"
#ifdef HN_WEIGHTS // slots
#define WEIGHTS_BINDING 0
#include "weights.glsl"
vec4 get_x(uint row, uint r, float beyond)
{
    vec4 v = vec4(beyond);
    for (uint j = 0u; j < 4u; j++)
        if (4u * r + j < p.cols)
            v[j] = LDW(row * p.cols + 4u * r + j);
    return v;
}
#define LDX(i) LDW(i)
#else
IN_ROWS(0, x)
#define LDX(i) LD(x, i)
#endif
INI(1, ids);   // an item each
OUT_ROWS(2, y) // items

#include "pieces.glsl"

void main()
{
    HN_GROUP_GUARD;
    const uint row = PIECE_ROW;

    if (p.row_is_one != 0u) {
        const uint slot = uint(ids[row]);
        PIECE_RUNS(r)
            put_y(row, r, slot < p.n_slots ? get_x(slot, r, 0.0) : vec4(0.0));
        return;
    }
    PIECE_RUNS(r) {
        uvec4 slot;
        for (uint j = 0u; j < 4u; j++)
            slot[j] = uint(ids[min(4u * r + j, p.cols - 1u)]);
        const uvec4 at = min(slot, uvec4(p.n_slots - 1u)) * p.slot_step;
        for (uint y_row = row; y_row < min(row + ROWS, p.rows); y_row++) {
            vec4 v;
            for (uint j = 0u; j < 4u; j++)
                v[j] = LDX(at[j] + y_row * p.slot_lane);
            put_y(y_row, r, mix(vec4(0.0), v, lessThan(slot, uvec4(p.n_slots))));
        }
    }
}
