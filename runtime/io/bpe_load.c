// Loading a tokenizer: tokenizer.json of the BPE kind, and GPT-2's pair of files. What a file asks
// for and this does not do is refused by name.
#include "io/bpe.h"
#include "io/json.h"
#include "io/text.h"

#include <string.h>

enum { FILE_MOST = 256 << 20 };

typedef struct load {
    hn_tokenizer *t;
    char where[192]; // "file 'x'": begins error texts
    const json_t *vocab;
    char *join; // scratch for the name a merge makes
    size_t cap_join;
    int32_t (*rule)[2], *made;
    int64_t n_rule, cap_rule, cap_made;
} load;

static hn_status unsupported(const load *l, const char *what, const char *value)
{
    return hn_fail(HN_ERR_UNSUPPORTED, "%s: %s '%.64s' is not supported", l->where, what, value);
}

// ---- vocabulary and merges -------------------------------------------------------------------

static hn_status highest(const load *l, const json_t *vocab, int64_t *most)
{
    const char *key;
    json_t *v;
    json_object_foreach((json_t *)(uintptr_t)vocab, key, v) {
        const json_int_t id = json_integer_value(v);
        if (!json_is_integer(v) || id < 0 || id >= HN__TOKEN_MOST)
            return hn_fail(HN_ERR_FORMAT, "%s: token '%.64s': its number is not in 0 to %d",
                           l->where, key, HN__TOKEN_MOST - 1);
        *most = id > *most ? id : *most;
    }
    // Few gaps are usual; many would let a small file ask for much memory.
    if (*most > 2 * (int64_t)json_object_size(vocab) + 1024)
        return hn_fail(HN_ERR_FORMAT, "%s: %zu tokens have numbers up to %" PRId64, l->where,
                       json_object_size(vocab), *most);
    return HN_OK;
}

static hn_status add_vocab(load *l)
{
    uint8_t *bytes = NULL;
    int64_t cap = 0;
    const char *key;
    json_t *v;
    hn_status s = HN_OK;
    json_object_foreach((json_t *)(uintptr_t)l->vocab, key, v) {
        const size_t n = strlen(key);
        s = hn__reserve((void **)&bytes, &cap, (int64_t)n + 1, 1);
        if (s != HN_OK)
            break;
        const int64_t m = l->t->by_char ? -1 : hn__byte_chars_decode(key, n, bytes);
        const int32_t id = (int32_t)json_integer_value(v);
        // A name with other characters (it will be an added token) stands for itself.
        s = m > 0 ? hn__bpe_set_token(l->t, id, bytes, (size_t)m, false)
                  : hn__bpe_set_token(l->t, id, key, n, !l->t->by_char);
        if (s != HN_OK)
            break;
    }
    hn__free(bytes);
    return hn_context(s, "%s", l->where);
}

static int32_t id_of(const load *l, const char *name, size_t n)
{
    const json_t *v = json_object_getn(l->vocab, name, n);
    return v ? (int32_t)json_integer_value(v) : -1;
}

static hn_status add_merge(load *l, const char *a, size_t n_a, const char *b, size_t n_b)
{
    const size_t n = n_a + n_b;
    if (!n_a || !n_b)
        return hn_fail(HN_ERR_FORMAT, "%s: merge %" PRId64 ": a name is empty", l->where,
                       l->n_rule + 1);
    if (n + 1 > l->cap_join) {
        char *p = hn__resize(l->join, 2 * n + 64, 1);
        if (!p)
            return hn__nomem(2 * n);
        l->join = p;
        l->cap_join = 2 * n + 64;
    }
    memcpy(l->join, a, n_a);
    memcpy(l->join + n_a, b, n_b);
    const int32_t left = id_of(l, a, n_a), right = id_of(l, b, n_b), made = id_of(l, l->join, n);
    if (left < 0 || right < 0 || made < 0)
        return hn_fail(HN_ERR_FORMAT,
                       "%s: merge %" PRId64 " ('%.*s' and '%.*s'): %s is not in the vocabulary",
                       l->where, l->n_rule + 1, (int)(n_a < 64 ? n_a : 64), a,
                       (int)(n_b < 64 ? n_b : 64), b,
                       left < 0 ? "the first" : right < 0 ? "the second" : "what it makes");
    if (l->t->token[left].raw || l->t->token[right].raw || l->t->token[made].raw)
        return hn_fail(HN_ERR_UNSUPPORTED,
                       "%s: merge %" PRId64 ": a name is not made of byte characters", l->where,
                       l->n_rule + 1);
    HN_TRY(hn__reserve((void **)&l->rule, &l->cap_rule, l->n_rule + 1, sizeof *l->rule));
    HN_TRY(hn__reserve((void **)&l->made, &l->cap_made, l->n_rule + 1, sizeof *l->made));
    l->rule[l->n_rule][0] = left;
    l->rule[l->n_rule][1] = right;
    l->made[l->n_rule++] = made;
    if (l->n_rule > HN__TOKEN_MOST)
        return hn_fail(HN_ERR_FORMAT, "%s: more than %d merges", l->where, HN__TOKEN_MOST);
    return HN_OK;
}

// "a b": two names and one space.
static hn_status add_merge_line(load *l, const char *line, size_t n)
{
    const char *space = memchr(line, ' ', n);
    const size_t n_a = space ? (size_t)(space - line) : 0, n_b = space ? n - n_a - 1 : 0;
    if (!n_a || !n_b || memchr(space + 1, ' ', n_b))
        return hn_fail(HN_ERR_FORMAT, "%s: merge %" PRId64 ": not two names and a space", l->where,
                       l->n_rule + 1);
    return add_merge(l, line, n_a, space + 1, n_b);
}

static hn_status add_merge_json(load *l, const json_t *m)
{
    if (json_is_string(m))
        return add_merge_line(l, json_string_value(m), json_string_length(m));
    const json_t *a = json_array_get(m, 0), *b = json_array_get(m, 1);
    if (json_array_size(m) != 2 || !json_is_string(a) || !json_is_string(b))
        return hn_fail(HN_ERR_FORMAT, "%s: merge %" PRId64 ": neither a string nor two", l->where,
                       l->n_rule + 1);
    return add_merge(l, json_string_value(a), json_string_length(a), json_string_value(b),
                     json_string_length(b));
}

static hn_status add_merge_lines(load *l, const char *p, size_t n)
{
    for (const char *end = p + n, *next; p < end; p = next) {
        const char *stop = memchr(p, '\n', (size_t)(end - p));
        next = stop ? stop + 1 : end;
        size_t len = (size_t)((stop ? stop : end) - p);
        len -= len && p[len - 1] == '\r';
        if (len && !(len >= 8 && !memcmp(p, "#version", 8)))
            HN_TRY(add_merge_line(l, p, len));
    }
    return HN_OK;
}

// Tokens, index and merges of l->t once the merges are read.
static hn_status end_model(load *l)
{
    HN_TRY(hn__bpe_index(l->t));
    return hn__bpe_add_merges(l->t, (const int32_t(*)[2])l->rule, l->made, (int32_t)l->n_rule);
}

static void load_free(load *l)
{
    hn__free(l->join);
    hn__free(l->rule);
    hn__free(l->made);
}

// ---- added tokens ----------------------------------------------------------------------------

static hn_status read_added(load *l, const json_t *o, int64_t *next, hn__added *out)
{
    static const char *const known[] = { "id",     "content",    "single_word", "lstrip",
                                         "rstrip", "normalized", "special",     NULL };
    char where[256];
    snprintf(where, sizeof where, "%s: added_tokens", l->where);
    const char *content;
    int64_t id;
    if (!json_is_object(o))
        return hn_fail(HN_ERR_FORMAT, "%s: an element is not an object", where);
    HN_TRY(hn__steps_keys(o, l->where, "added_tokens", known));
    HN_TRY(hn__json_string(o, where, "content", &content));
    HN_TRY(hn__json_int(o, where, "id", 0, HN__TOKEN_MOST - 1, &id));
    HN_TRY(hn__json_bool(o, where, "single_word", &out->single_word));
    HN_TRY(hn__json_bool(o, where, "lstrip", &out->lstrip));
    HN_TRY(hn__json_bool(o, where, "rstrip", &out->rstrip));
    HN_TRY(hn__json_bool(o, where, "normalized", &out->normalized));
    HN_TRY(hn__json_bool(o, where, "special", &out->special));
    const size_t n = strlen(content);
    if (n == 0)
        return hn_fail(HN_ERR_FORMAT, "%s: token %" PRId64 " has no content", where, id);
    // The original numbers tokens that the vocabulary lacks on from its end, whatever "id" says:
    // a file that says another thing has two meanings.
    const int32_t in_vocab = id_of(l, content, n);
    out->in_vocab = in_vocab >= 0;
    const int64_t want = in_vocab >= 0 ? in_vocab : (*next)++;
    if (id != want)
        return hn_fail(HN_ERR_FORMAT,
                       "%s: '%.64s' has the number %" PRId64 ", by the vocabulary it is %" PRId64,
                       where, content, id, want);
    out->id = (int32_t)id;
    out->content = (hn__bytes){ hn__arena_copy(&l->t->arena, content, n), (uint32_t)n, true };
    return out->content.p ? HN_OK : hn__nomem(n);
}

// What is looked for: the content, in normal form where the text will be.
static hn_status set_text(load *l, hn__added *a)
{
    a->text = a->content;
    if (!a->normalized)
        return HN_OK;
    uint8_t *made;
    size_t n;
    HN_TRY(hn__normalise(l->t, a->content.p, a->content.n, &made, &n));
    if (made) {
        a->text = (hn__bytes){ hn__arena_copy(&l->t->arena, made, n), (uint32_t)n, true };
        hn__free(made);
    }
    if (a->text.p && !a->text.n)
        return hn_fail(HN_ERR_UNSUPPORTED, "%s: added token %d: nothing is left of it when "
                       "normalised", l->where, (int)a->id);
    return a->text.p ? HN_OK : hn__nomem(n);
}

static hn_status set_added(load *l, const json_t *list)
{
    const size_t n = json_array_size(list);
    if (n == 0)
        return HN_OK;
    hn__added *a = hn__calloc(n, sizeof *a);
    hn_status s = a ? HN_OK : hn__nomem(n * sizeof *a);
    int64_t next = (int64_t)json_object_size(l->vocab);
    for (size_t i = 0; i < n && s == HN_OK; i++) {
        s = read_added(l, json_array_get(list, i), &next, &a[i]);
        if (s == HN_OK)
            s = set_text(l, &a[i]);
        if (s == HN_OK && !a[i].in_vocab)
            s = hn__bpe_set_token(l->t, a[i].id, a[i].content.p, a[i].content.n, true);
    }
    if (s == HN_OK)
        s = hn_context(hn__bpe_set_added(l->t, a, (int32_t)n), "%s", l->where);
    hn__free(a);
    return s;
}

// ---- tokenizer.json --------------------------------------------------------------------------

static hn_status check_model(const load *l, const json_t *m)
{
    static const char *const known[] = {
        "type",         "dropout",       "unk_token", "continuing_subword_prefix",
        "end_of_word_suffix", "fuse_unk", "byte_fallback", "ignore_merges", "vocab", "merges", NULL
    };
    static const char *const empty[] = { "continuing_subword_prefix", "end_of_word_suffix" };
    HN_TRY(hn__steps_keys(m, l->where, "model", known));
    const json_t *type = json_object_get(m, "type");
    if (type && (!json_is_string(type) || strcmp(json_string_value(type), "BPE")))
        return unsupported(l, "model", json_is_string(type) ? json_string_value(type) : "?");
    const json_t *dropout = json_object_get(m, "dropout");
    if (hn__json_has(m, "dropout") &&
        !(json_is_number(dropout) && json_number_value(dropout) == 0))
        return unsupported(l, "model", "dropout");
    for (int i = 0; i < 2; i++)
        if (hn__json_has(m, empty[i]) && json_string_length(json_object_get(m, empty[i])) != 0)
            return unsupported(l, "model", empty[i]);
    return HN_OK;
}

static hn_status flag(const load *l, const json_t *m, const char *key, bool *out)
{
    *out = false;
    return hn__json_has(m, key) ? hn__json_bool(m, l->where, key, out) : HN_OK;
}

// What becomes of text that has no token.
static hn_status set_unknown(load *l, const json_t *m, bool fallback)
{
    hn_tokenizer *t = l->t;
    const char *name;
    bool bytes;
    HN_TRY(flag(l, m, "ignore_merges", &t->ignore_merges));
    HN_TRY(flag(l, m, "fuse_unk", &t->fuse_unknown));
    HN_TRY(flag(l, m, "byte_fallback", &bytes));
    if (t->by_char && bytes != fallback)
        return unsupported(l, "model: byte_fallback of another kind than the decoder's",
                           bytes ? "true" : "false");
    if (!t->by_char && bytes && t->n_no_byte)
        return unsupported(l, "model: a byte-level vocabulary without all bytes and byte_fallback",
                           "true");
    if (!hn__json_has(m, "unk_token"))
        return HN_OK;
    HN_TRY(hn__json_string(m, l->where, "unk_token", &name));
    t->unknown = id_of(l, name, strlen(name));
    if (t->unknown < 0 && t->n_no_byte)
        return hn_fail(HN_ERR_FORMAT, "%s: \"unk_token\": '%.64s' is not in the vocabulary",
                       l->where, name);
    return HN_OK;
}

// Both are about preparing batches and are set anew by who does it; encoding gives whole texts.
static void say_ignored(const load *l, const json_t *root)
{
    static const char *const what[] = { "truncation", "padding" };
    for (int i = 0; i < 2; i++)
        if (hn__json_has(root, what[i]))
            hn__log(HN_LOG_INFO, "%s: its %s is left to the caller", l->where, what[i]);
}

static hn_status check_rest(const load *l, const json_t *root)
{
    static const char *const known[] = { "version",       "truncation", "padding",
                                         "added_tokens",  "normalizer", "pre_tokenizer",
                                         "post_processor", "decoder",    "model", NULL };
    const char *text;
    HN_TRY(hn__json_string(root, l->where, "version", &text));
    if (strcmp(text, "1.0"))
        return unsupported(l, "version", text);
    HN_TRY(hn__steps_keys(root, l->where, "the file", known));
    say_ignored(l, root);
    return HN_OK;
}

// One more than the largest number of the vocabulary and the added tokens.
static hn_status count(const load *l, const json_t *added, int32_t *out)
{
    int64_t most = 0;
    HN_TRY(highest(l, l->vocab, &most));
    // Added tokens follow the vocabulary, so this is room for all of them.
    const int64_t last = (int64_t)(json_object_size(l->vocab) + json_array_size(added));
    most = most >= last ? most + 1 : last;
    *out = (int32_t)most;
    return most > HN__TOKEN_MOST
               ? hn_fail(HN_ERR_FORMAT, "%s: more than %d tokens", l->where, HN__TOKEN_MOST)
               : HN_OK;
}

static hn_status build(load *l, const json_t *root)
{
    const json_t *model, *merges, *added = NULL, *normalizer = json_object_get(root, "normalizer"),
                                  *pre = json_object_get(root, "pre_tokenizer");
    int32_t n;
    bool fallback;
    HN_TRY(check_rest(l, root));
    HN_TRY(hn__json_object(root, l->where, "model", &model));
    HN_TRY(check_model(l, model));
    HN_TRY(hn__json_object(model, l->where, "vocab", &l->vocab));
    HN_TRY(hn__json_array(model, l->where, "merges", &merges));
    if (hn__json_has(root, "added_tokens"))
        HN_TRY(hn__json_array(root, l->where, "added_tokens", &added));
    HN_TRY(count(l, added, &n));
    HN_TRY(hn__bpe_create(n, &l->t));
    HN_TRY(hn__steps_decoder(l->t, json_object_get(root, "decoder"), l->where, &fallback));
    HN_TRY(hn__steps_normalizer(l->t, normalizer, l->where));
    HN_TRY(hn__steps_pre_tokenizer(l->t, pre, l->where));
    HN_TRY(add_vocab(l));
    if (l->t->by_char)
        HN_TRY(hn__bpe_set_text(l->t, fallback));
    for (size_t i = 0; i < json_array_size(merges); i++)
        HN_TRY(add_merge_json(l, json_array_get(merges, i)));
    HN_TRY(set_added(l, added));
    HN_TRY(end_model(l));
    HN_TRY(set_unknown(l, model, fallback));
    if (l->t->by_char)
        HN_TRY(hn__bpe_split_words(l->t));
    hn__bpe_say_missing(l->t, l->where);
    while (l->t->n_token > 1 && !l->t->token[l->t->n_token - 1].p)
        l->t->n_token--;
    HN_TRY(hn__steps_post_processor(l->t, json_object_get(root, "post_processor"), l->where));
    return hn__bpe_set_words(l->t, normalizer, pre);
}

hn_status hn__tokenizer_read(const void *json, size_t n, const char *name, hn_tokenizer **out)
{
    *out = NULL;
    json_t *root;
    HN_TRY(hn__json_parse(json, n, name, &root));
    load l = { 0 };
    snprintf(l.where, sizeof l.where, "file '%s'", name);
    const hn_status s = build(&l, root);
    load_free(&l);
    json_decref(root);
    if (s != HN_OK)
        hn_tokenizer_destroy(&l.t);
    *out = l.t;
    return s;
}

// ---- GPT-2's pair ----------------------------------------------------------------------------

static hn_status build_pair(load *l, const void *merges, size_t n_merges, const char *merges_name)
{
    static const char end[] = "<|endoftext|>";
    int64_t most = 0;
    HN_TRY(highest(l, l->vocab, &most));
    HN_TRY(hn__bpe_create((int32_t)most + 1, &l->t));
    HN_TRY(add_vocab(l));
    const int32_t id = id_of(l, end, sizeof end - 1);
    if (id >= 0) {
        hn__added a = { .text = l->t->token[id], .content = l->t->token[id], .id = id,
                        .special = true, .in_vocab = true };
        HN_TRY(hn__bpe_set_added(l->t, &a, 1));
    }
    HN_TRY(hn__bpe_set_gpt2_split(l->t));
    snprintf(l->where, sizeof l->where, "file '%s'", merges_name);
    HN_TRY(add_merge_lines(l, merges, n_merges));
    HN_TRY(end_model(l));
    hn__bpe_say_missing(l->t, l->where);
    return HN_OK;
}

hn_status hn__tokenizer_read_pair(const void *vocab, size_t n_vocab, const char *vocab_name,
                                  const void *merges, size_t n_merges, const char *merges_name,
                                  hn_tokenizer **out)
{
    *out = NULL;
    json_t *root;
    HN_TRY(hn__json_parse(vocab, n_vocab, vocab_name, &root));
    load l = { .vocab = root };
    snprintf(l.where, sizeof l.where, "file '%s'", vocab_name);
    const hn_status s = json_is_object(root)
                            ? build_pair(&l, merges, n_merges, merges_name)
                            : hn_fail(HN_ERR_FORMAT, "%s: not an object", l.where);
    load_free(&l);
    json_decref(root);
    if (s != HN_OK)
        hn_tokenizer_destroy(&l.t);
    *out = l.t;
    return s;
}

// ---- by path ---------------------------------------------------------------------------------

static hn_status map_bounded(const char *path, hn__map *out)
{
    HN_TRY(hn__map_open(path, out));
    if (out->size <= FILE_MOST)
        return HN_OK;
    hn__map_close(out);
    return hn_fail(HN_ERR_FORMAT, "file '%s': more than %d bytes", path, (int)FILE_MOST);
}

hn_status hn_tokenizer_load_pair(const char *vocab_path, const char *merges_path,
                                 hn_tokenizer **out)
{
    *out = NULL;
    hn__map v = { 0 }, m = { 0 };
    hn_status s = map_bounded(vocab_path, &v);
    if (s == HN_OK)
        s = map_bounded(merges_path, &m);
    if (s == HN_OK)
        s = hn__tokenizer_read_pair(v.data, v.size, vocab_path, m.data, m.size, merges_path, out);
    hn__map_close(&v);
    hn__map_close(&m);
    return s;
}

static hn_status load_file(const char *path, hn_tokenizer **out)
{
    hn__map m;
    HN_TRY(map_bounded(path, &m));
    const hn_status s = hn__tokenizer_read(m.data, m.size, path, out);
    hn__map_close(&m);
    return s;
}

hn_status hn_tokenizer_load(const char *path, hn_tokenizer **out)
{
    static const char *const names[][2] = { { "tokenizer.json", NULL },
                                            { "vocab.json", "merges.txt" },
                                            { "encoder.json", "vocab.bpe" } };
    *out = NULL;
    if (!hn__is_dir(path))
        return load_file(path, out);
    for (int i = 0; i < 3; i++) {
        char *a = hn__path_join(path, names[i][0]);
        char *b = hn__path_join(path, names[i][1] ? names[i][1] : "");
        const bool here = a && b && hn__exists(a) && hn__exists(b);
        hn_status s = a && b ? HN_OK : hn__nomem(strlen(path));
        if (here)
            s = names[i][1] ? hn_tokenizer_load_pair(a, b, out) : load_file(a, out);
        hn__free(a);
        hn__free(b);
        if (here || s != HN_OK)
            return s;
    }
    return hn_fail(HN_ERR_IO, "folder '%s' has neither tokenizer.json, nor vocab.json with "
                   "merges.txt, nor encoder.json with vocab.bpe", path);
}
