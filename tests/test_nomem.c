// Every allocation of the library made to fail in turn: a status each time, and nothing left
// behind.
#include "support/check.h"

#include "base/base.h"
#include "hornito/train.h"

#include <stdlib.h>
#include <string.h>

typedef struct heap {
    int64_t n, fail_at; // allocations so far; the one that fails
    int64_t alive;
} heap;

static void *resize(void *user, void *p, size_t n)
{
    heap *h = user;
    if (n == 0) {
        h->alive -= p != NULL;
        free(p);
        return NULL;
    }
    if (++h->n == h->fail_at)
        return NULL;
    void *q = realloc(p, n);
    h->alive += !p && q;
    return q;
}

static int32_t tokens[200];

static hn_train_params params(hn_lm_family family)
{
    const bool vq = family == HN_LM_LLAMA;
    return (hn_train_params){
        .model = { .family = family,
                   .vocab = 64,
                   .width = 16,
                   .layers = 1,
                   .heads = 2,
                   .kv_heads = 2,
                   .ffn = 32,
                   .context = 16,
                   .eps = 1e-5f,
                   .rope_base = 10000,
                   .act = HN_ACT_GELU,
                   .tied = !vq,
                   .head = vq ? HN_HEAD_VQ : HN_HEAD_DENSE,
                   .codes = vq ? 8 : 0,
                   .token_bias = vq,
                   .dropout = 0.1f },
        .optimizer = { .adamw = { 0.9f, 0.95f, 1e-8f, 0.1f }, .clip = 1, .scale_loss = true },
        .batch = 1,
        .length = 16,
        .steps = 3,
        .lr = 1e-3f,
        .seed = 3,
    };
}

// Opens a device, trains two steps. All is closed again whatever happens.
static hn_status work(const char *spec, hn_lm_family family)
{
    const hn_train_params p = params(family);
    hn_device *d;
    hn_trainer *t;
    hn_train_step r;
    HN_TRY(hn_device_open(&(hn_device_params){ .spec = spec, .n_threads = 1 }, &d));
    hn_status s = hn_trainer_create(d, &p, tokens, 200, &t);
    for (int i = 0; s == HN_OK && i < 2; i++)
        s = hn_trainer_step(t, &r);
    if (t)
        hn_trainer_destroy(&t);
    hn_device_close(&d);
    return s;
}

static void fail_each(const char *spec, hn_lm_family family, int64_t stride)
{
    heap h = { 0 };
    int64_t tried = 0;

    hn_set_allocator(&(hn_allocator){ resize, &h });
    CHECK_OK(work(spec, family));
    const int64_t n = h.n;
    CHECK(h.alive == 0, "%lld allocations are left", (long long)h.alive);
    for (int64_t at = 1; at <= n; at += at < 300 || at > n - 100 ? 1 : stride, tried++) {
        h = (heap){ .fail_at = at };
        const hn_status s = work(spec, family);
        CHECK(s == HN_ERR_NOMEM, "allocation %lld of %lld: %s: %s", (long long)at, (long long)n,
              hn_status_name(s), hn_error_text());
        CHECK(h.alive == 0, "allocation %lld of %lld: %lld are left", (long long)at, (long long)n,
              (long long)h.alive);
    }
    hn_set_allocator(NULL);
    print_message("%s: %lld of %lld allocations made to fail in turn\n", spec, (long long)tried,
                  (long long)n);
}

static void check_cpu(void **state)
{
    (void)state;
    fail_each("cpu", HN_LM_LLAMA, 1);
    fail_each("cpu", HN_LM_GPT2, 1);
}

static void check_ref(void **state)
{
    (void)state;
    fail_each("ref", HN_LM_LLAMA, 7);
}

int main(void)
{
    for (int i = 0; i < 200; i++)
        tokens[i] = i * 37 % 64;
    const struct CMUnitTest tests[] = { cmocka_unit_test(check_cpu), cmocka_unit_test(check_ref) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
