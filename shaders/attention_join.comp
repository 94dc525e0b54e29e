// attention of few queries, second: joins the parts of each row; a thread for an element.
#version 460
#extension GL_GOOGLE_include_directive : require
#include "attention.glsl"

layout(constant_id = 3) const uint PART = 64;

INF(0, sums);   // [batch, kv_heads, rows, parts, d]: of attention_split
INF(1, state);  // [batch, kv_heads, rows, parts, 2]
OUT(2, y);      // [batch, tq, heads, d]
OUTF(3, lse);   // [batch, heads, tq]

void main()
{
    HN_GROUP_GUARD;
    if (thread_index() >= p.n_threads)
        return;
    const uint parts = (p.tk + PART - 1u) / PART, row = thread_index() / p.d;
    const uint c = thread_index() % p.d, i = row % p.tq, bh = row / p.tq;

    float most = -3.402823466e38, sum = 0.0, a = 0.0;
    for (uint t = row * parts; t < (row + 1u) * parts; t++)
        most = state[t * 2u + 1u] > 0.0 ? max(most, state[t * 2u]) : most;
    for (uint t = row * parts; t < (row + 1u) * parts; t++)
        if (state[t * 2u + 1u] > 0.0) {
            const float keep = exp(state[t * 2u] - most);
            sum = fma(state[t * 2u + 1u], keep, sum);
            a = fma(sums[t * p.d + c], keep, a);
        }
    ST(y, query_at(bh / p.heads, bh % p.heads, i) + c, sum > 0.0 ? a / sum : 0.0);
    if (c == 0u)
        lse[row] = sum > 0.0 ? most + log(sum) : 0.0;
}
