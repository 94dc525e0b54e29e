// Byte-level BPE: equal to the stored tokens of the original, training, saving, refusals.
// HN_TEST_GPT2 names a folder with encoder.json and vocab.bpe; without it GPT-2's rows are left
// out.
#include "support/check.h"
#include "support/failing.h"
#include "support/folder.h"

#include "io/bpe.h"
#include "io/json.h"
#include "io/text.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void check_ids(hn_tokenizer *t, const json_t *row, const char *column, size_t line)
{
    const char *text = json_string_value(json_object_get(row, "text"));
    const json_t *want = json_object_get(row, column);
    hn_ids ids = { 0 };
    CHECK_OK(hn_tokenizer_encode(t, text, strlen(text),
                                 json_is_true(json_object_get(row, "special")) ? HN_ENCODE_SPECIAL
                                                                               : 0,
                                 &ids));
    CHECK(ids.n == (int64_t)json_array_size(want), "row %zu, %s: %d tokens, want %zu", line,
          column, (int)ids.n, json_array_size(want));
    for (int64_t i = 0; i < ids.n; i++)
        CHECK(ids.id[i] == json_integer_value(json_array_get(want, (size_t)i)),
              "row %zu, %s: token %d is %d", line, column, (int)i, (int)ids.id[i]);
    size_t n;
    CHECK_OK(hn_tokenizer_decode(t, ids.id, ids.n, NULL, 0, &n));
    char *back = malloc(n + 1);
    CHECK_OK(hn_tokenizer_decode(t, ids.id, ids.n, back, n, &n));
    CHECK(n == strlen(text) && !memcmp(back, text, n), "row %zu, %s: decoded different", line,
          column);
    free(back);
    hn_ids_free(&ids);
}

static void check_equal(void **state)
{
    (void)state;
    json_t *rows;
    CHECK_OK(hn__json_load(HN_TEST_DATA "/tokenizers.json", 1 << 20, &rows));
    assert_true(json_array_size(rows) > 200);
    const char *const paths[] = { HN_TEST_DATA "/bpe.json", getenv("HN_TEST_GPT2") };
    const char *const columns[] = { "small", "gpt2" };
    for (int k = 0; k < 2; k++) {
        hn_tokenizer *t;
        if (!paths[k]) {
            print_message("HN_TEST_GPT2 is not set: GPT-2's rows are left out\n");
            continue;
        }
        CHECK_OK(hn_tokenizer_load(paths[k], &t));
        for (size_t i = 0; i < json_array_size(rows); i++)
            check_ids(t, json_array_get(rows, i), columns[k], i);
        hn_tokenizer_destroy(&t);
    }
    json_decref(rows);
}

static hn_tokenizer *train(const char *text, int vocab)
{
    static const char *const special[] = { "<|end|>", "<s>" };
    hn_tokenizer *t;
    CHECK_OK(hn_tokenizer_train(
        text, strlen(text),
        &(hn_tokenizer_params){ .vocab_size = vocab, .special = special, .n_special = 2 }, &t));
    return t;
}

static void expect(hn_tokenizer *t, const char *text, int flags, int n, const int32_t *want)
{
    hn_ids ids = { 0 };
    CHECK_OK(hn_tokenizer_encode(t, text, strlen(text), flags, &ids));
    CHECK(ids.n == n && (!n || !memcmp(ids.id, want, (size_t)n * sizeof *want)),
          "'%s' gives %d tokens, %d first", text, (int)ids.n, ids.n ? (int)ids.id[0] : -1);
    hn_ids_free(&ids);
}

// "ab ab ab abc abc aaaa" by hand: " a" and "ab" stand 5 times, " a" has the lower tokens: 256.
// Then " a" and "b" stand 4 times: 257. Then "aa" (neighbours in "aaa", 2) and " ab" and "c" (2):
// 258 is "aa", 259 " abc".
static void check_train_by_hand(void **state)
{
    (void)state;
    hn_tokenizer *t = train("ab ab ab abc abc aaaa", 264);
    static const char *const want[] = { " a", " ab", "aa", " abc" };
    for (int i = 0; i < 4; i++) {
        size_t n;
        const char *p = hn_tokenizer_bytes(t, 256 + i, &n);
        CHECK(n == strlen(want[i]) && !memcmp(p, want[i], n), "token %d is '%.*s'", 256 + i,
              (int)n, p ? p : "");
        assert_int_equal(hn_tokenizer_find(t, want[i], strlen(want[i])), 256 + i);
    }
    // Nothing else stands twice, so the special tokens follow.
    assert_int_equal(hn_tokenizer_vocab_size(t), 262);
    assert_int_equal(hn_tokenizer_find(t, "<s>", 3), 261);
    assert_true(hn_tokenizer_is_special(t, 260) && !hn_tokenizer_is_special(t, 256));
    expect(t, " abc ab", 0, 2, (const int32_t[]){ 259, 257 });
    expect(t, "abc", 0, 3, (const int32_t[]){ 'a', 'b', 'c' });
    expect(t, "aaa", 0, 2, (const int32_t[]){ 258, 'a' });
    expect(t, "x<|end|>y", HN_ENCODE_SPECIAL, 3, (const int32_t[]){ 'x', 260, 'y' });
    expect(t, "<s>", 0, 3, (const int32_t[]){ '<', 's', '>' });
    expect(t, "", 0, 0, NULL);
    hn_tokenizer_destroy(&t);
}

// Pairs counted anew over the whole text at every step: slow and plain, the definition of
// training. Words are split by single spaces. A token stands once, also where two merges make it.
static int naive(const char *text, int vocab, int32_t rule[][2])
{
    static char name[512][512];
    int32_t sym[400];
    int n = 0, next = 256, n_rule = 0;
    for (int b = 0; b < 256; b++)
        snprintf(name[b], sizeof name[b], "%c", b);
    for (; text[n]; n++)
        sym[n] = (unsigned char)text[n];
    while (next < vocab) {
        int best = 0;
        int32_t a = 0, b = 0;
        for (int i = 0; i + 1 < n; i++) {
            if (sym[i] == ' ' || sym[i + 1] == ' ')
                continue;
            int count = 0;
            for (int k = 0; k + 1 < n; k++)
                count += sym[k] == sym[i] && sym[k + 1] == sym[i + 1];
            if (count > best ||
                (count == best && (sym[i] < a || (sym[i] == a && sym[i + 1] < b)))) {
                best = count;
                a = sym[i];
                b = sym[i + 1];
            }
        }
        if (best < 2)
            break;
        rule[n_rule][0] = a;
        rule[n_rule++][1] = b;
        char joined[512];
        snprintf(joined, sizeof joined, "%.255s%.255s", name[a], name[b]);
        strcpy(name[next], joined);
        int made = 256;
        while (strcmp(name[made], name[next]))
            made++;
        next += made == next;
        int m = 0;
        for (int i = 0; i < n; i++) {
            const bool hit = i + 1 < n && sym[i] == a && sym[i + 1] == b;
            sym[m++] = hit ? made : sym[i];
            i += hit;
        }
        n = m;
    }
    return n_rule;
}

static void check_train_is_naive(void **state)
{
    (void)state;
    for (uint64_t seed = 0; seed < 300; seed++) {
        hn_rng r = hn__rng(seed, 3);
        char text[400], spaced[400];
        const int n = (int)hn__rng_below(&r, 300);
        for (int i = 0; i < n; i++) {
            // A single newline before a letter is a word of its own, as the space is in naive().
            const bool may = i && text[i - 1] != '\n' && i < n - 1 && hn__rng_below(&r, 4) == 0;
            text[i] = may ? '\n' : (char)('a' + hn__rng_below(&r, 2));
            spaced[i] = text[i] == '\n' ? ' ' : text[i];
        }
        spaced[n] = 0;
        int32_t want[400][2];
        const int n_want = naive(spaced, 256 + 64, want);
        hn_tokenizer *t;
        CHECK_OK(hn_tokenizer_train(text, (size_t)n, &(hn_tokenizer_params){ .vocab_size = 320 },
                                    &t));
        CHECK(t->n_rule == n_want, "seed %d: %d merges, want %d", (int)seed, (int)t->n_rule,
              n_want);
        CHECK(!n_want || !memcmp(t->rule, want, sizeof want[0] * (size_t)n_want),
              "seed %d: other merges", (int)seed);
        hn_tokenizer_destroy(&t);
    }
}

static void check_save(void **state)
{
    (void)state;
    folder_make("bpe");
    hn_tokenizer *t = train("the cat and the hat and the bat \xc3\xa9t\xc3\xa9 \xc3\xa9t\xc3\xa9",
                            300),
                 *u;
    CHECK_OK(hn_tokenizer_save(t, folder_path("tokenizer.json")));
    CHECK_OK(hn_tokenizer_load(folder_path("."), &u));
    assert_true(hn_tokenizer_hash(t) == hn_tokenizer_hash(u));
    assert_int_equal(hn_tokenizer_vocab_size(t), hn_tokenizer_vocab_size(u));
    CHECK_OK(hn_tokenizer_save(u, folder_path("again.json")));
    hn__map a, b;
    CHECK_OK(hn__map_open(folder_path("tokenizer.json"), &a));
    CHECK_OK(hn__map_open(folder_path("again.json"), &b));
    assert_int_equal(a.size, b.size);
    assert_memory_equal(a.data, b.data, a.size);
    hn__map_close(&a);
    hn__map_close(&b);
    hn_tokenizer *other = train("the cat and the hat and the bat", 300);
    assert_true(hn_tokenizer_hash(t) != hn_tokenizer_hash(other));
    hn_tokenizer_destroy(&other);
    hn_tokenizer_destroy(&t);
    hn_tokenizer_destroy(&u);
    folder_remove();
}

// Bytes that are no UTF-8 give their own tokens, and come back.
static void check_any_bytes(void **state)
{
    (void)state;
    hn_tokenizer *t;
    CHECK_OK(hn_tokenizer_load(HN_TEST_DATA "/bpe.json", &t));
    for (uint64_t seed = 0; seed < 2000; seed++) {
        hn_rng r = hn__rng(seed, 4);
        uint8_t text[64], back[64];
        const size_t n = (size_t)hn__rng_below(&r, 65);
        for (size_t i = 0; i < n; i++)
            text[i] =
                (uint8_t)(hn__rng_below(&r, 3) ? 'a' + hn__rng_below(&r, 26) : hn__rng_u32(&r));
        hn_ids ids = { 0 };
        CHECK_OK(hn_tokenizer_encode(t, text, n, HN_ENCODE_SPECIAL, &ids));
        size_t m;
        CHECK_OK(hn_tokenizer_decode(t, ids.id, ids.n, back, sizeof back, &m));
        CHECK(m == n && !memcmp(back, text, n), "seed %d: decoded different", (int)seed);
        hn_ids_free(&ids);
    }
    size_t n;
    const int32_t no[] = { -1, 700 };
    for (int i = 0; i < 2; i++)
        CHECK_FAILS(hn_tokenizer_decode(t, &no[i], 1, NULL, 0, &n), HN_ERR_ARG);
    assert_null(hn_tokenizer_bytes(t, -1, &n));
    assert_int_equal(hn_tokenizer_find(t, "no such token", 13), -1);
    hn_tokenizer_destroy(&t);
}

// A million letters are one pre-token: n log n, not n^2.
static void check_long_word(void **state)
{
    (void)state;
    hn_tokenizer *t;
    enum { N = 1 << 20 };
    char *text = malloc(N);
    memset(text, 'a', N);
    CHECK_OK(hn_tokenizer_load(HN_TEST_DATA "/bpe.json", &t));
    hn_ids ids = { 0 };
    const uint64_t start = hn__now_ns();
    CHECK_OK(hn_tokenizer_encode(t, text, N, 0, &ids));
    memset(text, ' ', N);
    CHECK_OK(hn_tokenizer_encode(t, text, N, 0, &ids));
    CHECK(hn__now_ns() - start < 5000000000u, "takes %d ms",
          (int)((hn__now_ns() - start) / 1000000));
    hn_tokenizer_destroy(&t);
    CHECK_OK(hn_tokenizer_train(text, N, &(hn_tokenizer_params){ .vocab_size = 280 }, &t));
    hn_tokenizer_destroy(&t);
    hn_ids_free(&ids);
    free(text);
}

static void check_streaming(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        size_t n, want;
    } cases[] = { { "", 0, 0 },           { "a", 1, 1 },       { "\xc3", 1, 0 },
                  { "\xc3\xa9", 2, 2 },   { "a\xe2\x82", 3, 1 }, { "\xe2\x82\xac", 3, 3 },
                  { "\xf0\x9f\x99", 3, 0 }, { "x\xf0\x9f\x99\x82", 5, 5 },
                  { "\x82", 1, 1 },       { "\xff", 1, 1 },    { "\xed\xa0", 2, 2 },
                  { "\xe2\xe2", 2, 1 },   { "\xf0\x80", 2, 2 } };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        CHECK(hn_utf8_complete(cases[i].text, cases[i].n) == cases[i].want, "case %zu gives %zu",
              i, hn_utf8_complete(cases[i].text, cases[i].n));
}

static void check_nfc(void **state)
{
    (void)state;
    static const struct {
        const char *text, *want;
    } cases[] = {
        { "e\xcc\x81", "\xc3\xa9" },                             // e, acute
        { "e\xcc\xa3\xcc\x81", "\xe1\xba\xb9\xcc\x81" },         // e, dot below, acute
        { "e\xcc\x81\xcc\xa3", "\xe1\xba\xb9\xcc\x81" },         // the same in the other order
        { "\xe1\x84\x92\xe1\x85\xa1\xe1\x86\xab", "\xed\x95\x9c" }, // Hangul
        { "\xe2\x84\xab", "\xc3\x85" },                          // Angstrom
        { "\xef\xac\x81", "\xef\xac\x81" },                      // fi stays: canonical only
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        uint8_t *out;
        size_t n;
        CHECK_OK(hn__nfc((const uint8_t *)cases[i].text, strlen(cases[i].text), &out, &n));
        const char *got = out ? (const char *)out : cases[i].text;
        CHECK(n == strlen(cases[i].want) && !memcmp(got, cases[i].want, n), "case %zu", i);
        hn__free(out);
    }
}

// ---- files -----------------------------------------------------------------------------------

// A tokenizer.json with 256 bytes and one merge; each argument replaces a part.
static char *file(const char *pre, const char *model, const char *added, const char *rest)
{
    static char text[16384];
    size_t n = 0;
    n += (size_t)sprintf(text + n, "{\"version\":\"1.0\",\"decoder\":{\"type\":\"ByteLevel\"},%s",
                         rest);
    n += (size_t)sprintf(text + n, "\"pre_tokenizer\":%s,\"added_tokens\":%s,\"model\":{%s"
                         "\"vocab\":{", pre, added, model);
    for (int b = 0; b < 256; b++) {
        char c[2];
        const int len = hn__byte_char((uint8_t)b, c);
        n += (size_t)sprintf(text + n, "\"%s%.*s\":%d,", b == '"' || b == '\\' ? "\\" : "", len, c,
                             b);
    }
    sprintf(text + n, "\"ab\":256}}}");
    return text;
}

static const char level[] = "{\"type\":\"ByteLevel\",\"add_prefix_space\":false}";

static const char ok[] = "\"merges\":[\"a b\"],";
#define SPLIT(pattern)                                                                            \
    "{\"type\":\"Sequence\",\"pretokenizers\":[{\"type\":\"Split\",\"pattern\":{\"Regex\":"       \
    "\"" pattern "\"},\"behavior\":\"Isolated\",\"invert\":false},{\"type\":\"ByteLevel\","       \
    "\"add_prefix_space\":false,\"use_regex\":false}]}"
#define ADDED(id, content)                                                                        \
    "[{\"id\":" #id ",\"content\":\"" content "\",\"single_word\":false,\"lstrip\":false,"        \
    "\"rstrip\":false,\"normalized\":false,\"special\":true}]"
#define POST(single)                                                                              \
    "\"post_processor\":{\"type\":\"TemplateProcessing\",\"single\":[" single "],\"pair\":[]," \
    "\"special_tokens\":{\"ab\":{\"ids\":[256]},\"no\":{\"ids\":[257]}}},"
static const struct {
    const char *pre, *model, *added, *rest, *why;
} cases[] = {
    { level, ok, "[]", "", NULL },
    { level, ok, ADDED(257, "<s>"), "", NULL },
    { level, "\"merges\":[[\"a\",\"b\"]],", "[]", "", NULL },
    { SPLIT("\\\\p{L}+|\\\\s|[^\\\\s\\\\d]{1,3}|(?i:'s)"), ok, "[]", "", NULL },
    { level, ok, "[]", "\"normalizer\":{\"type\":\"NFC\"},", NULL },
    { level, ok, ADDED(258, "<s>"), "", "by the vocabulary it is 257" },
    { level, ok, ADDED(3, "ab"), "", "by the vocabulary it is 256" },
    { level, ok, ADDED(257, ""), "", "no content" },
    { level, ok, "[{\"id\":257}]", "", "\"content\": missing" },
    { level, "", "[]", "", "\"merges\": missing" },
    { level, "\"merges\":[\"ab\"],", "[]", "", "merge 1" },
    { level, "\"merges\":[\"a b c\"],", "[]", "", "merge 1" },
    { level, "\"merges\":[\"a c\"],", "[]", "", "what it makes" },
    { level, "\"merges\":[\"a xx\"],", "[]", "", "the second" },
    { level, "\"merges\":[7],", "[]", "", "merge 1" },
    { level, "\"merges\":[],\"dropout\":0.1,", "[]", "", "dropout" },
    { level, "\"merges\":[],\"end_of_word_suffix\":\"</w>\",", "[]", "", "end_of_word" },
    { level, "\"merges\":[],\"type\":\"WordPiece\",", "[]", "", "WordPiece" },
    { level, "\"merges\":[],\"news\":1,", "[]", "", "news" },
    { level, ok, "[]", "\"news\":1,", "news" },
    { level, ok, "[]", "\"truncation\":{\"max_length\":1},", NULL },
    { level, ok, "[]", "\"normalizer\":{\"type\":\"Lowercase\"},", "Lowercase" },
    { level, ok, "[]", "\"post_processor\":{\"type\":\"TemplateProcessing\"},", "\"single\"" },
    { level, ok, "[]", POST("{\"Sequence\":{}}"), NULL },
    { level, ok, "[]", POST("{\"SpecialToken\":{\"id\":\"ab\"}},{\"Sequence\":{}}"), NULL },
    { level, ok, "[]", POST("{\"SpecialToken\":{\"id\":\"ab\"}}"), "has no text" },
    { level, ok, "[]", POST("{\"Sequence\":{}},{\"Sequence\":{}}"), "nor the one text" },
    { level, ok, "[]", POST("{\"SpecialToken\":{\"id\":\"x\"}},{\"Sequence\":{}}"), "'x' is not" },
    { level, ok, "[]", POST("{\"SpecialToken\":{\"id\":\"no\"}},{\"Sequence\":{}}"), "no token" },
    { level, ok, "[]", "\"post_processor\":{\"type\":\"BertProcessing\"},", "BertProcessing" },
    { level, ok, "[]", "\"normalizer\":{\"type\":\"Replace\",\"pattern\":{\"Regex\":\"a\"},"
                      "\"content\":\"\"},", "is no String" },
    { level, "\"merges\":[\"a b\"],\"unk_token\":\"none\",", "[]", "", NULL },
    { "null", ok, "[]", "", "pre_tokenizer" },
    { "{\"type\":\"Metaspace\"}", ok, "[]", "", "last" },
    { "{\"type\":\"ByteLevel\"}", ok, "[]", "", "add_prefix_space" },
    { SPLIT("\\\\w+"), ok, "[]", "", "this escape" },
    { SPLIT("^a"), ok, "[]", "", "an anchor" },
    { SPLIT("(?<n>a)"), ok, "[]", "", "kind of group" },
    { SPLIT("[a[b]]"), ok, "[]", "", "set operation" },
    { SPLIT("(?i:ss)"), ok, "[]", "", "without regard" },
    { SPLIT("a{2}+"), ok, "[]", "", "this repeat" },
    { SPLIT("\\\\p{Cn}"), ok, "[]", "", "this property" },
    { SPLIT("(a"), ok, "[]", "", "split pattern" },
};

static void check_refused(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const char *text = file(cases[i].pre, cases[i].model, cases[i].added, cases[i].rest);
        hn_tokenizer *t;
        const hn_status s = hn__tokenizer_read(text, strlen(text), "t.json", &t);
        if (!cases[i].why) {
            CHECK_OK(s);
            expect(t, "abab", 0, 2, (const int32_t[]){ 256, 256 });
            hn_tokenizer_destroy(&t);
            continue;
        }
        CHECK(s == HN_ERR_FORMAT || s == HN_ERR_UNSUPPORTED, "case %zu is %s", i,
              hn_status_name(s));
        CHECK(strstr(hn_error_text(), cases[i].why) && strstr(hn_error_text(), "'t.json'"),
              "case %zu says: %s", i, hn_error_text());
    }
}

// A pattern that backtracks without end is stopped, in words.
static void check_backtracking(void **state)
{
    (void)state;
    const char *text = file(SPLIT("(a+)+b|."), "\"merges\":[],", "[]", "");
    hn_tokenizer *t;
    CHECK_OK(hn__tokenizer_read(text, strlen(text), "t.json", &t));
    hn_ids ids = { 0 };
    CHECK_FAILS(hn_tokenizer_encode(t, "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaac", 41, 0, &ids),
                HN_ERR_UNSUPPORTED);
    assert_int_equal(ids.n, 0);
    hn_ids_free(&ids);
    hn_tokenizer_destroy(&t);
}

static hn_status work(void *user)
{
    hn_tokenizer *t = NULL, *u = NULL;
    hn_ids ids = { 0 };
    hn_status s = hn_tokenizer_train("ab ab ab abc abc", 16,
                                     &(hn_tokenizer_params){ .vocab_size = 300 }, &t);
    if (s == HN_OK)
        s = hn_tokenizer_save(t, folder_path("t.json"));
    if (s == HN_OK)
        s = hn__tokenizer_read(user, strlen(user), "t", &u);
    if (s == HN_OK)
        s = hn_tokenizer_encode(u, "abc e\xcc\x81 the", 10, HN_ENCODE_SPECIAL, &ids);
    hn_ids_free(&ids);
    hn_tokenizer_destroy(&t);
    hn_tokenizer_destroy(&u);
    return s;
}

static void check_allocations(void **state)
{
    (void)state;
    folder_make("bpe-nomem");
    char *text = file(level, "\"merges\":[\"a b\"],", ADDED(257, "<s>"),
                      "\"normalizer\":{\"type\":\"NFC\"},");
    assert_true(failing_allocations("tokenizer", work, text) > 50);
    folder_remove();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(check_equal),        cmocka_unit_test(check_train_by_hand),
        cmocka_unit_test(check_train_is_naive), cmocka_unit_test(check_save),
        cmocka_unit_test(check_any_bytes),    cmocka_unit_test(check_long_word),
        cmocka_unit_test(check_streaming),    cmocka_unit_test(check_nfc),
        cmocka_unit_test(check_refused),      cmocka_unit_test(check_backtracking),
        cmocka_unit_test(check_allocations),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
