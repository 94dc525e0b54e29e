// uniform and normal: a thread fills the four elements of a Philox block.
#version 460
#extension GL_GOOGLE_include_directive : require
#include "common.glsl"
#include "philox.glsl"
#include "push.h"

layout(constant_id = 1) const bool NORMAL = false;
layout(push_constant) uniform Push { draw_push p; };
INI(0, key); // [2]
OUT(1, y);   // [n]

// Natural logarithm of k / 2^24, k in 1 .. 2^24: near 1 the log of the driver may be off by 2^-21,
// which is all of it. With m in [sqrt(1/2), sqrt 2), ln m = 2 atanh((m - 1) / (m + 1)).
float log_ratio(uint k)
{
    const int bits = floatBitsToInt(float(k)), e = (bits - 0x3f3504f3) >> 23;
    const float f = intBitsToFloat(bits - (e << 23)) - 1.0, s = f / (2.0 + f), z = s * s;
    const float series = z * (1.0 / 3.0 + z * (1.0 / 5.0 + z * (1.0 / 7.0 + z * (1.0 / 9.0))));
    return float(e - 24) * 0.6931471806 + 2.0 * (s + s * series);
}

// Cosine and sine of k / 2^24 turns by their series within an eighth of a turn: the driver's may
// be off by 2^-11.
vec2 cos_sin_turn(uint k)
{
    const uint quarter = (k + 0x200000u) >> 22;
    const float x = float(int(k - (quarter << 22))) * (6.283185307 / 16777216.0), z = x * x;
    const float c = 1.0 - z * (1.0 / 2.0 - z * (1.0 / 24.0 - z * (1.0 / 720.0 - z * (1.0 / 40320.0 - z / 3628800.0))));
    const float s = x - x * z * (1.0 / 6.0 - z * (1.0 / 120.0 - z * (1.0 / 5040.0 - z / 362880.0)));
    switch (quarter & 3u) {
    case 0u: return vec2(c, s);
    case 1u: return vec2(-s, c);
    case 2u: return vec2(-c, -s);
    default: return vec2(s, -c);
    }
}

vec2 box_muller(uint u, uint v)
{
    return sqrt(max(-2.0 * log_ratio((u >> 8) + 1u), 0.0)) * cos_sin_turn(v >> 8);
}

void main()
{
    HN_GROUP_GUARD;
    const uint i = thread_index();

    if (4u * i >= p.n)
        return;
    const uvec4 word = philox_block(ivec2(key[0], key[1]), i, p.stream);
    vec4 v = vec4(word >> p.shift) * p.scale;
    if (NORMAL)
        v = vec4(box_muller(word.x, word.y), box_muller(word.z, word.w));
    for (uint k = 0u; k < 4u && 4u * i + k < p.n; k++)
        ST(y, 4u * i + k, v[k]);
}
