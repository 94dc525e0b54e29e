// The initialisers of an ONNX file. The file is a protobuf message; its wire format is read here
// by hand, field by field: every length is checked against what holds it, nothing recurses.
//
//   ModelProto.graph = 7; GraphProto.initializer = 5, .sparse_initializer = 15
//   TensorProto: dims 1, data_type 2, segment 3, float_data 4, int32_data 5, int64_data 7, name 8,
//                raw_data 9, double_data 10, uint64_data 11, data_location 14
#include "io/tensors.h"

#include <string.h>

enum { VARINT = 0, FIXED64 = 1, BYTES = 2, FIXED32 = 5 };

typedef struct wire {
    const uint8_t *p, *end, *begin; // begin: of the file, for offsets in texts
    const char *name;
} wire;

typedef struct field {
    uint32_t number;
    int type;
    uint64_t value;   // VARINT, FIXED32, FIXED64
    const uint8_t *p; // BYTES
    size_t n;
} field;

static hn_status bad(const wire *w, const char *what)
{
    return hn_fail(HN_ERR_FORMAT, "file '%s': byte %zu: %s", w->name, (size_t)(w->p - w->begin),
                   what);
}

static hn_status varint(wire *w, uint64_t *out)
{
    *out = 0;
    for (int shift = 0; shift < 70; shift += 7) {
        if (w->p == w->end)
            return bad(w, "the file ends inside a number");
        const uint8_t b = *w->p++;
        if (shift < 64)
            *out |= (uint64_t)(b & 0x7f) << shift;
        if (!(b & 0x80))
            return HN_OK;
    }
    return bad(w, "a number has more than 10 bytes");
}

static hn_status fixed(wire *w, int n, uint64_t *out)
{
    *out = 0;
    if (w->end - w->p < n)
        return bad(w, "the file ends inside a number");
    for (int i = 0; i < n; i++)
        *out |= (uint64_t)*w->p++ << 8 * i;
    return HN_OK;
}

static hn_status next(wire *w, field *f)
{
    uint64_t tag, n;
    HN_TRY(varint(w, &tag));
    *f = (field){ .number = (uint32_t)(tag >> 3), .type = (int)(tag & 7) };
    if (tag >> 32 || !f->number)
        return bad(w, "not an ONNX file: a field without a number");
    switch (f->type) {
    case VARINT: return varint(w, &f->value);
    case FIXED32: return fixed(w, 4, &f->value);
    case FIXED64: return fixed(w, 8, &f->value);
    case BYTES:
        HN_TRY(varint(w, &n));
        if (n > (uint64_t)(w->end - w->p))
            return bad(w, "a field is longer than what holds it; the file may be cut short");
        f->p = w->p;
        f->n = (size_t)n;
        w->p += n;
        return HN_OK;
    default: return bad(w, "not an ONNX file: an unknown kind of field");
    }
}

static wire inside(const wire *w, const field *f)
{
    return (wire){ f->p, f->p + f->n, w->begin, w->name };
}

// ---- tensors ---------------------------------------------------------------------------------

// By TensorProto.DataType. Complex128 and types below 8 bits have no name in safetensors.
static const char *const types[] = {
    NULL,       "F32",     "U8",          "I8",      "U16",         "I16", "I32", "I64",
    "strings",  "BOOL",    "F16",         "F64",     "U32",         "U64", "C64", "complex128",
    "BF16",     "F8_E4M3", "F8_E4M3FNUZ", "F8_E5M2", "F8_E5M2FNUZ", "4-bit integers",
    "4-bit integers", "4-bit floats",
};
enum { N_TYPES = sizeof types / sizeof *types, EXTERNAL = 1 };

typedef struct tensor {
    hn_tensor t;
    const char *name;
    size_t n_name;
    uint64_t type, location;
    const uint8_t *raw;
    size_t n_raw;
    uint32_t typed; // the field that holds the elements, 0: none
    int64_t n_typed;
    int64_t n_stored;
} tensor;

static hn_status add_dim(const wire *w, tensor *t, uint64_t n)
{
    if (t->t.rank == HN_FILE_RANK)
        return bad(w, "a tensor has more than 8 dimensions");
    if (n > INT64_MAX)
        return bad(w, "a tensor has a negative dimension");
    t->t.dim[t->t.rank++] = (int64_t)n;
    return HN_OK;
}

// The width in bytes of an element of a typed field on the wire; 0 for a varint.
static int typed_width(uint32_t number)
{
    return number == 4 ? 4 : number == 10 ? 8 : 0;
}

// Calls for each number of a repeated field, packed or not.
static hn_status numbers(const wire *w, const field *f,
                         hn_status (*each)(const wire *w, tensor *t, uint64_t x), tensor *t)
{
    if (f->type != BYTES)
        return each(w, t, f->value);
    wire in = inside(w, f);
    const int width = typed_width(f->number);
    while (in.p < in.end) {
        uint64_t x;
        HN_TRY(width ? fixed(&in, width, &x) : varint(&in, &x));
        HN_TRY(each(&in, t, x));
    }
    return HN_OK;
}

static hn_status count(const wire *w, tensor *t, uint64_t x)
{
    (void)w;
    (void)x;
    t->n_typed++;
    return HN_OK;
}

static hn_status scan(wire w, tensor *t)
{
    while (w.p < w.end) {
        field f;
        HN_TRY(next(&w, &f));
        switch (f.number) {
        case 1: HN_TRY(numbers(&w, &f, add_dim, t)); break;
        case 2: t->type = f.value; break;
        case 3: return bad(&w, "a tensor in segments is not supported");
        case 4:
        case 5:
        case 7:
        case 10:
        case 11:
            if (t->typed && t->typed != f.number)
                return bad(&w, "a tensor has two kinds of data");
            t->typed = f.number;
            HN_TRY(numbers(&w, &f, count, t));
            break;
        case 8:
            t->name = (const char *)f.p;
            t->n_name = f.n;
            break;
        case 9:
            t->raw = f.p;
            t->n_raw = f.n;
            break;
        case 14: t->location = f.value; break;
        default: break;
        }
    }
    return HN_OK;
}

// The elements of a typed field as little-endian bytes; t.data has room for them.
static hn_status store(const wire *w, tensor *t, uint64_t x)
{
    (void)w;
    const int64_t size = t->t.n_bytes / t->n_typed;
    uint8_t *to = (uint8_t *)(uintptr_t)t->t.data + t->n_stored++ * size;
    for (int64_t i = 0; i < size; i++)
        to[i] = (uint8_t)(x >> 8 * i);
    return HN_OK;
}

static hn_status unpack(wire w, hn_tensors *out, tensor *t)
{
    // Each field holds certain types only (onnx.proto); 16-bit floats stand in int32_data as bits.
    static const char *const fit[] = {
        [4] = " F32 C64 ",
        [5] = " I32 I16 I8 U16 U8 BOOL F16 BF16 F8_E4M3 F8_E4M3FNUZ F8_E5M2 F8_E5M2FNUZ ",
        [7] = " I64 ",
        [10] = " F64 ",
        [11] = " U64 U32 ",
    };
    char key[32];
    snprintf(key, sizeof key, " %s ", t->t.file_dtype);
    if (!strstr(fit[t->typed], key))
        return bad(&w, "a tensor's data stands in the field of another type");
    const hn__file_dtype *d = hn__file_dtype_find(t->t.file_dtype);
    const int64_t each = t->typed == 4 ? 4 : d->bits / 8; // a complex number is two floats
    if (t->n_typed > INT64_MAX / 16 || t->n_typed * each != t->t.n_bytes)
        return bad(&w, "a tensor's shape and its data differ in size");
    t->t.data = hn__arena_alloc(&out->arena, (size_t)t->t.n_bytes);
    if (!t->t.data)
        return hn__nomem((size_t)t->t.n_bytes);
    while (w.p < w.end) {
        field f;
        HN_TRY(next(&w, &f));
        if (f.number == t->typed)
            HN_TRY(numbers(&w, &f, store, t));
    }
    return HN_OK;
}

static hn_status add_tensor(wire w, hn_tensors *out)
{
    tensor t = { 0 };
    HN_TRY(scan(w, &t));
    if (t.type == 0 || t.type >= N_TYPES)
        return hn_fail(HN_ERR_UNSUPPORTED, "file '%s': tensor '%.*s': data type %" PRIu64, w.name,
                       (int)(t.n_name < 128 ? t.n_name : 128), t.name ? t.name : "", t.type);
    const hn__file_dtype *d = hn__file_dtype_find(types[t.type]);
    t.t.file_dtype = t.location == EXTERNAL ? "external data" : types[t.type];
    if (d && t.location != EXTERNAL) {
        t.t.dtype = d->dtype;
        if (!hn__file_bytes(d->bits, t.t.rank, t.t.dim, &t.t.n_bytes))
            return bad(&w, "a tensor's shape takes more bytes than 64 bits count");
        if (t.typed && !t.raw) {
            HN_TRY(unpack(w, out, &t));
        } else if ((uint64_t)t.t.n_bytes != t.n_raw)
            return bad(&w, "a tensor's shape and its data differ in size");
        else
            t.t.data = t.raw;
    }
    return hn__tensors_add(out, t.name ? t.name : "", t.n_name, &t.t);
}

static hn_status read_graph(wire w, hn_tensors *out)
{
    while (w.p < w.end) {
        field f;
        HN_TRY(next(&w, &f));
        if (f.number == 15)
            return bad(&w, "sparse initialisers are not supported");
        if (f.number == 5 && f.type == BYTES)
            HN_TRY(add_tensor(inside(&w, &f), out));
    }
    return HN_OK;
}

static hn_status read_model(wire w, hn_tensors *out)
{
    bool graph = false;
    while (w.p < w.end) {
        field f;
        HN_TRY(next(&w, &f));
        if (f.number != 7 || f.type != BYTES)
            continue;
        graph = true;
        HN_TRY(read_graph(inside(&w, &f), out));
    }
    if (!graph)
        return bad(&w, "not an ONNX file: no graph in it");
    return hn__tensors_seal(out);
}

hn_status hn__onnx_read(const void *data, size_t n, const char *name, hn_tensors **out)
{
    const uint8_t *p = data;
    HN_TRY(hn__tensors_create(name, out));
    const hn_status s = read_model((wire){ p, p + n, p, name }, *out);
    if (s != HN_OK)
        hn_tensors_destroy(out);
    return s;
}
