// attention_grad by tiles, second: dk and dv over all query heads that use a key head; own rows
// are keys, met rows the queries of a head.
#version 460
#extension GL_GOOGLE_include_directive : require
#extension GL_EXT_control_flow_attributes : require
#include "attention_grad_tile.glsl"

OUT(8, dk);
OUT(9, dv);

vec4 own_dk[TM * SLICES], own_dv[TM * SLICES];
uint at_k[TM];

void start(uint b, uint h0, uint first)
{
    [[unroll]] for (uint i = 0u; i < TM; i++) {
        at_k[i] = key_at(b, h0, first + own_row(i));
        [[unroll]] for (uint slice = 0u; slice < SLICES; slice++)
            own_dk[slice * TM + i] = own_dv[slice * TM + i] = vec4(0.0);
    }
}

void fetch_scores(uint b, uint h, uint i0, uint slice)
{
    FETCH_OWN(k, at_k, slice)
    FETCH_MET(q, query_at, b, h, i0, p.tq, slice)
}

void fetch_dp(uint b, uint h, uint i0, uint slice)
{
    FETCH_OWN(v, at_k, slice)
    FETCH_MET(dy, query_at, b, h, i0, p.tq, slice)
}

void find_products(uint b, uint h, uint i0)
{
    CLEAR(s)
    CLEAR(dp)
    [[dont_unroll]] for (uint slice = 0u; slice < SLICES; slice++) {
        keep_own();
        keep_met();
        barrier();
        if (slice + 1u < SLICES)
            fetch_scores(b, h, i0, slice + 1u);
        else
            fetch_dp(b, h, i0, 0u);
        ADD_PRODUCTS(s)
        barrier();
    }
    [[dont_unroll]] for (uint slice = 0u; slice < SLICES; slice++) {
        keep_own();
        keep_met();
        barrier();
        if (slice + 1u < SLICES)
            fetch_dp(b, h, i0, slice + 1u);
        else
            FETCH_MET(dy, query_at, b, h, i0, p.tq, 0u)
        ADD_PRODUCTS(dp)
        barrier();
    }
}

// Scores and dp become weights and ds.
void find_weights(uint b, uint h, uint first, uint i0, int n)
{
    [[unroll]] for (uint t = 0u; t < TN; t++) {
        const uint i = i0 + met_row(t), last = min(i, p.tq - 1u);
        const uint row = (b * p.heads + h) * p.tq + last;
        const uint limit = i < p.tq ? key_limit(last, n) : 0u;
        const float shift = lse[row], less = delta[row];
        [[unroll]] for (uint r = 0u; r < TM; r++)
            weigh(r * TN + t, first + own_row(r) < limit, shift, less);
    }
}

// The queries of a head from i0 on; after them come those of head next_h from next_i on.
void meet(uint b, uint h, uint first, uint i0, uint next_h, uint next_i, int n)
{
    find_products(b, h, i0);
    find_weights(b, h, first, i0, n);
    PUT_WEIGHTS(s, 1.0)
    [[unroll]] for (uint slice = 0u; slice < SLICES; slice++) {
        keep_met();
        barrier();
        if (slice + 1u < SLICES)
            FETCH_MET(dy, query_at, b, h, i0, p.tq, slice + 1u)
        else
            FETCH_MET(q, query_at, b, h, i0, p.tq, 0u)
        ADD_MET(own_dv, slice)
        barrier();
    }
    PUT_WEIGHTS(dp, 1.0)
    [[unroll]] for (uint slice = 0u; slice < SLICES; slice++) {
        keep_met();
        barrier();
        if (slice + 1u < SLICES)
            FETCH_MET(q, query_at, b, h, i0, p.tq, slice + 1u)
        else
            fetch_scores(b, next_h, next_i, 0u);
        ADD_MET(own_dk, slice)
        barrier();
    }
}

void main()
{
    HN_GROUP_GUARD;
    const uint tiles = (p.tk + OWN - 1u) / OWN, head = group_index() / tiles;
    const uint first = group_index() % tiles * OWN, b = head / p.kv_heads;
    const uint group = p.heads / p.kv_heads, h0 = head % p.kv_heads * group;
    const int n = p.has_n_keys != 0u ? n_keys[b] : int(p.tk);
    const uint begin = first_query(first, n); // of any head; p.tq where none sees the keys

    start(b, h0, first);
    fetch_scores(b, h0, begin, 0u);
    for (uint h = h0; h < h0 + group; h++)
        for (uint i0 = begin; i0 < p.tq; i0 += MET) {
            const bool is_last = i0 + MET >= p.tq;
            const uint next_h = is_last ? min(h + 1u, p.heads - 1u) : h;
            meet(b, h, first, i0, next_h, is_last ? begin : i0 + MET, n);
        }
    EACH_OWN(i, slice, e)
        if (first + own_row(i) < p.tk && slice_col(slice) + e < p.d) {
            ST(dk, at_k[i] + slice_col(slice) + e, own_dk[slice * TM + i][e]);
            ST(dv, at_k[i] + slice_col(slice) + e, own_dv[slice * TM + i][e]);
        }
}
