// Which device is opened where there are several: a discrete GPU (RADV with null hardware, which
// runs nothing) and two software devices.
#include "support/check.h"
#include "support/device.h"

#include <stdio.h>
#include <string.h>

// Opens it without running anything, checks its name and that the reason holds some words.
static void check_opens(const char *spec, const char *name, const char *reason)
{
    const hn_device_params p = { .spec = spec };
    hn_device *d;
    CHECK_OK(hn_device_open(&p, &d));
    CHECK(strstr(d->info.name, name), "'%s' opens '%s', not '%s'", spec, d->info.name, name);
    CHECK(strstr(hn_device_reason(d), reason), "'%s': reason '%s', not '%s'", spec,
          hn_device_reason(d), reason);
    hn_device_close(&d);
}

static void check_rank(void **state)
{
    (void)state;
    check_opens("vulkan", "NAVI21", "discrete GPU, before 2 software devices");
    check_opens("auto", "NAVI21", "discrete GPU");
}

static void check_names(void **state)
{
    (void)state;
    check_opens("vulkan:llvmpipe", "llvmpipe", "name");
    check_opens("vulkan:SWIFT", "SwiftShader", "name");
    check_opens("vulkan:null hardware", "NAVI21", "name");
}

static void check_list(void **state)
{
    (void)state;
    hn_device_info *list;
    int n;
    char spec[64];
    CHECK_OK(hn_device_list(&list, &n));
    CHECK(n == 5, "%d devices, not 3 and cpu and ref", n);
    for (int i = 0; i < 3; i++) {
        check_opens(list[i].spec, list[i].name, "number");
        snprintf(spec, sizeof spec, "vulkan:%s", list[i].uuid);
        check_opens(spec, list[i].name, "UUID");
    }
    hn_device *d;
    const hn_device_params wrong = { .spec = "vulkan:geforce" };
    CHECK_FAILS(hn_device_open(&wrong, &d), HN_ERR_ARG);
    for (int i = 0; i < 3; i++)
        CHECK(strstr(hn_error_text(), list[i].name), "'%s' is not in: %s", list[i].name,
              hn_error_text());
    hn_device_list_destroy(&list);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(check_rank),
        cmocka_unit_test(check_names),
        cmocka_unit_test(check_list),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
