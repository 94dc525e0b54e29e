// A tokenizer in the keys of GGUF (tokenizer.ggml.*), out of the words of its tokenizer.json.
#include "io/bpe.h"
#include "io/convert.h"

#include <string.h>

// tokenizer.ggml.token_type
enum { NORMAL = 1, UNKNOWN, CONTROL, USER, UNUSED, BYTE };

typedef struct job {
    const hn_pretrained *p;
    const hn_tokenizer *t;
    hn__gguf_writer *w;
    json_t *root; // tokenizer.json; names of tokens point into it
    hn__arena arena;
    int64_t n; // tokens, as many as the model's rows
    hn__gguf_string *name;
    int32_t *type;
} job;

#define KEY(name) "tokenizer.ggml." name

static hn_status set_name(job *j, const json_t *id, const char *text, int32_t type)
{
    const int64_t i = json_is_integer(id) ? json_integer_value(id) : -1;
    if (i < 0 || i >= j->n)
        return hn_fail(HN_ERR_FORMAT,
                       "tokenizer: token '%.64s' has number %" PRId64 ", the model %" PRId64
                       " rows: it is of another model", text, i, j->n);
    j->name[i] = (hn__gguf_string){ text, strlen(text) };
    j->type[i] = type;
    return HN_OK;
}

// <0xNN> of a tokenizer that falls back to bytes.
static bool is_byte(const job *j, const char *text)
{
    return j->t->by_char && strlen(text) == 6 && !strncmp(text, "<0x", 3) && text[5] == '>';
}

// Rows of the model that no token has keep their place.
static hn_status name_rest(job *j)
{
    for (int64_t i = 0; i < j->n; i++) {
        char text[32];
        if (j->name[i].p)
            continue;
        snprintf(text, sizeof text, "[PAD%" PRId64 "]", i);
        const char *copy = hn__arena_string(&j->arena, text);
        if (!copy)
            return hn__nomem(sizeof text);
        j->name[i] = (hn__gguf_string){ copy, strlen(copy) };
        j->type[i] = UNUSED;
    }
    return HN_OK;
}

static hn_status put_names(job *j)
{
    json_t *model = json_object_get(j->root, "model"), *vocab = json_object_get(model, "vocab");
    const json_t *unknown = json_object_get(model, "unk_token");
    const char *text;
    json_t *v;
    size_t i;
    json_object_foreach(vocab, text, v)
        HN_TRY(set_name(j, v, text, is_byte(j, text) ? BYTE : NORMAL));
    json_array_foreach(json_object_get(j->root, "added_tokens"), i, v)
        HN_TRY(set_name(j, json_object_get(v, "id"),
                        json_string_value(json_object_get(v, "content")),
                        json_is_true(json_object_get(v, "special")) ? CONTROL : USER));
    text = j->t->by_char ? json_string_value(unknown) : NULL;
    if (text)
        HN_TRY(set_name(j, json_object_get(vocab, text), text, UNKNOWN));
    HN_TRY(name_rest(j));
    hn__gguf_put_strings(j->w, KEY("tokens"), j->name, j->n);
    hn__gguf_put_i32s(j->w, KEY("token_type"), j->type, j->n);
    return HN_OK;
}

// ---- merges ----------------------------------------------------------------------------------

// "a b" each, in order.
static hn_status put_merges(job *j)
{
    const json_t *merges = json_object_get(json_object_get(j->root, "model"), "merges"), *v;
    const size_t n = json_array_size(merges);
    hn__gguf_string *list = hn__arena_alloc(&j->arena, (n + 1) * sizeof *list);
    size_t i;
    if (!list)
        return hn__nomem(n * sizeof *list);
    json_array_foreach((json_t *)(uintptr_t)merges, i, v) {
        const char *text = json_string_value(v);
        if (!text)
            return hn_fail(HN_ERR_UNSUPPORTED,
                           "tokenizer: merge %zu is of names with spaces, which have no place in "
                           "a GGUF file", i + 1);
        list[i] = (hn__gguf_string){ text, strlen(text) };
    }
    hn__gguf_put_strings(j->w, KEY("merges"), list, (int64_t)n);
    return HN_OK;
}

// Of the other kind the token with the highest score is made first: a token's score is the rank
// of its first merge, downwards from 0.
static hn_status put_scores(job *j)
{
    const hn_tokenizer *t = j->t;
    float *score = hn__arena_alloc(&j->arena, ((size_t)j->n + 1) * sizeof *score);
    if (!score)
        return hn__nomem((size_t)j->n * sizeof *score);
    for (int64_t i = 0; i < j->n; i++)
        score[i] = j->type[i] == NORMAL ? -1e9f : 0;
    for (uint32_t i = 0; i < t->n_merge_slots; i++) {
        const hn__merge *m = &t->merge[i];
        if (m->left >= 0 && m->made < j->n && -(float)m->rank > score[m->made])
            score[m->made] = -(float)m->rank;
    }
    hn__gguf_put_f32s(j->w, KEY("scores"), score, j->n);
    return HN_OK;
}

static bool puts_space(const hn_tokenizer *t)
{
    bool first = t->meta == HN__META_FIRST || t->meta == HN__META_ALL;
    for (int i = 0; i < t->n_norm; i++)
        first |= t->norm[i].how == HN__NORM_PREPEND;
    return first;
}

static hn_status put_kind(job *j)
{
    const json_t *model = json_object_get(j->root, "model");
    hn__gguf_put_string(j->w, KEY("model"), j->t->by_char ? "llama" : "gpt2");
    hn__gguf_put_bool(j->w, KEY("add_space_prefix"), puts_space(j->t));
    if (j->t->by_char) {
        hn__gguf_put_string(j->w, KEY("pre"), "default");
        return put_scores(j);
    }
    const char *pre = hn__gguf_pre_find(json_object_get(j->root, "normalizer"),
                                        json_object_get(j->root, "pre_tokenizer"),
                                        json_is_true(json_object_get(model, "ignore_merges")));
    if (!pre)
        return hn_fail(HN_ERR_UNSUPPORTED,
                       "tokenizer: the way it splits text has no name in GGUF that is known here");
    hn__gguf_put_string(j->w, KEY("pre"), pre);
    return put_merges(j);
}

// ---- tokens with a meaning -------------------------------------------------------------------

// A token by its number in config.json or generation_config.json (of a list, one in turn), or by
// its text in tokenizer_config.json; -1 where there is none.
static int64_t special(const job *j, const char *id_key, size_t at, const char *text_key)
{
    const json_t *const from[] = { json_object_get(j->p->generation, id_key),
                                   json_object_get(j->p->config, id_key) };
    for (size_t i = 0; i < 2; i++) {
        const json_t *v = json_is_array(from[i]) ? json_array_get(from[i], at) : from[i];
        if (json_is_integer(v) && (at == 0 || json_is_array(from[i])))
            return json_integer_value(v) < j->n ? json_integer_value(v) : -1;
    }
    const json_t *v = text_key ? json_object_get(j->p->tokenizer_config, text_key) : NULL;
    const char *text = json_string_value(json_is_object(v) ? json_object_get(v, "content") : v);
    return text ? hn_tokenizer_find(j->t, text, strlen(text)) : -1;
}

static void put_special(const job *j, const char *key, int64_t id)
{
    if (id >= 0)
        hn__gguf_put_int(j->w, key, id);
}

static void put_specials(const job *j)
{
    const int64_t unknown = j->t->by_char ? j->t->unknown : special(j, "", 0, "unk_token");
    const json_t *add = json_object_get(j->p->tokenizer_config, "add_bos_token");
    const int32_t *before;
    const bool begins = hn_tokenizer_start(j->t, &before) > 0;
    int64_t start = special(j, "bos_token_id", 0, "bos_token");
    if (start < 0 && begins)
        start = before[0];
    put_special(j, KEY("bos_token_id"), start);
    put_special(j, KEY("eos_token_id"), special(j, "eos_token_id", 0, "eos_token"));
    put_special(j, KEY("eot_token_id"), special(j, "eos_token_id", 1, NULL));
    put_special(j, KEY("padding_token_id"), special(j, "pad_token_id", 0, "pad_token"));
    put_special(j, KEY("unknown_token_id"), unknown);
    hn__gguf_put_bool(j->w, KEY("add_bos_token"),
                      start >= 0 && (json_is_boolean(add) ? json_is_true(add) : begins));
    if (j->t->n_after)
        hn__gguf_put_bool(j->w, KEY("add_eos_token"), true);
    if (j->p->chat_template)
        hn__gguf_put_string(j->w, "tokenizer.chat_template", j->p->chat_template);
}

static hn_status put_all(job *j)
{
    const size_t n = (size_t)j->n;
    j->name = hn__arena_alloc(&j->arena, n * sizeof *j->name);
    j->type = hn__arena_alloc(&j->arena, n * sizeof *j->type);
    if (!j->name || !j->type)
        return hn__nomem(n * sizeof *j->name);
    HN_TRY(put_names(j));
    HN_TRY(put_kind(j));
    put_specials(j);
    return HN_OK;
}

hn_status hn__convert_gguf_tokenizer(const hn_pretrained *p, hn__gguf_writer *w)
{
    job j = { .p = p, .w = w };
    hn_tokenizer *t;
    HN_TRY(hn__json_int(p->config, "config.json", "vocab_size", 1, 1 << 24, &j.n));
    HN_TRY(hn__pretrained_tokenizer(p, &t));
    j.t = t;
    hn_status s = hn__tokenizer_to_json(t, &j.root);
    if (s == HN_OK)
        s = put_all(&j);
    json_decref(j.root);
    hn__arena_reset(&j.arena);
    hn_tokenizer_destroy(&t);
    return s;
}
