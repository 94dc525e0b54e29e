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

// Sum of f over i in [0, n), where f(i) is an expression of `i`.
#define HN__ROW_SUM(name, params, term)                                                           \
    HN__INLINE float name params                                                                  \
    {                                                                                             \
        float lane[HN__LANES] = { 0 }, sum = 0;                                                   \
        int64_t b = 0;                                                                            \
        for (; b + HN__LANES <= n; b += HN__LANES)                                                \
            for (int l = 0; l < HN__LANES; l++) {                                                 \
                const int64_t i = b + l;                                                          \
                lane[l] += term;                                                                  \
            }                                                                                     \
        for (int64_t i = b; i < n; i++)                                                           \
            sum += term;                                                                          \
        for (int l = 0; l < HN__LANES; l++)                                                       \
            sum += lane[l];                                                                       \
        return sum;                                                                               \
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
