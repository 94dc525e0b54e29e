// attention_grad, second: dk and dv, a thread for TILE keys of one key head, over all query heads
// that use it.
#version 460
#extension GL_GOOGLE_include_directive : require
#extension GL_EXT_control_flow_attributes : require
#include "attention_grad.glsl"

OUT(8, dk);
OUT(9, dv);
OUTF(10, acc_k); // [d, TILE, n_threads]
OUTF(11, acc_v);

// acc_k += ds^T q, acc_v += w^T dy.
void add_queries()
{
    for (uint c = 0u; c < p.d; c++) {
        float vq[TILE], vdy[TILE];
        [[unroll]] for (uint i = 0u; i < TILE; i++) {
            vq[i] = LD(q, at_q[i] + c);
            vdy[i] = LD(dy, at_q[i] + c);
        }
        [[unroll]] for (uint t = 0u; t < TILE; t++) {
            const uint at = (c * TILE + t) * p.n_threads + thread_index();
            float ak = acc_k[at], av = acc_v[at];
            [[unroll]] for (uint i = 0u; i < TILE; i++) {
                ak = fma(ds[i * TILE + t], vq[i], ak);
                av = fma(w[i * TILE + t], vdy[i], av);
            }
            acc_k[at] = ak;
            acc_v[at] = av;
        }
    }
}

void main()
{
    HN_GROUP_GUARD;
    const uint me = thread_index(), blocks = (p.tk + TILE - 1u) / TILE, group = p.heads / p.kv_heads;
    if (me >= p.n_threads)
        return;
    const uint j = me % blocks * TILE, kv_head = me / blocks % p.kv_heads, b = me / blocks / p.kv_heads;
    const int n = p.has_n_keys != 0u ? n_keys[b] : int(p.tk);

    [[unroll]] for (uint t = 0u; t < TILE; t++)
        at_k[t] = key_at(b, kv_head * group, j + t);
    for (uint c = 0u; c < p.d * TILE; c++) {
        acc_k[c * p.n_threads + me] = 0.0;
        acc_v[c * p.n_threads + me] = 0.0;
    }
    for (uint h = kv_head * group; h < (kv_head + 1u) * group; h++)
        for (uint first = 0u; first < p.tq; first += TILE) {
            if (key_limit(min(first + TILE, p.tq) - 1u, n) <= j)
                continue; // no query of the tile sees a key of ours
            [[unroll]] for (uint i = 0u; i < TILE; i++)
                at_q[i] = query_at(b, h, first + i);
            weigh(b, h, first, j);
            add_queries();
        }
    [[unroll]] for (uint t = 0u; t < TILE; t++)
        if (j + t < p.tk)
            for (uint c = 0u; c < p.d; c++) {
                ST(dk, at_k[t] + c, acc_k[(c * TILE + t) * p.n_threads + me]);
                ST(dv, at_k[t] + c, acc_v[(c * TILE + t) * p.n_threads + me]);
            }
}
