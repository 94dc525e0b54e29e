// Named tensors: safetensors read and written, shards, and files that must be refused.
#include "support/check.h"
#include "support/failing.h"
#include "support/folder.h"

#include "io/tensors.h"

#include <string.h>

static void check_fixture(void **state)
{
    (void)state;
    static const struct {
        const char *name, *dtype;
        int rank;
        int64_t dim[2], n_bytes;
    } want[] = {
        { "embed.weight", "F32", 2, { 3, 4 }, 48 }, { "half", "F16", 1, { 4 }, 8 },
        { "counts", "I32", 2, { 1, 2 }, 8 },        { "bytes", "U8", 1, { 3 }, 3 },
        { "wide", "I64", 1, { 2 }, 16 },            { "double", "F64", 1, { 1 }, 8 },
        { "flag", "BOOL", 1, { 2 }, 2 },            { "scalar", "F32", 0, { 0 }, 4 },
        { "empty", "F32", 2, { 0, 4 }, 0 },
    };
    hn_tensors *t;
    CHECK_OK(hn_tensors_open(HN_TEST_DATA "/small.safetensors", &t));
    assert_int_equal(hn_tensors_count(t), 9);
    for (size_t i = 0; i < 9; i++) {
        const hn_tensor *e;
        CHECK_OK(hn_tensors_get(t, want[i].name, &e));
        assert_string_equal(e->file_dtype, want[i].dtype);
        assert_int_equal(e->rank, want[i].rank);
        assert_int_equal(e->n_bytes, want[i].n_bytes);
        assert_memory_equal(e->dim, want[i].dim, sizeof *e->dim * (size_t)e->rank);
    }
    assert_string_equal(hn_tensors_metadata(t, "made"), "by hand");
    assert_null(hn_tensors_metadata(t, "other"));
    float x[12];
    CHECK_OK(hn_tensor_read(hn_tensors_find(t, "embed.weight"), HN_F32, x));
    for (int i = 0; i < 12; i++)
        assert_true(x[i] == (float)i / 8);
    CHECK_OK(hn_tensor_read(hn_tensors_find(t, "half"), HN_F32, x));
    assert_true(x[0] == 1 && x[1] == -2 && x[2] == 0.5f && x[3] == 65504);
    CHECK_OK(hn_tensor_read(hn_tensors_find(t, "counts"), HN_F32, x));
    assert_true(x[0] == -1 && x[1] == 2);
    CHECK_OK(hn_tensor_read(hn_tensors_find(t, "wide"), HN_F32, x));
    assert_true(x[0] == 0x1p40f && x[1] == -1);
    CHECK_FAILS(hn_tensor_read(hn_tensors_find(t, "wide"), HN_I32, x), HN_ERR_FORMAT);
    assert_non_null(strstr(hn_error_text(), "'wide'"));
    CHECK_OK(hn_tensor_read(hn_tensors_find(t, "double"), HN_F32, x));
    assert_true(x[0] == 0.1f);
    int32_t flag[2];
    CHECK_OK(hn_tensor_read(hn_tensors_find(t, "flag"), HN_I32, flag));
    assert_true(flag[0] == 1 && flag[1] == 0);
    const hn_tensor odd = { .name = "odd", .file_dtype = "F8_E4M3", .n_bytes = 1, .data = x };
    CHECK_FAILS(hn_tensor_read(&odd, HN_F32, x), HN_ERR_UNSUPPORTED);
    hn_type type;
    CHECK_FAILS(hn_tensor_type(hn_tensors_find(t, "wide"), &type), HN_ERR_UNSUPPORTED);
    assert_non_null(strstr(hn_error_text(), "I64"));
    CHECK_FAILS(hn_tensor_type(hn_tensors_find(t, "empty"), &type), HN_ERR_UNSUPPORTED);
    CHECK_OK(hn_tensor_type(hn_tensors_find(t, "embed.weight"), &type));
    assert_true(type.rank == 2 && type.dim[0] == 3 && type.dim[1] == 4 && type.dtype == HN_F32);
    const hn_tensor *none;
    CHECK_FAILS(hn_tensors_get(t, "no", &none), HN_ERR_FORMAT);
    hn_tensors_destroy(&t);
    assert_null(t);
}

// Drawn lists go through a file and come back.
static void check_round_trip(void **state)
{
    (void)state;
    folder_make("tensors");
    for (uint64_t seed = 0; seed < 100; seed++) {
        hn_rng r = hn__rng(seed, 1);
        hn_tensor list[8] = { 0 };
        char name[8][32];
        uint8_t data[8][4096];
        const int n = (int)hn__rng_below(&r, 8);
        for (int i = 0; i < n; i++) {
            list[i].name = name[i];
            snprintf(name[i], sizeof name[i], "t\"%d/\xc3\xa9", i);
            list[i].dtype = (hn_dtype)(1 + hn__rng_below(&r, HN_U8));
            list[i].rank = (int)hn__rng_below(&r, 4);
            list[i].n_bytes = hn_dtype_size(list[i].dtype);
            for (int k = 0; k < list[i].rank; k++)
                list[i].n_bytes *= list[i].dim[k] = hn__rng_below(&r, 11);
            for (int64_t k = 0; k < list[i].n_bytes; k++)
                data[i][k] = (uint8_t)hn__rng_u32(&r);
            list[i].data = data[i];
        }
        const hn_metadata meta[] = { { "seed", "x" }, { "a", "\n" } };
        CHECK_OK(hn_tensors_write(folder_path("a.safetensors"), list, n, meta, 2));
        hn_tensors *t;
        CHECK_OK(hn_tensors_open(folder_path("a.safetensors"), &t));
        assert_int_equal(hn_tensors_count(t), n);
        assert_string_equal(hn_tensors_metadata(t, "a"), "\n");
        for (int i = 0; i < n; i++) {
            const hn_tensor *e = hn_tensors_find(t, list[i].name);
            CHECK(e && e->n_bytes == list[i].n_bytes && e->dtype == list[i].dtype &&
                      e->rank == list[i].rank &&
                      !memcmp(e->dim, list[i].dim, sizeof e->dim) &&
                      !memcmp(e->data, list[i].data, (size_t)e->n_bytes),
                  "seed %d: tensor %d came back different", (int)seed, i);
        }
        hn_tensors_destroy(&t);
    }
    folder_remove();
}

static void check_writer(void **state)
{
    (void)state;
    folder_make("writer");
    const char *path = folder_path("w.safetensors");
    const hn_tensor a = { .name = "a", .dtype = HN_F32, .rank = 1, .dim = { 2 } };
    const float x[2] = { 1, 2 };
    hn_tensor_writer *w;
    CHECK_OK(hn_tensor_writer_create(path, &a, 1, NULL, 0, &w));
    CHECK_OK(hn_tensor_writer_put(w, x, 3));
    assert_false(hn__exists(path));
    CHECK_FAILS(hn_tensor_writer_put(w, x, 6), HN_ERR_ARG);
    CHECK_FAILS(hn_tensor_writer_commit(&w), HN_ERR_ARG); // 5 bytes are missing
    assert_null(w);
    assert_false(hn__exists(path));
    const hn_tensor twice[] = { a, a };
    CHECK_FAILS(hn_tensor_writer_create(path, twice, 2, NULL, 0, &w), HN_ERR_ARG);
    const hn_tensor bad[] = { { .name = "x", .dtype = 0 },
                              { .name = "", .dtype = HN_F32 },
                              { .name = "__metadata__", .dtype = HN_F32 },
                              { .name = "\xff", .dtype = HN_F32 },
                              { .name = "x", .dtype = HN_F32, .rank = 9 },
                              { .name = "x", .dtype = HN_F32, .rank = 1, .dim = { -1 } },
                              { .name = "x", .dtype = HN_F32, .rank = 2,
                                .dim = { INT64_MAX / 2, 8 } } };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        CHECK_FAILS(hn_tensor_writer_create(path, &bad[i], 1, NULL, 0, &w), HN_ERR_ARG);
    CHECK_FAILS(hn_tensors_write(folder_path("no/such.safetensors"), NULL, 0, NULL, 0), HN_ERR_IO);
    folder_remove();
}

static size_t build(uint8_t *out, const char *header, size_t n_data)
{
    const size_t n = strlen(header);
    memset(out, 0, 8 + n + n_data);
    for (int i = 0; i < 8; i++)
        out[i] = (uint8_t)((uint64_t)n >> 8 * i);
    memcpy(out + 8, header, n);
    return 8 + n + n_data;
}

// Each refused, with words that say why.
static void check_refused(void **state)
{
    (void)state;
    static const struct {
        const char *header;
        size_t n_data;
        const char *why;
    } cases[] = {
        { "{\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,8]}}", 4, "not within" },
        { "{\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,8]}}", 12, "tensors end" },
        { "{\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,4]}}", 4,
          "its shape takes" },
        { "{\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[8,0]}}", 8, "not within" },
        { "{\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[-8,0]}}", 8, "not within" },
        { "{\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[4,12]}}", 12, "begins at" },
        { "{\"a\":{\"dtype\":\"U8\",\"shape\":[4],\"data_offsets\":[0,4]},"
          "\"b\":{\"dtype\":\"U8\",\"shape\":[4],\"data_offsets\":[2,6]}}",
          6, "begins at" },
        { "{\"a\":{\"dtype\":\"U8\",\"shape\":[4],\"data_offsets\":[0,4]},"
          "\"a\":{\"dtype\":\"U8\",\"shape\":[4],\"data_offsets\":[4,8]}}",
          8, "duplicate" },
        { "{\"a\":{\"dtype\":\"F33\",\"shape\":[2],\"data_offsets\":[0,8]}}", 8, "F33" },
        { "{\"a\":{\"dtype\":\"F32\",\"shape\":[-2],\"data_offsets\":[0,8]}}", 8, "not a size" },
        { "{\"a\":{\"dtype\":\"F32\",\"shape\":[2.0],\"data_offsets\":[0,8]}}", 8, "not a size" },
        { "{\"a\":{\"dtype\":\"F32\",\"shape\":[4294967296,4294967296],\"data_offsets\":[0,8]}}",
          8, "64-bit" },
        { "{\"a\":{\"dtype\":\"F32\",\"shape\":[9223372036854775807],\"data_offsets\":[0,8]}}", 8,
          "64-bit" },
        { "{\"a\":{\"dtype\":\"F4\",\"shape\":[3],\"data_offsets\":[0,1]}}", 1, "64-bit" },
        { "{\"a\":{\"dtype\":\"F32\",\"shape\":[1,1,1,1,1,1,1,1,1],\"data_offsets\":[0,4]}}", 4,
          "dimensions" },
        { "{\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,8],\"scale\":1}}", 8,
          "keys beside" },
        { "{\"a\":{\"dtype\":\"F32\",\"data_offsets\":[0,8]}}", 8, "\"shape\": missing" },
        { "{\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0]}}", 8, "two integers" },
        { "{\"a\":7}", 0, "'a'" },
        { "{\"\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[0,1]}}", 1, "0 bytes" },
        { "{\"a\\n\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[0,1]}}", 1, "control" },
        { "{\"__metadata__\":{\"a\":1}}", 0, "not a string" },
        { "{\"__metadata__\":[]}", 0, "not an object" },
        { "[]", 0, "begin with" },
        { "", 0, "begin with" },
        { "{", 0, "line 1" },
        { "{\"a\":\xff}", 0, "line 1" },
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        uint8_t file[512];
        const size_t n = build(file, cases[i].header, cases[i].n_data);
        hn_tensors *t;
        const hn_status s = hn__safetensors_read(file, n, "x.safetensors", &t);
        CHECK(s == HN_ERR_FORMAT || s == HN_ERR_UNSUPPORTED, "case %zu is %s", i,
              hn_status_name(s));
        assert_null(t);
        CHECK(strstr(hn_error_text(), cases[i].why) && strstr(hn_error_text(), "'x.safetensors'"),
              "case %zu says: %s", i, hn_error_text());
    }
}

// A good file cut at every length, and with a hostile length, is refused.
static void check_torn(void **state)
{
    (void)state;
    uint8_t file[512];
    const size_t n =
        build(file, "{\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,8]}}", 8);
    hn_tensors *t;
    CHECK_OK(hn__safetensors_read(file, n, "x", &t));
    hn_tensors_destroy(&t);
    for (size_t m = 0; m < n; m++)
        CHECK_FAILS(hn__safetensors_read(file, m, "x", &t), HN_ERR_FORMAT);
    memset(file, 0xff, 8);
    CHECK_FAILS(hn__safetensors_read(file, n, "x", &t), HN_ERR_FORMAT);
    CHECK_FAILS(hn_tensors_open("no/such/file", &t), HN_ERR_IO);
}

static void check_shards(void **state)
{
    (void)state;
    folder_make("shards");
    const float x[2] = { 1, 2 };
    const hn_tensor a = { .name = "a", .dtype = HN_F32, .rank = 1, .dim = { 2 }, .data = x,
                          .n_bytes = 8 };
    hn_tensor b = a;
    b.name = "b";
    const hn_tensor both[] = { b, a };
    CHECK_OK(hn_tensors_write(folder_path("m-1.safetensors"), &a, 1, NULL, 0));
    CHECK_OK(hn_tensors_write(folder_path("m-2.safetensors"), both, 2, NULL, 0)); // "a" again
    static const struct {
        const char *json, *why;
    } cases[] = {
        { "{\"weight_map\":{\"a\":\"m-1.safetensors\",\"b\":\"m-2.safetensors\"}}", NULL },
        { "{\"weight_map\":{\"b\":\"m-1.safetensors\"}}", "'b' is not in" },
        { "{\"weight_map\":{\"a\":\"../m-1.safetensors\"}}", "beside it" },
        { "{\"weight_map\":{\"a\":\"/etc/passwd\"}}", "beside it" },
        { "{\"weight_map\":{\"a\":3}}", "beside it" },
        { "{\"weight_map\":[]}", "not an object" },
        { "{}", "missing" },
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const char *index = folder_put("model.safetensors.index.json", cases[i].json,
                                       strlen(cases[i].json));
        hn_tensors *t;
        const hn_status s = hn_tensors_open(i ? index : folder_path("."), &t);
        CHECK((s == HN_OK) == !cases[i].why, "case %zu: %s", i, hn_error_text());
        CHECK(!cases[i].why || strstr(hn_error_text(), cases[i].why), "case %zu says: %s", i,
              hn_error_text());
        assert_int_equal(s == HN_OK ? hn_tensors_count(t) : 2, 2);
        hn_tensors_destroy(&t);
    }
    folder_remove();
}

static hn_status work(void *user)
{
    hn_tensors *t;
    HN_TRY(hn_tensors_open(user, &t));
    const hn_tensor list[] = { *hn_tensors_find(t, "half"), *hn_tensors_find(t, "scalar") };
    const hn_metadata meta = { "a", "b" };
    const hn_status s = hn_tensors_write(folder_path("again.safetensors"), list, 2, &meta, 1);
    hn_tensors_destroy(&t);
    return s;
}

// Rotary pairs that stand side by side are read as split halves: rows of f16, rows of blocks as
// they lie, and the elements of a bias. Data begins at an odd address.
static void check_pairs(void **state)
{
    (void)state;
    enum { HEADS = 3, HALF = 2, ROWS = HEADS * HALF * 2, COLS = 64 };
    char raw[1 + ROWS * COLS * 2];
    hn_tensor t = { .name = "q", .file_dtype = "F16", .dtype = HN_F16, .rank = 2,
                    .dim = { ROWS, COLS }, .data = raw + 1, .n_bytes = ROWS * COLS * 2,
                    .paired_heads = HEADS };
    float x[ROWS * COLS], y[ROWS * COLS];
    for (int r = 0; r < ROWS; r++)
        for (int c = 0; c < COLS; c++) {
            const uint16_t h = hn__f32_to_f16((float)(r * COLS + c));
            memcpy(raw + 1 + (r * COLS + c) * 2, &h, 2);
        }
    CHECK_OK(hn_tensor_read(&t, HN_F32, x));
    for (int h = 0; h < HEADS; h++)
        for (int i = 0; i < HALF; i++)
            for (int s = 0; s < 2; s++)
                for (int c = 0; c < COLS; c++) {
                    const int to = h * 2 * HALF + s * HALF + i, from = h * 2 * HALF + 2 * i + s;
                    CHECK(x[to * COLS + c] == (float)(from * COLS + c), "row %d is not %d", to,
                          from);
                }
    t.dtype = HN_Q8_0;
    t.file_dtype = "Q8_0";
    t.n_bytes = ROWS * COLS / 32 * 34;
    t.paired_heads = 0;
    hn__from_f32(HN_Q8_0, x, raw + 1, ROWS * COLS);
    t.paired_heads = HEADS;
    char blocks[sizeof raw];
    CHECK_OK(hn_tensor_read(&t, HN_Q8_0, blocks));
    CHECK_OK(hn_tensor_read(&t, HN_F32, x));
    hn__to_f32(HN_Q8_0, blocks, y, ROWS * COLS);
    assert_memory_equal(x, y, sizeof x);
    assert_memory_equal(blocks + 68, raw + 1 + 2 * 68, 68); // row 1 is the first of pair 1

    const float bias[ROWS] = { 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11 };
    t = (hn_tensor){ .name = "b", .file_dtype = "F32", .dtype = HN_F32, .rank = 1,
                     .dim = { ROWS }, .data = bias, .n_bytes = sizeof bias,
                     .paired_heads = HEADS };
    CHECK_OK(hn_tensor_read(&t, HN_F32, x));
    const float want[ROWS] = { 0, 2, 1, 3, 4, 6, 5, 7, 8, 10, 9, 11 };
    assert_memory_equal(x, want, sizeof want);
}

// A tensor that lies transposed, of floats and of blocks, longer than what is converted at once.
static void check_transposed(void **state)
{
    (void)state;
    enum { ROWS = 1056, COLS = 3 };
    static float raw[COLS][ROWS], x[ROWS][COLS], y[COLS][ROWS];
    static char blocks[1 + ROWS * COLS];
    hn_type type;
    for (int c = 0; c < COLS; c++)
        for (int r = 0; r < ROWS; r++)
            raw[c][r] = (float)(r - 400 * c);
    hn_tensor t = { .name = "w", .file_dtype = "F32", .dtype = HN_F32, .rank = 2,
                    .dim = { ROWS, COLS }, .data = raw, .n_bytes = sizeof raw,
                    .transposed = true };
    CHECK_OK(hn_tensor_read(&t, HN_F32, x));
    for (int c = 0; c < COLS; c++)
        for (int r = 0; r < ROWS; r++)
            assert_true(x[r][c] == raw[c][r]);
    CHECK_FAILS(hn_tensor_read(&t, HN_Q8_0, blocks), HN_ERR_UNSUPPORTED);
    hn__from_f32(HN_Q4_1, raw[0], blocks + 1, ROWS * COLS);
    hn__to_f32(HN_Q4_1, blocks + 1, y[0], ROWS * COLS);
    t.dtype = HN_Q4_1;
    t.file_dtype = "Q4_1";
    t.data = blocks + 1;
    t.n_bytes = ROWS * COLS / 32 * 20;
    CHECK_OK(hn_tensor_type(&t, &type));
    assert_true(type.dtype == HN_F32 && type.dim[0] == ROWS);
    CHECK_OK(hn_tensor_read(&t, HN_F32, x));
    for (int c = 0; c < COLS; c++)
        for (int r = 0; r < ROWS; r++)
            assert_true(x[r][c] == y[c][r]);
    CHECK_FAILS(hn_tensor_read(&t, HN_Q4_1, y), HN_ERR_UNSUPPORTED);
}

// To blocks, by rows that hold whole ones only, and from the types that nothing is converted to.
static void check_blocks(void **state)
{
    (void)state;
    static float raw[2048], x[2048], y[2048];
    static char blocks[2048], want[2048];
    for (int i = 0; i < 2048; i++)
        raw[i] = sinf((float)i);
    hn_tensor t = { .name = "w", .file_dtype = "F32", .dtype = HN_F32, .rank = 2,
                    .dim = { 2, 1024 }, .data = raw, .n_bytes = sizeof raw };
    CHECK_OK(hn_tensor_read(&t, HN_Q4_0, blocks));
    hn__from_f32(HN_Q4_0, raw, want, 2048);
    assert_memory_equal(blocks, want, 2048 / 32 * 18);
    CHECK_FAILS(hn_tensor_read(&t, HN_Q4_K, blocks), HN_ERR_UNSUPPORTED);
    t.dim[0] = 128;
    t.dim[1] = 16;
    CHECK_FAILS(hn_tensor_read(&t, HN_Q4_0, blocks), HN_ERR_ARG);
    t = (hn_tensor){ .name = "k", .file_dtype = "Q6_K", .dtype = HN_Q6_K, .rank = 2,
                     .dim = { 4, 512 }, .data = raw, .n_bytes = 8 * 210 };
    CHECK_OK(hn_tensor_read(&t, HN_F32, x));
    hn__to_f32(HN_Q6_K, raw, y, 2048);
    assert_memory_equal(x, y, sizeof x);
}

static void check_allocations(void **state)
{
    (void)state;
    folder_make("tensors-nomem");
    assert_true(failing_allocations("safetensors", work, HN_TEST_DATA "/small.safetensors") > 10);
    folder_remove();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(check_fixture), cmocka_unit_test(check_round_trip),
        cmocka_unit_test(check_writer),  cmocka_unit_test(check_refused),
        cmocka_unit_test(check_torn),    cmocka_unit_test(check_shards),
        cmocka_unit_test(check_pairs),   cmocka_unit_test(check_transposed),
        cmocka_unit_test(check_blocks),  cmocka_unit_test(check_allocations),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
