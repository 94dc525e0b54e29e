// GGUF: refused in words, or every key can be asked for, every tensor lies within the file, and
// the file becomes a model with a configuration or is refused as one.
#include "fuzz.h"

#include "io/pretrained.h"

static void ask(const hn__gguf *g, const char *key)
{
    int64_t x, n, *ints;
    double y;
    bool b;
    float *reals;
    hn__gguf_string s, *strings;
    volatile char sum = 0;
    const bool got[] = { hn__gguf_get_int(g, key, INT64_MIN, INT64_MAX, &x) == HN_OK,
                         hn__gguf_get_real(g, key, &y) == HN_OK,
                         hn__gguf_get_bool(g, key, &b) == HN_OK,
                         hn__gguf_get_string(g, key, &s) == HN_OK };
    FUZZ_CHECK(hn__gguf_has(g, key));
    FUZZ_CHECK(got[0] + got[1] + got[2] + got[3] <= 1);
    for (size_t i = 0; got[3] && i < s.n; i++)
        sum ^= s.p[i];
    if (hn__gguf_get_strings(g, key, &strings, &n) == HN_OK)
        for (int64_t i = 0; i < n; i++)
            for (size_t k = 0; k < strings[i].n; k++)
                sum ^= strings[i].p[k];
    hn__free(strings);
    hn__gguf_get_ints(g, key, &ints, &n);
    hn__free(ints);
    hn__gguf_get_reals(g, key, &reals, &n);
    hn__free(reals);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    hn_pretrained *p = hn__calloc(1, sizeof *p);
    const char *key;
    char text[64];
    hn__gguf_type type;
    if (hn__gguf_read(data, n, "x", &p->gguf, &p->files) != HN_OK) {
        FUZZ_CHECK(!p->gguf && !p->files);
        fuzz_check_text();
        hn_pretrained_close(&p);
        return 0;
    }
    fuzz_touch(p->files);
    for (int64_t i = 0; (key = hn__gguf_key(p->gguf, i, &type)); i++) {
        ask(p->gguf, key);
        hn__gguf_text(p->gguf, i, text, 1 + (size_t)(i % 64));
    }
    if (hn__pretrained_from_gguf(p) == HN_OK)
        fuzz_touch(p->tensors);
    else
        fuzz_check_text();
    hn_pretrained_close(&p);
    return 0;
}
