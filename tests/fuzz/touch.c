// What the fuzzers share.
#include "fuzz.h"

#include "io/bpe.h"

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

void fuzz_touch_tokenizer(hn_tokenizer *t)
{
    static const char text[] =
        "the  cat's 123\r\n e\xcc\x81\xcc\xa3 \xe8\xaa\x9e <s> ab\xff\xe2\x96\x81";
    hn_tokenizer *again;
    hn_ids ids = { 0 };
    for (int flags = 0; flags < 8; flags++)
        if (hn_tokenizer_encode(t, text, sizeof text - 1, flags, &ids) != HN_OK)
            fuzz_check_text();
    const hn_text_part parts[] = { { text, 10, true }, { "<s>", 3, false }, { text, 20, true } };
    if (hn_tokenizer_encode_parts(t, parts, 3, &ids) != HN_OK)
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
    hn_tokenizer_destroy(&again);
}
