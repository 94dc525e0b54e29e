// The vector functions of ops/vecmath.h against the C library in f64, on every 4099th float.
#include "base/base.h"
#include "ops/vecmath.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <cmocka.h>

enum { N = 4096, STEP = 4099 };

static const double two_pi = 6.283185307179586;

#define LOOP(f)                                                                                   \
    HN__HOT static void loop_##f(const float *x, float *y)                                        \
    {                                                                                             \
        for (int i = 0; i < N; i++)                                                               \
            y[i] = hn__v##f(x[i]);                                                                \
    }
LOOP(exp)
LOOP(log)
LOOP(tanh)
LOOP(erf)
LOOP(cdf)

static double ulp(double want)
{
    int e;
    frexp(fabs(want) < 0x1p-126 ? 0x1p-126 : want, &e);
    return ldexp(1, e - 24);
}

static void sweep(const char *name, void (*loop)(const float *, float *), double (*ref)(double),
                  double most)
{
    static float x[N], y[N];

    for (uint64_t b = 0; b < UINT64_C(1) << 32; b += (uint64_t)N * STEP) {
        for (int i = 0; i < N; i++)
            x[i] = hn__bits_f32((int32_t)(uint32_t)(b + (uint64_t)i * STEP));
        loop(x, y);
        for (int i = 0; i < N; i++) {
            const double want = ref((double)x[i]);
            const bool same = want != want         ? y[i] != y[i]
                              : isinf((float)want) ? (double)y[i] > 3.402e38 || y[i] == (float)want
                                                   : fabs((double)y[i] - want) <= most * ulp(want);
            if (!same)
                fail_msg("%s(%.9g) is %.9g, want %.9g", name, (double)x[i], (double)y[i], want);
        }
    }
}

static void check_functions(void **state)
{
    (void)state;
    sweep("exp", loop_exp, exp, 1.2);
    sweep("log", loop_log, log, 1.0);
    sweep("tanh", loop_tanh, tanh, 1.5);
    sweep("erf", loop_erf, erf, 2.6);
}

// Of the normal distribution: absolute, and for small results relative too.
static void check_cdf(void **state)
{
    static float x[N], y[N];

    (void)state;
    for (int i = 0; i < N; i++)
        x[i] = (float)(i - N / 2) * 0.008f;
    x[0] = -INFINITY;
    x[1] = -3e38f;
    x[N - 1] = INFINITY;
    x[N - 2] = NAN;
    loop_cdf(x, y);
    if (y[N - 2] == y[N - 2])
        fail_msg("cdf(NaN) is %g", (double)y[N - 2]);
    for (int i = 0; i < N; i++) {
        const double want = erfc((double)x[i] * -0.70710678118654752) / 2;
        const double off = fabs((double)y[i] - want);
        if (i != N - 2 && (!(off <= 1.3e-7) || (x[i] > -5.5f && !(off <= 2e-6 * want))))
            fail_msg("cdf(%.9g) is %.9g, want %.9g", (double)x[i], (double)y[i], want);
    }
}

static void check_turns(void **state)
{
    (void)state;
    for (uint64_t u = 0; u < UINT64_C(1) << 32; u += 4099) {
        const double angle = two_pi * (double)u * 0x1p-32;
        if (!(fabs((double)hn__vsin_turn((uint32_t)u) - sin(angle)) < 1.2e-7) ||
            !(fabs((double)hn__vcos_turn((uint32_t)u) - cos(angle)) < 1.2e-7))
            fail_msg("turn %" PRIu64 ": sine %g, cosine %g", u, (double)hn__vsin_turn((uint32_t)u),
                     (double)hn__vcos_turn((uint32_t)u));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(check_functions),
                                        cmocka_unit_test(check_cdf),
                                        cmocka_unit_test(check_turns) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
