// What the subcommands of `hornito bench` share: repeats, medians, the JSON and the page.
#ifndef HORNITO_BENCH_H
#define HORNITO_BENCH_H

#include "app.h"
#include "bench_statistics.h"
#include "json.h"
#include "report.h"

#include "hornito/plan.h"

typedef struct bench_options {
    app_device_options dev;
    char *json, *html;  // files; NULL: not wanted
    int repeats, warmup;
} bench_options;

#define BENCH_FILE_OPTIONS(o)                                                                     \
    { "json", 0, POPT_ARG_STRING, &(o).json, 0, "results for machines (-: standard output)",      \
      "FILE" },                                                                                   \
    { "html", 0, POPT_ARG_STRING, &(o).html, 0, "results as a page with charts", "FILE" }

#define BENCH_OPTIONS(o)                                                                          \
    { "repeats", 'n', POPT_ARG_INT | POPT_ARGFLAG_SHOW_DEFAULT, &(o).repeats, 0,                  \
      "times each is measured", "N" },                                                            \
    { "warmup", 0, POPT_ARG_INT | POPT_ARGFLAG_SHOW_DEFAULT, &(o).warmup, 0,                      \
      "times before that, not counted", "N" },                                                    \
    BENCH_FILE_OPTIONS(o)

// -1 where the numbers are in range, otherwise a usage error that was said.
int bench_usage(const bench_options *o);

// "12.3 ms (12.1 to 12.9)" into buf.
const char *bench_text(const bench_stats *s, char *buf, size_t n);
// Milliseconds.
json_t *bench_json(const bench_stats *s);
// The same with all s->n times, which `bench compare` needs.
json_t *bench_json_times(const bench_stats *s, const double seconds[]);

// False where `--json -` has the standard output for itself.
bool bench_prints(const bench_options *o);

// What every result begins with: command, time, build, machine, device.
json_t *bench_head(const char *command, const hn_device *d);
report *bench_page(const char *title, const hn_device *d);
// Writes and takes both, where they are wanted. Returns an exit code.
int bench_write(const bench_options *o, json_t *results, report **page);

// The largest |got - want| / (|want| + rms(want)) of n numbers; infinite where one is no number.
double bench_error(const float got[], const float want[], int64_t n);

#endif
