// Graphs: values made from values by operators (hornito/ops.h), their gradients, and what of them
// a run keeps. A graph is only a description; a plan (hornito/plan.h) runs it on a device.
#ifndef HORNITO_GRAPH_H
#define HORNITO_GRAPH_H

#include "hornito/base.h"

#ifdef __cplusplus
extern "C" {
#endif

// A graph owns every value made through it; none is freed alone. Thread-safety: none.
typedef struct hn_graph hn_graph;

// A value in a graph: copy it freely. {0} is "no value".
typedef struct hn_val {
    uint32_t id;
} hn_val;

// Creates an empty graph. Errors: NOMEM; *out is then NULL.
HN_API hn_status hn_graph_create(hn_graph **out);

// Frees *g with all its values and sets *g to NULL. *g may be NULL already.
HN_API void hn_graph_destroy(hn_graph **g);

// The first error met while building, or HN_OK; its text is then hn_error_text's. Builders do not
// fail one by one: a bad call returns {0}, and {0} as an operand gives {0} again, so a model is
// checked once, here.
HN_API hn_status hn_graph_status(const hn_graph *g);

// The type of a value; a type with rank 0 and no dtype for {0}.
HN_API hn_type hn_val_type(const hn_graph *g, hn_val v);

// ---- where values come from ----------------------------------------------------------------

// A value that the caller writes before a run (hn_plan_write). Names are unique in a graph.
HN_API hn_val hn_input(hn_graph *g, const char *name, hn_type type);

// How weights are first filled, from the seed given to hn_weights_add and the name.
typedef enum hn_init_kind {
    HN_INIT_ZERO,
    HN_INIT_CONST,
    HN_INIT_NORMAL,
    HN_INIT_UNIFORM
} hn_init_kind;
typedef struct hn_init {
    hn_init_kind kind;
    float scale; // the constant, the standard deviation, or the bound: uniform in [-scale, scale)
} hn_init;

// A value that lives in weights (hn_weights) and lasts from run to run: `param` is to be trained,
// `state` is not (moments, counters, codebook averages, caches). Asking for a name again with the
// same type gives the same value; with another type it is an error.
HN_API hn_val hn_param(hn_graph *g, const char *name, hn_type type, hn_init init);
HN_API hn_val hn_state(hn_graph *g, const char *name, hn_type type, hn_init init);

// A constant; `data` (dense, of the type's bytes) is copied.
HN_API hn_val hn_const(hn_graph *g, hn_type type, const void *data);
HN_API hn_val hn_scalar(hn_graph *g, float x); // f32, rank 0
HN_API hn_val hn_fill(hn_graph *g, hn_type type, float x);

// ---- what a run keeps ----------------------------------------------------------------------

// Keeps v under a name so that hn_plan_read can read it after a run.
HN_API void hn_output(hn_graph *g, const char *name, hn_val v);

// After a run, the param or state `dst` holds `src` (same type). All reads of dst in the graph see
// the value from before the run. One assignment a dst.
HN_API void hn_assign(hn_graph *g, hn_val dst, hn_val src);

// ---- gradients -----------------------------------------------------------------------------

// Adds the gradients of `loss` to the graph: out[i] has the type of wrt[i], and is zero where
// `loss` does not depend on it. Leaves `g` as it was on error.
// Errors: SHAPE if `loss` is not a scalar; UNSUPPORTED if an op on the way has no gradient (the
// text names it); NOMEM.
HN_API hn_status hn_graph_grad(hn_graph *g, hn_val loss, const hn_val wrt[], int n, hn_val out[]);

// Says that v ends a block of the forward pass: what lies between two marked values may be computed
// again from the first of them when the gradient comes there, instead of being kept until then
// (Chen et al. 2016, arXiv 1604.06174; hn_optimizer_params.recompute). Changes nothing by itself.
// Blocks are marked in the order they are built.
HN_API void hn_mark_block(hn_graph *g, hn_val v);
enum { HN_RECOMPUTE_ALL = -1 }; // as a number of blocks

// The params (not states) of the graph in the order they were made: *out is allocated and freed
// by hn_params_destroy.
typedef struct hn_named_val {
    const char *name; // the graph's
    hn_val val;
} hn_named_val;
HN_API hn_status hn_graph_params(const hn_graph *g, hn_named_val **out, int *out_n);
HN_API void hn_params_destroy(hn_named_val **list);

// Writes the graph as text, a line a node, through `write`.
HN_API void hn_graph_print(const hn_graph *g, void (*write)(void *user, const char *line),
                           void *user);

#ifdef __cplusplus
}
#endif
#endif
