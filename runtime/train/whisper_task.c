// Training of Whisper: recordings as log-mel windows, transcripts as targets of the decoder, the
// tokens before the text masked.
#include "hornito/audio.h"
#include "hornito/speech.h"
#include "nn/whisper.h"
#include "train/trainer.h"

#include <math.h>
#include <string.h>

enum {
    MOST_BATCH = 256,
    SPARE = HN_MEL_HOP, // samples over a window that may be dropped
};

typedef struct whisper_task {
    hn__task task;
    hn_train_params p;
    hn_whisper_config config;
    hn_clips clips; // borrowed
    int64_t frames; // positions of the encoder in a window; twice as many of the features
    int64_t length; // positions of the decoder: those of the longest text

    hn_ids ids;     // of all clips, those held out after the others: prompt, text, end
    int64_t *first; // of a clip in ids, and one more
    int64_t prompt; // tokens before a text
    int32_t end;

    hn_mel_plan *mel;
    float *samples, *features; // of one window; of a batch
    int32_t *room;             // ids, then targets, of a batch
    int64_t *order, epoch;     // the clips in the order of an epoch; -1: of none
} whisper_task;

// ---- the graph -----------------------------------------------------------------------------

// Rows of a batch count as many tokens as they have, so the loss is a sum over 1 / their number.
static hn_status build(hn__task *task, hn_graph *g, hn_val key, hn_val *out_loss)
{
    const whisper_task *k = (whisper_task *)task;
    const hn_whisper_config *c = &k->config;
    const hn_type ids_type = { HN_I32, 2, { k->p.batch, k->length } };
    const hn_type mel_type = { HN_F32, 3, { k->p.batch, c->mels, 2 * k->frames } };
    const hn_val mel = hn_input(g, "mel", mel_type), ids = hn_input(g, "ids", ids_type);
    const hn_val targets = hn_input(g, "targets", ids_type);
    const hn_val share = hn_input(g, "share", (hn_type){ HN_F32, 1, { 1 } });
    const hn_whisper_build how = { .train = true,
                                   .dropout_key = c->dropout > 0 ? key : (hn_val){ 0 } };

    const hn_val audio = hn_whisper_encoder(g, c, mel, &how);
    const hn_val hidden = hn_whisper_decoder(g, c, ids, audio, &how);
    const hn_val sum = hn_sum_all(g, hn_whisper_loss(g, c, hidden, targets));
    *out_loss = hn_mul(g, hn_reshape(g, sum, 1, (int64_t[]){ 1 }), share);
    return hn_graph_status(g);
}

// ARG; seconds is negative where the file does not say how long it is.
static hn_status too_long(const whisper_task *k, const char *path, double seconds)
{
    const double window = (double)k->frames / 50;
    return seconds < 0
               ? hn_fail(HN_ERR_ARG, "'%s' is longer than the window of %.1f s", path, window)
               : hn_fail(HN_ERR_ARG, "'%s' lasts %.1f s, longer than the window of %.1f s", path,
                         seconds, window);
}

// ---- batches -------------------------------------------------------------------------------

// The features of a recording, into row `row` of the batch. Not every file says how long it is, so
// it is seen here that no sound is left out; a frame's length at the end is nobody's word.
static hn_status read_features(whisper_task *k, const char *path, int64_t row)
{
    const int64_t most = 2 * k->frames * HN_MEL_HOP;
    hn_audio *a;
    int64_t n;

    HN_TRY(hn_audio_open(path, HN_SPEECH_RATE, &a));
    const hn_status s = hn_audio_read(a, k->samples, most + SPARE, &n);
    hn_audio_close(&a);
    HN_TRY(s);
    if (n == most + SPARE)
        return too_long(k, path, -1);
    return hn_mel_plan_run(k->mel, k->samples, n < most ? n : most,
                           k->features + row * k->config.mels * 2 * k->frames);
}

// The tokens of a clip, into row `row`: what comes next is the target of each, but in the prompt.
static int64_t put_tokens(whisper_task *k, int64_t clip, int64_t row)
{
    const int64_t n = k->first[clip + 1] - k->first[clip] - 1;
    const int32_t *from = k->ids.id + k->first[clip];
    int32_t *ids = k->room + row * k->length, *targets = ids + k->p.batch * k->length;

    for (int64_t i = 0; i < k->length; i++) {
        ids[i] = i < n ? from[i] : k->end;
        targets[i] = i < n && i + 1 >= k->prompt ? from[i + 1] : -1;
    }
    return n - (k->prompt - 1);
}

// A row without a recording: silence, and no target.
static void put_nothing(whisper_task *k, int64_t row)
{
    const int64_t n = k->config.mels * 2 * k->frames;

    memset(k->features + row * n, 0, (size_t)n * sizeof *k->features);
    for (int64_t i = 0; i < k->length; i++) {
        k->room[row * k->length + i] = k->end;
        k->room[(k->p.batch + row) * k->length + i] = -1;
    }
}

// Rows of clips (negative: none), all inputs written. *out_tokens of them are targets.
static hn_status write_batch(whisper_task *k, hn_plan *plan, const int64_t clip[],
                             double *out_tokens)
{
    const int64_t batch = k->p.batch, n = batch * k->length * (int64_t)sizeof *k->room;
    int64_t tokens = 0;

    for (int64_t r = 0; r < batch; r++) {
        if (clip[r] < 0) {
            put_nothing(k, r);
            continue;
        }
        const hn_clip *c =
            clip[r] < k->clips.n ? &k->clips.clip[clip[r]] : &k->clips.held[clip[r] - k->clips.n];
        HN_TRY(read_features(k, c->path, r));
        tokens += put_tokens(k, clip[r], r);
    }
    const float share = 1 / (float)tokens;
    *out_tokens = (double)tokens;
    HN_TRY(hn_plan_write(plan, "mel", k->features,
                         batch * k->config.mels * 2 * k->frames * (int64_t)sizeof(float)));
    HN_TRY(hn_plan_write(plan, "ids", k->room, n));
    HN_TRY(hn_plan_write(plan, "targets", k->room + batch * k->length, n));
    return hn_plan_write(plan, "share", &share, sizeof share);
}

// The order of an epoch depends on the seed and its number only (Fisher and Yates).
static void shuffle(whisper_task *k, int64_t epoch)
{
    hn_rng rng = hn__rng(k->p.seed, (uint64_t)epoch);

    if (epoch == k->epoch)
        return;
    for (int64_t i = 0; i < k->clips.n; i++)
        k->order[i] = i;
    for (int64_t i = k->clips.n - 1; i > 0; i--) {
        const int64_t j = hn__rng_below(&rng, i + 1), had = k->order[i];
        k->order[i] = k->order[j];
        k->order[j] = had;
    }
    k->epoch = epoch;
}

static hn_status feed(hn__task *task, hn_plan *plan, int64_t step)
{
    whisper_task *k = (whisper_task *)task;
    int64_t clip[MOST_BATCH];
    double tokens;

    for (int64_t r = 0; r < k->p.batch; r++) {
        const int64_t at = (step - 1) * k->p.batch + r;
        shuffle(k, at / k->clips.n);
        clip[r] = k->order[at % k->clips.n];
    }
    return write_batch(k, plan, clip, &tokens);
}

static int64_t held(const hn__task *task)
{
    const whisper_task *k = (const whisper_task *)task;
    return (k->clips.n_held + k->p.batch - 1) / k->p.batch;
}

static hn_status feed_held(hn__task *task, hn_plan *plan, int64_t batch, double *out_tokens)
{
    whisper_task *k = (whisper_task *)task;
    int64_t clip[MOST_BATCH];
    const int32_t key[2] = { 0 };

    for (int64_t r = 0; r < k->p.batch; r++) {
        const int64_t at = batch * k->p.batch + r;
        clip[r] = at < k->clips.n_held ? k->clips.n + at : -1;
    }
    HN_TRY(hn_plan_write(plan, "key", key, sizeof key));
    return write_batch(k, plan, clip, out_tokens);
}

// ---- the task's own ------------------------------------------------------------------------

static int settings(const hn__task *task, hn__setting s[])
{
    const whisper_task *k = (const whisper_task *)task;

    s[0] = (hn__setting){ "window_frames", (double)k->frames };
    s[1] = (hn__setting){ "length", (double)k->length };
    s[2] = (hn__setting){ "dropout", k->config.dropout };
    return 3;
}

static void destroy(hn__task *task)
{
    whisper_task *k = (whisper_task *)task;

    hn_mel_plan_destroy(&k->mel);
    hn_ids_free(&k->ids);
    hn__free(k->first);
    hn__free(k->samples);
    hn__free(k->features);
    hn__free(k->room);
    hn__free(k->order);
    hn__free(k);
}

static const hn__task_fns whisper_fns = {
    .build = build,
    .feed = feed,
    .held = held,
    .feed_held = feed_held,
    .settings = settings,
    .destroy = destroy,
};

// ---- making one ----------------------------------------------------------------------------

// The prompt of transcription without timestamps, in a language where the model has several.
static hn_status put_prompt(const hn_whisper *m, const char *language, hn_ids *ids)
{
    const hn_whisper_tokens *t = &m->tokens;
    const int32_t prompt[] = { t->start, -1, t->transcribe, t->no_timestamps };
    int32_t spoken = -1;

    for (int i = 0; i < m->n_languages; i++)
        if (!strcmp(m->languages[i].code, language))
            spoken = m->languages[i].token;
    if (m->n_languages && spoken < 0)
        return hn_fail(HN_ERR_ARG, "the model has no language '%.40s'", language);
    for (int i = 0; i < 4; i++) {
        const int32_t id = i == 1 ? spoken : prompt[i];
        if (id < 0)
            continue;
        HN_TRY(hn__reserve((void **)&ids->id, &ids->cap, ids->n + 1, sizeof *ids->id));
        ids->id[ids->n++] = id;
    }
    return HN_OK;
}

// Appends the tokens of a clip: prompt, the text behind a space, the end.
static hn_status put_clip(whisper_task *k, hn_whisper *m, const hn_clip *c)
{
    const int64_t before = k->ids.n;
    const char *language = k->clips.language ? k->clips.language : "en";

    HN_TRY(put_prompt(m, language, &k->ids));
    k->prompt = k->ids.n - before;
    char *text = hn__calloc(strlen(c->text) + 2, 1);
    if (!text)
        return hn__nomem(strlen(c->text));
    text[0] = ' ';
    strcpy(text + 1, c->text + (*c->text == ' '));
    hn_status s = hn_tokenizer_encode(m->tok, text, strlen(text), 0, &k->ids);
    hn__free(text);
    if (s == HN_OK)
        s = hn__reserve((void **)&k->ids.id, &k->ids.cap, k->ids.n + 1, sizeof *k->ids.id);
    HN_TRY(s);
    k->ids.id[k->ids.n++] = k->end;
    const int64_t n = k->ids.n - before - 1;
    if (n > k->config.context)
        return hn_fail(HN_ERR_ARG,
                       "'%s': its text has %" PRId64 " tokens with the prompt, the model takes "
                       "%" PRId64,
                       c->path, n, k->config.context);
    k->length = n > k->length ? n : k->length;
    return HN_OK;
}

// Before hours of training: each recording is there, is sound, and fits the window.
static hn_status check_clip(const whisper_task *k, const hn_clip *c)
{
    hn_audio *a;

    HN_TRY(hn_audio_open(c->path, HN_SPEECH_RATE, &a));
    const double seconds = hn_audio_get_info(a).seconds;
    hn_audio_close(&a);
    if (seconds > (double)k->frames / 50 + 0.01)
        return too_long(k, c->path, seconds);
    return *c->text ? HN_OK : hn_fail(HN_ERR_ARG, "'%s' has no text", c->path);
}

static hn_status read_clips(whisper_task *k, hn_whisper *m)
{
    const int64_t n = k->clips.n + k->clips.n_held;

    k->first = hn__calloc((size_t)n + 1, sizeof *k->first);
    k->order = hn__calloc((size_t)k->clips.n, sizeof *k->order);
    if (!k->first || !k->order)
        return hn__nomem((size_t)n * sizeof *k->first);
    for (int64_t i = 0; i < n; i++) {
        const hn_clip *c = i < k->clips.n ? &k->clips.clip[i] : &k->clips.held[i - k->clips.n];
        HN_TRY(check_clip(k, c));
        HN_TRY(put_clip(k, m, c));
        k->first[i + 1] = k->ids.n;
    }
    k->length = (k->length + 7) / 8 * 8;
    if (k->length > k->config.context)
        k->length = k->config.context;
    k->task.data_hash = hn__hash(k->ids.id, (size_t)k->first[k->clips.n] * sizeof *k->ids.id, 0);
    return HN_OK;
}

static hn_status make_room(whisper_task *k, hn_device *d)
{
    const size_t batch = (size_t)k->p.batch, window = (size_t)(2 * k->frames);

    k->samples = hn__calloc(window * HN_MEL_HOP + SPARE, sizeof *k->samples);
    k->features = hn__calloc(batch * (size_t)k->config.mels * window, sizeof *k->features);
    k->room = hn__calloc(2 * batch * (size_t)k->length, sizeof *k->room);
    if (!k->samples || !k->features || !k->room)
        return hn__nomem(batch * (size_t)k->config.mels * window * sizeof *k->features);
    return hn_mel_plan_create(d, (int)k->config.mels, 2 * k->frames, &k->mel);
}

static hn_status set_window(whisper_task *k)
{
    const double most = (double)k->config.frames / 50;
    const double window = k->clips.window > 0 ? k->clips.window : most;

    k->frames = (int64_t)ceil(window * 50);
    if (!(k->clips.window >= 0) || k->frames > k->config.frames)
        return hn_fail(HN_ERR_ARG, "a window of %g s; the model's is %g s", k->clips.window, most);
    return HN_OK;
}

// The tokens with a meaning, as a model without weights has them.
static hn_status open_tokens(const hn_pretrained *p, hn_whisper **out)
{
    const char *type = hn_pretrained_model_type(p);

    *out = NULL;
    if (strcmp(type, "whisper"))
        return hn_fail(HN_ERR_UNSUPPORTED,
                       "'%s' is a %.60s model, where a Whisper model is needed", p->path, type);
    hn_whisper *m = hn__calloc(1, sizeof *m);
    hn_status s =
        m ? hn__whisper_config_read(p->config, p->path, &m->config) : hn__nomem(sizeof *m);
    if (s == HN_OK)
        s = hn__pretrained_tokenizer(p, &m->tok);
    if (s == HN_OK)
        s = hn__whisper_read_tokens(m, p->generation);
    if (s)
        hn_whisper_close(&m);
    *out = m;
    return s;
}

static hn_status fill(whisper_task *k, const hn_pretrained *p, hn_device *d)
{
    hn_whisper *m;

    HN_TRY(open_tokens(p, &m));
    k->config = m->config;
    k->end = m->tokens.end;
    if (k->p.model.dropout > 0)
        k->config.dropout = k->p.model.dropout;
    hn_status s = set_window(k);
    if (s == HN_OK)
        s = read_clips(k, m);
    if (s == HN_OK)
        s = make_room(k, d);
    hn_whisper_close(&m);
    return s;
}

static hn_status check(const hn_train_params *p, const hn_clips *c)
{
    if (!p->from)
        return hn_fail(HN_ERR_ARG, "Whisper is trained from a checkpoint only");
    if (c->n < 1 || c->n_held < 0)
        return hn_fail(HN_ERR_ARG, "%" PRId64 " recordings to train on", c->n);
    if (p->batch < 1 || p->batch > MOST_BATCH)
        return hn_fail(HN_ERR_ARG, "batch %" PRId64 " must be in [1, %d]", p->batch, MOST_BATCH);
    return HN_OK;
}

static hn_status make(hn_device *d, const hn_train_params *p, const hn_clips *clips,
                      const hn_pretrained *from, whisper_task **out)
{
    *out = NULL;
    whisper_task *k = hn__calloc(1, sizeof *k);
    if (!k)
        return hn__nomem(sizeof *k);
    *k = (whisper_task){
        .task = { .fn = &whisper_fns, .peft_task = "SEQ_2_SEQ_LM", .peft_prefix = "" },
        .p = *p,
        .clips = *clips,
        .epoch = -1
    };
    const hn_status s = fill(k, from, d);
    if (s) {
        destroy(&k->task);
        return s;
    }
    *out = k;
    return HN_OK;
}

static hn_status create(hn_device *d, hn_train_params p, const hn_clips *clips, hn_trainer **out)
{
    static const char fixed[] = "model.encoder.embed_positions.";
    const int n = p.tune.n_freeze;
    hn__base *base;
    whisper_task *k;

    HN_TRY(check(&p, clips));
    HN_TRY(hn__base_open(p.from, &base));
    hn_status s = make(d, &p, clips, base->model, &k);
    if (s) {
        hn__base_close(&base);
        return s;
    }
    const char **words = hn__calloc((size_t)n + 1, sizeof *words);
    if (words) {
        if (n)
            memcpy(words, p.tune.freeze, (size_t)n * sizeof *words);
        words[p.tune.n_freeze++] = fixed;
        p.tune.freeze = words;
        s = hn__trainer_create(d, &p, &k->task, base, out);
    } else {
        s = hn__nomem(sizeof *words);
        destroy(&k->task);
        hn__base_close(&base);
    }
    hn__free(words);
    return s;
}

hn_status hn_trainer_create_whisper(hn_device *d, const hn_train_params *p, const hn_clips *clips,
                                    hn_trainer **out)
{
    *out = NULL;
    return create(d, *p, clips, out);
}
