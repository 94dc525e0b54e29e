// A writer of SPIR-V 1.3 compute modules: words, with types and constants made once. What fills it
// in is plan/expr_spirv.c and the `emit` of pointwise operators.
// Everything that gives an id gives 0 after running out of memory (sticky; hn__spv_finish says
// it).
#ifndef HN_IR_SPIRV_H
#define HN_IR_SPIRV_H

#include "base/base.h"

#include <spirv/unified1/GLSL.std.450.h>
#include <spirv/unified1/spirv.h>

typedef struct hn__spv hn__spv;

hn__spv *hn__spv_create(void); // NULL when out of memory
void hn__spv_destroy(hn__spv **b);

// Scalar types; vectors of them; pointers; made once.
uint32_t hn__spv_void(hn__spv *b);
uint32_t hn__spv_bool(hn__spv *b);
uint32_t hn__spv_float(hn__spv *b);
uint32_t hn__spv_int(hn__spv *b);
uint32_t hn__spv_uint(hn__spv *b);
uint32_t hn__spv_uint64(hn__spv *b); // makes the module ask for 64-bit integers
// Makes the module ask for what variables of subgroups need.
void hn__spv_subgroups(hn__spv *b);
// x of the lane whose number differs from this one's in the bits of `mask`. Asks for shuffles.
uint32_t hn__spv_shuffle_xor(hn__spv *b, uint32_t type, uint32_t x, uint32_t mask);
uint32_t hn__spv_vector(hn__spv *b, uint32_t type, int n);
uint32_t hn__spv_pointer(hn__spv *b, SpvStorageClass where, uint32_t type);

// Constants; made once.
uint32_t hn__spv_f32(hn__spv *b, float x);
uint32_t hn__spv_i32(hn__spv *b, int32_t x);
uint32_t hn__spv_u32(hn__spv *b, uint32_t x);

// A type, constant or variable outside functions, of these operands; `type` is 0 for OpType...
// The same words again give the same id where `once`.
uint32_t hn__spv_global(hn__spv *b, SpvOp op, uint32_t type, bool once, int n,
                        const uint32_t arg[]);
// A variable of main, of `type`.
uint32_t hn__spv_local(hn__spv *b, uint32_t type);
void hn__spv_decorate(hn__spv *b, SpvOp op, int n, const uint32_t arg[]);

// Instructions of main: with a result of `type`, and without.
uint32_t hn__spv_id(hn__spv *b);
uint32_t hn__spv_value(hn__spv *b, SpvOp op, uint32_t type, int n, const uint32_t arg[]);
void hn__spv_do(hn__spv *b, SpvOp op, int n, const uint32_t arg[]);
void hn__spv_label(hn__spv *b, uint32_t id); // from hn__spv_id
uint32_t hn__spv_glsl(hn__spv *b, enum GLSLstd450 op, uint32_t type, int n, const uint32_t arg[]);

#define HN__SPV_ARGS(...)                                                                         \
    (int)(sizeof((const uint32_t[]){ __VA_ARGS__ }) / sizeof(uint32_t)),                          \
        (const uint32_t[]){ __VA_ARGS__ }
#define HN__SPV_GLOBAL(b, op, type, once, ...)                                                    \
    hn__spv_global((b), (op), (type), (once), HN__SPV_ARGS(__VA_ARGS__))
#define HN__SPV_DECORATE(b, op, ...) hn__spv_decorate((b), (op), HN__SPV_ARGS(__VA_ARGS__))
#define HN__SPV(b, op, type, ...) hn__spv_value((b), (op), (type), HN__SPV_ARGS(__VA_ARGS__))
#define HN__SPV_DO(b, op, ...) hn__spv_do((b), (op), HN__SPV_ARGS(__VA_ARGS__))
#define HN__SPV_GLSL(b, op, type, ...) hn__spv_glsl((b), (op), (type), HN__SPV_ARGS(__VA_ARGS__))

// The whole module, main's body being what was written; `inputs` are variables of storage class
// Input that main uses. *words is by hn__calloc and the caller's. Errors: NOMEM.
hn_status hn__spv_finish(hn__spv *b, int n_inputs, const uint32_t inputs[], uint32_t **words,
                         size_t *n_words);

#endif
