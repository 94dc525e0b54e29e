// Free ranges of a block of memory.
#include "device/vk/ranges.h"

#include <assert.h>
#include <string.h>

hn_status hn__ranges_init(hn__ranges *r, int64_t size)
{
    *r = (hn__ranges){ .size = size };
    HN_TRY(hn__reserve((void **)&r->free, &r->cap, 2, sizeof *r->free));
    r->free[r->n_free++] = (hn__range){ 0, size };
    return HN_OK;
}

void hn__ranges_free(hn__ranges *r)
{
    hn__free(r->free);
    *r = (hn__ranges){ 0 };
}

static void insert(hn__ranges *r, int64_t i, hn__range v)
{
    memmove(&r->free[i + 1], &r->free[i], (size_t)(r->n_free - i) * sizeof v);
    r->free[i] = v;
    r->n_free++;
}

static void drop(hn__ranges *r, int64_t i)
{
    r->n_free--;
    memmove(&r->free[i], &r->free[i + 1], (size_t)(r->n_free - i) * sizeof *r->free);
}

hn_status hn__ranges_take(hn__ranges *r, int64_t n, int64_t align, int64_t *out_at)
{
    *out_at = -1;
    // Taken ranges are at most n_taken + 1 after this, so free ones at most one more, and one in
    // passing: giving back never needs memory.
    HN_TRY(hn__reserve((void **)&r->free, &r->cap, r->n_taken + 3, sizeof *r->free));
    for (int64_t i = 0; i < r->n_free; i++) {
        const hn__range f = r->free[i];
        const int64_t at = (f.at + align - 1) & ~(align - 1), skip = at - f.at;
        if (f.n - skip < n)
            continue;
        const hn__range after = { at + n, f.n - skip - n };
        r->free[i].n = skip;
        if (after.n)
            insert(r, i + 1, after);
        if (!skip)
            drop(r, i);
        r->n_taken++;
        *out_at = at;
        return HN_OK;
    }
    return HN_OK;
}

void hn__ranges_give(hn__ranges *r, int64_t at, int64_t n)
{
    int64_t i = 0;
    while (i < r->n_free && r->free[i].at < at)
        i++;
    assert(i == r->n_free || at + n <= r->free[i].at);
    insert(r, i, (hn__range){ at, n });
    if (i + 1 < r->n_free && at + n == r->free[i + 1].at) {
        r->free[i].n += r->free[i + 1].n;
        drop(r, i + 1);
    }
    if (i > 0 && r->free[i - 1].at + r->free[i - 1].n == r->free[i].at) {
        r->free[i - 1].n += r->free[i].n;
        drop(r, i);
    }
    r->n_taken--;
}
