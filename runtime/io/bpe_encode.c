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

// first: the part begins the text.
typedef hn_status (*part_fn)(encoder *e, const uint8_t *p, size_t n, bool first);

static hn_status push(hn_ids *ids, int32_t id)
{
    HN_TRY(hn__ids_room(ids, 1));
    ids->id[ids->n++] = id;
    return HN_OK;
}

// Takes added tokens of one part (bit 1: raw, 2: normalised) out of the text, leftmost and then
// longest first, and gives the text between to `rest`. A match that does not count (a special one
// not asked for, one inside a word) still hides others that it overlaps, as the original has it.
static hn_status cut(encoder *e, int part, const uint8_t *p, size_t n, bool first, part_fn rest)
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
            HN_TRY(rest(e, p + done, begin - done, first && !done));
        HN_TRY(push(e->ids, a->id));
        done = end;
    }
    return done < n ? rest(e, p + done, n - done, first && !done) : HN_OK;
}

// ---- text ------------------------------------------------------------------------------------

static hn_status on_piece(void *user, const uint8_t *p, size_t n)
{
    const encoder *e = user;
    return hn__bpe_piece(e->t, p, n, e->ids);
}

static const uint8_t mark_space[] = "\xe2\x96\x81";

static hn_status encode_split(encoder *e, const uint8_t *p, size_t n, bool first)
{
    const hn_tokenizer *t = e->t;
    const hn__bytes space = { (const uint8_t *)" ", 1, false }, mark_ = { mark_space, 3, false };
    const bool has = p[0] == ' ' || (n >= 3 && !memcmp(p, mark_space, 3));
    const bool before = t->meta == HN__META_ALL || (t->meta == HN__META_FIRST && first);
    uint8_t *made = NULL;
    if (t->meta != HN__META_OFF)
        HN_TRY(hn__replace(p, n, before && !has ? mark_ : (hn__bytes){ 0 }, space, mark_, &made,
                           &n));
    const hn_status s = hn__pretoken_run(&t->split, made ? made : p, n, on_piece, e);
    hn__free(made);
    return s;
}

static hn_status encode_raw(encoder *e, const uint8_t *p, size_t n, bool first)
{
    uint8_t *made;
    HN_TRY(hn__normalise(e->t, p, n, &made, &n));
    const hn_status s = cut(e, 2, made ? made : p, n, first, encode_split);
    hn__free(made);
    return s;
}

// A byte that is no UTF-8.
static hn_status push_byte(encoder *e, uint8_t b)
{
    const int32_t id = e->t->byte_id[b] >= 0 ? e->t->byte_id[b] : e->t->unknown;
    return id >= 0 ? push(e->ids, id) : HN_OK;
}

static hn_status encode_text(hn_tokenizer *t, const uint8_t *p, size_t n, int flags, bool first,
                             hn_ids *ids)
{
    encoder e = { t, flags, ids };
    for (size_t i = 0; i < n;) {
        const size_t good = hn__utf8_valid(p + i, n - i);
        if (good)
            HN_TRY(cut(&e, 1, p + i, good, first && !i, encode_raw));
        i += good;
        if (i < n)
            HN_TRY(push_byte(&e, p[i++]));
    }
    return HN_OK;
}

static hn_status push_around(const hn_tokenizer *t, int32_t from, int32_t n, hn_ids *ids)
{
    HN_TRY(hn__ids_room(ids, n));
    for (int32_t i = from; i < from + n; i++)
        ids->id[ids->n++] = t->around[i];
    return HN_OK;
}

hn_status hn_tokenizer_encode(hn_tokenizer *t, const void *text, size_t n, int flags, hn_ids *ids)
{
    if (n > INT32_MAX)
        return hn_fail(HN_ERR_ARG, "a text of %zu bytes is too long to encode at once", n);
    const int64_t first = ids->n;
    hn_status s = HN_OK;
    if (flags & HN_ENCODE_START)
        s = push_around(t, 0, t->n_before, ids);
    if (s == HN_OK)
        s = encode_text(t, text, n, flags, true, ids);
    if (s == HN_OK && (flags & HN_ENCODE_END))
        s = push_around(t, t->n_before, t->n_after, ids);
    if (s != HN_OK)
        ids->n = first;
    return s;
}

// ---- parts -----------------------------------------------------------------------------------

// The special token that begins at p, or NULL.
static const hn__added *special_at(const hn_tokenizer *t, const uint8_t *p, size_t n)
{
    const hn__added *a = NULL;
    for (int part = 1; part <= 2 && !a; part++) {
        if (t->added_start[p[0]] & part)
            a = longest(t, part == 1 ? 0 : t->n_raw, part == 1 ? t->n_raw : t->n_added, p, n);
        a = a && a->special ? a : NULL;
    }
    return a;
}

// Text of several parts that waits to be encoded as one.
typedef struct gather {
    hn_tokenizer *t;
    hn_ids *ids;
    uint8_t *p;
    int64_t n, cap;
    bool first;
} gather;

static hn_status add_text(gather *g, const void *p, size_t n)
{
    if (n > INT32_MAX || g->n + (int64_t)n > INT32_MAX)
        return hn_fail(HN_ERR_ARG, "a text of more than 2^31 - 1 bytes is too long");
    HN_TRY(hn__reserve((void **)&g->p, &g->cap, g->n + (int64_t)n, 1));
    if (n)
        memcpy(g->p + g->n, p, n);
    g->n += (int64_t)n;
    return HN_OK;
}

static hn_status end_text(gather *g)
{
    const hn_status s = encode_text(g->t, g->p, (size_t)g->n, 0, g->first, g->ids);
    g->first = g->first && !g->n;
    g->n = 0;
    return s;
}

static hn_status add_special(gather *g, const uint8_t *p, size_t n)
{
    size_t done = 0;
    for (size_t i = 0; i < n;) {
        const hn__added *a = special_at(g->t, p + i, n - i);
        if (!a) {
            i++;
            continue;
        }
        HN_TRY(add_text(g, p + done, i - done));
        HN_TRY(end_text(g));
        HN_TRY(push(g->ids, a->id));
        g->first = false;
        done = i += a->text.n;
    }
    return add_text(g, p + done, n - done);
}

hn_status hn_tokenizer_encode_parts(hn_tokenizer *t, const hn_text_part parts[], int64_t n,
                                    hn_ids *ids)
{
    gather g = { .t = t, .ids = ids, .first = true };
    const int64_t first = ids->n;
    hn_status s = HN_OK;
    for (int64_t i = 0; i < n && s == HN_OK; i++)
        s = parts[i].special ? add_special(&g, parts[i].text, parts[i].n)
                             : add_text(&g, parts[i].text, parts[i].n);
    if (s == HN_OK)
        s = end_text(&g);
    hn__free(g.p);
    if (s != HN_OK)
        ids->n = first;
    return s;
}
