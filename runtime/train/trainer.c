// The trainer of language models: one plan for the whole step, spans of tokens drawn by step.
#include "train/trainer.h"

#include <math.h>

// Mean over the targets that are not masked (here: all).
static hn_val mean_loss(hn_graph *g, const hn_train_params *p, hn_val ids, hn_val targets,
                        hn_val key)
{
    const hn_lm_build build = { .dropout_key = p->model.dropout > 0 ? key : (hn_val){ 0 } };
    return hn_mean_all(g,
                       hn_lm_loss(g, &p->model, hn_lm_hidden(g, &p->model, ids, &build), targets));
}

static hn_status build(hn_trainer *t, hn_graph *g)
{
    const hn_train_params *p = &t->params;
    const hn_type span = { HN_I32, 2, { p->batch, p->length } };
    const hn_val ids = hn_input(g, "ids", span), targets = hn_input(g, "targets", span);
    const hn_val lr = hn_input(g, "lr", (hn_type){ HN_F32, 1, { 1 } });
    const hn_val key = hn_input(g, "key", (hn_type){ HN_I32, 1, { 2 } });
    const hn_val loss = mean_loss(g, p, ids, targets, key);
    hn_optimizer_out o;

    HN_TRY(hn_optimize(g, loss, lr, &p->optimizer, &o));
    hn_output(g, "loss", loss);
    hn_output(g, "grad_norm", o.grad_norm);
    hn_output(g, "scale", o.scale);
    hn_output(g, "overflows", o.overflows);
    return hn_graph_status(g);
}

// The map of a vq head: by the mass of tokens in the training text.
static hn_status fill_map(hn_trainer *t)
{
    const hn_lm_config *c = &t->params.model;
    int64_t *counts = hn__calloc((size_t)c->vocab, sizeof *counts);
    int32_t *map = hn__calloc((size_t)c->vocab, sizeof *map);
    hn_status s = counts && map ? HN_OK : hn__nomem((size_t)c->vocab * sizeof *counts);

    for (int64_t i = 0; s == HN_OK && i < t->n_tokens; i++)
        counts[t->tokens[i]]++;
    if (s == HN_OK)
        s = hn_vq_map_by_mass(counts, c->vocab, c->codes, map);
    if (s == HN_OK)
        s = hn_weights_write(t->weights, "lm_head.map", map, c->vocab * (int64_t)sizeof *map);
    hn__free(counts);
    hn__free(map);
    return s;
}

static hn_status check(const hn_train_params *p, const int32_t tokens[], int64_t n)
{
    HN_TRY(hn_lm_config_check(&p->model));
    if (p->batch < 1 || p->length < 1 || p->length > p->model.context)
        return hn_fail(HN_ERR_ARG,
                       "batch %" PRId64 " must be > 0, length %" PRId64 " in [1, %" PRId64 "]",
                       p->batch, p->length, p->model.context);
    if (p->steps < 1 || p->warmup < 0 || !(p->lr > 0) || !(p->lr_end >= 0))
        return hn_fail(HN_ERR_ARG, "steps %" PRId64 ", warm-up %" PRId64 ", rates %g to %g",
                       p->steps, p->warmup, p->lr, p->lr_end);
    if (n < p->length + 1)
        return hn_fail(HN_ERR_ARG, "%" PRId64 " tokens of training text; a span takes %" PRId64, n,
                       p->length + 1);
    for (int64_t i = 0; i < n; i++)
        if (tokens[i] < 0 || tokens[i] >= p->model.vocab)
            return hn_fail(HN_ERR_ARG,
                           "token %d at %" PRId64 " of the training text is not in [0, %" PRId64
                           ")",
                           tokens[i], i, p->model.vocab);
    return HN_OK;
}

static hn_status make(hn_trainer *t, hn_device *d)
{
    const hn_train_params *p = &t->params;
    hn_graph *g = NULL;

    t->room = hn__calloc((size_t)(2 * p->batch * p->length), sizeof *t->room);
    if (!t->room)
        return hn__nomem((size_t)(2 * p->batch * p->length) * sizeof *t->room);
    HN_TRY(hn_weights_create(d, &t->weights));
    HN_TRY(hn_graph_create(&g));
    hn_status s = build(t, g);
    if (s == HN_OK)
        s = hn_weights_add(t->weights, g, p->seed);
    if (s == HN_OK && p->model.head == HN_HEAD_VQ)
        s = fill_map(t);
    if (s == HN_OK)
        s = hn_plan_create(g, d, &(hn_plan_params){ .weights = t->weights, .no_fuse = p->no_fuse,
                                                    .no_replay = p->no_replay }, &t->plan);
    hn_graph_destroy(&g);
    return s;
}

hn_status hn_trainer_create(hn_device *d, const hn_train_params *p, const int32_t tokens[],
                            int64_t n, hn_trainer **out)
{
    *out = NULL;
    HN_TRY(check(p, tokens, n));
    hn_trainer *t = hn__calloc(1, sizeof *t);
    if (!t)
        return hn__nomem(sizeof *t);
    *t = (hn_trainer){ .params = *p, .tokens = tokens, .n_tokens = n };
    t->data_hash = hn__hash(tokens, (size_t)n * sizeof *tokens, 0);
    const hn_status s = make(t, d);
    if (s)
        hn_trainer_destroy(&t);
    *out = t;
    return hn_context(s, "training");
}

void hn_trainer_destroy(hn_trainer **t)
{
    if (!*t)
        return;
    hn_plan_destroy(&(*t)->plan);
    hn_weights_destroy(&(*t)->weights);
    hn__free((*t)->room);
    hn__free(*t);
    *t = NULL;
}

hn_weights *hn_trainer_weights(hn_trainer *t)
{
    return t->weights;
}

hn_plan *hn_trainer_plan(hn_trainer *t)
{
    return t->plan;
}

int64_t hn_trainer_steps_done(const hn_trainer *t)
{
    return t->done;
}

// Linear warm-up, then a cosine from lr to lr_end (Loshchilov and Hutter 2017, arXiv 1608.03983).
static double rate(const hn_train_params *p, int64_t step)
{
    if (step <= p->warmup)
        return p->lr * (double)step / (double)p->warmup;
    if (step >= p->steps)
        return p->lr_end;
    const double at = (double)(step - p->warmup) / (double)(p->steps - p->warmup);
    return p->lr_end + (p->lr - p->lr_end) * 0.5 * (1 + cos(3.141592653589793 * at));
}

static hn_status write_batch(hn_trainer *t, int64_t step)
{
    const hn_train_params *p = &t->params;
    const int64_t n = p->batch * p->length, bytes = n * (int64_t)sizeof *t->room;
    hn_rng rng = hn__rng(p->seed, (uint64_t)step);

    for (int64_t b = 0; b < p->batch; b++) {
        const int32_t *span = t->tokens + hn__rng_below(&rng, t->n_tokens - p->length);
        for (int64_t i = 0; i < p->length; i++) {
            t->room[b * p->length + i] = span[i];
            t->room[n + b * p->length + i] = span[i + 1];
        }
    }
    const float lr = (float)rate(p, step);
    const int32_t key[2] = { (int32_t)p->seed, (int32_t)step };
    HN_TRY(hn_plan_write(t->plan, "ids", t->room, bytes));
    HN_TRY(hn_plan_write(t->plan, "targets", t->room + n, bytes));
    HN_TRY(hn_plan_write(t->plan, "lr", &lr, sizeof lr));
    return hn_plan_write(t->plan, "key", key, sizeof key);
}

static hn_status read_number(hn_trainer *t, const char *name, double *out)
{
    float x;
    HN_TRY(hn_plan_read(t->plan, name, &x, sizeof x));
    *out = x;
    return HN_OK;
}

hn_status hn_trainer_step(hn_trainer *t, hn_train_step *out)
{
    const int64_t step = t->done + 1;

    HN_TRY(write_batch(t, step));
    HN_TRY(hn_plan_run(t->plan));
    t->done = step;
    *out = (hn_train_step){ .step = step, .lr = rate(&t->params, step) };
    HN_TRY(read_number(t, "loss", &out->loss));
    HN_TRY(read_number(t, "grad_norm", &out->grad_norm));
    HN_TRY(read_number(t, "scale", &out->scale));
    return read_number(t, "overflows", &out->overflows);
}
