// Status, element types, allocation and log: what every other header stands on.
#ifndef HORNITO_BASE_H
#define HORNITO_BASE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#if defined(_WIN32)
#define HN_API
#else
#define HN_API __attribute__((visibility("default")))
#endif

// What a fallible function returns. Each is defined against its neighbour.
typedef enum hn_status {
    HN_OK = 0,
    HN_ERR_NOMEM,       // host or device memory ran out; the same call may succeed with less
    HN_ERR_ARG,         // an argument is outside what the declaration allows
    HN_ERR_SHAPE,       // arguments are each legal, their types or shapes do not fit together
    HN_ERR_UNSUPPORTED, // legal and meaningful, but this build, device or operator cannot do it
    HN_ERR_DEVICE,      // the device or its driver failed; HN_ERR_NOMEM is not meant by this
    HN_ERR_IO,          // the operating system could not read or write a file
    HN_ERR_FORMAT,      // the file was read, and what it says is not legal
} hn_status;

// The name of a status, such as "shape". Never NULL.
HN_API const char *hn_status_name(hn_status s);

// The text of this thread's last failure: what, where, what to do. Empty before the first one.
// Valid until the thread's next failure. Never NULL.
HN_API const char *hn_error_text(void);

// Element types. 16-bit types are storage: arithmetic is in f32. Bytes are little-endian.
//
// The types from HN_Q8_0 on are quantised: GGUF's blocks of 32 or 256 elements that share scales,
// each in the layout that such files have (ggml's block_q8_0 and so on). They are storage too. A
// row of such a tensor is a whole number of blocks.
typedef enum hn_dtype {
    HN_F32 = 1,
    HN_F16,
    HN_BF16,
    HN_I32,
    HN_U8,
    HN_Q8_0, // x = d q, 8 bits; blocks of 32
    HN_Q4_0, // x = d (q - 8)
    HN_Q4_1, // x = d q + m
    HN_Q5_0, // x = d (q - 16)
    HN_Q5_1, // x = d q + m
    HN_Q4_K, // x = d s q - dmin m; blocks of 256, of which each 32 have s and m
    HN_Q5_K,
    HN_Q6_K, // x = d s (q - 32); each 16 have s
    HN_DTYPE_COUNT,
} hn_dtype;

// Bytes of one element, or of one block of a quantised type; 0 for a value that is no hn_dtype.
HN_API int hn_dtype_size(hn_dtype t);
// Elements of one block: 32 or 256 for quantised types, otherwise 1.
HN_API int hn_dtype_block(hn_dtype t);
// "f32", "f16", ...; "?" for a value that is no hn_dtype.
HN_API const char *hn_dtype_name(hn_dtype t);

#define HN_MAX_RANK 6

// The type of a tensor: row-major, dense. Rank 0 is a scalar. Every dimension is at least 1.
typedef struct hn_type {
    hn_dtype dtype;
    int rank;
    int64_t dim[HN_MAX_RANK]; // slowest first
} hn_type;

// The number of elements and of bytes of a tensor of this type.
HN_API int64_t hn_type_numel(const hn_type *t);
HN_API int64_t hn_type_bytes(const hn_type *t);

// All host memory comes through one function: p NULL allocates n bytes, n 0 frees p (and returns
// NULL), otherwise p is resized. Returns NULL when it cannot; p is then still valid.
// Must return memory aligned for any type, and be thread-safe.
typedef struct hn_allocator {
    void *(*resize)(void *user, void *p, size_t n);
    void *user;
} hn_allocator;

// Sets the allocator for the process; NULL restores the C library's. Call it before anything else
// of this library, or when everything made by it is destroyed.
HN_API void hn_set_allocator(const hn_allocator *a);

typedef enum hn_log_level { HN_LOG_ERROR, HN_LOG_WARN, HN_LOG_INFO, HN_LOG_DEBUG } hn_log_level;

// Receives what a status cannot carry: the device chosen and why, fallbacks, timings. One line
// without a newline. Silent until set; NULL silences it. May be called from any thread.
typedef void (*hn_log_fn)(void *user, hn_log_level level, const char *line);
HN_API void hn_set_log(hn_log_fn fn, void *user, hn_log_level most);

#ifdef __cplusplus
}
#endif
#endif
