// The kernels of GPUs that reduce rows, on drivers that need none: those that a card with the same
// features would be given. Each draw runs twice and must give the same bits.
#include "support/check.h"
#include "support/device.h"
#include "ops/table.h"
#include "plan/build.h"
#include "plan/case.h"
#include "plan/choose.h"

#include <stdio.h>
#include <string.h>

enum { N_SEEDS = 6 };
static hn_device *dev;

static int open_device(void **state)
{
    const hn_device_params p = test_device_params();
    (void)state;
    dev = test_device_open(&p);
    snprintf(dev->info.type, sizeof dev->info.type, "discrete");
    return 0;
}

static int close_device(void **state)
{
    (void)state;
    test_device_close(&dev);
    return 0;
}

// Whether values of a workgroup are to be joined by subgroups.
static bool joins(hn_dtype t)
{
    return dev->info.features & HN_FEATURE_SUBGROUP &&
           (t == HN_F32 || dev->info.features & HN_FEATURE_STORAGE_16);
}

static void check_shader(const hn__case *c)
{
    const hn__variant only = { 0 };
    const hn__shader *s;
    hn__launch l;
    uint64_t code;

    CHECK_OK(hn__launch_variant(&c->s.inst, &dev->info, &only, false, &l, &code));
    CHECK_OK(hn__shader_of(&dev->info, &l.d[0], &s));
    CHECK((s->name[strlen(s->name) - 1] == 's') == joins(c->type), "the shader is '%s'", s->name);
}

static void check_draws(void **state)
{
    static const hn_dtype types[] = { HN_F32, HN_F16, HN_BF16 };
    const hn__op *op = hn__op_find(*state);

    for (uint64_t seed = 1; seed <= N_SEEDS; seed++)
        for (int i = 0; i < 3; i++) {
            hn__case *c;
            char what[HN__TEXT];
            CHECK_OK(hn__case_draw(op, types[i], seed, &c));
            check_shader(c);
            hn__case_run_ref(c);
            hn_status s = hn__case_run(c, dev);
            if (s == HN_OK)
                s = hn__case_compare(c);
            CHECK(s == HN_OK, "%s seed %d: %s", hn__inst_text(&c->s.inst, what), (int)seed,
                  hn_error_text());
            hn__case_destroy(&c);
        }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_prestate(check_draws, "rms_norm"),
        cmocka_unit_test_prestate(check_draws, "layer_norm"),
        cmocka_unit_test_prestate(check_draws, "softmax"),
        cmocka_unit_test_prestate(check_draws, "cross_entropy"),
    };
    return cmocka_run_group_tests_name("rows_gpu", tests, open_device, close_device);
}
