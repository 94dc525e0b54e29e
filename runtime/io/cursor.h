// A walk over bytes from outside: no step goes past the end.
#ifndef HN_IO_CURSOR_H
#define HN_IO_CURSOR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct hn__cursor {
    const uint8_t *p;
    size_t n, at;
} hn__cursor;

// The next n bytes; NULL, and no step, where fewer are left.
static inline const uint8_t *hn__cursor_take(hn__cursor *b, uint64_t n)
{
    if (n > b->n - b->at)
        return NULL;
    b->at += (size_t)n;
    return b->p + (b->at - (size_t)n);
}

// A number of `size` bytes at p, the lowest first.
static inline uint64_t hn__uint_at(const uint8_t *p, int size)
{
    uint64_t x = 0;
    for (int i = 0; i < size; i++)
        x |= (uint64_t)p[i] << 8 * i;
    return x;
}

// The next number of `size` bytes. False, and 0, where fewer are left.
static inline bool hn__cursor_uint(hn__cursor *b, int size, uint64_t *out)
{
    const uint8_t *p = hn__cursor_take(b, (uint64_t)size);
    *out = p ? hn__uint_at(p, size) : 0;
    return p != NULL;
}

#endif
