// BPE over characters with bytes to fall back on, as SentencePiece's models have it: encoding by
// hand, unknown characters, spaces, tokens around a text, saving, refusals. What published
// tokenizers give is compared with another implementation by tests/oracle/tokenizers.py.
#include "support/check.h"
#include "support/failing.h"
#include "support/folder.h"

#include "io/bpe.h"
#include "io/pretrained.h"

#include <stdio.h>
#include <string.h>

#define MARK "\xe2\x96\x81"
// clang-format off
#define PREPEND \
    "{\"type\":\"Sequence\",\"normalizers\":[{\"type\":\"Prepend\",\"prepend\":\"" MARK "\"}," \
    "{\"type\":\"Replace\",\"pattern\":{\"String\":\" \"},\"content\":\"" MARK "\"}]}"
#define META(rest) \
    "{\"type\":\"Metaspace\",\"replacement\":\"" MARK "\"" rest "}"
#define DECODER(rest) \
    "{\"type\":\"Sequence\",\"decoders\":[{\"type\":\"Replace\",\"pattern\":{\"String\":\"" MARK \
    "\"},\"content\":\" \"}," rest "{\"type\":\"Fuse\"}]}"
#define FALLBACK DECODER("{\"type\":\"ByteFallback\"},")
#define STRIP \
    DECODER("{\"type\":\"ByteFallback\"},{\"type\":\"Strip\",\"content\":\" \",\"start\":1," \
            "\"stop\":0},")
// clang-format on

enum { BYTE = 3, SPACE = 259, A, B, E_ACUTE, AB, SPACE_AB, ADDED };

// 0 <unk>, 1 <s>, 2 </s>, 256 bytes, then as the enum has them.
static char *file(const char *normalizer, const char *pre, const char *decoder, const char *model)
{
    static char text[16384];
    size_t n = (size_t)sprintf(
        text,
        "{\"version\":\"1.0\",\"normalizer\":%s,\"pre_tokenizer\":%s,\"decoder\":%s,"
        "\"post_processor\":{\"type\":\"TemplateProcessing\",\"single\":["
        "{\"SpecialToken\":{\"id\":\"<s>\"}},{\"Sequence\":{}},"
        "{\"SpecialToken\":{\"id\":\"</s>\"}}],\"pair\":[],"
        "\"special_tokens\":{\"<s>\":{\"ids\":[1]},\"</s>\":{\"ids\":[2]}}},\"added_tokens\":["
        "{\"id\":1,\"content\":\"<s>\",\"single_word\":false,\"lstrip\":false,\"rstrip\":false,"
        "\"normalized\":false,\"special\":true},"
        "{\"id\":%d,\"content\":\"<tool>\",\"single_word\":false,\"lstrip\":false,"
        "\"rstrip\":false,\"normalized\":false,\"special\":false}],\"model\":{%s"
        "\"unk_token\":\"<unk>\","
        "\"vocab\":{\"<unk>\":0,\"<s>\":1,\"</s>\":2,",
        normalizer, pre, decoder, ADDED, model);
    for (int b = 0; b < 256; b++)
        n += (size_t)sprintf(text + n, "\"<0x%02X>\":%d,", (unsigned)b, BYTE + b);
    sprintf(text + n,
            "\"" MARK "\":259,\"a\":260,\"b\":261,\"\xc3\xa9\":262,\"ab\":263,\"" MARK "ab\":264},"
            "\"merges\":[\"a b\",\"" MARK " ab\"]}}");
    return text;
}

static hn_tokenizer *read(const char *normalizer, const char *pre, const char *decoder,
                          const char *model)
{
    const char *text = file(normalizer, pre, decoder, model);
    hn_tokenizer *t;
    CHECK_OK(hn__tokenizer_read(text, strlen(text), "t.json", &t));
    return t;
}

static const char with_bytes[] = "\"byte_fallback\":true,\"fuse_unk\":true,";

static void expect(hn_tokenizer *t, const char *text, int flags, int n, const int32_t *want)
{
    hn_ids ids = { 0 };
    CHECK_OK(hn_tokenizer_encode(t, text, strlen(text), flags, &ids));
    CHECK(ids.n == n && (!n || !memcmp(ids.id, want, (size_t)n * sizeof *want)),
          "'%s' gives %d tokens: %d %d %d", text, (int)ids.n, ids.n ? (int)ids.id[0] : -1,
          ids.n > 1 ? (int)ids.id[1] : -1, ids.n > 2 ? (int)ids.id[2] : -1);
    hn_ids_free(&ids);
}
#define EXPECT(t, text, flags, ...) \
    expect(t, text, flags, (int)(sizeof((int32_t[]){ __VA_ARGS__ }) / sizeof(int32_t)), \
           (const int32_t[]){ __VA_ARGS__ })

static void check_by_hand(void **state)
{
    (void)state;
    hn_tokenizer *t = read(PREPEND, "null", STRIP, with_bytes);
    assert_int_equal(hn_tokenizer_vocab_size(t), ADDED + 1);
    assert_int_equal(hn_tokenizer_missing_bytes(t), 0);
    EXPECT(t, "ab", 0, SPACE_AB);
    EXPECT(t, " ab ab", 0, SPACE, SPACE_AB, SPACE_AB);
    EXPECT(t, "b\n", 0, SPACE, B, BYTE + '\n');
    EXPECT(t, "\xc3\xa9\xe8\xaa\x9e", 0, SPACE, E_ACUTE, BYTE + 0xe8, BYTE + 0xaa, BYTE + 0x9e);
    EXPECT(t, "a\xff", 0, SPACE, A, BYTE + 0xff);
    EXPECT(t, "ab", HN_ENCODE_START, 1, SPACE_AB);
    EXPECT(t, "ab", HN_ENCODE_START | HN_ENCODE_END, 1, SPACE_AB, 2);
    EXPECT(t, "<s>ab", HN_ENCODE_SPECIAL, 1, SPACE_AB);
    EXPECT(t, "<s>", 0, SPACE, BYTE + '<', BYTE + 's', BYTE + '>');
    EXPECT(t, "<tool>ab", 0, ADDED, SPACE_AB); // found though special ones are not
    expect(t, "", 0, 0, NULL);
    const int32_t *start;
    assert_int_equal(hn_tokenizer_start(t, &start), 1);
    assert_int_equal(start[0], 1);
    hn_tokenizer_destroy(&t);
}

static void check_decoding(void **state)
{
    (void)state;
    hn_tokenizer *t = read(PREPEND, "null", STRIP, with_bytes);
    static const char text[] = "ab  \xc3\xa9\xe8\xaa\x9e\xff\n<tool> b";
    hn_ids ids = { 0 };
    char back[64];
    size_t n;
    CHECK_OK(hn_tokenizer_encode(t, text, sizeof text - 1, 0, &ids));
    CHECK_OK(hn_tokenizer_decode(t, ids.id, ids.n, back, sizeof back, &n));
    // What comes after a byte that is no text, or a token, is a text of its own with its space.
    static const char want[] = "ab  \xc3\xa9\xe8\xaa\x9e\xff \n<tool>  b";
    CHECK(n == sizeof want - 1 && !memcmp(back, want, n), "decoded '%.*s'", (int)n, back);
    const char *p = hn_tokenizer_bytes(t, SPACE_AB, &n);
    assert_true(n == 3 && !memcmp(p, " ab", 3));
    p = hn_tokenizer_bytes(t, BYTE + 'a', &n);
    assert_true(n == 1 && *p == 'a');
    assert_int_equal(hn_tokenizer_find(t, "a", 1), A); // not the byte
    assert_int_equal(hn_tokenizer_find(t, "\n", 1), BYTE + '\n');
    assert_int_equal(hn_tokenizer_find(t, " ab", 3), SPACE_AB);
    assert_int_equal(hn_tokenizer_find(t, "<tool>", 6), ADDED);
    hn_ids_free(&ids);
    hn_tokenizer_destroy(&t);
}

// Where no byte stands in for a character it is unknown: one token for each, or for all in a row.
static void check_unknown(void **state)
{
    (void)state;
    hn_tokenizer *t = read(PREPEND, "null", DECODER(""), "");
    assert_int_equal(hn_tokenizer_missing_bytes(t), 256);
    EXPECT(t, "axyb", 0, SPACE, A, 0, 0, B);
    EXPECT(t, "\xff", 0, 0);
    hn_tokenizer_destroy(&t);
    t = read(PREPEND, "null", DECODER(""), "\"fuse_unk\":true,");
    EXPECT(t, "axyb", 0, SPACE, A, 0, B);
    hn_tokenizer_destroy(&t);
}

static void check_metaspace(void **state)
{
    (void)state;
    static const struct {
        const char *pre;
        int32_t first, after; // tokens of "ab" at the start, and of "ab" after a special token
    } cases[] = {
        { META(""), SPACE_AB, SPACE_AB },
        { META(",\"add_prefix_space\":false"), AB, AB },
        { META(",\"prepend_scheme\":\"always\",\"split\":false"), SPACE_AB, SPACE_AB },
        { META(",\"prepend_scheme\":\"first\",\"split\":false"), SPACE_AB, AB },
        { META(",\"prepend_scheme\":\"never\",\"split\":true"), AB, AB },
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        hn_tokenizer *t = read("null", cases[i].pre, FALLBACK, with_bytes);
        EXPECT(t, "ab", 0, cases[i].first);
        EXPECT(t, " ab", 0, SPACE_AB); // a space that is there is enough
        EXPECT(t, "<s>ab ab", HN_ENCODE_SPECIAL, 1, cases[i].after, SPACE_AB);
        hn_tokenizer_destroy(&t);
    }
}

static void check_saved(void **state)
{
    (void)state;
    folder_make("spm");
    const char *const pre[] = { "null", META(",\"prepend_scheme\":\"first\",\"split\":false") };
    for (int i = 0; i < 2; i++) {
        hn_tokenizer *t = read(i ? "null" : PREPEND, pre[i], i ? FALLBACK : STRIP, with_bytes), *u;
        CHECK_OK(hn_tokenizer_save(t, folder_path("tokenizer.json")));
        CHECK_OK(hn_tokenizer_load(folder_path("."), &u));
        assert_true(hn_tokenizer_hash(t) == hn_tokenizer_hash(u));
        EXPECT(u, "ab\n", HN_ENCODE_START | HN_ENCODE_END, 1, SPACE_AB, BYTE + '\n', 2);
        assert_int_equal(t->strip_space, u->strip_space);
        hn_tokenizer_destroy(&t);
        hn_tokenizer_destroy(&u);
    }
    folder_remove();
}

// Parts make up one text, and a special token written in a plain part is text.
static void check_parts(void **state)
{
    (void)state;
    hn_tokenizer *t = read(PREPEND, "null", STRIP, with_bytes);
    static const char user[] = "b<s>";
    const hn_text_part parts[] = { { "<s>a", 4, true }, { user, 4, false }, { "<s", 2, true },
                                   { ">", 1, true } };
    static const int32_t want[] = { 1,          SPACE_AB,   BYTE + '<', BYTE + 's',
                                    BYTE + '>', BYTE + '<', BYTE + 's', BYTE + '>' };
    hn_ids ids = { 0 };
    CHECK_OK(hn_tokenizer_encode_parts(t, parts, 4, &ids));
    assert_int_equal(ids.n, sizeof want / sizeof *want);
    assert_memory_equal(ids.id, want, sizeof want);
    hn_ids_free(&ids);
    hn_tokenizer_destroy(&t);
}

// tokenizer_config.json may ask for a start token that no template has, or not want it.
static void check_config(void **state)
{
    (void)state;
    static const struct {
        const char *config;
        int first, n;
    } cases[] = { { "{}", 1, 2 },
                  { "{\"add_bos_token\":false}", 1, 2 }, // which token is not said
                  { "{\"bos_token\":\"<s>\",\"add_bos_token\":true}", 1, 2 },
                  { "{\"bos_token\":\"<s>\",\"add_bos_token\":false}", SPACE_AB, 1 },
                  { "{\"bos_token\":{\"content\":\"<s>\"},\"add_bos_token\":false}", SPACE_AB, 1 },
                  { "{\"bos_token\":\"</s>\",\"add_bos_token\":true}", 2, 2 } };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        hn_tokenizer *t = read(PREPEND, "null", STRIP, with_bytes);
        json_t *config = json_loads(cases[i].config, 0, NULL);
        hn_ids ids = { 0 };
        CHECK_OK(hn__tokenizer_set_config(t, config));
        CHECK_OK(hn_tokenizer_encode(t, "ab", 2, HN_ENCODE_START | HN_ENCODE_END, &ids));
        CHECK(ids.id[0] == cases[i].first && ids.n == cases[i].n + 1, "case %zu: %d first of %d",
              i, ids.id[0], (int)ids.n);
        CHECK(ids.id[ids.n - 1] == 2, "case %zu: no end", i);
        hn_ids_free(&ids);
        json_decref(config);
        hn_tokenizer_destroy(&t);
    }
    hn_tokenizer *t = read(PREPEND, "null", STRIP, with_bytes);
    json_t *config = json_loads("{\"bos_token\":\"<no>\",\"add_bos_token\":true}", 0, NULL);
    CHECK_FAILS(hn__tokenizer_set_config(t, config), HN_ERR_FORMAT);
    json_decref(config);
    hn_tokenizer_destroy(&t);
}

static void check_refused(void **state)
{
    (void)state;
    static const struct {
        const char *normalizer, *pre, *decoder, *model, *why;
    } cases[] = {
        { "{\"type\":\"NFKC\"}", "null", FALLBACK, with_bytes, "NFKC" },
        { "{\"type\":\"Prepend\"}", "null", FALLBACK, with_bytes, "\"prepend\": missing" },
        { PREPEND, "{\"type\":\"Whitespace\"}", FALLBACK, with_bytes, "Whitespace" },
        { PREPEND, META(",\"prepend_scheme\":\"last\""), FALLBACK, with_bytes, "last" },
        { PREPEND, "{\"type\":\"Metaspace\",\"replacement\":\"_\"}", FALLBACK, with_bytes, "'_'" },
        { PREPEND, "null", DECODER("{\"type\":\"CTC\"},"), with_bytes, "CTC" },
        { PREPEND, "null", "{\"type\":\"WordPiece\"}", with_bytes, "WordPiece" },
        { PREPEND, "null", "{\"type\":\"Sequence\",\"decoders\":[]}", with_bytes, "Replace" },
        { PREPEND, "null", DECODER(""), with_bytes, "byte_fallback" },
        { PREPEND, "null", FALLBACK, "", "byte_fallback" },
        { PREPEND, "null", FALLBACK, "\"type\":\"Unigram\",", "Unigram" },
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const char *text = file(cases[i].normalizer, cases[i].pre, cases[i].decoder,
                                cases[i].model);
        hn_tokenizer *t;
        const hn_status s = hn__tokenizer_read(text, strlen(text), "t.json", &t);
        CHECK(s == HN_ERR_FORMAT || s == HN_ERR_UNSUPPORTED, "case %zu is %s", i,
              hn_status_name(s));
        CHECK(strstr(hn_error_text(), cases[i].why) && strstr(hn_error_text(), "'t.json'"),
              "case %zu says: %s", i, hn_error_text());
    }
}

static hn_status work(void *user)
{
    hn_tokenizer *t = NULL;
    hn_ids ids = { 0 };
    hn_status s = hn__tokenizer_read(user, strlen(user), "t", &t);
    if (s == HN_OK)
        s = hn_tokenizer_encode(t, "a b\xe8\xaa\x9e<s>", 9, 7, &ids);
    if (s == HN_OK)
        s = hn_tokenizer_encode_parts(t, &(hn_text_part){ "<s>a", 4, true }, 1, &ids);
    if (s == HN_OK)
        s = hn_tokenizer_save(t, folder_path("t.json"));
    hn_ids_free(&ids);
    hn_tokenizer_destroy(&t);
    return s;
}

static void check_allocations(void **state)
{
    (void)state;
    folder_make("spm-nomem");
    char *text = file(PREPEND, META(""), STRIP, with_bytes);
    assert_true(failing_allocations("tokenizer", work, text) > 20);
    folder_remove();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(check_by_hand),     cmocka_unit_test(check_decoding),
        cmocka_unit_test(check_unknown),     cmocka_unit_test(check_metaspace),
        cmocka_unit_test(check_saved),       cmocka_unit_test(check_parts),
        cmocka_unit_test(check_config),      cmocka_unit_test(check_refused),
        cmocka_unit_test(check_allocations),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
