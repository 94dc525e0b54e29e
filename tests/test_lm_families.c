// Small models of each family, opened as folders, against Hugging Face's transformers in f64
// (tests/oracle/lm_families.py): biases, shared heads, tied and untied heads, heads of another
// size, rotary scaling, GPT-2's layout. And what a configuration asks for and we lack.
#include "support/check.h"
#include "support/device.h"

#include "base/os.h"
#include "hornito/lm.h"
#include "io/convert.h"
#include "io/json.h"
#include "nn/lm.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MOST = 64 }; // tensors of a model, tokens of the text

static char root[] = "/tmp/hornito-families-XXXXXX";
static hn_device *dev;

// The same as in the script: murmur3's finalizer, FNV-1a of the name.
static uint32_t mix(uint32_t x)
{
    x = (x ^ (x >> 16)) * 0x85EBCA6Bu;
    x = (x ^ (x >> 13)) * 0xC2B2AE35u;
    return x ^ (x >> 16);
}

static float *make_weight(const char *name, const hn_type *t)
{
    const int64_t n = hn_type_numel(t);
    const size_t len = strlen(name);
    const bool norm = t->rank == 1 && len > 6 && !strcmp(name + len - 6, "weight");
    float *x = malloc((size_t)n * sizeof *x);
    uint32_t seed = 2166136261u;
    for (size_t i = 0; i < len; i++)
        seed = (seed ^ (uint8_t)name[i]) * 16777619u;
    for (int64_t i = 0; i < n; i++) {
        const double u = (double)mix((uint32_t)i + seed) / 4294967296.0;
        x[i] = (float)((2 * u - 1) * 0.15) + (norm ? 1.0f : 0.0f);
    }
    return x;
}

static char *in_root(const char *name)
{
    char *p = hn__path_join(root, name);
    CHECK(p, "no memory");
    return p;
}

// Every weight of the model's graph, in f32, into a file.
static void write_weights(const hn_lm_config *c, const char *path)
{
    hn_tensor list[MOST];
    int64_t n = 0;
    hn_graph *g;
    CHECK_OK(hn_graph_create(&g));
    const hn_val ids = hn_input(g, "ids", (hn_type){ HN_I32, 2, { 1, 1 } });
    hn_lm_logits(g, c, hn_lm_hidden(g, c, ids, NULL));
    CHECK_OK(hn_graph_status(g));
    for (int64_t i = 0; i < g->n_nodes; i++) {
        const hn__source_attr *a = g->nodes[i].attr;
        if (!g->nodes[i].name || strcmp(g->nodes[i].op->name, "param"))
            continue;
        CHECK(n < MOST, "too many tensors");
        list[n] = (hn_tensor){ .name = g->nodes[i].name, .dtype = HN_F32, .rank = a->type.rank };
        memcpy(list[n].dim, a->type.dim, sizeof a->type.dim);
        list[n].data = make_weight(g->nodes[i].name, &a->type);
        list[n++].n_bytes = hn_type_bytes(&a->type);
    }
    CHECK_OK(hn_tensors_write(path, list, n, NULL, 0));
    for (int64_t i = 0; i < n; i++)
        free((void *)(uintptr_t)list[i].data);
    hn_graph_destroy(&g);
}

static void write_tokenizer(const char *path)
{
    static const char text[] = "a small oven, and a small text for it";
    hn_tokenizer *tok;
    CHECK_OK(hn_tokenizer_train(text, strlen(text), &(hn_tokenizer_params){ .vocab_size = 260 },
                                &tok));
    CHECK_OK(hn_tokenizer_save(tok, path));
    hn_tokenizer_destroy(&tok);
}

// A folder with this configuration.
static void write_model(const json_t *config, const char *dir)
{
    hn_lm_config c;
    CHECK_OK(hn__mkdirs(dir));
    char *a = hn__path_join(dir, "config.json"), *b = hn__path_join(dir, "model.safetensors");
    char *t = hn__path_join(dir, "tokenizer.json");
    CHECK_OK(hn__json_save(a, config));
    CHECK_OK(hn_lm_config_load(a, &c));
    write_weights(&c, b);
    write_tokenizer(t);
    hn__free(a);
    hn__free(b);
    hn__free(t);
}

// -log of the softmax at one place.
static double nats_of(const float *logits, int64_t n, int64_t at)
{
    double most = (double)logits[0], sum = 0;
    for (int64_t i = 0; i < n; i++)
        most = (double)logits[i] > most ? (double)logits[i] : most;
    for (int64_t i = 0; i < n; i++)
        sum += exp((double)logits[i] - most);
    return log(sum) + most - (double)logits[at];
}

static void make_ids(int64_t vocab, int64_t n, int32_t ids[MOST])
{
    CHECK(n <= MOST, "%d tokens", (int)n);
    for (int64_t i = 0; i < n; i++)
        ids[i] = (int32_t)(mix((uint32_t)i + 5000) % (uint32_t)vocab);
}

// Logits after the last token, within `most` of those stored.
static void check_logits(hn_lm *m, const char *name, int64_t tokens, const json_t *want,
                         double most)
{
    const json_t *logits = json_object_get(want, "logits");
    const int64_t v = hn_lm_get_config(m)->vocab;
    float *got = malloc((size_t)v * sizeof *got);
    int32_t ids[MOST];

    CHECK(json_array_size(logits) == (size_t)v, "%s: other sizes", name);
    make_ids(v, tokens, ids);
    CHECK_OK(hn_lm_next_logits(m, ids, tokens, got));
    for (int64_t i = 0; i < v; i++) {
        const double x = json_number_value(json_array_get(logits, (size_t)i));
        CHECK(fabs((double)got[i] - x) < most, "%s: logit %d is %.6f, want %.6f", name, (int)i,
              (double)got[i], x);
    }
    free(got);
}

// The mean likelihood of all tokens but the first, each told by the caches.
static void check_nats(hn_lm *m, const char *name, int64_t tokens, const json_t *want)
{
    const int64_t v = hn_lm_get_config(m)->vocab;
    const double mean = json_number_value(json_object_get(want, "nats"));
    float *got = malloc((size_t)v * sizeof *got);
    int32_t ids[MOST];
    double nats = 0;

    make_ids(v, tokens, ids);
    for (int64_t i = 1; i < tokens; i++) {
        CHECK_OK(hn_lm_next_logits(m, ids, i, got));
        nats += nats_of(got, v, ids[i]) / (double)(tokens - 1);
    }
    CHECK(fabs(nats - mean) < 2e-5, "%s: %.7f nats a token, want %.7f", name, nats, mean);
    free(got);
}

// The model by way of a GGUF file: rows of queries and keys in another order, GPT-2's matrices the
// other way round, weights in fewer bits.
static void check_gguf(const char *dir, const char *name, int64_t tokens, const json_t *want)
{
    static const struct {
        hn_dtype type;
        double most;
    } rows[] = { { HN_F32, 1e-4 }, { HN_F16, 1e-2 }, { HN_Q8_0, 0.15 } };
    char *path = in_root("model.gguf");

    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        hn_pretrained *p;
        hn_dtype type;
        hn_lm *m;
        CHECK_OK(hn_pretrained_open(dir, &p));
        CHECK_OK(hn__remove_all(path));
        CHECK_OK(hn__convert(p, path, rows[i].type, &type));
        hn_pretrained_close(&p);
        CHECK_OK(hn_lm_open(dev, path, NULL, &m));
        check_logits(m, name, tokens, want, rows[i].most);
        hn_lm_close(&m);
    }
    hn__free(path);
}

static void check_families(void **state)
{
    (void)state;
    json_t *all, *want;
    const char *name;
    char *dir = in_root("model");
    CHECK_OK(hn__json_load(HN_TEST_DATA "/oracle_lm_families.json", 1 << 20, &all));
    const bool slow = hn_device_get_info(dev)->kind == HN_DEVICE_VULKAN;
    const int64_t tokens = json_integer_value(json_object_get(all, "tokens"));
    CHECK(json_object_size(json_object_get(all, "models")) >= 7, "no models");
    json_object_foreach(json_object_get(all, "models"), name, want) {
        hn_lm *m;
        write_model(json_object_get(want, "config"), dir);
        CHECK_OK(hn_lm_open(dev, dir, NULL, &m));
        check_logits(m, name, tokens, want, 1e-4);
        if (!slow)
            check_nats(m, name, tokens, want);
        // GGUF keeps Llama 3's scaling as a table, which is read for published models only: 8192.
        const bool has_place = hn_lm_get_config(m)->rope_scaling.kind != HN_ROPE_LLAMA3;
        hn_lm_close(&m);
        if (has_place)
            check_gguf(dir, name, tokens, want);
    }
    json_decref(all);
    hn__free(dir);
}

// ---- configurations ------------------------------------------------------------------------

static json_t *base_config(void)
{
    json_t *o = json_pack("{s:s, s:i, s:i, s:i, s:i, s:i, s:i, s:i}", "model_type", "llama",
                          "vocab_size", 300, "hidden_size", 64, "num_hidden_layers", 1,
                          "num_attention_heads", 4, "num_key_value_heads", 2,
                          "intermediate_size", 64, "max_position_embeddings", 64);
    CHECK(o, "no memory");
    return o;
}

// base_config with the fields of `more` in it.
static hn_status read_with(const char *more, hn_lm_config *c)
{
    json_t *o = base_config(), *add = json_loads(more, 0, NULL);
    CHECK(add && !json_object_update(o, add), "'%s' is no object", more);
    const hn_status s = hn__lm_config_read(o, "config.json", c);
    json_decref(add);
    json_decref(o);
    return s;
}

static void check_refused(void **state)
{
    (void)state;
    static const char *const bad[][2] = {
        { "{\"model_type\": \"bert\"}", "bert" },
        { "{\"model_type\": \"whisper\"}", "whisper" },
        { "{\"rope_scaling\": {\"rope_type\": \"yarn\", \"factor\": 2}}", "yarn" },
        { "{\"rope_scaling\": {\"type\": \"linear\"}}", "factor" },
        { "{\"rope_scaling\": {\"type\": \"linear\", \"factor\": 0}}", "divided by 0" },
        { "{\"rope_parameters\": {\"rope_type\": \"dynamic\", \"factor\": 2}}", "dynamic" },
        { "{\"partial_rotary_factor\": 0.5}", "partial_rotary_factor" },
        { "{\"mlp_bias\": true}", "mlp_bias" },
        { "{\"hidden_act\": \"gelu\"}", "hidden_act" },
        { "{\"quantization_config\": {\"quant_method\": \"gptq\"}}", "quantization_config" },
        { "{\"head_dim\": 15}", "even heads" },
        { "{\"head_dim\": 4096}", "4096" },
        { "{\"num_key_value_heads\": 3}", "multiple of 3" },
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        hn_lm_config c;
        CHECK(read_with(bad[i][0], &c) != HN_OK, "taken: %s", bad[i][0]);
        CHECK(strstr(hn_error_text(), bad[i][1]), "%s: %s", bad[i][0], hn_error_text());
    }
}

// What a window would hide is past the end of the context.
static void check_windows(void **state)
{
    (void)state;
    static const struct {
        const char *more;
        int64_t context;
    } rows[] = {
        { "{\"model_type\": \"mistral\", \"sliding_window\": 16}", 16 },
        { "{\"model_type\": \"mistral\", \"sliding_window\": null}", 64 },
        { "{\"model_type\": \"mistral\", \"sliding_window\": 4096}", 64 },
        { "{\"model_type\": \"qwen2\", \"sliding_window\": 16}", 64 },
        { "{\"model_type\": \"qwen2\", \"sliding_window\": 16, \"use_sliding_window\": true}",
          16 },
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        hn_lm_config c;
        CHECK_OK(read_with(rows[i].more, &c));
        CHECK(c.context == rows[i].context, "%s: a context of %d", rows[i].more, (int)c.context);
    }
}

// What is written reads back the same.
static void check_saved(void **state)
{
    (void)state;
    static const char *const rows[] = {
        "{}",
        "{\"attention_bias\": true, \"rope_theta\": 500000, \"tie_word_embeddings\": true}",
        "{\"model_type\": \"qwen2\", \"head_dim\": 24}",
        "{\"rope_scaling\": {\"type\": \"linear\", \"factor\": 4}}",
        "{\"rope_parameters\": {\"rope_type\": \"llama3\", \"rope_theta\": 7e5, \"factor\": 8, "
        "\"low_freq_factor\": 1, \"high_freq_factor\": 4, \"original_max_position_embeddings\": "
        "32}}",
    };
    char *path = in_root("saved.json");
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        hn_lm_config a, b;
        CHECK_OK(read_with(rows[i], &a));
        CHECK_OK(hn_lm_config_save(&a, path));
        CHECK_OK(hn_lm_config_load(path, &b));
        a.head_dim = hn__lm_head_dim(&a); // said outright in the file
        CHECK(a.head_dim == b.head_dim && a.qkv_bias == b.qkv_bias && a.out_bias == b.out_bias &&
                  a.tied == b.tied && a.context == b.context && a.kv_heads == b.kv_heads &&
                  !memcmp(&a.rope_base, &b.rope_base, sizeof a.rope_base),
              "%s: another model", rows[i]);
        CHECK(!memcmp(&a.rope_scaling, &b.rope_scaling, sizeof a.rope_scaling),
              "%s: another scaling", rows[i]);
    }
    hn__free(path);
}

// ---- folders that do not fit ---------------------------------------------------------------

static void check_folders(void **state)
{
    (void)state;
    json_t *config = base_config(), *other = base_config();
    char *dir = in_root("folder"), *path = hn__path_join(dir, "config.json");
    hn_lm *m;
    write_model(config, dir);
    CHECK_OK(hn_lm_open(dev, dir, NULL, &m));
    hn_lm_close(&m);

    // The tokenizer of a model with another vocabulary: fewer tokens, and far more.
    json_object_set_new(other, "vocab_size", json_integer(200));
    CHECK_OK(hn__json_save(path, other));
    CHECK_FAILS(hn_lm_open(dev, dir, NULL, &m), HN_ERR_FORMAT);
    CHECK(strstr(hn_error_text(), "tokenizer"), "%s", hn_error_text());
    json_object_set_new(other, "vocab_size", json_integer(32000));
    CHECK_OK(hn__json_save(path, other));
    CHECK_FAILS(hn_lm_open(dev, dir, NULL, &m), HN_ERR_FORMAT);
    CHECK(strstr(hn_error_text(), "tokenizer"), "%s", hn_error_text());

    // Weights that are not those of the configuration: by name.
    json_object_set_new(other, "vocab_size", json_integer(300));
    json_object_set_new(other, "hidden_size", json_integer(128));
    CHECK_OK(hn__json_save(path, other));
    CHECK_FAILS(hn_lm_open(dev, dir, NULL, &m), HN_ERR_FORMAT);
    CHECK(strstr(hn_error_text(), "model.embed_tokens.weight"), "%s", hn_error_text());
    json_object_set_new(other, "hidden_size", json_integer(64));
    json_object_set_new(other, "model_type", json_string("qwen2"));
    CHECK_OK(hn__json_save(path, other));
    CHECK_FAILS(hn_lm_open(dev, dir, NULL, &m), HN_ERR_FORMAT);
    CHECK(strstr(hn_error_text(), "q_proj.bias"), "%s", hn_error_text());
    json_object_set_new(other, "model_type", json_string("whisper"));
    CHECK_OK(hn__json_save(path, other));
    CHECK_FAILS(hn_lm_open(dev, dir, NULL, &m), HN_ERR_UNSUPPORTED);
    CHECK(strstr(hn_error_text(), "speech"), "%s", hn_error_text());

    json_decref(config);
    json_decref(other);
    hn__free(path);
    hn__free(dir);
}

int main(void)
{
    if (!mkdtemp(root))
        return 1;
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(check_families), cmocka_unit_test(check_refused),
        cmocka_unit_test(check_windows),  cmocka_unit_test(check_saved),
        cmocka_unit_test(check_folders),
    };
    const hn_device_params p = test_device_params();
    dev = test_device_open(&p);
    const int failed = cmocka_run_group_tests(tests, NULL, NULL);
    test_device_close(&dev);
    hn__remove_all(root);
    return failed;
}
