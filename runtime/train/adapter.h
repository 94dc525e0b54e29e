// Inside train/: low-rank adapters once trained: added into their weights, and as files.
#ifndef HN_TRAIN_ADAPTER_H
#define HN_TRAIN_ADAPTER_H

#include "train/trainer.h"

// A float weight of the model as f32, freed by hn__free, with its adapter added where it has one:
// W + (alpha / rank) B A. Errors: NOMEM, DEVICE; *out is then NULL.
hn_status hn__merged_weight(const hn_trainer *t, const hn_weight_info *info, float **out);
// Writes dir/adapter/adapter_model.safetensors and adapter_config.json: the adapters by
// themselves, in the names and the configuration of Hugging Face's PEFT.
hn_status hn__adapter_save(const hn_trainer *t, const char *dir);

#endif
