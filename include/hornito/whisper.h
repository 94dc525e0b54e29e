// Whisper (Radford et al. 2022, arXiv 2212.04356): an encoder over 30 s of log-mel features and a
// decoder over tokens. Its configuration, its graphs, and a model opened from a checkpoint that
// encodes windows and decodes tokens over caches.
//
// Weights carry Hugging Face's names ("model.encoder.conv1.weight"), so that published checkpoints
// load by name.
#ifndef HORNITO_WHISPER_H
#define HORNITO_WHISPER_H

#include "hornito/io.h"
#include "hornito/ops.h"
#include "hornito/plan.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct hn_whisper_config {
    int64_t vocab, width;
    int64_t mels;   // bins of the features: 80 or 128
    int64_t frames; // positions of the encoder: half a window's feature frames, 1500
    int64_t context; // positions of the decoder: 448
    int64_t encoder_layers, encoder_heads, encoder_ffn;
    int64_t decoder_layers, decoder_heads, decoder_ffn;
    float dropout; // in training, after embedding, attention and feed-forward
    // How graphs are made of it; no part of config.json.
    const hn_weights *weights; // params take the element types they have there; NULL, or a name
                               // that is not there: f32
} hn_whisper_config;

// ARG where a number is out of range or two do not fit together; the text names both.
HN_API hn_status hn_whisper_config_check(const hn_whisper_config *c);
// Reads a config.json (Hugging Face's keys). What it asks for and we lack is refused by name:
// UNSUPPORTED.
HN_API hn_status hn_whisper_config_load(const char *path, hn_whisper_config *out);

// ---- graphs --------------------------------------------------------------------------------

// How the layers are to be built. {0}, or NULL in its place: to run, without caches.
typedef struct hn_whisper_build {
    bool train;         // a gradient will be taken: activations stay operators of their own
    hn_val dropout_key; // i32 [2]; {0}: no dropout
    // Of the decoder: its own keys and values are kept as states "cache.B.k.N" and "cache.B.v.N"
    // [B, context, H, D], N the layer. New positions are written at `at`, and queries see all
    // before them. {0}: no cache, each row stands alone from position 0.
    hn_val at;        // i32 [1]
    hn_val positions; // i32 [T]: at, at + 1, ...; given with `at`
    hn_val n_keys;    // i32 [B]: at + T; given with `at`
} hn_whisper_build;

// Two convolutions of width 3, the second of stride 2, then pre-norm blocks and a norm; GELU by
// erf. Fewer frames than a window's take the first positions.
// mel: f32 [B, mels, 2 F], F <= frames   result f32 [B, F, width]
HN_API hn_val hn_whisper_encoder(hn_graph *g, const hn_whisper_config *c, hn_val mel,
                                 const hn_whisper_build *b);
// The last hidden states after the final norm. ids: i32 [B, T], T <= context   audio: what the
// encoder gave, f32 [B, F, width]; or {0}: its keys and values are taken from the states that
// hn_whisper_cross fills, and one window serves all B rows.   result f32 [B, T, width]
HN_API hn_val hn_whisper_decoder(hn_graph *g, const hn_whisper_config *c, hn_val ids, hn_val audio,
                                 const hn_whisper_build *b);
// Assigns the keys and values that every layer of the decoder makes of one window to the states
// "cross.k.N" and "cross.v.N" [1, frames, H, D].   audio: f32 [1, frames, width]
HN_API void hn_whisper_cross(hn_graph *g, const hn_whisper_config *c, hn_val audio);
// By the input embedding.   hidden: f32 [..., width]   result f32 [..., vocab]
HN_API hn_val hn_whisper_logits(hn_graph *g, const hn_whisper_config *c, hn_val hidden);
// Negative log-likelihood in nats of each target, f32 [B * T]; 0 where the target is -1.
// targets: i32 [B, T]
HN_API hn_val hn_whisper_loss(hn_graph *g, const hn_whisper_config *c, hn_val hidden,
                              hn_val targets);

// ---- a model from a checkpoint -------------------------------------------------------------

// The tokens with a meaning, from the model's own files; -1 where it has none.
typedef struct hn_whisper_tokens {
    int32_t start, end;         // <|startoftranscript|>, <|endoftext|>
    int32_t transcribe, translate;  // -1 in English-only models
    int32_t no_timestamps;
    int32_t first_timestamp;    // 0.00 s; those after it stand 20 ms apart
    int32_t no_speech;          // <|nospeech|>, <|nocaptions|> in older files
    int32_t start_of_previous;  // <|startofprev|>
    int32_t start_of_lm;        // <|startoflm|>
} hn_whisper_tokens;

typedef struct hn_whisper_language {
    const char *code; // "en"; the model's
    int32_t token;
} hn_whisper_language;

// One thread at a time.
typedef struct hn_whisper hn_whisper;

typedef struct hn_whisper_open_params {
    bool f32; // all weights in f32, so that gradients of them can be taken
} hn_whisper_open_params;

// Opens a Whisper model of any form that hn_pretrained_open takes. params may be NULL. The
// decoder's matrices, which are read for every token, stay 16-bit where the files hold them so; all
// else becomes f32. Files are closed when it returns. The device must outlive it.
// Errors: IO; FORMAT (a tensor is missing or has another shape, a token is missing, by name);
// UNSUPPORTED (another kind of model); NOMEM; DEVICE.
HN_API hn_status hn_whisper_open(hn_device *d, const char *path,
                                 const hn_whisper_open_params *params, hn_whisper **out);
HN_API void hn_whisper_close(hn_whisper **m);
HN_API const hn_whisper_config *hn_whisper_get_config(const hn_whisper *m);
HN_API hn_tokenizer *hn_whisper_get_tokenizer(hn_whisper *m);
HN_API hn_weights *hn_whisper_get_weights(hn_whisper *m);
HN_API hn_device *hn_whisper_get_device(const hn_whisper *m);
HN_API const hn_whisper_tokens *hn_whisper_get_tokens(const hn_whisper *m);
// The languages in the order of their tokens; *out_n is 0 in English-only models.
HN_API const hn_whisper_language *hn_whisper_get_languages(const hn_whisper *m, int *out_n);
// Tokens that are never to be said, and those that are not to be said first, as the model's files
// list them.
HN_API const int32_t *hn_whisper_get_suppressed(const hn_whisper *m, int *out_n);
HN_API const int32_t *hn_whisper_get_suppressed_first(const hn_whisper *m, int *out_n);

// Encodes one window and keeps what the decoder needs of it until the next call. The decoder then
// starts anew, with no position filled.
// mel: [mels, 2 frames]   out_audio: [frames, width], or NULL
HN_API hn_status hn_whisper_encode(hn_whisper *m, const float mel[], float out_audio[]);

enum { HN_WHISPER_MAX_ROWS = 16 };

// Feeds n tokens to each of `rows` hypotheses about the window, at the positions `at` to at + n - 1
// of each; what was there before is replaced, what comes after is forgotten. at is at most the
// number of positions filled. The number of rows changes by hn_whisper_reorder only, or at
// position 0.   ids: [rows, n]   out_logits: [rows, vocab], after the last token of each; or NULL
// Errors: ARG (rows, n or at out of range, an id that is no token, no window), NOMEM, DEVICE.
HN_API hn_status hn_whisper_decode(hn_whisper *m, const int32_t ids[], int rows, int64_t n,
                                   int64_t at, float out_logits[]);
// Hypothesis i goes on from what hypothesis from[i] was; there are `rows` of them from now on.
// On the device. Errors: ARG, NOMEM, DEVICE.
HN_API hn_status hn_whisper_reorder(hn_whisper *m, const int32_t from[], int rows);

#ifdef __cplusplus
}
#endif
#endif
