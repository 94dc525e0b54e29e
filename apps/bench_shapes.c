// Operators with the shapes that models give them: those of the training step of `bench step`
// (batch 4, 256 positions, width 256, 4 heads, feed-forward 1024, 4096 tokens), of larger ones, of
// decoding with stored weights, and of convolutional and quantising models.
// And, in lists of their own, what cards are measured by.
#include "bench_shapes.h"

#include <string.h>

#include "app.h"
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

static void matmul_bias(hn_graph *g, const int64_t d[])
{
    const hn_matmul_params p = { .bias = F32(g, "bias", d[2]) };
    hn_output(g, "y", hn_matmul(g, F32(g, "x", d[0], d[1]), F32(g, "w", d[1], d[2]), &p));
}

static void matmul_gelu(hn_graph *g, const int64_t d[])
{
    const hn_matmul_params p = { .bias = F32(g, "bias", d[2]), .act = HN_ACT_GELU };
    hn_output(g, "y", hn_matmul(g, F32(g, "x", d[0], d[1]), F32(g, "w", d[1], d[2]), &p));
}

static void matmul_residual(hn_graph *g, const int64_t d[])
{
    const hn_matmul_params p = { .bias = F32(g, "bias", d[2]),
                                 .residual = F32(g, "r", d[0], d[2]) };
    hn_output(g, "y", hn_matmul(g, F32(g, "x", d[0], d[1]), F32(g, "w", d[1], d[2]), &p));
}

static hn_val matrix(hn_graph *g, const char *name, hn_dtype type, bool columns, int64_t rows,
                     int64_t cols)
{
    const hn_type t = { type ? type : HN_F32,
                        2,
                        { columns ? cols : rows, columns ? rows : cols } };
    return hn_input(g, name, t);
}

void bench_shape_build(const bench_shape *b, const int64_t d[BENCH_DIMS], hn_graph *g)
{
    const bench_product *k = &b->product;
    if (b->build) {
        b->build(g, d);
        return;
    }
    const hn_matmul_params p = { .transpose_a = k->x_columns, .transpose_b = k->w_columns };
    const hn_val x = matrix(g, "x", k->x, k->x_columns, d[0], d[1]);
    hn_output(g, "y", hn_matmul(g, x, matrix(g, "w", k->w, k->w_columns, d[1], d[2]), &p));
}

// ---- attention, norms, loss ----------------------------------------------------------------

// d: batch, positions, heads, width of a head.
static hn_val attention_of(hn_graph *g, const int64_t d[], hn_dtype t, bool causal, hn_val in[3])
{
    static const char *const names[] = { "q", "k", "v" };
    const hn_attention_params p = { .causal = causal };
    for (int i = 0; i < 3; i++)
        in[i] = hn_input(g, names[i], (hn_type){ t, 4, { d[0], d[1], d[2], d[3] } });
    return hn_attention(g, in[0], in[1], in[2], &p);
}

#define ATTENTION_OF(name, type, is_causal)                                                       \
    static void name(hn_graph *g, const int64_t d[])                                              \
    {                                                                                             \
        hn_val in[3];                                                                             \
        hn_output(g, "y", attention_of(g, d, type, is_causal, in));                               \
    }                                                                                             \
    static void name##_grad(hn_graph *g, const int64_t d[])                                       \
    {                                                                                             \
        hn_val in[3];                                                                             \
        const hn_val y = attention_of(g, d, type, is_causal, in);                                 \
        keep_gradients(g, y, in, 3);                                                              \
    }
ATTENTION_OF(attention, HN_F32, false)
ATTENTION_OF(attention_causal, HN_F32, true)
ATTENTION_OF(attention_causal_f16, HN_F16, true)

// Few queries: positions, query heads, keys, key heads. Of a model that decodes, and of Whisper.
static void attention_few(hn_graph *g, const int64_t d[])
{
    const hn_val q = F32(g, "q", 1, d[0], d[1], 64);
    hn_output(g, "y", hn_attention(g, q, F32(g, "k", 1, d[2], d[3], 64),
                                   F32(g, "v", 1, d[2], d[3], 64), NULL));
}

static void layer_norm(hn_graph *g, const int64_t d[])
{
    hn_output(g, "y",
              hn_layer_norm(g, F32(g, "x", d[0], d[1]), F32(g, "w", d[1]), F32(g, "b", d[1]),
                            1e-5f));
}

static void layer_norm_grad(hn_graph *g, const int64_t d[])
{
    const hn_val in[3] = { F32(g, "x", d[0], d[1]), F32(g, "w", d[1]), F32(g, "b", d[1]) };
    keep_gradients(g, hn_layer_norm(g, in[0], in[1], in[2], 1e-5f), in, 3);
}

static void rms_norm(hn_graph *g, const int64_t d[])
{
    hn_output(g, "y", hn_rms_norm(g, F32(g, "x", d[0], d[1]), F32(g, "w", d[1]), 1e-5f));
}

static void rms_norm_grad(hn_graph *g, const int64_t d[])
{
    const hn_val in[2] = { F32(g, "x", d[0], d[1]), F32(g, "w", d[1]) };
    keep_gradients(g, hn_rms_norm(g, in[0], in[1], 1e-5f), in, 2);
}

static void softmax(hn_graph *g, const int64_t d[])
{
    hn_output(g, "y", hn_softmax(g, F32(g, "x", d[0], d[1])));
}

static void log_softmax(hn_graph *g, const int64_t d[])
{
    hn_output(g, "y", hn_log_softmax(g, F32(g, "x", d[0], d[1])));
}

static void softmax_grad(hn_graph *g, const int64_t d[])
{
    const hn_val x = F32(g, "x", d[0], d[1]);
    keep_gradients(g, hn_softmax(g, x), &x, 1);
}

static void cross_entropy(hn_graph *g, const int64_t d[])
{
    hn_output(g, "y", hn_cross_entropy(g, F32(g, "x", d[0], d[1]), i32(g, "targets", d[0])));
}

static void cross_entropy_grad(hn_graph *g, const int64_t d[])
{
    const hn_val x = F32(g, "x", d[0], d[1]);
    keep_gradients(g, hn_cross_entropy(g, x, i32(g, "targets", d[0])), &x, 1);
}

static void rope(hn_graph *g, const int64_t d[])
{
    hn_output(g, "y",
              hn_rope(g, F32(g, "x", d[0], d[1], d[2], d[3]), i32(g, "positions", d[1]), NULL));
}

// ---- pointwise, reductions, copies ---------------------------------------------------------

#define POINTWISE_1(name)                                                                         \
    static void pointwise_##name(hn_graph *g, const int64_t d[])                                  \
    {                                                                                             \
        hn_output(g, "y", hn_##name(g, F32(g, "x", d[0], d[1])));                                 \
    }
POINTWISE_1(gelu)
POINTWISE_1(silu)
POINTWISE_1(relu)
POINTWISE_1(tanh)
POINTWISE_1(exp)

static void add(hn_graph *g, const int64_t d[])
{
    hn_output(g, "y", hn_add(g, F32(g, "a", d[0], d[1]), F32(g, "b", d[0], d[1])));
}

static void mul(hn_graph *g, const int64_t d[])
{
    hn_output(g, "y", hn_mul(g, F32(g, "a", d[0], d[1]), F32(g, "b", d[0], d[1])));
}

// What a gated feed-forward does between its products.
static void silu_mul(hn_graph *g, const int64_t d[])
{
    hn_output(g, "y", hn_mul(g, hn_silu(g, F32(g, "a", d[0], d[1])), F32(g, "b", d[0], d[1])));
}

static void gelu_grad(hn_graph *g, const int64_t d[])
{
    const hn_val x = F32(g, "x", d[0], d[1]);
    keep_gradients(g, hn_gelu(g, x), &x, 1);
}

static void sum_rows(hn_graph *g, const int64_t d[])
{
    hn_output(g, "y", hn_sum(g, F32(g, "x", d[0], d[1]), -1));
}

static void sum_columns(hn_graph *g, const int64_t d[])
{
    hn_output(g, "y", hn_sum(g, F32(g, "x", d[0], d[1]), 0));
}

static void transpose(hn_graph *g, const int64_t d[])
{
    hn_output(g, "y",
              hn_transpose(g, F32(g, "x", d[0], d[1], d[2], d[3]), (const int[]){ 0, 2, 1, 3 }));
}

static void embedding(hn_graph *g, const int64_t d[])
{
    hn_output(g, "y", hn_embedding(g, F32(g, "table", d[1], d[2]), i32(g, "ids", d[0])));
}

static void scatter_add(hn_graph *g, const int64_t d[])
{
    hn_output(g, "y", hn_scatter_add(g, F32(g, "x", d[0], d[2]), i32(g, "ids", d[0]), d[1]));
}

static void top_k(hn_graph *g, const int64_t d[])
{
    hn_val index;
    hn_output(g, "y", hn_top_k(g, F32(g, "x", d[0], d[1]), (int)d[2], &index));
}

static void dropout(hn_graph *g, const int64_t d[])
{
    hn_output(g, "y", hn_dropout(g, F32(g, "x", d[0], d[1]), 0.1f, i32(g, "key", 2), 0));
}

static void normal(hn_graph *g, const int64_t d[])
{
    hn_output(g, "y", hn_normal(g, (hn_type){ HN_F32, 2, { d[0], d[1] } }, i32(g, "key", 2), 0));
}

static void adamw(hn_graph *g, const int64_t d[])
{
    const hn_adamw_params p = { 0.9f, 0.999f, 1e-8f, 0.01f };
    const hn_val hyper =
        hn_const(g, (hn_type){ HN_F32, 1, { 3 } }, (const float[]){ 1e-3f, 10, 1 });
    const hn_adamw_out o =
        hn_adamw(g, F32(g, "p", d[0], d[1]), F32(g, "grad", d[0], d[1]), F32(g, "m", d[0], d[1]),
                 F32(g, "positive.v", d[0], d[1]), hyper, &p);
    hn_output(g, "p'", o.p);
    hn_output(g, "m'", o.m);
    hn_output(g, "v'", o.v);
}

// ---- convolution, quantisation, heads ------------------------------------------------------

// d: channels out.
static void conv1d(hn_graph *g, const int64_t d[])
{
    const hn_conv_params p = { .pad_before = { 1 }, .pad_after = { 1 } };
    hn_output(g, "y", hn_conv1d(g, F32(g, "x", 1, 80, 3000), F32(g, "w", d[0], 80, 3), &p));
}

// d: images.
static void conv2d(hn_graph *g, const int64_t d[])
{
    const hn_conv_params p = { .pad_before = { 1, 1 }, .pad_after = { 1, 1 } };
    hn_output(g, "y", hn_conv2d(g, F32(g, "x", d[0], 32, 32, 32), F32(g, "w", 64, 32, 3, 3), &p));
}

static void conv2d_dx(hn_graph *g, const int64_t d[])
{
    const hn_conv_params p = { .pad_before = { 1, 1 }, .pad_after = { 1, 1 } };
    hn_output(g, "x", hn_conv2d_transpose(g, F32(g, "y", d[0], 64, 32, 32),
                                          F32(g, "w", 64, 32, 3, 3), 32, 32, &p));
}

static void conv2d_dw(hn_graph *g, const int64_t d[])
{
    const hn_conv_params p = { .pad_before = { 1, 1 }, .pad_after = { 1, 1 } };
    const hn_val w = F32(g, "w", 64, 32, 3, 3);
    keep_gradients(g, hn_conv2d(g, F32(g, "x", d[0], 32, 32, 32), w, &p), &w, 1);
}

static void max_pool(hn_graph *g, const int64_t d[])
{
    hn_output(g, "y",
              hn_max_pool(g, F32(g, "x", d[0], 64, 32, 32),
                          &(hn_pool_params){ .window = { 2, 2 } }));
}

static void nearest_code(hn_graph *g, const int64_t d[])
{
    const hn_nearest n =
        hn_nearest_code(g, F32(g, "x", d[0], d[2]), F32(g, "codes", d[1], d[2]));
    hn_output(g, "distance", n.distance);
    hn_output(g, "second_distance", n.second_distance);
}

static void code_scatter(hn_graph *g, const int64_t d[])
{
    hn_output(g, "y", hn_code_scatter(g, F32(g, "x", d[0], d[1]), i32(g, "map", d[2])));
}

static void code_gather(hn_graph *g, const int64_t d[])
{
    hn_output(g, "y", hn_code_gather(g, F32(g, "x", d[0], d[2]), i32(g, "map", d[2]), d[1]));
}

// ---- the shapes ----------------------------------------------------------------------------

// Of products of M x K and K x N.
#define MKN(m, k, n) (2.0 * (m) * (k) * (n))
// Of both products of attention over T positions with heads of 64; causal: half of the pairs.
// Backward has five products where forward has two.
#define ATTENTION(t, heads) (2 * MKN(t, 64, t) * (heads))

enum { ROWS = 1, INNER = 2, COLS = 4 }; // of bench_shape.cut

#define PRODUCT_OF(name, x_columns, w_columns, m, k, n, ...)                                      \
    {                                                                                             \
        name, #m "x" #k " " #k "x" #n, MKN(m, k, n), 1e-5, 0, NULL, { m, k, n }, ROWS | COLS,     \
        {                                                                                         \
            x_columns, w_columns, __VA_ARGS__                                                     \
        }                                                                                         \
    }
#define PRODUCT(name, lay, m, k, n) PRODUCT_OF(name, lay, m, k, n, HN_F32)
// What comes out is rounded to f16: half of 2^-10 of it, and as much again by the sum's own order.
#define PRODUCT_F16(name, lay, m, k, n)                                                           \
    {                                                                                             \
        name, #m "x" #k " " #k "x" #n, MKN(m, k, n), 2e-3, 0, NULL, { m, k, n }, ROWS | COLS,     \
        {                                                                                         \
            lay, HN_F16, HN_F16                                                                   \
        }                                                                                         \
    }
#define PLAIN false, false
#define DX false, true // times w as it lies, transposed
#define DW true, false // x transposed, times dy
#define EPILOGUE(name, m, k, n, build)                                                            \
    {                                                                                             \
        name, #m "x" #k " " #k "x" #n, MKN(m, k, n), 1e-5, 0, build, { m, k, n }, ROWS | COLS     \
    }
#define ROWWISE(name, rows, cols, tolerance, below, build)                                        \
    {                                                                                             \
        name, #rows "x" #cols, 0, tolerance, below, build, { rows, cols }, ROWS                   \
    }
#define WHOLE(name, rows, cols, tolerance, below, build)                                          \
    {                                                                                             \
        name, #rows "x" #cols, 0, tolerance, below, build, { rows, cols }                         \
    }
// The heads of attention are apart: cut is the third size.
#define HEADS(name, b, t, h, flop, tolerance, build)                                              \
    {                                                                                             \
        name, #b " x " #t ", " #h " heads of 64", flop, tolerance, 0, build, { b, t, h, 64 },     \
            COLS                                                                                  \
    }

// A product with stored weights, beside the same in f32.
#define STORED(name, m, k, n, ...) PRODUCT_OF("matmul " name, false, true, m, k, n, __VA_ARGS__)
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

static const bench_shape models[] = {
    PRODUCT("matmul", PLAIN, 512, 512, 512),
    PRODUCT("matmul", PLAIN, 1024, 1024, 1024),
    PRODUCT("matmul", PLAIN, 2048, 2048, 2048),
    PRODUCT("matmul", PLAIN, 4096, 512, 1536),
    PRODUCT("matmul dx", DX, 4096, 1536, 512),
    PRODUCT("matmul dw", DW, 512, 4096, 1536),
    EPILOGUE("matmul qkv", 1024, 256, 768, matmul_bias),
    EPILOGUE("matmul up, GELU", 1024, 256, 1024, matmul_gelu),
    EPILOGUE("matmul down, add", 1024, 1024, 256, matmul_residual),
    PRODUCT("matmul logits", DX, 1024, 256, 4096),
    PRODUCT("matmul logits dx", PLAIN, 1024, 4096, 256),
    PRODUCT("matmul logits dw", DW, 4096, 1024, 256),
    PRODUCT("matmul one row", PLAIN, 1, 1024, 1024),
    STORED_SOME(1, 576, 1536),
    STORED_ALL(1, 2048, 2048),
    // Of a model of 1 B parameters, at least 32 MiB each.
    STORED("f32", 1, 2048, 8192, HN_F32),
    STORED("f16", 1, 2048, 8192, HN_F16),
    STORED("q8_0", 1, 2048, 16384, HN_Q8_0),
    STORED("q4_1", 1, 2048, 32768, HN_Q4_1),
    STORED("q4_k", 1, 2048, 32768, HN_Q4_K),
    STORED_ALL(64, 2048, 2048),
    STORED_SOME(512, 576, 1536),
    HEADS("attention causal", 4, 256, 4, ATTENTION(256, 16) / 2, 1e-5, attention_causal),
    HEADS("attention causal both ways", 4, 256, 4, 3.5 * ATTENTION(256, 16) / 2, 3e-5,
          attention_causal_grad),
    HEADS("attention", 1, 1024, 8, ATTENTION(1024, 8), 1e-5, attention),
    HEADS("attention causal", 1, 1024, 8, ATTENTION(1024, 8) / 2, 1e-5, attention_causal),
    HEADS("attention both ways", 1, 1024, 8, 3.5 * ATTENTION(1024, 8), 3e-5, attention_grad),
    HEADS("attention causal both ways", 1, 1024, 8, 3.5 * ATTENTION(1024, 8) / 2, 3e-5,
          attention_causal_grad),
    { "attention of one", "1 of 2048, 9 and 3 heads", 4.0 * 9 * 2048 * 64, 1e-5, 0, attention_few,
      { 1, 9, 2048, 3 } },
    { "attention of five", "5 of 1500, 8 heads", 4.0 * 8 * 5 * 1500 * 64, 1e-5, 0, attention_few,
      { 5, 8, 1500, 8 } },
    ROWWISE("softmax", 1024, 4096, 1e-5, 0, softmax),
    ROWWISE("softmax both ways", 1024, 4096, 1e-5, 0, softmax_grad),
    ROWWISE("log_softmax", 1024, 4096, 1e-5, 0, log_softmax),
    ROWWISE("cross_entropy", 1024, 4096, 1e-5, 4096, cross_entropy),
    ROWWISE("cross_entropy both ways", 1024, 4096, 1e-5, 4096, cross_entropy_grad),
    ROWWISE("rms_norm", 1024, 256, 1e-5, 0, rms_norm),
    ROWWISE("rms_norm", 1024, 4096, 1e-5, 0, rms_norm),
    WHOLE("rms_norm both ways", 1024, 256, 1e-5, 0, rms_norm_grad),
    ROWWISE("layer_norm", 1024, 256, 1e-5, 0, layer_norm),
    ROWWISE("layer_norm", 1024, 4096, 1e-5, 0, layer_norm),
    WHOLE("layer_norm both ways", 1024, 256, 1e-5, 0, layer_norm_grad),
    ROWWISE("add", 1024, 1024, 1e-6, 0, add),
    ROWWISE("add", 1024, 4096, 1e-6, 0, add),
    ROWWISE("mul", 1024, 4096, 1e-6, 0, mul),
    ROWWISE("silu, mul", 1024, 4096, 1e-5, 0, silu_mul),
    ROWWISE("gelu", 1024, 1024, 1e-5, 0, pointwise_gelu),
    ROWWISE("gelu", 1024, 4096, 1e-5, 0, pointwise_gelu),
    ROWWISE("gelu both ways", 1024, 1024, 1e-5, 0, gelu_grad),
    ROWWISE("silu", 1024, 4096, 1e-5, 0, pointwise_silu),
    ROWWISE("relu", 1024, 4096, 1e-6, 0, pointwise_relu),
    ROWWISE("tanh", 1024, 4096, 1e-5, 0, pointwise_tanh),
    ROWWISE("exp", 1024, 4096, 1e-5, 0, pointwise_exp),
    ROWWISE("sum of rows", 1024, 1024, 1e-5, 0, sum_rows),
    ROWWISE("sum of rows", 1024, 4096, 1e-5, 0, sum_rows),
    WHOLE("sum of columns", 1024, 1024, 1e-5, 0, sum_columns),
    WHOLE("sum of columns", 1024, 4096, 1e-5, 0, sum_columns),
    { "rope", "4 x 256, 4 heads of 64", 0, 1e-4, 256, rope, { 4, 256, 4, 64 } },
    { "transpose", "4 x 256 x 4 x 64", 0, 1e-12, 0, transpose, { 4, 256, 4, 64 } },
    { "transpose", "1 x 4096 x 1024", 0, 1e-12, 0, transpose, { 1, 4096, 1024, 1 }, INNER },
    { "embedding", "1024 of 4096 x 256", 0, 1e-12, 4096, embedding, { 1024, 4096, 256 }, ROWS },
    { "scatter_add", "1024 to 4096 x 256", 0, 1e-5, 4096, scatter_add, { 1024, 4096, 256 }, COLS },
    { "top_k", "40 of 64x4096", 0, 1e-12, 0, top_k, { 64, 4096, 40 } },
    WHOLE("dropout", 1024, 1024, 1e-5, 1000, dropout),
    WHOLE("normal", 1024, 1024, 1e-5, 1000, normal),
    ROWWISE("adamw", 1024, 1024, 1e-5, 0, adamw),
    { "conv1d", "80 to 384, 3, 3000", MKN(3000, 240, 384), 1e-5, 0, conv1d, { 384 }, ROWS },
    { "conv2d", "8x32x32x32 to 64, 3x3", MKN(8 * 32 * 32, 288, 64), 1e-5, 0, conv2d, { 8 }, ROWS },
    { "conv2d dx", "8x64x32x32 to 32, 3x3", MKN(8 * 32 * 32, 288, 64), 1e-5, 0, conv2d_dx, { 8 },
      ROWS },
    { "conv2d dw", "8x32x32x32 to 64, 3x3", MKN(8 * 32 * 32, 288, 64), 1e-5, 0, conv2d_dw, { 8 } },
    { "max_pool", "8x64x32x32, 2x2", 0, 1e-12, 0, max_pool, { 8 } },
    { "nearest_code", "1024 of 1024 x 256", MKN(1024, 256, 1024), 1e-5, 0, nearest_code,
      { 1024, 1024, 256 }, ROWS },
    { "code_scatter", "1024x512 to 4096", 0, 1e-12, 512, code_scatter, { 1024, 512, 4096 }, ROWS },
    { "code_gather", "1024x4096 to 512", 0, 1e-5, 512, code_gather, { 1024, 512, 4096 }, ROWS },
};

// What a card is measured by: products and attention of a GPT-2 of 124 M parameters and larger,
// matrix-vector products of 64 MiB and more, and rows that no cache holds. n: of square products;
// k: of the vectors; b, t, h: of attention; r: rows.
#define GPU_PRODUCTS(n)                                                                           \
    PRODUCT("matmul f32", PLAIN, n, n, n), PRODUCT("matmul f32 dx", DX, n, n, n),                 \
        PRODUCT("matmul f32 dw", DW, n, n, n), PRODUCT_F16("matmul f16", PLAIN, n, n, n),         \
        PRODUCT_F16("matmul f16 dx", DX, n, n, n), PRODUCT_F16("matmul f16 dw", DW, n, n, n)
#define GPU_VECTORS(k, n_f32, n_f16, n_q8, n_q4)                                                  \
    STORED("f32", 1, k, n_f32, HN_F32), STORED("f16", 1, k, n_f16, HN_F16),                       \
        STORED("q8_0", 1, k, n_q8, HN_Q8_0), STORED("q4_1", 1, k, n_q4, HN_Q4_1)
#define GPU_ATTENTION(b, t, h)                                                                    \
    HEADS("attention causal f32", b, t, h, ATTENTION(t, (b) * (h)) / 2, 1e-5, attention_causal),  \
        HEADS("attention causal f32 both ways", b, t, h, 3.5 * ATTENTION(t, (b) * (h)) / 2, 3e-5, \
              attention_causal_grad),                                                             \
        HEADS("attention causal f16", b, t, h, ATTENTION(t, (b) * (h)) / 2, 2e-3,                 \
              attention_causal_f16),                                                              \
        HEADS("attention causal f16 both ways", b, t, h, 3.5 * ATTENTION(t, (b) * (h)) / 2, 1e-2, \
              attention_causal_f16_grad)
#define GPU_ROWS(r)                                                                               \
    ROWWISE("softmax", r, 4096, 1e-5, 0, softmax),                                                \
        ROWWISE("rms_norm", r, 4096, 1e-5, 0, rms_norm),                                          \
        ROWWISE("layer_norm", r, 4096, 1e-5, 0, layer_norm),                                      \
        ROWWISE("gelu", r, 4096, 1e-5, 0, pointwise_gelu), ROWWISE("add", r, 4096, 1e-6, 0, add)

static const bench_shape gpu[] = { GPU_PRODUCTS(4096),
                                   GPU_VECTORS(4096, 4096, 8192, 16384, 32768),
                                   GPU_ATTENTION(4, 1024, 12), GPU_ROWS(8192) };
static const bench_shape gpu_small[] = { GPU_PRODUCTS(256), GPU_VECTORS(256, 256, 512, 1024, 2048),
                                         GPU_ATTENTION(1, 64, 12), GPU_ROWS(64) };

#define LIST(name, shapes) { name, shapes, sizeof shapes / sizeof *shapes }
static const bench_list lists[] = { LIST("models", models), LIST("gpu", gpu),
                                    LIST("gpu-small", gpu_small) };
enum { N_LISTS = sizeof lists / sizeof *lists };
_Static_assert(sizeof models / sizeof *models <= BENCH_MOST_SHAPES, "tables of this size");

int bench_list_usage(const char *name, const bench_list **out)
{
    const char *names[N_LISTS];
    for (int i = 0; i < N_LISTS; i++) {
        names[i] = lists[i].name;
        if (!strcmp(name ? name : "models", names[i])) {
            *out = &lists[i];
            return -1;
        }
    }
    const int near = app_nearest(name, names, N_LISTS);
    return app_usage("--list %s: there are models, gpu, gpu-small%s%s", name,
                     near < 0 ? "" : "; did you mean ", near < 0 ? "" : names[near]);
}
