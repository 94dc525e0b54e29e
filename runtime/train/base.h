// Inside train/: the model that a run starts from.
#ifndef HN_TRAIN_BASE_H
#define HN_TRAIN_BASE_H

#include "io/checkpoint.h"
#include "io/pretrained.h"
#include "nn/lm.h"

typedef struct hn__base {
    hn_pretrained *model;
    uint64_t hash; // of the configuration and all weights; 0 before hn__base_hash
} hn__base;

// path: as hn_train_params.from. Errors: those of hn_pretrained_open; *out is then NULL.
hn_status hn__base_open(const char *path, hn__base **out);
void hn__base_close(hn__base **b);
// Reads all of the files to set the hash. Errors: NOMEM.
hn_status hn__base_hash(hn__base *b);
// The configuration of a language model. Errors: those of hn_lm_config_load; UNSUPPORTED where it
// is another kind of model.
hn_status hn__base_lm_config(const hn__base *b, hn_lm_config *out);
// The tensor of a weight; NULL where there is none.
const hn_tensor *hn__base_find(const hn__base *b, const char *name);
// Makes every param and state of the graph that belongs to the model and reads it from the files,
// converted to the graph's type. Errors: FORMAT (a tensor is missing or has another shape, by
// name), NOMEM, DEVICE.
hn_status hn__base_load(const hn__base *b, const hn_graph *g, hn_weights *w);
// Writes what is not weights: configuration, tokenizer, what generation wants to know. `tok` (may
// be NULL) is written where the base has no tokenizer files of its own.
hn_status hn__base_save(const hn__base *b, const hn_tokenizer *tok, hn__checkpoint *c);

#endif
