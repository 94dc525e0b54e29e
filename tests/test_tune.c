// Training from a checkpoint: frozen weights stay as they are, adapters begin at nothing, have the
// gradient that the weights beside them have, are found again in the merged checkpoint, and a run
// goes on bit for bit; what does not fit the device, or no weight, is refused first.
#include "support/check.h"
#include "support/device.h"

#include "base/os.h"
#include "hornito/train.h"
#include "io/checkpoint.h"
#include "train/tune.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { LENGTH = 40, N_TOKENS = LENGTH + 1 }; // one span only, so every step has the same batch

static const char text[] = "The oven is small and the bread is good. The bread is good since the "
                           "oven is small, and the oven is small since the bread is good. "
                           "So it goes, from oven to bread and from bread to oven, as it did.";

static char root[] = "/tmp/hornito-tune-XXXXXX";
static hn_device *dev;
static int32_t tokens[N_TOKENS];

static hn_train_params params(hn_lm_family family)
{
    return (hn_train_params){
        .model = { .family = family,
                   .vocab = 280,
                   .width = 32,
                   .layers = 2,
                   .heads = 4,
                   .kv_heads = family == HN_LM_LLAMA ? 2 : 4,
                   .ffn = 64,
                   .context = 64,
                   .eps = 1e-5f,
                   .rope_base = 10000,
                   .act = HN_ACT_GELU,
                   .tied = true },
        .optimizer = { .adamw = { 0.9f, 0.95f, 1e-8f, 0.1f }, .clip = 1 },
        .batch = 2,
        .length = LENGTH,
        .steps = 6,
        .lr = 3e-3f,
        .lr_end = 3e-3f,
        .seed = 3,
    };
}

static char *in_root(const char *name)
{
    char *p = hn__path_join(root, name);
    CHECK(p != NULL, "out of memory");
    return p;
}

static void steps(hn_trainer *t, int n, float *last)
{
    hn_train_step r = { 0 };
    for (int i = 0; i < n; i++)
        CHECK_OK(hn_trainer_step(t, &r));
    *last = (float)r.loss;
}

static hn_trainer *open_trainer(const hn_train_params *p)
{
    hn_trainer *t;
    CHECK_OK(hn_trainer_create(dev, p, tokens, N_TOKENS, &t));
    return t;
}

// A run of two steps, to start from.
static char *make_base(hn_lm_family family)
{
    static const char *const special[] = { "<|endoftext|>" };
    const hn_train_params p = params(family);
    char *dir = in_root(family == HN_LM_LLAMA ? "llama" : "gpt2");
    hn_tokenizer *tok;
    hn_ids ids = { 0 };
    float loss;

    CHECK_OK(hn_tokenizer_train(text, strlen(text), &(hn_tokenizer_params){ 280, 0, special, 1 },
                                &tok));
    CHECK_OK(hn_tokenizer_encode(tok, text, strlen(text), 0, &ids));
    CHECK(ids.n >= N_TOKENS, "%d tokens", (int)ids.n);
    memcpy(tokens, ids.id, sizeof tokens);
    hn_trainer *t = open_trainer(&p);
    steps(t, 2, &loss);
    CHECK_OK(hn_trainer_save(t, dir, tok));
    hn_trainer_destroy(&t);
    hn_tokenizer_destroy(&tok);
    hn_ids_free(&ids);
    return dir;
}

static char *base_of(hn_lm_family family)
{
    char *dir = in_root(family == HN_LM_LLAMA ? "llama" : "gpt2");
    if (hn__exists(dir))
        return dir;
    hn__free(dir);
    return make_base(family);
}

// The loss of the batch by a model opened from a checkpoint.
static float evaluated(const char *dir)
{
    hn_lm *m;
    hn_graph *g;
    hn_plan *plan;
    float loss;
    const hn_type span = { HN_I32, 2, { 1, LENGTH } };

    CHECK_OK(hn_lm_open(dev, dir, NULL, &m));
    const hn_lm_config *c = hn_lm_get_config(m);
    CHECK_OK(hn_graph_create(&g));
    const hn_val ids = hn_input(g, "ids", span), targets = hn_input(g, "targets", span);
    hn_output(g, "loss", hn_mean_all(g, hn_lm_loss(g, c, hn_lm_hidden(g, c, ids, NULL), targets)));
    CHECK_OK(hn_plan_create(g, dev, &(hn_plan_params){ .weights = hn_lm_get_weights(m) }, &plan));
    CHECK_OK(hn_plan_write(plan, "ids", tokens, LENGTH * 4));
    CHECK_OK(hn_plan_write(plan, "targets", tokens + 1, LENGTH * 4));
    CHECK_OK(hn_plan_run(plan));
    CHECK_OK(hn_plan_read(plan, "loss", &loss, sizeof loss));
    hn_plan_destroy(&plan);
    hn_graph_destroy(&g);
    hn_lm_close(&m);
    return loss;
}

static void *bits_of(hn_weights *w, const char *name, int64_t *n)
{
    const int64_t i = hn_weights_find(w, name);
    CHECK(i >= 0, "no weight '%s'", name);
    const hn_weight_info info = hn_weights_info(w, i);
    *n = hn_type_bytes(&info.type);
    void *data = malloc((size_t)*n);
    CHECK_OK(hn_weights_read(w, name, data, *n));
    return data;
}

// ---- adapters ------------------------------------------------------------------------------

// The adapters by themselves, by PEFT's names.
static void check_adapter_files(const char *dir, hn_lm_family family)
{
    char *folder = hn__path_join(dir, "adapter");
    char *config = hn__path_join(folder, "adapter_config.json");
    char *file = hn__path_join(folder, "adapter_model.safetensors");
    hn_tensors *files;
    const hn_tensor *t;
    CHECK(hn__exists(config), "no adapter_config.json");
    CHECK_OK(hn_tensors_open(file, &files));
    CHECK_OK(hn_tensors_get(files,
                            family == HN_LM_LLAMA
                                ? "base_model.model.model.layers.1.mlp.down_proj.lora_A.weight"
                                : "base_model.model.transformer.h.1.attn.c_attn.lora_A.weight",
                            &t));
    CHECK(t->rank == 2 && t->dim[0] == 4 && t->dim[1] == (family == HN_LM_LLAMA ? 64 : 32),
          "A is [%d, %d]", (int)t->dim[0], (int)t->dim[1]);
    hn_tensors_destroy(&files);
    hn__free(folder);
    hn__free(config);
    hn__free(file);
}

// An adapter adds nothing at first; trained, its loss falls, and the checkpoint, where it is
// merged into the weights, has the loss that training had.
static void check_merged(hn_lm_family family, int batch, const char *name)
{
    char *base = base_of(family), *dir = in_root(name);
    hn_train_params p = params(family);
    float first, trained;
    int64_t n_trained, n_frozen;

    p.from = base;
    p.batch = batch;
    p.tune = (hn_tune_params){ .rank = 4, .alpha = 8 };
    const float before = evaluated(base);
    hn_trainer *t = open_trainer(&p);
    hn_trainer_count(t, &n_trained, &n_frozen);
    CHECK(n_trained * 2 < n_frozen, "%d values are trained, %d frozen", (int)n_trained,
          (int)n_frozen);
    steps(t, 1, &first);
    CHECK(fabsf(first - before) <= 1e-5f * before, "%s: loss %g with fresh adapters, %g without",
          name, (double)first, (double)before);
    steps(t, 4, &trained);
    CHECK_OK(hn_trainer_save(t, dir, NULL));
    steps(t, 1, &trained); // its loss is from before the step: the checkpoint's
    const float after = evaluated(dir);
    CHECK(trained < first - 0.02f, "%s: the loss went from %g to %g", name, (double)first,
          (double)trained);
    CHECK(fabsf(after - trained) <= 1e-4f * trained, "%s: %g in training, %g merged", name,
          (double)trained, (double)after);
    check_adapter_files(dir, family);
    hn_trainer_destroy(&t);
    hn__free(base);
    hn__free(dir);
}

static void check_llama_adapters(void **state)
{
    (void)state;
    check_merged(HN_LM_LLAMA, 2, "lora-llama");
}

// GPT-2 multiplies by parts of one matrix where a batch is large, by the whole where it is small.
static void check_gpt2_adapters(void **state)
{
    (void)state;
    check_merged(HN_LM_GPT2, 2, "lora-gpt2");
    hn_train_params p = params(HN_LM_GPT2);
    char *base = base_of(HN_LM_GPT2);
    float a, b;
    p.from = base;
    p.tune = (hn_tune_params){ .rank = 4 };
    p.batch = 1;
    p.length = LENGTH - 20; // less than the width
    hn_trainer *t = open_trainer(&p);
    steps(t, 1, &a);
    steps(t, 4, &b);
    CHECK(b < a, "the loss went from %g to %g", (double)a, (double)b);
    hn_trainer_destroy(&t);
    hn__free(base);
}

typedef struct grads {
    float a[64 * 64], b[64 * 64];
    int64_t n_a, n_b;
} grads;

// Weights drawn from seed 5, but for `name`, if there is one, which gets `with`; gradients of one
// or two params of the tuned loss.
static void gradients(const hn_tune_params *tune, const char *write, const float *with,
                      const char *const name[2], hn_weights **out_w, grads *out)
{
    const hn_lm_config c = params(HN_LM_LLAMA).model;
    const hn_type span = { HN_I32, 2, { 1, LENGTH } };
    hn_graph *plain, *g;
    hn_plan *plan;
    hn_val d[2], wrt[2];

    CHECK_OK(hn_graph_create(&plain));
    const hn_val ids = hn_input(plain, "ids", span), targets = hn_input(plain, "targets", span);
    hn_output(
        plain, "loss",
        hn_mean_all(plain, hn_lm_loss(plain, &c, hn_lm_hidden(plain, &c, ids, NULL), targets)));
    CHECK_OK(hn__tune(plain, tune, NULL, NULL, &g));
    CHECK_OK(hn_weights_create(dev, out_w));
    CHECK_OK(hn_weights_add(*out_w, g, 5));
    const int n = name[1] ? 2 : 1;
    for (int i = 0; i < n; i++) {
        const hn_type t = hn_weights_info(*out_w, hn_weights_find(*out_w, name[i])).type;
        wrt[i] = hn_param(g, name[i], t, (hn_init){ 0 });
    }
    if (write) {
        const hn_type t = hn_weights_info(*out_w, hn_weights_find(*out_w, write)).type;
        CHECK_OK(hn_weights_write(*out_w, write, with, hn_type_bytes(&t)));
    }
    CHECK_OK(hn_graph_grad(g, (hn_val){ g->outputs[0].val }, wrt, n, d));
    for (int i = 0; i < n; i++)
        hn_output(g, i ? "db" : "da", d[i]);
    CHECK_OK(hn_plan_create(g, dev, &(hn_plan_params){ .weights = *out_w }, &plan));
    CHECK_OK(hn_plan_write(plan, "ids", tokens, LENGTH * 4));
    CHECK_OK(hn_plan_write(plan, "targets", tokens + 1, LENGTH * 4));
    CHECK_OK(hn_plan_run(plan));
    for (int i = 0; i < n; i++) {
        const hn_type t = hn_val_type(g, d[i]);
        CHECK_OK(hn_plan_read(plan, i ? "db" : "da", i ? out->b : out->a, hn_type_bytes(&t)));
        *(i ? &out->n_b : &out->n_a) = hn_type_numel(&t);
    }
    hn_plan_destroy(&plan);
    hn_graph_destroy(&plain);
    hn_graph_destroy(&g);
}

static void compare(const char *what, const float *got, const double *want, int64_t n)
{
    double rms = 0;
    for (int64_t i = 0; i < n; i++)
        rms += want[i] * want[i] / (double)n;
    rms = sqrt(rms);
    CHECK(rms > 1e-9, "%s: no gradient", what);
    for (int64_t i = 0; i < n; i++)
        CHECK(fabs(got[i] - want[i]) <= 1e-3 * (fabs(want[i]) + rms), "%s[%d] is %g, want %g",
              what, (int)i, (double)got[i], want[i]);
}

// With W' = W + s B A the gradients are dB = s dW' A^T and dA = s B^T dW', dW' of the plain model
// with W' in it.
static void check_adapter_gradient(void **state)
{
    (void)state;
    enum { R = 4, IN = 32, OUT = 64 };
    static const char weight[] = "model.layers.1.mlp.up_proj.weight";
    static const char a_name[] = "model.layers.1.mlp.up_proj.lora_A.weight";
    static const char b_name[] = "model.layers.1.mlp.up_proj.lora_B.weight";
    const char *const up = "up";
    const hn_tune_params tune = { .rank = R, .alpha = 6, .targets = &up, .n_targets = 1 };
    const double s = 1.5;
    static float a[R * IN], b[OUT * R], w[OUT * IN];
    static double want_a[R * IN], want_b[OUT * R];
    static grads low, full;
    hn_weights *weights;

    hn__free(base_of(HN_LM_LLAMA)); // for the tokens
    for (int i = 0; i < OUT * R; i++)
        b[i] = (float)(i * 7 % 13 - 6) / 40;
    gradients(&tune, b_name, b, (const char *const[]){ a_name, b_name }, &weights, &low);
    CHECK_OK(hn_weights_read(weights, a_name, a, sizeof a));
    CHECK_OK(hn_weights_read(weights, weight, w, sizeof w));
    hn_weights_destroy(&weights);
    for (int o = 0; o < OUT; o++)
        for (int i = 0; i < IN; i++)
            for (int k = 0; k < R; k++)
                w[o * IN + i] += (float)(s * b[o * R + k] * a[k * IN + i]);
    gradients(&(hn_tune_params){ 0 }, weight, w, (const char *const[]){ weight, NULL }, &weights,
              &full);
    hn_weights_destroy(&weights);
    CHECK(low.n_a == R * IN && low.n_b == OUT * R && full.n_a == OUT * IN, "shapes");
    for (int o = 0; o < OUT; o++)
        for (int i = 0; i < IN; i++)
            for (int k = 0; k < R; k++) {
                want_b[o * R + k] += s * full.a[o * IN + i] * a[k * IN + i];
                want_a[k * IN + i] += s * full.a[o * IN + i] * b[o * R + k];
            }
    compare("dA", low.a, want_a, R * IN);
    compare("dB", low.b, want_b, OUT * R);
}

static hn_dtype all_q8(void *user, const char *name)
{
    (void)user;
    (void)name;
    return HN_Q8_0;
}

// Makes the weights of both what blocks of 8 bits hold of those in w.
static void quantise(hn_weights *w, hn_weights *q)
{
    for (int64_t i = 0; i < hn_weights_count(q); i++) {
        const hn_weight_info info = hn_weights_info(q, i);
        const int64_t n = hn_type_numel(&info.type);
        if (!hn__is_quantised(info.type.dtype))
            continue;
        float *x = malloc((size_t)n * 4);
        void *blocks = malloc((size_t)hn_type_bytes(&info.type));
        CHECK_OK(hn_weights_read(w, info.name, x, n * 4));
        hn__from_f32(HN_Q8_0, x, blocks, n);
        hn__to_f32(HN_Q8_0, blocks, x, n);
        CHECK_OK(hn_weights_write(w, info.name, x, n * 4));
        CHECK_OK(hn_weights_write(q, info.name, blocks, hn_type_bytes(&info.type)));
        free(x);
        free(blocks);
    }
}

// The plan of a tuned loss and of its gradient for an adapter.
static hn_plan *adapter_plan(const hn_graph *plain, hn__stored_fn stored, hn_weights **w)
{
    static const char a_name[] = "model.layers.0.self_attn.v_proj.lora_B.weight";
    const hn_type t = { HN_F32, 2, { 16, 4 } };
    hn_graph *g;
    hn_plan *plan;
    hn_val d;

    CHECK_OK(hn__tune(plain, &(hn_tune_params){ .rank = 4 }, stored, NULL, &g));
    CHECK_OK(hn_weights_create(dev, w));
    const hn_val a = hn_param(g, a_name, t, (hn_init){ 0 });
    CHECK_OK(hn_graph_grad(g, (hn_val){ g->outputs[0].val }, &a, 1, &d));
    hn_output(g, "d", d);
    CHECK_OK(hn_weights_add(*w, g, 5));
    CHECK_OK(hn_plan_create(g, dev, &(hn_plan_params){ .weights = *w }, &plan));
    hn_graph_destroy(&g);
    return plan;
}

// Frozen weights in blocks give the gradient of their values in f32, and take less memory.
static void check_blocks(void **state)
{
    (void)state;
    hn_lm_config c = params(HN_LM_LLAMA).model;
    const hn_type span = { HN_I32, 2, { 1, LENGTH } };
    hn_graph *plain;
    hn_weights *w[2];
    hn_plan *plan[2];
    float d[2][16 * 4], loss[2];
    double want[16 * 4];

    hn__free(base_of(HN_LM_LLAMA)); // for the tokens
    CHECK_OK(hn_graph_create(&plain));
    const hn_val ids = hn_input(plain, "ids", span), targets = hn_input(plain, "targets", span);
    hn_output(
        plain, "loss",
        hn_mean_all(plain, hn_lm_loss(plain, &c, hn_lm_hidden(plain, &c, ids, NULL), targets)));
    for (int k = 0; k < 2; k++)
        plan[k] = adapter_plan(plain, k ? all_q8 : NULL, &w[k]);
    quantise(w[0], w[1]);
    for (int k = 0; k < 2; k++) {
        CHECK_OK(hn_plan_write(plan[k], "ids", tokens, LENGTH * 4));
        CHECK_OK(hn_plan_write(plan[k], "targets", tokens + 1, LENGTH * 4));
        CHECK_OK(hn_plan_run(plan[k]));
        CHECK_OK(hn_plan_read(plan[k], "loss", &loss[k], sizeof loss[k]));
        CHECK_OK(hn_plan_read(plan[k], "d", d[k], sizeof d[k]));
    }
    CHECK(fabsf(loss[0] - loss[1]) <= 1e-5f * loss[0], "loss %g by values, %g by blocks",
          (double)loss[0], (double)loss[1]);
    for (int i = 0; i < 16 * 4; i++)
        want[i] = d[0][i];
    compare("dB by blocks", d[1], want, 16 * 4);
    const int64_t a = hn_plan_get_info(plan[0]).weight_bytes,
                  b = hn_plan_get_info(plan[1]).weight_bytes;
    CHECK(2 * b < a, "%d bytes of weights in f32, %d in blocks", (int)a, (int)b);
    for (int k = 0; k < 2; k++) {
        hn_plan_destroy(&plan[k]);
        hn_weights_destroy(&w[k]);
    }
    hn_graph_destroy(&plain);
}

// ---- frozen weights --------------------------------------------------------------------------

static void check_frozen(void **state)
{
    (void)state;
    static const char embed[] = "model.embed_tokens.weight", norm[] = "model.norm.weight";
    static const char first[] = "model.layers.0.self_attn.q_proj.weight";
    const char *const words[] = { "embed", "model.layers.0." };
    char *base = base_of(HN_LM_LLAMA);
    hn_train_params p = params(HN_LM_LLAMA);
    int64_t n, n_first, n_norm;
    float loss;

    p.from = base;
    p.tune = (hn_tune_params){ .freeze = words, .n_freeze = 2 };
    hn_trainer *t = open_trainer(&p);
    hn_weights *w = hn_trainer_weights(t);
    CHECK(hn_weights_find(w, "adam.m.model.embed_tokens.weight") < 0,
          "moments of a frozen weight");
    void *before = bits_of(w, embed, &n), *q = bits_of(w, first, &n_first),
         *moved = bits_of(w, norm, &n_norm);
    steps(t, 3, &loss);
    void *after = bits_of(w, embed, &n), *q_after = bits_of(w, first, &n_first),
         *moved_after = bits_of(w, norm, &n_norm);
    CHECK(!memcmp(before, after, (size_t)n), "the frozen embedding changed");
    CHECK(!memcmp(q, q_after, (size_t)n_first), "the frozen layer changed");
    CHECK(memcmp(moved, moved_after, (size_t)n_norm), "nothing was trained");
    hn_trainer_destroy(&t);
    free(before);
    free(after);
    free(q);
    free(q_after);
    free(moved);
    free(moved_after);
    hn__free(base);
}

// A base of 16-bit weights in a folder with files of its own.
static char *make_half_base(void)
{
    char *base = base_of(HN_LM_LLAMA), *to = in_root("half"), *from;
    char *file = hn__path_join(to, "model.safetensors"), *other;
    int64_t step;
    hn_tensors *tensors;
    hn_tensor list[64];
    CHECK_OK(hn__checkpoint_latest(base, &from, &step));
    CHECK_OK(hn_tensors_open(from, &tensors));
    CHECK_OK(hn__mkdirs(to));
    const int64_t n = hn_tensors_count(tensors);
    CHECK(n <= 64, "%d tensors", (int)n);
    for (int64_t i = 0; i < n; i++) {
        list[i] = *hn_tensors_at(tensors, i);
        const int64_t count = list[i].n_bytes / 4;
        void *half = malloc((size_t)count * 2);
        CHECK_OK(hn_tensor_read(&list[i], HN_BF16, half));
        list[i].dtype = HN_BF16;
        list[i].data = half;
        list[i].n_bytes = count * 2;
    }
    CHECK_OK(hn_tensors_write(file, list, n, NULL, 0));
    for (int64_t i = 0; i < n; i++)
        free((void *)(uintptr_t)list[i].data);
    static const char *const names[] = { "config.json", "tokenizer.json" };
    for (int i = 0; i < 2; i++) {
        hn__map m;
        char *a = hn__path_join(from, names[i]), *b = hn__path_join(to, names[i]);
        CHECK_OK(hn__map_open(a, &m));
        FILE *f = fopen(b, "wb");
        CHECK(f && fwrite(m.data, 1, m.size, f) == m.size && !fclose(f), "cannot write %s", b);
        hn__map_close(&m);
        hn__free(a);
        hn__free(b);
    }
    other = hn__path_join(to, "generation_config.json");
    FILE *f = fopen(other, "w");
    CHECK(f && fputs("{\"eos_token_id\": 7}", f) >= 0 && !fclose(f), "cannot write %s", other);
    hn_tensors_destroy(&tensors);
    hn__free(base);
    hn__free(from);
    hn__free(file);
    hn__free(other);
    return to;
}

// What is frozen is written as it was, in 16 bits; the base's other files come along.
static void check_layout(void **state)
{
    (void)state;
    const char *const words[] = { "embed" };
    char *base = make_half_base(), *dir = in_root("from-half"), *step;
    hn_train_params p = params(HN_LM_LLAMA);
    hn_tensors *have, *was;
    const hn_tensor *a, *b;
    int64_t at;
    float loss;

    p.from = base;
    p.tune = (hn_tune_params){ .freeze = words, .n_freeze = 1 };
    hn_trainer *t = open_trainer(&p);
    steps(t, 1, &loss);
    CHECK_OK(hn_trainer_save(t, dir, NULL));
    hn_trainer_destroy(&t);
    CHECK_OK(hn__checkpoint_latest(dir, &step, &at));
    CHECK_OK(hn_tensors_open(step, &have));
    CHECK_OK(hn_tensors_open(base, &was));
    CHECK(hn_tensors_count(have) == hn_tensors_count(was), "%d tensors of %d",
          (int)hn_tensors_count(have), (int)hn_tensors_count(was));
    CHECK_OK(hn_tensors_get(have, "model.embed_tokens.weight", &a));
    CHECK_OK(hn_tensors_get(was, "model.embed_tokens.weight", &b));
    CHECK(a->dtype == HN_BF16 && a->n_bytes == b->n_bytes &&
              !memcmp(a->data, b->data, (size_t)a->n_bytes),
          "the frozen embedding is not what it was");
    CHECK_OK(hn_tensors_get(have, "model.norm.weight", &a));
    CHECK(a->dtype == HN_F32, "a trained weight is %s", hn_dtype_name(a->dtype));
    char *other = hn__path_join(step, "generation_config.json");
    CHECK(hn__exists(other), "generation_config.json was left out");
    hn_tensors_destroy(&have);
    hn_tensors_destroy(&was);
    hn__free(other);
    hn__free(step);
    hn__free(base);
    hn__free(dir);
}

// ---- going on ------------------------------------------------------------------------------

static void check_resume(void **state)
{
    (void)state;
    const char *const words[] = { "model.layers.0." };
    char *base = base_of(HN_LM_LLAMA), *dir = in_root("resumed");
    hn_train_params p = params(HN_LM_LLAMA);
    float whole, resumed;

    p.from = base;
    p.tune = (hn_tune_params){ .rank = 2, .freeze = words, .n_freeze = 1 };
    hn_trainer *t = open_trainer(&p);
    steps(t, 6, &whole);
    hn_trainer_destroy(&t);
    t = open_trainer(&p);
    steps(t, 3, &resumed);
    CHECK_OK(hn_trainer_save(t, dir, NULL));
    hn_trainer_destroy(&t);
    t = open_trainer(&p);
    CHECK_OK(hn_trainer_resume(t, dir));
    CHECK(hn_trainer_steps_done(t) == 3, "at step %d", (int)hn_trainer_steps_done(t));
    steps(t, 3, &resumed);
    CHECK(!memcmp(&whole, &resumed, sizeof whole), "loss %.9g, %.9g after a resume", (double)whole,
          (double)resumed);
    hn_trainer_destroy(&t);

    p.tune.rank = 3;
    t = open_trainer(&p);
    CHECK_FAILS(hn_trainer_resume(t, dir), HN_ERR_ARG);
    CHECK(strstr(hn_error_text(), "lora"), "%s", hn_error_text());
    hn_trainer_destroy(&t);
    p.tune = (hn_tune_params){ .rank = 2 };
    t = open_trainer(&p);
    CHECK_FAILS(hn_trainer_resume(t, dir), HN_ERR_ARG);
    CHECK(strstr(hn_error_text(), "frozen"), "%s", hn_error_text());
    hn_trainer_destroy(&t);
    char *other = make_half_base();
    p.tune.freeze = words;
    p.tune.n_freeze = 1;
    p.from = other;
    t = open_trainer(&p);
    CHECK_FAILS(hn_trainer_resume(t, dir), HN_ERR_ARG);
    CHECK(strstr(hn_error_text(), "another model"), "%s", hn_error_text());
    hn_trainer_destroy(&t);
    hn__free(other);
    hn__free(base);
    hn__free(dir);
}

// ---- refusals ------------------------------------------------------------------------------

static void refused(const hn_train_params *p, hn_status want, const char *words)
{
    hn_trainer *t;
    CHECK_FAILS(hn_trainer_create(dev, p, tokens, N_TOKENS, &t), want);
    CHECK(strstr(hn_error_text(), words), "no '%s' in: %s", words, hn_error_text());
    CHECK(t == NULL, "a trainer after a failure");
}

static void check_refused(void **state)
{
    (void)state;
    const char *const everything[] = { "model" }, *const slip[] = { "embde" };
    char *base = base_of(HN_LM_LLAMA);
    hn_train_params p = params(HN_LM_LLAMA);

    p.from = "/nonexistent";
    refused(&p, HN_ERR_IO, "/nonexistent");
    p.from = base;
    p.tune = (hn_tune_params){ .freeze = slip, .n_freeze = 1 };
    refused(&p, HN_ERR_ARG, "embde");
    p.tune = (hn_tune_params){ .freeze = everything, .n_freeze = 1 };
    refused(&p, HN_ERR_ARG, "nothing is left");
    p.tune = (hn_tune_params){ .rank = 2, .targets = slip, .n_targets = 1 };
    refused(&p, HN_ERR_ARG, "embde");
    p.tune = (hn_tune_params){ .targets = slip, .n_targets = 1 };
    refused(&p, HN_ERR_ARG, "rank");
    p.tune = (hn_tune_params){ .rank = -1 };
    refused(&p, HN_ERR_ARG, "-1");
    hn__free(base);
}

// A device too small for all weights' moments trains adapters; the refusal comes before anything
// is allocated, and has both numbers.
static void check_memory(void **state)
{
    (void)state;
    char *base = base_of(HN_LM_LLAMA);
    hn_train_params p = params(HN_LM_LLAMA);
    hn_device_params small = test_device_params();
    hn_device *d, *usual = dev;
    float loss;

    p.from = base;
    p.model.dropout = 0;
    p.batch = 1;
    p.length = 4;
    p.tune = (hn_tune_params){ .rank = 1 };
    hn_trainer *t = open_trainer(&p);
    const hn_plan_info adapters = hn_plan_get_info(hn_trainer_plan(t));
    hn_trainer_destroy(&t);
    p.tune = (hn_tune_params){ 0 };
    t = open_trainer(&p);
    const hn_plan_info all = hn_plan_get_info(hn_trainer_plan(t));
    hn_trainer_destroy(&t);
    const int64_t need = adapters.weight_bytes + adapters.block_bytes + adapters.io_bytes;
    const int64_t full = all.weight_bytes + all.block_bytes + all.io_bytes;
    CHECK(full > need * 3 / 2, "%d bytes in full, %d with adapters", (int)full, (int)need);

    small.most_bytes = need + (full - need) / 2;
    CHECK_OK(hn_device_open(&small, &d));
    CHECK(hn_device_get_info(d)->heap_bytes == small.most_bytes, "the device has %lld bytes",
          (long long)hn_device_get_info(d)->heap_bytes);
    dev = d;
    refused(&p, HN_ERR_NOMEM, "adapters");
    CHECK(hn_device_bytes(d) == 0, "%lld bytes were taken", (long long)hn_device_bytes(d));
    p.tune.rank = 1;
    t = open_trainer(&p);
    steps(t, 1, &loss);
    hn_trainer_destroy(&t);
    hn_device_close(&d);
    dev = usual;
    hn__free(base);
}

int main(void)
{
    if (!mkdtemp(root))
        return 1;
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(check_llama_adapters),   cmocka_unit_test(check_gpt2_adapters),
        cmocka_unit_test(check_adapter_gradient), cmocka_unit_test(check_blocks),
        cmocka_unit_test(check_frozen),           cmocka_unit_test(check_layout),
        cmocka_unit_test(check_resume),           cmocka_unit_test(check_refused),
        cmocka_unit_test(check_memory),
    };
    const hn_device_params p = test_device_params();
    dev = test_device_open(&p);
    const int failed = cmocka_run_group_tests(tests, NULL, NULL);
    test_device_close(&dev);
    hn__remove_all(root);
    return failed;
}
