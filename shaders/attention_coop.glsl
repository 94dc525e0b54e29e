// Attention by cooperative matrices (Dao 2023, arXiv 2307.08691): f16, all sums in f32. As in
// attention_tile a workgroup owns OWN rows of one side and meets MET of the other at a time; here each
// of its WARPS subgroups has whole rows, as matrices of MAT_M. Where an element lies in a matrix only a
// load or a store tells: scores go by shared memory to become weights.
#ifndef HN_ATTENTION_COOP_GLSL
#define HN_ATTENTION_COOP_GLSL

#include "coop.glsl"
#include "attention.glsl"

layout(constant_id = 2) const uint OWN = 64;
layout(constant_id = 3) const uint MET = 32;
layout(constant_id = 4) const uint WARPS = 4;
layout(constant_id = 5) const uint MAT_M = 16; // a size that the device lists
layout(constant_id = 6) const uint MAT_N = 16;
layout(constant_id = 7) const uint MAT_K = 16;
layout(constant_id = 8) const uint WIDTH = 64; // p.d, rounded up to whole matrices
layout(constant_id = 9) const uint EIGHTS = 1; // whether p.d is a multiple of 8

#define me() gl_LocalInvocationID.x
const uint SIZE = gl_WorkGroupSize.x;
const uint GROUPS = WIDTH / 8u, LOADS = (MET * GROUPS + SIZE - 1u) / SIZE; // of eight columns
const uint PITCH = GROUPS + 1u;     // of rows in eights
const uint PITCH_S = MET / 4u + 1u; // of scores, in fours
const uint MY_ROWS = OWN / WARPS;   // of a subgroup
const uint FRAGS_M = MY_ROWS / MAT_M, FRAGS_N = MET / MAT_N, FRAGS_D = WIDTH / MAT_N;
#define my_row() (gl_SubgroupID * MY_ROWS)

#define MATRIX(rows, cols, use) coopmat<float16_t, gl_ScopeSubgroup, rows, cols, gl_MatrixUse##use>
#define SUMS coopmat<float, gl_ScopeSubgroup, MAT_M, MAT_N, gl_MatrixUseAccumulator>
#define ROWS gl_CooperativeMatrixLayoutRowMajor
#define COLS gl_CooperativeMatrixLayoutColumnMajor

// Eight columns of the row at `at`; 0 behind its end.
#define EIGHT_OF(name)                                                                            \
    uvec4 eight_##name(uint at, uint c)                                                           \
    {                                                                                             \
        uvec4 x_ = uvec4(0u);                                                                     \
        if (EIGHTS != 0u) {                                                                       \
            if (c < p.d)                                                                          \
                x_ = name##8[(at + c) >> 3];                                                      \
            return x_;                                                                            \
        }                                                                                         \
        [[unroll]] for (uint e = 0u; e < 4u; e++) {                                               \
            const float low = c + 2u * e < p.d ? LD(name, at + c + 2u * e) : 0.0;                 \
            const float high = c + 2u * e + 1u < p.d ? LD(name, at + c + 2u * e + 1u) : 0.0;      \
            x_[e] = packHalf2x16(vec2(low, high));                                                \
        }                                                                                         \
        return x_;                                                                                \
    }

// Rows of the met side from `first` on, at what at() gives for them, on their way into registers. Those
// from `end` on are not read: what lies there may be no numbers.
#define FETCH(next, name, at, b, h, first, end)                                                   \
    [[unroll]] for (uint i = 0u; i < LOADS; i++) {                                                \
        const uint to_ = me() + i * SIZE, row_ = to_ / GROUPS;                                    \
        next[i] = uvec4(0u);                                                                      \
        if (row_ < MET && (first) + row_ < (end))                                                 \
            next[i] = eight_##name(at(b, h, (first) + row_), to_ % GROUPS * 8u);                  \
    }
#define KEEP(met, next)                                                                           \
    [[unroll]] for (uint i = 0u; i < LOADS; i++) {                                                \
        const uint to_ = me() + i * SIZE;                                                         \
        if (to_ < MET * GROUPS)                                                                   \
            met[to_ / GROUPS * PITCH + to_ % GROUPS] = next[i];                                   \
    }

// A subgroup's rows of scores: own rows times met rows.
#define FIND_PRODUCTS(scores, own, met)                                                           \
    [[dont_unroll]] for (uint i = 0u; i < FRAGS_M; i++) {                                         \
        const uint row_ = my_row() + i * MAT_M;                                                   \
        SUMS s_[FRAGS_N];                                                                         \
        [[unroll]] for (uint j = 0u; j < FRAGS_N; j++)                                            \
            s_[j] = SUMS(0.0);                                                                    \
        [[dont_unroll]] for (uint c = 0u; c < WIDTH; c += MAT_K) {                                \
            MATRIX(MAT_M, MAT_K, A) a_;                                                           \
            coopMatLoad(a_, own, row_ * PITCH + c / 8u, PITCH, ROWS);                             \
            [[unroll]] for (uint j = 0u; j < FRAGS_N; j++) {                                      \
                MATRIX(MAT_K, MAT_N, B) b_;                                                       \
                coopMatLoad(b_, met, j * MAT_N * PITCH + c / 8u, PITCH, COLS);                    \
                s_[j] = coopMatMulAdd(a_, b_, s_[j]);                                             \
            }                                                                                     \
        }                                                                                         \
        [[unroll]] for (uint j = 0u; j < FRAGS_N; j++)                                            \
            coopMatStore(s_[j], scores, row_ * PITCH_S + j * MAT_N / 4u, PITCH_S, ROWS);          \
    }

// Each matrix of a result goes by the subgroup's own rows of scores to store(row, column, element).
#define STORE(sums, scores, store)                                                                \
    [[unroll]] for (uint i = 0u; i < FRAGS_M; i++)                                                \
        [[unroll]] for (uint f = 0u; f < FRAGS_D; f++) {                                          \
            const uint row_ = my_row() + i * MAT_M;                                               \
            coopMatStore(sums[i * FRAGS_D + f], scores, row_ * PITCH_S, PITCH_S, ROWS);           \
            wait_for_subgroup();                                                                  \
            for (uint e = gl_SubgroupInvocationID; e < MAT_M * MAT_N; e += gl_SubgroupSize) {     \
                const uint r_ = row_ + e / MAT_N, c_ = e % MAT_N;                                 \
                store(r_, f * MAT_N + c_, scores[r_ * PITCH_S + c_ / 4u][c_ & 3u]);               \
            }                                                                                     \
            wait_for_subgroup();                                                                  \
        }

#endif
