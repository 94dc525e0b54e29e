// Inside train/: the trainer, and what tells one kind of model from another.
#ifndef HN_TRAIN_TRAINER_H
#define HN_TRAIN_TRAINER_H

#include "base/base.h"
#include "hornito/train.h"
#include "io/checkpoint.h"
#include "train/base.h"

// A number that must be the same for a run to go on.
typedef struct hn__setting {
    const char *name;
    double value;
} hn__setting;

enum { HN__MAX_SETTINGS = 64 };

// A kind of model in training: the graph of its loss, its batches, its own files. A task's own
// struct begins with this one.
typedef struct hn__task {
    const struct hn__task_fns *fn;
    uint64_t data_hash;    // of what it is trained on: a run goes on over the same only
    bool in_out;           // matrices are [in, out], as GPT-2's; otherwise [out, in]
    const char *peft_task; // what PEFT calls the kind of model
    const char *peft_prefix; // of weights' names in the model class that PEFT wraps
} hn__task;

typedef struct hn__task_fns {
    // The mean loss, one f32, over inputs of the task's own. key: i32 [2], new in every step.
    hn_status (*build)(hn__task *k, hn_graph *g, hn_val key, hn_val *out_loss);
    // Once, when the weights are there. NULL: nothing to do.
    hn_status (*begin)(hn__task *k, hn_weights *w);
    // Writes the inputs of a step, which is all that they depend on.
    hn_status (*feed)(hn__task *k, hn_plan *plan, int64_t step);
    // Batches held out, and the inputs of one with the number of tokens that its mean is over.
    // Both NULL: nothing can be held out.
    int64_t (*held)(const hn__task *k);
    hn_status (*feed_held)(hn__task *k, hn_plan *plan, int64_t batch, double *out_tokens);
    // Adds settings at s, at most HN__MAX_SETTINGS / 2; returns how many.
    int (*settings)(const hn__task *k, hn__setting s[]);
    // Writes config.json for a model that did not come from a checkpoint.
    hn_status (*save_config)(const hn__task *k, const char *path);
    void (*destroy)(hn__task *k);
} hn__task_fns;

struct hn_trainer {
    hn_train_params params; // its strings are the caller's and valid during creation only
    hn__task *task;
    hn__base *base;         // NULL: weights came from the seed
    char *freeze, *targets; // words with commas between
    hn_weights *weights;
    hn_plan *plan;
    hn_plan *measure; // the loss alone, of what is held out; NULL: nothing is
    int64_t done; // steps
};

// A trainer of the task, which it takes, even on failure. `base` (which it takes too) may be NULL.
hn_status hn__trainer_create(hn_device *d, const hn_train_params *p, hn__task *task,
                             hn__base *base, hn_trainer **out);

#endif
