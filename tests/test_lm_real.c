// SmolLM2-135M-Instruct (Q4_1) against an independent f64 implementation: logits, likelihoods and
// greedy tokens of three prompts. tests/data/reference/smollm2-135m/README.md says how those were
// made. Software Vulkan devices are slow: there only the shortest prompt, and few tokens.
#include "support/check.h"
#include "support/device.h"
#include "support/models.h"

#include "base/os.h"
#include "hornito/lm.h"
#include "io/json.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { GREEDY = 48, FEW = 6, STEP = 96 }; // tokens made; every 96th logit is stored

static hn_device *dev;
static hn_lm *model;
static json_t *prompts;

static bool is_host(void)
{
    return hn_device_get_info(dev)->kind != HN_DEVICE_VULKAN;
}

// Opens the model and the numbers once; skips the test where there is none.
static void need_model(void)
{
    json_t *all;
    if (model)
        return;
    CHECK_OK(hn_lm_open(dev, model_folder("smollm2-135m"), NULL, &model));
    CHECK_OK(hn__json_load(reference_path("smollm2-135m/prompts.json"), 1 << 20, &all));
    prompts = json_incref(json_object_get(all, "prompts"));
    json_decref(all);
}

static void read_ids(const json_t *o, const char *key, hn_ids *out)
{
    const json_t *a = json_object_get(o, key);
    CHECK(json_array_size(a) > 0, "no %s", key);
    out->cap = out->n = (int64_t)json_array_size(a);
    out->id = hn__calloc((size_t)out->n, sizeof *out->id);
    for (int64_t i = 0; i < out->n; i++)
        out->id[i] = (int32_t)json_integer_value(json_array_get(a, (size_t)i));
}

static void check_prompt_logits(const char *name, const json_t *o)
{
    const int64_t v = hn_lm_get_config(model)->vocab;
    const json_t *want = json_object_get(o, "logits_last_f64");
    float *got = malloc((size_t)v * sizeof *got);
    hn_ids ids = { 0 };
    double most = 0;

    read_ids(o, "ids", &ids);
    CHECK_OK(hn_lm_next_logits(model, ids.id, ids.n, got));
    CHECK(json_array_size(want) == (size_t)(v / STEP), "%zu logits are stored",
          json_array_size(want));
    for (size_t i = 0; i < json_array_size(want); i++) {
        const double x = json_number_value(json_array_get(want, i)), y = (double)got[i * STEP];
        CHECK(fabs(x - y) <= 2e-3, "%s: logit %zu is %.6f, want %.6f", name, i * STEP, y, x);
        most = fabs(x - y) > most ? fabs(x - y) : most;
    }
    print_message("%s: logits within %.2g\n", name, most);
    hn_ids_free(&ids);
    free(got);
}

static void check_logits(void **state)
{
    (void)state;
    const char *name;
    json_t *o;
    need_model();
    json_object_foreach(prompts, name, o)
        if (is_host() || !strcmp(name, "plain"))
            check_prompt_logits(name, o);
}

// The mean over positions 0 to T - 2, as the text has no start token.
static void check_likelihoods(void **state)
{
    (void)state;
    const char *name;
    json_t *o;
    need_model();
    json_object_foreach(prompts, name, o) {
        const char *text = json_string_value(json_object_get(o, "text"));
        const double want = json_number_value(json_object_get(o, "mean_nll_f64"));
        hn_ids ids = { 0 };
        hn_score s;
        read_ids(o, "ids", &ids);
        const int64_t n = ids.n;
        hn_ids_free(&ids);
        if (!is_host() || !strcmp(name, "chat")) // special tokens: no text to score
            continue;
        CHECK_OK(hn_lm_score(model, text, strlen(text), &(hn_score_params){ .window = 96 }, &s));
        CHECK(s.tokens == n - 1, "%s: %d tokens scored of %d", name, (int)s.tokens, (int)n);
        CHECK(fabs(s.nats / (double)s.tokens - want) < 1e-4, "%s: %.6f nats a token, want %.6f",
              name, s.nats / (double)s.tokens, want);
    }
}

static void check_prompt_greedy(const char *name, const json_t *o)
{
    hn_ids ids = { 0 }, want = { 0 };
    hn_generated done;
    const int64_t n = is_host() ? GREEDY : FEW;
    const hn_sample_params p = { .n_tokens = n, .ignore_end = true };

    read_ids(o, "ids", &ids);
    read_ids(o, "greedy48_f64", &want);
    const int64_t from = ids.n;
    CHECK_OK(hn_lm_continue(model, &ids, &p, NULL, NULL, &done));
    CHECK(ids.n == from + n && want.n == GREEDY, "%s: %d tokens", name, (int)ids.n);
    for (int64_t i = 0; i < n; i++)
        CHECK(ids.id[from + i] == want.id[i], "%s: token %d is %d, want %d", name, (int)i,
              ids.id[from + i], want.id[i]);
    hn_ids_free(&ids);
    hn_ids_free(&want);
}

static void check_greedy(void **state)
{
    (void)state;
    const char *name;
    json_t *o;
    need_model();
    json_object_foreach(prompts, name, o)
        if (is_host() || !strcmp(name, "plain"))
            check_prompt_greedy(name, o);
}

// The text of a prompt gives its tokens: special ones only where they are asked for, and no start
// token, as the file asks for none. The text that is made has no special tokens in it.
typedef struct said {
    char text[4096];
    size_t n;
} said;

static bool collect(void *user, const void *bytes, size_t n)
{
    said *s = user;
    CHECK(s->n + n < sizeof s->text, "too much text");
    memcpy(s->text + s->n, bytes, n);
    s->n += n;
    return true;
}

static void check_text(void **state)
{
    (void)state;
    const char *name;
    json_t *o;
    need_model();
    json_object_foreach(prompts, name, o) {
        const char *text = json_string_value(json_object_get(o, "text"));
        const char *want = json_string_value(json_object_get(o, "greedy_text_f64"));
        hn_ids ids = { 0 }, stored = { 0 };
        said s = { .n = 0 };
        const hn_sample_params p = { .n_tokens = GREEDY, .flags = HN_ENCODE_SPECIAL };
        read_ids(o, "ids", &stored);
        CHECK_OK(hn_lm_encode(model, text, strlen(text), HN_ENCODE_SPECIAL, &ids));
        CHECK(ids.n == stored.n && !memcmp(ids.id, stored.id, (size_t)ids.n * sizeof *ids.id),
              "%s: other tokens", name);
        hn_ids_free(&ids);
        hn_ids_free(&stored);
        if (!is_host())
            continue;
        CHECK_OK(hn_lm_generate(model, text, strlen(text), &p, collect, &s, NULL));
        CHECK(s.n > 0 && s.n <= strlen(want) && !memcmp(s.text, want, s.n), "%s: '%.*s'", name,
              (int)s.n, s.text);
    }
}

// Caches are as long as they need to be, and a text that is longer than the context is refused.
static void check_context(void **state)
{
    (void)state;
    need_model();
    const int64_t most = hn_lm_get_config(model)->context;
    const hn_sample_params p = { .n_tokens = most };
    CHECK_FAILS(hn_lm_generate(model, "a", 1, &p, NULL, NULL, NULL), HN_ERR_ARG);
    CHECK(strstr(hn_error_text(), "8192"), "no context in '%s'", hn_error_text());
    const int64_t i = hn_weights_find(hn_lm_get_weights(model), "cache.k.0");
    CHECK(i >= 0, "no cache");
    const hn_weight_info info = hn_weights_info(hn_lm_get_weights(model), i);
    CHECK(info.type.dim[1] == 256, "a cache of %d positions", (int)info.type.dim[1]);
}

static bool count_down(void *user, const void *bytes, size_t n)
{
    int *left = user;
    (void)bytes;
    (void)n;
    return --*left > 0;
}

// A conversation goes on where it was: what the caches hold is not run again, also when they had
// to grow for what may come, and the tokens are the same.
static void check_growth(void **state)
{
    (void)state;
    hn_ids ids = { 0 }, want = { 0 };
    hn_generated done;
    hn_sample_params p = { .n_tokens = 2, .ignore_end = true };
    int left = 3;
    need_model();
    const json_t *o = json_object_get(prompts, "plain");
    read_ids(o, "ids", &ids);
    read_ids(o, "greedy48_f64", &want);
    const int64_t from = ids.n;
    CHECK_OK(hn_lm_continue(model, &ids, &p, NULL, NULL, &done));
    p.n_tokens = 600;
    CHECK_OK(hn_lm_continue(model, &ids, &p, count_down, &left, &done));
    CHECK(done.prompt_tokens == 1, "%d tokens were run again", (int)done.prompt_tokens);
    CHECK(ids.n == from + 5, "%d tokens", (int)(ids.n - from));
    for (int64_t i = 0; i < 5; i++)
        CHECK(ids.id[from + i] == want.id[i], "token %d is %d, want %d", (int)i, ids.id[from + i],
              want.id[i]);
    const int64_t at = hn_weights_find(hn_lm_get_weights(model), "cache.v.29");
    const hn_weight_info info = hn_weights_info(hn_lm_get_weights(model), at);
    CHECK(info.type.dim[1] == 768, "a cache of %d positions", (int)info.type.dim[1]);
    hn_ids_free(&ids);
    hn_ids_free(&want);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(check_logits), cmocka_unit_test(check_likelihoods),
        cmocka_unit_test(check_greedy), cmocka_unit_test(check_text),
        cmocka_unit_test(check_context), cmocka_unit_test(check_growth),
    };
    // Where a prompt takes a minute (HN_TEST_SHORT), it is not run for its greedy tokens again.
    const struct CMUnitTest quick[] = { cmocka_unit_test(check_logits),
                                        cmocka_unit_test(check_growth) };
    const hn_device_params p = test_device_params();
    dev = test_device_open(&p);
    const int failed = getenv("HN_TEST_SHORT") ? cmocka_run_group_tests(quick, NULL, NULL)
                                               : cmocka_run_group_tests(tests, NULL, NULL);
    json_decref(prompts);
    hn_lm_close(&model);
    test_device_close(&dev);
    return failed;
}
