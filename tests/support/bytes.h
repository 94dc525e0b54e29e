// Files put together byte by byte, good and bad ones.
#ifndef HN_TESTS_BYTES_H
#define HN_TESTS_BYTES_H

#include <stddef.h>
#include <stdint.h>

typedef struct bytes {
    uint8_t p[1 << 16];
    size_t n;
} bytes;

void put(bytes *b, const void *p, size_t n);
// The low `size` bytes of x, lowest first.
void put_uint(bytes *b, int size, uint64_t x);
void put_f32(bytes *b, float x);
// Zeros up to a multiple of n.
void put_pad(bytes *b, size_t n);

// GGUF: a string; a key and the number of its value's type, which follows.
void put_gguf_string(bytes *b, const char *text);
void put_gguf_key(bytes *b, const char *key, uint32_t type);
// The head of a file of version 3.
void put_gguf_head(bytes *b, uint64_t n_tensors, uint64_t n_keys);
// An entry of the list of tensors; dim is fastest first.
void put_gguf_tensor(bytes *b, const char *name, uint32_t rank, const uint64_t dim[],
                     uint32_t type, uint64_t offset);

#endif
