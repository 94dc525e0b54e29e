// Scoring a text: windows over its tokens, several at a time.
#include "nn/lm.h"

#include <stdio.h>

enum {
    TOKENS = 1024,  // of the windows that run at a time, unless asked otherwise
    HEAD_ROWS = 128, // positions whose logits are in memory at a time, over all windows
};

typedef struct windows {
    int64_t window, stride, batch, count; // count: windows in all
    int64_t text;                         // tokens of it that are used
    int64_t first;                        // positions of a window before it have no score
    bool half;
} windows;

// Nats of positions [first, window) of each row: outputs "nats.0", "nats.1", ..., each [batch *
// its positions]. Logits of a large vocabulary would need more memory than all else, so the head
// goes over the positions in parts.
static void add_head(hn_graph *g, const hn_lm_config *c, const windows *v, hn_val hidden,
                     hn_val targets, int64_t part)
{
    char name[32];
    int i = 0;
    for (int64_t at = v->first; at < v->window; at += part, i++) {
        const int64_t n = v->window - at < part ? v->window - at : part;
        snprintf(name, sizeof name, "nats.%d", i);
        hn_output(g, name,
                  hn_lm_loss(g, c, hn_slice(g, hidden, 1, at, n, 1),
                             hn_slice(g, targets, 1, at, n, 1)));
    }
}

static int64_t head_part(const windows *v)
{
    const int64_t part = HEAD_ROWS / v->batch;
    return part < 1 ? 1 : part;
}

static hn_status make_plan(hn_lm *m, const windows *v)
{
    hn_graph *g;

    if (m->score && m->score_batch == v->batch && m->score_window == v->window &&
        m->score_half == v->half)
        return HN_OK;
    hn_plan_destroy(&m->score);
    HN_TRY(hn_graph_create(&g));
    const hn_type t = { HN_I32, 2, { v->batch, v->window } };
    const hn_val ids = hn_input(g, "ids", t), targets = hn_input(g, "targets", t);
    add_head(g, &m->config, v, hn_lm_hidden(g, &m->config, ids, NULL), targets, head_part(v));
    const hn_status s =
        hn_plan_create(g, m->dev, &(hn_plan_params){ .weights = m->weights }, &m->score);
    hn_graph_destroy(&g);
    m->score_batch = v->batch;
    m->score_window = v->window;
    m->score_half = v->half;
    return s;
}

// ---- what goes in --------------------------------------------------------------------------

// One row: inputs of window w, and its targets; -1 where a token was scored before or there is
// none. Position i sees the token before the one that it is to tell.
static void fill_row(const hn_ids *text, const windows *v, int64_t w, int32_t *in, int32_t *out)
{
    const int64_t from = w * v->stride, fresh = w ? v->window - v->stride : 0;
    for (int64_t i = 0; i < v->window; i++) {
        const bool there = w < v->count && from + i + 1 < v->text;
        in[i] = there ? text->id[from + i] : 0;
        out[i] = there && i >= fresh ? text->id[from + i + 1] : -1;
    }
}

// The protocol of llama.cpp: position i of a window of n tells token i + 1 of the same window, for
// i from n / 2 to n - 2. Where the files ask for a start token it takes the place of the first.
static void fill_half(const hn_lm *m, const hn_ids *text, const windows *v, int64_t w, int32_t *in,
                      int32_t *out)
{
    for (int64_t i = 0; i < v->window; i++) {
        const bool there = w < v->count;
        const int64_t at = w * v->window + i;
        in[i] = !there ? 0 : i == 0 && m->adds_start ? m->start : text->id[at];
        out[i] = there && i >= v->first && i + 1 < v->window ? text->id[at + 1] : -1;
    }
}

// ---- the run -------------------------------------------------------------------------------

static int64_t token_bytes(const hn_lm *m, int32_t id)
{
    size_t n = 0;
    hn_tokenizer_bytes(m->tok, id, &n);
    return (int64_t)n;
}

// Adds up the outputs of one run.
static hn_status collect(hn_lm *m, const windows *v, const int32_t *want, float *nats,
                         hn_score *out)
{
    const int64_t part = head_part(v);
    char name[32];
    int k = 0;

    for (int64_t at = v->first; at < v->window; at += part, k++) {
        const int64_t n = v->window - at < part ? v->window - at : part;
        snprintf(name, sizeof name, "nats.%d", k);
        HN_TRY(hn_plan_read(m->score, name, nats, v->batch * n * (int64_t)sizeof *nats));
        for (int64_t i = 0; i < v->batch * n; i++) {
            const int32_t id = want[i / n * v->window + at + i % n];
            if (id < 0)
                continue;
            out->nats += (double)nats[i];
            out->bytes += v->half ? token_bytes(m, id) : 0;
            out->tokens++;
        }
    }
    return HN_OK;
}

static hn_status run(hn_lm *m, const hn_ids *text, const windows *v, const hn_score_params *p,
                     hn_score *out)
{
    const int64_t n = v->batch * v->window, bytes = n * (int64_t)sizeof(int32_t);
    int32_t *in = hn__calloc((size_t)n, sizeof *in), *want = hn__calloc((size_t)n, sizeof *want);
    float *nats = hn__calloc((size_t)n, sizeof *nats);
    hn_status s = in && want && nats ? HN_OK : hn__nomem((size_t)bytes);

    for (int64_t w = 0; s == HN_OK && w < v->count; w += v->batch) {
        for (int64_t b = 0; b < v->batch; b++)
            if (v->half)
                fill_half(m, text, v, w + b, in + b * v->window, want + b * v->window);
            else
                fill_row(text, v, w + b, in + b * v->window, want + b * v->window);
        s = hn_plan_write(m->score, "ids", in, bytes);
        if (s == HN_OK)
            s = hn_plan_write(m->score, "targets", want, bytes);
        if (s == HN_OK)
            s = hn_plan_run(m->score);
        if (s == HN_OK)
            s = collect(m, v, want, nats, out);
        const int64_t done = (w + v->batch) * v->stride;
        if (s == HN_OK && p->progress)
            p->progress(p->user, done < v->text ? done : v->text, v->text);
    }
    hn__free(in);
    hn__free(want);
    hn__free(nats);
    return s;
}

// The windows over n tokens: in all, and at a time.
static hn_status share_out(const hn_lm *m, int64_t n, const hn_score_params *p, windows *v)
{
    v->window = p->window ? p->window : m->config.context;
    v->half = p->second_half;
    v->stride = p->stride && !v->half ? p->stride : v->window;
    if (v->window < 1 || v->window > m->config.context)
        return hn_fail(HN_ERR_ARG, "a window of %" PRId64 " tokens; the model takes 1 to %" PRId64,
                       v->window, m->config.context);
    if (v->stride < 1 || v->stride > v->window || p->batch < 0)
        return hn_fail(HN_ERR_ARG,
                       "a stride of %" PRId64 " in windows of %" PRId64 ", %" PRId64 " at a time",
                       v->stride, v->window, p->batch);
    v->text = n;
    v->count = 1;
    if (v->half) {
        v->first = v->window / 2;
        v->count = n / v->window;
        v->text = v->count * v->window;
        if (v->count < 1 || v->window < 3)
            return hn_fail(HN_ERR_ARG,
                           "%" PRId64 " tokens of text give no window of %" PRId64 " with scores",
                           n, v->window);
    } else if (n < 2)
        return hn_fail(HN_ERR_ARG, "a text of one token has no score: the model has no start "
                                   "token to stand before it");
    else if (n - 1 > v->window) // the last token is told, but tells nothing
        v->count += (n - 1 - v->window + v->stride - 1) / v->stride;
    v->batch = p->batch ? p->batch : TOKENS / v->window < 1 ? 1 : TOKENS / v->window;
    v->batch = v->batch < v->count ? v->batch : v->count;
    return HN_OK;
}

// The tokens to score, with the one before them where there is one. Windows without overlap go by
// what the files ask for alone.
static hn_status encode(hn_lm *m, const void *text, size_t n, bool half, hn_ids *ids)
{
    if (half ? m->adds_start : m->start >= 0) {
        HN_TRY(hn__reserve((void **)&ids->id, &ids->cap, 1, sizeof *ids->id));
        ids->id[ids->n++] = m->start;
    }
    return hn_tokenizer_encode(m->tok, text, n, 0, ids);
}

hn_status hn_lm_score(hn_lm *m, const void *text, size_t n, const hn_score_params *p,
                      hn_score *out)
{
    const hn_score_params none = { 0 };
    windows v = { 0 };
    hn_ids ids = { 0 };

    *out = (hn_score){ 0 };
    if (n == 0)
        return hn_fail(HN_ERR_ARG, "the text to score is empty");
    p = p ? p : &none;
    hn_status s = encode(m, text, n, p->second_half, &ids);
    if (s == HN_OK)
        s = share_out(m, ids.n, p, &v);
    if (s == HN_OK)
        s = make_plan(m, &v);
    if (s == HN_OK)
        s = run(m, &ids, &v, p, out);
    if (s == HN_OK && !v.half)
        out->bytes = (int64_t)n - (m->start < 0 ? token_bytes(m, ids.id[0]) : 0);
    hn_ids_free(&ids);
    return s;
}
