// attention_grad by lanes, second: dk and dv over all query heads that use a key head; own rows are
// keys.
#version 460
#extension GL_GOOGLE_include_directive : require
#extension GL_EXT_control_flow_attributes : require
#include "attention_grad_lanes.glsl"

OUT(8, dk);
OUT(9, dv);

float own_k[WIDTH * ROWS], own_v[WIDTH * ROWS], own_dk[WIDTH * ROWS], own_dv[WIDTH * ROWS];

void start(uint b, uint h, uint first)
{
    [[unroll]] for (uint r = 0u; r < ROWS; r++) {
        const uint at = key_at(b, h, own_row(first, r));
        [[unroll]] for (uint c = 0u; c < WIDTH; c++) {
            own_k[c * ROWS + r] = OWN(k, at, c) * p.scale;
            own_v[c * ROWS + r] = OWN(v, at, c);
            own_dk[c * ROWS + r] = 0.0;
            own_dv[c * ROWS + r] = 0.0;
        }
    }
}

// The queries from i on.
void meet(uint b, uint h, uint first, uint i, int n)
{
    [[unroll]] for (uint m = 0u; m < MET; m++)
        at_met[m] = query_at(b, h, i + m);
    PRODUCTS(own_k, q, own_v, dy)
    [[unroll]] for (uint m = 0u; m < MET; m++) {
        const uint last = min(i + m, p.tq - 1u), row = (b * p.heads + h) * p.tq + last;
        const uint limit = i + m < p.tq ? key_limit(last, n) : 0u;
        const float shift = lse[row], less = delta[row];
        [[unroll]] for (uint r = 0u; r < ROWS; r++)
            WEIGH(own_row(first, r) < limit, shift, less, m * ROWS + r)
    }
    ADD_MET(own_dk, dp, first_met)
    ADD_MET(own_dv, s, second_met)
}

void main()
{
    HN_GROUP_GUARD;
    const uint tiles = (p.tk + TILE_ROWS - 1u) / TILE_ROWS, bh = group_index() / tiles;
    const uint first = group_index() % tiles * TILE_ROWS, b = bh / p.kv_heads;
    const uint group = p.heads / p.kv_heads, h0 = bh % p.kv_heads * group;
    const int n = p.has_n_keys != 0u ? n_keys[b] : int(p.tk);

    start(b, h0, first);
    const uint begin = first_query(first, n);
    for (uint h = h0; h < h0 + group; h++)
        for (uint i = begin; i < p.tq; i += MET)
            meet(b, h, first, i, n);
    [[unroll]] for (uint r = 0u; r < ROWS; r++) {
        const uint j = own_row(first, r), at = key_at(b, h0, j);
        [[unroll]] for (uint c = 0u; c < WIDTH; c++)
            if (j < p.tk && c < p.d) {
                ST(dk, at + c, own_dk[c * ROWS + r]);
                ST(dv, at + c, own_dv[c * ROWS + r]);
            }
    }
}
