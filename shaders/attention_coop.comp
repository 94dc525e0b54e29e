// attention by cooperative matrices: f16, all sums in f32 (Dao 2023, arXiv 2307.08691, algorithm 1).
// As in attention_tile a workgroup owns OWN rows of a key head and meets MET keys at a time; here each
// of its WARPS subgroups has whole rows, as matrices of MAT_M. Where an element lies in a matrix only
// a load or a store tells: scores go by shared memory to become weights, and what the result so far
// is to be multiplied by comes from there as a matrix. A weight is two f16, itself and what its
// rounding left: one alone is wrong by more than the operator may be where values cancel.
// types: f16
#version 460
#extension GL_GOOGLE_include_directive : require
#extension GL_EXT_control_flow_attributes : require
#extension GL_KHR_shader_subgroup_basic : require
#extension GL_KHR_memory_scope_semantics : require
#extension GL_KHR_cooperative_matrix : require
#extension GL_EXT_shader_explicit_arithmetic_types_float16 : require
#pragma use_vulkan_memory_model
#include "attention.glsl"

layout(constant_id = 2) const uint OWN = 64;
layout(constant_id = 3) const uint MET = 32;
layout(constant_id = 4) const uint WARPS = 4;
layout(constant_id = 5) const uint MAT_M = 16; // a size that the device lists
layout(constant_id = 6) const uint MAT_N = 16;
layout(constant_id = 7) const uint MAT_K = 16;
layout(constant_id = 8) const uint WIDTH = 64; // p.d, rounded up to whole matrices
layout(constant_id = 9) const uint EIGHTS = 1; // whether p.d is a multiple of 8
layout(constant_id = 10) const uint PART = 0;  // keys of a part; 0: all, the result is complete

IN(0, q);       // [batch, tq, heads, d]
IN(1, k);       // [batch, tk, kv_heads, d]
IN(2, v);       // like k
INI(3, n_keys); // [batch], where p.has_n_keys
OUT(4, y);      // like q
OUTF(5, lse);   // [batch, heads, tq]; of parts [batch, kv_heads, rows, parts, 2]: maximum, sum
OUTF(6, sums);  // of parts [batch, kv_heads, rows, parts, d]
layout(binding = 0) readonly buffer InQ8 { uvec4 q8[]; }; // the same memory, in eights
layout(binding = 1) readonly buffer InK8 { uvec4 k8[]; };
layout(binding = 2) readonly buffer InV8 { uvec4 v8[]; };

#define me() gl_LocalInvocationID.x
const uint SIZE = gl_WorkGroupSize.x;
const uint GROUPS = WIDTH / 8u, LOADS = (MET * GROUPS + SIZE - 1u) / SIZE;
const uint PITCH = GROUPS + 1u;      // of rows in eights
const uint PITCH_S = MET / 4u + 1u;  // of scores, in fours
const uint PITCH_W = MET / 8u + 1u;  // of weights, in eights
const uint FRAGS_M = OWN / WARPS / MAT_M, FRAGS_N = MET / MAT_N, FRAGS_D = WIDTH / MAT_N;
// Rows and their scores, shared out: a thread has EACH rows, SHARE scores of each.
const uint EACH = OWN > SIZE ? OWN / SIZE : 1u, SPLIT = SIZE > OWN ? SIZE / OWN : 1u;
const uint SHARE = MET / SPLIT;
#define soft_row(t) (me() % OWN + (t) * SIZE)
#define soft_share() (me() / OWN)

#define MATRIX(rows, cols, use) coopmat<float16_t, gl_ScopeSubgroup, rows, cols, gl_MatrixUse##use>
#define SUMS coopmat<float, gl_ScopeSubgroup, MAT_M, MAT_N, gl_MatrixUseAccumulator>
#define ROWS gl_CooperativeMatrixLayoutRowMajor
#define COLS gl_CooperativeMatrixLayoutColumnMajor

shared uvec4 all_q[OWN * PITCH], slice[MET * PITCH]; // queries; keys or values
shared vec4 score[OWN * PITCH_S];
shared uvec4 weights[2u * OWN * PITCH_W]; // rounded, then what is left
shared float part_of[OWN * SPLIT], keep_of[OWN];
uvec4 next[LOADS];
SUMS own_y[FRAGS_M * FRAGS_D];
float most[EACH], sum[EACH];
uint limit[EACH];

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
EIGHT_OF(q)
EIGHT_OF(k)
EIGHT_OF(v)

// Keys from `end` on are not read: what lies there may be no numbers.
#define FETCH(name, b, h0, j, end)                                                                \
    [[unroll]] for (uint i = 0u; i < LOADS; i++) {                                                \
        const uint at = me() + i * SIZE, row = at / GROUPS, c = at % GROUPS * 8u;                 \
        next[i] = uvec4(0u);                                                                      \
        if (row < MET && (j) + row < (end))                                                       \
            next[i] = eight_##name(key_at(b, h0, (j) + row), c);                                  \
    }

void keep()
{
    [[unroll]] for (uint i = 0u; i < LOADS; i++) {
        const uint at = me() + i * SIZE;
        if (at < MET * GROUPS)
            slice[at / GROUPS * PITCH + at % GROUPS] = next[i];
    }
}

void start(uint b, uint h0, uint first, uint n_rows, int n, uint end)
{
    for (uint at = me(); at < OWN * GROUPS; at += SIZE) {
        const uint row = min(first + at / GROUPS, n_rows - 1u);
        all_q[at / GROUPS * PITCH + at % GROUPS] =
            eight_q(query_at(b, h0 + row / p.tq, row % p.tq), at % GROUPS * 8u);
    }
    [[unroll]] for (uint t = 0u; t < EACH; t++) {
        limit[t] = min(key_limit(min(first + soft_row(t), n_rows - 1u) % p.tq, n), end);
        most[t] = -3.402823466e38;
        sum[t] = 0.0;
    }
    [[unroll]] for (uint t = 0u; t < FRAGS_M * FRAGS_D; t++)
        own_y[t] = SUMS(0.0);
}

void find_scores(uint my_row)
{
    [[dont_unroll]] for (uint i = 0u; i < FRAGS_M; i++) {
        const uint row = my_row + i * MAT_M;
        SUMS s[FRAGS_N];
        [[unroll]] for (uint j = 0u; j < FRAGS_N; j++)
            s[j] = SUMS(0.0);
        [[dont_unroll]] for (uint c = 0u; c < WIDTH; c += MAT_K) {
            MATRIX(MAT_M, MAT_K, A) mq;
            coopMatLoad(mq, all_q, row * PITCH + c / 8u, PITCH, ROWS);
            [[unroll]] for (uint j = 0u; j < FRAGS_N; j++) {
                MATRIX(MAT_K, MAT_N, B) mk;
                coopMatLoad(mk, slice, j * MAT_N * PITCH + c / 8u, PITCH, COLS);
                s[j] = coopMatMulAdd(mq, mk, s[j]);
            }
        }
        [[unroll]] for (uint j = 0u; j < FRAGS_N; j++)
            coopMatStore(s[j], score, row * PITCH_S + j * MAT_N / 4u, PITCH_S, ROWS);
    }
}

// A share of a row's scores becomes weights; what the result so far is to be multiplied by takes the
// place of the first MAT_N of them.
void soften_share(uint t, uint j, float top)
{
    const uint from = soft_row(t) * PITCH_S, to = soft_row(t) * PITCH_W;
    const uint begin = soft_share() * SHARE;
    const float less = exp(most[t] - top);

    sum[t] *= less;
    [[dont_unroll]] for (uint c = begin; c < begin + SHARE; c += 8u) {
        uvec4 w, left;
        [[unroll]] for (uint e = 0u; e < 4u; e++) {
            const uint at = c + 2u * e;
            const vec4 four = score[from + at / 4u];
            const vec2 two = ((e & 1u) == 0u ? four.xy : four.zw) * p.scale - top;
            const vec2 both = vec2(j + at < limit[t] ? exp(two.x) : 0.0,
                                   j + at + 1u < limit[t] ? exp(two.y) : 0.0);
            w[e] = packHalf2x16(both);
            left[e] = packHalf2x16(both - unpackHalf2x16(w[e]));
            sum[t] += both.x + both.y;
        }
        weights[to + c / 8u] = w;
        weights[OWN * PITCH_W + to + c / 8u] = left;
        if (c < MAT_N) {
            score[from + c / 4u] = vec4(less);
            score[from + c / 4u + 1u] = vec4(less);
        }
    }
    most[t] = top;
}

void soften(uint j)
{
    const uint begin = soft_share() * SHARE;
    float top[EACH];
    [[unroll]] for (uint t = 0u; t < EACH; t++) {
        const uint from = soft_row(t) * PITCH_S;
        top[t] = most[t];
        [[dont_unroll]] for (uint c = begin; c < begin + SHARE; c += 4u) {
            const vec4 four = score[from + c / 4u] * p.scale;
            [[unroll]] for (uint e = 0u; e < 4u; e++)
                top[t] = j + c + e < limit[t] ? max(top[t], four[e]) : top[t];
        }
    }
    if (SPLIT > 1u) {
        part_of[me()] = top[0];
        barrier();
        [[unroll]] for (uint i = 0u; i < SPLIT; i++)
            top[0] = max(top[0], part_of[i * OWN + me() % OWN]);
    }
    [[unroll]] for (uint t = 0u; t < EACH; t++)
        soften_share(t, j, top[t]);
}

void add_values(uint my_row)
{
    [[unroll]] for (uint i = 0u; i < FRAGS_M; i++) {
        const uint row = my_row + i * MAT_M;
        SUMS less;
        coopMatLoad(less, score, row * PITCH_S, PITCH_S, ROWS);
        [[unroll]] for (uint c = 0u; c < FRAGS_D; c++)
            own_y[i * FRAGS_D + c] *= less;
        [[dont_unroll]] for (uint j = 0u; j < MET; j += MAT_K) {
            MATRIX(MAT_M, MAT_K, A) mw;
            MATRIX(MAT_M, MAT_K, A) left; // by itself: glslang 13.1 forgets the use of a second one
            coopMatLoad(mw, weights, row * PITCH_W + j / 8u, PITCH_W, ROWS);
            coopMatLoad(left, weights, (OWN + row) * PITCH_W + j / 8u, PITCH_W, ROWS);
            [[unroll]] for (uint c = 0u; c < FRAGS_D; c++) {
                MATRIX(MAT_K, MAT_N, B) mv;
                coopMatLoad(mv, slice, j * PITCH + c * MAT_N / 8u, PITCH, ROWS);
                own_y[i * FRAGS_D + c] = coopMatMulAdd(mw, mv, own_y[i * FRAGS_D + c]);
                own_y[i * FRAGS_D + c] = coopMatMulAdd(left, mv, own_y[i * FRAGS_D + c]);
            }
        }
    }
}

// Sums of rows; keep_of becomes what the result is to be multiplied by.
void finish(uint head, uint first, uint n_rows, uint parts, uint part)
{
    if (SPLIT > 1u) {
        part_of[me()] = sum[0];
        barrier();
        sum[0] = 0.0;
        [[unroll]] for (uint i = 0u; i < SPLIT; i++)
            sum[0] += part_of[i * OWN + me() % OWN];
    }
    [[unroll]] for (uint t = 0u; t < EACH; t++) {
        const uint row = head * n_rows + first + soft_row(t), at = (row * parts + part) * 2u;
        const bool is_mine = soft_share() == 0u && first + soft_row(t) < n_rows;
        if (soft_share() == 0u)
            keep_of[soft_row(t)] = PART != 0u ? 1.0 : sum[t] > 0.0 ? 1.0 / sum[t] : 0.0;
        if (is_mine && PART != 0u) {
            lse[at] = most[t];
            lse[at + 1u] = sum[t];
        } else if (is_mine) {
            lse[row] = sum[t] > 0.0 ? most[t] + log(sum[t]) : 0.0;
        }
    }
    barrier();
}

void wait_for_subgroup()
{
    controlBarrier(gl_ScopeSubgroup, gl_ScopeSubgroup, gl_StorageSemanticsShared,
                   gl_SemanticsAcquireRelease);
}

// Each matrix of the result goes by the subgroup's own rows of `score`.
void store(uint my_row, uint head, uint first, uint n_rows, uint parts, uint part)
{
    const uint b = head / p.kv_heads, h0 = head % p.kv_heads * (p.heads / p.kv_heads);
    [[unroll]] for (uint i = 0u; i < FRAGS_M; i++)
        [[unroll]] for (uint f = 0u; f < FRAGS_D; f++) {
            const uint at = (my_row + i * MAT_M) * PITCH_S;
            coopMatStore(own_y[i * FRAGS_D + f], score, at, PITCH_S, ROWS);
            wait_for_subgroup();
            for (uint e = gl_SubgroupInvocationID; e < MAT_M * MAT_N; e += gl_SubgroupSize) {
                const uint r = my_row + i * MAT_M + e / MAT_N, col = e % MAT_N;
                const uint row = first + r, c = f * MAT_N + col;
                const float value = score[r * PITCH_S + col / 4u][col & 3u] * keep_of[r];
                if (row < n_rows && c < p.d) {
                    if (PART == 0u)
                        ST(y, query_at(b, h0 + row / p.tq, row % p.tq) + c, value);
                    else
                        sums[((head * n_rows + row) * parts + part) * p.d + c] = value;
                }
            }
            wait_for_subgroup();
        }
}

void main()
{
    HN_GROUP_GUARD;
    const uint parts = PART == 0u ? 1u : (p.tk + PART - 1u) / PART, group = p.heads / p.kv_heads;
    const uint n_rows = group * p.tq, tiles = (n_rows + OWN - 1u) / OWN;
    const uint part = group_index() % parts, head = group_index() / parts / tiles;
    // Where it is causal, the longest come first.
    const uint first = (tiles - 1u - group_index() / parts % tiles) * OWN;
    const uint b = head / p.kv_heads, h0 = head % p.kv_heads * group;
    const int n = p.has_n_keys != 0u ? n_keys[b] : int(p.tk);
    const uint my_row = gl_SubgroupID * (OWN / WARPS);

    // The last key that any of the rows sees: where they go on in the next head, that of its end.
    uint end = key_limit(min(first % p.tq + OWN, p.tq) - 1u, n);
    if (PART != 0u)
        end = min(end, (part + 1u) * PART);

    start(b, h0, first, n_rows, n, end);
    FETCH(k, b, h0, part * PART, end)
    for (uint j = part * PART; j < end; j += MET) {
        keep();
        barrier();
        FETCH(v, b, h0, j, end)
        find_scores(my_row);
        barrier();
        keep();
        soften(j);
        barrier();
        if (j + MET < end)
            FETCH(k, b, h0, j + MET, end)
        add_values(my_row);
        barrier();
    }
    finish(head, first, n_rows, parts, part);
    store(my_row, head, first, n_rows, parts, part);
}
