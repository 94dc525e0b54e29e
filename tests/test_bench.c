// The numbers that benches say: quantiles, and the interval of a ratio of medians.
#include "bench_statistics.h"
#include "base/base.h"
#include "support/check.h"

#include <math.h>

static void check_near(double got, double want)
{
    CHECK(fabs(got - want) <= 1e-12 * fabs(want), "%.17g, want %.17g", got, want);
}

// Quantiles as R's type 7 and NumPy's default have them.
static void check_summary(void **state)
{
    (void)state;
    const double x[] = { 4, 1, 3, 2 }, one[] = { 5 };
    const bench_stats s = bench_summary(x, 4), t = bench_summary(one, 1);
    CHECK(s.n == 4 && x[0] == 4, "n %d", s.n);
    check_near(s.median, 2.5);
    check_near(s.q1, 1.75);
    check_near(s.q3, 3.25);
    check_near(s.min, 1);
    check_near(s.max, 4);
    check_near(t.median, 5);
    check_near(t.q3, 5);
}

static void check_constant_ratio(void **state)
{
    (void)state;
    const double a[] = { 2, 2, 2, 2 }, b[] = { 3, 3, 3 };
    const bench_ratio r = bench_ratio_of(a, 4, b, 3);
    check_near(r.ratio, 1.5);
    check_near(r.low, 1.5);
    check_near(r.high, 1.5);
}

// Three values: a drawn median is the first, second or third with chances 7, 13 and 7 of 27, so
// the 2.5th percentile of it over one is the first and the 97.5th the third.
static void check_three(void **state)
{
    (void)state;
    const double one[] = { 1 }, b[] = { 1, 2, 4 };
    const bench_ratio r = bench_ratio_of(one, 1, b, 3);
    check_near(r.ratio, 2);
    check_near(r.low, 1);
    check_near(r.high, 4);
}

static double lognormal(hn_rng *rng)
{
    double sum = -6;
    for (int i = 0; i < 12; i++)
        sum += hn__rng_uniform(rng);
    return exp(0.1 * sum);
}

// Of runs that do not differ 95 % are said not to; of runs that do, with the true ratio inside.
static void check_coverage(void **state)
{
    (void)state;
    enum { TRIALS = 200, N = 25 };
    hn_rng rng = hn__rng(5, 0);
    for (double truth = 1; truth < 1.3; truth += 0.2) {
        int inside = 0;
        for (int k = 0; k < TRIALS; k++) {
            double a[N], b[N];
            for (int i = 0; i < N; i++) {
                a[i] = lognormal(&rng);
                b[i] = truth * lognormal(&rng);
            }
            const bench_ratio r = bench_ratio_of(a, N, b, N);
            inside += r.low <= truth && truth <= r.high;
        }
        print_message("seed 5, ratio %g: inside %d of %d\n", truth, inside, TRIALS);
        CHECK(inside >= TRIALS * 90 / 100 && inside <= TRIALS * 99 / 100, "%d of %d", inside,
              TRIALS);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(check_summary),
        cmocka_unit_test(check_constant_ratio),
        cmocka_unit_test(check_three),
        cmocka_unit_test(check_coverage),
    };
    return cmocka_run_group_tests_name("bench", tests, NULL, NULL);
}
