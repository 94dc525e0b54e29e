// Random fused expressions with their f64 results.
#ifndef HN_TESTS_EXPR_H
#define HN_TESTS_EXPR_H

#include "ops/formulas.h"
#include "plan/expr.h"

typedef struct test_expr {
    hn__expr e;
    hn__pw_attr attr[HN__EXPR_INSN];
    int64_t n;                                // elements of the space
    int64_t n_io[HN__EXPR_IN + HN__EXPR_OUT]; // elements of inputs, then outputs
    void *in[HN__EXPR_IN];                    // in their own types
    double *value[HN__EXPR_IN + HN__EXPR_INSN]; // at each point of the space
    double *want[HN__EXPR_OUT];
    int alias;                                // output 0 may lie over this input; -1: none
    hn__arena arena;
} test_expr;

// Draws an expression whose values are well conditioned. The caller destroys it.
test_expr *test_expr_draw(uint64_t seed);
void test_expr_destroy(test_expr *t);
// The largest number of elements by which got differs: an index of output o, or -1.
int64_t test_expr_bad(const test_expr *t, int o, const double *got);
// As text, for a failure.
void test_expr_print(const test_expr *t);

#endif
