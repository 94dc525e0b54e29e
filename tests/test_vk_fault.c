// The Vulkan device when things fail: every call made to fail in turn, device loss, cache files
// torn and foreign, validation messages, an application's own device.
#include "support/check.h"
#include "support/device.h"
#include "support/vk.h"
#include "base/os.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static char folder[64];

static int make_folder(void **state)
{
    (void)state;
    strcpy(folder, "/tmp/hornito-test-XXXXXX");
    return mkdtemp(folder) ? 0 : -1;
}

static int remove_folder(void **state)
{
    (void)state;
    return hn__remove_all(folder) != HN_OK;
}

// ---- every call fails in turn --------------------------------------------------------------

typedef struct session {
    hn_device *d;
    hn_buffer *x, *y;
    hn__stream *s;
} session;

// A bit of everything: what a first failure stops. `left` is what is made so far.
static hn_status work(const hn_device_params *p, session *left)
{
    float host[256] = { 1 };
    hn__kernel *k;
    HN_TRY(hn_device_open(p, &left->d));
    hn_device *d = left->d;
    HN_TRY(hn_buffer_create(d, sizeof host, &left->x));
    HN_TRY(hn_buffer_create(d, sizeof host, &left->y));
    HN_TRY(hn_buffer_write(left->x, 0, host, sizeof host));
    const hn__kernel_desc desc = test_axpy(64, 0);
    HN_TRY(d->fn->kernel_get(d, &desc, &k));
    const hn__cmd cmd[2] = { test_axpy_cmd(k, left->x, left->y, 256, 64, 2),
                             { .label = "copy", .n_bind = 2,
                               .bind = { { left->y, 0, 1024, true, false },
                                         { left->x, 0, 1024, false, true } } } };
    HN_TRY(d->fn->stream_create(d, cmd, 2, &left->s));
    HN_TRY(d->fn->stream_run(left->s));
    HN_TRY(d->fn->stream_run(left->s));
    HN_TRY(hn_buffer_read(left->y, 0, host, sizeof host));
    CHECK(host[0] == 6, "y[0] is %g, want 6", host[0]);
    return HN_OK;
}

static void tidy(session *w)
{
    if (w->s)
        w->d->fn->stream_destroy(w->s);
    hn_buffer_destroy(&w->x);
    hn_buffer_destroy(&w->y);
    hn_device_close(&w->d);
}

static void fail_each(VkResult r, hn_status want, const char *mask_name, uint32_t mask)
{
    hn_device_params p = test_device_params();
    p.mask |= mask;
    p.validation = false; // hundreds of openings
    char dir[96];
    snprintf(dir, sizeof dir, "%s/failing", folder);
    p.cache_dir = dir;
    int64_t n = 0, n_failed = 0;
    for (bool done = false; !done; n++) {
        session w = { 0 };
        CHECK_OK(hn__remove_all(p.cache_dir)); // so that closing writes it
        hn__vk_fail_at(n + 1, r);
        const hn_status s = work(&p, &w);
        // Memory may be had elsewhere and a cache may stay away, but then the work is done. Where
        // Vulkan cannot be loaded at all there is another word for it.
        CHECK(s == HN_OK || s == want || (n == 0 && s == HN_ERR_UNSUPPORTED),
              "call %d: %s: %s", (int)n + 1, hn_status_name(s), hn_error_text());
        CHECK(s == HN_OK || hn_error_text()[0], "call %d: no text", (int)n + 1);
        n_failed += s != HN_OK;
        if (s == HN_ERR_DEVICE && w.d && w.d->lost) {
            hn_buffer *b;
            CHECK_FAILS(hn_buffer_create(w.d, 16, &b), HN_ERR_DEVICE);
        }
        tidy(&w);
        done = hn__vk_fail_left() > 0;
        hn__vk_fail_at(0, VK_SUCCESS);
    }
    print_message("%s%s: %d calls, %d failures returned\n",
                  r == VK_ERROR_DEVICE_LOST ? "loss" : "memory", mask_name, (int)n - 1,
                  (int)n_failed);
    CHECK(n_failed > 20, "only %d failures", (int)n_failed);
    session w = { 0 };
    CHECK_OK(work(&p, &w));
    tidy(&w);
}

static void check_every_memory_failure(void **state)
{
    (void)state;
    fail_each(VK_ERROR_OUT_OF_DEVICE_MEMORY, HN_ERR_NOMEM, "", 0);
    fail_each(VK_ERROR_OUT_OF_HOST_MEMORY, HN_ERR_NOMEM, ", staged", HN_FEATURE_HOST_VISIBLE);
}

static void check_every_loss(void **state)
{
    (void)state;
    fail_each(VK_ERROR_DEVICE_LOST, HN_ERR_DEVICE, "", 0);
    fail_each(VK_ERROR_DEVICE_LOST, HN_ERR_DEVICE, ", staged",
              HN_FEATURE_HOST_VISIBLE | HN_FEATURE_TIMESTAMPS);
}

static void check_loss_sticks(void **state)
{
    (void)state;
    hn_device_params p = test_device_params();
    session w = { 0 };
    CHECK_OK(work(&p, &w));
    hn__vk_fail_at(2, VK_ERROR_DEVICE_LOST); // vkQueueSubmit, after the fence
    CHECK_FAILS(w.d->fn->stream_run(w.s), HN_ERR_DEVICE);
    CHECK(strstr(hn_error_text(), "vkQueueSubmit"), "the text does not say where: %s",
          hn_error_text());
    float v;
    CHECK_FAILS(hn_buffer_read(w.x, 0, &v, 4), HN_ERR_DEVICE);
    CHECK_FAILS(hn_buffer_write(w.x, 0, &v, 4), HN_ERR_DEVICE);
    CHECK_FAILS(w.d->fn->stream_run(w.s), HN_ERR_DEVICE);
    tidy(&w);
    CHECK_OK(work(&p, &w)); // opened again in the same process
    tidy(&w);
}

// ---- the allocator fails -------------------------------------------------------------------

static int64_t allocations_left;

static void *failing_resize(void *user, void *p, size_t n)
{
    (void)user;
    if (n == 0) {
        free(p);
        return NULL;
    }
    if (allocations_left == 0)
        return NULL;
    allocations_left--;
    return realloc(p, n);
}

static void check_every_allocation(void **state)
{
    (void)state;
    const hn_allocator failing = { failing_resize, NULL };
    hn_device_params p = test_device_params();
    p.validation = false;
    p.cache_dir = folder;
    hn_set_allocator(&failing);
    hn_status s = HN_ERR_NOMEM;
    for (int64_t n = 0; s != HN_OK; n++) {
        session w = { 0 };
        allocations_left = n;
        s = work(&p, &w);
        CHECK(s == HN_OK || s == HN_ERR_NOMEM, "allocation %d: %s: %s", (int)n, hn_status_name(s),
              hn_error_text());
        tidy(&w);
        CHECK(n < 1000, "never enough");
    }
    hn_set_allocator(NULL);
}

// ---- the pipeline cache --------------------------------------------------------------------

static char *cache_file(void)
{
    static char path[256];
    hn_device_params p = test_device_params();
    hn_device *d = test_device_open(&p);
    snprintf(path, sizeof path, "%s/cache/pipelines-%s-%08x.bin", folder, d->info.uuid,
             hn__vk_of(d)->probe.driver_version);
    test_device_close(&d);
    return path;
}

static void use_kernel(size_t *out_loaded)
{
    char dir[128];
    snprintf(dir, sizeof dir, "%s/cache", folder);
    hn_device_params p = test_device_params();
    p.cache_dir = dir;
    hn_device *d = test_device_open(&p);
    *out_loaded = hn__vk_of(d)->cache_bytes;
    const hn__kernel_desc desc = test_axpy(64, 0);
    hn__kernel *k;
    CHECK_OK(d->fn->kernel_get(d, &desc, &k));
    test_device_close(&d);
}

static long size_of(const char *path)
{
    FILE *f = fopen(path, "rb");
    CHECK(f, "no file '%s'", path);
    fseek(f, 0, SEEK_END);
    const long n = ftell(f);
    fclose(f);
    return n;
}

static void change_byte(const char *path, long at)
{
    FILE *f = fopen(path, "r+b");
    fseek(f, at, SEEK_SET);
    const int c = fgetc(f);
    fseek(f, at, SEEK_SET);
    fputc(c ^ 1, f);
    fclose(f);
}

static void check_cache(void **state)
{
    (void)state;
    const char *path = cache_file();
    size_t loaded;
    use_kernel(&loaded);
    CHECK(loaded == 0, "%zu bytes from nowhere", loaded);
    const long n = size_of(path);
    use_kernel(&loaded);
    CHECK(loaded > 0 && (long)loaded < n, "%zu bytes of a file of %ld", loaded, n);

    // Torn, another version's, another driver's, changed inside: ignored and replaced.
    const long bytes[] = { 8, 12, 30, n - 1 };
    for (int i = 0; i < 5; i++) {
        if (i < 4)
            change_byte(path, bytes[i]);
        else
            CHECK(truncate(path, n / 2) == 0, "truncate");
        use_kernel(&loaded);
        CHECK(loaded == 0, "damage %d: %zu bytes were used", i, loaded);
        use_kernel(&loaded);
        CHECK(loaded > 0, "damage %d: the file was not replaced", i);
    }
}

// ---- validation ----------------------------------------------------------------------------

static int n_logged;

static void count_line(void *user, hn_log_level level, const char *line)
{
    (void)user;
    n_logged += level == HN_LOG_ERROR && strstr(line, "validation") != NULL;
}

// A command that hides its write from the hazards: the layer sees what is missing. (That of Debian
// 12 does not see it between two dispatches, so a copy follows.)
static void check_validation_heard(void **state)
{
    (void)state;
    hn_device_params p = test_device_params();
    if (!p.validation)
        skip();
    hn_device *d = test_device_open(&p);
    hn_buffer *x, *y;
    hn__kernel *k;
    hn__stream *s;
    const hn__kernel_desc desc = test_axpy(64, 0);
    CHECK_OK(d->fn->kernel_get(d, &desc, &k));
    CHECK_OK(hn_buffer_create(d, 1024, &x));
    CHECK_OK(hn_buffer_create(d, 1024, &y));
    hn__cmd cmd[2] = { test_axpy_cmd(k, x, y, 256, 64, 2),
                       { .label = "copy", .n_bind = 2,
                         .bind = { { y, 0, 1024, true, false }, { x, 0, 1024, false, true } } } };
    cmd[0].bind[0].read = cmd[0].bind[1].read = cmd[0].bind[1].write = false;
    n_logged = 0;
    hn_set_log(count_line, NULL, HN_LOG_ERROR);
    CHECK_OK(d->fn->stream_create(d, cmd, 2, &s));
    CHECK_OK(d->fn->stream_run(s));
    CHECK(hn_device_validation_count(d) > 0, "a missing barrier went unseen");
    CHECK(n_logged == hn_device_validation_count(d), "%d messages logged, %d counted", n_logged,
          (int)hn_device_validation_count(d));
    d->fn->stream_destroy(s);
    hn_buffer_destroy(&x);
    hn_buffer_destroy(&y);
    hn_device_close(&d);
}

static void check_layer_missing(void **state)
{
    (void)state;
    hn_device_params p = test_device_params();
    p.validation = true;
    hn_device *d;
    setenv("VK_LAYER_PATH", folder, 1);
    CHECK_FAILS(hn_device_open(&p, &d), HN_ERR_UNSUPPORTED);
    unsetenv("VK_LAYER_PATH");
    CHECK(strstr(hn_error_text(), "VK_LAYER_KHRONOS_validation"), "text: %s", hn_error_text());
}

static void check_no_driver(void **state)
{
    (void)state;
    char *icd = getenv("VK_ICD_FILENAMES");
    if (!icd)
        skip();
    icd = strdup(icd);
    setenv("VK_ICD_FILENAMES", "/nonexistent.json", 1);
    hn_device_params p = test_device_params();
    p.validation = false;
    hn_device *d;
    hn_device_info *list;
    int n;
    const hn_status s = hn_device_open(&p, &d);
    CHECK_OK(hn_device_list(&list, &n));
    setenv("VK_ICD_FILENAMES", icd, 1);
    free(icd);
    CHECK(s == HN_ERR_UNSUPPORTED && strstr(hn_error_text(), "driver"), "%s: %s",
          hn_status_name(s), hn_error_text());
    CHECK(n == 2, "%d devices without a driver, not cpu and ref", n);
    hn_device_list_destroy(&list);
}

// ---- memory of other kinds than this machine's ----------------------------------------------

// The properties that a driver's only kind of memory is said not to have.
static void check_memory_without(VkMemoryPropertyFlags flags)
{
    hn_device_params p = test_device_params();
    hn_device *d = test_device_open(&p);
    hn__vk *v = hn__vk_of(d);
    for (uint32_t i = 0; i < v->mem.memoryTypeCount; i++)
        v->mem.memoryTypes[i].propertyFlags &= ~flags;
    hn_buffer *b;
    uint8_t want[5000], got[5000];
    for (size_t i = 0; i < sizeof want; i++)
        want[i] = (uint8_t)(i * 7);
    CHECK_OK(hn_buffer_create(d, sizeof want, &b));
    CHECK_OK(hn_buffer_write(b, 0, want, sizeof want));
    CHECK_OK(hn_buffer_write(b, 1001, want + 1001, 1001)); // inside atoms of its neighbours
    CHECK_OK(hn_buffer_read(b, 0, got, sizeof got));
    CHECK(!memcmp(want, got, sizeof got), "without flags 0x%x: another read than written", flags);
    CHECK_OK(hn_buffer_read(b, 4999, got, 1));
    CHECK(got[0] == want[4999], "without flags 0x%x: last byte", flags);
    hn_buffer_destroy(&b);
    test_device_close(&d);
}

static void check_other_memory(void **state)
{
    (void)state;
    check_memory_without(VK_MEMORY_PROPERTY_HOST_COHERENT_BIT); // flushed and invalidated
    check_memory_without(VK_MEMORY_PROPERTY_HOST_CACHED_BIT);   // written mapped, read by copies
    check_memory_without(VK_MEMORY_PROPERTY_DEVICE_LOCAL_BIT);  // the last resort
}

// ---- an application's own device -----------------------------------------------------------

static void check_borrowed(void **state)
{
    (void)state;
    hn_device_params p = test_device_params();
    hn_device *host = test_device_open(&p);
    const hn__vk *v = hn__vk_of(host);
    const hn_vulkan_handles h = {
        .instance = v->ins.handle, .physical_device = v->phys, .device = v->dev,
        .queue = v->queue, .queue_family = v->limits.family, .features = host->info.features,
    };
    hn_device_params q = p;
    q.vulkan = &h;
    session w = { 0 };
    if (p.validation) // it is the instance's maker who turns it on
        CHECK_FAILS(hn_device_open(&q, &w.d), HN_ERR_ARG);
    q.validation = false;
    CHECK_OK(work(&q, &w));
    CHECK(w.d->info.features == host->info.features, "features 0x%x, enabled 0x%x",
          w.d->info.features, host->info.features);
    tidy(&w);
    // It is still there: what was borrowed was not destroyed.
    hn_buffer *b;
    CHECK_OK(hn_buffer_create(host, 1024, &b));
    hn_buffer_destroy(&b);

    hn_vulkan_handles bad = h;
    bad.queue_family = 31;
    q.vulkan = &bad;
    CHECK_FAILS(hn_device_open(&q, &w.d), HN_ERR_ARG);
    bad = h;
    bad.queue = NULL;
    CHECK_FAILS(hn_device_open(&q, &w.d), HN_ERR_ARG);
    test_device_close(&host);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(check_every_memory_failure), cmocka_unit_test(check_every_loss),
        cmocka_unit_test(check_loss_sticks),          cmocka_unit_test(check_every_allocation),
        cmocka_unit_test(check_cache),                cmocka_unit_test(check_validation_heard),
        cmocka_unit_test(check_layer_missing),        cmocka_unit_test(check_no_driver),
        cmocka_unit_test(check_other_memory),         cmocka_unit_test(check_borrowed),
    };
    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
