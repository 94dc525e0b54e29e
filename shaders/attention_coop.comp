// attention by cooperative matrices (the paper's algorithm 1). What the result so far is to be
// multiplied by comes from shared memory as a matrix. A weight is two f16, itself and what its rounding
// left: one alone is wrong by more than the operator may be where values cancel.
// types: f16
#version 460
#extension GL_GOOGLE_include_directive : require
#extension GL_EXT_control_flow_attributes : require
#pragma use_vulkan_memory_model
#include "attention_coop.glsl"

layout(constant_id = 10) const uint PART = 0; // keys of a part; 0: all, the result is complete

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

EIGHT_OF(q)
EIGHT_OF(k)
EIGHT_OF(v)

const uint PITCH_W = MET / 8u + 1u; // of weights, in eights
// Rows and their scores, shared out: a thread has EACH rows, SHARE scores of each.
const uint EACH = OWN > SIZE ? OWN / SIZE : 1u, SPLIT = SIZE > OWN ? SIZE / OWN : 1u;
const uint SHARE = MET / SPLIT;
#define soft_row(t) (me() % OWN + (t) * SIZE)
#define soft_share() (me() / OWN)

shared uvec4 all_q[OWN * PITCH], slice[MET * PITCH]; // queries; keys or values
shared vec4 score[OWN * PITCH_S];
shared uvec4 weights[2u * OWN * PITCH_W]; // rounded, then what is left
shared float part_of[OWN * SPLIT], keep_of[OWN];
uvec4 next[LOADS];
SUMS own_y[FRAGS_M * FRAGS_D];
float most[EACH], sum[EACH];
uint limit[EACH];

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

void add_values()
{
    [[unroll]] for (uint i = 0u; i < FRAGS_M; i++) {
        const uint row = my_row() + i * MAT_M;
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

void put(uint r, uint c, float sum, uint head, uint first, uint n_rows, uint parts, uint part)
{
    const uint b = head / p.kv_heads, h0 = head % p.kv_heads * (p.heads / p.kv_heads);
    const uint row = first + r;

    if (row >= n_rows || c >= p.d)
        return;
    if (PART == 0u)
        ST(y, query_at(b, h0 + row / p.tq, row % p.tq) + c, sum * keep_of[r]);
    else
        sums[((head * n_rows + row) * parts + part) * p.d + c] = sum * keep_of[r];
}
#define PUT(r, c, sum) put(r, c, sum, head, first, n_rows, parts, part)

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

    // The last key that any of the rows sees: where they go on in the next head, that of its end.
    uint end = key_limit(min(first % p.tq + OWN, p.tq) - 1u, n);
    if (PART != 0u)
        end = min(end, (part + 1u) * PART);

    start(b, h0, first, n_rows, n, end);
    FETCH(next, k, key_at, b, h0, part * PART, end)
    for (uint j = part * PART; j < end; j += MET) {
        KEEP(slice, next)
        barrier();
        FETCH(next, v, key_at, b, h0, j, end)
        FIND_PRODUCTS(score, all_q, slice)
        barrier();
        KEEP(slice, next)
        soften(j);
        barrier();
        if (j + MET < end)
            FETCH(next, k, key_at, b, h0, j + MET, end)
        add_values();
        barrier();
    }
    finish(head, first, n_rows, parts, part);
    STORE(own_y, score, PUT)
}
