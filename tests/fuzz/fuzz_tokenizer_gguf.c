// The tokenizer of a GGUF file: refused in words, or as good as one of tokenizer.json.
#include "fuzz.h"

#include "io/pretrained.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    hn__gguf *g;
    hn_tensors *tensors;
    hn_tokenizer *t;
    if (hn__gguf_read(data, n, "x", &g, &tensors) != HN_OK)
        return 0; // fuzz_gguf's
    if (hn__tokenizer_from_gguf(g, &t) == HN_OK)
        fuzz_touch_tokenizer(t);
    else
        fuzz_check_text();
    hn_tokenizer_destroy(&t);
    hn_tensors_destroy(&tensors);
    hn__gguf_destroy(&g);
    return 0;
}
