// The configuration of a Whisper model: checks, and config.json in Hugging Face's keys.
#include "nn/whisper.h"

#include <stdio.h>
#include <string.h>

static hn_status check_heads(const hn_whisper_config *c, const char *side, int64_t heads)
{
    return c->width % heads ? hn_fail(HN_ERR_ARG, "model: width %" PRId64
                                      " is no multiple of the %s's %" PRId64 " heads", c->width,
                                      side, heads)
                            : HN_OK;
}

hn_status hn_whisper_config_check(const hn_whisper_config *c)
{
    const struct {
        const char *name;
        int64_t value, most;
    } sizes[] = {
        { "vocab", c->vocab, 1 << 22 },
        { "width", c->width, 1 << 16 },
        { "mels", c->mels, 4096 },
        { "frames", c->frames, 1 << 20 },
        { "context", c->context, 1 << 20 },
        { "encoder layers", c->encoder_layers, 1024 },
        { "encoder heads", c->encoder_heads, 1024 },
        { "encoder ffn", c->encoder_ffn, 1 << 20 },
        { "decoder layers", c->decoder_layers, 1024 },
        { "decoder heads", c->decoder_heads, 1024 },
        { "decoder ffn", c->decoder_ffn, 1 << 20 },
    };
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++)
        if (sizes[i].value < 1 || sizes[i].value > sizes[i].most)
            return hn_fail(HN_ERR_ARG, "model: %s is %" PRId64 ", must be in [1, %" PRId64 "]",
                           sizes[i].name, sizes[i].value, sizes[i].most);
    HN_TRY(check_heads(c, "encoder", c->encoder_heads));
    HN_TRY(check_heads(c, "decoder", c->decoder_heads));
    if (!(c->dropout >= 0 && c->dropout < 1))
        return hn_fail(HN_ERR_ARG, "model: dropout %g must be in [0, 1)", (double)c->dropout);
    return HN_OK;
}

// ---- config.json ---------------------------------------------------------------------------

static hn_status refuse(const char *where, const char *key)
{
    return hn_fail(HN_ERR_UNSUPPORTED, "%s: \"%s\" asks for what is not implemented", where, key);
}

// A flag that must have this value, which is also the value where it is missing.
static hn_status want_flag(const json_t *o, const char *where, const char *key, bool want)
{
    bool have = want;
    if (hn__json_has(o, key))
        HN_TRY(hn__json_bool(o, where, key, &have));
    return have == want ? HN_OK : refuse(where, key);
}

// What changes training only, and no result of the model: said, not refused.
static void warn_training(const json_t *o, const char *where)
{
    static const char *const keys[] = { "attention_dropout", "activation_dropout",
                                        "encoder_layerdrop", "decoder_layerdrop" };
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++)
        if (json_number_value(json_object_get(o, keys[i])) > 0)
            hn__log(HN_LOG_WARN, "%s: \"%s\": training goes without it", where, keys[i]);
}

static hn_status check_family(const json_t *o, const char *where)
{
    const char *type = "whisper", *act = "gelu";

    if (hn__json_has(o, "model_type"))
        HN_TRY(hn__json_string(o, where, "model_type", &type));
    if (strcmp(type, "whisper"))
        return hn_fail(HN_ERR_UNSUPPORTED, "%s: \"model_type\" is '%.60s', must be whisper", where,
                       type);
    if (hn__json_has(o, "activation_function"))
        HN_TRY(hn__json_string(o, where, "activation_function", &act));
    if (strcmp(act, "gelu"))
        return refuse(where, "activation_function");
    HN_TRY(want_flag(o, where, "scale_embedding", false));
    return want_flag(o, where, "tie_word_embeddings", true);
}

hn_status hn__whisper_config_read(const json_t *o, const char *where, hn_whisper_config *out)
{
    hn_whisper_config c = { 0 };
    const struct {
        const char *key;
        int64_t *to;
    } sizes[] = {
        { "vocab_size", &c.vocab },
        { "d_model", &c.width },
        { "num_mel_bins", &c.mels },
        { "max_source_positions", &c.frames },
        { "max_target_positions", &c.context },
        { "encoder_layers", &c.encoder_layers },
        { "encoder_attention_heads", &c.encoder_heads },
        { "encoder_ffn_dim", &c.encoder_ffn },
        { "decoder_layers", &c.decoder_layers },
        { "decoder_attention_heads", &c.decoder_heads },
        { "decoder_ffn_dim", &c.decoder_ffn },
    };
    double dropout = 0;

    HN_TRY(check_family(o, where));
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++)
        HN_TRY(hn__json_int(o, where, sizes[i].key, 1, INT64_C(1) << 40, sizes[i].to));
    if (hn__json_has(o, "dropout"))
        HN_TRY(hn__json_real(o, where, "dropout", &dropout));
    c.dropout = (float)dropout;
    warn_training(o, where);
    *out = c;
    return hn_context(hn_whisper_config_check(&c), "%s", where);
}

hn_status hn_whisper_config_load(const char *path, hn_whisper_config *out)
{
    json_t *o;
    char where[512];

    *out = (hn_whisper_config){ 0 };
    HN_TRY(hn__json_load(path, 1 << 20, &o));
    snprintf(where, sizeof where, "file '%.480s'", path);
    const hn_status s = json_is_object(o) ? hn__whisper_config_read(o, where, out)
                                          : hn_fail(HN_ERR_FORMAT, "%s: not an object", where);
    json_decref(o);
    return s;
}
