// What the training commands share: their options, the loop with its checkpoints, log and report,
// going on after a stop.
#ifndef HORNITO_APP_TRAIN_H
#define HORNITO_APP_TRAIN_H

#include "app.h"

#include "hornito/train.h"

typedef struct train_options {
    app_device_options dev;
    char *out, *from, *freeze, *lora_targets, *recompute, *precision;
    int batch, steps, warmup, stop_after, save_every, resume, scale_loss, lora;
    double minutes, lr, lr_end, decay, clip, dropout, beta1, beta2, lora_alpha;
    long long seed;
} train_options;

#define TRAIN_DEFAULTS                                                                            \
    .batch = 8, .steps = 1000, .warmup = -1, .save_every = 500, .lr_end = -1, .decay = 0.1,       \
    .clip = 1, .beta1 = 0.9, .beta2 = 0.95, .seed = 1

// Rows of an option table. SHOW_DEFAULT where 0 is no default.
#define TRAIN_INT(name, at, help, arg)                                                            \
    { name, 0, POPT_ARG_INT | POPT_ARGFLAG_SHOW_DEFAULT, &(at), 0, help, arg }
#define TRAIN_REAL(name, at, help)                                                                \
    { name, 0, POPT_ARG_DOUBLE | POPT_ARGFLAG_SHOW_DEFAULT, &(at), 0, help, "X" }
#define TRAIN_WORD(name, at, help, arg) { name, 0, POPT_ARG_STRING, &(at), 0, help, arg }
#define TRAIN_FLAG(name, at, help) { name, 0, POPT_ARG_NONE, &(at), 0, help, NULL }

#define TRAIN_OPTIONS(o)                                                                          \
    TRAIN_WORD("out", (o).out, "folder of the run: checkpoints, log.json, report.html", "DIR"),   \
    TRAIN_FLAG("resume", (o).resume, "go on from the newest checkpoint in --out"),                \
    TRAIN_WORD("from", (o).from, "the model to start from: a name, a folder or a file", "MODEL"), \
    TRAIN_WORD("freeze", (o).freeze,                                                              \
               "weights to leave as they are: embed, encoder, or what their names begin with",    \
               "NAME,..."),                                                                       \
    { "lora", 0, POPT_ARG_INT, &(o).lora, 0, "train low-rank adapters beside frozen weights",     \
      "RANK" },                                                                                   \
    { "lora-alpha", 0, POPT_ARG_DOUBLE, &(o).lora_alpha, 0,                                       \
      "their product counts alpha / rank (0: alpha is the rank)", "X" },                          \
    TRAIN_WORD("lora-targets", (o).lora_targets,                                                  \
               "q, k, v, o, gate, up, down (the default: all), or ends of layers' names",         \
               "NAME,..."),                                                                       \
    TRAIN_REAL("dropout", (o).dropout, "in [0, 1)"),                                              \
    TRAIN_INT("batch", (o).batch, "sequences a step", "N"),                                       \
    TRAIN_INT("steps", (o).steps, "of the whole run", "N"),                                       \
    TRAIN_REAL("minutes", (o).minutes, "instead of --steps: as many as fit"),                     \
    TRAIN_INT("stop-after", (o).stop_after,                                                       \
              "stop at this step; the schedule stays that of --steps", "N"),                      \
    { "lr", 0, POPT_ARG_DOUBLE, &(o).lr, 0,                                                       \
      "learning rate after warm-up (1e-3; with --from 5e-5, with --lora 5e-4)", "X" },            \
    { "lr-end", 0, POPT_ARG_DOUBLE, &(o).lr_end, 0,                                               \
      "at the end of the cosine (a tenth of --lr)", "X" },                                        \
    TRAIN_INT("warmup", (o).warmup, "steps (-1: a twentieth, at most 100)", "N"),                 \
    TRAIN_REAL("weight-decay", (o).decay, "of matrices"),                                         \
    TRAIN_REAL("clip", (o).clip, "largest norm of the gradient (0: none)"),                       \
    TRAIN_REAL("beta1", (o).beta1, "of AdamW"),                                                   \
    TRAIN_REAL("beta2", (o).beta2, "of AdamW"),                                                   \
    TRAIN_WORD("recompute", (o).recompute,                                                        \
               "computed again for the gradient, not kept: none, blocks (all) or the first N",    \
               "N"),                                                                              \
    TRAIN_WORD("precision", (o).precision,                                                        \
               "of activations and of what products read: f32, f16 (scales the loss) or bf16",    \
               "TYPE"),                                                                           \
    TRAIN_FLAG("scale-loss", (o).scale_loss, "dynamic loss scaling"),                             \
    { "seed", 0, POPT_ARG_LONGLONG | POPT_ARGFLAG_SHOW_DEFAULT, &(o).seed, 0,                     \
      "of weights, data order and dropout", "N" },                                                \
    TRAIN_INT("save-every", (o).save_every,                                                       \
              "steps between checkpoints (0: at the end only)", "N"),                             \
    APP_DEVICE_OPTIONS((o).dev)

// A run in the making: filled by the command in this order, then train_run. Ended by train_end.
typedef struct train_run {
    const train_options *o;
    char *from;           // --from as a path; NULL: none
    char *resumed;        // of a run that goes on: its newest good checkpoint
    hn_device *dev;
    int recompute;
    hn_dtype precision;
    hn_train_params params; // the command adds what is the model's own
    // Makes a trainer of params.
    hn_status (*create)(struct train_run *r, hn_trainer **out);
    void *user;           // create's
    const hn_tokenizer *tok;
    const char *title;    // of the report
    const char *unit;     // what a step counts: "tokens"
    double per_step;      // how many of them

    hn_trainer *trainer;
    char *word_room[2];   // --freeze and --lora-targets, cut into words
    const char **words[2];
    double *loss;         // by step, from 1; NaN where it is not known
    int64_t n_loss, cap_loss;
    struct { // what is held out, measured before, at checkpoints, and at the end
        int64_t step;
        double loss;
    } *held;
    int64_t n_held, cap_held;
    double seconds;       // of this run's steps
    int64_t here;         // steps of this run
    double scale, overflows; // of the loss: the newest scale, steps left out so far
} train_run;

// What --recompute says (NULL: none) as hn_optimizer_params has it; 2, said, where it says nothing.
int train_blocks(const char *word, int *out);
// The same of --precision (NULL: f32).
int train_precision(const char *word, hn_dtype *out);
// Checks what the options say together (2, said, where they do not fit), the folder of the run and
// the model that it starts from, opens the device, and fills params with what the options say.
// Returns an exit code to end with, or -1.
int train_begin(train_run *r, const train_options *o);
// Trains to the end, or until Ctrl-C, saving on the way; says what came out.
hn_status train_go(train_run *r);
// Frees what the run holds; rc, or 1 where closing the device finds a fault.
int train_end(train_run *r, int rc);

#endif
