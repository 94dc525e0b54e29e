// Inside train/: the trainer of language models.
#ifndef HN_TRAIN_TRAINER_H
#define HN_TRAIN_TRAINER_H

#include "base/base.h"
#include "hornito/train.h"

struct hn_trainer {
    hn_train_params params;
    hn_weights *weights;
    hn_plan *plan;
    const int32_t *tokens; // borrowed
    int64_t n_tokens;
    uint64_t data_hash;    // of the tokens: a run goes on over the same text only
    int32_t *room;         // ids, then targets, of one batch
    int64_t done;          // steps
};

#endif
