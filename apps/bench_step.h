// hornito bench step: what its files share.
#ifndef HORNITO_BENCH_STEP_H
#define HORNITO_BENCH_STEP_H

#include "bench.h"

#include "hornito/train.h"

// A GPT-2-like model with a feed-forward of four widths, and its batches.
typedef struct step_model {
    const char *name;
    int64_t vocab, width, layers, heads, length, batch;
    float lr;
} step_model;

typedef struct step_options {
    bench_options bench;
    int no_fuse, no_replay, only_first, small;
    char *export_path, *recompute, *precision, *model_name;
    const step_model *model;
    int n_again;        // what recompute says
    hn_dtype precision_type;
} step_options;

// One way to run the same step.
typedef struct variant {
    const char *name;
    bool no_fuse, no_replay;
    int n_again; // blocks computed again
    hn_dtype precision;
    hn_trainer *trainer;
    double seconds[BENCH_MOST_REPEATS];
    double loss[2 * BENCH_MOST_REPEATS]; // of each step from the first
    int n_steps;
    bench_stats stats;
    hn_plan_info plan;
} variant;

enum { MOST_VARIANTS = 8, MOST_PLAN_STEPS = 4096, CPU_STEPS = 2, SMALL_STEPS = 3 };

typedef struct step_bench {
    const step_options *o;
    hn_device *dev;
    hn_train_params params;
    int32_t *tokens;
    int64_t n_tokens;
    variant v[MOST_VARIANTS];
    int n_variants, n_done; // repeats that all variants have
    double loss_error;      // largest relative difference of a loss between the variants
    double half_error;      // the same of those in 16 bits, to f32
    double cpu_error;       // to the cpu device over a few steps; negative: this is the cpu
    double ref_error;       // to the reference, with the small model
    struct step_export *export; // NULL: not wanted
    hn_step_time steps[MOST_PLAN_STEPS];
    int n_steps;            // of the plan, timed; 0: unsupported
} step_bench;

// The sum of b->steps.
double step_device_seconds(const step_bench *b);
// The median of variant k by that of the first.
double step_ratio(const step_bench *b, int k);

// ---- for other benches (bench_step.c) ---------------------------------------------------------

// A trainer of the model, the text that it borrows (freed by hn__free after the trainer, in any
// case), and how many tokens a step takes.
hn_status bench_step_trainer(hn_device *d, int64_t steps, hn_trainer **out, int32_t **out_text,
                             int64_t *out_tokens);
// The largest relative difference of a loss from the reference's, over a few steps of the small
// model.
hn_status bench_step_error(hn_device *d, double *error);

// ---- saying (bench_step_say.c) ---------------------------------------------------------------

void step_print(const step_bench *b);
json_t *step_json(const step_bench *b);
void step_page(report *page, const step_bench *b);

// ---- what another framework needs to do the same (bench_step_export.c) -----------------------

// A safetensors file: the weights before the first step; bench.ids and bench.targets, i32 [steps,
// batch, length]; bench.losses, f32 [steps], of the first variant; bench.head_size, i32 [1].
typedef struct step_export step_export;
// Keeps the weights as they are now, and makes room for that many steps. *out is NULL on failure.
hn_status step_export_begin(step_bench *b, int steps, step_export **out);
// Keeps the batch and the loss of the step that the first variant made last.
hn_status step_export_add(step_export *e, step_bench *b);
hn_status step_export_write(step_export *e, const step_bench *b, const char *path);
void step_export_destroy(step_export **e);

#endif
