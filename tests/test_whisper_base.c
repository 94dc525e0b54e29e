// Whisper base with its real weights against an f64 implementation of it and CTranslate2
// (tests/data/reference/whisper-base): encoder, logits, greedy tokens, cross-entropies. With
// HN_TEST_SHORT set only a clip of a second, against the cpu device.
#include "support/check.h"
#include "support/device.h"
#include "support/models.h"

#include "hornito/whisper.h"
#include "io/json.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define BASE(name) reference_path("whisper-base/" name)

enum { FRAMES = 1500, WIDTH = 512, VOCAB = 51865, KEPT = 60, N_IDS = 7, N_COLS = 256, MOST = 64 };

static const int32_t row_ids[N_IDS] = { 50258, 50259, 50359, 50363, 400, 2221, 13 };

static hn_device *dev;
static hn_whisper *model;
static float *audio; // of the clip: [FRAMES, WIDTH]

static float *read_npy(const char *path, int64_t want)
{
    hn_tensors *t;
    CHECK_OK(hn_tensors_open(path, &t));
    const hn_tensor *a = hn_tensors_at(t, 0);
    hn_type type;
    CHECK_OK(hn_tensor_type(a, &type));
    CHECK(hn_type_numel(&type) == want, "%s: %d elements, not %d", path,
          (int)hn_type_numel(&type), (int)want);
    float *x = malloc((size_t)want * sizeof *x);
    CHECK_OK(hn_tensor_read(a, HN_F32, x));
    hn_tensors_destroy(&t);
    return x;
}

// Elementwise tolerance of the row's device: rounding differs from driver to driver.
static double tolerance(void)
{
    return hn_device_get_info(dev)->kind == HN_DEVICE_VULKAN ? 1e-3 : 2e-4;
}

// Opened and encoded once, by the first test that needs it.
static void need_model(void)
{
    if (model)
        return;
    CHECK_OK(hn_whisper_open(dev, model_folder("whisper-base"), NULL, &model));
    float *mel = read_npy(reference_path("logmel_80x3000.npy"), 80 * 2 * FRAMES);
    audio = malloc(sizeof(float) * FRAMES * WIDTH);
    CHECK_OK(hn_whisper_encode(model, mel, audio));
    free(mel);
}

static void check_opened(void **state)
{
    (void)state;
    need_model();
    const hn_whisper_tokens *t = hn_whisper_get_tokens(model);
    int n, n_first, n_languages;
    const hn_whisper_language *l = hn_whisper_get_languages(model, &n_languages);
    const int32_t *first = hn_whisper_get_suppressed_first(model, &n_first);

    hn_whisper_get_suppressed(model, &n);
    CHECK(t->start == 50258 && t->end == 50257 && t->transcribe == 50359 &&
              t->translate == 50358 && t->no_timestamps == 50363 && t->first_timestamp == 50364 &&
              t->no_speech == 50362 && t->start_of_previous == 50361 && t->start_of_lm == 50360,
          "tokens %d %d %d %d %d %d %d %d %d", t->start, t->end, t->transcribe, t->translate,
          t->no_timestamps, t->first_timestamp, t->no_speech, t->start_of_previous,
          t->start_of_lm);
    CHECK(n_languages == 99 && !strcmp(l[0].code, "en") && l[0].token == 50259 &&
              !strcmp(l[98].code, "su") && l[98].token == 50357,
          "%d languages, %s to %s", n_languages, l[0].code, l[n_languages - 1].code);
    CHECK(n == 88 && n_first == 2 && first[0] == 220 && first[1] == 50257,
          "%d and %d tokens suppressed", n, n_first);
}

static void check_encoder(void **state)
{
    (void)state;
    need_model();
    float *kept = read_npy(BASE("encoder_every25_60x512.npy"), KEPT * WIDTH);
    float *means = read_npy(BASE("encoder_frame_mean_1500.npy"), FRAMES);
    float *norms = read_npy(BASE("encoder_frame_l2_1500.npy"), FRAMES);
    double worst = 0, worst_mean = 0, worst_norm = 0;

    for (int i = 0; i < KEPT * WIDTH; i++)
        worst = fmax(worst, fabs((double)audio[i / WIDTH * 25 * WIDTH + i % WIDTH] -
                                 (double)kept[i]));
    for (int f = 0; f < FRAMES; f++) {
        double sum = 0, squares = 0;
        for (int i = 0; i < WIDTH; i++) {
            const double x = (double)audio[f * WIDTH + i];
            CHECK(!isnan(x), "frame %d holds NaN", f);
            sum += x;
            squares += x * x;
        }
        worst_mean = fmax(worst_mean, fabs(sum / WIDTH - (double)means[f]));
        worst_norm = fmax(worst_norm, fabs(sqrt(squares) / (double)norms[f] - 1));
    }
    print_message("encoder: frames %.2g, means %.2g, norms %.2g\n", worst, worst_mean, worst_norm);
    CHECK(worst <= tolerance(), "a kept frame is off by %g", worst);
    CHECK(worst_mean <= tolerance() / 40, "a frame's mean is off by %g", worst_mean);
    CHECK(worst_norm <= tolerance() / 2, "a frame's norm is off by %g of it", worst_norm);
    free(kept);
    free(means);
    free(norms);
}

// Seven steps of one token; then the same tokens as one prompt.
static void check_logits(void **state)
{
    (void)state;
    need_model();
    float *cols = read_npy(BASE("logits_vocab_ids_256.npy"), N_COLS);
    float *want = read_npy(BASE("logits_7x256.npy"), N_IDS * N_COLS);
    float *whole = read_npy(BASE("logits_last_prompt_row_51865.npy"), VOCAB);
    float *got = malloc(sizeof(float) * VOCAB);
    double worst = 0, worst_whole = 0, worst_prompt = 0;

    for (int r = 0; r < N_IDS; r++) {
        CHECK_OK(hn_whisper_decode(model, row_ids + r, 1, 1, r, got));
        for (int i = 0; i < N_COLS; i++)
            worst = fmax(worst, fabs((double)got[(int)cols[i]] - (double)want[r * N_COLS + i]));
        for (int i = 0; r == 3 && i < VOCAB; i++)
            worst_whole = fmax(worst_whole, fabs((double)got[i] - (double)whole[i]));
    }
    CHECK_OK(hn_whisper_decode(model, row_ids, 1, 4, 0, got));
    for (int i = 0; i < VOCAB; i++) {
        CHECK(!isnan(got[i]), "logit %d is NaN", i);
        worst_prompt = fmax(worst_prompt, fabs((double)got[i] - (double)whole[i]));
    }
    print_message("logits: 7 x 256 %.2g, row 3 %.2g, as a prompt %.2g\n", worst, worst_whole,
                  worst_prompt);
    CHECK(worst <= tolerance(), "a logit is off by %g", worst);
    CHECK(worst_whole <= tolerance() && worst_prompt <= tolerance(),
          "row 3 is off by %g, %g as a prompt", worst_whole, worst_prompt);
    free(cols);
    free(want);
    free(whole);
    free(got);
}

static int likeliest(float *logits, bool first)
{
    int n, n_first, best = 0;
    const int32_t *never = hn_whisper_get_suppressed(model, &n);
    const int32_t *later = hn_whisper_get_suppressed_first(model, &n_first);

    for (int i = 0; i < n; i++)
        logits[never[i]] = -INFINITY;
    for (int i = 0; first && i < n_first; i++)
        logits[later[i]] = -INFINITY;
    logits[hn_whisper_get_tokens(model)->no_timestamps] = -INFINITY;
    for (int i = 1; i < VOCAB; i++)
        best = logits[i] > logits[best] ? i : best;
    return best;
}

static void check_greedy(void **state)
{
    (void)state;
    need_model();
    json_t *o;
    const json_t *want;
    float *logits = malloc(sizeof(float) * VOCAB);
    int32_t id;
    int n = 0;

    CHECK_OK(hn__json_load(BASE("decode.json"), 1 << 22, &o));
    CHECK_OK(hn__json_array(o, "decode.json", "greedy_no_timestamps", &want));
    CHECK_OK(hn_whisper_decode(model, row_ids, 1, 4, 0, logits));
    while ((id = likeliest(logits, n == 0)) != hn_whisper_get_tokens(model)->end && n < MOST) {
        const int expected = (int)json_integer_value(json_array_get(want, (size_t)n));
        CHECK(id == expected, "token %d is %d, not %d", n, id, expected);
        CHECK_OK(hn_whisper_decode(model, &id, 1, 1, 4 + n, logits));
        n++;
    }
    CHECK(n == (int)json_array_size(want), "%d tokens, not %zu", n, json_array_size(want));
    json_decref(o);
    free(logits);
}

// Mean over `n` targets of their negative log-likelihoods, from `first` on.
static double mean(const float *nats, int first, int n)
{
    double sum = 0;
    for (int i = first; i < first + n; i++)
        sum += (double)nats[i];
    return sum / n;
}

// One pass over prompt and text without caches: the loss graph of training.
static void score(const int32_t *text, int n, double out[2])
{
    const hn_whisper_config *c = hn_whisper_get_config(model);
    const int t = 4 + n;
    int32_t ids[MOST], targets[MOST];
    float nats[MOST];
    hn_graph *g;
    hn_plan *p;

    memcpy(ids, row_ids, 4 * sizeof *ids);
    memcpy(ids + 4, text, (size_t)n * sizeof *ids);
    memcpy(targets, ids + 1, (size_t)(t - 1) * sizeof *ids);
    targets[0] = targets[1] = targets[2] = -1;
    targets[t - 1] = hn_whisper_get_tokens(model)->end;
    CHECK_OK(hn_graph_create(&g));
    const hn_type row = { HN_I32, 2, { 1, t } };
    const hn_val in = hn_input(g, "audio", (hn_type){ HN_F32, 3, { 1, FRAMES, WIDTH } });
    const hn_val hidden = hn_whisper_decoder(g, c, hn_input(g, "ids", row), in, NULL);
    hn_output(g, "nats", hn_whisper_loss(g, c, hidden, hn_input(g, "targets", row)));
    CHECK_OK(hn_plan_create(g, dev,
                            &(hn_plan_params){ .weights = hn_whisper_get_weights(model) }, &p));
    CHECK_OK(hn_plan_write(p, "audio", audio, (int64_t)sizeof(float) * FRAMES * WIDTH));
    CHECK_OK(hn_plan_write(p, "ids", ids, t * 4));
    CHECK_OK(hn_plan_write(p, "targets", targets, t * 4));
    CHECK_OK(hn_plan_run(p));
    CHECK_OK(hn_plan_read(p, "nats", nats, t * 4));
    CHECK(nats[0] == 0 && nats[2] == 0, "masked targets cost %g, %g", (double)nats[0],
          (double)nats[2]);
    out[0] = mean(nats, 3, n + 1);
    out[1] = mean(nats, 3, n);
    hn_plan_destroy(&p);
    hn_graph_destroy(&g);
}

static void check_scores(void **state)
{
    (void)state;
    static const char *const names[] = { "package_lowercase", "whisper_style" };
    static const double want[2][2] = { { 0.471521733, 0.453160674 },
                                       { 0.069048867, 0.071218584 } };
    json_t *texts;

    need_model();
    CHECK_OK(hn__json_load(BASE("transcripts_tok.json"), 1 << 20, &texts));
    for (size_t k = 0; k < 2; k++) {
        const json_t *a = json_array_get(json_object_get(texts, names[k]), 1);
        const int n = (int)json_array_size(a);
        int32_t ids[MOST];
        double got[2];
        CHECK(n > 0 && n + 4 <= MOST, "%s has %d tokens", names[k], n);
        for (int i = 0; i < n; i++)
            ids[i] = (int32_t)json_integer_value(json_array_get(a, (size_t)i));
        score(ids, n, got);
        print_message("%s: %.7f nats a token, %.7f without the end\n", names[k], got[0], got[1]);
        for (int i = 0; i < 2; i++)
            CHECK(fabs(got[i] - want[k][i]) <= tolerance() / 20, "%s: %.7f nats, not %.7f", names[k],
                  got[i], want[k][i]);
    }
    json_decref(texts);
}

// ---- a short clip --------------------------------------------------------------------------

enum { SHORT = 64 }; // frames: 1.28 s

// The first frames of the clip through encoder and decoder: [SHORT, WIDTH] and [N_IDS, VOCAB].
static void run_short(hn_device *d, hn_whisper *m, const float *mel, float *out, float *logits)
{
    const hn_whisper_config *c = hn_whisper_get_config(m);
    const hn_type clip = { HN_F32, 3, { 1, 80, 2 * SHORT } };
    hn_graph *g;
    hn_plan *p;

    CHECK_OK(hn_graph_create(&g));
    const hn_val seen = hn_whisper_encoder(g, c, hn_input(g, "mel", clip), NULL);
    const hn_val ids = hn_input(g, "ids", (hn_type){ HN_I32, 2, { 1, N_IDS } });
    hn_output(g, "audio", seen);
    hn_output(g, "logits",
              hn_whisper_logits(g, c, hn_whisper_decoder(g, c, ids, seen, NULL)));
    CHECK_OK(hn_plan_create(g, d, &(hn_plan_params){ .weights = hn_whisper_get_weights(m) }, &p));
    CHECK_OK(hn_plan_write(p, "mel", mel, 80 * 2 * SHORT * 4));
    CHECK_OK(hn_plan_write(p, "ids", row_ids, sizeof row_ids));
    CHECK_OK(hn_plan_run(p));
    CHECK_OK(hn_plan_read(p, "audio", out, SHORT * WIDTH * 4));
    CHECK_OK(hn_plan_read(p, "logits", logits, (int64_t)N_IDS * VOCAB * 4));
    hn_plan_destroy(&p);
    hn_graph_destroy(&g);
}

static double worst_of(const float *a, const float *b, int64_t n)
{
    double worst = 0;
    for (int64_t i = 0; i < n; i++) {
        CHECK(!isnan(a[i]), "element %d is NaN", (int)i);
        worst = fmax(worst, fabs((double)a[i] - (double)b[i]));
    }
    return worst;
}

// Of a driver that needs minutes for a window: real weights give what they give on the cpu.
static void check_short(void **state)
{
    (void)state;
    const size_t n = (size_t)N_IDS * VOCAB, n_audio = (size_t)SHORT * WIDTH;
    float *mel = read_npy(reference_path("logmel_80x3000.npy"), 80 * 2 * FRAMES);
    float *out[2], *logits[2];

    for (int i = 0; i < 80 * 2 * SHORT; i++)
        mel[i] = mel[i / (2 * SHORT) * 2 * FRAMES + i % (2 * SHORT)];
    for (int k = 0; k < 2; k++) {
        hn_device *d = dev;
        hn_whisper *m;
        if (k)
            CHECK_OK(hn_device_open(&(hn_device_params){ .spec = "cpu" }, &d));
        CHECK_OK(hn_whisper_open(d, model_folder("whisper-base"), NULL, &m));
        out[k] = malloc(n_audio * sizeof(float));
        logits[k] = malloc(n * sizeof(float));
        run_short(d, m, mel, out[k], logits[k]);
        hn_whisper_close(&m);
        if (k)
            hn_device_close(&d);
    }
    const double a = worst_of(out[0], out[1], (int64_t)n_audio);
    const double b = worst_of(logits[0], logits[1], (int64_t)n);
    print_message("short clip: frames %.2g, logits %.2g\n", a, b);
    CHECK(a <= tolerance() && b <= tolerance(), "off by %g and %g", a, b);
    for (int k = 0; k < 2; k++) {
        free(out[k]);
        free(logits[k]);
    }
    free(mel);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(check_opened), cmocka_unit_test(check_encoder),
        cmocka_unit_test(check_logits), cmocka_unit_test(check_greedy),
        cmocka_unit_test(check_scores),
    };
    const struct CMUnitTest quick[] = { cmocka_unit_test(check_short) };
    const hn_device_params p = test_device_params();
    dev = test_device_open(&p);
    const int failed = getenv("HN_TEST_SHORT") ? cmocka_run_group_tests(quick, NULL, NULL)
                                               : cmocka_run_group_tests(tests, NULL, NULL);
    hn_whisper_close(&model);
    free(audio);
    test_device_close(&dev);
    return failed;
}
