// Plans: fusion changes no result, assignments see the values before the run, predicted bytes are
// the allocated ones, placement is near its bound and never overlaps, two runs give equal bits.
#include "support/check.h"
#include "support/device.h"

#include "hornito/ops.h"
#include "plan/build.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static hn_device *dev;

static hn_type f32(int rank, const int64_t *dim)
{
    hn_type t = { .dtype = HN_F32, .rank = rank };
    memcpy(t.dim, dim, sizeof *dim * (size_t)rank);
    return t;
}
#define F32(...)                                                                                  \
    f32((int)(sizeof((int64_t[]){ __VA_ARGS__ }) / sizeof(int64_t)), (int64_t[]){ __VA_ARGS__ })

static const hn_init ones = { HN_INIT_CONST, 1 }, normal = { HN_INIT_NORMAL, 0.5f };

// A small network with everything a plan treats apart: chains, stretched operands, reductions,
// views, constants, a value used twice, an assignment in place and one that cannot be.
static hn_graph *network(void)
{
    hn_graph *g;
    CHECK_OK(hn_graph_create(&g));
    const hn_val x = hn_input(g, "x", F32(12, 20)), w = hn_param(g, "w", F32(20, 8), normal);
    const hn_val scale = hn_param(g, "scale", F32(20), ones),
                 mean = hn_state(g, "mean", F32(8), normal);
    const hn_val y = hn_matmul(g, hn_rms_norm(g, x, scale, 1e-5f), w, NULL);
    const hn_val z = hn_gelu(g, hn_sub(g, y, mean));
    const hn_val loss = hn_mean_all(g, hn_mul(g, z, hn_reshape(g, z, 2, (int64_t[]){ 12, 8 })));
    hn_val d[2];
    CHECK_OK(hn_graph_grad(g, loss, (hn_val[]){ w, scale }, 2, d));
    hn_assign(g, w, hn_sub(g, w, hn_mul_scalar(g, d[0], 0.1f)));
    hn_assign(g, scale, hn_sub(g, scale, hn_mul_scalar(g, d[1], 0.1f)));
    hn_assign(g, mean, hn_reshape(g, hn_mean(g, y, 0), 1, (int64_t[]){ 8 }));
    hn_output(g, "loss", loss);
    hn_output(g, "z", z);
    hn_output(g, "same x", x);
    CHECK_OK(hn_graph_status(g));
    return g;
}

typedef struct result {
    float loss, z[96], x[240], w[160], scale[20], mean[8];
} result;

static hn_status run_network(const hn_graph *g, hn_device *d, hn_plan_params p, int steps,
                             result *r)
{
    hn_plan *plan = NULL;
    float x[240];
    for (int i = 0; i < 240; i++)
        x[i] = (float)((i * 37) % 101) / 50 - 1;
    hn_status s = hn_weights_create(d, &p.weights);
    if (s == HN_OK)
        s = hn_weights_add(p.weights, g, 7);
    if (s == HN_OK)
        s = hn_plan_create(g, d, &p, &plan);
    if (s == HN_OK)
        s = hn_plan_write(plan, "x", x, sizeof x);
    for (int i = 0; s == HN_OK && i < steps; i++)
        s = hn_plan_run(plan);
    const struct {
        const char *name;
        void *to;
        int64_t n;
        bool weight;
    } reads[] = { { "loss", &r->loss, 4, false },
                  { "z", r->z, sizeof r->z, false },
                  { "same x", r->x, sizeof r->x, false },
                  { "w", r->w, sizeof r->w, true },
                  { "scale", r->scale, sizeof r->scale, true },
                  { "mean", r->mean, sizeof r->mean, true } };
    for (size_t i = 0; s == HN_OK && i < sizeof reads / sizeof *reads; i++)
        s = reads[i].weight ? hn_weights_read(p.weights, reads[i].name, reads[i].to, reads[i].n)
                            : hn_plan_read(plan, reads[i].name, reads[i].to, reads[i].n);
    hn_plan_destroy(&plan);
    hn_weights_destroy(&p.weights);
    return s;
}

static void check_close(const result *a, const result *b, double tol, const char *what)
{
    const float *x = (const float *)a, *y = (const float *)b;
    for (size_t i = 0; i < sizeof *a / sizeof *x; i++)
        CHECK(fabs((double)x[i] - (double)y[i]) <= tol * (1 + fabs((double)y[i])),
              "%s: number %zu is %g, want %g", what, i, (double)x[i], (double)y[i]);
}

// Every way of planning gives what the references give.
static void check_ways_agree(void **state)
{
    (void)state;
    hn_graph *g = network();
    hn_device *ref;
    result want = { 0 }, got = { 0 };
    CHECK_OK(hn_device_open(&(hn_device_params){ .spec = "ref" }, &ref));
    CHECK_OK(run_network(g, ref, (hn_plan_params){ 0 }, 3, &want));
    hn_device_close(&ref);
    CHECK_OK(run_network(g, dev, (hn_plan_params){ 0 }, 3, &got));
    check_close(&got, &want, 1e-5, "fused");
    CHECK_OK(run_network(g, dev, (hn_plan_params){ .no_fuse = true }, 3, &got));
    check_close(&got, &want, 1e-5, "one dispatch an operator");
    CHECK_OK(run_network(g, dev, (hn_plan_params){ .no_replay = true }, 3, &got));
    check_close(&got, &want, 1e-5, "recorded anew");
    hn_graph_destroy(&g);
}

static void check_equal_bits(void **state)
{
    (void)state;
    hn_graph *g = network();
    result a = { 0 }, b = { 0 };
    CHECK_OK(run_network(g, dev, (hn_plan_params){ 0 }, 5, &a));
    CHECK_OK(run_network(g, dev, (hn_plan_params){ 0 }, 5, &b));
    CHECK(!memcmp(&a, &b, sizeof a), "two runs of one plan differ");
    hn_graph_destroy(&g);
}

// Two states that swap, one that is read after its new value is made, one given to two others.
static void check_assign(void **state)
{
    (void)state;
    hn_graph *g;
    CHECK_OK(hn_graph_create(&g));
    const hn_val a = hn_state(g, "a", F32(3), (hn_init){ HN_INIT_CONST, 1 });
    const hn_val b = hn_state(g, "b", F32(3), (hn_init){ HN_INIT_CONST, 2 });
    const hn_val c = hn_state(g, "c", F32(3), (hn_init){ HN_INIT_CONST, 3 });
    const hn_val d = hn_state(g, "d", F32(3), (hn_init){ HN_INIT_CONST, 4 });
    const hn_val e = hn_state(g, "e", F32(3), (hn_init){ HN_INIT_CONST, 5 });
    const hn_val sum = hn_add(g, c, d);
    hn_assign(g, a, b);
    hn_assign(g, b, a);
    hn_assign(g, c, sum);
    hn_assign(g, d, sum);
    hn_assign(g, e,
              hn_matmul(g, hn_reshape(g, c, 2, (int64_t[]){ 3, 1 }),
                        hn_const(g, F32(1, 1), &(float){ 2 }), NULL)
                      .id
                  ? hn_mul(g, c, c)
                  : c);
    hn_output(g, "old c", c);
    hn_plan_params p = { 0 };
    hn_plan *plan;
    CHECK_OK(hn_weights_create(dev, &p.weights));
    CHECK_OK(hn_weights_add(p.weights, g, 0));
    CHECK_OK(hn_plan_create(g, dev, &p, &plan));
    const float want[2][6] = { { 2, 1, 7, 7, 9, 3 }, { 1, 2, 14, 14, 49, 7 } };
    for (int step = 0; step < 2; step++) {
        static const char *const names[] = { "a", "b", "c", "d", "e" };
        float v[3];
        CHECK_OK(hn_plan_run(plan));
        for (int i = 0; i < 5; i++) {
            CHECK_OK(hn_weights_read(p.weights, names[i], v, sizeof v));
            CHECK(v[0] == want[step][i] && v[2] == v[0], "step %d: %s is %g, want %g", step,
                  names[i], (double)v[0], (double)want[step][i]);
        }
        CHECK_OK(hn_plan_read(plan, "old c", v, sizeof v));
        CHECK(v[1] == want[step][5], "step %d: old c is %g", step, (double)v[1]);
    }
    hn_plan_destroy(&plan);
    hn_weights_destroy(&p.weights);
    hn_graph_destroy(&g);
}

static void check_bytes(void **state)
{
    (void)state;
    hn_graph *g = network();
    hn_plan_params p = { 0 };
    hn_plan_info predicted;
    hn_plan *plan;
    CHECK_OK(hn_plan_predict(g, dev, NULL, &predicted));
    CHECK_OK(hn_weights_create(dev, &p.weights));
    CHECK_OK(hn_weights_add(p.weights, g, 0));
    const int64_t before = hn_device_bytes(dev);
    CHECK_OK(hn_plan_create(g, dev, &p, &plan));
    const int64_t taken = hn_device_bytes(dev) - before;
    CHECK(taken == predicted.block_bytes + predicted.io_bytes, "%lld bytes taken, %lld predicted",
          (long long)taken, (long long)(predicted.block_bytes + predicted.io_bytes));
    CHECK(predicted.weight_bytes == 4 * (160 + 20 + 8), "%lld bytes of weights",
          (long long)predicted.weight_bytes);
    CHECK((double)predicted.block_bytes <= 1.15 * (double)predicted.live_bytes,
          "block %lld, bound %lld", (long long)predicted.block_bytes,
          (long long)predicted.live_bytes);
    hn_plan_destroy(&plan);
    hn_weights_destroy(&p.weights);
    CHECK(hn_device_bytes(dev) == before - predicted.weight_bytes, "bytes are left after destroy");
    hn_graph_destroy(&g);
}

// Random lifetimes: no two values that live together overlap, and the block is near its bound.
static void check_overlap_never(void **state)
{
    (void)state;
    double worst = 0;
    for (uint64_t seed = 0; seed < 60; seed++) {
        hn_rng rng = hn__rng(seed, 1);
        hn_plan p = { .n_steps = 1 + hn__rng_below(&rng, 120) };
        p.n_slots = 1 + hn__rng_below(&rng, 2 * p.n_steps);
        p.slots = calloc((size_t)p.n_slots, sizeof *p.slots);
        for (int64_t i = 0; i < p.n_slots; i++) {
            const int64_t first = hn__rng_below(&rng, p.n_steps),
                          length = hn__rng_dim(&rng, p.n_steps);
            const int64_t last = first + length < p.n_steps ? first + length : p.n_steps - 1;
            p.slots[i] = (hn__slot){ HN__BLOCK, 0,          1 + hn__rng_dim(&rng, 1 << 20),
                                     NULL,      (int)first, (int)last };
        }
        CHECK_OK(hn__place(&p));
        for (int64_t i = 0; i < p.n_slots; i++)
            for (int64_t j = 0; j < i; j++) {
                const hn__slot *a = &p.slots[i], *b = &p.slots[j];
                const bool meet = a->first <= b->last && b->first <= a->last;
                const bool share =
                    a->offset < b->offset + b->bytes && b->offset < a->offset + a->bytes;
                CHECK(!(meet && share), "seed %llu: slots %d and %d overlap",
                      (unsigned long long)seed, (int)i, (int)j);
            }
        const double ratio = (double)p.info.block_bytes / (double)p.info.live_bytes;
        worst = ratio > worst ? ratio : worst;
        free(p.slots);
    }
    print_message("placement of random lifetimes: at most %.3f of the bound\n", worst);
    CHECK(worst <= 1.15, "a block of %.3f times its bound", worst);
}

// ---- results in the place of operands ------------------------------------------------------

enum { SIDE = 13, VALUES = 24 };

static hn_val draw_node(hn_rng *rng, hn_graph *g, const hn_val v[], int n, hn_val key)
{
    // The newest values most often, so that others die.
    const hn_val a = v[n - 1 - hn__rng_below(rng, n < 3 ? n : 3)];
    const hn_val b = v[n - 1 - hn__rng_below(rng, n < 5 ? n : 5)];
    switch (hn__rng_below(rng, 8)) {
    case 0:
        return hn_transpose(g, a, (int[]){ 1, 0 });
    case 1:
        return hn_mul(g, hn_tanh(g, a), b);
    case 2:
        return hn_dropout(g, a, 0.25f, key, (uint32_t)n);
    case 3:
        return hn_softmax(g, a);
    case 4:
        return hn_add(g, a, hn_mean(g, b, 1)); // an operand that is stretched
    case 5:
        return hn_add(g, a, hn_reduce_max(g, hn_sub(g, a, b), 0));
    case 6:
        return hn_sub(g, a, hn_sigmoid(g, b));
    default:
        return hn_matmul(g, a, b, &(hn_matmul_params){ .scale = 0.2f });
    }
}

static hn_graph *draw_graph(uint64_t seed)
{
    hn_rng rng = hn__rng(seed, 77);
    hn_graph *g;
    hn_val v[VALUES];
    CHECK_OK(hn_graph_create(&g));
    const hn_val key = hn_input(g, "key", (hn_type){ HN_I32, 1, { 2 } });
    v[0] = hn_input(g, "x", F32(SIDE, SIDE));
    for (int n = 1; n < VALUES; n++)
        v[n] = draw_node(&rng, g, v, n, key);
    hn_output(g, "last", v[VALUES - 1]);
    hn_output(g, "middle", v[VALUES / 2]);
    CHECK_OK(hn_graph_status(g));
    return g;
}

// What the two outputs are; returns how many values lie in the place of others.
static int run_drawn(const hn_graph *g, hn_device *d, float out[2 * SIDE * SIDE])
{
    float x[SIDE * SIDE];
    hn_plan *p;
    int n = 0;
    for (int i = 0; i < SIDE * SIDE; i++)
        x[i] = (float)(i * 31 % 57) / 29 - 1;
    CHECK_OK(hn_plan_create(g, d, NULL, &p));
    CHECK_OK(hn_plan_write(p, "x", x, sizeof x));
    CHECK_OK(hn_plan_write(p, "key", (int32_t[]){ 1, 2 }, 8));
    CHECK_OK(hn_plan_run(p));
    CHECK_OK(hn_plan_read(p, "last", out, sizeof x));
    CHECK_OK(hn_plan_read(p, "middle", out + SIDE * SIDE, sizeof x));
    for (int64_t i = 0; i < p->n_slots; i++)
        n += p->slots[i].on != 0;
    hn_plan_destroy(&p);
    return n;
}

static void check_in_place(void **state)
{
    (void)state;
    hn_device *ref;
    int n = 0;
    CHECK_OK(hn_device_open(&(hn_device_params){ .spec = "ref" }, &ref));
    for (uint64_t seed = 0; seed < 30; seed++) {
        float want[2 * SIDE * SIDE], got[2 * SIDE * SIDE];
        hn_graph *g = draw_graph(seed);
        run_drawn(g, ref, want);
        n += run_drawn(g, dev, got);
        for (int i = 0; i < 2 * SIDE * SIDE; i++)
            CHECK(fabsf(got[i] - want[i]) <= 1e-4f * (1 + fabsf(want[i])),
                  "seed %llu: number %d is %g, want %g", (unsigned long long)seed, i,
                  (double)got[i], (double)want[i]);
        hn_graph_destroy(&g);
    }
    CHECK(hn_device_get_info(dev)->kind == HN_DEVICE_REF || n > 60, "%d values in place", n);
    print_message("%d values in the place of others\n", n);
    hn_device_close(&ref);
}

static void check_bad_calls(void **state)
{
    (void)state;
    hn_graph *g = network();
    hn_plan_params p = { 0 };
    hn_plan *plan;
    float x[240] = { 0 };
    CHECK_FAILS(hn_plan_create(g, dev, &p, &plan), HN_ERR_ARG); // no weights
    CHECK(plan == NULL, "a plan after a failure");
    CHECK_OK(hn_weights_create(dev, &p.weights));
    CHECK_OK(hn_weights_add(p.weights, g, 0));
    CHECK_OK(hn_plan_create(g, dev, &p, &plan));
    CHECK_FAILS(hn_plan_write(plan, "nothing", x, sizeof x), HN_ERR_ARG);
    CHECK_FAILS(hn_plan_write(plan, "x", x, 8), HN_ERR_ARG);
    CHECK_FAILS(hn_plan_write(plan, "loss", x, 4), HN_ERR_ARG);
    CHECK_FAILS(hn_weights_put(p.weights, "w", F32(3, 3), true), HN_ERR_SHAPE);
    hn_plan_destroy(&plan);
    hn_weights_destroy(&p.weights);
    hn_matmul(g, hn_input(g, "y", F32(3, 4)), hn_input(g, "z2", F32(5, 6)), NULL);
    CHECK_FAILS(hn_graph_status(g), HN_ERR_SHAPE);
    CHECK_FAILS(hn_plan_create(g, dev, &p, &plan), HN_ERR_SHAPE);
    hn_graph_destroy(&g);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(check_ways_agree),    cmocka_unit_test(check_equal_bits),
        cmocka_unit_test(check_assign),        cmocka_unit_test(check_bytes),
        cmocka_unit_test(check_overlap_never), cmocka_unit_test(check_in_place),
        cmocka_unit_test(check_bad_calls),
    };
    const hn_device_params p = test_device_params();
    dev = test_device_open(&p);
    const int failed = cmocka_run_group_tests(tests, NULL, NULL);
    test_device_close(&dev);
    return failed;
}
