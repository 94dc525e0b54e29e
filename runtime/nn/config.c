// The configuration of a language model: checks, and config.json in Hugging Face's keys.
#include "io/json.h"
#include "nn/lm.h"

#include <stdio.h>
#include <string.h>

int64_t hn__lm_head_dim(const hn_lm_config *c)
{
    return c->head_dim ? c->head_dim : c->width / c->heads;
}

static hn_status check_scaling(const hn_rope_scaling *r)
{
    if (r->kind != HN_ROPE_PLAIN && !(r->factor > 0))
        return hn_fail(HN_ERR_ARG, "model: rotary angles are divided by %g, must be > 0",
                       (double)r->factor);
    if (r->kind == HN_ROPE_LLAMA3 && (!(r->low > 0) || !(r->high > r->low) || r->original < 1))
        return hn_fail(HN_ERR_ARG,
                       "model: rotary scaling from %g to %g turns in %" PRId64
                       " positions; both must be > 0 and rise",
                       (double)r->low, (double)r->high, r->original);
    return HN_OK;
}

hn_status hn_lm_config_check(const hn_lm_config *c)
{
    const struct {
        const char *name;
        int64_t value, most;
    } sizes[] = {
        { "vocab", c->vocab, 1 << 22 },     { "width", c->width, 1 << 16 },
        { "layers", c->layers, 1024 },      { "heads", c->heads, 1024 },
        { "kv_heads", c->kv_heads, 1024 },  { "ffn", c->ffn, 1 << 20 },
        { "context", c->context, 1 << 20 },
    };
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++)
        if (sizes[i].value < 1 || sizes[i].value > sizes[i].most)
            return hn_fail(HN_ERR_ARG, "model: %s is %" PRId64 ", must be in [1, %" PRId64 "]",
                           sizes[i].name, sizes[i].value, sizes[i].most);
    if (!c->head_dim && c->width % c->heads)
        return hn_fail(HN_ERR_ARG, "model: width %" PRId64 " is no multiple of %" PRId64 " heads",
                       c->width, c->heads);
    if (c->head_dim < 0 || c->head_dim > HN_MAX_ROPE)
        return hn_fail(HN_ERR_ARG, "model: heads of %" PRId64 " elements, at most %d", c->head_dim,
                       HN_MAX_ROPE);
    if (c->family == HN_LM_GPT2 && c->head_dim && c->head_dim * c->heads != c->width)
        return hn_fail(HN_ERR_ARG, "model: gpt2's heads share out the width");
    if (c->heads % c->kv_heads)
        return hn_fail(HN_ERR_ARG,
                       "model: %" PRId64 " heads are no multiple of %" PRId64 " key-value heads",
                       c->heads, c->kv_heads);
    if (c->family == HN_LM_GPT2 && c->kv_heads != c->heads)
        return hn_fail(HN_ERR_ARG, "model: gpt2 has no grouped heads");
    if (c->family == HN_LM_LLAMA && hn__lm_head_dim(c) % 2)
        return hn_fail(HN_ERR_ARG, "model: rotary positions need even heads, of %" PRId64
                       " elements they are not", hn__lm_head_dim(c));
    HN_TRY(check_scaling(&c->rope_scaling));
    if (!(c->eps > 0) || !(c->dropout >= 0 && c->dropout < 1))
        return hn_fail(HN_ERR_ARG, "model: eps %g must be > 0, dropout %g in [0, 1)", c->eps,
                       c->dropout);
    if (c->head == HN_HEAD_VQ && (c->codes < 1 || c->codes > c->vocab))
        return hn_fail(HN_ERR_ARG, "model: %" PRId64 " codes for %" PRId64 " tokens", c->codes,
                       c->vocab);
    return HN_OK;
}

int64_t hn_lm_params_count(const hn_lm_config *c)
{
    const int64_t d = c->width, q = hn__lm_head_dim(c) * c->heads,
                  kv = hn__lm_head_dim(c) * c->kv_heads;
    int64_t block, rest;

    if (c->family == HN_LM_LLAMA) {
        block = 2 * d * q + 2 * d * kv + 3 * d * c->ffn + 2 * d;
        block += (c->qkv_bias ? q + 2 * kv : 0) + (c->out_bias ? d : 0);
        rest = c->vocab * d + d;
    } else {
        block = 4 * d * d + 4 * d + 2 * d * c->ffn + c->ffn + d + 4 * d;
        rest = c->vocab * d + c->context * d + 2 * d;
    }
    if (c->head == HN_HEAD_VQ)
        rest += c->codes * d + (c->token_bias ? c->vocab : 0);
    else if (!c->tied)
        rest += c->vocab * d;
    return c->layers * block + rest;
}

// ---- reading -------------------------------------------------------------------------------

typedef struct reader {
    const json_t *o;
    const char *where;
} reader;

static hn_status whole(const reader *r, const char *key, int64_t *out)
{
    return hn__json_int(r->o, r->where, key, 1, INT64_C(1) << 40, out);
}

static hn_status whole_or(const reader *r, const char *key, int64_t otherwise, int64_t *out)
{
    *out = otherwise;
    return hn__json_has(r->o, key) ? whole(r, key, out) : HN_OK;
}

static hn_status real(const reader *r, const char *key, float *out)
{
    double x;
    HN_TRY(hn__json_real(r->o, r->where, key, &x));
    *out = (float)x;
    return HN_OK;
}

static hn_status real_or(const reader *r, const char *key, double otherwise, float *out)
{
    *out = (float)otherwise;
    return hn__json_has(r->o, key) ? real(r, key, out) : HN_OK;
}

static hn_status flag_or(const reader *r, const char *key, bool otherwise, bool *out)
{
    *out = otherwise;
    return hn__json_has(r->o, key) ? hn__json_bool(r->o, r->where, key, out) : HN_OK;
}

static hn_status refuse(const reader *r, const char *key)
{
    return hn_fail(HN_ERR_UNSUPPORTED, "%s: \"%s\" asks for what is not implemented", r->where,
                   key);
}

static hn_status refuse_true(const reader *r, const char *key)
{
    bool on;
    HN_TRY(flag_or(r, key, false, &on));
    return on ? refuse(r, key) : HN_OK;
}

static hn_status refuse_partial(const reader *r)
{
    float part;
    HN_TRY(real_or(r, "partial_rotary_factor", 1, &part));
    return part < 1 || part > 1 ? refuse(r, "partial_rotary_factor") : HN_OK;
}

// "rope_scaling", or "rope_parameters" as newer files have it, with the base in it too.
static hn_status read_scaling(const reader *r, hn_lm_config *c)
{
    const bool newer = hn__json_has(r->o, "rope_parameters");
    const char *field = newer ? "rope_parameters" : "rope_scaling", *type = "linear";
    hn_rope_scaling *out = &c->rope_scaling;
    const json_t *o;
    char where[600];

    if (!hn__json_has(r->o, field))
        return HN_OK;
    HN_TRY(hn__json_object(r->o, r->where, field, &o));
    snprintf(where, sizeof where, "%s: \"%s\"", r->where, field);
    const reader in = { o, where };
    HN_TRY(real_or(&in, "rope_theta", (double)c->rope_base, &c->rope_base));
    HN_TRY(refuse_partial(&in));
    const char *key = hn__json_has(o, "rope_type") ? "rope_type" : "type"; // older files
    HN_TRY(hn__json_string(o, where, key, &type));
    if (!strcmp(type, "default"))
        return HN_OK;
    if (strcmp(type, "linear") && strcmp(type, "llama3"))
        return hn_fail(HN_ERR_UNSUPPORTED,
                       "%s asks for '%.60s', which is not implemented; known are linear and "
                       "llama3", where, type);
    out->kind = strcmp(type, "linear") ? HN_ROPE_LLAMA3 : HN_ROPE_LINEAR;
    HN_TRY(real(&in, "factor", &out->factor));
    if (out->kind == HN_ROPE_LINEAR)
        return HN_OK;
    HN_TRY(real(&in, "low_freq_factor", &out->low));
    HN_TRY(real(&in, "high_freq_factor", &out->high));
    return whole(&in, "original_max_position_embeddings", &out->original);
}

// What slides is not implemented, so the context ends where it would begin to.
static hn_status read_window(const reader *r, const char *type, hn_lm_config *c)
{
    int64_t window;
    bool slides;

    HN_TRY(flag_or(r, "use_sliding_window", strcmp(type, "qwen2") != 0, &slides));
    if (!slides || !hn__json_has(r->o, "sliding_window"))
        return HN_OK;
    HN_TRY(whole(r, "sliding_window", &window));
    if (window >= c->context)
        return HN_OK;
    hn__log(HN_LOG_WARN,
            "%s: attention has a sliding window of %" PRId64 " tokens, which is not implemented: "
            "the context ends there and not at %" PRId64, r->where, window, c->context);
    c->context = window;
    return HN_OK;
}

static hn_status read_llama_sizes(const reader *r, hn_lm_config *c)
{
    HN_TRY(whole(r, "hidden_size", &c->width));
    HN_TRY(whole(r, "num_hidden_layers", &c->layers));
    HN_TRY(whole(r, "num_attention_heads", &c->heads));
    HN_TRY(whole_or(r, "num_key_value_heads", c->heads, &c->kv_heads));
    HN_TRY(whole_or(r, "head_dim", 0, &c->head_dim));
    HN_TRY(whole(r, "intermediate_size", &c->ffn));
    HN_TRY(whole_or(r, "max_position_embeddings", 2048, &c->context));
    HN_TRY(real_or(r, "rms_norm_eps", 1e-6, &c->eps));
    HN_TRY(real_or(r, "rope_theta", 10000, &c->rope_base));
    return flag_or(r, "tie_word_embeddings", false, &c->tied);
}

// llama, mistral and qwen2.
static hn_status read_llama(const reader *r, const char *type, hn_lm_config *c)
{
    const char *act = "silu";

    HN_TRY(read_llama_sizes(r, c));
    HN_TRY(flag_or(r, "attention_bias", false, &c->out_bias));
    c->qkv_bias = c->out_bias || !strcmp(type, "qwen2");
    HN_TRY(refuse_true(r, "mlp_bias"));
    HN_TRY(refuse_partial(r));
    HN_TRY(read_scaling(r, c));
    HN_TRY(read_window(r, type, c));
    if (hn__json_has(r->o, "hidden_act"))
        HN_TRY(hn__json_string(r->o, r->where, "hidden_act", &act));
    return strcmp(act, "silu") && strcmp(act, "swish") ? refuse(r, "hidden_act") : HN_OK;
}

static hn_status read_gpt2(const reader *r, hn_lm_config *c)
{
    const char *act = "gelu_new";
    bool scaled;

    HN_TRY(whole(r, "n_embd", &c->width));
    HN_TRY(whole(r, "n_layer", &c->layers));
    HN_TRY(whole(r, "n_head", &c->heads));
    c->kv_heads = c->heads;
    HN_TRY(whole_or(r, "n_inner", 4 * c->width, &c->ffn));
    HN_TRY(whole_or(r, "n_positions", 1024, &c->context));
    HN_TRY(real_or(r, "layer_norm_epsilon", 1e-5, &c->eps));
    HN_TRY(flag_or(r, "tie_word_embeddings", true, &c->tied));
    HN_TRY(refuse_true(r, "scale_attn_by_inverse_layer_idx"));
    HN_TRY(refuse_true(r, "add_cross_attention"));
    HN_TRY(flag_or(r, "scale_attn_weights", true, &scaled));
    if (!scaled)
        return refuse(r, "scale_attn_weights");
    if (hn__json_has(r->o, "activation_function"))
        HN_TRY(hn__json_string(r->o, r->where, "activation_function", &act));
    c->act = strcmp(act, "gelu") ? HN_ACT_GELU_TANH : HN_ACT_GELU;
    const bool known =
        !strcmp(act, "gelu") || !strcmp(act, "gelu_new") || !strcmp(act, "gelu_pytorch_tanh");
    return known ? HN_OK : refuse(r, "activation_function");
}

static hn_status read_ours(const reader *r, hn_lm_config *c)
{
    const json_t *o;
    const char *head = "dense";

    if (!hn__json_has(r->o, "hornito"))
        return HN_OK;
    HN_TRY(hn__json_object(r->o, r->where, "hornito", &o));
    const reader in = { o, r->where };
    HN_TRY(real_or(&in, "dropout", 0, &c->dropout));
    HN_TRY(hn__json_string(o, r->where, "head", &head));
    if (!strcmp(head, "dense"))
        return HN_OK;
    if (strcmp(head, "vq"))
        return refuse(r, "head");
    c->head = HN_HEAD_VQ;
    HN_TRY(whole(&in, "codes", &c->codes));
    return flag_or(&in, "token_bias", false, &c->token_bias);
}

static hn_status read_config(const reader *r, hn_lm_config *c)
{
    const char *type;

    HN_TRY(hn__json_string(r->o, r->where, "model_type", &type));
    const bool gpt2 = !strcmp(type, "gpt2");
    if (!gpt2 && strcmp(type, "llama") && strcmp(type, "mistral") && strcmp(type, "qwen2"))
        return hn_fail(HN_ERR_UNSUPPORTED,
                       "%s: \"model_type\" is '%.60s'; known language models are llama, mistral, "
                       "qwen2 and gpt2", r->where, type);
    if (hn__json_has(r->o, "quantization_config"))
        return refuse(r, "quantization_config");
    HN_TRY(whole(r, "vocab_size", &c->vocab));
    HN_TRY(gpt2 ? read_gpt2(r, c) : read_llama(r, type, c));
    c->family = gpt2 ? HN_LM_GPT2 : HN_LM_LLAMA;
    HN_TRY(read_ours(r, c));
    return hn_context(hn_lm_config_check(c), "%s", r->where);
}

hn_status hn__lm_config_read(const json_t *o, const char *where, hn_lm_config *out)
{
    *out = (hn_lm_config){ .act = HN_ACT_SILU };
    return json_is_object(o) ? read_config(&(reader){ o, where }, out)
                             : hn_fail(HN_ERR_FORMAT, "%s: not an object", where);
}

hn_status hn_lm_config_load(const char *path, hn_lm_config *out)
{
    json_t *o;
    char where[512];

    HN_TRY(hn__json_load(path, 1 << 20, &o));
    snprintf(where, sizeof where, "file '%.480s'", path);
    const hn_status s = hn__lm_config_read(o, where, out);
    json_decref(o);
    return s;
}

// ---- writing -------------------------------------------------------------------------------

static json_t *scaling_json(const hn_rope_scaling *r)
{
    if (r->kind == HN_ROPE_PLAIN)
        return json_null();
    if (r->kind == HN_ROPE_LINEAR)
        return json_pack("{s:s, s:s, s:f}", "rope_type", "linear", "type", "linear", "factor",
                         (double)r->factor);
    return json_pack("{s:s, s:f, s:f, s:f, s:I}", "rope_type", "llama3", "factor",
                     (double)r->factor, "low_freq_factor", (double)r->low, "high_freq_factor",
                     (double)r->high, "original_max_position_embeddings",
                     (json_int_t)r->original);
}

static json_t *llama_json(const hn_lm_config *c)
{
    const bool qwen2 = c->qkv_bias && !c->out_bias;
    return json_pack(
        "{s:s, s:[s], s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:f, s:f, s:o, s:s, s:b, s:b}",
        "model_type", qwen2 ? "qwen2" : "llama", "architectures",
        qwen2 ? "Qwen2ForCausalLM" : "LlamaForCausalLM", "vocab_size", (json_int_t)c->vocab,
        "hidden_size", (json_int_t)c->width, "num_hidden_layers", (json_int_t)c->layers,
        "num_attention_heads", (json_int_t)c->heads, "num_key_value_heads",
        (json_int_t)c->kv_heads, "head_dim", (json_int_t)hn__lm_head_dim(c), "intermediate_size",
        (json_int_t)c->ffn, "max_position_embeddings", (json_int_t)c->context, "rms_norm_eps",
        (double)c->eps, "rope_theta", (double)c->rope_base, "rope_scaling",
        scaling_json(&c->rope_scaling), "hidden_act", "silu", "tie_word_embeddings", c->tied,
        "attention_bias", c->out_bias);
}

static json_t *gpt2_json(const hn_lm_config *c)
{
    return json_pack("{s:s, s:[s], s:I, s:I, s:I, s:I, s:I, s:I, s:f, s:s, s:b}", "model_type",
                     "gpt2", "architectures", "GPT2LMHeadModel", "vocab_size",
                     (json_int_t)c->vocab, "n_embd", (json_int_t)c->width, "n_layer",
                     (json_int_t)c->layers, "n_head", (json_int_t)c->heads, "n_inner",
                     (json_int_t)c->ffn, "n_positions", (json_int_t)c->context,
                     "layer_norm_epsilon", (double)c->eps, "activation_function",
                     c->act == HN_ACT_GELU ? "gelu" : "gelu_new", "tie_word_embeddings", c->tied);
}

static json_t *our_json(const hn_lm_config *c)
{
    if (c->head == HN_HEAD_DENSE)
        return json_pack("{s:s, s:f}", "head", "dense", "dropout", (double)c->dropout);
    return json_pack("{s:s, s:f, s:I, s:b}", "head", "vq", "dropout", (double)c->dropout, "codes",
                     (json_int_t)c->codes, "token_bias", c->token_bias);
}

hn_status hn_lm_config_save(const hn_lm_config *c, const char *path)
{
    HN_TRY(hn_lm_config_check(c));
    json_t *o = c->family == HN_LM_LLAMA ? llama_json(c) : gpt2_json(c);
    if (!o)
        return hn__nomem(1024);
    hn_status s = hn__json_set(o, "hornito", our_json(c));
    if (s == HN_OK)
        s = hn__json_save(path, o);
    json_decref(o);
    return s;
}
