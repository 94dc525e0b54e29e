// hornito speech transcribe: recordings to text by a Whisper model.
#include "app.h"
#include "json.h"
#include "progress.h"
#include "transcript.h"

#include "base/os.h"
#include "hornito/audio.h"
#include "hornito/speech.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

typedef struct options {
    char *model, *language, *task, *format, *out, *prompt, *features;
    int beam, best_of, no_timestamps, condition, no_fallback;
    double no_speech;
    app_device_options dev;
} options;

// What all recordings share.
typedef struct work {
    const options *o;
    hn_transcribe_params params;
    transcript_format format;
    hn_device *dev;
    hn_whisper *m;
    hn_transcriber *transcriber;
    bool is_one;
    transcript t;
    progress bar;
    bool has_bar;
} work;

// ---- one recording -------------------------------------------------------------------------

static hn_status read_samples(void *user, float out[], int64_t n, int64_t *out_n)
{
    return hn_audio_read(user, out, n, out_n);
}

static bool take_segment(void *user, const hn_segment *s)
{
    work *w = user;
    transcript_add(&w->t, s);
    return w->t.status == HN_OK;
}

static bool go_on(void *user, double seconds)
{
    work *w = user;
    if (w->has_bar)
        progress_update(&w->bar, (int64_t)seconds, NULL);
    return !app_interrupted();
}

// FOLDER/<name without its ending>.<format>; NULL where memory ran out.
static char *out_path(const work *w, const char *file)
{
    const char *base = strrchr(file, '/') ? strrchr(file, '/') + 1 : file;
    const char *dot = strrchr(base, '.');
    const size_t n = dot && dot > base ? (size_t)(dot - base) : strlen(base);
    const char *ending = transcript_formats[w->format];
    char *name = hn__calloc(n + strlen(ending) + 2, 1), *path;

    if (!name)
        return NULL;
    memcpy(name, base, n);
    name[n] = '.';
    memcpy(name + n + 1, ending, strlen(ending));
    path = hn__path_join(w->o->out, name);
    hn__free(name);
    return path;
}

static json_t *describe_features(const work *w, const hn_mel_difference *d)
{
    json_t *o = app_json_object();
    const double n = (double)(d->n_values ? d->n_values : 1);

    app_json_set(o, "form", app_json_text(w->params.streaming_features ? "streaming" : "exact"));
    app_json_set(o, "streaming_differs", app_json_number((double)d->n_differ / n));
    app_json_set(o, "mean_difference", app_json_number(d->mean));
    app_json_set(o, "largest_difference", app_json_number(d->largest));
    return o;
}

// What JSON says of a recording beside its segments.
static json_t *describe(const work *w, const char *file, const hn_transcript *r, double took_s)
{
    if (w->format != TRANSCRIPT_JSON)
        return NULL;
    json_t *o = app_json_object();
    app_json_set(o, "file", app_json_text(file));
    app_json_set(o, "model", app_json_text(w->o->model));
    app_json_set(o, "device", app_json_text(hn_device_get_info(w->dev)->name));
    app_json_set(o, "language", r->language ? app_json_text(r->language) : json_null());
    app_json_set(o, "language_probability", app_json_number(r->language_probability));
    app_json_set(o, "seconds", app_json_number(r->seconds));
    app_json_set(o, "took_seconds", app_json_number(took_s));
    app_json_set(o, "windows", app_json_int(r->n_windows));
    app_json_set(o, "silent_windows", app_json_int(r->n_silent));
    app_json_set(o, "retries", app_json_int(r->n_retries));
    app_json_set(o, "tokens", app_json_int(r->n_tokens));
    app_json_set(o, "log_mel", describe_features(w, &r->features));
    return o;
}

static void begin_bar(work *w, hn_audio_info info)
{
    w->has_bar = isatty(STDERR_FILENO) && info.seconds > 0;
    if (w->has_bar)
        progress_begin(&w->bar, "transcribe", (int64_t)ceil(info.seconds), 0, 1, "s");
}

static hn_status transcribe_open(work *w, const char *file, hn_audio *audio)
{
    const uint64_t start = hn__now_ns();
    char *path = w->o->out ? out_path(w, file) : NULL;
    hn_transcript r = { 0 };
    hn_status s = HN_OK;

    if (w->o->out && !path)
        s = hn_fail(HN_ERR_NOMEM, "no memory for a path");
    if (s == HN_OK)
        s = transcript_begin(&w->t, w->format, path, w->is_one);
    w->t.lines = w->has_bar && isatty(STDOUT_FILENO);
    hn__free(path);
    if (s == HN_OK)
        s = hn_transcribe(w->transcriber, read_samples, audio, &w->params, &r);
    if (s == HN_OK)
        s = w->t.status;
    const double took_s = (double)(hn__now_ns() - start) * 1e-9;
    if (s == HN_OK && r.stopped)
        s = hn_fail(HN_ERR_IO, "interrupted after %.1f s of '%s'; nothing is kept of it",
                    r.seconds, file);
    if (s == HN_OK) {
        hn__log(HN_LOG_INFO,
                "'%s': %.1f s in %.2f s, %.1f times real time, language %s, %" PRId64
                " tokens, %" PRId64 " retries",
                file, r.seconds, took_s, r.seconds / took_s, r.language ? r.language : "none",
                r.n_tokens, r.n_retries);
        return transcript_end(&w->t, describe(w, file, &r, took_s));
    }
    transcript_abort(&w->t);
    return s;
}

// Of several on standard output each has its line, so that the n-th is the n-th's.
static void put_failure(const work *w, const char *file)
{
    if (w->format == TRANSCRIPT_TXT) {
        (void)!putchar('\n');
        return;
    }
    json_t *o = app_json_object();
    app_json_set(o, "file", app_json_text(file));
    app_json_set(o, "error", app_json_text(hn_error_text()));
    char *text = json_dumps(o, JSON_COMPACT);
    if (text)
        (void)!puts(text);
    free(text); // jansson's, so not hn__free's
    json_decref(o);
}

static hn_status transcribe_file(work *w, const char *file)
{
    hn_audio *audio;
    hn_status s = hn_audio_open(file, HN_SPEECH_RATE, &audio);

    if (s == HN_OK) {
        begin_bar(w, hn_audio_get_info(audio));
        s = transcribe_open(w, file, audio);
        if (w->has_bar)
            progress_end(&w->bar);
    }
    hn_audio_close(&audio);
    if (s && !w->is_one)
        put_failure(w, file);
    return s;
}

// ---- all of them ---------------------------------------------------------------------------

static hn_status open_all(work *w)
{
    char *path = NULL;
    hn_status s = app_model_path(w->o->model, &path);

    if (s == HN_OK && w->o->out)
        s = hn__mkdirs(w->o->out);
    if (s == HN_OK)
        s = app_open_device(&w->o->dev, &w->dev);
    if (s == HN_OK)
        s = hn_whisper_open(w->dev, path, NULL, &w->m);
    if (s == HN_OK)
        s = hn_context(hn_transcriber_create(w->m, &w->transcriber), "model '%s'", path);
    hn__free(path);
    return s;
}

static int by_text(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

// Refuses two transcripts that would bear one name.
static hn_status check_names(const work *w, const char *const *files, int n)
{
    char **path = hn__calloc((size_t)n, sizeof *path);
    hn_status s = path ? HN_OK : hn_fail(HN_ERR_NOMEM, "no memory for %d paths", n);

    for (int i = 0; s == HN_OK && i < n; i++)
        if (!(path[i] = out_path(w, files[i])))
            s = hn_fail(HN_ERR_NOMEM, "no memory for %d paths", n);
    if (s == HN_OK)
        qsort(path, (size_t)n, sizeof *path, by_text);
    for (int i = 1; s == HN_OK && i < n; i++)
        if (!strcmp(path[i - 1], path[i]))
            s = hn_fail(HN_ERR_ARG,
                        "two recordings would both become '%s'; transcribe them into "
                        "folders of their own",
                        path[i]);
    for (int i = 0; path && i < n; i++)
        hn__free(path[i]);
    hn__free(path);
    return s;
}

static int run(work *w, const char *const *files, int n)
{
    hn_status s = w->o->out ? check_names(w, files, n) : HN_OK;
    if (s == HN_OK)
        s = open_all(w);
    int rc = app_fail(s), i = 0;

    app_catch_interrupts();
    for (; s == HN_OK && i < n && !app_interrupted(); i++) {
        const hn_status one = transcribe_file(w, files[i]);
        if (one)
            rc = app_fail(one);
        if (one == HN_ERR_DEVICE || one == HN_ERR_NOMEM || one == HN_ERR_ARG)
            break; // the next would fail in the same way
    }
    if (rc == 0 && i < n)
        rc = app_error("interrupted; %d of %d recordings are done", i, n);
    hn_transcriber_destroy(&w->transcriber);
    hn_whisper_close(&w->m);
    return app_close_device(&w->dev, rc);
}

// ---- options -------------------------------------------------------------------------------

static int choose(const char *option, const char *word, const char *const list[], int n, int *out)
{
    for (*out = 0; *out < n; ++*out)
        if (!strcmp(word, list[*out]))
            return -1;
    const int near = app_nearest(word, list, n);
    if (near >= 0)
        return app_usage("%s %s: did you mean %s?", option, word, list[near]);
    return app_usage("%s %s: there are %s, %s%s%s%s%s", option, word, list[0], list[1],
                     n > 2 ? ", " : "", n > 2 ? list[2] : "", n > 3 ? ", " : "",
                     n > 3 ? list[3] : "");
}

static int read_options(const options *o, work *w, int n_files)
{
    static const char *const tasks[] = { "transcribe", "translate" };
    static const char *const forms[] = { "exact", "streaming" };
    static const float zero[] = { 0 };
    int format, task, form, rc;

    if (!o->model || n_files == 0)
        return app_usage("--model and a recording are needed");
    if ((rc = choose("--format", o->format ? o->format : "txt", transcript_formats,
                     TRANSCRIPT_FORMATS, &format)) >= 0 ||
        (rc = choose("--task", o->task ? o->task : tasks[0], tasks, 2, &task)) >= 0 ||
        (rc = choose("--log-mel", o->features ? o->features : forms[0], forms, 2, &form)) >= 0)
        return rc;
    if (o->beam < 1 || o->beam > HN_WHISPER_MAX_ROWS || o->best_of < 1 ||
        o->best_of > HN_WHISPER_MAX_ROWS)
        return app_usage("--beam and --best-of: 1 to %d", HN_WHISPER_MAX_ROWS);
    if (!o->out && n_files > 1 && (format == TRANSCRIPT_SRT || format == TRANSCRIPT_VTT))
        return app_usage("--format %s of several recordings: --out FOLDER is needed", o->format);
    w->format = (transcript_format)format;
    w->is_one = n_files == 1 || o->out;
    const bool is_auto = !o->language || !strcmp(o->language, "auto");
    w->params = (hn_transcribe_params){ .language = is_auto ? NULL : o->language,
                                        .translate = task == 1,
                                        .no_timestamps = o->no_timestamps,
                                        .condition_on_previous = o->condition,
                                        .prompt = o->prompt,
                                        .beam = o->beam,
                                        .best_of = o->best_of,
                                        .temperatures = o->no_fallback ? zero : NULL,
                                        .n_temperatures = o->no_fallback ? 1 : 0,
                                        .most_no_speech = o->no_speech,
                                        .streaming_features = form == 1,
                                        .compare_features = format == TRANSCRIPT_JSON,
                                        .segment = take_segment,
                                        .progress = go_on,
                                        .user = w };
    return -1;
}

static int transcribe(const options *o, const char *const *files, int n)
{
    work w = { .o = o };
    const int rc = read_options(o, &w, n);

    return rc < 0 ? run(&w, files, n) : rc;
}

int app_speech_transcribe(int argc, const char **argv)
{
    options o = { .beam = 5, .best_of = 5, .no_speech = 0.6 };
    const struct poptOption table[] = {
        { "model", 'm', POPT_ARG_STRING, &o.model, 0,
          "a Whisper model: its folder, or a name that tools/get-models knows", "DIR|NAME" },
        { "language", 'l', POPT_ARG_STRING, &o.language, 0,
          "en, de, ...; auto: what the first window is in (default auto)", "CODE" },
        { "task", 0, POPT_ARG_STRING, &o.task, 0,
          "transcribe, or translate to English (default transcribe)", "TASK" },
        { "beam", 'b', POPT_ARG_INT | POPT_ARGFLAG_SHOW_DEFAULT, &o.beam, 0,
          "hypotheses at a time; 1: always the likeliest token", "N" },
        { "best-of", 0, POPT_ARG_INT | POPT_ARGFLAG_SHOW_DEFAULT, &o.best_of, 0,
          "samples to choose from where the first result will not do", "N" },
        { "no-fallback", 0, POPT_ARG_NONE, &o.no_fallback, 0,
          "keep the first result, however unlikely or repetitive", NULL },
        { "no-speech", 0, POPT_ARG_DOUBLE | POPT_ARGFLAG_SHOW_DEFAULT, &o.no_speech, 0,
          "an unlikely result is silence above this probability (2: never)", "P" },
        { "no-timestamps", 0, POPT_ARG_NONE, &o.no_timestamps, 0,
          "a window of 30 s is one segment", NULL },
        { "condition-on-previous", 0, POPT_ARG_NONE, &o.condition, 0,
          "a window is told what was said before it", NULL },
        { "prompt", 'p', POPT_ARG_STRING, &o.prompt, 0, "text said to come before the recording",
          "TEXT" },
        { "log-mel", 0, POPT_ARG_STRING, &o.features, 0,
          "features: exact, or streaming, as sound that arrives (default exact)", "FORM" },
        { "format", 'f', POPT_ARG_STRING, &o.format, 0, "txt, srt, vtt or json (default txt)",
          "FORMAT" },
        { "out", 'o', POPT_ARG_STRING, &o.out, 0,
          "a file a recording in this folder, instead of standard output", "FOLDER" },
        APP_DEVICE_OPTIONS(o.dev),
        APP_COMMON_OPTIONS,
    };
    app_args args;
    int rc = app_begin(argc, argv, table, &args);
    if (rc < 0)
        rc = transcribe(&o, args.rest, args.n_rest);
    return app_end(&args, rc);
}
