// What attention and its gradient share: a thread's place, which keys a query sees, addresses.
#ifndef HN_ATTENTION_GLSL
#define HN_ATTENTION_GLSL

#include "common.glsl"
#include "push.h"

layout(push_constant) uniform Push { attention_push p; };

layout(constant_id = 1) const uint TILE = 8; // queries by keys that a thread handles together

uint query_at(uint b, uint h, uint i)
{
    return ((b * p.tq + min(i, p.tq - 1u)) * p.heads + h) * p.d;
}

uint key_at(uint b, uint h, uint j)
{
    return ((b * p.tk + min(j, p.tk - 1u)) * p.kv_heads + h / (p.heads / p.kv_heads)) * p.d;
}

// Query i sees the keys [0, this); `n` is the batch's number of keys.
uint key_limit(uint i, int n_keys)
{
    const int n = clamp(n_keys, 0, int(p.tk)), at = int(i) + n_keys - int(p.tq);
    const int end = p.block != 0u ? (at / int(p.block) + 1) * int(p.block) : at + 1;
    return uint(p.causal == 0u ? n : at < 0 ? 0 : min(end, n));
}

// The first query that sees key j; p.tq where none does.
uint first_query(uint j, int n_keys)
{
    const int n = clamp(n_keys, 0, int(p.tk)), tq = int(p.tq);
    const int at = p.block != 0u ? int(j / p.block * p.block) : int(j);
    return uint(int(j) >= n ? tq : p.causal == 0u ? 0 : clamp(at - n_keys + tq, 0, tq));
}

#endif
