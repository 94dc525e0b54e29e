// hornito bench ops: its results in words, as JSON and as a page.
#include "bench_kernels.h"
#include "bench_ops.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/base.h"

enum { OPS_COLUMNS = 8, CELL = 64 };

static const char *const columns[OPS_COLUMNS] = { "operator",  "shape", "median (quartiles)",
                                                  "on device", "GB/s",  "GFLOP/s",
                                                  "of roof", "of forward" };

static void print_cells(const char *const cell[OPS_COLUMNS])
{
    printf("%-31s %-22s %30s %13s %8s %8s %8s %10s\n", cell[0], cell[1], cell[2], cell[3],
           cell[4], cell[5], cell[6], cell[7]);
}

static void fill_cells(const ops_result *r, char cell[OPS_COLUMNS][CELL])
{
    const double s = ops_time(r);
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
    if (r->of_forward > 0)
        snprintf(cell[7], CELL, "%.0f %%", 100 * r->of_forward);
    else
        cell[7][0] = 0;
}

// A line a kernel.
static void print_kernels(const json_t *kernels)
{
    char text[1024];
    for (size_t i = 0; i < json_array_size(kernels); i++)
        printf("  %s\n", bench_kernel_text(json_array_get(kernels, i), text, sizeof text));
}

void ops_print_row(const ops_result *r)
{
    char cell[OPS_COLUMNS][CELL];
    if (*r->failed) {
        printf("%-31s %-22s  FAILED: %s\n", r->shape->name, r->shape->shape, r->failed);
        return;
    }
    fill_cells(r, cell);
    print_cells((const char *const[]){ cell[0], cell[1], cell[2], cell[3], cell[4], cell[5],
                                       cell[6], cell[7] });
    print_kernels(r->kernels);
}

void ops_print_head(const ops_options *o, const hn_device *d, const bench_peaks *peaks)
{
    const hn_device_info *i = hn_device_get_info(d);
    const double fma = bench_peak_rate(peaks, PEAK_FMA_F32),
                 copy = bench_peak_rate(peaks, PEAK_COPY);
    const char *form = bench_peak_best(peaks, PEAK_FMA_F32);
    printf("%s: %s %s\n", i->spec, i->name, i->driver);
    if (fma > 0 && copy > 0)
        printf("roof: %.4g GFLOP/s of f32 on registers%s%s, %.4g GB/s of a copy (read and "
               "written): the fastest loops of `bench peaks`\n",
               fma * 1e-9, *form ? ", sums a thread x steps a turn " : "", form, copy * 1e-9);
    if (o->no_stats)
        printf("kernels: unsupported: %s\n", o->no_stats);
    putchar('\n');
    print_cells(columns);
}

json_t *ops_row_json(const ops_result *r)
{
    json_t *o = app_json_object();
    app_json_set(o, "op", app_json_text(r->shape->name));
    app_json_set(o, "shape", app_json_text(r->shape->shape));
    if (*r->failed) {
        app_json_set(o, "failed", app_json_text(r->failed));
        return o;
    }
    app_json_set(o, "wall", bench_json_times(&r->wall, r->seconds));
    app_json_set(o, "device_ms",
                 r->device_s < 0 ? app_json_text("unsupported")
                                 : app_json_number(r->device_s * 1e3));
    app_json_set(o, "bytes", app_json_number(r->bytes));
    app_json_set(o, "gb_per_s", app_json_number(r->bytes / ops_time(r) * 1e-9));
    if (r->shape->flop > 0) {
        app_json_set(o, "flop", app_json_number(r->shape->flop));
        app_json_set(o, "gflop_per_s", app_json_number(r->shape->flop / ops_time(r) * 1e-9));
    }
    if (r->roof_s > 0) {
        app_json_set(o, "roof_ms", app_json_number(r->roof_s * 1e3));
        app_json_set(o, "roof_share", app_json_number(r->roof_s / ops_time(r)));
    } else {
        app_json_set(o, "roof_share", app_json_text("unsupported"));
    }
    if (r->of_forward > 0)
        app_json_set(o, "of_forward", app_json_number(r->of_forward));
    if (r->kernels)
        app_json_set(o, "kernels", json_incref(r->kernels));
    app_json_set(o, "error", app_json_number(r->error));
    app_json_set(o, "checked", app_json_int(r->n_checked));
    app_json_set(o, "outputs", app_json_int(r->n_outputs));
    app_json_set(o, "tolerance", app_json_number(r->shape->tolerance));
    return o;
}

// Text that a page's tables and charts point at.
typedef struct page_text {
    char cell[OPS_COLUMNS][CELL], label[2 * CELL];
} page_text;

// Bars of what part of the roof each row reaches.
static void page_shares(report *page, const ops_result *r, int n, const page_text *text)
{
    const char *labels[BENCH_MOST_SHAPES], *const series[] = { "share" };
    double share[BENCH_MOST_SHAPES];
    int k = 0;

    for (int i = 0; i < n && k < BENCH_MOST_SHAPES; i++) {
        if (*r[i].failed || !(r[i].roof_s > 0))
            continue;
        labels[k] = text[i].label;
        share[k++] = 100 * r[i].roof_s / ops_time(&r[i]);
    }
    if (k)
        report_bar_chart(page,
                         &(report_bars){ "Share of the roof", "%", labels, k, series, 1, share });
}

// Rows with arithmetic by operations a byte, under the roof.
static void page_roofline(report *page, const bench_peaks *peaks, const ops_result *r, int n,
                          const page_text *text)
{
    const double fma = bench_peak_rate(peaks, PEAK_FMA_F32) * 1e-9,
                 copy = bench_peak_rate(peaks, PEAK_COPY) * 1e-9;
    double x[BENCH_MOST_SHAPES], y[BENCH_MOST_SHAPES], least = 1, most = 1;
    const char *labels[BENCH_MOST_SHAPES];
    int k = 0;

    for (int i = 0; i < n && k < BENCH_MOST_SHAPES; i++) {
        if (*r[i].failed || !(r[i].shape->flop > 0))
            continue;
        labels[k] = text[i].label;
        x[k] = r[i].shape->flop / r[i].bytes;
        y[k] = r[i].shape->flop / ops_time(&r[i]) * 1e-9;
        least = k && x[k] > least ? least : x[k];
        most = k && x[k] < most ? most : x[k];
        k++;
    }
    if (!k || !(fma > 0) || !(copy > 0))
        return;
    least = fmin(least, fma / copy) / 2;
    most = fmax(most, fma / copy) * 2;
    const double roof_x[] = { least, fma / copy, most }, roof_y[] = { least * copy, fma, fma };
    const report_series series[] = { { "roof", roof_x, roof_y, 3, false, NULL },
                                     { "operators", x, y, k, false, labels } };
    report_line_chart(page, &(report_lines){ .title = "Roofline",
                                             .x_label = "operations a byte",
                                             .y_label = "GFLOP/s",
                                             .log_x = true,
                                             .log_y = true,
                                             .series = series,
                                             .n_series = 2 });
}

void ops_page(report *page, const bench_peaks *peaks, const ops_result *r, int n)
{
    page_text *text = hn__calloc((size_t)n, sizeof *text);
    const char *cells[BENCH_MOST_SHAPES * OPS_COLUMNS];

    report_section(page, "Operators");
    report_text(
        page,
        "Each was run %d times and compared with its f64 reference in the same run: a part of "
        "a large result, drawn by a fixed seed, and all of a small one. Rates count what is "
        "read and written once; they are of the device's own clock where it has one. The roof "
        "is the longer of arithmetic at the measured f32 peak and bytes at the measured copy "
        "rate: %.4g GFLOP/s, %.4g GB/s, the fastest loops that `bench peaks` has. What caches "
        "hold can be above it. Backward products (dx, dw) are given as shares of the rate of the "
        "forward one too.",
        n ? r[0].wall.n : 0, bench_peak_rate(peaks, PEAK_FMA_F32) * 1e-9,
        bench_peak_rate(peaks, PEAK_COPY) * 1e-9);
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
        page_roofline(page, peaks, r, n, text);
        page_shares(page, r, n, text);
        report_table(page, columns, OPS_COLUMNS, cells, n);
    }
    hn__free(text);
}
