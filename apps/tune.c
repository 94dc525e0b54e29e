// hornito tune: kernels measured on a device, listed, and carried to another machine.
#include "app.h"

#include <stdio.h>
#include <string.h>

#include "base/base.h"
#include "bench_shapes.h"
#include "hornito/plan.h"
#include "progress.h"

// Opens the device of the options, which must be a Vulkan one: what `auto` is only where there is
// a GPU.
static hn_status open_vulkan(app_device_options *o, hn_device **d)
{
    if (o->spec)
        return app_open_device(o, d);
    return app_open_other(o, "vulkan", d);
}

// ---- listing -------------------------------------------------------------------------------

static void print_header(const hn_device *d)
{
    const hn_device_info *i = hn_device_get_info(d);
    printf("%s: %s, %s\n", i->spec, i->name, i->driver);
}

static void print_tuned(const hn_device *d)
{
    bool any = false;

    for (int64_t i = 0; i < hn_device_tuning_count(d); i++) {
        const hn_tuning_entry e = hn_device_tuning_at(d, i);
        if (!(e.us > 0))
            continue;
        if (!any)
            printf("\n%10s %10s  %-28s for\n", "us", "unmeasured", "kernel");
        any = true;
        printf("%10.1f %10.1f  %-28s %.*s\n", e.us, e.default_us, e.kernel,
               (int)strcspn(e.what, "="), e.what);
    }
    if (!any)
        puts("\nnothing was measured on this driver yet: hornito tune, or --tune SECONDS with "
             "any command");
}

static void print_verdicts(const hn_device *d)
{
    int n_right = 0, n_wrong = 0;

    for (int64_t i = 0; i < hn_device_tuning_count(d); i++) {
        const hn_tuning_entry e = hn_device_tuning_at(d, i);
        if (e.wrong)
            printf("%s%s: put aside: %s\n", n_wrong++ ? "" : "\n", e.kernel, e.wrong);
        else if (!(e.us > 0))
            n_right++;
    }
    printf("\n%d kernels answered rightly, %d wrongly\n", n_right, n_wrong);
}

static int list(app_device_options *o)
{
    hn_device *d = NULL;
    const int rc = app_fail(open_vulkan(o, &d));

    if (!rc) {
        print_header(d);
        print_tuned(d);
        print_verdicts(d);
    }
    return app_close_device(&d, rc);
}

int app_tune_list(int argc, const char **argv)
{
    app_device_options dev = { 0 };
    const struct poptOption options[] = { APP_DEVICE_OPTIONS(dev), APP_COMMON_OPTIONS };
    app_args args;
    int rc = app_begin(argc, argv, options, &args);
    if (rc < 0)
        rc = list(&dev);
    return app_end(&args, rc);
}

// ---- carrying ------------------------------------------------------------------------------

static int carry(app_device_options *o, const app_args *args,
                 hn_status (*step)(hn_device *d, const char *path))
{
    hn_device *d = NULL;

    if (args->n_rest != 1)
        return app_usage("give one file");
    int64_t before = 0;
    int rc = app_fail(open_vulkan(o, &d));
    if (!rc) {
        before = hn_device_tuning_count(d);
        rc = app_fail(step(d, args->rest[0]));
    }
    if (!rc)
        printf("%" PRId64 " entries%s\n", hn_device_tuning_count(d),
               hn_device_tuning_count(d) > before ? ", new ones among them" : "");
    return app_close_device(&d, rc);
}

static hn_status export_to(hn_device *d, const char *path)
{
    return hn_device_tuning_export(d, path);
}

static int carry_command(int argc, const char **argv,
                         hn_status (*step)(hn_device *d, const char *path))
{
    app_device_options dev = { 0 };
    const struct poptOption options[] = { APP_DEVICE_OPTIONS(dev), APP_COMMON_OPTIONS };
    app_args args;
    int rc = app_begin(argc, argv, options, &args);
    if (rc < 0)
        rc = carry(&dev, &args, step);
    return app_end(&args, rc);
}

int app_tune_export(int argc, const char **argv)
{
    return carry_command(argc, argv, export_to);
}

int app_tune_import(int argc, const char **argv)
{
    return carry_command(argc, argv, hn_device_tuning_import);
}

// ---- measuring -----------------------------------------------------------------------------

// A plan of this shape is made, which measures its kernels, and dropped.
static hn_status tune_shape(const bench_shape *b, hn_device *d)
{
    hn_graph *g = NULL;
    hn_plan *p = NULL;

    HN_TRY(hn_graph_create(&g));
    bench_shape_build(b, b->dim, g);
    hn_status s = hn_graph_status(g);
    if (s == HN_OK)
        s = hn_plan_create(g, d, NULL, &p);
    hn_plan_destroy(&p);
    hn_graph_destroy(&g);
    return hn_context(s, "%s %s", b->name, b->shape);
}

static int tune_all(hn_device *d, const bench_list *list, const char *op)
{
    progress p;
    int rc = APP_DONE, i = 0;

    progress_begin(&p, "tune", list->n, 0, 1, "shapes");
    for (; !rc && i < list->n && !app_interrupted(); i++) {
        if (op && strncmp(list->shapes[i].name, op, strlen(op)))
            continue;
        if (!(hn_device_tune_left(d) > 0))
            break;
        progress_update(&p, i, list->shapes[i].name);
        rc = app_fail(tune_shape(&list->shapes[i], d));
    }
    progress_end(&p);
    if (!rc && i < list->n)
        printf("stopped after %d of %d shapes: what was measured is kept; run it again for the "
               "others\n", i, list->n);
    return rc;
}

static int tune(app_device_options *o, double seconds, const bench_list *list, const char *op)
{
    hn_device *d = NULL;

    if (!(seconds > 0 && seconds <= 86400))
        return app_usage("--seconds %g: give more than 0, at most 86400", seconds);
    int rc = app_fail(open_vulkan(o, &d));
    if (!rc && hn_device_get_info(d)->kind != HN_DEVICE_VULKAN)
        rc = app_error("'%s' has no kernels to choose from: only Vulkan devices are tuned",
                       hn_device_get_info(d)->spec);
    if (!rc) {
        app_catch_interrupts();
        hn_device_tune(d, seconds);
        print_header(d);
        rc = tune_all(d, list, op);
    }
    if (!rc)
        print_tuned(d);
    return app_close_device(&d, rc);
}

int app_tune(int argc, const char **argv)
{
    app_device_options dev = { 0 };
    double seconds = 120;
    char *op = NULL, *name = NULL;
    const bench_list *list;
    const struct poptOption options[] = {
        { "seconds", 's', POPT_ARG_DOUBLE | POPT_ARGFLAG_SHOW_DEFAULT, &seconds, 0,
          "measure this long at most", "N" },
        { "op", 0, POPT_ARG_STRING, &op, 0, "shapes whose name begins so", "NAME" },
        BENCH_LIST_OPTION(name),
        APP_DEVICE_OPTIONS(dev),
        APP_COMMON_OPTIONS,
    };
    app_args args;
    int rc = app_begin(argc, argv, options, &args);
    if (rc < 0)
        rc = bench_list_usage(name, &list);
    if (rc < 0)
        rc = tune(&dev, seconds, list, op);
    return app_end(&args, rc);
}
