// attention: a thread has TILE queries of one head and meets the keys in tiles, keeping the running
// maximum and sum; what it has of the result so far lies in `acc`, side by side with its
// neighbours'. Neighbours read the same keys. Loads stay at 2 to 4 for 8 multiply-adds whatever d
// is, with no barrier.
#version 460
#extension GL_GOOGLE_include_directive : require
#extension GL_EXT_control_flow_attributes : require
#include "attention.glsl"

IN(0, q);       // [batch, tq, heads, d]
IN(1, k);       // [batch, tk, kv_heads, d]
IN(2, v);       // like k
INI(3, n_keys); // [batch], where p.has_n_keys
OUT(4, y);      // like q
OUTF(5, lse);   // [batch, heads, tq]
OUTF(6, acc);   // [d, TILE, n_threads]

uint at_q[TILE], at_k[TILE], limit[TILE];
float most[TILE], sum[TILE], keep[TILE], s[TILE * TILE];

void start(uint b, uint h, uint first)
{
    const int n = p.has_n_keys != 0u ? n_keys[b] : int(p.tk);
    [[unroll]] for (uint i = 0u; i < TILE; i++) {
        at_q[i] = query_at(b, h, first + i);
        limit[i] = key_limit(min(first + i, p.tq - 1u), n);
        most[i] = -3.402823466e38;
        sum[i] = 0.0;
    }
    for (uint c = 0u; c < p.d * TILE; c++)
        acc[c * p.n_threads + thread_index()] = 0.0;
}

// s = q k^T of a tile.
void scores()
{
    [[unroll]] for (uint t = 0u; t < TILE * TILE; t++)
        s[t] = 0.0;
    for (uint c = 0u; c < p.d; c++) {
        float vq[TILE], vk[TILE];
        [[unroll]] for (uint t = 0u; t < TILE; t++) {
            vq[t] = LD(q, at_q[t] + c);
            vk[t] = LD(k, at_k[t] + c);
        }
        [[unroll]] for (uint i = 0u; i < TILE; i++)
            [[unroll]] for (uint t = 0u; t < TILE; t++)
                s[i * TILE + t] = fma(vq[i], vk[t], s[i * TILE + t]);
    }
}

// Scores of the keys from j on become weights; `keep` is what earlier ones are to be multiplied by.
void soften(uint j)
{
    [[unroll]] for (uint i = 0u; i < TILE; i++) {
        float top = most[i];
        [[unroll]] for (uint t = 0u; t < TILE; t++)
            top = j + t < limit[i] ? max(top, s[i * TILE + t] * p.scale) : top;
        keep[i] = exp(most[i] - top);
        sum[i] *= keep[i];
        [[unroll]] for (uint t = 0u; t < TILE; t++) {
            const float e = j + t < limit[i] ? exp(s[i * TILE + t] * p.scale - top) : 0.0;
            s[i * TILE + t] = e;
            sum[i] += e;
        }
        most[i] = top;
    }
}

// acc = keep acc + s v.
void add_values()
{
    for (uint c = 0u; c < p.d; c++) {
        float vv[TILE];
        [[unroll]] for (uint t = 0u; t < TILE; t++)
            vv[t] = LD(v, at_k[t] + c);
        [[unroll]] for (uint i = 0u; i < TILE; i++) {
            const uint at = (c * TILE + i) * p.n_threads + thread_index();
            float a = acc[at] * keep[i];
            [[unroll]] for (uint t = 0u; t < TILE; t++)
                a = fma(s[i * TILE + t], vv[t], a);
            acc[at] = a;
        }
    }
}

void main()
{
    HN_GROUP_GUARD;
    const uint me = thread_index(), blocks = (p.tq + TILE - 1u) / TILE;
    if (me >= p.n_threads)
        return;
    const uint first = me % blocks * TILE, h = me / blocks % p.heads, b = me / blocks / p.heads;

    start(b, h, first);
    for (uint j = 0u; j < limit[TILE - 1u]; j += TILE) {
        [[unroll]] for (uint t = 0u; t < TILE; t++)
            at_k[t] = key_at(b, h, j + t);
        scores();
        soften(j);
        add_values();
    }
    [[unroll]] for (uint i = 0u; i < TILE; i++)
        if (first + i < p.tq) {
            const float inverse = sum[i] > 0.0 ? 1.0 / sum[i] : 0.0;
            lse[(b * p.heads + h) * p.tq + first + i] = sum[i] > 0.0 ? most[i] + log(sum[i]) : 0.0;
            for (uint c = 0u; c < p.d; c++)
                ST(y, at_q[i] + c, acc[(c * TILE + i) * p.n_threads + me] * inverse);
        }
}
