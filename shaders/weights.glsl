// Weights as they are stored: an operand of another type than the others, which are f32. The build
// defines HN_WEIGHTS and one of T_W_F16, T_W_BF16 (16-bit storage), T_W_F16P, T_W_BF16P (packed two
// to a word), or T_W_Q8_0 and so on: blocks, read as words, as devices without 8- and 16-bit storage
// can. The file that includes this defines WEIGHTS_BINDING.
//
//   LDW(i)      element i as float
//   HN_BLOCKS   defined where they are quantised; then element i is s q + o with
//   weights_scale(i)   (s, o), the same for 16 neighbours
//   weights_quants(i)  q of elements i to i + 3, a byte each; i a multiple of 4
//   weights_scale_of(first, e), weights_quants_of(first, e)  the same of element first + e; first a
//                      multiple of 32. With e a literal, drivers see what is the same for several
//   weights_of(quants, k, so)  element k of the four
//   weights_eight(i, out v, out w)  elements i to i + 3, and those WEIGHTS_APART later, which few loads
//                      bring together: i is a multiple of 4 in the first half of 2 WEIGHTS_APART, for
//                      q8_0 of 8
// Every s q is exact in f32 and s q + o rounds once, as on the host.
#ifndef HN_WEIGHTS_GLSL
#define HN_WEIGHTS_GLSL

#include "common.glsl"

#if defined(T_W_F16)
#extension GL_EXT_shader_16bit_storage : require
#define WEIGHT float16_t
#define LDW(i) float(weights[i])
#elif defined(T_W_BF16)
#extension GL_EXT_shader_16bit_storage : require
#define WEIGHT uint16_t
#define LDW(i) uintBitsToFloat(uint(weights[i]) << 16)
#else
#define WEIGHT uint
#if defined(T_W_F16P) || defined(T_W_BF16P)
#define LDW(i) weights_half(i)
#else
#define HN_BLOCKS
#define LDW(i) weights_element(i)
#endif
#endif
layout(binding = WEIGHTS_BINDING) readonly buffer Weights { WEIGHT weights[]; };
#if defined(T_W_Q4_K) || defined(T_W_Q5_K)
layout(binding = WEIGHTS_BINDING) readonly buffer WeightsHeads { uvec4 weights_heads[]; }; // of blocks
const uint WEIGHTS_APART = 32u;
#elif defined(T_W_Q6_K)
const uint WEIGHTS_APART = 64u;
#elif defined(T_W_Q8_0)
const uint WEIGHTS_APART = 4u;
#elif defined(HN_BLOCKS)
const uint WEIGHTS_APART = 16u;
#endif
#if defined(T_W_Q4_K) || defined(T_W_Q5_K) || defined(T_W_Q6_K)
const uint BLOCK_OF = 256u;
#else
const uint BLOCK_OF = 32u;
#endif

// A 16-bit float's value; subnormal ones too, which unpackHalf2x16 may flush.
float half_value(uint h)
{
    const uint exponent = (h >> 10) & 31u, mantissa = h & 0x3ffu;
    const uint normal = ((exponent + (exponent == 31u ? 224u : 112u)) << 23) | (mantissa << 13);
    const float v = exponent == 0u ? float(mantissa) * 5.9604644775390625e-8 : uintBitsToFloat(normal);
    return (h & 0x8000u) != 0u ? -v : v;
}

#if defined(T_W_F16P)
float weights_half(uint i)
{
    const vec2 both = unpackHalf2x16(weights[i >> 1]);
    return (i & 1u) == 0u ? both.x : both.y;
}
#elif defined(T_W_BF16P)
float weights_half(uint i)
{
    return uintBitsToFloat((i & 1u) == 0u ? weights[i >> 1] << 16 : weights[i >> 1] & 0xffff0000u);
}
#elif defined(HN_BLOCKS)

#if defined(T_W_Q4_1) || defined(T_W_Q5_1) || defined(T_W_Q4_K) || defined(T_W_Q5_K)
#define WEIGHTS_IN_WORDS // blocks begin at multiples of 4 bytes; others at multiples of 2
#endif

#ifdef WEIGHTS_BY_LANES // the including file has its own
uint word_at(uint at);
uint word_behind(uint at, uint e);
uint half_bits(uint at);
uint byte_at(uint at);
#else
// The word at a byte that is a multiple of 2, as every block's parts are; of 4 where blocks are.
uint word_at(uint at)
{
#ifdef WEIGHTS_IN_WORDS
    return weights[at >> 2];
#else
    const uint low = weights[at >> 2];
    return (at & 2u) == 0u ? low : (low >> 16) | (weights[(at >> 2) + 1u] << 16);
#endif
}

// The same, e bytes behind; lanes have the same `at`, and their own e.
uint word_behind(uint at, uint e)
{
    return word_at(at + e);
}

uint half_bits(uint at)
{
    return weights[at >> 2] >> ((at & 2u) * 8u);
}

uint byte_at(uint at)
{
    return (weights[at >> 2] >> ((at & 3u) * 8u)) & 0xffu;
}
#endif

float half_at(uint at)
{
    return half_value(half_bits(at));
}

// Four bits, to bit 4 of a byte each.
uint spread(uint bits)
{
    return ((bits & 1u) << 4) | ((bits & 2u) << 11) | ((bits & 4u) << 18) | ((bits & 8u) << 25);
}

#if defined(T_W_Q8_0)
const uint SIZE_OF = 34u;
vec2 weights_scale_of(uint first, uint e)
{
    const float d = half_at(first / 32u * SIZE_OF);
    return vec2(d, -128.0 * d);
}
uint weights_quants_of(uint first, uint e)
{
    return word_behind(first / 32u * SIZE_OF + 2u, e) ^ 0x80808080u;
}

#elif defined(T_W_Q4_0) || defined(T_W_Q4_1) || defined(T_W_Q5_0) || defined(T_W_Q5_1)
#if defined(T_W_Q4_0)
const uint SIZE_OF = 18u, NIBBLES = 2u;
const float SHIFT = -8.0;
#elif defined(T_W_Q4_1)
const uint SIZE_OF = 20u, NIBBLES = 4u;
#elif defined(T_W_Q5_0)
const uint SIZE_OF = 22u, HIGH = 2u, NIBBLES = 6u;
const float SHIFT = -16.0;
#else
const uint SIZE_OF = 24u, HIGH = 4u, NIBBLES = 8u;
#endif
vec2 weights_scale_of(uint first, uint e)
{
    const uint at = first / 32u * SIZE_OF;
    const float d = half_at(at);
#if defined(T_W_Q4_0) || defined(T_W_Q5_0)
    return vec2(d, SHIFT * d);
#else
    return vec2(d, half_at(at + 2u));
#endif
}
uint weights_quants_of(uint first, uint e)
{
    const uint at = first / 32u * SIZE_OF;
    const uint low = (word_behind(at + NIBBLES, e % 16u) >> (e / 16u * 4u)) & 0x0f0f0f0fu;
#if defined(T_W_Q5_0) || defined(T_W_Q5_1)
    return low | spread(word_at(at + HIGH) >> e);
#else
    return low;
#endif
}

#elif defined(T_W_Q4_K) || defined(T_W_Q5_K)
#if defined(T_W_Q4_K)
const uint SIZE_OF = 144u, NIBBLES = 16u;
#else
const uint SIZE_OF = 176u, HIGH = 16u, NIBBLES = 48u;
#endif
vec2 weights_scale_of(uint first, uint e)
{
    const uint at = first / 256u * SIZE_OF, j = first % 256u / 32u;
    const uint one = byte_at(at + 4u + j), two = byte_at(at + 8u + j);
    uint scale = one & 63u, least = two & 63u;
    if (j >= 4u) { // two is of the last four bytes; upper two bits stand eight and four before
        scale = (two & 15u) | (byte_at(at + j) >> 6 << 4);
        least = (two >> 4) | (one >> 6 << 4);
    }
    return vec2(half_at(at) * float(scale), -half_at(at + 2u) * float(least));
}
uint weights_quants_of(uint first, uint e)
{
    const uint at = first / 256u * SIZE_OF, j = first % 256u / 32u;
    const uint low = (word_behind(at + NIBBLES + j / 2u * 32u, e) >> (j % 2u * 4u)) & 0x0f0f0f0fu;
#if defined(T_W_Q5_K)
    return low | (((word_behind(at + HIGH, e) >> j) & 0x01010101u) << 4);
#else
    return low;
#endif
}

#else // Q6_K
const uint SIZE_OF = 210u;
vec2 weights_scale_of(uint first, uint e)
{
    const uint at = first / 256u * SIZE_OF;
    const int s = int(byte_at(at + 192u + first % 256u / 16u + e / 16u) << 24) >> 24;
    const float d = half_at(at + 208u) * float(s);
    return vec2(d, -32.0 * d);
}
uint weights_quants_of(uint first, uint e)
{
    const uint at = first / 256u * SIZE_OF, h = first % 256u / 128u, k = first % 128u / 32u;
    const uint low = (word_behind(at + 64u * h + k % 2u * 32u, e) >> (k / 2u * 4u)) & 0x0f0f0f0fu;
    return low | (((word_behind(at + 128u + 32u * h, e) >> (2u * k)) & 0x03030303u) << 4);
}
#endif

vec2 weights_scale(uint i)
{
    return weights_scale_of(i & ~31u, i & 31u);
}
uint weights_quants(uint i)
{
    return weights_quants_of(i & ~31u, i & 31u);
}

// Element k of four quants with their (s, o).
float weights_of(uint quants, uint k, vec2 so)
{
    return float((quants >> (k * 8u)) & 0xffu) * so.x + so.y;
}

float weights_element(uint i)
{
    return weights_of(weights_quants(i & ~3u), i & 3u, weights_scale(i));
}

vec4 weights_bytes(uint u)
{
    return vec4(u & 0xffu, (u >> 8) & 0xffu, (u >> 16) & 0xffu, u >> 24);
}

// Their quants, a byte each.
uvec2 weights_eight_quants(uint i)
{
#if defined(T_W_Q8_0)
    const uint q = i / 32u * 34u + 2u + i % 32u, at = q >> 2, one = weights[at], two = weights[at + 1u];
    if ((q & 2u) == 0u)
        return uvec2(one, two) ^ 0x80808080u;
    const uint three = weights[at + 2u];
    return uvec2((one >> 16) | (two << 16), (two >> 16) | (three << 16)) ^ 0x80808080u;
#elif defined(T_W_Q4_K) || defined(T_W_Q5_K)
    const uint at = i / 256u * SIZE_OF, j = i % 256u / 32u;
    const uint bits = weights[(at + NIBBLES + j / 2u * 32u + i % 32u) >> 2];
    uvec2 u = uvec2(bits, bits >> 4) & 0x0f0f0f0fu;
#if defined(T_W_Q5_K)
    const uint high = weights[(at + HIGH + i % 32u) >> 2] >> j;
    u |= (uvec2(high, high >> 1) & 0x01010101u) << 4;
#endif
    return u;
#elif defined(T_W_Q6_K)
    const uint at = i / 256u * 210u, h = i % 256u / 128u, k = i % 128u / 32u;
    const uint bits = word_at(at + 64u * h + k * 32u + i % 32u);
    const uint high = word_at(at + 128u + 32u * h + i % 32u) >> (2u * k);
    return (uvec2(bits, bits >> 4) & 0x0f0f0f0fu) | ((uvec2(high, high >> 4) & 0x03030303u) << 4);
#else
    const uint at = i / 32u * SIZE_OF, bits = word_at(at + NIBBLES + i % 32u);
    uvec2 u = uvec2(bits, bits >> 4) & 0x0f0f0f0fu;
#if defined(T_W_Q5_0) || defined(T_W_Q5_1)
    const uint high = word_at(at + HIGH) >> i % 32u;
    u |= uvec2(spread(high), spread(high >> 16));
#endif
    return u;
#endif
}

// Their (s, o): xy of the first four, zw of the others.
vec4 weights_eight_scales(uint i)
{
#if defined(T_W_Q4_K) || defined(T_W_Q5_K)
    const uvec4 head = weights_heads[i / 256u * (SIZE_OF / 16u)]; // d and dmin, and 12 bytes
    const uint j = i % 256u / 32u, first = j % 4u * 8u;
    const uint scales = j < 4u ? head.y & 0x3f3f3f3fu : (head.w & 0x0f0f0f0fu) | ((head.y >> 2) & 0x30303030u);
    const uint least =
        j < 4u ? head.z & 0x3f3f3f3fu : ((head.w >> 4) & 0x0f0f0f0fu) | ((head.z >> 2) & 0x30303030u);
    const vec2 d = vec2(half_value(head.x), -half_value(head.x >> 16));
    return d.xyxy * vec4((scales >> first) & 0xffu, (least >> first) & 0xffu,
                         (scales >> (first + 8u)) & 0xffu, (least >> (first + 8u)) & 0xffu);
#elif defined(T_W_Q6_K)
    const uint at = i / 256u * 210u + 192u, part = i % 256u / 16u;
    const int one = int(byte_at(at + part) << 24) >> 24, two = int(byte_at(at + part + 4u) << 24) >> 24;
    const vec2 s = half_at(at + 16u) * vec2(one, two);
    return vec4(s.x, -32.0 * s.x, s.y, -32.0 * s.y);
#else
    return weights_scale_of(i & ~31u, i & 31u).xyxy;
#endif
}

void weights_eight(uint i, out vec4 v, out vec4 w)
{
    const uvec2 u = weights_eight_quants(i);
    const vec4 so = weights_eight_scales(i);
    v = weights_bytes(u.x) * so.x + so.y;
    w = weights_bytes(u.y) * so.z + so.w;
}
#endif

#endif
