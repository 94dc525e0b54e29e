// What the subcommands share: options, the log, failing in words, Ctrl-C, units.
#include "app.h"
#include "progress.h"

#include <errno.h>
#include <math.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/base.h"

// The command that runs, for the words before a message: set once, by app_begin.
static const char *running = "";

// ---- saying --------------------------------------------------------------------------------

static void say(const char *before, const char *text)
{
    char line[2048];
    snprintf(line, sizeof line, "hornito: %s%s%s%s", running, *running ? ": " : "", before, text);
    for (char *c = line; *c; c++)
        if ((unsigned char)*c < ' ')
            *c = ' ';
    progress_hide();
    fflush(stdout);
    fprintf(stderr, "%s\n", line);
}

int app_fail(hn_status s)
{
    if (s == HN_OK)
        return APP_DONE;
    say("", *hn_error_text() ? hn_error_text() : hn_status_name(s));
    return APP_FAILED;
}

int app_error(const char *fmt, ...)
{
    char text[1536];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    say("", text);
    return APP_FAILED;
}

int app_usage(const char *fmt, ...)
{
    char text[1536];
    va_list ap;
    va_start(ap, fmt);
    const int n = vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    if (n >= 0 && (size_t)n < sizeof text)
        snprintf(text + n, sizeof text - (size_t)n, " (hornito %s --help)", running);
    say("", text);
    return APP_USAGE;
}

static void log_line(void *user, hn_log_level level, const char *line)
{
    (void)user;
    say(level == HN_LOG_ERROR ? "error: " : level == HN_LOG_WARN ? "warning: " : "", line);
}

const char *app_bytes_text(double n_bytes, char *buf, size_t n)
{
    static const char *const units[] = { "B", "KiB", "MiB", "GiB", "TiB" };
    int u = 0;
    while (n_bytes >= 1024 && u < 4) {
        n_bytes /= 1024;
        u++;
    }
    snprintf(buf, n, u && n_bytes < 100 ? "%.1f %s" : "%.0f %s", n_bytes, units[u]);
    return buf;
}

const char *app_time_text(double s, char *buf, size_t n)
{
    if (!(s >= 0 && s < 1e9))
        snprintf(buf, n, "?");
    else if (s < 1e-3)
        snprintf(buf, n, "%.1f us", s * 1e6);
    else if (s < 1)
        snprintf(buf, n, "%.1f ms", s * 1e3);
    else if (s < 59.95)
        snprintf(buf, n, s < 10 && s != floor(s) ? "%.1f s" : "%.0f s", s);
    else if (s < 3600)
        snprintf(buf, n, "%d min %02d s", (int)s / 60, (int)s % 60);
    else
        snprintf(buf, n, "%ld h %02d min", (long)s / 3600, (int)((long)s / 60 % 60));
    return buf;
}

// ---- options -------------------------------------------------------------------------------

enum { MAX_WORD = 48 };

static int min_int(int a, int b)
{
    return a < b ? a : b;
}

// Insertions, deletions, changes and swaps of neighbours that make b of a.
static int distance(const char *a, const char *b)
{
    const int n = (int)strlen(a), m = (int)strlen(b);
    if (n > MAX_WORD || m > MAX_WORD)
        return MAX_WORD;
    int row[3][MAX_WORD + 1]; // of i - 2, i - 1 and i, in turn
    for (int i = 0; i <= n; i++) {
        int *now = row[i % 3];
        const int *above = row[(i + 2) % 3], *two = row[(i + 1) % 3];
        now[0] = i;
        for (int j = 1; j <= m; j++) {
            if (i == 0) {
                now[j] = j;
                continue;
            }
            now[j] =
                min_int(above[j - 1] + (a[i - 1] != b[j - 1]), min_int(above[j], now[j - 1]) + 1);
            if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1])
                now[j] = min_int(now[j], two[j - 2] + 1);
        }
    }
    return row[n % 3][m];
}

int app_nearest(const char *word, const char *const list[], int n)
{
    int best = -1, least = 1 + (int)strlen(word) / 3; // more than this is no slip of the finger
    for (int i = 0; i < n; i++) {
        const int d = distance(word, list[i]);
        if (d < least + (best < 0)) {
            least = d;
            best = i;
        }
    }
    return best;
}

static int bad_option(app_args *a, const char **argv, int error)
{
    const char *text = poptBadOption(a->context, POPT_BADOPTION_NOALIAS);
    if (error != POPT_ERROR_BADOPT) {
        // For "--steps ten" popt names the "ten"; the option stands before it.
        int i = 1;
        while (argv[i] && strcmp(argv[i], text))
            i++;
        const bool value = *text != '-' && argv[i] && i > 1;
        return app_usage("%s%s%s: %s", value ? argv[i - 1] : "", value ? " " : "", text,
                         poptStrerror(error));
    }

    const char *names[64];
    int n = 0;
    for (const struct poptOption *o = a->options; (o->longName || o->shortName) && n < 64; o++)
        if (o->longName)
            names[n++] = o->longName;
    char word[MAX_WORD + 1];
    snprintf(word, sizeof word, "%.*s", (int)strcspn(text, "="), text);
    const int near = app_nearest(word + strspn(word, "-"), names, n);
    return near < 0 ? app_usage("no option '%s'", text)
                    : app_usage("no option '%s'; did you mean --%s?", text, names[near]);
}

static int show_help(app_args *a)
{
    char rest[128];
    printf("%s: %s\n", a->name, a->command->help);
    snprintf(rest, sizeof rest, "[options]%s%s", *a->command->arguments ? " " : "",
             a->command->arguments);
    poptSetOtherOptionHelp(a->context, rest);
    poptPrintHelp(a->context, stdout, 0);
    printf("\nExample:\n  %s\n", a->command->example);
    return APP_DONE;
}

int app_begin(int argc, const char **argv, const struct poptOption *options, app_args *a)
{
    int verbose = 0, got;

    *a = (app_args){ .options = options };
    for (const app_command *c = app_commands; c->words; c++)
        if (!strcmp(c->words, argv[0]))
            a->command = c;
    running = a->command->words;
    snprintf(a->name, sizeof a->name, "hornito %s", running);
    argv[0] = a->name;
    for (int i = 0; options[i].longName || options[i].shortName; i++)
        if ((options[i].argInfo & POPT_ARG_MASK) == POPT_ARG_STRING)
            a->first[i] = *(char **)options[i].arg;

    a->context = poptGetContext("hornito", argc, argv, options, 0);
    if (!a->context)
        return app_fail(hn_fail(HN_ERR_NOMEM, "no memory for the options"));
    while ((got = poptGetNextOpt(a->context)) >= 0) {
        if (got == 'h')
            return show_help(a);
        verbose += got == 'v';
    }
    if (got < -1)
        return bad_option(a, argv, got);
    hn_set_log(log_line, NULL, verbose > 1 ? HN_LOG_DEBUG : verbose ? HN_LOG_INFO : HN_LOG_WARN);
    a->rest = poptGetArgs(a->context);
    while (a->rest && a->rest[a->n_rest])
        a->n_rest++;
    if (a->n_rest && !*a->command->arguments)
        return app_usage("'%s' is not wanted here", a->rest[0]);
    return -1;
}

int app_end(app_args *a, int rc)
{
    const struct poptOption *o = a->options;
    for (int i = 0; o[i].longName || o[i].shortName; i++) {
        if ((o[i].argInfo & POPT_ARG_MASK) != POPT_ARG_STRING || *(char **)o[i].arg == a->first[i])
            continue;
        free(*(char **)o[i].arg); // popt's, so not hn__free's
        *(char **)o[i].arg = a->first[i];
    }
    poptFreeContext(a->context);
    a->context = NULL;
    hn_set_log(NULL, NULL, HN_LOG_ERROR);
    return rc;
}

// ---- reading -------------------------------------------------------------------------------

static hn_status read_stream(FILE *f, const char *name, char **out, size_t *n)
{
    const size_t most = (size_t)256 << 20;
    size_t cap = 0, got;

    do {
        if (*n == cap) {
            char *more = hn__resize(*out, cap ? 2 * cap : 1 << 16, 1);
            if (!more)
                return hn__nomem(cap);
            *out = more;
            cap = cap ? 2 * cap : 1 << 16;
        }
        got = fread(*out + *n, 1, cap - *n, f);
        *n += got;
        if (*n > most)
            return hn_fail(HN_ERR_ARG, "'%s' holds more than %zu bytes", name, most);
    } while (got);
    return ferror(f) ? hn_fail(HN_ERR_IO, "cannot read '%s'", name) : HN_OK;
}

hn_status app_read_text(const char *file, char **out, size_t *n)
{
    const bool is_stdin = !strcmp(file, "-");
    FILE *f = is_stdin ? stdin : fopen(file, "rb");

    *out = NULL;
    *n = 0;
    if (!f)
        return hn_fail(HN_ERR_IO, "cannot open '%s': %s", file, strerror(errno));
    const hn_status s = read_stream(f, is_stdin ? "standard input" : file, out, n);
    if (!is_stdin)
        fclose(f);
    if (s) {
        hn__free(*out);
        *out = NULL;
    }
    return s;
}

// ---- Ctrl-C --------------------------------------------------------------------------------

static volatile sig_atomic_t interrupted;

static void on_signal(int number)
{
    (void)number;
    interrupted = 1;
}

void app_catch_interrupts(void)
{
    // SA_RESETHAND: the second one finds the default, which ends the process.
    struct sigaction act = { .sa_handler = on_signal, .sa_flags = (int)SA_RESETHAND };
    interrupted = 0;
    sigemptyset(&act.sa_mask);
    sigaction(SIGINT, &act, NULL);
    sigaction(SIGTERM, &act, NULL);
}

bool app_interrupted(void)
{
    return interrupted != 0;
}
