// Quantised types against the package `gguf` (tests/oracle/quants.py), from and to f32 and f64,
// at any address.
#include "base/formats.h"
#include "support/check.h"

#include <stdlib.h>
#include <string.h>

typedef struct quant_row {
    hn_dtype type;
    uint64_t sum;      // FNV-1a of all bytes
    uint32_t first[8]; // the first 32 bytes
} quant_row;
#include "data/quants.inc"

enum { N_BLOCKS = 1000 };

static uint32_t next(uint32_t *x)
{
    return *x = *x * 1664525u + 1013904223u;
}

static uint64_t fnv(const void *p, size_t n)
{
    const unsigned char *b = p;
    uint64_t h = UINT64_C(0xcbf29ce484222325);
    for (size_t i = 0; i < n; i++)
        h = (h ^ b[i]) * UINT64_C(0x100000001b3);
    return h;
}

// GGUF's numbers of the types, which seed the blocks.
static uint32_t id_of(hn_dtype t)
{
    static const uint32_t id[HN_DTYPE_COUNT] = {
        [HN_Q8_0] = 8, [HN_Q4_0] = 2,  [HN_Q4_1] = 3,  [HN_Q5_0] = 6,
        [HN_Q5_1] = 7, [HN_Q4_K] = 12, [HN_Q5_K] = 13, [HN_Q6_K] = 14
    };
    return id[t];
}

static bool has_minimum(hn_dtype t)
{
    return t == HN_Q4_1 || t == HN_Q5_1 || t == HN_Q4_K || t == HN_Q5_K;
}

// Random bytes, 16-bit floats below 2: as quants.py makes them.
static void draw_blocks(hn_dtype t, uint8_t *b)
{
    const int size = hn_dtype_size(t), d = t == HN_Q6_K ? 208 : 0;
    uint32_t x = id_of(t) + 1;

    for (int i = 0; i < N_BLOCKS * size; i++)
        b[i] = (uint8_t)(next(&x) >> 24);
    for (int i = 0; i < N_BLOCKS; i++) {
        b[i * size + d + 1] &= 0xbf;
        if (has_minimum(t))
            b[i * size + 3] &= 0xbf;
    }
}

static void check_words(const quant_row *r, const void *got, size_t n)
{
    uint32_t first[8];
    memcpy(first, got, sizeof first);
    for (int i = 0; i < 8 && (size_t)i < n / 4; i++)
        CHECK(first[i] == r->first[i], "%s: word %d is %08x, want %08x", hn_dtype_name(r->type), i,
              (unsigned)first[i], (unsigned)r->first[i]);
    CHECK(fnv(got, n) == r->sum, "%s: the first words are right, others are not",
          hn_dtype_name(r->type));
}

// The blocks begin at every remainder of 8, as rows of a file may.
static void check_read(void **state)
{
    (void)state;
    for (size_t k = 0; k < sizeof READ / sizeof *READ; k++) {
        const hn_dtype t = READ[k].type;
        const int64_t n = (int64_t)N_BLOCKS * hn_dtype_block(t);
        const size_t bytes = (size_t)N_BLOCKS * (size_t)hn_dtype_size(t);
        uint8_t *raw = malloc(bytes + 8);
        float *x = malloc((size_t)n * sizeof *x);
        double *wide = malloc((size_t)n * sizeof *wide);
        for (int at = 0; at < 8; at++) {
            draw_blocks(t, raw + at);
            hn__to_f32(t, raw + at, x, n);
            check_words(&READ[k], x, (size_t)n * sizeof *x);
        }
        hn__to_f64(t, raw + 7, wide, n);
        for (int64_t i = 0; i < n; i++)
            CHECK(wide[i] == (double)x[i], "%s: element %d in f64", hn_dtype_name(t), (int)i);
        free(raw);
        free(x);
        free(wide);
    }
}

static void draw_numbers(float *x)
{
    uint32_t w = 99;

    for (int i = 0; i < N_BLOCKS; i++)
        for (int k = 0; k < 32; k++) {
            const int64_t v = next(&w);
            const int kind = i / 4 % 3;
            float *y = &x[32 * i + k];
            *y = (float)((v - INT64_C(0x80000000)) >> 8) * 0x1p-23f;
            if (i % 4 == 1)
                *y = (float)((v >> 16) % 30) * 0.5f - (kind ? 0 : 8);
            if (i % 4 == 1 && k == 5)
                *y = kind == 0 ? -8 : kind == 1 ? 127 : 15;
            if (i % 4 == 2)
                *y = 0;
            if (i % 4 == 3)
                *y *= 0x1p-100f;
        }
}

static void check_write(void **state)
{
    enum { N = N_BLOCKS * 32 };
    float *x = malloc(N * sizeof *x);
    double *wide = malloc(N * sizeof *wide);
    uint8_t *raw = malloc(N + N + 1);

    (void)state;
    draw_numbers(x);
    for (int i = 0; i < N; i++)
        wide[i] = (double)x[i];
    for (size_t k = 0; k < sizeof WRITE / sizeof *WRITE; k++) {
        const hn_dtype t = WRITE[k].type;
        const size_t bytes = (size_t)N_BLOCKS * (size_t)hn_dtype_size(t);
        CHECK(hn__can_quantise(t), "%s cannot be quantised to", hn_dtype_name(t));
        hn__from_f32(t, x, raw + 1, N);
        check_words(&WRITE[k], raw + 1, bytes);
        memset(raw, 0, bytes);
        hn__from_f64(t, wide, raw, N);
        check_words(&WRITE[k], raw, bytes);
    }
    free(x);
    free(wide);
    free(raw);
}

// What has no scale comes back as NaN or zeros, and nothing traps on the way.
static void check_hostile(void **state)
{
    static const float bad[] = { NAN, INFINITY, -INFINITY, 3.4028234e38f, 1e-45f };
    (void)state;
    for (size_t k = 0; k < sizeof bad / sizeof *bad; k++)
        for (hn_dtype t = HN_Q8_0; t <= HN_Q4_1; t++) {
            float x[32] = { 0, 1, -1 }, y[32];
            uint8_t raw[34];
            x[9] = bad[k];
            hn__from_f32(t, x, raw, 32);
            hn__to_f32(t, raw, y, 32);
            CHECK(isnan(bad[k]) || isinf(bad[k]) || bad[k] > 1 ? !(fabsf(y[9]) < 1e4f)
                                                               : fabsf(y[9]) < 0.1f,
                  "%s: %g came back as %g", hn_dtype_name(t), (double)bad[k], (double)y[9]);
        }
    for (hn_dtype t = HN_Q8_0; t < HN_DTYPE_COUNT; t++) { // scales of all ones: NaN
        uint8_t raw[256];
        float y[256];
        memset(raw, 0xff, sizeof raw);
        hn__to_f32(t, raw, y, hn_dtype_block(t));
        CHECK(isnan(y[0]), "%s: %g from a scale that is NaN", hn_dtype_name(t), (double)y[0]);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(check_read),
                                        cmocka_unit_test(check_write),
                                        cmocka_unit_test(check_hostile) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
