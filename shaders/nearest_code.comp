// nearest_code: a thread takes TILE rows through one part of the codes, keeping the best two scores
// of each; nothing is shared.
#version 460
#extension GL_GOOGLE_include_directive : require
#extension GL_EXT_control_flow_attributes : require
#include "common.glsl"
#include "push.h"

layout(push_constant) uniform Push { nearest_code_push p; };
layout(constant_id = 1) const uint TILE = 8;
IN(0, x);       // [rows, d]
IN(1, codes);   // [k, d]
OUTI(2, found); // [n_parts, rows, 4]: best, second, and the bits of their scores; -1: none

uint at_x[TILE], at_c[TILE];
float s[TILE * TILE], best[TILE], second[TILE];
int best_at[TILE], second_at[TILE];

// s = x.c - |c|^2 / 2 of a tile.
void scores()
{
    float norm[TILE];
    [[unroll]] for (uint t = 0u; t < TILE * TILE; t++)
        s[t] = 0.0;
    [[unroll]] for (uint t = 0u; t < TILE; t++)
        norm[t] = 0.0;
    for (uint i = 0u; i < p.d; i++) {
        float vx[TILE], vc[TILE];
        [[unroll]] for (uint t = 0u; t < TILE; t++) {
            vx[t] = LD(x, at_x[t] + i);
            vc[t] = LD(codes, at_c[t] + i);
            norm[t] = fma(vc[t], vc[t], norm[t]);
        }
        [[unroll]] for (uint r = 0u; r < TILE; r++)
            [[unroll]] for (uint t = 0u; t < TILE; t++)
                s[r * TILE + t] = fma(vx[r], vc[t], s[r * TILE + t]);
    }
    [[unroll]] for (uint t = 0u; t < TILE * TILE; t++)
        s[t] -= 0.5 * norm[t % TILE];
}

void consider(uint r, float score, int code)
{
    if (best_at[r] < 0 || score > best[r]) {
        second[r] = best[r];
        second_at[r] = best_at[r];
        best[r] = score;
        best_at[r] = code;
    } else if (second_at[r] < 0 || score > second[r]) {
        second[r] = score;
        second_at[r] = code;
    }
}

void main()
{
    HN_GROUP_GUARD;
    const uint me = thread_index(), tiles = (p.rows + TILE - 1u) / TILE, part = me / tiles;
    if (part >= p.n_parts)
        return;
    const uint first = me % tiles * TILE, end = min((part + 1u) * p.per_part, p.k);

    [[unroll]] for (uint r = 0u; r < TILE; r++) {
        at_x[r] = min(first + r, p.rows - 1u) * p.d;
        best_at[r] = second_at[r] = -1;
        best[r] = second[r] = 0.0;
    }
    for (uint c = part * p.per_part; c < end; c += TILE) {
        [[unroll]] for (uint t = 0u; t < TILE; t++)
            at_c[t] = min(c + t, p.k - 1u) * p.d;
        scores();
        [[unroll]] for (uint t = 0u; t < TILE; t++)
            [[unroll]] for (uint r = 0u; r < TILE; r++)
                if (c + t < end)
                    consider(r, s[r * TILE + t], int(c + t));
    }
    [[unroll]] for (uint r = 0u; r < TILE; r++)
        if (first + r < p.rows) {
            const uint at = (part * p.rows + first + r) * 4u;
            found[at] = best_at[r];
            found[at + 1u] = second_at[r];
            found[at + 2u] = floatBitsToInt(best[r]);
            found[at + 3u] = floatBitsToInt(second[r]);
        }
}
