// hornito bench step: one training step of a small GPT-2-like language model, in several ways that
// are measured in turn.
#include "bench_step.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/os.h"
#include "progress.h"
#include "train.h"

// ---- the model -----------------------------------------------------------------------------

static const step_model step_models[] = {
    { "bench", 4096, 256, 4, 4, 256, 4, 1e-3f },   // 4.27 M parameters
    { "small", 512, 64, 4, 2, 64, 2, 1e-3f },      // of a size that the reference can do
    { "gpt2", 50304, 768, 12, 12, 1024, 4, 1e-4f }, // GPT-2's smallest, vocabulary rounded up
    { "gpt2-small", 4096, 768, 2, 12, 64, 1, 1e-4f },
};
enum { N_STEP_MODELS = sizeof step_models / sizeof *step_models };

static const step_model *step_model_of(const char *name)
{
    for (int i = 0; i < N_STEP_MODELS; i++)
        if (!strcmp(step_models[i].name, name))
            return &step_models[i];
    return NULL;
}

static hn_train_params step_params(const step_model *m, int64_t steps)
{
    return (hn_train_params){
        .model = { .family = HN_LM_GPT2,
                   .vocab = m->vocab,
                   .width = m->width,
                   .layers = m->layers,
                   .heads = m->heads,
                   .kv_heads = m->heads,
                   .ffn = 4 * m->width,
                   .context = m->length,
                   .eps = 1e-5f,
                   .act = HN_ACT_GELU,
                   .tied = true,
                   .head = HN_HEAD_DENSE },
        .optimizer = { .adamw = { 0.9f, 0.999f, 1e-8f, 0.01f } },
        .batch = m->batch,
        .length = m->length,
        .steps = steps,
        .lr = m->lr,
        .lr_end = m->lr,
        .seed = 1,
    };
}

// Tokens with something to learn: low numbers are frequent.
static int32_t *make_tokens(int64_t n, int64_t vocab)
{
    int32_t *t = hn__calloc((size_t)n, sizeof *t);
    hn_rng rng = hn__rng(7, 0);
    for (int64_t i = 0; t && i < n; i++)
        t[i] = (int32_t)((double)vocab * pow(hn__rng_uniform(&rng), 4));
    return t;
}

static hn_status make_trainer(const step_bench *b, hn_device *d, const variant *v,
                              hn_trainer **out)
{
    hn_train_params p = b->params;
    p.no_fuse = v->no_fuse;
    p.no_replay = v->no_replay;
    p.optimizer.recompute = v->n_again;
    p.precision = v->precision;
    return hn_context(hn_trainer_create(d, &p, b->tokens, b->n_tokens, out), "%s", v->name);
}

// ---- results checked -----------------------------------------------------------------------

static double relative(double got, double want)
{
    const double e = fabs(got - want) / fabs(want);
    return isnan(e) ? INFINITY : e;
}

// The largest relative difference of the losses of `steps` steps on two devices.
static hn_status compare_devices(const step_bench *b, hn_device *one, hn_device *two, int steps,
                                 double *worst)
{
    const variant plain = { .name = "check" };
    hn_trainer *t[2] = { NULL, NULL };
    hn_train_step s[2];

    *worst = 0;
    hn_status st = make_trainer(b, one, &plain, &t[0]);
    if (st == HN_OK)
        st = make_trainer(b, two, &plain, &t[1]);
    for (int i = 0; st == HN_OK && i < steps; i++) {
        st = hn_trainer_step(t[0], &s[0]);
        if (st == HN_OK)
            st = hn_trainer_step(t[1], &s[1]);
        if (st == HN_OK)
            *worst = fmax(*worst, relative(s[0].loss, s[1].loss));
    }
    hn_trainer_destroy(&t[0]);
    hn_trainer_destroy(&t[1]);
    return st;
}

// The small model on this device and on the reference.
static hn_status check_small(step_bench *b)
{
    step_bench small = { .params = step_params(step_model_of("small"), SMALL_STEPS),
                         .n_tokens = 4096 };
    hn_device *ref = NULL;

    small.tokens = make_tokens(small.n_tokens, small.params.model.vocab);
    hn_status s = small.tokens ? hn_device_open(&(hn_device_params){ .spec = "ref" }, &ref)
                               : hn__nomem((size_t)small.n_tokens * sizeof *small.tokens);
    if (s == HN_OK)
        s = compare_devices(&small, b->dev, ref, SMALL_STEPS, &b->ref_error);
    hn_device_close(&ref);
    hn__free(small.tokens);
    return hn_context(s, "check against the reference");
}

hn_status bench_step_error(hn_device *d, double *error)
{
    step_bench b = { .dev = d };
    const hn_status s = check_small(&b);
    *error = b.ref_error;
    return s;
}

hn_status bench_step_trainer(hn_device *d, int64_t steps, hn_trainer **out, int32_t **out_text,
                             int64_t *out_tokens)
{
    const variant plain = { .name = "training step" };
    step_bench b = { .params = step_params(step_model_of("bench"), steps), .n_tokens = 1 << 16 };

    *out = NULL;
    *out_tokens = b.params.batch * b.params.length;
    *out_text = b.tokens = make_tokens(b.n_tokens, b.params.model.vocab);
    if (!b.tokens)
        return hn__nomem((size_t)b.n_tokens * sizeof *b.tokens);
    return make_trainer(&b, d, &plain, out);
}

static hn_status check_cpu(step_bench *b)
{
    hn_device *cpu = NULL;

    b->cpu_error = -1;
    if (hn_device_get_info(b->dev)->kind == HN_DEVICE_CPU)
        return HN_OK;
    HN_TRY(app_open_other(&b->o->bench.dev, "cpu", &cpu));
    const hn_status s = compare_devices(b, b->dev, cpu, CPU_STEPS, &b->cpu_error);
    hn_device_close(&cpu);
    return hn_context(s, "check against the cpu device");
}

static hn_status check_losses(step_bench *b)
{
    b->loss_error = 0;
    for (int i = 1; i < b->n_variants; i++) {
        double *worst = b->v[i].precision ? &b->half_error : &b->loss_error;
        for (int k = 0; k < b->v[i].n_steps && k < b->v[0].n_steps; k++)
            *worst = fmax(*worst, relative(b->v[i].loss[k], b->v[0].loss[k]));
    }
    if (!(b->half_error <= 0.05))
        return hn_fail(HN_ERR_DEVICE, "losses in 16 bits differ from f32's by %.2g",
                       b->half_error);
    // 1e-3 is what the foundation's oracle allows; rounding in another order stays far below it.
    if (!(b->loss_error <= 1e-3))
        return hn_fail(HN_ERR_DEVICE, "the variants' losses differ by %.2g", b->loss_error);
    if (!(b->cpu_error <= 1e-3))
        return hn_fail(HN_ERR_DEVICE, "losses differ from the cpu device's by %.2g", b->cpu_error);
    if (!(b->ref_error <= 1e-3))
        return hn_fail(HN_ERR_DEVICE,
                       "losses of the small model differ from the reference's by %.2g",
                       b->ref_error);
    return HN_OK;
}

// ---- measuring -----------------------------------------------------------------------------

static hn_status one_step(variant *v, double *seconds)
{
    hn_train_step s;
    const uint64_t began = hn__now_ns();
    HN_TRY(hn_context(hn_trainer_step(v->trainer, &s), "%s", v->name));
    *seconds = (double)(hn__now_ns() - began) * 1e-9;
    v->loss[v->n_steps++] = s.loss;
    return HN_OK;
}

// Each repeat runs all variants, the first of them another one each time.
static hn_status measure(step_bench *b)
{
    const bench_options *o = &b->o->bench;
    const int n = o->warmup + o->repeats;
    progress p;
    hn_status s = HN_OK;

    progress_begin(&p, "bench step", n, 0,
                   (double)(b->params.batch * b->params.length * b->n_variants), "tokens");
    for (int i = 0; s == HN_OK && i < n && !app_interrupted(); i++) {
        for (int k = 0; s == HN_OK && k < b->n_variants; k++) {
            variant *v = &b->v[(i + k) % b->n_variants];
            double seconds = 0;
            s = one_step(v, &seconds);
            if (s == HN_OK && v == b->v && b->export)
                s = step_export_add(b->export, b);
            if (i >= o->warmup)
                v->seconds[i - o->warmup] = seconds;
        }
        b->n_done = i + 1 - o->warmup;
        progress_update(&p, i + 1, i < o->warmup ? "warm-up" : NULL);
    }
    progress_end(&p);
    if (s == HN_OK && app_interrupted())
        s = hn_fail(HN_ERR_ARG, "interrupted after %d of %d repeats; nothing was written",
                    b->n_done > 0 ? b->n_done : 0, o->repeats);
    for (int k = 0; s == HN_OK && k < b->n_variants; k++) {
        b->v[k].stats = bench_summary(b->v[k].seconds, b->n_done);
        b->v[k].plan = hn_plan_get_info(hn_trainer_plan(b->v[k].trainer));
    }
    return s;
}

static int by_time(const void *a, const void *b)
{
    const double x = ((const hn_step_time *)a)->ns, y = ((const hn_step_time *)b)->ns;
    return (x < y) - (x > y);
}

// The steps of the first variant by the device's clock, longest first.
static hn_status time_steps(step_bench *b)
{
    int n = 0;
    const hn_status s =
        hn_plan_time(hn_trainer_plan(b->v[0].trainer), b->steps, MOST_PLAN_STEPS, &n);
    b->n_steps = s ? 0 : n < MOST_PLAN_STEPS ? n : MOST_PLAN_STEPS;
    if (s == HN_ERR_UNSUPPORTED)
        return HN_OK;
    qsort(b->steps, (size_t)b->n_steps, sizeof *b->steps, by_time);
    return s;
}

double step_device_seconds(const step_bench *b)
{
    double ns = 0;
    for (int i = 0; i < b->n_steps; i++)
        ns += b->steps[i].ns;
    return ns * 1e-9;
}

double step_ratio(const step_bench *b, int k)
{
    return b->v[k].stats.median / b->v[0].stats.median;
}

// ---- the command ---------------------------------------------------------------------------

static void choose_variants(step_bench *b)
{
    const step_options *o = b->o;
    b->v[b->n_variants++] = (variant){ .name = "fused, replayed" };
    if (o->no_fuse && !o->only_first)
        b->v[b->n_variants++] = (variant){ .name = "not fused", .no_fuse = true };
    if (o->no_replay && !o->only_first)
        b->v[b->n_variants++] = (variant){ .name = "recorded anew", .no_replay = true };
    if (!o->only_first)
        b->v[b->n_variants++] =
            (variant){ .name = "not fused, not replayed", .no_fuse = true, .no_replay = true };
    if (o->n_again)
        b->v[b->n_variants++] = (variant){ .name = "recomputed", .n_again = o->n_again };
    const hn_dtype t = o->precision_type;
    if (t != HN_F32)
        b->v[b->n_variants++] = (variant){ .name = hn_dtype_name(t), .precision = t };
    if (t != HN_F32 && o->n_again)
        b->v[b->n_variants++] = (variant){
            .name = t == HN_F16 ? "f16, recomputed" : "bf16, recomputed", .precision = t,
            .n_again = o->n_again };
}

static hn_status run(step_bench *b)
{
    const int n = b->o->bench.warmup + b->o->bench.repeats;

    b->tokens = make_tokens(b->n_tokens, b->params.model.vocab);
    if (!b->tokens)
        return hn__nomem((size_t)b->n_tokens * sizeof *b->tokens);
    HN_TRY(check_small(b));
    HN_TRY(check_cpu(b));
    for (int k = 0; k < b->n_variants; k++)
        HN_TRY(make_trainer(b, b->dev, &b->v[k], &b->v[k].trainer));
    if (b->o->export_path)
        HN_TRY(step_export_begin(b, n, &b->export));
    HN_TRY(measure(b));
    HN_TRY(check_losses(b));
    HN_TRY(time_steps(b));
    return b->export ? step_export_write(b->export, b, b->o->export_path) : HN_OK;
}

static int conclude(const step_bench *b)
{
    const bench_options *o = &b->o->bench;
    report *page = NULL;

    if (bench_prints(o))
        step_print(b);
    if (o->html) {
        page = bench_page("A training step", b->dev);
        step_page(page, b);
    }
    return bench_write(o, step_json(b), &page);
}

static int step(const step_options *o)
{
    step_bench *b = hn__calloc(1, sizeof *b);
    if (!b)
        return app_fail(hn__nomem(sizeof *b));
    b->o = o;
    b->n_tokens = 1 << 16;
    b->params = step_params(o->model, o->bench.warmup + o->bench.repeats);
    choose_variants(b);

    int rc = app_fail(app_open_device(&o->bench.dev, &b->dev));
    if (!rc) {
        app_catch_interrupts();
        rc = app_fail(run(b));
    }
    if (!rc)
        rc = conclude(b);
    for (int k = 0; k < b->n_variants; k++)
        hn_trainer_destroy(&b->v[k].trainer);
    step_export_destroy(&b->export);
    rc = app_close_device(&b->dev, rc);
    hn__free(b->tokens);
    hn__free(b);
    return rc;
}

static int model_usage(step_options *o)
{
    const char *names[N_STEP_MODELS], *name = o->model_name ? o->model_name : "bench";
    for (int i = 0; i < N_STEP_MODELS; i++)
        names[i] = step_models[i].name;
    o->model = step_model_of(o->small ? "small" : name);
    const int near = app_nearest(name, names, N_STEP_MODELS);
    return o->model ? -1 : app_usage("--model %s: there are bench, small, gpt2, gpt2-small%s%s",
                                     name, near < 0 ? "" : "; did you mean ",
                                     near < 0 ? "" : names[near]);
}

int app_bench_step(int argc, const char **argv)
{
    step_options o = { .bench = { .repeats = 10, .warmup = 2 } };
    const struct poptOption options[] = {
        { "no-fuse", 0, POPT_ARG_NONE, &o.no_fuse, 0,
          "measure one dispatch an operator, replayed, too", NULL },
        { "no-replay", 0, POPT_ARG_NONE, &o.no_replay, 0,
          "measure fused dispatches recorded anew too", NULL },
        { "only-first", 0, POPT_ARG_NONE, &o.only_first, 0,
          "leave out the step that is neither fused nor replayed", NULL },
        { "recompute", 0, POPT_ARG_STRING, &o.recompute, 0,
          "measure it with blocks computed again too: blocks (all) or how many", "N" },
        { "precision", 0, POPT_ARG_STRING, &o.precision, 0, "measure it in f16 or bf16 too",
          "TYPE" },
        { "model", 0, POPT_ARG_STRING, &o.model_name, 0,
          "bench (4.27 M parameters on 4 x 256 tokens, the default), small (width 64 on 2 x 64), "
          "gpt2 (124 M on 4 x 1024), gpt2-small (two such layers on 64)", "NAME" },
        { "small", 0, POPT_ARG_NONE, &o.small, 0, "the same as --model small", NULL },
        { "export", 0, POPT_ARG_STRING, &o.export_path, 0,
          "keep first weights, batches and losses as safetensors", "FILE" },
        BENCH_OPTIONS(o.bench),
        APP_DEVICE_OPTIONS(o.bench.dev),
        APP_COMMON_OPTIONS,
    };
    app_args args;
    int rc = app_begin(argc, argv, options, &args);
    if (rc < 0)
        rc = bench_usage(&o.bench);
    if (rc < 0 && (train_blocks(o.recompute, &o.n_again) ||
                   train_precision(o.precision, &o.precision_type)))
        rc = APP_USAGE;
    if (rc < 0)
        rc = model_usage(&o);
    if (rc < 0)
        rc = step(&o);
    return app_end(&args, rc);
}
