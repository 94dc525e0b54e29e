// The directory of named tensors: made by readers, searched by name, read with conversion.
#include "io/tensors.h"

#include <stdlib.h>
#include <string.h>

// Names and sizes are those of the safetensors format; the floats of 4, 6 and 8 bits are listed
// so that a file that has some can be read for its other tensors.
static const hn__file_dtype dtypes[] = {
    { "F32", HN_F32, 32 },    { "F16", HN_F16, 16 },   { "BF16", HN_BF16, 16 },
    { "I32", HN_I32, 32 },    { "U8", HN_U8, 8 },      { "BOOL", 0, 8 },
    { "I8", 0, 8 },           { "I16", 0, 16 },        { "U16", 0, 16 },
    { "U32", 0, 32 },         { "I64", 0, 64 },        { "U64", 0, 64 },
    { "F64", 0, 64 },         { "C64", 0, 64 },        { "F8_E4M3", 0, 8 },
    { "F8_E5M2", 0, 8 },      { "F8_E8M0", 0, 8 },     { "F8_E4M3FNUZ", 0, 8 },
    { "F8_E5M2FNUZ", 0, 8 },  { "F6_E2M3", 0, 6 },     { "F6_E3M2", 0, 6 },
    { "F4", 0, 4 },
};
enum { N_DTYPES = sizeof dtypes / sizeof *dtypes };

const hn__file_dtype *hn__file_dtype_find(const char *name)
{
    for (int i = 0; i < N_DTYPES; i++)
        if (!strcmp(dtypes[i].name, name))
            return &dtypes[i];
    return NULL;
}

const hn__file_dtype *hn__file_dtype_of(hn_dtype t)
{
    for (int i = 0; t && i < N_DTYPES; i++)
        if (dtypes[i].dtype == t)
            return &dtypes[i];
    return NULL;
}

bool hn__file_bytes(int bits, int rank, const int64_t dim[], int64_t *out)
{
    int64_t n = bits;
    bool empty = false;
    for (int i = 0; i < rank; i++) {
        if (dim[i] < 0)
            return false;
        empty |= dim[i] == 0;
        if (dim[i] && n > INT64_MAX / 2 / dim[i])
            return false;
        n *= dim[i] ? dim[i] : 1;
    }
    *out = empty ? 0 : n / 8;
    return empty || n % 8 == 0;
}

hn_status hn__tensors_create(const char *name, hn_tensors **out)
{
    *out = NULL;
    hn_tensors *t = hn__calloc(1, sizeof *t);
    if (!t)
        return hn__nomem(sizeof *t);
    t->name = hn__arena_string(&t->arena, name);
    if (!t->name) {
        hn__free(t);
        return hn__nomem(strlen(name));
    }
    *out = t;
    return HN_OK;
}

void hn_tensors_destroy(hn_tensors **t)
{
    if (!t || !*t)
        return;
    for (int64_t i = 0; i < (*t)->n_map; i++)
        hn__map_close(&(*t)->map[i]);
    hn__free((*t)->map);
    hn__free((*t)->item);
    hn__free((*t)->by_name);
    hn__free((*t)->meta);
    hn__arena_reset(&(*t)->arena);
    hn__free(*t);
    *t = NULL;
}

hn_status hn__tensors_keep(hn_tensors *t, hn__map *m)
{
    const hn_status s =
        hn__reserve((void **)&t->map, &t->cap_map, t->n_map + 1, sizeof *t->map);
    if (s == HN_OK)
        t->map[t->n_map++] = *m;
    else
        hn__map_close(m);
    *m = (hn__map){ 0 };
    return s;
}

void hn__tensors_release(const hn_tensors *t, const hn_tensor *one)
{
    for (int64_t i = 0; i < t->n_map; i++)
        hn__map_release(&t->map[i], one->data, (size_t)one->n_bytes);
}

hn_status hn__tensors_add(hn_tensors *t, const char *name, size_t n, const hn_tensor *type)
{
    if (n == 0 || n > 4096)
        return hn_fail(HN_ERR_FORMAT,
                       "file '%s': a tensor's name has %zu bytes, must be 1 to 4096", t->name, n);
    for (size_t i = 0; i < n; i++)
        if ((unsigned char)name[i] < 0x20 || name[i] == 0x7f)
            return hn_fail(HN_ERR_FORMAT, "file '%s': tensor %" PRId64
                           ": the name holds a control character", t->name, t->n);
    HN_TRY(hn__reserve((void **)&t->item, &t->cap, t->n + 1, sizeof *t->item));
    char *copy = hn__arena_alloc(&t->arena, n + 1);
    if (!copy)
        return hn__nomem(n + 1);
    memcpy(copy, name, n);
    t->item[t->n] = *type;
    t->item[t->n++].name = copy;
    return HN_OK;
}

hn_status hn__tensors_add_metadata(hn_tensors *t, const char *key, const char *value)
{
    HN_TRY(hn__reserve((void **)&t->meta, &t->cap_meta, t->n_meta + 1, sizeof *t->meta));
    const hn_metadata m = { hn__arena_string(&t->arena, key),
                            hn__arena_string(&t->arena, value) };
    if (!m.key || !m.value)
        return hn__nomem(strlen(key) + strlen(value));
    t->meta[t->n_meta++] = m;
    return HN_OK;
}

typedef struct entry {
    const char *name;
    int64_t at;
} entry;

static int by_name(const void *a, const void *b)
{
    return strcmp(((const entry *)a)->name, ((const entry *)b)->name);
}

hn_status hn__tensors_seal(hn_tensors *t)
{
    if (t->n == 0)
        return HN_OK;
    entry *e = hn__calloc((size_t)t->n, sizeof *e);
    hn__free(t->by_name);
    t->by_name = hn__calloc((size_t)t->n, sizeof *t->by_name);
    if (!e || !t->by_name) {
        hn__free(e);
        return hn__nomem((size_t)t->n * sizeof *e);
    }
    for (int64_t i = 0; i < t->n; i++)
        e[i] = (entry){ t->item[i].name, i };
    qsort(e, (size_t)t->n, sizeof *e, by_name);
    hn_status s = HN_OK;
    for (int64_t i = 0; i < t->n; i++) {
        if (i && s == HN_OK && !strcmp(e[i].name, e[i - 1].name))
            s = hn_fail(HN_ERR_FORMAT, "file '%s': tensor '%s' stands twice", t->name, e[i].name);
        t->by_name[i] = e[i].at;
    }
    hn__free(e);
    return s;
}

int64_t hn_tensors_count(const hn_tensors *t)
{
    return t->n;
}

const hn_tensor *hn_tensors_at(const hn_tensors *t, int64_t i)
{
    return i >= 0 && i < t->n ? &t->item[i] : NULL;
}

const hn_tensor *hn_tensors_find(const hn_tensors *t, const char *name)
{
    for (int64_t lo = 0, hi = t->n; lo < hi;) {
        const int64_t mid = lo + (hi - lo) / 2;
        const int c = strcmp(name, t->item[t->by_name[mid]].name);
        if (c == 0)
            return &t->item[t->by_name[mid]];
        if (c < 0)
            hi = mid;
        else
            lo = mid + 1;
    }
    return NULL;
}

hn_status hn_tensors_get(const hn_tensors *t, const char *name, const hn_tensor **out)
{
    *out = hn_tensors_find(t, name);
    return *out ? HN_OK
                : hn_fail(HN_ERR_FORMAT, "file '%s': there is no tensor '%s'", t->name, name);
}

const char *hn_tensors_metadata(const hn_tensors *t, const char *key)
{
    for (int64_t i = 0; i < t->n_meta; i++)
        if (!strcmp(t->meta[i].key, key))
            return t->meta[i].value;
    return NULL;
}
