// JSON over jansson: bounds on what is loaded, words for what is wrong, atomic saving.
#include "io/json.h"

#include "base/os.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

// jansson recurses, so the depth is bounded before it sees the text.
static hn_status check_depth(const char *p, size_t n, const char *name)
{
    int depth = 0, line = 1;
    bool text = false;
    for (size_t i = 0; i < n; i++) {
        const char c = p[i];
        line += c == '\n';
        if (text && c == '\\')
            i++;
        else if (c == '"')
            text = !text;
        else if (!text && (c == '{' || c == '['))
            depth++;
        else if (!text && (c == '}' || c == ']'))
            depth--;
        if (depth > HN__JSON_DEPTH)
            return hn_fail(HN_ERR_FORMAT, "file '%s': line %d: nested deeper than %d", name, line,
                           (int)HN__JSON_DEPTH);
    }
    return HN_OK;
}

// Integers that 64 bits do not hold are reals, which jansson wants to see by their form. They are
// written as such where they stand: 1000000000000000019884624838656 is in the files of many
// published tokenizers.
static void widen_integers(char *p, size_t n)
{
    bool text = false;
    for (size_t i = 0; i < n; i++) {
        if (text && p[i] == '\\')
            i++;
        else if (p[i] == '"')
            text = !text;
        if (text || i >= n || p[i] < '1' || p[i] > '9' ||
            (i && strchr(".eE+0123456789", p[i - 1])))
            continue;
        size_t digits = 0;
        while (i + digits < n && p[i + digits] >= '0' && p[i + digits] <= '9')
            digits++;
        const bool real = i + digits < n && p[i + digits] && strchr(".eE", p[i + digits]);
        if (digits < 19 || digits > 300 || real)
            continue;
        char number[320];
        snprintf(number, sizeof number, "%.*s", (int)digits, p + i);
        if (digits == 19 && strcmp(number, "9223372036854775807") <= 0)
            continue;
        const double x = strtod(number, NULL);
        const int m = snprintf(number, sizeof number, "%.*e", (int)digits - 8, x);
        if (m > 0 && (size_t)m <= digits)
            memcpy(p + i, number, (size_t)m);
        for (size_t k = m > 0 ? (size_t)m : 0; k < digits; k++)
            p[i + k] = ' ';
        i += digits - 1;
    }
}

static hn_status refuse(const json_error_t *e, size_t n, const char *name)
{
    if (json_error_code(e) == json_error_out_of_memory)
        return hn__nomem(n);
    // What follows "near" is a piece of the file, which may be long or hold control characters.
    const char *near = strstr(e->text, " near ");
    const int shown = near ? (int)(near - e->text) : (int)strlen(e->text);
    return hn_fail(HN_ERR_FORMAT, "file '%s': line %d: %.*s", name, e->line, shown, e->text);
}

hn_status hn__json_parse(const void *data, size_t n, const char *name, json_t **out)
{
    *out = NULL;
    HN_TRY(check_depth(data, n, name));
    json_error_t e;
    *out = json_loadb(data, n, JSON_REJECT_DUPLICATES, &e);
    if (*out || json_error_code(&e) != json_error_numeric_overflow)
        return *out ? HN_OK : refuse(&e, n, name);
    char *copy = hn__resize(NULL, n, 1);
    if (!copy)
        return hn__nomem(n);
    memcpy(copy, data, n);
    widen_integers(copy, n);
    *out = json_loadb(copy, n, JSON_REJECT_DUPLICATES, &e);
    hn__free(copy);
    return *out ? HN_OK : refuse(&e, n, name);
}

hn_status hn__json_load(const char *path, size_t most, json_t **out)
{
    *out = NULL;
    hn__map m;
    HN_TRY(hn__map_open(path, &m));
    const hn_status s =
        m.size <= most ? hn__json_parse(m.data, m.size, path, out)
                       : hn_fail(HN_ERR_FORMAT, "file '%s': %zu bytes, more than the %zu allowed",
                                 path, m.size, most);
    hn__map_close(&m);
    return s;
}

typedef struct sink {
    hn__newfile *f;
    hn_status s;
} sink;

static int write_some(const char *p, size_t n, void *user)
{
    sink *to = user;
    to->s = hn__newfile_write(to->f, p, n);
    return to->s == HN_OK ? 0 : -1;
}

hn_status hn__json_save(const char *path, const json_t *v)
{
    hn__newfile f;
    HN_TRY(hn__newfile_open(path, &f));
    sink to = { &f, HN_OK };
    const size_t flags = JSON_INDENT(2) | JSON_REAL_PRECISION(17) | JSON_ENCODE_ANY;
    if (json_dump_callback(v, write_some, &to, flags) && to.s == HN_OK)
        to.s = hn__nomem(0);
    if (to.s == HN_OK)
        to.s = hn__newfile_write(&f, "\n", 1);
    if (to.s == HN_OK)
        return hn__newfile_commit(&f);
    hn__newfile_abort(&f);
    return to.s;
}

static hn_status wrong(const char *where, const char *key, const json_t *v, const char *what)
{
    return v ? hn_fail(HN_ERR_FORMAT, "%s: \"%s\": not %s", where, key, what)
             : hn_fail(HN_ERR_FORMAT, "%s: \"%s\": missing", where, key);
}

hn_status hn__json_int(const json_t *o, const char *where, const char *key, int64_t least,
                       int64_t most, int64_t *out)
{
    const json_t *v = json_object_get(o, key);
    *out = 0;
    if (!json_is_integer(v))
        return wrong(where, key, v, "an integer");
    const int64_t x = json_integer_value(v);
    if (x < least || x > most)
        return hn_fail(HN_ERR_FORMAT,
                       "%s: \"%s\": is %" PRId64 ", must be in %" PRId64 " to %" PRId64, where,
                       key, x, least, most);
    *out = x;
    return HN_OK;
}

hn_status hn__json_real(const json_t *o, const char *where, const char *key, double *out)
{
    const json_t *v = json_object_get(o, key);
    *out = json_number_value(v);
    return json_is_number(v) ? HN_OK : wrong(where, key, v, "a number");
}

hn_status hn__json_bool(const json_t *o, const char *where, const char *key, bool *out)
{
    const json_t *v = json_object_get(o, key);
    *out = json_is_true(v);
    return json_is_boolean(v) ? HN_OK : wrong(where, key, v, "true or false");
}

hn_status hn__json_string(const json_t *o, const char *where, const char *key, const char **out)
{
    const json_t *v = json_object_get(o, key);
    *out = json_string_value(v);
    return *out ? HN_OK : wrong(where, key, v, "a string");
}

hn_status hn__json_object(const json_t *o, const char *where, const char *key, const json_t **out)
{
    const json_t *v = json_object_get(o, key);
    *out = json_is_object(v) ? v : NULL;
    return *out ? HN_OK : wrong(where, key, v, "an object");
}

hn_status hn__json_array(const json_t *o, const char *where, const char *key, const json_t **out)
{
    const json_t *v = json_object_get(o, key);
    *out = json_is_array(v) ? v : NULL;
    return *out ? HN_OK : wrong(where, key, v, "an array");
}

bool hn__json_has(const json_t *o, const char *key)
{
    const json_t *v = json_object_get(o, key);
    return v && !json_is_null(v);
}

hn_status hn__json_set(json_t *o, const char *key, json_t *v)
{
    return json_object_set_new(o, key, v) ? hn__nomem(0) : HN_OK;
}

hn_status hn__json_append(json_t *a, json_t *v)
{
    return json_array_append_new(a, v) ? hn__nomem(0) : HN_OK;
}

json_t *hn__json_finite(double x)
{
    return isfinite(x) ? json_real(x) : json_null();
}

// ---- checksums -------------------------------------------------------------------------------

hn_status hn__json_content(const json_t *o, uint64_t *out)
{
    json_t *copy = json_copy((json_t *)(uintptr_t)o);
    if (!copy)
        return hn__nomem(0);
    json_object_del(copy, "hash");
    char *text = json_dumps(copy, JSON_COMPACT | JSON_SORT_KEYS | JSON_REAL_PRECISION(17));
    json_decref(copy);
    if (!text)
        return hn__nomem(0);
    *out = hn__hash_string(text);
    json_free_t release;
    json_get_alloc_funcs(NULL, &release);
    release(text);
    return HN_OK;
}

json_t *hn__json_hash(uint64_t hash)
{
    return json_sprintf("%016" PRIx64, hash);
}

hn_status hn__json_get_hash(const json_t *o, const char *where, const char *key, uint64_t *out)
{
    const char *text;
    *out = 0;
    HN_TRY(hn__json_string(o, where, key, &text));
    if (strlen(text) != 16 || strspn(text, "0123456789abcdef") != 16)
        return hn_fail(HN_ERR_FORMAT, "%s: \"%s\": not 16 hexadecimal digits", where, key);
    *out = strtoull(text, NULL, 16);
    return HN_OK;
}

hn_status hn__json_seal(json_t *o)
{
    uint64_t hash;
    HN_TRY(hn__json_content(o, &hash));
    return hn__json_set(o, "hash", hn__json_hash(hash));
}

hn_status hn__json_check_seal(const json_t *o, const char *where)
{
    uint64_t want = 0, have = 0;
    HN_TRY(hn__json_get_hash(o, where, "hash", &want));
    HN_TRY(hn__json_content(o, &have));
    return want == have ? HN_OK
                        : hn_fail(HN_ERR_FORMAT, "%s: its checksum is wrong; the file is damaged",
                                  where);
}
