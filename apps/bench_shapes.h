// Operators with the shapes that models give them.
#ifndef HORNITO_BENCH_SHAPES_H
#define HORNITO_BENCH_SHAPES_H

#include "hornito/graph.h"

#include <popt.h>

enum { BENCH_DIMS = 4 };

// Products of x [m, k] and w [k, n], where they lie as the flags say.
typedef struct bench_product {
    bool x_columns; // x lies as [k, m]
    bool w_columns; // w lies as [n, k]
    hn_dtype w, x;  // 0: f32
} bench_product;

typedef struct bench_shape {
    const char *name, *shape;
    double flop;      // additions and multiplications; 0 where that says nothing
    double tolerance; // of |got - want| / (|want| + rms)
    int64_t below;    // integers of inputs are in [0, below)
    // Inputs to outputs, for these sizes. NULL: the product of m, k, n = dim[0..2].
    void (*build)(hn_graph *g, const int64_t dim[BENCH_DIMS]);
    int64_t dim[BENCH_DIMS];
    unsigned cut; // bits: sizes of which each part is computed from the same part of the inputs
    bench_product product;
} bench_shape;

// The graph of a shape with the sizes `dim`: b->dim for all of it.
void bench_shape_build(const bench_shape *b, const int64_t dim[BENCH_DIMS], hn_graph *g);

typedef struct bench_list {
    const char *name;
    const bench_shape *shapes;
    int n;
} bench_list;

enum { BENCH_MOST_SHAPES = 128 };
#define BENCH_LIST_OPTION(name)                                                                   \
    { "list", 0, POPT_ARG_STRING, &(name), 0,                                                     \
      "models: of models that a processor trains and runs (the default); gpu: as large as a "     \
      "card needs them; gpu-small: the same rows, small", "NAME" }
// The list of this name; NULL stands for "models". -1, or a usage error that was said.
int bench_list_usage(const char *name, const bench_list **out);

#endif
