// A page for people to look at: headings, tables and charts in one HTML file that needs no
// network. Builders are sticky: the first failure (NOMEM) is kept, and report_write returns it.
#ifndef HORNITO_REPORT_H
#define HORNITO_REPORT_H

#include "hornito/base.h"

typedef struct report report;

// Texts are UTF-8, copied and escaped. `subtitle` may be NULL. NULL when out of memory, which all
// functions here take.
report *report_create(const char *title, const char *subtitle);
void report_destroy(report **r);

// A heading over what follows, and a paragraph (printf's).
void report_section(report *r, const char *heading);
void report_text(report *r, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

// Facts with their names, two columns.
typedef struct report_pair {
    const char *key, *value;
} report_pair;
void report_pairs(report *r, const report_pair pairs[], int n);

// A table. Cells in rows, n_rows * n_columns of them; NULL is an empty cell. A column of
// numbers ("12", "1.5 ms") is set to the right.
void report_table(report *r, const char *const columns[], int n_columns, const char *const cells[],
                  int n_rows);

typedef struct report_series {
    const char *name;
    const double *x, *y; // n of them; a y that is no finite number leaves a gap
    int64_t n;
    bool faint; // in the background: raw values behind a mean
    const char *const *labels; // of single points, shown without a line between; NULL: a line
} report_series;

typedef struct report_lines {
    const char *title, *x_label, *y_label;
    bool log_x, log_y; // points at or below 0 are left out
    const report_series *series;
    int n_series;
} report_lines;
void report_line_chart(report *r, const report_lines *lines);

typedef struct report_bars {
    const char *title, *value_label;
    const char *const *labels; // n_labels: what each group of bars stands for
    int n_labels;
    const char *const *series; // n_series names
    int n_series;
    const double *values; // [n_series, n_labels]; one that is no finite number has no bar
} report_bars;
void report_bar_chart(report *r, const report_bars *bars);

// Writes the page, whole or not at all. Errors: NOMEM, IO.
hn_status report_write(report *r, const char *path);

#endif
