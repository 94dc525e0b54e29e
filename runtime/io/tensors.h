// The directory of named tensors that every reader of model files fills.
#ifndef HN_IO_TENSORS_H
#define HN_IO_TENSORS_H

#include "base/os.h"
#include "hornito/io.h"

struct hn_tensors {
    hn__arena arena; // names and metadata
    const char *name; // of the file, for error texts
    hn_tensor *item;
    int64_t n, cap;
    int64_t *by_name; // indices, sorted; made by hn__tensors_seal
    hn_metadata *meta;
    int64_t n_meta, cap_meta;
    hn__map *map; // what the data pointers point into
    int64_t n_map, cap_map;
};

// A reader calls create, then keeps maps and adds tensors, then seals. Any failure: destroy.
hn_status hn__tensors_create(const char *name, hn_tensors **out);
// The directory closes *m from now on (also when this fails); *m becomes {0}.
hn_status hn__tensors_keep(hn_tensors *t, hn__map *m);
// Gives back the memory of a tensor's bytes that lie in a file which t keeps (hn__map_release):
// for who reads a large file once.
void hn__tensors_release(const hn_tensors *t, const hn_tensor *one);
// Copies the name (n bytes, not terminated by 0). `type` says the rest.
// Errors: FORMAT for a name that is empty, holds control characters or is longer than 4096.
hn_status hn__tensors_add(hn_tensors *t, const char *name, size_t n, const hn_tensor *type);
hn_status hn__tensors_add_metadata(hn_tensors *t, const char *key, const char *value);
// May be called again after more were added. Errors: FORMAT where a name stands twice.
hn_status hn__tensors_seal(hn_tensors *t);

// Element types as safetensors calls them.
typedef struct hn__file_dtype {
    const char *name;
    hn_dtype dtype; // 0: none
    int bits;
} hn__file_dtype;
// NULL where there is none of this name.
const hn__file_dtype *hn__file_dtype_find(const char *name);
const hn__file_dtype *hn__file_dtype_of(hn_dtype t);
// The bytes of rank dimensions of `bits` an element. False for a negative dimension, a result
// over 2^62, or one that is no whole number of bytes.
bool hn__file_bytes(int bits, int rank, const int64_t dim[], int64_t *out);

// Readers of one format over memory that outlives the result; `name` stands in error texts.
// n bytes at data need no alignment. Errors as hn_tensors_open.
hn_status hn__safetensors_read(const void *data, size_t n, const char *name, hn_tensors **out);
hn_status hn__onnx_read(const void *data, size_t n, const char *name, hn_tensors **out);
// CTranslate2's model.bin: variables and aliases under the file's names; the metadata "spec"
// (WhisperSpec) and "revision".
hn_status hn__ctranslate2_read(const void *data, size_t n, const char *name, hn_tensors **out);
// A .npy file: one tensor named "array".
hn_status hn__npy_read(const void *data, size_t n, const char *name, hn_tensors **out);
hn_status hn__npy_write(const char *path, const hn_type *type, const void *data);

#endif
