// A config.json in the keys of GGUF. What these have no words for is refused by name.
#include "io/bpe.h"
#include "io/convert.h"

#include <string.h>

typedef struct keys {
    const json_t *o;
    hn__gguf_writer *w;
    const char *arch;
} keys;

static const char where[] = "config.json";

static hn_status refuse(const char *key)
{
    return hn_fail(HN_ERR_UNSUPPORTED, "%s: \"%s\" has no place in a GGUF file of this model",
                   where, key);
}

static hn_status put_int(const keys *k, const char *from, const char *to)
{
    int64_t x;
    char key[96];
    HN_TRY(hn__json_int(k->o, where, from, 0, UINT32_MAX, &x));
    snprintf(key, sizeof key, "%s.%s", k->arch, to);
    hn__gguf_put_int(k->w, key, x);
    return HN_OK;
}

static hn_status put_int_or(const keys *k, const char *from, const char *to, int64_t otherwise)
{
    char key[96];
    if (hn__json_has(k->o, from))
        return put_int(k, from, to);
    snprintf(key, sizeof key, "%s.%s", k->arch, to);
    hn__gguf_put_int(k->w, key, otherwise);
    return HN_OK;
}

static hn_status put_real_or(const keys *k, const char *from, const char *to, double otherwise)
{
    double x = otherwise;
    char key[96];
    if (hn__json_has(k->o, from))
        HN_TRY(hn__json_real(k->o, where, from, &x));
    snprintf(key, sizeof key, "%s.%s", k->arch, to);
    hn__gguf_put_real(k->w, key, x);
    return HN_OK;
}

// Fields that change what the model computes, and must be as every GGUF reader takes them.
static hn_status check_words(const json_t *o, const char *key, const char *const *known)
{
    const char *text;
    if (!hn__json_has(o, key))
        return HN_OK;
    HN_TRY(hn__json_string(o, where, key, &text));
    for (; *known; known++)
        if (!strcmp(*known, text))
            return HN_OK;
    return refuse(key);
}

static hn_status check_config(const json_t *o)
{
    static const char *const off[] = { "quantization_config", "scale_attn_by_inverse_layer_idx",
                                       "add_cross_attention" };
    static const char *const silu[] = { "silu", "swish", NULL };
    static const char *const gelu[] = { "gelu_new", "gelu_pytorch_tanh", NULL };
    for (size_t i = 0; i < sizeof off / sizeof *off; i++)
        if (hn__json_has(o, off[i]) && !json_is_false(json_object_get(o, off[i])))
            return refuse(off[i]);
    const json_t *part = json_object_get(o, "partial_rotary_factor");
    if (json_is_number(part) && (json_number_value(part) < 1 || json_number_value(part) > 1))
        return refuse("partial_rotary_factor");
    if (json_is_false(json_object_get(o, "scale_attn_weights")))
        return refuse("scale_attn_weights");
    const char *head =
        json_string_value(json_object_get(json_object_get(o, "hornito"), "head"));
    if (head && strcmp(head, "dense") != 0)
        return refuse("head");
    HN_TRY(check_words(o, "hidden_act", silu));
    return check_words(o, "activation_function", gelu);
}

// ---- rotary positions ------------------------------------------------------------------------

hn_status hn__convert_rope(const json_t *config, hn__llama3_rope *out, hn__rope_kind *kind)
{
    const bool newer = hn__json_has(config, "rope_parameters");
    const json_t *o = json_object_get(config, newer ? "rope_parameters" : "rope_scaling");
    const char *type = json_string_value(json_object_get(o, "rope_type"));
    const char *words = newer ? "config.json: \"rope_parameters\""
                              : "config.json: \"rope_scaling\"";
    int64_t width, heads, head, original;
    HN_TRY(hn__json_int(config, where, "hidden_size", 1, 1 << 20, &width));
    HN_TRY(hn__json_int(config, where, "num_attention_heads", 1, width, &heads));
    head = width / heads;
    if (hn__json_has(config, "head_dim"))
        HN_TRY(hn__json_int(config, where, "head_dim", 2, 2 * HN__PAIRS, &head));
    if (head > 2 * HN__PAIRS)
        return refuse("num_attention_heads");
    *out = (hn__llama3_rope){ .base = 10000, .pairs = head / 2 };
    *kind = HN__ROPE_PLAIN;
    const json_t *at = newer && hn__json_has(o, "rope_theta") ? o : config;
    if (hn__json_has(at, "rope_theta"))
        HN_TRY(hn__json_real(at, where, "rope_theta", &out->base));
    if (!json_is_object(o))
        return HN_OK;
    type = type ? type : json_string_value(json_object_get(o, "type"));
    if (!type || !strcmp(type, "default"))
        return type ? HN_OK : refuse("rope_scaling");
    HN_TRY(hn__json_real(o, words, "factor", &out->factor));
    *kind = !strcmp(type, "linear") ? HN__ROPE_LINEAR : HN__ROPE_LLAMA3;
    if (*kind == HN__ROPE_LINEAR)
        return HN_OK;
    if (strcmp(type, "llama3") != 0)
        return refuse(newer ? "rope_parameters" : "rope_scaling");
    HN_TRY(hn__json_real(o, words, "low_freq_factor", &out->low));
    HN_TRY(hn__json_real(o, words, "high_freq_factor", &out->high));
    HN_TRY(hn__json_int(o, words, "original_max_position_embeddings", 1, INT32_MAX, &original));
    out->original = (double)original;
    return HN_OK;
}

static hn_status put_rope(const keys *k)
{
    hn__llama3_rope r;
    hn__rope_kind kind;
    char key[96];
    HN_TRY(hn__convert_rope(k->o, &r, &kind));
    snprintf(key, sizeof key, "%s.rope.freq_base", k->arch);
    hn__gguf_put_real(k->w, key, r.base);
    snprintf(key, sizeof key, "%s.rope.dimension_count", k->arch);
    hn__gguf_put_int(k->w, key, 2 * r.pairs);
    if (kind != HN__ROPE_LINEAR)
        return HN_OK;
    snprintf(key, sizeof key, "%s.rope.scaling.type", k->arch);
    hn__gguf_put_string(k->w, key, "linear");
    snprintf(key, sizeof key, "%s.rope.scaling.factor", k->arch);
    hn__gguf_put_real(k->w, key, r.factor);
    return HN_OK;
}

// ---- the model -------------------------------------------------------------------------------

static hn_status put_llama(const keys *k)
{
    int64_t width, heads, head;
    HN_TRY(put_int(k, "hidden_size", "embedding_length"));
    HN_TRY(put_int(k, "num_hidden_layers", "block_count"));
    HN_TRY(put_int(k, "intermediate_size", "feed_forward_length"));
    HN_TRY(put_int_or(k, "max_position_embeddings", "context_length", 2048));
    HN_TRY(put_int(k, "num_attention_heads", "attention.head_count"));
    HN_TRY(hn__json_int(k->o, where, "num_attention_heads", 1, 1 << 16, &heads));
    HN_TRY(put_int_or(k, "num_key_value_heads", "attention.head_count_kv", heads));
    HN_TRY(put_real_or(k, "rms_norm_eps", "attention.layer_norm_rms_epsilon", 1e-6));
    HN_TRY(put_int(k, "vocab_size", "vocab_size"));
    HN_TRY(hn__json_int(k->o, where, "hidden_size", 1, 1 << 20, &width));
    if (hn__json_has(k->o, "head_dim")) {
        HN_TRY(hn__json_int(k->o, where, "head_dim", 1, 1 << 16, &head));
        if (head * heads != width) {
            HN_TRY(put_int(k, "head_dim", "attention.key_length"));
            HN_TRY(put_int(k, "head_dim", "attention.value_length"));
        }
    }
    const json_t *use = json_object_get(k->o, "use_sliding_window");
    const bool slides = use ? json_is_true(use) : strcmp(k->arch, "qwen2") != 0;
    if (hn__json_has(k->o, "sliding_window") && slides)
        HN_TRY(put_int(k, "sliding_window", "attention.sliding_window"));
    return put_rope(k);
}

static hn_status put_gpt2(const keys *k)
{
    int64_t width;
    HN_TRY(hn__json_int(k->o, where, "n_embd", 1, 1 << 20, &width));
    HN_TRY(put_int(k, "n_embd", "embedding_length"));
    HN_TRY(put_int(k, "n_layer", "block_count"));
    HN_TRY(put_int(k, "n_head", "attention.head_count"));
    HN_TRY(put_int_or(k, "n_positions", "context_length", 1024));
    HN_TRY(put_int_or(k, "n_inner", "feed_forward_length", 4 * width));
    return put_real_or(k, "layer_norm_epsilon", "attention.layer_norm_epsilon", 1e-5);
}

hn_status hn__convert_gguf_config(const hn_pretrained *p, hn__gguf_family f, hn__gguf_writer *w)
{
    const keys k = { p->config, w, hn__gguf_names_of(f)->architecture };
    const char *name = json_string_value(json_object_get(p->config, "_name_or_path"));
    const char *slash = strrchr(p->path, '/');
    if (!name || !*name)
        name = slash && slash[1] ? slash + 1 : p->path;
    HN_TRY(check_config(p->config));
    hn__gguf_put_string(w, "general.architecture", k.arch);
    hn__gguf_put_string(w, "general.type", "model");
    hn__gguf_put_string(w, "general.name", name);
    if (p->license)
        hn__gguf_put_string(w, "general.license", p->license);
    return f == HN__GGUF_GPT2 ? put_gpt2(&k) : put_llama(&k);
}
