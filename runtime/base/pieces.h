// 32 stored weights at once, in vectors: what loops over blocks of nibbles are made of, as they do
// not become vector code by themselves.
//
// A piece is lanes low and high, elements 0 to 15 and 16 to 31, of value scale * lane + least.
// Every product is exact, so that the value rounds once, as in quant.c.
#ifndef HN_BASE_PIECES_H
#define HN_BASE_PIECES_H

#include "base/formats.h"

// Only where the compiler has vector types; others go by the plain loops of quant.c, and so does a
// build for sanitizers, which keeps those tested. Without optimisation gcc 12 fails on such code.
#if defined(__GNUC__) && defined(__OPTIMIZE__) && !defined(HN_NO_CLONES)
#define HN__PIECES

typedef float hn__lanes __attribute__((vector_size(64)));
typedef int32_t hn__ints __attribute__((vector_size(64)));
typedef uint32_t hn__words __attribute__((vector_size(64)));
// The same anywhere in memory, whatever its type: a copied vector is taken apart by gcc 12.
#define HN__ANYWHERE aligned(1), may_alias
typedef float hn__lanes_at __attribute__((vector_size(64), HN__ANYWHERE));
typedef uint8_t hn__bytes_at __attribute__((vector_size(16), HN__ANYWHERE));
typedef uint16_t hn__halves_at __attribute__((vector_size(32), HN__ANYWHERE));

typedef struct hn__piece {
    hn__lanes low, high;
    float scale_low, scale_high, least;
} hn__piece;

// Vectors are passed by address: by value their convention depends on the instruction set.
HN__INLINE void hn__load_lanes(const float *x, hn__lanes *out)
{
    *out = *(const hn__lanes_at *)x;
}

// Bytes are masked or shifted before they become ints: gcc 12 takes a vector that is converted
// right where it is loaded apart, too.
HN__INLINE void hn__piece_masked(const uint8_t *x, uint8_t mask, hn__ints *out)
{
    *out = __builtin_convertvector(*(const hn__bytes_at *)x & mask, hn__ints);
}

HN__INLINE void hn__piece_upper(const uint8_t *x, hn__ints *out)
{
    *out = __builtin_convertvector(*(const hn__bytes_at *)x >> 4, hn__ints);
}

HN__INLINE void hn__piece_nibble(const uint8_t *x, bool upper, hn__ints *out)
{
    if (upper)
        hn__piece_upper(x, out);
    else
        hn__piece_masked(x, 15, out);
}

HN__INLINE void hn__piece_set(hn__piece *p, const hn__ints *low, const hn__ints *high)
{
    p->low = __builtin_convertvector(*low, hn__lanes);
    p->high = __builtin_convertvector(*high, hn__lanes);
}

// ---- pieces --------------------------------------------------------------------------------

HN__INLINE void hn__piece_q8_0(const hn__q8_0 *b, hn__piece *p)
{
    const hn__bytes_at *q = (const hn__bytes_at *)b->q;
    const hn__ints low = __builtin_convertvector(q[0] ^ 128, hn__ints) - 128;
    const hn__ints high = __builtin_convertvector(q[1] ^ 128, hn__ints) - 128;
    hn__piece_set(p, &low, &high);
    p->scale_low = p->scale_high = hn__load_f16(b->d);
}

HN__INLINE void hn__piece_nibbles(const uint8_t *q, hn__ints *low, hn__ints *high)
{
    hn__piece_masked(q, 15, low);
    hn__piece_upper(q, high);
}

// The fifth bits of elements 0 to 15 and 16 to 31.
HN__INLINE void hn__piece_fifth(const uint8_t *bits, hn__ints *low, hn__ints *high)
{
    const hn__words place = { 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15 };
    const uint32_t all = hn__load_u32(bits);
    const hn__words v = (hn__words){ 0 } + all;
    *low |= (hn__ints)((v >> place & 1) << 4);
    *high |= (hn__ints)((v >> (place + 16) & 1) << 4);
}

HN__INLINE void hn__piece_q4_0(const hn__q4_0 *b, hn__piece *p)
{
    hn__ints low, high;
    hn__piece_nibbles(b->q, &low, &high);
    low -= 8;
    high -= 8;
    hn__piece_set(p, &low, &high);
    p->scale_low = p->scale_high = hn__load_f16(b->d);
}

HN__INLINE void hn__piece_q4_1(const hn__q4_1 *b, hn__piece *p)
{
    hn__ints low, high;
    hn__piece_nibbles(b->q, &low, &high);
    hn__piece_set(p, &low, &high);
    p->scale_low = p->scale_high = hn__load_f16(b->d);
    p->least = hn__load_f16(b->m);
}

HN__INLINE void hn__piece_q5_0(const hn__q5_0 *b, hn__piece *p)
{
    hn__ints low, high;
    hn__piece_nibbles(b->q, &low, &high);
    hn__piece_fifth(b->high, &low, &high);
    low -= 16;
    high -= 16;
    hn__piece_set(p, &low, &high);
    p->scale_low = p->scale_high = hn__load_f16(b->d);
}

HN__INLINE void hn__piece_q5_1(const hn__q5_1 *b, hn__piece *p)
{
    hn__ints low, high;
    hn__piece_nibbles(b->q, &low, &high);
    hn__piece_fifth(b->high, &low, &high);
    hn__piece_set(p, &low, &high);
    p->scale_low = p->scale_high = hn__load_f16(b->d);
    p->least = hn__load_f16(b->m);
}

HN__INLINE void hn__piece_q4_k(const hn__q4_k *b, int j, hn__piece *p)
{
    hn__ints low, high;
    hn__piece_nibble(b->q + j / 2 * 32, j % 2, &low);
    hn__piece_nibble(b->q + j / 2 * 32 + 16, j % 2, &high);
    hn__piece_set(p, &low, &high);
    p->scale_low = p->scale_high = hn__load_f16(b->d) * (float)hn__k_scale(b->scale, j);
    p->least = -hn__load_f16(b->dmin) * (float)hn__k_min(b->scale, j);
}

HN__INLINE void hn__piece_q5_k(const hn__q5_k *b, int j, hn__piece *p)
{
    hn__ints low, high, fifth[2];
    hn__piece_nibble(b->q + j / 2 * 32, j % 2, &low);
    hn__piece_nibble(b->q + j / 2 * 32 + 16, j % 2, &high);
    hn__piece_masked(b->high, (uint8_t)(1 << j), &fifth[0]);
    hn__piece_masked(b->high + 16, (uint8_t)(1 << j), &fifth[1]);
    low |= fifth[0] << 4 >> j;
    high |= fifth[1] << 4 >> j;
    hn__piece_set(p, &low, &high);
    p->scale_low = p->scale_high = hn__load_f16(b->d) * (float)hn__k_scale(b->scale, j);
    p->least = -hn__load_f16(b->dmin) * (float)hn__k_min(b->scale, j);
}

HN__INLINE void hn__piece_q6_k(const hn__q6_k *b, int j, hn__piece *p)
{
    const int h = j / 4, k = j % 4;
    const float d = hn__load_f16(b->d);
    hn__ints low, high, upper[2];
    hn__piece_nibble(b->low + 64 * h + 32 * (k % 2), k / 2, &low);
    hn__piece_nibble(b->low + 64 * h + 32 * (k % 2) + 16, k / 2, &high);
    hn__piece_masked(b->high + 32 * h, (uint8_t)(3 << 2 * k), &upper[0]);
    hn__piece_masked(b->high + 32 * h + 16, (uint8_t)(3 << 2 * k), &upper[1]);
    low = (low | upper[0] << 4 >> 2 * k) - 32;
    high = (high | upper[1] << 4 >> 2 * k) - 32;
    hn__piece_set(p, &low, &high);
    p->scale_low = d * (float)b->scale[2 * j];
    p->scale_high = d * (float)b->scale[2 * j + 1];
}

// As hn__of_f16: the exponent's bias by a multiplication, which serves subnormal numbers too.
HN__INLINE void hn__piece_halves(const uint8_t *x, hn__lanes *out)
{
    const hn__halves_at flip = *(const hn__halves_at *)x ^ 0x8000;
    const hn__ints h = __builtin_convertvector(flip, hn__ints) - 0x8000; // sign extended
    const hn__ints bits = (hn__ints)((hn__words)h << 13 & 0x8fffffff);
    const hn__ints top = ((bits & 0x0f800000) == 0x0f800000) & 0x7f800000; // infinite, NaN
    const hn__lanes v = (hn__lanes)bits * 0x1p112f;
    *out = (hn__lanes)((hn__ints)v | top);
}

HN__INLINE void hn__piece_f16(const uint8_t *x, hn__piece *p)
{
    hn__piece_halves(x, &p->low);
    hn__piece_halves(x + 32, &p->high);
    p->scale_low = p->scale_high = 1;
}

HN__INLINE void hn__piece_bf16(const uint8_t *x, hn__piece *p)
{
    const hn__words low = __builtin_convertvector(*(const hn__halves_at *)x, hn__words) << 16;
    const hn__words high = __builtin_convertvector(*(const hn__halves_at *)(x + 32), hn__words)
                           << 16;
    p->low = (hn__lanes)low;
    p->high = (hn__lanes)high;
    p->scale_low = p->scale_high = 1;
}

// Piece i of a row; t is constant where this is called.
HN__INLINE void hn__load_piece(hn_dtype t, const void *row, int64_t i, hn__piece *p)
{
    const int j = (int)(i % 8);

    switch (t) {
    case HN_F16: hn__piece_f16((const uint8_t *)row + 64 * i, p); break;
    case HN_BF16: hn__piece_bf16((const uint8_t *)row + 64 * i, p); break;
    case HN_Q8_0: hn__piece_q8_0((const hn__q8_0 *)row + i, p); break;
    case HN_Q4_0: hn__piece_q4_0((const hn__q4_0 *)row + i, p); break;
    case HN_Q4_1: hn__piece_q4_1((const hn__q4_1 *)row + i, p); break;
    case HN_Q5_0: hn__piece_q5_0((const hn__q5_0 *)row + i, p); break;
    case HN_Q5_1: hn__piece_q5_1((const hn__q5_1 *)row + i, p); break;
    case HN_Q4_K: hn__piece_q4_k((const hn__q4_k *)row + i / 8, j, p); break;
    case HN_Q5_K: hn__piece_q5_k((const hn__q5_k *)row + i / 8, j, p); break;
    case HN_Q6_K: hn__piece_q6_k((const hn__q6_k *)row + i / 8, j, p); break;
    default: break;
    }
}

HN__INLINE bool hn__has_least(hn_dtype t)
{
    return t == HN_Q4_1 || t == HN_Q5_1 || t == HN_Q4_K || t == HN_Q5_K;
}

#endif
#endif
