// The elements of a tensor of a file in the type and the order that a graph wants.
#include "io/tensors.h"

#include <string.h>

static hn_status no_type(const hn_tensor *t)
{
    return hn_fail(HN_ERR_UNSUPPORTED, "tensor '%s': elements of type %s cannot be used", t->name,
                   t->file_dtype);
}

hn_status hn_tensor_type(const hn_tensor *t, hn_type *out)
{
    *out = (hn_type){ 0 };
    if (!t->dtype)
        return no_type(t);
    if (t->rank > HN_MAX_RANK)
        return hn_fail(HN_ERR_UNSUPPORTED,
                       "tensor '%s': has %d dimensions, at most %d can be used", t->name, t->rank,
                       HN_MAX_RANK);
    hn_type type = { .dtype = t->dtype, .rank = t->rank };
    for (int i = 0; i < t->rank; i++) {
        if (t->dim[i] < 1)
            return hn_fail(HN_ERR_UNSUPPORTED, "tensor '%s': dimension %d is 0", t->name, i);
        type.dim[i] = t->dim[i];
    }
    if (t->transposed && hn__is_quantised(t->dtype))
        type.dtype = HN_F32; // blocks lie across the rows, so they cannot stay
    *out = type;
    return HN_OK;
}

// ---- conversion ------------------------------------------------------------------------------

enum { PIECE = 512 }; // elements converted at once: a file may put them anywhere, so by way of
                      // aligned memory. Whole blocks of every type

typedef struct reader {
    const hn_tensor *t;
    hn_dtype as;
    int64_t size, block; // bytes of a block of the file, and its elements
    bool narrow; // floats hold what both types can
} reader;

// The bytes of n elements, which are whole blocks, in the file and as read.
static int64_t from_bytes(const reader *r, int64_t n)
{
    return n / r->block * r->size;
}

static int64_t to_bytes(const reader *r, int64_t n)
{
    return n / hn_dtype_block(r->as) * hn_dtype_size(r->as);
}

static bool is_real(hn_dtype t)
{
    return hn__is_float(t) || hn__is_quantised(t);
}

static bool can_widen(const hn_tensor *t)
{
    return t->dtype || !strcmp(t->file_dtype, "F64") || !strcmp(t->file_dtype, "I64") ||
           !strcmp(t->file_dtype, "BOOL");
}

// n elements at src, which need not be aligned, as doubles.
static void widen(const reader *r, const char *src, double *dst, int64_t n)
{
    _Alignas(8) char raw[PIECE * 4];
    if (r->t->dtype) {
        memcpy(raw, src, (size_t)from_bytes(r, n));
        hn__to_f64(r->t->dtype, raw, dst, n);
    } else if (*r->t->file_dtype == 'F')
        memcpy(dst, src, (size_t)n * sizeof *dst);
    else if (*r->t->file_dtype == 'B')
        for (int64_t i = 0; i < n; i++)
            dst[i] = src[i] != 0;
    else
        for (int64_t i = 0, whole; i < n; i++) {
            memcpy(&whole, src + 8 * i, 8);
            dst[i] = (double)whole;
        }
}

// An index of a vocabulary that does not fit must not become another one.
static hn_status check_whole(const reader *r, const double *x, int64_t n)
{
    const double least = r->as == HN_I32 ? INT32_MIN : 0, most = r->as == HN_I32 ? INT32_MAX : 255;
    for (int64_t i = 0; (r->as == HN_I32 || r->as == HN_U8) && i < n; i++)
        if (!(x[i] >= least && x[i] <= most))
            return hn_fail(HN_ERR_FORMAT, "tensor '%s': an element is %.17g, which is no %s",
                           r->t->name, x[i], hn_dtype_name(r->as));
    return HN_OK;
}

// n <= PIECE elements at src, both of any alignment.
static hn_status convert_piece(const reader *r, const char *src, char *dst, int64_t n)
{
    double wide[PIECE];
    float narrow[PIECE];
    _Alignas(8) char raw[PIECE * 4], made[PIECE * 4];
    if (r->narrow) {
        memcpy(raw, src, (size_t)from_bytes(r, n));
        hn__to_f32(r->t->dtype, raw, narrow, n);
        hn__from_f32(r->as, narrow, made, n);
    } else {
        widen(r, src, wide, n);
        HN_TRY(check_whole(r, wide, n));
        hn__from_f64(r->as, wide, made, n);
    }
    memcpy(dst, made, (size_t)to_bytes(r, n));
    return HN_OK;
}

static hn_status convert(const reader *r, const char *src, char *dst, int64_t n)
{
    if (r->as == r->t->dtype) {
        if (n)
            memcpy(dst, src, (size_t)from_bytes(r, n));
        return HN_OK;
    }
    for (int64_t i = 0; i < n; i += PIECE)
        HN_TRY(convert_piece(r, src + from_bytes(r, i), dst + to_bytes(r, i),
                             n - i < PIECE ? n - i : PIECE));
    return HN_OK;
}

// ---- order -----------------------------------------------------------------------------------

// Row i of a head's first half is the first of its pair i, and of the second half the second.
static hn_status read_paired(const reader *r, int64_t n, char *dst)
{
    const int64_t rows = r->t->dim[0], cols = n / rows, half = rows / r->t->paired_heads / 2;
    for (int64_t i = 0; i < rows; i++) {
        const int64_t head = i / (2 * half), within = i % (2 * half);
        const int64_t from = head * 2 * half + within % half * 2 + within / half;
        HN_TRY(convert(r, (const char *)r->t->data + from_bytes(r, from * cols),
                       dst + to_bytes(r, i * cols), cols));
    }
    return HN_OK;
}

static hn_status read_transposed(const reader *r, char *dst)
{
    const int64_t rows = r->t->dim[0], cols = r->t->dim[1], size = hn_dtype_size(r->as);
    char made[PIECE * 4];
    for (int64_t c = 0; c < cols; c++)
        for (int64_t at = 0; at < rows; at += PIECE) {
            const int64_t n = rows - at < PIECE ? rows - at : PIECE;
            HN_TRY(convert(r, (const char *)r->t->data + from_bytes(r, c * rows + at), made, n));
            for (int64_t i = 0; i < n; i++)
                memcpy(dst + ((at + i) * cols + c) * size, made + i * size, (size_t)size);
        }
    return HN_OK;
}

static hn_status check_target(const reader *r)
{
    const hn_tensor *t = r->t;
    const int64_t cols = t->rank ? t->dim[t->rank - 1] : 1;
    if (t->transposed && hn__is_quantised(r->as))
        return hn_fail(HN_ERR_UNSUPPORTED,
                       "tensor '%s': the file has it transposed, so it cannot be read as %s",
                       t->name, hn_dtype_name(r->as));
    if (!hn__is_quantised(r->as) || r->as == t->dtype)
        return HN_OK;
    if (!hn__can_quantise(r->as) || !can_widen(t))
        return hn_fail(HN_ERR_UNSUPPORTED, "tensor '%s': nothing is converted to %s", t->name,
                       hn_dtype_name(r->as));
    return cols % hn_dtype_block(r->as)
               ? hn_fail(HN_ERR_ARG,
                         "tensor '%s': rows of %" PRId64 " are no whole blocks of %s", t->name,
                         cols, hn_dtype_name(r->as))
               : HN_OK;
}

hn_status hn_tensor_read(const hn_tensor *t, hn_dtype as, void *dst)
{
    reader r = { .t = t, .as = as, .block = hn_dtype_block(t->dtype) };
    if (!hn_dtype_size(as))
        return hn_fail(HN_ERR_ARG, "tensor '%s': %d is no element type", t->name, (int)as);
    const hn__file_dtype *d = hn__file_dtype_find(t->file_dtype);
    r.size = t->dtype ? hn_dtype_size(t->dtype) : d ? d->bits / 8 : 0;
    if (!r.size || (as != t->dtype && !can_widen(t)))
        return no_type(t);
    HN_TRY(check_target(&r));
    r.narrow = is_real(as) && is_real(t->dtype);
    const int64_t n = t->n_bytes / r.size * r.block;
    if (t->paired_heads && n)
        return read_paired(&r, n, dst);
    if (t->transposed && n)
        return read_transposed(&r, dst);
    return convert(&r, t->data, dst, n);
}
