// The steps of a tokenizer.json beside its vocabulary: normalizer, pre-tokenizer, decoder, and
// what is put around a text. What is not known is refused by name.
#include "io/bpe.h"
#include "io/json.h"
#include "io/pretrained.h"

#include <string.h>

enum { AROUND_MOST = 32, STEP_MOST = 64 }; // tokens on one side of a text; bytes of a step's text

static const char mark[] = "\xe2\x96\x81"; // U+2581, for a space

typedef struct load {
    hn_tokenizer *t;
    const char *where;
} load;

static hn_status unsupported(const load *l, const char *what, const char *value)
{
    return hn_fail(HN_ERR_UNSUPPORTED, "%s: %s '%.64s' is not supported", l->where, what, value);
}

hn_status hn__steps_keys(const json_t *o, const char *where, const char *what,
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
                           where, what, key);
    }
    return HN_OK;
}

static hn_status type_of(const load *l, const json_t *o, const char *what, const char **out)
{
    char where[256];
    snprintf(where, sizeof where, "%s: %s", l->where, what);
    return hn__json_string(o, where, "type", out);
}

// ---- normalizer ------------------------------------------------------------------------------

static hn_status keep(load *l, const char *text, hn__bytes *out)
{
    const size_t n = strlen(text);
    if (n > STEP_MOST)
        return hn_fail(HN_ERR_UNSUPPORTED, "%s: normalizer: a string of more than %d bytes",
                       l->where, STEP_MOST);
    *out = (hn__bytes){ hn__arena_copy(&l->t->arena, text, n), (uint32_t)n, false };
    return out->p ? HN_OK : hn__nomem(n);
}

// {"pattern": {"String": from}, "content": to}
static hn_status read_replace(const load *l, const json_t *o, const char *what, const char **from,
                              const char **to)
{
    static const char *const known[] = { "type", "pattern", "content", NULL };
    char where[256];
    snprintf(where, sizeof where, "%s: %s Replace", l->where, what);
    const json_t *pattern;
    HN_TRY(hn__steps_keys(o, l->where, where + strlen(l->where) + 2, known));
    HN_TRY(hn__json_object(o, where, "pattern", &pattern));
    HN_TRY(hn__json_string(o, where, "content", to));
    *from = json_string_value(json_object_get(pattern, "String"));
    if (json_object_size(pattern) != 1 || !*from || !**from)
        return hn_fail(HN_ERR_UNSUPPORTED, "%s: a pattern that is no String is not supported",
                       where);
    return HN_OK;
}

static hn_status add_norm(load *l, const char *type, const json_t *o)
{
    const char *from = "", *to = "";
    hn__norm step = { HN__NORM_NFC, { 0 }, { 0 } };
    char where[256];
    snprintf(where, sizeof where, "%s: normalizer", l->where);
    if (l->t->n_norm == HN__NORMS)
        return hn_fail(HN_ERR_UNSUPPORTED, "%s: more than %d steps", where, (int)HN__NORMS);
    if (!strcmp(type, "Prepend")) {
        step.how = HN__NORM_PREPEND;
        HN_TRY(hn__json_string(o, where, "prepend", &to));
    } else if (!strcmp(type, "Replace")) {
        step.how = HN__NORM_REPLACE;
        HN_TRY(read_replace(l, o, "normalizer", &from, &to));
    } else if (strcmp(type, "NFC")) {
        return unsupported(l, "normalizer", type);
    }
    HN_TRY(keep(l, from, &step.from));
    HN_TRY(keep(l, to, &step.to));
    l->t->norm[l->t->n_norm++] = step;
    return HN_OK;
}

static hn_status set_normalizer(load *l, const json_t *o, int depth)
{
    const char *type;
    if (!o || json_is_null(o))
        return HN_OK;
    HN_TRY(type_of(l, o, "normalizer", &type));
    const json_t *list = json_object_get(o, "normalizers");
    if (strcmp(type, "Sequence"))
        return add_norm(l, type, o);
    if (!json_is_array(list) || depth)
        return unsupported(l, "normalizer", type);
    for (size_t i = 0; i < json_array_size(list); i++)
        HN_TRY(set_normalizer(l, json_array_get(list, i), depth + 1));
    return HN_OK;
}

hn_status hn__steps_normalizer(hn_tokenizer *t, const json_t *o, const char *where)
{
    return set_normalizer(&(load){ t, where }, o, 0);
}

// ---- pre-tokenizer ---------------------------------------------------------------------------

static hn_status add_split(load *l, const json_t *o)
{
    static const char *const known[] = { "type", "pattern", "behavior", "invert", NULL };
    char where[256];
    snprintf(where, sizeof where, "%s: pre_tokenizer Split", l->where);
    const json_t *pattern;
    const char *behavior;
    bool invert;
    HN_TRY(hn__steps_keys(o, l->where, "pre_tokenizer Split", known));
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
    HN_TRY(hn__steps_keys(o, l->where, "pre_tokenizer ByteLevel", known));
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
    HN_TRY(hn__steps_keys(o, l->where, "pre_tokenizer Digits", known));
    HN_TRY(hn__json_bool(o, where, "individual_digits", &each));
    // This step goes by Unicode 17, the others by 16: U+11DE0-11DE9 and U+16FF4-16FF6 are new.
    static const char one[] = "[\\p{N}\xf0\x91\xb7\xa0-\xf0\x91\xb7\xa9"
                              "\xf0\x96\xbf\xb4-\xf0\x96\xbf\xb6]";
    static const char run[] = "[\\p{N}\xf0\x91\xb7\xa0-\xf0\x91\xb7\xa9"
                              "\xf0\x96\xbf\xb4-\xf0\x96\xbf\xb6]+";
    return hn__pretoken_add(&l->t->split, each ? one : run, false, false);
}

static hn_status add_metaspace(load *l, const json_t *o)
{
    static const char *const known[] = { "type", "replacement", "add_prefix_space",
                                         "prepend_scheme", "str_rep", "split", NULL };
    static const char *const schemes[] = { "never", "first", "always" };
    char where[256];
    snprintf(where, sizeof where, "%s: pre_tokenizer Metaspace", l->where);
    const char *text;
    bool prefix = true, split = true;
    HN_TRY(hn__steps_keys(o, l->where, "pre_tokenizer Metaspace", known));
    HN_TRY(hn__json_string(o, where, "replacement", &text));
    if (strcmp(text, mark))
        return unsupported(l, "pre_tokenizer Metaspace: replacement", text);
    if (json_object_get(o, "add_prefix_space"))
        HN_TRY(hn__json_bool(o, where, "add_prefix_space", &prefix));
    l->t->meta = prefix ? HN__META_ALL : HN__META_NONE;
    if (json_object_get(o, "prepend_scheme")) {
        int i = 0;
        HN_TRY(hn__json_string(o, where, "prepend_scheme", &text));
        while (i < 3 && strcmp(schemes[i], text))
            i++;
        if (i == 3)
            return unsupported(l, "pre_tokenizer Metaspace: prepend_scheme", text);
        l->t->meta = HN__META_NONE + (unsigned)i;
    }
    if (json_object_get(o, "split"))
        HN_TRY(hn__json_bool(o, where, "split", &split));
    return split ? hn__pretoken_add(&l->t->split, "\xe2\x96\x81[^\xe2\x96\x81]*|[^\xe2\x96\x81]+",
                                    false, false)
                 : HN_OK;
}

// Byte-level: steps in a row, of which the last is ByteLevel, as after it text is no longer text.
static hn_status set_byte_steps(load *l, const json_t *o, const char *type)
{
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

hn_status hn__steps_pre_tokenizer(hn_tokenizer *t, const json_t *o, const char *where)
{
    load l = { t, where };
    const char *type;
    const bool none = !o || json_is_null(o);
    if (none)
        return t->by_char ? HN_OK : unsupported(&l, "pre_tokenizer", "null");
    HN_TRY(type_of(&l, o, "pre_tokenizer", &type));
    if (!t->by_char)
        return set_byte_steps(&l, o, type);
    return strcmp(type, "Metaspace") ? unsupported(&l, "pre_tokenizer", type)
                                     : add_metaspace(&l, o);
}

// ---- decoder ---------------------------------------------------------------------------------

static hn_status add_decoder(load *l, const json_t *o, bool *spaces, bool *fallback)
{
    const char *type, *from, *to;
    HN_TRY(type_of(l, o, "decoder", &type));
    if (!strcmp(type, "Replace")) {
        HN_TRY(read_replace(l, o, "decoder", &from, &to));
        if (strcmp(from, mark) || strcmp(to, " "))
            return unsupported(l, "decoder Replace: pattern", from);
        *spaces = true;
    } else if (!strcmp(type, "ByteFallback")) {
        *fallback = true;
    } else if (!strcmp(type, "Strip")) {
        int64_t start, stop;
        HN_TRY(hn__json_string(o, l->where, "content", &from));
        HN_TRY(hn__json_int(o, l->where, "start", 0, INT32_MAX, &start));
        HN_TRY(hn__json_int(o, l->where, "stop", 0, INT32_MAX, &stop));
        if (strcmp(from, " ") || start > 1 || stop)
            return unsupported(l, "decoder Strip of more than one space at the start", from);
        l->t->strip_space = start == 1;
    } else if (strcmp(type, "Fuse")) {
        return unsupported(l, "decoder", type);
    }
    return HN_OK;
}

hn_status hn__steps_decoder(hn_tokenizer *t, const json_t *o, const char *where, bool *fallback)
{
    load l = { t, where };
    const char *type;
    bool spaces = false;
    *fallback = false;
    HN_TRY(type_of(&l, o, "decoder", &type));
    if (!strcmp(type, "ByteLevel"))
        return HN_OK;
    const json_t *list = json_object_get(o, "decoders");
    if (strcmp(type, "Sequence") || !json_is_array(list))
        return unsupported(&l, "decoder", type);
    t->by_char = true;
    for (size_t i = 0; i < json_array_size(list); i++)
        HN_TRY(add_decoder(&l, json_array_get(list, i), &spaces, fallback));
    return spaces ? HN_OK : unsupported(&l, "decoder Sequence without a Replace of", mark);
}

// ---- post-processor --------------------------------------------------------------------------

typedef struct around {
    int32_t before[AROUND_MOST], after[AROUND_MOST];
    int32_t n_before, n_after;
    bool text; // the place of the text is behind us
} around;

static hn_status add_around(const load *l, const json_t *tokens, const char *name, around *a)
{
    char where[256];
    snprintf(where, sizeof where, "%s: post_processor: '%.32s'", l->where, name);
    const json_t *of = json_object_get(tokens, name), *ids;
    if (!json_is_object(of))
        return hn_fail(HN_ERR_FORMAT, "%s is not among its \"special_tokens\"", where);
    HN_TRY(hn__json_array(of, where, "ids", &ids));
    for (size_t i = 0; i < json_array_size(ids); i++) {
        const json_t *v = json_array_get(ids, i);
        const json_int_t id = json_integer_value(v);
        int32_t *n = a->text ? &a->n_after : &a->n_before;
        if (!json_is_integer(v) || id < 0 || id >= l->t->n_token || !l->t->token[id].p)
            return hn_fail(HN_ERR_FORMAT, "%s: number %zu of \"ids\" is no token", where, i + 1);
        if (*n == AROUND_MOST)
            return hn_fail(HN_ERR_UNSUPPORTED, "%s: more than %d tokens", where, AROUND_MOST);
        (a->text ? a->after : a->before)[(*n)++] = (int32_t)id;
    }
    return HN_OK;
}

static hn_status set_template(const load *l, const json_t *o)
{
    static const char *const known[] = { "type", "single", "pair", "special_tokens", NULL };
    const char *name;
    const json_t *single, *tokens, *part;
    around a = { .text = false };
    HN_TRY(hn__steps_keys(o, l->where, "post_processor", known));
    HN_TRY(hn__json_array(o, l->where, "single", &single));
    HN_TRY(hn__json_object(o, l->where, "special_tokens", &tokens));
    for (size_t i = 0; i < json_array_size(single); i++) {
        const json_t *step = json_array_get(single, i);
        if ((part = json_object_get(step, "SpecialToken"))) {
            HN_TRY(hn__json_string(part, l->where, "id", &name));
            HN_TRY(add_around(l, tokens, name, &a));
        } else if ((part = json_object_get(step, "Sequence")) && !a.text) {
            a.text = true;
        } else {
            return hn_fail(HN_ERR_FORMAT, "%s: post_processor: step %zu of \"single\" is neither "
                           "a token nor the one text", l->where, i + 1);
        }
    }
    if (!a.text)
        return hn_fail(HN_ERR_FORMAT, "%s: post_processor: \"single\" has no text", l->where);
    return hn__bpe_set_around(l->t, a.before, a.n_before, a.after, a.n_after);
}

static hn_status set_post(const load *l, const json_t *o, int depth)
{
    const char *type;
    if (!o || json_is_null(o))
        return HN_OK;
    HN_TRY(type_of(l, o, "post_processor", &type));
    if (!strcmp(type, "ByteLevel")) // which changes offsets only
        return HN_OK;
    if (!strcmp(type, "TemplateProcessing")) {
        if (l->t->around)
            return unsupported(l, "post_processor: a second", type);
        return set_template(l, o);
    }
    const json_t *list = json_object_get(o, "processors");
    if (strcmp(type, "Sequence") || depth || !json_is_array(list))
        return unsupported(l, "post_processor", type);
    for (size_t i = 0; i < json_array_size(list); i++)
        HN_TRY(set_post(l, json_array_get(list, i), depth + 1));
    return HN_OK;
}

hn_status hn__steps_post_processor(hn_tokenizer *t, const json_t *o, const char *where)
{
    return set_post(&(load){ t, where }, o, 0);
}

// ---- tokenizer_config.json -------------------------------------------------------------------

// A string, or an added token as an object.
static const char *token_text(const json_t *config, const char *key)
{
    const json_t *v = json_object_get(config, key);
    return json_string_value(json_is_object(v) ? json_object_get(v, "content") : v);
}

hn_status hn__tokenizer_set_config(hn_tokenizer *t, const json_t *config)
{
    const char *text = token_text(config, "bos_token");
    bool add;
    if (!text || !hn__json_has(config, "add_bos_token"))
        return HN_OK;
    HN_TRY(hn__json_bool(config, "tokenizer_config.json", "add_bos_token", &add));
    const int32_t id = hn_tokenizer_find(t, text, strlen(text));
    if (add && id < 0)
        return hn_fail(HN_ERR_FORMAT, "tokenizer_config.json: \"bos_token\": '%.64s' is no token",
                       text);
    const bool has = t->n_before == 1 && t->around[0] == id;
    // A template with more than this token before a text knows better.
    if (add == has || t->n_before > 1)
        return HN_OK;
    int32_t after[AROUND_MOST];
    memcpy(after, t->around ? t->around + t->n_before : &id, (size_t)t->n_after * sizeof *after);
    return hn__bpe_set_around(t, &id, add, after, t->n_after);
}
