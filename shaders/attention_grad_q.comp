// attention_grad, first: delta, then dq, a thread for TILE queries of one head.
#version 460
#extension GL_GOOGLE_include_directive : require
#extension GL_EXT_control_flow_attributes : require
#include "attention_grad.glsl"

OUT(8, dq);
OUTF(9, acc);   // [d, TILE, n_threads]
INF(10, dlse);  // like lse, where p.has_dlse

void find_delta(uint b, uint h, uint first)
{
    [[unroll]] for (uint i = 0u; i < TILE; i++) {
        const uint row = (b * p.heads + h) * p.tq + first + i;
        if (first + i < p.tq) {
            float sum = p.has_dlse != 0u ? -dlse[row] : 0.0;
            for (uint c = 0u; c < p.d; c++)
                sum += LD(dy, at_q[i] + c) * LD(y, at_q[i] + c);
            delta[row] = sum;
        }
    }
}

// acc += ds k.
void add_keys()
{
    for (uint c = 0u; c < p.d; c++) {
        float vk[TILE];
        [[unroll]] for (uint t = 0u; t < TILE; t++)
            vk[t] = LD(k, at_k[t] + c);
        [[unroll]] for (uint i = 0u; i < TILE; i++) {
            const uint at = (c * TILE + i) * p.n_threads + thread_index();
            float a = acc[at];
            [[unroll]] for (uint t = 0u; t < TILE; t++)
                a = fma(ds[i * TILE + t], vk[t], a);
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
    const int n = p.has_n_keys != 0u ? n_keys[b] : int(p.tk);
    const uint limit = key_limit(min(first + TILE, p.tq) - 1u, n);

    [[unroll]] for (uint i = 0u; i < TILE; i++)
        at_q[i] = query_at(b, h, first + i);
    for (uint c = 0u; c < p.d * TILE; c++)
        acc[c * p.n_threads + me] = 0.0;
    find_delta(b, h, first);
    for (uint j = 0u; j < limit; j += TILE) {
        [[unroll]] for (uint t = 0u; t < TILE; t++)
            at_k[t] = key_at(b, h, j + t);
        weigh(b, h, first, j);
        add_keys();
    }
    [[unroll]] for (uint i = 0u; i < TILE; i++)
        if (first + i < p.tq)
            for (uint c = 0u; c < p.d; c++)
                ST(dq, at_q[i] + c, acc[(c * TILE + i) * p.n_threads + me]);
}
