// Quantised types: blocks to f32, and f32 to blocks of Q8_0, Q4_0 and Q4_1.
//
// Compiled without contraction of a product and a sum (CMakeLists.txt): quantising rounds twice
// where ggml's reference does.
#include "base/pieces.h"

#include <math.h>

// ---- to f32 --------------------------------------------------------------------------------

#ifdef HN__PIECES

HN__INLINE void of_pieces(hn_dtype t, const void *src, float *y, int64_t n)
{
    for (int64_t i = 0; i < n / 32; i++) {
        hn__piece p;
        hn__load_piece(t, src, i, &p);
        p.low *= p.scale_low;
        p.high *= p.scale_high;
        if (hn__has_least(t)) {
            p.low += p.least;
            p.high += p.least;
        }
        *(hn__lanes_at *)(y + 32 * i) = p.low;
        *(hn__lanes_at *)(y + 32 * i + 16) = p.high;
    }
}

#define BLOCKS(type, block)                                                                       \
    of_pieces(type, src, dst, n);                                                                 \
    break

#else

HN__INLINE void of_q8_0(const hn__q8_0 *b, float *restrict y)
{
    const float d = hn__load_f16(b->d);
    for (int i = 0; i < 32; i++)
        y[i] = (float)b->q[i] * d;
}

HN__INLINE void of_q4_0(const hn__q4_0 *b, float *restrict y)
{
    const float d = hn__load_f16(b->d);
    for (int i = 0; i < 16; i++) {
        y[i] = d * (float)((b->q[i] & 15) - 8);
        y[i + 16] = d * (float)((b->q[i] >> 4) - 8);
    }
}

HN__INLINE void of_q4_1(const hn__q4_1 *b, float *restrict y)
{
    const float d = hn__load_f16(b->d), m = hn__load_f16(b->m);
    for (int i = 0; i < 16; i++) {
        y[i] = d * (float)(b->q[i] & 15) + m;
        y[i + 16] = d * (float)(b->q[i] >> 4) + m;
    }
}

HN__INLINE void of_q5_0(const hn__q5_0 *b, float *restrict y)
{
    const float d = hn__load_f16(b->d);
    const uint32_t high = hn__load_u32(b->high);
    for (int i = 0; i < 16; i++) {
        y[i] = d * (float)((int)(b->q[i] & 15) + (int)(high >> i & 1) * 16 - 16);
        y[i + 16] = d * (float)((int)(b->q[i] >> 4) + (int)(high >> (i + 16) & 1) * 16 - 16);
    }
}

HN__INLINE void of_q5_1(const hn__q5_1 *b, float *restrict y)
{
    const float d = hn__load_f16(b->d), m = hn__load_f16(b->m);
    const uint32_t high = hn__load_u32(b->high);
    for (int i = 0; i < 16; i++) {
        y[i] = d * (float)((int)(b->q[i] & 15) + (int)(high >> i & 1) * 16) + m;
        y[i + 16] = d * (float)((int)(b->q[i] >> 4) + (int)(high >> (i + 16) & 1) * 16) + m;
    }
}

HN__INLINE void of_q4_k(const hn__q4_k *b, float *restrict y)
{
    const float d = hn__load_f16(b->d), dmin = hn__load_f16(b->dmin);
    for (int j = 0; j < 8; j++) {
        const float s = d * (float)hn__k_scale(b->scale, j);
        const float m = dmin * (float)hn__k_min(b->scale, j);
        for (int i = 0; i < 32; i++)
            y[32 * j + i] = s * (float)(b->q[j / 2 * 32 + i] >> j % 2 * 4 & 15) - m;
    }
}

HN__INLINE void of_q5_k(const hn__q5_k *b, float *restrict y)
{
    const float d = hn__load_f16(b->d), dmin = hn__load_f16(b->dmin);
    for (int j = 0; j < 8; j++) {
        const float s = d * (float)hn__k_scale(b->scale, j);
        const float m = dmin * (float)hn__k_min(b->scale, j);
        for (int i = 0; i < 32; i++)
            y[32 * j + i] = s * (float)((b->q[j / 2 * 32 + i] >> j % 2 * 4 & 15) |
                                        (b->high[i] >> j & 1) << 4) - m;
    }
}

// Half h of 128 elements, quarter k of it: 32 elements of two scales.
HN__INLINE void of_q6_k(const hn__q6_k *b, float *restrict y)
{
    const float d = hn__load_f16(b->d);
    for (int j = 0; j < 8; j++) {
        const int h = j / 4, k = j % 4;
        const uint8_t *low = b->low + 64 * h + 32 * (k % 2), *high = b->high + 32 * h;
        for (int half = 0; half < 2; half++) {
            const float s = d * (float)b->scale[2 * j + half];
            for (int i = 16 * half; i < 16 * half + 16; i++)
                y[32 * j + i] = s * (float)((int)((low[i] >> k / 2 * 4 & 15) |
                                                  (high[i] >> 2 * k & 3) << 4) - 32);
        }
    }
}

#define BLOCKS(type, block)                                                                       \
    for (int64_t i = 0; i < n / hn_dtype_block(type); i++)                                        \
        of_##block((const hn__##block *)src + i, dst + i * hn_dtype_block(type));                 \
    break

#endif

HN__HOT void hn__dequantise(hn_dtype t, const void *src, float *dst, int64_t n)
{
    switch (t) {
    case HN_Q8_0: BLOCKS(HN_Q8_0, q8_0);
    case HN_Q4_0: BLOCKS(HN_Q4_0, q4_0);
    case HN_Q4_1: BLOCKS(HN_Q4_1, q4_1);
    case HN_Q5_0: BLOCKS(HN_Q5_0, q5_0);
    case HN_Q5_1: BLOCKS(HN_Q5_1, q5_1);
    case HN_Q4_K: BLOCKS(HN_Q4_K, q4_k);
    case HN_Q5_K: BLOCKS(HN_Q5_K, q5_k);
    case HN_Q6_K: BLOCKS(HN_Q6_K, q6_k);
    default: break;
    }
}

// ---- from f32 ------------------------------------------------------------------------------

HN__INLINE void store_f16(uint8_t *p, float x)
{
    const uint16_t h = hn__f16_of(x);
    p[0] = (uint8_t)h;
    p[1] = (uint8_t)(h >> 8);
}

// 1 / d, or 0 where there is none.
HN__INLINE float inverse(float d)
{
    const float inv = 1 / d;
    return d == 0 || !(fabsf(inv) <= 3.4028234e38f) ? 0 : inv;
}

// Truncates to [0, 15].
HN__INLINE uint8_t nibble(float x)
{
    return (uint8_t)(x >= 15 ? 15 : x >= 0 ? (int)x : 0);
}

HN__INLINE void to_q8_0(const float *x, hn__q8_0 *b)
{
    float most = 0;
    for (int i = 0; i < 32; i++)
        most = fabsf(x[i]) > most || x[i] != x[i] ? fabsf(x[i]) : most;
    const float d = most / 127, inv = inverse(d);
    store_f16(b->d, d);
    for (int i = 0; i < 32; i++) {
        const float v = x[i] * inv, a = fabsf(v), low = floorf(a);
        const float r = a - low >= 0.5f ? low + 1 : low; // halves away from 0
        const int q = r <= 127 ? (int)r : 0;             // NaN: 0
        b->q[i] = (int8_t)(v < 0 ? -q : q);
    }
}

HN__INLINE void to_q4_0(const float *x, hn__q4_0 *b)
{
    float most = x[0];
    for (int i = 0; i < 32; i++)
        most = fabsf(x[i]) > fabsf(most) || x[i] != x[i] ? x[i] : most;
    const float d = most / -8, inv = inverse(d);
    store_f16(b->d, d);
    for (int i = 0; i < 16; i++)
        b->q[i] = (uint8_t)(nibble(x[i] * inv + 8.5f) | nibble(x[i + 16] * inv + 8.5f) << 4);
}

HN__INLINE void to_q4_1(const float *x, hn__q4_1 *b)
{
    float lo = x[0], hi = x[0];
    for (int i = 0; i < 32; i++) {
        lo = x[i] < lo || x[i] != x[i] ? x[i] : lo;
        hi = x[i] > hi || x[i] != x[i] ? x[i] : hi;
    }
    const float d = (hi - lo) / 15, inv = inverse(d);
    store_f16(b->d, d);
    store_f16(b->m, lo);
    for (int i = 0; i < 16; i++)
        b->q[i] = (uint8_t)(nibble((x[i] - lo) * inv + 0.5f) |
                            nibble((x[i + 16] - lo) * inv + 0.5f) << 4);
}

HN__HOT void hn__quantise(hn_dtype t, const float *src, void *dst, int64_t n)
{
    for (int64_t i = 0; i < n / HN__BLOCK_32; i++)
        switch (t) {
        case HN_Q8_0: to_q8_0(src + i * HN__BLOCK_32, (hn__q8_0 *)dst + i); break;
        case HN_Q4_0: to_q4_0(src + i * HN__BLOCK_32, (hn__q4_0 *)dst + i); break;
        case HN_Q4_1: to_q4_1(src + i * HN__BLOCK_32, (hn__q4_1 *)dst + i); break;
        default: break;
        }
}
