// Inside nn/: what the files of the language model share.
#ifndef HN_NN_LM_H
#define HN_NN_LM_H

#include "hornito/lm.h"
#include "io/json.h"
#include "ir/ir.h"

// Reads the object of a config.json; `where` names it in errors, which are hn_lm_config_load's.
hn_status hn__lm_config_read(const json_t *o, const char *where, hn_lm_config *out);
// Elements of a head.
int64_t hn__lm_head_dim(const hn_lm_config *c);

// A weight as config.weights has it; otherwise a param in f32.
hn_val hn__lm_param(hn_graph *g, const hn_lm_config *c, const char *name, hn_type t,
                    hn_init init);
// The tensor of a weight: by its name, or with the prefix that some GPT-2 files carry; NULL: none.
const hn_tensor *hn__lm_find_tensor(const hn_tensors *files, const char *name);
// x w^T or x w, x [.., in]: in 8 bits where c asks for it and w is quantised.
hn_val hn__lm_matmul(hn_graph *g, const hn_lm_config *c, hn_val x, hn_val w,
                     const hn_matmul_params *p);
// The table of input embeddings, [vocab, width].
hn_val hn__lm_embedding(hn_graph *g, const hn_lm_config *c);
// Its rows in f32, whatever its type.   ids: i32 [...]   result [..., width]
hn_val hn__lm_look_up(hn_graph *g, hn_val table, hn_val ids);

enum {
    HN__LM_STEPPERS = 3,
    HN__LM_CHUNK = 64,   // positions that the largest stepper takes
    HN__LM_CACHE = 256,  // caches hold a multiple of this, or the context
    HN__LM_MAX_ENDS = 8,
};

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
    int32_t start;      // stands before a text that is scored; -1: nothing does
    int32_t empty;      // what an empty prompt starts from; -1: nothing
    bool adds_start;    // `start` stands before prompts too
    int32_t ends[HN__LM_MAX_ENDS];
    int n_ends;
    hn__lm_stepper steppers[HN__LM_STEPPERS]; // made when first needed
    int64_t cache;             // positions that the caches hold
    hn_ids fed;                // the tokens that are in them
    hn_plan *score;
    int64_t score_batch, score_window;
    bool score_half;
};

#endif
