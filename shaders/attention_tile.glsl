// Attention by tiles (Dao 2023, arXiv 2307.08691): a workgroup owns OWN rows (of queries, or of
// keys) and meets the rows of the other side MET at a time, so that no score leaves it. The products
// that make scores take both sides through shared memory in slices of SLICE columns, and those that
// use weights the met side alone: what a workgroup needs there does not grow with the heads' width.
// A thread has TM x TN scores, and of a result TM rows by four columns of each slice. What comes
// next is on its way into registers while this slice is multiplied.
#ifndef HN_ATTENTION_TILE_GLSL
#define HN_ATTENTION_TILE_GLSL

#include "attention.glsl"
#include "four.glsl"

layout(constant_id = 2) const uint OWN = 64;
layout(constant_id = 3) const uint MET = 32;
layout(constant_id = 4) const uint TM = 4;
layout(constant_id = 5) const uint TN = 4;
layout(constant_id = 6) const uint WIDTH = 64; // p.d, rounded up to a multiple of SLICE
layout(constant_id = 7) const uint FOURS = 1;  // whether p.d is a multiple of 4

const uint THREADS_M = OWN / TM, THREADS_N = MET / TN; // multiples of 4; THREADS_M divides MET
const uint SLICE = 4u * THREADS_N, SLICES = WIDTH / SLICE;
const uint LOADS_MET = MET / THREADS_M; // fours that a thread loads; of its own rows TM
const uint PITCH = THREADS_N + 1u, PITCH_W = MET / 4u + 1u; // odd: keeps neighbours off one bank

#define me() gl_LocalInvocationID.x
#define me_m() (me() / THREADS_N)
#define me_n() (me() % THREADS_N)
// Rows come in turn: neighbours have neighbours.
#define own_row(i) ((i) * THREADS_M + me_m())
#define met_row(j) ((j) * THREADS_N + me_n())
#define load_row(i) ((i) * THREADS_M + me_m()) // of the met side
#define slice_col(slice) ((slice) * SLICE + me_n() * 4u)

shared vec4 own_slice[OWN * PITCH], met_slice[MET * PITCH];
shared vec4 weights[OWN * PITCH_W]; // [own, met]
vec4 next_own[TM], next_met[LOADS_MET];

// Four columns of the row at `at`; 0 behind its end.
#define FETCHER(name)                                                                             \
    vec4 fetch_##name(uint at, uint c)                                                            \
    {                                                                                             \
        vec4 x_ = vec4(0.0);                                                                      \
        if (FOURS != 0u) {                                                                        \
            if (c < p.d)                                                                          \
                x_ = FOUR(name##4[(at + c) >> 2]);                                                \
            return x_;                                                                            \
        }                                                                                         \
        [[unroll]] for (uint e = 0u; e < 4u; e++)                                                 \
            if (c + e < p.d)                                                                      \
                x_[e] = LD(name, at + c + e);                                                     \
        return x_;                                                                                \
    }

// What is next: own rows, of which `at` has the addresses; met rows from `first` on, at what at()
// gives for them. Those from `end` on are not read: what lies there may be no numbers.
#define FETCH_OWN(name, at, slice)                                                                \
    [[unroll]] for (uint i = 0u; i < TM; i++)                                                     \
        next_own[i] = fetch_##name(at[i], slice_col(slice));
#define FETCH_MET(name, at, b, h, first, end, slice)                                              \
    [[unroll]] for (uint i = 0u; i < LOADS_MET; i++) {                                            \
        next_met[i] = vec4(0.0);                                                                  \
        if ((first) + load_row(i) < (end))                                                        \
            next_met[i] = fetch_##name(at(b, h, (first) + load_row(i)), slice_col(slice));        \
    }

void keep_own()
{
    [[unroll]] for (uint i = 0u; i < TM; i++)
        own_slice[own_row(i) * PITCH + me_n()] = next_own[i];
}

void keep_met()
{
    [[unroll]] for (uint i = 0u; i < LOADS_MET; i++)
        met_slice[load_row(i) * PITCH + me_n()] = next_met[i];
}

// s += own rows times met rows, in the columns of a slice.
#define ADD_PRODUCTS(s)                                                                           \
    [[dont_unroll]] for (uint c = 0u; c < THREADS_N; c++) {                                       \
        vec4 a_[TM], b_[TN];                                                                      \
        [[unroll]] for (uint i = 0u; i < TM; i++)                                                 \
            a_[i] = own_slice[own_row(i) * PITCH + c];                                            \
        [[unroll]] for (uint j = 0u; j < TN; j++)                                                 \
            b_[j] = met_slice[met_row(j) * PITCH + c];                                            \
        [[unroll]] for (uint i = 0u; i < TM; i++)                                                 \
            [[unroll]] for (uint j = 0u; j < TN; j++)                                             \
                [[unroll]] for (uint e = 0u; e < 4u; e++)                                         \
                    s[i * TN + j] = fma(a_[i][e], b_[j][e], s[i * TN + j]);                       \
    }

// sum[slice] += weights times met rows.
#define ADD_MET(sum, slice)                                                                       \
    [[dont_unroll]] for (uint m = 0u; m < MET / 4u; m++) {                                        \
        vec4 w_[TM], b_[4];                                                                       \
        [[unroll]] for (uint i = 0u; i < TM; i++)                                                 \
            w_[i] = weights[own_row(i) * PITCH_W + m];                                            \
        [[unroll]] for (uint e = 0u; e < 4u; e++)                                                 \
            b_[e] = met_slice[(m * 4u + e) * PITCH + me_n()];                                     \
        [[unroll]] for (uint i = 0u; i < TM; i++)                                                 \
            [[unroll]] for (uint e = 0u; e < 4u; e++)                                             \
                sum[(slice) * TM + i] = fma(vec4(w_[i][e]), b_[e], sum[(slice) * TM + i]);        \
    }

void put_weight(uint i, uint j, float v)
{
    weights[own_row(i) * PITCH_W + met_row(j) / 4u][met_row(j) & 3u] = v;
}

#define CLEAR(s)                                                                                  \
    [[unroll]] for (uint t = 0u; t < TM * TN; t++)                                                \
        s[t] = 0.0;
#define PUT_WEIGHTS(s, factor)                                                                    \
    [[unroll]] for (uint i = 0u; i < TM; i++)                                                     \
        [[unroll]] for (uint j = 0u; j < TN; j++)                                                 \
            put_weight(i, j, s[i * TN + j] * (factor));
// Element of a result's row i; for loops that store it.
#define EACH_OWN(i, slice, e)                                                                     \
    [[unroll]] for (uint i = 0u; i < TM; i++)                                                     \
        [[unroll]] for (uint slice = 0u; slice < SLICES; slice++)                                 \
            [[unroll]] for (uint e = 0u; e < 4u; e++)

#endif
