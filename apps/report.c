// A page for people to look at, as one HTML file.
#include "report.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/os.h"
#include "report_parts.h"

// Text that grows. After a failure to grow it takes nothing more.
typedef struct text {
    char *p;
    int64_t n, cap;
    bool failed;
} text;

struct report {
    text body, charts; // HTML, and the elements of a JSON array
    char *title;
    int n_charts;
};

// ---- text ----------------------------------------------------------------------------------

static void put_bytes(text *t, const char *s, size_t n)
{
    void *p = t->p;
    if (t->failed || hn__reserve(&p, &t->cap, t->n + (int64_t)n + 1, 1)) {
        t->failed = true;
        return;
    }
    t->p = p;
    memcpy(t->p + t->n, s, n);
    t->n += (int64_t)n;
    t->p[t->n] = 0;
}

static void put(text *t, const char *s)
{
    put_bytes(t, s, strlen(s));
}

// Escaped for HTML: between tags and inside quotes alike.
static void put_html(text *t, const char *s)
{
    for (; *s; s++) {
        const char *e = *s == '&'    ? "&amp;"
                        : *s == '<'  ? "&lt;"
                        : *s == '>'  ? "&gt;"
                        : *s == '"'  ? "&quot;"
                        : *s == '\'' ? "&#39;"
                                     : NULL;
        if (e)
            put(t, e);
        else
            put_bytes(t, s, 1);
    }
}

// A JSON string that may stand inside a script element: no '<' is left in it.
static void put_string(text *t, const char *s)
{
    put(t, "\"");
    for (; *s; s++) {
        const unsigned char c = (unsigned char)*s;
        char u[8];
        if (c < ' ' || c == '"' || c == '\\' || c == '<' || c == '>' || c == '&') {
            snprintf(u, sizeof u, "\\u%04x", c);
            put(t, u);
        } else {
            put_bytes(t, s, 1);
        }
    }
    put(t, "\"");
}

static void put_number(text *t, double x)
{
    char s[32];
    snprintf(s, sizeof s, "%.7g", x);
    put(t, isfinite(x) ? s : "null");
}

static void put_key(text *t, const char *key, const char *value)
{
    put(t, "\"");
    put(t, key);
    put(t, "\":");
    put_string(t, value ? value : "");
    put(t, ",");
}

// ---- the page ------------------------------------------------------------------------------

report *report_create(const char *title, const char *subtitle)
{
    report *r = hn__calloc(1, sizeof *r);
    if (!r)
        return NULL;
    r->title = hn__calloc(strlen(title) + 1, 1);
    if (!r->title) {
        hn__free(r);
        return NULL;
    }
    strcpy(r->title, title);
    put(&r->body, "<header><h1>");
    put_html(&r->body, title);
    put(&r->body, "</h1>");
    if (subtitle) {
        put(&r->body, "<p class=\"subtitle\">");
        put_html(&r->body, subtitle);
        put(&r->body, "</p>");
    }
    put(&r->body, "</header>\n");
    return r;
}

void report_destroy(report **r)
{
    if (!*r)
        return;
    hn__free((*r)->body.p);
    hn__free((*r)->charts.p);
    hn__free((*r)->title);
    hn__free(*r);
    *r = NULL;
}

void report_section(report *r, const char *heading)
{
    if (!r)
        return;
    put(&r->body, "<h2>");
    put_html(&r->body, heading);
    put(&r->body, "</h2>\n");
}

void report_text(report *r, const char *fmt, ...)
{
    char line[2048];
    va_list ap;
    if (!r)
        return;
    va_start(ap, fmt);
    vsnprintf(line, sizeof line, fmt, ap);
    va_end(ap);
    put(&r->body, "<p>");
    put_html(&r->body, line);
    put(&r->body, "</p>\n");
}

void report_pairs(report *r, const report_pair pairs[], int n)
{
    if (!r)
        return;
    put(&r->body, "<table class=\"pairs\"><tbody>\n");
    for (int i = 0; i < n; i++) {
        put(&r->body, "<tr><th scope=\"row\">");
        put_html(&r->body, pairs[i].key);
        put(&r->body, "</th><td>");
        put_html(&r->body, pairs[i].value ? pairs[i].value : "");
        put(&r->body, "</td></tr>\n");
    }
    put(&r->body, "</tbody></table>\n");
}

// A number alone or with a unit or more words after a space: "12", "1.5 ms (1.4 to 1.6)".
static bool is_number(const char *s)
{
    s += strspn(s, "+-");
    const size_t n = strspn(s, "0123456789.e");
    return *s >= '0' && *s <= '9' && (!s[n] || s[n] == ' ');
}

// Whether the column's cells, but for empty ones, are numbers.
static bool right_column(const char *const cells[], int n_rows, int n_columns, int c)
{
    int n = 0;
    for (int i = 0; i < n_rows; i++) {
        const char *s = cells[i * n_columns + c];
        if (!s || !*s)
            continue;
        if (!is_number(s))
            return false;
        n++;
    }
    return n > 0;
}

void report_table(report *r, const char *const columns[], int n_columns, const char *const cells[],
                  int n_rows)
{
    if (!r)
        return;
    text *t = &r->body;
    put(t, "<div class=\"scroll\"><table><thead><tr>");
    for (int c = 0; c < n_columns; c++) {
        put(t, right_column(cells, n_rows, n_columns, c) ? "<th class=\"number\">" : "<th>");
        put_html(t, columns[c]);
        put(t, "</th>");
    }
    put(t, "</tr></thead><tbody>\n");
    for (int i = 0; i < n_rows; i++) {
        put(t, "<tr>");
        for (int c = 0; c < n_columns; c++) {
            const char *s = cells[i * n_columns + c];
            put(t, right_column(cells, n_rows, n_columns, c) ? "<td class=\"number\">" : "<td>");
            put_html(t, s ? s : "");
            put(t, "</td>");
        }
        put(t, "</tr>\n");
    }
    put(t, "</tbody></table></div>\n");
}

// ---- charts --------------------------------------------------------------------------------

// The place of a chart in the page; its data follow in r->charts.
static void begin_chart(report *r, const char *kind, const char *title, double height_rem)
{
    char line[96];
    put(&r->body, "<figure><figcaption>");
    put_html(&r->body, title);
    snprintf(line, sizeof line, "</figcaption><div class=\"chart\" style=\"height:%.1frem\">",
             height_rem);
    put(&r->body, line);
    snprintf(line, sizeof line, "<canvas id=\"chart-%d\" role=\"img\" aria-label=\"", r->n_charts);
    put(&r->body, line);
    put_html(&r->body, title);
    put(&r->body, "\"></canvas></div></figure>\n");

    put(&r->charts, r->n_charts++ ? ",\n{" : "{");
    put_key(&r->charts, "kind", kind);
}

static void put_points(text *t, const report_lines *l, const report_series *s)
{
    bool first = true;
    for (int64_t k = 0; k < s->n; k++) {
        if (!isfinite(s->x[k]) || (l->log_x && !(s->x[k] > 0)) || (l->log_y && !(s->y[k] > 0)))
            continue;
        put(t, first ? "{\"x\":" : ",{\"x\":");
        put_number(t, s->x[k]);
        put(t, ",\"y\":");
        put_number(t, s->y[k]);
        if (s->labels) {
            put(t, ",\"name\":");
            put_string(t, s->labels[k]);
        }
        put(t, "}");
        first = false;
    }
}

void report_line_chart(report *r, const report_lines *l)
{
    if (!r)
        return;
    text *t = &r->charts;
    begin_chart(r, "lines", l->title, 22);
    put_key(t, "x_label", l->x_label);
    put_key(t, "y_label", l->y_label);
    put(t, l->log_x ? "\"log_x\":true," : "\"log_x\":false,");
    put(t, l->log_y ? "\"log_y\":true," : "\"log_y\":false,");
    put(t, "\"series\":[");
    for (int i = 0; i < l->n_series; i++) {
        const report_series *s = &l->series[i];
        put(t, i ? ",{" : "{");
        put_key(t, "name", s->name);
        put(t, s->labels ? "\"dots\":true," : "\"dots\":false,");
        put(t, s->faint ? "\"faint\":true,\"points\":[" : "\"faint\":false,\"points\":[");
        put_points(t, l, s);
        put(t, "]}");
    }
    put(t, "]}");
}

void report_bar_chart(report *r, const report_bars *b)
{
    if (!r)
        return;
    text *t = &r->charts;
    begin_chart(r, "bars", b->title,
                5 + 1.6 * b->n_labels * (b->n_series > 1 ? b->n_series * 0.75 : 1));
    put_key(t, "value_label", b->value_label);
    put(t, "\"labels\":[");
    for (int i = 0; i < b->n_labels; i++) {
        put(t, i ? "," : "");
        put_string(t, b->labels[i]);
    }
    put(t, "],\"series\":[");
    for (int s = 0; s < b->n_series; s++) {
        put(t, s ? ",{" : "{");
        put_key(t, "name", b->series[s]);
        put(t, "\"values\":[");
        for (int i = 0; i < b->n_labels; i++) {
            put(t, i ? "," : "");
            put_number(t, b->values[s * b->n_labels + i]);
        }
        put(t, "]}");
    }
    put(t, "]}");
}

// ---- writing -------------------------------------------------------------------------------

// A browser fetches nothing for this page, whatever stands in it.
static const char head[] =
    "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n"
    "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n"
    "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; "
    "script-src 'unsafe-inline'; style-src 'unsafe-inline'\">\n<title>";

static void put_page(text *t, const report *r)
{
    put(t, head);
    put_html(t, r->title);
    put(t, "</title>\n<style>\n");
    put(t, (const char *)report_style);
    put(t, "</style>\n</head>\n<body>\n<main>\n");
    put_bytes(t, r->body.p, (size_t)r->body.n);
    put(t, "<footer>Made by hornito.");
    if (r->n_charts) {
        put(t, "<noscript> The charts need JavaScript; the tables do "
               "not.</noscript>\n<details><summary>"
               "Charts by Chart.js 3.9: its licence</summary><pre>");
        put_html(t, (const char *)report_chart_licence);
        put(t, "</pre></details>");
    }
    put(t, "</footer>\n</main>\n");
    if (r->n_charts) {
        put(t, "<script type=\"application/json\" id=\"charts\">[\n");
        put_bytes(t, r->charts.p, (size_t)r->charts.n);
        put(t, "\n]</script>\n<script>");
        put(t, (const char *)report_chart_js);
        put(t, "</script>\n<script>\n");
        put(t, (const char *)report_script);
        put(t, "</script>\n");
    }
    put(t, "</body>\n</html>\n");
}

hn_status report_write(report *r, const char *path)
{
    text page = { 0 };
    hn__newfile f = { 0 };
    hn_status s = HN_OK;

    if (r && !r->body.failed && !r->charts.failed)
        put_page(&page, r);
    if (!r || r->body.failed || r->charts.failed || page.failed)
        s = hn_context(hn__nomem(1 << 20), "write '%s'", path);
    if (!s)
        s = hn__newfile_open(path, &f);
    if (!s)
        s = hn__newfile_write(&f, page.p, (size_t)page.n);
    if (!s)
        s = hn__newfile_commit(&f);
    hn__newfile_abort(&f);
    hn__free(page.p);
    return s;
}
