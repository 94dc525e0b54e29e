// Training of language models: spans of tokens drawn by step, next tokens as targets.
#include "train/trainer.h"

#include <string.h>

typedef struct lm_task {
    hn__task task;
    hn_train_params p;
    const int32_t *tokens; // borrowed
    int64_t n_tokens;
    int32_t *room; // ids, then targets, of one batch
} lm_task;

static hn_status build(hn__task *task, hn_graph *g, hn_val key, hn_val *out_loss)
{
    const hn_train_params *p = &((lm_task *)task)->p;
    const hn_type span = { HN_I32, 2, { p->batch, p->length } };
    const hn_val ids = hn_input(g, "ids", span), targets = hn_input(g, "targets", span);
    const hn_lm_build how = { .dropout_key = p->model.dropout > 0 ? key : (hn_val){ 0 } };
    const hn_val hidden = hn_lm_hidden(g, &p->model, ids, &how);

    *out_loss = hn_mean_all(g, hn_lm_loss(g, &p->model, hidden, targets));
    return hn_graph_status(g);
}

// The map of a vq head that came from no checkpoint: by the mass of tokens in the training text.
static hn_status begin(hn__task *task, hn_weights *w)
{
    const lm_task *k = (lm_task *)task;
    const hn_lm_config *c = &k->p.model;

    if (c->head != HN_HEAD_VQ || k->p.from)
        return HN_OK;
    int64_t *counts = hn__calloc((size_t)c->vocab, sizeof *counts);
    int32_t *map = hn__calloc((size_t)c->vocab, sizeof *map);
    hn_status s = counts && map ? HN_OK : hn__nomem((size_t)c->vocab * sizeof *counts);
    for (int64_t i = 0; s == HN_OK && i < k->n_tokens; i++)
        counts[k->tokens[i]]++;
    if (s == HN_OK)
        s = hn_vq_map_by_mass(counts, c->vocab, c->codes, map);
    if (s == HN_OK)
        s = hn_weights_write(w, "lm_head.map", map, c->vocab * (int64_t)sizeof *map);
    hn__free(counts);
    hn__free(map);
    return s;
}

static hn_status feed(hn__task *task, hn_plan *plan, int64_t step)
{
    const lm_task *k = (lm_task *)task;
    const hn_train_params *p = &k->p;
    const int64_t n = p->batch * p->length, bytes = n * (int64_t)sizeof *k->room;
    hn_rng rng = hn__rng(p->seed, (uint64_t)step);

    for (int64_t b = 0; b < p->batch; b++) {
        const int32_t *span = k->tokens + hn__rng_below(&rng, k->n_tokens - p->length);
        for (int64_t i = 0; i < p->length; i++) {
            k->room[b * p->length + i] = span[i];
            k->room[n + b * p->length + i] = span[i + 1];
        }
    }
    HN_TRY(hn_plan_write(plan, "ids", k->room, bytes));
    return hn_plan_write(plan, "targets", k->room + n, bytes);
}

static int settings(const hn__task *task, hn__setting s[])
{
    const hn_train_params *p = &((const lm_task *)task)->p;
    const hn_lm_config *c = &p->model;
    const hn__setting all[] = {
        { "family", c->family },
        { "vocab", (double)c->vocab },
        { "width", (double)c->width },
        { "layers", (double)c->layers },
        { "heads", (double)c->heads },
        { "kv_heads", (double)c->kv_heads },
        { "ffn", (double)c->ffn },
        { "context", (double)c->context },
        { "head_dim", (double)c->head_dim },
        { "eps", c->eps },
        { "rope_base", c->rope_base },
        { "rope_scaling", c->rope_scaling.kind },
        { "rope_factor", c->rope_scaling.factor },
        { "rope_low", c->rope_scaling.low },
        { "rope_high", c->rope_scaling.high },
        { "rope_original", (double)c->rope_scaling.original },
        { "qkv_bias", c->qkv_bias },
        { "out_bias", c->out_bias },
        { "act", c->act },
        { "rows_out", c->rows_out },
        { "tied", c->tied },
        { "head", c->head },
        { "codes", (double)c->codes },
        { "token_bias", c->token_bias },
        { "dropout", c->dropout },
        { "length", (double)p->length },
    };
    memcpy(s, all, sizeof all);
    return (int)(sizeof all / sizeof *all);
}

static hn_status save_config(const hn__task *task, const char *path)
{
    return hn_lm_config_save(&((const lm_task *)task)->p.model, path);
}

static void destroy(hn__task *task)
{
    hn__free(((lm_task *)task)->room);
    hn__free(task);
}

static const hn__task_fns lm_fns = {
    .build = build,
    .begin = begin,
    .feed = feed,
    .settings = settings,
    .save_config = save_config,
    .destroy = destroy,
};

static hn_status check(const hn_train_params *p, const int32_t tokens[], int64_t n)
{
    HN_TRY(hn_lm_config_check(&p->model));
    if (p->batch < 1 || p->length < 1 || p->length > p->model.context)
        return hn_fail(HN_ERR_ARG,
                       "batch %" PRId64 " must be > 0, length %" PRId64 " in [1, %" PRId64 "]",
                       p->batch, p->length, p->model.context);
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

// The model's configuration, from the base where there is one.
static hn_status open_base(hn_train_params *p, hn__base **out)
{
    const float dropout = p->model.dropout;

    *out = NULL;
    if (!p->from)
        return HN_OK;
    HN_TRY(hn__base_open(p->from, out));
    const hn_status s = hn__base_lm_config(*out, &p->model);
    p->model.dropout = dropout;
    if (s)
        hn__base_close(out);
    return s;
}

static hn_status make(const hn_train_params *p, const int32_t tokens[], int64_t n, lm_task **out)
{
    *out = NULL;
    HN_TRY(check(p, tokens, n));
    lm_task *k = hn__calloc(1, sizeof *k);
    if (!k)
        return hn__nomem(sizeof *k);
    *k = (lm_task){ .task = { .fn = &lm_fns,
                              .data_hash = hn__hash(tokens, (size_t)n * sizeof *tokens, 0),
                              .in_out = p->model.family == HN_LM_GPT2 && !p->model.rows_out,
                              .peft_task = "CAUSAL_LM",
                              .peft_prefix = p->model.family == HN_LM_GPT2 ? "transformer." : "" },
                    .p = *p,
                    .tokens = tokens,
                    .n_tokens = n };
    k->room = hn__calloc((size_t)(2 * p->batch * p->length), sizeof *k->room);
    if (!k->room) {
        destroy(&k->task);
        return hn__nomem((size_t)(2 * p->batch * p->length) * sizeof *k->room);
    }
    *out = k;
    return HN_OK;
}

hn_status hn_trainer_create(hn_device *d, const hn_train_params *params, const int32_t tokens[],
                            int64_t n, hn_trainer **out)
{
    hn_train_params p = *params;
    hn__base *base;
    lm_task *k;

    *out = NULL;
    HN_TRY(hn_context(open_base(&p, &base), "training"));
    const hn_status s = make(&p, tokens, n, &k);
    if (s) {
        hn__base_close(&base);
        return hn_context(s, "training");
    }
    return hn__trainer_create(d, &p, &k->task, base, out);
}
