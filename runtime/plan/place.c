// Placement: values whose lifetimes do not meet share the bytes of one block.
//
// Greedy by size (Pisarchyk and Lee 2020, arXiv 2001.03288): the largest first, each at the lowest
// offset where it meets no other; several orders are tried and the smallest block wins. While it
// is above the bound, the item that ends last is put first and all are placed again.
#include "plan/build.h"

#include <stdlib.h>
#include <string.h>

typedef struct item {
    int64_t slot, bytes, offset;
    int first, last;
} item;

// qsort compares items of one order; ties by slot, so that the result is the same everywhere.
static int by_size(const void *a, const void *b)
{
    const item *x = a, *y = b;
    if (x->bytes != y->bytes)
        return x->bytes < y->bytes ? 1 : -1;
    return (x->slot > y->slot) - (x->slot < y->slot);
}

static int by_start(const void *a, const void *b)
{
    const item *x = a, *y = b;
    return x->first != y->first ? x->first - y->first : by_size(a, b);
}

static int by_area(const void *a, const void *b)
{
    const item *x = a, *y = b;
    const double ax = (double)x->bytes * (x->last - x->first + 1);
    const double ay = (double)y->bytes * (y->last - y->first + 1);
    return ax != ay ? (ax < ay ? 1 : -1) : by_size(a, b);
}

static int by_length(const void *a, const void *b)
{
    const item *x = a, *y = b;
    const int lx = x->last - x->first, ly = y->last - y->first;
    return lx != ly ? ly - lx : by_size(a, b);
}

// Puts one item at the lowest free offset among those placed; `sorted` holds their indices by
// offset.
static int64_t put(item *items, int n_placed, int *sorted, item *it)
{
    int64_t at = 0;
    int i = 0;
    for (; i < n_placed; i++) {
        const item *o = &items[sorted[i]];
        if (o->last < it->first || o->first > it->last)
            continue;
        if (o->offset >= at + it->bytes)
            break;
        if (o->offset + o->bytes > at)
            at = o->offset + o->bytes;
    }
    it->offset = at;
    int pos = n_placed;
    for (; pos > 0 && items[sorted[pos - 1]].offset > at; pos--)
        sorted[pos] = sorted[pos - 1];
    sorted[pos] = (int)(it - items);
    return at + it->bytes;
}

static int64_t put_all(item *items, int n, int *sorted)
{
    int64_t end = 0;
    for (int i = 0; i < n; i++) {
        const int64_t e = put(items, i, sorted, &items[i]);
        end = e > end ? e : end;
    }
    return end;
}

// The largest set alive together: no placement can be smaller.
static int64_t bound(const item *items, int n, int64_t n_steps, int64_t *delta)
{
    int64_t live = 0, most = 0;
    for (int i = 0; i < n; i++) {
        delta[items[i].first] += items[i].bytes;
        delta[items[i].last + 1] -= items[i].bytes;
    }
    for (int64_t s = 0; s <= n_steps; s++) {
        live += delta[s];
        most = live > most ? live : most;
    }
    return most;
}

typedef struct search {
    hn_plan *p;
    item *items;
    int n, *sorted;
} search;

// Places the items in their order; keeps the offsets where the block is the smallest so far.
static void attempt(const search *s)
{
    hn_plan *p = s->p;
    const int64_t end = put_all(s->items, s->n, s->sorted);
    if (end >= p->info.block_bytes)
        return;
    p->info.block_bytes = end;
    for (int i = 0; i < s->n; i++)
        p->slots[s->items[i].slot].offset = s->items[i].offset;
}

static void last_to_front(const search *s)
{
    int top = 0;
    for (int i = 1; i < s->n; i++)
        if (s->items[i].offset + s->items[i].bytes > s->items[top].offset + s->items[top].bytes)
            top = i;
    const item first = s->items[top];
    memmove(s->items + 1, s->items, sizeof first * (size_t)top);
    s->items[0] = first;
}

static void find_best(const search *s)
{
    static int (*const orders[])(const void *, const void *) = { by_size, by_start, by_area,
                                                                 by_length };
    hn_plan_info *info = &s->p->info;
    // Each attempt takes about n^2 steps; the search as a whole stays under a second.
    const double budget = 4e8 / ((double)s->n * s->n + 1);
    const int again = budget > 400 ? 400 : (int)budget;

    info->block_bytes = INT64_MAX;
    for (size_t o = 0; o < sizeof orders / sizeof *orders; o++) {
        qsort(s->items, (size_t)s->n, sizeof *s->items, orders[o]);
        attempt(s);
        for (int i = 0; i < again && info->block_bytes > info->live_bytes; i++) {
            last_to_front(s);
            attempt(s);
        }
    }
}

hn_status hn__place(hn_plan *p)
{
    int n = 0;
    item *items = hn__calloc((size_t)p->n_slots + 1, sizeof *items);
    int *sorted = hn__calloc((size_t)p->n_slots + 1, sizeof *sorted);
    int64_t *delta = hn__calloc((size_t)p->n_steps + 2, sizeof *delta);
    hn_status s = items && sorted && delta ? HN_OK : hn__nomem((size_t)p->n_slots * sizeof *items);

    for (int64_t i = 0; s == HN_OK && i < p->n_slots; i++)
        if (p->slots[i].where == HN__BLOCK && !p->slots[i].on)
            items[n++] =
                (item){ i, hn__align(p->slots[i].bytes), 0, p->slots[i].first, p->slots[i].last };
    if (s == HN_OK) {
        p->info.live_bytes = bound(items, n, p->n_steps, delta);
        find_best(&(search){ p, items, n, sorted });
    }
    for (int64_t i = 0; i < p->n_slots; i++)
        if (p->slots[i].on)
            p->slots[i].offset = p->slots[p->slots[i].on].offset;
    hn__free(items);
    hn__free(sorted);
    hn__free(delta);
    return s;
}
