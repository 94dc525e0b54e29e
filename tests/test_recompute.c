// Blocks computed again for the gradient: the same bits of every gradient and of training, fewer
// bytes for each block, and random draws that repeat themselves.
#include "support/check.h"
#include "support/device.h"

#include "hornito/train.h"
#include "ir/ir.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { B = 2, T = 48, V = 80, LAYERS = 4, MOST = 64 };

static hn_device *dev;

static hn_lm_config config(hn_lm_family family)
{
    return (hn_lm_config){ .family = family,
                           .vocab = V,
                           .width = 32,
                           .layers = LAYERS,
                           .heads = 2,
                           .kv_heads = 2,
                           .ffn = 128,
                           .context = T,
                           .eps = 1e-5f,
                           .rope_base = 10000,
                           .dropout = 0.2f,
                           .act = HN_ACT_GELU,
                           .tied = true };
}

typedef struct model {
    hn_graph *g;
    hn_val loss;
    hn_named_val *params;
    int n;
} model;

static model build(hn_lm_family family)
{
    const hn_lm_config c = config(family);
    const hn_type span = { HN_I32, 2, { B, T } };
    model m = { 0 };

    CHECK_OK(hn_graph_create(&m.g));
    const hn_val ids = hn_input(m.g, "ids", span), targets = hn_input(m.g, "targets", span);
    const hn_val key = hn_input(m.g, "key", (hn_type){ HN_I32, 1, { 2 } });
    const hn_val h = hn_lm_hidden(m.g, &c, ids, &(hn_lm_build){ .dropout_key = key });
    m.loss = hn_mean_all(m.g, hn_lm_loss(m.g, &c, h, targets));
    CHECK_OK(hn_graph_params(m.g, &m.params, &m.n));
    CHECK(m.n <= MOST, "%d params", m.n);
    return m;
}

static void end(model *m)
{
    hn_params_destroy(&m->params);
    hn_graph_destroy(&m->g);
}

static hn_plan *make_plan(const hn_graph *g, hn_weights *w)
{
    const int32_t key[2] = { 5, 9 };
    int32_t ids[B * T], targets[B * T];
    hn_plan *p;

    CHECK_OK(hn_weights_add(w, g, 3));
    CHECK_OK(hn_plan_create(g, dev, &(hn_plan_params){ .weights = w }, &p));
    for (int i = 0; i < B * T; i++) {
        ids[i] = (i * 37 + i / 7) % V;
        targets[i] = (i * 53 + 11) % V;
    }
    CHECK_OK(hn_plan_write(p, "ids", ids, sizeof ids));
    CHECK_OK(hn_plan_write(p, "targets", targets, sizeof targets));
    CHECK_OK(hn_plan_write(p, "key", key, sizeof key));
    return p;
}

// The loss and all gradients, one after the other, with n_again blocks computed again.
static float *gradients(hn_lm_family family, int n_again, int64_t *count, hn_plan_info *info)
{
    model m = build(family);
    hn_val wrt[MOST], d[MOST];
    hn_weights *w;
    char name[MOST + 1][16];

    for (int i = 0; i < m.n; i++)
        wrt[i] = m.params[i].val;
    CHECK_OK(hn__graph_grad(m.g, m.loss, wrt, m.n, n_again, d, NULL));
    *count = 1;
    for (int i = 0; i < m.n; i++) {
        snprintf(name[i], sizeof name[i], "%d", i);
        hn_output(m.g, name[i], d[i]);
        *count += hn__numel(hn__type(m.g, d[i]));
    }
    hn_output(m.g, "loss", m.loss);
    CHECK_OK(hn_weights_create(dev, &w));
    hn_plan *p = make_plan(m.g, w);
    *info = hn_plan_get_info(p);
    CHECK_OK(hn_plan_run(p));
    float *all = malloc((size_t)*count * sizeof *all);
    int64_t at = 1;
    CHECK_OK(hn_plan_read(p, "loss", all, sizeof *all));
    for (int i = 0; i < m.n; i++) {
        const int64_t n = hn__numel(hn__type(m.g, d[i]));
        CHECK_OK(hn_plan_read(p, name[i], all + at, n * (int64_t)sizeof *all));
        at += n;
    }
    hn_plan_destroy(&p);
    hn_weights_destroy(&w);
    end(&m);
    return all;
}

static void check_family(hn_lm_family family)
{
    static const int again[] = { 0, 1, LAYERS - 1, LAYERS, HN_RECOMPUTE_ALL };
    enum { N = sizeof again / sizeof *again };
    hn_plan_info info[N];
    float *x[N];
    int64_t n[N];

    for (int k = 0; k < N; k++) {
        x[k] = gradients(family, again[k], &n[k], &info[k]);
        CHECK(n[k] == n[0], "%d values, and %d", (int)n[0], (int)n[k]);
        for (int64_t i = 0; i < n[0]; i++)
            CHECK(!memcmp(&x[0][i], &x[k][i], sizeof(float)),
                  "%d blocks again: value %d is %.9g, without %.9g", again[k], (int)i,
                  (double)x[k][i], (double)x[0][i]);
    }
    CHECK(info[1].n_ops > info[0].n_ops + 5, "%d operators, %d with a block computed again",
          info[0].n_ops, info[1].n_ops);
    CHECK(info[1].live_bytes < info[0].live_bytes && info[2].live_bytes < info[1].live_bytes &&
              info[3].live_bytes <= info[2].live_bytes,
          "bytes %d, %d, %d, %d", (int)info[0].live_bytes, (int)info[1].live_bytes,
          (int)info[2].live_bytes, (int)info[3].live_bytes);
    CHECK(info[3].block_bytes < info[0].block_bytes * 0.6, "%d bytes, without %d",
          (int)info[3].block_bytes, (int)info[0].block_bytes);
    CHECK(info[4].n_ops == info[3].n_ops, "all is not %d blocks", LAYERS);
    print_message("bytes of the plan with 0, 1, %d, %d blocks computed again: %d, %d, %d, %d\n",
                  LAYERS - 1, LAYERS, (int)info[0].block_bytes, (int)info[1].block_bytes,
                  (int)info[2].block_bytes, (int)info[3].block_bytes);
    for (int k = 0; k < N; k++)
        free(x[k]);
}

static void check_gpt2(void **state)
{
    (void)state;
    check_family(HN_LM_GPT2);
}

static void check_llama(void **state)
{
    (void)state;
    check_family(HN_LM_LLAMA);
}

// A trainer's losses, which depend on all that the steps before have made of weights and moments.
static void check_trainer(void **state)
{
    (void)state;
    int32_t tokens[400];
    double loss[2] = { 0 };
    int64_t bytes[2];

    for (int i = 0; i < 400; i++)
        tokens[i] = (i * i + i / 3) % V;
    for (int k = 0; k < 2; k++) {
        const hn_train_params p = { .model = config(HN_LM_LLAMA),
                                    .optimizer = { .adamw = { 0.9f, 0.95f, 1e-8f, 0.1f },
                                                   .clip = 1,
                                                   .recompute = k ? HN_RECOMPUTE_ALL : 0 },
                                    .batch = B, .length = T, .steps = 3, .lr = 1e-2f,
                                    .lr_end = 1e-2f, .seed = 4 };
        hn_train_step s = { 0 };
        hn_trainer *t;
        CHECK_OK(hn_trainer_create(dev, &p, tokens, 400, &t));
        for (int i = 0; i < 3; i++)
            CHECK_OK(hn_trainer_step(t, &s));
        loss[k] = s.loss;
        bytes[k] = hn_plan_get_info(hn_trainer_plan(t)).block_bytes;
        hn_trainer_destroy(&t);
    }
    CHECK(loss[0] == loss[1], "loss %.9g, %.9g with blocks computed again", loss[0], loss[1]);
    CHECK(bytes[1] < bytes[0], "%d bytes, %d with blocks computed again", (int)bytes[0],
          (int)bytes[1]);
}

// What is between no two marks is left as it is, whatever is asked for.
static void check_marks(void **state)
{
    (void)state;
    hn_graph *g;
    hn_val d;
    CHECK_OK(hn_graph_create(&g));
    const hn_val x = hn_param(g, "x", (hn_type){ HN_F32, 1, { 4 } }, (hn_init){ 0 });
    const hn_val y = hn_tanh(g, x), loss = hn_mean_all(g, hn_tanh(g, y));
    hn_mark_block(g, y);
    CHECK_OK(hn__graph_grad(g, loss, &x, 1, HN_RECOMPUTE_ALL, &d, NULL));
    for (int64_t i = 0; i < g->n_nodes; i++)
        CHECK(!g->nodes[i].again, "node %d is computed again", (int)i);
    hn_mark_block(g, x);
    CHECK_FAILS(hn_graph_status(g), HN_ERR_ARG);
    hn_graph_destroy(&g);
    CHECK_OK(hn_graph_create(&g));
    hn_mark_block(g, (hn_val){ 7 });
    CHECK_FAILS(hn_graph_status(g), HN_ERR_ARG);
    hn_graph_destroy(&g);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(check_gpt2),
        cmocka_unit_test(check_llama),
        cmocka_unit_test(check_trainer),
        cmocka_unit_test(check_marks),
    };
    const hn_device_params p = test_device_params();
    dev = test_device_open(&p);
    const int failed = cmocka_run_group_tests(tests, NULL, NULL);
    test_device_close(&dev);
    return failed;
}
