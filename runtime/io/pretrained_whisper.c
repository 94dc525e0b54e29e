// What decoding with a Whisper model needs to know of its vocabulary, in the keys of Hugging
// Face's generation_config.json.
#include "io/pretrained.h"

#include <string.h>

// {"<|en|>": 50259, ...}: every token of this form.
static hn_status add_token(json_t *tokens, const char *text, json_int_t id)
{
    const size_t n = strlen(text);
    if (n < 5 || strncmp(text, "<|", 2) != 0 || strcmp(text + n - 2, "|>") != 0)
        return HN_OK;
    return hn__json_set(tokens, text, json_integer(id));
}

// CTranslate2's vocabulary.json is the list of all tokens; tokenizer.json lists the special ones
// in "added_tokens".
static hn_status read_tokens(const char *dir, json_t *tokens)
{
    json_t *list, *o = NULL;
    const json_t *v;
    size_t i;

    HN_TRY(hn__pretrained_json(dir, "vocabulary.json", true, &list));
    hn_status s = HN_OK;
    if (!list) {
        HN_TRY(hn__pretrained_json(dir, "tokenizer.json", false, &o));
        list = json_incref(json_object_get(o, "added_tokens"));
    }
    json_array_foreach(list, i, v) {
        const json_t *id = json_object_get(v, "id");
        const char *text = json_string_value(o ? json_object_get(v, "content") : v);
        if (text && (!o || json_is_integer(id)) && s == HN_OK)
            s = add_token(tokens, text, o ? json_integer_value(id) : (json_int_t)i);
    }
    json_decref(list);
    json_decref(o);
    return s;
}

// generation[key] = value of `from`, where that is known and this is not.
static hn_status fill(hn_pretrained *p, const char *key, const json_t *from, const char *name)
{
    json_t *v = json_object_get(from, name);
    if (!v || json_is_null(v) || hn__json_has(p->generation, key))
        return HN_OK;
    return hn__json_set(p->generation, key, json_incref(v));
}

// Languages are the tokens between the start of a transcript and the first task.
static hn_status fill_languages(hn_pretrained *p, const json_t *tokens)
{
    const json_t *start = json_object_get(tokens, "<|startoftranscript|>"),
                 *end = json_object_get(tokens, "<|translate|>"), *v;
    const char *text;
    if (!start || !end || hn__json_has(p->generation, "lang_to_id"))
        return HN_OK;
    json_t *all = json_object();
    HN_TRY(hn__json_set(p->generation, "lang_to_id", all));
    json_object_foreach((json_t *)(uintptr_t)tokens, text, v)
        if (json_integer_value(v) > json_integer_value(start) &&
            json_integer_value(v) < json_integer_value(end))
            HN_TRY(hn__json_set(all, text, json_incref((json_t *)(uintptr_t)v)));
    return HN_OK;
}

static hn_status fill_tasks(hn_pretrained *p, const json_t *tokens)
{
    json_t *const a = json_object_get(tokens, "<|transcribe|>");
    json_t *const b = json_object_get(tokens, "<|translate|>");
    if (!a || !b || hn__json_has(p->generation, "task_to_id"))
        return HN_OK;
    return hn__json_set(p->generation, "task_to_id",
                        json_pack("{s:O, s:O}", "transcribe", a, "translate", b));
}

// Models of English alone have a vocabulary of 51,864, others at least one token more: Whisper's
// own rule.
static hn_status fill_multilingual(hn_pretrained *p, const json_t *tokens)
{
    const json_t *v = json_object_get(p->generation, "is_multilingual");
    const json_int_t vocab = json_integer_value(json_object_get(p->config, "vocab_size"));
    if (!v)
        HN_TRY(hn__json_set(p->generation, "is_multilingual", json_boolean(vocab >= 51865)));
    if (!json_is_true(json_object_get(p->generation, "is_multilingual")))
        return HN_OK;
    HN_TRY(fill_languages(p, tokens));
    return fill_tasks(p, tokens);
}

static hn_status fill_all(hn_pretrained *p, const json_t *tokens)
{
    static const char *const config[] = { "suppress_tokens", "begin_suppress_tokens",
                                          "decoder_start_token_id", "bos_token_id",
                                          "eos_token_id", "pad_token_id", "max_length" };
    static const char *const special[][2] = {
        { "decoder_start_token_id", "<|startoftranscript|>" },
        { "eos_token_id", "<|endoftext|>" },
        { "bos_token_id", "<|endoftext|>" },
        { "pad_token_id", "<|endoftext|>" },
        { "no_timestamps_token_id", "<|notimestamps|>" },
        { "prev_sot_token_id", "<|startofprev|>" },
    };
    for (size_t i = 0; i < sizeof config / sizeof *config; i++)
        HN_TRY(fill(p, config[i], p->config, config[i]));
    for (size_t i = 0; i < sizeof special / sizeof *special; i++)
        HN_TRY(fill(p, special[i][0], tokens, special[i][1]));
    return fill_multilingual(p, tokens);
}

hn_status hn__pretrained_whisper(hn_pretrained *p, const char *dir)
{
    if (!p->generation && !(p->generation = json_object()))
        return hn__nomem(0);
    json_t *tokens = json_object();
    hn_status s = tokens ? read_tokens(dir, tokens) : hn__nomem(0);
    if (s == HN_OK)
        s = fill_all(p, tokens);
    json_decref(tokens);
    return s;
}
