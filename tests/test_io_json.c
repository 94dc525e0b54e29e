// JSON: bounds, words for what is wrong, numbers that come back.
#include "support/check.h"
#include "support/failing.h"
#include "support/folder.h"

#include "base/os.h"
#include "io/json.h"

#include <string.h>

static void refused(const char *text, const char *why)
{
    json_t *v;
    CHECK_FAILS(hn__json_parse(text, strlen(text), "c.json", &v), HN_ERR_FORMAT);
    assert_null(v);
    CHECK(strstr(hn_error_text(), why) && strstr(hn_error_text(), "'c.json'"), "%s says: %s", text,
          hn_error_text());
    assert_null(strchr(hn_error_text(), '\n'));
}

static void check_refused(void **state)
{
    (void)state;
    refused("", "line 1");
    refused("{\"a\": 1,\n\n \"b\": }", "line 3");
    refused("{\"a\":1,\"a\":2}", "duplicate");
    refused("{} {}", "line 1");
    refused("[\"\xff\"]", "line 1");
    refused("[\"\\ud800\"]", "line 1");
    refused("[1e999]", "line 1");
    refused("[99999999999999999999, 1e999]", "line 1");
    char deep[300];
    memset(deep, '[', sizeof deep - 1);
    deep[sizeof deep - 1] = 0;
    refused(deep, "deeper than 64");
    // Brackets inside strings are not nesting.
    json_t *v;
    deep[0] = deep[298] = '"';
    CHECK_OK(hn__json_parse("[\"[[[[\"]", 8, "x", &v));
    json_decref(v);
}

// Integers above 64 bits are reals; what fits stays an integer, and text stays text.
static void check_big(void **state)
{
    (void)state;
    static const char text[] =
        "{\"a\": 1000000000000000019884624838656, \"b\":-99999999999999999999,"
        "\"c\":9223372036854775807,\"d\":\"99999999999999999999\\\"99999999999999999999\","
        "\"e\":99999999999999999999.5,\"f\":[18446744073709551616]}";
    json_t *v;
    CHECK_OK(hn__json_parse(text, sizeof text - 1, "c", &v));
    assert_true(json_real_value(json_object_get(v, "a")) == 1e30);
    assert_true(json_real_value(json_object_get(v, "b")) == -1e20);
    assert_true(json_integer_value(json_object_get(v, "c")) == INT64_MAX);
    assert_string_equal(json_string_value(json_object_get(v, "d")),
                        "99999999999999999999\"99999999999999999999");
    assert_true(json_real_value(json_object_get(v, "e")) == 1e20);
    const double x = json_real_value(json_array_get(json_object_get(v, "f"), 0));
    assert_true(fabs(x / 0x1p64 - 1) < 1e-11); // as many digits as there is room for
    json_decref(v);
}

static void check_fields(void **state)
{
    (void)state;
    static const char text[] =
        "{\"i\":7,\"r\":0.5,\"b\":true,\"s\":\"x\",\"o\":{},\"a\":[],\"n\":null}";
    json_t *v;
    CHECK_OK(hn__json_parse(text, sizeof text - 1, "c", &v));
    int64_t i;
    double r;
    bool b;
    const char *s;
    const json_t *o;
    CHECK_OK(hn__json_int(v, "c", "i", 0, 7, &i));
    assert_int_equal(i, 7);
    CHECK_FAILS(hn__json_int(v, "c", "i", 0, 6, &i), HN_ERR_FORMAT);
    assert_string_equal(hn_error_text(), "c: \"i\": is 7, must be in 0 to 6");
    CHECK_FAILS(hn__json_int(v, "c", "r", 0, 9, &i), HN_ERR_FORMAT);
    assert_string_equal(hn_error_text(), "c: \"r\": not an integer");
    CHECK_FAILS(hn__json_int(v, "c", "z", 0, 9, &i), HN_ERR_FORMAT);
    assert_string_equal(hn_error_text(), "c: \"z\": missing");
    CHECK_OK(hn__json_real(v, "c", "r", &r));
    assert_true(r == 0.5);
    CHECK_OK(hn__json_real(v, "c", "i", &r));
    CHECK_FAILS(hn__json_real(v, "c", "s", &r), HN_ERR_FORMAT);
    CHECK_OK(hn__json_bool(v, "c", "b", &b));
    CHECK_FAILS(hn__json_bool(v, "c", "i", &b), HN_ERR_FORMAT);
    CHECK_OK(hn__json_string(v, "c", "s", &s));
    CHECK_FAILS(hn__json_string(v, "c", "n", &s), HN_ERR_FORMAT);
    CHECK_OK(hn__json_object(v, "c", "o", &o));
    CHECK_FAILS(hn__json_object(v, "c", "a", &o), HN_ERR_FORMAT);
    CHECK_OK(hn__json_array(v, "c", "a", &o));
    CHECK_FAILS(hn__json_array(v, "c", "o", &o), HN_ERR_FORMAT);
    assert_true(hn__json_has(v, "a") && !hn__json_has(v, "n") && !hn__json_has(v, "z"));
    CHECK_FAILS(hn__json_int(NULL, "c", "z", 0, 9, &i), HN_ERR_FORMAT);
    json_decref(v);
}

static void check_numbers_come_back(void **state)
{
    (void)state;
    folder_make("json");
    hn_rng rng = hn__rng(1, 2);
    enum { N = 2000 };
    double x[N];
    json_t *a = json_array();
    for (int i = 0; i < N; i++) {
        x[i] = ldexp(hn__rng_normal(&rng), (int)hn__rng_below(&rng, 600) - 300);
        CHECK_OK(hn__json_append(a, hn__json_finite(x[i])));
    }
    CHECK_OK(hn__json_append(a, hn__json_finite(NAN)));
    CHECK_OK(hn__json_save(folder_path("n.json"), a));
    json_decref(a);
    CHECK_OK(hn__json_load(folder_path("n.json"), 1 << 20, &a));
    for (size_t i = 0; i < N; i++)
        CHECK(json_real_value(json_array_get(a, i)) == x[i], "%.17g came back different", x[i]);
    assert_true(json_is_null(json_array_get(a, N)));
    json_decref(a);
    CHECK_FAILS(hn__json_load(folder_path("n.json"), 100, &a), HN_ERR_FORMAT);
    CHECK_FAILS(hn__json_load(folder_path("none.json"), 100, &a), HN_ERR_IO);
    CHECK_FAILS(hn__json_save(folder_path("no/such.json"), NULL), HN_ERR_IO);
    folder_remove();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(check_refused),
        cmocka_unit_test(check_big),
        cmocka_unit_test(check_fields),
        cmocka_unit_test(check_numbers_come_back),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
