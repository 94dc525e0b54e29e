// Products of a few rows with a stored matrix [n, k]: they are bound by reading it, so a block
// goes from memory to registers once and is never written out as f32.
//
// The sum over a piece (base/pieces.h) is its scale times the product of hn__lanes, and its least
// times the sum of a's elements, which is known beforehand.
#include "ops/matmul.h"

#include "base/pieces.h"

#ifdef HN__PIECES

// ---- dots ----------------------------------------------------------------------------------

HN__INLINE float total(const hn__lanes *x)
{
    float sum = 0;
    for (int l = 0; l < 16; l++)
        sum += (*x)[l];
    return sum;
}

// One row of b with one row of a.
HN__INLINE float dot_one(hn_dtype t, const hn__dots *d, const void *row)
{
    hn__lanes sum = { 0 };
    float least = 0;

    for (int64_t i = 0; i < d->k / 32; i++) {
        hn__piece p;
        hn__lanes x, y;
        hn__load_piece(t, row, i, &p);
        hn__load_lanes(d->a + 32 * i, &x);
        hn__load_lanes(d->a + 32 * i + 16, &y);
        if (t == HN_Q6_K)
            sum += p.scale_low * p.low * x + p.scale_high * p.high * y;
        else
            sum += p.scale_low * (p.low * x + p.high * y);
        if (hn__has_least(t))
            least += p.least * d->sums[i];
    }
    return total(&sum) + least;
}

// One row of b with `rows` rows of a, of which those beyond m are the last again.
HN__INLINE void dot_more(hn_dtype t, int rows, const hn__dots *d, const void *row, float *y)
{
    hn__lanes sum[HN__DOTS_ROWS] = { { 0 } };
    float least[HN__DOTS_ROWS] = { 0 };

    for (int64_t i = 0; i < d->k / 32; i++) {
        hn__piece p;
        hn__load_piece(t, row, i, &p);
        p.low *= p.scale_low;
        p.high *= p.scale_high;
        for (int r = 0; r < rows; r++) {
            const int64_t at = r < d->m ? r : d->m - 1;
            hn__lanes x, z;
            hn__load_lanes(d->a + at * d->lda + 32 * i, &x);
            hn__load_lanes(d->a + at * d->lda + 32 * i + 16, &z);
            sum[r] += p.low * x + p.high * z;
            if (hn__has_least(t))
                least[r] += p.least * d->sums[at * (d->k / 32) + i];
        }
    }
    for (int r = 0; r < d->m; r++)
        y[r * d->ldy] = d->scale * (total(&sum[r]) + least[r]);
}

#define DOTS(name, t)                                                                             \
    static HN__HOT void name(const hn__dots *d, const void *row, float *y)                        \
    {                                                                                             \
        if (d->m == 1)                                                                            \
            *y = d->scale * dot_one(t, d, row);                                                   \
        else if (d->m <= HN__DOTS_ROWS / 2)                                                       \
            dot_more(t, HN__DOTS_ROWS / 2, d, row, y);                                            \
        else                                                                                      \
            dot_more(t, HN__DOTS_ROWS, d, row, y);                                                \
    }
DOTS(dots_f16, HN_F16)
DOTS(dots_bf16, HN_BF16)
DOTS(dots_q8_0, HN_Q8_0)
DOTS(dots_q4_0, HN_Q4_0)
DOTS(dots_q4_1, HN_Q4_1)
DOTS(dots_q5_0, HN_Q5_0)
DOTS(dots_q5_1, HN_Q5_1)
DOTS(dots_q4_k, HN_Q4_K)
DOTS(dots_q5_k, HN_Q5_K)
DOTS(dots_q6_k, HN_Q6_K)

hn__dots_fn hn__dots_of(hn_dtype t, int64_t k)
{
    static const hn__dots_fn fn[HN_DTYPE_COUNT] = {
        [HN_F16] = dots_f16,   [HN_BF16] = dots_bf16, [HN_Q8_0] = dots_q8_0, [HN_Q4_0] = dots_q4_0,
        [HN_Q4_1] = dots_q4_1, [HN_Q5_0] = dots_q5_0, [HN_Q5_1] = dots_q5_1, [HN_Q4_K] = dots_q4_k,
        [HN_Q5_K] = dots_q5_k, [HN_Q6_K] = dots_q6_k,
    };
    const hn__dots_fn f16 = t == HN_F16 ? hn__dots16_of() : NULL;

    return k % 32 ? NULL : f16 ? f16 : fn[t];
}

#else

hn__dots_fn hn__dots_of(hn_dtype t, int64_t k)
{
    (void)t, (void)k;
    return NULL;
}

#endif

HN__HOT void hn__dots_sums(const float *a, int64_t n, float *sums)
{
    for (int64_t i = 0; i < n / 32; i++) {
        float sum = 0;
        for (int l = 0; l < 32; l++)
            sum += a[32 * i + l];
        sums[i] = sum;
    }
}
