// A GGUF file's key-values in the words of Hugging Face's config.json, generation_config.json and
// tokenizer_config.json. A key of the architecture that is not known here is refused by name.
#include "io/gguf_model.h"
#include "io/gguf_read.h"
#include "io/text.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

typedef struct config {
    const hn__gguf *g;
    const char *arch;
    json_t *o;
    char key[128];
} config;

// "<architecture>.<name>", valid until the next call.
static const char *full(config *c, const char *name)
{
    snprintf(c->key, sizeof c->key, "%s.%s", c->arch, name);
    return c->key;
}

static bool has(config *c, const char *name)
{
    return hn__gguf_has(c->g, full(c, name));
}

static hn_status refuse(config *c, const char *name, const char *why)
{
    return hn_fail(HN_ERR_UNSUPPORTED, "file '%s': key %s %s", c->g->name, full(c, name), why);
}

static hn_status get_int(config *c, const char *name, int64_t *out)
{
    const hn__gguf_entry *e = hn__gguf_find(c->g, full(c, name));
    if (e && e->type == HN__GGUF_ARRAY)
        return refuse(c, name, "differs between layers, which is not implemented");
    return hn__gguf_get_int(c->g, c->key, 0, INT64_C(1) << 40, out);
}

static hn_status put_int(config *c, const char *name, const char *as)
{
    int64_t x;
    HN_TRY(get_int(c, name, &x));
    return hn__json_set(c->o, as, json_integer((json_int_t)x));
}

// The shortest decimal that is the same f32: 1e-05, and not 9.99999974e-06.
static double shortest(double x)
{
    char text[40];
    for (int digits = 1; digits < 9; digits++) {
        snprintf(text, sizeof text, "%.*g", digits, x);
        if ((float)strtod(text, NULL) == (float)x)
            return strtod(text, NULL);
    }
    return x;
}

static hn_status put_real(config *c, const char *name, const char *as, double otherwise)
{
    double x = otherwise;
    if (has(c, name) || !(otherwise > 0))
        HN_TRY(hn__gguf_get_real(c->g, full(c, name), &x));
    if (!isfinite(x))
        return refuse(c, name, "is no finite number");
    return hn__json_set(c->o, as, json_real(shortest(x)));
}

// ---- what a file may ask for -----------------------------------------------------------------

static bool is_known(const char *name)
{
    static const char *const known[] = {
        "block_count", "context_length", "embedding_length", "feed_forward_length", "vocab_size",
        "attention.head_count", "attention.head_count_kv", "attention.layer_norm_rms_epsilon",
        "attention.layer_norm_epsilon", "attention.key_length", "attention.value_length",
        "attention.sliding_window", "attention.causal", "rope.freq_base", "rope.dimension_count",
        "rope.scaling.type", "rope.scaling.factor", "rope.scaling.original_context_length",
        "rope.scaling.finetuned", "rope.scale_linear", "expert_count", "expert_used_count",
        "tensor_data_layout",
    };
    for (size_t i = 0; i < sizeof known / sizeof *known; i++)
        if (!strcmp(known[i], name))
            return true;
    return false;
}

static hn_status check_keys(config *c)
{
    const size_t n = strlen(c->arch);
    for (int64_t i = 0; i < c->g->n; i++) {
        const char *key = c->g->item[i].key;
        if (!strncmp(key, c->arch, n) && key[n] == '.' && !is_known(key + n + 1))
            return hn_fail(HN_ERR_UNSUPPORTED,
                           "file '%s': key %s asks for what is not implemented", c->g->name, key);
    }
    int64_t experts = 0, pieces = 0;
    if (has(c, "expert_count"))
        HN_TRY(get_int(c, "expert_count", &experts));
    if (experts)
        return refuse(c, "expert_count", "asks for experts, which are not implemented");
    bool causal = true;
    if (has(c, "attention.causal"))
        HN_TRY(hn__gguf_get_bool(c->g, full(c, "attention.causal"), &causal));
    if (!causal)
        return refuse(c, "attention.causal", "is false: no model that goes on with a text");
    if (hn__gguf_has(c->g, "split.count"))
        HN_TRY(hn__gguf_get_int(c->g, "split.count", 0, 1 << 20, &pieces));
    return pieces > 1 ? hn_fail(HN_ERR_UNSUPPORTED,
                                "file '%s': key split.count: one of %" PRId64
                                " pieces of a model; join them first",
                                c->g->name, pieces)
                      : HN_OK;
}

// ---- rotary positions ------------------------------------------------------------------------

static hn_status put_scaling(config *c)
{
    hn__gguf_string type = { "linear", 6 };
    double factor = 1;
    if (has(c, "rope.scaling.type"))
        HN_TRY(hn__gguf_get_string(c->g, full(c, "rope.scaling.type"), &type));
    else if (!has(c, "rope.scale_linear"))
        return HN_OK;
    const char *name = has(c, "rope.scaling.factor") ? "rope.scaling.factor" : "rope.scale_linear";
    if (has(c, name))
        HN_TRY(hn__gguf_get_real(c->g, full(c, name), &factor));
    if ((type.n == 4 && !memcmp(type.p, "none", 4)) ||
        (type.n == 6 && !memcmp(type.p, "linear", 6) && factor == 1))
        return HN_OK;
    if (!hn__is_plain(type.p, type.n) || !isfinite(factor))
        return refuse(c, "rope.scaling.type", "is not known");
    json_t *o = json_pack("{s:s%, s:f}", "rope_type", type.p, type.n, "factor", shortest(factor));
    HN_TRY(hn__json_set(c->o, "rope_scaling", o));
    int64_t length;
    if (!has(c, "rope.scaling.original_context_length"))
        return HN_OK;
    HN_TRY(get_int(c, "rope.scaling.original_context_length", &length));
    return hn__json_set(o, "original_max_position_embeddings", json_integer((json_int_t)length));
}

double hn__llama3_divisor(const hn__llama3_rope *r, int64_t i)
{
    const double wave = 2 * acos(-1) * pow(r->base, (double)i / (double)r->pairs);
    if (wave < r->original / r->high)
        return 1;
    if (wave > r->original / r->low)
        return r->factor;
    const double smooth = (r->original / wave - r->low) / (r->high - r->low);
    return 1 / ((1 - smooth) / r->factor + smooth);
}

// Converters keep Llama 3's scaling as a tensor of divisors; the numbers behind it are found
// again.
static hn_status put_divisors(config *c, const hn_tensor *t)
{
    float x[512], most = 1;
    hn__llama3_rope r = { .low = 1, .high = 4, .original = 8192 }; // of all its models
    r.base = json_number_value(json_object_get(c->o, "rope_theta"));
    r.pairs = t->dim[0];
    if (t->rank != 1 || t->dim[0] < 1 || t->dim[0] > 512 || t->dtype != HN_F32)
        return hn_fail(HN_ERR_FORMAT, "file '%s': tensor %s: not at most 512 numbers of F32",
                       c->g->name, t->name);
    HN_TRY(hn_tensor_read(t, HN_F32, x));
    for (int64_t i = 0; i < t->dim[0]; i++)
        most = x[i] > most ? x[i] : most;
    r.factor = (double)most;
    for (int64_t i = 0; i < r.pairs; i++) {
        const double want = hn__llama3_divisor(&r, i);
        if (!(fabs((double)x[i] - want) <= 1e-4 * want))
            return hn_fail(HN_ERR_UNSUPPORTED,
                           "file '%s': tensor %s: frequencies are not scaled as by Llama 3, which "
                           "is not implemented", c->g->name, t->name);
    }
    if (most == 1)
        return HN_OK;
    return hn__json_set(c->o, "rope_scaling",
                        json_pack("{s:s, s:f, s:f, s:f, s:i}", "rope_type", "llama3", "factor",
                                  shortest(r.factor), "low_freq_factor", r.low, "high_freq_factor",
                                  r.high, "original_max_position_embeddings", (int)r.original));
}

static hn_status put_rope(config *c, const hn_tensors *files, int64_t head)
{
    int64_t dims;
    HN_TRY(put_real(c, "rope.freq_base", "rope_theta", 10000));
    HN_TRY(put_scaling(c));
    const hn_tensor *t = hn_tensors_find(files, "rope_freqs.weight");
    if (t)
        HN_TRY(put_divisors(c, t));
    if (!has(c, "rope.dimension_count"))
        return HN_OK;
    HN_TRY(get_int(c, "rope.dimension_count", &dims));
    return dims == head ? HN_OK
                        : refuse(c, "rope.dimension_count",
                                 "is not the size of a head, which is not implemented");
}

// ---- config.json -----------------------------------------------------------------------------

static hn_status put_heads(config *c, hn__gguf_model *m, int64_t *head)
{
    int64_t width, value;
    HN_TRY(get_int(c, "embedding_length", &width));
    HN_TRY(get_int(c, "attention.head_count", &m->heads));
    m->kv_heads = m->heads;
    if (has(c, "attention.head_count_kv"))
        HN_TRY(get_int(c, "attention.head_count_kv", &m->kv_heads));
    if (m->heads < 1 || m->kv_heads < 1)
        return refuse(c, "attention.head_count", "or head_count_kv is 0");
    *head = value = width / m->heads;
    if (has(c, "attention.key_length"))
        HN_TRY(get_int(c, "attention.key_length", head));
    if (has(c, "attention.value_length"))
        HN_TRY(get_int(c, "attention.value_length", &value));
    if (*head != value)
        return refuse(c, "attention.value_length", "is not the key length: not implemented");
    return HN_OK;
}

static hn_status put_flag(config *c, const char *key, const hn_tensors *files, const char *name)
{
    return hn_tensors_find(files, name) ? hn__json_set(c->o, key, json_true()) : HN_OK;
}

static hn_status llama_config(config *c, hn__gguf_model *m)
{
    const hn_tensors *files = m->p->files;
    const bool qwen2 = m->family == HN__GGUF_QWEN2;
    int64_t head;
    HN_TRY(hn__json_set(c->o, "architectures",
                        json_pack("[s]", qwen2 ? "Qwen2ForCausalLM" : "LlamaForCausalLM")));
    HN_TRY(put_heads(c, m, &head));
    HN_TRY(put_int(c, "embedding_length", "hidden_size"));
    HN_TRY(put_int(c, "block_count", "num_hidden_layers"));
    HN_TRY(put_int(c, "feed_forward_length", "intermediate_size"));
    HN_TRY(put_int(c, "context_length", "max_position_embeddings"));
    HN_TRY(hn__json_set(c->o, "num_attention_heads", json_integer((json_int_t)m->heads)));
    HN_TRY(hn__json_set(c->o, "num_key_value_heads", json_integer((json_int_t)m->kv_heads)));
    HN_TRY(hn__json_set(c->o, "head_dim", json_integer((json_int_t)head)));
    HN_TRY(put_real(c, "attention.layer_norm_rms_epsilon", "rms_norm_eps", 0));
    HN_TRY(hn__json_set(c->o, "hidden_act", json_string("silu")));
    HN_TRY(put_rope(c, files, head));
    if (has(c, "attention.sliding_window")) {
        HN_TRY(put_int(c, "attention.sliding_window", "sliding_window"));
        HN_TRY(hn__json_set(c->o, "use_sliding_window", json_true()));
    }
    if (!qwen2)
        HN_TRY(put_flag(c, "attention_bias", files, "blk.0.attn_q.bias"));
    return put_flag(c, "mlp_bias", files, "blk.0.ffn_up.bias");
}

static hn_status gpt2_config(config *c)
{
    HN_TRY(hn__json_set(c->o, "architectures", json_pack("[s]", "GPT2LMHeadModel")));
    HN_TRY(put_int(c, "embedding_length", "n_embd"));
    HN_TRY(put_int(c, "block_count", "n_layer"));
    HN_TRY(put_int(c, "attention.head_count", "n_head"));
    HN_TRY(put_int(c, "context_length", "n_positions"));
    HN_TRY(put_int(c, "context_length", "n_ctx"));
    if (has(c, "feed_forward_length"))
        HN_TRY(put_int(c, "feed_forward_length", "n_inner"));
    HN_TRY(put_real(c, "attention.layer_norm_epsilon", "layer_norm_epsilon", 0));
    return hn__json_set(c->o, "activation_function", json_string("gelu_new"));
}

static hn_status put_shared(config *c, hn__gguf_model *m)
{
    const hn_tensors *files = m->p->files;
    const hn_tensor *embed;
    HN_TRY(hn_tensors_get(files, "token_embd.weight", &embed));
    if (embed->rank != 2)
        return hn_fail(HN_ERR_FORMAT, "file '%s': tensor %s: has %d dimensions, must have 2",
                       c->g->name, embed->name, embed->rank);
    const char *type = embed->dtype == HN_F32    ? "float32"
                       : embed->dtype == HN_F16  ? "float16"
                       : embed->dtype == HN_BF16 ? "bfloat16"
                                                 : NULL;
    if (type)
        HN_TRY(hn__json_set(c->o, "torch_dtype", json_string(type)));
    HN_TRY(hn__json_set(c->o, "model_type", json_string(c->arch)));
    HN_TRY(hn__json_set(c->o, "vocab_size", json_integer((json_int_t)embed->dim[0])));
    const bool tied = !hn_tensors_find(files, "output.weight");
    return hn__json_set(c->o, "tie_word_embeddings", json_boolean(tied));
}

// ---- the tokenizer's part --------------------------------------------------------------------

static hn_status put_text(json_t *o, const char *key, const hn__gguf *g, const char *from,
                          const hn__gguf_string *s)
{
    // JSON holds Unicode only; a template or a token of other bytes cannot be passed on.
    json_t *v =
        hn__utf8_valid((const uint8_t *)s->p, s->n) == s->n ? json_stringn(s->p, s->n) : NULL;
    return v ? hn__json_set(o, key, v)
             : hn_fail(HN_ERR_FORMAT, "file '%s': key %s: not UTF-8", g->name, from);
}

static const struct {
    const char *key, *id, *text;
} specials[] = {
    { "tokenizer.ggml.bos_token_id", "bos_token_id", "bos_token" },
    { "tokenizer.ggml.eos_token_id", "eos_token_id", "eos_token" },
    { "tokenizer.ggml.padding_token_id", "pad_token_id", "pad_token" },
    { "tokenizer.ggml.unknown_token_id", NULL, "unk_token" },
};

static hn_status put_specials(hn_pretrained *p, const hn__gguf *g)
{
    hn__gguf_string *tokens = NULL;
    int64_t n = 0, id = 0;
    if (hn__gguf_has(g, "tokenizer.ggml.tokens"))
        HN_TRY(hn__gguf_get_strings(g, "tokenizer.ggml.tokens", &tokens, &n));
    hn_status s = HN_OK;
    for (size_t i = 0; s == HN_OK && i < sizeof specials / sizeof *specials; i++) {
        if (!hn__gguf_has(g, specials[i].key))
            continue;
        s = hn__gguf_get_int(g, specials[i].key, 0, n ? n - 1 : INT32_MAX, &id);
        if (s == HN_OK && n)
            s = put_text(p->tokenizer_config, specials[i].text, g, specials[i].key, &tokens[id]);
        if (s != HN_OK || !specials[i].id)
            continue;
        s = hn__json_set(p->config, specials[i].id, json_integer((json_int_t)id));
        if (s == HN_OK)
            s = hn__json_set(p->generation, specials[i].id, json_integer((json_int_t)id));
    }
    hn__free(tokens);
    return s;
}

// A second token ends a turn in chat models; generation stops at either.
static hn_status put_ends(hn_pretrained *p, const hn__gguf *g)
{
    static const char *const keys[] = { "tokenizer.ggml.eot_token_id",
                                        "tokenizer.ggml.eom_token_id" };
    json_t *eos = json_object_get(p->generation, "eos_token_id"), *all;
    for (size_t i = 0; i < 2; i++) {
        int64_t id;
        if (!hn__gguf_has(g, keys[i]))
            continue;
        HN_TRY(hn__gguf_get_int(g, keys[i], 0, INT32_MAX, &id));
        if (json_is_integer(eos) && json_integer_value(eos) == id)
            continue;
        if (!json_is_array(eos)) {
            all = eos ? json_pack("[O]", eos) : json_array();
            HN_TRY(hn__json_set(p->generation, "eos_token_id", all));
            eos = all;
        }
        HN_TRY(hn__json_append(eos, json_integer((json_int_t)id)));
    }
    return HN_OK;
}

static bool is_text(const hn__gguf *g, const char *key, const char *want)
{
    const hn__gguf_entry *e = hn__gguf_find(g, key);
    return e && e->type == HN__GGUF_STRING && e->n == strlen(want) &&
           !memcmp(e->value, want, (size_t)e->n);
}

// Where the file does not say: SentencePiece and Llama 3 begin with a start token.
static hn_status put_add_bos(hn_pretrained *p, const hn__gguf *g)
{
    static const char *const keys[][2] = {
        { "tokenizer.ggml.add_eos_token", "add_eos_token" },
        { "tokenizer.ggml.add_space_prefix", "add_prefix_space" },
    };
    bool add = is_text(g, "tokenizer.ggml.model", "llama") ||
               is_text(g, "tokenizer.ggml.pre", "llama-bpe");
    if (hn__gguf_has(g, "tokenizer.ggml.add_bos_token"))
        HN_TRY(hn__gguf_get_bool(g, "tokenizer.ggml.add_bos_token", &add));
    HN_TRY(hn__json_set(p->tokenizer_config, "add_bos_token", json_boolean(add)));
    for (size_t i = 0; i < 2; i++) {
        if (!hn__gguf_has(g, keys[i][0]))
            continue;
        HN_TRY(hn__gguf_get_bool(g, keys[i][0], &add));
        HN_TRY(hn__json_set(p->tokenizer_config, keys[i][1], json_boolean(add)));
    }
    return HN_OK;
}

static hn_status put_tokenizer(hn_pretrained *p, const hn__gguf *g)
{
    hn__gguf_string s;
    HN_TRY(put_specials(p, g));
    HN_TRY(put_ends(p, g));
    HN_TRY(put_add_bos(p, g));
    if (hn__gguf_has(g, "general.license")) {
        HN_TRY(hn__gguf_get_string(g, "general.license", &s));
        if (hn__is_plain(s.p, s.n) && s.n)
            HN_TRY(hn__pretrained_text(s.p, s.n, &p->license));
    }
    if (!hn__gguf_has(g, "tokenizer.chat_template"))
        return HN_OK;
    HN_TRY(hn__gguf_get_string(g, "tokenizer.chat_template", &s));
    HN_TRY(put_text(p->tokenizer_config, "chat_template", g, "tokenizer.chat_template", &s));
    return memchr(s.p, 0, s.n)
               ? hn_fail(HN_ERR_FORMAT, "file '%s': key tokenizer.chat_template holds a 0 byte",
                         g->name)
               : hn__pretrained_text(s.p, s.n, &p->chat_template);
}

hn_status hn__gguf_model_config(hn__gguf_model *m)
{
    hn_pretrained *p = m->p;
    hn__gguf_string s;
    char arch[64];
    HN_TRY(hn__gguf_get_string(p->gguf, "general.architecture", &s));
    snprintf(arch, sizeof arch, "%.*s", (int)(s.n < 63 ? s.n : 63), s.p);
    HN_TRY(hn__gguf_family_find(arch, p->gguf->name, &m->family));
    if (hn__gguf_has(p->gguf, "general.type") && !is_text(p->gguf, "general.type", "model"))
        return hn_fail(HN_ERR_UNSUPPORTED, "file '%s': key general.type: not a model",
                       p->gguf->name);
    p->config = json_object();
    p->generation = json_object();
    p->tokenizer_config = json_object();
    if (!p->config || !p->generation || !p->tokenizer_config)
        return hn__nomem(0);
    config c = { .g = p->gguf,
                 .arch = hn__gguf_names_of(m->family)->architecture,
                 .o = p->config };
    HN_TRY(check_keys(&c));
    HN_TRY(put_shared(&c, m));
    HN_TRY(m->family == HN__GGUF_GPT2 ? gpt2_config(&c) : llama_config(&c, m));
    return put_tokenizer(p, p->gguf);
}
