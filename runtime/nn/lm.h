// Inside nn/: what the files of the language model share.
#ifndef HN_NN_LM_H
#define HN_NN_LM_H

#include "hornito/lm.h"
#include "ir/ir.h"

// The table of input embeddings, [vocab, width].
hn_val hn__lm_embedding(hn_graph *g, const hn_lm_config *c);

enum { HN__LM_CHUNK = 64 }; // positions of a prefill

// A plan over the model's caches that takes T tokens and gives the logits after one of them.
typedef struct hn__lm_stepper {
    hn_plan *plan;
    int64_t t;
} hn__lm_stepper;

struct hn_lm {
    hn_device *dev;
    hn_lm_config config;
    hn_tokenizer *tok;
    hn_weights *weights;
    int32_t start, end;    // tokens; -1: the checkpoint has none
    hn__lm_stepper chunk, one; // made when first needed
    hn_plan *score;
    int64_t score_batch, score_window;
};

#endif
