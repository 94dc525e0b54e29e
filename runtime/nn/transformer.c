// The decoder-only transformer, both families: embedding, blocks, final norm.
//
// Shapes in comments: B batch, T positions, d width, H heads, G key-value heads, D elements of a
// head (d / H but where a llama says otherwise).
#include "nn/lm.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

typedef struct builder {
    hn_graph *g;
    const hn_lm_config *c;
    const hn_lm_build *b;
    int64_t batch, t;
    uint32_t stream; // of dropout
    int layer;
} builder;

// Whether matrices lie as [in, out].
static bool is_in_out(const hn_lm_config *c)
{
    return c->family == HN_LM_GPT2 && !c->rows_out;
}

static hn_type f32_1(int64_t a)
{
    return (hn_type){ .dtype = HN_F32, .rank = 1, .dim = { a } };
}

static hn_type f32_2(int64_t a, int64_t b)
{
    return (hn_type){ .dtype = HN_F32, .rank = 2, .dim = { a, b } };
}

hn_val hn__lm_param(hn_graph *g, const hn_lm_config *c, const char *name, hn_type t, hn_init init)
{
    const int64_t at = c->weights ? hn_weights_find(c->weights, name) : -1;
    if (at < 0)
        return hn_param(g, name, t, init);
    const hn_weight_info info = hn_weights_info(c->weights, at);
    t.dtype = info.type.dtype;
    return info.trainable ? hn_param(g, name, t, init) : hn_state(g, name, t, init);
}

hn_val hn__lm_matmul(hn_graph *g, const hn_lm_config *c, hn_val x, hn_val w,
                     const hn_matmul_params *p)
{
    const bool blocks = w.id && hn_dtype_block(hn_val_type(g, w).dtype) > 1;
    return hn_matmul(g, c->i8 && blocks && p->transpose_b ? hn_quantize(g, x) : x, w, p);
}

// A weight "<stem>.<part>"; a %d in the stem stands for the layer.
static hn_val param(const builder *b, const char *stem, const char *part, hn_type t, hn_init init)
{
    char full[128], name[160];
    const char *mark = strstr(stem, "%d");
    if (mark)
        snprintf(full, sizeof full, "%.*s%d%s", (int)(mark - stem), stem, b->layer, mark + 2);
    snprintf(name, sizeof name, "%s.%s", mark ? full : stem, part);
    return hn__lm_param(b->g, b->c, name, t, init);
}

static hn_val bias_of(const builder *b, const char *stem, int64_t n)
{
    return param(b, stem, "bias", f32_1(n), (hn_init){ HN_INIT_ZERO, 0 });
}

// The matrix of a layer: [out, in], or [in, out] in gpt2 as published. Initial weights are
// GPT-2's: normal 0.02, less by sqrt(2 layers) where a block ends.
static hn_val matrix(const builder *b, const char *stem, int64_t in, int64_t out, bool ends_block)
{
    const float scale = ends_block ? 0.02f / sqrtf(2 * (float)b->c->layers) : 0.02f;
    return param(b, stem, "weight", is_in_out(b->c) ? f32_2(in, out) : f32_2(out, in),
                 (hn_init){ HN_INIT_NORMAL, scale });
}

// x [.., in] -> [.., out]
static hn_val linear(const builder *b, const char *stem, hn_val x, int64_t in, int64_t out,
                     bool bias, bool ends_block)
{
    hn_matmul_params p = { .transpose_b = !is_in_out(b->c) };
    const hn_val w = matrix(b, stem, in, out, ends_block);
    if (bias)
        p.bias = bias_of(b, stem, out);
    return hn__lm_matmul(b->g, b->c, x, w, &p);
}

static hn_val norm(const builder *b, const char *stem, hn_val x)
{
    const hn_type t = f32_1(b->c->width);
    const hn_val w = param(b, stem, "weight", t, (hn_init){ HN_INIT_CONST, 1 });
    if (b->c->family == HN_LM_LLAMA)
        return hn_rms_norm(b->g, x, w, b->c->eps);
    return hn_layer_norm(b->g, x, w, bias_of(b, stem, b->c->width), b->c->eps);
}

static hn_val dropout(builder *b, hn_val x)
{
    if (!b->b->dropout_key.id || !(b->c->dropout > 0))
        return x;
    return hn_dropout(b->g, x, b->c->dropout, b->b->dropout_key, b->stream++);
}

static hn_val heads_of(const builder *b, hn_val x, int64_t heads)
{
    return hn_reshape(b->g, x, 4,
                      (int64_t[]){ b->batch, b->t, heads, hn__lm_head_dim(b->c) });
}

// The cache with the new rows in it: [B, cache, G, D].
static hn_val cached(const builder *b, char which, hn_val fresh)
{
    char name[64];
    const hn_lm_config *c = b->c;
    const int64_t rows = b->b->cache ? b->b->cache : c->context;
    const hn_type t = { HN_F32, 4, { b->batch, rows, c->kv_heads, hn__lm_head_dim(c) } };

    snprintf(name, sizeof name, "cache.%c.%d", which, b->layer);
    const hn_val old = hn_state(b->g, name, t, (hn_init){ HN_INIT_ZERO, 0 });
    const hn_val all = hn_update(b->g, old, fresh, b->b->at, 1);
    hn_assign(b->g, old, all);
    return all;
}

// q [B, T, H, D], k, v [B, T, G, D] -> [B, T, H D]
static hn_val attend(const builder *b, hn_val q, hn_val k, hn_val v)
{
    hn_attention_params p = { .causal = true };
    if (b->b->at.id) {
        k = cached(b, 'k', k);
        v = cached(b, 'v', v);
        p.n_keys = b->b->n_keys;
    }
    const hn_val y = hn_attention(b->g, q, k, v, &p);
    return hn_reshape(b->g, y, 3,
                      (int64_t[]){ b->batch, b->t, b->c->heads * hn__lm_head_dim(b->c) });
}

// What the angle of each pair is divided by; NULL for none. Llama 3's: wave lengths below
// original / high stay, above original / low are stretched in full, and between the two the
// frequencies go from one to the other in proportion.
static const float *rope_divisors(const hn_lm_config *c, float out[HN_MAX_ROPE / 2])
{
    const hn_rope_scaling *r = &c->rope_scaling;
    const int64_t dim = hn__lm_head_dim(c);

    if (r->kind == HN_ROPE_PLAIN)
        return NULL;
    for (int64_t i = 0; i < dim / 2; i++) {
        const double base = c->rope_base > 0 ? (double)c->rope_base : 10000;
        const double turns =
            (double)r->original * pow(base, -2.0 * (double)i / (double)dim) / 6.283185307179586;
        double kept = (turns - (double)r->low) / ((double)r->high - (double)r->low);
        kept = r->kind == HN_ROPE_LINEAR || kept < 0 ? 0 : kept > 1 ? 1 : kept;
        out[i] = (float)(1 / (kept + (1 - kept) / (double)r->factor));
    }
    return out;
}

static hn_val llama_attention(const builder *b, hn_val x, hn_val positions)
{
    const hn_lm_config *c = b->c;
    const int64_t d = c->width, head = hn__lm_head_dim(c), n = head * c->heads,
                  kv = head * c->kv_heads;
    const bool bias = c->qkv_bias;
    float divide[HN_MAX_ROPE / 2];
    const hn_rope_params rope = { .base = c->rope_base, .divide = rope_divisors(c, divide) };
    hn_val q = linear(b, "model.layers.%d.self_attn.q_proj", x, d, n, bias, false);
    hn_val k = linear(b, "model.layers.%d.self_attn.k_proj", x, d, kv, bias, false);
    const hn_val v = linear(b, "model.layers.%d.self_attn.v_proj", x, d, kv, bias, false);

    q = hn_rope(b->g, heads_of(b, q, c->heads), positions, &rope);
    k = hn_rope(b->g, heads_of(b, k, c->kv_heads), positions, &rope);
    return linear(b, "model.layers.%d.self_attn.o_proj",
                  attend(b, q, k, heads_of(b, v, c->kv_heads)), n, d, c->out_bias, true);
}

// q, k and v, which gpt2 keeps in one matrix. Either the product is cut in three or the matrix is:
// whichever is the smaller copy, and in training the smaller gradient to put together. A matrix
// that is stored in fewer bits stays whole.
static void split_qkv(const builder *b, hn_val x, hn_val part[3])
{
    static const char stem[] = "h.%d.attn.c_attn";
    const int64_t d = b->c->width;
    const hn_val w = matrix(b, stem, d, 3 * d, false), bias = bias_of(b, stem, 3 * d);
    const bool in_out = is_in_out(b->c);

    if (b->batch * b->t < d || hn_val_type(b->g, w).dtype != HN_F32) {
        const hn_val all =
            hn__lm_matmul(b->g, b->c, x, w,
                          &(hn_matmul_params){ .transpose_b = !in_out, .bias = bias });
        for (int i = 0; i < 3; i++)
            part[i] = hn_slice(b->g, all, 2, i * d, d, 1); // of [B, T, 3 d]
        return;
    }
    for (int i = 0; i < 3; i++) {
        const hn_matmul_params p = { .transpose_b = !in_out,
                                     .bias = hn_slice(b->g, bias, 0, i * d, d, 1) };
        part[i] = hn_matmul(b->g, x, hn_slice(b->g, w, in_out, i * d, d, 1), &p);
    }
}

static hn_val gpt2_attention(const builder *b, hn_val x)
{
    const int64_t d = b->c->width;
    hn_val part[3];

    split_qkv(b, x, part);
    for (int i = 0; i < 3; i++)
        part[i] = heads_of(b, part[i], b->c->heads);
    return linear(b, "h.%d.attn.c_proj", attend(b, part[0], part[1], part[2]), d, d, true,
                  true);
}

static hn_val llama_ffn(const builder *b, hn_val x)
{
    const int64_t d = b->c->width, f = b->c->ffn;
    const hn_val gate = linear(b, "model.layers.%d.mlp.gate_proj", x, d, f, false, false);
    const hn_val up = linear(b, "model.layers.%d.mlp.up_proj", x, d, f, false, false);
    return linear(b, "model.layers.%d.mlp.down_proj", hn_mul(b->g, hn_silu(b->g, gate), up), f, d,
                  false, true);
}

static hn_val gpt2_ffn(const builder *b, hn_val x)
{
    const int64_t d = b->c->width, f = b->c->ffn;
    const hn_val h = linear(b, "h.%d.mlp.c_fc", x, d, f, true, false);
    const hn_val a = b->c->act == HN_ACT_GELU ? hn_gelu(b->g, h) : hn_gelu_tanh(b->g, h);
    return linear(b, "h.%d.mlp.c_proj", a, f, d, true, true);
}

static hn_val block(builder *b, hn_val x, hn_val positions)
{
    const bool llama = b->c->family == HN_LM_LLAMA;

    hn_val y = norm(b, llama ? "model.layers.%d.input_layernorm" : "h.%d.ln_1", x);
    y = llama ? llama_attention(b, y, positions) : gpt2_attention(b, y);
    x = hn_add(b->g, x, dropout(b, y));
    y = norm(b, llama ? "model.layers.%d.post_attention_layernorm" : "h.%d.ln_2", x);
    y = llama ? llama_ffn(b, y) : gpt2_ffn(b, y);
    return hn_add(b->g, x, dropout(b, y));
}

// 0, 1, ... n - 1
static hn_val count_up(hn_graph *g, int64_t n)
{
    int32_t *x = hn__calloc((size_t)n, sizeof *x);
    if (!x)
        return hn__graph_fail(g, hn__nomem((size_t)n * sizeof *x));
    for (int64_t i = 0; i < n; i++)
        x[i] = (int32_t)i;
    const hn_val v = hn_const(g, (hn_type){ HN_I32, 1, { n } }, x);
    hn__free(x);
    return v;
}

hn_val hn__lm_embedding(hn_graph *g, const hn_lm_config *c)
{
    const char *name = c->family == HN_LM_LLAMA ? "model.embed_tokens.weight" : "wte.weight";
    return hn__lm_param(g, c, name, f32_2(c->vocab, c->width),
                        (hn_init){ HN_INIT_NORMAL, 0.02f });
}

hn_val hn__lm_look_up(hn_graph *g, hn_val table, hn_val ids)
{
    const hn_val rows = hn_embedding(g, table, ids);
    return rows.id && hn_val_type(g, rows).dtype != HN_F32 ? hn_cast(g, rows, HN_F32) : rows;
}

// Embedding, with gpt2's learned positions: [B, T, d].
static hn_val embed(const builder *b, hn_val ids, hn_val positions)
{
    const hn_lm_config *c = b->c;
    const hn_val x = hn__lm_look_up(b->g, hn__lm_embedding(b->g, c), ids);
    if (c->family == HN_LM_LLAMA)
        return x;
    const hn_val wpe = hn__lm_param(b->g, c, "wpe.weight", f32_2(c->context, c->width),
                                    (hn_init){ HN_INIT_NORMAL, 0.02f });
    return hn_add(b->g, x, hn__lm_look_up(b->g, wpe, positions));
}

hn_val hn_lm_hidden(hn_graph *g, const hn_lm_config *c, hn_val ids, const hn_lm_build *build)
{
    static const hn_lm_build none = { { 0 } };
    const hn_type t = hn_val_type(g, ids);
    builder b = { .g = g, .c = c, .b = build ? build : &none, .batch = t.dim[0], .t = t.dim[1] };

    if (!ids.id)
        return ids;
    hn_status s = hn_lm_config_check(c);
    if (s == HN_OK && (t.rank != 2 || t.dtype != HN_I32 || t.dim[1] > c->context))
        s = hn_fail(HN_ERR_SHAPE, "ids must be i32 [batch, at most %" PRId64 "]", c->context);
    if (s)
        return hn__graph_fail(g, s);
    const hn_val positions = b.b->positions.id ? b.b->positions : count_up(g, b.t);
    hn_val x = dropout(&b, embed(&b, ids, positions));
    hn_mark_block(g, x);
    for (b.layer = 0; b.layer < c->layers; b.layer++) {
        x = block(&b, x, positions);
        hn_mark_block(g, x);
    }
    return norm(&b, c->family == HN_LM_LLAMA ? "model.norm" : "ln_f", x);
}
