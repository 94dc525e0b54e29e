// Transcribing a recording: windows of 30 s, moved by the timestamps in them.
#include "nn/transcribe.h"

#include <math.h>
#include <string.h>

enum { SECONDS = 30, STAMP_HOPS = 2 }; // a timestamp counts two hops, 20 ms

// ---- making one ----------------------------------------------------------------------------

static hn_status check_model(const hn_whisper *m)
{
    const hn_whisper_config *c = hn_whisper_get_config(m);
    const hn_whisper_tokens *k = hn_whisper_get_tokens(m);

    if (c->frames * STAMP_HOPS * HN_MEL_HOP != (int64_t)SECONDS * HN_SPEECH_RATE)
        return hn_fail(HN_ERR_UNSUPPORTED,
                       "a model of %" PRId64 " positions: windows of 30 s have 1500", c->frames);
    if (k->start < 0 || k->end < 0 || k->end >= c->vocab)
        return hn_fail(HN_ERR_UNSUPPORTED, "the model has no start or end token");
    if (c->context < 16)
        return hn_fail(HN_ERR_UNSUPPORTED, "a context of %" PRId64 " tokens", c->context);
    return HN_OK;
}

static hn_status make(hn_transcriber *t)
{
    const hn_whisper_config *c = hn_whisper_get_config(t->m);
    const int64_t frames = STAMP_HOPS * c->frames;

    HN_TRY(check_model(t->m));
    t->n_mels = c->mels;
    t->window = frames * HN_MEL_HOP;
    t->samples = hn__calloc((size_t)t->window, sizeof *t->samples);
    t->features = hn__calloc((size_t)(c->mels * frames), sizeof *t->features);
    t->logits = hn__calloc((size_t)(HN_WHISPER_MAX_ROWS * c->vocab), sizeof *t->logits);
    t->ids = hn__calloc((size_t)c->context, sizeof *t->ids);
    t->prompt = hn__calloc((size_t)c->context, sizeof *t->prompt);
    t->before = hn__calloc((size_t)c->context, sizeof *t->before);
    if (!t->samples || !t->features || !t->logits || !t->ids || !t->prompt || !t->before)
        return hn__nomem((size_t)(HN_WHISPER_MAX_ROWS * c->vocab) * sizeof *t->logits);
    return hn_mel_plan_create(hn_whisper_get_device(t->m), (int)c->mels, frames, &t->mel);
}

hn_status hn_transcriber_create(hn_whisper *m, hn_transcriber **out)
{
    *out = NULL;
    hn_transcriber *t = hn__calloc(1, sizeof *t);
    if (!t)
        return hn__nomem(sizeof *t);
    t->m = m;
    const hn_status s = make(t);
    if (s)
        hn_transcriber_destroy(&t);
    *out = t;
    return s;
}

void hn_transcriber_destroy(hn_transcriber **t)
{
    if (!*t)
        return;
    hn_mel_plan_destroy(&(*t)->mel);
    hn_mel_stream_destroy(&(*t)->stream);
    hn__free((*t)->samples);
    hn__free((*t)->features);
    hn__free((*t)->logits);
    hn__free((*t)->ids);
    hn__free((*t)->prompt);
    hn__free((*t)->before);
    hn__free((*t)->text);
    hn__free(*t);
    *t = NULL;
}

// ---- beginning a recording -----------------------------------------------------------------

static hn_status check_params(const hn_transcriber *t, const hn_transcribe_params *p)
{
    const hn_whisper_tokens *k = hn_whisper_get_tokens(t->m);
    int n_languages;
    hn_whisper_get_languages(t->m, &n_languages);

    if (p->beam < 0 || p->beam > HN_WHISPER_MAX_ROWS || p->best_of < 0 ||
        p->best_of > HN_WHISPER_MAX_ROWS)
        return hn_fail(HN_ERR_ARG, "a beam of %d, the best of %d: at most %d", p->beam, p->best_of,
                       HN_WHISPER_MAX_ROWS);
    if (p->translate && (k->translate < 0 || n_languages == 0))
        return hn_fail(HN_ERR_ARG, "this model knows English only and cannot translate");
    if (!p->no_timestamps && k->first_timestamp < 0)
        return hn_fail(HN_ERR_ARG, "the model has no timestamps; ask for none");
    for (int i = 0; i < p->n_temperatures; i++)
        if (!(p->temperatures[i] >= 0 && p->temperatures[i] <= 100))
            return hn_fail(HN_ERR_ARG, "a temperature of %g", (double)p->temperatures[i]);
    return HN_OK;
}

static hn_status no_such_language(const char *code, const hn_whisper_language *all, int n)
{
    char list[700] = "";
    size_t at = 0;

    for (int i = 0; i < n && at + 8 < sizeof list; i++) {
        const size_t len = strlen(all[i].code);
        if (at + len + 2 >= sizeof list)
            break;
        memcpy(list + at, all[i].code, len);
        memcpy(list + at + len, i + 1 < n ? " " : "", i + 1 < n ? 2 : 1);
        at += len + 1;
    }
    return hn_fail(HN_ERR_ARG, "the model knows no language '%s'; it knows: %s", code, list);
}

static hn_status find_language(hn_transcriber *t)
{
    const char *code = t->p->language;
    int n;
    const hn_whisper_language *all = hn_whisper_get_languages(t->m, &n);

    t->language = -1;
    if (n == 0) {
        t->out->language = "en";
        t->out->language_probability = 1;
        return !code || !strcmp(code, "en")
                   ? HN_OK
                   : hn_fail(HN_ERR_ARG, "this model knows English only, not '%s'", code);
    }
    for (int i = 0; code && i < n; i++)
        if (!strcmp(all[i].code, code)) {
            t->language = all[i].token;
            t->out->language = all[i].code;
            t->out->language_probability = 1;
            return HN_OK;
        }
    return code ? no_such_language(code, all, n) : HN_OK;
}

// Keeps the last tokens that a prompt has room for.
static void remember(hn_transcriber *t, const int32_t *ids, int64_t n)
{
    const int64_t most = hn_whisper_get_config(t->m)->context / 2 - 1;
    const int64_t take = n < most ? n : most;
    const int64_t stay = t->n_before < most - take ? t->n_before : most - take;

    memmove(t->before, t->before + t->n_before - stay, (size_t)stay * sizeof *ids);
    memcpy(t->before + stay, ids + n - take, (size_t)take * sizeof *ids);
    t->n_before = stay + take;
}

// The prompt as if it had been said: with one space before it, as words in a sentence have.
static hn_status take_prompt(hn_transcriber *t)
{
    const char *text = t->p->prompt ? t->p->prompt : "";
    hn_ids ids = { 0 };

    t->n_before = 0;
    text += strspn(text, " ");
    const size_t n = strlen(text);
    if (n == 0)
        return HN_OK;
    char *spaced = hn__calloc(n + 2, 1);
    if (!spaced)
        return hn__nomem(n + 2);
    spaced[0] = ' ';
    memcpy(spaced + 1, text, n);
    const hn_status s =
        hn_tokenizer_encode(hn_whisper_get_tokenizer(t->m), spaced, n + 1, 0, &ids);
    if (s == HN_OK)
        remember(t, ids.id, ids.n);
    hn__free(spaced);
    hn_ids_free(&ids);
    return s;
}

static hn_status begin(hn_transcriber *t, const hn_transcribe_params *p, hn_transcript *out)
{
    const hn_whisper_tokens *k = hn_whisper_get_tokens(t->m);

    *out = (hn_transcript){ 0 };
    t->p = p;
    t->out = out;
    t->have = t->at = 0;
    t->ended = t->said_any = false;
    t->rules = (hn__whisper_rules){ .vocab = hn_whisper_get_config(t->m)->vocab,
                                    .end = k->end,
                                    .no_timestamps = k->no_timestamps,
                                    .first_timestamp = k->first_timestamp,
                                    .timestamps = !p->no_timestamps,
                                    .latest_start = HN_SPEECH_RATE / HN_MEL_HOP / STAMP_HOPS };
    t->rules.never = hn_whisper_get_suppressed(t->m, &t->rules.n_never);
    t->rules.not_first = hn_whisper_get_suppressed_first(t->m, &t->rules.n_not_first);
    HN_TRY(check_params(t, p));
    HN_TRY(find_language(t));
    HN_TRY(take_prompt(t));
    if (!t->stream && (p->streaming_features || p->compare_features))
        HN_TRY(hn_mel_stream_create(hn_whisper_get_device(t->m), (int)t->n_mels, &t->stream));
    return HN_OK;
}

// ---- a window ------------------------------------------------------------------------------

static bool is_silent(const hn_transcriber *t)
{
    for (int64_t i = 0; i < t->have; i++)
        if (fabsf(t->samples[i]) > 1e-4f)
            return false;
    return true;
}

typedef struct columns {
    float *to; // [n_mels, n_frames]
    int64_t n_mels, n_frames, at;
} columns;

static void put_columns(void *user, const float frames[], int64_t n)
{
    columns *c = user;
    for (int64_t i = 0; i < n; i++, c->at++)
        for (int64_t b = 0; b < c->n_mels; b++)
            c->to[b * c->n_frames + c->at] = frames[i * c->n_mels + b];
}

static hn_status make_features(hn_transcriber *t)
{
    if (t->p->compare_features) {
        hn_mel_difference d, *all = &t->out->features;
        HN_TRY(hn_mel_compare(t->mel, t->stream, t->samples, t->have, &d));
        const int64_t n = all->n_values + d.n_values;
        if (n > 0)
            all->mean =
                (all->mean * (double)all->n_values + d.mean * (double)d.n_values) / (double)n;
        all->n_values = n;
        all->n_differ += d.n_differ;
        all->largest = d.largest > all->largest ? d.largest : all->largest;
    }
    if (!t->p->streaming_features)
        return hn_mel_plan_run(t->mel, t->samples, t->have, t->features);
    columns c = { t->features, t->n_mels, t->window / HN_MEL_HOP, 0 };
    memset(t->samples + t->have, 0, (size_t)(t->window - t->have) * sizeof *t->samples);
    HN_TRY(hn_mel_stream_put(t->stream, t->samples, t->window, put_columns, &c));
    return hn_mel_stream_end(t->stream, put_columns, &c);
}

// Gives on tokens [from, to) of the result as a segment, hops of the window giving its place.
static hn_status give_segment(hn_transcriber *t, const hn__window_result *r, int64_t from,
                              int64_t to, int64_t start, int64_t end)
{
    const int64_t most = t->have / HN_MEL_HOP;

    start = start < most ? start : most;
    end = end < most ? end : most;
    HN_TRY(hn__window_text(t, r->ids + from, to - from));
    if (start == end || t->text[strspn(t->text, " \t\n\r")] == 0)
        return HN_OK;
    const hn_segment s = { .start = (double)(t->at + start * HN_MEL_HOP) / HN_SPEECH_RATE,
                           .end = (double)(t->at + end * HN_MEL_HOP) / HN_SPEECH_RATE,
                           .text = t->text,
                           .ids = r->ids + from,
                           .n_ids = to - from,
                           .temperature = r->temperature,
                           .avg_log_prob = r->avg_log_prob,
                           .no_speech = r->no_speech,
                           .compression = r->compression };
    t->out->n_tokens += s.n_ids;
    remember(t, s.ids, s.n_ids);
    if (t->p->segment && !t->p->segment(t->p->user, &s))
        t->out->stopped = true;
    return HN_OK;
}

static bool is_stamp(const hn_transcriber *t, const hn__window_result *r, int64_t i)
{
    return t->rules.timestamps && i >= 0 && i < r->n && r->ids[i] >= t->rules.first_timestamp;
}

static int64_t stamp_hops(const hn_transcriber *t, int32_t id)
{
    return (int64_t)(id - t->rules.first_timestamp) * STAMP_HOPS;
}

// Cuts the result where two timestamps meet, and says by how many hops the window moves: to the
// last such place, or all the way where nothing is begun after it.
static hn_status give_segments(hn_transcriber *t, const hn__window_result *r, int64_t *moves)
{
    const int64_t all = t->have / HN_MEL_HOP;
    const bool closed = is_stamp(t, r, r->n - 1) && r->n > 1 && !is_stamp(t, r, r->n - 2);
    int64_t from = 0, last = -1;

    *moves = all;
    for (int64_t i = 1; i <= r->n; i++) {
        const bool cut = is_stamp(t, r, i - 1) && is_stamp(t, r, i);
        if (is_stamp(t, r, i - 1) && r->ids[i - 1] > t->rules.first_timestamp)
            last = i - 1;
        if (!cut && !(i == r->n && closed && from > 0))
            continue;
        HN_TRY(give_segment(t, r, from, i, stamp_hops(t, r->ids[from]),
                            stamp_hops(t, r->ids[i - 1])));
        from = i;
        if (t->out->stopped)
            return HN_OK;
    }
    if (from == 0) // one segment, with its ends where they were said
        return give_segment(t, r, 0, r->n, is_stamp(t, r, 0) ? stamp_hops(t, r->ids[0]) : 0,
                            last < 1 ? all : stamp_hops(t, r->ids[last]));
    if (!closed)
        *moves = stamp_hops(t, r->ids[from - 1]);
    if (*moves < 1 || *moves > all)
        *moves = all;
    return HN_OK;
}

static hn_status run_window(hn_transcriber *t, int64_t *moves)
{
    const hn_transcribe_params *p = t->p;
    const double least = p->least_log_prob != 0 ? p->least_log_prob : -1;
    int n_languages;
    hn__window_result r;

    *moves = t->have / HN_MEL_HOP;
    if (is_silent(t)) {
        t->out->n_silent++;
        return HN_OK;
    }
    HN_TRY(make_features(t));
    HN_TRY(hn_whisper_encode(t->m, t->features, NULL));
    if (!hn__window_go_on(t))
        return HN_OK;
    hn_whisper_get_languages(t->m, &n_languages);
    if (t->language < 0 && n_languages > 0)
        HN_TRY(hn__window_detect(t));
    HN_TRY(hn__window_decode(t, &r));
    if (t->out->stopped)
        return HN_OK;
    t->out->n_windows++;
    if (r.no_speech > (p->most_no_speech != 0 ? p->most_no_speech : 0.6) &&
        !(r.avg_log_prob > least && least > -INFINITY)) {
        t->out->n_silent++;
        return HN_OK;
    }
    HN_TRY(give_segments(t, &r, moves));
    // What was sampled at a high temperature is no guide to what follows.
    if (!p->condition_on_previous || r.temperature > 0.5f)
        t->n_before = 0;
    return HN_OK;
}

// Moves the window by so many samples and fills it.
static hn_status move_window(hn_transcriber *t, int64_t n, hn_samples_fn read, void *user)
{
    t->have -= n;
    t->at += n;
    memmove(t->samples, t->samples + n, (size_t)t->have * sizeof *t->samples);
    while (!t->ended && t->have < t->window) {
        int64_t got = 0;
        HN_TRY(read(user, t->samples + t->have, t->window - t->have, &got));
        t->ended = got < t->window - t->have;
        t->have += got;
    }
    return HN_OK;
}

hn_status hn_transcribe(hn_transcriber *t, hn_samples_fn read, void *read_user,
                        const hn_transcribe_params *p, hn_transcript *out)
{
    int64_t moves = 0;

    HN_TRY(begin(t, p, out));
    HN_TRY(move_window(t, 0, read, read_user));
    while (t->have >= HN_MEL_HOP && hn__window_go_on(t)) {
        HN_TRY(run_window(t, &moves));
        if (!out->stopped)
            HN_TRY(move_window(t, moves * HN_MEL_HOP, read, read_user));
    }
    out->seconds = (double)(t->at + (out->stopped ? 0 : t->have)) / HN_SPEECH_RATE;
    t->p = NULL;
    t->out = NULL;
    return HN_OK;
}
