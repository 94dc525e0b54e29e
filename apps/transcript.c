// Transcripts as text, SubRip, WebVTT and JSON.
#include "transcript.h"

#include <math.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "app.h"
#include "progress.h"

const char *const transcript_formats[TRANSCRIPT_FORMATS + 1] = { "txt", "srt", "vtt", "json",
                                                                 NULL };

static void put(transcript *t, const char *text, size_t n)
{
    if (t->status || n == 0)
        return;
    if (t->file.f) {
        t->status = hn__newfile_write(&t->file, text, n);
        return;
    }
    progress_hide();
    if (fwrite(text, 1, n, stdout) != n || fflush(stdout))
        t->status = hn_fail(HN_ERR_IO, "standard output could not be written");
}

static void put_line(transcript *t, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
static void put_line(transcript *t, const char *fmt, ...)
{
    char line[128];
    va_list ap;
    va_start(ap, fmt);
    const int n = vsnprintf(line, sizeof line, fmt, ap);
    va_end(ap);
    put(t, line, n > 0 ? (size_t)n : 0);
}

// How a character of a segment is written, where that is not as it is. A ">" after a dash could
// end in what these formats take for a line of times.
static const char *spelt(transcript_format format, char c, char before)
{
    const bool vtt = format == TRANSCRIPT_VTT;

    if (c == '\n' || c == '\r')
        return " ";
    if (vtt && c == '&')
        return "&amp;";
    if (vtt && c == '<')
        return "&lt;";
    if (c == '>' && (vtt || format == TRANSCRIPT_SRT))
        return vtt ? "&gt;" : before == '-' ? " >" : ">";
    return NULL;
}

// The words of a segment on one line.
static void put_words(transcript *t, const char *text)
{
    const char *from = text;

    for (const char *c = text; *c; c++) {
        const char *other = spelt(t->format, *c, c > text ? c[-1] : 0);
        if (!other)
            continue;
        put(t, from, (size_t)(c - from));
        put(t, other, strlen(other));
        from = c + 1;
    }
    put(t, from, strlen(from));
}

hn_status transcript_begin(transcript *t, transcript_format format, const char *path, bool is_one)
{
    *t = (transcript){ .format = format, .is_one = is_one };
    if (path)
        HN_TRY(hn__newfile_open(path, &t->file));
    if (format == TRANSCRIPT_JSON)
        t->segments = app_json_array();
    if (format == TRANSCRIPT_VTT)
        put_line(t, "WEBVTT\n\n");
    return t->status;
}

// "00:01:02,345"
static const char *time_text(double seconds, char mark, char buf[32])
{
    const long long ms = llround(seconds * 1000);
    snprintf(buf, 32, "%02lld:%02lld:%02lld%c%03lld", ms / 3600000, ms / 60000 % 60,
             ms / 1000 % 60, mark, ms % 1000);
    return buf;
}

static void add_json(transcript *t, const hn_segment *s)
{
    json_t *o = app_json_object(), *ids = app_json_array();
    const int64_t n = (int64_t)strlen(s->text);

    for (int64_t i = 0; i < s->n_ids; i++)
        app_json_add(ids, app_json_int(s->ids[i]));
    app_json_set(o, "id", app_json_int(t->n_segments));
    app_json_set(o, "start", app_json_number(s->start));
    app_json_set(o, "end", app_json_number(s->end));
    app_json_set(o, "text", app_json_text(s->text));
    app_json_set(o, "tokens", ids);
    app_json_set(o, "temperature", app_json_number((double)s->temperature));
    app_json_set(o, "avg_logprob", app_json_number(s->avg_log_prob));
    app_json_set(o, "compression_ratio", app_json_number(s->compression));
    app_json_set(o, "no_speech_prob", app_json_number(s->no_speech));
    app_json_add(t->segments, o);
    t->status = hn__reserve((void **)&t->text, &t->cap_text, t->n_text + n + 1, 1);
    if (t->status)
        return;
    memcpy(t->text + t->n_text, s->text, (size_t)n + 1);
    t->n_text += n;
}

void transcript_add(transcript *t, const hn_segment *s)
{
    const char *words = s->text + strspn(s->text, " ");
    const char mark = t->format == TRANSCRIPT_SRT ? ',' : '.';
    char from[32], to[32];

    if (t->status)
        return;
    switch (t->format) {
    case TRANSCRIPT_TXT:
        put_words(t, t->n_segments && !t->lines ? s->text : words);
        put(t, "\n", t->lines);
        break;
    case TRANSCRIPT_JSON:
        add_json(t, s);
        break;
    default:
        if (t->format == TRANSCRIPT_SRT)
            put_line(t, "%lld\n", (long long)t->n_segments + 1);
        put_line(t, "%s --> %s\n", time_text(s->start, mark, from), time_text(s->end, mark, to));
        put_words(t, words);
        put(t, "\n\n", 2);
    }
    t->n_segments++;
}

static void put_json(transcript *t, json_t *about)
{
    app_json_set(about, "text", app_json_text(t->text ? t->text + strspn(t->text, " ") : ""));
    app_json_set(about, "segments", t->segments);
    t->segments = NULL;
    char *text =
        json_dumps(about, (t->is_one ? JSON_INDENT(2) : JSON_COMPACT) | JSON_REAL_PRECISION(9));
    if (!text) {
        t->status = hn_fail(HN_ERR_NOMEM, "no memory for the transcript");
        return;
    }
    put(t, text, strlen(text));
    put(t, "\n", 1);
    free(text); // jansson's, so not hn__free's
}

hn_status transcript_end(transcript *t, json_t *about)
{
    if (t->format == TRANSCRIPT_TXT)
        put(t, "\n", !t->lines || !t->n_segments);
    if (about)
        put_json(t, about);
    json_decref(about);
    if (t->status == HN_OK && t->file.f)
        t->status = hn__newfile_commit(&t->file);
    const hn_status s = t->status;
    transcript_abort(t);
    return s;
}

void transcript_abort(transcript *t)
{
    hn__newfile_abort(&t->file);
    json_decref(t->segments);
    hn__free(t->text);
    *t = (transcript){ 0 };
}
