// A writer of SPIR-V compute modules: words, types and constants made once, and arithmetic by
// name. What fills it in is plan/expr_spirv.c and the `emit` of pointwise operators.
#ifndef HN_IR_SPIRV_H
#define HN_IR_SPIRV_H

#include "base/base.h"

typedef struct hn__spv hn__spv;

// Ids of results; 0 after running out of memory (sticky: every later call gives 0).
// f: f32, i: i32, b: bool operands.
uint32_t hn__spv_f32(hn__spv *b, float x);          // constants
uint32_t hn__spv_i32(hn__spv *b, int32_t x);
uint32_t hn__spv_u32(hn__spv *b, uint32_t x);

uint32_t hn__spv_fadd(hn__spv *b, uint32_t x, uint32_t y);
uint32_t hn__spv_fsub(hn__spv *b, uint32_t x, uint32_t y);
uint32_t hn__spv_fmul(hn__spv *b, uint32_t x, uint32_t y);
uint32_t hn__spv_fdiv(hn__spv *b, uint32_t x, uint32_t y);
uint32_t hn__spv_fneg(hn__spv *b, uint32_t x);

#endif
