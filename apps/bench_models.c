// hornito bench models: whole models, each with its result checked in the same run: the training
// step of bench step, Whisper base on a recording, SmolLM2 on a text, and tokens of a Llama of a
// billion drawn weights.
#include "bench.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/os.h"
#include "bench_llama.h"
#include "bench_reference.h"
#include "bench_step.h"
#include "hornito/lm.h"

enum { MOST_ROWS = 12, PROMPT = 512, MADE = 64 };

typedef struct model_row {
    const char *name, *unit; // of what a run makes
    double amount;           // of it in a run
    double seconds[BENCH_MOST_REPEATS];
    bench_stats wall;
    double weight_bytes; // that a run reads; 0: not counted
    char check[160];    // what was compared; empty: not measured
    char not_here[256]; // why there is no figure, where a model or its data are missing
    char failed[512];
} model_row;

typedef struct models {
    bench_options bench;
    char *only, *data;
    int small;
    hn_device *dev;
    model_row row[MOST_ROWS];
    int n_rows;
} models;

static model_row *add_row(models *m, const char *name, const char *unit)
{
    model_row *r = &m->row[m->n_rows++];
    *r = (model_row){ .name = name, .unit = unit };
    return r;
}

static void summarise(const models *m, model_row *r, double amount, const char *check)
{
    r->amount = amount;
    r->wall = bench_summary(r->seconds, m->bench.repeats);
    snprintf(r->check, sizeof r->check, "%s", check);
}

static double since(uint64_t began_ns)
{
    return (double)(hn__now_ns() - began_ns) * 1e-9;
}

// ---- the training step ---------------------------------------------------------------------

static hn_status measure_step(models *m, model_row *r, hn_trainer *t, int64_t tokens)
{
    hn_train_step step;
    double error = 0;
    char check[160];

    for (int i = -m->bench.warmup; i < m->bench.repeats; i++) {
        const uint64_t began = hn__now_ns();
        HN_TRY(hn_trainer_step(t, &step));
        if (i >= 0)
            r->seconds[i] = since(began);
    }
    HN_TRY(bench_step_error(m->dev, &error));
    if (!(error <= 1e-3))
        return hn_fail(HN_ERR_DEVICE, "losses of the small model are off by %.2g", error);
    snprintf(check, sizeof check, "losses of the small model within %.2g of the reference's",
             error);
    summarise(m, r, (double)tokens, check);
    return HN_OK;
}

static hn_status bench_train(models *m, const char *path, model_row *r)
{
    hn_trainer *t;
    int32_t *text;
    int64_t tokens;
    (void)path;
    hn_status s = bench_step_trainer(m->dev, m->bench.warmup + m->bench.repeats, &t, &text,
                                     &tokens);
    if (s == HN_OK)
        s = measure_step(m, r, t, tokens);
    hn_trainer_destroy(&t);
    hn__free(text);
    return s;
}

// ---- Whisper -------------------------------------------------------------------------------

static hn_status measure_whisper(models *m, hn_whisper *w, const bench_clip *clip, model_row *r)
{
    const int64_t vocab = hn_whisper_get_config(w)->vocab;
    float *logits = hn__calloc((size_t)vocab, sizeof *logits);
    hn_status s = logits ? HN_OK : hn__nomem((size_t)vocab * sizeof *logits);
    char check[160];

    for (int i = -m->bench.warmup; s == HN_OK && i < m->bench.repeats; i++) {
        const uint64_t began = hn__now_ns();
        s = hn_whisper_encode(w, clip->mel, NULL);
        const double encoded = since(began);
        if (s == HN_OK)
            s = bench_clip_decode(clip, w, logits);
        if (i < 0)
            continue;
        r[0].seconds[i] = encoded;
        r[1].seconds[i] = since(began);
    }
    hn__free(logits);
    HN_TRY(s);
    snprintf(check, sizeof check, "%d greedy tokens are those of the f64 reference",
             clip->n_want);
    summarise(m, &r[0], 1, check);
    summarise(m, &r[1], clip->n_want, check);
    return HN_OK;
}

static hn_status bench_whisper(models *m, const char *path, model_row *r)
{
    bench_clip clip = { 0 };
    hn_whisper *w = NULL;
    hn_status s = bench_clip_open(m->data, &clip);
    if (s == HN_OK)
        s = hn_whisper_open(m->dev, path, NULL, &w);
    if (s == HN_OK)
        s = measure_whisper(m, w, &clip, r);
    hn_whisper_close(&w);
    bench_clip_close(&clip);
    return s;
}

// ---- SmolLM2 -------------------------------------------------------------------------------

// One run: `put` tokens in, then `made` by the likeliest. Tokens differ from run to run, so that
// no caches serve again.
static hn_status talk(hn_lm *lm, int64_t put, int64_t made, int run, hn_generated *out)
{
    const hn_sample_params p = { .n_tokens = made, .ignore_end = true };
    hn_ids ids = { .id = hn__calloc((size_t)(put + made + 1), sizeof *ids.id),
                   .cap = put + made + 1 };
    if (!ids.id)
        return hn__nomem((size_t)put * sizeof *ids.id);
    for (int64_t i = 0; i < put; i++)
        ids.id[ids.n++] = (int32_t)(1000 + (i * 7919 + run * 104729) % 40000);
    const hn_status s = hn_lm_continue(lm, &ids, &p, NULL, NULL, out);
    hn_ids_free(&ids);
    return s;
}

static hn_status measure_lm(models *m, hn_lm *lm, model_row *prompt, model_row *decode)
{
    hn_generated g;
    int n_tokens = 0;
    char check[160];

    for (int i = -m->bench.warmup; i < m->bench.repeats; i++) {
        const int at = i < 0 ? 0 : i;
        HN_TRY(talk(lm, PROMPT, 1, 2 * i + 9, &g));
        prompt->seconds[at] = g.prompt_ns * 1e-9;
        HN_TRY(talk(lm, 1, MADE, 2 * i + 10, &g));
        decode->seconds[at] = g.ns * 1e-9;
    }
    HN_TRY(bench_check_greedy(m->data, lm, &n_tokens));
    snprintf(check, sizeof check, "%d greedy tokens are those of the f64 reference", n_tokens);
    summarise(m, prompt, PROMPT, check);
    summarise(m, decode, MADE, check);
    return HN_OK;
}

static hn_status measure_text(models *m, hn_tokenizer *t, const char *text, size_t n, model_row *r)
{
    char check[160];
    int n_strings = 0;

    for (int i = -m->bench.warmup; i < m->bench.repeats; i++) {
        hn_ids ids = { 0 };
        const uint64_t began = hn__now_ns();
        const hn_status s = hn_tokenizer_encode(t, text, n, 0, &ids);
        if (i >= 0)
            r->seconds[i] = since(began);
        hn_ids_free(&ids);
        HN_TRY(s);
    }
    HN_TRY(bench_check_tokens(m->data, t, &n_strings));
    snprintf(check, sizeof check, "tokens of %d texts are llama.cpp's", n_strings);
    summarise(m, r, (double)n * 1e-6, check);
    return HN_OK;
}

static hn_status bench_lm(models *m, const char *path, model_row *r)
{
    hn_lm *lm = NULL;
    char *text = NULL, *file = hn__path_join(m->data, "smollm2-135m/persuasion_100k.txt");
    size_t n = 0;
    hn_status s = file ? app_read_text(file, &text, &n) : hn__nomem(64);
    if (s == HN_OK)
        s = hn_lm_open(m->dev, path, NULL, &lm);
    if (s == HN_OK)
        s = measure_lm(m, lm, &r[0], &r[1]);
    if (s == HN_OK)
        s = measure_text(m, hn_lm_get_tokenizer(lm), text, n, &r[2]);
    hn_lm_close(&lm);
    hn__free(text);
    hn__free(file);
    return s;
}

// ---- a Llama of a billion ----------------------------------------------------------------------

enum { LLAMA_CHECKED = 3 }; // tokens compared with those of the cpu device

static hn_status time_llama(models *m, hn_dtype type, float *first, model_row *r)
{
    bench_llama *l;
    hn_status s = bench_llama_create(m->dev, type, m->small, &l);
    const int64_t vocab = s ? 0 : bench_llama_vocab(l);
    float *logits = hn__calloc((size_t)vocab + 1, sizeof *logits);

    if (s == HN_OK && !logits)
        s = hn__nomem((size_t)vocab * sizeof *logits);
    for (int i = 0; s == HN_OK && i < LLAMA_CHECKED; i++)
        s = bench_llama_step(l, first + i * vocab);
    for (int i = -m->bench.warmup; s == HN_OK && i < m->bench.repeats; i++) {
        const uint64_t began = hn__now_ns();
        s = bench_llama_step(l, logits);
        if (i >= 0)
            r->seconds[i] = since(began);
    }
    if (s == HN_OK)
        r->weight_bytes = bench_llama_bytes(l);
    hn__free(logits);
    bench_llama_destroy(&l);
    return s;
}

// The first tokens on the cpu device; the largest difference of a logit.
static hn_status check_llama(const models *m, hn_dtype type, const float *first, double *error)
{
    hn_device *cpu = NULL;
    bench_llama *l = NULL;
    float *want = NULL;
    int64_t vocab = 0;

    *error = 0;
    hn_status s = app_open_other(&m->bench.dev, "cpu", &cpu);
    if (s == HN_OK)
        s = bench_llama_create(cpu, type, m->small, &l);
    if (s == HN_OK && !(want = hn__calloc((size_t)(vocab = bench_llama_vocab(l)), sizeof *want)))
        s = hn__nomem((size_t)vocab * sizeof *want);
    for (int i = 0; s == HN_OK && i < LLAMA_CHECKED; i++) {
        s = bench_llama_step(l, want);
        if (s == HN_OK)
            *error = fmax(*error, bench_error(first + i * vocab, want, vocab));
    }
    hn__free(want);
    bench_llama_destroy(&l);
    hn_device_close(&cpu);
    return hn_context(s, "check against the cpu device");
}

static hn_status bench_llama_row(models *m, hn_dtype type, model_row *r)
{
    enum { MOST_VOCAB = 1 << 17 };
    float *first = hn__calloc((size_t)LLAMA_CHECKED * MOST_VOCAB, sizeof *first);
    char check[160];
    double error = 0;

    hn_status s = first ? time_llama(m, type, first, r) : hn__nomem(MOST_VOCAB * sizeof *first);
    if (s == HN_OK)
        s = check_llama(m, type, first, &error);
    hn__free(first);
    HN_TRY(s);
    if (!(error <= 1e-3))
        return hn_fail(HN_ERR_DEVICE, "logits are off by %.2g of the cpu device's", error);
    snprintf(check, sizeof check, "logits of %d tokens within %.2g of the cpu device's",
             LLAMA_CHECKED, error);
    summarise(m, r, 1, check);
    return HN_OK;
}

static hn_status bench_billion(models *m, const char *path, model_row *r)
{
    static const hn_dtype types[] = { HN_F16, HN_Q8_0, HN_Q4_1 };
    (void)path;
    for (int i = 0; i < 3; i++)
        HN_TRY(bench_llama_row(m, types[i], &r[i]));
    return HN_OK;
}

// ---- all of them ---------------------------------------------------------------------------

typedef struct model_group {
    const char *name;  // of tools/get-models where it is one
    bool is_model;
    bool asked; // measured only where --only names it
    hn_status (*run)(models *m, const char *path, model_row *r);
    struct {
        const char *name, *unit;
    } row[3];
} model_group;

static const model_group groups[] = {
    { "training step", false, false, bench_train, { { "training step", "tokens" } } },
    { "whisper-base",
      true,
      false,
      bench_whisper,
      { { "whisper-base encode", "windows" },
        { "whisper-base encode and 27 tokens", "tokens" } } },
    { "smollm2-135m",
      true,
      false,
      bench_lm,
      { { "smollm2-135m prompt of 512", "tokens" },
        { "smollm2-135m decode", "tokens" },
        { "smollm2-135m tokenise", "MB" } } },
    { "llama-1b",
      false,
      true,
      bench_billion,
      { { "llama-1b f16 decode", "tokens" },
        { "llama-1b q8_0 decode", "tokens" },
        { "llama-1b q4_1 decode", "tokens" } } },
};
enum { N_GROUPS = sizeof groups / sizeof *groups };

static bool is_wanted(const model_group *g, const char *only)
{
    return only ? !strncmp(g->name, only, strlen(only)) : !g->asked;
}

// A model or its data that are not there are no failure: each row says so.
static void run_group(models *m, const model_group *g)
{
    model_row *first = &m->row[m->n_rows];
    char *path = NULL;
    int n = 0;

    for (; n < 3 && g->row[n].name; n++)
        add_row(m, g->row[n].name, g->row[n].unit);
    hn_status s = g->is_model ? app_model_path(g->name, &path) : HN_OK;
    const bool here = s == HN_OK && (!g->is_model || hn__exists(m->data));
    if (here)
        s = g->run(m, path, first);
    for (int i = 0; i < n; i++) {
        if (s != HN_OK && (here || s != HN_ERR_IO))
            snprintf(first[i].failed, sizeof first[i].failed, "%s", hn_error_text());
        else if (!here)
            snprintf(first[i].not_here, sizeof first[i].not_here, "%s",
                     s ? "tools/get-models fetches it" : "the reference data: give --data");
    }
    hn__free(path);
}

static void print_row(const model_row *r)
{
    char text[64];
    if (*r->failed)
        printf("%-36s FAILED: %s\n", r->name, r->failed);
    else if (*r->not_here)
        printf("%-36s not here: %s\n", r->name, r->not_here);
    else
        printf("%-36s %-34s %10.4g %-9s %s\n", r->name,
               bench_text(&r->wall, text, sizeof text), r->amount / r->wall.median, r->unit,
               r->check);
}

static json_t *row_json(const model_row *r)
{
    json_t *o = app_json_object();
    app_json_set(o, "name", app_json_text(r->name));
    if (*r->failed) {
        app_json_set(o, "failed", app_json_text(r->failed));
    } else if (*r->not_here) {
        app_json_set(o, "not_here", app_json_text(r->not_here));
    } else {
        app_json_set(o, "wall", bench_json_times(&r->wall, r->seconds));
        app_json_set(o, "unit", app_json_text(r->unit));
        app_json_set(o, "amount", app_json_number(r->amount));
        app_json_set(o, "per_s", app_json_number(r->amount / r->wall.median));
        if (r->weight_bytes > 0) {
            app_json_set(o, "weight_bytes", app_json_number(r->weight_bytes));
            app_json_set(o, "gb_per_s",
                         app_json_number(r->weight_bytes / r->wall.median * 1e-9));
        }
        app_json_set(o, "check", app_json_text(r->check));
    }
    return o;
}

static void page_rows(report *page, const models *m)
{
    enum { COLUMNS = 5, CELL = 96 };
    static const char *const columns[COLUMNS] = { "model", "median (quartiles)", "a second",
                                                  "of", "check" };
    char cell[MOST_ROWS][2][CELL];
    const char *cells[MOST_ROWS * COLUMNS];
    for (int i = 0; i < m->n_rows; i++) {
        const model_row *r = &m->row[i];
        const bool measured = !*r->failed && !*r->not_here;
        snprintf(cell[i][0], CELL, "%s", *r->failed ? "failed" : "not here");
        snprintf(cell[i][1], CELL, "%.4g", measured ? r->amount / r->wall.median : 0);
        if (measured)
            bench_text(&r->wall, cell[i][0], CELL);
        const char *const row[COLUMNS] = { r->name, cell[i][0], measured ? cell[i][1] : NULL,
                                           measured ? r->unit : NULL,
                                           *r->failed     ? r->failed
                                           : *r->not_here ? r->not_here
                                                          : r->check };
        memcpy(&cells[i * COLUMNS], row, sizeof row);
    }
    report_section(page, "Whole models");
    report_table(page, columns, COLUMNS, cells, m->n_rows);
}

static int conclude(models *m)
{
    json_t *root = bench_head("bench models", m->dev), *rows = app_json_array();
    app_json_set(root, "small", json_boolean(m->small));
    report *page = m->bench.html ? bench_page("Whole models", m->dev) : NULL;
    for (int i = 0; i < m->n_rows; i++)
        app_json_add(rows, row_json(&m->row[i]));
    app_json_set(root, "models", rows);
    if (page)
        page_rows(page, m);
    const int rc = bench_write(&m->bench, root, &page);
    for (int i = 0; !rc && i < m->n_rows; i++)
        if (*m->row[i].failed)
            return app_error("%s: %s", m->row[i].name, m->row[i].failed);
    return rc;
}

static int run(models *m)
{
    int rc = app_fail(app_open_device(&m->bench.dev, &m->dev));
    if (!rc) {
        if (bench_prints(&m->bench))
            printf("%s: %s %s\n\n", hn_device_get_info(m->dev)->spec,
                   hn_device_get_info(m->dev)->name, hn_device_get_info(m->dev)->driver);
        for (int i = 0; i < N_GROUPS; i++) {
            const int first = m->n_rows;
            if (!is_wanted(&groups[i], m->only))
                continue;
            run_group(m, &groups[i]);
            for (int k = first; k < m->n_rows && bench_prints(&m->bench); k++)
                print_row(&m->row[k]);
            fflush(stdout);
        }
        rc = conclude(m);
    }
    return app_close_device(&m->dev, rc);
}

static int usage(const models *m)
{
    for (int i = 0; i < N_GROUPS; i++)
        if (is_wanted(&groups[i], m->only))
            return bench_usage(&m->bench);
    return app_usage("--only %s: there are 'training step', 'whisper-base', 'smollm2-135m', "
                     "'llama-1b'", m->only);
}

int app_bench_models(int argc, const char **argv)
{
    models *m = hn__calloc(1, sizeof *m);
    if (!m)
        return app_fail(hn__nomem(sizeof *m));
    m->bench.repeats = BENCH_LEAST_REPEATS;
    m->bench.warmup = 1;
    const struct poptOption options[] = {
        { "only", 0, POPT_ARG_STRING, &m->only, 0, 
          "those whose names begin so; llama-1b, a billion drawn weights, only then", "NAME" },
        { "small", 0, POPT_ARG_NONE, &m->small, 0, "two layers of llama-1b", NULL },
        { "data", 0, POPT_ARG_STRING, &m->data, 0,
          "where the recording, the texts and their tokens are (tests/data/reference)", "DIR" },
        BENCH_OPTIONS(m->bench),
        APP_DEVICE_OPTIONS(m->bench.dev),
        APP_COMMON_OPTIONS,
    };
    app_args args;
    int rc = app_begin(argc, argv, options, &args);
    char *given = m->data;
    m->data = given ? given : (char *)HORNITO_REFERENCE;
    if (rc < 0)
        rc = usage(m);
    if (rc < 0)
        rc = run(m);
    m->data = given; // what app_end frees
    rc = app_end(&args, rc);
    hn__free(m);
    return rc;
}
