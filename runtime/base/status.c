// Failing with a text, and the log.
#include "base/base.h"

#include <stdio.h>
#include <string.h>

static _Thread_local char text[1024];

static struct {
    hn_log_fn fn;
    void *user;
    hn_log_level most;
} sink;

const char *hn_status_name(hn_status s)
{
    static const char *const names[] = { "ok",     "out of memory", "argument", "shape",
                                         "unsupported", "device",   "io",       "format" };
    return (unsigned)s < sizeof names / sizeof *names ? names[s] : "?";
}

const char *hn_error_text(void)
{
    return text;
}

// A text is one line, also where it quotes a file or a name that holds control characters.
static void keep_line(char *s)
{
    for (; *s; s++)
        if ((unsigned char)*s < 0x20 || *s == 0x7f)
            *s = '?';
}

hn_status hn_fail(hn_status s, const char *fmt, ...)
{
    // Arguments may point into the old text, so the new one is made apart.
    char made[sizeof text];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(made, sizeof made, fmt, ap);
    va_end(ap);
    keep_line(made);
    memcpy(text, made, sizeof text);
    return s;
}

hn_status hn_context(hn_status s, const char *fmt, ...)
{
    if (s == HN_OK)
        return s;
    char made[sizeof text];
    va_list ap;
    va_start(ap, fmt);
    const int n = vsnprintf(made, sizeof made, fmt, ap);
    va_end(ap);
    // The words stay whole; what does not fit of the old text is cut.
    for (size_t i = n < 0 ? 0 : (size_t)n, j = 0; i < sizeof made - 1; i++)
        made[i] = j < 2 ? ": "[j++] : text[j++ - 2];
    made[sizeof made - 1] = 0;
    keep_line(made);
    memcpy(text, made, sizeof text);
    return s;
}

void hn_set_log(hn_log_fn fn, void *user, hn_log_level most)
{
    sink.fn = fn;
    sink.user = user;
    sink.most = most;
}

void hn__log(hn_log_level level, const char *fmt, ...)
{
    if (!sink.fn || level > sink.most)
        return;
    char line[1024];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(line, sizeof line, fmt, ap);
    va_end(ap);
    keep_line(line);
    sink.fn(sink.user, level, line);
}
