// attention_grad by cooperative matrices, second: dk and dv over all query heads that use a key head;
// own rows are keys, met rows the queries of a head. One power of two serves all of ds, as a key's
// sums are over queries: that of the largest norm among them.
// types: f16
#version 460
#extension GL_GOOGLE_include_directive : require
#extension GL_EXT_control_flow_attributes : require
#pragma use_vulkan_memory_model
#include "attention_grad_coop.glsl"

OUT(8, dk);
OUT(9, dv);

const uint LOADS_ROW = (MET + SIZE - 1u) / SIZE;

shared vec4 shift_of[MET / 4u], less_of[MET / 4u]; // lse and delta of met rows
shared uvec4 limit_of[MET / 4u];                   // keys that they see
SUMS own_dk[FRAGS_M * FRAGS_D];
SUMS own_dv[FRAGS_M * FRAGS_D];
vec2 next_row[LOADS_ROW];

// The power for the queries from `begin` on of all heads of the group.
float common_power(uint b, uint h0, uint begin)
{
    float norm = 0.0;

    for (uint h = h0; h < h0 + p.heads / p.kv_heads; h++)
        for (uint i = begin + me(); i < p.tq; i += SIZE)
            norm = max(norm, delta[2u * ((b * p.heads + h) * p.tq + i) + 1u]);
    score[me() / 4u][me() & 3u] = floatBitsToUint(norm);
    barrier();
    for (uint t = 0u; t < SIZE; t++)
        norm = max(norm, uintBitsToFloat(score[t / 4u][t & 3u]));
    barrier();
    return power_of(norm);
}

void start(uint b, uint h0, uint first)
{
    for (uint at = me(); at < OWN * GROUPS; at += SIZE) {
        const uint r = at / GROUPS, g = at % GROUPS, from = key_at(b, h0, first + r);
        own_s[r * PITCH + g] = eight_k(from, 8u * g);
        own_dp[r * PITCH + g] = eight_v(from, 8u * g);
    }
    [[unroll]] for (uint t = 0u; t < FRAGS_M * FRAGS_D; t++) {
        own_dk[t] = SUMS(0.0);
        own_dv[t] = SUMS(0.0);
    }
}

void fetch(uint b, uint h, uint i0)
{
    FETCH(next_s, q, query_at, b, h, i0, p.tq)
    FETCH(next_dp, dy, query_at, b, h, i0, p.tq)
    [[unroll]] for (uint t = 0u; t < LOADS_ROW; t++) {
        const uint row = (b * p.heads + h) * p.tq + min(i0 + me() + t * SIZE, p.tq - 1u);
        next_row[t] = vec2(lse[row], delta[2u * row]);
    }
}

void keep(uint i0, int n)
{
    KEEP(met_s, next_s)
    KEEP(met_dp, next_dp)
    [[unroll]] for (uint t = 0u; t < LOADS_ROW; t++) {
        const uint r = me() + t * SIZE, i = i0 + r;
        if (r < MET) {
            shift_of[r / 4u][r & 3u] = next_row[t].x;
            less_of[r / 4u][r & 3u] = next_row[t].y;
            limit_of[r / 4u][r & 3u] = i < p.tq ? key_limit(i, n) : 0u;
        }
    }
}

// Scores become weights, dp becomes ds.
void weigh(uint first, float factor)
{
    EACH_SHARE(r, c) {
        const uint at = r * PITCH_S + c / 4u;
        uvec4 w[EIGHTS_K], w_left[EIGHTS_K], ds[EIGHTS_K], ds_left[EIGHTS_K];
        [[unroll]] for (uint e = 0u; e < EIGHTS_K; e++) {
            vec4 v[2], dv[2];
            [[unroll]] for (uint t = 0u; t < 2u; t++) {
                const uint i = at + 2u * e + t, met = c / 4u + 2u * e + t;
                const bvec4 is_seen = lessThan(uvec4(first + r), limit_of[met]);
                v[t] = mix(vec4(0.0), exp(uintBitsToFloat(score[i]) * p.scale - shift_of[met]),
                           is_seen);
                dv[t] = mix(vec4(0.0),
                            v[t] * (uintBitsToFloat(score_dp[i]) - less_of[met]) * factor, is_seen);
                v[t] *= WEIGHT_SCALE;
            }
            w[e] = halves(v[0], v[1]);
            w_left[e] = left_of(v[0], v[1], w[e]);
            ds[e] = halves(dv[0], dv[1]);
            ds_left[e] = left_of(dv[0], dv[1], ds[e]);
        }
        PUT_HALVES(score, at, w, w_left)
        PUT_HALVES(score_dp, at, ds, ds_left)
    }
}

#define PUT(name, r, c, value)                                                                    \
    if (first + (r) < p.tk && (c) < p.d)                                                          \
        ST(name, key_at(b, h0, first + (r)) + (c), value)
#define PUT_DK(r, c, bits) PUT(dk, r, c, uintBitsToFloat(bits) / power)
#define PUT_DV(r, c, bits) PUT(dv, r, c, uintBitsToFloat(bits) / WEIGHT_SCALE)

void main()
{
    HN_GROUP_GUARD;
    const uint tiles = (p.tk + OWN - 1u) / OWN, head = group_index() / tiles;
    const uint first = group_index() % tiles * OWN, b = head / p.kv_heads;
    const uint group = p.heads / p.kv_heads, h0 = head % p.kv_heads * group;
    const int n = p.has_n_keys != 0u ? n_keys[b] : int(p.tk);
    const uint begin = first_query(first, n); // of any head; p.tq where none sees the keys

    fetch(b, h0, begin);
    start(b, h0, first);
    const float power = common_power(b, h0, begin);
    for (uint h = h0; h < h0 + group; h++)
        for (uint i0 = begin; i0 < p.tq; i0 += MET) {
            keep(i0, n);
            barrier();
            if (i0 + MET < p.tq)
                fetch(b, h, i0 + MET);
            else if (h + 1u < h0 + group)
                fetch(b, h + 1u, begin);
            FIND_PRODUCTS(score, own_s, met_s)
            FIND_PRODUCTS(score_dp, own_dp, met_dp)
            wait_for_subgroup();
            weigh(first, p.scale * power);
            wait_for_subgroup();
            ADD_MET(own_dv, score, met_dp)
            ADD_MET(own_dk, score_dp, met_s)
            barrier();
        }
    STORE(own_dk, score, PUT_DK)
    STORE(own_dv, score, PUT_DV)
}
