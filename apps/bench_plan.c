// hornito bench plan: what plans take of memory, beside what was predicted and beside the least.
#include "bench.h"

#include <stdio.h>
#include <string.h>

#include "base/os.h"
#include "hornito/train.h"

// A graph that models make.
typedef struct plan_case {
    const char *name;
    hn_lm_family family;
    hn_lm_head head;
    bool tied;
    bool training;
    int64_t batch, length;
} plan_case;

static const plan_case cases[] = {
    { "gpt2, training, 4 x 256", HN_LM_GPT2, HN_HEAD_DENSE, true, true, 4, 256 },
    { "gpt2, training, 1 x 64", HN_LM_GPT2, HN_HEAD_DENSE, true, true, 1, 64 },
    { "gpt2, scoring, 4 x 256", HN_LM_GPT2, HN_HEAD_DENSE, true, false, 4, 256 },
    { "llama, training, 4 x 256", HN_LM_LLAMA, HN_HEAD_DENSE, false, true, 4, 256 },
    { "llama, scoring, 4 x 256", HN_LM_LLAMA, HN_HEAD_DENSE, false, false, 4, 256 },
    { "llama, codebook, training", HN_LM_LLAMA, HN_HEAD_VQ, false, true, 4, 256 },
    { "llama, codebook, scoring", HN_LM_LLAMA, HN_HEAD_VQ, false, false, 4, 256 },
};
enum { N_CASES = sizeof cases / sizeof *cases };

typedef struct plan_result {
    hn_plan_info info, predicted;
    int64_t allocated; // bytes that the device held more once the plan was made
    double seconds;    // to make it
} plan_result;

// ---- measuring -----------------------------------------------------------------------------

static hn_lm_config config(const plan_case *c)
{
    return (hn_lm_config){ .family = c->family,
                           .vocab = 4096,
                           .width = 256,
                           .layers = 4,
                           .heads = 4,
                           .kv_heads = 4,
                           .ffn = 1024,
                           .context = 256,
                           .eps = 1e-5f,
                           .rope_base = 10000,
                           .act = HN_ACT_GELU,
                           .tied = c->tied,
                           .head = c->head,
                           .codes = c->head == HN_HEAD_VQ ? 512 : 0 };
}

static hn_status build(const plan_case *c, hn_graph *g)
{
    const hn_lm_config m = config(c);
    const hn_type span = { HN_I32, 2, { c->batch, c->length } };
    const hn_val ids = hn_input(g, "ids", span), targets = hn_input(g, "targets", span);
    const hn_val losses = hn_lm_loss(g, &m, hn_lm_hidden(g, &m, ids, NULL), targets);

    if (!c->training) {
        hn_output(g, "losses", losses);
        return hn_graph_status(g);
    }
    const hn_optimizer_params p = { .adamw = { 0.9f, 0.999f, 1e-8f, 0.01f }, .clip = 1 };
    const hn_val lr = hn_input(g, "lr", (hn_type){ HN_F32, 1, { 1 } }),
                 loss = hn_mean_all(g, losses);
    hn_optimizer_out o;
    HN_TRY(hn_optimize(g, loss, lr, &p, &o));
    hn_output(g, "loss", loss);
    hn_output(g, "grad_norm", o.grad_norm);
    return hn_graph_status(g);
}

static hn_status measure_plan(hn_device *d, const hn_graph *g, hn_weights *w, plan_result *out)
{
    const hn_plan_params params = { .weights = w };
    hn_plan *p = NULL;

    HN_TRY(hn_plan_predict(g, d, &params, &out->predicted));
    const int64_t before = hn_device_bytes(d);
    const uint64_t began = hn__now_ns();
    HN_TRY(hn_plan_create(g, d, &params, &p));
    out->seconds = (double)(hn__now_ns() - began) * 1e-9;
    out->allocated = hn_device_bytes(d) - before;
    out->info = hn_plan_get_info(p);
    hn_plan_destroy(&p);
    return HN_OK;
}

static hn_status measure(hn_device *d, const plan_case *c, plan_result *out)
{
    hn_graph *g = NULL;
    hn_weights *w = NULL;

    hn_status s = hn_graph_create(&g);
    if (s == HN_OK)
        s = build(c, g);
    if (s == HN_OK)
        s = hn_weights_create(d, &w);
    if (s == HN_OK)
        s = hn_weights_add(w, g, 1);
    if (s == HN_OK)
        s = measure_plan(d, g, w, out);
    hn_weights_destroy(&w);
    hn_graph_destroy(&g);
    return hn_context(s, "%s", c->name);
}

static int64_t predicted_bytes(const plan_result *r)
{
    return r->predicted.block_bytes + r->predicted.io_bytes;
}

// The block by the largest set of values alive together, which no placement can go below.
static double over_bound(const plan_result *r)
{
    return r->info.live_bytes ? (double)r->info.block_bytes / (double)r->info.live_bytes : 1;
}

// What the foundation promises of memory.
static hn_status check(const plan_case *c, const plan_result *r)
{
    if (predicted_bytes(r) != r->allocated)
        return hn_fail(HN_ERR_DEVICE, "%s: %lld bytes were predicted, %lld allocated", c->name,
                       (long long)predicted_bytes(r), (long long)r->allocated);
    if (over_bound(r) > 1.15)
        return hn_fail(HN_ERR_DEVICE,
                       "%s: placement takes %.3f times the largest live set, 1.15 is allowed",
                       c->name, over_bound(r));
    return HN_OK;
}

// ---- saying --------------------------------------------------------------------------------

enum { COLUMNS = 8, CELL = 64 };
static const char *const columns[COLUMNS] = { "plan",  "predicted bytes", "allocated bytes",
                                              "block", "least",           "block / least",
                                              "steps", "made in" };

static void fill_cells(const plan_case *c, const plan_result *r, char cell[COLUMNS][CELL])
{
    snprintf(cell[0], CELL, "%s", c->name);
    snprintf(cell[1], CELL, "%lld", (long long)predicted_bytes(r));
    snprintf(cell[2], CELL, "%lld", (long long)r->allocated);
    app_bytes_text((double)r->info.block_bytes, cell[3], CELL);
    app_bytes_text((double)r->info.live_bytes, cell[4], CELL);
    snprintf(cell[5], CELL, "%.4f", over_bound(r));
    snprintf(cell[6], CELL, "%d of %d", r->info.n_steps, r->info.n_ops);
    app_time_text(r->seconds, cell[7], CELL);
}

static void print_row(char cell[COLUMNS][CELL])
{
    printf("%-27s %16s %16s %10s %10s %14s %12s %9s\n", cell[0], cell[1], cell[2], cell[3],
           cell[4], cell[5], cell[6], cell[7]);
}

static json_t *case_json(const plan_case *c, const plan_result *r)
{
    json_t *o = app_json_object();
    app_json_set(o, "plan", app_json_text(c->name));
    app_json_set(o, "predicted_bytes", app_json_int(predicted_bytes(r)));
    app_json_set(o, "allocated_bytes", app_json_int(r->allocated));
    app_json_set(o, "block_bytes", app_json_int(r->info.block_bytes));
    app_json_set(o, "live_bytes", app_json_int(r->info.live_bytes));
    app_json_set(o, "io_bytes", app_json_int(r->info.io_bytes));
    app_json_set(o, "weight_bytes", app_json_int(r->info.weight_bytes));
    app_json_set(o, "block_by_live", app_json_number(over_bound(r)));
    app_json_set(o, "steps", app_json_int(r->info.n_steps));
    app_json_set(o, "operators", app_json_int(r->info.n_ops));
    app_json_set(o, "made_in_ms", app_json_number(r->seconds * 1e3));
    return o;
}

static report *make_page(const hn_device *d, const plan_result r[])
{
    char text[N_CASES][COLUMNS][CELL];
    const char *cells[N_CASES * COLUMNS], *names[N_CASES];
    const char *const series[] = { "block", "largest live set" };
    double mib[2 * N_CASES];
    report *page = bench_page("Plans and their memory", d);

    for (int i = 0; i < N_CASES; i++) {
        fill_cells(&cases[i], &r[i], text[i]);
        for (int c = 0; c < COLUMNS; c++)
            cells[i * COLUMNS + c] = text[i][c];
        names[i] = cases[i].name;
        mib[i] = (double)r[i].info.block_bytes / 0x1p20;
        mib[N_CASES + i] = (double)r[i].info.live_bytes / 0x1p20;
    }
    report_section(page, "Memory");
    report_text(
        page,
        "Predicted before anything is allocated; the block holds activations and scratch, and no "
        "placement can be smaller than the largest set of them alive together.");
    report_table(page, columns, COLUMNS, cells, N_CASES);
    report_bar_chart(page, &(report_bars){ "Placement", "MiB", names, N_CASES, series, 2, mib });
    return page;
}

static int conclude(const bench_options *o, hn_device *d, const plan_result r[])
{
    json_t *root = bench_head("bench plan", d), *rows = app_json_array();
    report *page = o->html ? make_page(d, r) : NULL;
    char cell[COLUMNS][CELL];

    for (int c = 0; c < COLUMNS; c++)
        snprintf(cell[c], CELL, "%s", columns[c]);
    if (bench_prints(o))
        print_row(cell);
    for (int i = 0; i < N_CASES; i++) {
        fill_cells(&cases[i], &r[i], cell);
        if (bench_prints(o))
            print_row(cell);
        app_json_add(rows, case_json(&cases[i], &r[i]));
    }
    app_json_set(root, "plans", rows);
    int rc = bench_write(o, root, &page);
    for (int i = 0; !rc && i < N_CASES; i++)
        rc = app_fail(check(&cases[i], &r[i]));
    return rc;
}

// ---- the command ---------------------------------------------------------------------------

static int plan(const bench_options *o)
{
    plan_result results[N_CASES] = { { .seconds = 0 } };
    hn_device *d = NULL;

    int rc = app_fail(app_open_device(&o->dev, &d));
    for (int i = 0; !rc && i < N_CASES; i++)
        rc = app_fail(measure(d, &cases[i], &results[i]));
    if (!rc)
        rc = conclude(o, d, results);
    return app_close_device(&d, rc);
}

int app_bench_plan(int argc, const char **argv)
{
    bench_options o = { .repeats = BENCH_LEAST_REPEATS, .warmup = 1 };
    const struct poptOption options[] = {
        BENCH_FILE_OPTIONS(o),
        APP_DEVICE_OPTIONS(o.dev),
        APP_COMMON_OPTIONS,
    };
    app_args args;
    int rc = app_begin(argc, argv, options, &args);
    if (rc < 0)
        rc = plan(&o);
    return app_end(&args, rc);
}
