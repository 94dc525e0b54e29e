// npy, ONNX initialisers, token shards, text files.
#include "support/check.h"
#include "support/failing.h"
#include "support/folder.h"

#include "io/shards.h"
#include "io/tensors.h"
#include "io/text.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void check_npy(void **state)
{
    (void)state;
    static const struct {
        const char *path, *dtype;
        int rank;
        int64_t dim[2];
        double at[3];
    } cases[] = {
        { "/f4.npy", "F32", 2, { 2, 3 }, { 0, 0.25, 0.5 } },
        { "/f2_v2.npy", "F16", 2, { 2, 3 }, { 0, 0.25, 0.5 } },
        { "/f8_v3.npy", "F64", 2, { 2, 3 }, { 0, 0.25, 0.5 } },
        { "/i8.npy", "I64", 1, { 3 }, { 1, -2, 1099511627776.0 } },
        { "/i4_scalar.npy", "I32", 0, { 0 }, { 7 } },
        { "/b1.npy", "BOOL", 2, { 2, 1 }, { 1, 0 } },
        { "/u1_empty.npy", "U8", 2, { 0, 3 }, { 0 } },
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char path[256];
        snprintf(path, sizeof path, HN_TEST_DATA "%s", cases[i].path);
        hn_tensors *t;
        CHECK_OK(hn_tensors_open(path, &t));
        const hn_tensor *a = hn_tensors_at(t, 0);
        CHECK(hn_tensors_count(t) == 1 && !strcmp(a->file_dtype, cases[i].dtype) &&
                  a->rank == cases[i].rank &&
                  !memcmp(a->dim, cases[i].dim, sizeof *a->dim * (size_t)a->rank),
              "%s is %s, rank %d", path, a->file_dtype, a->rank);
        float x[6] = { 0 };
        CHECK_OK(hn_tensor_read(a, HN_F32, x));
        for (int k = 0; k < 3; k++)
            CHECK(x[k] == (float)cases[i].at[k], "%s: element %d is %g", path, k, x[k]);
        hn_tensors_destroy(&t);
    }
    hn_tensors *t;
    CHECK_FAILS(hn_tensors_open(HN_TEST_DATA "/fortran.npy", &t), HN_ERR_UNSUPPORTED);
    assert_non_null(strstr(hn_error_text(), "Fortran"));
    CHECK_FAILS(hn_tensors_open(HN_TEST_DATA "/big.npy", &t), HN_ERR_UNSUPPORTED);
    assert_non_null(strstr(hn_error_text(), ">f4"));
}

static void check_npy_written(void **state)
{
    (void)state;
    folder_make("npy");
    for (uint64_t seed = 0; seed < 30; seed++) {
        hn_rng r = hn__rng(seed, 6);
        hn_type type = { .dtype = seed % 2 ? HN_F32 : HN_I32, .rank = (int)hn__rng_below(&r, 7) };
        for (int k = 0; k < type.rank; k++)
            type.dim[k] = 1 + hn__rng_below(&r, 4);
        uint32_t data[4096];
        for (int k = 0; k < 4096; k++)
            data[k] = hn__rng_u32(&r);
        CHECK_OK(hn__npy_write(folder_path("x.npy"), &type, data));
        hn_tensors *t;
        CHECK_OK(hn_tensors_open(folder_path("x.npy"), &t));
        hn_type back;
        CHECK_OK(hn_tensor_type(hn_tensors_at(t, 0), &back));
        CHECK(hn__type_equal(&type, &back) &&
                  !memcmp(hn_tensors_at(t, 0)->data, data, (size_t)hn_type_bytes(&type)),
              "seed %d came back different", (int)seed);
        hn_tensors_destroy(&t);
    }
    const hn_type half = { .dtype = HN_F16 };
    CHECK_FAILS(hn__npy_write(folder_path("x.npy"), &half, ""), HN_ERR_UNSUPPORTED);
    folder_remove();
}

static void npy_refused(const char *dict, size_t n_data, const char *why)
{
    uint8_t file[512] = "\x93NUMPY\x01";
    const size_t n = strlen(dict);
    file[8] = (uint8_t)n;
    file[9] = 0;
    memcpy(file + 10, dict, n);
    hn_tensors *t;
    const hn_status s = hn__npy_read(file, 10 + n + n_data, "x.npy", &t);
    CHECK(s == HN_ERR_FORMAT || s == HN_ERR_UNSUPPORTED, "%s is %s", dict, hn_status_name(s));
    CHECK(strstr(hn_error_text(), why), "%s says: %s", dict, hn_error_text());
}

static void check_npy_refused(void **state)
{
    (void)state;
    npy_refused("{'descr': '<f4', 'fortran_order': False, 'shape': (2,), }", 4, "takes 8 bytes");
    npy_refused("{'descr': '<f4', 'fortran_order': False, 'shape': (1,), }", 8, "takes 4 bytes");
    npy_refused("{'descr': '|O', 'fortran_order': False, 'shape': (1,), }", 8, "|O");
    npy_refused("{'descr': [('a', '<f4')], 'fortran_order': False, 'shape': (1,), }", 8, "string");
    npy_refused("{'descr': '<f4', 'fortran_order': False, 'shape': (-1,), }", 8, "no size");
    npy_refused("{'descr': '<f4', 'fortran_order': False, 'shape': (99999999999999999999,), }", 8,
                "64 bits");
    npy_refused("{'descr': '<f4', 'fortran_order': False, 'shape': (4294967296,4294967296), }", 8,
                "64 bits");
    npy_refused("{'descr': '<f4', 'fortran_order': False, 'shape': (1,1,1,1,1,1,1,1,1), }", 4,
                "8 dimensions");
    npy_refused("{'descr': '<f4', 'fortran_order': False}", 4, "missing");
    npy_refused("{'descr': '<f4', 'descr': '<f4'}", 4, "twice");
    npy_refused("{'descr': '<f4', 'fortran_order': 0, 'shape': (1,)}", 4, "True");
    npy_refused("{'descr': '<f4', 'fortran_order': False, 'shape': (1,)} x", 4, "follows");
    npy_refused("{'descr", 0, "not closed");
    npy_refused("", 4, "dictionary");
}

static void check_onnx(void **state)
{
    (void)state;
    static const struct {
        const char *name, *dtype;
        int rank;
        double at[3];
    } want[] = {
        { "raw", "F32", 2, { 0, 0.25, 0.5 } },   { "typed", "F32", 2, { 0, 0.25, 0.5 } },
        { "half", "F16", 1, { 1, -2, 0.5 } },    { "brain", "BF16", 1, { 1, -3 } },
        { "ints", "I32", 1, { 1, -2, 3 } },      { "longs", "I64", 1, { 1099511627776.0, -1 } },
        { "bytes", "U8", 1, { 0, 1, 254 } },     { "doubles", "F64", 1, { 0.1f } },
        { "scalar", "F32", 0, { 2.5 } },
    };
    hn_tensors *t;
    CHECK_OK(hn_tensors_open(HN_TEST_DATA "/small.onnx", &t));
    assert_int_equal(hn_tensors_count(t), 11);
    float x[6];
    for (size_t i = 0; i < sizeof want / sizeof *want; i++) {
        const hn_tensor *e;
        CHECK_OK(hn_tensors_get(t, want[i].name, &e));
        CHECK(!strcmp(e->file_dtype, want[i].dtype) && e->rank == want[i].rank, "%s is %s",
              e->name, e->file_dtype);
        memset(x, 0, sizeof x);
        CHECK_OK(hn_tensor_read(e, HN_F32, x));
        for (int k = 0; k < 3; k++)
            CHECK(x[k] == (float)want[i].at[k], "%s: element %d is %g", e->name, k, x[k]);
    }
    const hn_tensor *far = hn_tensors_find(t, "far");
    CHECK_FAILS(hn_tensor_read(far, HN_F32, x), HN_ERR_UNSUPPORTED);
    assert_non_null(strstr(hn_error_text(), "external data"));
    CHECK_FAILS(hn_tensor_read(hn_tensors_find(t, "strings"), HN_F32, x), HN_ERR_UNSUPPORTED);
    hn_tensors_destroy(&t);
}

// Every prefix is refused or read; none is read past its end (the copy is exactly as long).
static void check_onnx_torn(void **state)
{
    (void)state;
    hn__map m;
    CHECK_OK(hn__map_open(HN_TEST_DATA "/small.onnx", &m));
    for (size_t n = 0; n < m.size; n++) {
        uint8_t *copy = malloc(n ? n : 1);
        memcpy(copy, m.data, n);
        hn_tensors *t;
        if (hn__onnx_read(copy, n, "x.onnx", &t) == HN_OK)
            hn_tensors_destroy(&t);
        free(copy);
    }
    hn_tensors *t;
    CHECK_FAILS(hn__onnx_read("", 0, "x.onnx", &t), HN_ERR_FORMAT);
    CHECK_FAILS(hn__onnx_read("\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff", 11, "x", &t),
                HN_ERR_FORMAT);
    CHECK_FAILS(hn__onnx_read("\x3a\x7f", 2, "x", &t), HN_ERR_FORMAT);
    hn__map_close(&m);
}

// Drawn tokens, file sizes and spans.
static void check_shards(void **state)
{
    (void)state;
    for (uint64_t seed = 0; seed < 16; seed++) {
        hn_rng r = hn__rng(seed, 7);
        folder_make("shards");
        const char *dir = folder_path("s");
        const int vocab = seed % 2 ? 65536 : 65537;
        const int n = 1 + (int)hn__rng_below(&r, 20000);
        int32_t *id = malloc((size_t)n * sizeof *id), *back = malloc((size_t)n * sizeof *id);
        for (int i = 0; i < n; i++)
            id[i] = (int32_t)hn__rng_below(&r, vocab);
        hn__shards_writer *w;
        CHECK_OK(hn__shards_create(dir, vocab, 0x123456789abcdef0u, n / 8 + hn__rng_dim(&r, 5000),
                                    &w));
        for (int i = 0, m; i < n; i += m) {
            m = 1 + (int)hn__rng_below(&r, n - i);
            CHECK_OK(hn__shards_put(w, id + i, m));
        }
        CHECK_OK(hn__shards_commit(&w));
        CHECK_FAILS(hn__shards_create(dir, vocab, 0, 10, &w), HN_ERR_ARG);
        hn__shards *s;
        CHECK_OK(hn__shards_open(dir, true, &s));
        assert_int_equal(hn__shards_count(s), n);
        assert_int_equal(hn__shards_vocab_size(s), vocab);
        assert_true(hn__shards_tokenizer_hash(s) == 0x123456789abcdef0u);
        for (int k = 0; k < 100; k++) {
            const int at = (int)hn__rng_below(&r, n + 1), m = (int)hn__rng_below(&r, n + 1 - at);
            CHECK_OK(hn__shards_read(s, at, m, back));
            CHECK(!m || !memcmp(back, id + at, (size_t)m * sizeof *id), "seed %d: %d from %d",
                  (int)seed, m, at);
        }
        CHECK_FAILS(hn__shards_read(s, 0, n + 1, back), HN_ERR_ARG);
        CHECK_FAILS(hn__shards_read(s, -1, 1, back), HN_ERR_ARG);
        CHECK_FAILS(hn__shards_read(s, n, 1, back), HN_ERR_ARG);
        CHECK_FAILS(hn__shards_read(s, INT64_MAX, INT64_MAX, back), HN_ERR_ARG);
        hn__shards_close(&s);
        free(id);
        free(back);
        folder_remove();
    }
}

static void check_shards_refused(void **state)
{
    (void)state;
    folder_make("shards");
    const char *dir = folder_path("s");
    hn__shards_writer *w;
    hn__shards *s;
    const int32_t id[3] = { 1, 2, 300 };
    CHECK_FAILS(hn__shards_open(dir, true, &s), HN_ERR_IO);
    CHECK_OK(hn__shards_create(dir, 256, 0, 2, &w));
    CHECK_FAILS(hn__shards_put(w, id, 3), HN_ERR_ARG);
    hn__shards_abort(&w);
    assert_false(hn__exists(folder_path("s/tokens-00000.bin")));
    CHECK_OK(hn__shards_create(dir, 301, 0, 2, &w));
    CHECK_OK(hn__shards_put(w, id, 3));
    CHECK_OK(hn__shards_commit(&w));
    folder_put("s/tokens-00001.bin", "\x01\x01", 2);
    CHECK_OK(hn__shards_open(dir, false, &s)); // the size is right
    hn__shards_close(&s);
    CHECK_FAILS(hn__shards_open(dir, true, &s), HN_ERR_FORMAT);
    assert_non_null(strstr(hn_error_text(), "tokens-00001.bin"));
    folder_put("s/tokens-00001.bin", "\xff\xff", 2);
    CHECK_OK(hn__shards_open(dir, false, &s));
    int32_t out[3];
    CHECK_FAILS(hn__shards_read(s, 0, 3, out), HN_ERR_FORMAT);
    hn__shards_close(&s);
    folder_put("s/tokens-00001.bin", "\xff", 1);
    CHECK_FAILS(hn__shards_open(dir, false, &s), HN_ERR_FORMAT);
    folder_put("s/index.json", "{\"format\":\"hornito-tokens\",\"version\":1}", 40);
    CHECK_FAILS(hn__shards_open(dir, false, &s), HN_ERR_FORMAT);
    folder_remove();
}

static void check_text(void **state)
{
    (void)state;
    folder_make("text");
    hn__map m;
    CHECK_OK(hn__text_open(folder_put("a", "ab\xc3\xa9", 4), &m));
    hn__map_close(&m);
    CHECK_OK(hn__text_open(folder_put("empty", "", 0), &m));
    hn__map_close(&m);
    static const char *const bad[] = { "abc\xff", "abc\xc3", "abc\xed\xa0\x80", "abc\xc0\x80",
                                       "abc\xf4\x90\x80\x80", "abc\x80", "abc\xe0\x80\x80" };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        CHECK_FAILS(hn__text_open(folder_put("b", bad[i], strlen(bad[i])), &m), HN_ERR_FORMAT);
        assert_non_null(strstr(hn_error_text(), "byte 3"));
    }
    folder_remove();
}

static hn_status work(void *user)
{
    hn_tensors *t = NULL;
    HN_TRY(hn_tensors_open(HN_TEST_DATA "/small.onnx", &t));
    hn_tensors_destroy(&t);
    HN_TRY(hn_tensors_open(HN_TEST_DATA "/f4.npy", &t));
    hn_tensors_destroy(&t);
    HN_TRY(hn__remove_all(user));
    hn__shards_writer *w;
    hn__shards *s;
    const int32_t id[3] = { 1, 2, 3 };
    HN_TRY(hn__shards_create(user, 256, 0, 2, &w));
    const hn_status put = hn__shards_put(w, id, 3);
    if (put != HN_OK) {
        hn__shards_abort(&w);
        return put;
    }
    HN_TRY(hn__shards_commit(&w));
    HN_TRY(hn__shards_open(user, true, &s));
    hn__shards_close(&s);
    return HN_OK;
}

static void check_allocations(void **state)
{
    (void)state;
    folder_make("files-nomem");
    const char *dir = folder_path("s");
    assert_true(failing_allocations("files", work, (void *)(uintptr_t)dir) > 20);
    folder_remove();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(check_npy),         cmocka_unit_test(check_npy_written),
        cmocka_unit_test(check_npy_refused), cmocka_unit_test(check_onnx),
        cmocka_unit_test(check_onnx_torn),   cmocka_unit_test(check_shards),
        cmocka_unit_test(check_shards_refused), cmocka_unit_test(check_text),
        cmocka_unit_test(check_allocations),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
