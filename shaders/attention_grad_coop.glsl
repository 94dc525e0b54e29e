// What both kernels of attention_grad by cooperative matrices share (the paper's algorithm 2): operands,
// and how scores and dp become what is multiplied by met rows. Those numbers are two f16 each, one
// rounded and what that left: one alone loses what terms leave that cancel, and those of ds do, as a
// query's sum to zero. They lie where they came from: MAT_K scores, which are f32, give way to as many
// f16 and as many of what was left.
//
// f16 holds 6e-8 to 65504, so both are multiplied by powers of two, by which sums are divided at the end:
//   weights are at most 1, but for how lse was rounded: WEIGHT_SCALE lets small ones keep their bits
//   ds = scale p (dp - delta) is as large as dy, which a loss scale may have brought anywhere. As
//     |dp| <= |dy| |v|, power_of() of the larger of |dy| and |delta| leaves ds below 32 scale (|v| + 1):
//     only where scale |v| passes 2000 could it overflow, and then gives no number, as dy too large does
// delta has two numbers for each query here: itself, and the larger of the two norms.
#ifndef HN_ATTENTION_GRAD_COOP_GLSL
#define HN_ATTENTION_GRAD_COOP_GLSL

#include "attention_coop.glsl"
#include "attention_grad_operands.glsl"

layout(binding = 0) readonly buffer InQ8 { uvec4 q8[]; }; // the same memory, in eights
layout(binding = 1) readonly buffer InK8 { uvec4 k8[]; };
layout(binding = 2) readonly buffer InV8 { uvec4 v8[]; };
layout(binding = 5) readonly buffer InDy8 { uvec4 dy8[]; };
EIGHT_OF(q)
EIGHT_OF(k)
EIGHT_OF(v)
EIGHT_OF(dy)

const float WEIGHT_SCALE = 256.0;
const uint EIGHTS_K = MAT_K / 8u;

shared uvec4 own_s[OWN * PITCH], own_dp[OWN * PITCH]; // own rows of both products
shared uvec4 met_s[MET * PITCH], met_dp[MET * PITCH];
shared uvec4 score[OWN * PITCH_S], score_dp[OWN * PITCH_S]; // bits of f32; then two f16 each
uvec4 next_s[LOADS], next_dp[LOADS];

// The power of two that brings a norm to [16, 32), as far as 1 over it is a number too.
float power_of(float norm)
{
    const int e = int(floatBitsToUint(norm) >> 23) - 127;
    return uintBitsToFloat(uint(127 + clamp(4 - e, -100, 100)) << 23);
}

uvec4 halves(vec4 low, vec4 high)
{
    return uvec4(packHalf2x16(low.xy), packHalf2x16(low.zw), packHalf2x16(high.xy),
                 packHalf2x16(high.zw));
}

uvec4 left_of(vec4 low, vec4 high, uvec4 h)
{
    return halves(low - vec4(unpackHalf2x16(h.x), unpackHalf2x16(h.y)),
                  high - vec4(unpackHalf2x16(h.z), unpackHalf2x16(h.w)));
}

// The rows and columns of a subgroup's scores, MAT_K of a row at a time.
#define EACH_SHARE(r, c)                                                                          \
    for (uint share_ = gl_SubgroupInvocationID, r = my_row() + share_ % MY_ROWS,                  \
              c = share_ / MY_ROWS * MAT_K;                                                       \
         share_ < MY_ROWS * (MET / MAT_K); share_ += gl_SubgroupSize,                             \
              r = my_row() + share_ % MY_ROWS, c = share_ / MY_ROWS * MAT_K)

#define PUT_HALVES(scores, at, h, left)                                                           \
    [[unroll]] for (uint e = 0u; e < EIGHTS_K; e++) {                                             \
        scores[(at) + e] = h[e];                                                                  \
        scores[(at) + EIGHTS_K + e] = left[e];                                                    \
    }

// own += scores, as halves, times met rows.
#define ADD_MET(own, scores, met)                                                                 \
    [[dont_unroll]] for (uint j = 0u; j < MET; j += MAT_K) {                                      \
        MATRIX(MAT_M, MAT_K, A) w_[FRAGS_M];                                                      \
        MATRIX(MAT_M, MAT_K, A) left_[FRAGS_M];                                                   \
        [[unroll]] for (uint i = 0u; i < FRAGS_M; i++) {                                          \
            const uint at_ = (my_row() + i * MAT_M) * PITCH_S + j / 4u;                           \
            coopMatLoad(w_[i], scores, at_, PITCH_S, ROWS);                                       \
            coopMatLoad(left_[i], scores, at_ + EIGHTS_K, PITCH_S, ROWS);                         \
        }                                                                                         \
        [[unroll]] for (uint c = 0u; c < FRAGS_D; c++) {                                          \
            MATRIX(MAT_K, MAT_N, B) b_;                                                           \
            coopMatLoad(b_, met, j * PITCH + c * MAT_N / 8u, PITCH, ROWS);                        \
            [[unroll]] for (uint i = 0u; i < FRAGS_M; i++) {                                      \
                own[i * FRAGS_D + c] = coopMatMulAdd(w_[i], b_, own[i * FRAGS_D + c]);            \
                own[i * FRAGS_D + c] = coopMatMulAdd(left_[i], b_, own[i * FRAGS_D + c]);         \
            }                                                                                     \
        }                                                                                         \
    }

#endif
