// GGUF: the header, the key-values and the tensor entries, each number checked before it is used.
#include "io/gguf_read.h"
#include "io/text.h"

#include <stdlib.h>
#include <string.h>

enum { DEPTH = 8, RANK = 4, ALIGNMENT = 32 };

// Numbers and names as ggml has them. Those without a size are refused by name.
static const hn__gguf_tensor_type types[] = {
    { 0, "F32", HN_F32, 0 },     { 1, "F16", HN_F16, 0 },     { 2, "Q4_0", HN_Q4_0, 0 },
    { 3, "Q4_1", HN_Q4_1, 0 },   { 6, "Q5_0", HN_Q5_0, 0 },   { 7, "Q5_1", HN_Q5_1, 0 },
    { 8, "Q8_0", HN_Q8_0, 0 },   { 9, "Q8_1", 0, 0 },         { 10, "Q2_K", 0, 0 },
    { 11, "Q3_K", 0, 0 },        { 12, "Q4_K", HN_Q4_K, 0 },  { 13, "Q5_K", HN_Q5_K, 0 },
    { 14, "Q6_K", HN_Q6_K, 0 },  { 15, "Q8_K", 0, 0 },        { 16, "IQ2_XXS", 0, 0 },
    { 17, "IQ2_XS", 0, 0 },      { 18, "IQ3_XXS", 0, 0 },     { 19, "IQ1_S", 0, 0 },
    { 20, "IQ4_NL", 0, 0 },      { 21, "IQ3_S", 0, 0 },       { 22, "IQ2_S", 0, 0 },
    { 23, "IQ4_XS", 0, 0 },      { 24, "I8", 0, 8 },          { 25, "I16", 0, 16 },
    { 26, "I32", HN_I32, 0 },    { 27, "I64", 0, 64 },        { 28, "F64", 0, 64 },
    { 29, "IQ1_M", 0, 0 },       { 30, "BF16", HN_BF16, 0 },  { 34, "TQ1_0", 0, 0 },
    { 35, "TQ2_0", 0, 0 },       { 39, "MXFP4", 0, 0 },       { 40, "NVFP4", 0, 0 },
};
enum { N_TYPES = sizeof types / sizeof *types };

const hn__gguf_tensor_type *hn__gguf_tensor_type_find(uint32_t id)
{
    for (int i = 0; i < N_TYPES; i++)
        if (types[i].id == id)
            return &types[i];
    return NULL;
}

const hn__gguf_tensor_type *hn__gguf_tensor_type_of(hn_dtype t)
{
    for (int i = 0; t && i < N_TYPES; i++)
        if (types[i].dtype == t)
            return &types[i];
    return NULL;
}

typedef struct reader {
    hn__cursor b;
    hn__gguf *g;
    hn_tensors *t;
    const char *what, *name; // being read, and its name, for texts
} reader;

static hn_status ends(const reader *r)
{
    return hn_fail(HN_ERR_FORMAT, "file '%s': %s%s%s: the file ends after %zu bytes, within it",
                   r->g->name, r->what, *r->name ? " " : "", r->name, r->b.n);
}

static hn_status number(reader *r, int size, uint64_t *out)
{
    return hn__cursor_uint(&r->b, size, out) ? HN_OK : ends(r);
}

static hn_status string(reader *r, hn__gguf_string *out)
{
    uint64_t n;
    HN_TRY(number(r, 8, &n));
    out->p = (const char *)hn__cursor_take(&r->b, n);
    out->n = (size_t)n;
    return out->p ? HN_OK
                  : hn_fail(HN_ERR_FORMAT,
                            "file '%s': %s%s%s: a string of %" PRIu64
                            " bytes at byte %zu, the file has %zu", r->g->name, r->what,
                            *r->name ? " " : "", r->name, n, r->b.at, r->b.n);
}

// A string that names something: UTF-8, not empty, without control characters; copied.
static hn_status name(reader *r, const char *what, size_t *n, const char **out)
{
    hn__gguf_string s;
    r->what = what;
    r->name = "";
    const size_t at = r->b.at;
    HN_TRY(string(r, &s));
    if (s.n == 0 || s.n > 4096 || !hn__is_plain(s.p, s.n))
        return hn_fail(HN_ERR_FORMAT,
                       "file '%s': byte %zu: %s is empty, longer than 4096 bytes, not UTF-8, or "
                       "holds control characters", r->g->name, at, what);
    char *copy = hn__arena_alloc(&r->g->arena, s.n + 1);
    if (!copy)
        return hn__nomem(s.n + 1);
    memcpy(copy, s.p, s.n);
    *n = s.n;
    *out = r->name = copy;
    return HN_OK;
}

// ---- key-values ------------------------------------------------------------------------------

static hn_status type_of(reader *r, hn__gguf_type *out)
{
    uint64_t x;
    HN_TRY(number(r, 4, &x));
    *out = (hn__gguf_type)x;
    return x <= HN__GGUF_F64 ? HN_OK
                             : hn_fail(HN_ERR_FORMAT,
                                       "file '%s': key %s: value type %" PRIu64 " is unknown",
                                       r->g->name, r->name, x);
}

static hn_status check_bools(const reader *r, const uint8_t *p, uint64_t n)
{
    for (uint64_t i = 0; i < n; i++)
        if (p[i] > 1)
            return hn_fail(HN_ERR_FORMAT, "file '%s': key %s: a bool is %d", r->g->name, r->name,
                           p[i]);
    return HN_OK;
}

// n values of one type that take no more than themselves.
static hn_status numbers(reader *r, hn__gguf_type type, uint64_t n, const uint8_t **out)
{
    const uint64_t size = (uint64_t)hn__gguf_type_size(type);
    if (n > (r->b.n - r->b.at) / size)
        return hn_fail(HN_ERR_FORMAT,
                       "file '%s': key %s: %" PRIu64 " values of type %s at byte %zu, the file "
                       "has %zu bytes", r->g->name, r->name, n, hn__gguf_type_name(type),
                       r->b.at, r->b.n);
    *out = hn__cursor_take(&r->b, n * size);
    return type == HN__GGUF_BOOL ? check_bools(r, *out, n) : HN_OK;
}

static hn_status value(reader *r, hn__gguf_entry *e, int depth)
{
    hn__gguf_string s;
    if (e->type == HN__GGUF_STRING) {
        HN_TRY(string(r, &s));
        e->value = (const uint8_t *)s.p;
        e->n = s.n;
        return HN_OK;
    }
    if (e->type != HN__GGUF_ARRAY)
        return numbers(r, e->type, 1, &e->value);
    if (depth == DEPTH)
        return hn_fail(HN_ERR_FORMAT, "file '%s': key %s: arrays nested deeper than %d",
                       r->g->name, r->name, DEPTH);
    HN_TRY(type_of(r, &e->element));
    HN_TRY(number(r, 8, &e->n));
    if (hn__gguf_type_size(e->element))
        return numbers(r, e->element, e->n, &e->value);
    e->value = r->b.p + r->b.at;
    for (uint64_t i = 0; i < e->n; i++) { // each takes 8 bytes at least, or the file ends
        hn__gguf_entry inner = { .type = e->element };
        HN_TRY(value(r, &inner, depth + 1));
    }
    return HN_OK;
}

static hn_status key_value(reader *r)
{
    hn__gguf *g = r->g;
    hn__gguf_entry e = { 0 };
    size_t n;
    HN_TRY(name(r, "a key", &n, &e.key));
    r->what = "key";
    HN_TRY(type_of(r, &e.type));
    const size_t at = r->b.at;
    HN_TRY(value(r, &e, 0));
    e.raw = r->b.p + at;
    e.n_raw = r->b.at - at;
    HN_TRY(hn__reserve((void **)&g->item, &g->cap, g->n + 1, sizeof *g->item));
    g->item[g->n++] = e;
    return HN_OK;
}

// ---- tensors ---------------------------------------------------------------------------------

static hn_status set_type(const reader *r, uint64_t id, hn_tensor *e)
{
    const hn__gguf_tensor_type *t = hn__gguf_tensor_type_find(id > 255 ? 255 : (uint32_t)id);
    if (!t)
        return hn_fail(HN_ERR_FORMAT, "file '%s': tensor %s: type %" PRIu64 " is unknown",
                       r->g->name, r->name, id);
    if (!t->dtype && !t->bits)
        return hn_fail(HN_ERR_UNSUPPORTED,
                       "file '%s': tensor %s: type %s is not read; known are F32, F16, BF16, "
                       "Q8_0, Q4_0, Q4_1, Q5_0, Q5_1, Q4_K, Q5_K and Q6_K",
                       r->g->name, r->name, t->name);
    e->file_dtype = t->name;
    e->dtype = t->dtype;
    const int block = hn_dtype_block(t->dtype), last = e->rank - 1;
    int64_t dim[RANK] = { 0 };
    memcpy(dim, e->dim, sizeof dim);
    if (block > 1 && (e->rank == 0 || dim[last] % block))
        return hn_fail(HN_ERR_FORMAT,
                       "file '%s': tensor %s: rows of %" PRId64 " are no whole blocks of %s",
                       r->g->name, r->name, e->rank ? dim[last] : 1, t->name);
    if (block > 1)
        dim[last] /= block;
    if (!hn__file_bytes(t->dtype ? 8 * hn_dtype_size(t->dtype) : t->bits, e->rank, dim,
                        &e->n_bytes))
        return hn_fail(HN_ERR_FORMAT, "file '%s': tensor %s: its bytes are no 64-bit number",
                       r->g->name, r->name);
    return HN_OK;
}

// Its offset goes to *offset: where the data begins is known after the last entry.
static hn_status tensor(reader *r, uint64_t *offset)
{
    uint64_t rank, dim, type;
    hn_tensor e = { 0 };
    size_t n;
    const char *text;

    HN_TRY(name(r, "a tensor's name", &n, &text));
    r->what = "tensor";
    HN_TRY(number(r, 4, &rank));
    if (rank > RANK)
        return hn_fail(HN_ERR_FORMAT, "file '%s': tensor %s: has %" PRIu64
                       " dimensions, at most %d", r->g->name, text, rank, RANK);
    e.rank = (int)rank;
    for (int i = e.rank - 1; i >= 0; i--) {
        HN_TRY(number(r, 8, &dim));
        if (dim > INT64_MAX)
            return hn_fail(HN_ERR_FORMAT, "file '%s': tensor %s: a dimension is %" PRIu64,
                           r->g->name, text, dim);
        e.dim[i] = (int64_t)dim;
    }
    HN_TRY(number(r, 4, &type));
    HN_TRY(set_type(r, type, &e));
    HN_TRY(number(r, 8, offset));
    return hn__tensors_add(r->t, text, n, &e);
}

static int by_data(const void *pa, const void *pb)
{
    const hn_tensor *a = *(const hn_tensor *const *)pa, *b = *(const hn_tensor *const *)pb;
    if (a->data != b->data)
        return (uintptr_t)a->data < (uintptr_t)b->data ? -1 : 1;
    return a->n_bytes < b->n_bytes ? -1 : a->n_bytes > b->n_bytes;
}

static hn_status check_overlap(const hn_tensors *t)
{
    const hn_tensor **order = hn__calloc((size_t)t->n + 1, sizeof *order);
    if (!order)
        return hn__nomem((size_t)t->n * sizeof *order);
    for (int64_t i = 0; i < t->n; i++)
        order[i] = &t->item[i];
    qsort(order, (size_t)t->n, sizeof *order, by_data);
    hn_status s = HN_OK;
    for (int64_t i = 1; i < t->n && s == HN_OK; i++) {
        const hn_tensor *a = order[i - 1], *b = order[i];
        if (a->n_bytes > (const uint8_t *)b->data - (const uint8_t *)a->data)
            s = hn_fail(HN_ERR_FORMAT, "file '%s': tensors %s and %s share bytes", t->name,
                        a->name, b->name);
    }
    hn__free(order);
    return s;
}

// Every offset is a multiple of the alignment, and the bytes lie within the file.
static hn_status place(reader *r, const uint64_t *offset, uint64_t alignment)
{
    const uint64_t start = (r->b.at + alignment - 1) / alignment * alignment;
    const uint64_t size = start < r->b.n ? r->b.n - start : 0;
    for (int64_t i = 0; i < r->t->n; i++) {
        hn_tensor *e = &r->t->item[i];
        if (offset[i] % alignment)
            return hn_fail(HN_ERR_FORMAT,
                           "file '%s': tensor %s: its offset %" PRIu64
                           " is no multiple of the alignment %" PRIu64, r->g->name, e->name,
                           offset[i], alignment);
        if (offset[i] > size || (uint64_t)e->n_bytes > size - offset[i])
            return hn_fail(HN_ERR_FORMAT,
                           "file '%s': tensor %s: %" PRId64 " bytes at %" PRIu64
                           " are not within the %" PRIu64
                           " bytes of data; the file may be cut short",
                           r->g->name, e->name, e->n_bytes, offset[i], size);
        e->data = size ? r->b.p + start + offset[i] : r->b.p + r->b.n;
    }
    return check_overlap(r->t);
}

static hn_status get_alignment(const hn__gguf *g, int64_t *out)
{
    *out = ALIGNMENT;
    if (!hn__gguf_has(g, "general.alignment"))
        return HN_OK;
    HN_TRY(hn__gguf_get_int(g, "general.alignment", 1, 1 << 30, out));
    return *out & (*out - 1)
               ? hn_fail(HN_ERR_FORMAT,
                         "file '%s': key general.alignment: %" PRId64 " is no power of two",
                         g->name, *out)
               : HN_OK;
}

static hn_status tensors(reader *r, uint64_t n, uint64_t **offset)
{
    int64_t cap = 0, alignment;
    for (uint64_t i = 0; i < n; i++) {
        HN_TRY(hn__reserve((void **)offset, &cap, (int64_t)i + 1, sizeof **offset));
        HN_TRY(tensor(r, &(*offset)[i]));
    }
    HN_TRY(get_alignment(r->g, &alignment));
    HN_TRY(place(r, *offset, (uint64_t)alignment));
    return hn__tensors_seal(r->t);
}

// ---- the file --------------------------------------------------------------------------------

static hn_status header(reader *r, uint64_t *n_tensors, uint64_t *n_keys)
{
    const char *file = r->g->name;
    uint64_t version;
    r->what = "the header";
    const uint8_t *magic = hn__cursor_take(&r->b, 4);
    if (!magic || memcmp(magic, "GGUF", 4))
        return hn_fail(HN_ERR_FORMAT, "file '%s': not a GGUF file", file);
    HN_TRY(number(r, 4, &version));
    if (version && !(version & 0xffff))
        return hn_fail(HN_ERR_UNSUPPORTED, "file '%s': a GGUF file of a big-endian machine",
                       file);
    if (version != 2 && version != 3)
        return hn_fail(HN_ERR_UNSUPPORTED,
                       "file '%s': version %" PRIu64 " of GGUF, only 2 and 3 are read", file,
                       version);
    r->g->version = (int)version;
    HN_TRY(number(r, 8, n_tensors));
    HN_TRY(number(r, 8, n_keys));
    // The least that an entry takes: a name of a letter, and a byte or no dimension.
    if (*n_tensors > r->b.n / 25 || *n_keys > r->b.n / 14)
        return hn_fail(HN_ERR_FORMAT,
                       "file '%s': %" PRIu64 " tensors and %" PRIu64
                       " keys do not fit into its %zu bytes", file, *n_tensors, *n_keys, r->b.n);
    return HN_OK;
}

static hn_status read_into(reader *r)
{
    uint64_t n_tensors, n_keys, *offset = NULL;
    HN_TRY(header(r, &n_tensors, &n_keys));
    for (uint64_t i = 0; i < n_keys; i++)
        HN_TRY(key_value(r));
    HN_TRY(hn__gguf_seal(r->g));
    const hn_status s = tensors(r, n_tensors, &offset);
    hn__free(offset);
    return s;
}

hn_status hn__gguf_read(const void *data, size_t n, const char *file, hn__gguf **out,
                        hn_tensors **out_tensors)
{
    *out = NULL;
    *out_tensors = NULL;
    hn__gguf *g = hn__calloc(1, sizeof *g);
    if (!g)
        return hn__nomem(sizeof *g);
    reader r = { .b = { data, n, 0 }, .g = g, .name = "" };
    g->name = hn__arena_string(&g->arena, file);
    hn_status s = g->name ? hn__tensors_create(file, &r.t) : hn__nomem(strlen(file));
    if (s == HN_OK)
        s = read_into(&r);
    if (s != HN_OK) {
        hn__gguf_destroy(&g);
        hn_tensors_destroy(&r.t);
    }
    *out = g;
    *out_tensors = r.t;
    return s;
}

void hn__gguf_destroy(hn__gguf **g)
{
    if (!g || !*g)
        return;
    hn__free((*g)->item);
    hn__free((*g)->by_name);
    hn__arena_reset(&(*g)->arena);
    hn__free(*g);
    *g = NULL;
}

int hn__gguf_version(const hn__gguf *g)
{
    return g->version;
}
