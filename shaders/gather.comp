// embedding, code_scatter: a thread copies what ids name, or 0, to four neighbours of a row.
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

void main()
{
    HN_GROUP_GUARD;
    const uint row = thread_index() / RUNS, r = thread_index() % RUNS;
    vec4 v = vec4(0.0);

    if (row >= p.rows)
        return;
    if (p.row_is_one != 0u) {
        const uint slot = uint(ids[row]);
        if (slot < p.n_slots)
            v = get_x(slot, r, 0.0);
    } else {
        for (uint j = 0u; j < 4u; j++) {
            const uint slot = uint(ids[min(4u * r + j, p.cols - 1u)]);
            if (slot < p.n_slots)
                v[j] = LDX(slot * p.slot_step + row * p.slot_lane);
        }
    }
    put_y(row, r, v);
}
