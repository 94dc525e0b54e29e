// Rotary positions against the formula in f64, at positions where an f32 product would be off.
#include "support/check.h"
#include "support/device.h"

#include "hornito/ops.h"
#include "hornito/plan.h"

static hn_device *dev;

static void check_positions(void **state)
{
    (void)state;
    enum { T = 6, D = 64 };
    static const int32_t at[T] = { 0, 1, 127, 4097, 99991, 524287 };
    for (int neighbours = 0; neighbours < 2; neighbours++) {
        hn_graph *g;
        hn_plan *plan;
        float x[T * D], y[T * D];
        CHECK_OK(hn_graph_create(&g));
        const hn_val in = hn_input(g, "x", (hn_type){ HN_F32, 4, { 1, T, 1, D } });
        const hn_val pos = hn_input(g, "at", (hn_type){ HN_I32, 1, { T } });
        hn_output(
            g, "y",
            hn_rope(g, in, pos, &(hn_rope_params){ .base = 10000, .neighbours = neighbours }));
        CHECK_OK(hn_plan_create(g, dev, NULL, &plan));
        for (int i = 0; i < T * D; i++)
            x[i] = (float)(i * 29 % 83) / 41 - 1;
        CHECK_OK(hn_plan_write(plan, "x", x, sizeof x));
        CHECK_OK(hn_plan_write(plan, "at", at, sizeof at));
        CHECK_OK(hn_plan_run(plan));
        CHECK_OK(hn_plan_read(plan, "y", y, sizeof y));
        for (int t = 0; t < T; t++)
            for (int i = 0; i < D / 2; i++) {
                const int p = t * D + (neighbours ? 2 * i : i), q = neighbours ? p + 1 : p + D / 2;
                const double a = at[t] * pow(10000, -2.0 * i / D), c = cos(a), s = sin(a);
                CHECK(fabs(y[p] - (x[p] * c - x[q] * s)) < 2e-6 &&
                          fabs(y[q] - (x[q] * c + x[p] * s)) < 2e-6,
                      "position %d, pair %d: %g, want %g", at[t], i, (double)y[p],
                      x[p] * c - x[q] * s);
            }
        hn_plan_destroy(&plan);
        hn_graph_destroy(&g);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(check_positions) };
    const hn_device_params p = test_device_params();
    dev = test_device_open(&p);
    const int failed = cmocka_run_group_tests(tests, NULL, NULL);
    test_device_close(&dev);
    return failed;
}
