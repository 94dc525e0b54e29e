// JSON as configuration: refused in words, or every field can be asked for.
#include "fuzz.h"

#include "io/json.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    json_t *v;
    if (hn__json_parse(data, n, "x", &v) != HN_OK) {
        fuzz_check_text();
        return 0;
    }
    const char *key;
    json_t *field;
    json_object_foreach(v, key, field) {
        int64_t i;
        double x;
        bool b;
        const char *s;
        const json_t *o;
        const bool got[] = { hn__json_int(v, "x", key, -9, 99, &i) == HN_OK,
                             hn__json_real(v, "x", key, &x) == HN_OK,
                             hn__json_bool(v, "x", key, &b) == HN_OK,
                             hn__json_string(v, "x", key, &s) == HN_OK,
                             hn__json_object(v, "x", key, &o) == HN_OK,
                             hn__json_array(v, "x", key, &o) == HN_OK };
        FUZZ_CHECK(got[0] <= got[1]); // an integer is a number
        FUZZ_CHECK(got[1] + got[2] + got[3] + got[4] + got[5] <= 1);
    }
    if (json_is_object(v)) {
        FUZZ_CHECK(hn__json_seal(v) == HN_OK);
        FUZZ_CHECK(hn__json_check_seal(v, "x") == HN_OK);
    }
    json_decref(v);
    return 0;
}
