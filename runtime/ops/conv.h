// Two-dimensional convolution: what its three operators share. y from x and w, x from y and w (the
// transpose), w from x and y (the weight's gradient) are one sum over the same taps, seen from
// three sides.
#ifndef HN_OPS_CONV_H
#define HN_OPS_CONV_H

#include "ops/table.h"

typedef struct hn__conv_attr {
    hn_conv_params p;
    int64_t size[2]; // what the operands do not tell: height and width of x, or of w
} hn__conv_attr;

// Sizes: x [n, groups * cg, h, w], w [groups * og, cg, kh, kw], y [n, groups * og, oh, ow].
typedef struct hn__conv {
    int64_t n, groups, cg, og, h, w, kh, kw, oh, ow;
    int64_t stride[2], dilation[2], pad[2];
} hn__conv;

// The sizes of a convolution of x by w; fills zeros in p. Errors: ARG, SHAPE.
hn_status hn__conv_sizes(const hn_type *x, const hn_type *w, hn_conv_params *p, hn__conv *out);
// One operand's type; SHAPE where it is not `want`.
hn_status hn__conv_want(const hn_type *have, const hn_type *want, const char *what);
hn_type hn__conv_x(const hn__conv *c, hn_dtype t);
hn_type hn__conv_w(const hn__conv *c, hn_dtype t);
hn_type hn__conv_y(const hn__conv *c, hn_dtype t);

typedef enum hn__conv_side { HN__CONV_X = CONV_X, HN__CONV_W = CONV_W, HN__CONV_Y = CONV_Y } hn__conv_side;

// The definition: the side's tensor is set to the sum over taps of the product of the other two.
void hn__conv_ref(const hn__conv *c, hn__conv_side side, double *x, double *w, double *y);
// The same in f32 on threads, by matrix products where they pay.
void hn__conv_host(const hn__conv *c, hn__conv_side side, float *x, float *w, float *y,
                   void *scratch, hn__pool *pool);
int64_t hn__conv_scratch(const hn__conv *c, int n_threads);
// The ways to make the side's tensor on a device, and the dispatches of one (conv2d_launch.c).
int hn__conv_variants(const hn__inst *n, const hn__conv *c, hn__conv_side side,
                      const hn_device_info *d, hn__variant out[]);
void hn__conv_launch(const hn__inst *n, const hn__conv *c, hn__conv_side side, hn__launch *l);
// A dispatch of this kernel with its push constants; the grid is left to the caller.
hn__dispatch *hn__conv_dispatch(const hn__inst *n, hn__launch *l, const hn__conv *c,
                                const char *kernel);
// Of GPUs: tiles in shared memory (conv2d_tile.c). Lists none where none fits.
int hn__conv_tile_variants(const hn__conv *c, hn__conv_side side, const hn_device_info *d,
                           hn__variant out[]);
void hn__conv_tile_launch(const hn__inst *n, const hn__conv *c, hn__conv_side side,
                          hn__launch *l);
// Of software devices (conv2d_grid.c); `lanes`: also those that need hn__loads_once. None where the
// grids would be much larger than the operands.
int hn__conv_grid_variants(const hn__conv *c, hn__conv_side side, bool lanes,
                           const hn_device_info *d, hn__variant out[]);
void hn__conv_grid_launch(const hn__inst *n, const hn__conv *c, hn__conv_side side,
                          hn__launch *l);
// Random sizes and parameters, and the types of x, w and y that go with them.
hn__conv hn__conv_sample(hn_rng *rng, hn_conv_params *p);

#endif
