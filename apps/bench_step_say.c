// hornito bench step: its results in words, as JSON and as a page.
#include "bench_step.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/base.h"

enum { TOP_STEPS = 15 };

static void print_plan(const step_bench *b)
{
    char block[32], live[32], weights[32];
    for (int k = 0; k < b->n_variants; k++) {
        const hn_plan_info *i = &b->v[k].plan;
        printf("  %-22s %4d steps of %d operators, block %s (largest live set %s), weights and "
               "moments %s\n",
               b->v[k].name, i->n_steps, i->n_ops,
               app_bytes_text((double)i->block_bytes, block, sizeof block),
               app_bytes_text((double)i->live_bytes, live, sizeof live),
               app_bytes_text((double)i->weight_bytes, weights, sizeof weights));
    }
}

void step_print(const step_bench *b)
{
    const double tokens = (double)(b->params.batch * b->params.length);
    char text[64];

    printf("\n%-24s %-34s %10s %8s\n", "one training step", "median (quartiles)", "tokens/s",
           "ratio");
    for (int k = 0; k < b->n_variants; k++)
        printf("%-24s %-34s %10.0f %8.3f\n", b->v[k].name,
               bench_text(&b->v[k].stats, text, sizeof text), tokens / b->v[k].stats.median,
               step_ratio(b, k));
    if (b->n_steps)
        printf("%-24s %.2f ms by its own clock\n", "the first on the device",
               step_device_seconds(b) * 1e3);
    else
        printf("%-24s unsupported here\n", "device's own clock");
    printf("\nratio: median time by that of the first; %d repeats in turn\n\nplans\n", b->n_done);
    print_plan(b);
    printf("\nlargest relative difference of losses\n");
    if (b->n_variants > 1)
        printf("  between the variants, %d steps       %.2g\n", b->v[0].n_steps, b->loss_error);
    if (b->half_error > 0)
        printf("  in 16 bits to f32                   %.2g\n", b->half_error);
    if (b->cpu_error >= 0)
        printf("  to the cpu device, %d steps           %.2g\n", CPU_STEPS, b->cpu_error);
    printf("  small model to the reference, %d steps %.2g\n", SMALL_STEPS, b->ref_error);
}

static json_t *variant_json(const step_bench *b, int k)
{
    const variant *v = &b->v[k];
    json_t *o = app_json_object(), *times = app_json_array(), *losses = app_json_array();

    for (int i = 0; i < b->n_done; i++)
        app_json_add(times, app_json_number(v->seconds[i] * 1e3));
    for (int i = 0; i < v->n_steps; i++)
        app_json_add(losses, app_json_number(v->loss[i]));
    app_json_set(o, "name", app_json_text(v->name));
    app_json_set(o, "no_fuse", json_boolean(v->no_fuse));
    app_json_set(o, "no_replay", json_boolean(v->no_replay));
    app_json_set(o, "precision",
                 app_json_text(hn_dtype_name(v->precision ? v->precision : HN_F32)));
    app_json_set(o, "blocks_recomputed", app_json_int(v->n_again)); // -1: all
    app_json_set(o, "wall", bench_json(&v->stats));
    app_json_set(o, "times_ms", times);
    app_json_set(o, "losses", losses);
    app_json_set(o, "tokens_per_s",
                 app_json_number((double)(b->params.batch * b->params.length) / v->stats.median));
    app_json_set(o, "ratio_to_first", app_json_number(step_ratio(b, k)));
    app_json_set(o, "plan_steps", app_json_int(v->plan.n_steps));
    app_json_set(o, "operators", app_json_int(v->plan.n_ops));
    app_json_set(o, "block_bytes", app_json_int(v->plan.block_bytes));
    app_json_set(o, "live_bytes", app_json_int(v->plan.live_bytes));
    app_json_set(o, "io_bytes", app_json_int(v->plan.io_bytes));
    app_json_set(o, "weight_bytes", app_json_int(v->plan.weight_bytes));
    return o;
}

static json_t *model_json(const hn_train_params *p)
{
    json_t *o = app_json_object();
    app_json_set(o, "family", app_json_text("gpt2"));
    app_json_set(o, "layers", app_json_int(p->model.layers));
    app_json_set(o, "width", app_json_int(p->model.width));
    app_json_set(o, "heads", app_json_int(p->model.heads));
    app_json_set(o, "ffn", app_json_int(p->model.ffn));
    app_json_set(o, "vocab", app_json_int(p->model.vocab));
    app_json_set(o, "parameters", app_json_int(hn_lm_params_count(&p->model)));
    app_json_set(o, "batch", app_json_int(p->batch));
    app_json_set(o, "length", app_json_int(p->length));
    return o;
}

json_t *step_json(const step_bench *b)
{
    json_t *o = bench_head("bench step", b->dev), *variants = app_json_array(),
           *check = app_json_object();
    json_t *steps = app_json_array();

    for (int k = 0; k < b->n_variants; k++)
        app_json_add(variants, variant_json(b, k));
    for (int i = 0; i < b->n_steps; i++) {
        json_t *s = app_json_object();
        app_json_set(s, "label", app_json_text(b->steps[i].label));
        app_json_set(s, "ms", app_json_number(b->steps[i].ns * 1e-6));
        app_json_add(steps, s);
    }
    app_json_set(check, "between_variants", app_json_number(b->loss_error));
    app_json_set(check, "16_bits_to_f32", app_json_number(b->half_error));
    app_json_set(check, "to_cpu", b->cpu_error < 0 ? json_null() : app_json_number(b->cpu_error));
    app_json_set(check, "small_to_reference", app_json_number(b->ref_error));
    app_json_set(o, "model", model_json(&b->params));
    app_json_set(o, "variants", variants);
    app_json_set(o, "loss_differences", check);
    app_json_set(o, "device_ms",
                 b->n_steps ? app_json_number(step_device_seconds(b) * 1e3)
                            : app_json_text("unsupported"));
    app_json_set(o, "device_steps", steps);
    return o;
}

static void page_variants(report *page, const step_bench *b)
{
    static const char *const columns[] = { "variant", "median (quartiles)", "tokens/s",
                                           "ratio of medians", "steps" };
    char text[MOST_VARIANTS][4][64];
    const char *cells[MOST_VARIANTS * 5], *names[MOST_VARIANTS];
    report_series series[MOST_VARIANTS];
    double ms[MOST_VARIANTS], x[BENCH_MOST_REPEATS], y[MOST_VARIANTS][BENCH_MOST_REPEATS];
    const char *const value[] = { "median" };

    for (int k = 0; k < b->n_variants; k++) {
        const variant *v = &b->v[k];
        bench_text(&v->stats, text[k][0], 64);
        snprintf(text[k][1], 64, "%.0f",
                 (double)(b->params.batch * b->params.length) / v->stats.median);
        snprintf(text[k][2], 64, "%.3f", step_ratio(b, k));
        snprintf(text[k][3], 64, "%d", v->plan.n_steps);
        cells[k * 5] = names[k] = v->name;
        for (int c = 0; c < 4; c++)
            cells[k * 5 + 1 + c] = text[k][c];
        ms[k] = v->stats.median * 1e3;
        for (int i = 0; i < b->n_done; i++) {
            x[i] = i + 1;
            y[k][i] = v->seconds[i] * 1e3;
        }
        series[k] = (report_series){ v->name, x, y[k], b->n_done, false };
    }
    report_section(page, "One training step");
    report_text(
        page,
        "Each repeat runs all variants in turn, so that what disturbs one disturbs the others; "
        "the "
        "ratio is of medians, to the first. Losses differ between the variants by at most %.2g "
        "(relative), and those of a small model from the f64 reference's by %.2g.",
        b->loss_error, b->ref_error);
    report_table(page, columns, 5, cells, b->n_variants);
    report_bar_chart(
        page, &(report_bars){ "Median time of a step", "ms", names, b->n_variants, value, 1, ms });
    report_line_chart(page, &(report_lines){ .title = "Every repeat",
                                             .x_label = "repeat",
                                             .y_label = "ms",
                                             .series = series,
                                             .n_series = b->n_variants });
}

// Steps of one label together.
typedef struct label_time {
    const char *label;
    int n;
    double ms;
    char text[80];
} label_time;

static int by_ms(const void *a, const void *b)
{
    const double x = ((const label_time *)a)->ms, y = ((const label_time *)b)->ms;
    return (x < y) - (x > y);
}

// Sums b->steps by label into out, which has room for all; the largest first. Returns how many.
static int group_steps(const step_bench *b, label_time *out)
{
    int n = 0;
    for (int i = 0; i < b->n_steps; i++) {
        int k = 0;
        while (k < n && strcmp(out[k].label, b->steps[i].label))
            k++;
        if (k == n)
            out[n++].label = b->steps[i].label;
        out[k].n++;
        out[k].ms += b->steps[i].ns * 1e-6;
    }
    qsort(out, (size_t)n, sizeof *out, by_ms);
    return n;
}

static void page_steps(report *page, const step_bench *b)
{
    const char *labels[TOP_STEPS], *const value[] = { "time" };
    double ms[TOP_STEPS];

    report_section(page, "Where the time goes");
    if (!b->n_steps) {
        report_text(page, "This device has no clock of its own that can be read: unsupported.");
        return;
    }
    label_time *groups = hn__calloc((size_t)b->n_steps, sizeof *groups);
    if (!groups)
        return;
    const int n = group_steps(b, groups), n_shown = n < TOP_STEPS ? n : TOP_STEPS;
    for (int i = 0; i < n_shown; i++) {
        snprintf(groups[i].text, sizeof groups[i].text, "%.60s (%d)", groups[i].label,
                 groups[i].n);
        labels[i] = groups[i].text;
        ms[i] = groups[i].ms;
    }
    report_text(page,
                "The first variant by the device's own clock: %.2f ms in %d steps, here by kind "
                "(how many).",
                step_device_seconds(b) * 1e3, b->n_steps);
    report_bar_chart(page,
                     &(report_bars){ "Steps of the plan", "ms", labels, n_shown, value, 1, ms });
    hn__free(groups);
}

static void page_loss(report *page, const step_bench *b)
{
    double x[2 * BENCH_MOST_REPEATS];
    for (int i = 0; i < b->v[0].n_steps; i++)
        x[i] = i + 1;
    const report_series s = { "loss", x, b->v[0].loss, b->v[0].n_steps, false };
    report_section(page, "Loss of these steps");
    report_line_chart(page, &(report_lines){ .title = "Loss",
                                             .x_label = "step",
                                             .y_label = "nats a token",
                                             .series = &s,
                                             .n_series = 1 });
}

void step_page(report *page, const step_bench *b)
{
    page_variants(page, b);
    page_steps(page, b);
    page_loss(page, b);
}
