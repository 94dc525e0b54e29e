// GPT-2's pair of files: the vocabulary, a line "--", the merges.
#include "fuzz.h"

#include "io/bpe.h"

#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    size_t at = 0;
    while (at + 4 <= n && memcmp(data + at, "\n--\n", 4))
        at++;
    const size_t from = at + 4 <= n ? at + 4 : n;
    hn_tokenizer *t;
    if (hn__tokenizer_read_pair(data, at, "v", data + from, n - from, "m", &t) != HN_OK) {
        fuzz_check_text();
        return 0;
    }
    hn_ids ids = { 0 };
    FUZZ_CHECK(hn_tokenizer_encode(t, data, n < 4096 ? n : 4096, 0, &ids) == HN_OK);
    hn_ids_free(&ids);
    hn_tokenizer_destroy(&t);
    return 0;
}
