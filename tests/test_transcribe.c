// Long recordings by a small made-up model, which says what comes to it but keeps to the rules:
// segments never fall and end with the recording, memory does not grow, silence is silence, the
// same seed gives the same words, and what does not fit is refused in words.
#include "support/check.h"
#include "support/device.h"
#include "support/folder.h"

#include "base/os.h"
#include "hornito/audio.h"
#include "hornito/speech.h"
#include "io/json.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { TEXT = 256, STAMPS = 1501, CONTEXT = 48 };
static const char *const words[] = { "<|endoftext|>",   "<|startoftranscript|>", "<|en|>",
                                     "<|de|>",          "<|translate|>",         "<|transcribe|>",
                                     "<|startoflm|>",   "<|startofprev|>",       "<|nospeech|>",
                                     "<|notimestamps|>" };
enum { WORDS = sizeof words / sizeof *words, VOCAB = TEXT + WORDS + STAMPS };

static hn_device *dev;
static hn_whisper *model;

// ---- the model -----------------------------------------------------------------------------

static void make_tokenizer(void)
{
    static char text[STAMPS][16];
    const char *special[WORDS + STAMPS];
    hn_tokenizer *tok;
    memcpy(special, words, sizeof words);
    for (int i = 0; i < STAMPS; i++) {
        snprintf(text[i], sizeof text[i], "<|%d.%02d|>", i / 50, i % 50 * 2);
        special[WORDS + i] = text[i];
    }
    CHECK_OK(hn_tokenizer_train(
        "a", 1, &(hn_tokenizer_params){ VOCAB, 0, special, WORDS + STAMPS }, &tok));
    CHECK_OK(hn_tokenizer_save(tok, folder_path("tokenizer.json")));
    hn_tokenizer_destroy(&tok);
}

static void make_configs(void)
{
    char config[700], generation[300];
    snprintf(config, sizeof config,
             "{\"model_type\": \"whisper\", \"vocab_size\": %d, \"d_model\": 32,"
             " \"num_mel_bins\": 16, \"max_source_positions\": 1500,"
             " \"max_target_positions\": %d, \"encoder_layers\": 1,"
             " \"encoder_attention_heads\": 2, \"encoder_ffn_dim\": 32, \"decoder_layers\": 1,"
             " \"decoder_attention_heads\": 2, \"decoder_ffn_dim\": 32}",
             VOCAB, CONTEXT);
    snprintf(generation, sizeof generation,
             "{\"is_multilingual\": true, \"lang_to_id\": {\"<|en|>\": %d, \"<|de|>\": %d},"
             " \"task_to_id\": {\"transcribe\": %d, \"translate\": %d},"
             " \"suppress_tokens\": [257, 260, 261, 262, 263, 264],"
             " \"begin_suppress_tokens\": [32, 256]}",
             TEXT + 2, TEXT + 3, TEXT + 5, TEXT + 4);
    folder_put("config.json", config, strlen(config));
    folder_put("generation_config.json", generation, strlen(generation));
}

// Weights as training would begin with them, but an embedding whose logits differ, of timestamps
// less than of the rest, and positions that count for more than the last token.
static void make_weights(const char *config)
{
    hn_whisper_config c;
    hn_graph *g;
    hn_weights *w;
    hn_tensor list[128] = { 0 };
    CHECK_OK(hn_whisper_config_load(config, &c));
    CHECK_OK(hn_graph_create(&g));
    const hn_val mel = hn_input(g, "mel", (hn_type){ HN_F32, 3, { 1, c.mels, 2 * c.frames } });
    const hn_val ids = hn_input(g, "ids", (hn_type){ HN_I32, 2, { 1, 1 } });
    hn_output(
        g, "logits",
        hn_whisper_logits(
            g, &c, hn_whisper_decoder(g, &c, ids, hn_whisper_encoder(g, &c, mel, NULL), NULL)));
    CHECK_OK(hn_graph_status(g));
    CHECK_OK(hn_weights_create(dev, &w));
    CHECK_OK(hn_weights_add(w, g, 11));
    const int64_t n = hn_weights_count(w);
    CHECK(n > 20 && n < 128, "%d weights", (int)n);
    for (int64_t i = 0; i < n; i++) {
        const hn_weight_info info = hn_weights_info(w, i);
        const int64_t bytes = hn_type_bytes(&info.type);
        float *x = malloc((size_t)bytes);
        CHECK_OK(hn_weights_read(w, info.name, x, bytes));
        for (int64_t k = 0; strstr(info.name, "embed_tokens") && k < bytes / 4; k++)
            x[k] *= k / c.width < TEXT + WORDS ? 60 : 40;
        for (int64_t k = 0; strstr(info.name, "decoder.embed_positions") && k < bytes / 4; k++)
            x[k] *= 300;
        list[i] = (hn_tensor){ .name = info.name,
                               .dtype = info.type.dtype,
                               .rank = info.type.rank,
                               .data = x,
                               .n_bytes = bytes };
        memcpy(list[i].dim, info.type.dim, sizeof info.type.dim);
    }
    CHECK_OK(hn_tensors_write(folder_path("model.safetensors"), list, n, NULL, 0));
    for (int64_t i = 0; i < n; i++)
        free((void *)(uintptr_t)list[i].data);
    hn_weights_destroy(&w);
    hn_graph_destroy(&g);
}

// ---- recordings ----------------------------------------------------------------------------

typedef struct recording {
    int64_t n, at; // samples in all, and given so far
    int64_t silent_from, silent_to;
    int64_t most_asked; // of one call
    hn_status fails_at_end;
} recording;

// Noise whose colour changes, so that windows differ, after two seconds that are nearly silent.
static hn_status play(void *user, float out[], int64_t n, int64_t *out_n)
{
    recording *r = user;
    r->most_asked = n > r->most_asked ? n : r->most_asked;
    *out_n = n < r->n - r->at ? n : r->n - r->at;
    for (int64_t i = 0; i < *out_n; i++, r->at++) {
        hn_rng rng = hn__rng(5, (uint64_t)(r->at / (1 + r->at / 40000 % 7)));
        const bool silent = r->at >= r->silent_from && r->at < r->silent_to;
        const double loud = r->at < 2 * HN_SPEECH_RATE ? 2e-4 : 0.3;
        out[i] = silent ? 0 : (float)hn__rng_range(&rng, -loud, loud);
    }
    return *out_n < n && r->fails_at_end ? hn_fail(r->fails_at_end, "the tape broke") : HN_OK;
}

typedef struct heard {
    int64_t n, n_wanted; // segments; stop after so many, 0: never
    double end, longest, seconds;
    uint64_t hash;
    float hottest;
    bool moved; // a window stands elsewhere than 30 s after another
} heard;

static bool hear(void *user, const hn_segment *s)
{
    heard *h = user;
    CHECK(s->start >= h->end, "a segment begins at %.2f, the last ended at %.2f", s->start,
          h->end);
    CHECK(s->end > s->start, "a segment from %.2f to %.2f", s->start, s->end);
    CHECK(*s->text && s->n_ids > 0, "a segment without words");
    json_t *text = json_string(s->text);
    CHECK(text, "a text that is no UTF-8");
    json_decref(text);
    h->end = s->end;
    h->longest = fmax(h->longest, s->end - s->start);
    h->hottest = fmaxf(h->hottest, s->temperature);
    h->hash = hn__hash(s->ids, (size_t)s->n_ids * sizeof *s->ids, h->hash);
    return ++h->n != h->n_wanted;
}

static bool go_on(void *user, double seconds)
{
    heard *h = user;
    CHECK(seconds >= h->seconds, "back from %.2f to %.2f s", h->seconds, seconds);
    h->seconds = seconds;
    h->moved |= fmod(seconds, 30) != 0;
    return true;
}

static heard listen(hn_transcriber *t, recording r, hn_transcribe_params p, hn_transcript *out)
{
    heard h = { .n_wanted = p.seed == 99 };
    p.segment = hear;
    p.progress = go_on;
    p.user = &h;
    CHECK_OK(hn_transcribe(t, play, &r, &p, out));
    CHECK(r.most_asked <= 30 * HN_SPEECH_RATE, "%d samples at a time", (int)r.most_asked);
    CHECK(h.end <= (double)r.n / HN_SPEECH_RATE + 1e-9, "a segment ends at %.2f s", h.end);
    return h;
}

static const float zero[] = { 0 };
// One try at temperature 0, whatever it gives.
static const hn_transcribe_params once = {
    .beam = 1, .temperatures = zero, .n_temperatures = 1, .most_no_speech = 2
};

static void check_long(void **state)
{
    hn_transcriber *t;
    hn_transcript out;
    (void)state;
    CHECK_OK(hn_transcriber_create(model, &t));
    const recording r = { .n = 65 * HN_SPEECH_RATE + 77 };
    const heard a = listen(t, r, once, &out);
    CHECK(out.seconds == (double)r.n / HN_SPEECH_RATE && !out.stopped, "%.3f s done", out.seconds);
    CHECK(out.n_windows >= 3 && a.n >= 3, "%d segments of %d windows", (int)a.n,
          (int)out.n_windows);
    CHECK(out.language && (!strcmp(out.language, "en") || !strcmp(out.language, "de")) &&
              out.language_probability >= 0.5 && out.language_probability < 1,
          "language %s, %g", out.language, out.language_probability);
    print_message("65 s: %d windows, %d segments, %d tokens, the last to %.2f s\n",
                  (int)out.n_windows, (int)a.n, (int)out.n_tokens, a.end);

    const heard b = listen(t, r, once, &out);
    CHECK(a.n == b.n && a.hash == b.hash, "the second time it heard something else");
    hn_transcribe_params p = once;
    p.temperatures = (const float[]){ 2 };
    p.best_of = 1;
    int n_moved = 0;
    for (p.seed = 1; p.seed < 6; p.seed++)
        n_moved += listen(t, r, p, &out).moved;
    CHECK(n_moved > 0, "no window was moved by a timestamp");
    p = once;
    p.beam = 3;
    p.condition_on_previous = true;
    p.prompt = "this was said before, and it is longer than there is room for";
    const heard c = listen(t, r, p, &out);
    CHECK(c.n > 0, "a beam hears nothing");
    p = once;
    p.no_timestamps = true;
    const heard d = listen(t, r, p, &out);
    CHECK(out.n_windows == 3 && d.n == 3 && d.longest == 30 && !d.moved, "%d windows, %d segments",
          (int)out.n_windows, (int)d.n);
    p.streaming_features = p.compare_features = true;
    listen(t, r, p, &out);
    CHECK(out.features.n_values == (65 * 100 + 1) * 16 && out.features.n_differ > 0,
          "%d values compared, %d differ", (int)out.features.n_values, (int)out.features.n_differ);
    p.seed = 99; // the first segment stops
    const heard e = listen(t, r, p, &out);
    CHECK(e.n == 1 && out.stopped, "%d segments", (int)e.n);
    hn_transcriber_destroy(&t);
}

// Samples at rising temperatures where the first result is unlikely, the same from the same seed.
static void check_fallback(void **state)
{
    const recording r = { .n = 12 * HN_SPEECH_RATE };
    hn_transcribe_params p = {
        .beam = 2, .best_of = 2, .least_log_prob = -0.001, .seed = 3, .most_no_speech = 2
    };
    hn_transcriber *t;
    hn_transcript out;
    (void)state;
    CHECK_OK(hn_transcriber_create(model, &t));
    const heard a = listen(t, r, p, &out);
    CHECK(out.n_retries > 0 && a.hottest == 1, "%d retries, the last at %g", (int)out.n_retries,
          (double)a.hottest);
    const heard b = listen(t, r, p, &out);
    CHECK(a.hash == b.hash, "the same seed gave other words");
    p.seed = 4;
    const heard c = listen(t, r, p, &out);
    CHECK(a.hash != c.hash, "another seed gave the same words");
    // Everything is unlikely and everything may be silence.
    p.most_no_speech = 1e-30;
    p.least_log_prob = 1;
    const heard d = listen(t, r, p, &out);
    CHECK(d.n == 0 && out.n_silent == out.n_windows && out.n_retries == 0, "%d segments",
          (int)d.n);
    hn_transcriber_destroy(&t);
}

static void check_silence(void **state)
{
    const int64_t rate = HN_SPEECH_RATE;
    hn_transcriber *t;
    hn_transcript out;
    (void)state;
    CHECK_OK(hn_transcriber_create(model, &t));
    const int64_t short_ones[] = { 0, 1, 159 };
    for (int i = 0; i < 3; i++) {
        const heard h = listen(t, (recording){ .n = short_ones[i] }, once, &out);
        CHECK(h.n == 0 && out.n_windows == 0, "%d samples: %d segments", (int)short_ones[i],
              (int)h.n);
    }
    const heard one = listen(t, (recording){ .n = 160 }, once, &out);
    CHECK(one.end <= 0.01 && out.n_windows == 1, "10 ms: %d windows", (int)out.n_windows);
    const heard all = listen(t, (recording){ .n = 70 * rate, .silent_to = 70 * rate }, once, &out);
    CHECK(all.n == 0 && out.n_windows == 0 && out.n_silent == 3 && out.seconds == 70,
          "%d segments of silence", (int)all.n);
    CHECK(!out.language, "silence in language %s", out.language);
    hn_transcribe_params p = once;
    p.no_timestamps = true;
    const heard last = listen(t, (recording){ .n = 70 * rate, .silent_to = 60 * rate }, p, &out);
    CHECK(last.n == 1 && last.end == 70 && last.longest == 10, "%d segments, to %g", (int)last.n,
          last.end);
    hn_transcriber_destroy(&t);
}

static void check_refused(void **state)
{
    hn_transcriber *t;
    hn_transcript out;
    recording r = { .n = 5 * HN_SPEECH_RATE };
    hn_transcribe_params p = once;
    (void)state;
    CHECK_OK(hn_transcriber_create(model, &t));
    p.language = "xx";
    CHECK_FAILS(hn_transcribe(t, play, &r, &p, &out), HN_ERR_ARG);
    CHECK(strstr(hn_error_text(), "'xx'; it knows: en de"), "the text is: %s", hn_error_text());
    p.language = "de";
    p.beam = HN_WHISPER_MAX_ROWS + 1;
    CHECK_FAILS(hn_transcribe(t, play, &r, &p, &out), HN_ERR_ARG);
    p.beam = 1;
    p.temperatures = (const float[]){ -1 };
    CHECK_FAILS(hn_transcribe(t, play, &r, &p, &out), HN_ERR_ARG);
    p.temperatures = zero;
    r.fails_at_end = HN_ERR_IO;
    CHECK_FAILS(hn_transcribe(t, play, &r, &p, &out), HN_ERR_IO);
    r = (recording){ .n = HN_SPEECH_RATE };
    CHECK_OK(hn_transcribe(t, play, &r, &p, &out)); // still works
    CHECK(!strcmp(out.language, "de") && out.language_probability == 1, "language %s",
          out.language);
    hn_transcriber_destroy(&t);
}

// ---- memory --------------------------------------------------------------------------------

// All that is allocated, the most there was at a time, and which allocation is to fail.
static struct {
    size_t live, peak;
    long n, fail;
} memory;

static void *resize(void *user, void *p, size_t n)
{
    size_t *head = p ? (size_t *)p - 2 : NULL; // the size stands before the bytes
    (void)user;
    if (n && ++memory.n == memory.fail)
        return NULL;
    memory.live -= head ? head[0] : 0;
    if (n == 0) {
        free(head);
        return NULL;
    }
    head = realloc(head, n + 2 * sizeof *head);
    if (!head)
        abort();
    head[0] = n;
    memory.live += n;
    memory.peak = memory.live > memory.peak ? memory.live : memory.peak;
    return head + 2;
}

static hn_status transcribe_some(int64_t seconds)
{
    hn_transcriber *t;
    hn_transcript out;
    recording r = { .n = seconds * HN_SPEECH_RATE };
    heard h = { .n = 0 };
    hn_transcribe_params p = once;
    p.beam = 2;
    p.prompt = "before";
    p.segment = hear;
    p.user = &h;
    hn_status s = hn_transcriber_create(model, &t);
    if (s == HN_OK)
        s = hn_transcribe(t, play, &r, &p, &out);
    hn_transcriber_destroy(&t);
    return s;
}

static void check_constant(void **state)
{
    (void)state;
    if (hn_device_get_info(dev)->kind != HN_DEVICE_CPU)
        skip();                   // what is the host's is the same on each device
    CHECK_OK(transcribe_some(5)); // the model's plans are made
    const size_t before = memory.live;
    memory.peak = 0;
    CHECK_OK(transcribe_some(40));
    const size_t few = memory.peak;
    memory.peak = 0;
    CHECK_OK(transcribe_some(150));
    print_message("%zu bytes for 40 s, %zu for 150 s\n", few - before, memory.peak - before);
    CHECK(memory.peak <= few + 4096, "%zu bytes for 40 s, %zu for 150 s", few, memory.peak);
    CHECK(memory.live == before, "%zu bytes are left", memory.live - before);
}

// The n-th allocation fails, for every n.
static void check_nomem(void **state)
{
    hn_status s = HN_ERR_NOMEM;
    (void)state;
    if (hn_device_get_info(dev)->kind != HN_DEVICE_CPU)
        skip();
    CHECK_OK(transcribe_some(1));
    const size_t before = memory.live;
    for (long n = 1; s != HN_OK; n++) {
        memory.n = 0;
        memory.fail = n;
        s = transcribe_some(1);
        const bool reached = memory.n >= n;
        memory.fail = 0;
        CHECK(s == HN_ERR_NOMEM || (s == HN_OK && !reached), "allocation %ld failing: %s: %s", n,
              hn_status_name(s), hn_error_text());
        CHECK(memory.live == before, "allocation %ld failing: %zu bytes are left", n,
              memory.live - before);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(check_long),     cmocka_unit_test(check_fallback),
        cmocka_unit_test(check_silence),  cmocka_unit_test(check_refused),
        cmocka_unit_test(check_constant), cmocka_unit_test(check_nomem),
    };
    const hn_device_params p = test_device_params();
    hn_set_allocator(&(hn_allocator){ .resize = resize });
    folder_make("transcribe");
    dev = test_device_open(&p);
    make_tokenizer();
    make_configs();
    make_weights(folder_path("config.json"));
    CHECK_OK(hn_whisper_open(dev, folder_path("."), NULL, &model));
    const int failed = cmocka_run_group_tests(tests, NULL, NULL);
    hn_whisper_close(&model);
    test_device_close(&dev);
    folder_remove();
    return failed;
}
