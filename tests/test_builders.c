// Builders of views, convolution, pooling, random numbers and optimisers: what they refuse, in
// which words, and what composed ones give.
#include "support/check.h"
#include "support/device.h"
#include "hornito/ops.h"
#include "hornito/plan.h"
#include "ir/ir.h"

#include <stdlib.h>
#include <string.h>

static hn_graph *graph(void)
{
    hn_graph *g;
    CHECK_OK(hn_graph_create(&g));
    return g;
}

static hn_type f32(int rank, int64_t a, int64_t b, int64_t c, int64_t d)
{
    return (hn_type){ HN_F32, rank, { a, b, c, d } };
}

// The graph refused something, with this status and these words.
static void check_refused(hn_graph **g, hn_status want, const char *words)
{
    const hn_status s = hn_graph_status(*g);

    CHECK(s == want, "%s, want %s (%s)", hn_status_name(s), hn_status_name(want), words);
    CHECK(strstr(hn_error_text(), words), "'%s' does not hold '%s'", hn_error_text(), words);
    hn_graph_destroy(g);
}

static void check_views(void **state)
{
    (void)state;
    hn_graph *g = graph();
    hn_transpose(g, hn_input(g, "x", f32(2, 3, 4, 0, 0)), (const int[]){ 0, 0 });
    check_refused(&g, HN_ERR_ARG, "transpose: perm[1] is 0: not a permutation of 2");
    g = graph();
    hn_slice(g, hn_input(g, "x", f32(2, 3, 4, 0, 0)), 1, 2, 3, 1);
    check_refused(&g, HN_ERR_SHAPE, "slice: 3 elements from 2 in steps of 1, the axis has 4");
    g = graph();
    hn_slice(g, hn_input(g, "x", f32(2, 3, 4, 0, 0)), 1, 0, INT64_MAX, INT64_MAX);
    check_refused(&g, HN_ERR_SHAPE, "the axis has 4");
    g = graph();
    hn_concat(g, hn_input(g, "x", f32(2, 3, 4, 0, 0)), hn_input(g, "y", f32(2, 2, 5, 0, 0)), 0);
    check_refused(&g, HN_ERR_SHAPE, "concat: f32[3, 4] and f32[2, 5]");
    g = graph();
    hn_pad(g, hn_input(g, "x", f32(2, 3, 4, 0, 0)), 2, 1, 1, 0);
    check_refused(&g, HN_ERR_ARG, "pad: axis 2 of a tensor of rank 2");
    g = graph();
    hn_pad(g, hn_input(g, "x", f32(2, 3, 4, 0, 0)), 1, -1, 1, 0);
    check_refused(&g, HN_ERR_ARG, "pad: -1 before and 1 after");
}

static void check_convolution(void **state)
{
    (void)state;
    hn_graph *g = graph();
    hn_conv2d(g, hn_input(g, "x", f32(4, 1, 3, 8, 8)), hn_input(g, "w", f32(4, 2, 4, 3, 3)), NULL);
    check_refused(&g, HN_ERR_SHAPE, "conv2d: f32[1, 3, 8, 8] and f32[2, 4, 3, 3] in 1 groups");
    g = graph();
    hn_conv2d(g, hn_input(g, "x", f32(4, 1, 3, 2, 8)), hn_input(g, "w", f32(4, 2, 3, 3, 3)), NULL);
    check_refused(&g, HN_ERR_SHAPE, "the window reaches over 3 places, there are 2");
    g = graph();
    hn_conv2d_transpose(g, hn_input(g, "y", f32(4, 1, 2, 4, 4)),
                        hn_input(g, "w", f32(4, 2, 3, 3, 3)), 8, 8, NULL);
    check_refused(&g, HN_ERR_SHAPE, "y is f32[1, 2, 4, 4], must be f32[1, 2, 6, 6]");
    g = graph();
    hn_conv1d(g, hn_input(g, "x", f32(2, 3, 8, 0, 0)), hn_input(g, "w", f32(3, 2, 3, 3, 0)), NULL);
    check_refused(&g, HN_ERR_SHAPE, "conv1d: f32[3, 8], must have 3 dimensions");
    g = graph();
    hn_max_pool(g, hn_input(g, "x", f32(4, 1, 3, 8, 8)),
                &(hn_pool_params){ .window = { 2, 2 }, .pad_before = { 2, 0 } });
    check_refused(&g, HN_ERR_ARG, "padding 2 and 0, must be smaller than the window of 2");
    g = graph();
    hn_avg_pool(g, hn_input(g, "x", f32(4, 1, 3, 8, 8)), NULL);
    check_refused(&g, HN_ERR_ARG, "no parameters");
}

static void check_the_rest(void **state)
{
    const hn_type key = { HN_I32, 1, { 2 } };
    hn_val index;

    (void)state;
    hn_graph *g = graph();
    hn_dropout(g, hn_input(g, "x", f32(1, 8, 0, 0, 0)), 1, hn_input(g, "key", key), 0);
    check_refused(&g, HN_ERR_ARG, "dropout: p is 1");
    g = graph();
    hn_normal(g, f32(1, 8, 0, 0, 0), hn_input(g, "key", (hn_type){ HN_I32, 1, { 3 } }), 0);
    check_refused(&g, HN_ERR_SHAPE, "the key has 3 elements, must have 2");
    g = graph();
    hn_top_k(g, hn_input(g, "x", f32(2, 4, 7, 0, 0)), 8, &index);
    check_refused(&g, HN_ERR_ARG, "top_k: k is 8, must be 1 to 128 and at most the 7");
    g = graph();
    const hn_val p = hn_input(g, "p", f32(1, 8, 0, 0, 0));
    hn_sgd(g, p, hn_input(g, "g", f32(1, 9, 0, 0, 0)), p, hn_input(g, "h", f32(1, 2, 0, 0, 0)), 0,
           0);
    check_refused(&g, HN_ERR_SHAPE, "operand 2 is f32[9], the parameter f32[8]");
    g = graph();
    hn_adamw(g, p, p, p, p, p, NULL);
    check_refused(&g, HN_ERR_ARG, "adamw: no parameters");
}

static hn_type quantised(hn_dtype t, int64_t rows, int64_t cols)
{
    return (hn_type){ t, 2, { rows, cols } };
}

static void check_quantised(void **state)
{
    (void)state;
    hn_graph *g = graph();
    const hn_matmul_params tb = { .transpose_b = true };
    hn_input(g, "w", quantised(HN_Q4_K, 3, 128));
    check_refused(&g, HN_ERR_SHAPE, "rows of 128 are no whole blocks of q4_k, which has 256");
    g = graph();
    hn_matmul(g, hn_input(g, "x", f32(2, 4, 64, 0, 0)),
              hn_input(g, "w", quantised(HN_Q4_1, 8, 32)), &tb);
    check_refused(&g, HN_ERR_SHAPE,
                  "matmul: f32[4, 64] times q4_1[8, 32] transposed: the product "
                  "runs over 64 and 32");
    g = graph();
    hn_matmul(g, hn_input(g, "x", (hn_type){ HN_F16, 2, { 4, 32 } }),
              hn_input(g, "w", quantised(HN_Q4_1, 8, 32)), &tb);
    check_refused(&g, HN_ERR_SHAPE, "f16[4, 32] times q4_1[8, 32]: a must be f32");
    g = graph();
    hn_matmul(g, hn_input(g, "w", quantised(HN_Q4_1, 8, 32)),
              hn_input(g, "x", f32(2, 4, 32, 0, 0)), &tb);
    check_refused(&g, HN_ERR_SHAPE, "q4_1[8, 32] times f32[4, 32]: a must be f32");
    g = graph();
    hn_add(g, hn_input(g, "x", quantised(HN_Q8_0, 4, 32)), hn_input(g, "y", f32(2, 4, 32, 0, 0)));
    check_refused(&g, HN_ERR_UNSUPPORTED, "add: operand 0 is q8_0[4, 32], must not be quantised");
    g = graph();
    hn_slice(g, hn_input(g, "x", quantised(HN_Q6_K, 4, 256)), 0, 0, 2, 1);
    check_refused(&g, HN_ERR_UNSUPPORTED, "slice: operand 0 is q6_k[4, 256]");
    g = graph();
    hn_cast(g, hn_input(g, "x", f32(2, 4, 32, 0, 0)), HN_Q8_0);
    check_refused(&g, HN_ERR_UNSUPPORTED, "cast: result 0 is q8_0[4, 32], must not be quantised");
}

// The weight of a product: refused by name, and the input's gradient is there.
static void check_quantised_gradient(void **state)
{
    const hn_matmul_params tb = { .transpose_b = true };
    hn_graph *g = graph();
    hn_val d;

    (void)state;
    const hn_val x = hn_input(g, "x", f32(2, 4, 32, 0, 0));
    const hn_val w = hn_param(g, "blk.0.q", quantised(HN_Q5_0, 8, 32), (hn_init){ 0 });
    const hn_val loss = hn_sum_all(g, hn_matmul(g, x, w, &tb));
    CHECK_FAILS(hn_graph_grad(g, loss, &w, 1, &d), HN_ERR_UNSUPPORTED);
    CHECK(strstr(hn_error_text(), "blk.0.q is q5_0[8, 32]: quantised"), "'%s'", hn_error_text());
    CHECK_OK(hn_graph_grad(g, loss, &x, 1, &d));
    hn_type t = hn_val_type(g, d);
    const hn_type want = f32(2, 4, 32, 0, 0);
    CHECK(!memcmp(&t, &want, sizeof t), "the gradient has another type");
    const hn_val rounded = hn_sum_all(g, hn_matmul(g, hn_quantize(g, x), w, &tb));
    hn_val straight;
    CHECK_OK(hn_graph_grad(g, rounded, &x, 1, &straight));
    t = hn_val_type(g, straight);
    CHECK(!memcmp(&t, &want, sizeof t), "the gradient through blocks has another type");
    const hn__node *last = &g->nodes[g->values[straight.id].node];
    CHECK(!strcmp(last->op->name, "matmul"), "it is made by %s", last->op->name);
    hn_graph_destroy(&g);
}

// A causal one-dimensional convolution, by hand: w [1, 1, 2] = { 10, 1 } over { 1, 2, 3, 4 }.
static void check_conv1d(void **state)
{
    const float x[] = { 1, 2, 3, 4 }, w[] = { 10, 1 }, want[] = { 1, 12, 23, 34 };
    float got[4];
    hn_device *d;
    hn_plan *p;

    (void)state;
    hn_graph *g = graph();
    hn_output(g, "y", hn_conv1d(g, hn_const(g, f32(3, 1, 1, 4, 0), x),
                                hn_const(g, f32(3, 1, 1, 2, 0), w),
                                &(hn_conv_params){ .pad_before = { 1 } }));
    CHECK_OK(hn_graph_status(g));
    CHECK_OK(hn_device_open(&(hn_device_params){ .spec = "cpu" }, &d));
    CHECK_OK(hn_plan_create(g, d, NULL, &p));
    CHECK_OK(hn_plan_run(p));
    CHECK_OK(hn_plan_read(p, "y", got, sizeof got));
    for (int i = 0; i < 4; i++)
        CHECK(got[i] == want[i], "y[%d] is %g, want %g", i, (double)got[i], (double)want[i]);
    hn_plan_destroy(&p);
    hn_graph_destroy(&g);
    hn_device_close(&d);
}

// A cache of four rows of two that keeps its memory: rows come in one by one, the last falls
// outside.
static void fill_cache(hn_device *d)
{
    hn_weights *w;
    hn_plan *p;
    hn_graph *g = graph();
    const hn_val cache = hn_state(g, "cache", f32(2, 4, 2, 0, 0), (hn_init){ HN_INIT_ZERO, 0 });
    const hn_val row = hn_input(g, "row", f32(2, 1, 2, 0, 0));
    const hn_val at = hn_input(g, "at", (hn_type){ HN_I32, 1, { 1 } });
    float got[8];

    hn_assign(g, cache, hn_update(g, cache, row, at, 0));
    CHECK_OK(hn_weights_create(d, &w));
    CHECK_OK(hn_weights_add(w, g, 1));
    CHECK_OK(hn_plan_create(g, d, &(hn_plan_params){ .weights = w }, &p));
    CHECK(hn_plan_get_info(p).n_steps == 1, "%d steps: the cache is copied",
          hn_plan_get_info(p).n_steps);
    for (int32_t i = 0; i < 5; i++) {
        const float v[] = { (float)i + 1, (float)i - 1 };
        CHECK_OK(hn_plan_write(p, "row", v, sizeof v));
        CHECK_OK(hn_plan_write(p, "at", &i, sizeof i));
        CHECK_OK(hn_plan_run(p));
    }
    CHECK_OK(hn_weights_read(w, "cache", got, sizeof got));
    for (int i = 0; i < 8; i++)
        CHECK(got[i] == (float)(i / 2) + (i % 2 ? -1 : 1), "%s: cache[%d] is %g", d->info.spec, i,
              (double)got[i]);
    hn_plan_destroy(&p);
    hn_weights_destroy(&w);
    hn_graph_destroy(&g);
}

static void check_cache(void **state)
{
    const hn_device_params row = test_device_params();

    (void)state;
    for (int k = 0; k < 2; k++) {
        const hn_device_params host = { .spec = k ? "ref" : "cpu" };
        hn_device *d = test_device_open(getenv("HN_TEST_DEVICE") ? &row : &host);
        fill_cache(d);
        test_device_close(&d);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(check_views), cmocka_unit_test(check_convolution),
        cmocka_unit_test(check_the_rest), cmocka_unit_test(check_conv1d),
        cmocka_unit_test(check_cache),       cmocka_unit_test(check_quantised),
        cmocka_unit_test(check_quantised_gradient),
    };
    const struct CMUnitTest device[] = { cmocka_unit_test(check_cache) };

    return getenv("HN_TEST_DEVICE") ? cmocka_run_group_tests(device, NULL, NULL)
                                    : cmocka_run_group_tests(tests, NULL, NULL);
}
