// hornito bench peaks: what a device can do at most.
#include "bench_peaks.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/os.h"

typedef struct peak_row {
    const char *key, *name, *unit; // of the rate; NULL: a time
} peak_row;

static const peak_row peak_rows[N_PEAKS] = {
    [PEAK_FMA_F32] = { "fma_f32", "f32 multiply and add", "GFLOP/s" },
    [PEAK_FMA_F16] = { "fma_f16", "f16 multiply and add", "GFLOP/s" },
    [PEAK_DOT_I8] = { "dot_i8", "8-bit integer dot product", "GOP/s" },
    [PEAK_COOPMAT] = { "coopmat_f16", "f16 cooperative matrices, f32 sums", "GFLOP/s" },
    [PEAK_COPY] = { "copy", "copy, bytes read and written", "GB/s" },
    [PEAK_SUBMIT] = { "submit", "one trivial dispatch, submitted and waited for", NULL },
    [PEAK_WAKE] = { "wake", "one trivial loop of all threads", NULL },
    [PEAK_WAKE_SLEEPING] = { "wake_sleeping", "the same with threads asleep", NULL },
    [PEAK_UPLOAD] = { "upload", "upload to the device", "GB/s" },
    [PEAK_DOWNLOAD] = { "download", "download from the device", "GB/s" },
};

// ---- measuring -----------------------------------------------------------------------------

hn_status bench_peak_lacks(bench_peak *out, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(out->why, sizeof out->why, fmt, ap);
    va_end(ap);
    return HN_OK;
}

void bench_peak_keep(bench_peak *out, double amount, const double seconds[], int n)
{
    memcpy(out->seconds, seconds, (size_t)n * sizeof *seconds);
    out->time = bench_summary(seconds, n);
    out->amount = amount;
}

void bench_peak_form(bench_peak *out, double amount, const double seconds[], const char *fmt, ...)
{
    bench_peak_way *w = &out->ways[out->n_ways];
    va_list ap;
    if (out->n_ways == PEAK_MOST_FORMS)
        return;
    va_start(ap, fmt);
    vsnprintf(w->text, sizeof w->text, fmt, ap);
    va_end(ap);
    w->rate = amount / bench_summary(seconds, PEAK_REPEATS).min;
    if (!out->n_ways || w->rate > out->ways[out->best].rate) {
        out->best = out->n_ways;
        bench_peak_keep(out, amount, seconds, PEAK_REPEATS);
    }
    out->n_ways++;
}

// Bytes in and out of a buffer of the device through hn_buffer_write and hn_buffer_read, which are
// compared.
static hn_status carry(hn_device *d, bench_peak *out, bool up)
{
    enum { BYTES = 32 << 20 };
    double seconds[PEAK_REPEATS];
    hn_buffer *b = NULL;
    uint32_t *in = hn__calloc(BYTES, 1), *back = hn__calloc(BYTES, 1);
    hn_status s = in && back ? hn_buffer_create(d, BYTES, &b) : hn__nomem(BYTES);

    for (uint32_t i = 0; s == HN_OK && i < BYTES / 4; i++)
        in[i] = i * 2654435761u;
    for (int i = -2; s == HN_OK && i < PEAK_REPEATS; i++) {
        uint64_t at = hn__now_ns();
        s = hn_buffer_write(b, 0, in, BYTES);
        const double wrote = (double)(hn__now_ns() - at) * 1e-9;
        at = hn__now_ns();
        if (s == HN_OK)
            s = hn_buffer_read(b, 0, back, BYTES);
        if (i >= 0)
            seconds[i] = up ? wrote : (double)(hn__now_ns() - at) * 1e-9;
    }
    if (s == HN_OK && memcmp(in, back, BYTES))
        s = hn_fail(HN_ERR_DEVICE, "bytes came back from the device otherwise than they went");
    if (s == HN_OK)
        bench_peak_keep(out, BYTES, seconds, PEAK_REPEATS);
    hn_buffer_destroy(&b);
    hn__free(in);
    hn__free(back);
    return s;
}

static hn_status measure(hn_device *d, peak_id id, bench_peak *out)
{
    const hn_device_kind kind = hn_device_get_info(d)->kind;

    if (kind == HN_DEVICE_REF)
        return bench_peak_lacks(out, "the reference is not made for speed");
    if (kind != HN_DEVICE_VULKAN)
        return bench_peak_host(d, id, out);
    if (id == PEAK_UPLOAD || id == PEAK_DOWNLOAD)
        return carry(d, out, id == PEAK_UPLOAD);
    return bench_peak_vk(d, id, out);
}

hn_status bench_peaks_measure(hn_device *d, unsigned wanted, bench_peaks *out)
{
    memset(out, 0, sizeof *out);
    for (int i = 0; i < N_PEAKS; i++)
        if (wanted & 1u << i)
            HN_TRY(hn_context(measure(d, (peak_id)i, &out->peak[i]), "peak '%s'",
                              peak_rows[i].name));
    return HN_OK;
}

double bench_peak_rate(const bench_peaks *p, peak_id id)
{
    const bench_peak *k = &p->peak[id];
    return k->time.n && k->time.min > 0 ? k->amount / k->time.min : 0;
}

const char *bench_peak_best(const bench_peaks *p, peak_id id)
{
    const bench_peak *k = &p->peak[id];
    return k->n_ways ? k->ways[k->best].text : "";
}

double bench_roof(const bench_peaks *p, double flop, double bytes)
{
    const double fma = bench_peak_rate(p, PEAK_FMA_F32), copy = bench_peak_rate(p, PEAK_COPY);
    if ((flop > 0 && !(fma > 0)) || !(copy > 0))
        return 0;
    return fmax(flop > 0 ? flop / fma : 0, bytes / copy);
}

// ---- saying --------------------------------------------------------------------------------

// "107 GFLOP/s, median 104 (16 x 4: 76, 32 x 4: 107)", "12.3 us", "unsupported: why" into buf.
static const char *figure(const bench_peak *k, const peak_row *row, char *buf, size_t n)
{
    if (*k->why)
        snprintf(buf, n, "unsupported: %s", k->why);
    else if (!row->unit)
        bench_text(&k->time, buf, n);
    else
        snprintf(buf, n, "%.4g %s, median %.4g", k->amount / k->time.min * 1e-9, row->unit,
                 k->amount / k->time.median * 1e-9);
    for (int i = 0; i < k->n_ways && !*k->why; i++) {
        const size_t at = strlen(buf);
        snprintf(buf + at, n - at, "%s%s: %.4g%s", i ? ", " : " (", k->ways[i].text,
                 k->ways[i].rate * 1e-9, i == k->n_ways - 1 ? ")" : "");
    }
    return buf;
}

static json_t *ways_json(const bench_peak *k)
{
    json_t *o = app_json_object();
    for (int i = 0; i < k->n_ways; i++)
        app_json_set(o, k->ways[i].text, app_json_number(k->ways[i].rate * 1e-9));
    return o;
}

json_t *bench_peaks_json(const bench_peaks *p)
{
    json_t *root = app_json_object();
    for (int i = 0; i < N_PEAKS; i++) {
        const bench_peak *k = &p->peak[i];
        json_t *o = app_json_object();
        app_json_set(o, "what", app_json_text(peak_rows[i].name));
        if (*k->why) {
            app_json_set(o, "unsupported", app_json_text(k->why));
        } else if (k->time.n) {
            if (peak_rows[i].unit) {
                app_json_set(o, "rate", app_json_number(k->amount / k->time.min * 1e-9));
                app_json_set(o, "median_rate", app_json_number(k->amount / k->time.median * 1e-9));
                app_json_set(o, "unit", app_json_text(peak_rows[i].unit));
            }
            app_json_set(o, "wall", bench_json_times(&k->time, k->seconds));
            if (k->n_ways) {
                app_json_set(o, "ways", ways_json(k));
                app_json_set(o, "best", app_json_text(k->ways[k->best].text));
            }
        } else {
            json_decref(o); // not asked for
            continue;
        }
        app_json_set(root, peak_rows[i].key, o);
    }
    return root;
}

static void page_peaks(report *page, const bench_peaks *p)
{
    char text[N_PEAKS][320];
    report_pair pairs[N_PEAKS];
    for (int i = 0; i < N_PEAKS; i++)
        pairs[i] = (report_pair){ peak_rows[i].name,
                                  figure(&p->peak[i], &peak_rows[i], text[i], sizeof *text) };
    report_section(page, "Peaks");
    report_text(
        page,
        "Rates are of the fastest of %d runs, times are medians. Arithmetic is on registers "
        "alone, and checked; it is the best of a few kernels that run in turn, named by sums a "
        "thread x steps a turn of the loop. `bench ops` gives shares of these.",
        PEAK_REPEATS);
    report_pairs(page, pairs, N_PEAKS);
}

// ---- the command ---------------------------------------------------------------------------

static int peaks(const bench_options *o)
{
    hn_device *d = NULL;
    bench_peaks p;
    report *page = NULL;

    int rc = app_fail(app_open_device(&o->dev, &d));
    if (!rc)
        rc = app_fail(bench_peaks_measure(d, (1u << N_PEAKS) - 1, &p));
    if (!rc) {
        const hn_device_info *info = hn_device_get_info(d);
        if (bench_prints(o)) {
            char text[320];
            printf("%s: %s %s\n\n", info->spec, info->name, info->driver);
            for (int i = 0; i < N_PEAKS; i++)
                printf("%-48s %s\n", peak_rows[i].name,
                       figure(&p.peak[i], &peak_rows[i], text, sizeof text));
        }
        json_t *root = bench_head("bench peaks", d);
        app_json_set(root, "peaks", bench_peaks_json(&p));
        if (o->html) {
            page = bench_page("Peaks of a device", d);
            page_peaks(page, &p);
        }
        rc = bench_write(o, root, &page);
    }
    return app_close_device(&d, rc);
}

int app_bench_peaks(int argc, const char **argv)
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
        rc = peaks(&o);
    return app_end(&args, rc);
}
