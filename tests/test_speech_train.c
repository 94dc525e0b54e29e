// Whisper trained from a checkpoint: the loss of what is held out falls, a run goes on bit for
// bit, its checkpoint opens as a Whisper model and has the loss that training had, and what cannot
// be trained on is refused first, by name. On the seeded model and cuts of a real recording.
#include "support/check.h"
#include "support/device.h"
#include "support/folder.h"
#include "support/models.h"

#include "base/os.h"
#include "hornito/audio.h"
#include "hornito/train.h"
#include "hornito/whisper.h"
#include "io/json.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { RATE = 16000, CLIPS = 5, CUT = RATE * 4 / 5 };

static hn_device *dev;
static char base[512], paths[CLIPS][512];
static hn_clip clip[CLIPS];

// ---- the model and the recordings ----------------------------------------------------------

static const char *const said[CLIPS] = { "and mister john", "dashwood had then", "leisure to",
                                         "consider how much", "there might be" };

static void put32(uint8_t *p, uint32_t x)
{
    for (int i = 0; i < 4; i++)
        p[i] = (uint8_t)(x >> (8 * i));
}

// A wav file of one channel of 16 bits.
static void write_wav(const char *name, const float x[], uint32_t n)
{
    uint8_t *file = calloc(44 + 2 * (size_t)n, 1);
    memcpy(file, "RIFF    WAVEfmt ", 16);
    put32(file + 4, 36 + 2 * n);
    put32(file + 16, 16);
    file[20] = file[22] = 1; // PCM, one channel
    put32(file + 24, RATE);
    put32(file + 28, 2 * RATE);
    file[32] = 2;
    file[34] = 16;
    memcpy(file + 36, "data", 4);
    put32(file + 40, 2 * n);
    for (uint32_t i = 0; i < n; i++) {
        const int v = (int)lrintf(x[i] * 32767);
        file[44 + 2 * i] = (uint8_t)v;
        file[45 + 2 * i] = (uint8_t)(v >> 8);
    }
    folder_put(name, file, 44 + 2 * (size_t)n);
    free(file);
}

static void make_clips(void)
{
    static float x[CUT * CLIPS];
    hn_audio *a;
    int64_t n;
    CHECK_OK(hn_audio_open(reference_path("librivox_0870.wav"), RATE, &a));
    CHECK_OK(hn_audio_read(a, x, CUT * CLIPS, &n));
    CHECK(n == CUT * CLIPS, "%d samples", (int)n);
    hn_audio_close(&a);
    for (int i = 0; i < CLIPS; i++) {
        char name[32];
        snprintf(name, sizeof name, "%d.wav", i);
        write_wav(name, x + i * CUT, CUT);
        snprintf(paths[i], sizeof paths[i], "%s", folder_path(name));
        clip[i] = (hn_clip){ paths[i], said[i] };
    }
}

static void copy(const char *from, const char *name)
{
    hn__map m;
    CHECK_OK(hn__map_open(from, &m));
    folder_put(name, m.data, m.size);
    hn__map_close(&m);
}

// An English-only model in Hugging Face's layout.
static void make_base(void)
{
    static const char text[] =
        "and mister john dashwood had then leisure to consider how much there "
        "might be prudently in his power to do for them";
    static const char *const special[] = { "<|endoftext|>", "<|startoftranscript|>",
                                           "<|notimestamps|>" };
    json_t *numbers, *config;
    const json_t *sizes;
    hn_tokenizer *tok;

    CHECK_OK(hn__mkdirs(folder_path("base")));
    copy(reference_path("tinywhisper.safetensors"), "base/model.safetensors");
    CHECK_OK(hn__json_load(reference_path("tinywhisper.json"), 1 << 20, &numbers));
    CHECK_OK(hn__json_object(numbers, "tinywhisper.json", "config", &sizes));
    config = json_deep_copy(sizes);
    CHECK_OK(hn__json_set(config, "model_type", json_string("whisper")));
    CHECK_OK(hn__json_save(folder_path("base/config.json"), config));
    json_decref(config);
    json_decref(numbers);
    CHECK_OK(hn_tokenizer_train(text, strlen(text), &(hn_tokenizer_params){ 300, 0, special, 3 },
                                &tok));
    CHECK_OK(hn_tokenizer_save(tok, folder_path("base/tokenizer.json")));
    hn_tokenizer_destroy(&tok);
    snprintf(base, sizeof base, "%s", folder_path("base"));
}

static const char *const encoder = "encoder";

static hn_train_params params(void)
{
    return (hn_train_params){ .from = base,
                              .tune = { .freeze = &encoder, .n_freeze = 1 },
                              .optimizer = { .adamw = { 0.9f, 0.95f, 1e-8f, 0.1f }, .clip = 1 },
                              .batch = 2,
                              .steps = 8,
                              .lr = 3e-3f,
                              .lr_end = 3e-3f,
                              .seed = 3 };
}

// The last clip is held out.
static hn_clips clips(void)
{
    return (hn_clips){
        .clip = clip, .n = CLIPS - 1, .held = clip + CLIPS - 1, .n_held = 1, .window = 1
    };
}

static hn_trainer *open_trainer(const hn_train_params *p)
{
    const hn_clips c = clips();
    hn_trainer *t;
    CHECK_OK(hn_trainer_create_whisper(dev, p, &c, &t));
    return t;
}

static double steps(hn_trainer *t, int n)
{
    hn_train_step r = { 0 };
    for (int i = 0; i < n; i++)
        CHECK_OK(hn_trainer_step(t, &r));
    return r.loss;
}

static double measured(hn_trainer *t)
{
    double loss;
    CHECK_OK(hn_trainer_measure(t, &loss));
    return loss;
}

// ---- checks --------------------------------------------------------------------------------

// The held-out loss falls, and is what a run from the checkpoint measures; adapters are merged.
static void check_falls(const hn_tune_params *tune, const char *name)
{
    hn_train_params p = params();
    char dir[512];
    hn_whisper *m;

    snprintf(dir, sizeof dir, "%s", folder_path(name));
    p.tune = *tune;
    hn_trainer *t = open_trainer(&p);
    CHECK(hn_trainer_has_held(t), "nothing is held out");
    const double before = measured(t);
    steps(t, 8);
    const double after = measured(t);
    CHECK(after < before - 0.1, "%s: held out %g, then %g", name, before, after);
    CHECK_OK(hn_trainer_save(t, dir, NULL));
    hn_trainer_destroy(&t);

    CHECK_OK(hn_whisper_open(dev, dir, NULL, &m));
    CHECK(hn_whisper_get_config(m)->vocab == 512, "another model");
    hn_whisper_close(&m);
    p.from = dir;
    p.tune = (hn_tune_params){ .freeze = &encoder, .n_freeze = 1 };
    t = open_trainer(&p);
    const double again = measured(t);
    CHECK(fabs(again - after) <= 1e-4 * after, "%s: held out %g, and %g from the checkpoint", name,
          after, again);
    hn_trainer_destroy(&t);
}

static void check_decoder(void **state)
{
    (void)state;
    check_falls(&(hn_tune_params){ .freeze = &encoder, .n_freeze = 1 }, "decoder");
}

static void check_adapters(void **state)
{
    (void)state;
    check_falls(&(hn_tune_params){ .rank = 8, .alpha = 32 }, "adapters");
}

static void check_resume(void **state)
{
    (void)state;
    const hn_train_params p = params();
    const char *dir = folder_path("resumed");

    hn_trainer *t = open_trainer(&p);
    const double whole = steps(t, 5);
    hn_trainer_destroy(&t);
    t = open_trainer(&p);
    steps(t, 3);
    CHECK_OK(hn_trainer_save(t, dir, NULL));
    hn_trainer_destroy(&t);
    t = open_trainer(&p);
    CHECK_OK(hn_trainer_resume(t, dir));
    const double resumed = steps(t, 2);
    CHECK(whole == resumed, "loss %.9g, %.9g after a resume", whole, resumed);
    hn_trainer_destroy(&t);
}

// Encoder and decoder with their blocks computed again: the same bits in fewer bytes; and in 16
// bits: nearly the same loss.
static void check_recompute(void **state)
{
    (void)state;
    hn_train_params p = params();
    int64_t bytes[4];
    double loss[4];

    p.tune = (hn_tune_params){ 0 };
    p.optimizer.first_scale = 64; // no step is left out
    for (int k = 0; k < 4; k++) {
        p.optimizer.recompute = k == 1 ? HN_RECOMPUTE_ALL : 0;
        p.precision = k == 2 ? HN_F16 : k == 3 ? HN_BF16 : HN_F32;
        hn_trainer *t = open_trainer(&p);
        loss[k] = steps(t, 3);
        bytes[k] = hn_plan_get_info(hn_trainer_plan(t)).block_bytes;
        hn_trainer_destroy(&t);
    }
    CHECK(loss[0] == loss[1], "loss %.9g, %.9g with blocks computed again", loss[0], loss[1]);
    CHECK(bytes[1] < bytes[0], "%d bytes, %d with blocks computed again", (int)bytes[0],
          (int)bytes[1]);
    for (int k = 2; k < 4; k++)
        CHECK(fabs(loss[k] - loss[0]) < 0.03 * loss[0], "loss %g, in 16 bits %g", loss[0],
              loss[k]);
}

static void refused(const hn_clip *c, int64_t n, double window, const char *language,
                    hn_status want, const char *words)
{
    const hn_train_params p = params();
    const hn_clips list = { .clip = c, .n = n, .window = window, .language = language };
    hn_trainer *t;
    CHECK_FAILS(hn_trainer_create_whisper(dev, &p, &list, &t), want);
    CHECK(strstr(hn_error_text(), words), "no '%s' in: %s", words, hn_error_text());
    CHECK(t == NULL, "a trainer after a failure");
}

static void check_refused(void **state)
{
    (void)state;
    static char long_text[2000];
    const hn_clip missing = { "/nonexistent.wav", "a" }, silent = { paths[0], "" };
    const hn_clip text = { folder_path("base/config.json"), "a" };
    const hn_clip talkative = { paths[0], long_text };
    hn_train_params p = params();
    const hn_clips c = clips();
    hn_trainer *t;

    memset(long_text, 'x', sizeof long_text - 1);
    refused(&missing, 1, 1, NULL, HN_ERR_IO, "nonexistent");
    refused(&silent, 1, 1, NULL, HN_ERR_ARG, "no text");
    refused(&text, 1, 1, NULL, HN_ERR_FORMAT, "config.json");
    refused(&talkative, 1, 1, NULL, HN_ERR_ARG, "tokens");
    refused(clip, CLIPS, 0.5, NULL, HN_ERR_ARG, "longer than the window");
    refused(clip, CLIPS, 31, NULL, HN_ERR_ARG, "31");
    refused(clip, 0, 1, NULL, HN_ERR_ARG, "0 recordings");
    p.from = NULL;
    CHECK_FAILS(hn_trainer_create_whisper(dev, &p, &c, &t), HN_ERR_ARG);
    p.from = base;
    p.batch = 0;
    CHECK_FAILS(hn_trainer_create_whisper(dev, &p, &c, &t), HN_ERR_ARG);
    // A speech model is no language model.
    const int32_t tokens[80] = { 0 };
    p.batch = 1;
    CHECK_FAILS(hn_trainer_create(dev, &p, tokens, 80, &t), HN_ERR_UNSUPPORTED);
    CHECK(strstr(hn_error_text(), "speech"), "%s", hn_error_text());
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(check_decoder),
        cmocka_unit_test(check_adapters),
        cmocka_unit_test(check_resume),
        cmocka_unit_test(check_recompute),
        cmocka_unit_test(check_refused),
    };
    const hn_device_params p = test_device_params();
    dev = test_device_open(&p);
    folder_make("speech_train");
    make_clips();
    make_base();
    const int failed = cmocka_run_group_tests(tests, NULL, NULL);
    folder_remove();
    test_device_close(&dev);
    return failed;
}
