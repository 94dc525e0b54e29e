// Writing safetensors as a stream; the file appears whole at commit, or not at all.
#include "io/json.h"
#include "io/tensors.h"

#include <string.h>

struct hn_tensor_writer {
    hn__newfile file;
    int64_t n_left; // bytes of data still to come
};

static hn_status add_entry(json_t *root, const hn_tensor *t, int64_t *at)
{
    const hn__file_dtype *d = hn__file_dtype_of(t->dtype);
    int64_t n_bytes;
    if (!t->name || !*t->name || !strcmp(t->name, "__metadata__"))
        return hn_fail(HN_ERR_ARG, "'%s' is no name for a tensor", t->name ? t->name : "");
    if (!d)
        return hn_fail(HN_ERR_ARG, "tensor '%s': %d is no element type", t->name, (int)t->dtype);
    if (t->rank < 0 || t->rank > HN_FILE_RANK ||
        !hn__file_bytes(d->bits, t->rank, t->dim, &n_bytes) || n_bytes > INT64_MAX / 2 - *at)
        return hn_fail(HN_ERR_ARG, "tensor '%s': illegal shape", t->name);
    if (json_object_get(root, t->name))
        return hn_fail(HN_ERR_ARG, "tensor '%s' stands twice in the list", t->name);
    json_t *shape = json_array();
    hn_status s = shape ? HN_OK : hn__nomem(0);
    for (int i = 0; s == HN_OK && i < t->rank; i++)
        s = hn__json_append(shape, json_integer(t->dim[i]));
    json_t *e = s == HN_OK ? json_pack("{s:s, s:O, s:[I, I]}", "dtype", d->name, "shape", shape,
                                       "data_offsets", (json_int_t)*at,
                                       (json_int_t)(*at + n_bytes))
                           : NULL;
    json_decref(shape);
    *at += n_bytes;
    if (!e)
        return s == HN_OK ? hn__nomem(0) : s;
    // A name that is not UTF-8 cannot be a key either.
    return json_object_set_new(root, t->name, e)
               ? hn_fail(HN_ERR_ARG, "tensor '%s': the name is not UTF-8", t->name)
               : HN_OK;
}

static hn_status build_header(json_t *root, const hn_tensor list[], int64_t n,
                              const hn_metadata meta[], int64_t n_meta, int64_t *n_data)
{
    if (n_meta) {
        json_t *m = json_object();
        HN_TRY(hn__json_set(root, "__metadata__", m));
        for (int64_t i = 0; i < n_meta; i++)
            if (json_object_set_new(m, meta[i].key, json_string(meta[i].value)))
                return hn_fail(HN_ERR_ARG, "metadata '%s': not UTF-8", meta[i].key);
    }
    *n_data = 0;
    for (int64_t i = 0; i < n; i++)
        HN_TRY(add_entry(root, &list[i], n_data));
    return HN_OK;
}

// Length, JSON, and spaces up to a multiple of 8, so that data stays aligned.
static hn_status write_header(hn__newfile *f, const json_t *root)
{
    char *text = json_dumps(root, JSON_COMPACT);
    if (!text)
        return hn__nomem(0);
    const size_t n = strlen(text), padded = (n + 7) & ~(size_t)7;
    uint8_t head[8];
    for (int i = 0; i < 8; i++)
        head[i] = (uint8_t)((uint64_t)padded >> 8 * i);
    hn_status s = hn__newfile_write(f, head, 8);
    if (s == HN_OK)
        s = hn__newfile_write(f, text, n);
    if (s == HN_OK)
        s = hn__newfile_write(f, "       ", padded - n);
    json_free_t release;
    json_get_alloc_funcs(NULL, &release);
    release(text);
    return s;
}

hn_status hn_tensor_writer_create(const char *path, const hn_tensor list[], int64_t n,
                                  const hn_metadata meta[], int64_t n_meta,
                                  hn_tensor_writer **out)
{
    *out = NULL;
    hn_tensor_writer *w = hn__calloc(1, sizeof *w);
    json_t *root = json_object();
    hn_status s = w && root ? HN_OK : hn__nomem(sizeof *w);
    if (s == HN_OK)
        s = build_header(root, list, n, meta, n_meta, &w->n_left);
    if (s == HN_OK)
        s = hn__newfile_open(path, &w->file);
    if (s == HN_OK)
        s = write_header(&w->file, root);
    json_decref(root);
    if (s == HN_OK)
        *out = w;
    else
        hn_tensor_writer_destroy(&w);
    return hn_context(s, "write '%s'", path);
}

hn_status hn_tensor_writer_put(hn_tensor_writer *w, const void *data, int64_t n_bytes)
{
    if (n_bytes < 0 || n_bytes > w->n_left)
        return hn_fail(HN_ERR_ARG, "write '%s': %" PRId64 " bytes given, %" PRId64 " left",
                       w->file.path, n_bytes, w->n_left);
    HN_TRY(hn__newfile_write(&w->file, data, (size_t)n_bytes));
    w->n_left -= n_bytes;
    return HN_OK;
}

hn_status hn_tensor_writer_commit(hn_tensor_writer **w)
{
    hn_status s;
    if ((*w)->n_left)
        s = hn_fail(HN_ERR_ARG, "write '%s': %" PRId64 " bytes are missing", (*w)->file.path,
                    (*w)->n_left);
    else
        s = hn__newfile_commit(&(*w)->file);
    hn_tensor_writer_destroy(w);
    return s;
}

void hn_tensor_writer_destroy(hn_tensor_writer **w)
{
    if (!w || !*w)
        return;
    hn__newfile_abort(&(*w)->file);
    hn__free(*w);
    *w = NULL;
}

hn_status hn_tensors_write(const char *path, const hn_tensor list[], int64_t n,
                           const hn_metadata meta[], int64_t n_meta)
{
    hn_tensor_writer *w;
    HN_TRY(hn_tensor_writer_create(path, list, n, meta, n_meta, &w));
    hn_status s = HN_OK;
    for (int64_t i = 0; i < n && s == HN_OK; i++)
        s = hn_tensor_writer_put(w, list[i].data, list[i].n_bytes);
    if (s == HN_OK)
        return hn_tensor_writer_commit(&w);
    hn_tensor_writer_destroy(&w);
    return s;
}
