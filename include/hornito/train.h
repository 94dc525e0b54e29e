// Training: optimiser nodes for any graph, and the training of language models, with checkpoints
// from which a run goes on bit for bit.
#ifndef HORNITO_TRAIN_H
#define HORNITO_TRAIN_H

#include "hornito/lm.h"

#ifdef __cplusplus
extern "C" {
#endif

// ---- optimiser nodes -----------------------------------------------------------------------

typedef struct hn_optimizer_params {
    hn_adamw_params adamw;   // weight_decay is for params of rank 2 and more; others have none
    float clip;              // largest global norm of the gradient; 0: no clipping
    bool scale_loss;         // dynamic loss scaling: halve on overflow, double after a while
    float first_scale;       // 0: 65536
    int scale_interval;      // steps without overflow before doubling; 0: 2000
    // Of how many blocks (hn_mark_block), from the first, activations are computed again for the
    // gradient instead of kept: less memory for up to a third more time, and the same bits.
    int recompute;           // 0: of none; HN_RECOMPUTE_ALL
} hn_optimizer_params;

typedef struct hn_optimizer_out {
    hn_val grad_norm; // f32 scalar, before clipping, of the unscaled gradient
    hn_val scale;     // f32 scalar: the loss scale used, 1 without scaling
    hn_val overflows; // f32 scalar: steps left out so far, this one included
} hn_optimizer_out;

// Adds to the graph the gradient of `loss` for all params, clipping, and one AdamW step that is
// assigned to params and to states "adam.m.NAME", "adam.v.NAME", "train.step" (and "train.scale",
// "train.good", "train.overflows" with scaling). lr: f32 [1]. A step whose gradient is not finite
// changes nothing but the scale. Errors: those of hn_graph_grad.
HN_API hn_status hn_optimize(hn_graph *g, hn_val loss, hn_val lr, const hn_optimizer_params *p,
                             hn_optimizer_out *out);

// ---- what is trained -----------------------------------------------------------------------

// Which weights of a model change, and how. {0}: all of them, as they are.
typedef struct hn_tune_params {
    // Weights that keep their values: no gradient is made for them and no moments are kept. Each
    // word is "embed" (the tables of token and position embeddings), "encoder" (Whisper's), or
    // what a weight's name begins with.
    const char *const *freeze;
    int n_freeze;
    // Low-rank adapters (Hu et al. 2021, arXiv 2106.09685): all of the model's weights are frozen,
    // and beside the product with a target W [out, in] runs (alpha / rank) B A, A [rank, in] drawn
    // from the seed and B [out, rank] zero at first. Weights that `freeze` names get none.
    int rank;       // 0: no adapters
    float alpha;    // 0: rank
    // "q", "k", "v", "o" (of attention), "gate", "up", "down" (of the feed-forward), or the last
    // words of a layer's name ("q_proj"); none: all seven, where the model has them.
    const char *const *targets;
    int n_targets;
} hn_tune_params;

// ---- language models -----------------------------------------------------------------------

typedef struct hn_train_params {
    hn_lm_config model;      // with `from`: taken from there, but for dropout
    // A model to start from: what hn_pretrained_open opens, or the folder of a run. Its weights
    // become f32, but for frozen matrices of 16 bits or of blocks, which stay as they are. NULL:
    // weights drawn from the seed.
    const char *from;
    hn_tune_params tune;
    hn_optimizer_params optimizer;
    // HN_F16 or HN_BF16: activations, their gradients and the copies of weights that products read
    // are held in 16 bits; weights, moments and all sums are f32 (Micikevicius et al. 2017, arXiv
    // 1710.03740). HN_F16 scales the loss, whatever optimizer.scale_loss says. 0: HN_F32.
    hn_dtype precision;
    int64_t batch, length;  // sequences a step and their tokens; length <= model.context
    int64_t steps;          // of the whole run, for the schedule
    float lr, lr_end;       // after warm-up, and at the end; a cosine between
    int64_t warmup;         // steps of linear rise
    uint64_t seed;          // of initial weights, of the order of data, of dropout
    bool no_fuse, no_replay; // as in hn_plan_params
} hn_train_params;

typedef struct hn_trainer hn_trainer;

typedef struct hn_train_step {
    int64_t step; // that was made, from 1
    double loss;  // mean nats a token, before the step
    double grad_norm, lr, scale, overflows;
} hn_train_step;

// ---- trainers ------------------------------------------------------------------------------

// A trainer with weights drawn from the seed. `tokens` (n of them, in [0, vocab)) are borrowed
// until it is destroyed. Each step takes `batch` spans of length + 1 tokens at places that depend
// on seed and step only. Errors: ARG; those of opening `from`; NOMEM, before anything of the run
// is allocated, where weights, moments and the plan are more than the device's memory (both
// numbers in the text); UNSUPPORTED, DEVICE.
HN_API hn_status hn_trainer_create(hn_device *d, const hn_train_params *p, const int32_t tokens[],
                                   int64_t n, hn_trainer **out);

// A recording and what is said in it.
typedef struct hn_clip {
    const char *path; // what hn_audio_open takes
    const char *text; // UTF-8, not empty
} hn_clip;

typedef struct hn_clips {
    const hn_clip *clip; // to train on, n of them
    int64_t n;
    const hn_clip *held; // to measure on only, n_held of them; may be none
    int64_t n_held;
    const char *language; // of models of many languages: "en"; NULL: "en"
    double window;        // seconds that every recording is padded to; 0: the model's, 30
} hn_clips;

// A trainer of a Whisper model, which p->from names; of p->model only dropout counts, p->length
// does not. Each step takes `batch` recordings, all once before any comes again, in an order that
// depends on the seed; the decoder is given the true text, without timestamps, before each token,
// and the tokens before the text are not counted in the loss. Positions of the encoder are not trained, as they are no
// parameters in the published models. The clips are borrowed until the trainer is destroyed;
// recordings are read when their step comes.
// Errors: those of hn_trainer_create; IO and FORMAT for a recording that cannot be read, ARG for
// one longer than the window or a text longer than the model's context, by name.
HN_API hn_status hn_trainer_create_whisper(hn_device *d, const hn_train_params *p,
                                           const hn_clips *clips, hn_trainer **out);

HN_API void hn_trainer_destroy(hn_trainer **t);
HN_API hn_weights *hn_trainer_weights(hn_trainer *t);
HN_API hn_plan *hn_trainer_plan(hn_trainer *t);
HN_API int64_t hn_trainer_steps_done(const hn_trainer *t);
// Numbers of values that training changes, and of the model's that it does not.
HN_API void hn_trainer_count(const hn_trainer *t, int64_t *trained, int64_t *frozen);
HN_API hn_status hn_trainer_step(hn_trainer *t, hn_train_step *out);
// Whether something is held out, and the mean nats a token over it with the weights as they are.
// Errors: ARG where nothing is; those of hn_plan_run and of reading.
HN_API bool hn_trainer_has_held(const hn_trainer *t);
HN_API hn_status hn_trainer_measure(hn_trainer *t, double *out_loss);

// Writes a checkpoint into the training folder `dir`, atomically: dir/step-N/ with config.json,
// model.safetensors, optimizer.safetensors, trainer.json and tokenizer.json. The newest two stay.
// On failure the checkpoints before it are untouched. tok may be NULL.
//
// A run with `from` has the base's layout: its config.json, tokenizer and generation files, its
// weights' names. Adapters are added into the weights they stand beside, so that what reads the
// base reads the checkpoint; by themselves they are in dir/adapter/, as PEFT has them. Weights are
// f32, but for frozen ones that were 16-bit in the base and are written as they were.
HN_API hn_status hn_trainer_save(hn_trainer *t, const char *dir, const hn_tokenizer *tok);
// Goes on from the newest good checkpoint of `dir`: weights, moments, step. The next steps give
// the same bits as if the run had not stopped, on the same device. Errors: IO (no checkpoint),
// FORMAT, ARG (the checkpoint was made with other settings; the text names the first that
// differs).
HN_API hn_status hn_trainer_resume(hn_trainer *t, const char *dir);

#ifdef __cplusplus
}
#endif
#endif
