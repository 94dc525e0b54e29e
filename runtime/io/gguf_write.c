// Writing GGUF 3: key-values and the list of tensors, gathered in memory, then bytes as a stream.
#include "io/gguf_read.h"
#include "io/gguf_write.h"

#include <string.h>

enum { ALIGNMENT = 32 };

typedef struct text {
    char *p;
    int64_t n, cap;
} text;

struct hn__gguf_writer {
    hn_status status; // the first failure; its words follow
    char why[256];
    text keys, tensors;
    int64_t n_keys, n_tensors, cap_size;
    int64_t *size;  // bytes of each tensor
    int64_t offset; // where the next one begins
    hn__newfile file;
    int64_t at, left; // the tensor that is being written, and how much of it is to come
};

hn_status hn__gguf_writer_create(hn__gguf_writer **out)
{
    *out = hn__calloc(1, sizeof **out);
    return *out ? HN_OK : hn__nomem(sizeof **out);
}

void hn__gguf_writer_destroy(hn__gguf_writer **w)
{
    if (!w || !*w)
        return;
    hn__newfile_abort(&(*w)->file);
    hn__free((*w)->keys.p);
    hn__free((*w)->tensors.p);
    hn__free((*w)->size);
    hn__free(*w);
    *w = NULL;
}

// ---- gathering -------------------------------------------------------------------------------

static void keep(hn__gguf_writer *w, hn_status s)
{
    if (s == HN_OK || w->status != HN_OK)
        return;
    w->status = s;
    snprintf(w->why, sizeof w->why, "%s", hn_error_text());
}

static void bytes(hn__gguf_writer *w, text *t, const void *p, int64_t n)
{
    if (w->status != HN_OK || n == 0)
        return;
    keep(w, hn__reserve((void **)&t->p, &t->cap, t->n + n, 1));
    if (w->status != HN_OK)
        return;
    memcpy(t->p + t->n, p, (size_t)n);
    t->n += n;
}

static void number(hn__gguf_writer *w, text *t, uint64_t x, int size)
{
    uint8_t raw[8];
    for (int i = 0; i < size; i++)
        raw[i] = (uint8_t)(x >> 8 * i);
    bytes(w, t, raw, size);
}

static void string(hn__gguf_writer *w, text *t, const char *p, size_t n)
{
    number(w, t, n, 8);
    bytes(w, t, p, (int64_t)n);
}

static void key(hn__gguf_writer *w, const char *name, hn__gguf_type type)
{
    string(w, &w->keys, name, strlen(name));
    number(w, &w->keys, (uint64_t)type, 4);
    w->n_keys++;
}

static void list(hn__gguf_writer *w, const char *name, hn__gguf_type type, int64_t n)
{
    key(w, name, HN__GGUF_ARRAY);
    number(w, &w->keys, (uint64_t)type, 4);
    number(w, &w->keys, (uint64_t)n, 8);
}

void hn__gguf_put_int(hn__gguf_writer *w, const char *name, int64_t x)
{
    if (x < 0 || x > UINT32_MAX)
        keep(w, hn_fail(HN_ERR_UNSUPPORTED, "key %s: %" PRId64 " is no number of 32 bits", name,
                        x));
    key(w, name, HN__GGUF_U32);
    number(w, &w->keys, (uint64_t)x, 4);
}

static void real(hn__gguf_writer *w, float x)
{
    uint32_t bits;
    memcpy(&bits, &x, sizeof bits);
    number(w, &w->keys, bits, 4);
}

void hn__gguf_put_real(hn__gguf_writer *w, const char *name, double x)
{
    key(w, name, HN__GGUF_F32);
    real(w, (float)x);
}

void hn__gguf_put_bool(hn__gguf_writer *w, const char *name, bool x)
{
    key(w, name, HN__GGUF_BOOL);
    number(w, &w->keys, x, 1);
}

void hn__gguf_put_string(hn__gguf_writer *w, const char *name, const char *value)
{
    key(w, name, HN__GGUF_STRING);
    string(w, &w->keys, value, strlen(value));
}

void hn__gguf_put_strings(hn__gguf_writer *w, const char *name, const hn__gguf_string *value,
                          int64_t n)
{
    list(w, name, HN__GGUF_STRING, n);
    for (int64_t i = 0; i < n; i++)
        string(w, &w->keys, value[i].p, value[i].n);
}

void hn__gguf_put_i32s(hn__gguf_writer *w, const char *name, const int32_t *value, int64_t n)
{
    list(w, name, HN__GGUF_I32, n);
    for (int64_t i = 0; i < n; i++)
        number(w, &w->keys, (uint32_t)value[i], 4);
}

void hn__gguf_put_f32s(hn__gguf_writer *w, const char *name, const float *value, int64_t n)
{
    list(w, name, HN__GGUF_F32, n);
    for (int64_t i = 0; i < n; i++)
        real(w, value[i]);
}

void hn__gguf_put_copy(hn__gguf_writer *w, const hn__gguf *from, int64_t i)
{
    const hn__gguf_entry *e = &from->item[i];
    key(w, e->key, e->type);
    bytes(w, &w->keys, e->raw, (int64_t)e->n_raw);
}

// ---- tensors ---------------------------------------------------------------------------------

static hn_status list_tensor(hn__gguf_writer *w, const hn_tensor *t)
{
    const hn__gguf_tensor_type *type = hn__gguf_tensor_type_of(t->dtype);
    hn_type shape = { .dtype = t->dtype, .rank = t->rank };
    if (!type || t->rank < 1 || t->rank > 4)
        return hn_fail(HN_ERR_UNSUPPORTED,
                       "tensor '%s': %d dimensions of %s have no place in a GGUF file", t->name,
                       t->rank, hn_dtype_name(t->dtype));
    memcpy(shape.dim, t->dim, sizeof *shape.dim * (size_t)t->rank);
    HN_TRY(hn_context(hn__type_check(&shape), "tensor '%s'", t->name));
    HN_TRY(hn__reserve((void **)&w->size, &w->cap_size, w->n_tensors + 1, sizeof *w->size));
    string(w, &w->tensors, t->name, strlen(t->name));
    number(w, &w->tensors, (uint64_t)t->rank, 4);
    for (int i = t->rank - 1; i >= 0; i--)
        number(w, &w->tensors, (uint64_t)t->dim[i], 8);
    number(w, &w->tensors, type->id, 4);
    number(w, &w->tensors, (uint64_t)w->offset, 8);
    const int64_t n = hn_type_bytes(&shape);
    w->size[w->n_tensors++] = n;
    w->offset += (n + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
    return HN_OK;
}

void hn__gguf_add_tensor(hn__gguf_writer *w, const hn_tensor *t)
{
    if (w->status == HN_OK)
        keep(w, list_tensor(w, t));
}

static hn_status pad(hn__gguf_writer *w, int64_t n)
{
    static const char zeros[ALIGNMENT];
    return hn__newfile_write(&w->file, zeros, (size_t)((ALIGNMENT - n % ALIGNMENT) % ALIGNMENT));
}

hn_status hn__gguf_writer_open(hn__gguf_writer *w, const char *path)
{
    text head = { 0 };
    bytes(w, &head, "GGUF", 4);
    number(w, &head, 3, 4);
    number(w, &head, (uint64_t)w->n_tensors, 8);
    number(w, &head, (uint64_t)w->n_keys, 8);
    hn_status s = w->status == HN_OK ? hn__newfile_open(path, &w->file)
                                     : hn_fail(w->status, "write '%s': %s", path, w->why);
    if (s == HN_OK)
        s = hn__newfile_write(&w->file, head.p, (size_t)head.n);
    if (s == HN_OK)
        s = hn__newfile_write(&w->file, w->keys.p, (size_t)w->keys.n);
    if (s == HN_OK)
        s = hn__newfile_write(&w->file, w->tensors.p, (size_t)w->tensors.n);
    if (s == HN_OK)
        s = pad(w, head.n + w->keys.n + w->tensors.n);
    hn__free(head.p);
    w->left = w->n_tensors ? w->size[0] : 0;
    return s;
}

hn_status hn__gguf_writer_put(hn__gguf_writer *w, const void *data, int64_t n_bytes)
{
    const char *p = data;
    while (n_bytes > 0) {
        if (w->at == w->n_tensors)
            return hn_fail(HN_ERR_ARG, "write '%s': more bytes than its list says", w->file.path);
        const int64_t n = n_bytes < w->left ? n_bytes : w->left;
        HN_TRY(hn__newfile_write(&w->file, p, (size_t)n));
        p += n;
        n_bytes -= n;
        w->left -= n;
        if (w->left)
            continue;
        HN_TRY(pad(w, w->size[w->at]));
        w->left = ++w->at < w->n_tensors ? w->size[w->at] : 0;
    }
    return HN_OK;
}

hn_status hn__gguf_writer_commit(hn__gguf_writer **w)
{
    const hn_status s = (*w)->at < (*w)->n_tensors
                            ? hn_fail(HN_ERR_ARG, "write '%s': bytes are missing", (*w)->file.path)
                            : hn__newfile_commit(&(*w)->file);
    hn__gguf_writer_destroy(w);
    return s;
}
