// Host memory: the allocator of the process, and arenas on it.
#include "base/base.h"

#include <stdlib.h>
#include <string.h>

static void *system_resize(void *user, void *p, size_t n)
{
    (void)user;
    if (n == 0) {
        free(p);
        return NULL;
    }
    return realloc(p, n);
}

static hn_allocator heap = { system_resize, NULL };

void hn_set_allocator(const hn_allocator *a)
{
    heap = a ? *a : (hn_allocator){ system_resize, NULL };
}

void *hn__resize(void *p, size_t n, size_t size)
{
    if (n == 0 || (size && n > SIZE_MAX / size))
        return NULL;
    return heap.resize(heap.user, p, n * size);
}

void *hn__calloc(size_t n, size_t size)
{
    void *p = hn__resize(NULL, n, size);
    if (p)
        memset(p, 0, n * size);
    return p;
}

void hn__free(void *p)
{
    if (p)
        heap.resize(heap.user, p, 0);
}

// The pointer that was allocated stands in the word before the aligned one.
void *hn__alloc_aligned(size_t n_bytes)
{
    const size_t slack = 64 + sizeof(void *);
    if (n_bytes > SIZE_MAX - slack)
        return NULL;
    char *raw = hn__calloc(n_bytes + slack, 1);
    if (!raw)
        return NULL;
    const uintptr_t at = ((uintptr_t)raw + slack - 1) & ~(uintptr_t)63;
    char *p = raw + (at - (uintptr_t)raw);
    memcpy(p - sizeof raw, &raw, sizeof raw);
    return p;
}

void hn__free_aligned(void *p)
{
    if (!p)
        return;
    char *raw;
    memcpy(&raw, (char *)p - sizeof raw, sizeof raw);
    hn__free(raw);
}

hn_status hn__nomem(size_t n_bytes)
{
    return hn_fail(HN_ERR_NOMEM, "out of host memory (%zu bytes wanted)", n_bytes);
}

hn_status hn__reserve(void **items, int64_t *cap, int64_t n, size_t size)
{
    if (n <= *cap)
        return HN_OK;
    int64_t want = *cap ? *cap : 16;
    while (want < n)
        want *= 2;
    void *p = hn__resize(*items, (size_t)want, size);
    if (!p)
        return hn__nomem((size_t)want * size);
    *items = p;
    *cap = want;
    return HN_OK;
}

typedef struct hn__arena_block {
    struct hn__arena_block *before;
    size_t used, size; // bytes after this head
} hn__arena_block;

enum { ARENA_HEAD = (sizeof(hn__arena_block) + 15) & ~15, ARENA_BLOCK = 64 << 10 };

void *hn__arena_alloc(hn__arena *a, size_t n_bytes)
{
    if (n_bytes > SIZE_MAX / 2)
        return NULL;
    const size_t n = (n_bytes + 15) & ~(size_t)15;
    if (!a->last || a->last->size - a->last->used < n) {
        const size_t size = n > ARENA_BLOCK ? n : ARENA_BLOCK;
        hn__arena_block *b = hn__resize(NULL, ARENA_HEAD + size, 1);
        if (!b)
            return NULL;
        *b = (hn__arena_block){ .before = a->last, .size = size };
        a->last = b;
    }
    char *p = (char *)a->last + ARENA_HEAD + a->last->used;
    a->last->used += n;
    memset(p, 0, n);
    return p;
}

void *hn__arena_copy(hn__arena *a, const void *p, size_t n_bytes)
{
    void *copy = hn__arena_alloc(a, n_bytes ? n_bytes : 1);
    if (copy && n_bytes)
        memcpy(copy, p, n_bytes);
    return copy;
}

char *hn__arena_string(hn__arena *a, const char *s)
{
    return hn__arena_copy(a, s, strlen(s) + 1);
}

void hn__arena_reset(hn__arena *a)
{
    for (hn__arena_block *b = a->last, *before; b; b = before) {
        before = b->before;
        hn__free(b);
    }
    a->last = NULL;
}
