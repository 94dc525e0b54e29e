// attention, own rows are queries. The running maximum and sum are brought up to date once for the MET
// keys of a step.
#version 460
#extension GL_GOOGLE_include_directive : require
#extension GL_EXT_control_flow_attributes : require
#include "attention_lanes.glsl"

IN(0, q);       // [batch, tq, heads, d]
IN(1, k);       // [batch, tk, kv_heads, d]
IN(2, v);       // like k
INI(3, n_keys); // [batch], where p.has_n_keys
OUT(4, y);      // like q
OUTF(5, lse);   // [batch, heads, tq]

float own_q[WIDTH * ROWS], own_y[WIDTH * ROWS];
float most[ROWS], sum[ROWS], s[MET * ROWS];
uint limit[ROWS], at_k[MET];

void start(uint b, uint h, uint first)
{
    const int n = p.has_n_keys != 0u ? n_keys[b] : int(p.tk);
    [[unroll]] for (uint r = 0u; r < ROWS; r++) {
        const uint i = own_row(first, r), at = query_at(b, h, i);
        limit[r] = key_limit(min(i, p.tq - 1u), n);
        most[r] = -3.402823466e38;
        sum[r] = 0.0;
        [[unroll]] for (uint c = 0u; c < WIDTH; c++) {
            own_q[c * ROWS + r] = OWN(q, at, c) * p.scale;
            own_y[c * ROWS + r] = 0.0;
        }
    }
}

// s = scores of the keys met.
void scores()
{
    [[unroll]] for (uint t = 0u; t < MET * ROWS; t++)
        s[t] = 0.0;
    [[unroll]] for (uint c = 0u; c < WIDTH; c += 8u) {
        float met[MET];
        [[unroll]] for (uint m = 0u; m < MET; m++)
            met[m] = MEET(k, at_k[m], c);
        EIGHT(DOT, s, own_q, met, c)
    }
}

// Scores of the keys from j on become weights; what there is of the result shrinks with the maximum.
void soften(uint j)
{
    [[unroll]] for (uint r = 0u; r < ROWS; r++) {
        float top = most[r];
        [[unroll]] for (uint m = 0u; m < MET; m++)
            top = j + m < limit[r] ? max(top, s[m * ROWS + r]) : top;
        const float keep = exp(most[r] - top);
        sum[r] *= keep;
        [[unroll]] for (uint m = 0u; m < MET; m++) {
            const float e = j + m < limit[r] ? exp(s[m * ROWS + r] - top) : 0.0;
            s[m * ROWS + r] = e;
            sum[r] += e;
        }
        most[r] = top;
        [[unroll]] for (uint c = 0u; c < WIDTH; c++)
            own_y[c * ROWS + r] *= keep;
    }
}

void add_values()
{
    [[unroll]] for (uint c = 0u; c < WIDTH; c += 8u) {
        float met[MET];
        [[unroll]] for (uint m = 0u; m < MET; m++)
            met[m] = MEET(v, at_k[m], c);
        EIGHT(ADD, own_y, s, met, c)
    }
}

void main()
{
    HN_GROUP_GUARD;
    const uint tiles = (p.tq + TILE_ROWS - 1u) / TILE_ROWS, bh = group_index() / tiles;
    const uint first = group_index() % tiles * TILE_ROWS, h = bh % p.heads, b = bh / p.heads;
    const int n = p.has_n_keys != 0u ? n_keys[b] : int(p.tk);
    const uint end = key_limit(min(first + TILE_ROWS, p.tq) - 1u, n);

    start(b, h, first);
    for (uint j = 0u; j < end; j += MET) {
        [[unroll]] for (uint m = 0u; m < MET; m++)
            at_k[m] = key_at(b, h, j + m);
        scores();
        soften(j);
        add_values();
    }
    [[unroll]] for (uint r = 0u; r < ROWS; r++) {
        const uint i = own_row(first, r), at = query_at(b, h, i);
        if (i < p.tq) {
            const float inverse = sum[r] > 0.0 ? 1.0 / sum[r] : 0.0;
            lse[bh * p.tq + i] = sum[r] > 0.0 ? most[r] + log(sum[r]) : 0.0;
            [[unroll]] for (uint c = 0u; c < WIDTH; c++)
                if (c < p.d)
                    ST(y, at + c, own_y[c * ROWS + r] * inverse);
        }
    }
}
