// quantize: f32 to blocks of Q8_0 (f16 scale, 32 signed bytes); a thread makes two, which end at a
// whole word. Divisions are made exact with integers, so that every device gives the same bytes.
// types: f32
#version 460
#extension GL_GOOGLE_include_directive : require
#include "common.glsl"
#include "push.h"

layout(push_constant) uniform Push { quantize_push p; };
INF(0, x);
layout(binding = 1) buffer OutY { uint y[]; };

const uint MANTISSA = 0x7fffffu, ONE = 0x800000u;

// v / 127, rounded to nearest; v normal and not small.
float part_127(float v)
{
    const float guess = v / 127.0;
    const uint bits = floatBitsToUint(v), guess_bits = floatBitsToUint(guess);
    const uint places = (bits >> 23) - (guess_bits >> 23); // v = guess 127: 6 or 7
    uint q = (guess_bits & MANTISSA) | ONE;
    int rest = int((((bits & MANTISSA) | ONE) << places) - q * 127u);
    for (uint i = 0u; i < 4u && abs(rest) > 63; i++) {
        q += rest > 0 ? 1u : 0xffffffffu;
        rest += rest > 0 ? -127 : 127;
    }
    return uintBitsToFloat((guess_bits & ~MANTISSA) + (q - ONE)); // a carry moves the exponent
}

// 1 / v, rounded to nearest; v normal.
float inverse_of(float v)
{
    const float guess = 1.0 / v;
    const uint guess_bits = floatBitsToUint(guess), d = (floatBitsToUint(v) & MANTISSA) | ONE;
    uint q = (guess_bits & MANTISSA) | ONE;
    if (d == ONE)
        return guess; // a power of two
    int rest = int(q * d); // q d - 2^47, which is small, in the lower 32 bits
    for (uint i = 0u; i < 4u && abs(rest) > int(d / 2u); i++) {
        q += rest > 0 ? 0xffffffffu : 1u;
        rest += rest > 0 ? -int(d) : int(d);
    }
    return uintBitsToFloat((guess_bits & ~MANTISSA) + (q - ONE));
}

// Bits of the 16-bit float next to v >= 0.
uint half_bits(float v)
{
    const uint u = floatBitsToUint(v);
    const uint normal = (u - 0x38000000u + 0xfffu + ((u >> 13) & 1u)) >> 13;
    const uint small = floatBitsToUint(v + 0.5) - 0x3f000000u; // the addition rounds
    const uint r = u < 0x38800000u ? small : normal;
    return u > 0x7f800000u ? 0x7e00u : u >= 0x477ff000u ? 0x7c00u : r;
}

// Half words 0 to 16 of a block.
void make_block(uint block, out uint half_word[17])
{
    float most = 0.0;
    for (uint i = 0u; i < 32u; i++) {
        const float v = abs(x[block * 32u + i]);
        most = v > most || v != v ? v : most;
    }
    // Below the first bound the scale is 0 in 16 bits, and what it multiplies is as well 0.
    const bool tiny = most < 1e-30, finite = most <= 3.4028234e38;
    const float d = tiny ? 0.0 : finite ? part_127(most) : most;
    const float inv = tiny || !finite ? 0.0 : inverse_of(d);

    half_word[0] = half_bits(d);
    for (uint i = 0u; i < 32u; i++) {
        const float v = x[block * 32u + i] * inv, low = floor(abs(v));
        const float r = abs(v) - low >= 0.5 ? low + 1.0 : low; // halves away from 0
        const int q = r <= 127.0 ? int(r) : 0;
        const uint byte = uint(v < 0.0 ? -q : q) & 0xffu;
        half_word[1u + i / 2u] = (i & 1u) == 0u ? byte : half_word[1u + i / 2u] | (byte << 8);
    }
}

void main()
{
    HN_GROUP_GUARD;
    const uint pair = thread_index();
    if (pair * 2u >= p.blocks)
        return;
    uint first[17], second[17];
    make_block(pair * 2u, first);
    const uint at = pair * 17u;
    for (uint i = 0u; i < 8u; i++)
        y[at + i] = first[2u * i] | (first[2u * i + 1u] << 16);
    if (pair * 2u + 1u < p.blocks) {
        make_block(pair * 2u + 1u, second);
        y[at + 8u] = first[16] | (second[0] << 16);
        for (uint i = 0u; i < 8u; i++)
            y[at + 9u + i] = second[2u * i + 1u] | (second[2u * i + 2u] << 16);
    } else {
        y[at + 8u] = first[16] | (y[at + 8u] & 0xffff0000u); // the tensor ends in this word
    }
}
