// What both kernels of attention_grad by lanes share: operands, and a step's weights.
#ifndef HN_ATTENTION_GRAD_LANES_GLSL
#define HN_ATTENTION_GRAD_LANES_GLSL

#include "attention_lanes.glsl"
#include "attention_grad_operands.glsl"

float s[MET * ROWS], dp[MET * ROWS];
float first_met[WIDTH / 8u * MET], second_met[WIDTH / 8u * MET]; // as loaded, by eight columns
uint at_met[MET];

#define WEIGH(is_seen, shift, less, t)                                                            \
    {                                                                                             \
        const float e_ = is_seen ? exp(s[t] - (shift)) : 0.0;                                     \
        s[t] = e_;                                                                                \
        dp[t] = e_ * (dp[t] - (less)) * p.scale;                                                  \
    }

// s = scores, dp = products of dy and v: own_s times met_s, own_dp times met_dp.
#define PRODUCTS(own_s, met_s, own_dp, met_dp)                                                    \
    [[unroll]] for (uint t = 0u; t < MET * ROWS; t++) {                                           \
        s[t] = 0.0;                                                                               \
        dp[t] = 0.0;                                                                              \
    }                                                                                             \
    [[unroll]] for (uint c = 0u; c < WIDTH; c += 8u) {                                            \
        float a[MET], b[MET];                                                                     \
        [[unroll]] for (uint m = 0u; m < MET; m++) {                                              \
            a[m] = MEET(met_s, at_met[m], c);                                                     \
            b[m] = MEET(met_dp, at_met[m], c);                                                    \
            first_met[c / 8u * MET + m] = a[m];                                                   \
            second_met[c / 8u * MET + m] = b[m];                                                  \
        }                                                                                         \
        EIGHT(DOT, s, own_s, a, c)                                                                \
        EIGHT(DOT, dp, own_dp, b, c)                                                              \
    }
// own += weights times what was met, loaded by PRODUCTS.
#define ADD_MET(own, weight, met)                                                                 \
    [[unroll]] for (uint c = 0u; c < WIDTH; c += 8u) {                                            \
        float a[MET];                                                                             \
        [[unroll]] for (uint m = 0u; m < MET; m++)                                                \
            a[m] = met[c / 8u * MET + m];                                                         \
        EIGHT(ADD, own, weight, a, c)                                                             \
    }

#endif
