// Products of a few rows with a stored matrix of f16, by the processor's own conversion (F16C): compilers
// make shifts and masks of it, eleven operations for sixteen elements, and reading the matrix is all
// such a product should wait for. Elsewhere hn__dots16_of gives NULL.
#include "ops/matmul.h"

#if defined(__GNUC__) && defined(__x86_64__) && !defined(HN_NO_CLONES)
#include <immintrin.h>

// Bytes of b that are asked for before their use: processors look ahead within a page at most.
enum { AHEAD = 2048 };

#define F16C __attribute__((target("avx2,fma,f16c")))

F16C static inline float total(__m256 x)
{
    const __m128 four = _mm_add_ps(_mm256_castps256_ps128(x), _mm256_extractf128_ps(x, 1));
    const __m128 two = _mm_add_ps(four, _mm_movehl_ps(four, four));

    return _mm_cvtss_f32(_mm_add_ss(two, _mm_movehdup_ps(two)));
}

// One row of b with `rows` rows of a, of which those beyond m are the last again.
F16C static inline __attribute__((always_inline)) void dots_of(int rows, const hn__dots *d,
                                                               const uint16_t *row, float *y)
{
    __m256 sum[HN__DOTS_ROWS][2];

    for (int r = 0; r < rows; r++)
        sum[r][0] = sum[r][1] = _mm256_setzero_ps();
    for (int64_t k = 0; k < d->k; k += 16) {
        if (k % 32 == 0) // a line
            _mm_prefetch((const char *)(row + k) + AHEAD, _MM_HINT_T0);
        const __m256 low = _mm256_cvtph_ps(_mm_loadu_si128((const __m128i_u *)(row + k))),
                     high = _mm256_cvtph_ps(_mm_loadu_si128((const __m128i_u *)(row + k + 8)));
        for (int r = 0; r < rows; r++) {
            const float *a = d->a + (r < d->m ? r : d->m - 1) * d->lda + k;
            sum[r][0] = _mm256_fmadd_ps(low, _mm256_loadu_ps(a), sum[r][0]);
            sum[r][1] = _mm256_fmadd_ps(high, _mm256_loadu_ps(a + 8), sum[r][1]);
        }
    }
    for (int r = 0; r < rows && r < d->m; r++)
        y[r * d->ldy] = d->scale * total(_mm256_add_ps(sum[r][0], sum[r][1]));
}

F16C static void dots(const hn__dots *d, const void *row, float *y)
{
    if (d->m == 1)
        dots_of(1, d, row, y);
    else if (d->m <= HN__DOTS_ROWS / 2)
        dots_of(HN__DOTS_ROWS / 2, d, row, y);
    else
        dots_of(HN__DOTS_ROWS, d, row, y);
}

hn__dots_fn hn__dots16_of(void)
{
    return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") &&
                   __builtin_cpu_supports("f16c")
               ? dots
               : NULL;
}

#else

hn__dots_fn hn__dots16_of(void)
{
    return NULL;
}

#endif
