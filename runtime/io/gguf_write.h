// Writing GGUF 3: key-values and a list of tensors first, then their bytes as a stream. The file
// appears whole at commit, or not at all.
#ifndef HN_IO_GGUF_WRITE_H
#define HN_IO_GGUF_WRITE_H

#include "io/gguf.h"

typedef struct hn__gguf_writer hn__gguf_writer;

hn_status hn__gguf_writer_create(hn__gguf_writer **out);
// Gives up: nothing is left of the file. *w may be NULL.
void hn__gguf_writer_destroy(hn__gguf_writer **w);

// Key-values, each key once. They are sticky: after the first failure nothing is done, and open
// returns it.
void hn__gguf_put_int(hn__gguf_writer *w, const char *key, int64_t x); // as u32
void hn__gguf_put_real(hn__gguf_writer *w, const char *key, double x); // as f32
void hn__gguf_put_bool(hn__gguf_writer *w, const char *key, bool x);
void hn__gguf_put_string(hn__gguf_writer *w, const char *key, const char *text);
void hn__gguf_put_strings(hn__gguf_writer *w, const char *key, const hn__gguf_string *list,
                          int64_t n);
void hn__gguf_put_i32s(hn__gguf_writer *w, const char *key, const int32_t *list, int64_t n);
void hn__gguf_put_f32s(hn__gguf_writer *w, const char *key, const float *list, int64_t n);
// Key i of another file, as it stands there.
void hn__gguf_put_copy(hn__gguf_writer *w, const hn__gguf *from, int64_t i);

// The next tensor of the list: name, dtype, rank and dim are read. Sticky too.
// Errors: UNSUPPORTED for a type or a rank that GGUF has not.
void hn__gguf_add_tensor(hn__gguf_writer *w, const hn_tensor *t);

// Writes what was put. Errors: IO; those before.
hn_status hn__gguf_writer_open(hn__gguf_writer *w, const char *path);
// The next bytes of the tensors in their order. Errors: ARG for more than the list says; IO.
hn_status hn__gguf_writer_put(hn__gguf_writer *w, const void *data, int64_t n_bytes);
// Ends the file, and *w, whatever the result. Errors: ARG where bytes are missing; IO.
hn_status hn__gguf_writer_commit(hn__gguf_writer **w);

#endif
