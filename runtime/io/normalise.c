// Text before it is split: the steps that a tokenizer's normalizer asks for.
#include "io/bpe.h"
#include "io/text.h"

#include <string.h>

static const uint8_t *find(const uint8_t *p, const uint8_t *end, const hn__bytes *what)
{
    while ((size_t)(end - p) >= what->n) {
        p = memchr(p, what->p[0], (size_t)(end - p) - what->n + 1);
        if (!p || !memcmp(p, what->p, what->n))
            return p;
        p++;
    }
    return NULL;
}

hn_status hn__replace(const uint8_t *p, size_t n, hn__bytes before, hn__bytes from, hn__bytes to,
                      uint8_t **out, size_t *n_out)
{
    const uint8_t *end = p + n, *at;
    uint64_t size = n + before.n;
    int64_t hits = 0;
    for (const uint8_t *q = p; (at = find(q, end, &from)); q = at + from.n)
        hits++;
    *out = NULL;
    *n_out = n;
    if (!hits && !before.n)
        return HN_OK;
    size += (uint64_t)hits * to.n;
    size -= (uint64_t)hits * from.n;
    if (size > INT32_MAX)
        return hn_fail(HN_ERR_ARG, "a text of %zu bytes grows too long in its normal form", n);
    uint8_t *w = *out = hn__resize(NULL, (size_t)size + 1, 1);
    if (!w)
        return hn__nomem((size_t)size);
    memcpy(w, before.n ? before.p : p, before.n);
    w += before.n;
    for (; (at = find(p, end, &from)); p = at + from.n) {
        memcpy(w, p, (size_t)(at - p));
        w += at - p;
        memcpy(w, to.n ? to.p : p, to.n);
        w += to.n;
    }
    memcpy(w, p, (size_t)(end - p));
    *n_out = (size_t)size;
    return HN_OK;
}

static hn_status apply(const hn__norm *step, const uint8_t *p, size_t n, uint8_t **out,
                       size_t *n_out)
{
    // Nothing is found where nothing is looked for.
    static const hn__bytes none = { (const uint8_t *)"\xff", 1, false };
    *out = NULL;
    *n_out = n;
    switch (step->how) {
    case HN__NORM_NFC: return hn__nfc(p, n, out, n_out);
    case HN__NORM_PREPEND:
        return n ? hn__replace(p, n, step->to, none, none, out, n_out) : HN_OK;
    default: return hn__replace(p, n, (hn__bytes){ 0 }, step->from, step->to, out, n_out);
    }
}

hn_status hn__normalise(const hn_tokenizer *t, const uint8_t *p, size_t n, uint8_t **out,
                        size_t *n_out)
{
    const size_t n_text = n;
    *out = NULL;
    for (int i = 0; i < t->n_norm; i++) {
        uint8_t *made;
        const hn_status s = apply(&t->norm[i], *out ? *out : p, n, &made, &n);
        if (s != HN_OK) {
            hn__free(*out);
            *out = NULL;
            return s;
        }
        if (made) {
            hn__free(*out);
            *out = made;
        }
        if (n > 32 * n_text + 4096) { // no text of people does
            hn__free(*out);
            *out = NULL;
            return hn_fail(HN_ERR_ARG, "a text of %zu bytes grows to %zu when normalised", n_text,
                           n);
        }
    }
    *n_out = n;
    return HN_OK;
}
