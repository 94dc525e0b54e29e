// attention_grad by cooperative matrices, first: delta, then dq; own rows are those that use a key
// head, as in attention_tile.
// types: f16
#version 460
#extension GL_GOOGLE_include_directive : require
#extension GL_EXT_control_flow_attributes : require
#pragma use_vulkan_memory_model
#include "attention_grad_coop.glsl"

OUT(8, dq);
INF(9, dlse); // like lse, where p.has_dlse
layout(binding = 3) readonly buffer InY8 { uvec4 y8[]; };
EIGHT_OF(y)

shared uvec4 of_row[OWN]; // bits of lse, delta, what ds is multiplied by; how many keys are seen
shared float undo[OWN];   // what dq is multiplied by
SUMS own_dq[FRAGS_M * FRAGS_D];

float dot8(uvec4 a, uvec4 b)
{
    float sum = 0.0;
    [[unroll]] for (uint e = 0u; e < 4u; e++)
        sum += dot(unpackHalf2x16(a[e]), unpackHalf2x16(b[e]));
    return sum;
}

// Of a row: sums of dy y and of dy dy lie in eights where scores will be.
void find_row(uint r, uint row, bool is_there, uint limit)
{
    float less = p.has_dlse != 0u ? -dlse[row] : 0.0, norm = 0.0;

    for (uint g = 0u; g < GROUPS; g++) {
        less += uintBitsToFloat(score[r * PITCH_S + g / 4u][g & 3u]);
        norm += uintBitsToFloat(score_dp[r * PITCH_S + g / 4u][g & 3u]);
    }
    norm = max(sqrt(norm), abs(less));
    of_row[r] = uvec4(floatBitsToUint(lse[row]), floatBitsToUint(less),
                      floatBitsToUint(p.scale * power_of(norm)), limit);
    undo[r] = 1.0 / power_of(norm);
    if (is_there) {
        delta[2u * row] = less;
        delta[2u * row + 1u] = norm;
    }
}

void start(uint b, uint h0, uint first, uint n_rows, int n)
{
    for (uint at = me(); at < OWN * GROUPS; at += SIZE) {
        const uint r = at / GROUPS, g = at % GROUPS, row = min(first + r, n_rows - 1u);
        const uint from = query_at(b, h0 + row / p.tq, row % p.tq);
        const uvec4 eight = eight_dy(from, 8u * g);
        own_s[r * PITCH + g] = eight_q(from, 8u * g);
        own_dp[r * PITCH + g] = eight;
        score[r * PITCH_S + g / 4u][g & 3u] = floatBitsToUint(dot8(eight, eight_y(from, 8u * g)));
        score_dp[r * PITCH_S + g / 4u][g & 3u] = floatBitsToUint(dot8(eight, eight));
    }
    barrier();
    for (uint r = me(); r < OWN; r += SIZE) {
        const uint row = min(first + r, n_rows - 1u);
        find_row(r, (b * p.heads + h0) * p.tq + row, first + r < n_rows, key_limit(row % p.tq, n));
    }
    barrier();
    [[unroll]] for (uint t = 0u; t < FRAGS_M * FRAGS_D; t++)
        own_dq[t] = SUMS(0.0);
}

// Scores of the keys from j on become ds.
void weigh(uint j)
{
    EACH_SHARE(r, c) {
        const uint at = r * PITCH_S + c / 4u;
        const uvec4 row = of_row[r];
        const vec3 of = uintBitsToFloat(row.xyz);
        uvec4 ds[EIGHTS_K], left[EIGHTS_K];
        [[unroll]] for (uint e = 0u; e < EIGHTS_K; e++) {
            vec4 v[2];
            [[unroll]] for (uint t = 0u; t < 2u; t++) {
                const uint i = at + 2u * e + t;
                const bvec4 is_seen =
                    lessThan(j + c + 8u * e + 4u * t + uvec4(0u, 1u, 2u, 3u), row.wwww);
                const vec4 w = exp(uintBitsToFloat(score[i]) * p.scale - of.x);
                v[t] = mix(vec4(0.0), w * (uintBitsToFloat(score_dp[i]) - of.y) * of.z, is_seen);
            }
            ds[e] = halves(v[0], v[1]);
            left[e] = left_of(v[0], v[1], ds[e]);
        }
        PUT_HALVES(score, at, ds, left)
    }
}

void put(uint r, uint c, float sum, uint b, uint h0, uint first, uint n_rows)
{
    const uint row = first + r;
    if (row < n_rows && c < p.d)
        ST(dq, query_at(b, h0 + row / p.tq, row % p.tq) + c, sum * undo[r]);
}
#define PUT(r, c, bits) put(r, c, uintBitsToFloat(bits), b, h0, first, n_rows)

void main()
{
    HN_GROUP_GUARD;
    const uint group = p.heads / p.kv_heads, n_rows = group * p.tq;
    const uint tiles = (n_rows + OWN - 1u) / OWN, head = group_index() / tiles;
    const uint first = (tiles - 1u - group_index() % tiles) * OWN; // the longest first
    const uint b = head / p.kv_heads, h0 = head % p.kv_heads * group;
    const int n = p.has_n_keys != 0u ? n_keys[b] : int(p.tk);
    // The last key that any of the rows sees: where they go on in the next head, that of its end.
    const uint end = key_limit(min(first % p.tq + OWN, p.tq) - 1u, n);

    FETCH(next_s, k, key_at, b, h0, 0u, end)
    FETCH(next_dp, v, key_at, b, h0, 0u, end)
    start(b, h0, first, n_rows, n);
    for (uint j = 0u; j < end; j += MET) {
        KEEP(met_s, next_s)
        KEEP(met_dp, next_dp)
        barrier();
        if (j + MET < end) {
            FETCH(next_s, k, key_at, b, h0, j + MET, end)
            FETCH(next_dp, v, key_at, b, h0, j + MET, end)
        }
        FIND_PRODUCTS(score, own_s, met_s)
        FIND_PRODUCTS(score_dp, own_dp, met_dp)
        wait_for_subgroup();
        weigh(j);
        wait_for_subgroup();
        ADD_MET(own_dq, score, met_s)
        barrier();
    }
    STORE(own_dq, score, PUT)
}
