// .npy: one array behind a header that is a Python dictionary in text. C order, little-endian.
#include "io/tensors.h"

#include <string.h>

static const struct {
    const char *descr, *name;
} types[] = {
    { "<f4", "F32" }, { "<f2", "F16" }, { "<f8", "F64" }, { "<i4", "I32" }, { "<i8", "I64" },
    { "|u1", "U8" },  { "|b1", "BOOL" }, { "|i1", "I8" }, { "<i2", "I16" }, { "<u2", "U16" },
    { "<u4", "U32" }, { "<u8", "U64" }, { "<c8", "C64" },
};
enum { N_TYPES = sizeof types / sizeof *types };

typedef struct cursor {
    const char *p, *end;
    const char *name;
} cursor;

static hn_status bad(const cursor *c, const char *what)
{
    return hn_fail(HN_ERR_FORMAT, "file '%s': header: %s", c->name, what);
}

static void spaces(cursor *c)
{
    while (c->p < c->end && (*c->p == ' ' || *c->p == '\n' || *c->p == '\t'))
        c->p++;
}

static bool take(cursor *c, const char *text)
{
    const size_t n = strlen(text);
    spaces(c);
    if ((size_t)(c->end - c->p) < n || memcmp(c->p, text, n))
        return false;
    c->p += n;
    return true;
}

// A string without escapes, as keys and descr are.
static hn_status string(cursor *c, char *out, size_t cap)
{
    spaces(c);
    const char quote = c->p < c->end ? *c->p : 0;
    if (quote != '\'' && quote != '"')
        return bad(c, "a string is missing, or a structured type, which is not supported");
    const char *begin = ++c->p;
    while (c->p < c->end && *c->p != quote && *c->p != '\\')
        c->p++;
    const size_t n = (size_t)(c->p - begin);
    if (c->p == c->end || *c->p != quote || n >= cap)
        return bad(c, "a string is not closed, or too long");
    memcpy(out, begin, n);
    out[n] = 0;
    c->p++;
    return HN_OK;
}

static hn_status shape(cursor *c, hn_tensor *t)
{
    if (!take(c, "("))
        return bad(c, "'shape' is not a tuple");
    while (!take(c, ")")) {
        if (t->rank == HN_FILE_RANK)
            return bad(c, "'shape' has more than 8 dimensions");
        const char *begin = c->p;
        int64_t n = 0;
        for (; c->p < c->end && *c->p >= '0' && *c->p <= '9'; c->p++) {
            if (n > (INT64_MAX - 9) / 10)
                return bad(c, "'shape' has a number beyond 64 bits");
            n = 10 * n + (*c->p - '0');
        }
        if (c->p == begin)
            return bad(c, "'shape' has something that is no size");
        t->dim[t->rank++] = n;
        if (!take(c, ",")) {
            if (!take(c, ")"))
                return bad(c, "'shape' is not closed");
            break;
        }
    }
    return HN_OK;
}

static hn_status set_type(cursor *c, const char *descr, hn_tensor *t)
{
    for (int i = 0; i < N_TYPES; i++)
        if (!strcmp(types[i].descr, descr)) {
            const hn__file_dtype *d = hn__file_dtype_find(types[i].name);
            t->file_dtype = d->name;
            t->dtype = d->dtype;
            return HN_OK;
        }
    return hn_fail(HN_ERR_UNSUPPORTED, "file '%s': elements of type '%s' are not supported",
                   c->name, descr);
}

static hn_status dictionary(cursor *c, hn_tensor *t)
{
    int seen = 0; // bits 1, 2, 4: the three keys
    bool fortran = false;
    if (!take(c, "{"))
        return bad(c, "not a dictionary");
    while (!take(c, "}")) {
        char key[16], descr[32];
        HN_TRY(string(c, key, sizeof key));
        if (!take(c, ":"))
            return bad(c, "':' is missing");
        const int bit = !strcmp(key, "descr")           ? 1
                        : !strcmp(key, "fortran_order") ? 2
                        : !strcmp(key, "shape")         ? 4
                                                        : 0;
        if (!bit || seen & bit)
            return bad(c, "a key that is unknown, or stands twice");
        seen |= bit;
        if (bit == 1) {
            HN_TRY(string(c, descr, sizeof descr));
            HN_TRY(set_type(c, descr, t));
        } else if (bit == 4) {
            HN_TRY(shape(c, t));
        } else if (!(fortran = take(c, "True")) && !take(c, "False"))
            return bad(c, "'fortran_order' is neither True nor False");
        if (!take(c, ",")) {
            if (!take(c, "}"))
                return bad(c, "'}' is missing");
            break;
        }
    }
    spaces(c);
    if (seen != 7 || c->p != c->end)
        return bad(c, "a key is missing, or something follows the dictionary");
    // With one dimension both orders are one.
    if (fortran && t->rank > 1)
        return hn_fail(HN_ERR_UNSUPPORTED, "file '%s': Fortran order is not supported", c->name);
    return HN_OK;
}

static hn_status read_into(const uint8_t *p, size_t n, hn_tensors *out)
{
    cursor c = { .name = out->name };
    if (n < 12 || memcmp(p, "\x93NUMPY", 6))
        return hn_fail(HN_ERR_FORMAT, "file '%s': not a .npy file", out->name);
    if (p[6] < 1 || p[6] > 3)
        return hn_fail(HN_ERR_UNSUPPORTED, "file '%s': version %d of .npy", out->name, p[6]);
    const size_t at = p[6] == 1 ? 10 : 12;
    const size_t len = p[6] == 1 ? (size_t)p[8] | (size_t)p[9] << 8
                                 : (size_t)p[8] | (size_t)p[9] << 8 | (size_t)p[10] << 16 |
                                       (size_t)p[11] << 24;
    if (len > n - at)
        return hn_fail(HN_ERR_FORMAT, "file '%s': the header says %zu bytes, the file has %zu",
                       out->name, len, n);
    c.p = (const char *)p + at;
    c.end = c.p + len;
    hn_tensor t = { 0 };
    HN_TRY(dictionary(&c, &t));
    if (!hn__file_bytes(hn__file_dtype_find(t.file_dtype)->bits, t.rank, t.dim, &t.n_bytes))
        return bad(&c, "'shape' takes more bytes than 64 bits count");
    if ((uint64_t)t.n_bytes != n - at - len)
        return hn_fail(HN_ERR_FORMAT,
                       "file '%s': its shape takes %" PRId64 " bytes, the file has %zu",
                       out->name, t.n_bytes, n - at - len);
    t.data = p + at + len;
    HN_TRY(hn__tensors_add(out, "array", 5, &t));
    return hn__tensors_seal(out);
}

hn_status hn__npy_read(const void *data, size_t n, const char *name, hn_tensors **out)
{
    HN_TRY(hn__tensors_create(name, out));
    const hn_status s = read_into(data, n, *out);
    if (s != HN_OK)
        hn_tensors_destroy(out);
    return s;
}

hn_status hn__npy_write(const char *path, const hn_type *type, const void *data)
{
    const char *descr = type->dtype == HN_F32 ? "<f4" : type->dtype == HN_I32 ? "<i4" : NULL;
    if (!descr)
        return hn_fail(HN_ERR_UNSUPPORTED, "write '%s': a .npy file of %s", path,
                       hn_dtype_name(type->dtype));
    HN_TRY(hn__type_check(type));
    char text[512];
    int n = snprintf(text + 10, sizeof text - 10,
                     "{'descr': '%s', 'fortran_order': False, 'shape': (", descr);
    for (int i = 0; i < type->rank; i++)
        n += snprintf(text + 10 + n, sizeof text - 10 - (size_t)n, "%" PRId64 ",", type->dim[i]);
    n += snprintf(text + 10 + n, sizeof text - 10 - (size_t)n, "), }");
    // Spaces and a newline up to a multiple of 64, so that data is aligned.
    while ((10 + n + 1) % 64)
        text[10 + n++] = ' ';
    text[10 + n++] = '\n';
    memcpy(text, "\x93NUMPY\x01\x00", 8);
    text[8] = (char)(n & 255);
    text[9] = (char)(n >> 8);
    hn__newfile f;
    HN_TRY(hn__newfile_open(path, &f));
    hn_status s = hn__newfile_write(&f, text, (size_t)n + 10);
    if (s == HN_OK)
        s = hn__newfile_write(&f, data, (size_t)hn_type_bytes(type));
    if (s == HN_OK)
        return hn__newfile_commit(&f);
    hn__newfile_abort(&f);
    return s;
}
