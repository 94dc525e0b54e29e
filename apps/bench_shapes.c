// Operators with the shapes that models give them: those of the training step of `bench step`
// (batch 4, 256 positions, width 256, 4 heads, feed-forward 1024, 4096 tokens), and of
// convolutional and quantising models.
#include "bench_shapes.h"

#include "hornito/ops.h"

static hn_val f32(hn_graph *g, const char *name, int rank, const int64_t dim[])
{
    hn_type t = { HN_F32, rank, { 0 } };
    for (int i = 0; i < rank; i++)
        t.dim[i] = dim[i];
    return hn_input(g, name, t);
}
#define F32(g, name, ...)                                                                         \
    f32((g), (name), (int)(sizeof((int64_t[]){ __VA_ARGS__ }) / sizeof(int64_t)),                 \
        (int64_t[]){ __VA_ARGS__ })

static hn_val i32(hn_graph *g, const char *name, int64_t n)
{
    return hn_input(g, name, (hn_type){ HN_I32, 1, { n } });
}

// The gradients of y along a given direction for n values, as outputs.
static void keep_gradients(hn_graph *g, hn_val y, const hn_val x[], int n)
{
    static const char *const names[] = { "d0", "d1", "d2", "d3" };
    const hn_val dy = hn_input(g, "dy", hn_val_type(g, y));
    hn_val d[4] = { { 0 } };
    if (hn_graph_grad(g, hn_sum_all(g, hn_mul(g, y, dy)), x, n, d))
        return; // the graph's error is the first, and stays
    for (int i = 0; i < n; i++)
        hn_output(g, names[i], d[i]);
}

// ---- matrix products -----------------------------------------------------------------------

static void matmul_qkv(hn_graph *g)
{
    const hn_matmul_params p = { .bias = F32(g, "bias", 768) };
    hn_output(g, "y", hn_matmul(g, F32(g, "x", 1024, 256), F32(g, "w", 256, 768), &p));
}

static void matmul_up(hn_graph *g)
{
    const hn_matmul_params p = { .bias = F32(g, "bias", 1024), .act = HN_ACT_GELU };
    hn_output(g, "y", hn_matmul(g, F32(g, "x", 1024, 256), F32(g, "w", 256, 1024), &p));
}

static void matmul_down(hn_graph *g)
{
    const hn_matmul_params p = { .bias = F32(g, "bias", 256), .residual = F32(g, "r", 1024, 256) };
    hn_output(g, "y", hn_matmul(g, F32(g, "x", 1024, 1024), F32(g, "w", 1024, 256), &p));
}

static void matmul_logits(hn_graph *g)
{
    const hn_matmul_params p = { .transpose_b = true };
    hn_output(g, "y", hn_matmul(g, F32(g, "x", 1024, 256), F32(g, "w", 4096, 256), &p));
}

static void matmul_logits_dx(hn_graph *g)
{
    hn_output(g, "y", hn_matmul(g, F32(g, "dy", 1024, 4096), F32(g, "w", 4096, 256), NULL));
}

static void matmul_logits_dw(hn_graph *g)
{
    const hn_matmul_params p = { .transpose_a = true };
    hn_output(g, "y", hn_matmul(g, F32(g, "dy", 1024, 4096), F32(g, "x", 1024, 256), &p));
}

static void matmul_one_row(hn_graph *g)
{
    hn_output(g, "y", hn_matmul(g, F32(g, "x", 1, 1024), F32(g, "w", 1024, 1024), NULL));
}

void bench_shape_build(const bench_shape *b, hn_graph *g)
{
    if (b->build) {
        b->build(g);
        return;
    }
    const hn_matmul_params p = { .transpose_b = true };
    const hn_type w = { b->product.w, 2, { b->product.n, b->product.k } };
    const hn_type type = { b->product.x ? b->product.x : HN_F32,
                           2,
                           { b->product.m, b->product.k } };
    const hn_val x = hn_input(g, "x", type);
    hn_output(g, "y", hn_matmul(g, x, hn_input(g, "w", w), &p));
}

// ---- attention, norms, loss ----------------------------------------------------------------

static hn_val attention_of(hn_graph *g, hn_val in[3])
{
    const hn_attention_params p = { .causal = true };
    in[0] = F32(g, "q", 4, 256, 4, 64);
    in[1] = F32(g, "k", 4, 256, 4, 64);
    in[2] = F32(g, "v", 4, 256, 4, 64);
    return hn_attention(g, in[0], in[1], in[2], &p);
}

static void attention(hn_graph *g)
{
    hn_val in[3];
    hn_output(g, "y", attention_of(g, in));
}

static void attention_grad(hn_graph *g)
{
    hn_val in[3];
    const hn_val y = attention_of(g, in);
    keep_gradients(g, y, in, 3);
}

static void layer_norm(hn_graph *g)
{
    hn_output(g, "y",
              hn_layer_norm(g, F32(g, "x", 1024, 256), F32(g, "w", 256), F32(g, "b", 256), 1e-5f));
}

static void layer_norm_grad(hn_graph *g)
{
    const hn_val in[3] = { F32(g, "x", 1024, 256), F32(g, "w", 256), F32(g, "b", 256) };
    keep_gradients(g, hn_layer_norm(g, in[0], in[1], in[2], 1e-5f), in, 3);
}

static void rms_norm(hn_graph *g)
{
    hn_output(g, "y", hn_rms_norm(g, F32(g, "x", 1024, 256), F32(g, "w", 256), 1e-5f));
}

static void softmax(hn_graph *g)
{
    hn_output(g, "y", hn_softmax(g, F32(g, "x", 1024, 4096)));
}

static void cross_entropy(hn_graph *g)
{
    hn_output(g, "y", hn_cross_entropy(g, F32(g, "x", 1024, 4096), i32(g, "targets", 1024)));
}

static void cross_entropy_grad(hn_graph *g)
{
    const hn_val x = F32(g, "x", 1024, 4096);
    keep_gradients(g, hn_cross_entropy(g, x, i32(g, "targets", 1024)), &x, 1);
}

static void rope(hn_graph *g)
{
    hn_output(g, "y", hn_rope(g, F32(g, "x", 4, 256, 4, 64), i32(g, "positions", 256), NULL));
}

// ---- pointwise, reductions, copies ---------------------------------------------------------

static void add(hn_graph *g)
{
    hn_output(g, "y", hn_add(g, F32(g, "a", 1024, 1024), F32(g, "b", 1024, 1024)));
}

static void gelu(hn_graph *g)
{
    hn_output(g, "y", hn_gelu(g, F32(g, "x", 1024, 1024)));
}

static void gelu_grad(hn_graph *g)
{
    const hn_val x = F32(g, "x", 1024, 1024);
    keep_gradients(g, hn_gelu(g, x), &x, 1);
}

static void sum_rows(hn_graph *g)
{
    hn_output(g, "y", hn_sum(g, F32(g, "x", 1024, 1024), -1));
}

static void sum_columns(hn_graph *g)
{
    hn_output(g, "y", hn_sum(g, F32(g, "x", 1024, 1024), 0));
}

static void transpose(hn_graph *g)
{
    hn_output(g, "y", hn_transpose(g, F32(g, "x", 4, 256, 4, 64), (const int[]){ 0, 2, 1, 3 }));
}

static void embedding(hn_graph *g)
{
    hn_output(g, "y", hn_embedding(g, F32(g, "table", 4096, 256), i32(g, "ids", 1024)));
}

static void scatter_add(hn_graph *g)
{
    hn_output(g, "y", hn_scatter_add(g, F32(g, "x", 1024, 256), i32(g, "ids", 1024), 4096));
}

static void top_k(hn_graph *g)
{
    hn_val index;
    hn_output(g, "y", hn_top_k(g, F32(g, "x", 64, 4096), 40, &index));
}

static void dropout(hn_graph *g)
{
    hn_output(g, "y", hn_dropout(g, F32(g, "x", 1024, 1024), 0.1f, i32(g, "key", 2), 0));
}

static void normal(hn_graph *g)
{
    hn_output(g, "y", hn_normal(g, (hn_type){ HN_F32, 2, { 1024, 1024 } }, i32(g, "key", 2), 0));
}

static void adamw(hn_graph *g)
{
    const hn_adamw_params p = { 0.9f, 0.999f, 1e-8f, 0.01f };
    const hn_val hyper =
        hn_const(g, (hn_type){ HN_F32, 1, { 3 } }, (const float[]){ 1e-3f, 10, 1 });
    const hn_adamw_out o =
        hn_adamw(g, F32(g, "p", 1024, 1024), F32(g, "grad", 1024, 1024), F32(g, "m", 1024, 1024),
                 F32(g, "positive.v", 1024, 1024), hyper, &p);
    hn_output(g, "p'", o.p);
    hn_output(g, "m'", o.m);
    hn_output(g, "v'", o.v);
}

// ---- convolution, quantisation, heads ------------------------------------------------------

static void conv1d(hn_graph *g)
{
    const hn_conv_params p = { .pad_before = { 1 }, .pad_after = { 1 } };
    hn_output(g, "y", hn_conv1d(g, F32(g, "x", 1, 80, 3000), F32(g, "w", 384, 80, 3), &p));
}

static void conv2d(hn_graph *g)
{
    const hn_conv_params p = { .pad_before = { 1, 1 }, .pad_after = { 1, 1 } };
    hn_output(g, "y", hn_conv2d(g, F32(g, "x", 8, 32, 32, 32), F32(g, "w", 64, 32, 3, 3), &p));
}

static void max_pool(hn_graph *g)
{
    hn_output(g, "y",
              hn_max_pool(g, F32(g, "x", 8, 64, 32, 32), &(hn_pool_params){ .window = { 2, 2 } }));
}

static void nearest_code(hn_graph *g)
{
    const hn_nearest n = hn_nearest_code(g, F32(g, "x", 1024, 256), F32(g, "codes", 1024, 256));
    hn_output(g, "distance", n.distance);
    hn_output(g, "second_distance", n.second_distance);
}

static void code_scatter(hn_graph *g)
{
    hn_output(g, "y", hn_code_scatter(g, F32(g, "x", 1024, 512), i32(g, "map", 4096)));
}

static void code_gather(hn_graph *g)
{
    hn_output(g, "y", hn_code_gather(g, F32(g, "x", 1024, 4096), i32(g, "map", 4096), 512));
}

// Of products of M x K and K x N.
#define MKN(m, k, n) (2.0 * (m) * (k) * (n))
// Of both products of causal attention: half of the 256 x 256 pairs, 16 heads in all. Backward has
// five products where forward has two.
#define ATTENTION (2 * MKN(256, 64, 256) * 16 / 2)

// A product with stored weights, beside the same in f32.
#define STORED(name, m, k, n, ...)                                                                \
    {                                                                                             \
        "matmul " name, #m "x" #k " " #k "x" #n, MKN(m, k, n), 1e-5, 0, NULL,                     \
        {                                                                                         \
            m, k, n, __VA_ARGS__                                                                  \
        }                                                                                         \
    }
#define STORED_ALL(m, k, n)                                                                       \
    STORED("f32", m, k, n, HN_F32), STORED("f16", m, k, n, HN_F16),                               \
        STORED("q8_0", m, k, n, HN_Q8_0), STORED("q4_0", m, k, n, HN_Q4_0),                       \
        STORED("q4_1", m, k, n, HN_Q4_1), STORED("q4_k", m, k, n, HN_Q4_K),                       \
        STORED("q6_k", m, k, n, HN_Q6_K), STORED("q8_0 x q8_0", m, k, n, HN_Q8_0, HN_Q8_0),       \
        STORED("q8_0 x q4_1", m, k, n, HN_Q4_1, HN_Q8_0),                                         \
        STORED("q8_0 x q4_k", m, k, n, HN_Q4_K, HN_Q8_0)
#define STORED_SOME(m, k, n)                                                                      \
    STORED("f32", m, k, n, HN_F32), STORED("q8_0", m, k, n, HN_Q8_0),                             \
        STORED("q4_1", m, k, n, HN_Q4_1)

const bench_shape bench_shapes[] = {
    { "matmul qkv", "1024x256 256x768", MKN(1024, 256, 768), 1e-5, 0, matmul_qkv },
    { "matmul up, GELU", "1024x256 256x1024", MKN(1024, 256, 1024), 1e-5, 0, matmul_up },
    { "matmul down, add", "1024x1024 1024x256", MKN(1024, 1024, 256), 1e-5, 0, matmul_down },
    { "matmul logits", "1024x256 256x4096", MKN(1024, 256, 4096), 1e-5, 0, matmul_logits },
    { "matmul logits dx", "1024x4096 4096x256", MKN(1024, 4096, 256), 1e-5, 0, matmul_logits_dx },
    { "matmul logits dw", "4096x1024 1024x256", MKN(4096, 1024, 256), 1e-5, 0, matmul_logits_dw },
    { "matmul one row", "1x1024 1024x1024", MKN(1, 1024, 1024), 1e-5, 0, matmul_one_row },
    STORED_SOME(1, 576, 1536),
    STORED_ALL(1, 2048, 2048),
    STORED_ALL(64, 2048, 2048),
    STORED_SOME(512, 576, 1536),
    { "attention", "4 x 256, 4 heads of 64", ATTENTION, 1e-5, 0, attention },
    { "attention both ways", "4 x 256, 4 heads of 64", 3.5 * ATTENTION, 3e-5, 0, attention_grad },
    { "layer_norm", "1024x256", 0, 1e-5, 0, layer_norm },
    { "layer_norm both ways", "1024x256", 0, 1e-5, 0, layer_norm_grad },
    { "rms_norm", "1024x256", 0, 1e-5, 0, rms_norm },
    { "softmax", "1024x4096", 0, 1e-5, 0, softmax },
    { "cross_entropy", "1024x4096", 0, 1e-5, 4096, cross_entropy },
    { "cross_entropy both ways", "1024x4096", 0, 1e-5, 4096, cross_entropy_grad },
    { "rope", "4 x 256, 4 heads of 64", 0, 1e-4, 256, rope },
    { "add", "1024x1024", 0, 1e-6, 0, add },
    { "gelu", "1024x1024", 0, 1e-5, 0, gelu },
    { "gelu both ways", "1024x1024", 0, 1e-5, 0, gelu_grad },
    { "sum of rows", "1024x1024", 0, 1e-5, 0, sum_rows },
    { "sum of columns", "1024x1024", 0, 1e-5, 0, sum_columns },
    { "transpose", "4 x 256 x 4 x 64", 0, 1e-12, 0, transpose },
    { "embedding", "1024 of 4096 x 256", 0, 1e-12, 4096, embedding },
    { "scatter_add", "1024 to 4096 x 256", 0, 1e-5, 4096, scatter_add },
    { "top_k", "40 of 64x4096", 0, 1e-12, 0, top_k },
    { "dropout", "1024x1024", 0, 1e-5, 1000, dropout },
    { "normal", "1024x1024", 0, 1e-5, 1000, normal },
    { "adamw", "1024x1024", 0, 1e-5, 0, adamw },
    { "conv1d", "80 to 384, 3, 3000", MKN(3000, 240, 384), 1e-5, 0, conv1d },
    { "conv2d", "8x32x32x32 to 64, 3x3", MKN(8 * 32 * 32, 288, 64), 1e-5, 0, conv2d },
    { "max_pool", "8x64x32x32, 2x2", 0, 1e-12, 0, max_pool },
    { "nearest_code", "1024 of 1024 x 256", MKN(1024, 256, 1024), 1e-5, 0, nearest_code },
    { "code_scatter", "1024x512 to 4096", 0, 1e-12, 512, code_scatter },
    { "code_gather", "1024x4096 to 512", 0, 1e-5, 512, code_gather },
};
const int bench_n_shapes = sizeof bench_shapes / sizeof *bench_shapes;
