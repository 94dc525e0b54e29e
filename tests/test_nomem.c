// Every allocation of the library made to fail in turn: a status each time, and nothing left
// behind.
#include "support/check.h"
#include "support/failing.h"

#include "base/base.h"
#include "hornito/train.h"
#include "support/folder.h"

#include <stdio.h>

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

typedef struct task {
    const char *spec;
    hn_lm_family family;
} task;

// Opens a device, trains two steps. All is closed again whatever happens.
static hn_status work(void *user)
{
    const task *k = user;
    const hn_train_params p = params(k->family);
    hn_device *d;
    hn_trainer *t;
    hn_train_step r;
    HN_TRY(hn_device_open(&(hn_device_params){ .spec = k->spec, .n_threads = 1 }, &d));
    hn_status s = hn_trainer_create(d, &p, tokens, 200, &t);
    for (int i = 0; s == HN_OK && i < 2; i++)
        s = hn_trainer_step(t, &r);
    hn_trainer_destroy(&t);
    hn_device_close(&d);
    return s;
}

static void fail_each(const char *spec, hn_lm_family family)
{
    const long n = failing_allocations(spec, work, &(task){ spec, family });
    print_message("%s: %ld allocations made to fail in turn\n", spec, n);
}

static void check_cpu(void **state)
{
    (void)state;
    fail_each("cpu", HN_LM_LLAMA);
    fail_each("cpu", HN_LM_GPT2);
}

static void check_ref(void **state)
{
    (void)state;
    fail_each("ref", HN_LM_LLAMA);
}

// A run from a checkpoint: a frozen table, adapters, a checkpoint of its own, going on from it.
static hn_status tune(void *user)
{
    const char *const *folders = user;
    const char *const embed = "embed";
    hn_train_params p = params(HN_LM_GPT2);
    hn_device *d;
    hn_trainer *t = NULL;
    hn_train_step r;

    p.from = folders[0];
    p.tune = (hn_tune_params){ .freeze = &embed, .n_freeze = 1, .rank = 2 };
    p.optimizer.recompute = HN_RECOMPUTE_ALL;
    p.precision = HN_F16;
    HN_TRY(hn_device_open(&(hn_device_params){ .spec = "cpu", .n_threads = 1 }, &d));
    hn_status s = hn_trainer_create(d, &p, tokens, 200, &t);
    if (s == HN_OK)
        s = hn_trainer_step(t, &r);
    if (s == HN_OK)
        s = hn_trainer_save(t, folders[1], NULL);
    if (s == HN_OK)
        s = hn_trainer_resume(t, folders[1]);
    hn_trainer_destroy(&t);
    hn_device_close(&d);
    return s;
}

static void check_tune(void **state)
{
    (void)state;
    const hn_train_params p = params(HN_LM_GPT2);
    char base[256], out[256];
    const char *const folders[] = { base, out };
    hn_device *d;
    hn_trainer *t;

    folder_make("nomem");
    snprintf(base, sizeof base, "%s", folder_path("base"));
    snprintf(out, sizeof out, "%s", folder_path("out"));
    CHECK_OK(hn_device_open(&(hn_device_params){ .spec = "cpu", .n_threads = 1 }, &d));
    CHECK_OK(hn_trainer_create(d, &p, tokens, 200, &t));
    CHECK_OK(hn_trainer_save(t, base, NULL));
    hn_trainer_destroy(&t);
    hn_device_close(&d);
    const long n = failing_allocations("tune", tune, (void *)(uintptr_t)folders);
    print_message("from a checkpoint: %ld allocations made to fail in turn\n", n);
    folder_remove();
}

int main(void)
{
    for (int i = 0; i < 200; i++)
        tokens[i] = i * 37 % 64;
    const struct CMUnitTest tests[] = { cmocka_unit_test(check_cpu), cmocka_unit_test(check_ref),
                                        cmocka_unit_test(check_tune) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
