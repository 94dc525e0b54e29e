// Continuing a text: plans for large and small chunks of the prompt and one for single tokens, all
// over the same caches of keys and values; sampling on the host.
#include "nn/lm.h"
#include "nn/logits.h"

#include "base/os.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

static hn_status make_stepper(hn_lm *m, hn__lm_stepper *s, int64_t t)
{
    const hn_type i1 = { HN_I32, 1, { 1 } };
    hn_graph *g;

    if (s->plan)
        return HN_OK;
    HN_TRY(hn_graph_create(&g));
    const hn_lm_build build = { .at = hn_input(g, "at", i1),
                                .cache = m->cache,
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

static const char *cache_name(int64_t i, char name[64])
{
    snprintf(name, 64, "cache.%c.%" PRId64, i % 2 ? 'v' : 'k', i / 2);
    return name;
}

static void drop_caches(hn_lm *m)
{
    char name[64];
    for (int64_t i = 0; i < 2 * m->config.layers; i++)
        hn_weights_remove(m->weights, cache_name(i, name));
}

// A cache of want positions in place of the one of this name, with what it held.
static hn_status grow_cache(hn_lm *m, const char *name, int64_t want)
{
    const int64_t at = hn_weights_find(m->weights, name);
    hn_type t;

    if (at < 0)
        return HN_OK; // no plan has made it yet
    t = hn_weights_info(m->weights, at).type;
    const int64_t had = hn_type_bytes(&t);
    t.dim[1] = want;
    void *data = hn__calloc((size_t)hn_type_bytes(&t), 1);
    if (!data)
        return hn__nomem((size_t)hn_type_bytes(&t));
    hn_status s = hn_weights_read(m->weights, name, data, had);
    hn_weights_remove(m->weights, name);
    if (s == HN_OK)
        s = hn_weights_put(m->weights, name, t, false);
    if (s == HN_OK)
        s = hn_weights_write(m->weights, name, data, hn_type_bytes(&t));
    hn__free(data);
    return s;
}

// Makes the caches hold n positions. Larger ones have new plans.
static hn_status grow_caches(hn_lm *m, int64_t n)
{
    const int64_t most = m->config.context, had = m->fed.n;
    int64_t want = (n + HN__LM_CACHE - 1) / HN__LM_CACHE * HN__LM_CACHE;
    char name[64];

    if (n <= m->cache)
        return HN_OK;
    want = want < 2 * m->cache ? 2 * m->cache : want; // a conversation grows many times
    want = want < most ? want : most;
    for (int i = 0; i < HN__LM_STEPPERS; i++)
        hn_plan_destroy(&m->steppers[i].plan);
    m->cache = m->fed.n = 0; // should it fail on the way, the caches differ in size
    for (int64_t i = 0; i < 2 * m->config.layers; i++) {
        const hn_status s = grow_cache(m, cache_name(i, name), want);
        if (s) {
            drop_caches(m);
            return s;
        }
    }
    m->cache = want;
    m->fed.n = had;
    return HN_OK;
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

// The stepper for what is left of n tokens. A chunk that is not full costs as much as a full one,
// so the large one is for what it can nearly fill.
static hn__lm_stepper *pick(hn_lm *m, int64_t n, int64_t *size)
{
    static const int64_t sizes[HN__LM_STEPPERS] = { HN__LM_CHUNK, HN__LM_CHUNK / 4, 1 };
    const int i = n > HN__LM_CHUNK / 4 * 3 ? 0 : n > 1 ? 1 : 2;
    *size = sizes[i] < m->config.context ? sizes[i] : m->config.context;
    return &m->steppers[i];
}

// Runs n tokens from position `at`; logits after the last.
static hn_status run(hn_lm *m, const int32_t *ids, int64_t n, int64_t at, float *logits)
{
    while (n > 0) {
        int64_t size;
        hn__lm_stepper *s = pick(m, n, &size);
        const int64_t part = n < size ? n : size;
        HN_TRY(make_stepper(m, s, size));
        HN_TRY(run_step(m, s, ids, part, at, part == n ? logits : NULL));
        ids += part;
        at += part;
        n -= part;
    }
    return HN_OK;
}

static int64_t common(const hn_ids *a, const int32_t *b, int64_t n)
{
    int64_t i = 0;
    while (i < a->n && i < n && a->id[i] == b[i])
        i++;
    return i;
}

// Makes the caches hold exactly these n tokens, of which those in front that they hold already are
// not run again if `keep`; logits after the last. *out_run is the number of tokens that were run.
static hn_status feed(hn_lm *m, const int32_t *ids, int64_t n, bool keep, float *logits,
                      int64_t *out_run)
{
    int64_t have = keep ? common(&m->fed, ids, n) : 0;

    if (have == n)
        have--; // the last one is run for its logits
    m->fed.n = have; // whatever fails
    HN_TRY(hn__reserve((void **)&m->fed.id, &m->fed.cap, n, sizeof *m->fed.id));
    HN_TRY(run(m, ids + have, n - have, have, logits));
    memcpy(m->fed.id + have, ids + have, (size_t)(n - have) * sizeof *ids);
    m->fed.n = n;
    if (out_run)
        *out_run = n - have;
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
    HN_TRY(grow_caches(m, n));
    return feed(m, ids, n, false, out, NULL);
}

// ---- sampling ------------------------------------------------------------------------------

typedef struct choice {
    float p;
    int32_t id;
} choice;

static bool likelier(choice a, choice b)
{
    return a.p > b.p || (a.p >= b.p && a.id < b.id);
}

// Puts heap[at] where it belongs: no element is likelier than the one half its place above it.
static void sink(choice *heap, int64_t n, int64_t at)
{
    const choice x = heap[at];
    for (int64_t child; (child = 2 * at + 1) < n; at = child) {
        if (child + 1 < n && likelier(heap[child + 1], heap[child]))
            child++;
        if (!likelier(heap[child], x))
            break;
        heap[at] = heap[child];
    }
    heap[at] = x;
}

// Takes the likeliest of the n that are left to the end of the heap.
static void pop(choice *heap, int64_t n)
{
    const choice top = heap[0];
    heap[0] = heap[n - 1];
    heap[n - 1] = top;
    sink(heap, n - 1, 0);
}

// The choices that may be made, in falling order from the end of `room` down; how many. *mass is
// the sum of their weights. Of a large vocabulary few are wanted, so it is not sorted.
static int64_t narrow(choice *room, int64_t n, const hn_sample_params *p, double sum, double *mass)
{
    const int64_t most = p->top_k > 0 && p->top_k < n ? p->top_k : n;
    int64_t kept = 0, all = 0;

    for (int64_t i = n / 2 - 1; i >= 0; i--)
        sink(room, n, i);
    if (most < n)
        for (sum = 0; all < most; all++) {
            pop(room, n - all);
            sum += room[n - all - 1].p;
        }
    const double enough = p->top_p > 0 && p->top_p < 1 ? p->top_p * sum : sum;
    for (*mass = 0; kept < most && *mass < enough; kept++) {
        if (kept >= all)
            pop(room, n - kept);
        *mass += room[n - kept - 1].p;
    }
    return kept;
}

static int32_t sample(const float *logits, int64_t n, const hn_sample_params *p, hn_rng *rng,
                      choice *room)
{
    const int32_t best = hn__likeliest(logits, n);
    const bool narrowed = p->top_k > 0 || (p->top_p > 0 && p->top_p < 1);
    int64_t kept = n;
    double mass = 0;

    if (!(p->temperature > 0))
        return best;
    for (int64_t i = 0; i < n; i++) {
        room[i] = (choice){ expf((logits[i] - logits[best]) / p->temperature), (int32_t)i };
        mass += room[i].p;
    }
    if (narrowed)
        kept = narrow(room, n, p, mass, &mass);
    double at = hn__rng_uniform(rng) * mass;
    for (int64_t i = 0; i < kept; i++)
        if ((at -= room[n - 1 - i].p) < 0)
            return room[n - 1 - i].id;
    return best;
}

// ---- the loop ------------------------------------------------------------------------------

typedef struct talk {
    hn_lm *m;
    const hn_sample_params *p;
    hn_text_fn fn;
    void *user;
    float *logits;
    choice *room;
    hn_generated done;
} talk;

static hn_status append(hn_ids *ids, int32_t id)
{
    HN_TRY(hn__reserve((void **)&ids->id, &ids->cap, ids->n + 1, sizeof *ids->id));
    ids->id[ids->n++] = id;
    return HN_OK;
}

static bool is_end(const talk *t, int32_t id)
{
    for (int i = 0; i < t->p->n_ends; i++)
        if (t->p->ends[i] == id)
            return true;
    return hn_lm_is_end(t->m, id);
}

// One token more. *more is false where it is the last.
static hn_status say(talk *t, hn_rng *rng, hn_ids *ids, bool *more)
{
    size_t n;
    const int32_t id = sample(t->logits, t->m->config.vocab, t->p, rng, t->room);
    const void *bytes = hn_tokenizer_bytes(t->m->tok, id, &n);

    HN_TRY(append(ids, id));
    *more = false;
    if (!t->p->ignore_end && is_end(t, id))
        return HN_OK;
    t->done.tokens++;
    if (bytes && !hn_tokenizer_is_special(t->m->tok, id) && t->fn && !t->fn(t->user, bytes, n))
        return HN_OK;
    *more = t->done.tokens < t->p->n_tokens;
    return *more ? feed(t->m, ids->id, ids->n, true, t->logits, NULL) : HN_OK;
}

static hn_status run_talk(talk *t, hn_ids *ids, bool keep)
{
    hn_rng rng = hn__rng(t->p->seed, 0x67656e);
    bool more = t->p->n_tokens > 0;
    uint64_t start = hn__now_ns();

    HN_TRY(feed(t->m, ids->id, ids->n, keep, t->logits, &t->done.prompt_tokens));
    t->done.prompt_ns = (double)(hn__now_ns() - start);
    start = hn__now_ns();
    while (more)
        HN_TRY(say(t, &rng, ids, &more));
    t->done.ns = (double)(hn__now_ns() - start);
    return HN_OK;
}

static hn_status go_on(hn_lm *m, hn_ids *ids, const hn_sample_params *p, bool keep, hn_text_fn fn,
                       void *user, hn_generated *out)
{
    talk t = { .m = m, .p = p, .fn = fn, .user = user };
    const size_t v = (size_t)m->config.vocab;

    if (p->n_tokens < 0 || ids->n + p->n_tokens > m->config.context)
        return hn_fail(HN_ERR_ARG,
                       "%" PRId64 " tokens of prompt and %" PRId64
                       " to make exceed the model's context of %" PRId64,
                       ids->n, p->n_tokens, m->config.context);
    HN_TRY(check_ids(m, ids->id, ids->n));
    HN_TRY(grow_caches(m, ids->n + p->n_tokens));
    t.logits = hn__calloc(v, sizeof *t.logits);
    t.room = p->temperature > 0 ? hn__calloc(v, sizeof *t.room) : NULL;
    hn_status s = t.logits && (t.room || !(p->temperature > 0)) ? HN_OK
                                                               : hn__nomem(v * sizeof *t.room);
    if (s == HN_OK)
        s = run_talk(&t, ids, keep);
    if (out)
        *out = t.done;
    hn__free(t.logits);
    hn__free(t.room);
    return s;
}

hn_status hn_lm_continue(hn_lm *m, hn_ids *ids, const hn_sample_params *p, hn_text_fn fn,
                         void *user, hn_generated *out)
{
    if (out)
        *out = (hn_generated){ 0 };
    if (ids->n < 1)
        return hn_fail(HN_ERR_ARG, "there are no tokens to go on from");
    return go_on(m, ids, p, true, fn, user, out);
}

hn_status hn_lm_encode(hn_lm *m, const void *text, size_t n, int flags, hn_ids *ids)
{
    const int64_t had = ids->n;
    const int32_t *before;
    const int64_t n_before = hn_tokenizer_start(m->tok, &before);

    if (had == 0 && m->adds_start && n_before == 0)
        HN_TRY(append(ids, m->start));
    for (int64_t i = 0; had == 0 && m->adds_start && i < n_before; i++)
        HN_TRY(append(ids, before[i]));
    const int64_t from = ids->n;
    hn_status s = hn_tokenizer_encode(m->tok, text, n, flags & ~HN_ENCODE_START, ids);
    // A text that begins with the start token itself has it once.
    if (s == HN_OK && from > had && ids->n > from && ids->id[from] == m->start)
        memmove(ids->id + from - 1, ids->id + from, (size_t)(ids->n-- - from) * sizeof *ids->id);
    if (s)
        ids->n = had;
    return s;
}

hn_status hn_lm_generate(hn_lm *m, const void *text, size_t n, const hn_sample_params *p,
                         hn_text_fn fn, void *user, hn_generated *out)
{
    hn_ids ids = { 0 };
    hn_status s = hn_lm_encode(m, text, n, p->flags, &ids);

    if (out)
        *out = (hn_generated){ 0 };
    if (s == HN_OK && ids.n == 0)
        s = m->empty < 0
                ? hn_fail(HN_ERR_ARG, "the prompt is empty, and the model has no start token")
                : append(&ids, m->empty);
    if (s == HN_OK)
        s = go_on(m, &ids, p, false, fn, user, out);
    hn_ids_free(&ids);
    return s;
}
