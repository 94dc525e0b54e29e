// Decoder-only transformer language models: their configuration, their graphs, and a model opened
// from a checkpoint that scores and generates text.
//
// Two families, told apart by `family`; weights carry the names of the published checkpoints, so
// that those load by name:
//   llama  RMS norm, rotary positions, gated SiLU feed-forward, grouped heads
//          (Touvron et al. 2023, arXiv 2302.13971; 2307.09288 for grouped heads); Mistral is the
//          same, Qwen2 has biases in attention (arXiv 2310.06825, 2407.10671)
//   gpt2   layer norm, learned positions, GELU feed-forward, biases (Radford et al. 2019)
#ifndef HORNITO_LM_H
#define HORNITO_LM_H

#include "hornito/io.h"
#include "hornito/ops.h"
#include "hornito/plan.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef enum hn_lm_family { HN_LM_LLAMA, HN_LM_GPT2 } hn_lm_family;
typedef enum hn_lm_head {
    HN_HEAD_DENSE, // logits = h W^T
    HN_HEAD_VQ,    // logits[w] = (h C^T)[map[w]] + b[w]: codebook and map (arXiv 2505.10202)
} hn_lm_head;

// How rotary angles are changed for contexts longer than a model was first trained on.
typedef enum hn_rope_kind {
    HN_ROPE_PLAIN,
    HN_ROPE_LINEAR, // all angles are divided by `factor` (Chen et al. 2023, arXiv 2306.15595)
    HN_ROPE_LLAMA3, // slow ones only, as Llama 3.1 has it: wholly those of which `low` or fewer
                    // turns fit in `original` positions, not those of `high` turns or more
} hn_rope_kind;
typedef struct hn_rope_scaling {
    hn_rope_kind kind;
    float factor, low, high;
    int64_t original; // the context of the first training
} hn_rope_scaling;

typedef struct hn_lm_config {
    hn_lm_family family;
    int64_t vocab, width, layers, heads, kv_heads, ffn, context;
    int64_t head_dim; // llama: elements of a head; 0: width / heads
    float eps;        // of the norms
    float rope_base;  // llama
    hn_rope_scaling rope_scaling; // llama
    bool qkv_bias;    // llama: biases of q, k and v
    bool out_bias;    // llama: a bias of attention's output
    hn_act act;       // gpt2: HN_ACT_GELU or HN_ACT_GELU_TANH
    bool rows_out;    // gpt2: matrices lie as [out, in], as GGUF has them; otherwise [in, out]
    bool tied;        // a dense head shares the input embedding
    hn_lm_head head;
    int64_t codes;    // vq: rows of the codebook
    bool token_bias;  // vq: a learned bias for each token
    float dropout;    // in training, after embedding, attention and feed-forward
    // How graphs are made of it; no part of config.json.
    const hn_weights *weights; // weights take the element types they have there, and are params
                               // or states as they are there; NULL, or a name that is not there:
                               // params in f32
    bool i8; // what is multiplied with quantised matrices, but for the head's, is rounded to blocks
             // of 8 bits first (hn_quantize): faster, and a little less exact
} hn_lm_config;

// ARG where a number is out of range or two do not fit together; the text names both.
HN_API hn_status hn_lm_config_check(const hn_lm_config *c);
// Reads a config.json with model_type llama, mistral, qwen2 or gpt2 (Hugging Face's keys; ours
// under "hornito"). What it asks for and we lack is refused by name: UNSUPPORTED. Of a model with a
// sliding window the context ends where the window would begin to slide.
HN_API hn_status hn_lm_config_load(const char *path, hn_lm_config *out);
HN_API hn_status hn_lm_config_save(const hn_lm_config *c, const char *path);
// Number of trained values.
HN_API int64_t hn_lm_params_count(const hn_lm_config *c);

// ---- graphs --------------------------------------------------------------------------------

// How the layers are to be built.
typedef struct hn_lm_build {
    // Caches of keys and values as states "cache.k.N", "cache.v.N" [B, cache, kv_heads, D]; the
    // new positions are written at `at`, and the queries see all before them. {0}: no cache, each
    // row stands alone from position 0.
    hn_val at;        // i32 [1]
    int64_t cache;    // positions that the caches hold; 0: the model's context
    hn_val positions; // i32 [T]: at, at + 1, ...; {0} without a cache
    hn_val n_keys;    // i32 [B]: at + T; {0} without a cache
    hn_val dropout_key; // i32 [2]; {0}: no dropout
} hn_lm_build;

// The last hidden states after the final norm. ids: i32 [B, T]   result f32 [B, T, width]
HN_API hn_val hn_lm_hidden(hn_graph *g, const hn_lm_config *c, hn_val ids, const hn_lm_build *b);
// hidden: f32 [..., width]   result f32 [..., vocab]
HN_API hn_val hn_lm_logits(hn_graph *g, const hn_lm_config *c, hn_val hidden);
// Negative log-likelihood in nats of each target, f32 [B * T]; 0 where the target is -1. With a vq
// head the normaliser takes `codes` terms, and logits of tokens are never made.
// targets: i32 [B, T]
HN_API hn_val hn_lm_loss(hn_graph *g, const hn_lm_config *c, hn_val hidden, hn_val targets);

// Maps tokens to codes so that codes carry equal shares of `counts` (vocab numbers): frequent
// tokens get codes of their own, the rest share. Each code gets at least one token.
// Errors: ARG (codes < 1 or > vocab), NOMEM.
HN_API hn_status hn_vq_map_by_mass(const int64_t counts[], int64_t vocab, int64_t codes,
                                   int32_t out_map[]);

// ---- a model from a checkpoint -------------------------------------------------------------

typedef struct hn_lm hn_lm;

typedef struct hn_lm_open_params {
    bool f32; // all weights in f32, as training needs them; otherwise matrices stay as they lie in
              // the file: f16, bf16 or quantised
    bool i8;  // hn_lm_config.i8
} hn_lm_open_params;

// Opens what hn_pretrained_open opens, where it is a language model with a tokenizer, or a
// training folder with checkpoints, of which the newest good one is taken. The device must outlive
// it. params may be NULL. Errors: IO, FORMAT (a tensor is missing or has another shape, by name),
// UNSUPPORTED, NOMEM, DEVICE.
HN_API hn_status hn_lm_open(hn_device *d, const char *path, const hn_lm_open_params *params,
                            hn_lm **out);
HN_API void hn_lm_close(hn_lm **m);
HN_API const hn_lm_config *hn_lm_get_config(const hn_lm *m);
HN_API hn_tokenizer *hn_lm_get_tokenizer(hn_lm *m);
HN_API hn_weights *hn_lm_get_weights(hn_lm *m);

// The tokens of a prompt, appended to ids: of the text, with a start token before them where the
// model's files ask for one and ids was empty. flags: hn_encode_flags. Errors: hn_tokenizer_encode's.
HN_API hn_status hn_lm_encode(hn_lm *m, const void *text, size_t n, int flags, hn_ids *ids);
// Whether a token ends a text: the end tokens that the model's files name.
HN_API bool hn_lm_is_end(const hn_lm *m, int32_t id);

typedef struct hn_sample_params {
    float temperature; // 0: the likeliest token always
    int top_k;         // 0: all
    float top_p;       // 0 or 1: all; otherwise the smallest set with this much probability
    uint64_t seed;
    int64_t n_tokens;  // at most
    bool ignore_end;   // go on after the end token
    const int32_t *ends; // more tokens that end the text, n_ends of them; may be NULL
    int n_ends;
    int flags;         // hn_encode_flags for the prompt's text
} hn_sample_params;

// What was done, and how long it took.
typedef struct hn_generated {
    int64_t prompt_tokens, tokens; // put in (those that were not in the caches), and made
    double prompt_ns, ns;
} hn_generated;

// Called with the bytes of each token as it comes, but for special ones. Returning false stops.
typedef bool (*hn_text_fn)(void *user, const void *bytes, size_t n);

// Continues a text, encoded by hn_lm_encode. An empty one starts from the start token. out may be
// NULL. Errors: ARG (the text and n_tokens exceed the model's context: both numbers), DEVICE.
HN_API hn_status hn_lm_generate(hn_lm *m, const void *text, size_t n, const hn_sample_params *p,
                                hn_text_fn fn, void *user, hn_generated *out);
// Continues tokens, and appends to ids those it makes, the end token included. Keys and values of
// the last call stay: the tokens with which ids began then, too, are not put in again. So a
// conversation costs what is new in it. Errors: as hn_lm_generate, and ARG where ids is empty.
HN_API hn_status hn_lm_continue(hn_lm *m, hn_ids *ids, const hn_sample_params *p, hn_text_fn fn,
                                void *user, hn_generated *out);

// Logits [vocab] after the last of n tokens, n in [1, context].
HN_API hn_status hn_lm_next_logits(hn_lm *m, const int32_t ids[], int64_t n, float out[]);

typedef struct hn_score_params {
    int64_t window; // tokens in a window; 0: the model's context
    int64_t stride; // tokens scored of each window but the first; 0: window
    int64_t batch;  // windows at a time; 0: as many as make 1024 tokens, at least one
    bool second_half; // llama.cpp's protocol: windows without overlap, what is left at the end
                      // dropped, only what follows the first half of a window scored
    void (*progress)(void *user, int64_t done, int64_t all); // may be NULL
    void *user;
} hn_score_params;

typedef struct hn_score {
    double nats;     // sum over the tokens scored
    int64_t tokens;  // scored
    int64_t bytes;   // of the text, those of tokens that are not scored left out
} hn_score;

// Scores a text. Each window starts with the token before it, so that every token is scored once.
// Before the first one stands the start token where the model's files ask for one, and the end of
// text in a model trained here; where there is none the first token has no score. With second_half
// a window of n tokens has scores of its tokens n / 2 + 1 to n - 1, counted from 0.
// Errors: ARG (a window larger than the model's context; no token to score), DEVICE.
HN_API hn_status hn_lm_score(hn_lm *m, const void *text, size_t n, const hn_score_params *p,
                             hn_score *out);

#ifdef __cplusplus
}
#endif
#endif
