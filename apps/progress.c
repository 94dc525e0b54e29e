// One line about long work.
#include "progress.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "app.h"
#include "base/os.h"

// Whether a line of ours is on the terminal: the terminal is one, so this is too.
static bool drawn;

enum { REDRAW_MS = 200, FIRST_PLAIN_S = 5, MOST_PLAIN_S = 60 };

void progress_hide(void)
{
    if (!drawn)
        return;
    fputs("\r\033[K", stderr);
    fflush(stderr);
    drawn = false;
}

void progress_begin(progress *p, const char *what, int64_t n_items, int64_t from, double per_item,
                    const char *unit)
{
    const char *term = getenv("TERM");
    *p = (progress){ what, unit, n_items, from, per_item, hn__now_ns(), 0, FIRST_PLAIN_S, false };
    p->terminal = isatty(STDERR_FILENO) && term && strcmp(term, "dumb");
    p->said_ns = p->began_ns;
}

bool progress_due(const progress *p)
{
    const double since = (double)(hn__now_ns() - p->said_ns) * 1e-9;
    return since >= (p->terminal ? REDRAW_MS * 1e-3 : p->plain_s);
}

// A rate with three figures: 0.123, 12.3, 1234, 12.3 k.
static const char *rate_text(double r, char *buf, size_t n)
{
    if (r >= 99950)
        snprintf(buf, n, r >= 9.995e6 ? "%.1f M" : "%.0f k", r >= 9.995e6 ? r / 1e6 : r / 1e3);
    else
        snprintf(buf, n, "%.*f", r < 1 ? 3 : r < 100 ? 1 : 0, r);
    return buf;
}

void progress_update(progress *p, int64_t done, const char *note)
{
    if (!progress_due(p))
        return;
    char rate[32], left[32], line[200];
    const double s = (double)(hn__now_ns() - p->began_ns) * 1e-9;
    const double per_s = (double)(done - p->from) / s;
    int n = snprintf(line, sizeof line, "%s %lld", p->what, (long long)done);
    if (p->n_items)
        n += snprintf(line + n, sizeof line - (size_t)n, "/%lld", (long long)p->n_items);
    n += snprintf(line + n, sizeof line - (size_t)n, "  %s %s/s",
                  rate_text(per_s * p->per_item, rate, sizeof rate), p->unit);
    if (p->n_items > done && per_s > 0)
        n += snprintf(line + n, sizeof line - (size_t)n, "  %s left",
                      app_time_text(ceil((double)(p->n_items - done) / per_s), left, sizeof left));
    if (note && *note && n < (int)sizeof line)
        snprintf(line + n, sizeof line - (size_t)n, "  %s", note);

    p->said_ns = hn__now_ns();
    if (p->terminal) {
        fprintf(stderr, "\r\033[K%.78s",
                line); // more would wrap, and a wrapped line is not erased
        drawn = true;
    } else {
        fprintf(stderr, "%s\n", line);
        p->plain_s = fmin(p->plain_s * 1.5, MOST_PLAIN_S);
    }
    fflush(stderr);
}

void progress_end(progress *p)
{
    (void)p;
    progress_hide();
}
