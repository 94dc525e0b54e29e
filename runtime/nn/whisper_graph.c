// Whisper's graphs: encoder, decoder, head (arXiv 2212.04356, section 2.2; the layers as in
// Vaswani et al. 2017, arXiv 1706.03762, with norms before them).
//
// Shapes in comments: B batch, T tokens, F frames of the encoder, d width, H heads, D = d / H.
#include "nn/whisper.h"

#include <math.h>
#include <stdio.h>

typedef struct builder {
    hn_graph *g;
    const hn_whisper_config *c;
    const hn_whisper_build *b;
    const char *side; // "encoder" or "decoder"
    int64_t heads, ffn, layers;
    int64_t layer;    // -1 outside of the layers
    uint32_t stream;  // of dropout
} builder;

static const hn_whisper_build plain = { .train = false };

static builder encoder_of(hn_graph *g, const hn_whisper_config *c, const hn_whisper_build *b)
{
    return (builder){ .g = g, .c = c, .b = b ? b : &plain, .side = "encoder",
                      .heads = c->encoder_heads, .ffn = c->encoder_ffn,
                      .layers = c->encoder_layers, .layer = -1 };
}

// Its draws of dropout are apart from the encoder's of the same step.
static builder decoder_of(hn_graph *g, const hn_whisper_config *c, const hn_whisper_build *b)
{
    return (builder){ .g = g, .c = c, .b = b ? b : &plain, .side = "decoder",
                      .heads = c->decoder_heads, .ffn = c->decoder_ffn,
                      .layers = c->decoder_layers, .layer = -1, .stream = 1 << 16 };
}

// ---- layers --------------------------------------------------------------------------------

// A param of the side: "model.<side>.layers.<layer>.<stem>.<part>", without the layer outside.
static hn_val param(const builder *b, const char *stem, const char *part, hn_type t, hn_init init)
{
    char name[160], layer[32] = "";

    if (b->layer >= 0)
        snprintf(layer, sizeof layer, "layers.%" PRId64 ".", b->layer);
    snprintf(name, sizeof name, "model.%s.%s%s.%s", b->side, layer, stem, part);
    const int64_t at = b->c->weights ? hn_weights_find(b->c->weights, name) : -1;
    if (at >= 0)
        t.dtype = hn_weights_info(b->c->weights, at).type.dtype;
    return hn_param(b->g, name, t, init);
}

static hn_val vector(const builder *b, const char *stem, const char *part, int64_t n, float value)
{
    return param(b, stem, part, (hn_type){ HN_F32, 1, { n } },
                 (hn_init){ HN_INIT_CONST, value });
}

static hn_val table(const builder *b, const char *stem, int64_t rows)
{
    return param(b, stem, "weight", (hn_type){ HN_F32, 2, { rows, b->c->width } },
                 (hn_init){ HN_INIT_NORMAL, 0.02f });
}

static hn_val norm(const builder *b, const char *stem, hn_val x)
{
    return hn_layer_norm(b->g, x, vector(b, stem, "weight", b->c->width, 1),
                         vector(b, stem, "bias", b->c->width, 0), 1e-5f);
}

static bool drops(const builder *b)
{
    return b->b->dropout_key.id && b->c->dropout > 0;
}

static hn_val dropout(builder *b, hn_val x)
{
    return drops(b) ? hn_dropout(b->g, x, b->c->dropout, b->b->dropout_key, b->stream++) : x;
}

// x w^T + bias, through GELU where `gelu`: in a gradient an operator of its own, as hn_matmul would
// make the product again.
static hn_val product(const builder *b, hn_val x, hn_val w, hn_val bias, bool gelu)
{
    hn_matmul_params p = { .transpose_b = true, .bias = bias };

    if (gelu && !b->b->train)
        p.act = HN_ACT_GELU;
    const hn_val y = hn_matmul(b->g, x, w, &p);
    return gelu && b->b->train ? hn_gelu(b->g, y) : y;
}

static hn_val weight(const builder *b, const char *stem, hn_val x, int64_t out, float deviation)
{
    const hn_type t = hn_val_type(b->g, x);

    if (!x.id)
        return x;
    return param(b, stem, "weight", (hn_type){ HN_F32, 2, { out, t.dim[t.rank - 1] } },
                 (hn_init){ HN_INIT_NORMAL, deviation });
}

// x [.., in] -> [.., out]
static hn_val linear(const builder *b, const char *stem, hn_val x, int64_t out, bool gelu)
{
    return product(b, x, weight(b, stem, x, out, 0.02f), vector(b, stem, "bias", out, 0), gelu);
}

// The linear layer that ends a block of [.., d], added to what came into it.
static hn_val linear_end(builder *b, const char *stem, hn_val x, hn_val residual)
{
    const float deviation = 0.02f / sqrtf(2 * (float)b->layers); // as GPT-2's
    hn_matmul_params p = { .transpose_b = true, .bias = vector(b, stem, "bias", b->c->width, 0) };
    const hn_val w = weight(b, stem, x, b->c->width, deviation);

    if (drops(b))
        return hn_add(b->g, residual, dropout(b, hn_matmul(b->g, x, w, &p)));
    p.residual = residual;
    return hn_matmul(b->g, x, w, &p);
}

// [B, T, d] -> [B, T, H, D]
static hn_val split_heads(const builder *b, hn_val x)
{
    const hn_type t = hn_val_type(b->g, x);
    const int64_t dim[] = { t.dim[0], t.dim[1], b->heads, b->c->width / b->heads };

    return x.id ? hn_reshape(b->g, x, 4, dim) : x;
}

static hn_val queries(const builder *b, const char *attention, hn_val x)
{
    char stem[64];
    snprintf(stem, sizeof stem, "%s.q_proj", attention);
    return split_heads(b, linear(b, stem, x, b->c->width, false));
}

// Keys have no bias.
static hn_val keys(const builder *b, const char *attention, hn_val x)
{
    char stem[64];
    snprintf(stem, sizeof stem, "%s.k_proj", attention);
    const hn_val w = weight(b, stem, x, b->c->width, 0.02f);
    return split_heads(b, product(b, x, w, (hn_val){ 0 }, false));
}

static hn_val values(const builder *b, const char *attention, hn_val x)
{
    char stem[64];
    snprintf(stem, sizeof stem, "%s.v_proj", attention);
    return split_heads(b, linear(b, stem, x, b->c->width, false));
}

// ---- blocks --------------------------------------------------------------------------------

hn_val hn__whisper_cache(hn_graph *g, const hn_whisper_config *c, int64_t rows, char which,
                         int64_t layer)
{
    const hn_type t = { HN_F32, 4,
                        { rows, c->context, c->decoder_heads, c->width / c->decoder_heads } };
    char name[96];

    snprintf(name, sizeof name, "cache.%" PRId64 ".%c.%" PRId64, rows, which, layer);
    return hn_state(g, name, t, (hn_init){ HN_INIT_ZERO, 0 });
}

// The cache of this layer with the new rows in it: [B, context, H, D].
static hn_val cached(const builder *b, char which, hn_val fresh)
{
    if (!fresh.id)
        return fresh;
    const hn_val old = hn__whisper_cache(b->g, b->c, hn_val_type(b->g, fresh).dim[0], which,
                                         b->layer);
    const hn_val now = hn_update(b->g, old, fresh, b->b->at, 1);
    hn_assign(b->g, old, now);
    return now;
}

static hn_val self_attention(builder *b, hn_val x)
{
    const bool causal = b->side[0] == 'd';
    hn_attention_params p = { .causal = causal };
    const hn_val y = norm(b, "self_attn_layer_norm", x);
    const hn_val q = queries(b, "self_attn", y);
    hn_val k = keys(b, "self_attn", y), v = values(b, "self_attn", y);

    if (causal && b->b->at.id) {
        k = cached(b, 'k', k);
        v = cached(b, 'v', v);
        p.n_keys = b->b->n_keys;
    }
    const hn_val seen = hn_attention(b->g, q, k, v, &p);
    const hn_type t = hn_val_type(b->g, x);
    return linear_end(b, "self_attn.out_proj", hn_reshape(b->g, seen, t.rank, t.dim), x);
}

// The keys or values of one window: [1, frames, H, D].
static hn_val cross_state(const builder *b, char which)
{
    const hn_type t = { HN_F32, 4, { 1, b->c->frames, b->heads, b->c->width / b->heads } };
    char name[64];

    snprintf(name, sizeof name, "cross.%c.%" PRId64, which, b->layer);
    return hn_state(b->g, name, t, (hn_init){ HN_INIT_ZERO, 0 });
}

// Without `audio` the rows of the batch are so many queries of the one window kept.
static hn_val cross_attention(builder *b, hn_val x, hn_val audio)
{
    const hn_val y = norm(b, "encoder_attn_layer_norm", x);
    hn_val q = queries(b, "encoder_attn", y), seen;

    if (audio.id) {
        seen = hn_attention(b->g, q, keys(b, "encoder_attn", audio),
                            values(b, "encoder_attn", audio), NULL);
    } else {
        const int64_t dim[] = { 1, -1, b->heads, b->c->width / b->heads };
        q = hn_reshape(b->g, q, 4, dim);
        seen = hn_attention(b->g, q, cross_state(b, 'k'), cross_state(b, 'v'), NULL);
    }
    const hn_type t = hn_val_type(b->g, x);
    return linear_end(b, "encoder_attn.out_proj", hn_reshape(b->g, seen, t.rank, t.dim), x);
}

static hn_val feed_forward(builder *b, hn_val x)
{
    const hn_val y = norm(b, "final_layer_norm", x);
    return linear_end(b, "fc2", linear(b, "fc1", y, b->ffn, true), x);
}

// ---- encoder -------------------------------------------------------------------------------

// A convolution of width 3 over time with a zero at both ends, through GELU: a product over three
// shifted views laid side by side, which every device does faster than sums over taps.
// x: [B, T, C]   result [B, T / stride, d]
static hn_val convolve(const builder *b, const char *stem, hn_val x, int64_t stride)
{
    const hn_type t = hn_val_type(b->g, x);
    const int64_t channels = t.dim[2], d = b->c->width;

    if (!x.id)
        return x;
    const hn_val padded = hn_pad(b->g, x, 1, 1, 1, 0);
    hn_val views = { 0 };
    for (int tap = 0; tap < 3; tap++) {
        const hn_val view = hn_slice(b->g, padded, 1, tap, t.dim[1] / stride, stride);
        views = tap ? hn_concat(b->g, views, view, 2) : view; // [B, T / stride, 3 C]
    }
    const hn_val w = param(b, stem, "weight", (hn_type){ HN_F32, 3, { d, channels, 3 } },
                           (hn_init){ HN_INIT_NORMAL, 0.02f });
    const hn_val by_tap = hn_transpose(b->g, w, (const int[]){ 0, 2, 1 }); // [d, 3, C]
    const hn_val rows = hn_reshape(b->g, by_tap, 2, (const int64_t[]){ d, 3 * channels });
    return product(b, views, rows, vector(b, stem, "bias", d, 0), true);
}

static hn_status check_mel(const hn_graph *g, const hn_whisper_config *c, hn_val mel)
{
    const hn_type t = hn_val_type(g, mel);
    char text[128];

    HN_TRY(hn_whisper_config_check(c));
    if (t.dtype == HN_F32 && t.rank == 3 && t.dim[1] == c->mels && t.dim[2] % 2 == 0 &&
        t.dim[2] / 2 <= c->frames)
        return HN_OK;
    return hn_fail(HN_ERR_SHAPE, "features are %s, must be f32[B, %" PRId64 ", T], T even and at "
                   "most %" PRId64, hn__type_text(&t, text, sizeof text), c->mels, 2 * c->frames);
}

hn_val hn_whisper_encoder(hn_graph *g, const hn_whisper_config *c, hn_val mel,
                          const hn_whisper_build *build)
{
    if (!mel.id)
        return mel;
    const hn_status s = check_mel(g, c, mel);
    if (s)
        return hn__graph_fail(g, s);
    builder b = encoder_of(g, c, build);
    const int64_t frames = hn_val_type(g, mel).dim[2] / 2;
    hn_val x = hn_transpose(g, mel, (const int[]){ 0, 2, 1 }); // [B, 2 F, mels]
    x = convolve(&b, "conv1", x, 1);
    x = convolve(&b, "conv2", x, 2); // [B, F, d]
    const hn_val positions = table(&b, "embed_positions", c->frames);
    x = dropout(&b, hn_add(g, x, hn_slice(g, positions, 0, 0, frames, 1)));
    hn_mark_block(g, x);
    for (b.layer = 0; b.layer < b.layers; b.layer++) {
        x = feed_forward(&b, self_attention(&b, x));
        hn_mark_block(g, x);
    }
    b.layer = -1;
    return norm(&b, "layer_norm", x);
}

// ---- decoder -------------------------------------------------------------------------------

static hn_status check_decoder(const hn_graph *g, const hn_whisper_config *c, hn_val ids,
                               hn_val audio)
{
    const hn_type t = hn_val_type(g, ids), a = hn_val_type(g, audio);
    char text[128];

    HN_TRY(hn_whisper_config_check(c));
    if (t.rank != 2 || t.dtype != HN_I32 || t.dim[1] > c->context)
        return hn_fail(HN_ERR_SHAPE, "ids must be i32 [batch, at most %" PRId64 "]", c->context);
    if (audio.id && (a.dtype != HN_F32 || a.rank != 3 || a.dim[0] != t.dim[0] ||
                     a.dim[2] != c->width))
        return hn_fail(HN_ERR_SHAPE, "audio is %s, must be f32[%" PRId64 ", F, %" PRId64 "]",
                       hn__type_text(&a, text, sizeof text), t.dim[0], c->width);
    return HN_OK;
}

// Tokens and their positions: [B, T, d].
static hn_val embed(const builder *b, hn_val ids)
{
    const hn_val rows = hn_embedding(b->g, table(b, "embed_tokens", b->c->vocab), ids);
    const hn_val x = rows.id && hn_val_type(b->g, rows).dtype != HN_F32
                         ? hn_cast(b->g, rows, HN_F32)
                         : rows;
    const hn_val positions = table(b, "embed_positions", b->c->context);

    if (b->b->positions.id)
        return hn_add(b->g, x, hn_embedding(b->g, positions, b->b->positions));
    return hn_add(b->g, x, hn_slice(b->g, positions, 0, 0, hn_val_type(b->g, ids).dim[1], 1));
}

hn_val hn_whisper_decoder(hn_graph *g, const hn_whisper_config *c, hn_val ids, hn_val audio,
                          const hn_whisper_build *build)
{
    if (!ids.id)
        return ids;
    const hn_status s = check_decoder(g, c, ids, audio);
    if (s)
        return hn__graph_fail(g, s);
    builder b = decoder_of(g, c, build);
    hn_val x = dropout(&b, embed(&b, ids));
    hn_mark_block(g, x);
    for (b.layer = 0; b.layer < b.layers; b.layer++) {
        x = feed_forward(&b, cross_attention(&b, self_attention(&b, x), audio));
        hn_mark_block(g, x);
    }
    b.layer = -1;
    return norm(&b, "layer_norm", x);
}

void hn_whisper_cross(hn_graph *g, const hn_whisper_config *c, hn_val audio)
{
    if (!audio.id)
        return;
    const hn_status s = hn_whisper_config_check(c);
    if (s) {
        hn__graph_fail(g, s);
        return;
    }
    builder b = decoder_of(g, c, NULL);
    for (b.layer = 0; b.layer < b.layers; b.layer++) {
        hn_assign(g, cross_state(&b, 'k'), keys(&b, "encoder_attn", audio));
        hn_assign(g, cross_state(&b, 'v'), values(&b, "encoder_attn", audio));
    }
}

// ---- head ----------------------------------------------------------------------------------

hn_val hn_whisper_logits(hn_graph *g, const hn_whisper_config *c, hn_val hidden)
{
    const builder b = decoder_of(g, c, NULL);
    return product(&b, hidden, table(&b, "embed_tokens", c->vocab), (hn_val){ 0 }, false);
}

hn_val hn_whisper_loss(hn_graph *g, const hn_whisper_config *c, hn_val hidden, hn_val targets)
{
    const hn_val flat = hn_reshape(g, hidden, 2, (const int64_t[]){ -1, c->width });
    return hn_cross_entropy(g, hn_whisper_logits(g, c, flat),
                            hn_reshape(g, targets, 1, (const int64_t[]){ -1 }));
}
