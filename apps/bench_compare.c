// hornito bench compare: results of two runs side by side, and whether they differ.
#include "bench.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/base.h"

enum { MOST_ROWS = 512, MOST_FILES = 64, NAME = 128 };

// How a command's file is read: where its rows are, and what they are called by.
typedef struct file_kind {
    const char *command, *rows, *names[2]; // rows: an array, or an object whose keys are the names
} file_kind;

static const file_kind kinds[] = {
    { "bench ops", "ops", { "op", "shape" } },
    { "bench step", "variants", { "name", NULL } },
    { "bench models", "models", { "name", NULL } },
    { "bench start", "starts", { "name", NULL } },
    { "bench peaks", "peaks", { NULL, NULL } },
};

typedef struct row {
    char name[NAME];
    const json_t *times; // an array of milliseconds
} row;

typedef struct result {
    const char *path;
    json_t *root;
    const file_kind *kind;
    row rows[MOST_ROWS];
    int n_rows;
} result;

typedef struct compare_options {
    bench_options bench;
    double fail_slower; // per cent; negative: not asked
} compare_options;

// A row that both have.
typedef struct pair {
    const row *a, *b;
    bench_stats sa, sb;
    bench_ratio r;
} pair;

// ---- reading -------------------------------------------------------------------------------

static const char *text_at(const json_t *o, const char *key)
{
    const char *s = json_string_value(json_object_get(o, key));
    return s ? s : "?";
}

// The times of a row; NULL where it has none.
static const json_t *times_of(const json_t *o)
{
    const json_t *wall = json_object_get(o, "wall");
    const json_t *t = json_object_get(wall, "times_ms");
    if (!t)
        t = json_object_get(o, "times_ms");
    if (!json_is_array(t) || !json_array_size(t) || json_array_size(t) > BENCH_MOST_REPEATS)
        return NULL;
    for (size_t i = 0; i < json_array_size(t); i++)
        if (!(json_number_value(json_array_get(t, i)) > 0))
            return NULL;
    return t;
}

static void add_row(result *r, const char *name, const json_t *o)
{
    if (r->n_rows == MOST_ROWS)
        return;
    row *to = &r->rows[r->n_rows++];
    snprintf(to->name, sizeof to->name, "%s", name);
    to->times = times_of(o);
}

static hn_status read_rows(result *r)
{
    const char *command = text_at(r->root, "command");
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++)
        if (!strcmp(kinds[i].command, command))
            r->kind = &kinds[i];
    if (!r->kind)
        return hn_fail(HN_ERR_FORMAT, "'%s' is no result of hornito bench that can be compared",
                       r->path);
    json_t *rows = json_object_get(r->root, r->kind->rows), *o;
    const char *key;
    size_t i;
    json_array_foreach(rows, i, o) {
        char name[NAME];
        const char *second = r->kind->names[1];
        snprintf(name, sizeof name, "%.60s%s%.60s", text_at(o, r->kind->names[0]),
                 second ? " " : "", second ? text_at(o, second) : "");
        add_row(r, name, o);
    }
    if (json_is_object(rows))
        json_object_foreach(rows, key, o)
            add_row(r, key, o);
    return r->n_rows ? HN_OK
                     : hn_fail(HN_ERR_FORMAT, "'%s' holds no rows '%s'", r->path, r->kind->rows);
}

static hn_status read_result(const char *path, result *r)
{
    char *text = NULL;
    size_t n = 0;
    json_error_t error;

    r->path = path;
    HN_TRY(app_read_text(path, &text, &n));
    r->root = json_loadb(text, n, 0, &error);
    hn__free(text);
    if (!r->root)
        return hn_fail(HN_ERR_FORMAT, "'%s' line %d is no JSON: %s", path, error.line, error.text);
    return read_rows(r);
}

// ---- comparing -----------------------------------------------------------------------------

static const row *find_row(const result *r, const char *name)
{
    for (int i = 0; i < r->n_rows; i++)
        if (!strcmp(r->rows[i].name, name))
            return &r->rows[i];
    return NULL;
}

static int take_times(const row *r, double out[BENCH_MOST_REPEATS])
{
    const int n = (int)json_array_size(r->times);
    for (int i = 0; i < n; i++)
        out[i] = json_number_value(json_array_get(r->times, (size_t)i)) * 1e-3;
    return n;
}

static void compare_pair(pair *p)
{
    double a[BENCH_MOST_REPEATS], b[BENCH_MOST_REPEATS];
    const int na = take_times(p->a, a), nb = take_times(p->b, b);
    p->sa = bench_summary(a, na);
    p->sb = bench_summary(b, nb);
    p->r = bench_ratio_of(a, na, b, nb);
}

static int compare_rows(const result *a, const result *b, pair out[MOST_ROWS])
{
    int n = 0;
    for (int i = 0; i < a->n_rows; i++) {
        const row *other = find_row(b, a->rows[i].name);
        if (!other || !other->times || !a->rows[i].times)
            continue;
        out[n] = (pair){ .a = &a->rows[i], .b = other };
        compare_pair(&out[n++]);
    }
    return n;
}

static const char *verdict(const pair *p)
{
    return p->r.low > 1 ? "slower" : p->r.high < 1 ? "faster" : "no difference";
}

static bool is_too_slow(const pair *p, double percent)
{
    return percent >= 0 && p->r.low > 1 + percent / 100;
}

// ---- saying --------------------------------------------------------------------------------

static const char *device_text(const result *r, char *buf, size_t n)
{
    const json_t *d = json_object_get(r->root, "device");
    snprintf(buf, n, "%s: %s %s, %s", r->path, text_at(d, "name"), text_at(d, "driver"),
             text_at(r->root, "time"));
    return buf;
}

typedef void (*alone_fn)(void *user, const char *name, const char *why);

// Calls for each row of `a` that cannot be compared with one of `b`, with why. A row without times
// in both (unsupported) is one of the first only.
static void each_alone(const result *a, const result *b, bool first, alone_fn each, void *user)
{
    char why[NAME + 64];
    for (int i = 0; i < a->n_rows; i++) {
        const row *r = &a->rows[i], *other = find_row(b, r->name);
        if (other && (r->times || (!first && !other->times)))
            continue;
        snprintf(why, sizeof why, other ? "no times in %.100s" : "only in %.100s", a->path);
        each(user, r->name, why);
    }
}

static void print_alone(void *user, const char *name, const char *why)
{
    (void)user;
    printf("%-48s %s\n", name, why);
}

static void print_pairs(const result *a, const result *b, const pair *p, int n)
{
    char text[512];
    printf("A  %s\n", device_text(a, text, sizeof text));
    printf("B  %s\n\n", device_text(b, text, sizeof text));
    printf("%-48s %12s %12s %8s %18s\n", "row", "A ms", "B ms", "B / A", "95 % interval");
    for (int i = 0; i < n; i++)
        printf("%-48s %12.4g %12.4g %8.3f %8.3f to %6.3f  %s\n", p[i].a->name,
               p[i].sa.median * 1e3, p[i].sb.median * 1e3, p[i].r.ratio, p[i].r.low, p[i].r.high,
               verdict(&p[i]));
    each_alone(a, b, true, print_alone, NULL);
    each_alone(b, a, false, print_alone, NULL);
}

static void json_alone(void *user, const char *name, const char *why)
{
    json_t *o = app_json_object();
    app_json_set(o, "row", app_json_text(name));
    app_json_set(o, "why", app_json_text(why));
    app_json_add(user, o);
}

static json_t *compare_json(const result *a, const result *b, const pair *p, int n)
{
    json_t *root = app_json_object(), *rows = app_json_array(), *alone = app_json_array();
    for (int i = 0; i < n; i++) {
        json_t *o = app_json_object();
        app_json_set(o, "row", app_json_text(p[i].a->name));
        app_json_set(o, "a_ms", app_json_number(p[i].sa.median * 1e3));
        app_json_set(o, "b_ms", app_json_number(p[i].sb.median * 1e3));
        app_json_set(o, "ratio", app_json_number(p[i].r.ratio));
        app_json_set(o, "low", app_json_number(p[i].r.low));
        app_json_set(o, "high", app_json_number(p[i].r.high));
        app_json_set(o, "verdict", app_json_text(verdict(&p[i])));
        app_json_add(rows, o);
    }
    each_alone(a, b, true, json_alone, alone);
    each_alone(b, a, false, json_alone, alone);
    app_json_set(root, "command", app_json_text("bench compare"));
    app_json_set(root, "of", app_json_text(a->kind->command));
    app_json_set(root, "a", app_json_text(a->path));
    app_json_set(root, "b", app_json_text(b->path));
    app_json_set(root, "interval", app_json_text("95 %, bootstrap of the ratio of medians"));
    app_json_set(root, "rows", rows);
    app_json_set(root, "not_compared", alone);
    return root;
}

static int by_change(const void *a, const void *b)
{
    const double x = fabs(log((*(const pair *const *)a)->r.ratio)),
                 y = fabs(log((*(const pair *const *)b)->r.ratio));
    return (x < y) - (x > y);
}

// Medians of the rows that changed most over all files, in the order they were given: a line a
// row.
static void page_history(report *page, const result *f, int n_files, const pair *p, int n)
{
    enum { MOST_LINES = 12 };
    double x[MOST_FILES], y[MOST_LINES][MOST_FILES];
    report_series series[MOST_LINES];
    const int n_lines = n < MOST_LINES ? n : MOST_LINES;
    const pair *most[MOST_ROWS];

    for (int k = 0; k < n; k++)
        most[k] = &p[k];
    if (n > MOST_LINES)
        qsort(most, (size_t)n, sizeof *most, by_change);
    for (int k = 0; k < n_lines; k++) {
        for (int i = 0; i < n_files; i++) {
            double t[BENCH_MOST_REPEATS];
            const row *r = find_row(&f[i], most[k]->a->name);
            x[i] = i + 1;
            y[k][i] = NAN;
            if (r && r->times)
                y[k][i] = bench_summary(t, take_times(r, t)).median / most[k]->sa.median;
        }
        series[k] = (report_series){ most[k]->a->name, x, y[k], n_files, false, NULL };
    }
    report_section(page, "History");
    report_text(page, "Medians in the order the files were given, by those of the first%s.",
                n > MOST_LINES ? "; the twelve rows that changed most" : "");
    report_line_chart(page, &(report_lines){ .title = "Time by that of the first file",
                                             .x_label = "file",
                                             .y_label = "ratio",
                                             .series = series,
                                             .n_series = n_lines });
    for (int i = 0; i < n_files; i++) {
        char text[512];
        report_text(page, "%d: %s", i + 1, device_text(&f[i], text, sizeof text));
    }
}

static report *compare_page(const result *f, int n_files, const pair *p, int n)
{
    enum { COLUMNS = 6, CELL = 64 };
    static const char *const columns[COLUMNS] = { "row", "A ms", "B ms", "B / A", "95 % interval",
                                                  "verdict" };
    static const char *const series[] = { "B / A" };
    char text[512], cell[MOST_ROWS][4][CELL];
    const char *cells[MOST_ROWS * COLUMNS], *labels[MOST_ROWS];
    double ratio[MOST_ROWS];
    report *page = report_create("Two runs compared", f[0].kind->command);

    for (int i = 0; i < n; i++) {
        snprintf(cell[i][0], CELL, "%.4g", p[i].sa.median * 1e3);
        snprintf(cell[i][1], CELL, "%.4g", p[i].sb.median * 1e3);
        snprintf(cell[i][2], CELL, "%.3f", p[i].r.ratio);
        snprintf(cell[i][3], CELL, "%.3f to %.3f", p[i].r.low, p[i].r.high);
        cells[i * COLUMNS] = labels[i] = p[i].a->name;
        for (int c = 0; c < 4; c++)
            cells[i * COLUMNS + 1 + c] = cell[i][c];
        cells[i * COLUMNS + 5] = verdict(&p[i]);
        ratio[i] = p[i].r.ratio;
    }
    report_text(page, "A: %s", device_text(&f[0], text, sizeof text));
    report_text(page, "B: %s", device_text(&f[n_files - 1], text, sizeof text));
    report_text(page, "Ratios of medians; the interval holds 95 %% of the ratios of medians when "
                      "both runs' times are drawn anew (bootstrap). A row differs where 1 is "
                      "outside of it.");
    report_bar_chart(page, &(report_bars){ "Time of B by that of A", "ratio", labels, n, series, 1,
                                           ratio });
    report_table(page, columns, COLUMNS, cells, n);
    page_history(page, f, n_files, p, n);
    return page;
}

// ---- the command ---------------------------------------------------------------------------

static int conclude(const compare_options *o, const result *f, int n_files)
{
    static pair pairs[MOST_ROWS];
    const result *a = &f[0], *b = &f[n_files - 1];
    const pair *first = NULL;
    int n_slow = 0;

    const int n = compare_rows(a, b, pairs);
    if (bench_prints(&o->bench))
        print_pairs(a, b, pairs, n);
    report *page = o->bench.html ? compare_page(f, n_files, pairs, n) : NULL;
    const int rc = bench_write(&o->bench, compare_json(a, b, pairs, n), &page);
    if (rc)
        return rc;
    for (int i = 0; i < n; i++)
        if (is_too_slow(&pairs[i], o->fail_slower)) {
            first = first ? first : &pairs[i];
            n_slow++;
        }
    return first ? app_error("%d of %d rows are slower by more than %g %%, first '%s': %.3f",
                             n_slow, n, o->fail_slower, first->a->name, first->r.ratio)
                 : APP_DONE;
}

static int compare(const compare_options *o, const char *const paths[], int n)
{
    result *f = hn__calloc((size_t)n, sizeof *f);
    int rc = f ? APP_DONE : app_fail(hn__nomem((size_t)n * sizeof *f));

    for (int i = 0; !rc && i < n; i++) {
        rc = app_fail(read_result(paths[i], &f[i]));
        if (!rc && f[i].kind != f[0].kind)
            rc = app_error("'%s' is of %s and '%s' of %s: give files of one command", f[0].path,
                           f[0].kind->command, f[i].path, f[i].kind->command);
    }
    if (!rc)
        rc = conclude(o, f, n);
    for (int i = 0; f && i < n; i++)
        json_decref(f[i].root);
    hn__free(f);
    return rc;
}

int app_bench_compare(int argc, const char **argv)
{
    compare_options o = { .fail_slower = -1 };
    const struct poptOption options[] = {
        { "fail-slower", 0, POPT_ARG_DOUBLE, &o.fail_slower, 0,
          "fail where a row is surely slower by more than this", "PERCENT" },
        BENCH_FILE_OPTIONS(o.bench),
        APP_COMMON_OPTIONS,
    };
    app_args args;
    int rc = app_begin(argc, argv, options, &args);
    if (rc < 0 && (args.n_rest < 2 || args.n_rest > MOST_FILES))
        rc = app_usage("give 2 to %d files that --json wrote; the first and the last are compared",
                       MOST_FILES);
    if (rc < 0)
        rc = compare(&o, args.rest, args.n_rest);
    return app_end(&args, rc);
}
