// attention_grad by tiles, first: delta, then dq; own rows are those that use a key head, as in
// attention_tile.
#version 460
#extension GL_GOOGLE_include_directive : require
#extension GL_EXT_control_flow_attributes : require
#include "attention_grad_tile.glsl"

OUT(8, dq);
INF(9, dlse); // like lse, where p.has_dlse
IN4(3, y);
FETCHER(y)

vec4 own_dq[TM * SLICES];
float shift[TM], less[TM];
uint at_q[TM], limit[TM];

// Sums of dy y of a row: those of each thread's columns lie side by side where weights will be.
void find_delta(uint base, uint first, uint n_rows)
{
    [[unroll]] for (uint i = 0u; i < TM; i++) {
        float sum = 0.0;
        for (uint slice = 0u; slice < SLICES; slice++)
            sum += dot(fetch_dy(at_q[i], slice_col(slice)), fetch_y(at_q[i], slice_col(slice)));
        weights[own_row(i) * PITCH_W + me_n() / 4u][me_n() & 3u] = sum;
    }
    barrier();
    [[unroll]] for (uint i = 0u; i < TM; i++) {
        const uint row = base + min(first + own_row(i), n_rows - 1u);
        less[i] = p.has_dlse != 0u ? -dlse[row] : 0.0;
        [[unroll]] for (uint t = 0u; t < THREADS_N / 4u; t++)
            less[i] += dot(weights[own_row(i) * PITCH_W + t], vec4(1.0));
        if (me_n() == 0u && first + own_row(i) < n_rows)
            delta[row] = less[i];
    }
}

void start(uint b, uint h0, uint first, uint n_rows, int n)
{
    const uint base = (b * p.heads + h0) * p.tq;
    [[unroll]] for (uint i = 0u; i < TM; i++) {
        const uint row = min(first + own_row(i), n_rows - 1u);
        at_q[i] = query_at(b, h0 + row / p.tq, row % p.tq);
        limit[i] = key_limit(row % p.tq, n);
        shift[i] = lse[base + row];
        [[unroll]] for (uint slice = 0u; slice < SLICES; slice++)
            own_dq[slice * TM + i] = vec4(0.0);
    }
    find_delta(base, first, n_rows);
}

void fetch_dp(uint b, uint h0, uint j, uint end, uint slice)
{
    FETCH_OWN(dy, at_q, slice)
    FETCH_MET(v, key_at, b, h0, j, end, slice)
}

void fetch_scores(uint b, uint h0, uint j, uint end, uint slice)
{
    FETCH_OWN(q, at_q, slice)
    FETCH_MET(k, key_at, b, h0, j, end, slice)
}

// Weights: ds of the keys from j on. What is next was fetched, and is at the end.
void find_weights(uint b, uint h0, uint j, uint end)
{
    CLEAR(s)
    CLEAR(dp)
    [[dont_unroll]] for (uint slice = 0u; slice < SLICES; slice++) {
        keep_own();
        keep_met();
        barrier();
        if (slice + 1u < SLICES)
            fetch_dp(b, h0, j, end, slice + 1u);
        else
            fetch_scores(b, h0, j, end, 0u);
        ADD_PRODUCTS(dp)
        barrier();
    }
    [[dont_unroll]] for (uint slice = 0u; slice < SLICES; slice++) {
        keep_own();
        keep_met();
        barrier();
        if (slice + 1u < SLICES)
            fetch_scores(b, h0, j, end, slice + 1u);
        else
            FETCH_MET(k, key_at, b, h0, j, end, 0u)
        ADD_PRODUCTS(s)
        barrier();
    }
    [[unroll]] for (uint i = 0u; i < TM; i++)
        [[unroll]] for (uint t = 0u; t < TN; t++)
            weigh(i * TN + t, j + met_row(t) < limit[i], shift[i], less[i]);
    PUT_WEIGHTS(dp, 1.0)
}

void add_keys(uint b, uint h0, uint j, uint end)
{
    [[unroll]] for (uint slice = 0u; slice < SLICES; slice++) {
        keep_met();
        barrier();
        if (slice + 1u < SLICES)
            FETCH_MET(k, key_at, b, h0, j, end, slice + 1u)
        else if (j + MET < end)
            fetch_dp(b, h0, j + MET, end, 0u);
        ADD_MET(own_dq, slice)
        barrier();
    }
}

void main()
{
    HN_GROUP_GUARD;
    const uint group = p.heads / p.kv_heads, n_rows = group * p.tq;
    const uint tiles = (n_rows + OWN - 1u) / OWN, head = group_index() / tiles;
    const uint first = (tiles - 1u - group_index() % tiles) * OWN; // the longest first
    const uint b = head / p.kv_heads, h0 = head % p.kv_heads * group;
    const int n = p.has_n_keys != 0u ? n_keys[b] : int(p.tk);
    // The last key that any of the rows sees: where they go on in the next head, that of its end.
    const uint end = key_limit(min(first % p.tq + OWN, p.tq) - 1u, n);

    start(b, h0, first, n_rows, n);
    fetch_dp(b, h0, 0u, end, 0u);
    for (uint j = 0u; j < end; j += MET) {
        find_weights(b, h0, j, end);
        add_keys(b, h0, j, end);
    }
    EACH_OWN(i, slice, e)
        if (first + own_row(i) < n_rows && slice_col(slice) + e < p.d)
            ST(dq, at_q[i] + slice_col(slice) + e, own_dq[slice * TM + i][e]);
}
