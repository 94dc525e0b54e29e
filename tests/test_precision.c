// Training in 16 bits: gradients and losses near those in f32, fewer bytes, an overflow that is
// left out and counted, a scale that grows, and runs that go on bit for bit.
#include "support/check.h"
#include "support/device.h"
#include "support/folder.h"

#include "hornito/train.h"
#include "ir/ir.h"
#include "train/precision.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { B = 2, T = 32, V = 80, MOST = 64, TOKENS = 400 };

static hn_device *dev;
static int32_t tokens[TOKENS];

static bool is(hn_device_kind kind)
{
    return hn_device_get_info(dev)->kind == kind;
}

static hn_lm_config config(hn_lm_family family)
{
    return (hn_lm_config){ .family = family,
                           .vocab = V,
                           .width = 32,
                           .layers = 2,
                           .heads = 2,
                           .kv_heads = family == HN_LM_GPT2 ? 2 : 1,
                           .ffn = 128,
                           .context = T,
                           .eps = 1e-5f,
                           .rope_base = 10000,
                           .act = HN_ACT_GELU,
                           .tied = true };
}

static hn_train_params params(hn_dtype precision)
{
    return (hn_train_params){ .model = config(HN_LM_LLAMA),
                              .optimizer = { .adamw = { 0.9f, 0.95f, 1e-8f, 0.1f }, .clip = 1 },
                              .precision = precision,
                              .batch = B, .length = T, .steps = 40, .lr = 1e-2f, .lr_end = 1e-3f,
                              .seed = 4 };
}

static hn_trainer *open_trainer(const hn_train_params *p)
{
    hn_trainer *t;
    CHECK_OK(hn_trainer_create(dev, p, tokens, TOKENS, &t));
    return t;
}

// ---- gradients -----------------------------------------------------------------------------

// The gradients of a model with seeded weights, one after the other, of a loss scaled by 256.
static float *gradients(hn_lm_family family, hn_dtype precision, int64_t *count)
{
    hn_lm_config c = config(family);
    const hn_type span = { HN_I32, 2, { B, T } };
    hn_graph *g, *loss;
    hn_named_val *list;
    hn_val wrt[MOST], d[MOST];
    char name[MOST][16];
    hn_weights *w;
    hn_plan *p;
    int n;

    c.dropout = 0.1f;
    CHECK_OK(hn_graph_create(&loss));
    const hn_val ids = hn_input(loss, "ids", span), targets = hn_input(loss, "targets", span);
    const hn_val key = hn_input(loss, "key", (hn_type){ HN_I32, 1, { 2 } });
    const hn_val h = hn_lm_hidden(loss, &c, ids, &(hn_lm_build){ .dropout_key = key });
    hn_output(loss, "loss", hn_mean_all(loss, hn_lm_loss(loss, &c, h, targets)));
    if (precision == HN_F32) {
        g = loss;
    } else {
        CHECK_OK(hn__set_precision(loss, precision, &g));
        hn_graph_destroy(&loss);
    }
    CHECK_OK(hn_graph_params(g, &list, &n));
    CHECK(n <= MOST, "%d params", n);
    for (int i = 0; i < n; i++)
        wrt[i] = list[i].val;
    const hn_val scaled = hn_mul_scalar(g, (hn_val){ g->outputs[0].val }, 256);
    CHECK_OK(hn_graph_grad(g, scaled, wrt, n, d));
    *count = 0;
    for (int i = 0; i < n; i++) {
        snprintf(name[i], sizeof name[i], "%d", i);
        hn_output(g, name[i], d[i]);
        *count += hn__numel(hn__type(g, d[i]));
        CHECK(hn__type(g, d[i])->dtype == HN_F32, "the gradient of %s is no f32", list[i].name);
    }
    CHECK_OK(hn_weights_create(dev, &w));
    CHECK_OK(hn_weights_add(w, g, 3));
    CHECK_OK(hn_plan_create(g, dev, &(hn_plan_params){ .weights = w }, &p));
    CHECK_OK(hn_plan_write(p, "ids", tokens, sizeof(int32_t) * B * T));
    CHECK_OK(hn_plan_write(p, "targets", tokens + 1, sizeof(int32_t) * B * T));
    CHECK_OK(hn_plan_write(p, "key", (int32_t[]){ 3, 4 }, 8));
    CHECK_OK(hn_plan_run(p));
    float *all = malloc((size_t)*count * sizeof *all), *at = all;
    for (int i = 0; i < n; i++) {
        const int64_t size = hn__numel(hn__type(g, d[i]));
        CHECK_OK(hn_plan_read(p, name[i], at, size * (int64_t)sizeof *at));
        at += size;
    }
    hn_plan_destroy(&p);
    hn_weights_destroy(&w);
    hn_params_destroy(&list);
    hn_graph_destroy(&g);
    return all;
}

static void check_gradients_of(hn_lm_family family, hn_dtype precision, double most)
{
    int64_t n, same;
    double off = 0, norm = 0;
    float *want = gradients(family, HN_F32, &n), *got = gradients(family, precision, &same);

    CHECK(n == same, "%d values, and %d", (int)n, (int)same);
    for (int64_t i = 0; i < n; i++) {
        off += pow((double)got[i] - (double)want[i], 2);
        norm += pow((double)want[i], 2);
    }
    const double e = sqrt(off / norm);
    CHECK(e <= most, "%s: gradients are off by %.3g of their norm", hn_dtype_name(precision), e);
    CHECK(is(HN_DEVICE_REF) || e > 0, "%s: nothing was rounded", hn_dtype_name(precision));
    print_message("%s: gradients off by %.2g of their norm\n", hn_dtype_name(precision), e);
    free(want);
    free(got);
}

static void check_gradients(void **state)
{
    (void)state;
    check_gradients_of(HN_LM_GPT2, HN_F16, 0.005);
    check_gradients_of(HN_LM_LLAMA, HN_F16, 0.005);
    check_gradients_of(HN_LM_GPT2, HN_BF16, 0.04);
    check_gradients_of(HN_LM_LLAMA, HN_BF16, 0.04);
}

// ---- training ------------------------------------------------------------------------------

static int steps_here(void)
{
    return is(HN_DEVICE_CPU) ? 40 : 8;
}

static double train(hn_dtype precision, int recompute, int64_t *weight_bytes)
{
    hn_train_params p = params(precision);
    hn_train_step s = { 0 };
    double mean = 0;

    p.optimizer.recompute = recompute;
    hn_trainer *t = open_trainer(&p);
    *weight_bytes = hn_plan_get_info(hn_trainer_plan(t)).weight_bytes;
    for (int i = 0; i < steps_here(); i++) {
        CHECK_OK(hn_trainer_step(t, &s));
        mean += i >= steps_here() - 4 ? s.loss / 4 : 0;
    }
    CHECK(s.overflows == 0, "%g overflows", s.overflows);
    hn_trainer_destroy(&t);
    return mean;
}

static void check_training(void **state)
{
    (void)state;
    static const hn_dtype types[] = { HN_F32, HN_F16, HN_BF16 };
    int64_t weights, same;
    const double want = train(HN_F32, 0, &weights);

    for (int k = 1; k < 3; k++) {
        const char *name = hn_dtype_name(types[k]);
        for (int recompute = 0; recompute >= -1; recompute--) {
            const double loss = train(types[k], recompute, &same);
            CHECK(fabs(loss - want) <= 0.02 * want, "%s: loss %g, in f32 %g", name, loss, want);
            CHECK(same <= weights + 64, "%d bytes of weights, %d in f32", (int)same, (int)weights);
            print_message("%s: loss %.4f, in f32 %.4f\n", name, loss, want);
        }
    }
}

// Bytes of the plan of a step of 1024 tokens by a model of 4.27 M parameters, which is not made.
static int64_t predicted(hn_dtype precision)
{
    const hn_lm_config c = { .family = HN_LM_GPT2, .vocab = 4096, .width = 256, .layers = 4,
                             .heads = 4, .kv_heads = 4, .ffn = 1024, .context = 256, .eps = 1e-5f,
                             .act = HN_ACT_GELU, .tied = true };
    const hn_type span = { HN_I32, 2, { 4, 256 } };
    hn_graph *g, *half;
    hn_optimizer_out o;
    hn_plan_info info;

    CHECK_OK(hn_graph_create(&g));
    const hn_val ids = hn_input(g, "ids", span), targets = hn_input(g, "targets", span);
    hn_output(g, "loss",
              hn_mean_all(g, hn_lm_loss(g, &c, hn_lm_hidden(g, &c, ids, NULL), targets)));
    if (precision != HN_F32) {
        CHECK_OK(hn__set_precision(g, precision, &half));
        hn_graph_destroy(&g);
        g = half;
    }
    const hn_val lr = hn_input(g, "lr", (hn_type){ HN_F32, 1, { 1 } });
    const hn_optimizer_params p = { .adamw = { 0.9f, 0.95f, 1e-8f, 0.1f },
                                    .scale_loss = precision == HN_F16 };
    CHECK_OK(hn_optimize(g, (hn_val){ g->outputs[0].val }, lr, &p, &o));
    CHECK_OK(hn_plan_predict(g, dev, NULL, &info));
    hn_graph_destroy(&g);
    return info.block_bytes;
}

// The host computes in f32 copies of operands, which are part of the plan; so are the panels that
// software devices with 64-bit integers make of a product's operands.
static void check_bytes(void **state)
{
    (void)state;
    const hn_device_info *info = hn_device_get_info(dev);
    const bool panels = !strcmp(info->type, "software") && (info->features & HN_FEATURE_INT64);
    const double most = is(HN_DEVICE_VULKAN) && !panels ? 0.55 : 0.8;
    if (is(HN_DEVICE_REF)) // f64 throughout
        return;
    const int64_t plain = predicted(HN_F32), f16 = predicted(HN_F16), bf16 = predicted(HN_BF16);
    print_message("a plan of %.1f MB, in f16 %.1f, in bf16 %.1f\n", (double)plain / 1e6,
                  (double)f16 / 1e6, (double)bf16 / 1e6);
    CHECK((double)f16 <= most * (double)plain && (double)bf16 <= most * (double)plain,
          "a plan of %lld bytes, in f16 %lld, in bf16 %lld", (long long)plain, (long long)f16,
          (long long)bf16);
}

// ---- loss scaling --------------------------------------------------------------------------

static void set_scale(hn_trainer *t, float scale)
{
    CHECK_OK(hn_weights_write(hn_trainer_weights(t), "train.scale", &scale, sizeof scale));
}

// Overflows in the middle of a run: their steps change no weight, are counted, halve the scale;
// training then goes on as if nothing had been.
static void check_overflow(void **state)
{
    (void)state;
    hn_train_params p = params(HN_F16);
    hn_train_step s = { 0 };
    float before[32], after[32];
    int skipped = 0;

    p.lr_end = p.lr;
    hn_trainer *t = open_trainer(&p);
    for (int i = 0; i < 2; i++)
        CHECK_OK(hn_trainer_step(t, &s));
    CHECK(s.overflows == 0 && s.scale == 65536, "%g overflows, scale %g", s.overflows, s.scale);
    const double first = s.loss;
    set_scale(t, 0x1p32f);
    CHECK_OK(hn_weights_read(hn_trainer_weights(t), "model.norm.weight", before, sizeof before));
    for (; skipped < 40; skipped++) {
        CHECK_OK(hn_trainer_step(t, &s));
        CHECK(isfinite(s.loss), "the loss is %g", s.loss);
        CHECK_OK(hn_weights_read(hn_trainer_weights(t), "model.norm.weight", after, sizeof after));
        if (memcmp(before, after, sizeof before))
            break;
        CHECK(s.overflows == skipped + 1, "%g overflows after %d", s.overflows, skipped + 1);
    }
    CHECK(skipped > 2 && skipped < 30, "%d steps left out", skipped);
    CHECK(s.scale == ldexp(1, 32 - skipped), "scale %g after %d overflows", s.scale, skipped);
    for (int i = 0; i < 8; i++)
        CHECK_OK(hn_trainer_step(t, &s));
    // A scale at the edge may be halved once more.
    CHECK(s.overflows <= skipped + 2 && s.loss < first - 0.1,
          "%g overflows, loss %g, before them %g", s.overflows, s.loss, first);
    print_message("%d steps left out, scale %g, loss from %.3f to %.3f\n", skipped, s.scale, first,
                  s.loss);
    hn_trainer_destroy(&t);
}

static void check_growth(void **state)
{
    (void)state;
    hn_train_params p = params(HN_F16);
    hn_train_step s = { 0 };
    p.optimizer.first_scale = 8;
    p.optimizer.scale_interval = 2;
    hn_trainer *t = open_trainer(&p);
    for (int i = 0; i < 5; i++)
        CHECK_OK(hn_trainer_step(t, &s));
    CHECK(s.scale == 32, "scale %g after two times two steps", s.scale);
    hn_trainer_destroy(&t);
}

// ---- going on ------------------------------------------------------------------------------

static hn_train_step more(hn_trainer *t, int n)
{
    hn_train_step s = { 0 };
    for (int i = 0; i < n; i++)
        CHECK_OK(hn_trainer_step(t, &s));
    return s;
}

// The norm of a step that overflows may be no number.
static bool equal(double a, double b)
{
    return a == b || (isnan(a) && isnan(b));
}

static void check_resume_of(hn_dtype precision)
{
    hn_train_params p = params(precision);
    char dir[512];

    folder_make("precision");
    snprintf(dir, sizeof dir, "%s", folder_path("run"));
    p.optimizer.first_scale = 0x1p28f; // overflows before the checkpoint
    p.optimizer.scale_interval = 3;
    hn_trainer *t = open_trainer(&p);
    const hn_train_step whole = more(t, 16);
    hn_trainer_destroy(&t);
    t = open_trainer(&p);
    more(t, 11);
    CHECK_OK(hn_trainer_save(t, dir, NULL));
    hn_trainer_destroy(&t);
    t = open_trainer(&p);
    CHECK_OK(hn_trainer_resume(t, dir));
    const hn_train_step resumed = more(t, 5);
    CHECK(whole.loss == resumed.loss && equal(whole.grad_norm, resumed.grad_norm),
          "%s: loss %.9g, norm %.9g; %.9g, %.9g after a resume", hn_dtype_name(precision),
          whole.loss, whole.grad_norm, resumed.loss, resumed.grad_norm);
    CHECK(whole.scale == resumed.scale && whole.overflows == resumed.overflows,
          "%s: scale %g and %g overflows, %g and %g after a resume", hn_dtype_name(precision),
          whole.scale, whole.overflows, resumed.scale, resumed.overflows);
    CHECK(precision != HN_F16 || is(HN_DEVICE_REF) || whole.overflows > 0, "no overflow");
    hn_trainer_destroy(&t);
    p.precision = HN_F32;
    t = open_trainer(&p);
    CHECK_FAILS(hn_trainer_resume(t, dir), HN_ERR_ARG);
    hn_trainer_destroy(&t);
    folder_remove();
}

static void check_resume(void **state)
{
    (void)state;
    check_resume_of(HN_F16);
    check_resume_of(HN_BF16);
}

static void check_refused(void **state)
{
    (void)state;
    const hn_train_params p = params(HN_I32);
    hn_trainer *t;
    CHECK_FAILS(hn_trainer_create(dev, &p, tokens, TOKENS, &t), HN_ERR_ARG);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(check_gradients), cmocka_unit_test(check_training),
        cmocka_unit_test(check_bytes),     cmocka_unit_test(check_overflow),
        cmocka_unit_test(check_growth),    cmocka_unit_test(check_resume),
        cmocka_unit_test(check_refused),
    };
    for (int i = 0; i < TOKENS; i++)
        tokens[i] = (i * i + i / 3) % V;
    const hn_device_params p = test_device_params();
    dev = test_device_open(&p);
    const int failed = cmocka_run_group_tests(tests, NULL, NULL);
    test_device_close(&dev);
    return failed;
}
