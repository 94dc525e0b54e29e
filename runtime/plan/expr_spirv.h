// Writing fused expressions as SPIR-V: what the two files of it share. expr_spirv.c frames the
// module and writes pointwise kernels, expr_spirv_reduce.c those that end in a reduction.
#ifndef HN_PLAN_EXPR_SPIRV_H
#define HN_PLAN_EXPR_SPIRV_H

#include "ir/spirv.h"
#include "ops/table.h"
#include "plan/expr.h"

enum { HN__RUN = 8 }; // most elements taken together

typedef struct hn__writer {
    hn__spv *b;
    const hn__expr *e;
    uint32_t local;                             // threads of a workgroup
    uint32_t vector; // not 0: words lie in memory as 64-bit integers, and so many threads shuffle
    uint32_t f32, i32, u32, truth;              // types
    uint32_t buffer[HN__EXPR_IN + HN__EXPR_OUT]; // variables: arrays of `wide` words
    uint32_t wide[HN__EXPR_IN + HN__EXPR_OUT];   // 1, 2 or 4
    uint32_t each; // neighbouring elements of the last dimension that are taken together
    uint32_t push;                              // the block of push constants
    uint32_t group, thread;                     // place of the workgroup, and of the thread in it
    uint32_t value[HN__EXPR_IN + HN__EXPR_INSN]; // at the present element
} hn__writer;

// Arithmetic on u32; operations on constants 0 and 1 are left out where they say nothing.
uint32_t hn__w_u32(hn__writer *w, SpvOp op, uint32_t x, uint32_t y);
uint32_t hn__w_u32k(hn__writer *w, SpvOp op, uint32_t x, uint32_t k); // y is the number k
uint32_t hn__w_test(hn__writer *w, SpvOp op, uint32_t x, uint32_t y);
// What follows runs where `truth`; hn__w_end closes it, given what hn__w_if gave.
uint32_t hn__w_if(hn__writer *w, uint32_t truth);
void hn__w_end(hn__writer *w, uint32_t merge);

// Chooses `each`, and how wide the words of each binding are, for runs of that many elements along
// the last dimension. Before buffers are declared.
void hn__w_widths(hn__writer *w);
// `each` elements of input `in` as lanes, the first of them element `at` of the binding; and lanes
// to output `out` in whole words. Not where `each` is 1.
void hn__w_load_run(hn__writer *w, int in, uint32_t at, uint32_t lane[]);
void hn__w_store_run(hn__writer *w, int out, uint32_t at, const uint32_t lane[]);

// An element of a binding of single words as a lane, a lane as an element.
uint32_t hn__w_load(hn__writer *w, int binding, hn_dtype t, uint32_t i);
// Alone in its word; or (16-bit and u8) by two atomics that touch its own bits only.
void hn__w_store(hn__writer *w, int binding, hn_dtype t, uint32_t i, uint32_t lane);

// Writes all instructions, given value[] of inputs.
void hn__w_insns(hn__writer *w);

// The body of a kernel that reduces; gives the number of workgroups.
uint64_t hn__w_reduce(hn__writer *w);

#endif
