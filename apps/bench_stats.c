// hornito bench stats: what a driver's compiler says of the kernels that the shapes of bench ops
// ask for: registers, spills, occupancy. Nothing is run, so RADV's null hardware (--family) stands
// for AMD GPUs that are not here.
#include "bench.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/base.h"
#include "base/os.h"
#include "bench_kernels.h"
#include "bench_shapes.h"
#include "device/vk/vk.h"

static const char radv_icd[] = "/usr/share/vulkan/icd.d/radeon_icd.x86_64.json";

typedef struct stats_options {
    bench_options bench;
    char *family, *icd, *only, *list_name;
    const bench_list *list;
} stats_options;

// ---- compiling -----------------------------------------------------------------------------

static hn_status compile(hn_device *d, const bench_shape *b)
{
    hn_graph *g = NULL;
    hn_plan *p = NULL;
    hn_status s = hn_graph_create(&g);
    if (s == HN_OK) {
        bench_shape_build(b, b->dim, g);
        s = hn_plan_create(g, d, NULL, &p);
    }
    hn_plan_destroy(&p);
    hn_graph_destroy(&g);
    if (s == HN_ERR_UNSUPPORTED) {
        hn__log(HN_LOG_WARN, "left out: %s %s: %s", b->name, b->shape, hn_error_text());
        return HN_OK;
    }
    return hn_context(s, "%s %s", b->name, b->shape);
}

static hn_status compile_all(hn_device *d, const bench_list *list, const char *only)
{
    const hn__device_fns *own = d->fn;
    hn__device_fns compiling;
    hn_status s = HN_OK;

    hn__vk_compile_only(d, &compiling);
    for (int i = 0; s == HN_OK && i < list->n; i++)
        if (!only || !strncmp(only, list->shapes[i].name, strlen(only)))
            s = compile(d, &list->shapes[i]);
    d->fn = own;
    return s;
}

// ---- figures -------------------------------------------------------------------------------

static hn_status add_all(hn_device *d, bool print, json_t *rows)
{
    char text[1024];
    json_t *row;

    for (const hn__kernel *k = hn__vk_of(d)->kernels; k; k = k->next) {
        HN_TRY(bench_kernel_json(d, k, &row));
        if (print)
            puts(bench_kernel_text(row, text, sizeof text));
        app_json_add(rows, row);
    }
    return HN_OK;
}

// ---- the command ---------------------------------------------------------------------------

// The driver that has no hardware; read when the loader is opened.
static hn_status choose_family(const stats_options *o)
{
    const char *icd = o->icd ? o->icd : radv_icd;
    if (!o->family)
        return HN_OK;
    if (!hn__exists(icd))
        return hn_fail(HN_ERR_IO, "unsupported: no driver RADV at '%s'; --icd FILE names another",
                       icd);
    if (setenv("VK_ICD_FILENAMES", icd, 1) || setenv("VK_DRIVER_FILES", icd, 1) ||
        setenv("RADV_FORCE_FAMILY", o->family, 1))
        return hn_fail(HN_ERR_IO, "cannot set the environment of the driver");
    return HN_OK;
}

static hn_status open_capturing(const stats_options *o, hn_device **d)
{
    const hn_device_params p = { .spec = o->bench.dev.spec ? o->bench.dev.spec : "vulkan",
                                 .phone = o->bench.dev.phone,
                                 .no_self_test = true };
    HN_TRY(choose_family(o));
    HN_TRY(hn__vk_open(&p, d));
    if (!hn__vk_capture(*d))
        return hn_fail(HN_ERR_UNSUPPORTED, "unsupported: '%s' says nothing of its kernels",
                       (*d)->info.name);
    return HN_OK;
}

static int stats(const stats_options *o)
{
    hn_device *d = NULL;
    report *none = NULL;
    json_t *rows = app_json_array();
    const bool print = bench_prints(&o->bench);

    hn_status s = open_capturing(o, &d);
    if (s == HN_OK && print)
        printf("%s, %s: kernels of the shapes of bench ops\n\n", d->info.name, d->info.driver);
    if (s == HN_OK)
        s = compile_all(d, o->list, o->only);
    if (s == HN_OK)
        s = add_all(d, print, rows);
    int rc = app_fail(s);
    if (rc) {
        json_decref(rows);
    } else {
        json_t *root = bench_head("bench stats", d);
        app_json_set(root, "kernels", rows);
        rc = bench_write(&o->bench, root, &none);
    }
    return app_close_device(&d, rc);
}

int app_bench_stats(int argc, const char **argv)
{
    stats_options o = { .bench = { .repeats = BENCH_LEAST_REPEATS } };
    const struct poptOption options[] = {
        { "family", 0, POPT_ARG_STRING, &o.family, 0,
          "an AMD GPU that is not here, by RADV: navi21, gfx1100, ...", "NAME" },
        { "icd", 0, POPT_ARG_STRING, &o.icd, 0, "RADV's ICD file, for --family", "FILE" },
        { "op", 0, POPT_ARG_STRING, &o.only, 0, "only those whose names begin so", "NAME" },
        BENCH_LIST_OPTION(o.list_name),
        { "json", 0, POPT_ARG_STRING, &o.bench.json, 0,
          "results for machines (-: standard output)", "FILE" },
        { "device", 'd', POPT_ARG_STRING, &o.bench.dev.spec, 0,
          "vulkan, vulkan:N, vulkan:UUID or vulkan:NAME", "SPEC" },
        { "phone", 0, POPT_ARG_NONE, &o.bench.dev.phone, 0, "behave as a small phone", NULL },
        APP_COMMON_OPTIONS,
    };
    app_args args;
    int rc = app_begin(argc, argv, options, &args);
    const char *spec = o.bench.dev.spec;
    if (rc < 0 && spec && strncmp(spec, "vulkan", 6))
        rc = app_usage("--device %s: Vulkan drivers alone say this of their kernels", spec);
    if (rc < 0)
        rc = bench_list_usage(o.list_name, &o.list);
    if (rc < 0)
        rc = stats(&o);
    return app_end(&args, rc);
}
