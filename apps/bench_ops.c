// hornito bench ops: operators on the shapes that models give them.
#include "bench_kernels.h"
#include "bench_ops.h"

#include <stdio.h>
#include <string.h>

#include "base/os.h"
#include "device/vk/vk.h"
#include "ir/ir.h"
#include "progress.h"

// ---- measuring -----------------------------------------------------------------------------

double ops_time(const ops_result *r)
{
    return r->device_s > 0 ? r->device_s : r->wall.median;
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
    for (int i = 0; i < o->warmup; i++)
        HN_TRY(hn_plan_run(p));
    for (int i = 0; i < o->repeats; i++) {
        const uint64_t began = hn__now_ns();
        HN_TRY(hn_plan_run(p));
        out->seconds[i] = (double)(hn__now_ns() - began) * 1e-9;
    }
    out->wall = bench_summary(out->seconds, o->repeats);
    return device_time(p, &out->device_s);
}

static hn_status bench_one(const ops_options *o, hn_device *d, hn_device *ref, ops_result *out)
{
    hn_graph *g = NULL;
    hn_plan *p = NULL;

    hn_status s = hn_graph_create(&g);
    if (s == HN_OK) {
        bench_shape_build(out->shape, out->shape->dim, g);
        s = hn_graph_status(g);
    }
    if (s == HN_OK)
        s = hn_plan_create(g, d, NULL, &p);
    if (s == HN_OK)
        s = ops_write_inputs(out->shape, g, p, &out->bytes);
    if (s == HN_OK)
        s = measure(&o->bench, p, out);
    if (s == HN_OK)
        s = ops_check(g, p, ref, out);
    if (s == HN_OK && o->stats && !o->no_stats)
        s = bench_plan_kernels(p, &out->kernels);
    hn_plan_destroy(&p);
    hn_graph_destroy(&g);
    return s;
}

// ---- the command ---------------------------------------------------------------------------

// Operators are asked for by how their name and shape begin.
static bool is_wanted(const bench_shape *b, const char *only)
{
    char whole[128];
    snprintf(whole, sizeof whole, "%s %s", b->name, b->shape);
    return !only || !strncmp(only, whole, strlen(only));
}

// The product that a backward one ("... dx", "... dw") belongs to: its name, as much work,
// measured before. NULL: none.
static const ops_result *forward_of(const ops_result *r, const ops_result all[])
{
    const size_t n = strlen(r->shape->name);
    if (n < 3 || (strcmp(r->shape->name + n - 3, " dx") && strcmp(r->shape->name + n - 3, " dw")))
        return NULL;
    for (const ops_result *f = r - 1; f >= all; f--)
        if (!*f->failed && strlen(f->shape->name) == n - 3 &&
            !strncmp(f->shape->name, r->shape->name, n - 3) && f->shape->flop == r->shape->flop)
            return f;
    return NULL;
}

static int run_all(const ops_options *o, hn_device *d, hn_device *ref, const bench_peaks *peaks,
                   ops_result *out, int *n_failed)
{
    progress p;
    int n = 0;

    progress_begin(&p, "bench ops", o->list->n, 0, 1, "operators");
    for (int i = 0; i < o->list->n && !app_interrupted(); i++) {
        if (!is_wanted(&o->list->shapes[i], o->only))
            continue;
        ops_result *r = &out[n++];
        *r = (ops_result){ .shape = &o->list->shapes[i] };
        progress_update(&p, i, r->shape->name);
        if (bench_one(o, d, ref, r)) {
            snprintf(r->failed, sizeof r->failed, "%s", hn_error_text());
            ++*n_failed;
        }
        r->roof_s = bench_roof(peaks, r->shape->flop, r->bytes);
        const ops_result *forward = *r->failed ? NULL : forward_of(r, out);
        r->of_forward = forward ? ops_time(forward) / ops_time(r) : 0;
        progress_hide();
        if (bench_prints(&o->bench))
            ops_print_row(r);
        fflush(stdout);
    }
    progress_end(&p);
    return n;
}

static int conclude(const ops_options *o, hn_device *d, const bench_peaks *peaks,
                    const ops_result *r, int n, int n_failed)
{
    json_t *root = bench_head("bench ops", d), *rows = app_json_array();
    report *page = o->bench.html ? bench_page("Operators on model shapes", d) : NULL;

    for (int i = 0; i < n; i++)
        app_json_add(rows, ops_row_json(&r[i]));
    app_json_set(root, "list", app_json_text(o->list->name));
    if (o->no_stats)
        app_json_set(root, "kernels_unsupported", app_json_text(o->no_stats));
    app_json_set(root, "peaks", bench_peaks_json(peaks));
    app_json_set(root, "check", app_json_text("f64 reference; of a large shape some places along "
                                              "each size, the first and the last among them, "
                                              "drawn by seed 17"));
    app_json_set(root, "ops", rows);
    app_json_set(root, "interrupted", json_boolean(app_interrupted()));
    if (page)
        ops_page(page, peaks, r, n);
    const int rc = bench_write(&o->bench, root, &page);
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

static int ops(ops_options *o)
{
    const int most = o->list->n;
    hn_device *d = NULL, *ref = NULL;
    bench_peaks peaks;
    int rc, n_failed = 0;

    rc = app_fail(app_open_device(&o->bench.dev, &d));
    if (!rc && o->stats)
        o->no_stats = hn_device_get_info(d)->kind != HN_DEVICE_VULKAN ? "no driver compiles them"
                      : !hn__vk_capture(d) ? "the driver says nothing of them" : NULL;
    if (!rc)
        rc = app_fail(hn_device_open(&(hn_device_params){ .spec = "ref" }, &ref));
    ops_result *results = rc ? NULL : hn__calloc((size_t)most, sizeof *results);
    if (!rc && !results)
        rc = app_fail(hn__nomem((size_t)most * sizeof *results));
    if (!rc)
        rc = app_fail(bench_peaks_measure(d, 1u << PEAK_FMA_F32 | 1u << PEAK_COPY, &peaks));
    if (!rc) {
        app_catch_interrupts();
        if (bench_prints(&o->bench))
            ops_print_head(o, d, &peaks);
        const int n = run_all(o, d, ref, &peaks, results, &n_failed);
        rc = conclude(o, d, &peaks, results, n, n_failed);
        for (int i = 0; i < n; i++)
            json_decref(results[i].kernels);
    }
    hn__free(results);
    app_close_device(&ref, rc);
    return app_close_device(&d, rc);
}

static int ops_usage(ops_options *o)
{
    const char *names[BENCH_MOST_SHAPES], *only = o->only;
    int n = 0;
    const int rc = bench_list_usage(o->list_name, &o->list);
    if (rc >= 0 || !only)
        return rc;
    for (int i = 0; i < o->list->n && n < BENCH_MOST_SHAPES; i++) {
        if (is_wanted(&o->list->shapes[i], only))
            return -1;
        names[n++] = o->list->shapes[i].name;
    }
    const int near = app_nearest(only, names, n);
    return app_usage("--op %s: not measured here%s%s", only, near < 0 ? "" : "; did you mean ",
                     near < 0 ? "" : names[near]);
}

int app_bench_ops(int argc, const char **argv)
{
    ops_options o = { .bench = { .repeats = 20, .warmup = 3 } };
    const struct poptOption options[] = {
        { "op", 0, POPT_ARG_STRING, &o.only, 0,
          "only those that begin so: a name, or name and shape", "NAME" },
        BENCH_LIST_OPTION(o.list_name),
        { "stats", 0, POPT_ARG_NONE, &o.stats, 0,
          "what the driver's compiler says of each kernel: registers, spills, occupancy", NULL },
        BENCH_OPTIONS(o.bench),
        APP_DEVICE_OPTIONS(o.bench.dev),
        APP_COMMON_OPTIONS,
    };
    app_args args;
    int rc = app_begin(argc, argv, options, &args);
    if (rc < 0)
        rc = bench_usage(&o.bench);
    if (rc < 0)
        rc = ops_usage(&o);
    if (rc < 0)
        rc = ops(&o);
    return app_end(&args, rc);
}
