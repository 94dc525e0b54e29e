// BPE: the tables of a tokenizer, and the merging of one pre-token.
#include "io/bpe.h"
#include "io/text.h"

#include <string.h>

// ---- byte characters -------------------------------------------------------------------------

// GPT-2 writes a byte as a printable character: itself where it is one in Latin-1, else the next
// of U+0100 and on.
static int byte_to_char(int b)
{
    if ((b >= 33 && b <= 126) || (b >= 161 && b <= 172) || b >= 174)
        return b;
    return 256 + (b <= 32 ? b : b <= 160 ? b - 127 + 33 : 67);
}

int hn__byte_char(uint8_t b, char out[2])
{
    const int c = byte_to_char(b);
    if (c < 0x80) {
        out[0] = (char)c;
        return 1;
    }
    out[0] = (char)(0xc0 | c >> 6);
    out[1] = (char)(0x80 | (c & 0x3f));
    return 2;
}

int64_t hn__byte_chars_decode(const char *s, size_t n, uint8_t *out)
{
    int64_t m = 0;
    for (size_t i = 0; i < n;) {
        const unsigned char a = (unsigned char)s[i++];
        int c = a;
        if (a >= 0x80) {
            if (a < 0xc2 || a > 0xc5 || i == n)
                return -1;
            c = (a & 0x1f) << 6 | ((unsigned char)s[i++] & 0x3f);
        }
        const int b = c < 256         ? c
                      : c <= 256 + 32 ? c - 256
                      : c <= 256 + 66 ? c - 256 - 33 + 127
                                      : 173;
        if (byte_to_char(b) != c)
            return -1;
        out[m++] = (uint8_t)b;
    }
    return m;
}

// ---- tables ----------------------------------------------------------------------------------

hn_status hn__bpe_create(int32_t n_token, hn_tokenizer **out)
{
    *out = NULL;
    hn_tokenizer *t = hn__calloc(1, sizeof *t);
    if (!t)
        return hn__nomem(sizeof *t);
    t->n_token = n_token;
    t->unknown = -1;
    t->token = hn__calloc((size_t)n_token, sizeof *t->token);
    t->cache = hn__calloc(HN__CACHE_SLOTS, sizeof *t->cache);
    if (!t->token || !t->cache) {
        hn_tokenizer_destroy(&t);
        return hn__nomem((size_t)n_token * sizeof *t->token);
    }
    *out = t;
    return HN_OK;
}

void hn_tokenizer_destroy(hn_tokenizer **tp)
{
    hn_tokenizer *t = tp ? *tp : NULL;
    if (!t)
        return;
    hn__pretoken_free(&t->split);
    hn__pretoken_free(&t->word);
    hn__arena_reset(&t->arena);
    hn__arena_reset(&t->cache_arena);
    if (t->text != t->token)
        hn__free(t->text);
    hn__free(t->token);
    hn__free(t->by_text.slot);
    hn__free(t->by_name.slot);
    hn__free(t->around);
    hn__free(t->merge);
    hn__free(t->rule);
    hn__free(t->added);
    hn__free(t->words);
    hn__free(t->cache);
    hn__free(t->symbol);
    hn__free(t->heap);
    hn__free(t);
    *tp = NULL;
}

hn_status hn__bpe_set_token(hn_tokenizer *t, int32_t id, const void *p, size_t n, bool raw)
{
    if (id < 0 || id >= t->n_token)
        return hn_fail(HN_ERR_FORMAT, "token %d is outside 0 to %d", (int)id, (int)t->n_token - 1);
    if (t->token[id].p)
        return hn_fail(HN_ERR_FORMAT, "two tokens have the number %d", (int)id);
    if (n > UINT32_MAX)
        return hn_fail(HN_ERR_FORMAT, "token %d has %zu bytes", (int)id, n);
    t->token[id] = (hn__bytes){ hn__arena_copy(&t->arena, p, n), (uint32_t)n, raw };
    return t->token[id].p ? HN_OK : hn__nomem(n);
}

static uint32_t slots_for(int64_t n)
{
    uint32_t size = 16;
    while (size < 2 * n)
        size *= 2;
    return size;
}

hn_status hn__index_make(hn__index *x, int64_t n)
{
    x->n = slots_for(n);
    x->slot = hn__resize(NULL, x->n, sizeof *x->slot);
    if (!x->slot)
        return hn__nomem(x->n * sizeof *x->slot);
    memset(x->slot, 0xff, x->n * sizeof *x->slot);
    return HN_OK;
}

// The slot that holds this name, or the free one where it would go.
static uint32_t name_slot(const hn__index *x, const hn__bytes *list, const void *p, size_t n)
{
    uint32_t i = (uint32_t)hn__hash(p, n, 0) & (x->n - 1);
    for (; x->slot[i] >= 0; i = (i + 1) & (x->n - 1)) {
        const hn__bytes *b = &list[x->slot[i]];
        if (b->n == n && !memcmp(b->p, p, n))
            break;
    }
    return i;
}

void hn__index_add(hn__index *x, const hn__bytes *list, int32_t i)
{
    int32_t *slot = &x->slot[name_slot(x, list, list[i].p, list[i].n)];
    if (*slot < 0)
        *slot = i;
}

int32_t hn__index_find(const hn__index *x, const hn__bytes *list, const void *p, size_t n)
{
    return x->slot[name_slot(x, list, p, n)];
}

// The byte that a name of the form <0xNN> stands for, or -1.
static int byte_of_name(const hn__bytes *b)
{
    static const char digits[] = "0123456789ABCDEF";
    if (b->n != 6 || memcmp(b->p, "<0x", 3) || b->p[5] != '>')
        return -1;
    const char *hi = memchr(digits, b->p[3], 16), *lo = memchr(digits, b->p[4], 16);
    return hi && lo ? (int)(hi - digits) * 16 + (int)(lo - digits) : -1;
}

// The name with spaces for U+2581, in a copy only where it has one.
static hn_status spaced(hn_tokenizer *t, const hn__bytes *name, hn__bytes *out)
{
    *out = *name;
    uint8_t *to = NULL;
    uint32_t n = 0;
    for (uint32_t i = 0; i < name->n; i++) {
        const bool space = name->n - i >= 3 && !memcmp(name->p + i, "\xe2\x96\x81", 3);
        if (space && !to) {
            to = hn__arena_copy(&t->arena, name->p, name->n);
            if (!to)
                return hn__nomem(name->n);
        }
        if (to)
            to[n] = space ? ' ' : name->p[i];
        n++;
        i += space ? 2 : 0;
    }
    if (to)
        *out = (hn__bytes){ to, n, name->raw };
    return HN_OK;
}

hn_status hn__bpe_set_text(hn_tokenizer *t, bool fallback)
{
    t->text = hn__calloc((size_t)t->n_token, sizeof *t->text);
    if (!t->text)
        return hn__nomem((size_t)t->n_token * sizeof *t->text);
    HN_TRY(hn__index_make(&t->by_name, t->n_token));
    memset(t->byte_id, 0xff, sizeof t->byte_id);
    for (int32_t id = 0; id < t->n_token; id++) {
        const hn__bytes *name = &t->token[id];
        if (!name->p)
            continue;
        hn__index_add(&t->by_name, t->token, id);
        const int byte = fallback ? byte_of_name(name) : -1;
        if (byte < 0) {
            HN_TRY(spaced(t, name, &t->text[id]));
            continue;
        }
        const uint8_t b = (uint8_t)byte;
        t->byte_id[byte] = t->byte_id[byte] < 0 ? id : t->byte_id[byte];
        t->text[id] = (hn__bytes){ hn__arena_copy(&t->arena, &b, 1), 1, true };
        if (!t->text[id].p)
            return hn__nomem(1);
    }
    return HN_OK;
}

hn_status hn__bpe_index(hn_tokenizer *t)
{
    t->text = t->text ? t->text : t->token;
    HN_TRY(hn__index_make(&t->by_text, t->n_token));
    // What text never gives (added tokens, fallback bytes) comes second.
    for (int raw = 0; raw < 2; raw++)
        for (int32_t id = 0; id < t->n_token; id++) {
            const bool added = t->by_char && !t->text[id].p && t->token[id].p;
            if (added)
                t->text[id] = t->token[id];
            if (t->text[id].p && t->text[id].raw == raw)
                hn__index_add(&t->by_text, t->text, id);
        }
    for (int b = 0; b < 256; b++) {
        const uint8_t byte = (uint8_t)b;
        if (!t->by_char) {
            const int32_t id = hn__index_find(&t->by_text, t->text, &byte, 1);
            t->byte_id[b] = id < 0 || t->token[id].raw ? -1 : id;
        }
        t->n_no_byte += t->byte_id[b] < 0;
    }
    return HN_OK;
}

void hn__bpe_say_missing(const hn_tokenizer *t, const char *where)
{
    if (t->n_no_byte && t->unknown < 0)
        hn__log(HN_LOG_INFO, "%s: %d byte values have no token; text loses them", where,
                t->n_no_byte);
}

static uint32_t merge_slot(const hn_tokenizer *t, int32_t left, int32_t right)
{
    const uint64_t key = (uint64_t)(uint32_t)left << 32 | (uint32_t)right;
    uint32_t i = (uint32_t)(key * 0x9E3779B97F4A7C15u >> 32) & (t->n_merge_slots - 1);
    while (t->merge[i].left >= 0 && (t->merge[i].left != left || t->merge[i].right != right))
        i = (i + 1) & (t->n_merge_slots - 1);
    return i;
}

hn_status hn__bpe_add_merges(hn_tokenizer *t, const int32_t (*rule)[2], const int32_t *made,
                             int32_t n)
{
    t->n_merge_slots = slots_for(n);
    t->merge = hn__resize(NULL, t->n_merge_slots, sizeof *t->merge);
    t->rule = n ? hn__resize(NULL, (size_t)n, sizeof *t->rule) : NULL;
    if (!t->merge || (n && !t->rule))
        return hn__nomem(t->n_merge_slots * sizeof *t->merge);
    for (uint32_t i = 0; i < t->n_merge_slots; i++)
        t->merge[i].left = -1;
    if (n)
        memcpy(t->rule, rule, (size_t)n * sizeof *t->rule);
    t->n_rule = n;
    for (int32_t i = 0; i < n; i++)
        t->merge[merge_slot(t, rule[i][0], rule[i][1])] =
            (hn__merge){ rule[i][0], rule[i][1], i, made[i] };
    return HN_OK;
}

hn_status hn__bpe_set_around(hn_tokenizer *t, const int32_t *before, int32_t n_before,
                             const int32_t *after, int32_t n_after)
{
    const size_t n = (size_t)n_before + (size_t)n_after;
    hn__free(t->around);
    t->around = hn__calloc(n, sizeof *t->around);
    t->n_before = t->n_after = 0;
    if (n && !t->around)
        return hn__nomem(n * sizeof *t->around);
    if (n_before)
        memcpy(t->around, before, (size_t)n_before * sizeof *before);
    if (n_after)
        memcpy(t->around + n_before, after, (size_t)n_after * sizeof *after);
    t->n_before = n_before;
    t->n_after = n_after;
    return HN_OK;
}

// Whether the name has U+2581 after another character.
static bool joins_words(const hn__bytes *name)
{
    bool other = false;
    for (uint32_t i = 0; i < name->n;) {
        const bool space = name->n - i >= 3 && !memcmp(name->p + i, "\xe2\x96\x81", 3);
        if (space && other)
            return true;
        other = !space;
        i += space ? 3 : 1;
    }
    return false;
}

hn_status hn__bpe_split_words(hn_tokenizer *t)
{
    const int32_t space = hn__index_find(&t->by_name, t->token, "\xe2\x96\x81", 3);
    // Unknown characters would be one across the places where text is split.
    if (t->split.n || t->ignore_merges || space < 0)
        return HN_OK;
    for (uint32_t i = 0; i < t->n_merge_slots; i++)
        if (t->merge[i].left >= 0 && joins_words(&t->token[t->merge[i].made]))
            return HN_OK;
    return hn__pretoken_add(&t->split, "\xe2\x96\x81+[^\xe2\x96\x81]*|[^\xe2\x96\x81]+", false,
                            false);
}

// ---- one pre-token ---------------------------------------------------------------------------

void hn_ids_free(hn_ids *ids)
{
    hn__free(ids->id);
    *ids = (hn_ids){ 0 };
}

hn_status hn__ids_room(hn_ids *ids, int64_t n)
{
    return hn__reserve((void **)&ids->id, &ids->cap, ids->n + n, sizeof *ids->id);
}

// A heap of (rank, place) in one word: the lowest rank first, of equal ones the leftmost.
static void heap_push(uint64_t *heap, int64_t *n, uint64_t x)
{
    int64_t i = (*n)++;
    for (; i && heap[(i - 1) / 2] > x; i = (i - 1) / 2)
        heap[i] = heap[(i - 1) / 2];
    heap[i] = x;
}

static uint64_t heap_pop(uint64_t *heap, int64_t *n)
{
    const uint64_t top = heap[0], x = heap[--*n];
    int64_t i = 0;
    for (int64_t child; (child = 2 * i + 1) < *n; i = child) {
        child += child + 1 < *n && heap[child + 1] < heap[child];
        if (heap[child] >= x)
            break;
        heap[i] = heap[child];
    }
    heap[i] = x;
    return top;
}

// The merge of the symbol at i with the one after it; NULL where there is none.
static const hn__merge *merge_at(const hn_tokenizer *t, const hn__symbol *s, int32_t i)
{
    if (i < 0 || s[i].after < 0)
        return NULL;
    const hn__merge *m = &t->merge[merge_slot(t, s[i].id, s[s[i].after].id)];
    return m->left < 0 ? NULL : m;
}

static void consider(const hn_tokenizer *t, int32_t i, int64_t *n_heap)
{
    const hn__merge *m = merge_at(t, t->symbol, i);
    if (m)
        heap_push(t->heap, n_heap, (uint64_t)(uint32_t)m->rank << 32 | (uint32_t)i);
}

typedef struct start {
    hn_tokenizer *t;
    int32_t n;
    bool pending; // an unknown token, which may grow
} start;

static void put_symbol(start *s, int32_t id)
{
    s->t->symbol[s->n] = (hn__symbol){ id, s->n - 1, s->n + 1 };
    s->n++;
}

static void put_unknown(start *s)
{
    if (s->pending)
        put_symbol(s, s->t->unknown);
    s->pending = false;
}

// The tokens of n bytes (one character's); false where one has none.
static bool put_bytes(start *s, const uint8_t *p, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (s->t->byte_id[p[i]] < 0)
            return false;
    for (size_t i = 0; i < n; i++)
        put_symbol(s, s->t->byte_id[p[i]]);
    return true;
}

// What has no token is one unknown token, or lost. A pending one goes after the bytes that follow
// it, as the original has it.
static void put_lost(start *s)
{
    hn_tokenizer *t = s->t;
    if (t->unknown >= 0) {
        if (!t->fuse_unknown)
            put_unknown(s);
        s->pending = true;
    } else if (!t->warned) {
        t->warned = true;
        hn__log(HN_LOG_WARN, "the tokenizer has no token for some bytes of the text: they are "
                "left out");
    }
}

// The symbols that merging begins with: bytes, or characters. Returns how many.
static int32_t put_symbols(hn_tokenizer *t, const uint8_t *p, size_t n)
{
    start s = { t, 0, false };
    for (size_t i = 0, len = 1; i < n; i += len) {
        if (t->by_char)
            hn__utf8_char(p + i, &len);
        const int32_t id = t->by_char ? hn__index_find(&t->by_name, t->token, p + i, len)
                                      : t->byte_id[p[i]];
        if (id >= 0) {
            put_unknown(&s);
            put_symbol(&s, id);
        } else if (!t->by_char || !put_bytes(&s, p + i, len)) {
            put_lost(&s);
        }
    }
    put_unknown(&s);
    if (s.n)
        t->symbol[s.n - 1].after = -1;
    return s.n;
}

// Merges in order of rank; each merge makes at most two new candidates, so n log n in all.
static hn_status merge_piece(hn_tokenizer *t, const uint8_t *p, size_t n_bytes, hn_ids *ids)
{
    HN_TRY(hn__reserve((void **)&t->symbol, &t->cap_symbol, (int64_t)n_bytes, sizeof *t->symbol));
    HN_TRY(hn__reserve((void **)&t->heap, &t->cap_heap, 3 * (int64_t)n_bytes, sizeof *t->heap));
    HN_TRY(hn__ids_room(ids, (int64_t)n_bytes));
    hn__symbol *s = t->symbol;
    int64_t n_heap = 0;
    const int32_t n = put_symbols(t, p, n_bytes);
    if (!n)
        return HN_OK;
    for (int32_t i = 0; i < n; i++)
        consider(t, i, &n_heap);
    while (n_heap) {
        const uint64_t top = heap_pop(t->heap, &n_heap);
        const int32_t i = (int32_t)(uint32_t)top;
        // A candidate whose symbols have changed since is stale.
        const hn__merge *m = s[i].id < 0 ? NULL : merge_at(t, s, i);
        if (!m || m->rank != (int32_t)(top >> 32))
            continue;
        const int32_t gone = s[i].after, next = s[gone].after;
        s[i].id = m->made;
        s[i].after = next;
        s[gone].id = -1;
        if (next >= 0)
            s[next].before = i;
        consider(t, s[i].before, &n_heap);
        consider(t, i, &n_heap);
    }
    for (int32_t i = 0; i >= 0; i = s[i].after)
        ids->id[ids->n++] = s[i].id;
    return HN_OK;
}

static hn_status encode_piece(hn_tokenizer *t, const uint8_t *p, size_t n, hn_ids *ids)
{
    if (t->ignore_merges) {
        const int32_t id = t->by_char ? hn__index_find(&t->by_name, t->token, p, n)
                                      : hn__index_find(&t->by_text, t->text, p, n);
        if (id >= 0 && (t->by_char || !t->token[id].raw)) {
            HN_TRY(hn__ids_room(ids, 1));
            ids->id[ids->n++] = id;
            return HN_OK;
        }
    }
    if (n > INT32_MAX)
        return hn_fail(HN_ERR_ARG, "a word of %zu bytes is too long to encode", n);
    return merge_piece(t, p, n, ids);
}

// Keeps what was found. A cache that is full begins anew: text that changes, changes it.
static void remember(hn_tokenizer *t, uint64_t hash, const uint8_t *p, size_t n,
                     const int32_t *id, int64_t n_ids)
{
    if (t->n_cached >= HN__CACHE_MOST) {
        hn__arena_reset(&t->cache_arena);
        memset(t->cache, 0, HN__CACHE_SLOTS * sizeof *t->cache);
        t->n_cached = 0;
    }
    const hn__piece e = { hash, hn__arena_copy(&t->cache_arena, p, n), (uint32_t)n,
                          (uint32_t)n_ids,
                          hn__arena_copy(&t->cache_arena, id, (size_t)n_ids * sizeof *id) };
    if (!e.p || !e.id)
        return; // no memory to remember with is no failure
    uint32_t i = (uint32_t)hash & (HN__CACHE_SLOTS - 1);
    while (t->cache[i].p)
        i = (i + 1) & (HN__CACHE_SLOTS - 1);
    t->cache[i] = e;
    t->n_cached++;
}

hn_status hn__bpe_piece(hn_tokenizer *t, const uint8_t *p, size_t n, hn_ids *ids)
{
    if (n == 0)
        return HN_OK;
    if (n > HN__CACHE_BYTES)
        return encode_piece(t, p, n, ids);
    const uint64_t hash = hn__hash(p, n, 0);
    for (uint32_t i = (uint32_t)hash & (HN__CACHE_SLOTS - 1); t->cache[i].p;
         i = (i + 1) & (HN__CACHE_SLOTS - 1)) {
        const hn__piece *e = &t->cache[i];
        if (e->hash != hash || e->n != n || memcmp(e->p, p, n))
            continue;
        HN_TRY(hn__ids_room(ids, e->n_ids));
        memcpy(ids->id + ids->n, e->id, e->n_ids * sizeof *e->id);
        ids->n += e->n_ids;
        return HN_OK;
    }
    const int64_t first = ids->n;
    HN_TRY(encode_piece(t, p, n, ids));
    remember(t, hash, p, n, ids->id + first, ids->n - first);
    return HN_OK;
}

// ---- tokens to bytes -------------------------------------------------------------------------

int hn_tokenizer_vocab_size(const hn_tokenizer *t)
{
    return t->n_token;
}

const void *hn_tokenizer_bytes(const hn_tokenizer *t, int32_t id, size_t *n_bytes)
{
    const bool is_token = id >= 0 && id < t->n_token && t->text[id].p;
    *n_bytes = is_token ? t->text[id].n : 0;
    return is_token ? t->text[id].p : NULL;
}

int32_t hn_tokenizer_find(const hn_tokenizer *t, const void *bytes, size_t n)
{
    return hn__index_find(&t->by_text, t->text, bytes, n);
}

int hn_tokenizer_missing_bytes(const hn_tokenizer *t)
{
    return t->n_no_byte;
}

int64_t hn_tokenizer_start(const hn_tokenizer *t, const int32_t **out)
{
    *out = t->around;
    return t->n_before;
}

bool hn_tokenizer_is_special(const hn_tokenizer *t, int32_t id)
{
    for (int32_t i = 0; i < t->n_added; i++)
        if (t->added[i].id == id)
            return t->added[i].special;
    return false;
}

hn_status hn_tokenizer_decode(const hn_tokenizer *t, const int32_t ids[], int64_t n, void *out,
                              size_t cap, size_t *n_bytes)
{
    *n_bytes = 0;
    size_t at = 0;
    for (int64_t i = 0; i < n; i++) {
        size_t m;
        const void *p = hn_tokenizer_bytes(t, ids[i], &m);
        if (!p)
            return hn_fail(HN_ERR_ARG, "element %" PRId64 ": %d is no token", i, (int)ids[i]);
        if (i == 0 && m && t->strip_space && *(const char *)p == ' ') {
            p = (const char *)p + 1;
            m--;
        }
        if (at < cap)
            memcpy((char *)out + at, p, m < cap - at ? m : cap - at);
        at += m;
    }
    *n_bytes = at;
    return HN_OK;
}
