// What both kernels of attention_grad by tiles share: operands, in fours too.
#ifndef HN_ATTENTION_GRAD_TILE_GLSL
#define HN_ATTENTION_GRAD_TILE_GLSL

#include "attention_tile.glsl"
#include "attention_grad_operands.glsl"

IN4(0, q);
IN4(1, k);
IN4(2, v);
IN4(5, dy);
FETCHER(q)
FETCHER(k)
FETCHER(v)
FETCHER(dy)

float s[TM * TN], dp[TM * TN];

// A score and its dp become a weight and its ds.
void weigh(uint at, bool is_seen, float shift, float less)
{
    const float e = is_seen ? exp(s[at] * p.scale - shift) : 0.0;
    dp[at] = is_seen ? e * (dp[at] - less) * p.scale : 0.0;
    s[at] = e;
}

#endif
