// Whisper's graphs against PyTorch's numbers for a small model with seeded weights: encoder,
// logits, loss, and every gradient; steps over caches against the same without; and what is
// refused.
#include "support/check.h"
#include "support/device.h"
#include "support/models.h"

#include "base/os.h"
#include "nn/whisper.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { N_IDS = 8, N_PARAMS_MOST = 128 };

static hn_device *dev;

// ---- the seeded model ----------------------------------------------------------------------

typedef struct seeded {
    json_t *numbers; // tinywhisper.json
    hn_whisper_config config;
    int32_t ids[N_IDS], targets[N_IDS];
    hn_tensors *files;
    hn_weights *weights;
    hn_graph *g;
    hn_val mel, in, want; // inputs
    hn_val audio, logits, loss;
} seeded;

static void read_ids(const json_t *o, const char *key, int32_t out[N_IDS])
{
    const json_t *a;
    CHECK_OK(hn__json_array(o, "tinywhisper.json", key, &a));
    CHECK(json_array_size(a) == N_IDS, "%zu %s", json_array_size(a), key);
    for (size_t i = 0; i < N_IDS; i++)
        out[i] = (int32_t)json_integer_value(json_array_get(a, i));
}

// An array from a .npy file, f32, freed by the caller.
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

static void load(seeded *s)
{
    CHECK_OK(hn_weights_create(dev, &s->weights));
    CHECK_OK(hn_weights_add(s->weights, s->g, 0));
    CHECK(hn_weights_count(s->weights) == hn_tensors_count(s->files),
          "%d weights, %d in the file", (int)hn_weights_count(s->weights),
          (int)hn_tensors_count(s->files));
    for (int64_t i = 0; i < hn_weights_count(s->weights); i++) {
        const hn_weight_info info = hn_weights_info(s->weights, i);
        const hn_tensor *t;
        CHECK_OK(hn_tensors_get(s->files, info.name, &t));
        CHECK_OK(hn_weights_write(s->weights, info.name, t->data, t->n_bytes));
    }
}

static seeded open_seeded(const hn_whisper_build *b)
{
    seeded s = { .weights = NULL };
    const json_t *config;

    CHECK_OK(hn__json_load(reference_path("tinywhisper.json"), 1 << 20, &s.numbers));
    CHECK_OK(hn__json_object(s.numbers, "tinywhisper.json", "config", &config));
    CHECK_OK(hn__whisper_config_read(config, "tinywhisper.json", &s.config));
    read_ids(s.numbers, "ids", s.ids);
    read_ids(s.numbers, "targets", s.targets);
    CHECK_OK(hn_tensors_open(reference_path("tinywhisper.safetensors"), &s.files));
    CHECK_OK(hn_graph_create(&s.g));
    const hn_whisper_config *c = &s.config;
    const hn_type ids = { HN_I32, 2, { 1, N_IDS } };
    s.mel = hn_input(s.g, "mel", (hn_type){ HN_F32, 3, { 1, c->mels, 2 * c->frames } });
    s.in = hn_input(s.g, "ids", ids);
    s.want = hn_input(s.g, "targets", ids);
    s.audio = hn_whisper_encoder(s.g, c, s.mel, b);
    const hn_val hidden = hn_whisper_decoder(s.g, c, s.in, s.audio, b);
    s.logits = hn_whisper_logits(s.g, c, hidden);
    s.loss = hn_mean_all(s.g, hn_whisper_loss(s.g, c, hidden, s.want));
    CHECK_OK(hn_graph_status(s.g));
    load(&s);
    return s;
}

static void close_seeded(seeded *s)
{
    hn_graph_destroy(&s->g);
    hn_weights_destroy(&s->weights);
    hn_tensors_destroy(&s->files);
    json_decref(s->numbers);
}

// Makes the plan, runs it on the reference clip, and leaves it for reading.
static hn_plan *run_seeded(const seeded *s)
{
    const int64_t n = s->config.mels * 2 * s->config.frames;
    float *mel = read_npy(reference_path("logmel_80x3000.npy"), n);
    hn_plan *p;
    CHECK_OK(hn_plan_create(s->g, dev, &(hn_plan_params){ .weights = s->weights }, &p));
    CHECK_OK(hn_plan_write(p, "mel", mel, n * 4));
    CHECK_OK(hn_plan_write(p, "ids", s->ids, sizeof s->ids));
    CHECK_OK(hn_plan_write(p, "targets", s->targets, sizeof s->targets));
    CHECK_OK(hn_plan_run(p));
    free(mel);
    return p;
}

static void compare(hn_plan *p, const char *name, const char *path, int64_t n, double most)
{
    float *want = read_npy(path, n), *got = malloc((size_t)n * sizeof *got);
    double worst = 0;
    CHECK_OK(hn_plan_read(p, name, got, n * 4));
    for (int64_t i = 0; i < n; i++) {
        const double off = fabs((double)got[i] - (double)want[i]);
        worst = off > worst || isnan(off) ? off : worst;
    }
    print_message("%s: worst difference %.3g\n", name, worst);
    CHECK(worst <= most, "%s is off by %g", name, worst);
    free(want);
    free(got);
}

static double loss_of(hn_plan *p)
{
    float loss;
    CHECK_OK(hn_plan_read(p, "loss", &loss, sizeof loss));
    return (double)loss;
}

static void check_loss(const seeded *s, hn_plan *p)
{
    double want;
    CHECK_OK(hn__json_real(s->numbers, "tinywhisper.json", "loss", &want));
    CHECK(fabs(loss_of(p) - want) <= 1e-5 * want, "loss is %.9g, PyTorch's %.9g", loss_of(p),
          want);
}

static void check_forward(void **state)
{
    (void)state;
    seeded s = open_seeded(NULL);
    hn_output(s.g, "audio", s.audio);
    hn_output(s.g, "logits", s.logits);
    hn_output(s.g, "loss", s.loss);
    hn_plan *p = run_seeded(&s);
    compare(p, "audio", reference_path("tinywhisper_encoder_out_1500x64.npy"), 1500 * 64, 1e-4);
    compare(p, "logits", reference_path("tinywhisper_decoder_logits_8x512.npy"), 8 * 512, 1e-3);
    check_loss(&s, p);
    hn_plan_destroy(&p);
    close_seeded(&s);
}

// ---- gradients -----------------------------------------------------------------------------

// The norm of a gradient, and where the file has all of it, every element.
static void check_gradient(hn_plan *p, const char *name, const hn_type *t, const json_t *norms)
{
    const int64_t n = hn_type_numel(t);
    float *dw = malloc((size_t)n * sizeof *dw);
    double sum = 0, want, off = 0;
    const char *file = strcmp(name, "model.encoder.conv1.weight") == 0
                           ? reference_path("tinywhisper_grad_encoder_conv1_weight.npy")
                       : strcmp(name, "model.encoder.layers.0.self_attn.q_proj.weight") == 0
                           ? reference_path("tinywhisper_grad_encoder_l0_qproj.npy")
                           : NULL;

    CHECK_OK(hn_plan_read(p, name, dw, n * 4));
    for (int64_t i = 0; i < n; i++)
        sum += (double)dw[i] * (double)dw[i];
    CHECK_OK(hn__json_real(norms, "grad_norms", name, &want));
    CHECK(fabs(sqrt(sum) - want) <= 1e-3 * want, "%s: gradient of norm %g, PyTorch's %g", name,
          sqrt(sum), want);
    if (file) {
        float *all = read_npy(file, n);
        for (int64_t i = 0; i < n; i++)
            off += pow((double)dw[i] - (double)all[i], 2);
        CHECK(sqrt(off) <= 1e-3 * want, "%s: gradient off by %g of %g", name, sqrt(off), want);
        free(all);
    }
    free(dw);
}

static void check_gradients(void **state)
{
    (void)state;
    const hn_whisper_build build = { .train = true };
    seeded s = open_seeded(&build);
    hn_named_val *params;
    hn_val wrt[N_PARAMS_MOST], grads[N_PARAMS_MOST];
    const json_t *norms;
    int n;

    CHECK_OK(hn_graph_params(s.g, &params, &n));
    CHECK(n <= N_PARAMS_MOST, "%d params", n);
    for (int i = 0; i < n; i++)
        wrt[i] = params[i].val;
    CHECK_OK(hn_graph_grad(s.g, s.loss, wrt, n, grads));
    for (int i = 0; i < n; i++)
        hn_output(s.g, params[i].name, grads[i]);
    hn_output(s.g, "loss", s.loss);
    hn_plan *p = run_seeded(&s);
    check_loss(&s, p);
    CHECK_OK(hn__json_object(s.numbers, "tinywhisper.json", "grad_norms", &norms));
    CHECK((int)json_object_size(norms) == n, "%d params, PyTorch's %zu", n,
          json_object_size(norms));
    for (int i = 0; i < n; i++) {
        const hn_type t = hn_val_type(s.g, wrt[i]);
        check_gradient(p, params[i].name, &t, norms);
    }
    hn_params_destroy(&params);
    hn_plan_destroy(&p);
    close_seeded(&s);
}

// ---- steps over caches ---------------------------------------------------------------------

enum { VOCAB = 512, CONTEXT = 64, LONG = 40 };

// The seeded model as if it had been opened, but for its tokenizer, with the clip encoded.
static hn_whisper *open_model(void)
{
    seeded s = open_seeded(NULL);
    const int64_t n = s.config.mels * 2 * s.config.frames, n_audio = s.config.frames * 64;
    hn_whisper *m = hn__calloc(1, sizeof *m);
    float *mel = read_npy(reference_path("logmel_80x3000.npy"), n);
    float *want = read_npy(reference_path("tinywhisper_encoder_out_1500x64.npy"), n_audio);
    float *audio = malloc((size_t)n_audio * sizeof *audio), logits[VOCAB];
    const int32_t one = 1;

    CHECK(m != NULL, "out of memory");
    m->dev = dev;
    m->config = s.config;
    m->weights = s.weights;
    s.weights = NULL;
    close_seeded(&s);
    CHECK_FAILS(hn_whisper_decode(m, &one, 1, 1, 0, logits), HN_ERR_ARG); // no window yet
    CHECK_OK(hn_whisper_encode(m, mel, audio));
    for (int64_t i = 0; i < n_audio; i++)
        CHECK(fabs((double)audio[i] - (double)want[i]) <= 1e-4, "audio[%d] is %g, not %g", (int)i,
              (double)audio[i], (double)want[i]);
    free(mel);
    free(want);
    free(audio);
    return m;
}

static void same_logits(const float *got, const float *want, const char *what)
{
    for (int i = 0; i < VOCAB; i++)
        CHECK(fabsf(got[i] - want[i]) <= 1e-3f, "%s: logit %d is %g, not %g", what, i,
              (double)got[i], (double)want[i]);
}

// Prompts in pieces of any length, and single tokens, give PyTorch's logits.
static void check_steps(void **state)
{
    (void)state;
    static const int pieces[][N_IDS] = { { 8 }, { 1, 1, 1, 1, 1, 1, 1, 1 }, { 3, 5 }, { 7, 1 } };
    hn_whisper *m = open_model();
    seeded s = open_seeded(NULL);
    float *want = read_npy(reference_path("tinywhisper_decoder_logits_8x512.npy"), N_IDS * VOCAB);
    float got[VOCAB];

    for (size_t k = 0; k < sizeof pieces / sizeof *pieces; k++)
        for (int i = 0, at = 0; at < N_IDS; at += pieces[k][i++]) {
            char what[64];
            CHECK_OK(hn_whisper_decode(m, s.ids + at, 1, pieces[k][i], at, got));
            snprintf(what, sizeof what, "case %zu, after %d tokens", k, at + pieces[k][i]);
            same_logits(got, want + (at + pieces[k][i] - 1) * VOCAB, what);
        }
    free(want);
    close_seeded(&s);
    hn_whisper_close(&m);
}

// What a row of a move gives is what its tokens give alone, fed anew.
static void check_row(hn_whisper *alone, const int32_t *ids, int64_t n, const float *got)
{
    float want[VOCAB];
    char what[64];

    CHECK_OK(hn_whisper_decode(alone, ids, 1, n, 0, want));
    snprintf(what, sizeof what, "row of %d tokens ending in %d", (int)n, ids[n - 1]);
    same_logits(got, want, what);
}

// Hypotheses that split, change places and end keep their own pasts.
static void check_moves(void **state)
{
    (void)state;
    static const struct {
        int n, from[4];
    } moves[] = { { 4, { 0, 0, 0, 0 } }, { 4, { 2, 0, 0, 3 } }, { 4, { 1, 1, 2, 0 } },
                  { 2, { 3, 1 } },       { 3, { 1, 0, 1 } },    { 3, { 0, 1, 2 } } };
    hn_whisper *m = open_model(), *alone = open_model();
    int32_t past[4][CONTEXT], next[4][CONTEXT], ids[4];
    float got[4 * VOCAB];
    int64_t n = LONG; // past the first size of a move

    for (int i = 0; i < LONG; i++)
        past[0][i] = (i * 37 + 11) % VOCAB;
    CHECK_OK(hn_whisper_decode(m, past[0], 1, n, 0, got));
    check_row(alone, past[0], n, got);
    for (size_t k = 0; k < sizeof moves / sizeof *moves; k++, n++) {
        const int rows = moves[k].n;
        for (int r = 0; r < rows; r++) {
            memcpy(next[r], past[moves[k].from[r]], sizeof next[r]);
            ids[r] = next[r][n] = (int32_t)(100 * k + (size_t)(r * 17) + 3) % VOCAB;
        }
        memcpy(past, next, sizeof past);
        CHECK_OK(hn_whisper_reorder(m, moves[k].from, rows));
        CHECK_OK(hn_whisper_decode(m, ids, rows, 1, n, got));
        for (int r = 0; r < rows; r++)
            check_row(alone, past[r], n + 1, got + r * VOCAB);
    }
    hn_whisper_close(&m);
    hn_whisper_close(&alone);
}

static void check_bad_steps(void **state)
{
    (void)state;
    hn_whisper *m = open_model();
    int32_t ids[CONTEXT + 1] = { 0 };
    float got[2 * VOCAB];

    CHECK_FAILS(hn_whisper_decode(m, ids, 1, CONTEXT + 1, 0, got), HN_ERR_ARG);
    CHECK(strstr(hn_error_text(), "64"), "the text lacks the context: %s", hn_error_text());
    CHECK_FAILS(hn_whisper_decode(m, ids, 1, 1, 1, got), HN_ERR_ARG);
    CHECK_FAILS(hn_whisper_decode(m, ids, HN_WHISPER_MAX_ROWS + 1, 1, 0, got), HN_ERR_ARG);
    CHECK_FAILS(hn_whisper_reorder(m, ids, 1), HN_ERR_ARG);
    CHECK_OK(hn_whisper_decode(m, ids, 1, CONTEXT, 0, got)); // the whole context
    CHECK_FAILS(hn_whisper_decode(m, ids, 1, 1, CONTEXT, got), HN_ERR_ARG);
    CHECK_FAILS(hn_whisper_decode(m, ids, 2, 1, 5, got), HN_ERR_ARG);
    CHECK_FAILS(hn_whisper_reorder(m, (const int[]){ 0, 1 }, 2), HN_ERR_ARG);
    ids[0] = VOCAB;
    CHECK_FAILS(hn_whisper_decode(m, ids, 1, 1, 5, got), HN_ERR_ARG);
    hn_whisper_close(&m);
}

// ---- configurations ------------------------------------------------------------------------

static void check_refused(void **state)
{
    (void)state;
    static const char good[] =
        "{\"model_type\": \"whisper\", \"vocab_size\": 512, \"d_model\": 64, \"num_mel_bins\": 80,"
        " \"max_source_positions\": 1500, \"max_target_positions\": 64, \"encoder_layers\": 2,"
        " \"decoder_layers\": 2, \"encoder_attention_heads\": 4, \"decoder_attention_heads\": 4,"
        " \"encoder_ffn_dim\": 256, \"decoder_ffn_dim\": 256}";
    static const struct {
        const char *key, *value, *word;
        hn_status want;
    } bad[] = {
        { "model_type", "\"llama\"", "llama", HN_ERR_UNSUPPORTED },
        { "activation_function", "\"relu\"", "activation_function", HN_ERR_UNSUPPORTED },
        { "scale_embedding", "true", "scale_embedding", HN_ERR_UNSUPPORTED },
        { "tie_word_embeddings", "false", "tie_word_embeddings", HN_ERR_UNSUPPORTED },
        { "d_model", "66", "66", HN_ERR_ARG },
        { "decoder_attention_heads", "5", "decoder", HN_ERR_ARG },
        { "num_mel_bins", "0", "num_mel_bins", HN_ERR_FORMAT },
        { "vocab_size", "null", "vocab_size", HN_ERR_FORMAT },
        { "dropout", "1.5", "dropout", HN_ERR_ARG },
    };
    hn_whisper_config c;

    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        json_t *o, *v;
        CHECK_OK(hn__json_parse(good, strlen(good), "good", &o));
        CHECK_OK(hn__whisper_config_read(o, "good", &c));
        v = json_loads(bad[i].value, JSON_DECODE_ANY, NULL);
        CHECK_OK(hn__json_set(o, bad[i].key, v));
        CHECK_FAILS(hn__whisper_config_read(o, "bad", &c), bad[i].want);
        CHECK(strstr(hn_error_text(), bad[i].word), "%s: %s", bad[i].key, hn_error_text());
        json_decref(o);
    }
    CHECK_FAILS(hn_whisper_config_load("/nonexistent", &c), HN_ERR_IO);
}

// Features of the wrong shape, and more tokens than positions.
static void check_shapes(void **state)
{
    (void)state;
    seeded s = open_seeded(NULL);
    const hn_type bad_mels[] = { { HN_F32, 3, { 1, 79, 3000 } },
                                 { HN_F32, 3, { 1, 80, 2999 } },
                                 { HN_F32, 3, { 1, 80, 3002 } },
                                 { HN_F32, 2, { 80, 3000 } } };

    for (size_t i = 0; i < sizeof bad_mels / sizeof *bad_mels; i++) {
        hn_graph *g;
        CHECK_OK(hn_graph_create(&g));
        CHECK(!hn_whisper_encoder(g, &s.config, hn_input(g, "mel", bad_mels[i]), NULL).id,
              "features %zu were taken", i);
        CHECK(hn_graph_status(g) == HN_ERR_SHAPE, "features %zu: %s", i, hn_error_text());
        hn_graph_destroy(&g);
    }
    hn_whisper_decoder(s.g, &s.config, hn_input(s.g, "long", (hn_type){ HN_I32, 2, { 1, 65 } }),
                       s.audio, NULL);
    CHECK(hn_graph_status(s.g) == HN_ERR_SHAPE, "65 tokens for 64 positions: %s",
          hn_error_text());
    close_seeded(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(check_forward),
        cmocka_unit_test(check_gradients),
        cmocka_unit_test(check_steps),
        cmocka_unit_test(check_moves),
        cmocka_unit_test(check_bad_steps),
        cmocka_unit_test(check_refused),
        cmocka_unit_test(check_shapes),
    };
    const hn_device_params p = test_device_params();
    dev = test_device_open(&p);
    const int failed = cmocka_run_group_tests(tests, NULL, NULL);
    test_device_close(&dev);
    return failed;
}
