// A fused dispatch: pointwise instructions over an iteration space, ended by at most one
// reduction. Device-independent: the cpu device interprets it tile by tile (expr_host.c), a Vulkan
// device gets SPIR-V written from it (expr_spirv.c).
#ifndef HN_PLAN_EXPR_H
#define HN_PLAN_EXPR_H

#include "ir/ir.h"

enum { HN__EXPR_IN = 12, HN__EXPR_OUT = 6, HN__EXPR_INSN = 48 };

// Values are numbered: inputs first (0 .. n_in - 1), then instructions.
typedef struct hn__expr_insn {
    hn__pw pw;       // types and attributes (borrowed from the plan's graph)
    const hn__op *op;
    int arg[3];      // values; -1 where there is none
} hn__expr_insn;

typedef struct hn__expr_in {
    hn_dtype type;
    int64_t stride[HN_MAX_RANK]; // elements, over the iteration space; 0 where it is stretched
} hn__expr_in;

typedef struct hn__expr_out {
    hn_dtype type;
    int value;
    bool reduced; // the reduction of the value; otherwise the value at every point
} hn__expr_out;

typedef struct hn__expr {
    int rank;                  // of the iteration space, row-major, collapsed as far as it goes
    int64_t dim[HN_MAX_RANK];
    int n_in, n_insn, n_out;
    hn__expr_in in[HN__EXPR_IN];
    hn__expr_insn insn[HN__EXPR_INSN];
    hn__expr_out out[HN__EXPR_OUT];
    hn__reduce reduce;
    int axis;                  // of the iteration space, reduced; where reduce is not NONE
} hn__expr;

// Merges neighbouring dimensions that every input walks as one (and that the reduction does not
// tell apart), and drops those of size 1. `axis` follows.
void hn__expr_collapse(hn__expr *e);

// ---- host ----------------------------------------------------------------------------------

// Pointers of inputs, then outputs, in their own types (16-bit types are converted as tiles are
// loaded and stored). An output may be the same memory as an input with the same strides.
void hn__expr_run(const hn__expr *e, void *const ptr[], hn__pool *pool, void *scratch);
// Bytes of scratch that hn__expr_run wants, aligned to 64.
int64_t hn__expr_scratch(const hn__expr *e, int n_threads);

// ---- SPIR-V --------------------------------------------------------------------------------

// Writes the kernel: bindings are inputs, then outputs, as arrays of 32-bit words; f16, bf16 and
// u8 are packed. Needs Vulkan 1.1 and no optional feature, where `vector` is 0; otherwise that is how
// many lanes a software device's subgroups have, HN_FEATURE_INT64 and HN_FEATURE_SUBGROUP are there,
// two words are loaded and stored as one of 64 bits, and so many threads are joined by shuffles.
// *words is allocated by hn__calloc and is the caller's. Specialization constant 0 is the workgroup's size; push words 0 and 1 are the
// grid's. *n_groups: workgroups of `local` threads it is to be run with.
// Errors: NOMEM; UNSUPPORTED (more than 2^32 - 1 elements in a tensor).
hn_status hn__expr_spirv(const hn__expr *e, uint32_t local, uint32_t vector, uint32_t **words,
                         size_t *n_words, uint64_t *n_groups);

#endif
