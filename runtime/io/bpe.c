// Byte-level BPE: the tables of a tokenizer, and the merging of one pre-token.
#include "io/bpe.h"

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
    hn__free(t->token);
    hn__free(t->by_bytes);
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

// The slot that holds these bytes, or the free one where they would go.
static uint32_t bytes_slot(const hn_tokenizer *t, const void *p, size_t n)
{
    uint32_t i = (uint32_t)hn__hash(p, n, 0) & (t->n_by_bytes - 1);
    for (; t->by_bytes[i] >= 0; i = (i + 1) & (t->n_by_bytes - 1)) {
        const hn__bytes *b = &t->token[t->by_bytes[i]];
        if (b->n == n && !memcmp(b->p, p, n))
            break;
    }
    return i;
}

hn_status hn__bpe_index(hn_tokenizer *t)
{
    t->n_by_bytes = slots_for(t->n_token);
    t->by_bytes = hn__resize(NULL, t->n_by_bytes, sizeof *t->by_bytes);
    if (!t->by_bytes)
        return hn__nomem(t->n_by_bytes * sizeof *t->by_bytes);
    memset(t->by_bytes, 0xff, t->n_by_bytes * sizeof *t->by_bytes);
    for (int raw = 0; raw < 2; raw++)
        for (int32_t id = 0; id < t->n_token; id++) {
            const hn__bytes *b = &t->token[id];
            if (!b->p || b->raw != raw)
                continue;
            const uint32_t i = bytes_slot(t, b->p, b->n);
            if (t->by_bytes[i] < 0)
                t->by_bytes[i] = id;
        }
    for (int b = 0; b < 256; b++) {
        const uint8_t byte = (uint8_t)b;
        t->byte_id[b] = t->by_bytes[bytes_slot(t, &byte, 1)];
        if (t->byte_id[b] < 0 || t->token[t->byte_id[b]].raw)
            return hn_fail(HN_ERR_FORMAT,
                           "no token for the byte 0x%02x; not a byte-level vocabulary",
                           (unsigned)b);
    }
    return HN_OK;
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

// Merges in order of rank; each merge makes at most two new candidates, so n log n in all.
static hn_status merge_piece(hn_tokenizer *t, const uint8_t *p, int32_t n, hn_ids *ids)
{
    HN_TRY(hn__reserve((void **)&t->symbol, &t->cap_symbol, n, sizeof *t->symbol));
    HN_TRY(hn__reserve((void **)&t->heap, &t->cap_heap, 3 * (int64_t)n, sizeof *t->heap));
    HN_TRY(hn__ids_room(ids, n));
    hn__symbol *s = t->symbol;
    int64_t n_heap = 0;
    for (int32_t i = 0; i < n; i++)
        s[i] = (hn__symbol){ t->byte_id[p[i]], i - 1, i + 1 < n ? i + 1 : -1 };
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
        const int32_t id = t->by_bytes[bytes_slot(t, p, n)];
        if (id >= 0 && !t->token[id].raw) {
            HN_TRY(hn__ids_room(ids, 1));
            ids->id[ids->n++] = id;
            return HN_OK;
        }
    }
    if (n > INT32_MAX)
        return hn_fail(HN_ERR_ARG, "a word of %zu bytes is too long to encode", n);
    return merge_piece(t, p, (int32_t)n, ids);
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
    const bool is_token = id >= 0 && id < t->n_token && t->token[id].p;
    *n_bytes = is_token ? t->token[id].n : 0;
    return is_token ? t->token[id].p : NULL;
}

int32_t hn_tokenizer_find(const hn_tokenizer *t, const void *bytes, size_t n)
{
    return t->by_bytes[bytes_slot(t, bytes, n)];
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
        if (at < cap)
            memcpy((char *)out + at, p, m < cap - at ? m : cap - at);
        at += m;
    }
    *n_bytes = at;
    return HN_OK;
}
