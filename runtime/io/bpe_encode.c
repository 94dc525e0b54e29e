// From text to tokens: added tokens are cut out, what is left is normalised, split and merged.
#include "io/bpe.h"
#include "io/text.h"

#include <stdlib.h>
#include <string.h>

// ---- added tokens ----------------------------------------------------------------------------

static int compare(const hn__bytes *a, const hn__bytes *b)
{
    const int c = memcmp(a->p, b->p, a->n < b->n ? a->n : b->n);
    return c ? c : a->n < b->n ? -1 : a->n > b->n;
}

static int by_text(const void *pa, const void *pb)
{
    const hn__added *a = pa, *b = pb;
    if (a->normalized != b->normalized)
        return a->normalized ? 1 : -1;
    return compare(&a->text, &b->text);
}

// The characters that Unicode takes for parts of a word: letters, marks, digits, connectors,
// joiners, circled and squared letters.
static const char word_pattern[] =
    "[\\p{L}\\p{M}\\p{Nl}\\p{Nd}\\p{Pc}\xe2\x80\x8c\xe2\x80\x8d"
    "\xe2\x92\xb6-\xe2\x93\xa9\xf0\x9f\x84\xb0-\xf0\x9f\x85\x89"
    "\xf0\x9f\x85\x90-\xf0\x9f\x85\xa9\xf0\x9f\x85\xb0-\xf0\x9f\x86\x89]";

hn_status hn__bpe_set_added(hn_tokenizer *t, const hn__added *list, int32_t n)
{
    t->added = n ? hn__calloc((size_t)n, sizeof *t->added) : NULL;
    if (n && !t->added)
        return hn__nomem((size_t)n * sizeof *t->added);
    t->n_added = n;
    if (n) {
        memcpy(t->added, list, (size_t)n * sizeof *list);
        qsort(t->added, (size_t)n, sizeof *t->added, by_text);
    }
    bool word = false;
    for (int32_t i = 0; i < n; i++) {
        const hn__added *a = &t->added[i];
        if (i && !by_text(a - 1, a))
            return hn_fail(HN_ERR_FORMAT, "added token '%.*s' stands twice",
                           (int)(a->text.n < 128 ? a->text.n : 128), (const char *)a->text.p);
        t->n_raw += !a->normalized;
        t->added_start[a->text.p[0]] |= a->normalized ? 2 : 1;
        word |= a->single_word;
    }
    return word ? hn__pretoken_add(&t->word, word_pattern, false, true) : HN_OK;
}

// The longest added token that begins at p, among those from lo to hi; NULL where none does.
static const hn__added *longest(const hn_tokenizer *t, int32_t lo, int32_t hi, const uint8_t *p,
                                size_t n)
{
    const hn__added *best = NULL;
    // [lo, hi) are those that agree with the text in the first k bytes, sorted.
    for (size_t k = 0; lo < hi; k++) {
        if (t->added[lo].text.n == k)
            best = &t->added[lo++];
        if (k == n)
            break;
        int32_t edge[2];
        for (int side = 0; side < 2; side++) {
            int32_t a = lo, b = hi;
            while (a < b) {
                const int32_t mid = a + (b - a) / 2;
                if (t->added[mid].text.p[k] < p[k] + side)
                    a = mid + 1;
                else
                    b = mid;
            }
            edge[side] = a;
        }
        lo = edge[0];
        hi = edge[1];
    }
    return best;
}

static size_t spaces_from(const uint8_t *p, size_t n)
{
    size_t i = 0, len;
    while (i < n && hn__is_space(hn__utf8_char(p + i, &len)))
        i += len;
    return i;
}

static size_t char_before(const uint8_t *p, size_t at)
{
    do
        at--;
    while ((p[at] & 0xc0) == 0x80);
    return at;
}

static size_t spaces_before(const uint8_t *p, size_t at)
{
    size_t len;
    while (at) {
        const size_t before = char_before(p, at);
        if (!hn__is_space(hn__utf8_char(p + before, &len)))
            break;
        at = before;
    }
    return at;
}

static hn_status mark(void *user, const uint8_t *p, size_t n)
{
    (void)p;
    (void)n;
    *(bool *)user = true;
    return HN_OK;
}

static hn_status is_word(const hn_tokenizer *t, const uint8_t *p, bool *out)
{
    size_t len;
    *out = false;
    hn__utf8_char(p, &len);
    return hn__pretoken_run(&t->word, p, len, mark, out);
}

// Whether a match counts, by what stands beside it.
static hn_status stands_alone(const hn_tokenizer *t, const uint8_t *text, size_t n, size_t begin,
                              size_t end, bool *out)
{
    bool before = false, after = false;
    if (begin)
        HN_TRY(is_word(t, text + char_before(text, begin), &before));
    if (end < n)
        HN_TRY(is_word(t, text + end, &after));
    *out = !before && !after;
    return HN_OK;
}

typedef struct encoder {
    hn_tokenizer *t;
    int flags;
    hn_ids *ids;
} encoder;

typedef hn_status (*part_fn)(encoder *e, const uint8_t *p, size_t n);

static hn_status push(hn_ids *ids, int32_t id)
{
    HN_TRY(hn__ids_room(ids, 1));
    ids->id[ids->n++] = id;
    return HN_OK;
}

// Takes added tokens of one part (bit 1: raw, 2: normalised) out of the text, leftmost and then
// longest first, and gives the text between to `rest`. A match that does not count (a special one
// not asked for, one inside a word) still hides others that it overlaps, as the original has it.
static hn_status cut(encoder *e, int part, const uint8_t *p, size_t n, part_fn rest)
{
    const hn_tokenizer *t = e->t;
    const int32_t lo = part == 1 ? 0 : t->n_raw, hi = part == 1 ? t->n_raw : t->n_added;
    size_t done = 0;
    for (size_t i = 0; lo < hi && i < n;) {
        const hn__added *a = t->added_start[p[i]] & part ? longest(t, lo, hi, p + i, n - i) : NULL;
        if (!a) {
            i++;
            continue;
        }
        size_t begin = i, end = i += a->text.n;
        bool counts = !a->special || (e->flags & HN_ENCODE_SPECIAL);
        if (counts && a->single_word)
            HN_TRY(stands_alone(t, p, n, begin, end, &counts));
        if (!counts)
            continue;
        if (a->lstrip) {
            begin = spaces_before(p, begin);
            begin = begin > done ? begin : done;
        }
        if (a->rstrip)
            end += spaces_from(p + end, n - end);
        if (done < begin)
            HN_TRY(rest(e, p + done, begin - done));
        HN_TRY(push(e->ids, a->id));
        done = end;
    }
    return done < n ? rest(e, p + done, n - done) : HN_OK;
}

// ---- text ------------------------------------------------------------------------------------

static hn_status on_piece(void *user, const uint8_t *p, size_t n)
{
    const encoder *e = user;
    return hn__bpe_piece(e->t, p, n, e->ids);
}

static hn_status encode_split(encoder *e, const uint8_t *p, size_t n)
{
    return hn__pretoken_run(&e->t->split, p, n, on_piece, e);
}

static hn_status encode_raw(encoder *e, const uint8_t *p, size_t n)
{
    uint8_t *made = NULL;
    if (e->t->nfc)
        HN_TRY(hn__nfc(p, n, &made, &n));
    const hn_status s = cut(e, 2, made ? made : p, n, encode_split);
    hn__free(made);
    return s;
}

hn_status hn_tokenizer_encode(hn_tokenizer *t, const void *text, size_t n, int flags, hn_ids *ids)
{
    if (n > INT32_MAX)
        return hn_fail(HN_ERR_ARG, "a text of %zu bytes is too long to encode at once", n);
    encoder e = { t, flags, ids };
    const int64_t first = ids->n;
    const uint8_t *p = text;
    hn_status s = HN_OK;
    for (size_t i = 0; i < n && s == HN_OK;) {
        const size_t good = hn__utf8_valid(p + i, n - i);
        if (good)
            s = cut(&e, 1, p + i, good, encode_raw);
        i += good;
        if (i < n && s == HN_OK)
            s = push(ids, t->byte_id[p[i++]]);
    }
    if (s != HN_OK)
        ids->n = first;
    return s;
}
