// hornito bench ops: operators on the shapes that models give them.
#include "bench.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/os.h"
#include "bench_peaks.h"
#include "bench_shapes.h"
#include "ir/ir.h"
#include "plan/case.h"
#include "progress.h"

// A graph on one device, with inputs written.
typedef struct runner {
    hn_plan *plan;
    int64_t io_bytes;
} runner;

typedef struct ops_result {
    const bench_shape *shape;
    bench_stats wall;
    double device_s;  // of all steps by the device's own clock; negative: unsupported
    double bytes;     // read and written
    double roof_s;    // the least a device with the peaks measured here can take; 0: not known
    double error;     // against the reference
    char failed[512]; // why there is no figure; empty where there is one
} ops_result;

// ---- running -------------------------------------------------------------------------------

// Elements of an input: integers in [0, below), floats in [-1, 1) or, where the name begins with
// "positive", in [0, 1). The same for every device.
static hn_status write_input(hn_plan *p, const char *name, const hn_type *t, int64_t below)
{
    const int64_t n = hn_type_numel(t);
    double *x = hn__calloc((size_t)n, sizeof *x);
    void *own = hn__calloc((size_t)hn_type_bytes(t), 1);
    hn_status s = x && own ? HN_OK : hn__nomem((size_t)n * sizeof *x);
    hn_rng rng = hn__rng(1, hn__hash_string(name));
    const double lo = strncmp(name, "positive", 8) ? -1 : 0;

    for (int64_t i = 0; s == HN_OK && !hn__is_quantised(t->dtype) && i < n; i++)
        x[i] = hn__is_float(t->dtype) ? hn__rng_range(&rng, lo, 1)
                                      : (double)hn__rng_below(&rng, below);
    if (s == HN_OK && hn__is_quantised(t->dtype))
        hn__draw_blocks(&rng, t->dtype, own, n / hn_dtype_block(t->dtype));
    else if (s == HN_OK)
        hn__from_f64(t->dtype, x, own, n);
    if (s == HN_OK)
        s = hn_plan_write(p, name, own, hn_type_bytes(t));
    hn__free(x);
    hn__free(own);
    return s;
}

static hn_status prepare(const bench_shape *b, const hn_graph *g, hn_device *d, runner *r)
{
    HN_TRY(hn_plan_create(g, d, NULL, &r->plan));
    r->io_bytes = 0;
    for (int64_t i = 0; i < g->n_nodes; i++) {
        const hn__node *n = &g->nodes[i];
        if (!(n->op->flags & HN__SOURCE) || !n->name)
            continue;
        const hn_type t = g->values[n->out].type;
        HN_TRY(write_input(r->plan, n->name, &t, b->below));
        r->io_bytes += hn_type_bytes(&t);
    }
    for (int64_t i = 0; i < g->n_outputs; i++)
        r->io_bytes += hn_type_bytes(&g->values[g->outputs[i].val].type);
    return HN_OK;
}

// An output as f32 numbers, allocated.
static hn_status read_output(hn_plan *p, const char *name, const hn_type *t, float **out)
{
    const int64_t n = hn_type_numel(t);
    void *own = hn__calloc((size_t)n, (size_t)hn_dtype_size(t->dtype));
    *out = hn__calloc((size_t)n, sizeof **out);
    hn_status s =
        own && *out ? hn_plan_read(p, name, own, hn_type_bytes(t)) : hn__nomem((size_t)n * 8);
    if (s == HN_OK)
        hn__to_f32(t->dtype, own, *out, n);
    hn__free(own);
    return s;
}

static hn_status compare_output(const runner *r, const runner *ref, const char *name,
                                const hn_type *t, double *worst)
{
    float *got = NULL, *want = NULL;
    hn_status s = read_output(r->plan, name, t, &got);
    if (s == HN_OK)
        s = read_output(ref->plan, name, t, &want);
    if (s == HN_OK)
        *worst = fmax(*worst, bench_error(got, want, hn_type_numel(t)));
    hn__free(got);
    hn__free(want);
    return s;
}

// Runs both once and compares all outputs.
static hn_status compare(const bench_shape *b, const hn_graph *g, runner *r, hn_device *ref,
                         double *worst)
{
    runner oracle = { 0 };
    hn_status s = prepare(b, g, ref, &oracle);
    if (s == HN_OK)
        s = hn_plan_run(oracle.plan);
    *worst = 0;
    for (int64_t i = 0; s == HN_OK && i < g->n_outputs; i++)
        s = compare_output(r, &oracle, g->outputs[i].name, &g->values[g->outputs[i].val].type,
                           worst);
    hn_plan_destroy(&oracle.plan);
    return hn_context(s, "reference");
}

// The median of a few runs' steps by the device's own clock; negative where it has none.
static hn_status device_time(hn_plan *p, double *out_s)
{
    enum { TIMES = 5, MOST_STEPS = 64 };
    double seconds[TIMES] = { 0 };
    hn_step_time steps[MOST_STEPS];
    int n = 0;

    *out_s = -1;
    for (int k = 0; k < TIMES; k++) {
        const hn_status s = hn_plan_time(p, steps, MOST_STEPS, &n);
        if (s == HN_ERR_UNSUPPORTED)
            return HN_OK;
        HN_TRY(s);
        if (n > MOST_STEPS)
            return hn_fail(HN_ERR_UNSUPPORTED, "a plan of %d steps, at most %d are timed", n,
                           MOST_STEPS);
        for (int i = 0; i < n; i++)
            seconds[k] += steps[i].ns * 1e-9;
    }
    *out_s = bench_summary(seconds, TIMES).median;
    return HN_OK;
}

static hn_status measure(const bench_options *o, hn_plan *p, ops_result *out)
{
    double seconds[BENCH_MOST_REPEATS];

    for (int i = 0; i < o->warmup; i++)
        HN_TRY(hn_plan_run(p));
    for (int i = 0; i < o->repeats; i++) {
        const uint64_t began = hn__now_ns();
        HN_TRY(hn_plan_run(p));
        seconds[i] = (double)(hn__now_ns() - began) * 1e-9;
    }
    out->wall = bench_summary(seconds, o->repeats);
    return device_time(p, &out->device_s);
}

static hn_status bench_one(const bench_options *o, hn_device *d, hn_device *ref, ops_result *out)
{
    hn_graph *g = NULL;
    runner r = { 0 };

    hn_status s = hn_graph_create(&g);
    if (s == HN_OK) {
        bench_shape_build(out->shape, g);
        s = hn_graph_status(g);
    }
    if (s == HN_OK)
        s = prepare(out->shape, g, d, &r);
    if (s == HN_OK)
        s = measure(o, r.plan, out);
    if (s == HN_OK)
        s = compare(out->shape, g, &r, ref, &out->error);
    if (s == HN_OK && !(out->error <= out->shape->tolerance))
        s = hn_fail(HN_ERR_DEVICE,
                    "wrong result: off by %.2g of what the reference gives, %.2g is allowed",
                    out->error, out->shape->tolerance);
    out->bytes = (double)r.io_bytes;
    hn_plan_destroy(&r.plan);
    hn_graph_destroy(&g);
    return s;
}

// ---- saying --------------------------------------------------------------------------------

enum { OPS_COLUMNS = 7, CELL = 64, MOST_SHAPES = 128 };

static const char *const columns[OPS_COLUMNS] = { "operator",  "shape", "median (quartiles)",
                                                  "on device", "GB/s",  "GFLOP/s",
                                                  "of roof" };

// The time that rates are of: the device's own where it has one.
static double rate_time(const ops_result *r)
{
    return r->device_s > 0 ? r->device_s : r->wall.median;
}

static void fill_cells(const ops_result *r, char cell[OPS_COLUMNS][CELL])
{
    const double s = rate_time(r);
    snprintf(cell[0], CELL, "%s", r->shape->name);
    snprintf(cell[1], CELL, "%s", r->shape->shape);
    bench_text(&r->wall, cell[2], CELL);
    if (r->device_s < 0)
        snprintf(cell[3], CELL, "unsupported");
    else
        snprintf(cell[3], CELL, "%.3f ms", r->device_s * 1e3);
    snprintf(cell[4], CELL, "%.2f", r->bytes / s * 1e-9);
    if (r->shape->flop > 0)
        snprintf(cell[5], CELL, "%.1f", r->shape->flop / s * 1e-9);
    else
        cell[5][0] = 0;
    if (r->roof_s > 0)
        snprintf(cell[6], CELL, "%.1f %%", 100 * r->roof_s / s);
    else
        snprintf(cell[6], CELL, "unsupported");
}

static void print_row(const ops_result *r)
{
    char cell[OPS_COLUMNS][CELL];
    if (*r->failed) {
        printf("%-24s %-22s  FAILED: %s\n", r->shape->name, r->shape->shape, r->failed);
        return;
    }
    fill_cells(r, cell);
    printf("%-24s %-22s %32s %13s %8s %8s %8s\n", cell[0], cell[1], cell[2], cell[3], cell[4],
           cell[5], cell[6]);
}

static void print_head(const hn_device *d, const bench_peaks *peaks)
{
    const hn_device_info *i = hn_device_get_info(d);
    const double fma = bench_peak_rate(peaks, PEAK_FMA_F32),
                 copy = bench_peak_rate(peaks, PEAK_COPY);
    printf("%s: %s %s\n", i->spec, i->name, i->driver);
    if (fma > 0 && copy > 0)
        printf("roof: %.4g GFLOP/s of f32 on registers, %.4g GB/s of a copy (read and written)\n",
               fma * 1e-9, copy * 1e-9);
    printf("\n%-24s %-22s %32s %13s %8s %8s %8s\n", columns[0], columns[1], columns[2], columns[3],
           columns[4], columns[5], columns[6]);
}

static json_t *row_json(const ops_result *r)
{
    json_t *o = app_json_object();
    app_json_set(o, "op", app_json_text(r->shape->name));
    app_json_set(o, "shape", app_json_text(r->shape->shape));
    if (*r->failed) {
        app_json_set(o, "failed", app_json_text(r->failed));
        return o;
    }
    app_json_set(o, "wall", bench_json(&r->wall));
    app_json_set(o, "device_ms",
                 r->device_s < 0 ? app_json_text("unsupported")
                                 : app_json_number(r->device_s * 1e3));
    app_json_set(o, "bytes", app_json_number(r->bytes));
    app_json_set(o, "gb_per_s", app_json_number(r->bytes / rate_time(r) * 1e-9));
    if (r->shape->flop > 0) {
        app_json_set(o, "flop", app_json_number(r->shape->flop));
        app_json_set(o, "gflop_per_s", app_json_number(r->shape->flop / rate_time(r) * 1e-9));
    }
    if (r->roof_s > 0) {
        app_json_set(o, "roof_ms", app_json_number(r->roof_s * 1e3));
        app_json_set(o, "roof_share", app_json_number(r->roof_s / rate_time(r)));
    } else {
        app_json_set(o, "roof_share", app_json_text("unsupported"));
    }
    app_json_set(o, "error", app_json_number(r->error));
    app_json_set(o, "tolerance", app_json_number(r->shape->tolerance));
    return o;
}

// Text that a page's tables and charts point at.
typedef struct page_text {
    char cell[OPS_COLUMNS][CELL], label[2 * CELL];
} page_text;

// Bars of the rates of rows that have flop, or of those that have none.
static void page_rates(report *page, const ops_result *r, int n, const page_text *text, bool flop)
{
    const char *labels[MOST_SHAPES], *const series[] = { flop ? "GFLOP/s" : "GB/s" };
    double rate[MOST_SHAPES];
    int k = 0;

    for (int i = 0; i < n && k < MOST_SHAPES; i++) {
        if (*r[i].failed || (r[i].shape->flop > 0) != flop)
            continue;
        labels[k] = text[i].label;
        rate[k++] = (flop ? r[i].shape->flop : r[i].bytes) / rate_time(&r[i]) * 1e-9;
    }
    if (k)
        report_bar_chart(page, &(report_bars){ flop ? "Products" : "The others", series[0], labels,
                                               k, series, 1, rate });
}

static void page_rows(report *page, const ops_result *r, int n)
{
    page_text *text = hn__calloc((size_t)n, sizeof *text);
    const char *cells[MOST_SHAPES * OPS_COLUMNS];

    report_section(page, "Operators");
    report_text(page,
                "Each was run %d times and compared with its f64 reference in the same run. Rates "
                "count what is "
                "read and written once; they are of the device's own clock where it has one.",
                n ? r[0].wall.n : 0);
    for (int i = 0; text && i < n; i++) {
        if (*r[i].failed) {
            snprintf(text[i].cell[0], CELL, "%s", r[i].shape->name);
            snprintf(text[i].cell[1], CELL, "%s", r[i].shape->shape);
            snprintf(text[i].cell[2], CELL, "failed");
        } else {
            fill_cells(&r[i], text[i].cell);
        }
        for (int c = 0; c < OPS_COLUMNS; c++)
            cells[i * OPS_COLUMNS + c] = text[i].cell[c];
        snprintf(text[i].label, sizeof text[i].label, "%s %s", r[i].shape->name,
                 r[i].shape->shape);
    }
    if (text) {
        page_rates(page, r, n, text, true);
        page_rates(page, r, n, text, false);
        report_table(page, columns, OPS_COLUMNS, cells, n);
    }
    hn__free(text);
}

// ---- the command ---------------------------------------------------------------------------

static int run_all(const bench_options *o, const char *only, hn_device *d, hn_device *ref,
                   const bench_peaks *peaks, ops_result *out, int *n_failed)
{
    progress p;
    int n = 0;

    progress_begin(&p, "bench ops", bench_n_shapes, 0, 1, "operators");
    for (int i = 0; i < bench_n_shapes && !app_interrupted(); i++) {
        if (only && strcmp(only, bench_shapes[i].name))
            continue;
        ops_result *r = &out[n++];
        *r = (ops_result){ .shape = &bench_shapes[i] };
        progress_update(&p, i, r->shape->name);
        if (bench_one(o, d, ref, r)) {
            snprintf(r->failed, sizeof r->failed, "%s", hn_error_text());
            ++*n_failed;
        }
        r->roof_s = bench_roof(peaks, r->shape->flop, r->bytes);
        progress_hide();
        if (bench_prints(o))
            print_row(r);
        fflush(stdout);
    }
    progress_end(&p);
    return n;
}

static int conclude(const bench_options *o, hn_device *d, const bench_peaks *peaks,
                    const ops_result *r, int n, int n_failed)
{
    json_t *root = bench_head("bench ops", d), *rows = app_json_array();
    report *page = o->html ? bench_page("Operators on model shapes", d) : NULL;

    for (int i = 0; i < n; i++)
        app_json_add(rows, row_json(&r[i]));
    app_json_set(root, "peaks", bench_peaks_json(peaks));
    app_json_set(root, "ops", rows);
    app_json_set(root, "interrupted", json_boolean(app_interrupted()));
    if (page)
        page_rows(page, r, n);
    const int rc = bench_write(o, root, &page);
    if (rc)
        return rc;
    for (int i = 0; i < n; i++)
        if (*r[i].failed)
            return app_error("%d of %d failed, first %s %s: %s", n_failed, n, r[i].shape->name,
                             r[i].shape->shape, r[i].failed);
    return app_interrupted()
               ? app_error("interrupted after %d operators; run it again for the others", n)
               : APP_DONE;
}

static int ops(const bench_options *o, const char *only)
{
    hn_device *d = NULL, *ref = NULL;
    bench_peaks peaks;
    int rc, n_failed = 0;

    rc = app_fail(app_open_device(&o->dev, &d));
    if (!rc)
        rc = app_fail(hn_device_open(&(hn_device_params){ .spec = "ref" }, &ref));
    ops_result *results = rc ? NULL : hn__calloc((size_t)bench_n_shapes, sizeof *results);
    if (!rc && !results)
        rc = app_fail(hn__nomem((size_t)bench_n_shapes * sizeof *results));
    if (!rc)
        rc = app_fail(bench_peaks_measure(d, 1u << PEAK_FMA_F32 | 1u << PEAK_COPY, &peaks));
    if (!rc) {
        app_catch_interrupts();
        if (bench_prints(o))
            print_head(d, &peaks);
        const int n = run_all(o, only, d, ref, &peaks, results, &n_failed);
        rc = conclude(o, d, &peaks, results, n, n_failed);
    }
    hn__free(results);
    app_close_device(&ref, rc);
    return app_close_device(&d, rc);
}

static int ops_usage(const char *only)
{
    const char *names[MOST_SHAPES];
    int n = 0;
    for (int i = 0; only && i < bench_n_shapes && n < MOST_SHAPES; i++) {
        if (!strcmp(bench_shapes[i].name, only))
            return -1;
        names[n++] = bench_shapes[i].name;
    }
    if (!only)
        return -1;
    const int near = app_nearest(only, names, n);
    return app_usage("--op %s: not measured here%s%s", only, near < 0 ? "" : "; did you mean ",
                     near < 0 ? "" : names[near]);
}

int app_bench_ops(int argc, const char **argv)
{
    bench_options o = { .repeats = 20, .warmup = 3 };
    char *only = NULL;
    const struct poptOption options[] = {
        { "op", 0, POPT_ARG_STRING, &only, 0, "this operator only", "NAME" },
        BENCH_OPTIONS(o),
        APP_DEVICE_OPTIONS(o.dev),
        APP_COMMON_OPTIONS,
    };
    app_args args;
    int rc = app_begin(argc, argv, options, &args);
    if (rc < 0)
        rc = bench_usage(&o);
    if (rc < 0)
        rc = ops_usage(only);
    if (rc < 0)
        rc = ops(&o, only);
    return app_end(&args, rc);
}
