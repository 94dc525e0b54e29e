// Reductions over a row for host kernels: LANES partial results side by side, so that they become
// vector code, joined in a fixed order.
#ifndef HN_OPS_ROWS_H
#define HN_OPS_ROWS_H

#include "ops/vecmath.h"

enum { HN__LANES = 16 };

HN__INLINE float hn__row_max(const float *x, int64_t n)
{
    float lane[HN__LANES], most = x[0];
    int64_t i = 0;
    for (int l = 0; l < HN__LANES; l++)
        lane[l] = x[0];
    for (; i + HN__LANES <= n; i += HN__LANES)
        for (int l = 0; l < HN__LANES; l++)
            lane[l] = x[i + l] > lane[l] ? x[i + l] : lane[l];
    for (; i < n; i++)
        most = x[i] > most ? x[i] : most;
    for (int l = 0; l < HN__LANES; l++)
        most = lane[l] > most ? lane[l] : most;
    return most;
}

// Elements summed before their sum joins the row's, which is a double: in one long f32 sum the
// many small terms of a softmax over a vocabulary would be lost beside the large one.
enum { HN__STRETCH = 32 * HN__LANES };

// Sum of f over i in [0, n), where f(i) is an expression of `i`.
#define HN__ROW_SUM(name, params, term)                                                           \
    HN__INLINE float name params                                                                  \
    {                                                                                             \
        double sum = 0;                                                                           \
        int64_t b = 0;                                                                            \
        while (b + HN__LANES <= n) {                                                              \
            const int64_t end = n - b < HN__STRETCH ? n : b + HN__STRETCH;                        \
            float lane[HN__LANES] = { 0 };                                                        \
            for (; b + HN__LANES <= end; b += HN__LANES)                                          \
                for (int l = 0; l < HN__LANES; l++) {                                             \
                    const int64_t i = b + l;                                                      \
                    lane[l] += term;                                                              \
                }                                                                                 \
            float all = 0;                                                                        \
            for (int l = 0; l < HN__LANES; l++)                                                   \
                all += lane[l];                                                                   \
            sum += (double)all;                                                                   \
        }                                                                                         \
        float rest = 0;                                                                           \
        for (int64_t i = b; i < n; i++)                                                           \
            rest += term;                                                                         \
        return (float)(sum + (double)rest);                                                       \
    }

HN__ROW_SUM(hn__row_sum, (const float *x, int64_t n), x[i])
HN__ROW_SUM(hn__row_dot, (const float *x, const float *y, int64_t n), x[i] * y[i])
HN__ROW_SUM(hn__row_dot3, (const float *x, const float *y, const float *z, int64_t n),
            x[i] * y[i] * z[i])
// Sum of squares of x - mean.
HN__ROW_SUM(hn__row_spread, (const float *x, float mean, int64_t n), (x[i] - mean) * (x[i] - mean))
HN__ROW_SUM(hn__row_exp_sum, (const float *x, float shift, int64_t n), hn__vexp(x[i] - shift))

// y = exp(scale x - shift); returns the sum. y may be x.
HN__INLINE float hn__row_exp(const float *x, float scale, float shift, float *y, int64_t n)
{
    for (int64_t i = 0; i < n; i++)
        y[i] = hn__vexp(scale * x[i] - shift);
    return hn__row_sum(y, n);
}

#endif
