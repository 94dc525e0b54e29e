// Continuing a text: a plan for chunks of the prompt, one for single tokens, both over the same
// caches of keys and values; sampling on the host.
#include "nn/lm.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static hn_status make_stepper(hn_lm *m, hn__lm_stepper *s, int64_t t)
{
    const hn_type i1 = { HN_I32, 1, { 1 } };
    hn_graph *g;

    if (s->plan)
        return HN_OK;
    HN_TRY(hn_graph_create(&g));
    const hn_lm_build build = { .at = hn_input(g, "at", i1),
                                .positions =
                                    hn_input(g, "positions", (hn_type){ HN_I32, 1, { t } }),
                                .n_keys = hn_input(g, "n_keys", i1) };
    const hn_val ids = hn_input(g, "ids", (hn_type){ HN_I32, 2, { 1, t } });
    const hn_val hidden = hn_reshape(g, hn_lm_hidden(g, &m->config, ids, &build), 2,
                                     (int64_t[]){ t, m->config.width });
    const hn_val row = hn_embedding(g, hidden, hn_input(g, "row", i1)); // [1, d]
    hn_output(g, "logits", hn_lm_logits(g, &m->config, row));
    hn_status st = hn_weights_add(m->weights, g, 0); // the caches
    if (st == HN_OK)
        st = hn_plan_create(g, m->dev, &(hn_plan_params){ .weights = m->weights }, &s->plan);
    hn_graph_destroy(&g);
    s->t = t;
    return st;
}

static hn_status put(hn__lm_stepper *s, const char *name, const int32_t *x, int64_t n)
{
    return hn_plan_write(s->plan, name, x, n * (int64_t)sizeof *x);
}

// Runs n <= s->t tokens from position `at`; logits may be NULL. Rows past n are padding: what they
// write to the caches is overwritten before anything sees it.
static hn_status run_step(hn_lm *m, hn__lm_stepper *s, const int32_t *ids, int64_t n, int64_t at,
                          float *logits)
{
    int32_t row[HN__LM_CHUNK] = { 0 }, positions[HN__LM_CHUNK];

    memcpy(row, ids, (size_t)n * sizeof *row);
    for (int64_t i = 0; i < s->t; i++)
        positions[i] = (int32_t)(at + i < m->config.context ? at + i : m->config.context - 1);
    HN_TRY(put(s, "ids", row, s->t));
    HN_TRY(put(s, "positions", positions, s->t));
    HN_TRY(put(s, "at", &(int32_t){ (int32_t)at }, 1));
    HN_TRY(put(s, "n_keys", &(int32_t){ (int32_t)(at + s->t) }, 1));
    HN_TRY(put(s, "row", &(int32_t){ (int32_t)(n - 1) }, 1));
    HN_TRY(hn_plan_run(s->plan));
    return logits
               ? hn_plan_read(s->plan, "logits", logits, m->config.vocab * (int64_t)sizeof *logits)
               : HN_OK;
}

// Feeds n tokens from position `at`; logits after the last.
static hn_status feed(hn_lm *m, const int32_t *ids, int64_t n, int64_t at, float *logits)
{
    const int64_t chunk = m->config.context < HN__LM_CHUNK ? m->config.context : HN__LM_CHUNK;

    while (n > 0) {
        const bool one = n == 1;
        const int64_t part = one ? 1 : n < chunk ? n : chunk;
        HN_TRY(make_stepper(m, one ? &m->one : &m->chunk, one ? 1 : chunk));
        HN_TRY(run_step(m, one ? &m->one : &m->chunk, ids, part, at, part == n ? logits : NULL));
        ids += part;
        at += part;
        n -= part;
    }
    return HN_OK;
}

static hn_status check_ids(const hn_lm *m, const int32_t *ids, int64_t n)
{
    for (int64_t i = 0; i < n; i++)
        if (ids[i] < 0 || ids[i] >= m->config.vocab)
            return hn_fail(HN_ERR_ARG, "token %d at %" PRId64 " is not in [0, %" PRId64 ")",
                           ids[i], i, m->config.vocab);
    return HN_OK;
}

hn_status hn_lm_next_logits(hn_lm *m, const int32_t ids[], int64_t n, float out[])
{
    if (n < 1 || n > m->config.context)
        return hn_fail(HN_ERR_ARG, "%" PRId64 " tokens; the model takes 1 to %" PRId64, n,
                       m->config.context);
    HN_TRY(check_ids(m, ids, n));
    return feed(m, ids, n, 0, out);
}

// ---- sampling ------------------------------------------------------------------------------

typedef struct choice {
    float p;
    int32_t id;
} choice;

static int likelier(const void *a, const void *b)
{
    const choice *x = a, *y = b;
    return x->p != y->p ? (x->p < y->p ? 1 : -1) : x->id - y->id;
}

static int32_t likeliest(const float *logits, int64_t n)
{
    int64_t best = 0;
    for (int64_t i = 1; i < n; i++)
        if (logits[i] > logits[best])
            best = i;
    return (int32_t)best;
}

static int32_t sample(const float *logits, int64_t n, const hn_sample_params *p, hn_rng *rng,
                      choice *room)
{
    const int32_t best = likeliest(logits, n);
    double sum = 0, part = 0;
    int64_t most = p->top_k > 0 && p->top_k < n ? p->top_k : n, kept = 0;

    if (!(p->temperature > 0))
        return best;
    for (int64_t i = 0; i < n; i++)
        room[i] = (choice){ expf((logits[i] - logits[best]) / p->temperature), (int32_t)i };
    qsort(room, (size_t)n, sizeof *room, likelier);
    for (int64_t i = 0; i < most; i++)
        sum += room[i].p;
    const double enough = p->top_p > 0 && p->top_p < 1 ? p->top_p * sum : sum;
    while (kept < most && part < enough)
        part += room[kept++].p;
    double at = hn__rng_uniform(rng) * part;
    for (int64_t i = 0; i < kept; i++)
        if ((at -= room[i].p) < 0)
            return room[i].id;
    return room[kept ? kept - 1 : 0].id;
}

typedef struct talk {
    hn_lm *m;
    const hn_sample_params *p;
    hn_text_fn fn;
    void *user;
    float *logits;
    choice *room;
    int64_t made;
} talk;

static hn_status run_talk(talk *t, const hn_ids *prompt)
{
    hn_rng rng = hn__rng(t->p->seed, 0x67656e);
    int64_t at = prompt->n;

    HN_TRY(feed(t->m, prompt->id, prompt->n, 0, t->logits));
    while (t->made < t->p->n_tokens) {
        size_t n;
        const int32_t id = sample(t->logits, t->m->config.vocab, t->p, &rng, t->room);
        if (id == t->m->end && !t->p->ignore_end)
            break;
        t->made++;
        const void *bytes = hn_tokenizer_bytes(t->m->tok, id, &n);
        if (bytes && !hn_tokenizer_is_special(t->m->tok, id) && t->fn && !t->fn(t->user, bytes, n))
            break;
        if (t->made < t->p->n_tokens)
            HN_TRY(feed(t->m, &id, 1, at++, t->logits));
    }
    return HN_OK;
}

hn_status hn_lm_generate(hn_lm *m, const void *text, size_t n, const hn_sample_params *p,
                         hn_text_fn fn, void *user, int64_t *out_n)
{
    talk t = { m, p, fn, user, NULL, NULL, 0 };
    hn_ids prompt = { 0 };
    hn_status s = hn_tokenizer_encode(m->tok, text, n, 0, &prompt);

    if (s == HN_OK && prompt.n == 0) {
        if (m->start < 0)
            s = hn_fail(HN_ERR_ARG, "the prompt is empty, and the model has no start token");
        else
            s = hn__reserve((void **)&prompt.id, &prompt.cap, 1, sizeof *prompt.id);
        if (s == HN_OK)
            prompt.id[prompt.n++] = m->start;
    }
    if (s == HN_OK && prompt.n + p->n_tokens > m->config.context)
        s = hn_fail(HN_ERR_ARG,
                    "%" PRId64 " tokens of prompt and %" PRId64
                    " to make exceed the context of %" PRId64,
                    prompt.n, p->n_tokens, m->config.context);
    if (s == HN_OK)
        s = check_ids(m, prompt.id, prompt.n);
    t.logits = hn__calloc((size_t)m->config.vocab, sizeof *t.logits);
    t.room = hn__calloc((size_t)m->config.vocab, sizeof *t.room);
    if (s == HN_OK && (!t.logits || !t.room))
        s = hn__nomem((size_t)m->config.vocab * sizeof *t.room);
    if (s == HN_OK)
        s = run_talk(&t, &prompt);
    if (out_n)
        *out_n = t.made;
    hn__free(t.logits);
    hn__free(t.room);
    hn_ids_free(&prompt);
    return s;
}
