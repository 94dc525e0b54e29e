// Bugs planted on purpose: the tests of operators must catch each. An operator is copied, one of
// its functions replaced by a wrong one, and the draws that test_ops makes are made with it. The
// sound operator passes the same draws first, so that what fails is the bug.
#include "support/case.h"
#include "support/check.h"
#include "support/device.h"
#include "ops/table.h"

#include "test_shaders/planted_adamw.h"
#include "test_shaders/planted_copy.h"
#include "test_shaders/planted_rms_norm.h"
#include "test_shaders/planted_store.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { DRAWS = 40 };

static const hn__op_fns *real; // of the operator that has the bug now

// ---- wrong host kernels --------------------------------------------------------------------

static void skip_last_column(const hn__inst *n, const hn__host *h)
{
    const int64_t cols = hn__cols(&n->out[0]);
    float *y = h->out[0];

    real->host(n, h);
    for (int64_t r = 0; r < hn__rows(&n->out[0]); r++)
        y[r * cols + cols - 1] = 0;
}

static void forget_eps(const hn__inst *n, const hn__host *h)
{
    float eps = 0;
    hn__inst wrong = *n;

    wrong.attr = &eps; // rms_norm's attribute is eps alone
    real->host(&wrong, h);
}

static void write_past_end(const hn__inst *n, const hn__host *h)
{
    real->host(n, h);
    ((float *)h->out[0])[hn__numel(&n->out[0])] = 0;
}

static void differ_each_time(const hn__inst *n, const hn__host *h)
{
    static int calls;
    real->host(n, h);
    ((float *)h->out[0])[0] *= calls++ % 2 ? 1 : 1.0000002f; // far inside the tolerance
}

// Fine, as long as the outputs are not the inputs.
static void clear_first(const hn__inst *n, const hn__host *h)
{
    memset(h->out[0], 0, (size_t)hn_type_bytes(&n->out[0]));
    real->host(n, h);
}

// The elements of q4_1's first block in the wrong order.
static void swap_nibbles(const hn__inst *n, const hn__host *h)
{
    hn__host wrong = *h;
    uint8_t *b = malloc((size_t)hn_type_bytes(&n->in[1]));

    memcpy(b, h->in[1], (size_t)hn_type_bytes(&n->in[1]));
    for (int i = 4; i < 20; i++)
        b[i] = (uint8_t)(b[i] << 4 | b[i] >> 4);
    wrong.in[1] = b;
    real->host(n, &wrong);
    free(b);
}

// Halves to even, where they go away from 0: a step of one element.
static void round_to_even(const hn__inst *n, const hn__host *h)
{
    const float *x = h->in[0];
    int8_t *y = h->out[0];

    real->host(n, h);
    for (int64_t i = 0; i < hn__numel(&n->in[0]); i++) {
        float most = 0;
        for (int64_t k = i / 32 * 32; k < i / 32 * 32 + 32; k++)
            most = fabsf(x[k]) > most ? fabsf(x[k]) : most;
        const float v = x[i] * (1 / (most / 127));
        if (most > 0)
            y[i / 32 * 34 + 2 + i % 32] = (int8_t)rintf(v);
    }
}

static void swap_operands(const hn__pw *p, int64_t n, void *y, const void *const x[])
{
    const void *const wrong[] = { x[1], x[0] };
    real->tile(p, n, y, wrong);
}

// ---- wrong gradients -----------------------------------------------------------------------

static void grow_slightly(hn_graph *g, const hn__inst *n, const hn_val in[], const hn_val out[],
                          const hn_val dy[], hn_val din[])
{
    real->grad(g, n, in, out, dy, din);
    din[0] = hn_mul_scalar(g, din[0], 1.00001f);
}

static void drop_last_operand(hn_graph *g, const hn__inst *n, const hn_val in[],
                              const hn_val out[], const hn_val dy[], hn_val din[])
{
    real->grad(g, n, in, out, dy, din);
    din[n->n_in - 1] = (hn_val){ 0 };
}

// rms_norm as if the mean did not depend on x.
static void drop_term(hn_graph *g, const hn__inst *n, const hn_val in[], const hn_val out[],
                      const hn_val dy[], hn_val din[])
{
    real->grad(g, n, in, out, dy, din);
    const hn_val ms = hn_mean(g, hn_mul(g, in[0], in[0]), -1);
    din[0] = hn_mul(g, hn_mul(g, in[1], dy[0]), hn_rsqrt(g, hn_add_scalar(g, ms, 1e-5f)));
}

// ---- wrong dispatches ----------------------------------------------------------------------

static void one_group_short(const hn__inst *n, hn__launch *l)
{
    real->launch(n, l);
    if (l->d[0].n_groups > 1)
        l->d[0].n_groups--;
}

static void swap_bindings(const hn__inst *n, hn__launch *l)
{
    real->launch(n, l);
    const uint8_t first = l->d[0].bind[1];
    l->d[0].bind[1] = l->d[0].bind[2];
    l->d[0].bind[2] = first;
}

static void wrong_size(const hn__inst *n, hn__launch *l)
{
    real->launch(n, l);
    struct softmax_push p;
    memcpy(&p, l->d[0].push, sizeof p);
    p.cols -= p.cols > 1;
    hn__push(&l->d[0], &p, sizeof p);
}

static void wrong_build(const hn__inst *n, hn__launch *l)
{
    real->launch(n, l);
    l->d[0].weights = HN_Q5_0;
}

// ---- the bugs ------------------------------------------------------------------------------

typedef enum stage { HOST, PLAN, GRADIENT, KERNEL } stage;

#define SHADER(stem) &(const hn__shader){ #stem, test_spv_##stem, sizeof test_spv_##stem / 4 }

static const struct {
    const char *name, *op;
    stage stage;
    hn_dtype type;
    hn__op_fns wrong; // what is not NULL replaces the operator's
    const hn__shader *shader;
} bugs[] = {
    { "host: the last column skipped", "rms_norm", HOST, HN_F32, { .host = skip_last_column } },
    { "host: eps dropped", "rms_norm", HOST, HN_F32, { .host = forget_eps } },
    { "host: a write past the end", "conv2d", HOST, HN_F32, { .host = write_past_end } },
    { "host: clears what it works on", "sgd", HOST, HN_F32, { .host = clear_first } },
    { "host: other bits each time", "layer_norm", PLAN, HN_F32, { .host = differ_each_time } },
    { "host: operands swapped", "sub", PLAN, HN_F32, { .tile = swap_operands } },
    { "host: nibbles in the wrong order", "matmul", HOST, HN_Q4_1, { .host = swap_nibbles } },
    { "host: halves to even", "quantize", HOST, HN_Q8_0, { .host = round_to_even } },
    { "gradient: off by 1e-5", "conv2d", GRADIENT, HN_F32, { .grad = grow_slightly } },
    { "gradient: an operand forgotten",
      "layer_norm",
      GRADIENT,
      HN_F32,
      { .grad = drop_last_operand } },
    { "gradient: a term dropped", "rms_norm", GRADIENT, HN_F32, { .grad = drop_term } },
    { "dispatch: a workgroup short", "conv2d", KERNEL, HN_F32, { .launch = one_group_short } },
    { "dispatch: bindings swapped", "sgd", KERNEL, HN_F32, { .launch = swap_bindings } },
    { "dispatch: weights of another type", "matmul", KERNEL, HN_Q5_1, { .launch = wrong_build } },
    { "dispatch: a column short", "softmax", KERNEL, HN_F16, { .launch = wrong_size } },
    { "shader: the last column skipped",
      "rms_norm",
      KERNEL,
      HN_F32,
      { 0 },
      SHADER(planted_rms_norm) },
    { "shader: a write past the end", "transpose", KERNEL, HN_F32, { 0 }, SHADER(planted_copy) },
    { "shader: the neighbour overwritten",
      "dropout",
      KERNEL,
      HN_F16,
      { 0 },
      SHADER(planted_store) },
    { "shader: no bias correction", "adamw", KERNEL, HN_F32, { 0 }, SHADER(planted_adamw) },
};
enum { N_BUGS = sizeof bugs / sizeof *bugs };

static hn__op with_bug(const hn__op *op, const hn__op_fns *wrong, hn__op_fns *fns)
{
    hn__op copy = *op;

    real = op->fn;
    *fns = *op->fn;
    fns->host = wrong->host ? wrong->host : fns->host;
    fns->tile = wrong->tile ? wrong->tile : fns->tile;
    fns->grad = wrong->grad ? wrong->grad : fns->grad;
    fns->launch = wrong->launch ? wrong->launch : fns->launch;
    copy.fn = fns;
    return copy;
}

// What test_ops does with one draw at this stage. HN_OK where it finds nothing.
static hn_status look(const hn__op *op, int bug, uint64_t seed, hn_device *dev,
                      const hn__shader *shader)
{
    hn__case *c;

    HN_TRY(hn__case_draw(op, bugs[bug].type, seed, &c));
    hn__case_run_ref(c);
    // A planted shader is one build, for one type.
    const bool other = shader && c->s.inst.in[0].dtype != bugs[bug].type;
    hn_status s = HN_OK;
    if (bugs[bug].stage == GRADIENT)
        s = hn__case_check_grad(c);
    else if (bugs[bug].stage == HOST)
        s = hn__case_run_host(c, dev);
    else if (bugs[bug].stage == PLAN)
        s = hn__case_run(c, dev);
    else if (!other)
        s = hn__case_run_kernels(c, dev, shader);
    if (s == HN_OK && bugs[bug].stage != GRADIENT && !other)
        s = hn__case_compare(c);
    hn__case_destroy(&c);
    return s;
}

static void check_bug(int bug, hn_device *dev)
{
    const hn__op *op = hn__op_find(bugs[bug].op);
    hn__op_fns fns;
    int n_caught = 0;
    char first[160] = "";

    CHECK(op, "no operator %s", bugs[bug].op);
    for (uint64_t seed = 1; seed <= DRAWS; seed++)
        CHECK(look(op, bug, seed, dev, NULL) == HN_OK, "%s without the bug, seed %" PRIu64 ": %s",
              op->name, seed, hn_error_text());
    const hn__op wrong = with_bug(op, &bugs[bug].wrong, &fns);
    for (uint64_t seed = 1; seed <= DRAWS; seed++)
        if (look(&wrong, bug, seed, dev, bugs[bug].shader) && !n_caught++)
            snprintf(first, sizeof first, "%.150s", hn_error_text());
    printf("%-34s %-10s caught by %2d of %d draws: %s\n", bugs[bug].name, op->name, n_caught,
           DRAWS, first);
    CHECK(n_caught, "%s of %s was not caught by seeds 1 to %d", bugs[bug].name, op->name, DRAWS);
}

static void check_stage(hn_device *dev, bool kernels)
{
    for (int i = 0; i < N_BUGS; i++)
        if ((bugs[i].stage == KERNEL) == kernels)
            check_bug(i, dev);
    hn_device_close(&dev);
}

static void check_host(void **state)
{
    (void)state;
    check_stage(test_device_open(&(hn_device_params){ .spec = "cpu" }), false);
}

static void check_device(void **state)
{
    (void)state;
    hn_device_params p = test_device_params();
    p.validation = false; // wrong shaders need not be legal
    check_stage(test_device_open(&p), true);
}

int main(void)
{
    const struct CMUnitTest host[] = { cmocka_unit_test(check_host) };
    const struct CMUnitTest device[] = { cmocka_unit_test(check_device) };

    return getenv("HN_TEST_DEVICE") ? cmocka_run_group_tests(device, NULL, NULL)
                                    : cmocka_run_group_tests(host, NULL, NULL);
}
