// Loading a tokenizer: tokenizer.json of the byte-level BPE kind, and GPT-2's pair of files.
// What a file asks for and this does not do is refused by name.
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

// Every key of o must be in the list (NULL ends it): an unknown one may change the result.
static hn_status check_keys(const load *l, const json_t *o, const char *what,
                            const char *const *known)
{
    const char *key;
    json_t *v;
    json_object_foreach((json_t *)(uintptr_t)o, key, v) {
        int i = 0;
        while (known[i] && strcmp(known[i], key))
            i++;
        if (!known[i])
            return hn_fail(HN_ERR_UNSUPPORTED, "%s: %s: the field '%.64s' is not supported",
                           l->where, what, key);
    }
    return HN_OK;
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
        const int64_t m = hn__byte_chars_decode(key, n, bytes);
        const int32_t id = (int32_t)json_integer_value(v);
        // A name with other characters (it will be an added token) stands for itself.
        s = m > 0 ? hn__bpe_set_token(l->t, id, bytes, (size_t)m, false)
                  : hn__bpe_set_token(l->t, id, key, n, true);
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
    HN_TRY(hn_context(hn__bpe_index(l->t), "%s", l->where));
    return hn__bpe_add_merges(l->t, (const int32_t(*)[2])l->rule, l->made, (int32_t)l->n_rule);
}

static void load_free(load *l)
{
    hn__free(l->join);
    hn__free(l->rule);
    hn__free(l->made);
}

// ---- normalizer and pre-tokenizer ------------------------------------------------------------

static hn_status type_of(const load *l, const json_t *o, const char *what, const char **out)
{
    char where[256];
    snprintf(where, sizeof where, "%s: %s", l->where, what);
    return hn__json_string(o, where, "type", out);
}

static hn_status set_normalizer(load *l, const json_t *o, int depth)
{
    const char *type;
    if (!o || json_is_null(o))
        return HN_OK;
    HN_TRY(type_of(l, o, "normalizer", &type));
    if (!strcmp(type, "NFC")) {
        l->t->nfc = true;
        return HN_OK;
    }
    const json_t *list = json_object_get(o, "normalizers");
    if (strcmp(type, "Sequence") || !json_is_array(list) || depth)
        return unsupported(l, "normalizer", type);
    for (size_t i = 0; i < json_array_size(list); i++)
        HN_TRY(set_normalizer(l, json_array_get(list, i), depth + 1));
    return HN_OK;
}

static hn_status add_split(load *l, const json_t *o)
{
    static const char *const known[] = { "type", "pattern", "behavior", "invert", NULL };
    char where[256];
    snprintf(where, sizeof where, "%s: pre_tokenizer Split", l->where);
    const json_t *pattern;
    const char *behavior;
    bool invert;
    HN_TRY(check_keys(l, o, "pre_tokenizer Split", known));
    HN_TRY(hn__json_object(o, where, "pattern", &pattern));
    HN_TRY(hn__json_string(o, where, "behavior", &behavior));
    HN_TRY(hn__json_bool(o, where, "invert", &invert));
    const bool removed = !strcmp(behavior, "Removed");
    if (!removed && strcmp(behavior, "Isolated"))
        return unsupported(l, "pre_tokenizer Split: behavior", behavior);
    const char *regex = json_string_value(json_object_get(pattern, "Regex"));
    const char *text = json_string_value(json_object_get(pattern, "String"));
    if (json_object_size(pattern) != 1 || (!regex && !text))
        return hn_fail(HN_ERR_FORMAT, "%s: \"pattern\": neither Regex nor String", where);
    // Removed takes out the matches, or inverted what lies between.
    hn__pretoken *to = &l->t->split;
    return hn_context(regex ? hn__pretoken_add(to, regex, removed && !invert, removed && invert)
                            : hn__pretoken_add_literal(to, text, removed && !invert,
                                                       removed && invert),
                      "%s", where);
}

static hn_status add_byte_level(load *l, const json_t *o)
{
    static const char *const known[] = { "type", "add_prefix_space", "trim_offsets", "use_regex",
                                         NULL };
    char where[256];
    snprintf(where, sizeof where, "%s: pre_tokenizer ByteLevel", l->where);
    bool prefix, regex = true;
    HN_TRY(check_keys(l, o, "pre_tokenizer ByteLevel", known));
    HN_TRY(hn__json_bool(o, where, "add_prefix_space", &prefix));
    if (json_object_get(o, "use_regex"))
        HN_TRY(hn__json_bool(o, where, "use_regex", &regex));
    l->t->split.prefix_space = prefix;
    l->t->split.prefix_at = l->t->split.n;
    return regex ? hn__pretoken_add(&l->t->split, hn__gpt2_pattern, false, false) : HN_OK;
}

static hn_status add_digits(load *l, const json_t *o)
{
    static const char *const known[] = { "type", "individual_digits", NULL };
    char where[256];
    snprintf(where, sizeof where, "%s: pre_tokenizer Digits", l->where);
    bool each;
    HN_TRY(check_keys(l, o, "pre_tokenizer Digits", known));
    HN_TRY(hn__json_bool(o, where, "individual_digits", &each));
    // This step goes by Unicode 17, the others by 16: U+11DE0-11DE9 and U+16FF4-16FF6 are new.
    static const char one[] = "[\\p{N}\xf0\x91\xb7\xa0-\xf0\x91\xb7\xa9"
                              "\xf0\x96\xbf\xb4-\xf0\x96\xbf\xb6]";
    static const char run[] = "[\\p{N}\xf0\x91\xb7\xa0-\xf0\x91\xb7\xa9"
                              "\xf0\x96\xbf\xb4-\xf0\x96\xbf\xb6]+";
    return hn__pretoken_add(&l->t->split, each ? one : run, false, false);
}

// Steps in a row, of which the last is ByteLevel: after it text is no longer text.
static hn_status set_pre_tokenizer(load *l, const json_t *o)
{
    const char *type;
    if (!json_is_object(o))
        return unsupported(l, "pre_tokenizer", "null");
    HN_TRY(type_of(l, o, "pre_tokenizer", &type));
    const json_t *list = json_object_get(o, "pretokenizers");
    const bool sequence = !strcmp(type, "Sequence");
    if (sequence && !json_is_array(list))
        return hn_fail(HN_ERR_FORMAT, "%s: pre_tokenizer: no \"pretokenizers\"", l->where);
    const size_t n = sequence ? json_array_size(list) : 1;
    for (size_t i = 0; i < n; i++) {
        const json_t *step = sequence ? json_array_get(list, i) : o;
        HN_TRY(type_of(l, step, "pre_tokenizer", &type));
        const bool bytes = !strcmp(type, "ByteLevel");
        if (bytes != (i == n - 1))
            return hn_fail(HN_ERR_UNSUPPORTED,
                           "%s: pre_tokenizer: ByteLevel must be the last step", l->where);
        if (bytes)
            HN_TRY(add_byte_level(l, step));
        else if (!strcmp(type, "Split"))
            HN_TRY(add_split(l, step));
        else if (!strcmp(type, "Digits"))
            HN_TRY(add_digits(l, step));
        else
            return unsupported(l, "pre_tokenizer", type);
    }
    return n ? HN_OK : unsupported(l, "pre_tokenizer", "empty Sequence");
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
    HN_TRY(check_keys(l, o, "added_tokens", known));
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
    if (!a->normalized || !l->t->nfc)
        return HN_OK;
    uint8_t *made;
    size_t n;
    HN_TRY(hn__nfc(a->content.p, a->content.n, &made, &n));
    if (made) {
        a->text = (hn__bytes){ hn__arena_copy(&l->t->arena, made, n), (uint32_t)n, true };
        hn__free(made);
    }
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

// unk_token, fuse_unk and byte_fallback are about characters without a token: as every byte must
// have one here, none of them can change a result.
static hn_status check_model(const load *l, const json_t *m)
{
    static const char *const known[] = {
        "type",         "dropout",       "unk_token", "continuing_subword_prefix",
        "end_of_word_suffix", "fuse_unk", "byte_fallback", "ignore_merges", "vocab", "merges", NULL
    };
    static const char *const empty[] = { "continuing_subword_prefix", "end_of_word_suffix" };
    HN_TRY(check_keys(l, m, "model", known));
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

static hn_status check_rest(const load *l, const json_t *root)
{
    static const char *const known[] = { "version",       "truncation", "padding",
                                         "added_tokens",  "normalizer", "pre_tokenizer",
                                         "post_processor", "decoder",    "model", NULL };
    const char *text, *type;
    HN_TRY(hn__json_string(root, l->where, "version", &text));
    if (strcmp(text, "1.0"))
        return unsupported(l, "version", text);
    HN_TRY(check_keys(l, root, "the file", known));
    if (hn__json_has(root, "truncation") || hn__json_has(root, "padding"))
        return hn_fail(HN_ERR_UNSUPPORTED, "%s: truncation and padding are not supported",
                       l->where);
    const json_t *post = json_object_get(root, "post_processor");
    if (hn__json_has(root, "post_processor")) {
        HN_TRY(type_of(l, post, "post_processor", &type));
        if (strcmp(type, "ByteLevel")) // which changes offsets only
            return unsupported(l, "post_processor", type);
    }
    HN_TRY(type_of(l, json_object_get(root, "decoder"), "decoder", &type));
    return strcmp(type, "ByteLevel") ? unsupported(l, "decoder", type) : HN_OK;
}

static hn_status build(load *l, const json_t *root)
{
    const json_t *model, *merges, *added = NULL;
    int64_t most = 0;
    HN_TRY(check_rest(l, root));
    HN_TRY(hn__json_object(root, l->where, "model", &model));
    HN_TRY(check_model(l, model));
    HN_TRY(hn__json_object(model, l->where, "vocab", &l->vocab));
    HN_TRY(hn__json_array(model, l->where, "merges", &merges));
    HN_TRY(highest(l, l->vocab, &most));
    if (hn__json_has(root, "added_tokens"))
        HN_TRY(hn__json_array(root, l->where, "added_tokens", &added));
    // Added tokens follow the vocabulary, so this is room for all of them.
    const int64_t last = (int64_t)(json_object_size(l->vocab) + json_array_size(added));
    most = most >= last ? most + 1 : last;
    if (most > HN__TOKEN_MOST)
        return hn_fail(HN_ERR_FORMAT, "%s: more than %d tokens", l->where, HN__TOKEN_MOST);
    HN_TRY(hn__bpe_create((int32_t)most, &l->t));
    HN_TRY(add_vocab(l));
    for (size_t i = 0; i < json_array_size(merges); i++)
        HN_TRY(add_merge_json(l, json_array_get(merges, i)));
    HN_TRY(set_normalizer(l, json_object_get(root, "normalizer"), 0));
    HN_TRY(set_pre_tokenizer(l, json_object_get(root, "pre_tokenizer")));
    HN_TRY(set_added(l, added));
    HN_TRY(end_model(l));
    if (hn__json_has(model, "ignore_merges"))
        HN_TRY(hn__json_bool(model, l->where, "ignore_merges", &l->t->ignore_merges));
    while (!l->t->token[l->t->n_token - 1].p)
        l->t->n_token--;
    return hn__bpe_set_words(l->t, json_object_get(root, "normalizer"),
                             json_object_get(root, "pre_tokenizer"));
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
    return end_model(l);
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
