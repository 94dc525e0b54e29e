// hornito lm train: a language model from text files, with checkpoints and a report.
#include "app.h"
#include "json.h"
#include "lm_data.h"
#include "progress.h"
#include "report.h"

#include "base/os.h"
#include "hornito/train.h"
#include "io/checkpoint.h"
#include "io/json.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

typedef struct options {
    app_device_options dev;
    char *out, *tokenizer, *family, *head, *act;
    int vocab, width, layers, heads, kv_heads, ffn, context, codes, token_bias, untied;
    int batch, length, steps, warmup, save_every, stop_after, resume, scale_loss;
    double minutes, lr, lr_end, decay, clip, dropout, beta1, beta2;
    long long seed;
} options;

static const options defaults = {
    .vocab = 4096,
    .width = 256,
    .layers = 4,
    .heads = 4,
    .context = 256,
    .codes = 1024,
    .batch = 8,
    .steps = 1000,
    .warmup = -1,
    .save_every = 500,
    .lr = 1e-3,
    .lr_end = 1e-4,
    .decay = 0.1,
    .clip = 1,
    .beta1 = 0.9,
    .beta2 = 0.95,
    .seed = 1,
};

// The run: what the command holds while it trains.
typedef struct session {
    const options *o;
    char *from; // of a run that goes on: the folder of its newest good checkpoint
    hn_device *dev;
    lm_data data;
    hn_train_params params;
    hn_trainer *trainer;
    double *loss; // by step, from 1; NaN where it is not known
    int64_t n_loss, cap_loss;
    double seconds; // of this run's steps
    int64_t here;   // steps of this run
} session;

// ---- text and tokens -----------------------------------------------------------------------

// Finding the newest good checkpoint reads all of it, so it is done once.
static hn_status find_checkpoint(session *s)
{
    int64_t step;
    return s->o->resume ? hn__checkpoint_latest(s->o->out, &s->from, &step) : HN_OK;
}

// A run that goes on has its tokenizer in the checkpoint.
static hn_status read_data(session *s, const char **files, int n)
{
    lm_data_options o = { s->o->tokenizer, s->o->vocab };

    if (s->from)
        o.tokenizer = s->from;
    else if (!o.tokenizer && n == 1 && hn__is_dir(files[0]))
        o.tokenizer = files[0]; // shards with their tokenizer, as lm tokenize writes them
    return lm_data_read(files, n, &o, &s->data);
}

// ---- settings ------------------------------------------------------------------------------

static bool is(const char *given, const char *word, bool otherwise)
{
    return given ? !strcmp(given, word) : otherwise;
}

// 2 (said) where a word is none of those known; 0 otherwise.
static int check_words(const options *o)
{
    if (!is(o->family, "llama", true) && !is(o->family, "gpt2", false))
        return app_usage("--family %s: use llama or gpt2", o->family);
    if (!is(o->head, "dense", true) && !is(o->head, "vq", false))
        return app_usage("--head %s: use dense or vq", o->head);
    if (!is(o->act, "gelu", true) && !is(o->act, "gelu_tanh", false))
        return app_usage("--act %s: use gelu or gelu_tanh", o->act);
    if (!o->out)
        return app_usage("--out DIR is needed: the folder of the run");
    return 0;
}

static hn_train_params make_params(const session *s)
{
    const options *o = s->o;
    const bool llama = is(o->family, "llama", true), vq = is(o->head, "vq", false);
    const int gated = (8 * o->width / 3 + 63) / 64 * 64;
    hn_train_params p = {
        .model = { .family = llama ? HN_LM_LLAMA : HN_LM_GPT2,
                   .vocab = hn_tokenizer_vocab_size(s->data.tok),
                   .width = o->width,
                   .layers = o->layers,
                   .heads = o->heads,
                   .kv_heads = o->kv_heads ? o->kv_heads : o->heads,
                   .ffn = o->ffn  ? o->ffn
                          : llama ? gated
                                  : 4 * o->width,
                   .context = o->context,
                   .eps = 1e-5f,
                   .rope_base = 10000,
                   .act = is(o->act, "gelu", true) ? HN_ACT_GELU : HN_ACT_GELU_TANH,
                   .tied = !o->untied && !vq,
                   .head = vq ? HN_HEAD_VQ : HN_HEAD_DENSE,
                   .codes = vq ? o->codes : 0,
                   .token_bias = vq && o->token_bias,
                   .dropout = (float)o->dropout },
        .optimizer = { .adamw = { (float)o->beta1, (float)o->beta2, 1e-8f, (float)o->decay },
                       .clip = (float)o->clip,
                       .scale_loss = o->scale_loss },
        .batch = o->batch,
        .length = o->length ? o->length : o->context,
        .steps = o->steps,
        .lr = (float)o->lr,
        .lr_end = (float)o->lr_end,
        .warmup = o->warmup,
        .seed = (uint64_t)o->seed,
    };
    if (o->warmup < 0)
        p.warmup = p.steps / 20 < 100 ? p.steps / 20 : 100;
    return p;
}

// --minutes: times a few steps of a throw-away trainer and sets the number of steps by it.
static hn_status fit_steps(session *s)
{
    hn_train_step r;
    hn_trainer *t;
    uint64_t start = 0;

    HN_TRY(hn_trainer_create(s->dev, &s->params, s->data.tokens.id, s->data.tokens.n, &t));
    hn_status st = HN_OK;
    for (int i = 0; st == HN_OK && i < 8; i++) {
        if (i == 3)
            start = hn__now_ns();
        st = hn_trainer_step(t, &r);
    }
    hn_trainer_destroy(&t);
    HN_TRY(st);
    const double one = (double)(hn__now_ns() - start) / 5e9;
    const double n = s->o->minutes * 60 / one;
    s->params.steps = n < 1 ? 1 : (int64_t)n;
    if (s->o->warmup < 0)
        s->params.warmup = s->params.steps / 20 < 100 ? s->params.steps / 20 : 100;
    printf("a step takes %.0f ms: %lld steps in %g minutes\n", one * 1e3,
           (long long)s->params.steps, s->o->minutes);
    return HN_OK;
}

// A run that goes on takes the number of steps (which --minutes made) from where it began.
static hn_status steps_of_run(session *s)
{
    double n, warmup;
    json_t *o = NULL;
    char *path = hn__path_join(s->from, "trainer.json");
    if (!path)
        return hn__nomem(64);
    hn_status st = hn__json_load(path, 1 << 20, &o);
    if (st == HN_OK)
        st = hn__json_real(o, path, "steps", &n);
    if (st == HN_OK)
        st = hn__json_real(o, path, "warmup", &warmup);
    if (st == HN_OK) {
        s->params.steps = (int64_t)n;
        s->params.warmup = (int64_t)warmup;
    }
    json_decref(o);
    hn__free(path);
    return st;
}

// ---- what a run leaves ---------------------------------------------------------------------

static hn_status remember(session *s, int64_t step, double loss)
{
    HN_TRY(hn__reserve((void **)&s->loss, &s->cap_loss, step, sizeof *s->loss));
    while (s->n_loss < step)
        s->loss[s->n_loss++] = NAN;
    s->loss[step - 1] = loss;
    return HN_OK;
}

// The losses of the run so far, when it goes on; a missing or foreign file is no reason to stop.
static void recall(session *s, const char *path, int64_t steps)
{
    json_t *o;
    if (hn__json_load(path, 1 << 28, &o))
        return;
    const json_t *list = json_object_get(o, "loss");
    for (int64_t i = 0; i < steps && i < (int64_t)json_array_size(list); i++) {
        const json_t *x = json_array_get(list, (size_t)i);
        if (json_is_number(x) && remember(s, i + 1, json_number_value(x)))
            break;
    }
    json_decref(o);
}

static hn_status write_log(const session *s, const char *path)
{
    json_t *o = app_json_object(), *loss = app_json_array();
    for (int64_t i = 0; i < s->n_loss; i++)
        app_json_add(loss, app_json_number(s->loss[i]));
    app_json_set(o, "device", app_json_device(hn_device_get_info(s->dev)));
    app_json_set(o, "steps", app_json_int(hn_trainer_steps_done(s->trainer)));
    app_json_set(o, "tokens_a_step", app_json_int(s->params.batch * s->params.length));
    app_json_set(
        o, "tokens_per_second",
        app_json_number(s->here && s->seconds > 0
                            ? (double)(s->here * s->params.batch * s->params.length) / s->seconds
                            : NAN));
    app_json_set(o, "loss", loss);
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

static hn_status write_report(const session *s, const char *path)
{
    const int64_t n = s->n_loss;
    double *x = hn__calloc((size_t)n + 1, sizeof *x),
           *mean = hn__calloc((size_t)n + 1, sizeof *mean);
    char size[64], speed[64], steps[64], nats[64];
    hn_status st = x && mean ? HN_OK : hn__nomem((size_t)n * sizeof *x);
    report *r = report_create("Language model training", s->o->out);

    if (st == HN_OK) {
        for (int64_t i = 0; i < n; i++)
            x[i] = (double)(i + 1);
        smooth(s->loss, n, mean);
        snprintf(size, sizeof size, "%.2f million",
                 (double)hn_lm_params_count(&s->params.model) / 1e6);
        snprintf(speed, sizeof speed, "%.0f tokens/s",
                 s->seconds > 0
                     ? (double)(s->here * s->params.batch * s->params.length) / s->seconds
                     : 0);
        snprintf(steps, sizeof steps, "%lld of %lld", (long long)n, (long long)s->params.steps);
        snprintf(nats, sizeof nats, "%.4f nats a token", n ? mean[n - 1] : NAN);
        report_pairs(r,
                     (report_pair[]){ { "Device", hn_device_get_info(s->dev)->name },
                                      { "Parameters", size },
                                      { "Steps", steps },
                                      { "Loss (smoothed)", nats },
                                      { "Speed", speed } },
                     5);
        report_section(r, "Loss");
        const report_series series[] = { { "each step", x, s->loss, n, true },
                                         { "smoothed", x, mean, n, false } };
        report_line_chart(r, &(report_lines){ .title = "Training loss",
                                              .x_label = "step",
                                              .y_label = "nats a token",
                                              .series = series,
                                              .n_series = 2 });
        st = report_write(r, path);
    }
    report_destroy(&r);
    hn__free(x);
    hn__free(mean);
    return st;
}

static hn_status write_file(const session *s, const char *name,
                            hn_status (*write)(const session *, const char *))
{
    char *path = hn__path_join(s->o->out, name);
    if (!path)
        return hn__nomem(64);
    const hn_status st = write(s, path);
    hn__free(path);
    return st;
}

static hn_status save(session *s)
{
    HN_TRY(hn_trainer_save(s->trainer, s->o->out, s->data.tok));
    HN_TRY(write_file(s, "log.json", write_log));
    return write_file(s, "report.html", write_report);
}

// ---- the run -------------------------------------------------------------------------------

static hn_status train(session *s)
{
    const int64_t last = s->o->stop_after && s->o->stop_after < s->params.steps ? s->o->stop_after
                                                                                : s->params.steps;
    const double per_step = (double)(s->params.batch * s->params.length);
    progress bar;
    hn_status st = HN_OK;

    app_catch_interrupts();
    progress_begin(&bar, "train", last, hn_trainer_steps_done(s->trainer), per_step, "tokens");
    while (st == HN_OK && hn_trainer_steps_done(s->trainer) < last && !app_interrupted()) {
        hn_train_step r;
        char note[96];
        const uint64_t start = hn__now_ns();
        st = hn_trainer_step(s->trainer, &r);
        s->seconds += (double)(hn__now_ns() - start) / 1e9;
        s->here++;
        if (st == HN_OK && !isfinite(r.loss) && !s->params.optimizer.scale_loss)
            st = hn_fail(HN_ERR_ARG,
                         "the loss of step %lld is not finite; try a lower --lr than %g",
                         (long long)r.step, (double)s->params.lr);
        if (st == HN_OK)
            st = remember(s, r.step, r.loss);
        snprintf(note, sizeof note, "loss %.4f  lr %.2e  |g| %.2f", r.loss, r.lr, r.grad_norm);
        progress_update(&bar, r.step, note);
        if (st == HN_OK && s->o->save_every > 0 && r.step % s->o->save_every == 0 && r.step < last)
            st = save(s);
    }
    progress_end(&bar);
    return st == HN_OK ? save(s) : st;
}

static hn_status begin(session *s)
{
    s->params = make_params(s);
    if (s->o->minutes > 0 && !s->o->resume)
        HN_TRY(fit_steps(s));
    if (s->o->resume)
        HN_TRY(steps_of_run(s));
    HN_TRY(
        hn_trainer_create(s->dev, &s->params, s->data.tokens.id, s->data.tokens.n, &s->trainer));
    if (s->o->resume) {
        HN_TRY(hn_trainer_resume(s->trainer, s->o->out));
        char *path = hn__path_join(s->o->out, "log.json");
        if (path)
            recall(s, path, hn_trainer_steps_done(s->trainer));
        hn__free(path);
    }
    const hn_plan_info i = hn_plan_get_info(hn_trainer_plan(s->trainer));
    char block[32], weights[32];
    printf("model: %.2f million parameters; a step is %d dispatches over %s, beside %s of weights "
           "and moments\n",
           (double)hn_lm_params_count(&s->params.model) / 1e6, i.n_steps,
           app_bytes_text((double)(i.block_bytes + i.io_bytes), block, sizeof block),
           app_bytes_text((double)i.weight_bytes, weights, sizeof weights));
    printf("device: %s (%s)\n", hn_device_get_info(s->dev)->name, hn_device_reason(s->dev));
    return HN_OK;
}

static void say_end(const session *s)
{
    double sum = 0;
    int64_t n = 0;
    const int64_t done = hn_trainer_steps_done(s->trainer);
    for (int64_t i = s->n_loss - 1; i >= 0 && n < 20 && isfinite(s->loss[i]); i--, n++)
        sum += s->loss[i];
    printf("step %lld of %lld: loss %.4f (mean of the last %lld), %.0f tokens/s\n",
           (long long)done, (long long)s->params.steps, n ? sum / (double)n : NAN, (long long)n,
           s->seconds > 0 ? (double)(s->here * s->params.batch * s->params.length) / s->seconds
                          : 0);
    printf("saved in %s (report.html shows the curve)\n", s->o->out);
    if (done < s->params.steps)
        printf("to go on: the same command with --resume\n");
}

// A new run must not mix with an old one.
static hn_status check_folder(const options *o)
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

static int run(const options *o, const char **files, int n_files)
{
    session s = { .o = o };
    const int bad = check_words(o);
    if (bad)
        return bad;
    if (!n_files)
        return app_usage("no text: name text files, or a folder of token shards");
    hn_status st = check_folder(o);
    if (st == HN_OK)
        st = find_checkpoint(&s);
    if (st == HN_OK)
        st = read_data(&s, files, n_files);
    if (st == HN_OK)
        st = app_open_device(&o->dev, &s.dev);
    if (st == HN_OK)
        st = begin(&s);
    if (st == HN_OK)
        st = train(&s);
    if (st == HN_OK)
        say_end(&s);
    int rc = app_fail(st);
    hn_trainer_destroy(&s.trainer);
    lm_data_free(&s.data);
    hn__free(s.loss);
    hn__free(s.from);
    return app_close_device(&s.dev, rc);
}

#define INT(name, at, help, arg)                                                                  \
    { name, 0, POPT_ARG_INT | POPT_ARGFLAG_SHOW_DEFAULT, &o.at, 0, help, arg }
#define REAL(name, at, help)                                                                      \
    { name, 0, POPT_ARG_DOUBLE | POPT_ARGFLAG_SHOW_DEFAULT, &o.at, 0, help, "X" }
#define WORD(name, at, help, arg)                                                                 \
    { name, 0, POPT_ARG_STRING, &o.at, 0, help, arg }

int app_lm_train(int argc, const char **argv)
{
    options o = defaults;
    const struct poptOption table[] = {
        WORD("out", out, "folder of the run: checkpoints, log.json, report.html", "DIR"),
        { "resume", 0, POPT_ARG_NONE, &o.resume, 0, "go on from the newest checkpoint in --out",
          NULL },
        WORD("tokenizer", tokenizer,
             "tokenizer.json or its folder; otherwise one is trained on the text", "PATH"),
        INT("vocab", vocab, "tokens of the tokenizer that is trained", "N"),
        WORD("family", family, "llama (the default) or gpt2", "NAME"),
        WORD("act", act, "of gpt2: gelu (the default) or gelu_tanh", "NAME"),
        INT("width", width, "of the model", "N"),
        INT("layers", layers, "blocks", "N"),
        INT("heads", heads, "of attention", "N"),
        INT("kv-heads", kv_heads, "key-value heads (0: as --heads)", "N"),
        INT("ffn", ffn, "feed-forward width (0: 8/3 of the width, gpt2 4)", "N"),
        INT("context", context, "longest sequence", "N"),
        WORD("head", head, "dense (the default) or vq: a codebook and a map", "NAME"),
        INT("codes", codes, "of a vq head", "K"),
        { "token-bias", 0, POPT_ARG_NONE, &o.token_bias, 0,
          "of a vq head: a learned bias for each token", NULL },
        { "untied", 0, POPT_ARG_NONE, &o.untied, 0, "a dense head of its own, not the embedding",
          NULL },
        REAL("dropout", dropout, "in [0, 1)"),
        INT("batch", batch, "sequences a step", "N"),
        INT("length", length, "tokens of a sequence (0: the context)", "N"),
        INT("steps", steps, "of the whole run", "N"),
        REAL("minutes", minutes, "instead of --steps: as many as fit"),
        INT("stop-after", stop_after, "stop at this step; the schedule stays that of --steps",
            "N"),
        REAL("lr", lr, "learning rate after warm-up"),
        REAL("lr-end", lr_end, "at the end of the cosine"),
        INT("warmup", warmup, "steps (-1: a twentieth, at most 100)", "N"),
        REAL("weight-decay", decay, "of matrices"),
        REAL("clip", clip, "largest norm of the gradient (0: none)"),
        REAL("beta1", beta1, "of AdamW"),
        REAL("beta2", beta2, "of AdamW"),
        { "scale-loss", 0, POPT_ARG_NONE, &o.scale_loss, 0, "dynamic loss scaling", NULL },
        { "seed", 0, POPT_ARG_LONGLONG | POPT_ARGFLAG_SHOW_DEFAULT, &o.seed, 0,
          "of weights, data order and dropout", "N" },
        INT("save-every", save_every, "steps between checkpoints (0: at the end only)", "N"),
        APP_DEVICE_OPTIONS(o.dev),
        APP_COMMON_OPTIONS,
    };
    app_args args;
    int rc = app_begin(argc, argv, table, &args);
    if (rc < 0)
        rc = run(&o, args.rest, args.n_rest);
    return app_end(&args, rc);
}
