// Medians, quartiles, and how sure a ratio of two medians is.
#ifndef HORNITO_BENCH_STATISTICS_H
#define HORNITO_BENCH_STATISTICS_H

#include "hornito/base.h"

enum { BENCH_MOST_REPEATS = 1000, BENCH_LEAST_REPEATS = 10 };

typedef struct bench_stats {
    int n;
    double median, q1, q3, min, max; // seconds; q1 and q3: a quarter is below, above
} bench_stats;
// Of n seconds, n in [1, BENCH_MOST_REPEATS].
bench_stats bench_summary(const double seconds[], int n);

// median(b) / median(a) and the 95 % interval of it: both are drawn anew from their own values
// 2000 times, and the ratios between the 2.5th and the 97.5th percentile are kept (Efron and
// Tibshirani, An Introduction to the Bootstrap, 1993, chapter 13). The same each time.
typedef struct bench_ratio {
    double ratio, low, high;
} bench_ratio;
// na and nb in [1, BENCH_MOST_REPEATS]; all values above 0.
bench_ratio bench_ratio_of(const double a[], int na, const double b[], int nb);

#endif
