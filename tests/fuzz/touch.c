// What the fuzzers share.
#include "fuzz.h"

#include <string.h>

void fuzz_check_text(void)
{
    const char *text = hn_error_text();
    FUZZ_CHECK(*text);
    FUZZ_CHECK(!strchr(text, '\n'));
}

void fuzz_touch(const hn_tensors *t)
{
    volatile uint8_t sum = 0;
    for (int64_t i = 0; i < hn_tensors_count(t); i++) {
        const hn_tensor *e = hn_tensors_at(t, i);
        FUZZ_CHECK(hn_tensors_find(t, e->name) == e);
        for (int64_t k = 0; k < e->n_bytes; k++)
            sum ^= ((const uint8_t *)e->data)[k];
        hn_type type;
        if (hn_tensor_type(e, &type) == HN_OK && type.dtype == e->dtype)
            FUZZ_CHECK(hn_type_bytes(&type) == e->n_bytes);
        if (e->n_bytes > 1 << 16)
            continue;
        // An element takes a byte at least, and of blocks half a byte.
        float *x = malloc((size_t)e->n_bytes * 8 + 4);
        if (hn_tensor_read(e, HN_F32, x) != HN_OK)
            fuzz_check_text();
        free(x);
    }
}
