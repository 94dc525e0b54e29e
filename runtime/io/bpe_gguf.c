// A tokenizer from the metadata of a GGUF file: model gpt2 (byte-level, split by the pattern that
// a name stands for) and model llama (characters, merged by score).
// Source: ggml's docs/gguf.md; what names and missing keys mean is what llama.cpp takes them for.
#include "io/bpe.h"
#include "io/convert.h"
#include "io/gguf_read.h"
#include "io/json.h"
#include "io/pretrained.h"
#include "io/text.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

// tokenizer.ggml.token_type
enum { NORMAL = 1, UNKNOWN, CONTROL, USER, UNUSED, BYTE };
// Bounds on what pieces of names are looked up for, which costs more than the file's length.
enum { NAME_MOST = 256, NAMES_MOST = 64 << 20 };

#define KEY(name) "tokenizer.ggml." name

// How text is prepared under a name of tokenizer.ggml.pre, in the words of tokenizer.json.
// clang-format off
#define BYTES(regex) \
    "{\"type\":\"ByteLevel\",\"add_prefix_space\":false,\"trim_offsets\":true," \
    "\"use_regex\":" regex "}"
#define SEQUENCE(first, regex) \
    "{\"type\":\"Sequence\",\"pretokenizers\":[" first "," BYTES(regex) "]}"
#define SPLIT(pattern) \
    SEQUENCE("{\"type\":\"Split\",\"pattern\":{\"Regex\":\"" pattern "\"}," \
             "\"behavior\":\"Isolated\",\"invert\":false}", "false")
#define SPACE_END "\\\\s*[\\\\r\\\\n]+|\\\\s+(?!\\\\S)|\\\\s+"
#define WORDS(digits) \
    SPLIT("(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\\\r\\\\n\\\\p{L}\\\\p{N}]?\\\\p{L}+" \
          "|\\\\p{N}" digits "| ?[^\\\\s\\\\p{L}\\\\p{N}]+[\\\\r\\\\n]*|" SPACE_END)
#define NO_LETTER "[^\\\\r\\\\n\\\\p{L}\\\\p{N}]?"
#define UPPER "[\\\\p{Lu}\\\\p{Lt}\\\\p{Lm}\\\\p{Lo}\\\\p{M}]"
#define LOWER "[\\\\p{Ll}\\\\p{Lm}\\\\p{Lo}\\\\p{M}]"
#define TEKKEN \
    SPLIT(NO_LETTER UPPER "*" LOWER "+|" NO_LETTER UPPER "+" LOWER "*" \
          "|\\\\p{N}| ?[^\\\\s\\\\p{L}\\\\p{N}]+[\\\\r\\\\n/]*|" SPACE_END)
#define DIGITS SEQUENCE("{\"type\":\"Digits\",\"individual_digits\":true}", "true")
#define NFC "{\"type\":\"NFC\"}"
#define MARK "\xe2\x96\x81"
#define SPACES \
    "{\"type\":\"Replace\",\"pattern\":{\"String\":\" \"},\"content\":\"" MARK "\"}"
#define PREFIX \
    "{\"type\":\"Sequence\",\"normalizers\":[" \
    "{\"type\":\"Prepend\",\"prepend\":\"" MARK "\"}," SPACES "]}"
// clang-format on

typedef struct kind {
    const char *name, *normalizer, *pre;
    bool ignore_merges;
    bool start; // what a missing add_bos_token means
} kind;

static const kind kinds[] = {
    { "gpt-2", NULL, BYTES("true"), false, false },
    { "smollm", NULL, DIGITS, false, false },
    { "llama-bpe", NULL, WORDS("{1,3}"), true, true },
    { "llama3", NULL, WORDS("{1,3}"), true, true },
    { "llama-v3", NULL, WORDS("{1,3}"), true, true },
    { "falcon3", NULL, WORDS("{1,3}"), true, true },
    { "qwen2", NFC, WORDS(""), false, false },
    { "deepseek-r1-qwen", NFC, WORDS(""), false, false },
    { "megrez", NFC, WORDS(""), false, false },
    { "tekken", NULL, TEKKEN, true, true },
};

// A pair of tokens and what it makes.
typedef struct pair {
    int32_t left, right, made;
    uint32_t n_left, n_right; // bytes of their names
    float score;
} pair;

typedef struct load {
    const hn__gguf *g;
    hn_tokenizer *t;
    char where[192]; // "file 'x'": begins error texts
    hn__gguf_string *name;
    int64_t n;
    int64_t *type; // NULL: all normal
    hn__bytes *view; // the names again
    hn__index index; // of them
    pair *pair;
    int64_t n_pair, cap_pair;
} load;

static void load_free(load *l)
{
    hn__free(l->name);
    hn__free(l->type);
    hn__free(l->view);
    hn__free(l->index.slot);
    hn__free(l->pair);
}

static int64_t type_of(const load *l, int64_t id)
{
    return l->type ? l->type[id] : NORMAL;
}

// ---- vocabulary ------------------------------------------------------------------------------

static hn_status check_name(const load *l, int64_t i)
{
    const hn__gguf_string *s = &l->name[i];
    const char *why = NULL;
    if (s->n > UINT32_MAX)
        why = "is too long";
    else if (s->n && memchr(s->p, 0, s->n))
        why = "holds a NUL";
    else if (hn__utf8_valid((const uint8_t *)s->p, s->n) != s->n)
        why = "is not UTF-8";
    return why ? hn_fail(HN_ERR_FORMAT, "%s: " KEY("tokens") ": the name of token %" PRId64 " %s",
                         l->where, i, why)
               : HN_OK;
}

static hn_status read_names(load *l)
{
    HN_TRY(hn__gguf_get_strings(l->g, KEY("tokens"), &l->name, &l->n));
    if (l->n < 1 || l->n > HN__TOKEN_MOST)
        return hn_fail(HN_ERR_FORMAT, "%s: " KEY("tokens") ": %" PRId64 " tokens are not 1 to %d",
                       l->where, l->n, HN__TOKEN_MOST);
    if (hn__gguf_has(l->g, KEY("token_type"))) {
        int64_t n;
        HN_TRY(hn__gguf_get_ints(l->g, KEY("token_type"), &l->type, &n));
        if (n != l->n)
            return hn_fail(HN_ERR_FORMAT, "%s: " KEY("token_type") ": %" PRId64 " types for "
                           "%" PRId64 " tokens", l->where, n, l->n);
    }
    l->view = hn__calloc((size_t)l->n, sizeof *l->view);
    if (!l->view)
        return hn__nomem((size_t)l->n * sizeof *l->view);
    HN_TRY(hn__index_make(&l->index, l->n));
    int64_t named = 0;
    for (int64_t i = 0; i < l->n; i++) {
        HN_TRY(check_name(l, i));
        if (!l->name[i].n) // no token has this number
            continue;
        named++;
        l->view[i] = (hn__bytes){ (const uint8_t *)l->name[i].p, (uint32_t)l->name[i].n, false };
        hn__index_add(&l->index, l->view, (int32_t)i);
        const int32_t first = hn__index_find(&l->index, l->view, l->view[i].p, l->view[i].n);
        if (first != i)
            return hn_fail(HN_ERR_FORMAT, "%s: " KEY("tokens") ": tokens %d and %" PRId64
                           " have one name", l->where, (int)first, i);
    }
    // As in tokenizer.json few gaps are usual.
    return l->n <= 2 * named + 1024
               ? HN_OK
               : hn_fail(HN_ERR_FORMAT, "%s: " KEY("tokens") ": %" PRId64 " of %" PRId64
                         " have no name", l->where, l->n - named, l->n);
}

static hn_status set_tokens(load *l)
{
    uint8_t *bytes = NULL;
    int64_t cap = 0;
    hn_status s = HN_OK;
    for (int64_t i = 0; i < l->n && s == HN_OK; i++) {
        const hn__bytes *name = &l->view[i];
        if (!name->p)
            continue;
        s = hn__reserve((void **)&bytes, &cap, (int64_t)name->n + 1, 1);
        if (s != HN_OK)
            break;
        const int64_t m = l->t->by_char ? -1
                                        : hn__byte_chars_decode((const char *)name->p, name->n,
                                                                bytes);
        s = m > 0 ? hn__bpe_set_token(l->t, (int32_t)i, bytes, (size_t)m, false)
                  : hn__bpe_set_token(l->t, (int32_t)i, name->p, name->n, !l->t->by_char);
    }
    hn__free(bytes);
    return s;
}

// Control tokens and the unknown one are special; what the model's maker added is found always.
static hn_status set_added(load *l)
{
    int64_t n = 0;
    for (int64_t i = 0; i < l->n; i++)
        n += type_of(l, i) >= UNKNOWN && type_of(l, i) <= USER;
    hn__added *list = hn__calloc((size_t)n, sizeof *list);
    if (n && !list)
        return hn__nomem((size_t)n * sizeof *list);
    hn_status s = HN_OK;
    n = 0;
    for (int64_t i = 0; i < l->n && s == HN_OK; i++) {
        const int64_t type = type_of(l, i);
        const hn__bytes *name = &l->view[i];
        if (type < UNKNOWN || type > USER || !name->p)
            continue;
        hn__added *a = &list[n++];
        *a = (hn__added){ .id = (int32_t)i, .special = type != USER, .in_vocab = true };
        a->content = (hn__bytes){ hn__arena_copy(&l->t->arena, name->p, name->n), name->n, true };
        a->text = a->content;
        s = a->content.p ? HN_OK : hn__nomem(name->n);
    }
    if (s == HN_OK)
        s = hn_context(hn__bpe_set_added(l->t, list, (int32_t)n), "%s", l->where);
    hn__free(list);
    return s;
}

// ---- merges ----------------------------------------------------------------------------------

static hn_status add_pair(load *l, pair p)
{
    if (l->n_pair == HN__TOKEN_MOST)
        return hn_fail(HN_ERR_FORMAT, "%s: more than %d merges", l->where, HN__TOKEN_MOST);
    HN_TRY(hn__reserve((void **)&l->pair, &l->cap_pair, l->n_pair + 1, sizeof *l->pair));
    l->pair[l->n_pair++] = p;
    return HN_OK;
}

// Merges in order, each two names and a space.
static hn_status read_merge(load *l, int64_t i, const hn__gguf_string *s, char **room,
                            int64_t *cap)
{
    const char *space = s->n > 1 ? memchr(s->p + 1, ' ', s->n - 1) : NULL;
    const size_t n_a = space ? (size_t)(space - s->p) : 0, n_b = space ? s->n - n_a - 1 : 0;
    if (!n_a || !n_b)
        return hn_fail(HN_ERR_FORMAT, "%s: " KEY("merges") ": merge %" PRId64
                       " is not two names and a space", l->where, i + 1);
    HN_TRY(hn__reserve((void **)room, cap, (int64_t)s->n, 1));
    memcpy(*room, s->p, n_a);
    memcpy(*room + n_a, space + 1, n_b);
    const pair p = { .left = hn__index_find(&l->index, l->view, s->p, n_a),
                     .right = hn__index_find(&l->index, l->view, space + 1, n_b),
                     .made = hn__index_find(&l->index, l->view, *room, n_a + n_b) };
    if (p.left < 0 || p.right < 0 || p.made < 0)
        return hn_fail(HN_ERR_FORMAT, "%s: " KEY("merges") ": merge %" PRId64
                       ": %s is not among the tokens", l->where, i + 1,
                       p.left < 0 ? "its first name" : p.right < 0 ? "its second name"
                                                                   : "what it makes");
    const hn__bytes *token = l->t->token;
    if (token[p.left].raw || token[p.right].raw || token[p.made].raw)
        return hn_fail(HN_ERR_UNSUPPORTED, "%s: " KEY("merges") ": merge %" PRId64
                       ": a name is not made of byte characters", l->where, i + 1);
    return add_pair(l, p);
}

static hn_status read_merges(load *l)
{
    hn__gguf_string *merge;
    int64_t n, cap = 0;
    char *room = NULL;
    HN_TRY(hn__gguf_get_strings(l->g, KEY("merges"), &merge, &n));
    hn_status s = HN_OK;
    for (int64_t i = 0; i < n && s == HN_OK; i++)
        s = read_merge(l, i, &merge[i], &room, &cap);
    hn__free(room);
    hn__free(merge);
    return s;
}

// What merging makes, and makes it of: not what stands for itself only.
static bool merges(const load *l, int32_t id)
{
    return id >= 0 && (type_of(l, id) == NORMAL || type_of(l, id) == UNUSED);
}

// All ways to make a token of two others.
static hn_status split_name(load *l, int32_t id, float score)
{
    const hn__bytes *name = &l->view[id];
    if (name->n > NAME_MOST)
        return hn_fail(HN_ERR_UNSUPPORTED, "%s: " KEY("tokens") ": token %d has %u bytes; at most "
                       "%d are taken", l->where, (int)id, (unsigned)name->n, NAME_MOST);
    for (uint32_t k = 1; k < name->n; k++) {
        if ((name->p[k] & 0xc0) == 0x80)
            continue;
        const int32_t left = hn__index_find(&l->index, l->view, name->p, k);
        if (!merges(l, left))
            continue;
        const int32_t right = hn__index_find(&l->index, l->view, name->p + k, name->n - k);
        if (merges(l, right))
            HN_TRY(add_pair(l, (pair){ left, right, id, k, name->n - k, score }));
    }
    return HN_OK;
}

// The highest score first; of one token's ways, the longer first half.
static int by_score(const void *pa, const void *pb)
{
    const pair *a = pa, *b = pb;
    if (a->score != b->score)
        return a->score > b->score ? -1 : 1;
    if (a->n_left != b->n_left)
        return a->n_left > b->n_left ? -1 : 1;
    if (a->n_right != b->n_right)
        return a->n_right > b->n_right ? -1 : 1;
    if (a->left != b->left)
        return a->left < b->left ? -1 : 1;
    return (a->right > b->right) - (a->right < b->right);
}

static hn_status make_merges(load *l)
{
    float *score;
    int64_t n, bytes = 0;
    HN_TRY(hn__gguf_get_reals(l->g, KEY("scores"), &score, &n));
    hn_status s = n == l->n ? HN_OK
                            : hn_fail(HN_ERR_FORMAT, "%s: " KEY("scores") ": %" PRId64
                                      " scores for %" PRId64 " tokens", l->where, n, l->n);
    for (int32_t i = 0; i < l->n && s == HN_OK; i++) {
        bytes += l->view[i].n;
        if (isnan(score[i]))
            s = hn_fail(HN_ERR_FORMAT, "%s: " KEY("scores") ": that of token %d is no number",
                        l->where, (int)i);
        else if (bytes > NAMES_MOST)
            s = hn_fail(HN_ERR_UNSUPPORTED, "%s: " KEY("tokens") ": the names have more than %d "
                        "bytes", l->where, (int)NAMES_MOST);
        else if (l->view[i].p && merges(l, i))
            s = split_name(l, i, score[i]);
    }
    hn__free(score);
    if (s == HN_OK && l->n_pair)
        qsort(l->pair, (size_t)l->n_pair, sizeof *l->pair, by_score);
    return s;
}

static hn_status end_merges(load *l)
{
    const size_t n = (size_t)l->n_pair;
    int32_t(*rule)[2] = hn__calloc(n, sizeof *rule), *made = hn__calloc(n, sizeof *made);
    hn_status s = n && (!rule || !made) ? hn__nomem(n * sizeof *rule) : HN_OK;
    for (size_t i = 0; i < n && s == HN_OK; i++) {
        rule[i][0] = l->pair[i].left;
        rule[i][1] = l->pair[i].right;
        made[i] = l->pair[i].made;
    }
    if (s == HN_OK)
        s = hn__bpe_add_merges(l->t, (const int32_t(*)[2])rule, made, (int32_t)n);
    hn__free(rule);
    hn__free(made);
    return s;
}

// ---- the rest --------------------------------------------------------------------------------

static hn_status set_steps(load *l, const char *normalizer, const char *pre)
{
    json_t *a = NULL, *b = NULL;
    hn_status s = normalizer ? hn__json_parse(normalizer, strlen(normalizer), "steps", &a) : HN_OK;
    if (s == HN_OK && pre)
        s = hn__json_parse(pre, strlen(pre), "steps", &b);
    if (s == HN_OK)
        s = hn__steps_normalizer(l->t, a, l->where);
    if (s == HN_OK)
        s = hn__steps_pre_tokenizer(l->t, b, l->where);
    if (s == HN_OK)
        s = hn__bpe_set_words(l->t, a, b);
    json_decref(a);
    json_decref(b);
    return s;
}

static hn_status get_bool(const load *l, const char *key, bool missing, bool *out)
{
    *out = missing;
    return hn__gguf_has(l->g, key) ? hn__gguf_get_bool(l->g, key, out) : HN_OK;
}

static hn_status get_token(const load *l, const char *key, int64_t missing, int32_t *out)
{
    int64_t id = missing;
    if (hn__gguf_has(l->g, key) || missing < 0)
        HN_TRY(hn__gguf_get_int(l->g, key, 0, l->n - 1, &id));
    if (id >= l->n || !l->view[id].p)
        return hn_fail(HN_ERR_FORMAT, "%s: %s: %" PRId64 " is no token", l->where, key, id);
    *out = (int32_t)id;
    return HN_OK;
}

// Tokens around a text. Those of model llama have usual numbers.
static hn_status set_around(const load *l, bool start)
{
    const bool by_char = l->t->by_char;
    int32_t before = 0, after = 0;
    bool end;
    HN_TRY(get_bool(l, KEY("add_bos_token"), start, &start));
    HN_TRY(get_bool(l, KEY("add_eos_token"), false, &end));
    if (start)
        HN_TRY(get_token(l, KEY("bos_token_id"), by_char ? 1 : -1, &before));
    if (end)
        HN_TRY(get_token(l, KEY("eos_token_id"), by_char ? 2 : -1, &after));
    return hn__bpe_set_around(l->t, &before, start, &after, end);
}

static hn_status find_kind(const load *l, const kind **out)
{
    hn__gguf_string pre;
    HN_TRY(hn__gguf_get_string(l->g, KEY("pre"), &pre));
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
        *out = &kinds[i];
        if (strlen(kinds[i].name) == pre.n && !memcmp(kinds[i].name, pre.p, pre.n))
            return HN_OK;
    }
    return hn_fail(HN_ERR_UNSUPPORTED, "%s: " KEY("pre") ": the pre-tokenizer '%.*s' is not "
                   "supported", l->where, (int)(pre.n < 64 ? pre.n : 64), pre.p);
}

// ---- the other way ---------------------------------------------------------------------------

static bool flag(const json_t *o, const char *key, bool missing)
{
    const json_t *v = json_object_get(o, key);
    return json_is_boolean(v) ? json_is_true(v) : missing;
}

static bool same_text(const json_t *a, const json_t *b, const char *key)
{
    const char *p = json_string_value(json_object_get(a, key));
    const char *q = json_string_value(json_object_get(b, key));
    return p && q ? !strcmp(p, q) : p == q;
}

// Two steps that do the same to a text; offsets are no part of that.
static bool same_step(const json_t *a, const json_t *b)
{
    const json_t *list = json_object_get(a, "pretokenizers");
    const json_t *other = json_object_get(b, "pretokenizers");
    size_t n = json_array_size(list);
    if (!same_text(a, b, "type") || n != json_array_size(other))
        return false;
    while (n && same_step(json_array_get(list, n - 1), json_array_get(other, n - 1)))
        n--;
    const json_t *p = json_object_get(a, "pattern"), *q = json_object_get(b, "pattern");
    return !n && (p || q ? json_equal(p, q) : true) &&
           same_text(a, b, "behavior") && flag(a, "invert", false) == flag(b, "invert", false) &&
           flag(a, "use_regex", true) == flag(b, "use_regex", true) &&
           flag(a, "individual_digits", false) == flag(b, "individual_digits", false) &&
           flag(a, "add_prefix_space", true) == flag(b, "add_prefix_space", true);
}

const char *hn__gguf_pre_find(const json_t *normalizer, const json_t *pre, bool ignore_merges)
{
    const char *found = NULL;
    for (size_t i = 0; !found && i < sizeof kinds / sizeof *kinds; i++) {
        const kind *k = &kinds[i];
        const json_t *have = json_is_object(normalizer) ? normalizer : NULL;
        json_t *want = k->normalizer ? json_loads(k->normalizer, 0, NULL) : NULL;
        json_t *steps = json_loads(k->pre, 0, NULL);
        const bool same = want && have ? same_text(want, have, "type") : !want && !have;
        if (same && k->ignore_merges == ignore_merges && same_step(steps, pre))
            found = k->name;
        json_decref(want);
        json_decref(steps);
    }
    return found;
}

// ---- the whole -------------------------------------------------------------------------------

// A file may ask for what llama.cpp leaves alone for this model; we name it.
static hn_status build_gpt2(load *l)
{
    const kind *k;
    bool space;
    HN_TRY(find_kind(l, &k));
    HN_TRY(get_bool(l, KEY("add_space_prefix"), false, &space));
    if (space)
        return hn_fail(HN_ERR_UNSUPPORTED, "%s: " KEY("add_space_prefix") " is not supported for "
                       "the model gpt2", l->where);
    HN_TRY(set_steps(l, k->normalizer, k->pre));
    HN_TRY(set_tokens(l));
    HN_TRY(read_merges(l));
    HN_TRY(set_added(l));
    HN_TRY(hn__bpe_index(l->t));
    HN_TRY(end_merges(l));
    l->t->ignore_merges = k->ignore_merges;
    return set_around(l, k->start);
}

static hn_status build_llama(load *l)
{
    bool space, squeeze;
    HN_TRY(get_bool(l, KEY("add_space_prefix"), true, &space));
    HN_TRY(get_bool(l, KEY("remove_extra_whitespaces"), false, &squeeze));
    if (squeeze)
        return hn_fail(HN_ERR_UNSUPPORTED, "%s: " KEY("remove_extra_whitespaces")
                       " is not supported", l->where);
    l->t->by_char = true;
    l->t->strip_space = space;
    l->t->fuse_unknown = true;
    HN_TRY(set_steps(l, space ? PREFIX : SPACES, NULL));
    HN_TRY(set_tokens(l));
    HN_TRY(hn__bpe_set_text(l->t, true));
    HN_TRY(make_merges(l));
    HN_TRY(set_added(l));
    HN_TRY(hn__bpe_index(l->t));
    HN_TRY(end_merges(l));
    HN_TRY(hn__bpe_split_words(l->t));
    HN_TRY(get_token(l, KEY("unknown_token_id"), 0, &l->t->unknown));
    return set_around(l, true);
}

static hn_status build(load *l)
{
    hn__gguf_string model;
    HN_TRY(hn__gguf_get_string(l->g, KEY("model"), &model));
    const bool gpt2 = model.n == 4 && !memcmp(model.p, "gpt2", 4);
    if (!gpt2 && !(model.n == 5 && !memcmp(model.p, "llama", 5)))
        return hn_fail(HN_ERR_UNSUPPORTED, "%s: " KEY("model") ": the tokenizer model '%.*s' is "
                       "not supported", l->where, (int)(model.n < 64 ? model.n : 64), model.p);
    HN_TRY(read_names(l));
    HN_TRY(hn__bpe_create((int32_t)l->n, &l->t));
    HN_TRY(gpt2 ? build_gpt2(l) : build_llama(l));
    while (l->t->n_token > 1 && !l->t->token[l->t->n_token - 1].p)
        l->t->n_token--;
    hn__bpe_say_missing(l->t, l->where);
    return HN_OK;
}

hn_status hn__tokenizer_from_gguf(const hn__gguf *g, hn_tokenizer **out)
{
    load l = { .g = g };
    snprintf(l.where, sizeof l.where, "file '%s'", g->name);
    const hn_status s = build(&l);
    load_free(&l);
    if (s != HN_OK)
        hn_tokenizer_destroy(&l.t);
    *out = l.t;
    return s;
}
