// GGUF: values and tensors read, files that must be refused, and files written.
#include "support/bytes.h"
#include "support/check.h"
#include "support/failing.h"
#include "support/folder.h"

#include "io/gguf_write.h"

#include <stdlib.h>
#include <string.h>

static bytes file;

// Once from a copy that is exactly as long and begins at an odd address, so that a sanitizer sees
// each step past its end; then from the file, which stays.
static hn_status read_file(size_t n, hn__gguf **g, hn_tensors **t)
{
    uint8_t *copy = malloc(n + 1);
    assert_non_null(copy);
    memcpy(copy + 1, file.p, n);
    hn_status s = hn__gguf_read(copy + 1, n, "f", g, t);
    hn__gguf_destroy(g);
    hn_tensors_destroy(t);
    free(copy);
    return s == HN_OK ? hn__gguf_read(file.p, n, "f", g, t) : s;
}

// ---- values ----------------------------------------------------------------------------------

static void make_values(void)
{
    put_gguf_head(&file, 0, 16);
    static const struct {
        const char *key;
        uint32_t type;
        int size;
        uint64_t x;
    } numbers[] = {
        { "u8", 0, 1, 200 },           { "i8", 1, 1, 200 },
        { "u16", 2, 2, 60000 },        { "i16", 3, 2, 60000 },
        { "u32", 4, 4, 4000000000u },  { "i32", 5, 4, 4000000000u },
        { "f32", 6, 4, 0x3fc00000 },   { "true", 7, 1, 1 },
        { "u64", 10, 8, UINT64_MAX },  { "i64", 11, 8, UINT64_MAX },
        { "f64", 12, 8, UINT64_C(0x4004000000000000) },
    };
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++) {
        put_gguf_key(&file, numbers[i].key, numbers[i].type);
        put_uint(&file, numbers[i].size, numbers[i].x);
    }
    put_gguf_key(&file, "text", 8);
    put_uint(&file, 8, 4);
    put(&file, "a\0\xff\n", 4);
    put_gguf_key(&file, "texts", 9);
    put_uint(&file, 4, 8);
    put_uint(&file, 8, 3);
    put_gguf_string(&file, "one");
    put_gguf_string(&file, "");
    put_gguf_string(&file, "three");
    put_gguf_key(&file, "ints", 9);
    put_uint(&file, 4, 3);
    put_uint(&file, 8, 2);
    put_uint(&file, 4, 0xffff0001);
    put_gguf_key(&file, "reals", 9);
    put_uint(&file, 4, 6);
    put_uint(&file, 8, 2);
    put_f32(&file, 0.5f);
    put_f32(&file, -2);
    put_gguf_key(&file, "nested", 9); // [["x"], [1, 2]]
    put_uint(&file, 4, 9);
    put_uint(&file, 8, 2);
    put_uint(&file, 4, 8);
    put_uint(&file, 8, 1);
    put_gguf_string(&file, "x");
    put_uint(&file, 4, 0);
    put_uint(&file, 8, 2);
    put_uint(&file, 2, 0x0201);
}

static void check_numbers(const hn__gguf *g)
{
    static const struct {
        const char *key;
        int64_t want;
    } good[] = { { "u8", 200 },     { "i8", -56 },        { "u16", 60000 },
                 { "i16", -5536 },  { "u32", 4000000000 }, { "i32", -294967296 },
                 { "i64", -1 } };
    static const char *const bad[] = { "u64", "f32", "true", "text", "texts", "none" };
    int64_t x;
    double y;
    bool b;
    for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
        CHECK_OK(hn__gguf_get_int(g, good[i].key, INT64_MIN, INT64_MAX, &x));
        CHECK(x == good[i].want, "%s is %lld", good[i].key, (long long)x);
        CHECK_FAILS(hn__gguf_get_int(g, good[i].key, x + 1, INT64_MAX, &x), HN_ERR_FORMAT);
        CHECK_FAILS(hn__gguf_get_real(g, good[i].key, &y), HN_ERR_FORMAT);
    }
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        CHECK_FAILS(hn__gguf_get_int(g, bad[i], INT64_MIN, INT64_MAX, &x), HN_ERR_FORMAT);
        assert_non_null(strstr(hn_error_text(), bad[i]));
    }
    CHECK_OK(hn__gguf_get_real(g, "f32", &y));
    assert_true(y == 1.5);
    CHECK_OK(hn__gguf_get_real(g, "f64", &y));
    assert_true(y == 2.5);
    CHECK_OK(hn__gguf_get_bool(g, "true", &b));
    assert_true(b);
    CHECK_FAILS(hn__gguf_get_bool(g, "u8", &b), HN_ERR_FORMAT);
}

static void check_lists(const hn__gguf *g)
{
    hn__gguf_string s, *list;
    int64_t n, *ints;
    float *reals;
    CHECK_OK(hn__gguf_get_string(g, "text", &s));
    assert_true(s.n == 4 && !memcmp(s.p, "a\0\xff\n", 4));
    CHECK_OK(hn__gguf_get_strings(g, "texts", &list, &n));
    assert_true(n == 3 && list[1].n == 0 && list[2].n == 5 && !memcmp(list[2].p, "three", 5));
    hn__free(list);
    CHECK_FAILS(hn__gguf_get_strings(g, "nested", &list, &n), HN_ERR_FORMAT);
    CHECK_OK(hn__gguf_get_ints(g, "ints", &ints, &n));
    assert_true(n == 2 && ints[0] == 1 && ints[1] == -1);
    hn__free(ints);
    CHECK_FAILS(hn__gguf_get_ints(g, "reals", &ints, &n), HN_ERR_FORMAT);
    CHECK_OK(hn__gguf_get_reals(g, "reals", &reals, &n));
    assert_true(n == 2 && reals[0] == 0.5f && reals[1] == -2);
    hn__free(reals);
    CHECK_FAILS(hn__gguf_get_reals(g, "texts", &reals, &n), HN_ERR_FORMAT);
}

static void check_texts(const hn__gguf *g)
{
    static const char *const want[] = { "200", "-56", "60000", "-5536", "4000000000",
                                        "-294967296", "1.5", "true", "18446744073709551615",
                                        "-1", "2.5" };
    char text[32];
    hn__gguf_type type;
    for (int i = 0; i < 11; i++) {
        hn__gguf_text(g, i, text, sizeof text);
        assert_string_equal(text, want[i]);
    }
    hn__gguf_text(g, 12, text, sizeof text);
    assert_string_equal(text, "3 x string");
    assert_string_equal(hn__gguf_key(g, 15, &type), "nested");
    assert_int_equal(type, HN__GGUF_ARRAY);
    assert_null(hn__gguf_key(g, 16, &type));
}

static void check_values(void **state)
{
    (void)state;
    hn__gguf *g;
    hn_tensors *t;
    make_values();
    CHECK_OK(read_file(file.n, &g, &t));
    assert_int_equal(hn__gguf_version(g), 3);
    assert_int_equal(hn_tensors_count(t), 0);
    check_numbers(g);
    check_lists(g);
    check_texts(g);
    hn__gguf_destroy(&g);
    hn_tensors_destroy(&t);
    for (size_t n = 0; n < file.n; n++) { // cut anywhere
        CHECK_FAILS(read_file(n, &g, &t), HN_ERR_FORMAT);
        assert_true(!g && !t);
        assert_non_null(strstr(hn_error_text(), "file 'f'"));
    }
}

// ---- tensors ---------------------------------------------------------------------------------

static const struct {
    uint32_t id;
    const char *name;
    hn_dtype dtype;
    uint64_t cols, bytes; // of a row
} types[] = {
    { 0, "F32", HN_F32, 3, 12 },       { 1, "F16", HN_F16, 3, 6 },
    { 30, "BF16", HN_BF16, 3, 6 },     { 8, "Q8_0", HN_Q8_0, 64, 68 },
    { 2, "Q4_0", HN_Q4_0, 64, 36 },    { 3, "Q4_1", HN_Q4_1, 64, 40 },
    { 6, "Q5_0", HN_Q5_0, 64, 44 },    { 7, "Q5_1", HN_Q5_1, 64, 48 },
    { 12, "Q4_K", HN_Q4_K, 256, 144 }, { 13, "Q5_K", HN_Q5_K, 256, 176 },
    { 14, "Q6_K", HN_Q6_K, 512, 420 }, { 26, "I32", HN_I32, 3, 12 },
    { 27, "I64", 0, 3, 24 },           { 24, "I8", 0, 3, 3 },
};
enum { N_TYPES = sizeof types / sizeof *types };

static void make_tensors(uint64_t alignment)
{
    uint64_t at = 0;
    put_gguf_head(&file, N_TYPES, alignment != 32);
    if (alignment != 32) {
        put_gguf_key(&file, "general.alignment", 4);
        put_uint(&file, 4, alignment);
    }
    for (int i = 0; i < N_TYPES; i++) {
        put_gguf_tensor(&file, types[i].name, 2, (uint64_t[]){ types[i].cols, 5 }, types[i].id,
                        at);
        at += (5 * types[i].bytes + alignment - 1) / alignment * alignment;
    }
    put_pad(&file, alignment);
    for (int i = 0; i < N_TYPES; i++) {
        if (i)
            put_pad(&file, alignment);
        for (uint64_t k = 0; k < 5 * types[i].bytes; k++)
            put_uint(&file, 1, (uint64_t)i);
    }
}

static void check_tensors(void **state)
{
    (void)state;
    hn__gguf *g;
    hn_tensors *t;
    for (uint64_t alignment = 8; alignment <= 128; alignment *= 2) {
        make_tensors(alignment);
        CHECK_OK(read_file(file.n, &g, &t));
        for (int i = 0; i < N_TYPES; i++) {
            const hn_tensor *e = hn_tensors_find(t, types[i].name);
            CHECK(e && e->dtype == types[i].dtype && !strcmp(e->file_dtype, types[i].name) &&
                      e->rank == 2 && e->dim[0] == 5 && e->dim[1] == (int64_t)types[i].cols &&
                      e->n_bytes == (int64_t)(5 * types[i].bytes),
                  "%s is not what was written", types[i].name);
            for (int64_t k = 0; k < e->n_bytes; k++)
                assert_int_equal(((const uint8_t *)e->data)[k], i);
        }
        hn__gguf_destroy(&g);
        hn_tensors_destroy(&t);
        for (size_t n = 0; n < file.n; n++)
            CHECK_FAILS(read_file(n, &g, &t), HN_ERR_FORMAT);
    }
}

// ---- refused ---------------------------------------------------------------------------------

// A file with one tensor of 64 bytes of data, of one field that lies.
static void make_bad(uint32_t rank, uint64_t a, uint64_t b, uint32_t type, uint64_t offset)
{
    put_gguf_head(&file, 1, 0);
    put_gguf_tensor(&file, "w", rank, (uint64_t[]){ a, b, 1, 1, 1 }, type, offset);
    put_pad(&file, 32);
    for (int i = 0; i < 64; i++)
        put_uint(&file, 1, 0);
}

static void refuse(hn_status want, const char *why)
{
    hn__gguf *g;
    hn_tensors *t;
    CHECK_FAILS(read_file(file.n, &g, &t), want);
    CHECK(strstr(hn_error_text(), why), "not '%s': %s", why, hn_error_text());
}

static void check_bad_tensors(void **state)
{
    (void)state;
    static const struct {
        uint32_t rank;
        uint64_t a, b;
        uint32_t type;
        uint64_t offset;
        hn_status want;
        const char *why;
    } cases[] = {
        { 2, 4, 4, 0, 4, HN_ERR_FORMAT, "no multiple of the alignment" },
        { 2, 4, 4, 0, 32, HN_ERR_FORMAT, "not within" },
        { 2, 4, 4, 0, UINT64_MAX - 31, HN_ERR_FORMAT, "not within" },
        { 2, 4, 5, 0, 0, HN_ERR_FORMAT, "not within" },
        { 2, UINT64_C(1) << 33, UINT64_C(1) << 33, 0, 0, HN_ERR_FORMAT, "64-bit" },
        { 2, UINT64_C(1) << 62, 4, 0, 0, HN_ERR_FORMAT, "64-bit" },
        { 1, UINT64_MAX, 1, 0, 0, HN_ERR_FORMAT, "a dimension is" },
        { 5, 1, 1, 0, 0, HN_ERR_FORMAT, "5 dimensions" },
        { 2, 16, 2, 8, 0, HN_ERR_FORMAT, "no whole blocks of Q8_0" },
        { 0, 0, 0, 8, 0, HN_ERR_FORMAT, "no whole blocks" },
        { 1, 256, 1, 10, 0, HN_ERR_UNSUPPORTED, "type Q2_K is not read" },
        { 1, 256, 1, 16, 0, HN_ERR_UNSUPPORTED, "type IQ2_XXS is not read" },
        { 1, 32, 1, 39, 0, HN_ERR_UNSUPPORTED, "type MXFP4 is not read" },
        { 1, 32, 1, 5, 0, HN_ERR_FORMAT, "type 5 is unknown" },
        { 1, 32, 1, UINT32_MAX, 0, HN_ERR_FORMAT, "is unknown" },
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        make_bad(cases[i].rank, cases[i].a, cases[i].b, cases[i].type, cases[i].offset);
        refuse(cases[i].want, cases[i].why);
        assert_non_null(strstr(hn_error_text(), "tensor w"));
    }
    put_gguf_head(&file, 2, 0);
    put_gguf_tensor(&file, "a", 1, (uint64_t[]){ 16 }, 0, 0);
    put_gguf_tensor(&file, "b", 1, (uint64_t[]){ 8 }, 0, 32);
    put_pad(&file, 32);
    put(&file, types, 64);
    refuse(HN_ERR_FORMAT, "tensors a and b share bytes");
    put_gguf_head(&file, 2, 0);
    put_gguf_tensor(&file, "a", 1, (uint64_t[]){ 8 }, 0, 0);
    put_gguf_tensor(&file, "a", 1, (uint64_t[]){ 8 }, 0, 32);
    put_pad(&file, 32);
    put(&file, types, 64);
    refuse(HN_ERR_FORMAT, "'a' stands twice");
}

// A key "k" of a type, and the bytes that follow it.
static void bad_key(uint32_t type, const char *name, const void *rest, size_t n, const char *why)
{
    put_gguf_head(&file, 0, 1);
    put_gguf_key(&file, name, type);
    put(&file, rest, n);
    refuse(HN_ERR_FORMAT, why);
}

static void check_bad_keys(void **state)
{
    (void)state;
    uint8_t deep[12 * 12] = { 0 };
    for (int i = 0; i < 12; i++)
        deep[12 * i] = 9, deep[12 * i + 4] = 1;
    bad_key(13, "k", deep, 32, "value type 13 is unknown");
    bad_key(UINT32_MAX, "k", deep, 32, "is unknown");
    bad_key(9, "k", deep, sizeof deep, "nested deeper");
    bad_key(9, "k", "\x0d\0\0\0\1\0\0\0\0\0\0\0\0", 13, "value type 13");
    bad_key(9, "k", "\x0c\0\0\0\0\0\0\0\0\0\0\x20\0\0\0\0", 16, "values of type f64");
    bad_key(9, "k", "\x08\0\0\0\xff\xff\xff\xff\xff\xff\xff\xff\0\0\0\0\0\0\0\0", 20, "ends");
    bad_key(8, "k", "\xff\xff\xff\xff\xff\xff\xff\xff", 8, "18446744073709551615");
    bad_key(7, "k", "\2", 1, "a bool is 2");
    bad_key(7, "a\x01", "\1", 1, "a key is empty");
    bad_key(7, "\xc3(", "\1", 1, "not UTF-8");
    bad_key(7, "", "\1", 1, "a key is empty");
    bad_key(4, "general.alignment", "\x30\0\0\0", 4, "no power of two");
    bad_key(4, "general.alignment", "\0\0\0\0", 4, "must be in 1");
    bad_key(8, "general.alignment", "\0\0\0\0\0\0\0\0", 8, "string, not");

    put_gguf_head(&file, 0, 2);
    for (int i = 0; i < 2; i++) {
        put_gguf_key(&file, "k", 0);
        put_uint(&file, 1, 1);
    }
    refuse(HN_ERR_FORMAT, "key k stands twice");
    put_gguf_head(&file, UINT64_MAX, 0);
    refuse(HN_ERR_FORMAT, "do not fit");
    put_gguf_head(&file, 0, UINT64_MAX);
    refuse(HN_ERR_FORMAT, "do not fit");
    file.p[4] = 1;
    refuse(HN_ERR_UNSUPPORTED, "version 1 of GGUF");
    file.p[4] = 0, file.p[7] = 3;
    refuse(HN_ERR_UNSUPPORTED, "big-endian");
    file.p[0] = 'X';
    refuse(HN_ERR_FORMAT, "not a GGUF file");
}

// ---- writing ---------------------------------------------------------------------------------

static const hn_tensor parts[] = {
    { .name = "a", .dtype = HN_F32, .rank = 1, .dim = { 3 } },
    { .name = "b", .dtype = HN_Q4_1, .rank = 2, .dim = { 2, 64 } },
};

static hn_status write_file(void *user)
{
    hn__gguf_writer *w;
    uint8_t data[12 + 80];
    for (size_t i = 0; i < sizeof data; i++)
        data[i] = (uint8_t)i;
    HN_TRY(hn__gguf_writer_create(&w));
    hn__gguf_put_int(w, "i", 7);
    hn__gguf_put_real(w, "r", 0.25);
    hn__gguf_put_string(w, "s", "text");
    hn__gguf_put_strings(w, "ss", (hn__gguf_string[]){ { "x", 1 }, { "\0y", 2 } }, 2);
    hn__gguf_put_i32s(w, "is", (int32_t[]){ -1, 2 }, 2);
    hn__gguf_add_tensor(w, &parts[0]);
    hn__gguf_add_tensor(w, &parts[1]);
    hn_status s = hn__gguf_writer_open(w, user);
    for (size_t at = 0; s == HN_OK && at < sizeof data; at += 23) // in pieces of any size
        s = hn__gguf_writer_put(w, data + at, 23);
    if (s == HN_OK)
        s = hn__gguf_writer_commit(&w);
    hn__gguf_writer_destroy(&w);
    return s;
}

static void check_written(const char *path)
{
    hn__map m;
    hn__gguf *g;
    hn_tensors *t;
    int64_t x, n, *ints;
    hn__gguf_string *list;
    CHECK_OK(hn__map_open(path, &m));
    CHECK_OK(hn__gguf_read(m.data, m.size, path, &g, &t));
    CHECK_OK(hn__gguf_get_int(g, "i", 7, 7, &x));
    CHECK_OK(hn__gguf_get_strings(g, "ss", &list, &n));
    assert_true(n == 2 && list[1].n == 2 && list[1].p[1] == 'y');
    hn__free(list);
    CHECK_OK(hn__gguf_get_ints(g, "is", &ints, &n));
    assert_true(n == 2 && ints[0] == -1);
    hn__free(ints);
    const hn_tensor *b = hn_tensors_find(t, "b");
    assert_true(b && b->n_bytes == 80 && b->dim[0] == 2 && *(const uint8_t *)b->data == 12);
    hn__gguf_destroy(&g);
    hn_tensors_destroy(&t);
    hn__map_close(&m);
}

static void check_writer(void **state)
{
    (void)state;
    folder_make("gguf");
    const char *path = folder_path("w.gguf");
    hn__gguf_writer *w;
    CHECK_OK(write_file((void *)(uintptr_t)path));
    check_written(path);
    assert_true(failing_allocations("gguf write", write_file, (void *)(uintptr_t)path) > 4);
    check_written(path);

    const char *other = folder_path("x.gguf");
    CHECK_OK(hn__gguf_writer_create(&w));
    hn__gguf_add_tensor(w, &parts[0]);
    CHECK_OK(hn__gguf_writer_open(w, other));
    CHECK_OK(hn__gguf_writer_put(w, "12345", 5));
    CHECK_FAILS(hn__gguf_writer_put(w, parts, 12), HN_ERR_ARG);
    hn__gguf_writer_destroy(&w);
    assert_false(hn__exists(other));
    CHECK_OK(hn__gguf_writer_create(&w));
    hn__gguf_add_tensor(w, &parts[0]);
    CHECK_OK(hn__gguf_writer_open(w, other));
    CHECK_FAILS(hn__gguf_writer_commit(&w), HN_ERR_ARG); // 12 bytes are missing
    assert_true(!w && !hn__exists(other));
    CHECK_OK(hn__gguf_writer_create(&w));
    hn__gguf_put_int(w, "big", -1);
    hn__gguf_put_int(w, "good", 1);
    CHECK_FAILS(hn__gguf_writer_open(w, other), HN_ERR_UNSUPPORTED);
    assert_non_null(strstr(hn_error_text(), "key big"));
    hn__gguf_writer_destroy(&w);
    folder_remove();
}

static hn_status work(void *user)
{
    hn__gguf *g = NULL;
    hn_tensors *t = NULL;
    (void)user;
    const hn_status s = hn__gguf_read(file.p, file.n, "f", &g, &t);
    hn__gguf_destroy(&g);
    hn_tensors_destroy(&t);
    return s;
}

static void check_allocations(void **state)
{
    (void)state;
    make_values();
    assert_true(failing_allocations("gguf keys", work, NULL) > 4);
    make_tensors(32);
    assert_true(failing_allocations("gguf tensors", work, NULL) > 4);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(check_values),      cmocka_unit_test(check_tensors),
        cmocka_unit_test(check_bad_tensors), cmocka_unit_test(check_bad_keys),
        cmocka_unit_test(check_writer),      cmocka_unit_test(check_allocations),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
