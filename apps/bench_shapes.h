// Operators with the shapes that models give them.
#ifndef HORNITO_BENCH_SHAPES_H
#define HORNITO_BENCH_SHAPES_H

#include "hornito/graph.h"

typedef struct bench_shape {
    const char *name, *shape;
    double flop;                // additions and multiplications; 0 where that says nothing
    double tolerance;           // of |got - want| / (|want| + rms)
    int64_t below;              // integers of inputs are in [0, below)
    void (*build)(hn_graph *g); // inputs to outputs; NULL: the product
    struct {                    // x [m, k] times w [n, k] transposed
        int64_t m, k, n;
        hn_dtype w, x; // x 0: f32
    } product;
} bench_shape;

// Inputs to outputs.
void bench_shape_build(const bench_shape *b, hn_graph *g);

extern const bench_shape bench_shapes[];
extern const int bench_n_shapes;

#endif
