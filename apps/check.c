// hornito check: every operator, with every kernel that the device could take, against its f64
// reference, by instances drawn at random.
#include "app.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "json.h"
#include "plan/case.h"
#include "plan/choose.h"
#include "progress.h"

enum { MAX_OPS = 512 };

typedef struct check_options {
    app_device_options dev;
    char *op;
    int seeds, seed; // how many, and the first
    int json;
} check_options;

// What was seen of one operator.
typedef struct check_result {
    const hn__op *op;
    double worst[HN_DTYPE_COUNT]; // largest error of each element type drawn
    int n_draws, n_failed;
    char first[640]; // what failed first: type, seed, text
} check_result;

// With each of the variants that the device could take.
static hn_status run_variants(hn__case *c, hn_device *dev, double *worst)
{
    hn__variant v[HN__MAX_VARIANTS];
    const int n = hn__variants(&c->s.inst, hn_device_get_info(dev), v);
    char text[HN__TEXT];

    for (int i = 0; i < n; i++) {
        hn__variant_text(&c->s.inst, &v[i], text);
        HN_TRY(hn_context(hn__case_run_variant(c, dev, &v[i]), "%s", text));
        *worst = fmax(*worst, hn__case_error(c));
        HN_TRY(hn_context(hn__case_compare(c), "%s", text));
    }
    return HN_OK;
}

static hn_status run_case(hn__case *c, hn_device *dev, double *worst)
{
    const bool chooses = c->op->fn->variants && hn_device_get_info(dev)->kind == HN_DEVICE_VULKAN;

    hn__case_run_ref(c);
    if (chooses)
        return run_variants(c, dev, worst);
    HN_TRY(hn__case_run(c, dev));
    *worst = hn__case_error(c);
    HN_TRY(hn__case_compare(c));
    if (!c->op->fn->host || hn_device_get_info(dev)->kind != HN_DEVICE_CPU)
        return HN_OK;
    HN_TRY(hn__case_run_host(c, dev));
    *worst = fmax(*worst, hn__case_error(c));
    return hn__case_compare(c);
}

static void check_draw(hn_device *dev, hn_dtype t, uint64_t seed, check_result *r)
{
    hn__case *c = NULL;
    double worst = 0;

    hn_status s = hn__case_draw(r->op, t, seed, &c);
    if (!s)
        s = run_case(c, dev, &worst);
    hn__case_destroy(&c);
    r->worst[t] = fmax(r->worst[t], worst);
    r->n_draws++;
    if (s && !r->n_failed++)
        snprintf(r->first, sizeof r->first, "%s seed %" PRIu64 ": %s", hn_dtype_name(t), seed,
                 hn_error_text());
}

static void check_op(hn_device *dev, const check_options *o, check_result *r)
{
    for (int i = 0; i < o->seeds && !app_interrupted(); i++)
        for (hn_dtype t = HN_F32; t < HN_DTYPE_COUNT; t++)
            if (r->op->tol[t] > 0)
                check_draw(dev, t, (uint64_t)o->seed + (uint64_t)i, r);
}

static void print_result(const check_result *r)
{
    printf("%-20s", r->op->name);
    for (hn_dtype t = HN_F32; t <= HN_BF16; t++)
        if (r->op->tol[t] > 0)
            printf("  %8.2g /%8.2g", r->worst[t], r->op->tol[t]);
        else
            printf("  %19s", "-");
    printf("  %s\n", r->n_failed ? "FAILED" : "ok");
    for (hn_dtype t = HN_Q8_0; t < HN_DTYPE_COUNT; t++)
        if (r->op->tol[t] > 0)
            printf("    %-16s  %8.2g /%8.2g\n", hn_dtype_name(t), r->worst[t], r->op->tol[t]);
    if (r->n_failed)
        printf("    %d of %d failed; %s\n", r->n_failed, r->n_draws, r->first);
}

static json_t *result_json(const check_result *r)
{
    json_t *o = app_json_object(), *types = app_json_object();
    for (hn_dtype t = HN_F32; t < HN_DTYPE_COUNT; t++) {
        if (!(r->op->tol[t] > 0))
            continue;
        json_t *e = app_json_object();
        app_json_set(e, "worst", app_json_number(r->worst[t]));
        app_json_set(e, "tolerance", app_json_number(r->op->tol[t]));
        app_json_set(types, hn_dtype_name(t), e);
    }
    app_json_set(o, "op", app_json_text(r->op->name));
    app_json_set(o, "errors", types);
    app_json_set(o, "draws", app_json_int(r->n_draws));
    app_json_set(o, "failed", app_json_int(r->n_failed));
    if (r->n_failed)
        app_json_set(o, "first_failure", app_json_text(r->first));
    return o;
}

// Runs the operators wanted, printing each as it ends; *out has room for all of them.
static int check_ops(hn_device *dev, const check_options *o, check_result *out)
{
    progress p;
    int n = 0, n_wanted = 0;

    for (int i = 0; i < hn__n_ops; i++)
        if (!(hn__ops[i].flags & HN__SOURCE) && (!o->op || !strcmp(hn__ops[i].name, o->op)))
            out[n_wanted++].op = &hn__ops[i];
    if (!o->json)
        printf("%-20s  %19s  %19s  %19s\n", "error / tolerance", "f32", "f16", "bf16");
    progress_begin(&p, "check", n_wanted, 0, 1, "operators");
    for (; n < n_wanted && !app_interrupted(); n++) {
        progress_update(&p, n, out[n].op->name);
        check_op(dev, o, &out[n]);
        progress_hide();
        if (!o->json)
            print_result(&out[n]);
        fflush(stdout);
    }
    progress_end(&p);
    return n;
}

static int report_json(hn_device *dev, const check_options *o, const check_result *r, int n,
                       int n_failed)
{
    json_t *root = app_json_object(), *ops = app_json_array();
    for (int i = 0; i < n; i++)
        app_json_add(ops, result_json(&r[i]));
    app_json_set(root, "device", app_json_device(hn_device_get_info(dev)));
    app_json_set(root, "first_seed", app_json_int(o->seed));
    app_json_set(root, "seeds", app_json_int(o->seeds));
    app_json_set(root, "ops", ops);
    app_json_set(root, "ops_failed", app_json_int(n_failed));
    return app_json_write(root, "-");
}

static int conclude(hn_device *dev, const check_options *o, const check_result *r, int n)
{
    const check_result *first = NULL;
    int n_failed = 0, n_draws = 0, rc = APP_DONE;
    for (int i = n - 1; i >= 0; i--) {
        n_draws += r[i].n_draws;
        n_failed += r[i].n_failed > 0;
        first = r[i].n_failed ? &r[i] : first;
    }
    if (o->json)
        rc = report_json(dev, o, r, n, n_failed);
    else
        printf("\n%s (%s): %d operators, %d draws, %d operators failed\n",
               hn_device_get_info(dev)->spec, hn_device_get_info(dev)->name, n, n_draws, n_failed);
    if (first)
        rc = app_error("%d of %d operators failed on %s, first %s: %s", n_failed, n,
                       hn_device_get_info(dev)->spec, first->op->name, first->first);
    else if (app_interrupted())
        rc = app_error("interrupted after %d operators; run it again for the others", n);
    return rc;
}

static int check(const check_options *o)
{
    hn_device *dev = NULL;
    int rc = app_fail(app_open_device(&o->dev, &dev));
    if (rc)
        return rc;
    if (!o->json)
        printf("%s: %s %s\n%s\n\n", hn_device_get_info(dev)->spec, hn_device_get_info(dev)->name,
               hn_device_get_info(dev)->driver, hn_device_reason(dev));
    check_result *results = hn__calloc((size_t)hn__n_ops, sizeof *results);
    if (!results) {
        rc = app_fail(hn__nomem((size_t)hn__n_ops * sizeof *results));
    } else {
        app_catch_interrupts();
        rc = conclude(dev, o, results, check_ops(dev, o, results));
    }
    hn__free(results);
    return app_close_device(&dev, rc);
}

static int check_usage(const check_options *o)
{
    const char *names[MAX_OPS];
    int n = 0;

    if (o->seeds < 1 || o->seeds > 100000)
        return app_usage("--seeds %d: give 1 to 100000", o->seeds);
    if (o->seed < 0)
        return app_usage("--seed %d: give 0 or more", o->seed);
    if (!o->op)
        return -1;
    for (int i = 0; i < hn__n_ops && n < MAX_OPS; i++)
        if (!(hn__ops[i].flags & HN__SOURCE))
            names[n++] = hn__ops[i].name;
    for (int i = 0; i < n; i++)
        if (!strcmp(names[i], o->op))
            return -1;
    const int near = app_nearest(o->op, names, n);
    return app_usage("--op %s: no such operator%s%s", o->op, near < 0 ? "" : "; did you mean ",
                     near < 0 ? "" : names[near]);
}

int app_check(int argc, const char **argv)
{
    check_options o = { .seeds = 10, .seed = 1 };
    const struct poptOption options[] = {
        { "op", 0, POPT_ARG_STRING, &o.op, 0, "this operator only", "NAME" },
        { "seeds", 'n', POPT_ARG_INT | POPT_ARGFLAG_SHOW_DEFAULT, &o.seeds, 0,
          "draws of each operator and element type", "N" },
        { "seed", 0, POPT_ARG_INT | POPT_ARGFLAG_SHOW_DEFAULT, &o.seed, 0, "the first seed", "N" },
        { "json", 0, POPT_ARG_NONE, &o.json, 0, "for machines", NULL },
        APP_DEVICE_OPTIONS(o.dev),
        APP_COMMON_OPTIONS,
    };
    app_args args;
    int rc = app_begin(argc, argv, options, &args);
    if (rc < 0)
        rc = check_usage(&o);
    if (rc < 0)
        rc = check(&o);
    return app_end(&args, rc);
}
