// Scoring a text: windows over its tokens, several at a time, each token once.
#include "nn/lm.h"

static hn_status make_plan(hn_lm *m, int64_t batch, int64_t window)
{
    hn_graph *g;

    if (m->score && m->score_batch == batch && m->score_window == window)
        return HN_OK;
    hn_plan_destroy(&m->score);
    HN_TRY(hn_graph_create(&g));
    const hn_type t = { HN_I32, 2, { batch, window } };
    const hn_val ids = hn_input(g, "ids", t), targets = hn_input(g, "targets", t);
    hn_output(g, "nats",
              hn_lm_loss(g, &m->config, hn_lm_hidden(g, &m->config, ids, NULL), targets));
    const hn_status s =
        hn_plan_create(g, m->dev, &(hn_plan_params){ .weights = m->weights }, &m->score);
    hn_graph_destroy(&g);
    m->score_batch = batch;
    m->score_window = window;
    return s;
}

// Token i of the text with the start token before it.
static int32_t token_at(const hn_lm *m, const hn_ids *ids, int64_t i)
{
    return i == 0 ? m->start : ids->id[i - 1];
}

typedef struct windows {
    int64_t window, stride, batch, count; // count: windows in all
} windows;

// One row: inputs of window w, and its targets; -1 where a token was scored before or there is
// none.
static void fill_row(const hn_lm *m, const hn_ids *text, const windows *v, int64_t w, int32_t *in,
                     int32_t *out)
{
    const int64_t from = w * v->stride, fresh = w ? v->window - v->stride : 0;
    for (int64_t i = 0; i < v->window; i++) {
        const bool there = w < v->count && from + i < text->n;
        in[i] = there ? token_at(m, text, from + i) : 0;
        out[i] = there && i >= fresh ? text->id[from + i] : -1;
    }
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
            fill_row(m, text, v, w + b, in + b * v->window, want + b * v->window);
        s = hn_plan_write(m->score, "ids", in, bytes);
        if (s == HN_OK)
            s = hn_plan_write(m->score, "targets", want, bytes);
        if (s == HN_OK)
            s = hn_plan_run(m->score);
        if (s == HN_OK)
            s = hn_plan_read(m->score, "nats", nats, bytes);
        for (int64_t i = 0; s == HN_OK && i < n; i++) {
            out->nats += want[i] >= 0 ? (double)nats[i] : 0;
            out->tokens += want[i] >= 0;
        }
        if (s == HN_OK && p->progress)
            p->progress(p->user, out->tokens, text->n);
    }
    hn__free(in);
    hn__free(want);
    hn__free(nats);
    return s;
}

static hn_status measure(hn_lm *m, const hn_ids *text, const hn_score_params *p, hn_score *out)
{
    windows v = { p->window ? p->window : m->config.context, 0, p->batch ? p->batch : 8, 1 };
    v.stride = p->stride ? p->stride : v.window;

    if (v.window < 1 || v.window > m->config.context)
        return hn_fail(HN_ERR_ARG, "a window of %" PRId64 " tokens; the model takes 1 to %" PRId64,
                       v.window, m->config.context);
    if (v.stride < 1 || v.stride > v.window || v.batch < 1)
        return hn_fail(HN_ERR_ARG,
                       "a stride of %" PRId64 " in windows of %" PRId64 ", %" PRId64 " at a time",
                       v.stride, v.window, v.batch);
    if (m->start < 0)
        return hn_fail(HN_ERR_UNSUPPORTED,
                       "the model has no start token, so a text's first token has no score");
    if (text->n > v.window)
        v.count += (text->n - v.window + v.stride - 1) / v.stride;
    if (v.batch > v.count)
        v.batch = v.count;
    HN_TRY(make_plan(m, v.batch, v.window));
    return run(m, text, &v, p, out);
}

hn_status hn_lm_score(hn_lm *m, const void *text, size_t n, const hn_score_params *p,
                      hn_score *out)
{
    hn_ids ids = { 0 };

    *out = (hn_score){ .bytes = (int64_t)n };
    if (n == 0)
        return hn_fail(HN_ERR_ARG, "the text to score is empty");
    hn_status s = hn_tokenizer_encode(m->tok, text, n, 0, &ids);
    if (s == HN_OK)
        s = measure(m, &ids, p ? p : &(hn_score_params){ 0 }, out);
    hn_ids_free(&ids);
    return s;
}
