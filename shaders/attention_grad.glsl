// What both kernels of attention_grad share: operands, and a tile of weights and their gradients.
#ifndef HN_ATTENTION_GRAD_GLSL
#define HN_ATTENTION_GRAD_GLSL

#include "attention.glsl"
#include "attention_grad_operands.glsl"

uint at_q[TILE], at_k[TILE];
float w[TILE * TILE], ds[TILE * TILE]; // queries by keys

// w = exp(s - lse), ds = scale w (dp - delta); 0 where the query does not see the key or there is
// no such query.
void weigh(uint b, uint h, uint first, uint j)
{
    const int n = p.has_n_keys != 0u ? n_keys[b] : int(p.tk);

    [[unroll]] for (uint t = 0u; t < TILE * TILE; t++) {
        w[t] = 0.0;
        ds[t] = 0.0;
    }
    for (uint c = 0u; c < p.d; c++) {
        float vq[TILE], vk[TILE], vdy[TILE], vv[TILE];
        [[unroll]] for (uint t = 0u; t < TILE; t++) {
            vq[t] = LD(q, at_q[t] + c);
            vk[t] = LD(k, at_k[t] + c);
            vdy[t] = LD(dy, at_q[t] + c);
            vv[t] = LD(v, at_k[t] + c);
        }
        [[unroll]] for (uint i = 0u; i < TILE; i++)
            [[unroll]] for (uint t = 0u; t < TILE; t++) {
                w[i * TILE + t] = fma(vq[i], vk[t], w[i * TILE + t]);
                ds[i * TILE + t] = fma(vdy[i], vv[t], ds[i * TILE + t]);
            }
    }
    [[unroll]] for (uint i = 0u; i < TILE; i++) {
        const uint row = (b * p.heads + h) * p.tq + min(first + i, p.tq - 1u);
        const uint limit = first + i < p.tq ? key_limit(first + i, n) : 0u;
        const float shift = lse[row], less = delta[row];
        [[unroll]] for (uint t = 0u; t < TILE; t++) {
            const uint at = i * TILE + t;
            const float e = j + t < limit ? exp(w[at] * p.scale - shift) : 0.0;
            w[at] = e;
            ds[at] = e * (ds[at] - less) * p.scale;
        }
    }
}

#endif
