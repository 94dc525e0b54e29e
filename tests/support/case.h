// What tests ask of a drawn instance (plan/case.h) beside its results: its dispatches alone, its
// gradients.
#ifndef HN_TESTS_CASE_H
#define HN_TESTS_CASE_H

#include "ops/shader.h"
#include "plan/case.h"

// Fills `got` from the op's dispatches on a Vulkan device without a plan, with each of its variants
// in turn, and compares: outputs are full of a pattern that goes on behind them; a second time in
// place where the op allows it. DEVICE where a result or the pattern behind it is wrong. UNSUPPORTED where the op has no launch. `planted`: serves
// in the place of every shader; otherwise NULL.
hn_status hn__case_run_kernels(hn__case *c, hn_device *dev, const hn__shader *planted);

// The slope of the loss along `dir`: from op->fn->grad, composed and evaluated in f64.
hn_status hn__case_slope(hn__case *c, double *out);
// The loss with the inputs moved by h along `dir`; *out_size is the sum of |v y|.
hn_status hn__case_loss(hn__case *c, double h, double *out, double *out_size);
// False where inputs or outputs are all integers: then there is no slope to check.
bool hn__case_has_slope(const hn__case *c);
// DEVICE where the slope is not that of a five-point difference of the reference.
hn_status hn__case_check_grad(hn__case *c);
// DEVICE where the gradient of input i is not factor[i] v (summed where the input was
// stretched), for ops whose gradient is a formula.
hn_status hn__case_check_formula(hn__case *c, const double factor[HN__MAX_IN]);

// ---- parts, for other tests ----------------------------------------------------------------

// Evaluates a whole graph in f64 by the references. The k-th hn_input in order of nodes has the
// elements in[k]; a param is not allowed. value[id] is filled, in the arena.
hn_status hn__evaluate(const hn_graph *g, double *const in[], hn__arena *arena, double ***value);

#endif
