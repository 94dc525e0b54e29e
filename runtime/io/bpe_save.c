// Saving a tokenizer as tokenizer.json, and its hash.
#include "io/bpe.h"
#include "io/json.h"

#include <string.h>

hn_status hn__bpe_set_words(hn_tokenizer *t, const json_t *normalizer, const json_t *pre)
{
    json_t *none = json_null();
    json_t *o = json_pack("{s:O, s:O}", "normalizer", normalizer ? normalizer : none,
                          "pre_tokenizer", pre ? pre : none);
    char *text = o ? json_dumps(o, JSON_COMPACT | JSON_SORT_KEYS) : NULL;
    json_decref(o);
    if (!text)
        return hn__nomem(0);
    const size_t n = strlen(text) + 1;
    t->words = hn__resize(NULL, n, 1);
    if (t->words)
        memcpy(t->words, text, n);
    json_free_t release;
    json_get_alloc_funcs(NULL, &release);
    release(text);
    return t->words ? HN_OK : hn__nomem(n);
}

hn_status hn__bpe_set_gpt2_split(hn_tokenizer *t)
{
    HN_TRY(hn__pretoken_add(&t->split, hn__gpt2_pattern, false, false));
    json_t *pre = json_pack("{s:s, s:b, s:b, s:b}", "type", "ByteLevel", "add_prefix_space", 0,
                            "trim_offsets", 1, "use_regex", 1);
    const hn_status s = pre ? hn__bpe_set_words(t, NULL, pre) : hn__nomem(0);
    json_decref(pre);
    return s;
}

// The name that the file has for a token: byte characters, or as it is.
static json_t *name_of(const hn_tokenizer *t, int32_t id)
{
    const hn__bytes *b = &t->token[id];
    if (b->raw || t->by_char)
        return json_stringn((const char *)b->p, b->n);
    char *s = hn__resize(NULL, 2 * (size_t)b->n + 1, 1);
    size_t n = 0;
    for (uint32_t i = 0; s && i < b->n; i++)
        n += (size_t)hn__byte_char(b->p[i], s + n);
    json_t *v = s ? json_stringn(s, n) : NULL;
    hn__free(s);
    return v;
}

static bool in_vocab(const hn_tokenizer *t, int32_t id)
{
    for (int32_t i = 0; i < t->n_added; i++)
        if (t->added[i].id == id)
            return t->added[i].in_vocab;
    return t->token[id].p != NULL;
}

static hn_status add_vocab(const hn_tokenizer *t, json_t *vocab)
{
    for (int32_t id = 0; id < t->n_token; id++) {
        if (!in_vocab(t, id))
            continue;
        json_t *name = name_of(t, id);
        const hn_status s = name ? hn__json_set(vocab, json_string_value(name), json_integer(id))
                                 : hn__nomem(0);
        json_decref(name);
        HN_TRY(s);
    }
    return HN_OK;
}

// "a b", or both apart where one of them has a space.
static json_t *merge_json(const json_t *a, const json_t *b)
{
    const char *p = json_string_value(a), *q = json_string_value(b);
    return strchr(p, ' ') || strchr(q, ' ') ? json_pack("[s, s]", p, q)
                                            : json_sprintf("%s %s", p, q);
}

static hn_status add_merges(const hn_tokenizer *t, json_t *merges)
{
    for (int32_t i = 0; i < t->n_rule; i++) {
        json_t *a = name_of(t, t->rule[i][0]), *b = name_of(t, t->rule[i][1]);
        const hn_status s = a && b ? hn__json_append(merges, merge_json(a, b)) : hn__nomem(0);
        json_decref(a);
        json_decref(b);
        HN_TRY(s);
    }
    return HN_OK;
}

static int32_t by_id(const hn_tokenizer *t, int32_t after)
{
    int32_t best = -1;
    for (int32_t i = 0; i < t->n_added; i++)
        if (t->added[i].id > after && (best < 0 || t->added[i].id < t->added[best].id))
            best = i;
    return best;
}

// In the order of their numbers, as a reader numbers on from the vocabulary.
static hn_status add_added(const hn_tokenizer *t, json_t *list)
{
    for (int32_t i, after = -1; (i = by_id(t, after)) >= 0; after = t->added[i].id) {
        const hn__added *a = &t->added[i];
        HN_TRY(hn__json_append(
            list, json_pack("{s:i, s:s%, s:b, s:b, s:b, s:b, s:b}", "id", (int)a->id, "content",
                            (const char *)a->content.p, (size_t)a->content.n, "single_word",
                            a->single_word, "lstrip", a->lstrip, "rstrip", a->rstrip,
                            "normalized", a->normalized, "special", a->special)));
    }
    return HN_OK;
}

static json_t *decoder_of(const hn_tokenizer *t)
{
    static const char mark[] = "\xe2\x96\x81";
    if (!t->by_char)
        return json_pack("{s:s, s:b, s:b, s:b}", "type", "ByteLevel", "add_prefix_space", 0,
                         "trim_offsets", 1, "use_regex", 1);
    json_t *list = json_pack("[{s:s, s:{s:s}, s:s}]", "type", "Replace", "pattern", "String", mark,
                             "content", " ");
    int bad = !list;
    if (t->n_no_byte < 256)
        bad |= json_array_append_new(list, json_pack("{s:s}", "type", "ByteFallback"));
    bad |= json_array_append_new(list, json_pack("{s:s}", "type", "Fuse"));
    if (t->strip_space)
        bad |= json_array_append_new(list, json_pack("{s:s, s:s, s:i, s:i}", "type", "Strip",
                                                     "content", " ", "start", 1, "stop", 0));
    json_t *o = bad ? NULL : json_pack("{s:s, s:O}", "type", "Sequence", "decoders", list);
    json_decref(list);
    return o;
}

// The name of token `id` as people see it: that of an added token is its content.
static json_t *shown(const hn_tokenizer *t, int32_t id)
{
    for (int32_t i = 0; i < t->n_added; i++)
        if (t->added[i].id == id)
            return json_stringn((const char *)t->added[i].content.p, t->added[i].content.n);
    return name_of(t, id);
}

static hn_status add_around(const hn_tokenizer *t, int32_t from, int32_t n, json_t *single,
                            json_t *tokens)
{
    for (int32_t i = from; i < from + n; i++) {
        json_t *name = shown(t, t->around[i]);
        const char *text = json_string_value(name);
        hn_status s = name ? hn__json_append(single, json_pack("{s:{s:s, s:i}}", "SpecialToken",
                                                               "id", text, "type_id", 0))
                           : hn__nomem(0);
        if (s == HN_OK)
            s = hn__json_set(tokens, text, json_pack("{s:s, s:[i], s:[s]}", "id", text, "ids",
                                                     (int)t->around[i], "tokens", text));
        json_decref(name);
        HN_TRY(s);
    }
    return HN_OK;
}

// Of two texts the format wants to hear too; we never encode them together.
static hn_status add_post_processor(const hn_tokenizer *t, json_t *root)
{
    if (!t->n_before && !t->n_after)
        return hn__json_set(root, "post_processor", json_null());
    json_t *single = json_array(), *tokens = json_object();
    json_t *pair = json_pack("[{s:{s:s, s:i}}, {s:{s:s, s:i}}]", "Sequence", "id", "A", "type_id",
                             0, "Sequence", "id", "B", "type_id", 1);
    hn_status s = single && tokens && pair ? add_around(t, 0, t->n_before, single, tokens)
                                           : hn__nomem(0);
    if (s == HN_OK)
        s = hn__json_append(single, json_pack("{s:{s:s, s:i}}", "Sequence", "id", "A", "type_id",
                                              0));
    if (s == HN_OK)
        s = add_around(t, t->n_before, t->n_after, single, tokens);
    if (s == HN_OK)
        s = hn__json_set(root, "post_processor",
                         json_pack("{s:s, s:O, s:O, s:O}", "type", "TemplateProcessing", "single",
                                   single, "pair", pair, "special_tokens", tokens));
    json_decref(single);
    json_decref(pair);
    json_decref(tokens);
    return s;
}

static json_t *model_of(const hn_tokenizer *t, json_t *vocab, json_t *merges)
{
    json_t *unknown = t->unknown < 0 ? json_null() : name_of(t, t->unknown);
    return json_pack("{s:s, s:n, s:o, s:n, s:n, s:b, s:b, s:b, s:O, s:O}", "type", "BPE",
                     "dropout", "unk_token", unknown, "continuing_subword_prefix",
                     "end_of_word_suffix", "fuse_unk", t->fuse_unknown, "byte_fallback",
                     t->by_char && t->n_no_byte < 256, "ignore_merges", t->ignore_merges, "vocab",
                     vocab, "merges", merges);
}

static hn_status fill(const hn_tokenizer *t, json_t *root)
{
    json_error_t e;
    json_t *words = json_loads(t->words, 0, &e), *list = json_array();
    json_t *vocab = json_object(), *merges = json_array();
    const int bad =
        !vocab | !merges | json_object_set_new(root, "version", json_string("1.0")) |
        json_object_set_new(root, "truncation", json_null()) |
        json_object_set_new(root, "padding", json_null()) |
        json_object_set(root, "added_tokens", list) |
        json_object_set(root, "normalizer", json_object_get(words, "normalizer")) |
        json_object_set(root, "pre_tokenizer", json_object_get(words, "pre_tokenizer")) |
        json_object_set_new(root, "decoder", decoder_of(t));
    json_decref(words);
    hn_status s = bad ? hn__nomem(0) : add_post_processor(t, root);
    if (s == HN_OK)
        s = add_added(t, list);
    if (s == HN_OK)
        s = add_vocab(t, vocab);
    if (s == HN_OK)
        s = add_merges(t, merges);
    if (s == HN_OK)
        s = hn__json_set(root, "model", model_of(t, vocab, merges));
    json_decref(list);
    json_decref(vocab);
    json_decref(merges);
    return s;
}

hn_status hn__tokenizer_to_json(const hn_tokenizer *t, json_t **out)
{
    *out = NULL;
    json_t *root = json_object();
    const hn_status s = root ? fill(t, root) : hn__nomem(0);
    if (s == HN_OK)
        *out = root;
    else
        json_decref(root);
    return s;
}

hn_status hn_tokenizer_save(const hn_tokenizer *t, const char *path)
{
    json_t *root;
    HN_TRY(hn__tokenizer_to_json(t, &root));
    const hn_status s = hn__json_save(path, root);
    json_decref(root);
    return s;
}

uint64_t hn_tokenizer_hash(const hn_tokenizer *t)
{
    uint64_t h = hn__hash(t->words, strlen(t->words), (uint64_t)t->ignore_merges);
    const int32_t lost[] = { t->by_char, t->unknown, t->fuse_unknown, t->n_no_byte };
    if (t->by_char || t->n_no_byte)
        h = hn__hash(lost, sizeof lost, h);
    for (int32_t id = 0; id < t->n_token; id++)
        h = hn__hash(t->token[id].p, t->token[id].n, h ^ (uint64_t)t->token[id].raw);
    for (int32_t i = 0; i < t->n_rule; i++)
        for (int k = 0; k < 2; k++) {
            const hn__bytes *b = &t->token[t->rule[i][k]];
            h = hn__hash(b->p, b->n, h);
        }
    for (int32_t i = 0; i < t->n_added; i++) {
        const hn__added *a = &t->added[i];
        const uint8_t how[] = { a->special, a->single_word, a->lstrip, a->rstrip, a->normalized };
        h = hn__hash(a->content.p, a->content.n, hn__hash(how, sizeof how, h) + (uint64_t)a->id);
    }
    return h;
}
