// Training byte-level BPE. The text's different pre-tokens, each with how often it stands there,
// lie in one chain of symbols; every pair of neighbours knows its count and its places, so that a
// merge costs what it changes and no more.
#include "io/bpe.h"
#include "io/text.h"

#include <stdlib.h>
#include <string.h>

// ---- different pre-tokens --------------------------------------------------------------------

typedef struct word {
    const uint8_t *p; // in the text
    int64_t count;
    uint32_t n;
    uint64_t hash;
} word;

typedef struct words {
    word *item;
    int64_t n, cap;
    int64_t *slot; // hashed indices, -1 free
    int64_t n_slot; // a power of two
    int64_t n_bytes; // of all different words
} words;

static hn_status grow_slots(words *w)
{
    const int64_t n = w->n_slot ? 2 * w->n_slot : 1 << 12;
    int64_t *slot = hn__resize(NULL, (size_t)n, sizeof *slot);
    if (!slot)
        return hn__nomem((size_t)n * sizeof *slot);
    memset(slot, 0xff, (size_t)n * sizeof *slot);
    for (int64_t i = 0; i < w->n; i++) {
        int64_t at = (int64_t)(w->item[i].hash & (uint64_t)(n - 1));
        while (slot[at] >= 0)
            at = (at + 1) & (n - 1);
        slot[at] = i;
    }
    hn__free(w->slot);
    w->slot = slot;
    w->n_slot = n;
    return HN_OK;
}

static hn_status count_word(void *user, const uint8_t *p, size_t n)
{
    words *w = user;
    if (n > INT32_MAX)
        return hn_fail(HN_ERR_ARG, "a word of %zu bytes is too long", n);
    if (2 * (w->n + 1) > w->n_slot)
        HN_TRY(grow_slots(w));
    const uint64_t hash = hn__hash(p, n, 0);
    int64_t at = (int64_t)(hash & (uint64_t)(w->n_slot - 1));
    for (; w->slot[at] >= 0; at = (at + 1) & (w->n_slot - 1)) {
        word *e = &w->item[w->slot[at]];
        if (e->hash == hash && e->n == n && !memcmp(e->p, p, n)) {
            e->count++;
            return HN_OK;
        }
    }
    HN_TRY(hn__reserve((void **)&w->item, &w->cap, w->n + 1, sizeof *w->item));
    w->slot[at] = w->n;
    w->item[w->n++] = (word){ p, 1, (uint32_t)n, hash };
    w->n_bytes += (int64_t)n;
    return HN_OK;
}

// ---- pairs -----------------------------------------------------------------------------------

typedef struct symbol {
    int32_t id;            // -1: merged away
    int32_t before, after; // places, -1 at the ends of a word
    int32_t word;
} symbol;

typedef struct pair {
    int32_t left, right;
    int64_t count;
    int32_t places; // first of a list in `place`, -1: none
    bool touched;   // its count rose in this merge
} pair;

typedef struct place {
    int32_t at, next;
} place;

typedef struct candidate {
    int64_t count;
    int32_t pair;
} candidate;

typedef struct trainer {
    words words;
    symbol *symbol;
    int64_t n_symbol;
    pair *pair;
    int64_t n_pair, cap_pair;
    int32_t *slot; // pairs hashed by their two tokens, -1 free
    int64_t n_slot;
    place *place;
    int64_t n_place, cap_place;
    candidate *heap;
    int64_t n_heap, cap_heap;
    int32_t *touched;
    int64_t n_touched, cap_touched;
    int32_t *at; // the places of the pair that is merged
    int64_t cap_at;
    // The result.
    hn_tokenizer *t;
    int32_t n_token;
    int32_t *by_bytes; // tokens hashed by bytes, -1 free
    int64_t n_by_bytes;
    int32_t (*rule)[2], *made;
    int64_t n_rule, cap_rule, cap_made;
} trainer;

static void trainer_free(trainer *r)
{
    hn__free(r->words.item);
    hn__free(r->words.slot);
    hn__free(r->symbol);
    hn__free(r->pair);
    hn__free(r->slot);
    hn__free(r->place);
    hn__free(r->heap);
    hn__free(r->touched);
    hn__free(r->at);
    hn__free(r->by_bytes);
    hn__free(r->rule);
    hn__free(r->made);
}

static uint64_t mix(int32_t left, int32_t right)
{
    const uint64_t key = (uint64_t)(uint32_t)left << 32 | (uint32_t)right;
    return key * 0x9E3779B97F4A7C15u >> 20;
}

static hn_status grow_pairs(trainer *r)
{
    const int64_t n = r->n_slot ? 2 * r->n_slot : 1 << 14;
    int32_t *slot = hn__resize(NULL, (size_t)n, sizeof *slot);
    if (!slot)
        return hn__nomem((size_t)n * sizeof *slot);
    memset(slot, 0xff, (size_t)n * sizeof *slot);
    for (int64_t i = 0; i < r->n_pair; i++) {
        int64_t at = (int64_t)(mix(r->pair[i].left, r->pair[i].right) & (uint64_t)(n - 1));
        while (slot[at] >= 0)
            at = (at + 1) & (n - 1);
        slot[at] = (int32_t)i;
    }
    hn__free(r->slot);
    r->slot = slot;
    r->n_slot = n;
    return HN_OK;
}

// The pair of these tokens, made where it is new.
static hn_status pair_of(trainer *r, int32_t left, int32_t right, pair **out)
{
    if (2 * (r->n_pair + 1) > r->n_slot)
        HN_TRY(grow_pairs(r));
    int64_t at = (int64_t)(mix(left, right) & (uint64_t)(r->n_slot - 1));
    for (; r->slot[at] >= 0; at = (at + 1) & (r->n_slot - 1)) {
        *out = &r->pair[r->slot[at]];
        if ((*out)->left == left && (*out)->right == right)
            return HN_OK;
    }
    HN_TRY(hn__reserve((void **)&r->pair, &r->cap_pair, r->n_pair + 1, sizeof *r->pair));
    r->slot[at] = (int32_t)r->n_pair;
    *out = &r->pair[r->n_pair++];
    **out = (pair){ .left = left, .right = right, .places = -1 };
    return HN_OK;
}

// Counts the pair that begins at a place.
static hn_status add_pair(trainer *r, int32_t at)
{
    const symbol *s = &r->symbol[at];
    pair *p;
    HN_TRY(pair_of(r, s->id, r->symbol[s->after].id, &p));
    HN_TRY(hn__reserve((void **)&r->place, &r->cap_place, r->n_place + 1, sizeof *r->place));
    if (r->n_place == INT32_MAX)
        return hn_fail(HN_ERR_ARG, "the text has too many different words");
    r->place[r->n_place] = (place){ at, p->places };
    p->places = (int32_t)r->n_place++;
    p->count += r->words.item[s->word].count;
    if (!p->touched) {
        HN_TRY(hn__reserve((void **)&r->touched, &r->cap_touched, r->n_touched + 1,
                           sizeof *r->touched));
        p->touched = true;
        r->touched[r->n_touched++] = (int32_t)(p - r->pair);
    }
    return HN_OK;
}

static hn_status drop_pair(trainer *r, int32_t at)
{
    const symbol *s = &r->symbol[at];
    pair *p;
    HN_TRY(pair_of(r, s->id, r->symbol[s->after].id, &p));
    p->count -= r->words.item[s->word].count;
    return HN_OK;
}

// ---- the most frequent pair ------------------------------------------------------------------

// Of pairs as frequent, the one with the lower tokens is first.
static bool is_before(const trainer *r, candidate a, candidate b)
{
    if (a.count != b.count)
        return a.count > b.count;
    const pair *p = &r->pair[a.pair], *q = &r->pair[b.pair];
    return p->left != q->left ? p->left < q->left : p->right < q->right;
}

static hn_status push(trainer *r, candidate c)
{
    HN_TRY(hn__reserve((void **)&r->heap, &r->cap_heap, r->n_heap + 1, sizeof *r->heap));
    int64_t i = r->n_heap++;
    for (; i && is_before(r, c, r->heap[(i - 1) / 2]); i = (i - 1) / 2)
        r->heap[i] = r->heap[(i - 1) / 2];
    r->heap[i] = c;
    return HN_OK;
}

static candidate pop(trainer *r)
{
    const candidate top = r->heap[0], c = r->heap[--r->n_heap];
    int64_t i = 0;
    for (int64_t child; (child = 2 * i + 1) < r->n_heap; i = child) {
        child += child + 1 < r->n_heap && is_before(r, r->heap[child + 1], r->heap[child]);
        if (!is_before(r, r->heap[child], c))
            break;
        r->heap[i] = r->heap[child];
    }
    r->heap[i] = c;
    return top;
}

// Counts that rose go on the heap anew; those that fell are put right when they come up.
static hn_status push_touched(trainer *r)
{
    for (int64_t i = 0; i < r->n_touched; i++) {
        pair *p = &r->pair[r->touched[i]];
        p->touched = false;
        HN_TRY(push(r, (candidate){ p->count, r->touched[i] }));
    }
    r->n_touched = 0;
    return HN_OK;
}

// The next pair to merge into *out, -1 where none is left.
static hn_status next_pair(trainer *r, int64_t least, int32_t *out)
{
    *out = -1;
    while (r->n_heap) {
        const candidate c = pop(r);
        const int64_t now = r->pair[c.pair].count;
        if (c.count != now) {
            if (now >= least && now < c.count)
                HN_TRY(push(r, (candidate){ now, c.pair }));
            continue;
        }
        if (now >= least)
            *out = c.pair;
        return HN_OK;
    }
    return HN_OK;
}

// ---- merging ---------------------------------------------------------------------------------

static int ascending(const void *a, const void *b)
{
    const int32_t x = *(const int32_t *)a, y = *(const int32_t *)b;
    return (x > y) - (x < y);
}

// The places of the pair, in order, as in "aaa" the left ones go first; the list is then empty.
static hn_status take_places(trainer *r, int32_t which, int64_t *n)
{
    *n = 0;
    for (int32_t i = r->pair[which].places; i >= 0; i = r->place[i].next) {
        HN_TRY(hn__reserve((void **)&r->at, &r->cap_at, *n + 1, sizeof *r->at));
        r->at[(*n)++] = r->place[i].at;
    }
    r->pair[which].places = -1;
    if (*n)
        qsort(r->at, (size_t)*n, sizeof *r->at, ascending);
    return HN_OK;
}

// A place of the pair may have changed since it was noted.
static bool is_at(const trainer *r, int32_t at, int32_t left, int32_t right)
{
    const symbol *s = &r->symbol[at];
    return s->id == left && s->after >= 0 && r->symbol[s->after].id == right;
}

static hn_status merge_all(trainer *r, int32_t which, int32_t made)
{
    const int32_t left = r->pair[which].left, right = r->pair[which].right;
    int64_t n;
    HN_TRY(take_places(r, which, &n));
    for (int64_t i = 0; i < n; i++) {
        const int32_t at = r->at[i];
        if (!is_at(r, at, left, right))
            continue;
        symbol *s = &r->symbol[at], *gone = &r->symbol[s->after];
        HN_TRY(drop_pair(r, at));
        if (s->before >= 0)
            HN_TRY(drop_pair(r, s->before));
        if (gone->after >= 0)
            HN_TRY(drop_pair(r, s->after));
        s->id = made;
        gone->id = -1;
        s->after = gone->after;
        if (s->after >= 0)
            r->symbol[s->after].before = at;
        if (s->before >= 0)
            HN_TRY(add_pair(r, s->before));
        if (s->after >= 0)
            HN_TRY(add_pair(r, at));
    }
    return push_touched(r);
}

// The token of two joined. Other merges may have made these bytes already: a token stands once.
static hn_status token_of(trainer *r, int32_t left, int32_t right, int32_t *out)
{
    const hn__bytes *a = &r->t->token[left], *b = &r->t->token[right];
    const size_t n = (size_t)a->n + b->n;
    uint8_t *p = hn__resize(NULL, n, 1);
    if (!p)
        return hn__nomem(n);
    memcpy(p, a->p, a->n);
    memcpy(p + a->n, b->p, b->n);
    int64_t at = (int64_t)(hn__hash(p, n, 0) & (uint64_t)(r->n_by_bytes - 1));
    hn_status s = HN_OK;
    for (*out = -1; r->by_bytes[at] >= 0; at = (at + 1) & (r->n_by_bytes - 1)) {
        const hn__bytes *e = &r->t->token[r->by_bytes[at]];
        if (e->n == n && !memcmp(e->p, p, n)) {
            *out = r->by_bytes[at];
            break;
        }
    }
    if (*out < 0) {
        *out = r->n_token++;
        r->by_bytes[at] = *out;
        s = hn__bpe_set_token(r->t, *out, p, n, false);
    }
    hn__free(p);
    return s;
}

static hn_status learn(trainer *r, int32_t most, int64_t least)
{
    while (r->n_token < most) {
        int32_t which, made = -1;
        HN_TRY(next_pair(r, least, &which));
        if (which < 0)
            break;
        const int32_t left = r->pair[which].left, right = r->pair[which].right;
        HN_TRY(token_of(r, left, right, &made));
        HN_TRY(hn__reserve((void **)&r->rule, &r->cap_rule, r->n_rule + 1, sizeof *r->rule));
        HN_TRY(hn__reserve((void **)&r->made, &r->cap_made, r->n_rule + 1, sizeof *r->made));
        r->rule[r->n_rule][0] = left;
        r->rule[r->n_rule][1] = right;
        r->made[r->n_rule++] = made;
        HN_TRY(merge_all(r, which, made));
    }
    return HN_OK;
}

// ---- from text to tokenizer ------------------------------------------------------------------

// Bytes that are not UTF-8 stand alone, as in encoding: no merge is learnt from them.
static hn_status count_words(trainer *r, const uint8_t *p, size_t n)
{
    for (size_t i = 0; i < n;) {
        const size_t good = hn__utf8_valid(p + i, n - i);
        HN_TRY(hn__pretoken_run(&r->t->split, p + i, good, count_word, &r->words));
        i += good;
        i += i < n;
    }
    return HN_OK;
}

static hn_status build_chain(trainer *r)
{
    if (r->words.n_bytes == 0)
        return HN_OK;
    if (r->words.n_bytes > INT32_MAX)
        return hn_fail(HN_ERR_ARG, "the text has too many different words");
    r->symbol = hn__resize(NULL, (size_t)r->words.n_bytes, sizeof *r->symbol);
    if (!r->symbol)
        return hn__nomem((size_t)r->words.n_bytes * sizeof *r->symbol);
    int32_t at = 0;
    for (int32_t w = 0; w < r->words.n; w++) {
        const word *e = &r->words.item[w];
        for (uint32_t i = 0; i < e->n; i++, at++)
            r->symbol[at] = (symbol){ e->p[i], i ? at - 1 : -1, i + 1 < e->n ? at + 1 : -1, w };
    }
    for (int32_t i = 0; i < at; i++)
        if (r->symbol[i].after >= 0)
            HN_TRY(add_pair(r, i));
    return push_touched(r);
}

static hn_status begin(trainer *r, const hn_tokenizer_params *p)
{
    HN_TRY(hn__bpe_create(p->vocab_size, &r->t));
    r->n_by_bytes = 1 << 10;
    while (r->n_by_bytes < 2 * (int64_t)p->vocab_size)
        r->n_by_bytes *= 2;
    r->by_bytes = hn__resize(NULL, (size_t)r->n_by_bytes, sizeof *r->by_bytes);
    if (!r->by_bytes)
        return hn__nomem((size_t)r->n_by_bytes * sizeof *r->by_bytes);
    memset(r->by_bytes, 0xff, (size_t)r->n_by_bytes * sizeof *r->by_bytes);
    for (; r->n_token < 256; r->n_token++) {
        const uint8_t byte = (uint8_t)r->n_token;
        HN_TRY(hn__bpe_set_token(r->t, r->n_token, &byte, 1, false));
    }
    return hn__bpe_set_gpt2_split(r->t);
}

static hn_status add_special(trainer *r, const hn_tokenizer_params *p)
{
    hn__added *a = p->n_special ? hn__calloc((size_t)p->n_special, sizeof *a) : NULL;
    if (p->n_special && !a)
        return hn__nomem((size_t)p->n_special * sizeof *a);
    hn_status s = HN_OK;
    for (int i = 0; i < p->n_special && s == HN_OK; i++) {
        const int32_t id = r->n_token++;
        s = hn__bpe_set_token(r->t, id, p->special[i], strlen(p->special[i]), true);
        a[i] = (hn__added){ .text = r->t->token[id], .content = r->t->token[id], .id = id,
                            .special = true };
    }
    if (s == HN_OK)
        s = hn__bpe_set_added(r->t, a, p->n_special);
    hn__free(a);
    return s;
}

static hn_status train(trainer *r, const void *text, size_t n, const hn_tokenizer_params *p)
{
    HN_TRY(begin(r, p));
    HN_TRY(count_words(r, text, n));
    HN_TRY(build_chain(r));
    HN_TRY(learn(r, p->vocab_size - p->n_special, p->least_count ? p->least_count : 2));
    HN_TRY(add_special(r, p));
    if (r->n_token < p->vocab_size)
        hn__log(HN_LOG_WARN, "tokenizer: %d tokens instead of %d, as the text has no more pairs",
                (int)r->n_token, p->vocab_size);
    r->t->n_token = r->n_token;
    HN_TRY(hn__bpe_index(r->t));
    return hn__bpe_add_merges(r->t, (const int32_t(*)[2])r->rule, r->made, (int32_t)r->n_rule);
}

static hn_status check_params(const hn_tokenizer_params *p)
{
    if (p->n_special < 0 || p->vocab_size > HN__TOKEN_MOST || p->vocab_size - p->n_special < 256)
        return hn_fail(HN_ERR_ARG, "tokenizer: a vocabulary of %d, must be %d (256 bytes and the "
                       "special tokens) to %d", p->vocab_size, 256 + p->n_special, HN__TOKEN_MOST);
    if (p->least_count < 0)
        return hn_fail(HN_ERR_ARG, "tokenizer: least count is %" PRId64, p->least_count);
    for (int i = 0; i < p->n_special; i++) {
        const char *s = p->special[i];
        if (!*s || hn__utf8_valid((const uint8_t *)s, strlen(s)) != strlen(s))
            return hn_fail(HN_ERR_ARG, "tokenizer: special token %d is empty or not UTF-8", i);
        for (int k = 0; k < i; k++)
            if (!strcmp(s, p->special[k]))
                return hn_fail(HN_ERR_ARG, "tokenizer: special token '%.64s' stands twice", s);
    }
    return HN_OK;
}

hn_status hn_tokenizer_train(const void *text, size_t n, const hn_tokenizer_params *p,
                             hn_tokenizer **out)
{
    *out = NULL;
    HN_TRY(check_params(p));
    trainer r = { 0 };
    const hn_status s = train(&r, text, n, p);
    trainer_free(&r);
    if (s != HN_OK)
        hn_tokenizer_destroy(&r.t);
    *out = r.t;
    return s;
}
