// hornito lm generate, lm eval, lm compare: using a trained model.
#include "app.h"
#include "json.h"
#include "progress.h"

#include "base/os.h"
#include "hornito/lm.h"
#include "io/text.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

// `activations` is the word of that option, or NULL.
static hn_status open_model(const char *path, const char *activations,
                            const app_device_options *o, hn_device **dev, hn_lm **m)
{
    hn_lm_open_params p = { 0 };
    char *found;

    *m = NULL;
    HN_TRY(app_read_activations(activations, &p.i8));
    HN_TRY(app_model_path(path, &found));
    hn_status s = app_open_device(o, dev);
    if (s == HN_OK)
        s = hn_lm_open(*dev, found, &p, m);
    hn__free(found);
    return s;
}

// ---- generate ------------------------------------------------------------------------------

typedef struct generate_options {
    char *model, *prompt, *file; // the prompt, or the file that holds it
    char *activations;
    int special, stats, ignore_end;
    app_sampling draw;
    hn_sample_params sample;
} generate_options;

static bool print_bytes(void *user, const void *bytes, size_t n)
{
    bool *broken = user;
    *broken = fwrite(bytes, 1, n, stdout) != n || fflush(stdout);
    return !*broken && !app_interrupted();
}

static void print_stats(const hn_generated *d)
{
    const double prompt = d->prompt_ns / 1e9, s = d->ns / 1e9;
    fprintf(stderr,
            "prompt: %lld tokens in %.2f s, %.1f a second; made: %lld in %.2f s, %.1f a second\n",
            (long long)d->prompt_tokens, prompt,
            prompt > 0 ? (double)d->prompt_tokens / prompt : 0, (long long)d->tokens, s,
            s > 0 ? (double)d->tokens / s : 0);
}

// What is made of a prompt of n bytes. The newline says that the text is whole.
static int generate_from(const generate_options *g, const char *prompt, size_t n,
                         const app_device_options *o)
{
    hn_device *dev = NULL;
    hn_lm *m = NULL;
    hn_generated done;
    bool broken = false;
    hn_status s = open_model(g->model, g->activations, o, &dev, &m);

    app_catch_interrupts();
    if (s == HN_OK)
        s = hn_lm_generate(m, prompt, n, &g->sample, print_bytes, &broken, &done);
    if (s == HN_OK)
        printf("\n");
    if (s == HN_OK && g->stats)
        print_stats(&done);
    int rc = app_fail(s);
    if (rc == 0 && broken)
        rc = app_error("cannot write to standard output");
    hn_lm_close(&m);
    return app_close_device(&dev, rc);
}

static int generate(generate_options *g, const app_device_options *o)
{
    char *text = NULL;
    size_t n = 0;

    if (!g->model || !g->prompt == !g->file)
        return app_usage("--model and one of --prompt and --prompt-file are needed");
    const int wrong = app_read_sampling(&g->draw, &g->sample);
    if (wrong)
        return wrong;
    g->sample.ignore_end = g->ignore_end;
    g->sample.flags = g->special ? HN_ENCODE_SPECIAL : 0;
    if (!g->file)
        return generate_from(g, g->prompt, strlen(g->prompt), o);
    const hn_status s = app_read_text(g->file, &text, &n);
    const int rc = s ? app_fail(s) : generate_from(g, text, n, o);
    hn__free(text);
    return rc;
}

int app_lm_generate(int argc, const char **argv)
{
    app_device_options dev = { 0 };
    generate_options g = { .draw = { .tokens = 100, .temperature = 0.8, .seed = 1 } };
    const struct poptOption table[] = {
        APP_MODEL_OPTION(g.model),
        { "prompt", 'p', POPT_ARG_STRING, &g.prompt, 0, "the text to go on with; may be empty",
          "TEXT" },
        { "prompt-file", 0, POPT_ARG_STRING, &g.file, 0, "the file that holds it (-: stdin)",
          "FILE" },
        { "special", 0, POPT_ARG_NONE, &g.special, 0,
          "special tokens written in the prompt are meant as such", NULL },
        APP_SAMPLING_OPTIONS(g.draw, "at most"),
        { "ignore-eos", 0, POPT_ARG_NONE, &g.ignore_end, 0, "go on after the end token", NULL },
        APP_ACTIVATIONS_OPTION(g.activations),
        { "stats", 0, POPT_ARG_NONE, &g.stats, 0, "tokens a second, to stderr", NULL },
        APP_DEVICE_OPTIONS(dev),
        APP_COMMON_OPTIONS,
    };
    app_args args;
    int rc = app_begin(argc, argv, table, &args);
    if (rc < 0)
        rc = generate(&g, &dev);
    return app_end(&args, rc);
}

// ---- eval ----------------------------------------------------------------------------------

static void show_progress(void *user, int64_t done, int64_t all)
{
    progress *bar = user;
    if (!bar->what)
        progress_begin(bar, "eval", all, 0, 1, "tokens");
    progress_update(bar, done, NULL);
}

static int print_score(const hn_score *r, bool json)
{
    const double bits = r->nats / log(2) / (double)r->bytes, nats = r->nats / (double)r->tokens;

    if (json) {
        json_t *o = app_json_object();
        app_json_set(o, "perplexity", app_json_number(exp(nats)));
        app_json_set(o, "bits_per_byte", app_json_number(bits));
        app_json_set(o, "nats_per_token", app_json_number(nats));
        app_json_set(o, "tokens", app_json_int(r->tokens));
        app_json_set(o, "bytes", app_json_int(r->bytes));
        return app_json_write(o, "-");
    }
    printf("%.4f bits per byte, perplexity %.3f, %lld tokens, %lld bytes\n", bits, exp(nats),
           (long long)r->tokens, (long long)r->bytes);
    return APP_DONE;
}

typedef struct eval_options {
    char *model, *activations;
    int json;
    hn_score_params score;
} eval_options;

static int eval(const eval_options *e, const char *file, const app_device_options *o)
{
    hn_device *dev = NULL;
    hn_lm *m = NULL;
    hn__map text = { 0 };
    hn_score r;
    progress bar = { 0 };
    hn_score_params p = e->score;

    if (!e->model || !file)
        return app_usage("--model and a text file are needed");
    hn_status s = hn__text_open(file, &text);
    if (s == HN_OK)
        s = open_model(e->model, e->activations, o, &dev, &m);
    p.progress = show_progress;
    p.user = &bar;
    if (s == HN_OK)
        s = hn_context(hn_lm_score(m, text.data, text.size, &p, &r), "'%s'", file);
    if (bar.what)
        progress_end(&bar);
    const int rc = s ? app_fail(s) : print_score(&r, e->json);
    hn_lm_close(&m);
    hn__map_close(&text);
    return app_close_device(&dev, rc);
}

int app_lm_eval(int argc, const char **argv)
{
    app_device_options dev = { 0 };
    eval_options e = { 0 };
    int context = 0, stride = 0, batch = 0, half = 0;
    const struct poptOption table[] = {
        APP_MODEL_OPTION(e.model),
        { "context", 0, POPT_ARG_INT, &context, 0, "tokens of a window (0: the model's)", "N" },
        { "stride", 0, POPT_ARG_INT, &stride, 0,
          "tokens scored of each window but the first (0: all)", "N" },
        { "second-half", 0, POPT_ARG_NONE, &half, 0,
          "windows without overlap, only the second half of each scored, as llama.cpp does", NULL },
        { "batch", 0, POPT_ARG_INT, &batch, 0, "windows at a time (0: by their size)", "N" },
        APP_ACTIVATIONS_OPTION(e.activations),
        { "json", 0, POPT_ARG_NONE, &e.json, 0, "one JSON object", NULL },
        APP_DEVICE_OPTIONS(dev),
        APP_COMMON_OPTIONS,
    };
    app_args args;
    int rc = app_begin(argc, argv, table, &args);
    e.score = (hn_score_params){
        .window = context, .stride = stride, .batch = batch, .second_half = half
    };
    if (rc < 0 && args.n_rest > 1)
        rc = app_usage("one text file, not %d", args.n_rest);
    if (rc < 0 && half && stride)
        rc = app_usage("--stride does not go with --second-half");
    if (rc < 0)
        rc = eval(&e, args.n_rest ? args.rest[0] : NULL, &dev);
    return app_end(&args, rc);
}

// ---- compare -------------------------------------------------------------------------------

static hn_status logits_on(const char *path, const app_device_options *o, const char *prompt,
                           float **out, int64_t *n, char name[256])
{
    hn_device *dev = NULL;
    hn_lm *m = NULL;
    hn_ids ids = { 0 };
    hn_status s = open_model(path, NULL, o, &dev, &m);

    if (s == HN_OK)
        s = hn_tokenizer_encode(hn_lm_get_tokenizer(m), prompt, strlen(prompt), 0, &ids);
    if (s == HN_OK) {
        *n = hn_lm_get_config(m)->vocab;
        snprintf(name, 256, "%s", hn_device_get_info(dev)->name);
        *out = hn__calloc((size_t)*n, sizeof **out);
        s = *out ? hn_lm_next_logits(m, ids.id, ids.n, *out)
                 : hn__nomem((size_t)*n * sizeof **out);
    }
    hn_ids_free(&ids);
    hn_lm_close(&m);
    if (app_close_device(&dev, 0) && s == HN_OK)
        s = hn_fail(HN_ERR_DEVICE, "the validation layer had something to say");
    return s;
}

static int compare(const char *path, const char *prompt, const app_device_options *a,
                   const char *with, double tolerance)
{
    app_device_options b = *a;
    float *x = NULL, *y = NULL;
    char name_a[256] = "", name_b[256] = "";
    int64_t n = 0;

    if (!path || !prompt)
        return app_usage("--model and --prompt are needed");
    b.spec = (char *)(uintptr_t)(with ? with : "ref");
    hn_status s = logits_on(path, a, prompt, &x, &n, name_a);
    if (s == HN_OK)
        s = logits_on(path, &b, prompt, &y, &n, name_b);
    int rc = app_fail(s);
    if (s == HN_OK) {
        double most = 0, largest = 0;
        for (int64_t i = 0; i < n; i++) {
            const double off = fabs((double)x[i] - (double)y[i]);
            most = off <= most ? most : off; // a NaN is kept
            largest = fabs((double)y[i]) > largest ? fabs((double)y[i]) : largest;
        }
        printf("%lld logits on %s and on %s: largest difference %.3g (largest logit %.3g)\n",
               (long long)n, name_a, name_b, most, largest);
        if (!(most <= tolerance * (1 + largest)))
            rc = app_error("the devices disagree: %.3g is above %.3g", most,
                           tolerance * (1 + largest));
    }
    hn__free(x);
    hn__free(y);
    return rc;
}

int app_lm_compare(int argc, const char **argv)
{
    app_device_options dev = { 0 };
    char *model = NULL, *prompt = NULL, *with = NULL;
    double tolerance = 1e-3;
    const struct poptOption table[] = {
        APP_MODEL_OPTION(model),
        { "prompt", 'p', POPT_ARG_STRING, &prompt, 0, "the text after which logits are compared",
          "TEXT" },
        { "with", 0, POPT_ARG_STRING, &with, 0, "the other device (default ref)", "SPEC" },
        { "tolerance", 0, POPT_ARG_DOUBLE | POPT_ARGFLAG_SHOW_DEFAULT, &tolerance, 0,
          "of the difference, relative to 1 + the largest logit", "X" },
        APP_DEVICE_OPTIONS(dev),
        APP_COMMON_OPTIONS,
    };
    app_args args;
    int rc = app_begin(argc, argv, table, &args);
    if (rc < 0)
        rc = compare(model, prompt, &dev, with, tolerance);
    return app_end(&args, rc);
}
