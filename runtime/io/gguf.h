// GGUF, versions 2 and 3: key-values and tensors over memory that the caller keeps.
// Source: the format's description in ggml (docs/gguf.md).
#ifndef HN_IO_GGUF_H
#define HN_IO_GGUF_H

#include "io/tensors.h"

// Value types as the file numbers them.
typedef enum hn__gguf_type {
    HN__GGUF_U8, HN__GGUF_I8, HN__GGUF_U16, HN__GGUF_I16, HN__GGUF_U32, HN__GGUF_I32,
    HN__GGUF_F32, HN__GGUF_BOOL, HN__GGUF_STRING, HN__GGUF_ARRAY, HN__GGUF_U64, HN__GGUF_I64,
    HN__GGUF_F64,
} hn__gguf_type;

// A string of the file: n bytes at p, not terminated by 0, UTF-8 expected and not promised.
typedef struct hn__gguf_string {
    const char *p;
    size_t n;
} hn__gguf_string;

typedef struct hn__gguf hn__gguf;

// Reads n bytes at data, of any alignment, which outlive both results: the key-values, and a
// directory of the tensors under the file's own names, dimensions slowest first.
// Errors: FORMAT with file, place and reason; UNSUPPORTED for a tensor type that is not read, by
// name; NOMEM. Both are then NULL.
hn_status hn__gguf_read(const void *data, size_t n, const char *name, hn__gguf **out,
                        hn_tensors **out_tensors);
void hn__gguf_destroy(hn__gguf **g);
int hn__gguf_version(const hn__gguf *g);

bool hn__gguf_has(const hn__gguf *g, const char *key);
// Errors: FORMAT, naming file and key, where the key is missing, of another type, or the number
// is outside [least, most].
hn_status hn__gguf_get_int(const hn__gguf *g, const char *key, int64_t least, int64_t most,
                           int64_t *out);
hn_status hn__gguf_get_real(const hn__gguf *g, const char *key, double *out);
hn_status hn__gguf_get_bool(const hn__gguf *g, const char *key, bool *out);
hn_status hn__gguf_get_string(const hn__gguf *g, const char *key, hn__gguf_string *out);
// An array of strings: *out is allocated (hn__free) and points into the file.
hn_status hn__gguf_get_strings(const hn__gguf *g, const char *key, hn__gguf_string **out,
                               int64_t *out_n);
// Arrays of numbers (any integer type; F32 or F64): *out is allocated (hn__free).
hn_status hn__gguf_get_ints(const hn__gguf *g, const char *key, int64_t **out, int64_t *out_n);
hn_status hn__gguf_get_reals(const hn__gguf *g, const char *key, float **out, int64_t *out_n);
// Key i in the order of the file, its type, and its value as short text for people; NULL where i
// is no index.
const char *hn__gguf_key(const hn__gguf *g, int64_t i, hn__gguf_type *type);
void hn__gguf_text(const hn__gguf *g, int64_t i, char *buf, size_t n);

#endif
