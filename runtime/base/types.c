// Element types, tensor types, and conversion between number formats.
#include "base/formats.h"

#include <math.h>
#include <stdio.h>

static const struct {
    const char *name;
    int size, block;
} dtypes[HN_DTYPE_COUNT] = {
    [HN_F32] = { "f32", 4, 1 },      [HN_F16] = { "f16", 2, 1 },
    [HN_BF16] = { "bf16", 2, 1 },    [HN_I32] = { "i32", 4, 1 },
    [HN_U8] = { "u8", 1, 1 },        [HN_Q8_0] = { "q8_0", 34, 32 },
    [HN_Q4_0] = { "q4_0", 18, 32 },  [HN_Q4_1] = { "q4_1", 20, 32 },
    [HN_Q5_0] = { "q5_0", 22, 32 },  [HN_Q5_1] = { "q5_1", 24, 32 },
    [HN_Q4_K] = { "q4_k", 144, 256 }, [HN_Q5_K] = { "q5_k", 176, 256 },
    [HN_Q6_K] = { "q6_k", 210, 256 },
};

int hn_dtype_size(hn_dtype t)
{
    return t > 0 && t < HN_DTYPE_COUNT ? dtypes[t].size : 0;
}

int hn_dtype_block(hn_dtype t)
{
    return t > 0 && t < HN_DTYPE_COUNT ? dtypes[t].block : 1;
}

const char *hn_dtype_name(hn_dtype t)
{
    return t > 0 && t < HN_DTYPE_COUNT ? dtypes[t].name : "?";
}

int64_t hn_type_numel(const hn_type *t)
{
    int64_t n = 1;
    for (int i = 0; i < t->rank; i++)
        n *= t->dim[i];
    return n;
}

int64_t hn_type_bytes(const hn_type *t)
{
    return hn_type_numel(t) / hn_dtype_block(t->dtype) * hn_dtype_size(t->dtype);
}

int64_t hn__cols(const hn_type *t)
{
    return t->rank ? t->dim[t->rank - 1] : 1;
}

int64_t hn__rows(const hn_type *t)
{
    return hn_type_numel(t) / hn__cols(t);
}

bool hn__shape_equal(const hn_type *a, const hn_type *b)
{
    return a->rank == b->rank && !memcmp(a->dim, b->dim, sizeof *a->dim * (size_t)a->rank);
}

bool hn__type_equal(const hn_type *a, const hn_type *b)
{
    return a->dtype == b->dtype && hn__shape_equal(a, b);
}

hn_status hn__type_check(const hn_type *t)
{
    const int64_t most = INT64_C(1) << 40;

    if (!hn_dtype_size(t->dtype))
        return hn_fail(HN_ERR_ARG, "element type %d is none", (int)t->dtype);
    if (t->rank < 0 || t->rank > HN_MAX_RANK)
        return hn_fail(HN_ERR_ARG, "rank is %d, at most %d", t->rank, HN_MAX_RANK);
    for (int64_t i = 0, n = 1; i < t->rank; n *= t->dim[i++])
        if (t->dim[i] < 1 || t->dim[i] > most / n)
            return hn_fail(HN_ERR_SHAPE, "dimension %d is %" PRId64, (int)i, t->dim[i]);
    if (hn__cols(t) % hn_dtype_block(t->dtype))
        return hn_fail(HN_ERR_SHAPE, "rows of %" PRId64 " are no whole blocks of %s, which has %d",
                       hn__cols(t), hn_dtype_name(t->dtype), hn_dtype_block(t->dtype));
    return HN_OK;
}

const char *hn__type_text(const hn_type *t, char *buf, size_t n)
{
    size_t at = (size_t)snprintf(buf, n, "%s[", hn_dtype_name(t->dtype));
    for (int i = 0; i < t->rank && at < n; i++)
        at += (size_t)snprintf(buf + at, n - at, i ? ", %" PRId64 : "%" PRId64, t->dim[i]);
    if (at < n)
        snprintf(buf + at, n - at, "]");
    return buf;
}

uint16_t hn__f32_to_f16(float x)
{
    return hn__f16_of(x);
}

float hn__f16_to_f32(uint16_t h)
{
    return hn__of_f16(h);
}

uint16_t hn__f32_to_bf16(float x)
{
    return hn__bf16_of(x);
}

float hn__bf16_to_f32(uint16_t h)
{
    return hn__of_bf16(h);
}

static double saturate(double x, double lo, double hi)
{
    return x != x ? 0 : x < lo ? lo : x > hi ? hi : trunc(x);
}

// One loop body for both directions and both real types.
#define CONVERT(real)                                                                             \
    switch (t) {                                                                                  \
    case HN_F32: LOOP(float, (real)s[i]);                                                         \
    case HN_F16: LOOP(uint16_t, (real)hn__of_f16(s[i]));                                          \
    case HN_BF16: LOOP(uint16_t, (real)hn__of_bf16(s[i]));                                        \
    case HN_I32: LOOP(int32_t, (real)s[i]);                                                       \
    case HN_U8: LOOP(uint8_t, (real)s[i]);                                                        \
    default: break;                                                                               \
    }
#define LOOP(type, value)                                                                         \
    for (const type *s = src, *end = s + n; s < end; s += n)                                      \
        for (int64_t i = 0; i < n; i++)                                                           \
            dst[i] = value;                                                                       \
    break

enum { PIECE = 1024 }; // elements that pass between blocks and f64 at a time: whole blocks

void hn__to_f64(hn_dtype t, const void *src, double *dst, int64_t n)
{
    float x[PIECE];

    for (int64_t at = 0; hn__is_quantised(t) && at < n; at += PIECE) {
        const int64_t some = n - at < PIECE ? n - at : PIECE;
        const hn_type before = { .dtype = t, .rank = 1, .dim = { at } };
        hn__dequantise(t, (const char *)src + hn_type_bytes(&before), x, some);
        for (int64_t i = 0; i < some; i++)
            dst[at + i] = (double)x[i];
    }
    CONVERT(double)
}

static HN__HOT void plain_to_f32(hn_dtype t, const void *src, float *dst, int64_t n)
{
    CONVERT(float)
}

void hn__to_f32(hn_dtype t, const void *src, float *dst, int64_t n)
{
    if (hn__is_quantised(t))
        hn__dequantise(t, src, dst, n);
    else
        plain_to_f32(t, src, dst, n);
}

#undef LOOP
#define LOOP(type, value)                                                                         \
    for (type *d = dst, *end = d + n; d < end; d += n)                                            \
        for (int64_t i = 0; i < n; i++)                                                           \
            d[i] = value;                                                                         \
    break
#define UNCONVERT                                                                                 \
    switch (t) {                                                                                  \
    case HN_F32: LOOP(float, (float)src[i]);                                                      \
    case HN_F16: LOOP(uint16_t, hn__f16_of((float)src[i]));                                       \
    case HN_BF16: LOOP(uint16_t, hn__bf16_of((float)src[i]));                                     \
    case HN_I32: LOOP(int32_t, (int32_t)saturate((double)src[i], INT32_MIN, INT32_MAX));          \
    case HN_U8: LOOP(uint8_t, (uint8_t)saturate((double)src[i], 0, 255));                         \
    default: break;                                                                               \
    }

void hn__from_f64(hn_dtype t, const double *src, void *dst, int64_t n)
{
    float x[PIECE];

    for (int64_t at = 0; hn__is_quantised(t) && at < n; at += PIECE) {
        const int64_t some = n - at < PIECE ? n - at : PIECE;
        const hn_type before = { .dtype = t, .rank = 1, .dim = { at } };
        for (int64_t i = 0; i < some; i++)
            x[i] = (float)src[at + i];
        hn__quantise(t, x, (char *)dst + hn_type_bytes(&before), some);
    }
    UNCONVERT
}

static HN__HOT void plain_from_f32(hn_dtype t, const float *src, void *dst, int64_t n)
{
    UNCONVERT
}

void hn__from_f32(hn_dtype t, const float *src, void *dst, int64_t n)
{
    if (hn__is_quantised(t))
        hn__quantise(t, src, dst, n);
    else
        plain_from_f32(t, src, dst, n);
}
