// A model from a checkpoint: with caches it gives what it gives without, scores do not depend on
// batching, generation is repeatable, and what does not fit is refused in words.
#include "support/check.h"
#include "support/device.h"

#include "base/os.h"
#include "hornito/train.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char text[] = "The plan is made once and run many times. A plan is a graph made "
                           "ready for a device, and the device runs it. "
                           "What the graph says is what the device does: no more, no less. The "
                           "step is one plan, and the plan is one step. "
                           "Every value has a place, every place has a time, and no two values "
                           "share a place at one time. So the block is "
                           "small, the run is short, and nothing is made while it runs. The graph "
                           "is the word; the plan is the deed.";

static char root[] = "/tmp/hornito-lm-XXXXXX";
static hn_device *dev;

static void make_run(hn_lm_family family, bool vq, const char *dir)
{
    static const char *const special[] = { "<|endoftext|>" };
    hn_tokenizer *tok;
    hn_trainer *t;
    hn_ids ids = { 0 };
    hn_train_step r;
    CHECK_OK(hn_tokenizer_train(text, strlen(text), &(hn_tokenizer_params){ 320, 0, special, 1 },
                                &tok));
    CHECK_OK(hn_tokenizer_encode(tok, text, strlen(text), 0, &ids));
    const hn_train_params p = {
        .model = { .family = family,
                   .vocab = hn_tokenizer_vocab_size(tok),
                   .width = 32,
                   .layers = 2,
                   .heads = 4,
                   .kv_heads = family == HN_LM_LLAMA ? 2 : 4,
                   .ffn = 64,
                   .context = 96,
                   .eps = 1e-5f,
                   .rope_base = 10000,
                   .act = HN_ACT_GELU_TANH,
                   .tied = !vq,
                   .head = vq ? HN_HEAD_VQ : HN_HEAD_DENSE,
                   .codes = vq ? 60 : 0,
                   .token_bias = vq },
        .optimizer = { .adamw = { 0.9f, 0.95f, 1e-8f, 0.1f }, .clip = 1 },
        .batch = 2,
        .length = 48,
        .steps = 30,
        .lr = 3e-3f,
        .lr_end = 1e-3f,
        .seed = 3,
    };
    CHECK_OK(hn_trainer_create(dev, &p, ids.id, ids.n, &t));
    const int steps = hn_device_get_info(dev)->kind == HN_DEVICE_REF ? 3 : 30;
    for (int i = 0; i < steps; i++)
        CHECK_OK(hn_trainer_step(t, &r));
    CHECK_OK(hn_trainer_save(t, dir, tok));
    hn_trainer_destroy(&t);
    hn_tokenizer_destroy(&tok);
    hn_ids_free(&ids);
}

// Logits after position `at` of one pass over all ids, without caches.
static void whole_logits(hn_lm *m, const hn_ids *ids, int64_t at, float *out)
{
    const hn_lm_config *c = hn_lm_get_config(m);
    hn_graph *g;
    hn_plan *plan;
    CHECK_OK(hn_graph_create(&g));
    const hn_val in = hn_input(g, "ids", (hn_type){ HN_I32, 2, { 1, ids->n } });
    const hn_val row = hn_slice(g, hn_lm_hidden(g, c, in, NULL), 1, at, 1, 1);
    hn_output(g, "logits", hn_lm_logits(g, c, row));
    CHECK_OK(hn_plan_create(g, dev, &(hn_plan_params){ .weights = hn_lm_get_weights(m) }, &plan));
    CHECK_OK(hn_plan_write(plan, "ids", ids->id, ids->n * 4));
    CHECK_OK(hn_plan_run(plan));
    CHECK_OK(hn_plan_read(plan, "logits", out, c->vocab * 4));
    hn_plan_destroy(&plan);
    hn_graph_destroy(&g);
}

static void check_cache(hn_lm *m, const hn_ids *ids)
{
    const int64_t v = hn_lm_get_config(m)->vocab, lengths[] = { 1, 2, 5, 16, 17, 63, 64, 65, 66, 90, 96 };
    float *want = malloc((size_t)v * 4), *got = malloc((size_t)v * 4);
    for (size_t k = 0; k < sizeof lengths / sizeof *lengths; k++) {
        whole_logits(m, ids, lengths[k] - 1, want);
        CHECK_OK(hn_lm_next_logits(m, ids->id, lengths[k], got));
        for (int64_t i = 0; i < v; i++)
            CHECK(fabsf(got[i] - want[i]) <= 1e-4f * (1 + fabsf(want[i])),
                  "%d tokens: logit %d is %g with caches, %g without", (int)lengths[k], (int)i,
                  (double)got[i], (double)want[i]);
    }
    free(want);
    free(got);
}

typedef struct said {
    char text[1024];
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

static void check_generation(hn_lm *m)
{
    said a = { .n = 0 }, b = { .n = 0 }, c = { .n = 0 };
    hn_generated n;
    hn_sample_params p = { .temperature = 0.9f,
                           .top_k = 20,
                           .top_p = 0.95f,
                           .seed = 5,
                           .n_tokens = 20,
                           .ignore_end = true };
    CHECK_OK(hn_lm_generate(m, "The plan", 8, &p, collect, &a, &n));
    CHECK(n.tokens == 20, "%d tokens", (int)n.tokens);
    CHECK_OK(hn_lm_generate(m, "The plan", 8, &p, collect, &b, &n));
    CHECK(a.n == b.n && !memcmp(a.text, b.text, a.n), "the same seed gave another text");
    p.seed = 6;
    CHECK_OK(hn_lm_generate(m, "The plan", 8, &p, collect, &c, &n));
    CHECK(a.n != c.n || memcmp(a.text, c.text, a.n), "another seed gave the same text");
    CHECK_OK(hn_lm_generate(m, "", 0, &p, NULL, NULL, &n)); // from the start token
    p.n_tokens = 96;
    CHECK_FAILS(hn_lm_generate(m, "The plan", 8, &p, collect, &c, &n), HN_ERR_ARG);
    CHECK(strstr(hn_error_text(), "96"), "the text lacks the numbers: %s", hn_error_text());
}

static void check_scores(hn_lm *m)
{
    hn_score a, b, c;
    CHECK_OK(
        hn_lm_score(m, text, strlen(text), &(hn_score_params){ .window = 40, .batch = 1 }, &a));
    CHECK_OK(
        hn_lm_score(m, text, strlen(text), &(hn_score_params){ .window = 40, .batch = 3 }, &b));
    CHECK_OK(
        hn_lm_score(m, text, strlen(text), &(hn_score_params){ .window = 40, .stride = 11 }, &c));
    hn_ids ids = { 0 };
    CHECK_OK(hn_tokenizer_encode(hn_lm_get_tokenizer(m), text, strlen(text), 0, &ids));
    CHECK(a.tokens == ids.n && b.tokens == ids.n && c.tokens == ids.n,
          "scored %d, %d, %d of %d tokens", (int)a.tokens, (int)b.tokens, (int)c.tokens,
          (int)ids.n);
    CHECK(fabs(a.nats - b.nats) <= 1e-5 * a.nats, "%g nats one window at a time, %g by threes",
          a.nats, b.nats);
    CHECK(c.nats > 0 && a.bytes == (int64_t)strlen(text), "%g nats, %d bytes", c.nats,
          (int)a.bytes);
    hn_ids_free(&ids);
    CHECK_FAILS(hn_lm_score(m, text, strlen(text), &(hn_score_params){ .window = 97 }, &a),
                HN_ERR_ARG);
    CHECK_FAILS(hn_lm_score(m, "", 0, NULL, &a), HN_ERR_ARG);
}

static void check_model(hn_lm_family family, bool vq, const char *name)
{
    char *dir = hn__path_join(root, name);
    hn_lm *m;
    hn_ids ids = { 0 };
    make_run(family, vq, dir);
    CHECK_OK(hn_lm_open(dev, dir, NULL, &m));
    CHECK_OK(hn_tokenizer_encode(hn_lm_get_tokenizer(m), text, strlen(text), 0, &ids));
    CHECK(ids.n >= 96, "%d tokens", (int)ids.n);
    ids.n = 96;
    check_cache(m, &ids);
    check_generation(m);
    check_scores(m);
    hn_ids_free(&ids);
    hn_lm_close(&m);
    hn__free(dir);
}

static void check_gpt2(void **state)
{
    (void)state;
    check_model(HN_LM_GPT2, false, "gpt2");
}

static void check_llama_vq(void **state)
{
    (void)state;
    check_model(HN_LM_LLAMA, true, "llama");
}

// The trained tensors of a model in a file as other tools write it: f16 or bf16, and GPT-2's names
// behind a prefix.
static void write_foreign(hn_weights *w, const char *path)
{
    hn_tensor list[64];
    char names[64][96];
    int64_t n = 0;
    for (int64_t i = 0; i < hn_weights_count(w); i++) {
        const hn_weight_info info = hn_weights_info(w, i);
        const hn_dtype as = n % 2 ? HN_F16 : HN_BF16;
        const int64_t count = hn_type_numel(&info.type);
        if (!info.trainable)
            continue;
        float *x = malloc((size_t)count * 4);
        void *half = malloc((size_t)count * 2);
        CHECK_OK(hn_weights_read(w, info.name, x, count * 4));
        hn__from_f32(as, x, half, count);
        snprintf(names[n], sizeof names[n], "transformer.%s", info.name);
        list[n] = (hn_tensor){ .name = names[n], .dtype = as, .rank = info.type.rank };
        list[n].data = half;
        list[n].n_bytes = count * 2;
        memcpy(list[n++].dim, info.type.dim, sizeof info.type.dim);
        free(x);
    }
    CHECK_OK(hn_tensors_write(path, list, n, NULL, 0));
    for (int64_t i = 0; i < n; i++)
        free((void *)(uintptr_t)list[i].data);
}

static void check_foreign(void **state)
{
    (void)state;
    char *from = hn__path_join(root, "gpt2"), *to = hn__path_join(root, "foreign");
    char *weights = hn__path_join(to, "model.safetensors");
    char *config = hn__path_join(to, "config.json"), *tokens = hn__path_join(to, "tokenizer.json");
    hn_lm *ours, *theirs;
    float a[400], b[400];
    const int32_t ids[5] = { 5, 80, 3, 3, 200 };

    CHECK_OK(hn_lm_open(dev, from, NULL, &ours));
    CHECK_OK(hn__mkdirs(to));
    write_foreign(hn_lm_get_weights(ours), weights);
    CHECK_OK(hn_lm_config_save(hn_lm_get_config(ours), config));
    CHECK_OK(hn_tokenizer_save(hn_lm_get_tokenizer(ours), tokens));
    const int64_t v = hn_lm_get_config(ours)->vocab;
    CHECK(v <= 400, "%d tokens", (int)v);
    CHECK_OK(hn_lm_open(dev, to, NULL, &theirs));
    CHECK_OK(hn_lm_next_logits(ours, ids, 5, a));
    CHECK_OK(hn_lm_next_logits(theirs, ids, 5, b));
    for (int64_t i = 0; i < v; i++)
        CHECK(fabsf(a[i] - b[i]) < 0.03f * (1 + fabsf(a[i])),
              "logit %d is %g, %g from 16-bit weights", (int)i, (double)a[i], (double)b[i]);
    CHECK(memcmp(a, b, (size_t)v * 4), "the 16-bit weights were not read");
    hn_lm_close(&ours);
    hn_lm_close(&theirs);

    hn_tensor one = { .name = "wte.weight", .dtype = HN_F32, .rank = 1, .dim = { 1 }, .data = a };
    one.n_bytes = 4;
    CHECK_OK(hn_tensors_write(weights, &one, 1, NULL, 0));
    CHECK_FAILS(hn_lm_open(dev, to, NULL, &theirs), HN_ERR_FORMAT);
    CHECK(strstr(hn_error_text(), "wte.weight"), "no tensor is named: %s", hn_error_text());
    hn__free(from);
    hn__free(to);
    hn__free(weights);
    hn__free(config);
    hn__free(tokens);
}

// A folder that is none, and a model without one of its tensors.
static void check_refused(void **state)
{
    (void)state;
    hn_lm *m;
    CHECK_FAILS(hn_lm_open(dev, "/nonexistent", NULL, &m), HN_ERR_IO);
    CHECK(m == NULL, "a model after a failure");
    hn_lm_config c;
    char *path = hn__path_join(root, "config.json");
    const char *const bad[][2] = {
        { "{", "line 1" },
        { "{\"model_type\": \"bert\", \"vocab_size\": 5}", "bert" },
        { "{\"model_type\": \"llama\", \"vocab_size\": 5}", "hidden_size" },
        { "{\"model_type\": \"llama\", \"vocab_size\": 5, \"hidden_size\": 64, "
          "\"num_hidden_layers\": 1, "
          "\"num_attention_heads\": 4, \"intermediate_size\": 8, \"rope_scaling\": {\"type\": "
          "\"linear\"}}",
          "rope_scaling" },
        { "{\"model_type\": \"gpt2\", \"vocab_size\": 5, \"n_embd\": 65, \"n_layer\": 1, "
          "\"n_head\": 4}",
          "65" },
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        FILE *f = fopen(path, "w");
        CHECK(f && fputs(bad[i][0], f) >= 0 && !fclose(f), "cannot write %s", path);
        CHECK(hn_lm_config_load(path, &c) != HN_OK, "config %zu was taken", i);
        CHECK(strstr(hn_error_text(), bad[i][1]), "config %zu: %s", i, hn_error_text());
    }
    hn__free(path);
}

int main(void)
{
    if (!mkdtemp(root))
        return 1;
    const struct CMUnitTest tests[] = { cmocka_unit_test(check_gpt2),
                                        cmocka_unit_test(check_llama_vq),
                                        cmocka_unit_test(check_foreign),
                                        cmocka_unit_test(check_refused) };
    const hn_device_params p = test_device_params();
    dev = test_device_open(&p);
    const int failed = cmocka_run_group_tests(tests, NULL, NULL);
    test_device_close(&dev);
    hn__remove_all(root);
    return failed;
}
