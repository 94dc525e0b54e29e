// Free ranges of a block of memory: taken first fit, given back and joined with their neighbours.
#ifndef HN_DEVICE_VK_RANGES_H
#define HN_DEVICE_VK_RANGES_H

#include "base/base.h"

typedef struct hn__range {
    int64_t at, n;
} hn__range;

typedef struct hn__ranges {
    hn__range *free; // in order, never touching each other
    int64_t n_free, cap, n_taken, size;
} hn__ranges;

// One free range of `size` bytes. NOMEM.
hn_status hn__ranges_init(hn__ranges *r, int64_t size);
void hn__ranges_free(hn__ranges *r);
// Takes n bytes whose offset is a multiple of `align` (a power of two). *out_at is -1 where there
// is no room. NOMEM for the list itself.
hn_status hn__ranges_take(hn__ranges *r, int64_t n, int64_t align, int64_t *out_at);
// Gives back exactly what was taken. Cannot fail.
void hn__ranges_give(hn__ranges *r, int64_t at, int64_t n);

#endif
