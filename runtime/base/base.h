// Inside the library: failing with a text, memory, arenas, number formats, hashing.
#ifndef HN_BASE_BASE_H
#define HN_BASE_BASE_H

#include "hornito/base.h"

#include <inttypes.h>
#include <stdarg.h>

#if defined(__GNUC__)
#define HN__PRINTF(a, b) __attribute__((format(printf, a, b)))
#else
#define HN__PRINTF(a, b)
#endif

// A hot loop: compiled once for each level of the instruction set, chosen when the program loads.
#if defined(__GNUC__) && !defined(__clang__) && defined(__x86_64__) && !defined(HN_NO_CLONES)
#define HN__HOT __attribute__((target_clones("arch=x86-64-v4", "arch=x86-64-v3", "default")))
#else
#define HN__HOT
#endif

// A small function that becomes part of a hot loop: target clones inline nothing else.
#if defined(__GNUC__)
#define HN__INLINE static inline __attribute__((always_inline))
#else
#define HN__INLINE static inline
#endif

// ---- failing -------------------------------------------------------------------------------

// Keeps the text for this thread and returns s. Allocates nothing.
hn_status hn_fail(hn_status s, const char *fmt, ...) HN__PRINTF(2, 3);
// Puts words before the text of failure s, outermost first ("load 'x': ..."), and returns s.
// Does nothing where s is HN_OK.
hn_status hn_context(hn_status s, const char *fmt, ...) HN__PRINTF(2, 3);

#define HN_TRY(call)                                                                              \
    do {                                                                                          \
        const hn_status hn_try_ = (call);                                                         \
        if (hn_try_ != HN_OK)                                                                     \
            return hn_try_;                                                                       \
    } while (0)

void hn__log(hn_log_level level, const char *fmt, ...) HN__PRINTF(2, 3);

// ---- memory --------------------------------------------------------------------------------

// Zeroed; NULL (and no text) when out of memory or when n * size overflows. n 0 gives NULL.
void *hn__calloc(size_t n, size_t size);
// As realloc for n elements; on failure NULL, and p is still valid. New bytes are not zeroed.
void *hn__resize(void *p, size_t n, size_t size);
void hn__free(void *p);
// Aligned to 64 bytes and zeroed; freed by hn__free_aligned only.
void *hn__alloc_aligned(size_t n_bytes);
void hn__free_aligned(void *p);

// hn_fail(HN_ERR_NOMEM, ...) with the usual words.
hn_status hn__nomem(size_t n_bytes);

// Grows *items (elements of `size` bytes) to hold at least n, doubling *cap. NOMEM on failure.
hn_status hn__reserve(void **items, int64_t *cap, int64_t n, size_t size);

// An arena: allocations that end together. {0} is an empty one.
typedef struct hn__arena {
    struct hn__arena_block *last;
} hn__arena;

// Zeroed and aligned to 16; NULL when out of memory.
void *hn__arena_alloc(hn__arena *a, size_t n_bytes);
// A copy of n bytes, or of a string; NULL when out of memory.
void *hn__arena_copy(hn__arena *a, const void *p, size_t n_bytes);
char *hn__arena_string(hn__arena *a, const char *s);
void hn__arena_reset(hn__arena *a);

// ---- types ---------------------------------------------------------------------------------

static inline bool hn__is_float(hn_dtype t)
{
    return t == HN_F32 || t == HN_F16 || t == HN_BF16;
}
// Storage in blocks that share scales: HN_Q8_0 and those after it.
static inline bool hn__is_quantised(hn_dtype t)
{
    return t >= HN_Q8_0 && t < HN_DTYPE_COUNT;
}
bool hn__type_equal(const hn_type *a, const hn_type *b);
// True where both have the same dimensions; element types may differ.
bool hn__shape_equal(const hn_type *a, const hn_type *b);
// ARG or SHAPE where the type is not legal (rank, dimensions, more than 2^40 elements).
hn_status hn__type_check(const hn_type *t);
// The last dimension (1 for a scalar), and the product of all before it.
int64_t hn__cols(const hn_type *t);
int64_t hn__rows(const hn_type *t);
#define hn__numel hn_type_numel
// "f32[2, 3]" into buf; returns buf.
const char *hn__type_text(const hn_type *t, char *buf, size_t n);

// ---- number formats ------------------------------------------------------------------------

// Round to nearest, ties to even; NaN stays NaN, overflow gives infinity.
uint16_t hn__f32_to_f16(float x);
float hn__f16_to_f32(uint16_t h);
uint16_t hn__f32_to_bf16(float x);
float hn__bf16_to_f32(uint16_t h);
// n elements of type `t` at src as doubles or floats, and back. Integers saturate; NaN gives 0.
// Of a quantised type n is a number of whole blocks; to Q8_0, Q4_0 and Q4_1 numbers are rounded as
// ggml's reference does it, and nothing is written to the other quantised types
// (hn__can_quantise).
void hn__to_f64(hn_dtype t, const void *src, double *dst, int64_t n);
void hn__from_f64(hn_dtype t, const double *src, void *dst, int64_t n);
void hn__to_f32(hn_dtype t, const void *src, float *dst, int64_t n);
void hn__from_f32(hn_dtype t, const float *src, void *dst, int64_t n);
static inline bool hn__can_quantise(hn_dtype t)
{
    return t == HN_Q8_0 || t == HN_Q4_0 || t == HN_Q4_1;
}

// ---- random numbers ------------------------------------------------------------------------

// Philox 4x32-10 (Salmon et al. 2011, "Parallel random numbers: as easy as 1, 2, 3").
void hn__philox(const uint32_t key[2], const uint32_t counter[4], uint32_t out[4]);

// A stream over it for host use: tests, initial weights, data order.
typedef struct hn_rng {
    uint32_t key[2];
    uint64_t n; // numbers drawn
} hn_rng;
hn_rng hn__rng(uint64_t seed, uint64_t stream);
uint32_t hn__rng_u32(hn_rng *r);
int64_t hn__rng_below(hn_rng *r, int64_t n);      // [0, n)
double hn__rng_uniform(hn_rng *r);                // [0, 1)
double hn__rng_range(hn_rng *r, double lo, double hi);
double hn__rng_normal(hn_rng *r);
// A size in [1, most], biased to 1, 2^k and 2^k +- 1.
int64_t hn__rng_dim(hn_rng *r, int64_t most);

// ---- hashing -------------------------------------------------------------------------------

// XXH3 of n bytes; `seed` chains several calls.
uint64_t hn__hash(const void *p, size_t n, uint64_t seed);
uint64_t hn__hash_string(const char *s);

#endif
