// tokenizer.json: what is accepted encodes any text, and is the same after saving and loading.
#include "fuzz.h"

#include "io/bpe.h"

#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    static const char text[] = "the  cat's 123\r\n e\xcc\x81\xcc\xa3 \xe8\xaa\x9e <s> ab\xff";
    hn_tokenizer *t, *again;
    if (hn__tokenizer_read(data, n, "x", &t) != HN_OK) {
        fuzz_check_text();
        return 0;
    }
    hn_ids ids = { 0 };
    if (hn_tokenizer_encode(t, text, sizeof text - 1, HN_ENCODE_SPECIAL, &ids) != HN_OK)
        fuzz_check_text();
    size_t n_bytes;
    FUZZ_CHECK(hn_tokenizer_decode(t, ids.id, ids.n, NULL, 0, &n_bytes) == HN_OK);
    json_t *v;
    FUZZ_CHECK(hn__tokenizer_to_json(t, &v) == HN_OK);
    char *saved = json_dumps(v, 0);
    FUZZ_CHECK(hn__tokenizer_read(saved, strlen(saved), "saved", &again) == HN_OK);
    FUZZ_CHECK(hn_tokenizer_hash(t) == hn_tokenizer_hash(again));
    free(saved);
    json_decref(v);
    hn_ids_free(&ids);
    hn_tokenizer_destroy(&t);
    hn_tokenizer_destroy(&again);
    return 0;
}
