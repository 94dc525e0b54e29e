// Inside the GGUF reader: what reading the structure leaves for asking about values.
#ifndef HN_IO_GGUF_READ_H
#define HN_IO_GGUF_READ_H

#include "io/cursor.h"
#include "io/gguf.h"

// A key with its value as it lies in the file, already checked.
typedef struct hn__gguf_entry {
    const char *key;
    hn__gguf_type type, element; // element: of an array
    uint64_t n;           // bytes of a string, elements of an array
    const uint8_t *value; // a number's or a string's bytes, an array's first element
    const uint8_t *raw;   // all that follows the type
    size_t n_raw;
} hn__gguf_entry;

struct hn__gguf {
    hn__arena arena; // keys
    const char *name; // of the file
    int version;
    hn__gguf_entry *item;
    int64_t n, cap;
    int64_t *by_name; // indices, sorted
};

// Bytes of a number or a bool; 0 for strings, arrays, and what is no type.
int hn__gguf_type_size(hn__gguf_type t);
// "u8", "string", ...; "?" for what is no type.
const char *hn__gguf_type_name(hn__gguf_type t);
// Sorts the keys. Errors: FORMAT where one stands twice; NOMEM.
hn_status hn__gguf_seal(hn__gguf *g);
// NULL where there is none.
const hn__gguf_entry *hn__gguf_find(const hn__gguf *g, const char *key);

// Tensor types by the file's number; NULL where there is none of it. dtype 0 and bits 0: known by
// name only.
typedef struct hn__gguf_tensor_type {
    uint32_t id;
    const char *name;
    hn_dtype dtype;
    int bits; // of an element that no hn_dtype has
} hn__gguf_tensor_type;
const hn__gguf_tensor_type *hn__gguf_tensor_type_find(uint32_t id);
const hn__gguf_tensor_type *hn__gguf_tensor_type_of(hn_dtype t);

#endif
