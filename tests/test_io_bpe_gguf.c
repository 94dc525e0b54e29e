// Tokenizers from GGUF metadata: SmolLM2's against the tokens of other programs, model llama by
// hand, refusals. With HORNITO_MODELS; without it SmolLM2 is skipped by name.
#include "support/check.h"
#include "support/failing.h"
#include "support/folder.h"
#include "support/models.h"

#include "io/bpe.h"
#include "io/json.h"
#include "io/pretrained.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

// ---- a file in memory ------------------------------------------------------------------------

typedef struct blob {
    uint8_t p[32768];
    size_t n;
    uint64_t n_keys;
} blob;

static void put(blob *b, const void *p, size_t n)
{
    assert_true(b->n + n <= sizeof b->p);
    memcpy(b->p + b->n, p, n);
    b->n += n;
}

static void put_u32(blob *b, uint32_t x)
{
    put(b, &x, 4);
}

static void put_u64(blob *b, uint64_t x)
{
    put(b, &x, 8);
}

static void put_string(blob *b, const char *s, size_t n)
{
    put_u64(b, n);
    put(b, s, n);
}

static void put_key(blob *b, const char *key, hn__gguf_type type)
{
    char name[64];
    snprintf(name, sizeof name, "tokenizer.ggml.%s", key);
    put_string(b, name, strlen(name));
    put_u32(b, type);
    b->n_keys++;
}

static void put_text(blob *b, const char *key, const char *text)
{
    put_key(b, key, HN__GGUF_STRING);
    put_string(b, text, strlen(text));
}

static void put_bool(blob *b, const char *key, bool x)
{
    put_key(b, key, HN__GGUF_BOOL);
    put(b, &(uint8_t){ x }, 1);
}

static void put_int(blob *b, const char *key, uint32_t x)
{
    put_key(b, key, HN__GGUF_U32);
    put_u32(b, x);
}

static void put_array(blob *b, const char *key, hn__gguf_type of, uint64_t n)
{
    put_key(b, key, HN__GGUF_ARRAY);
    put_u32(b, of);
    put_u64(b, n);
}

static void begin(blob *b)
{
    *b = (blob){ .n = 24 };
}

static hn_status end(blob *b, hn_tokenizer **out)
{
    hn__gguf *g;
    hn_tensors *t;
    memcpy(b->p, "GGUF\3\0\0\0", 8);
    memset(b->p + 8, 0, 8);
    memcpy(b->p + 16, &b->n_keys, 8);
    *out = NULL;
    HN_TRY(hn__gguf_read(b->p, b->n, "t.gguf", &g, &t));
    const hn_status s = hn__tokenizer_from_gguf(g, out);
    hn__gguf_destroy(&g);
    hn_tensors_destroy(&t);
    return s;
}

static void expect(hn_tokenizer *t, const char *text, int flags, int n, const int32_t *want)
{
    hn_ids ids = { 0 };
    CHECK_OK(hn_tokenizer_encode(t, text, strlen(text), flags, &ids));
    CHECK(ids.n == n && (!n || !memcmp(ids.id, want, (size_t)n * sizeof *want)),
          "'%s' gives %d tokens: %d %d %d", text, (int)ids.n, ids.n ? (int)ids.id[0] : -1,
          ids.n > 1 ? (int)ids.id[1] : -1, ids.n > 2 ? (int)ids.id[2] : -1);
    hn_ids_free(&ids);
}
#define EXPECT(t, text, flags, ...)                                                               \
    expect(t, text, flags, (int)(sizeof((int32_t[]){ __VA_ARGS__ }) / sizeof(int32_t)),           \
           (const int32_t[]){ __VA_ARGS__ })

// ---- model llama -----------------------------------------------------------------------------

#define MARK "\xe2\x96\x81"
enum { BYTE = 3, REST = 259 };
static const struct {
    const char *name;
    int type;
    float score;
} rest[] = {
    { MARK, 1, -9 }, { "a", 1, -9 },      { "b", 1, -9 },   { "c", 1, -9 },
    { "ab", 1, -2 }, { "bc", 1, -1 },     { "abc", 1, -3 }, { MARK "a", 1, -4 },
    { "c" MARK, 1, -8 }, { "b" MARK, 4, 0 }, { "<|x|>", 3, 0 },
};
enum { SPACE = REST, A, B, C, AB, BC, ABC, SPACE_A, JOIN, ADDED, CONTROL, N_TOKENS };

// `skip` leaves a key out; `also` is called before the end.
static void llama(blob *b, const char *skip)
{
    begin(b);
    put_text(b, "model", "llama");
    put_array(b, "tokens", HN__GGUF_STRING, N_TOKENS);
    static const char *const first[] = { "<unk>", "<s>", "</s>" };
    for (int i = 0; i < 3; i++)
        put_string(b, first[i], strlen(first[i]));
    for (int i = 0; i < 256; i++) {
        char name[8];
        put_string(b, name, (size_t)sprintf(name, "<0x%02X>", (unsigned)i));
    }
    for (int i = 0; i < N_TOKENS - REST; i++)
        put_string(b, rest[i].name, strlen(rest[i].name));
    put_array(b, "token_type", HN__GGUF_I32, N_TOKENS);
    for (int i = 0; i < N_TOKENS; i++)
        put_u32(b, i == 0 ? 2 : i < BYTE ? 3 : i < REST ? 6 : (uint32_t)rest[i - REST].type);
    if (strcmp(skip, "scores")) {
        put_array(b, "scores", HN__GGUF_F32, N_TOKENS);
        for (int i = 0; i < N_TOKENS; i++) {
            const float score = i < REST ? 0 : rest[i - REST].score;
            put(b, &score, 4);
        }
    }
}

static void check_llama(void **state)
{
    (void)state;
    static blob b;
    hn_tokenizer *t, *u;
    llama(&b, "");
    CHECK_OK(end(&b, &t));
    assert_int_equal(hn_tokenizer_missing_bytes(t), 0);
    // "bc" has the best score, then "ab", "abc" (of "a" and "bc", or "ab" and "c"), a space and
    // "a"; but "ab" comes before " a", so that a space stays.
    EXPECT(t, "abc", 0, SPACE, ABC);
    EXPECT(t, "abab", 0, SPACE, AB, AB);
    EXPECT(t, "aabc", 0, SPACE_A, ABC);
    EXPECT(t, "c ba", 0, SPACE, JOIN, B, A); // a token may end in a space
    EXPECT(t, "\n", 0, SPACE, BYTE + '\n');
    EXPECT(t, "ab", HN_ENCODE_START, 1, SPACE, AB); // add_bos_token is not there: yes
    EXPECT(t, "<s>", 0, SPACE, BYTE + '<', BYTE + 's', BYTE + '>');
    EXPECT(t, "<|x|>a", HN_ENCODE_SPECIAL, CONTROL, SPACE_A);
    assert_true(hn_tokenizer_is_special(t, CONTROL) && !hn_tokenizer_is_special(t, ADDED));
    folder_make("gguf");
    CHECK_OK(hn_tokenizer_save(t, folder_path("tokenizer.json")));
    CHECK_OK(hn_tokenizer_load(folder_path("tokenizer.json"), &u));
    assert_true(hn_tokenizer_hash(t) == hn_tokenizer_hash(u));
    EXPECT(u, "aabc", HN_ENCODE_START, 1, SPACE_A, ABC);
    folder_remove();
    hn_tokenizer_destroy(&t);
    hn_tokenizer_destroy(&u);

    llama(&b, "");
    put_bool(&b, "add_space_prefix", false);
    put_bool(&b, "add_bos_token", false);
    put_bool(&b, "add_eos_token", true);
    CHECK_OK(end(&b, &t));
    EXPECT(t, "abc", HN_ENCODE_START, ABC);
    EXPECT(t, "a", HN_ENCODE_END, A, 2);
    hn_tokenizer_destroy(&t);
}

// ---- model gpt2 ------------------------------------------------------------------------------

// 256 bytes (but for `lack`), "ab", "12", "<|end|>" (control), "[x]" (added).
static void gpt2(blob *b, const char *pre, int lack)
{
    begin(b);
    put_text(b, "model", "gpt2");
    if (pre)
        put_text(b, "pre", pre);
    put_array(b, "tokens", HN__GGUF_STRING, 260);
    for (int i = 0; i < 256; i++) {
        char c[2];
        const int n = hn__byte_char((uint8_t)i, c);
        put_string(b, i == lack ? "none" : c, i == lack ? 4 : (size_t)n);
    }
    put_string(b, "ab", 2);
    put_string(b, "12", 2);
    put_string(b, "<|end|>", 7);
    put_string(b, "[x]", 3);
    put_array(b, "token_type", HN__GGUF_I32, 260);
    for (int i = 0; i < 260; i++)
        put_u32(b, i < 258 ? 1 : i == 258 ? 3 : 4);
    put_array(b, "merges", HN__GGUF_STRING, 2);
    put_string(b, "a b", 3);
    put_string(b, "1 2", 3);
}

static void check_gpt2(void **state)
{
    (void)state;
    static blob b;
    hn_tokenizer *t;
    gpt2(&b, "smollm", 7);
    put_int(&b, "bos_token_id", 258);
    put_bool(&b, "add_bos_token", true);
    CHECK_OK(end(&b, &t));
    assert_int_equal(hn_tokenizer_missing_bytes(t), 1);
    EXPECT(t, "ab12", 0, 256, '1', '2'); // single digits
    EXPECT(t, "a\ab", 0, 'a', 'b');      // a byte without a token is lost
    EXPECT(t, "[x]ab", 0, 259, 256);
    EXPECT(t, "<|end|>", HN_ENCODE_SPECIAL | HN_ENCODE_START, 258, 258);
    hn_tokenizer_destroy(&t);
    gpt2(&b, "gpt-2", -1);
    CHECK_OK(end(&b, &t));
    EXPECT(t, "ab12", HN_ENCODE_START, 256, 257);
    EXPECT(t, "1212", 0, 257, 257);
    hn_tokenizer_destroy(&t);
    gpt2(&b, "llama-bpe", -1);
    put_bool(&b, "add_bos_token", false);
    CHECK_OK(end(&b, &t));
    EXPECT(t, "1212", 0, 257, '1', '2'); // three digits at most
    hn_tokenizer_destroy(&t);
    gpt2(&b, "qwen2", -1);
    CHECK_OK(end(&b, &t));
    EXPECT(t, "e\xcc\x81", 0, 0xc3, 0xa9); // normal form C
    hn_tokenizer_destroy(&t);
}

static void check_refused(void **state)
{
    (void)state;
    static blob b;
    hn_tokenizer *t;
    gpt2(&b, "gpt-9", -1);
    CHECK_FAILS(end(&b, &t), HN_ERR_UNSUPPORTED);
    assert_non_null(strstr(hn_error_text(), "'t.gguf': tokenizer.ggml.pre: "));
    assert_non_null(strstr(hn_error_text(), "the pre-tokenizer 'gpt-9'"));
    gpt2(&b, NULL, -1);
    CHECK_FAILS(end(&b, &t), HN_ERR_FORMAT);
    gpt2(&b, "llama-bpe", -1); // which puts a start token where nothing else is said
    CHECK_FAILS(end(&b, &t), HN_ERR_FORMAT);
    assert_non_null(strstr(hn_error_text(), "bos_token_id"));
    gpt2(&b, "gpt-2", 'b');
    CHECK_FAILS(end(&b, &t), HN_ERR_FORMAT);
    assert_non_null(strstr(hn_error_text(), "merge 1: its second name"));
    llama(&b, "scores");
    CHECK_FAILS(end(&b, &t), HN_ERR_FORMAT);
    llama(&b, "");
    put_int(&b, "unknown_token_id", N_TOKENS);
    CHECK_FAILS(end(&b, &t), HN_ERR_FORMAT);
    llama(&b, "");
    put_bool(&b, "remove_extra_whitespaces", true);
    CHECK_FAILS(end(&b, &t), HN_ERR_UNSUPPORTED);
    begin(&b);
    put_text(&b, "model", "t5");
    CHECK_FAILS(end(&b, &t), HN_ERR_UNSUPPORTED);
    assert_non_null(strstr(hn_error_text(), "'t5'"));
    static const char *const names[] = { "\xff", "a", "a" };
    for (int i = 0; i < 3; i++) { // no UTF-8, a NUL, one name twice
        begin(&b);
        put_text(&b, "model", "llama");
        put_array(&b, "tokens", HN__GGUF_STRING, 2);
        put_string(&b, names[i], i == 1 ? 2 : 1);
        put_string(&b, "a", 1);
        CHECK_FAILS(end(&b, &t), HN_ERR_FORMAT);
    }
}

static hn_status work(void *user)
{
    hn_tokenizer *t = NULL;
    hn_ids ids = { 0 };
    hn_status s = end(user, &t);
    if (s == HN_OK)
        s = hn_tokenizer_encode(t, "a b", 3, 0, &ids);
    hn_ids_free(&ids);
    hn_tokenizer_destroy(&t);
    return s;
}

static void check_allocations(void **state)
{
    (void)state;
    static blob b;
    llama(&b, "");
    assert_true(failing_allocations("llama", work, &b) > 10);
    gpt2(&b, "smollm", -1);
    assert_true(failing_allocations("gpt2", work, &b) > 10);
}

// ---- SmolLM2 ---------------------------------------------------------------------------------

static void check_row(hn_tokenizer *t, const json_t *row, int line, int flags)
{
    const char *text = json_string_value(json_object_get(row, "text"));
    const size_t n_text = json_string_length(json_object_get(row, "text"));
    const json_t *want = flags ? NULL : json_object_get(row, "ids_plain");
    hn_ids ids = { 0 };
    want = want ? want : json_object_get(row, "ids");
    CHECK_OK(hn_tokenizer_encode(t, text, n_text, flags, &ids));
    CHECK(ids.n == (int64_t)json_array_size(want), "line %d: %d tokens, want %d", line,
          (int)ids.n, (int)json_array_size(want));
    for (int64_t i = 0; i < ids.n; i++)
        CHECK(ids.id[i] == json_integer_value(json_array_get(want, (size_t)i)),
              "line %d: token %d is %d", line, (int)i, (int)ids.id[i]);
    hn_ids_free(&ids);
}

static void check_smollm2(void **state)
{
    (void)state;
    char path[4200];
    snprintf(path, sizeof path, "%s/SmolLM2-135M-Instruct.Q4_1.gguf",
             model_folder("smollm2-135m"));
    hn_pretrained *p;
    hn_tokenizer *t[2];
    CHECK_OK(hn_pretrained_open(path, &p));
    CHECK_OK(hn__pretrained_tokenizer(p, &t[0]));
    hn_pretrained_close(&p);
    assert_int_equal(hn_tokenizer_vocab_size(t[0]), 49152);
    assert_int_equal(hn_tokenizer_missing_bytes(t[0]), 21);
    const int32_t *start;
    assert_int_equal(hn_tokenizer_start(t[0], &start), 0);
    folder_make("smollm2");
    CHECK_OK(hn_tokenizer_save(t[0], folder_path("tokenizer.json")));
    CHECK_OK(hn_tokenizer_load(folder_path("tokenizer.json"), &t[1]));
    assert_true(hn_tokenizer_hash(t[0]) == hn_tokenizer_hash(t[1]));
    FILE *f = fopen(reference_path("smollm2-135m/tokenizer.jsonl"), "r");
    assert_non_null(f);
    static char line[1 << 16];
    int n = 0;
    while (fgets(line, sizeof line, f)) {
        json_t *row = json_loads(line, JSON_ALLOW_NUL, NULL);
        assert_non_null(row);
        n++;
        for (int k = 0; k < 4; k++)
            check_row(t[k / 2], row, n, k % 2 ? HN_ENCODE_SPECIAL : 0);
        json_decref(row);
    }
    fclose(f);
    assert_int_equal(n, 360);
    folder_remove();
    hn_tokenizer_destroy(&t[0]);
    hn_tokenizer_destroy(&t[1]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(check_llama),       cmocka_unit_test(check_gpt2),
        cmocka_unit_test(check_refused),     cmocka_unit_test(check_allocations),
        cmocka_unit_test(check_smollm2),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
