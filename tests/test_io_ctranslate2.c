// CTranslate2's model.bin: variables and aliases read, files that must be refused, and a Whisper
// model shown in Hugging Face's names.
#include "support/bytes.h"
#include "support/check.h"
#include "support/failing.h"
#include "support/folder.h"

#include "io/pretrained.h"

#include <stdlib.h>
#include <string.h>

static bytes file;

static void put_text(const char *text)
{
    put_uint(&file, 2, strlen(text) + 1);
    put(&file, text, strlen(text) + 1);
}

static void put_head(uint32_t n)
{
    file.n = 0;
    put_uint(&file, 4, 6);
    put_text("WhisperSpec");
    put_uint(&file, 4, 3);
    put_uint(&file, 4, n);
}

// Numbers of f32 that count on over the whole file.
static float next_number;
static void put_floats(const char *name, uint32_t rank, const uint32_t dim[])
{
    uint32_t n = 1;
    put_text(name);
    put_uint(&file, 1, rank);
    for (uint32_t i = 0; i < rank; n *= dim[i++])
        put_uint(&file, 4, dim[i]);
    put_uint(&file, 1, 0);
    put_uint(&file, 4, 4 * n);
    while (n--)
        put_f32(&file, next_number++);
}

static hn_status read_file(size_t n, hn_tensors **t)
{
    uint8_t *copy = malloc(n + 1);
    assert_non_null(copy);
    memcpy(copy + 1, file.p, n);
    const hn_status s = hn__ctranslate2_read(copy + 1, n, "f", t);
    hn_tensors_destroy(t);
    free(copy);
    return s == HN_OK ? hn__ctranslate2_read(file.p, n, "f", t) : s;
}

// ---- the file --------------------------------------------------------------------------------

static void make_small(void)
{
    put_head(2);
    put_floats("a/weight", 2, (uint32_t[]){ 2, 3 });
    put_text("a/heads");
    put_uint(&file, 1, 0);
    put_uint(&file, 1, 2);
    put_uint(&file, 4, 2);
    put_uint(&file, 2, 7);
    put_uint(&file, 4, 1);
    put_text("b/weight");
    put_text("a/weight");
}

static void check_small(void **state)
{
    (void)state;
    hn_tensors *t;
    float x[6];
    next_number = 1;
    make_small();
    CHECK_OK(read_file(file.n, &t));
    assert_int_equal(hn_tensors_count(t), 3);
    assert_string_equal(hn_tensors_metadata(t, "spec"), "WhisperSpec");
    const hn_tensor *a = hn_tensors_find(t, "a/weight"), *b = hn_tensors_find(t, "b/weight");
    assert_true(a && b && a->data == b->data && a->rank == 2 && a->dim[0] == 2 && a->dim[1] == 3);
    CHECK_OK(hn_tensor_read(b, HN_F32, x));
    assert_true(x[0] == 1 && x[5] == 6);
    assert_string_equal(hn_tensors_find(t, "a/heads")->file_dtype, "I16");
    hn_tensors_destroy(&t);
    for (size_t n = 0; n < file.n; n++)
        CHECK_FAILS(read_file(n, &t), HN_ERR_FORMAT);
    put_uint(&file, 1, 0);
    CHECK_FAILS(read_file(file.n, &t), HN_ERR_FORMAT);
    assert_non_null(strstr(hn_error_text(), "follows the aliases"));
}

static void refuse(hn_status want, const char *why)
{
    hn_tensors *t;
    CHECK_FAILS(read_file(file.n, &t), want);
    CHECK(strstr(hn_error_text(), why), "not '%s': %s", why, hn_error_text());
}

// One variable whose fields lie.
static void bad(uint64_t rank, uint64_t dim, uint64_t type, uint64_t n_bytes, hn_status want,
                const char *why)
{
    put_head(1);
    put_text("v");
    put_uint(&file, 1, rank);
    for (uint64_t i = 0; i < rank; i++)
        put_uint(&file, 4, dim);
    put_uint(&file, 1, type);
    put_uint(&file, 4, n_bytes);
    put_uint(&file, 8, 0);
    refuse(want, why);
}

static void check_bad(void **state)
{
    (void)state;
    bad(9, 1, 1, 1, HN_ERR_UNSUPPORTED, "9 dimensions");
    bad(1, 2, 6, 8, HN_ERR_FORMAT, "type 6 is unknown");
    bad(1, 2, 0, 4, HN_ERR_FORMAT, "does not take 4 bytes");
    bad(3, UINT32_MAX, 0, 8, HN_ERR_FORMAT, "does not take");
    bad(1, UINT32_MAX, 1, UINT32_MAX, HN_ERR_FORMAT, "the file has");
    put_head(UINT32_MAX);
    refuse(HN_ERR_FORMAT, "the file ends within a variable's name");
    put_head(0);
    put_uint(&file, 4, UINT32_MAX);
    refuse(HN_ERR_FORMAT, "the file ends within an alias");
    file.n -= 4;
    put_uint(&file, 4, 1);
    put_text("x");
    put_text("y");
    refuse(HN_ERR_FORMAT, "alias 'x': there is no variable 'y'");
    make_small();
    file.p[0] = 5;
    refuse(HN_ERR_UNSUPPORTED, "binary version 5");
    file.p[0] = 0;
    refuse(HN_ERR_FORMAT, "not a CTranslate2 model");
    make_small();
    file.p[8] = 0; // within "WhisperSpec"
    refuse(HN_ERR_FORMAT, "only 0");
    make_small();
    file.p[8] = 0xff;
    refuse(HN_ERR_FORMAT, "not UTF-8");
    put_head(0);
    put_uint(&file, 4, 0);
    file.p[4] = 0;
    file.p[5] = 0;
    refuse(HN_ERR_FORMAT, "only 0");
}

// ---- the model -------------------------------------------------------------------------------

enum { D = 4, MELS = 3, VOCAB = 9 };

typedef struct flaw {
    const char *skip;  // a variable that is left out
    const char *extra; // a variable more
    bool key_bias;     // of the decoder's own attention
    int activation;
} flaw;

static int n_variables;
static const flaw *now;

static void var(const char *name, uint32_t rank, const uint32_t dim[])
{
    if (now->skip && !strcmp(now->skip, name))
        return;
    put_floats(name, rank, dim);
    n_variables++;
}

static void part(const char *prefix, const char *name, uint32_t rows, uint32_t cols)
{
    char full[256];
    snprintf(full, sizeof full, "%s%s", prefix, name);
    var(full, cols ? 2 : 1, (uint32_t[]){ rows, cols });
}

static void norm(const char *prefix, const char *name)
{
    char full[128];
    snprintf(full, sizeof full, "%s%s/", prefix, name);
    part(full, "gamma", D, 0);
    part(full, "beta", D, 0);
}

// zero: the first of D elements of the bias that are 0; -1: none.
static void linear(const char *prefix, const char *name, uint32_t rows, uint32_t cols, int zero)
{
    char full[128];
    snprintf(full, sizeof full, "%s%s/", prefix, name);
    part(full, "weight", rows, cols);
    part(full, "bias", rows, 0);
    if (zero >= 0)
        memset(file.p + file.n - 4 * (rows - (uint32_t)zero), 0, 4 * D);
}

static void small_int(const char *name, int type, int size, int x)
{
    put_text(name);
    put_uint(&file, 1, 0);
    put_uint(&file, 1, (uint64_t)type);
    put_uint(&file, 4, (uint64_t)size);
    put_uint(&file, size, (uint64_t)x);
    n_variables++;
}

static void side(const char *name, bool decoder, uint32_t positions)
{
    char layer[64], own[64];
    snprintf(own, sizeof own, "%s/", name);
    part(own, "position_encodings/encodings", positions, D);
    norm(own, "layer_norm");
    for (int i = 0; i < 2; i++) {
        snprintf(layer, sizeof layer, "%s/layer_%d/", name, i);
        norm(layer, "self_attention/layer_norm");
        linear(layer, "self_attention/linear_0", 3 * D, D, now->key_bias && decoder ? -1 : D);
        linear(layer, "self_attention/linear_1", D, D, -1);
        norm(layer, "ffn/layer_norm");
        linear(layer, "ffn/linear_0", 2 * D, D, -1);
        linear(layer, "ffn/linear_1", D, 2 * D, -1);
        if (!decoder)
            continue;
        norm(layer, "attention/layer_norm");
        linear(layer, "attention/linear_0", D, D, -1);
        linear(layer, "attention/linear_1", 2 * D, D, 0);
        linear(layer, "attention/linear_2", D, D, -1);
    }
}

static void make_whisper(const flaw *f)
{
    now = f;
    n_variables = 0;
    next_number = 1;
    put_head(0);
    const size_t count = file.n - 4;
    var("encoder/conv1/weight", 3, (uint32_t[]){ D, MELS, 3 });
    part("encoder/", "conv1/bias", D, 0);
    var("encoder/conv2/weight", 3, (uint32_t[]){ D, D, 3 });
    part("encoder/", "conv2/bias", D, 0);
    side("encoder", false, 5);
    side("decoder", true, 6);
    part("decoder/", "embeddings/weight", VOCAB, D);
    small_int("encoder/num_heads", 2, 2, 2);
    small_int("decoder/activation", 1, 1, f->activation);
    if (f->extra)
        var(f->extra, 1, (uint32_t[]){ 1 });
    memcpy(file.p + count, &(uint8_t){ (uint8_t)n_variables }, 1);
    put_uint(&file, 4, 1);
    put_text("decoder/projection/weight");
    put_text("decoder/embeddings/weight");
}

static const char config[] = "{\"suppress_ids\":[1,2],\"suppress_ids_begin\":[0],"
                             "\"alignment_heads\":[[0,1]],\"lang_ids\":[3,4]}";
static const char vocabulary[] =
    "[\"a\",\"b\",\"<|endoftext|>\",\"<|startoftranscript|>\",\"<|en|>\",\"<|de|>\","
    "\"<|translate|>\",\"<|transcribe|>\",\"<|notimestamps|>\"]";

static const char *put_model(void)
{
    folder_put("model.bin", file.p, file.n);
    folder_put("config.json", config, sizeof config - 1);
    folder_put("vocabulary.json", vocabulary, sizeof vocabulary - 1);
    return folder_path("");
}

static int64_t config_int(const json_t *o, const char *key)
{
    const json_t *v = json_object_get(o, key);
    CHECK(json_is_integer(v), "no %s", key);
    return json_integer_value(v);
}

// A view of rows: the stacked tensor's, from row `row` on.
static void same_rows(const hn_pretrained *p, const char *name, const char *from, int64_t row,
                      int64_t rows)
{
    const hn_tensor *a, *b;
    CHECK_OK(hn_tensors_get(p->tensors, name, &a));
    CHECK_OK(hn_tensors_get(p->files, from, &b));
    const int64_t size = b->n_bytes / b->dim[0];
    CHECK(a->dim[0] == rows && a->n_bytes == rows * size && a->rank == b->rank &&
              a->data == (const uint8_t *)b->data + row * size,
          "%s is not rows %d on of %s", name, (int)row, from);
}

static void check_views(const hn_pretrained *p)
{
    same_rows(p, "model.encoder.layers.1.self_attn.q_proj.weight",
              "encoder/layer_1/self_attention/linear_0/weight", 0, D);
    same_rows(p, "model.encoder.layers.1.self_attn.k_proj.weight",
              "encoder/layer_1/self_attention/linear_0/weight", D, D);
    same_rows(p, "model.decoder.layers.0.self_attn.v_proj.bias",
              "decoder/layer_0/self_attention/linear_0/bias", 2 * D, D);
    same_rows(p, "model.decoder.layers.0.encoder_attn.q_proj.weight",
              "decoder/layer_0/attention/linear_0/weight", 0, D);
    same_rows(p, "model.decoder.layers.0.encoder_attn.k_proj.weight",
              "decoder/layer_0/attention/linear_1/weight", 0, D);
    same_rows(p, "model.decoder.layers.1.encoder_attn.v_proj.weight",
              "decoder/layer_1/attention/linear_1/weight", D, D);
    same_rows(p, "model.decoder.layers.1.fc2.bias", "decoder/layer_1/ffn/linear_1/bias", 0, D);
    assert_null(hn_tensors_find(p->tensors, "model.encoder.layers.0.self_attn.k_proj.bias"));
    assert_null(hn_tensors_find(p->tensors, "proj_out.weight"));
    // Whisper's own count: 15 of an encoder's layer, 24 of a decoder's, and what is outside.
    assert_int_equal(hn_tensors_count(p->tensors), 2 * 15 + 2 * 24 + 7 + 4);
}

static void check_model(void **state)
{
    (void)state;
    hn_pretrained *p;
    folder_make("ctranslate2");
    make_whisper(&(flaw){ .activation = 3 });
    CHECK_OK(hn_pretrained_open(put_model(), &p));
    assert_string_equal(hn_pretrained_format(p), "ctranslate2 6");
    assert_string_equal(hn_pretrained_model_type(p), "whisper");
    check_views(p);
    static const struct {
        const char *key;
        int64_t want;
    } sizes[] = { { "d_model", D },          { "encoder_layers", 2 },
                  { "decoder_layers", 2 },   { "encoder_attention_heads", 2 },
                  { "num_mel_bins", MELS },  { "decoder_attention_heads", 2 },
                  { "vocab_size", VOCAB },   { "encoder_ffn_dim", 2 * D },
                  { "max_source_positions", 5 }, { "max_target_positions", 6 } };
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++)
        assert_int_equal(config_int(p->config, sizes[i].key), sizes[i].want);
    assert_int_equal(json_array_size(json_object_get(p->generation, "suppress_tokens")), 2);
    assert_int_equal(json_array_size(json_object_get(p->generation, "begin_suppress_tokens")), 1);
    assert_int_equal(config_int(p->generation, "no_timestamps_token_id"), 8);
    assert_int_equal(config_int(p->generation, "decoder_start_token_id"), 3);
    assert_int_equal(config_int(p->generation, "eos_token_id"), 2);
    assert_true(json_is_false(json_object_get(p->generation, "is_multilingual")));
    assert_null(p->tokenizer_path);
    hn_tokenizer *tok;
    CHECK_FAILS(hn__pretrained_tokenizer(p, &tok), HN_ERR_FORMAT);
    hn_pretrained_close(&p);
    assert_null(p);
    folder_remove();
}

static void check_bad_model(void **state)
{
    (void)state;
    static const struct {
        flaw f;
        hn_status want;
        const char *why;
    } cases[] = {
        { { .skip = "decoder/layer_1/ffn/linear_0/bias", .activation = 3 }, HN_ERR_FORMAT,
          "decoder/layer_1/ffn/linear_0/bias" },
        { { .skip = "encoder/conv1/weight", .activation = 3 }, HN_ERR_FORMAT,
          "encoder/conv1/weight" },
        { { .extra = "encoder/gate/weight", .activation = 3 }, HN_ERR_UNSUPPORTED,
          "'encoder/gate/weight' is no part of Whisper" },
        { { .key_bias = true, .activation = 3 }, HN_ERR_UNSUPPORTED, "its keys have a bias" },
        { { .activation = 0 }, HN_ERR_UNSUPPORTED, "'decoder/activation' is 0" },
    };
    hn_pretrained *p;
    folder_make("ctranslate2-bad");
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        make_whisper(&cases[i].f);
        CHECK_FAILS(hn_pretrained_open(put_model(), &p), cases[i].want);
        assert_null(p);
        CHECK(strstr(hn_error_text(), cases[i].why), "not '%s': %s", cases[i].why,
              hn_error_text());
    }
    folder_put("model.bin", "PK\3\4and more", 12);
    CHECK_FAILS(hn_pretrained_open(folder_path(""), &p), HN_ERR_UNSUPPORTED);
    assert_non_null(strstr(hn_error_text(), "PyTorch"));
    folder_remove();
}

static hn_status work(void *user)
{
    hn_pretrained *p;
    const hn_status s = hn_pretrained_open(user, &p);
    hn_pretrained_close(&p);
    return s;
}

static void check_allocations(void **state)
{
    (void)state;
    folder_make("ctranslate2-nomem");
    make_whisper(&(flaw){ .activation = 3 });
    char path[512];
    snprintf(path, sizeof path, "%s", put_model());
    assert_true(failing_allocations("ctranslate2", work, path) > 10);
    folder_remove();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(check_small),     cmocka_unit_test(check_bad),
        cmocka_unit_test(check_model),     cmocka_unit_test(check_bad_model),
        cmocka_unit_test(check_allocations),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
