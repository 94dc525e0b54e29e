// safetensors: a mapped file is 8 bytes of header length, a JSON header, then the data. Every
// number in the header is checked before anything points into the data.
#include "io/json.h"
#include "io/tensors.h"

#include <stdlib.h>
#include <string.h>

enum { HEADER_MOST = 100000000 }; // the format's own limit

// The keys of one tensor's entry, all required and no others.
static hn_status read_entry(const json_t *e, const char *where, hn_tensor *out, int64_t *begin,
                            int64_t *end)
{
    const char *dtype;
    const json_t *shape, *offsets;
    HN_TRY(hn__json_string(e, where, "dtype", &dtype));
    HN_TRY(hn__json_array(e, where, "shape", &shape));
    HN_TRY(hn__json_array(e, where, "data_offsets", &offsets));
    if (json_object_size(e) != 3)
        return hn_fail(HN_ERR_FORMAT, "%s: has keys beside dtype, shape and data_offsets", where);
    const hn__file_dtype *d = hn__file_dtype_find(dtype);
    if (!d)
        return hn_fail(HN_ERR_FORMAT, "%s: unknown dtype '%.32s'", where, dtype);
    *out = (hn_tensor){ .file_dtype = d->name, .dtype = d->dtype };
    const size_t rank = json_array_size(shape);
    if (rank > HN_FILE_RANK)
        return hn_fail(HN_ERR_UNSUPPORTED, "%s: has %zu dimensions, at most %d are read", where,
                       rank, HN_FILE_RANK);
    out->rank = (int)rank;
    for (size_t i = 0; i < rank; i++) {
        const json_t *v = json_array_get(shape, i);
        if (!json_is_integer(v) || json_integer_value(v) < 0)
            return hn_fail(HN_ERR_FORMAT, "%s: \"shape\": element %zu is not a size", where, i);
        out->dim[i] = json_integer_value(v);
    }
    if (!hn__file_bytes(d->bits, out->rank, out->dim, &out->n_bytes))
        return hn_fail(HN_ERR_FORMAT, "%s: \"shape\": its bytes are no 64-bit number", where);
    const json_t *b = json_array_get(offsets, 0), *f = json_array_get(offsets, 1);
    if (json_array_size(offsets) != 2 || !json_is_integer(b) || !json_is_integer(f))
        return hn_fail(HN_ERR_FORMAT, "%s: \"data_offsets\": not two integers", where);
    *begin = json_integer_value(b);
    *end = json_integer_value(f);
    return HN_OK;
}

static hn_status read_metadata(const json_t *m, hn_tensors *t)
{
    if (!json_is_object(m))
        return hn_fail(HN_ERR_FORMAT, "file '%s': \"__metadata__\": not an object", t->name);
    const char *key;
    json_t *v;
    json_object_foreach((json_t *)(uintptr_t)m, key, v) {
        if (!json_is_string(v))
            return hn_fail(HN_ERR_FORMAT, "file '%s': \"__metadata__\": \"%.64s\": not a string",
                           t->name, key);
        HN_TRY(hn__tensors_add_metadata(t, key, json_string_value(v)));
    }
    return HN_OK;
}

static hn_status read_tensors(const json_t *root, const uint8_t *data, int64_t n_data,
                              hn_tensors *t)
{
    const char *key;
    json_t *v;
    json_object_foreach((json_t *)(uintptr_t)root, key, v) {
        if (!strcmp(key, "__metadata__")) {
            HN_TRY(read_metadata(v, t));
            continue;
        }
        char where[256];
        snprintf(where, sizeof where, "file '%s': tensor '%.128s'", t->name, key);
        hn_tensor e;
        int64_t begin = 0, end = 0;
        HN_TRY(read_entry(v, where, &e, &begin, &end));
        if (begin < 0 || begin > end || end > n_data)
            return hn_fail(HN_ERR_FORMAT,
                           "%s: bytes %" PRId64 " to %" PRId64 " are not within the %" PRId64
                           " bytes of data; the file may be cut short",
                           where, begin, end, n_data);
        if (end - begin != e.n_bytes)
            return hn_fail(HN_ERR_FORMAT,
                           "%s: its shape takes %" PRId64 " bytes, its offsets give %" PRId64,
                           where, e.n_bytes, end - begin);
        e.data = data + begin;
        HN_TRY(hn__tensors_add(t, key, strlen(key), &e));
    }
    return HN_OK;
}

static int by_data(const void *pa, const void *pb)
{
    const hn_tensor *a = pa, *b = pb;
    if (a->data != b->data)
        return (uintptr_t)a->data < (uintptr_t)b->data ? -1 : 1;
    if (a->n_bytes != b->n_bytes)
        return a->n_bytes < b->n_bytes ? -1 : 1;
    return strcmp(a->name, b->name);
}

// The format allows neither holes nor overlaps: a byte that no tensor owns could hide anything.
static hn_status check_cover(hn_tensors *t, const uint8_t *data, int64_t n_data)
{
    if (t->n)
        qsort(t->item, (size_t)t->n, sizeof *t->item, by_data);
    int64_t at = 0;
    for (int64_t i = 0; i < t->n; i++) {
        const int64_t begin = (const uint8_t *)t->item[i].data - data;
        if (begin != at)
            return hn_fail(HN_ERR_FORMAT,
                           "file '%s': tensor '%s': begins at byte %" PRId64
                           " of the data, the one before ends at %" PRId64,
                           t->name, t->item[i].name, begin, at);
        at = begin + t->item[i].n_bytes;
    }
    if (at != n_data)
        return hn_fail(HN_ERR_FORMAT,
                       "file '%s': tensors end at byte %" PRId64 " of %" PRId64 " bytes of data",
                       t->name, at, n_data);
    return HN_OK;
}

static hn_status read_into(const uint8_t *p, size_t n, hn_tensors *t)
{
    uint64_t header = 0;
    if (n < 8)
        return hn_fail(HN_ERR_FORMAT, "file '%s': %zu bytes are too few for a safetensors file",
                       t->name, n);
    for (int i = 0; i < 8; i++)
        header |= (uint64_t)p[i] << 8 * i;
    if (header > HEADER_MOST || header > n - 8)
        return hn_fail(HN_ERR_FORMAT,
                       "file '%s': its header says %" PRIu64 " bytes, the file has %zu; "
                       "not a safetensors file, or cut short",
                       t->name, header, n);
    if (header == 0 || p[8] != '{')
        return hn_fail(HN_ERR_FORMAT, "file '%s': the header does not begin with '{'", t->name);
    json_t *root;
    HN_TRY(hn__json_parse(p + 8, (size_t)header, t->name, &root));
    const uint8_t *data = p + 8 + header;
    const int64_t n_data = (int64_t)(n - 8 - (size_t)header);
    hn_status s = read_tensors(root, data, n_data, t);
    json_decref(root);
    HN_TRY(s);
    HN_TRY(check_cover(t, data, n_data));
    return hn__tensors_seal(t);
}

hn_status hn__safetensors_read(const void *data, size_t n, const char *name, hn_tensors **out)
{
    HN_TRY(hn__tensors_create(name, out));
    const hn_status s = read_into(data, n, *out);
    if (s != HN_OK)
        hn_tensors_destroy(out);
    return s;
}
