// checkpoint.json: refused in words, or its files have plain names. The checksum would stop nearly
// all that a fuzzer invents, so the text is tried once more with the right one.
#include "fuzz.h"

#include "io/checkpoint.h"
#include "io/json.h"

#include <string.h>

static hn_status file(void *user, const char *name, int64_t n_bytes, uint64_t hash)
{
    (void)user;
    (void)hash;
    FUZZ_CHECK(*name && *name != '.' && !strchr(name, '/') && n_bytes >= 0);
    return HN_OK;
}

static void read_one(const void *data, size_t n)
{
    int64_t step, serial;
    if (hn__checkpoint_read(data, n, "x", &step, &serial, file, NULL) != HN_OK)
        fuzz_check_text();
    else
        FUZZ_CHECK(step >= 0 && serial >= 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    json_t *v;
    read_one(data, n);
    if (hn__json_parse(data, n, "x", &v) != HN_OK)
        return 0;
    if (json_is_object(v) && hn__json_seal(v) == HN_OK) {
        char *text = json_dumps(v, 0);
        read_one(text, strlen(text));
        free(text);
    }
    json_decref(v);
    return 0;
}
