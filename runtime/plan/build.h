// Inside plan/: how a graph becomes steps, places in memory, and commands.
//
//   graph -> hn__rewrite (ir) -> hn__steps_make (fuse.c) -> hn__place (place.c)
//         -> hn__lower_vk or hn__lower_host -> a stream of the device
#ifndef HN_PLAN_BUILD_H
#define HN_PLAN_BUILD_H

#include "hornito/plan.h"
#include "ir/ir.h"
#include "ops/shader.h"
#include "plan/expr.h"

typedef enum hn__step_kind {
    HN__STEP_OP,   // one operator by its own kernel
    HN__STEP_EXPR, // a fused chain
    HN__STEP_COPY, // in[0] to out[0]
} hn__step_kind;

enum { HN__STEP_IN = HN__EXPR_IN, HN__STEP_OUT = HN__EXPR_OUT };

typedef struct hn__step {
    hn__step_kind kind;
    char label[48];
    hn__inst inst;   // OP; of a COPY the type alone
    hn__expr *expr;  // EXPR
    int n_in, n_out;
    uint32_t in[HN__STEP_IN], out[HN__STEP_OUT]; // slots
    int n_tmp;       // scratch
    int tmp[HN__MAX_SCRATCH]; // slots
    hn__launch *launch; // OP on vulkan
    bool is_lowered;    // another step's command does it as well
} hn__step;

typedef enum hn__where { HN__NOWHERE, HN__BLOCK, HN__IO, HN__WEIGHT } hn__where;

// Where a value (or a scratch area) lies.
typedef struct hn__slot {
    hn__where where;
    int64_t offset, bytes; // in the block or the io buffer; bytes before rounding to HN__ALIGN
    hn_buffer *buf;        // WEIGHT
    int first, last;       // steps during which it is alive (BLOCK)
    uint32_t on;           // the slot whose memory it takes over when that one dies; 0: none
} hn__slot;

struct hn_plan {
    hn_device *dev;
    hn_graph *g;      // rewritten; its arena holds the attributes
    hn__arena arena;  // steps, expressions, contexts
    hn_plan_params params;
    bool predicting;  // bytes are wanted only: the weights may lack what the graph has
    const hn__op *force_op; // not NULL: this operator runs `force`, tested or not
    hn__variant force;

    uint32_t *root;   // value -> value whose memory it is
    uint32_t *out_slot; // output of the graph -> slot
    hn__slot *slots;  // by root value; scratch areas follow
    int64_t n_slots, cap_slots;
    hn__step *steps;
    int64_t n_steps, cap_steps;

    hn_buffer *block, *io;
    hn__cmd *cmds;
    int64_t n_cmds, cap_cmds;
    hn__stream *stream;
    hn_plan_info info;
};

// Steps in order, with labels, lifetimes and the slots of sources, outputs and assignments.
hn_status hn__steps_make(hn_plan *p);
// The steps alone, without what outputs and assignments add (fuse.c).
hn_status hn__group_steps(hn_plan *p);
// Adds a scratch area of a step: a slot alive during that step only.
hn_status hn__add_tmp(hn_plan *p, int64_t step, int64_t n_bytes);
// Offsets of all BLOCK slots; sets info.block_bytes and info.live_bytes.
hn_status hn__place(hn_plan *p);

// The buffer of a weight of this type; NULL where there is none.
hn_buffer *hn__weights_buffer(const hn_weights *w, const char *name, const hn_type *type);

// A plan in which an operator runs a given variant.
hn_status hn__plan_forced(const hn_graph *g, hn_device *d, const hn__op *op, const hn__variant *v,
                          hn_plan **out);

// Scratch each step needs (before placement), then its commands (after).
hn_status hn__tmp_vk(hn_plan *p);
hn_status hn__lower_vk(hn_plan *p);
hn_status hn__tmp_host(hn_plan *p);
hn_status hn__lower_host(hn_plan *p);

// Appends an empty command; NULL and NOMEM when it cannot.
hn_status hn__add_cmd(hn_plan *p, hn__cmd **out);
// The binding of a slot.
hn__bind hn__bind_slot(const hn_plan *p, int64_t slot, bool write);

static inline bool hn__is_ref(const hn_plan *p)
{
    return p->dev->info.kind == HN_DEVICE_REF;
}
// Bytes a value takes in the block: on the ref device every value there is f64.
static inline int64_t hn__block_bytes(const hn_plan *p, const hn_type *t)
{
    return hn__is_ref(p) ? 8 * hn__numel(t) : hn_type_bytes(t);
}
static inline int64_t hn__align(int64_t n)
{
    return (n + HN__ALIGN - 1) / HN__ALIGN * HN__ALIGN;
}

// The build of a dispatch's shader that suits the device. UNSUPPORTED where there is none.
hn_status hn__shader_of(const hn_device_info *info, const hn__dispatch *d, const hn__shader **out);

#endif
