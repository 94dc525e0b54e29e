// attention by lanes; own rows are those that use a key head: the positions of all its query heads,
// one head after the other. The running maximum and sum are brought up to date once for the MET keys
// of a step. Where rows are few, a workgroup takes a part of the keys, and attention_join joins them.
#version 460
#extension GL_GOOGLE_include_directive : require
#extension GL_EXT_control_flow_attributes : require
#include "attention_lanes.glsl"

IN(0, q);       // [batch, tq, heads, d]
IN(1, k);       // [batch, tk, kv_heads, d]
IN(2, v);       // like k
INI(3, n_keys); // [batch], where p.has_n_keys
OUT(4, y);      // like q
OUTF(5, lse);   // [batch, heads, tq]; of parts [batch, kv_heads, rows, parts, 2]: maximum, sum
OUTF(6, sums);  // of parts [batch, kv_heads, rows, parts, d]

layout(constant_id = 5) const uint PART = 0; // keys of a part; 0: all, the result is complete

float own_q[WIDTH * ROWS], own_y[WIDTH * ROWS];
float most[ROWS], sum[ROWS], s[MET * ROWS];
uint limit[ROWS], at_k[MET];

void start(uint b, uint h0, uint first, uint n_rows, int n)
{
    [[unroll]] for (uint r = 0u; r < ROWS; r++) {
        const uint row = min(own_row(first, r), n_rows - 1u);
        const uint at = query_at(b, h0 + row / p.tq, row % p.tq);
        limit[r] = key_limit(row % p.tq, n);
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

// Scores of the keys [j, end) become weights; what there is of the result shrinks with the maximum.
void soften(uint j, uint end)
{
    [[unroll]] for (uint r = 0u; r < ROWS; r++) {
        const uint seen = min(limit[r], end);
        float top = most[r];
        [[unroll]] for (uint m = 0u; m < MET; m++)
            top = j + m < seen ? max(top, s[m * ROWS + r]) : top;
        const float keep = exp(most[r] - top);
        sum[r] *= keep;
        [[unroll]] for (uint m = 0u; m < MET; m++) {
            const float e = j + m < seen ? exp(s[m * ROWS + r] - top) : 0.0;
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

void store(uint b, uint h, uint i, uint r)
{
    const float inverse = sum[r] > 0.0 ? 1.0 / sum[r] : 0.0;
    const uint at = query_at(b, h, i);
    lse[(b * p.heads + h) * p.tq + i] = sum[r] > 0.0 ? most[r] + log(sum[r]) : 0.0;
    [[unroll]] for (uint c = 0u; c < WIDTH; c++)
        if (c < p.d)
            ST(y, at + c, own_y[c * ROWS + r] * inverse);
}

void store_part(uint at, uint r)
{
    lse[at * 2u] = most[r];
    lse[at * 2u + 1u] = sum[r];
    [[unroll]] for (uint c = 0u; c < WIDTH; c++)
        if (c < p.d)
            sums[at * p.d + c] = own_y[c * ROWS + r];
}

void main()
{
    HN_GROUP_GUARD;
    const uint parts = PART == 0u ? 1u : (p.tk + PART - 1u) / PART, group = p.heads / p.kv_heads;
    const uint n_rows = group * p.tq, tiles = (n_rows + TILE_ROWS - 1u) / TILE_ROWS;
    const uint part = group_index() % parts, tile = group_index() / parts % tiles;
    const uint head = group_index() / parts / tiles, b = head / p.kv_heads;
    const uint h0 = head % p.kv_heads * group, first = tile * TILE_ROWS;
    const int n = p.has_n_keys != 0u ? n_keys[b] : int(p.tk);

    // The last key that any of the rows sees: where they go on in the next head, that of its end.
    const uint last = min(first % p.tq + TILE_ROWS, p.tq) - 1u;
    uint end = key_limit(last, n);
    if (PART != 0u)
        end = min(end, (part + 1u) * PART);

    start(b, h0, first, n_rows, n);
    for (uint j = part * PART; j < end; j += MET) {
        [[unroll]] for (uint m = 0u; m < MET; m++)
            at_k[m] = key_at(b, h0, j + m);
        scores();
        soften(j, end);
        add_values();
    }
    [[unroll]] for (uint r = 0u; r < ROWS; r++) {
        const uint row = own_row(first, r);
        if (row < n_rows) {
            if (PART == 0u)
                store(b, h0 + row / p.tq, row % p.tq, r);
            else
                store_part((head * n_rows + row) * parts + part, r);
        }
    }
}
