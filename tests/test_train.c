// Whole training steps: losses equal to PyTorch's, predicted bytes, equal bits, loss scaling.
// The numbers of PyTorch are made by tests/oracle/train_lm.py.
#include "support/check.h"
#include "support/device.h"

#include "hornito/train.h"
#include "io/json.h"
#include "ir/ir.h"

#include <stdlib.h>
#include <string.h>

enum { STEPS = 100, B = 2, T = 64, V = 512 };

static hn_device *dev;

// The hash of train_lm.py: murmur3's finalizer.
static uint32_t mix(uint32_t x)
{
    x = (x ^ (x >> 16)) * 0x85EBCA6Bu;
    x = (x ^ (x >> 13)) * 0xC2B2AE35u;
    return x ^ (x >> 16);
}

static hn_lm_config config(hn_lm_family family)
{
    return (hn_lm_config){ .family = family,
                           .vocab = V,
                           .width = 64,
                           .layers = 4,
                           .heads = 2,
                           .kv_heads = family == HN_LM_GPT2 ? 2 : 1,
                           .ffn = 256,
                           .context = T,
                           .eps = 1e-5f,
                           .rope_base = 10000,
                           .act = HN_ACT_GELU,
                           .tied = true };
}

typedef struct run {
    hn_weights *w;
    hn_plan *plan;
    hn_plan_info predicted;
    int64_t taken; // bytes of the device that the plan took
} run;

// Weights as the oracle draws them: tensor number i in order of making; norms 1, biases 0.
static void write_weights(const hn_graph *g, hn_weights *w)
{
    hn_named_val *params;
    int n;
    CHECK_OK(hn_graph_params(g, &params, &n));
    for (int i = 0; i < n; i++) {
        const hn_type t = hn_val_type(g, params[i].val);
        const int64_t count = hn_type_numel(&t);
        float *x = malloc((size_t)count * sizeof *x);
        for (int64_t k = 0; k < count; k++)
            x[k] =
                (float)((2 * (mix((uint32_t)k + ((uint32_t)i << 20)) / 4294967296.0) - 1) * 0.08);
        if (t.rank > 1)
            CHECK_OK(hn_weights_write(w, params[i].name, x, hn_type_bytes(&t)));
        free(x);
    }
    hn_params_destroy(&params);
}

static void start(run *r, const hn_lm_config *c, const hn_optimizer_params *p)
{
    hn_graph *g;
    hn_optimizer_out o;
    CHECK_OK(hn_graph_create(&g));
    const hn_type span = { HN_I32, 2, { B, T } };
    const hn_val ids = hn_input(g, "ids", span), targets = hn_input(g, "targets", span);
    const hn_val loss = hn_mean_all(g, hn_lm_loss(g, c, hn_lm_hidden(g, c, ids, NULL), targets));
    CHECK_OK(hn_optimize(g, loss, hn_input(g, "lr", (hn_type){ HN_F32, 1, { 1 } }), p, &o));
    hn_output(g, "loss", loss);
    hn_output(g, "scale", o.scale);
    hn_output(g, "overflows", o.overflows);
    CHECK_OK(hn_plan_predict(g, dev, NULL, &r->predicted));
    CHECK_OK(hn_weights_create(dev, &r->w));
    CHECK_OK(hn_weights_add(r->w, g, 1));
    write_weights(g, r->w);
    const int64_t before = hn_device_bytes(dev);
    CHECK_OK(hn_plan_create(g, dev, &(hn_plan_params){ .weights = r->w }, &r->plan));
    r->taken = hn_device_bytes(dev) - before;
    hn_graph_destroy(&g);
    CHECK_OK(hn_plan_write(r->plan, "lr", &(float){ 1e-3f }, 4));
}

static void end(run *r)
{
    hn_plan_destroy(&r->plan);
    hn_weights_destroy(&r->w);
}

static float step(run *r, int s)
{
    int32_t ids[B * T], targets[B * T];
    float loss;
    for (int b = 0; b < B; b++)
        for (int t = 0; t <= T; t++) {
            const int32_t token =
                (int32_t)(mix((uint32_t)((s * 331 + b * 5003 + t) % 1021 + 77777)) % V);
            if (t < T)
                ids[b * T + t] = token;
            if (t)
                targets[b * T + t - 1] = token;
        }
    CHECK_OK(hn_plan_write(r->plan, "ids", ids, sizeof ids));
    CHECK_OK(hn_plan_write(r->plan, "targets", targets, sizeof targets));
    CHECK_OK(hn_plan_run(r->plan));
    CHECK_OK(hn_plan_read(r->plan, "loss", &loss, sizeof loss));
    return loss;
}

static const hn_optimizer_params adamw = { .adamw = { 0.9f, 0.95f, 1e-8f, 0.1f }, .clip = 1 };

// The references are slow, and so are software devices: those take the second family shorter.
static int steps_here(hn_lm_family family)
{
    const hn_device_kind kind = hn_device_get_info(dev)->kind;
    return kind == HN_DEVICE_REF                               ? 5
           : kind == HN_DEVICE_VULKAN && family == HN_LM_LLAMA ? 10
                                                               : STEPS;
}

static void check_oracle(hn_lm_family family, bool qkv_bias, const char *file)
{
    hn_lm_config c = config(family);
    const int steps = steps_here(family);
    char path[512];
    json_t *o;
    run r;
    double worst = 0;

    c.qkv_bias = qkv_bias;
    const char *moved = getenv("HN_TEST_DATA"); // where the tests were carried to another machine
    snprintf(path, sizeof path, "%s/%s", moved ? moved : HN_TEST_DATA, file);
    CHECK_OK(hn__json_load(path, 1 << 20, &o));
    const json_t *want = json_object_get(o, "losses");
    CHECK(json_array_size(want) == STEPS, "%s has %zu losses", path, json_array_size(want));
    start(&r, &c, &adamw);
    for (int s = 0; s < steps; s++) {
        const double loss = step(&r, s),
                     torch = json_number_value(json_array_get(want, (size_t)s));
        const double off = fabs(loss - torch) / torch;
        CHECK(off <= 1e-3, "step %d: loss %.6f, PyTorch has %.6f", s + 1, loss, torch);
        worst = off > worst ? off : worst;
    }
    print_message("%d steps: losses within %.2g relative of PyTorch's\n", steps, worst);
    end(&r);
    json_decref(o);
}

static void check_gpt2_oracle(void **state)
{
    (void)state;
    check_oracle(HN_LM_GPT2, false, "oracle_gpt2.json");
}

static void check_llama_oracle(void **state)
{
    (void)state;
    check_oracle(HN_LM_LLAMA, false, "oracle_llama.json");
}

static void check_qwen2_oracle(void **state)
{
    (void)state;
    check_oracle(HN_LM_LLAMA, true, "oracle_qwen2.json");
}

static void check_bytes(void **state)
{
    (void)state;
    const hn_lm_config c = config(HN_LM_GPT2);
    run r;
    start(&r, &c, &adamw);
    const hn_plan_info i = hn_plan_get_info(r.plan);
    CHECK(r.taken == i.block_bytes + i.io_bytes, "%lld bytes taken, %lld said", (long long)r.taken,
          (long long)(i.block_bytes + i.io_bytes));
    CHECK(r.taken == r.predicted.block_bytes + r.predicted.io_bytes,
          "%lld bytes taken, %lld predicted", (long long)r.taken,
          (long long)(r.predicted.block_bytes + r.predicted.io_bytes));
    CHECK((double)i.block_bytes <= 1.15 * (double)i.live_bytes, "block %lld, bound %lld",
          (long long)i.block_bytes, (long long)i.live_bytes);
    print_message("training step: %d operators in %d steps, block %.3f of its bound\n", i.n_ops,
                  i.n_steps, (double)i.block_bytes / (double)i.live_bytes);
    end(&r);
}

static void check_equal_bits(void **state)
{
    (void)state;
    const hn_lm_config c = config(HN_LM_LLAMA);
    float loss[2][2];
    for (int k = 0; k < 2; k++) {
        run r;
        start(&r, &c, &adamw);
        for (int s = 0; s < 2; s++)
            loss[k][s] = step(&r, s);
        end(&r);
    }
    CHECK(!memcmp(loss[0], loss[1], sizeof loss[0]), "two runs differ: %.9g and %.9g",
          (double)loss[0][1], (double)loss[1][1]);
}

// A vq head with its identity map is the dense head: the same losses. With a shared map, the loss
// by K terms is that of the V logits.
static void check_vq_head(void **state)
{
    (void)state;
    hn_lm_config c = config(HN_LM_LLAMA);
    c.head = HN_HEAD_VQ;
    c.codes = 40;
    c.token_bias = true;
    hn_graph *g;
    CHECK_OK(hn_graph_create(&g));
    const hn_val h = hn_input(g, "h", (hn_type){ HN_F32, 2, { 6, 64 } });
    const hn_val targets = hn_input(g, "targets", (hn_type){ HN_I32, 1, { 6 } });
    hn_output(g, "by codes", hn_lm_loss(g, &c, h, targets));
    hn_output(g, "by tokens", hn_cross_entropy(g, hn_lm_logits(g, &c, h), targets));
    hn_weights *w;
    hn_plan *plan;
    CHECK_OK(hn_weights_create(dev, &w));
    CHECK_OK(hn_weights_add(w, g, 5));
    int32_t map[V], ids[6] = { 0, 511, -1, 37, 300, 40 };
    float bias[V], hidden[6 * 64], a[6], b[6];
    int64_t counts[V];
    for (int i = 0; i < V; i++) {
        counts[i] = 100000 / (i + 1);
        bias[i] = (float)(mix((uint32_t)i) % 1000) / 500 - 1;
    }
    for (int i = 0; i < 6 * 64; i++)
        hidden[i] = (float)(mix((uint32_t)i + 99) % 1000) / 100 - 5;
    CHECK_OK(hn_vq_map_by_mass(counts, V, 40, map));
    CHECK(map[0] != map[1] && map[510] == map[511], "codes %d %d %d %d", map[0], map[1], map[510],
          map[511]);
    CHECK_OK(hn_weights_write(w, "lm_head.map", map, sizeof map));
    CHECK_OK(hn_weights_write(w, "lm_head.token_bias", bias, sizeof bias));
    CHECK_OK(hn_plan_create(g, dev, &(hn_plan_params){ .weights = w }, &plan));
    CHECK_OK(hn_plan_write(plan, "h", hidden, sizeof hidden));
    CHECK_OK(hn_plan_write(plan, "targets", ids, sizeof ids));
    CHECK_OK(hn_plan_run(plan));
    CHECK_OK(hn_plan_read(plan, "by codes", a, sizeof a));
    CHECK_OK(hn_plan_read(plan, "by tokens", b, sizeof b));
    for (int i = 0; i < 6; i++)
        CHECK(fabsf(a[i] - b[i]) <= 1e-5f * (1 + fabsf(b[i])), "row %d: %g by codes, %g by tokens",
              i, (double)a[i], (double)b[i]);
    CHECK(a[2] == 0, "the masked target has loss %g", (double)a[2]);
    hn_plan_destroy(&plan);
    hn_weights_destroy(&w);
    hn_graph_destroy(&g);
}

// An overflow leaves the weights as they are and halves the scale; training then goes on.
static void check_loss_scaling(void **state)
{
    (void)state;
    const hn_lm_config c = config(HN_LM_LLAMA);
    hn_optimizer_params p = adamw;
    run r, plain;
    float scale, overflows, before[64], after[64];

    p.scale_loss = true;
    p.first_scale =
        1e21f; // the squares of the gradient overflow at once; not on the ref device, in f64
    p.scale_interval = 3;
    start(&r, &c, &p);
    start(&plain, &c, &adamw);
    CHECK_OK(hn_weights_read(r.w, "model.norm.weight", before, sizeof before));
    int skipped = 0;
    for (int s = 0; s < 30; s++) {
        step(&r, 0);
        CHECK_OK(hn_plan_read(r.plan, "overflows", &overflows, 4));
        CHECK_OK(hn_weights_read(r.w, "model.norm.weight", after, sizeof after));
        if (memcmp(before, after, sizeof after))
            break;
        skipped++;
    }
    const bool ref = hn_device_get_info(dev)->kind == HN_DEVICE_REF;
    CHECK(ref ? skipped == 0 : skipped > 0 && skipped < 30, "%d steps left out", skipped);
    CHECK((int)overflows == skipped, "%g overflows counted, %d steps left out", (double)overflows,
          skipped);
    const float one = step(&plain, 0), two = step(&plain, 1), scaled = step(&r, 1);
    CHECK(fabsf(scaled - two) < 1e-4f * two && one > 0,
          "loss %g after the first step, %g without scaling", (double)scaled, (double)two);
    CHECK_OK(hn_plan_read(r.plan, "scale", &scale, 4));
    CHECK(isfinite(scale) && scale <= 1e21f, "scale is %g", (double)scale);
    end(&r);
    end(&plain);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(check_gpt2_oracle), cmocka_unit_test(check_llama_oracle),
        cmocka_unit_test(check_qwen2_oracle),
        cmocka_unit_test(check_bytes),       cmocka_unit_test(check_equal_bits),
        cmocka_unit_test(check_vq_head),     cmocka_unit_test(check_loss_scaling),
    };
    const hn_device_params p = test_device_params();
    dev = test_device_open(&p);
    const int failed = cmocka_run_group_tests(tests, NULL, NULL);
    test_device_close(&dev);
    return failed;
}
