// CTranslate2's model.bin, binary version 6: a list of named variables, then of aliases.
// Source: the format as its own writer has it (python/ctranslate2/specs/model_spec.py).
#include "io/cursor.h"
#include "io/tensors.h"
#include "io/text.h"

#include <string.h>

enum { VERSION = 6, VERSION_MOST = 64 }; // above that it is no such file

typedef struct reader {
    hn__cursor b;
    hn_tensors *t;
    const char *what; // being read, for a text about a file that ends there
} reader;

static hn_status ends(const reader *r)
{
    return hn_fail(HN_ERR_FORMAT, "file '%s': byte %zu: the file ends within %s", r->t->name,
                   r->b.n, r->what);
}

static hn_status number(reader *r, int size, uint64_t *out)
{
    return hn__cursor_uint(&r->b, size, out) ? HN_OK : ends(r);
}

// A length that counts the final 0, then the bytes.
static hn_status string(reader *r, const char **out, size_t *n)
{
    uint64_t size;
    const size_t at = r->b.at;
    HN_TRY(number(r, 2, &size));
    const char *p = (const char *)hn__cursor_take(&r->b, size);
    if (!p)
        return ends(r);
    if (size == 0 || memchr(p, 0, (size_t)size) != p + size - 1)
        return hn_fail(HN_ERR_FORMAT, "file '%s': byte %zu: %s does not end with its only 0",
                       r->t->name, at, r->what);
    if (!hn__is_plain(p, (size_t)size - 1))
        return hn_fail(HN_ERR_FORMAT,
                       "file '%s': byte %zu: %s is not UTF-8, or holds control characters",
                       r->t->name, at, r->what);
    *out = p;
    *n = (size_t)size - 1;
    return HN_OK;
}

static hn_status variable(reader *r)
{
    static const char *const types[] = { "F32", "I8", "I16", "I32", "F16", "BF16" };
    const char *name;
    size_t n;
    uint64_t rank, dim, type, n_bytes;
    hn_tensor e = { 0 };

    r->what = "a variable's name";
    HN_TRY(string(r, &name, &n));
    r->what = "a variable";
    HN_TRY(number(r, 1, &rank));
    if (rank > HN_FILE_RANK)
        return hn_fail(HN_ERR_UNSUPPORTED,
                       "file '%s': variable '%.128s': has %d dimensions, at most %d are read",
                       r->t->name, name, (int)rank, HN_FILE_RANK);
    for (e.rank = 0; e.rank < (int)rank; e.dim[e.rank++] = (int64_t)dim)
        HN_TRY(number(r, 4, &dim));
    HN_TRY(number(r, 1, &type));
    HN_TRY(number(r, 4, &n_bytes));
    if (type >= sizeof types / sizeof *types)
        return hn_fail(HN_ERR_FORMAT, "file '%s': variable '%.128s': type %d is unknown",
                       r->t->name, name, (int)type);
    const hn__file_dtype *d = hn__file_dtype_find(types[type]);
    e.file_dtype = d->name;
    e.dtype = d->dtype;
    if (!hn__file_bytes(d->bits, e.rank, e.dim, &e.n_bytes) || (uint64_t)e.n_bytes != n_bytes)
        return hn_fail(HN_ERR_FORMAT,
                       "file '%s': variable '%.128s': its shape does not take %" PRIu64 " bytes",
                       r->t->name, name, n_bytes);
    e.data = hn__cursor_take(&r->b, n_bytes);
    if (!e.data)
        return hn_fail(HN_ERR_FORMAT,
                       "file '%s': variable '%.128s': %" PRIu64
                       " bytes from byte %zu on, the file has %zu",
                       r->t->name, name, n_bytes, r->b.at, r->b.n);
    return hn__tensors_add(r->t, name, n, &e);
}

typedef struct alias {
    const char *name;
    size_t n;
    int64_t to; // index
} alias;

static hn_status read_alias(reader *r, alias *out)
{
    const char *to;
    size_t n;
    r->what = "an alias";
    HN_TRY(string(r, &out->name, &out->n));
    HN_TRY(string(r, &to, &n));
    const hn_tensor *e = hn_tensors_find(r->t, to);
    if (!e)
        return hn_fail(HN_ERR_FORMAT, "file '%s': alias '%.128s': there is no variable '%.128s'",
                       r->t->name, out->name, to);
    out->to = e - r->t->item;
    return HN_OK;
}

// All aliases are of variables: names are looked up before any alias becomes one.
static hn_status aliases(reader *r)
{
    alias *list = NULL;
    int64_t cap = 0;
    uint64_t n;

    r->what = "the number of aliases";
    HN_TRY(number(r, 4, &n));
    HN_TRY(hn__tensors_seal(r->t));
    hn_status s = HN_OK;
    for (int64_t i = 0; s == HN_OK && i < (int64_t)n; i++) {
        s = hn__reserve((void **)&list, &cap, i + 1, sizeof *list);
        if (s == HN_OK)
            s = read_alias(r, &list[i]);
    }
    for (int64_t i = 0; s == HN_OK && i < (int64_t)n; i++) {
        const hn_tensor same = r->t->item[list[i].to];
        s = hn__tensors_add(r->t, list[i].name, list[i].n, &same);
    }
    hn__free(list);
    HN_TRY(s);
    return hn__tensors_seal(r->t);
}

static hn_status header(reader *r, uint64_t *n)
{
    const char *spec;
    size_t n_spec;
    uint64_t version, revision;
    char text[24];

    r->what = "the header";
    HN_TRY(number(r, 4, &version));
    if (version == 0 || version > VERSION_MOST)
        return hn_fail(HN_ERR_FORMAT, "file '%s': not a CTranslate2 model", r->t->name);
    if (version != VERSION)
        return hn_fail(HN_ERR_UNSUPPORTED,
                       "file '%s': binary version %" PRIu64 " of CTranslate2, only %d is read; "
                       "convert the model again with a newer CTranslate2",
                       r->t->name, version, VERSION);
    HN_TRY(string(r, &spec, &n_spec));
    HN_TRY(number(r, 4, &revision));
    snprintf(text, sizeof text, "%" PRIu64, revision);
    HN_TRY(hn__tensors_add_metadata(r->t, "spec", spec));
    HN_TRY(hn__tensors_add_metadata(r->t, "revision", text));
    return number(r, 4, n);
}

static hn_status read_into(const uint8_t *p, size_t size, hn_tensors *t)
{
    reader r = { .b = { p, size, 0 }, .t = t };
    uint64_t n;
    HN_TRY(header(&r, &n));
    for (uint64_t i = 0; i < n; i++)
        HN_TRY(variable(&r));
    HN_TRY(aliases(&r));
    if (r.b.at != size)
        return hn_fail(HN_ERR_FORMAT, "file '%s': byte %zu: something follows the aliases",
                       t->name, r.b.at);
    return HN_OK;
}

hn_status hn__ctranslate2_read(const void *data, size_t n, const char *name, hn_tensors **out)
{
    HN_TRY(hn__tensors_create(name, out));
    const hn_status s = read_into(data, n, *out);
    if (s != HN_OK)
        hn_tensors_destroy(out);
    return s;
}
