// The interpreter of fused expressions on the cpu: what its two files share. The iteration space
// is cut into tiles of at most TILE lanes; each instruction runs over a tile before the next one
// does, so that what is between them stays in the first cache.
#ifndef HN_PLAN_EXPR_HOST_H
#define HN_PLAN_EXPR_HOST_H

#include "ops/table.h"
#include "plan/expr.h"

enum { HN__TILE = 1024, HN__EXPR_VALUES = HN__EXPR_IN + HN__EXPR_INSN };

// How a space of rows x cols is cut: rows longer than a tile in `pieces` of `step` lanes, short
// ones `block` to a tile.
typedef struct hn__tiling {
    int64_t rows, cols, step, pieces, block;
} hn__tiling;

typedef struct hn__program {
    const hn__expr *e;
    void *const *ptr;
    hn__tiling t;
    bool one_row;  // a tile never leaves one row of the space's last dimension
    bool at_rows;  // a tile begins where a row of the last dimension does
    int n_regs;
    int8_t root[HN__EXPR_VALUES];    // the value that this one is a copy of, or itself
    int8_t last[HN__EXPR_VALUES];    // the last instruction that reads it; n_insn: an output does
    int8_t reg[HN__EXPR_VALUES];     // -1: read or written in memory
    int8_t direct[HN__EXPR_INSN];    // the output that the instruction writes itself, or -1
    bool fixed[HN__EXPR_IN];         // the input is the same in every tile
    char *scratch;
    int64_t thread_bytes;            // of scratch, a thread
} hn__program;

// Where the lanes of each value of the present tile are.
typedef struct hn__lanes {
    const hn__program *p;
    char *reg; // this thread's registers
    bool warm; // fixed inputs are loaded
    void *value[HN__EXPR_VALUES];
} hn__lanes;

void hn__program_make(const hn__expr *e, void *const ptr[], void *scratch, hn__program *p);
hn__lanes hn__lanes_of(const hn__program *p, int thread);
// Runs all instructions for n lanes from the linear index `at`, and stores outputs that are not
// reduced.
void hn__tile_run(hn__lanes *l, int64_t at, int64_t n);
// Lanes (f32 or i32) to memory of the type.
void hn__lanes_store(hn_dtype type, const void *lanes, void *dst, int64_t at, int64_t n);
// The least number of units worth a thread, a unit being n lanes.
int64_t hn__program_grain(const hn__program *p, int64_t n);

// expr_reduce.c
void hn__reduce_run(const hn__program *p, hn__pool *pool);
// Bytes of scratch beside the threads' registers, and accumulators among those (in tiles).
int64_t hn__reduce_scratch(const hn__expr *e);
int hn__reduce_regs(const hn__expr *e);

#endif
