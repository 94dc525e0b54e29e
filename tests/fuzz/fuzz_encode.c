// Any bytes through a tokenizer come back, with special tokens and without; a text in normal form
// stays as it is.
#include "fuzz.h"

#include "io/bpe.h"
#include "io/text.h"

#include <string.h>

static hn_tokenizer *tokenizer(void)
{
    static hn_tokenizer *t;
    static const char text[] =
        "the cat and the hat and the bat  12 12 \n\n \xc3\xa9t\xc3\xa9 \xc3\xa9t\xc3\xa9";
    static const char *const special[] = { "<s>", "the cat" };
    if (!t)
        FUZZ_CHECK(hn_tokenizer_train(text, sizeof text - 1,
                                      &(hn_tokenizer_params){
                                          .vocab_size = 300, .special = special, .n_special = 2 },
                                      &t) == HN_OK);
    return t;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    hn_tokenizer *t = tokenizer();
    uint8_t *back = malloc(n + 1);
    hn_ids ids = { 0 };
    for (int flags = 0; flags < 2; flags++) {
        size_t m;
        ids.n = 0;
        FUZZ_CHECK(hn_tokenizer_encode(t, data, n, flags, &ids) == HN_OK);
        FUZZ_CHECK(hn_tokenizer_decode(t, ids.id, ids.n, back, n, &m) == HN_OK);
        FUZZ_CHECK(m == n && (!n || !memcmp(back, data, n)));
    }
    uint8_t *once, *twice;
    size_t n_once, n_twice;
    const size_t good = hn__utf8_valid(data, n);
    FUZZ_CHECK(hn__nfc(data, good, &once, &n_once) == HN_OK);
    const uint8_t *p = once ? once : data;
    FUZZ_CHECK(hn__utf8_valid(p, n_once) == n_once);
    FUZZ_CHECK(hn__nfc(p, n_once, &twice, &n_twice) == HN_OK);
    FUZZ_CHECK(n_twice == n_once && (!n_once || !memcmp(twice ? twice : p, p, n_once)));
    FUZZ_CHECK(hn_utf8_complete(data, n) <= n);
    hn__free(once);
    hn__free(twice);
    hn_ids_free(&ids);
    free(back);
    return 0;
}
