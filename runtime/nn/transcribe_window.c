// One window of a recording: its language, what is said in it, and whether to believe that.
#include "nn/transcribe.h"

#include "io/text.h"

#include <math.h>
#include <string.h>
#include <zlib.h>

bool hn__window_go_on(hn_transcriber *t)
{
    const double seconds = (double)t->at / HN_SPEECH_RATE;

    if (!t->out->stopped && t->p->progress && !t->p->progress(t->p->user, seconds))
        t->out->stopped = true;
    return !t->out->stopped;
}

// ---- the language --------------------------------------------------------------------------

hn_status hn__window_detect(hn_transcriber *t)
{
    int n;
    const hn_whisper_language *all = hn_whisper_get_languages(t->m, &n);
    const hn_whisper_tokens *tokens = hn_whisper_get_tokens(t->m);
    double most = -INFINITY, sum = 0;
    int best = 0;

    HN_TRY(hn_whisper_decode(t->m, &tokens->start, 1, 1, 0, t->logits));
    for (int i = 0; i < n; i++)
        if ((double)t->logits[all[i].token] > most)
            most = (double)t->logits[all[best = i].token];
    for (int i = 0; i < n; i++)
        sum += exp((double)t->logits[all[i].token] - most);
    t->language = all[best].token;
    t->out->language = all[best].code;
    t->out->language_probability = 1 / sum;
    return HN_OK;
}

// ---- the text ------------------------------------------------------------------------------

static hn_status add_text(hn_transcriber *t, int64_t *n, const void *bytes, size_t n_bytes)
{
    HN_TRY(hn__reserve((void **)&t->text, &t->cap_text, *n + (int64_t)n_bytes + 1, 1));
    memcpy(t->text + *n, bytes, n_bytes);
    *n += (int64_t)n_bytes;
    return HN_OK;
}

// Bytes that are not UTF-8 become U+FFFD: a window may end inside a character.
static hn_status make_valid(hn_transcriber *t, int64_t n)
{
    static const char replacement[] = "\xef\xbf\xbd";
    int64_t at = 0;

    while (at += (int64_t)hn__utf8_valid((uint8_t *)t->text + at, (size_t)(n - at)), at < n) {
        HN_TRY(hn__reserve((void **)&t->text, &t->cap_text, n + 3, 1));
        memmove(t->text + at + 3, t->text + at + 1, (size_t)(n - at - 1));
        memcpy(t->text + at, replacement, 3);
        n += 2;
        at += 3;
    }
    t->text[n] = 0;
    return HN_OK;
}

hn_status hn__window_text(hn_transcriber *t, const int32_t *ids, int64_t n)
{
    hn_tokenizer *tok = hn_whisper_get_tokenizer(t->m);
    int64_t n_text = 0;

    HN_TRY(add_text(t, &n_text, "", 0));
    for (int64_t i = 0; i < n; i++) {
        size_t n_bytes;
        const void *bytes = hn_tokenizer_bytes(tok, ids[i], &n_bytes);
        if (ids[i] < t->rules.end && bytes && !hn_tokenizer_is_special(tok, ids[i]))
            HN_TRY(add_text(t, &n_text, bytes, n_bytes));
    }
    return make_valid(t, n_text);
}

static void *zip_alloc(void *user, uInt n, uInt size)
{
    (void)user;
    return hn__calloc(n, size);
}

static void zip_free(void *user, void *p)
{
    (void)user;
    hn__free(p);
}

// Bytes of the text by bytes of it compressed, as Python's zlib.compress does it: repetition
// shows.
static hn_status compression_ratio(const char *text, double *out)
{
    z_stream z = { .zalloc = zip_alloc, .zfree = zip_free };
    uint8_t sink[512];
    int result;

    while (*text == ' ')
        text++;
    if (deflateInit(&z, Z_DEFAULT_COMPRESSION) != Z_OK)
        return hn__nomem(sizeof z);
    z.next_in = (z_const Bytef *)(uintptr_t)text;
    z.avail_in = (uInt)strlen(text);
    do {
        z.next_out = sink;
        z.avail_out = sizeof sink;
        result = deflate(&z, Z_FINISH);
    } while (result == Z_OK || result == Z_BUF_ERROR);
    *out = z.total_out ? (double)z.total_in / (double)z.total_out : 0;
    deflateEnd(&z);
    return HN_OK;
}

// ---- decoding ------------------------------------------------------------------------------

// What the decoder is fed first: what was said before, the start token, language and task.
// *out_start is one past the start token.
static int64_t make_prompt(hn_transcriber *t, int64_t *out_start)
{
    const hn_whisper_tokens *k = hn_whisper_get_tokens(t->m);
    int32_t *ids = t->prompt;
    int64_t n = 0;

    if (t->n_before && k->start_of_previous >= 0) {
        ids[n++] = k->start_of_previous;
        memcpy(ids + n, t->before, (size_t)t->n_before * sizeof *ids);
        n += t->n_before;
    }
    ids[n++] = k->start;
    *out_start = n;
    if (t->language >= 0) {
        ids[n++] = t->language;
        ids[n++] = t->p->translate ? k->translate : k->transcribe;
    }
    if (t->p->no_timestamps && k->no_timestamps >= 0)
        ids[n++] = k->no_timestamps;
    return n;
}

// Feeds the prompt; the probability of silence is that of its token after the start token.
static hn_status feed_prompt(hn_transcriber *t, int64_t *out_n, double *no_speech)
{
    const int32_t silence = hn_whisper_get_tokens(t->m)->no_speech;
    int64_t start;
    const int64_t n = *out_n = make_prompt(t, &start);

    HN_TRY(hn_whisper_decode(t->m, t->prompt, 1, start, 0, t->logits));
    *no_speech = 0;
    if (silence >= 0)
        *no_speech = exp((double)t->logits[silence] - hn__log_sum_exp(t->logits, t->rules.vocab));
    if (n == start)
        return HN_OK;
    return hn_whisper_decode(t->m, t->prompt + start, 1, n - start, start, t->logits);
}

static bool is_moved(const int32_t *from, int rows)
{
    for (int i = 0; i < rows; i++)
        if (from[i] != i)
            return true;
    return false;
}

// Searches on from the prompt's n positions.
static hn_status search(hn_transcriber *t, hn__search *s, int64_t n, int rows)
{
    int32_t ids[HN_WHISPER_MAX_ROWS], from[HN_WHISPER_MAX_ROWS];

    for (int now = 1; hn__search_step(s, t->logits, ids, from); n++) {
        if (!hn__window_go_on(t))
            return HN_OK;
        if (now != rows || is_moved(from, rows))
            HN_TRY(hn_whisper_reorder(t->m, from, rows));
        now = rows;
        HN_TRY(hn_whisper_decode(t->m, ids, rows, 1, n, t->logits));
    }
    return HN_OK;
}

static hn_status finish(hn_transcriber *t, const hn__search *s, hn__window_result *out)
{
    const hn__found f = hn__search_best(s);

    if (!isfinite(f.log_prob) && !t->out->stopped)
        return hn_fail(HN_ERR_DEVICE, "the model's logits at %.2f s are no numbers",
                       (double)t->at / HN_SPEECH_RATE);
    memcpy(t->ids, f.ids, (size_t)f.n * sizeof *t->ids);
    out->ids = t->ids;
    out->n = f.n;
    out->avg_log_prob = f.log_prob / (double)(f.n + 1);
    HN_TRY(hn__window_text(t, out->ids, out->n));
    return compression_ratio(t->text, &out->compression);
}

static hn_status decode_once(hn_transcriber *t, float temperature, uint64_t seed,
                             hn__window_result *out)
{
    const hn_transcribe_params *p = t->p;
    const int64_t context = hn_whisper_get_config(t->m)->context;
    const int wide = temperature > 0 ? p->best_of : p->beam;
    const int rows = wide > 0 ? wide : 5;
    hn__search *s = NULL;
    int64_t n;

    *out = (hn__window_result){ .temperature = temperature };
    HN_TRY(feed_prompt(t, &n, &out->no_speech));
    const int64_t left = context - n + 1;
    HN_TRY(hn__search_create(
        &t->rules,
        &(hn__search_params){ .rows = rows,
                              .temperature = temperature,
                              .patience = p->patience,
                              .length_penalty = p->length_penalty > 0 ? p->length_penalty : 1,
                              .most = left < context / 2 ? left : context / 2,
                              .seed = seed },
        &s));
    hn_status st = search(t, s, n, rows);
    if (st == HN_OK)
        st = finish(t, s, out);
    hn__search_destroy(&s);
    return st;
}

static double or_default(double x, double value)
{
    return x != 0 ? x : value;
}

hn_status hn__window_decode(hn_transcriber *t, hn__window_result *out)
{
    static const float usual[] = { 0, 0.2f, 0.4f, 0.6f, 0.8f, 1 };
    const hn_transcribe_params *p = t->p;
    const float *temperature = p->n_temperatures ? p->temperatures : usual;
    const int n = p->n_temperatures ? p->n_temperatures : (int)(sizeof usual / sizeof *usual);
    const double least = or_default(p->least_log_prob, -1);

    for (int i = 0; i < n; i++) {
        // Another draw for each window and try, and the same for the same recording.
        const uint64_t seed = p->seed + (uint64_t)t->at * 16 + (uint64_t)i;
        HN_TRY(decode_once(t, temperature[i], seed, out));
        t->out->n_retries += i > 0;
        const bool unlikely = out->avg_log_prob < least;
        const bool silent = unlikely && out->no_speech > or_default(p->most_no_speech, 0.6);
        const bool repeats = out->compression > or_default(p->most_compression, 2.4);
        if (t->out->stopped || silent || !(unlikely || repeats))
            break;
    }
    return HN_OK;
}
