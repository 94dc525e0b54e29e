// Figures of the driver's compiler: AMD's, on RADV with null hardware, which compiles and runs
// nothing.
#include "support/check.h"
#include "support/device.h"
#include "support/vk.h"

#include <stdlib.h>
#include <string.h>

static void check_registers(void **state)
{
    (void)state;
    hn_device_params p = test_device_params();
    p.validation = false; // the layer has words about a device that cannot run
    hn_device *d;
    CHECK_OK(hn__vk_open(&p, &d));
    CHECK(hn__vk_capture(d), "'%s' keeps no statistics", d->info.name);
    print_message("device: %s (%s)\n", d->info.name, d->info.driver);
    const char *family = getenv("HN_TEST_NAME"); // which the row's RADV_FORCE_FAMILY asked for
    CHECK(!family || strstr(d->info.name, family), "'%s' is not %s", d->info.name, family);
    const hn__kernel_desc desc = test_axpy(64, 0);
    hn__kernel *k;
    hn__vk_stat *stat;
    int n;
    CHECK_OK(d->fn->kernel_get(d, &desc, &k));
    CHECK_OK(hn__vk_kernel_stats(hn__vk_of(d), k, &stat, &n));
    double vgprs = -1;
    for (int i = 0; i < n; i++) {
        print_message("  %s: %s %g\n", stat[i].executable, stat[i].name, stat[i].value);
        if (!strcmp(stat[i].name, "VGPRs"))
            vgprs = stat[i].value;
    }
    CHECK(vgprs >= 1 && vgprs <= 64, "%g vector registers", vgprs);
    hn__free(stat);
    hn_device_close(&d);
}

static void check_not_kept(void **state)
{
    (void)state;
    hn_device_params p = test_device_params();
    p.validation = false;
    hn_device *d;
    CHECK_OK(hn_device_open(&p, &d));
    const hn__kernel_desc desc = test_axpy(64, 0);
    hn__kernel *k;
    hn__vk_stat *stat;
    int n;
    CHECK_OK(d->fn->kernel_get(d, &desc, &k));
    CHECK_FAILS(hn__vk_kernel_stats(hn__vk_of(d), k, &stat, &n), HN_ERR_UNSUPPORTED);
    hn_device_close(&d);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(check_registers),
        cmocka_unit_test(check_not_kept),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
