// Tensors of files into the weights of a model.
#ifndef HN_NN_LOAD_H
#define HN_NN_LOAD_H

#include "hornito/io.h"
#include "hornito/plan.h"

// Makes the weight `name` of this type, whose dimensions must be the tensor's, and fills it. What
// lies in the file as the weight does goes there without a copy on the way, the rest is converted
// a piece at a time, but for tensors whose rows change places.
// Errors: FORMAT with both types where the dimensions differ; those of hn_tensor_type,
// hn_tensor_read, hn_weights_put and hn_weights_write.
hn_status hn__load_weight(hn_weights *w, const char *name, const hn_tensor *t, const hn_type *type,
                          bool trainable);

#endif
