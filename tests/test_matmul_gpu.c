// The matrix products of GPUs, on drivers that need none: the variants that a card of the same limits
// would be given, drawn at random. Each draw takes one of them; types and variants have their turns.
//
//   test_matmul_gpu [draws]    12 where nothing is said: each makes pipelines of its own, for which software
//                              drivers take a second
#include "support/case.h"
#include "support/check.h"
#include "support/device.h"
#include "ops/table.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int n_draws = 12;
static hn_device *dev;
static const hn__op *op;

static int open_device(void **state)
{
    const hn_device_params p = test_device_params();
    (void)state;
    dev = test_device_open(&p);
    snprintf(dev->info.type, sizeof dev->info.type, "discrete");
    op = hn__op_find("matmul");
    return op ? 0 : -1;
}

static int close_device(void **state)
{
    (void)state;
    test_device_close(&dev);
    return 0;
}

// In parts of k too, where the kernel has them: draws are too short for the plan's own choice.
static hn__variant in_parts(hn__variant v)
{
    if (!strcmp(v.kernel, "matmul_tile"))
        v.param[6] = 3;
    return v;
}

static void check_draw(hn_dtype t, int turn)
{
    hn__case *c;
    hn__variant v[HN__MAX_VARIANTS];

    CHECK_OK(hn__case_draw(op, t, (uint64_t)turn + 1, &c));
    hn__case_run_ref(c);
    const int n = hn__variants(&c->s.inst, &dev->info, v);
    CHECK(n > 0 && n <= HN__MAX_VARIANTS, "%d variants", n);
    const hn__variant taken = turn / n % 2 ? in_parts(v[turn % n]) : v[turn % n];
    const hn_status s = hn__case_run_variant(c, dev, &taken);
    CHECK(s == HN_OK, "%s seed %d: %s", hn_dtype_name(t), turn + 1, hn_error_text());
    hn__case_destroy(&c);
}

static void check_every_variant(void **state)
{
    hn_dtype types[HN_DTYPE_COUNT];
    int n_types = 0;

    (void)state;
    for (hn_dtype t = HN_F32; t < HN_DTYPE_COUNT; t++)
        if (op->tol[t] > 0)
            types[n_types++] = t;
    for (int turn = 0; turn < n_draws; turn++)
        check_draw(types[turn % n_types], turn);
}

int main(int argc, char **argv)
{
    if (argc == 2)
        n_draws = atoi(argv[1]);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(check_every_variant),
    };
    return cmocka_run_group_tests_name("matmul_gpu", tests, open_device, close_device);
}
