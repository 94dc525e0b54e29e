// A random instance of an operator: drawn, computed by its reference, run on a device, compared.
// The tests and `hornito check` stand on it. Nothing here aborts: what does not hold comes back as
// a status with a text, so that a test can also ask for a failure (tests/test_planted.c).
#ifndef HN_PLAN_CASE_H
#define HN_PLAN_CASE_H

#include "hornito/plan.h"
#include "ir/ir.h"

typedef struct hn__case {
    const hn__op *op;
    hn_dtype type; // under test
    uint64_t seed;
    hn__sample s;  // s.inst: types and attributes
    void *raw[HN__MAX_IN];     // the inputs, in their types
    double *in[HN__MAX_IN];    // the same
    double *want[HN__MAX_OUT]; // of the reference
    double *got[HN__MAX_OUT];  // of the latest run
    double *dir[HN__MAX_IN];   // a direction for each float input; NULL for the others
    double *v[HN__MAX_OUT];    // loss = sum of v y over the float outputs; NULL for the others
    hn__arena arena;
} hn__case;

// Draws types by op->fn->sample and elements in the sample's ranges. *c is NULL on failure.
// Errors: ARG (no sample), what infer says, NOMEM.
hn_status hn__case_draw(const hn__op *op, hn_dtype type, uint64_t seed, hn__case **c);
void hn__case_destroy(hn__case **c);
// The types and attributes alone of what hn__case_draw draws; attributes lie in the arena.
hn_status hn__case_types(const hn__op *op, hn_dtype type, uint64_t seed, hn__arena *a,
                         hn__sample *out);
// n blocks of a quantised type: random bytes, scaled so that elements are about as large as 1.
void hn__draw_blocks(hn_rng *rng, hn_dtype t, void *raw, int64_t n);

// Elements of a tensor for measuring, the same on every device: floats in [lo, hi), integers in
// [0, below). `stream` parts the tensors of one graph. A prime number of elements (or blocks) is
// drawn and repeated: large tensors are quick to fill, and no two of their rows are alike.
typedef struct hn__fill {
    uint64_t stream;
    double lo, hi;
    int64_t below;
} hn__fill;
// raw: hn_type_bytes(t) bytes.
void hn__fill_tensor(const hn__fill *f, const hn_type *t, void *raw);

// Fills `want`.
void hn__case_run_ref(hn__case *c);
// The instance as a graph: inputs "in0", ..., outputs "out0", ...
hn_status hn__inst_graph(const hn__inst *n, hn_graph *g);
// Fills `got` from a plan run twice on the device: DEVICE where the two runs differ in a bit.
hn_status hn__case_run(hn__case *c, hn_device *dev);
// The same with one variant of the operator, tested or not.
hn_status hn__case_run_variant(hn__case *c, hn_device *dev, const hn__variant *v);
// Fills `got` from the host kernel alone, called with outputs full of a pattern and guards around
// them, and a second time in place where the op allows it: DEVICE where a guard was written.
// UNSUPPORTED where the op has no host kernel or the device no host.
hn_status hn__case_run_host(hn__case *c, hn_device *dev);
// DEVICE, with the first element that is off, where `got` is not `want` within the op's tolerance
// for the type; integers must be equal.
hn_status hn__case_compare(const hn__case *c);
// The largest |got - want| / (|want| + rms(want)) of the outputs; infinite where an integer is not
// equal, or one of the two is no number.
double hn__case_error(const hn__case *c);

#endif
