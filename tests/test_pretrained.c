// Pretrained models: folders and GGUF files shown as one kind, and converted.
#include "support/bytes.h"
#include "support/check.h"
#include "support/failing.h"
#include "support/folder.h"
#include "support/models.h"

#include "io/convert.h"

#include <stdlib.h>
#include <string.h>

enum { WIDTH = 32, FFN = 64, CONTEXT = 16, HEADS = 4, KV_HEADS = 2, MOST = 64, DATA = 1 << 16 };

// A model of one layer in f16, of random numbers, as a Hugging Face folder.
typedef struct model {
    hn_tensor list[MOST];
    char name[MOST][96];
    int64_t n;
    uint8_t data[DATA];
    size_t n_data;
    hn_rng rng;
} model;

static void add(model *m, const char *name, int64_t rows, int64_t cols)
{
    hn_tensor *t = &m->list[m->n];
    snprintf(m->name[m->n], sizeof *m->name, "%s", name);
    *t = (hn_tensor){ .name = m->name[m->n++], .dtype = HN_F16, .rank = cols ? 2 : 1,
                      .dim = { rows, cols }, .data = m->data + m->n_data };
    t->n_bytes = 2 * rows * (cols ? cols : 1);
    CHECK(m->n_data + (size_t)t->n_bytes <= DATA, "the test's model is too large");
    for (int64_t i = 0; i < t->n_bytes / 2; i++) {
        const uint16_t h = hn__f32_to_f16((float)hn__rng_normal(&m->rng));
        memcpy(m->data + m->n_data, &h, 2);
        m->n_data += 2;
    }
}

static void add_layer(model *m, const char *prefix, const char *const part[][2])
{
    for (; (*part)[0]; part++) {
        char name[96];
        const char *shape = (*part)[1]; // of letters: d width, k key-value rows, f, 3
        int64_t dim[2] = { 0 };
        for (int i = 0; shape[i]; i++)
            dim[i] = shape[i] == 'd'   ? WIDTH
                     : shape[i] == 'k' ? WIDTH / HEADS * KV_HEADS
                     : shape[i] == 'f' ? FFN
                                       : 3 * WIDTH;
        snprintf(name, sizeof name, "%s%s", prefix, (*part)[0]);
        add(m, name, dim[0], dim[1]);
    }
}

static const char *const llama_layer[][2] = {
    { "input_layernorm.weight", "d" },   { "self_attn.q_proj.weight", "dd" },
    { "self_attn.k_proj.weight", "kd" }, { "self_attn.v_proj.weight", "kd" },
    { "self_attn.o_proj.weight", "dd" }, { "post_attention_layernorm.weight", "d" },
    { "mlp.gate_proj.weight", "fd" },    { "mlp.up_proj.weight", "fd" },
    { "mlp.down_proj.weight", "df" },    { NULL, NULL },
};
static const char *const qwen2_biases[][2] = {
    { "self_attn.q_proj.bias", "d" }, { "self_attn.k_proj.bias", "k" },
    { "self_attn.v_proj.bias", "k" }, { NULL, NULL },
};
static const char *const gpt2_layer[][2] = {
    { "ln_1.weight", "d" },        { "ln_1.bias", "d" },        { "attn.c_attn.weight", "d3" },
    { "attn.c_attn.bias", "3" },   { "attn.c_proj.weight", "dd" }, { "attn.c_proj.bias", "d" },
    { "ln_2.weight", "d" },        { "ln_2.bias", "d" },        { "mlp.c_fc.weight", "df" },
    { "mlp.c_fc.bias", "f" },      { "mlp.c_proj.weight", "fd" }, { "mlp.c_proj.bias", "d" },
    { NULL, NULL },
};

static int64_t put_tokenizer(void)
{
    static const char text[] = "the cat and the hat and the bat, the cat";
    static const char *const special[] = { "<s>", "</s>" };
    hn_tokenizer *t;
    CHECK_OK(hn_tokenizer_train(text, sizeof text - 1,
                                &(hn_tokenizer_params){ .vocab_size = 270, .special = special,
                                                        .n_special = 2 },
                                &t));
    CHECK_OK(hn_tokenizer_save(t, folder_path("model/tokenizer.json")));
    const int n = hn_tokenizer_vocab_size(t);
    hn_tokenizer_destroy(&t);
    return n + 3; // rows without a token, as published models have them
}

static json_t *llama_config(const char *type, int64_t vocab)
{
    return json_pack("{s:s, s:[s], s:I, s:i, s:i, s:i, s:i, s:i, s:i, s:f, s:f, s:s, s:b, s:i, "
                     "s:i}",
                     "model_type", type, "architectures", "X", "vocab_size", (json_int_t)vocab,
                     "hidden_size", WIDTH, "num_hidden_layers", 1, "num_attention_heads", HEADS,
                     "num_key_value_heads", KV_HEADS, "intermediate_size", FFN,
                     "max_position_embeddings", CONTEXT, "rms_norm_eps", 1e-5, "rope_theta", 5e5,
                     "hidden_act", "silu", "tie_word_embeddings", 0, "bos_token_id",
                     (int)vocab - 5, "eos_token_id", (int)vocab - 4);
}

static json_t *gpt2_config(int64_t vocab)
{
    return json_pack("{s:s, s:I, s:i, s:i, s:i, s:i, s:f, s:s, s:b, s:i, s:i}", "model_type",
                     "gpt2", "vocab_size", (json_int_t)vocab, "n_embd", WIDTH, "n_layer", 1,
                     "n_head", HEADS, "n_positions", CONTEXT, "layer_norm_epsilon", 1e-5,
                     "activation_function", "gelu_new", "tie_word_embeddings", 1, "bos_token_id",
                     (int)vocab - 5, "eos_token_id", (int)vocab - 4);
}

// Makes the folder "model" of a type; `change` goes into its config.json. Returns its path.
static const char *make_model(const char *type, uint64_t seed, json_t *change)
{
    static model m;
    m.n = 0;
    m.n_data = 0;
    m.rng = hn__rng(seed, 7);
    CHECK_OK(hn__mkdirs(folder_path("model")));
    const int64_t vocab = put_tokenizer();
    json_t *o = !strcmp(type, "gpt2") ? gpt2_config(vocab) : llama_config(type, vocab);
    if (!strcmp(type, "gpt2")) {
        add(&m, "transformer.wte.weight", vocab, WIDTH);
        add(&m, "transformer.wpe.weight", CONTEXT, WIDTH);
        add_layer(&m, "transformer.h.0.", gpt2_layer);
        add(&m, "transformer.ln_f.weight", WIDTH, 0);
        add(&m, "transformer.ln_f.bias", WIDTH, 0);
    } else {
        add(&m, "model.embed_tokens.weight", vocab, WIDTH);
        add_layer(&m, "model.layers.0.", llama_layer);
        if (!strcmp(type, "qwen2"))
            add_layer(&m, "model.layers.0.", qwen2_biases);
        add(&m, "model.norm.weight", WIDTH, 0);
        add(&m, "lm_head.weight", vocab, WIDTH);
    }
    if (change)
        assert_int_equal(json_object_update(o, change), 0);
    json_decref(change);
    CHECK_OK(hn_tensors_write(folder_path("model/model.safetensors"), m.list, m.n, NULL, 0));
    CHECK_OK(hn__json_save(folder_path("model/config.json"), o));
    json_decref(o);
    static const char template[] = "{\"chat_template\":\"{{ x }}\",\"add_bos_token\":true}";
    static const char readme[] = "---\ntags: [a]\nlicense: \"mit\"\n---\ntext\n";
    folder_put("model/tokenizer_config.json", template, sizeof template - 1);
    folder_put("model/README.md", readme, sizeof readme - 1);
    return folder_path("model");
}

// A path that stays: folder_path's are used in turn.
static const char *keep(const char *path, char *buf, size_t n)
{
    snprintf(buf, n, "%s", path);
    return buf;
}

static hn_pretrained *open_model(const char *path)
{
    hn_pretrained *p;
    CHECK_OK(hn_pretrained_open(path, &p));
    return p;
}

static hn_status convert(const char *from, const char *to, hn_dtype type)
{
    hn_pretrained *p;
    hn_dtype made;
    HN_TRY(hn_pretrained_open(from, &p));
    const hn_status s = hn__convert(p, to, type, &made);
    hn_pretrained_close(&p);
    return s;
}

// ---- the same model, in each format ----------------------------------------------------------

// All tensors of a are in b with the same bits in f16, once each is in Hugging Face's order.
static void check_same(const hn_pretrained *a, const hn_pretrained *b, const char *what)
{
    CHECK(a->tensors->n == b->tensors->n, "%s: %d tensors became %d", what, (int)a->tensors->n,
          (int)b->tensors->n);
    for (int64_t i = 0; i < a->tensors->n; i++) {
        const hn_tensor *x = &a->tensors->item[i], *y = hn_tensors_find(b->tensors, x->name);
        static uint8_t p[DATA], q[DATA];
        CHECK(y && x->rank == y->rank && !memcmp(x->dim, y->dim, sizeof *x->dim * 2),
              "%s: %s has another shape", what, x->name);
        CHECK_OK(hn_tensor_read(x, HN_F16, p));
        CHECK_OK(hn_tensor_read(y, HN_F16, q));
        int64_t n = 2;
        for (int k = 0; k < x->rank; k++)
            n *= x->dim[k];
        CHECK(!memcmp(p, q, (size_t)n), "%s: %s has other numbers", what, x->name);
    }
}

static void check_config(const hn_pretrained *a, const hn_pretrained *b, const char *what)
{
    static const char *const keys[] = {
        "model_type", "vocab_size", "hidden_size", "num_hidden_layers", "num_attention_heads",
        "num_key_value_heads", "intermediate_size", "max_position_embeddings", "rms_norm_eps",
        "rope_theta", "hidden_act", "tie_word_embeddings", "bos_token_id", "eos_token_id",
        "n_embd", "n_layer", "n_head", "n_positions", "layer_norm_epsilon",
        "activation_function", "rope_scaling",
    };
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++) {
        const json_t *x = json_object_get(a->config, keys[i]);
        const json_t *y = json_object_get(b->config, keys[i]);
        CHECK(x ? json_equal(x, y) : !y, "%s: \"%s\" changed", what, keys[i]);
    }
    assert_string_equal(hn_pretrained_chat_template(b), "{{ x }}");
    assert_string_equal(hn_pretrained_license(b), "mit");
    assert_true(json_is_true(json_object_get(b->tokenizer_config, "add_bos_token")));
}

static void check_tokens(const hn_pretrained *a, const hn_pretrained *b, const char *what)
{
    static const char text[] = "the cat's hat</s> and 12 bats \xc3\xa9\xff";
    hn_tokenizer *t[2];
    hn_ids ids[2] = { { 0 }, { 0 } };
    for (int flags = 0; flags < 2; flags++) {
        CHECK_OK(hn__pretrained_tokenizer(a, &t[0]));
        CHECK_OK(hn__pretrained_tokenizer(b, &t[1]));
        for (int i = 0; i < 2; i++) {
            ids[i].n = 0;
            CHECK_OK(hn_tokenizer_encode(t[i], text, sizeof text - 1, flags, &ids[i]));
            hn_tokenizer_destroy(&t[i]);
        }
        CHECK(ids[0].n == ids[1].n &&
                  !memcmp(ids[0].id, ids[1].id, sizeof *ids[0].id * (size_t)ids[0].n),
              "%s: other tokens", what);
    }
    hn_ids_free(&ids[0]);
    hn_ids_free(&ids[1]);
}

// Folder -> GGUF -> folder, in f16.
static void check_round_trip(void **state)
{
    (void)state;
    static const char *const types[] = { "llama", "qwen2", "gpt2" };
    for (uint64_t seed = 0; seed < 3; seed++) {
        const char *type = types[seed];
        char room[3][512];
        folder_make("round-trip");
        const char *from = keep(make_model(type, seed, NULL), room[0], sizeof *room);
        const char *file = keep(folder_path("m.gguf"), room[1], sizeof *room);
        const char *back = keep(folder_path("back"), room[2], sizeof *room);
        CHECK_OK(convert(from, file, HN_F16));
        CHECK_OK(convert(file, back, 0));
        hn_pretrained *a = open_model(from), *b = open_model(file), *c = open_model(back);
        assert_string_equal(hn_pretrained_format(b), "gguf 3");
        check_same(a, b, type);
        check_same(a, c, type);
        check_config(a, b, type);
        check_config(a, c, type);
        check_tokens(a, b, type);
        check_tokens(a, c, type);
        hn_pretrained_close(&a);
        hn_pretrained_close(&b);
        hn_pretrained_close(&c);
        folder_remove();
    }
}

// Rows of queries and keys lie in pairs in a file of llama, and not of qwen2; GPT-2's projections
// lie transposed.
static void check_order(void **state)
{
    (void)state;
    folder_make("order");
    for (int qwen2 = 0; qwen2 < 2; qwen2++) {
        CHECK_OK(convert(make_model(qwen2 ? "qwen2" : "llama", 1, NULL), folder_path("m.gguf"),
                         HN_F16));
        hn_pretrained *a = open_model(folder_path("model")),
                      *b = open_model(folder_path("m.gguf"));
        const hn_tensor *x = hn_tensors_find(a->tensors, "model.layers.0.self_attn.k_proj.weight");
        const hn_tensor *y = hn_tensors_find(b->files, "blk.0.attn_k.weight");
        const hn_tensor *z = hn_tensors_find(b->tensors, x->name);
        const int64_t head = WIDTH / HEADS, size = 2 * WIDTH;
        assert_int_equal(z->paired_heads, qwen2 ? 0 : KV_HEADS);
        for (int64_t r = 0; r < x->dim[0]; r++) {
            const int64_t at = r % head, first = r - at;
            const int64_t to = qwen2 ? r : first + at % (head / 2) * 2 + at / (head / 2);
            assert_memory_equal((const char *)y->data + to * size,
                                (const char *)x->data + r * size, (size_t)size);
        }
        hn_pretrained_close(&a);
        hn_pretrained_close(&b);
        CHECK_OK(hn__remove_all(folder_path("m.gguf")));
    }
    CHECK_OK(convert(make_model("gpt2", 1, NULL), folder_path("m.gguf"), HN_F16));
    hn_pretrained *b = open_model(folder_path("m.gguf"));
    const hn_tensor *t = hn_tensors_find(b->tensors, "transformer.h.0.mlp.c_fc.weight");
    const hn_tensor *f = hn_tensors_find(b->files, "blk.0.ffn_up.weight");
    assert_true(t->transposed && t->dim[0] == WIDTH && f->dim[0] == FFN && t->data == f->data);
    assert_int_equal(hn_tensors_find(b->files, "position_embd.weight")->dtype, HN_F32);
    hn_pretrained_close(&b);
    folder_remove();
}

// Every type, from a folder and from a file; each error is of the type's size.
static void check_types(void **state)
{
    (void)state;
    static const struct {
        hn_dtype type;
        float tol; // of the largest number in a block
    } types[] = { { HN_F32, 0 },          { HN_F16, 0 },          { HN_BF16, 1.f / 256 },
                  { HN_Q8_0, 1.f / 200 }, { HN_Q4_0, 1.f / 7 },   { HN_Q4_1, 1.f / 7 } };
    char room[512];
    folder_make("types");
    const char *from = keep(make_model("llama", 5, NULL), room, sizeof room);
    hn_pretrained *a = open_model(from);
    for (size_t i = 0; i < sizeof types / sizeof *types; i++) {
        const char *name = "model.layers.0.mlp.down_proj.weight";
        static float x[WIDTH * FFN], y[WIDTH * FFN];
        CHECK_OK(convert(from, folder_path("m.gguf"), types[i].type));
        CHECK_OK(convert(folder_path("m.gguf"), folder_path("again.gguf"), 0));
        hn_pretrained *b = open_model(folder_path("again.gguf"));
        const hn_tensor *t = hn_tensors_find(b->tensors, name);
        assert_int_equal(t->dtype, types[i].type);
        assert_int_equal(hn_tensors_find(b->tensors, "model.norm.weight")->dtype, HN_F32);
        CHECK_OK(hn_tensor_read(hn_tensors_find(a->tensors, name), HN_F32, x));
        CHECK_OK(hn_tensor_read(t, HN_F32, y));
        for (int k = 0; k < WIDTH * FFN; k++)
            CHECK(fabsf(x[k] - y[k]) <= 5 * types[i].tol, "%s: element %d is %g, was %g",
                  hn_dtype_name(types[i].type), k, (double)y[k], (double)x[k]);
        hn_pretrained_close(&b);
        CHECK_OK(hn__remove_all(folder_path("m.gguf")));
        CHECK_OK(hn__remove_all(folder_path("again.gguf")));
    }
    hn_pretrained_close(&a);
    folder_remove();
}

// ---- rotary positions ------------------------------------------------------------------------

// Llama 3's scaling goes into a tensor and is found again.
static void check_rope(void **state)
{
    (void)state;
    folder_make("rope");
    json_t *scaling = json_pack("{s:{s:s, s:f, s:f, s:f, s:i}}", "rope_scaling", "rope_type",
                                "llama3", "factor", 32.0, "low_freq_factor", 1.0,
                                "high_freq_factor", 4.0, "original_max_position_embeddings", 8192);
    CHECK_OK(convert(make_model("llama", 2, json_deep_copy(scaling)), folder_path("m.gguf"), 0));
    hn_pretrained *p = open_model(folder_path("m.gguf"));
    assert_non_null(hn_tensors_find(p->files, "rope_freqs.weight"));
    assert_true(json_equal(json_object_get(p->config, "rope_scaling"),
                           json_object_get(scaling, "rope_scaling")));
    hn_pretrained_close(&p);
    json_decref(scaling);
    scaling = json_pack("{s:{s:s, s:f}}", "rope_scaling", "rope_type", "linear", "factor", 2.0);
    CHECK_OK(hn__remove_all(folder_path("m.gguf")));
    CHECK_OK(convert(make_model("llama", 2, json_deep_copy(scaling)), folder_path("m.gguf"), 0));
    p = open_model(folder_path("m.gguf"));
    assert_true(json_equal(json_object_get(p->config, "rope_scaling"),
                           json_object_get(scaling, "rope_scaling")));
    hn_pretrained_close(&p);
    json_decref(scaling);
    folder_remove();
}

// ---- refused ---------------------------------------------------------------------------------

static void check_refused(void **state)
{
    (void)state;
    static const struct {
        const char *type, *key, *json, *why;
    } cases[] = {
        { "llama", "hidden_act", "\"gelu\"", "hidden_act" },
        { "llama", "rope_scaling", "{\"rope_type\":\"yarn\",\"factor\":4}", "rope_scaling" },
        { "llama", "partial_rotary_factor", "0.5", "partial_rotary_factor" },
        { "llama", "quantization_config", "{}", "quantization_config" },
        { "llama", "hornito", "{\"head\":\"vq\"}", "head" },
        { "gpt2", "activation_function", "\"relu\"", "activation_function" },
        { "gpt2", "scale_attn_weights", "false", "scale_attn_weights" },
        { "llama", "model_type", "\"phi3\"", "phi3" },
        { "llama", "model_type", "\"whisper\"", "Whisper model goes into a folder" },
    };
    char room[3][512];
    folder_make("refused");
    const char *to = keep(folder_path("m.gguf"), room[0], sizeof *room);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        json_t *change = json_pack("{s:o}", cases[i].key,
                                   json_loads(cases[i].json, JSON_DECODE_ANY, NULL));
        CHECK_FAILS(convert(make_model(cases[i].type, 3, change), to, 0), HN_ERR_UNSUPPORTED);
        CHECK(strstr(hn_error_text(), cases[i].why), "not '%s': %s", cases[i].why,
              hn_error_text());
        assert_false(hn__exists(to));
    }
    const char *from = keep(make_model("llama", 3, NULL), room[1], sizeof *room);
    const char *out = keep(folder_path("out"), room[2], sizeof *room);
    CHECK_FAILS(convert(from, out, HN_Q8_0), HN_ERR_UNSUPPORTED);
    assert_non_null(strstr(hn_error_text(), ".gguf"));
    CHECK_FAILS(convert(from, to, HN_Q4_K), HN_ERR_ARG);
    CHECK_FAILS(convert(from, from, 0), HN_ERR_ARG); // it is there
    CHECK_OK(convert(from, out, HN_BF16));
    CHECK_FAILS(convert(from, out, 0), HN_ERR_ARG);
    assert_non_null(strstr(hn_error_text(), "is there already"));
    hn_pretrained *p = open_model(out);
    assert_int_equal(p->tensors->item[0].dtype, HN_BF16);
    hn_pretrained_close(&p);
    folder_remove();
}

static void check_folders(void **state)
{
    (void)state;
    hn_pretrained *p;
    folder_make("folders");
    CHECK_FAILS(hn_pretrained_open(folder_path("none"), &p), HN_ERR_IO);
    CHECK_FAILS(hn_pretrained_open(folder_path(""), &p), HN_ERR_FORMAT);
    assert_non_null(strstr(hn_error_text(), "holds no model"));
    const char *file = folder_put("x.txt", "text", 4);
    CHECK_FAILS(hn_pretrained_open(file, &p), HN_ERR_FORMAT);
    folder_put("config.json", "{}", 2);
    CHECK_FAILS(hn_pretrained_open(folder_path(""), &p), HN_ERR_FORMAT);
    assert_non_null(strstr(hn_error_text(), "no weights"));
    folder_put("pytorch_model.bin", "x", 1);
    CHECK_FAILS(hn_pretrained_open(folder_path(""), &p), HN_ERR_UNSUPPORTED);
    make_model("llama", 1, NULL);
    folder_put("model/config.json", "{}", 2);
    CHECK_FAILS(hn_pretrained_open(folder_path("model"), &p), HN_ERR_FORMAT);
    assert_non_null(strstr(hn_error_text(), "model_type"));
    folder_put("model/config.json", "[]", 2);
    CHECK_FAILS(hn_pretrained_open(folder_path("model"), &p), HN_ERR_FORMAT);
    assert_non_null(strstr(hn_error_text(), "not an object"));
    CHECK_OK(hn__remove_all(folder_path("model/config.json")));
    CHECK_FAILS(hn_pretrained_open(folder_path("model"), &p), HN_ERR_FORMAT);
    assert_non_null(strstr(hn_error_text(), "no config.json"));
    // A folder whose only model is a GGUF file stands for it; two are not chosen from.
    CHECK_OK(hn__mkdirs(folder_path("one")));
    CHECK_OK(convert(make_model("llama", 1, NULL), folder_path("one/a.gguf"), 0));
    p = open_model(folder_path("one"));
    hn_pretrained_close(&p);
    CHECK_OK(convert(folder_path("model"), folder_path("one/b.gguf"), 0));
    CHECK_FAILS(hn_pretrained_open(folder_path("one"), &p), HN_ERR_FORMAT);
    assert_non_null(strstr(hn_error_text(), "2 .gguf files"));
    folder_remove();
}

// ---- keys that a GGUF file may have ----------------------------------------------------------

// A llama file of nothing but keys and an embedding, with one key more.
static hn_status open_keys(const char *key, uint32_t type, uint64_t x, const char *text)
{
    static bytes b;
    static const char *const ints[] = { "block_count", "context_length", "embedding_length",
                                        "feed_forward_length", "attention.head_count" };
    put_gguf_head(&b, 1, 8);
    put_gguf_key(&b, "general.architecture", 8);
    put_gguf_string(&b, "llama");
    for (size_t i = 0; i < 5; i++) {
        char full[64];
        snprintf(full, sizeof full, "llama.%s", ints[i]);
        put_gguf_key(&b, full, 4);
        put_uint(&b, 4, i == 4 ? HEADS : WIDTH);
    }
    put_gguf_key(&b, "llama.attention.layer_norm_rms_epsilon", 6);
    put_f32(&b, 1e-6f);
    put_gguf_key(&b, key, type);
    if (text)
        put_gguf_string(&b, text);
    else
        put_uint(&b, type == 7 ? 1 : 4, x);
    put_gguf_tensor(&b, "token_embd.weight", 2, (uint64_t[]){ WIDTH, 4 }, 0, 0);
    put_pad(&b, 32);
    for (int i = 0; i < 4 * WIDTH; i++)
        put_f32(&b, 0);
    hn_pretrained *p;
    const hn_status s = hn_pretrained_open(folder_put("k.gguf", b.p, b.n), &p);
    hn_pretrained_close(&p);
    return s;
}

static void check_keys(void **state)
{
    (void)state;
    static const struct {
        const char *key;
        uint32_t type;
        uint64_t x;
        const char *text;
        hn_status want;
    } cases[] = {
        { "llama.vocab_size", 4, 4, NULL, HN_OK },
        { "llama.rope.dimension_count", 4, WIDTH / HEADS, NULL, HN_OK },
        { "llama.rope.dimension_count", 4, WIDTH / HEADS / 2, NULL, HN_ERR_UNSUPPORTED },
        { "llama.expert_count", 4, 0, NULL, HN_OK },
        { "llama.expert_count", 4, 8, NULL, HN_ERR_UNSUPPORTED },
        { "llama.attention.causal", 7, 0, NULL, HN_ERR_UNSUPPORTED },
        { "llama.attention.scale", 6, 0, NULL, HN_ERR_UNSUPPORTED },
        { "llama.attention.value_length", 4, 4, NULL, HN_ERR_UNSUPPORTED },
        { "llama.rope.scaling.type", 8, 0, "none", HN_OK },
        { "llama.rope.freq_base", 4, 10000, NULL, HN_ERR_FORMAT },
        { "general.type", 8, 0, "adapter", HN_ERR_UNSUPPORTED },
        { "general.type", 8, 0, "model", HN_OK },
        { "split.count", 4, 3, NULL, HN_ERR_UNSUPPORTED },
        { "qwen2.attention.scale", 4, 1, NULL, HN_OK }, // of another architecture
    };
    folder_make("keys");
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const hn_status s =
            open_keys(cases[i].key, cases[i].type, cases[i].x, cases[i].text);
        CHECK(s == cases[i].want, "%s gave %s: %s", cases[i].key, hn_status_name(s),
              hn_error_text());
        if (s != HN_OK)
            CHECK(strstr(hn_error_text(), cases[i].key), "%s is not named: %s", cases[i].key,
                  hn_error_text());
    }
    folder_remove();
}

// ---- memory ----------------------------------------------------------------------------------

// What is there afterwards is whole, or is not there.
static hn_status make(const char *from, const char *to, hn_dtype type)
{
    const hn_status s = convert(from, to, type);
    if (hn__exists(to) != (s == HN_OK))
        return hn_fail(HN_ERR_DEVICE, "'%s' was half-made", to);
    remove(to);
    if (!hn__is_dir(to))
        return s;
    static const char *const files[] = { "config.json", "model.safetensors", "tokenizer.json",
                                         "tokenizer_config.json", "generation_config.json",
                                         "README.md" };
    for (size_t i = 0; i < sizeof files / sizeof *files; i++) {
        char path[600];
        snprintf(path, sizeof path, "%s/%s", to, files[i]);
        if (remove(path) && strcmp(files[i], "generation_config.json") != 0)
            return hn_fail(HN_ERR_DEVICE, "'%s' is missing", path);
    }
    remove(to);
    return s;
}

static hn_status to_file(void *user)
{
    return make(user, folder_path("m.gguf"), HN_Q8_0);
}

static hn_status to_folder(void *user)
{
    return make(user, folder_path("out"), HN_F32);
}

static hn_status count_names(void *user, const char *name)
{
    *(int *)user += strstr(name, ".tmp-") != NULL;
    return HN_OK;
}

static void check_allocations(void **state)
{
    (void)state;
    int n_tmp = 0;
    folder_make("convert-nomem");
    char from[512], file[512];
    snprintf(from, sizeof from, "%s", make_model("gpt2", 1, NULL));
    const long n_file = failing_allocations("to a GGUF file", to_file, from);
    snprintf(file, sizeof file, "%s", folder_path("b.gguf"));
    CHECK_OK(convert(from, file, 0));
    const long n_folder = failing_allocations("to a folder", to_folder, file);
    print_message("%ld and %ld allocations\n", n_file, n_folder);
    assert_true(n_file > 20 && n_folder > 20);
    CHECK_OK(hn__list(folder_path(""), count_names, &n_tmp));
    assert_int_equal(n_tmp, 0);
    folder_remove();
}

// ---- real weights ----------------------------------------------------------------------------

static void check_smollm2(void **state)
{
    (void)state;
    hn_pretrained *p = open_model(model_folder("smollm2-135m"));
    assert_string_equal(hn_pretrained_license(p), "apache-2.0");
    assert_int_equal(p->tensors->n, 272);
    const hn_tensor *q = hn_tensors_find(p->tensors, "model.layers.0.self_attn.q_proj.weight");
    assert_true(q && q->dtype == HN_Q4_1 && q->paired_heads == 9 && q->dim[0] == 576);
    hn_pretrained_close(&p);
}

static void check_whisper_base(void **state)
{
    (void)state;
    hn_pretrained *p = open_model(model_folder("whisper-base"));
    assert_int_equal(p->tensors->n, 245);
    assert_int_equal(json_object_size(json_object_get(p->generation, "lang_to_id")), 99);
    assert_int_equal(json_array_size(json_object_get(p->generation, "suppress_tokens")), 88);
    assert_int_equal(
        json_integer_value(json_object_get(p->generation, "no_timestamps_token_id")), 50363);
    hn_pretrained_close(&p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(check_round_trip),  cmocka_unit_test(check_order),
        cmocka_unit_test(check_types),       cmocka_unit_test(check_rope),
        cmocka_unit_test(check_refused),     cmocka_unit_test(check_folders),
        cmocka_unit_test(check_keys),        cmocka_unit_test(check_allocations),
        cmocka_unit_test(check_smollm2),     cmocka_unit_test(check_whisper_base),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
