// attention of few queries, first: a workgroup takes PART keys of one key head and ROWS of the rows
// that use it (all positions of all its query heads), so that keys and values are read once for
// them. What it has of the sums goes to attention_join.
#version 460
#extension GL_GOOGLE_include_directive : require
#extension GL_EXT_control_flow_attributes : require
#include "attention.glsl"

layout(constant_id = 2) const uint ROWS = 4;
layout(constant_id = 3) const uint PART = 64;
layout(constant_id = 4) const uint WIDTH = 64; // p.d, or more

IN(0, q);        // [batch, tq, heads, d]
IN(1, k);        // [batch, tk, kv_heads, d]
IN(2, v);        // like k
INI(3, n_keys);  // [batch], where p.has_n_keys
OUTF(4, sums);   // [batch, kv_heads, rows, parts, d]
OUTF(5, state);  // [batch, kv_heads, rows, parts, 2]: maximum, sum of the weights

shared float all_q[ROWS * WIDTH], all_s[ROWS * PART]; // the row is last
const float LOWEST = -3.402823466e38;

uint limit[ROWS], used; // keys that a row sees; those of the part that any row sees
float most[ROWS];

void load_queries(uint b, uint h0, uint first, uint n_rows)
{
    for (uint t = gl_LocalInvocationID.x; t < ROWS * WIDTH; t += gl_WorkGroupSize.x) {
        const uint row = min(first + t % ROWS, n_rows - 1u), c = t / ROWS;
        const uint at = query_at(b, h0 + row / p.tq, row % p.tq);
        all_q[t] = c < p.d ? LD(q, at + c) * p.scale : 0.0;
    }
    barrier();
}

// A thread for a key.
void scores(uint b, uint h0, uint j0)
{
    for (uint t = gl_LocalInvocationID.x; t < used; t += gl_WorkGroupSize.x) {
        const uint at = key_at(b, h0, j0 + t);
        float s[ROWS];
        [[unroll]] for (uint r = 0u; r < ROWS; r++)
            s[r] = 0.0;
        for (uint c = 0u; c < p.d; c++) {
            const float x = LD(k, at + c);
            [[unroll]] for (uint r = 0u; r < ROWS; r++)
                s[r] = fma(all_q[c * ROWS + r], x, s[r]);
        }
        [[unroll]] for (uint r = 0u; r < ROWS; r++)
            all_s[t * ROWS + r] = j0 + t < limit[r] ? s[r] : LOWEST;
    }
    barrier();
}

void soften(uint j0)
{
    [[unroll]] for (uint r = 0u; r < ROWS; r++)
        most[r] = LOWEST;
    for (uint t = 0u; t < used; t++)
        [[unroll]] for (uint r = 0u; r < ROWS; r++)
            most[r] = max(most[r], all_s[t * ROWS + r]);
    barrier();
    for (uint t = gl_LocalInvocationID.x; t < used; t += gl_WorkGroupSize.x)
        [[unroll]] for (uint r = 0u; r < ROWS; r++)
            all_s[t * ROWS + r] = j0 + t < limit[r] ? exp(all_s[t * ROWS + r] - most[r]) : 0.0;
    barrier();
}

void main()
{
    HN_GROUP_GUARD;
    const uint parts = (p.tk + PART - 1u) / PART, group = p.heads / p.kv_heads;
    const uint n_rows = group * p.tq, chunks = (n_rows + ROWS - 1u) / ROWS;
    const uint part = group_index() % parts, head = group_index() / parts / chunks;
    const uint first = group_index() / parts % chunks * ROWS, b = head / p.kv_heads;
    const uint h0 = head % p.kv_heads * group, j0 = part * PART;
    const int n = p.has_n_keys != 0u ? n_keys[b] : int(p.tk);

    uint end = 0u;
    [[unroll]] for (uint r = 0u; r < ROWS; r++) {
        limit[r] = first + r < n_rows ? key_limit((first + r) % p.tq, n) : 0u;
        end = max(end, limit[r]);
    }
    used = end > j0 ? min(end - j0, PART) : 0u;
    load_queries(b, h0, first, n_rows);
    scores(b, h0, j0);
    soften(j0);

    // A thread for a column.
    for (uint c = gl_LocalInvocationID.x; c < p.d; c += gl_WorkGroupSize.x) {
        float a[ROWS], sum[ROWS];
        [[unroll]] for (uint r = 0u; r < ROWS; r++)
            a[r] = sum[r] = 0.0;
        for (uint t = 0u; t < used; t++) {
            const float x = LD(v, key_at(b, h0, j0 + t) + c);
            [[unroll]] for (uint r = 0u; r < ROWS; r++) {
                a[r] = fma(all_s[t * ROWS + r], x, a[r]);
                sum[r] += all_s[t * ROWS + r];
            }
        }
        [[unroll]] for (uint r = 0u; r < ROWS; r++)
            if (first + r < n_rows) {
                const uint at = (head * n_rows + first + r) * parts + part;
                sums[at * p.d + c] = a[r];
                if (c == 0u) {
                    state[at * 2u] = most[r];
                    state[at * 2u + 1u] = sum[r];
                }
            }
    }
}
