// A training run as the commands share it: options, the loop, checkpoints, log and report.
#include "train.h"
#include "json.h"
#include "progress.h"
#include "report.h"

#include "base/os.h"
#include "io/checkpoint.h"
#include "io/json.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

// ---- settings ------------------------------------------------------------------------------

// "a,b" cut at commas, in room of its own: *n words, each in *words.
static hn_status cut(const char *text, char **room, const char ***words, int *n)
{
    *n = 0;
    if (!text)
        return HN_OK;
    const size_t len = strlen(text) + 1;
    *room = hn__calloc(len, 1);
    *words = hn__calloc(len, sizeof **words);
    if (!*room || !*words)
        return hn__nomem(len * sizeof **words);
    memcpy(*room, text, len);
    for (char *at = *room; at; (*n)++) {
        (*words)[*n] = at;
        at = strchr(at, ',');
        if (at)
            *at++ = 0;
    }
    return HN_OK;
}

static void set_warmup(train_run *r)
{
    if (r->o->warmup < 0)
        r->params.warmup = r->params.steps / 20 < 100 ? r->params.steps / 20 : 100;
}

static hn_status make_params(train_run *r)
{
    const train_options *o = r->o;
    const double lr = o->lr > 0 ? o->lr : o->lora ? 5e-4 : o->from ? 5e-5 : 1e-3;
    hn_tune_params tune = { .rank = o->lora, .alpha = (float)o->lora_alpha };

    HN_TRY(cut(o->freeze, &r->word_room[0], &r->words[0], &tune.n_freeze));
    HN_TRY(cut(o->lora_targets, &r->word_room[1], &r->words[1], &tune.n_targets));
    tune.freeze = r->words[0];
    tune.targets = r->words[1];
    r->params = (hn_train_params){
        .from = r->from,
        .tune = tune,
        .optimizer = { .adamw = { (float)o->beta1, (float)o->beta2, 1e-8f, (float)o->decay },
                       .clip = (float)o->clip,
                       .scale_loss = o->scale_loss,
                       .recompute = r->recompute },
        .precision = r->precision,
        .batch = o->batch,
        .steps = o->steps,
        .lr = (float)lr,
        .lr_end = (float)(o->lr_end >= 0 ? o->lr_end : lr / 10),
        .warmup = o->warmup,
        .seed = (uint64_t)o->seed,
    };
    set_warmup(r);
    return HN_OK;
}

// A new run must not mix with an old one.
static hn_status check_folder(const train_options *o)
{
    char *latest = hn__path_join(o->out, "latest");
    if (!latest)
        return hn__nomem(64);
    const bool there = hn__exists(latest);
    hn__free(latest);
    if (there && !o->resume)
        return hn_fail(HN_ERR_ARG,
                       "'%s' holds a run already: use --resume to go on with it, or another --out",
                       o->out);
    return there ? HN_OK : hn__mkdirs(o->out);
}

static hn_status open_all(train_run *r)
{
    const train_options *o = r->o;
    int64_t step;

    HN_TRY(check_folder(o));
    if (o->resume) // finding the newest good one reads all of it, so it is done once
        HN_TRY(hn__checkpoint_latest(o->out, &r->resumed, &step));
    if (o->from)
        HN_TRY(app_model_path(o->from, &r->from));
    HN_TRY(make_params(r));
    return app_open_device(&o->dev, &r->dev);
}

int train_blocks(const char *word, int *out)
{
    char *end;

    *out = 0;
    if (!word || !strcmp(word, "none"))
        return 0;
    const long n = strtol(word, &end, 10);
    *out = !strcmp(word, "blocks") ? HN_RECOMPUTE_ALL : (int)n;
    if (*out != HN_RECOMPUTE_ALL && (end == word || *end || n < 1 || n > 1 << 20))
        return app_usage("--recompute %s: use none, blocks, or how many blocks", word);
    return 0;
}

int train_precision(const char *word, hn_dtype *out)
{
    static const hn_dtype known[] = { HN_F32, HN_F16, HN_BF16 };

    *out = HN_F32;
    for (size_t i = 0; word && i < sizeof known / sizeof *known; i++)
        if (!strcmp(word, hn_dtype_name(known[i]))) {
            *out = known[i];
            return 0;
        }
    return word ? app_usage("--precision %s: use f32, f16 or bf16", word) : 0;
}

int train_begin(train_run *r, const train_options *o)
{
    r->o = o;
    int rc = train_blocks(o->recompute, &r->recompute);
    if (!rc)
        rc = train_precision(o->precision, &r->precision);
    if (rc)
        return rc;
    if (!o->out)
        return app_usage("--out DIR is needed: the folder of the run");
    if ((o->freeze || o->lora) && !o->from)
        return app_usage("--%s needs --from: there is nothing to keep of weights drawn from a "
                         "seed",
                         o->freeze ? "freeze" : "lora");
    if (!o->lora && (o->lora_targets || o->lora_alpha > 0))
        return app_usage("--lora-%s needs --lora RANK", o->lora_targets ? "targets" : "alpha");
    if (o->lora < 0 || o->lora_alpha < 0)
        return app_usage("--lora %d, --lora-alpha %g: neither may be negative", o->lora,
                         o->lora_alpha);
    const hn_status s = open_all(r);
    return s ? app_fail(s) : -1;
}

int train_end(train_run *r, int rc)
{
    hn_trainer_destroy(&r->trainer);
    for (int i = 0; i < 2; i++) {
        hn__free(r->word_room[i]);
        hn__free(r->words[i]);
    }
    hn__free(r->loss);
    hn__free(r->held);
    hn__free(r->from);
    hn__free(r->resumed);
    return app_close_device(&r->dev, rc);
}

// --minutes: times a few steps of a throw-away trainer and sets the number of steps by it.
static hn_status fit_steps(train_run *r)
{
    enum { WARM = 2, TIMED = 4 };
    hn_train_step step;
    hn_trainer *t;
    uint64_t start = 0;

    HN_TRY(r->create(r, &t));
    hn_status st = HN_OK;
    for (int i = 0; st == HN_OK && i < WARM + TIMED; i++) {
        if (i == WARM)
            start = hn__now_ns();
        st = hn_trainer_step(t, &step);
    }
    hn_trainer_destroy(&t);
    HN_TRY(st);
    const double one = (double)(hn__now_ns() - start) / (TIMED * 1e9);
    const double n = r->o->minutes * 60 / one;
    r->params.steps = n < 1 ? 1 : (int64_t)n;
    set_warmup(r);
    printf("a step takes %.0f ms: %lld steps in %g minutes\n", one * 1e3,
           (long long)r->params.steps, r->o->minutes);
    return HN_OK;
}

// A run that goes on takes the number of steps (which --minutes made) from where it began.
static hn_status steps_of_run(train_run *r)
{
    double n, warmup;
    json_t *o = NULL;
    char *path = hn__path_join(r->resumed, "trainer.json");
    if (!path)
        return hn__nomem(64);
    hn_status st = hn__json_load(path, 1 << 20, &o);
    if (st == HN_OK)
        st = hn__json_real(o, path, "steps", &n);
    if (st == HN_OK)
        st = hn__json_real(o, path, "warmup", &warmup);
    if (st == HN_OK) {
        r->params.steps = (int64_t)n;
        r->params.warmup = (int64_t)warmup;
    }
    json_decref(o);
    hn__free(path);
    return st;
}

static bool scales(const train_run *r)
{
    return r->params.optimizer.scale_loss || r->params.precision == HN_F16;
}

// ---- what a run leaves ---------------------------------------------------------------------

static hn_status remember(train_run *r, int64_t step, double loss)
{
    HN_TRY(hn__reserve((void **)&r->loss, &r->cap_loss, step, sizeof *r->loss));
    while (r->n_loss < step)
        r->loss[r->n_loss++] = NAN;
    r->loss[step - 1] = loss;
    return HN_OK;
}

static hn_status remember_held(train_run *r, int64_t step, double loss)
{
    HN_TRY(hn__reserve((void **)&r->held, &r->cap_held, r->n_held + 1, sizeof *r->held));
    r->held[r->n_held].step = step;
    r->held[r->n_held++].loss = loss;
    return HN_OK;
}

// The losses of the run so far, when it goes on; a missing or foreign file is no reason to stop.
static void recall(train_run *r, const char *path, int64_t steps)
{
    json_t *o;
    if (hn__json_load(path, 1 << 28, &o))
        return;
    const json_t *list = json_object_get(o, "loss");
    for (int64_t i = 0; i < steps && i < (int64_t)json_array_size(list); i++) {
        const json_t *x = json_array_get(list, (size_t)i);
        if (json_is_number(x) && remember(r, i + 1, json_number_value(x)))
            break;
    }
    const json_t *held = json_object_get(o, "held_out");
    for (size_t i = 0; i < json_array_size(held); i++) {
        const json_t *at = json_array_get(held, i);
        const int64_t step = json_integer_value(json_object_get(at, "step"));
        if (step <= steps &&
            remember_held(r, step, json_number_value(json_object_get(at, "loss"))))
            break;
    }
    json_decref(o);
}

// Units a second of this run's steps.
static double speed(const train_run *r)
{
    return r->seconds > 0 ? (double)r->here * r->per_step / r->seconds : 0;
}

static json_t *held_json(const train_run *r)
{
    json_t *list = app_json_array();
    for (int64_t i = 0; i < r->n_held; i++) {
        json_t *o = app_json_object();
        app_json_set(o, "step", app_json_int(r->held[i].step));
        app_json_set(o, "loss", app_json_number(r->held[i].loss));
        app_json_add(list, o);
    }
    return list;
}

static hn_status write_log(const train_run *r, const char *path)
{
    json_t *o = app_json_object(), *loss = app_json_array();
    for (int64_t i = 0; i < r->n_loss; i++)
        app_json_add(loss, app_json_number(r->loss[i]));
    app_json_set(o, "device", app_json_device(hn_device_get_info(r->dev)));
    app_json_set(o, "steps", app_json_int(hn_trainer_steps_done(r->trainer)));
    char key[64];
    snprintf(key, sizeof key, "%s_a_step", r->unit);
    app_json_set(o, key, app_json_int((int64_t)r->per_step));
    snprintf(key, sizeof key, "%s_per_second", r->unit);
    app_json_set(o, key, app_json_number(r->here ? speed(r) : NAN));
    app_json_set(o, "precision", app_json_text(hn_dtype_name(r->params.precision)));
    if (scales(r)) {
        app_json_set(o, "loss_scale", app_json_number(r->here ? r->scale : NAN));
        app_json_set(o, "overflows", app_json_number(r->here ? r->overflows : NAN));
    }
    app_json_set(o, "loss", loss);
    if (r->n_held)
        app_json_set(o, "held_out", held_json(r));
    const hn_status st = hn__json_save(path, o);
    json_decref(o);
    return st;
}

// A running mean over a fiftieth of the run, so that the curve can be read.
static void smooth(const double *y, int64_t n, double *out)
{
    const double keep = exp(-1 / (1 + (double)n / 50));
    double sum = 0, weight = 0;
    for (int64_t i = 0; i < n; i++) {
        if (isfinite(y[i])) {
            sum = keep * sum + (1 - keep) * y[i];
            weight = keep * weight + (1 - keep);
        }
        out[i] = weight > 0 ? sum / weight : NAN;
    }
}

// "134.52 million", "3.2 thousand"
static const char *count_text(int64_t n, char *buf, size_t size)
{
    if (n < 1000000)
        snprintf(buf, size, "%.1f thousand", (double)n / 1e3);
    else
        snprintf(buf, size, "%.2f million", (double)n / 1e6);
    return buf;
}

// How many parameters are trained, and beside how many that are not.
static const char *size_text(const train_run *r, char *buf, size_t n)
{
    int64_t trained, frozen;
    char a[32], b[32];
    hn_trainer_count(r->trainer, &trained, &frozen);
    count_text(trained, a, sizeof a);
    if (frozen)
        snprintf(buf, n, "%s, beside %s that are frozen", a, count_text(frozen, b, sizeof b));
    else
        snprintf(buf, n, "%s", a);
    return buf;
}

// x, mean: a number a step; held: the steps at which what is held out was measured, then losses.
static void fill_report(const train_run *r, report *page, const double *x, const double *mean,
                        const double *held)
{
    const int64_t n = r->n_loss;
    char size[96], rate[64], steps[64], nats[64];
    snprintf(rate, sizeof rate, "%.*f %s/s", speed(r) < 10 ? 2 : 0, speed(r), r->unit);
    snprintf(steps, sizeof steps, "%lld of %lld", (long long)n, (long long)r->params.steps);
    snprintf(nats, sizeof nats, "%.4f nats a token", n ? mean[n - 1] : NAN);
    report_pairs(page,
                 (report_pair[]){ { "Device", hn_device_get_info(r->dev)->name },
                                  { "Parameters", size_text(r, size, sizeof size) },
                                  { "Steps", steps },
                                  { "Loss (smoothed)", nats },
                                  { "Speed", rate } },
                 5);
    report_section(page, "Loss");
    const report_series series[] = { { "each step", x, r->loss, n, true },
                                     { "smoothed", x, mean, n, false },
                                     { "held out", held, held + r->n_held, r->n_held, false } };
    report_line_chart(page, &(report_lines){ .title = "Training loss",
                                             .x_label = "step",
                                             .y_label = "nats a token",
                                             .series = series,
                                             .n_series = r->n_held ? 3 : 2 });
}

static hn_status write_report(const train_run *r, const char *path)
{
    const int64_t n = r->n_loss;
    double *x = hn__calloc((size_t)n + 1, sizeof *x),
           *mean = hn__calloc((size_t)n + 1, sizeof *mean);
    double *held = hn__calloc(2 * (size_t)r->n_held + 1, sizeof *held);
    hn_status st = x && mean && held ? HN_OK : hn__nomem((size_t)n * sizeof *x);
    report *page = report_create(r->title, r->o->out);

    for (int64_t i = 0; st == HN_OK && i < n; i++)
        x[i] = (double)(i + 1);
    if (st == HN_OK) {
        for (int64_t i = 0; i < r->n_held; i++) {
            held[i] = (double)r->held[i].step;
            held[r->n_held + i] = r->held[i].loss;
        }
        smooth(r->loss, n, mean);
        fill_report(r, page, x, mean, held);
        st = report_write(page, path);
    }
    report_destroy(&page);
    hn__free(x);
    hn__free(mean);
    hn__free(held);
    return st;
}

static hn_status write_file(const train_run *r, const char *name,
                            hn_status (*write)(const train_run *, const char *))
{
    char *path = hn__path_join(r->o->out, name);
    if (!path)
        return hn__nomem(64);
    const hn_status st = write(r, path);
    hn__free(path);
    return st;
}

// What is held out, where something is, once for each step.
static hn_status measure(train_run *r)
{
    const int64_t step = hn_trainer_steps_done(r->trainer);
    double loss;

    if (!hn_trainer_has_held(r->trainer) || (r->n_held && r->held[r->n_held - 1].step == step))
        return HN_OK;
    HN_TRY(hn_trainer_measure(r->trainer, &loss));
    HN_TRY(remember_held(r, step, loss));
    progress_hide();
    printf("held out: %.4f nats a token after %lld steps\n", loss, (long long)step);
    return HN_OK;
}

static hn_status save(train_run *r)
{
    HN_TRY(measure(r));
    HN_TRY(hn_trainer_save(r->trainer, r->o->out, r->tok));
    HN_TRY(write_file(r, "log.json", write_log));
    return write_file(r, "report.html", write_report);
}

// ---- the run -------------------------------------------------------------------------------

static hn_status one_step(train_run *r, progress *bar, int64_t last)
{
    hn_train_step step;
    char note[160];
    const uint64_t start = hn__now_ns();

    HN_TRY(hn_trainer_step(r->trainer, &step));
    r->seconds += (double)(hn__now_ns() - start) / 1e9;
    r->here++;
    if (!isfinite(step.loss) && !scales(r))
        return hn_fail(HN_ERR_ARG, "the loss of step %lld is not finite; try a lower --lr than %g",
                       (long long)step.step, (double)r->params.lr);
    HN_TRY(remember(r, step.step, step.loss));
    r->scale = step.scale;
    r->overflows = step.overflows;
    const int at = snprintf(note, sizeof note, "loss %.4f  lr %.2e  |g| %.2f", step.loss, step.lr,
                            step.grad_norm);
    if (scales(r))
        snprintf(note + at, sizeof note - (size_t)at, "  scale %g, %g overflows", step.scale,
                 step.overflows);
    progress_update(bar, step.step, note);
    const int every = r->o->save_every;
    return every > 0 && step.step % every == 0 && step.step < last ? save(r) : HN_OK;
}

static hn_status loop(train_run *r)
{
    const int64_t stop = r->o->stop_after;
    const int64_t last = stop && stop < r->params.steps ? stop : r->params.steps;
    progress bar;
    hn_status st = HN_OK;

    app_catch_interrupts();
    HN_TRY(measure(r));
    progress_begin(&bar, "train", last, hn_trainer_steps_done(r->trainer), r->per_step, r->unit);
    while (st == HN_OK && hn_trainer_steps_done(r->trainer) < last && !app_interrupted())
        st = one_step(r, &bar, last);
    progress_end(&bar);
    return st == HN_OK ? save(r) : st;
}

// What helps where memory does not: said once, by the command that has the options.
static hn_status with_advice(const train_run *r, hn_status s)
{
    const bool full = s == HN_ERR_NOMEM && r->o->from && !r->o->lora;
    return full ? hn_context(s, "too large for this device (%s--lora 8 takes less)",
                             r->o->freeze ? "" : "--freeze embed or ")
                : s;
}

static hn_status open_trainer(train_run *r)
{
    if (r->o->minutes > 0 && !r->o->resume)
        HN_TRY(with_advice(r, fit_steps(r)));
    if (r->o->resume)
        HN_TRY(steps_of_run(r));
    HN_TRY(with_advice(r, r->create(r, &r->trainer)));
    if (r->o->resume) {
        HN_TRY(hn_trainer_resume(r->trainer, r->o->out));
        char *path = hn__path_join(r->o->out, "log.json");
        if (path)
            recall(r, path, hn_trainer_steps_done(r->trainer));
        hn__free(path);
    }
    const hn_plan_info i = hn_plan_get_info(hn_trainer_plan(r->trainer));
    char block[32], weights[32], size[96];
    printf("parameters: %s; a step is %d dispatches over %s, beside %s of weights and moments\n",
           size_text(r, size, sizeof size), i.n_steps,
           app_bytes_text((double)(i.block_bytes + i.io_bytes), block, sizeof block),
           app_bytes_text((double)i.weight_bytes, weights, sizeof weights));
    printf("device: %s (%s)\n", hn_device_get_info(r->dev)->name, hn_device_reason(r->dev));
    return HN_OK;
}

static void say_end(const train_run *r)
{
    double sum = 0;
    int64_t n = 0;
    const int64_t done = hn_trainer_steps_done(r->trainer);
    for (int64_t i = r->n_loss - 1; i >= 0 && n < 20 && isfinite(r->loss[i]); i--, n++)
        sum += r->loss[i];
    printf("step %lld of %lld: loss %.4f (mean of the last %lld), %.*f %s/s\n", (long long)done,
           (long long)r->params.steps, n ? sum / (double)n : NAN, (long long)n,
           speed(r) < 10 ? 2 : 0, speed(r), r->unit);
    if (scales(r) && r->here)
        printf("loss scale %g; %g steps left out after an overflow\n", r->scale, r->overflows);
    printf("saved in %s (report.html shows the curve)\n", r->o->out);
    if (done < r->params.steps)
        printf("to go on: the same command with --resume\n");
}

hn_status train_go(train_run *r)
{
    HN_TRY(open_trainer(r));
    HN_TRY(loop(r));
    say_end(r);
    return HN_OK;
}
