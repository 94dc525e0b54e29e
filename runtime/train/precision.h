// Inside train/: 16-bit activations and working copies of weights around f32 master weights.
#ifndef HN_TRAIN_PRECISION_H
#define HN_TRAIN_PRECISION_H

#include "ir/ir.h"

// A copy of g, the graph of a loss, with the same params, states, inputs, outputs and marks, in
// which what may be held in `half` (HN_F16 or HN_BF16) is (Micikevicius et al. 2017, arXiv
// 1710.03740): products, convolutions and attention take and give it, what moves or joins their
// results keeps it, and all else is f32. Params stay f32 and are cast where they are read.
// Errors: those of the builders.
hn_status hn__set_precision(const hn_graph *g, hn_dtype half, hn_graph **out);

#endif
