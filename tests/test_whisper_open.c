// Opening a Whisper model of a few thousand weights from a folder: its tokens in a multilingual
// and an English-only form, what is refused by name, and every allocation made to fail.
#include "support/check.h"
#include "support/failing.h"
#include "support/folder.h"

#include "base/base.h"
#include "hornito/device.h"
#include "hornito/whisper.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { VOCAB = 280, MELS = 4, FRAMES = 6, CONTEXT = 40, WIDTH = 8 };

static const hn_whisper_config config = { .vocab = VOCAB, .width = WIDTH, .mels = MELS,
                                          .frames = FRAMES, .context = CONTEXT,
                                          .encoder_layers = 1, .encoder_heads = 2,
                                          .encoder_ffn = 12, .decoder_layers = 1,
                                          .decoder_heads = 2, .decoder_ffn = 12 };

static const char config_json[] =
    "{\"model_type\": \"whisper\", \"vocab_size\": 280, \"d_model\": 8, \"num_mel_bins\": 4,"
    " \"max_source_positions\": 6, \"max_target_positions\": 40, \"encoder_layers\": 1,"
    " \"decoder_layers\": 1, \"encoder_attention_heads\": 2, \"decoder_attention_heads\": 2,"
    " \"encoder_ffn_dim\": 12, \"decoder_ffn_dim\": 12, \"activation_function\": \"gelu\"}";

// Tokens from 256 on, in this order.
static const char *const special[] = { "<|endoftext|>", "<|startoftranscript|>", "<|en|>",
                                       "<|de|>", "<|translate|>", "<|transcribe|>",
                                       "<|startoflm|>", "<|startofprev|>", "<|nocaptions|>",
                                       "<|notimestamps|>" };
enum { END = 256, START, EN, DE, TRANSLATE, TRANSCRIBE, LM, PREVIOUS, SILENCE, NO_TIMES };

static const char many[] =
    "{\"is_multilingual\": true, \"suppress_tokens\": [1, 5, 9], \"begin_suppress_tokens\": "
    "[220, 256], \"lang_to_id\": {\"<|de|>\": 259, \"<|en|>\": 258}, \"task_to_id\": "
    "{\"transcribe\": 261, \"translate\": 260}, \"no_timestamps_token_id\": 265}";

static void put_text(const char *name, const char *text)
{
    folder_put(name, text, strlen(text));
}

// Every weight of the model, drawn from a seed, but for `without`; `wrong` is a row short.
static void put_weights(const char *without, const char *wrong)
{
    hn_device *d;
    hn_weights *w;
    hn_graph *g;
    hn_tensor list[96];
    int64_t n = 0;

    CHECK_OK(hn_device_open(&(hn_device_params){ .spec = "cpu", .n_threads = 1 }, &d));
    CHECK_OK(hn_weights_create(d, &w));
    CHECK_OK(hn_graph_create(&g));
    const hn_val mel = hn_input(g, "mel", (hn_type){ HN_F32, 3, { 1, MELS, 2 * FRAMES } });
    const hn_val ids = hn_input(g, "ids", (hn_type){ HN_I32, 2, { 1, 1 } });
    hn_whisper_decoder(g, &config, ids, hn_whisper_encoder(g, &config, mel, NULL), NULL);
    CHECK_OK(hn_weights_add(w, g, 7));
    for (int64_t i = 0; i < hn_weights_count(w); i++) {
        const hn_weight_info info = hn_weights_info(w, i);
        if (without && strcmp(info.name, without) == 0)
            continue;
        float *x = malloc((size_t)hn_type_bytes(&info.type));
        CHECK_OK(hn_weights_read(w, info.name, x, hn_type_bytes(&info.type)));
        list[n] = (hn_tensor){ .name = info.name, .dtype = HN_F32, .rank = info.type.rank };
        memcpy(list[n].dim, info.type.dim, sizeof info.type.dim);
        list[n].dim[0] -= wrong && strcmp(info.name, wrong) == 0;
        list[n].n_bytes = hn_type_bytes(&info.type) / info.type.dim[0] * list[n].dim[0];
        list[n++].data = x;
    }
    CHECK_OK(hn_tensors_write(folder_path("model.safetensors"), list, n, NULL, 0));
    for (int64_t i = 0; i < n; i++)
        free((void *)(uintptr_t)list[i].data);
    hn_graph_destroy(&g);
    hn_weights_destroy(&w);
    hn_device_close(&d);
}

static void put_model(const char *generation)
{
    hn_tokenizer *t;
    const int n = sizeof special / sizeof *special;
    const hn_tokenizer_params p = { .vocab_size = 256 + n, .special = special, .n_special = n };

    put_text("config.json", config_json);
    put_text("generation_config.json", generation);
    CHECK_OK(hn_tokenizer_train("x", 1, &p, &t));
    CHECK_OK(hn_tokenizer_save(t, folder_path("tokenizer.json")));
    hn_tokenizer_destroy(&t);
    put_weights(NULL, NULL);
}

static hn_device *open_device(void)
{
    hn_device *d;
    CHECK_OK(hn_device_open(&(hn_device_params){ .spec = "cpu", .n_threads = 1 }, &d));
    return d;
}

static void check_tokens(void **state)
{
    (void)state;
    hn_device *d = open_device();
    hn_whisper *m;
    int n;

    put_model(many);
    CHECK_OK(hn_whisper_open(d, folder_path(""), NULL, &m));
    const hn_whisper_tokens t = *hn_whisper_get_tokens(m);
    CHECK(t.start == START && t.end == END && t.transcribe == TRANSCRIBE &&
              t.translate == TRANSLATE && t.no_timestamps == NO_TIMES && t.no_speech == SILENCE &&
              t.start_of_previous == PREVIOUS && t.start_of_lm == LM,
          "tokens %d %d %d %d %d %d %d %d", t.start, t.end, t.transcribe, t.translate,
          t.no_timestamps, t.no_speech, t.start_of_previous, t.start_of_lm);
    CHECK(t.first_timestamp == NO_TIMES + 1, "first timestamp %d", t.first_timestamp);
    const hn_whisper_language *l = hn_whisper_get_languages(m, &n);
    CHECK(n == 2 && l[0].token == EN && l[1].token == DE && !strcmp(l[0].code, "en") &&
              !strcmp(l[1].code, "de"), "%d languages, %s first", n, l[0].code);
    CHECK(hn_whisper_get_suppressed(m, &n)[2] == 9 && n == 3, "%d suppressed", n);
    CHECK(hn_whisper_get_suppressed_first(m, &n)[0] == 220 && n == 2, "%d suppressed first", n);
    hn_whisper_close(&m);

    put_text("generation_config.json", "{\"is_multilingual\": false}");
    CHECK_OK(hn_whisper_open(d, folder_path(""), NULL, &m));
    hn_whisper_get_languages(m, &n);
    CHECK(n == 0 && hn_whisper_get_tokens(m)->transcribe == -1 &&
              hn_whisper_get_tokens(m)->translate == -1 && hn_whisper_get_tokens(m)->start == START,
          "an English-only model has %d languages, task %d", n,
          hn_whisper_get_tokens(m)->transcribe);
    CHECK(hn_whisper_get_suppressed(m, &n) == NULL && n == 0, "%d suppressed", n);
    hn_whisper_close(&m);
    hn_device_close(&d);
}

static void refused(hn_device *d, hn_status want, const char *word)
{
    hn_whisper *m;
    CHECK_FAILS(hn_whisper_open(d, folder_path(""), NULL, &m), want);
    CHECK(m == NULL, "a model after a failure");
    CHECK(strstr(hn_error_text(), word), "'%s' is not said: %s", word, hn_error_text());
}

static void check_refused(void **state)
{
    (void)state;
    static const char conv[] = "model.encoder.conv1.weight";
    static const char last[] = "model.decoder.layer_norm.bias";
    static const struct {
        const char *generation, *word;
    } bad[] = {
        { "{\"suppress_tokens\": [1, 280]}", "suppress_tokens" },
        { "{\"suppress_tokens\": [-1]}", "suppress_tokens" },
        { "{\"suppress_tokens\": \"all\"}", "suppress_tokens" },
        { "{\"decoder_start_token_id\": 5000}", "decoder_start_token_id" },
        { "{\"is_multilingual\": true, \"lang_to_id\": {\"<|en|>\": 1.5}}", "lang_to_id" },
        { "{\"is_multilingual\": true, \"lang_to_id\": {}}", "lang_to_id" },
    };
    hn_device *d = open_device();

    put_model(many);
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        put_text("generation_config.json", bad[i].generation);
        refused(d, HN_ERR_FORMAT, bad[i].word);
    }
    put_text("generation_config.json", many);
    put_weights(conv, NULL);
    refused(d, HN_ERR_FORMAT, conv);
    put_weights(NULL, last);
    refused(d, HN_ERR_FORMAT, last);
    put_weights(NULL, NULL);
    put_text("config.json", "{\"model_type\": \"llama\", \"vocab_size\": 280}");
    refused(d, HN_ERR_UNSUPPORTED, "llama");
    hn_device_close(&d);
}

// ---- out of memory -------------------------------------------------------------------------

static hn_status use(hn_whisper *m)
{
    const float mel[MELS * 2 * FRAMES] = { 0.5f, -0.25f };
    const int32_t prompt[] = { START, EN, TRANSCRIBE }, next[] = { 7, 8 };
    const int from[] = { 0, 0 };
    static float logits[2 * VOCAB];

    HN_TRY(hn_whisper_encode(m, mel, NULL));
    HN_TRY(hn_whisper_decode(m, prompt, 1, 3, 0, logits));
    HN_TRY(hn_whisper_reorder(m, from, 2));
    return hn_whisper_decode(m, next, 2, 1, 3, logits);
}

static hn_status work(void *user)
{
    hn_device *d;
    hn_whisper *m;

    (void)user;
    HN_TRY(hn_device_open(&(hn_device_params){ .spec = "cpu", .n_threads = 1 }, &d));
    hn_status s = hn_whisper_open(d, folder_path(""), NULL, &m);
    if (s == HN_OK)
        s = use(m);
    hn_whisper_close(&m);
    hn_device_close(&d);
    return s;
}

static void check_no_memory(void **state)
{
    (void)state;
    put_model(many);
    const long n = failing_allocations("whisper", work, NULL);
    print_message("%ld allocations\n", n);
    CHECK(n > 100, "only %ld allocations", n);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(check_tokens),
                                        cmocka_unit_test(check_refused),
                                        cmocka_unit_test(check_no_memory) };
    folder_make("whisper-open");
    const int failed = cmocka_run_group_tests(tests, NULL, NULL);
    folder_remove();
    return failed;
}
