// attention_grad by lanes, first: delta, then dq; own rows are queries.
#version 460
#extension GL_GOOGLE_include_directive : require
#extension GL_EXT_control_flow_attributes : require
#include "attention_grad_lanes.glsl"

OUT(8, dq);
INF(9, dlse); // like lse, where p.has_dlse

float own_q[WIDTH * ROWS], own_dy[WIDTH * ROWS], own_dq[WIDTH * ROWS], shift[ROWS], less[ROWS];
uint limit[ROWS];

void start(uint bh, uint b, uint h, uint first, int n)
{
    [[unroll]] for (uint r = 0u; r < ROWS; r++) {
        const uint i = own_row(first, r), at = query_at(b, h, i);
        const uint row = bh * p.tq + min(i, p.tq - 1u);
        limit[r] = key_limit(min(i, p.tq - 1u), n);
        shift[r] = lse[row];
        less[r] = p.has_dlse != 0u ? -dlse[row] : 0.0;
        [[unroll]] for (uint c = 0u; c < WIDTH; c++) {
            own_q[c * ROWS + r] = OWN(q, at, c) * p.scale;
            own_dy[c * ROWS + r] = OWN(dy, at, c);
            own_dq[c * ROWS + r] = 0.0;
            less[r] = fma(own_dy[c * ROWS + r], OWN(y, at, c), less[r]);
        }
        if (i < p.tq)
            delta[row] = less[r];
    }
}

void main()
{
    HN_GROUP_GUARD;
    const uint tiles = (p.tq + TILE_ROWS - 1u) / TILE_ROWS, bh = group_index() / tiles;
    const uint first = group_index() % tiles * TILE_ROWS, h = bh % p.heads, b = bh / p.heads;
    const int n = p.has_n_keys != 0u ? n_keys[b] : int(p.tk);
    const uint end = key_limit(min(first + TILE_ROWS, p.tq) - 1u, n);

    start(bh, b, h, first, n);
    for (uint j = 0u; j < end; j += MET) {
        [[unroll]] for (uint m = 0u; m < MET; m++)
            at_met[m] = key_at(b, h, j + m);
        PRODUCTS(own_q, k, own_dy, v)
        [[unroll]] for (uint m = 0u; m < MET; m++)
            [[unroll]] for (uint r = 0u; r < ROWS; r++)
                WEIGH(j + m < limit[r], shift[r], less[r], m * ROWS + r)
        ADD_MET(own_dq, dp, first_met)
    }
    [[unroll]] for (uint r = 0u; r < ROWS; r++) {
        const uint i = own_row(first, r), at = query_at(b, h, i);
        [[unroll]] for (uint c = 0u; c < WIDTH; c++)
            if (i < p.tq && c < p.d)
                ST(dq, at + c, own_dq[c * ROWS + r]);
    }
}
