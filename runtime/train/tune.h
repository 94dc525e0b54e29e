// Inside train/: which weights of a model are trained, and how: a copy of its graph in which some
// params are frozen, or frozen with low-rank adapters beside them.
#ifndef HN_TRAIN_TUNE_H
#define HN_TRAIN_TUNE_H

#include "hornito/train.h"
#include "ir/ir.h"

// Where a weight of a run belongs, by its name.
typedef enum hn__part {
    HN__PART_MODEL,     // what a checkpoint's model.safetensors holds
    HN__PART_ADAPTER,   // "STEM.lora_A.weight" and "STEM.lora_B.weight"
    HN__PART_OPTIMIZER, // moments and counters
} hn__part;
hn__part hn__part_of(const char *name);

// The element type in which a frozen weight lies where the run takes it from: HN_F32 where it is
// to be a f32 copy.
typedef hn_dtype (*hn__stored_fn)(void *user, const char *name);

// A copy of g with the same inputs and outputs, by name, in which the params that p freezes are
// states, and the products with targets of p have an adapter (Hu et al. 2021, arXiv 2106.09685,
// eq. 3): y = x W^T + (alpha / r) (x A^T) B^T. A frozen weight takes its stored type if all that
// reads it can: products, and for quantised ones look-ups. `stored` may be NULL.
// Errors: ARG (a word of p fits no weight; nothing is left to train), those of the builders.
hn_status hn__tune(const hn_graph *g, const hn_tune_params *p, hn__stored_fn stored, void *user,
                   hn_graph **out);

// p's alpha / r, with alpha's default.
float hn__lora_scale(const hn_tune_params *p);
// The factors of the adapter of a weight, by its name: false where the run has none. Both names go
// into buffers of 256.
bool hn__lora_names(const hn_weights *w, const char *weight, char a[256], char b[256]);

#endif
