// tokenizer.json: what is accepted encodes any text, and is the same after saving and loading.
#include "fuzz.h"

#include "io/bpe.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    hn_tokenizer *t;
    if (hn__tokenizer_read(data, n, "x", &t) == HN_OK)
        fuzz_touch_tokenizer(t);
    else
        fuzz_check_text();
    hn_tokenizer_destroy(&t);
    return 0;
}
