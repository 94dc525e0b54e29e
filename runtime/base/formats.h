// Number formats as inline functions, for loops that must become vector code: 16-bit floats, and
// the blocks of quantised types.
#ifndef HN_BASE_FORMATS_H
#define HN_BASE_FORMATS_H

#include "base/base.h"

#include <string.h>

// ---- 16-bit floats -------------------------------------------------------------------------

HN__INLINE uint32_t hn__bits_of(float x)
{
    uint32_t u;
    memcpy(&u, &x, sizeof u);
    return u;
}

HN__INLINE float hn__of_bits(uint32_t u)
{
    float x;
    memcpy(&x, &u, sizeof x);
    return x;
}

// The four conversions have no branches, so that loops over them become vector code.
HN__INLINE uint16_t hn__f16_of(float x)
{
    const uint32_t u = hn__bits_of(x), sign = u >> 16 & 0x8000, mag = u & 0x7fffffff;
    const uint32_t normal = (mag - 0x38000000 + 0xfff + (mag >> 13 & 1)) >> 13;
    const uint32_t small =
        hn__bits_of(hn__of_bits(mag) + 0.5f) - 0x3f000000; // the addition rounds
    uint32_t r = mag < 0x38800000 ? small : normal;
    r = mag >= 0x477ff000 ? 0x7c00 : r; // rounds above the largest finite value
    r = mag > 0x7f800000 ? 0x7e00 : r;  // NaN
    return (uint16_t)(sign | r);
}

HN__INLINE float hn__of_f16(uint16_t h)
{
    const uint32_t sign = (uint32_t)(h & 0x8000) << 16, exp = h >> 10 & 31, man = h & 0x3ff;
    const uint32_t normal = (exp + (exp == 31 ? 224 : 112)) << 23 | man << 13;
    const uint32_t small = hn__bits_of((float)(int32_t)man * 0x1p-24f);
    return hn__of_bits(sign | (exp ? normal : small));
}

HN__INLINE uint16_t hn__bf16_of(float x)
{
    const uint32_t u = hn__bits_of(x), nan = u >> 16 | 0x40,
                   rounded = (u + 0x7fff + (u >> 16 & 1)) >> 16;
    return (uint16_t)((u & 0x7fffffff) > 0x7f800000 ? nan : rounded);
}

HN__INLINE float hn__of_bf16(uint16_t h)
{
    return hn__of_bits((uint32_t)h << 16);
}

// ---- blocks --------------------------------------------------------------------------------
// As GGUF files have them (ggml-common.h of ggml): bytes only, so that a block may lie anywhere.

enum { HN__BLOCK_32 = 32, HN__BLOCK_256 = 256 };

typedef struct hn__q8_0 {
    uint8_t d[2]; // f16, as every d, m and dmin
    int8_t q[32];
} hn__q8_0;
typedef struct hn__q4_0 {
    uint8_t d[2], q[16]; // elements 0 to 15 in the low nibbles, 16 to 31 in the high ones
} hn__q4_0;
typedef struct hn__q4_1 {
    uint8_t d[2], m[2], q[16];
} hn__q4_1;
typedef struct hn__q5_0 {
    uint8_t d[2], high[4], q[16]; // high: bit i is the fifth of element i
} hn__q5_0;
typedef struct hn__q5_1 {
    uint8_t d[2], m[2], high[4], q[16];
} hn__q5_1;
typedef struct hn__q4_k {
    uint8_t d[2], dmin[2], scale[12]; // eight scales and eight minima of 6 bits
    uint8_t q[128]; // 32 bytes hold two sub-blocks of 32: one in the low, one in the high nibbles
} hn__q4_k;
typedef struct hn__q5_k {
    uint8_t d[2], dmin[2], scale[12];
    uint8_t high[32]; // bit j of byte i: the fifth bit of element i of sub-block j
    uint8_t q[128];
} hn__q5_k;
typedef struct hn__q6_k {
    uint8_t low[128], high[64];
    int8_t scale[16];
    uint8_t d[2];
} hn__q6_k;

HN__INLINE uint16_t hn__load_u16(const uint8_t *p)
{
    return (uint16_t)(p[0] | p[1] << 8);
}

HN__INLINE uint32_t hn__load_u32(const uint8_t *p)
{
    return p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
}

// The scale of a block. By the compiler's own 16-bit type where it has one: a single conversion
// where the code above has branches.
HN__INLINE float hn__load_f16(const uint8_t *p)
{
#if defined(__FLT16_MANT_DIG__) && defined(__x86_64__)
    __extension__ _Float16 h;
    memcpy(&h, p, sizeof h);
    return (float)h;
#else
    return hn__of_f16(hn__load_u16(p));
#endif
}

// Scale and minimum of sub-block j of Q4_K and Q5_K, from their twelve bytes.
HN__INLINE uint8_t hn__k_scale(const uint8_t *s, int j)
{
    return j < 4 ? s[j] & 63 : (s[j + 4] & 15) | (s[j - 4] >> 6 << 4);
}

HN__INLINE uint8_t hn__k_min(const uint8_t *s, int j)
{
    return j < 4 ? s[j + 4] & 63 : (s[j + 4] >> 4) | (s[j] >> 6 << 4);
}

// n elements, whole blocks, as f32: bit for bit what the package `gguf` gives. Every product in
// them is exact in f32, so only the addition of a minimum rounds, and a fused one gives the same.
void hn__dequantise(hn_dtype t, const void *src, float *dst, int64_t n);
// To a type of hn__can_quantise, bit for bit as `gguf` does it; what has no finite scale becomes
// NaN or 0 when read back.
void hn__quantise(hn_dtype t, const float *src, void *dst, int64_t n);

#endif
