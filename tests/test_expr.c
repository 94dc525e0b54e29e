// Fused expressions: drawn at random, run by the cpu's interpreter and, on a Vulkan row, as the
// SPIR-V written from them; both against f64. The SPIR-V of each is validated.
#include "ops/table.h"
#include "support/check.h"
#include "support/device.h"
#include "support/expr.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { N_SEEDS = 400, N_DEVICE = 80, N_VALID = 60 };

static int64_t n_bytes(const test_expr *t, int i)
{
    const hn_dtype type = i < t->e.n_in ? t->e.in[i].type : t->e.out[i - t->e.n_in].type;
    return t->n_io[i] * hn_dtype_size(type);
}

static void compare(const test_expr *t, int o, const void *out, const char *where, uint64_t seed)
{
    const int64_t n = t->n_io[t->e.n_in + o];
    double *got = hn__calloc((size_t)n, sizeof *got);
    CHECK(got, "out of memory");
    hn__to_f64(t->e.out[o].type, out, got, n);
    const int64_t bad = test_expr_bad(t, o, got);
    if (bad >= 0) {
        test_expr_print(t);
        fail_msg("%s, seed %" PRIu64 ": output %d [%" PRId64 "] is %.9g, want %.9g", where, seed,
                 o, bad, got[bad], t->want[o][bad]);
    }
    hn__free(got);
}

// ---- host ----------------------------------------------------------------------------------

// Runs on n threads; outputs in new memory, surrounded by a pattern.
static char *run_host(const test_expr *t, int n_threads, bool over_input, void *ptr[],
                      uint64_t seed)
{
    hn__pool *pool;
    int64_t bytes = 0;
    CHECK_OK(hn__pool_create(n_threads, &pool));
    for (int i = 0; i < t->e.n_in + t->e.n_out; i++)
        bytes += (n_bytes(t, i) + 191) / 64 * 64;
    char *block = hn__alloc_aligned((size_t)bytes), *at = block;
    void *scratch = hn__alloc_aligned((size_t)hn__expr_scratch(&t->e, n_threads) + 64);
    CHECK(block && scratch, "out of memory");
    memset(block, 0x5a, (size_t)bytes);
    for (int i = 0; i < t->e.n_in + t->e.n_out; i++) {
        ptr[i] = at;
        if (i < t->e.n_in)
            memcpy(at, t->in[i], (size_t)n_bytes(t, i));
        at += (n_bytes(t, i) + 191) / 64 * 64;
    }
    if (over_input)
        ptr[t->e.n_in] = ptr[t->alias];
    hn__expr_run(&t->e, ptr, pool, scratch);
    for (int i = 0; i < t->e.n_in + t->e.n_out; i++)
        for (int k = 0; k < 64; k++)
            CHECK(((char *)ptr[i])[n_bytes(t, i) + k] == 0x5a, "seed %" PRIu64 ": written past %d",
                  seed, i);
    hn__free_aligned(scratch);
    hn__pool_destroy(&pool);
    return block;
}

static void check_host(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= N_SEEDS; seed++) {
        test_expr *t = test_expr_draw(seed);
        void *one[HN__EXPR_IN + HN__EXPR_OUT], *three[HN__EXPR_IN + HN__EXPR_OUT];
        char *a = run_host(t, 1, false, one, seed),
             *b = run_host(t, 3, t->alias >= 0, three, seed);
        for (int o = 0; o < t->e.n_out; o++) {
            const int i = t->e.n_in + o;
            compare(t, o, one[i], "cpu", seed);
            if (memcmp(one[i], three[i], (size_t)n_bytes(t, i)))
                test_expr_print(t);
            CHECK(!memcmp(one[i], three[i], (size_t)n_bytes(t, i)),
                  "seed %" PRIu64 ": output %d differs with the number of threads", seed, o);
        }
        hn__free_aligned(a);
        hn__free_aligned(b);
        test_expr_destroy(t);
    }
}

// ---- SPIR-V --------------------------------------------------------------------------------

static void check_valid(void **state)
{
    (void)state;
    static const uint32_t locals[] = { 128, 64, 100 };
    for (uint64_t seed = 1; seed <= N_VALID; seed++) {
        test_expr *t = test_expr_draw(seed);
        uint32_t *words;
        size_t n_words;
        uint64_t n_groups;
        CHECK_OK(hn__expr_spirv(&t->e, locals[seed % 3], seed & 1 ? 8 : 0, &words, &n_words, &n_groups));
        FILE *f = popen(HN_SPIRV_VAL " --target-env vulkan1.1 -", "w");
        CHECK(f, "cannot start " HN_SPIRV_VAL);
        fwrite(words, sizeof *words, n_words, f);
        const int rc = pclose(f);
        if (rc)
            test_expr_print(t);
        CHECK(!rc, "seed %" PRIu64 ": " HN_SPIRV_VAL " gave %d", seed, rc);
        hn__free(words);
        test_expr_destroy(t);
    }
}

static void run_device(hn_device *d, const test_expr *t, uint64_t seed)
{
    static const uint32_t locals[] = { 128, 64, 100 };
    const int n_in = t->e.n_in, n = n_in + t->e.n_out;
    hn__kernel_desc desc = {
        .name = "expr", .spec = { locals[seed % 3] }, .n_spec = 1, .n_bind = n, .push_bytes = 8
    };
    hn__cmd cmd = { .label = "expr", .n_bind = n, .flop = 1e4 };
    uint32_t *words;
    hn__stream *s;

    const uint32_t vector = seed & 1 ? hn__vector_lanes(&d->info) : 0;
    CHECK_OK(hn__expr_spirv(&t->e, desc.spec[0], vector, &words, &desc.n_words, &cmd.n_groups));
    desc.spirv = words;
    CHECK_OK(d->fn->kernel_get(d, &desc, &cmd.kernel));
    for (int i = 0; i < n; i++) {
        const int64_t whole = (n_bytes(t, i) + 3) / 4 * 4;
        hn_buffer *b;
        CHECK_OK(hn_buffer_create(d, whole, &b));
        if (i < n_in)
            CHECK_OK(hn_buffer_write(b, 0, t->in[i], n_bytes(t, i)));
        cmd.bind[i] = (hn__bind){ b, 0, whole, i < n_in, i >= n_in };
    }
    CHECK_OK(d->fn->stream_create(d, &cmd, 1, &s));
    CHECK_OK(d->fn->stream_run(s));
    for (int i = n_in; i < n; i++) {
        void *out = hn__calloc(1, (size_t)n_bytes(t, i));
        CHECK(out, "out of memory");
        CHECK_OK(hn_buffer_read(cmd.bind[i].buf, 0, out, n_bytes(t, i)));
        compare(t, i - n_in, out, "vulkan", seed);
        hn__free(out);
    }
    d->fn->stream_destroy(s);
    for (int i = 0; i < n; i++)
        hn_buffer_destroy(&cmd.bind[i].buf);
    hn__free(words);
}

static void check_device(void **state)
{
    (void)state;
    const hn_device_params p = test_device_params();
    hn_device *d = test_device_open(&p);
    for (uint64_t seed = 1; seed <= N_DEVICE; seed++) {
        test_expr *t = test_expr_draw(seed);
        run_device(d, t, seed);
        test_expr_destroy(t);
    }
    test_device_close(&d);
}

int main(void)
{
    const struct CMUnitTest host[] = { cmocka_unit_test(check_host),
                                       cmocka_unit_test(check_valid) };
    const struct CMUnitTest device[] = { cmocka_unit_test(check_device) };
    return getenv("HN_TEST_DEVICE") ? cmocka_run_group_tests(device, NULL, NULL)
                                    : cmocka_run_group_tests(host, NULL, NULL);
}
