// The device a test runs on.
#include "support/device.h"
#include "support/check.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#if defined(__SANITIZE_ADDRESS__)
// The validation layer of Debian 12 leaks; the library and the drivers do not. Libraries stay
// loaded, or the layer's frames would have no name to be known by.
const char *__lsan_default_suppressions(void);
const char *__lsan_default_suppressions(void)
{
    return "leak:libVkLayer_khronos_validation";
}

int dlclose(void *handle);
int dlclose(void *handle)
{
    (void)handle;
    return 0;
}
#endif

static int n_errors; // lines since a device was opened

static void print_line(void *user, hn_log_level level, const char *line)
{
    int *errors = user;
    if (level == HN_LOG_ERROR) {
        fprintf(stderr, "%s\n", line);
        ++*errors;
    }
}

static uint32_t mask_of(const char *names)
{
    uint32_t mask = 0;
    size_t n_known = 0;
    for (uint32_t i = 0; i < HN_FEATURE_COUNT; i++) {
        const char *name = hn_feature_name((hn_feature)(1u << i)), *at = strstr(names, name);
        const size_t n = strlen(name);
        for (; at; at = strstr(at + 1, name))
            if ((at == names || at[-1] == ',') && (!at[n] || at[n] == ',')) {
                mask |= 1u << i;
                n_known += n + 1;
            }
    }
    CHECK(n_known == strlen(names) + 1, "HN_TEST_MASK '%s' holds an unknown feature", names);
    return mask;
}

hn_device_params test_device_params(void)
{
    const char *spec = getenv("HN_TEST_DEVICE"), *mask = getenv("HN_TEST_MASK");
    hn_device_params p = { .spec = spec ? spec : "vulkan", .phone = getenv("HN_TEST_PHONE"),
                           .no_self_test = true }; // test_choose has them
    p.mask = mask ? mask_of(mask) : 0;
    if (getenv("HN_TEST_UNCUT"))
        p.submit_ms = 1e9;
    p.validation = strncmp(p.spec, "vulkan", 6) == 0 && !getenv("HN_TEST_PLAIN");
    return p;
}

hn_device *test_device_open(const hn_device_params *p)
{
    static char said[512];
    n_errors = 0;
    hn_set_log(print_line, &n_errors, HN_LOG_ERROR);
    hn_device *d;
    CHECK_OK(hn_device_open(p, &d));
    const hn_device_info *i = hn_device_get_info(d);
    char now[512];
    snprintf(now, sizeof now, "device: %.200s (%.200s)", i->name, i->driver);
    if (strcmp(now, said)) {
        print_message("%s\n", now);
        strcpy(said, now);
    }
    const char *want = getenv("HN_TEST_DRIVER");
    CHECK(!want || strstr(i->driver, want), "the row is '%s', the driver '%s'", want, i->driver);
    return d;
}

hn_device *test_device_open_posing(void)
{
    const hn_device_params p = test_device_params();
    hn_device *d = test_device_open(&p);
    snprintf(d->info.type, sizeof d->info.type, "discrete");
    return d;
}

void test_device_close(hn_device **d)
{
    hn_device_close(d); // which may bring messages as well: objects left alive
    CHECK(n_errors == 0, "%d errors in the log", n_errors);
}
