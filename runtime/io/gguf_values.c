// GGUF: values by key, each checked against the type and range that the caller wants.
#include "io/gguf_read.h"
#include "io/text.h"

#include <stdlib.h>
#include <string.h>

static const struct {
    const char *name;
    int size;
} types[] = {
    [HN__GGUF_U8] = { "u8", 1 },         [HN__GGUF_I8] = { "i8", 1 },
    [HN__GGUF_U16] = { "u16", 2 },       [HN__GGUF_I16] = { "i16", 2 },
    [HN__GGUF_U32] = { "u32", 4 },       [HN__GGUF_I32] = { "i32", 4 },
    [HN__GGUF_F32] = { "f32", 4 },       [HN__GGUF_BOOL] = { "bool", 1 },
    [HN__GGUF_STRING] = { "string", 0 }, [HN__GGUF_ARRAY] = { "array", 0 },
    [HN__GGUF_U64] = { "u64", 8 },       [HN__GGUF_I64] = { "i64", 8 },
    [HN__GGUF_F64] = { "f64", 8 },
};

int hn__gguf_type_size(hn__gguf_type t)
{
    return (unsigned)t <= HN__GGUF_F64 ? types[t].size : 0;
}

const char *hn__gguf_type_name(hn__gguf_type t)
{
    return (unsigned)t <= HN__GGUF_F64 ? types[t].name : "?";
}

// ---- by key ----------------------------------------------------------------------------------

typedef struct named {
    const char *key;
    int64_t at;
} named;

static int by_key(const void *a, const void *b)
{
    return strcmp(((const named *)a)->key, ((const named *)b)->key);
}

hn_status hn__gguf_seal(hn__gguf *g)
{
    if (g->n == 0)
        return HN_OK;
    named *e = hn__calloc((size_t)g->n, sizeof *e);
    g->by_name = hn__calloc((size_t)g->n, sizeof *g->by_name);
    if (!e || !g->by_name) {
        hn__free(e);
        return hn__nomem((size_t)g->n * sizeof *e);
    }
    for (int64_t i = 0; i < g->n; i++)
        e[i] = (named){ g->item[i].key, i };
    qsort(e, (size_t)g->n, sizeof *e, by_key);
    hn_status s = HN_OK;
    for (int64_t i = 0; i < g->n; i++) {
        if (i && s == HN_OK && !strcmp(e[i].key, e[i - 1].key))
            s = hn_fail(HN_ERR_FORMAT, "file '%s': key %s stands twice", g->name, e[i].key);
        g->by_name[i] = e[i].at;
    }
    hn__free(e);
    return s;
}

const hn__gguf_entry *hn__gguf_find(const hn__gguf *g, const char *key)
{
    for (int64_t lo = 0, hi = g->n; lo < hi;) {
        const int64_t mid = lo + (hi - lo) / 2;
        const hn__gguf_entry *e = &g->item[g->by_name[mid]];
        const int c = strcmp(key, e->key);
        if (c == 0)
            return e;
        if (c < 0)
            hi = mid;
        else
            lo = mid + 1;
    }
    return NULL;
}

bool hn__gguf_has(const hn__gguf *g, const char *key)
{
    return hn__gguf_find(g, key) != NULL;
}

static hn_status wrong(const hn__gguf *g, const char *key, const char *what)
{
    const hn__gguf_entry *e = hn__gguf_find(g, key);
    if (!e)
        return hn_fail(HN_ERR_FORMAT, "file '%s': key %s: missing", g->name, key);
    const bool array = e->type == HN__GGUF_ARRAY;
    return hn_fail(HN_ERR_FORMAT, "file '%s': key %s: %s%s, not %s", g->name, key,
                   array ? "an array of " : "",
                   hn__gguf_type_name(array ? e->element : e->type), what);
}

// ---- numbers ---------------------------------------------------------------------------------

// The whole number at p. False for a type that is none, or one above 2^63 - 1.
static bool whole(hn__gguf_type type, const uint8_t *p, int64_t *out)
{
    const int size = hn__gguf_type_size(type);
    const bool sign = type == HN__GGUF_I8 || type == HN__GGUF_I16 || type == HN__GGUF_I32 ||
                      type == HN__GGUF_I64;
    if (size == 0 || type == HN__GGUF_BOOL || type == HN__GGUF_F32 || type == HN__GGUF_F64)
        return false;
    uint64_t x = hn__uint_at(p, size);
    if (sign && size < 8 && x >> (8 * size - 1))
        x |= ~UINT64_C(0) << 8 * size;
    if (!sign && x > INT64_MAX)
        return false;
    memcpy(out, &x, sizeof x);
    return true;
}

static bool real(hn__gguf_type type, const uint8_t *p, double *out)
{
    float x;
    if (type == HN__GGUF_F32) {
        memcpy(&x, p, sizeof x);
        *out = (double)x;
    } else if (type == HN__GGUF_F64)
        memcpy(out, p, sizeof *out);
    return type == HN__GGUF_F32 || type == HN__GGUF_F64;
}

hn_status hn__gguf_get_int(const hn__gguf *g, const char *key, int64_t least, int64_t most,
                           int64_t *out)
{
    const hn__gguf_entry *e = hn__gguf_find(g, key);
    *out = 0;
    if (!e || !whole(e->type, e->value, out))
        return wrong(g, key, "a whole number below 2^63");
    if (*out < least || *out > most)
        return hn_fail(HN_ERR_FORMAT,
                       "file '%s': key %s: is %" PRId64 ", must be in %" PRId64 " to %" PRId64,
                       g->name, key, *out, least, most);
    return HN_OK;
}

hn_status hn__gguf_get_real(const hn__gguf *g, const char *key, double *out)
{
    const hn__gguf_entry *e = hn__gguf_find(g, key);
    *out = 0;
    return e && real(e->type, e->value, out) ? HN_OK : wrong(g, key, "a real number");
}

hn_status hn__gguf_get_bool(const hn__gguf *g, const char *key, bool *out)
{
    const hn__gguf_entry *e = hn__gguf_find(g, key);
    *out = e && e->type == HN__GGUF_BOOL && *e->value;
    return e && e->type == HN__GGUF_BOOL ? HN_OK : wrong(g, key, "a bool");
}

hn_status hn__gguf_get_string(const hn__gguf *g, const char *key, hn__gguf_string *out)
{
    const hn__gguf_entry *e = hn__gguf_find(g, key);
    *out = (hn__gguf_string){ "", 0 };
    if (!e || e->type != HN__GGUF_STRING)
        return wrong(g, key, "a string");
    *out = (hn__gguf_string){ (const char *)e->value, (size_t)e->n };
    return HN_OK;
}

// ---- arrays ----------------------------------------------------------------------------------

static hn__gguf_string next_string(const uint8_t **at)
{
    const hn__gguf_string s = { (const char *)*at + 8, (size_t)hn__uint_at(*at, 8) };
    *at += 8 + s.n;
    return s;
}

hn_status hn__gguf_get_strings(const hn__gguf *g, const char *key, hn__gguf_string **out,
                               int64_t *out_n)
{
    const hn__gguf_entry *e = hn__gguf_find(g, key);
    *out = NULL;
    *out_n = 0;
    if (!e || e->type != HN__GGUF_ARRAY || e->element != HN__GGUF_STRING)
        return wrong(g, key, "an array of strings");
    *out = hn__calloc((size_t)e->n + 1, sizeof **out);
    if (!*out)
        return hn__nomem((size_t)e->n * sizeof **out);
    const uint8_t *at = e->value;
    for (uint64_t i = 0; i < e->n; i++)
        (*out)[i] = next_string(&at);
    *out_n = (int64_t)e->n;
    return HN_OK;
}

hn_status hn__gguf_get_ints(const hn__gguf *g, const char *key, int64_t **out, int64_t *out_n)
{
    const hn__gguf_entry *e = hn__gguf_find(g, key);
    const int size = e && e->type == HN__GGUF_ARRAY ? hn__gguf_type_size(e->element) : 0;
    bool good = size > 0;
    *out_n = 0;
    *out = good ? hn__calloc((size_t)e->n + 1, sizeof **out) : NULL;
    if (good && !*out)
        return hn__nomem((size_t)e->n * sizeof **out);
    for (uint64_t i = 0; good && i < e->n; i++)
        good = whole(e->element, e->value + i * (uint64_t)size, &(*out)[i]);
    if (good) {
        *out_n = (int64_t)e->n;
        return HN_OK;
    }
    hn__free(*out);
    *out = NULL;
    return wrong(g, key, "an array of whole numbers below 2^63");
}

hn_status hn__gguf_get_reals(const hn__gguf *g, const char *key, float **out, int64_t *out_n)
{
    const hn__gguf_entry *e = hn__gguf_find(g, key);
    *out = NULL;
    *out_n = 0;
    if (!e || e->type != HN__GGUF_ARRAY ||
        (e->element != HN__GGUF_F32 && e->element != HN__GGUF_F64))
        return wrong(g, key, "an array of real numbers");
    *out = hn__calloc((size_t)e->n + 1, sizeof **out);
    if (!*out)
        return hn__nomem((size_t)e->n * sizeof **out);
    const uint64_t size = (uint64_t)hn__gguf_type_size(e->element);
    for (uint64_t i = 0; i < e->n; i++) {
        double x = 0;
        real(e->element, e->value + i * size, &x);
        (*out)[i] = (float)x;
    }
    *out_n = (int64_t)e->n;
    return HN_OK;
}

// ---- for people ------------------------------------------------------------------------------

const char *hn__gguf_key(const hn__gguf *g, int64_t i, hn__gguf_type *type)
{
    if (i < 0 || i >= g->n)
        return NULL;
    *type = g->item[i].type;
    return g->item[i].key;
}

// A whole number of characters of at most n - 1 bytes; "..." where it is cut.
static void string_text(const hn__gguf_string *s, char *buf, size_t n)
{
    size_t fits = s->n < n - 1 ? s->n : n - 1;
    const bool cut = fits < s->n;
    if (cut)
        fits = n > 4 ? n - 4 : 0;
    fits = hn__utf8_valid((const uint8_t *)s->p, fits);
    snprintf(buf, n, "%.*s%s", (int)fits, s->p, fits < s->n ? "..." : "");
    for (char *c = buf; *c; c++)
        if ((unsigned char)*c < 0x20 || *c == 0x7f)
            *c = ' ';
}

void hn__gguf_text(const hn__gguf *g, int64_t i, char *buf, size_t n)
{
    const hn__gguf_entry *e = i >= 0 && i < g->n ? &g->item[i] : NULL;
    int64_t x;
    double y;
    if (n)
        *buf = 0;
    if (!e || !n)
        return;
    if (e->type == HN__GGUF_STRING)
        string_text(&(hn__gguf_string){ (const char *)e->value, (size_t)e->n }, buf, n);
    else if (e->type == HN__GGUF_ARRAY)
        snprintf(buf, n, "%" PRIu64 " x %s", e->n, hn__gguf_type_name(e->element));
    else if (e->type == HN__GGUF_BOOL)
        snprintf(buf, n, "%s", *e->value ? "true" : "false");
    else if (whole(e->type, e->value, &x))
        snprintf(buf, n, "%" PRId64, x);
    else if (real(e->type, e->value, &y))
        snprintf(buf, n, "%.7g", y);
    else
        snprintf(buf, n, "%" PRIu64, hn__uint_at(e->value, 8));
}
