// Products take in the bias, activation and residual or factor that follow them, where nothing else reads
// what is in between; results stay what they were.
#include "support/check.h"
#include "support/device.h"

#include "hornito/ops.h"
#include "plan/build.h"

#include <stdlib.h>
#include <string.h>

enum { M = 24, K = 16, N = 20 };

static hn_device *dev;

typedef struct parts {
    hn_val x, w, bias, r, y; // y: the bare product
} parts;

static hn_val f32(hn_graph *g, const char *name, int64_t rows, int64_t cols)
{
    return hn_input(g, name, rows ? (hn_type){ HN_F32, 2, { rows, cols } }
                                  : (hn_type){ HN_F32, 1, { cols } });
}

static parts begin(hn_graph *g)
{
    parts p = { f32(g, "x", M, K), f32(g, "w", K, N), f32(g, "bias", 0, N), f32(g, "r", M, N),
                { 0 } };
    p.y = hn_matmul(g, p.x, p.w, NULL);
    return p;
}

static void all(hn_graph *g)
{
    const parts p = begin(g);
    hn_output(g, "y", hn_add(g, p.r, hn_gelu(g, hn_add(g, p.y, p.bias))));
}

static void bias_alone(hn_graph *g)
{
    const parts p = begin(g);
    hn_output(g, "y", hn_add(g, p.bias, p.y));
}

static void act_alone(hn_graph *g)
{
    const parts p = begin(g);
    hn_output(g, "y", hn_silu(g, p.y));
}

// What is added after the residual is no bias any more, and comes too late.
static void bias_late(hn_graph *g)
{
    const parts p = begin(g);
    hn_output(g, "y", hn_add(g, hn_add(g, p.y, p.r), p.bias));
}

static void act_twice(hn_graph *g)
{
    const parts p = begin(g);
    hn_output(g, "y", hn_silu(g, hn_relu(g, p.y)));
}

static void read_twice(hn_graph *g)
{
    const parts p = begin(g);
    hn_output(g, "y", hn_mul(g, hn_gelu(g, p.y), p.y));
}

static void an_output(hn_graph *g)
{
    const parts p = begin(g);
    hn_output(g, "bare", p.y);
    hn_output(g, "y", hn_gelu(g, p.y));
}

static void itself(hn_graph *g)
{
    const parts p = begin(g);
    hn_output(g, "y", hn_add(g, p.y, p.y));
}

// One of two products takes in the sum with the other.
static void two_products(hn_graph *g)
{
    const parts p = begin(g);
    const hn_val z = hn_matmul(g, p.x, f32(g, "v", K, N), NULL);
    hn_output(g, "y", hn_relu(g, hn_add(g, p.y, z)));
}

// The sum is wider than the product: stretching is not the product's work.
static void stretched(hn_graph *g)
{
    const parts p = begin(g);
    const hn_val wide = hn_input(g, "wide", (hn_type){ HN_F32, 3, { 2, M, N } });
    hn_output(g, "y", hn_add(g, wide, p.y));
}

static void factor(hn_graph *g)
{
    const parts p = begin(g);
    hn_output(g, "y", hn_mul(g, p.r, hn_silu(g, hn_add(g, p.y, p.bias))));
}

// A gate: the second product takes in the factor, which the first one made.
static void gate(hn_graph *g)
{
    const parts p = begin(g);
    const hn_val z = hn_matmul(g, p.x, f32(g, "v", K, N), NULL);
    hn_output(g, "y", hn_mul(g, hn_silu(g, p.y), z));
}

// A factor comes instead of a residual, and is as large as the result.
static void factor_late(hn_graph *g)
{
    const parts p = begin(g);
    hn_output(g, "y", hn_mul(g, hn_add(g, p.y, p.r), p.r));
}

static void factor_of_columns(hn_graph *g)
{
    const parts p = begin(g);
    hn_output(g, "y", hn_mul(g, p.y, p.bias));
}

// Two products of a norm of few rows.
static hn_val normed(hn_graph *g)
{
    const hn_val x = f32(g, "x", 2, K), norm = hn_rms_norm(g, x, f32(g, "norm", 0, K), 1e-5f);
    const hn_val y = hn_matmul(g, norm, f32(g, "w", K, N), NULL);
    hn_output(g, "y", y);
    hn_output(g, "z", hn_silu(g, hn_matmul(g, norm, f32(g, "v", K, N), NULL)));
    return norm;
}

static void norm(hn_graph *g)
{
    normed(g);
}

static void norm_is_read(hn_graph *g)
{
    hn_output(g, "norm", normed(g));
}

static void norm_of_many_rows(hn_graph *g)
{
    const parts p = begin(g);
    const hn_val many = hn_rms_norm(g, p.x, f32(g, "norm", 0, K), 1e-5f);
    hn_output(g, "y", hn_matmul(g, many, p.w, NULL));
}

static const struct {
    const char *name;
    void (*build)(hn_graph *g);
    int n_steps, n_steps_gpu; // the second on a Vulkan device that poses as a GPU; 0: no other
} cases[] = {
    { "bias, activation, residual", all, 1 }, { "bias", bias_alone, 1 },
    { "activation", act_alone, 1 },           { "bias after the residual", bias_late, 2 },
    { "two activations", act_twice, 2 },      { "read twice", read_twice, 2 },
    { "an output", an_output, 2 },            { "added to itself", itself, 2 },
    { "two products", two_products, 3 },      { "stretched", stretched, 2 },
    { "factor", factor, 1 },                  { "gate", gate, 2 },
    { "factor after the residual", factor_late, 2 },
    { "factor of columns", factor_of_columns, 2 },
    { "norm", norm, 3, 2 },                   { "norm that is read", norm_is_read, 3 },
    { "norm of many rows", norm_of_many_rows, 2 },
};

static hn_plan *run(const hn_graph *g, bool no_fuse, float *out, int64_t n)
{
    const hn_plan_params params = { .no_fuse = no_fuse };
    hn_plan *p;
    float buf[2 * M * N];

    CHECK_OK(hn_plan_create(g, dev, &params, &p));
    for (int64_t i = 0; i < g->n_nodes; i++) {
        const hn__node *node = &g->nodes[i];
        const hn_type *t = &g->values[node->out].type;
        if (!node->name)
            continue;
        for (int64_t k = 0; k < hn__numel(t); k++)
            buf[k] = (float)((k * 37 + i * 11) % 101) / 50 - 1;
        CHECK_OK(hn_plan_write(p, node->name, buf, hn_type_bytes(t)));
    }
    CHECK_OK(hn_plan_run(p));
    CHECK_OK(hn_plan_read(p, "y", out, n * (int64_t)sizeof *out));
    return p;
}

static void check_case(void **state)
{
    const int i = *(const int *)*state;
    float got[2 * M * N], want[2 * M * N];
    hn_graph *g;
    int n_steps = cases[i].n_steps;

    if (dev->info.kind == HN_DEVICE_VULKAN && cases[i].n_steps_gpu) {
        test_device_close(&dev);
        dev = test_device_open_posing();
        n_steps = cases[i].n_steps_gpu;
    }
    CHECK_OK(hn_graph_create(&g));
    cases[i].build(g);
    CHECK_OK(hn_graph_status(g));
    int64_t n = 0;
    for (int64_t k = 0; k < g->n_outputs; k++)
        if (!strcmp(g->outputs[k].name, "y"))
            n = hn__numel(&g->values[g->outputs[k].val].type);
    hn_plan *fused = run(g, false, got, n), *plain = run(g, true, want, n);
    for (int64_t k = 0; k < n; k++)
        CHECK(fabsf(got[k] - want[k]) <= 1e-5f * (1 + fabsf(want[k])), "%s: [%d] is %g, want %g",
              cases[i].name, (int)k, (double)got[k], (double)want[k]);
    // On ref no pointwise operators are grouped.
    CHECK(dev->info.kind == HN_DEVICE_REF || hn_plan_get_info(fused).n_steps == n_steps,
          "%s: %d steps, not %d", cases[i].name, hn_plan_get_info(fused).n_steps, n_steps);
    hn_plan_destroy(&fused);
    hn_plan_destroy(&plain);
    hn_graph_destroy(&g);
}

static void open_device(void **state)
{
    (void)state;
    const hn_device_params p = test_device_params();
    dev = test_device_open(&p);
}

static void close_device(void **state)
{
    (void)state;
    test_device_close(&dev);
}

int main(void)
{
    enum { N_CASES = sizeof cases / sizeof *cases };
    static int index[N_CASES];
    struct CMUnitTest tests[N_CASES + 2];

    tests[0] = (struct CMUnitTest){ "device", open_device, NULL, NULL, NULL };
    for (int i = 0; i < N_CASES; i++) {
        index[i] = i;
        tests[i + 1] = (struct CMUnitTest){ cases[i].name, check_case, NULL, NULL, &index[i] };
    }
    tests[N_CASES + 1] = (struct CMUnitTest){ "close", close_device, NULL, NULL, NULL };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
