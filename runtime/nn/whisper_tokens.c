// The tokens of a Whisper model that have a meaning: from generation_config.json's keys and the
// tokenizer's texts, as their numbers differ from model to model.
#include "nn/whisper.h"

#include <stdlib.h>
#include <string.h>

static const char where[] = "generation_config.json";

static int32_t by_text(const hn_whisper *m, const char *text)
{
    const int32_t id = hn_tokenizer_find(m->tok, text, strlen(text));
    return id < m->config.vocab ? id : -1;
}

// A token of the vocabulary. FORMAT where it is none.
static hn_status as_token(const hn_whisper *m, const json_t *v, const char *key, int32_t *out)
{
    const json_int_t id = json_is_integer(v) ? json_integer_value(v) : -1;

    if (id < 0 || id >= m->config.vocab)
        return hn_fail(HN_ERR_FORMAT,
                       "%s: \"%s\": not a token, which are 0 to %" PRId64, where, key,
                       m->config.vocab - 1);
    *out = (int32_t)id;
    return HN_OK;
}

// By key where it is there, otherwise by text; -1 where neither is.
static hn_status by_key(const hn_whisper *m, const json_t *o, const char *key, const char *text,
                        int32_t *out)
{
    const json_t *v = json_object_get(o, key);

    *out = by_text(m, text);
    if (json_is_array(v)) // several ends: the first is Whisper's
        v = json_array_get(v, 0);
    return !v || json_is_null(v) ? HN_OK : as_token(m, v, key, out);
}

static hn_status read_list(const hn_whisper *m, const json_t *o, const char *key,
                           hn__whisper_list *out)
{
    const json_t *a, *v;
    size_t i;

    if (!hn__json_has(o, key))
        return HN_OK;
    HN_TRY(hn__json_array(o, where, key, &a));
    if (json_array_size(a) == 0)
        return HN_OK;
    out->id = hn__calloc(json_array_size(a), sizeof *out->id);
    if (!out->id)
        return hn__nomem(json_array_size(a) * sizeof *out->id);
    json_array_foreach(a, i, v)
        HN_TRY(as_token(m, v, key, &out->id[out->n++]));
    return HN_OK;
}

static int by_token(const void *a, const void *b)
{
    const hn_whisper_language *x = a, *y = b;
    return x->token < y->token ? -1 : x->token > y->token;
}

// The code in "<|code|>", as the tokenizer's own bytes do not end in 0; NULL when out of memory.
static char *code_of(const char *text)
{
    const size_t n = strlen(text);
    const bool marked = n > 4 && !strncmp(text, "<|", 2) && !strcmp(text + n - 2, "|>");
    const size_t from = marked ? 2 : 0, length = marked ? n - 4 : n;
    char *code = hn__calloc(length + 1, 1);
    return code ? memcpy(code, text + from, length) : NULL;
}

static hn_status read_languages(hn_whisper *m, const json_t *o)
{
    const json_t *map, *v;
    const char *text;

    if (!hn__json_has(o, "lang_to_id"))
        return HN_OK;
    HN_TRY(hn__json_object(o, where, "lang_to_id", &map));
    if (json_object_size(map) == 0)
        return HN_OK;
    m->languages = hn__calloc(json_object_size(map), sizeof *m->languages);
    if (!m->languages)
        return hn__nomem(json_object_size(map) * sizeof *m->languages);
    json_object_foreach((json_t *)(uintptr_t)map, text, v) {
        hn_whisper_language *l = &m->languages[m->n_languages];
        HN_TRY(as_token(m, v, "lang_to_id", &l->token));
        l->code = code_of(text);
        if (!l->code)
            return hn__nomem(strlen(text));
        m->n_languages++;
    }
    qsort(m->languages, (size_t)m->n_languages, sizeof *m->languages, by_token);
    return HN_OK;
}

static hn_status read_tasks(hn_whisper *m, const json_t *o)
{
    const json_t *map;

    if (!hn__json_has(o, "task_to_id"))
        return HN_OK;
    HN_TRY(hn__json_object(o, where, "task_to_id", &map));
    HN_TRY(by_key(m, map, "transcribe", "<|transcribe|>", &m->tokens.transcribe));
    return by_key(m, map, "translate", "<|translate|>", &m->tokens.translate);
}

// Files of English-only models list languages and tasks too, which these models never saw.
static hn_status read_multilingual(hn_whisper *m, const json_t *o)
{
    bool multilingual = hn__json_has(o, "lang_to_id");

    m->tokens.transcribe = m->tokens.translate = -1;
    if (hn__json_has(o, "is_multilingual"))
        HN_TRY(hn__json_bool(o, where, "is_multilingual", &multilingual));
    if (!multilingual)
        return HN_OK;
    HN_TRY(read_languages(m, o));
    HN_TRY(read_tasks(m, o));
    if (!m->n_languages || m->tokens.transcribe < 0)
        return hn_fail(HN_ERR_FORMAT, "%s: a model of many languages without %s", where,
                       m->n_languages ? "\"task_to_id\"" : "\"lang_to_id\"");
    return HN_OK;
}

hn_status hn__whisper_read_tokens(hn_whisper *m, const json_t *o)
{
    hn_whisper_tokens *t = &m->tokens;

    HN_TRY(by_key(m, o, "decoder_start_token_id", "<|startoftranscript|>", &t->start));
    HN_TRY(by_key(m, o, "eos_token_id", "<|endoftext|>", &t->end));
    HN_TRY(by_key(m, o, "no_timestamps_token_id", "<|notimestamps|>", &t->no_timestamps));
    HN_TRY(by_key(m, o, "prev_sot_token_id", "<|startofprev|>", &t->start_of_previous));
    t->start_of_lm = by_text(m, "<|startoflm|>");
    t->no_speech = by_text(m, "<|nospeech|>");
    if (t->no_speech < 0)
        t->no_speech = by_text(m, "<|nocaptions|>");
    t->first_timestamp = by_text(m, "<|0.00|>");
    if (t->first_timestamp < 0 && t->no_timestamps >= 0 && t->no_timestamps + 1 < m->config.vocab)
        t->first_timestamp = t->no_timestamps + 1; // files without texts for them
    if (t->start < 0 || t->end < 0)
        return hn_fail(HN_ERR_FORMAT, "the tokenizer has no %s",
                       t->start < 0 ? "<|startoftranscript|>" : "<|endoftext|>");
    HN_TRY(read_list(m, o, "suppress_tokens", &m->suppressed));
    HN_TRY(read_list(m, o, "begin_suppress_tokens", &m->suppressed_first));
    return read_multilingual(m, o);
}

const hn_whisper_tokens *hn_whisper_get_tokens(const hn_whisper *m)
{
    return &m->tokens;
}

const hn_whisper_language *hn_whisper_get_languages(const hn_whisper *m, int *out_n)
{
    *out_n = m->n_languages;
    return m->languages;
}

const int32_t *hn_whisper_get_suppressed(const hn_whisper *m, int *out_n)
{
    *out_n = m->suppressed.n;
    return m->suppressed.id;
}

const int32_t *hn_whisper_get_suppressed_first(const hn_whisper *m, int *out_n)
{
    *out_n = m->suppressed_first.n;
    return m->suppressed_first.id;
}
