// attention by tiles, for GPUs (the paper's algorithm 1); own rows are those that use a key head: the
// positions of all its query heads, one head after the other. A row's running maximum and sum are
// kept by SPLIT threads, each with its share of the keys. Where workgroups would be few, each takes a
// part of the keys, and attention_join joins them.
#version 460
#extension GL_GOOGLE_include_directive : require
#extension GL_EXT_control_flow_attributes : require
#include "attention_tile.glsl"

layout(constant_id = 8) const uint PART = 0; // keys of a part; 0: all, the result is complete

IN(0, q);       // [batch, tq, heads, d]
IN(1, k);       // [batch, tk, kv_heads, d]
IN(2, v);       // like k
INI(3, n_keys); // [batch], where p.has_n_keys
OUT(4, y);      // like q
OUTF(5, lse);   // [batch, heads, tq]; of parts [batch, kv_heads, rows, parts, 2]: maximum, sum
OUTF(6, sums);  // of parts [batch, kv_heads, rows, parts, d]
IN4(0, q);
IN4(1, k);
IN4(2, v);
FETCHER(q)
FETCHER(k)
FETCHER(v)

const uint SPLIT = THREADS_N / TM, SHARE = MET / SPLIT;
#define soft_row() (me() % OWN)
#define soft_share() (me() / OWN)

shared float part_of[OWN * SPLIT], keep_of[OWN];
float s[TM * TN], most, sum;
vec4 own_y[TM * SLICES];
uint at_q[TM], limit; // limit: of the thread's row in soften()

void start(uint b, uint h0, uint first, uint n_rows, int n)
{
    [[unroll]] for (uint i = 0u; i < TM; i++) {
        const uint row = min(first + own_row(i), n_rows - 1u);
        at_q[i] = query_at(b, h0 + row / p.tq, row % p.tq);
        [[unroll]] for (uint slice = 0u; slice < SLICES; slice++)
            own_y[slice * TM + i] = vec4(0.0);
    }
    limit = key_limit(min(first + soft_row(), n_rows - 1u) % p.tq, n);
    most = -3.402823466e38;
    sum = 0.0;
}

void fetch_scores(uint b, uint h0, uint j, uint end, uint slice)
{
    FETCH_OWN(q, at_q, slice)
    FETCH_MET(k, key_at, b, h0, j, end, slice)
}

// Scores become weights; keep_of is what there is of the result is to be multiplied by.
void soften(uint j)
{
    const uint from = soft_row() * PITCH_W + soft_share() * SHARE / 4u;
    const uint seen = limit - min(limit, j + soft_share() * SHARE); // of the share
    float top = most;

    [[dont_unroll]] for (uint t = 0u; t < SHARE; t += 4u) {
        const vec4 w = weights[from + t / 4u];
        [[unroll]] for (uint e = 0u; e < 4u; e++)
            top = t + e < seen ? max(top, w[e]) : top;
    }
    if (SPLIT > 1u) {
        part_of[me()] = top;
        barrier();
        [[unroll]] for (uint i = 0u; i < SPLIT; i++)
            top = max(top, part_of[i * OWN + soft_row()]);
    }
    const float keep = exp(most - top);
    sum *= keep;
    [[dont_unroll]] for (uint t = 0u; t < SHARE; t += 4u) {
        vec4 w = weights[from + t / 4u];
        [[unroll]] for (uint e = 0u; e < 4u; e++) {
            w[e] = t + e < seen ? exp(w[e] - top) : 0.0;
            sum += w[e];
        }
        weights[from + t / 4u] = w;
    }
    if (soft_share() == 0u)
        keep_of[soft_row()] = keep;
    most = top;
}

void find_scores(uint b, uint h0, uint j, uint end)
{
    CLEAR(s)
    [[dont_unroll]] for (uint slice = 0u; slice < SLICES; slice++) {
        keep_own();
        keep_met();
        barrier();
        if (slice + 1u < SLICES)
            fetch_scores(b, h0, j, end, slice + 1u);
        else
            FETCH_MET(v, key_at, b, h0, j, end, 0u)
        ADD_PRODUCTS(s)
        barrier();
    }
    PUT_WEIGHTS(s, p.scale)
    barrier();
}

void add_values(uint b, uint h0, uint j, uint end)
{
    [[unroll]] for (uint slice = 0u; slice < SLICES; slice++) {
        keep_met();
        barrier();
        if (slice + 1u < SLICES)
            FETCH_MET(v, key_at, b, h0, j, end, slice + 1u)
        else if (j + MET < end)
            fetch_scores(b, h0, j + MET, end, 0u);
        [[unroll]] for (uint i = 0u; i < TM; i++)
            own_y[slice * TM + i] *= keep_of[own_row(i)];
        ADD_MET(own_y, slice)
        barrier();
    }
}

// Sums of rows; keep_of becomes what the result is to be multiplied by.
void finish(uint head, uint first, uint n_rows, uint parts, uint part)
{
    part_of[me()] = sum;
    barrier();
    float all = 0.0;
    [[unroll]] for (uint i = 0u; i < SPLIT; i++)
        all += part_of[i * OWN + soft_row()];
    if (soft_share() == 0u) {
        const uint row = head * n_rows + first + soft_row(), at = (row * parts + part) * 2u;
        const bool is_there = first + soft_row() < n_rows;
        keep_of[soft_row()] = PART != 0u ? 1.0 : all > 0.0 ? 1.0 / all : 0.0;
        if (is_there && PART != 0u) {
            lse[at] = most;
            lse[at + 1u] = all;
        } else if (is_there) {
            lse[row] = all > 0.0 ? most + log(all) : 0.0;
        }
    }
    barrier();
}

void main()
{
    HN_GROUP_GUARD;
    const uint parts = PART == 0u ? 1u : (p.tk + PART - 1u) / PART, group = p.heads / p.kv_heads;
    const uint n_rows = group * p.tq, tiles = (n_rows + OWN - 1u) / OWN;
    const uint part = group_index() % parts, head = group_index() / parts / tiles;
    // Where it is causal, the longest come first.
    const uint first = (tiles - 1u - group_index() / parts % tiles) * OWN;
    const uint b = head / p.kv_heads, h0 = head % p.kv_heads * group;
    const int n = p.has_n_keys != 0u ? n_keys[b] : int(p.tk);

    // The last key that any of the rows sees: where they go on in the next head, that of its end.
    uint end = key_limit(min(first % p.tq + OWN, p.tq) - 1u, n);
    if (PART != 0u)
        end = min(end, (part + 1u) * PART);

    start(b, h0, first, n_rows, n);
    limit = min(limit, end);
    fetch_scores(b, h0, part * PART, end, 0u);
    for (uint j = part * PART; j < end; j += MET) {
        find_scores(b, h0, j, end);
        soften(j);
        add_values(b, h0, j, end);
    }
    finish(head, first, n_rows, parts, part);
    EACH_OWN(i, slice, e) {
        const uint row = first + own_row(i), c = slice_col(slice) + e;
        const float value = own_y[slice * TM + i][e] * keep_of[own_row(i)];
        if (row < n_rows && c < p.d) {
            if (PART == 0u)
                ST(y, at_q[i] + c, value);
            else
                sums[((head * n_rows + row) * parts + part) * p.d + c] = value;
        }
    }
}
