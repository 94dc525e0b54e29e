// Medians, quartiles, and how sure a ratio of two medians is.
#include "bench_statistics.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/base.h"

static int by_size(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

// Between the two neighbours of place `at` in [0, 1].
static double quantile(const double x[], int n, double at)
{
    const double place = at * (n - 1), below = floor(place);
    const int i = (int)below;
    return i + 1 < n ? x[i] + (place - below) * (x[i + 1] - x[i]) : x[i];
}

bench_stats bench_summary(const double seconds[], int n)
{
    double x[BENCH_MOST_REPEATS];
    memcpy(x, seconds, (size_t)n * sizeof *x);
    qsort(x, (size_t)n, sizeof *x, by_size);
    return (bench_stats){
        n, quantile(x, n, 0.5), quantile(x, n, 0.25), quantile(x, n, 0.75), x[0], x[n - 1]
    };
}

// The median of n values drawn from x, each time from all of them.
static double drawn_median(hn_rng *rng, const double x[], int n)
{
    double y[BENCH_MOST_REPEATS];
    for (int i = 0; i < n; i++)
        y[i] = x[hn__rng_below(rng, n)];
    qsort(y, (size_t)n, sizeof *y, by_size);
    return quantile(y, n, 0.5);
}

bench_ratio bench_ratio_of(const double a[], int na, const double b[], int nb)
{
    enum { DRAWS = 2000 };
    double ratio[DRAWS];
    hn_rng rng = hn__rng(1, 0);

    for (int i = 0; i < DRAWS; i++) {
        const double under = drawn_median(&rng, a, na);
        ratio[i] = drawn_median(&rng, b, nb) / under;
    }
    qsort(ratio, DRAWS, sizeof *ratio, by_size);
    return (bench_ratio){ bench_summary(b, nb).median / bench_summary(a, na).median,
                          quantile(ratio, DRAWS, 0.025), quantile(ratio, DRAWS, 0.975) };
}
