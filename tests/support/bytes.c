// Files put together byte by byte.
#include "support/bytes.h"
#include "support/check.h"

#include <string.h>

void put(bytes *b, const void *p, size_t n)
{
    CHECK(n <= sizeof b->p - b->n, "%zu bytes more than a test's file holds", n);
    if (n)
        memcpy(b->p + b->n, p, n);
    b->n += n;
}

void put_uint(bytes *b, int size, uint64_t x)
{
    for (int i = 0; i < size; i++)
        put(b, &(uint8_t){ (uint8_t)(x >> 8 * i) }, 1);
}

void put_f32(bytes *b, float x)
{
    uint32_t u;
    memcpy(&u, &x, sizeof u);
    put_uint(b, 4, u);
}

void put_pad(bytes *b, size_t n)
{
    while (b->n % n)
        put_uint(b, 1, 0);
}

void put_gguf_string(bytes *b, const char *text)
{
    put_uint(b, 8, strlen(text));
    put(b, text, strlen(text));
}

void put_gguf_key(bytes *b, const char *key, uint32_t type)
{
    put_gguf_string(b, key);
    put_uint(b, 4, type);
}

void put_gguf_head(bytes *b, uint64_t n_tensors, uint64_t n_keys)
{
    b->n = 0;
    put(b, "GGUF", 4);
    put_uint(b, 4, 3);
    put_uint(b, 8, n_tensors);
    put_uint(b, 8, n_keys);
}

void put_gguf_tensor(bytes *b, const char *name, uint32_t rank, const uint64_t dim[],
                     uint32_t type, uint64_t offset)
{
    put_gguf_string(b, name);
    put_uint(b, 4, rank);
    for (uint32_t i = 0; i < rank; i++)
        put_uint(b, 8, dim[i]);
    put_uint(b, 4, type);
    put_uint(b, 8, offset);
}
