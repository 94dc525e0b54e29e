// What the subcommands of `hornito bench` share.
#include "bench.h"

#include <math.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "base/os.h"

#ifdef HN_HAVE_OPENBLAS
#include <cblas.h>
#endif

int bench_usage(const bench_options *o)
{
    if (o->repeats < BENCH_LEAST_REPEATS || o->repeats > BENCH_MOST_REPEATS)
        return app_usage("--repeats %d: give %d (fewer say nothing) to %d", o->repeats,
                         BENCH_LEAST_REPEATS, BENCH_MOST_REPEATS);
    if (o->warmup < 1 || o->warmup > BENCH_MOST_REPEATS)
        return app_usage("--warmup %d: give 1 to %d", o->warmup, BENCH_MOST_REPEATS);
    return -1;
}

const char *bench_text(const bench_stats *s, char *buf, size_t n)
{
    const double by = s->median < 1e-3 ? 1e6 : s->median < 1 ? 1e3 : 1;
    const char *unit = s->median < 1e-3 ? "us" : s->median < 1 ? "ms" : "s";
    const int digits = s->median * by < 10 ? 2 : s->median * by < 100 ? 1 : 0;
    snprintf(buf, n, "%.*f %s (%.*f to %.*f)", digits, s->median * by, unit, digits, s->q1 * by,
             digits, s->q3 * by);
    return buf;
}

json_t *bench_json(const bench_stats *s)
{
    json_t *o = app_json_object();
    app_json_set(o, "n", app_json_int(s->n));
    app_json_set(o, "median_ms", app_json_number(s->median * 1e3));
    app_json_set(o, "q1_ms", app_json_number(s->q1 * 1e3));
    app_json_set(o, "q3_ms", app_json_number(s->q3 * 1e3));
    app_json_set(o, "min_ms", app_json_number(s->min * 1e3));
    app_json_set(o, "max_ms", app_json_number(s->max * 1e3));
    return o;
}

json_t *bench_json_times(const bench_stats *s, const double seconds[])
{
    json_t *o = bench_json(s), *times = app_json_array();
    for (int i = 0; i < s->n; i++)
        app_json_add(times, app_json_number(seconds[i] * 1e3));
    app_json_set(o, "times_ms", times);
    return o;
}

bool bench_prints(const bench_options *o)
{
    return !o->json || strcmp(o->json, "-");
}

// ---- the head ------------------------------------------------------------------------------

static const char *blas_text(char *buf, size_t n)
{
#ifdef HN_HAVE_OPENBLAS
    static const char *const kinds[] = { "one thread", "pthreads", "OpenMP" };
    const int kind = openblas_get_parallel();
    snprintf(buf, n, "%s (%s)", openblas_get_config(), kind >= 0 && kind < 3 ? kinds[kind] : "?");
#else
    snprintf(buf, n, "none");
#endif
    return buf;
}

static const char *now_text(char *buf, size_t n)
{
    const time_t now = time(NULL);
    struct tm utc;
    if (!gmtime_r(&now, &utc) || !strftime(buf, n, "%Y-%m-%dT%H:%M:%SZ", &utc))
        snprintf(buf, n, "?");
    return buf;
}

json_t *bench_head(const char *command, const hn_device *d)
{
    char buf[256];
    json_t *o = app_json_object(), *build = app_json_object();
    app_json_set(build, "version", app_json_text(HORNITO_VERSION));
    app_json_set(build, "compiler", app_json_text(__VERSION__));
    app_json_set(build, "blas", app_json_text(blas_text(buf, sizeof buf)));
    app_json_set(o, "command", app_json_text(command));
    app_json_set(o, "time", app_json_text(now_text(buf, sizeof buf)));
    app_json_set(o, "build", build);
    app_json_set(o, "processors", app_json_int(hn__cpu_count()));
    app_json_set(o, "device", app_json_device(hn_device_get_info(d)));
    app_json_set(o, "why", app_json_text(hn_device_reason(d)));
    return o;
}

report *bench_page(const char *title, const hn_device *d)
{
    const hn_device_info *i = hn_device_get_info(d);
    char blas[256], when[64], processors[32], build[256], device[640];
    report *r = report_create(title, i->name);
    snprintf(processors, sizeof processors, "%d", hn__cpu_count());
    snprintf(build, sizeof build, "hornito %s, compiler %s", HORNITO_VERSION, __VERSION__);
    snprintf(device, sizeof device, "%s: %s%s%s", i->spec, i->name, *i->driver ? ", " : "",
             i->driver);
    report_pairs(r,
                 (report_pair[]){ { "device", device },
                                  { "chosen", hn_device_reason(d) },
                                  { "build", build },
                                  { "matrix products", blas_text(blas, sizeof blas) },
                                  { "processors", processors },
                                  { "measured", now_text(when, sizeof when) } },
                 6);
    return r;
}

int bench_write(const bench_options *o, json_t *results, report **page)
{
    int rc = APP_DONE;
    if (o->html)
        rc = app_fail(report_write(*page, o->html));
    report_destroy(page);
    if (!o->json)
        json_decref(results);
    else if (app_json_write(results, o->json))
        rc = APP_FAILED;
    return rc;
}

double bench_error(const float got[], const float want[], int64_t n)
{
    double sq = 0, worst = 0;
    for (int64_t i = 0; i < n; i++)
        sq += (double)want[i] * want[i];
    const double rms = sqrt(sq / (double)n);
    for (int64_t i = 0; i < n; i++) {
        if (got[i] == want[i])
            continue;
        const double e = fabs((double)got[i] - want[i]) / (fabs((double)want[i]) + rms);
        worst = isnan(e) ? INFINITY : fmax(worst, e);
    }
    return worst;
}
