// Products of a few rows in blocks (q8_0) with a stored matrix, by integers: 32 pairs of bytes are
// multiplied and summed by one instruction where the processor has it (AVX-512 VNNI). Elsewhere
// hn__dots8_of gives NULL, and the rows are taken as f32.
//
// A weight is scale * u + least with an unsigned u, less an offset in types without a minimum. The
// sum over 32 is then scale d (sum of u q - offset sum of q), exact but for the scales, plus least
// times d sum q; the sums of q alone are known beforehand.
#include "ops/matmul.h"

#include "base/formats.h"

#if defined(__GNUC__) && !defined(__clang__) && defined(__x86_64__) && !defined(HN_NO_CLONES)
#include <immintrin.h>

#define VNNI                                                                                      \
    __attribute__((target("avx2,fma,f16c,avx512f,avx512bw,avx512dq,avx512vl,avx512vnni")))
#define VNNI_INLINE VNNI static inline __attribute__((always_inline))

typedef struct piece8 {
    __m256i u;
    float scale, scale_high, least; // scale_high: of elements 16 to 31 (q6_k)
} piece8;

// What is taken from u, as a shift: 2^shift; -1: nothing.
static int offset_shift(hn_dtype t)
{
    return t == HN_Q8_0 ? 7 : t == HN_Q4_0 ? 3 : t == HN_Q5_0 ? 4 : t == HN_Q6_K ? 5 : -1;
}

VNNI_INLINE __m256i load32(const void *p)
{
    return _mm256_loadu_si256((const __m256i_u *)p);
}

VNNI_INLINE __m256i nibbles(const uint8_t *q)
{
    const __m128i v = _mm_loadu_si128((const __m128i_u *)q), few = _mm_set1_epi8(15);
    return _mm256_set_m128i(_mm_and_si128(_mm_srli_epi16(v, 4), few), _mm_and_si128(v, few));
}

VNNI_INLINE __m256i fifth(const uint8_t *bits)
{
    return _mm256_maskz_set1_epi8((__mmask32)hn__load_u32(bits), 16);
}

// (bytes >> shift) & mask.
VNNI_INLINE __m256i picked(const uint8_t *p, int shift, char mask)
{
    return _mm256_and_si256(_mm256_srl_epi16(load32(p), _mm_cvtsi32_si128(shift)),
                            _mm256_set1_epi8(mask));
}

VNNI_INLINE void load_small(hn_dtype t, const void *row, int64_t i, piece8 *p)
{
    if (t == HN_Q8_0) {
        const hn__q8_0 *b = (const hn__q8_0 *)row + i;
        p->u = _mm256_xor_si256(load32(b->q), _mm256_set1_epi8((char)-128));
        p->scale = hn__load_f16(b->d);
    } else if (t == HN_Q4_0) {
        const hn__q4_0 *b = (const hn__q4_0 *)row + i;
        p->u = nibbles(b->q);
        p->scale = hn__load_f16(b->d);
    } else if (t == HN_Q4_1) {
        const hn__q4_1 *b = (const hn__q4_1 *)row + i;
        p->u = nibbles(b->q);
        p->scale = hn__load_f16(b->d);
        p->least = hn__load_f16(b->m);
    } else if (t == HN_Q5_0) {
        const hn__q5_0 *b = (const hn__q5_0 *)row + i;
        p->u = _mm256_or_si256(nibbles(b->q), fifth(b->high));
        p->scale = hn__load_f16(b->d);
    } else {
        const hn__q5_1 *b = (const hn__q5_1 *)row + i;
        p->u = _mm256_or_si256(nibbles(b->q), fifth(b->high));
        p->scale = hn__load_f16(b->d);
        p->least = hn__load_f16(b->m);
    }
}

VNNI_INLINE void load_large(hn_dtype t, const void *row, int64_t i, piece8 *p)
{
    const int j = (int)(i % 8);

    if (t == HN_Q6_K) {
        const hn__q6_k *b = (const hn__q6_k *)row + i / 8;
        const int h = j / 4, k = j % 4;
        const __m256i upper = picked(b->high + 32 * h, 2 * k, 3);
        p->u = _mm256_or_si256(picked(b->low + 64 * h + 32 * (k % 2), k / 2 * 4, 15),
                               _mm256_slli_epi16(upper, 4));
        p->scale = hn__load_f16(b->d) * (float)b->scale[2 * j];
        p->scale_high = hn__load_f16(b->d) * (float)b->scale[2 * j + 1];
        return;
    }
    const hn__q4_k *b = (const hn__q4_k *)row + i / 8;
    const hn__q5_k *b5 = (const hn__q5_k *)row + i / 8;
    const bool is_5 = t == HN_Q5_K;
    const uint8_t *scale = is_5 ? b5->scale : b->scale;
    p->u = picked((is_5 ? b5->q : b->q) + j / 2 * 32, j % 2 * 4, 15);
    if (is_5)
        p->u = _mm256_or_si256(p->u, _mm256_slli_epi16(picked(b5->high, j, 1), 4));
    p->scale = hn__load_f16(is_5 ? b5->d : b->d) * (float)hn__k_scale(scale, j);
    p->least = -hn__load_f16(is_5 ? b5->dmin : b->dmin) * (float)hn__k_min(scale, j);
}

VNNI_INLINE float total(__m256 x)
{
    float lane[8], sum = 0;
    _mm256_storeu_ps(lane, x);
    for (int l = 0; l < 8; l++)
        sum += lane[l];
    return sum;
}

// One row of b with `rows` rows of a, of which those beyond m are the last again.
VNNI_INLINE void dots(hn_dtype t, int rows, const hn__dots8 *d, const void *row, float *y)
{
    const int64_t n = d->k / 32;
    __m256 sum[HN__DOTS_ROWS];
    float least[HN__DOTS_ROWS] = { 0 };

    for (int r = 0; r < rows; r++)
        sum[r] = _mm256_setzero_ps();
    for (int64_t i = 0; i < n; i++) {
        piece8 p = { .least = 0 };
        if ((t == HN_Q4_K || t == HN_Q5_K || t == HN_Q6_K))
            load_large(t, row, i, &p);
        else
            load_small(t, row, i, &p);
        for (int r = 0; r < rows; r++) {
            const hn__row8 *a = &d->a[(r < d->m ? r : d->m - 1) * n + i];
            const __m256i from = offset_shift(t) < 0 ? _mm256_setzero_si256() : load32(a->start);
            const __m256 v = _mm256_cvtepi32_ps(_mm256_dpbusd_epi32(from, p.u, load32(a->q)));
            const __m256 low = _mm256_set1_ps(p.scale * a->d);
            const __m256 scale =
                t == HN_Q6_K ? _mm256_blend_ps(low, _mm256_set1_ps(p.scale_high * a->d), 0xf0)
                             : low;
            sum[r] = _mm256_fmadd_ps(v, scale, sum[r]);
            if (offset_shift(t) < 0)
                least[r] += p.least * a->sum;
        }
    }
    for (int r = 0; r < rows && r < d->m; r++)
        y[r * d->ldy] = d->scale * (total(sum[r]) + least[r]);
}

#define DOTS(name, t)                                                                             \
    VNNI static void name(const hn__dots8 *d, const void *row, float *y)                          \
    {                                                                                             \
        if (d->m == 1)                                                                            \
            dots(t, 1, d, row, y);                                                                \
        else if (d->m <= HN__DOTS_ROWS / 2)                                                       \
            dots(t, HN__DOTS_ROWS / 2, d, row, y);                                                \
        else                                                                                      \
            dots(t, HN__DOTS_ROWS, d, row, y);                                                    \
    }
DOTS(dots_q8_0, HN_Q8_0)
DOTS(dots_q4_0, HN_Q4_0)
DOTS(dots_q4_1, HN_Q4_1)
DOTS(dots_q5_0, HN_Q5_0)
DOTS(dots_q5_1, HN_Q5_1)
DOTS(dots_q4_k, HN_Q4_K)
DOTS(dots_q5_k, HN_Q5_K)
DOTS(dots_q6_k, HN_Q6_K)

hn__dots8_fn hn__dots8_of(hn_dtype t)
{
    static const hn__dots8_fn fn[HN_DTYPE_COUNT] = {
        [HN_Q8_0] = dots_q8_0, [HN_Q4_0] = dots_q4_0, [HN_Q4_1] = dots_q4_1, [HN_Q5_0] = dots_q5_0,
        [HN_Q5_1] = dots_q5_1, [HN_Q4_K] = dots_q4_k, [HN_Q5_K] = dots_q5_k, [HN_Q6_K] = dots_q6_k,
    };
    return __builtin_cpu_supports("x86-64-v4") && __builtin_cpu_supports("avx512vnni") ? fn[t]
                                                                                       : NULL;
}

void hn__dots8_rows(hn_dtype t, const void *a, int64_t n, hn__row8 *out)
{
    const int shift = offset_shift(t);

    for (int64_t i = 0; i < n / 32; i++) {
        const hn__q8_0 *b = (const hn__q8_0 *)a + i;
        int all = 0;
        for (int l = 0; l < 8; l++) {
            const int four = b->q[4 * l] + b->q[4 * l + 1] + b->q[4 * l + 2] + b->q[4 * l + 3];
            out[i].start[l] = shift < 0 ? 0 : -four * (1 << shift);
            all += four;
        }
        memcpy(out[i].q, b->q, sizeof b->q);
        out[i].d = hn__load_f16(b->d);
        out[i].sum = out[i].d * (float)all;
    }
}

#else

hn__dots8_fn hn__dots8_of(hn_dtype t)
{
    (void)t;
    return NULL;
}

void hn__dots8_rows(hn_dtype t, const void *a, int64_t n, hn__row8 *out)
{
    (void)t, (void)a, (void)n, (void)out;
}

#endif
