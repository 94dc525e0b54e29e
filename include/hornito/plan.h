// Weights on a device, and plans: a graph made ready to run there.
#ifndef HORNITO_PLAN_H
#define HORNITO_PLAN_H

#include "hornito/device.h"
#include "hornito/graph.h"

#ifdef __cplusplus
extern "C" {
#endif

// ---- weights -------------------------------------------------------------------------------

// Named tensors in device memory that plans share: params and states. Owns its buffers.
typedef struct hn_weights hn_weights;

HN_API hn_status hn_weights_create(hn_device *d, hn_weights **out);
HN_API void hn_weights_destroy(hn_weights **w);

// Makes every param and state of the graph that is not there yet, filled by its hn_init; the same
// seed and name give the same values on every device. What is there stays as it is.
// Errors: SHAPE (a name is there with another type), NOMEM, DEVICE.
HN_API hn_status hn_weights_add(hn_weights *w, const hn_graph *g, uint64_t seed);

// Makes one tensor, zero at first, or does nothing if it is there with this type.
HN_API hn_status hn_weights_put(hn_weights *w, const char *name, hn_type type, bool trainable);

// Frees a tensor; does nothing where there is none of this name. Plans that use it must not be run
// any more.
HN_API void hn_weights_remove(hn_weights *w, const char *name);

typedef struct hn_weight_info {
    const char *name; // the weights'; valid as long as they are
    hn_type type;
    bool trainable; // a param; otherwise a state
} hn_weight_info;
HN_API int64_t hn_weights_count(const hn_weights *w);
// i in [0, count), in the order they were made.
HN_API hn_weight_info hn_weights_info(const hn_weights *w, int64_t i);
// Index of a name, or -1.
HN_API int64_t hn_weights_find(const hn_weights *w, const char *name);
// Copies a whole tensor in or out, in its own type. n_bytes must be the tensor's.
HN_API hn_status hn_weights_write(hn_weights *w, const char *name, const void *data,
                                  int64_t n_bytes);
HN_API hn_status hn_weights_read(hn_weights *w, const char *name, void *out_data, int64_t n_bytes);

// ---- plans ---------------------------------------------------------------------------------

typedef struct hn_plan_params {
    hn_weights *weights; // must hold every param and state of the graph, and outlive the plan;
                         // may be NULL where the graph has none
    bool no_fuse;        // one dispatch an operator: for measuring what fusion gains
    bool no_replay;      // record anew for every run: for measuring what replay gains
    bool no_rewrite;     // neither fold, share nor drop: for tests
} hn_plan_params;

// A graph compiled for a device. Everything is allocated, compiled and recorded when it is made;
// running allocates nothing. The graph may be destroyed afterwards. Thread-safety: none.
typedef struct hn_plan hn_plan;

// Errors: the graph's own; UNSUPPORTED, SHAPE, NOMEM (with the bytes the plan needs), DEVICE.
HN_API hn_status hn_plan_create(const hn_graph *g, hn_device *d, const hn_plan_params *params,
                                hn_plan **out);
HN_API void hn_plan_destroy(hn_plan **p);

// Writes an input, or reads an input or output, by name and in its own type; n_bytes must be the
// value's. Errors: ARG (no such name, wrong size), DEVICE.
HN_API hn_status hn_plan_write(hn_plan *p, const char *name, const void *data, int64_t n_bytes);
HN_API hn_status hn_plan_read(hn_plan *p, const char *name, void *out_data, int64_t n_bytes);

// Runs the plan once and waits. Errors: DEVICE; the device may then have to be opened again.
HN_API hn_status hn_plan_run(hn_plan *p);

typedef struct hn_plan_info {
    int n_steps;             // dispatches, or host kernel calls, of a run
    int n_ops;               // operators before fusion
    int64_t block_bytes;     // activations and scratch, placed in one block
    int64_t live_bytes;      // largest set of activations and scratch alive together: the bound
    int64_t io_bytes;        // inputs, outputs and constants
    int64_t weight_bytes;    // params and states the plan uses (the weights', not the plan's)
} hn_plan_info;
HN_API hn_plan_info hn_plan_get_info(const hn_plan *p);

// The bytes a plan would take (block_bytes + io_bytes), known without allocating any of them.
HN_API hn_status hn_plan_predict(const hn_graph *g, hn_device *d, const hn_plan_params *params,
                                 hn_plan_info *out);

// Runs once and gives each step's label and nanoseconds. *out_n is the number of steps; at most
// `n` are written. Labels are the plan's.
typedef struct hn_step_time {
    const char *label;
    double ns;
} hn_step_time;
HN_API hn_status hn_plan_time(hn_plan *p, hn_step_time *out, int n, int *out_n);

// Writes the plan as text, a line a step, through `write`.
HN_API void hn_plan_print(const hn_plan *p, void (*write)(void *user, const char *line),
                          void *user);

#ifdef __cplusplus
}
#endif
#endif
