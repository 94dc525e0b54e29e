// The Vulkan device: opening, memory, kernels, streams, submissions bounded in time.
#include "support/check.h"
#include "support/device.h"
#include "support/vk.h"
#include "base/os.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static hn_device *open_row(void)
{
    const hn_device_params p = test_device_params();
    return test_device_open(&p);
}

// ---- opening -------------------------------------------------------------------------------

static void check_choice(void **state)
{
    (void)state;
    hn_device_params p = test_device_params();
    hn_device *d = test_device_open(&p);
    const hn_device_info info = *hn_device_get_info(d);
    CHECK(hn_device_reason(d)[0], "no reason given");
    test_device_close(&d);

    char spec[300];
    p.spec = spec;
    const char *const names[] = { info.uuid, info.name, strchr(info.spec, ':') + 1 };
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        snprintf(spec, sizeof spec, "vulkan:%s", names[i]);
        d = test_device_open(&p);
        CHECK(!strcmp(hn_device_get_info(d)->uuid, info.uuid), "'%s' is another device", spec);
        test_device_close(&d);
    }
    // A part of the name in other case.
    snprintf(spec, sizeof spec, "vulkan:%.5s", info.name);
    for (char *c = spec + 7; *c; c++)
        *c = *c >= 'a' && *c <= 'z' ? (char)(*c - 32) : *c;
    d = test_device_open(&p);
    test_device_close(&d);

    const char *const wrong[] = { "vulkan:99", "vulkan:no such name", "vulkan:-1" };
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        p.spec = wrong[i];
        CHECK_FAILS(hn_device_open(&p, &d), HN_ERR_ARG);
        CHECK(strstr(hn_error_text(), info.name), "the text does not list '%s': %s", info.name,
              hn_error_text());
        CHECK(!d, "a device after a failure");
    }
}

static void check_masks(void **state)
{
    (void)state;
    hn_device_params p = test_device_params();
    const uint32_t row_mask = p.mask;
    hn_device *d = test_device_open(&p);
    const uint32_t all = hn_device_get_info(d)->features;
    test_device_close(&d);
    CHECK(!(all & row_mask), "masked features 0x%x are there", all & row_mask);
    // Each feature taken away alone leaves a device that works.
    for (uint32_t bit = 1; bit < 1u << HN_FEATURE_COUNT; bit <<= 1) {
        if (!(all & bit))
            continue;
        p.mask = row_mask | bit;
        d = test_device_open(&p);
        const uint32_t left = hn_device_get_info(d)->features;
        CHECK(!(left & bit), "'%s' is masked and there", hn_feature_name((hn_feature)bit));
        test_device_close(&d);
    }
}

static void check_phone(void **state)
{
    (void)state;
    hn_device_params p = test_device_params();
    p.phone = true;
    hn_device *d = test_device_open(&p);
    const hn_device_info *i = hn_device_get_info(d);
    CHECK(i->api_major == 1 && i->api_minor == 1, "Vulkan %u.%u", i->api_major, i->api_minor);
    CHECK(i->max_invocations <= 128 && i->max_shared_bytes <= 16384 &&
              i->max_binding_bytes <= 128 << 20,
          "limits %u, %u, %d", i->max_invocations, i->max_shared_bytes, (int)i->max_binding_bytes);
    CHECK(!(i->features & (HN_FEATURE_FP16 | HN_FEATURE_TIMELINE | HN_FEATURE_STORAGE_8)),
          "features 0x%x", i->features);
    hn__kernel *k;
    const hn__kernel_desc wide = test_axpy(256, 0);
    CHECK_FAILS(d->fn->kernel_get(d, &wide, &k), HN_ERR_UNSUPPORTED);
    test_device_close(&d);
}

static void check_list(void **state)
{
    (void)state;
    hn_device_info *list;
    int n, n_vulkan = 0;
    CHECK_OK(hn_device_list(&list, &n));
    for (int i = 0; i < n; i++) {
        if (list[i].kind != HN_DEVICE_VULKAN)
            continue;
        hn_device_params p = test_device_params();
        p.spec = list[i].spec;
        hn_device *d;
        CHECK_OK(hn_device_open(&p, &d));
        CHECK(!strcmp(d->info.uuid, list[i].uuid), "'%s' opens another device", list[i].spec);
        test_device_close(&d);
        n_vulkan++;
    }
    CHECK(n_vulkan > 0, "no Vulkan device in the list");
    hn_device_list_destroy(&list);
}

// ---- buffers -------------------------------------------------------------------------------

static void check_buffer(hn_device *d, hn_rng *r, int64_t n)
{
    hn_buffer *b;
    CHECK_OK(hn_buffer_create(d, n, &b));
    uint8_t *want = calloc((size_t)n, 1), *got = malloc((size_t)n);
    CHECK_OK(hn_buffer_read(b, 0, got, n));
    CHECK(!memcmp(want, got, (size_t)n), "%d bytes: not zero at first", (int)n);
    for (int i = 0; i < 4; i++) {
        const int64_t at = hn__rng_below(r, n), len = 1 + hn__rng_below(r, n - at);
        for (int64_t j = 0; j < len; j++)
            want[at + j] = (uint8_t)hn__rng_u32(r);
        CHECK_OK(hn_buffer_write(b, at, want + at, len));
    }
    CHECK_OK(hn_buffer_read(b, 0, got, n));
    CHECK(!memcmp(want, got, (size_t)n), "%d bytes: read is not what was written", (int)n);
    CHECK_FAILS(hn_buffer_read(b, 1, got, n), HN_ERR_ARG);
    CHECK_FAILS(hn_buffer_write(b, -1, got, 1), HN_ERR_ARG);
    free(want);
    free(got);
    hn_buffer_destroy(&b);
}

static void check_buffers(void **state)
{
    (void)state;
    const uint64_t seed = 7;
    print_message("seed %d\n", (int)seed);
    hn_rng r = hn__rng(seed, 0);
    hn_device *d = open_row();
    for (int i = 0; i < 20; i++)
        check_buffer(d, &r, hn__rng_dim(&r, 1 << 18));
    // More than the staging ring holds, and more than a block.
    check_buffer(d, &r, 3 * HN__VK_SLOT_BYTES + 5);
    check_buffer(d, &r, (17 << 20) + 1);
    CHECK(hn_device_bytes(d) == 0, "%d bytes left", (int)hn_device_bytes(d));
    test_device_close(&d);
}

static void check_blocks_shared(void **state)
{
    (void)state;
    hn_device *d = open_row();
    hn_buffer *b[100];
    for (int i = 0; i < 100; i++)
        CHECK_OK(hn_buffer_create(d, 1000 + i, &b[i]));
    // One block for buffers, and one where a staging ring is needed.
    CHECK(hn__vk_mem_blocks(hn__vk_of(d)) <= 2, "%d blocks",
          (int)hn__vk_mem_blocks(hn__vk_of(d)));
    CHECK(hn_device_bytes(d) == 100 * 1000 + 99 * 50, "%d bytes", (int)hn_device_bytes(d));
    for (int i = 0; i < 100; i++)
        hn_buffer_destroy(&b[(i * 37) % 100]);
    CHECK(hn__vk_mem_blocks(hn__vk_of(d)) <= 1, "%d blocks left",
          (int)hn__vk_mem_blocks(hn__vk_of(d)));
    test_device_close(&d);
}

static void check_out_of_memory(void **state)
{
    (void)state;
    hn_device_params p = test_device_params();
    p.validation = false; // the layer calls so large a buffer an error of its own
    hn_device *d = test_device_open(&p);
    hn_buffer *b, *ok;
    const int64_t sizes[] = { INT64_C(1) << 42, INT64_MAX };
    for (size_t i = 0; i < 2; i++) {
        CHECK_FAILS(hn_buffer_create(d, sizes[i], &b), HN_ERR_NOMEM);
        CHECK(!b && strstr(hn_error_text(), "left"), "text: %s", hn_error_text());
    }
    CHECK_OK(hn_buffer_create(d, 1 << 20, &ok)); // the device is as it was
    hn_buffer_destroy(&ok);
    test_device_close(&d);
}

// ---- kernels and streams -------------------------------------------------------------------

typedef struct axpy_case {
    hn_buffer *x, *y;
    float *hx, *hy;
    uint32_t n, lanes;
    hn__kernel *k;
} axpy_case;

static axpy_case make_case(hn_device *d, uint32_t n, uint32_t lanes)
{
    axpy_case c = { .n = n, .lanes = lanes };
    const hn__kernel_desc k = test_axpy(lanes, 0);
    CHECK_OK(d->fn->kernel_get(d, &k, &c.k));
    CHECK_OK(hn_buffer_create(d, 4 * (int64_t)n, &c.x));
    CHECK_OK(hn_buffer_create(d, 4 * (int64_t)n, &c.y));
    c.hx = malloc(4 * (size_t)n);
    c.hy = malloc(4 * (size_t)n);
    for (uint32_t i = 0; i < n; i++) {
        c.hx[i] = (float)(i % 17);
        c.hy[i] = (float)(i % 5);
    }
    CHECK_OK(hn_buffer_write(c.x, 0, c.hx, 4 * (int64_t)n));
    CHECK_OK(hn_buffer_write(c.y, 0, c.hy, 4 * (int64_t)n));
    return c;
}

static void free_case(axpy_case *c)
{
    hn_buffer_destroy(&c->x);
    hn_buffer_destroy(&c->y);
    free(c->hx);
    free(c->hy);
}

static void check_equal(hn_buffer *b, const float *want, uint32_t n, const char *what)
{
    float *got = malloc(4 * (size_t)n);
    CHECK_OK(hn_buffer_read(b, 0, got, 4 * (int64_t)n));
    for (uint32_t i = 0; i < n; i++)
        CHECK(got[i] == want[i], "%s[%u] is %g, want %g", what, i, got[i], want[i]);
    free(got);
}

static void check_kernels_shared(void **state)
{
    (void)state;
    hn_device *d = open_row();
    const hn__kernel_desc a = test_axpy(64, 0), b = test_axpy(64, 1), c = test_axpy(32, 0);
    hn__kernel *ka, *kb, *kc, *again;
    CHECK_OK(d->fn->kernel_get(d, &a, &ka));
    CHECK_OK(d->fn->kernel_get(d, &b, &kb));
    CHECK_OK(d->fn->kernel_get(d, &c, &kc));
    CHECK_OK(d->fn->kernel_get(d, &a, &again));
    CHECK(ka == again && ka != kb && ka != kc && kb != kc, "wrong kernels are shared");
    hn__kernel_desc bad = a;
    bad.push_bytes = HN__MAX_PUSH + 4;
    CHECK_FAILS(d->fn->kernel_get(d, &bad, &again), HN_ERR_ARG);
    test_device_close(&d);
}

// y += x; x += y; y += x, then a copy: each command depends on the one before.
static void check_chain(void **state)
{
    (void)state;
    hn_device *d = open_row();
    const uint32_t sizes[] = { 1, 63, 64, 1000, 100003 };
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        axpy_case c = make_case(d, sizes[i], 64);
        hn_buffer *z;
        CHECK_OK(hn_buffer_create(d, 4 * (int64_t)c.n, &z));
        hn__cmd cmd[4] = {
            test_axpy_cmd(c.k, c.x, c.y, c.n, 64, 2), test_axpy_cmd(c.k, c.y, c.x, c.n, 64, 1),
            test_axpy_cmd(c.k, c.x, c.y, c.n, 64, 1),
            { .label = "copy", .n_bind = 2,
              .bind = { { c.y, 0, 4 * (int64_t)c.n, true, false },
                        { z, 0, 4 * (int64_t)c.n, false, true } } },
        };
        hn__stream *s;
        CHECK_OK(d->fn->stream_create(d, cmd, 4, &s));
        for (int run = 0; run < 3; run++) {
            CHECK_OK(d->fn->stream_run(s));
            for (uint32_t j = 0; j < c.n; j++) {
                c.hy[j] += 2 * c.hx[j];
                c.hx[j] += c.hy[j];
                c.hy[j] += c.hx[j];
            }
            check_equal(z, c.hy, c.n, "z");
            check_equal(c.x, c.hx, c.n, "x");
        }
        // Between each pair, and one for who comes after.
        CHECK(hn__vk_stream_barriers(s) == 4, "%d barriers", hn__vk_stream_barriers(s));
        d->fn->stream_destroy(s);
        hn_buffer_destroy(&z);
        free_case(&c);
    }
    test_device_close(&d);
}

static void check_no_needless_barrier(void **state)
{
    (void)state;
    hn_device *d = open_row();
    axpy_case a = make_case(d, 1000, 64), b = make_case(d, 1000, 64);
    const hn__cmd cmd[2] = { test_axpy_cmd(a.k, a.x, a.y, 1000, 64, 1),
                             test_axpy_cmd(a.k, a.x, b.y, 1000, 64, 1) };
    hn__stream *s;
    CHECK_OK(d->fn->stream_create(d, cmd, 2, &s));
    CHECK_OK(d->fn->stream_run(s));
    CHECK(hn__vk_stream_barriers(s) == 1, "%d barriers", hn__vk_stream_barriers(s));
    d->fn->stream_destroy(s);
    free_case(&a);
    free_case(&b);
    test_device_close(&d);
}

static void check_bad_commands(void **state)
{
    (void)state;
    hn_device *d = open_row();
    axpy_case c = make_case(d, 1000, 64);
    const hn__cmd good = test_axpy_cmd(c.k, c.x, c.y, 1000, 64, 1);
    hn__cmd bad[6];
    for (int i = 0; i < 6; i++)
        bad[i] = good;
    bad[0].n_bind = 1;
    bad[1].n_groups = 0;
    bad[2].bind[1].bytes = 4001;
    bad[3].bind[0].offset = 4;
    bad[4].bind[0].buf = NULL;
    bad[5].n_groups = UINT64_C(1) << 32;
    hn__stream *s;
    for (int i = 0; i < 6; i++) {
        CHECK_FAILS(d->fn->stream_create(d, &bad[i], 1, &s), HN_ERR_ARG);
        CHECK(!s, "a stream after a failure");
    }
    CHECK_OK(d->fn->stream_create(d, &good, 0, &s)); // nothing to do is no error
    CHECK_OK(d->fn->stream_run(s));
    d->fn->stream_destroy(s);
    free_case(&c);
    test_device_close(&d);
}

static void check_counts(hn_buffer *b, uint32_t n, uint32_t want)
{
    uint32_t *got = malloc(4 * (size_t)n);
    CHECK_OK(hn_buffer_read(b, 0, got, 4 * (int64_t)n));
    for (uint32_t i = 0; i < n; i++)
        CHECK(got[i] == want, "workgroup %u of %u ran %u times, not %u", i, n, got[i], want);
    free(got);
}

// More workgroups than a row of the grid may hold.
static void check_grid(void **state)
{
    (void)state;
    hn_device *d = open_row();
    const uint32_t most = hn__vk_of(d)->limits.max_groups_x, n = most < 1 << 20 ? 2 * most + 3 : 7;
    const hn__kernel_desc desc = test_count();
    hn__kernel *k;
    hn_buffer *b;
    hn__stream *s;
    CHECK_OK(d->fn->kernel_get(d, &desc, &k));
    CHECK_OK(hn_buffer_create(d, 4 * (int64_t)n, &b));
    const hn__cmd c = test_count_cmd(k, b, n, 1);
    CHECK_OK(d->fn->stream_create(d, &c, 1, &s));
    CHECK_OK(d->fn->stream_run(s));
    check_counts(b, n, 1);
    d->fn->stream_destroy(s);
    hn_buffer_destroy(&b);
    test_device_close(&d);
}

// ---- time ----------------------------------------------------------------------------------

// The longest submission, each at its best of some runs: other programs only ever add.
static double longest_ms(hn__stream *s, int n_runs)
{
    const int n = hn__vk_stream_submits(s);
    double *best = malloc((size_t)n * sizeof *best), *ms = malloc((size_t)n * sizeof *ms);
    double longest = 0;
    for (int run = 0; run < n_runs; run++) {
        CHECK_OK(hn__vk_stream_submit_ms(s, ms, n));
        for (int i = 0; i < n; i++)
            best[i] = run == 0 || ms[i] < best[i] ? ms[i] : best[i];
    }
    for (int i = 0; i < n; i++)
        longest = best[i] > longest ? best[i] : longest;
    free(best);
    free(ms);
    return longest;
}

// One dispatch that is longer than the limit of 15 ms: it is split, and every workgroup still runs
// once a run.
static void check_bounded(void **state)
{
    (void)state;
    hn_device_params p = test_device_params();
    p.submit_ms = 15;
    p.validation = false;
    hn_device *d = test_device_open(&p);
    const hn__kernel_desc desc = test_count();
    const uint32_t n = 256;
    hn__kernel *k;
    hn_buffer *b;
    hn__stream *s;
    CHECK_OK(d->fn->kernel_get(d, &desc, &k));
    CHECK_OK(hn_buffer_create(d, 4 * (int64_t)n, &b));
    hn__cmd c = test_count_cmd(k, b, n, 1 << 18);
    c.flop = 1; // the guess is far too low: only measuring finds out
    CHECK_OK(d->fn->stream_create(d, &c, 1, &s));
    const uint64_t begin = hn__now_ns();
    CHECK_OK(d->fn->stream_run(s));
    const double first_ms = (double)(hn__now_ns() - begin) * 1e-6, longest = longest_ms(s, 4);
    const int n_submits = hn__vk_stream_submits(s);
    print_message("one dispatch of %.0f ms: %d submissions, the longest %.1f ms\n", first_ms,
                  n_submits, longest);
    CHECK(first_ms < 15 || n_submits > 1, "not split");
    CHECK(longest < 45, "a submission of %.1f ms", longest);
    check_counts(b, n, 5);
    d->fn->stream_destroy(s);
    hn_buffer_destroy(&b);
    test_device_close(&d);
}

static void check_guess_splits(void **state)
{
    (void)state;
    hn_device_params p = test_device_params();
    p.submit_ms = 1;
    hn_device *d = test_device_open(&p);
    const hn__kernel_desc desc = test_count();
    hn__kernel *k;
    hn_buffer *b;
    hn__stream *s;
    CHECK_OK(d->fn->kernel_get(d, &desc, &k));
    CHECK_OK(hn_buffer_create(d, 400, &b));
    hn__cmd c = test_count_cmd(k, b, 100, 10);
    c.flop = 1e12; // said to be huge: split before anything is measured
    CHECK_OK(d->fn->stream_create(d, &c, 1, &s));
    CHECK_OK(d->fn->stream_run(s));
    CHECK_OK(d->fn->stream_run(s));
    check_counts(b, 100, 2);
    d->fn->stream_destroy(s);
    hn_buffer_destroy(&b);
    test_device_close(&d);
}

static void check_time(void **state)
{
    (void)state;
    hn_device *d = open_row();
    const hn__kernel_desc desc = test_count();
    hn__kernel *k;
    hn_buffer *b;
    hn__stream *s;
    double ns[2], best[2] = { 1e18, 1e18 };
    CHECK_OK(d->fn->kernel_get(d, &desc, &k));
    CHECK_OK(hn_buffer_create(d, 400, &b));
    const hn__cmd c[2] = { test_count_cmd(k, b, 100, 10), test_count_cmd(k, b, 100, 100000) };
    CHECK_OK(d->fn->stream_create(d, c, 2, &s));
    if (d->info.features & HN_FEATURE_TIMESTAMPS) {
        CHECK_OK(d->fn->stream_run(s));
        for (int i = 0; i < 10; i++) { // each at its best: other programs only ever add
            CHECK_OK(d->fn->stream_time(s, ns, 2));
            for (int j = 0; j < 2; j++)
                best[j] = ns[j] < best[j] ? ns[j] : best[j];
        }
        CHECK(best[0] > 0 && best[1] > 4 * best[0] && best[1] < 10e9, "times %g and %g ns",
              best[0], best[1]);
    } else {
        CHECK_FAILS(d->fn->stream_time(s, ns, 2), HN_ERR_UNSUPPORTED);
    }
    d->fn->stream_destroy(s);
    hn_buffer_destroy(&b);
    test_device_close(&d);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(check_choice),
        cmocka_unit_test(check_masks),
        cmocka_unit_test(check_phone),
        cmocka_unit_test(check_list),
        cmocka_unit_test(check_buffers),
        cmocka_unit_test(check_blocks_shared),
        cmocka_unit_test(check_out_of_memory),
        cmocka_unit_test(check_kernels_shared),
        cmocka_unit_test(check_chain),
        cmocka_unit_test(check_no_needless_barrier),
        cmocka_unit_test(check_bad_commands),
        cmocka_unit_test(check_grid),
        cmocka_unit_test(check_bounded),
        cmocka_unit_test(check_guess_splits),
        cmocka_unit_test(check_time),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
