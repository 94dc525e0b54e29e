// Inside the library: nodes, the graph, and what an operator is.
#ifndef HN_IR_IR_H
#define HN_IR_IR_H

#include "base/base.h"
#include "device/device.h"
#include "hornito/graph.h"

enum { HN__MAX_IN = 8, HN__MAX_OUT = 4, HN__MAX_ATTR = 128 };

typedef struct hn__op hn__op;
typedef struct hn__spv hn__spv; // ir/spirv.h

// One operator with its types: all that infer, ref, host and launch need to know.
typedef struct hn__inst {
    const hn__op *op;
    int n_in, n_out;
    hn_type in[HN__MAX_IN], out[HN__MAX_OUT]; // out is filled by infer
    void *attr;                               // the op's own struct
} hn__inst;

// ---- what an operator does ------------------------------------------------------------------

// A call of a host kernel. Floats are f32 here whatever the type says (the plan converts), but for
// operands that `stored` names; i32, u8 and quantised types are themselves. Outputs never overlap inputs, but for HN__INPLACE ops (out[i] may be
// in[i]).
typedef struct hn__host {
    const void *in[HN__MAX_IN];
    void *out[HN__MAX_OUT];
    void *scratch; // of the bytes `scratch` asked for, aligned to 64
    hn__pool *pool;
} hn__host;

enum { HN__MAX_DISPATCH = 8, HN__MAX_SCRATCH = 4, HN__VARIANT_PARAMS = 10, HN__MAX_VARIANTS = 48 };

// One of the ways in which an operator can run on a device: a kernel and its parameters.
typedef struct hn__variant {
    const char *kernel; // stem of the shader's file that does most of the work
    int n;              // parameters used; the others are 0
    uint32_t param[HN__VARIANT_PARAMS]; // what they mean is the operator's: tile sizes, threads
} hn__variant;

// One dispatch of a shader. Made by hn__add_dispatch with the usual values, then changed.
typedef struct hn__dispatch {
    const char *kernel; // stem of the shader's file
    hn_dtype type;      // which build of it: f32, f16 or bf16
    hn_dtype weights;   // not 0: the build whose weights have this type, and all else is f32
    uint32_t spec[HN__MAX_SPEC];
    int n_spec;         // at least 1: spec[0] is the workgroup's size
    uint32_t subgroup;  // size the subgroups must have; 0: any
    uint32_t push[HN__MAX_PUSH / 4];
    uint32_t push_bytes;
    int n_address;      // first bindings whose addresses follow p (hn__addresses)
    const char *many;   // stem of the shader that does it in place for several tensors; NULL: none
    uint64_t n_groups;
    double flop; // rough cost; hn__add_dispatch puts the number of elements read and written
    int n_bind;
    uint8_t bind[HN__MAX_BIND]; // HN__IN(i), HN__OUT(i), HN__TMP(i)
} hn__dispatch;
#define HN__IN(i) ((uint8_t)(i))
#define HN__OUT(i) ((uint8_t)(0x40 + (i)))
#define HN__TMP(i) ((uint8_t)(0x80 + (i)))

// What `launch` fills: dispatches in order, and scratch buffers that they share.
typedef struct hn__launch {
    const hn_device_info *device;
    hn__variant variant; // to be taken, of those that `variants` lists; {0} where it is NULL
    bool inplace; // out[0] is the memory of in[0] (HN__INPLACE operators only)
    int n;
    hn__dispatch d[HN__MAX_DISPATCH];
    int n_tmp;
    int64_t tmp_bytes[HN__MAX_SCRATCH];
} hn__launch;

// Adds a dispatch of the shader `stem`: bindings are all inputs, then all outputs; the type is
// that of the first float among them; workgroups of 128 (or the device's most).
hn__dispatch *hn__add_dispatch(hn__launch *l, const hn__inst *n, const char *stem);
// Push constants from a struct of push.h, whose first two words are the grid's.
#define HN__PUSH(d, type, ...)                                                                    \
    hn__push((d), &(const struct type){ __VA_ARGS__ }, sizeof(struct type))
void hn__push(hn__dispatch *d, const void *p, size_t n_bytes);
// The addresses of the first n bindings, each a uvec2, follow the push constants: nothing checks
// what is read there. HN_FEATURE_BDA only.
void hn__addresses(hn__dispatch *d, int n);
// n workgroups, any count: the device spreads them over the grid's limits.
void hn__groups(hn__dispatch *d, int64_t n);
// Enough workgroups for n threads.
void hn__threads(hn__dispatch *d, int64_t n);

// One random legal instance: `sample` sets n_in, in[] (dtype 0 stands for the type under test),
// attr, and where [-1, 1] is not legal, the range of an input's elements (integers: lo..hi
// inclusive).
typedef struct hn__sample {
    hn__inst inst;
    hn_dtype type; // under test; set before
    struct {
        double lo, hi;
        double step;   // > 0: multiples of it only, so that sums are exact and ties common
        bool distinct; // no two elements of a row are close: for max, top-k, nearest
    } range[HN__MAX_IN];
} hn__sample;

// What a pointwise operator is given: types of operands and result, and attributes.
typedef struct hn__pw {
    hn_dtype in[3], out;
    const void *attr;
} hn__pw;

// What an HN__REDUCE operator does.
typedef enum hn__reduce { HN__REDUCE_NONE, HN__REDUCE_SUM, HN__REDUCE_MEAN, HN__REDUCE_MAX,
                          HN__REDUCE_MIN } hn__reduce;

typedef struct hn__op_fns {
    size_t attr_bytes;
    // Checks in[] and attr, fills n_out and out[].
    hn_status (*infer)(hn__inst *n);
    // The definition: f64 in, f64 out (integers too), plain loops. Never NULL but for sources.
    void (*ref)(const hn__inst *n, const double *const in[], double *const out[]);
    // The same for the cpu device, fast. NULL: the cpu device uses ref.
    void (*host)(const hn__inst *n, const hn__host *h);
    // Whether host takes input i as it lies in memory, of the type it has. NULL: none.
    bool (*stored)(const hn__inst *n, int i);
    // Bytes of scratch that host wants. NULL: none.
    int64_t (*scratch)(const hn__inst *n, int n_threads);
    // Gradient as graph nodes: din[i] for inputs that have one, {0} (as given) for the others.
    // dy[k] is {0} for outputs that the loss does not depend on. NULL: refused by name.
    void (*grad)(hn_graph *g, const hn__inst *n, const hn_val in[], const hn_val out[],
                 const hn_val dy[], hn_val din[]);
    // Whether n can do the work of `next` itself, a pointwise operator of which n's only result is
    // operand `operand`: then changes n->attr, and where one more operand is needed puts its place
    // among next's into *out_extra and its place among n's into *out_at. NULL: never. The caller
    // checks that the result's type is the same.
    bool (*absorb)(hn__inst *n, const hn__inst *next, int operand, int *out_extra, int *out_at);
    // Whether n can do the work of `before` itself, of which operand 0 is the only result, on a device:
    // then changes n->attr. n's operand 0 becomes before's operand 0, and before's operand 1 takes the
    // place *out_at among n's. NULL: never.
    bool (*prepend)(hn__inst *n, const hn__inst *before, const hn_device_info *d, int *out_at);
    // The ways to launch n on a device: those that are legal there and could be the fastest, first
    // the one to take where nothing was measured. At least 1, at most HN__MAX_VARIANTS. Results of
    // all are within the operator's tolerance. NULL: there is one way.
    int (*variants)(const hn__inst *n, const hn_device_info *d, hn__variant out[]);
    // Shaders, push constants and grid of l->variant; no Vulkan in sight. NULL: fused, or a view.
    void (*launch)(const hn__inst *n, hn__launch *l);
    void (*sample)(hn_rng *rng, hn__sample *s);

    // Pointwise operators (HN__FUSE) have these two instead of host and launch. Values are held
    // as f32 (any float type) or i32 (i32 and u8).
    // y[i] = f(x[0][i], ...) for n lanes; y may be one of x.
    void (*tile)(const hn__pw *p, int64_t n, void *y, const void *const x[]);
    // The same as SPIR-V: ids of operands in, id of the result out. 0 when out of memory.
    uint32_t (*emit)(hn__spv *b, const hn__pw *p, const uint32_t x[]);
} hn__op_fns;

enum {
    HN__FUSE = 1 << 0,     // pointwise: output shape is the broadcast of the inputs'
    HN__REDUCE = 1 << 1,   // a reduction that can end a fused chain
    HN__SOURCE = 1 << 2,   // input, param, const: no inputs, no step of its own
    HN__VIEW = 1 << 3,     // the output is the input's memory under another shape
    HN__INPLACE = 1 << 4,  // out[i] may be the same memory as in[i]
    HN__NO_GRAD = 1 << 5,  // no gradient by nature; inputs get none
    HN__FORMULA = 1 << 6,  // its gradient is a formula, not the slope: straight-through, stop
    HN__RANDOM = 1 << 7,   // never folded or shared
    HN__BLOCKS = 1 << 8,   // operands or results may be quantised; others refuse them
};

// A row of ops.def.
struct hn__op {
    const char *name;
    int id;
    int n_in, n_out;            // at most
    double tol[HN_DTYPE_COUNT]; // by type under test; 0 where the op does not take it
    uint32_t flags;
    const hn__op_fns *fn;
};

// The table that ops/ defines: the one link back from ir.
extern const hn__op hn__ops[];
extern const int hn__n_ops;
const hn__op *hn__op_find(const char *name); // NULL if there is none

// The variants of an instance on a device, default first; returns how many. One that is {0} where
// the operator has no choice.
int hn__variants(const hn__inst *n, const hn_device_info *d, hn__variant out[HN__MAX_VARIANTS]);

// ---- the graph -----------------------------------------------------------------------------

typedef struct hn__node {
    const hn__op *op;
    int n_in, n_out;
    uint32_t in[HN__MAX_IN]; // value ids
    uint32_t out;            // id of the first output; the others follow
    void *attr;              // op->fn->attr_bytes, in the arena
    const char *name;        // of inputs, params and states; otherwise NULL
    uint32_t again;          // not 0: computes something again, and is shared with its equals only
} hn__node;

typedef struct hn__value {
    hn_type type;
    uint32_t node; // index
    int index;     // which output
} hn__value;

typedef struct hn__named {
    const char *name;
    uint32_t val;
} hn__named;

typedef struct hn__assignment {
    uint32_t dst, src;
} hn__assignment;

struct hn_graph {
    hn__arena arena;
    hn__node *nodes;
    int64_t n_nodes, cap_nodes;
    hn__value *values; // values[0] is "no value"
    int64_t n_values, cap_values;
    hn__named *outputs;
    int64_t n_outputs, cap_outputs;
    hn__assignment *assigns;
    int64_t n_assigns, cap_assigns;
    uint32_t *marks; // values that end blocks, in the order of their nodes
    int64_t n_marks, cap_marks;
    hn_status status;
    char error[512]; // of the first failure
};

// Attributes of the sources (ops/source.c).
typedef struct hn__source_attr {
    hn_type type;
    hn_init init;
    bool trainable;
    const void *data; // of a constant, in the arena
} hn__source_attr;

// Adds a node; n operands, attr of op->fn->attr_bytes (copied; NULL where there are none).
// Returns the first output; hn__out(v, k) is the k-th.
hn_val hn__emit(hn_graph *g, const hn__op *op, const void *attr, const hn_val in[], int n);
#define HN__EMIT(g, op_name, attr_ptr, ...)                                                       \
    hn__emit((g), &hn__ops[HN__OP_##op_name], (attr_ptr), (const hn_val[]){ __VA_ARGS__ },        \
             (int)(sizeof((const hn_val[]){ __VA_ARGS__ }) / sizeof(hn_val)))
static inline hn_val hn__out(hn_val v, int k)
{
    return (hn_val){ v.id ? v.id + (uint32_t)k : 0 };
}
// Makes the graph's status s with this thread's text, if it is the first failure; returns {0}.
hn_val hn__graph_fail(hn_graph *g, hn_status s);
// Adds a copy of node n, which may be another graph's, over other operands: the same operator,
// attributes, name and data. Returns its first output.
hn_val hn__emit_copy(hn_graph *g, const hn__node *n, const hn_val in[]);
// Gives a copy of a graph, of which map[v] is value v of `from`, the same outputs and assignments.
// Returns to's status.
hn_status hn__copy_ends(const hn_graph *from, const hn_val map[], hn_graph *to);
// The instance of node i: types of inputs and outputs copied out.
hn__inst hn__graph_inst(const hn_graph *g, int64_t node);
// Whether the host kernel gets input i converted to f32.
static inline bool hn__host_converts(const hn__inst *n, int i)
{
    const hn_dtype t = n->in[i].dtype;
    return (t == HN_F16 || t == HN_BF16) && !(n->op->fn->stored && n->op->fn->stored(n, i));
}
static inline const hn_type *hn__type(const hn_graph *g, hn_val v)
{
    return &g->values[v.id].type;
}

// Beside numbers of blocks, from 1, what `again` says: the casts that a gradient reads, and those of
// gradients for their norm and for the optimiser.
enum { HN__AGAIN_READ = 1 << 24, HN__AGAIN_NORM, HN__AGAIN_STEP };
static inline bool hn__is_half(hn_dtype t)
{
    return t == HN_F16 || t == HN_BF16;
}
// Where v is a cast from or to 16 bits, the same cast anew; otherwise v.
hn_val hn__cast_again(hn_graph *g, hn_val v, uint32_t again);

// hn_graph_grad, reading values of the first n_again blocks (all: HN_RECOMPUTE_ALL) from copies of
// their nodes, which stand where the gradient comes to the block.
// squares[i] is the sum of out[i]'s squares, made as soon as that is whole, so that its parts need
// not wait for the others; NULL: not wanted.
hn_status hn__graph_grad(hn_graph *g, hn_val loss, const hn_val wrt[], int n, int n_again,
                         hn_val out[], hn_val squares[]);

// A simplified copy of g that keeps outputs and assignments: constants folded, equal nodes
// shared, what nothing needs dropped.
hn_status hn__rewrite(const hn_graph *g, hn_graph **out);
// A copy of a rewritten graph in which operators took in the pointwise ones that follow them, and
// what comes before them where this device gains by it.
hn_status hn__absorb(const hn_graph *g, const hn_device_info *d, hn_graph **out);

#endif
