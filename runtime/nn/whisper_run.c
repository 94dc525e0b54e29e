// Encoding a window, and decoding it: steps of tokens for several hypotheses over caches of their
// keys and values, which are moved from hypothesis to hypothesis on the device.
#include "nn/whisper.h"

#include <string.h>

static const hn_type i32_1 = { HN_I32, 1, { 1 } };

// ---- encoding ------------------------------------------------------------------------------

static hn_status make_encode(hn_whisper *m)
{
    const hn_whisper_config *c = &m->config;
    hn_graph *g;

    HN_TRY(hn_graph_create(&g));
    const hn_val mel = hn_input(g, "mel", (hn_type){ HN_F32, 3, { 1, c->mels, 2 * c->frames } });
    const hn_val audio = hn_whisper_encoder(g, c, mel, NULL);
    hn_whisper_cross(g, c, audio);
    hn_output(g, "audio", audio);
    hn_status s = hn_weights_add(m->weights, g, 0); // the states of the cross-attention
    if (s == HN_OK)
        s = hn_plan_create(g, m->dev, &(hn_plan_params){ .weights = m->weights }, &m->encode);
    hn_graph_destroy(&g);
    return s;
}

hn_status hn_whisper_encode(hn_whisper *m, const float mel[], float out_audio[])
{
    const hn_whisper_config *c = &m->config;

    if (!m->encode)
        HN_TRY(make_encode(m));
    m->has_window = false;
    m->filled = 0;
    HN_TRY(hn_plan_write(m->encode, "mel", mel,
                         c->mels * 2 * c->frames * (int64_t)sizeof *mel));
    HN_TRY(hn_plan_run(m->encode));
    m->has_window = true;
    return out_audio ? hn_plan_read(m->encode, "audio", out_audio,
                                    c->frames * c->width * (int64_t)sizeof *out_audio)
                     : HN_OK;
}

// ---- plans ---------------------------------------------------------------------------------

// Logits after token row[i] of the rows * t fed.
static void build_step(hn_graph *g, const hn_whisper_config *c, int rows, int64_t t)
{
    const hn_type per_row = { HN_I32, 1, { rows } };
    const hn_whisper_build b = { .at = hn_input(g, "at", i32_1),
                                 .positions =
                                     hn_input(g, "positions", (hn_type){ HN_I32, 1, { t } }),
                                 .n_keys = hn_input(g, "n_keys", per_row) };
    const hn_val ids = hn_input(g, "ids", (hn_type){ HN_I32, 2, { rows, t } });
    const hn_val hidden = hn_whisper_decoder(g, c, ids, (hn_val){ 0 }, &b);
    const hn_val flat = hn_reshape(g, hidden, 2, (const int64_t[]){ -1, c->width });
    const hn_val last = t > 1 ? hn_embedding(g, flat, hn_input(g, "row", per_row)) : flat;
    hn_output(g, "logits", hn_whisper_logits(g, c, last));
}

// Position p of row i becomes `from` [rows * t], a position counted through all rows before.
static void build_move(hn_graph *g, const hn_whisper_config *c, int rows_before, int rows,
                       int64_t t)
{
    const hn_val from = hn_input(g, "from", (hn_type){ HN_I32, 1, { rows * t } });
    const hn_val zero = hn_const(g, i32_1, &(int32_t){ 0 });
    const int64_t heads = c->decoder_heads, d = c->width / heads;

    for (int64_t i = 0; i < 2 * c->decoder_layers; i++) {
        const hn_val before = hn__whisper_cache(g, c, rows_before, "kv"[i % 2], i / 2);
        const hn_val after = hn__whisper_cache(g, c, rows, "kv"[i % 2], i / 2);
        const hn_val lines = hn_reshape(g, before, 2, (const int64_t[]){ -1, c->width });
        const hn_val moved = hn_embedding(g, lines, from);
        const hn_val block = hn_reshape(g, moved, 4, (const int64_t[]){ rows, t, heads, d });
        hn_assign(g, after, hn_update(g, after, block, zero, 1));
    }
}

static hn_status make_plan(hn_whisper *m, hn__whisper_plan *p)
{
    hn_graph *g;

    HN_TRY(hn_graph_create(&g));
    if (p->rows_before)
        build_move(g, &m->config, p->rows_before, p->rows, p->t);
    else
        build_step(g, &m->config, p->rows, p->t);
    hn_status s = hn_weights_add(m->weights, g, 0); // the caches
    if (s == HN_OK)
        s = hn_plan_create(g, m->dev, &(hn_plan_params){ .weights = m->weights }, &p->plan);
    hn_graph_destroy(&g);
    return s;
}

static hn_status find_plan(hn_whisper *m, int rows_before, int rows, int64_t t, hn_plan **out)
{
    for (int64_t i = 0; i < m->n_plans; i++) {
        const hn__whisper_plan *p = &m->plans[i];
        *out = p->plan;
        if (p->rows_before == rows_before && p->rows == rows && p->t == t)
            return HN_OK;
    }
    hn__whisper_plan p = { NULL, rows_before, rows, t };
    HN_TRY(hn__reserve((void **)&m->plans, &m->cap_plans, m->n_plans + 1, sizeof *m->plans));
    HN_TRY(make_plan(m, &p));
    m->plans[m->n_plans++] = p;
    *out = p.plan;
    return HN_OK;
}

static hn_status put(hn_plan *p, const char *name, const int32_t *x, int64_t n)
{
    return hn_plan_write(p, name, x, n * (int64_t)sizeof *x);
}

// ---- decoding ------------------------------------------------------------------------------

typedef struct step {
    const int32_t *ids; // [rows, n]
    int64_t n, at;
    int rows;
} step;

// Writes the inputs for tokens [done, done + part) of each row; those up to t are padding, whose
// keys and values are replaced before anything sees them.
static hn_status write_step(hn_whisper *m, hn_plan *p, const step *s, int64_t done, int64_t part,
                            int64_t t)
{
    const int64_t at = s->at + done, last = m->config.context - 1;
    int32_t n_keys[HN_WHISPER_MAX_ROWS], row[HN_WHISPER_MAX_ROWS];

    memset(m->room, 0, (size_t)(s->rows * t) * sizeof *m->room);
    for (int r = 0; r < s->rows; r++) {
        memcpy(m->room + r * t, s->ids + r * s->n + done, (size_t)part * sizeof *m->room);
        n_keys[r] = (int32_t)(at + t);
        row[r] = (int32_t)(r * t + part - 1);
    }
    HN_TRY(put(p, "ids", m->room, s->rows * t));
    for (int64_t i = 0; i < t; i++)
        m->room[i] = (int32_t)(at + i < last ? at + i : last);
    HN_TRY(put(p, "positions", m->room, t));
    HN_TRY(put(p, "at", &(int32_t){ (int32_t)at }, 1));
    HN_TRY(put(p, "n_keys", n_keys, s->rows));
    return t > 1 ? put(p, "row", row, s->rows) : HN_OK;
}

// Tokens that a step of n takes at a time: one, or few or many of a prompt.
static int64_t step_size(const hn_whisper *m, int64_t n)
{
    const int64_t t = n == 1 ? 1 : n <= 16 ? 8 : 64;
    return t < m->config.context ? t : m->config.context;
}

static hn_status run_step(hn_whisper *m, const step *s, float *logits)
{
    hn_plan *p = NULL;

    for (int64_t done = 0, part; done < s->n; done += part) {
        const int64_t t = step_size(m, s->n - done);
        part = s->n - done < t ? s->n - done : t;
        HN_TRY(find_plan(m, 0, s->rows, t, &p));
        HN_TRY(hn__reserve((void **)&m->room, &m->cap_room, s->rows * t, sizeof *m->room));
        HN_TRY(write_step(m, p, s, done, part, t));
        HN_TRY(hn_plan_run(p));
    }
    return logits ? hn_plan_read(p, "logits", logits,
                                 s->rows * m->config.vocab * (int64_t)sizeof *logits)
                  : HN_OK;
}

static hn_status check_rows(int rows)
{
    return rows >= 1 && rows <= HN_WHISPER_MAX_ROWS
               ? HN_OK
               : hn_fail(HN_ERR_ARG, "%d hypotheses, must be 1 to %d", rows, HN_WHISPER_MAX_ROWS);
}

static hn_status check_step(const hn_whisper *m, const step *s)
{
    HN_TRY(check_rows(s->rows));
    if (!m->has_window)
        return hn_fail(HN_ERR_ARG, "no window is encoded");
    if (s->at < 0 || s->at > m->filled || (s->at && s->rows != m->rows))
        return hn_fail(HN_ERR_ARG,
                       "%d hypotheses from position %" PRId64 ", there are %d of %" PRId64
                       " positions", s->rows, s->at, m->rows, m->filled);
    if (s->n < 1 || s->n > m->config.context - s->at)
        return hn_fail(HN_ERR_ARG,
                       "%" PRId64 " tokens at position %" PRId64 ": the context is %" PRId64,
                       s->n, s->at, m->config.context);
    for (int64_t i = 0; i < s->rows * s->n; i++)
        if (s->ids[i] < 0 || s->ids[i] >= m->config.vocab)
            return hn_fail(HN_ERR_ARG, "token %d at %" PRId64 " is not in [0, %" PRId64 ")",
                           s->ids[i], i, m->config.vocab);
    return HN_OK;
}

hn_status hn_whisper_decode(hn_whisper *m, const int32_t ids[], int rows, int64_t n, int64_t at,
                            float out_logits[])
{
    const step s = { ids, n, at, rows };

    HN_TRY(check_step(m, &s));
    m->filled = at;
    m->rows = rows;
    HN_TRY(run_step(m, &s, out_logits));
    m->filled = at + n;
    return HN_OK;
}

// ---- moving --------------------------------------------------------------------------------

hn_status hn_whisper_reorder(hn_whisper *m, const int32_t from[], int rows)
{
    bool same = rows == m->rows;
    int64_t t = 32;
    hn_plan *p;

    HN_TRY(check_rows(rows));
    if (!m->filled)
        return hn_fail(HN_ERR_ARG, "no position is filled");
    for (int r = 0; r < rows; r++) {
        same = same && from[r] == r;
        if (from[r] < 0 || from[r] >= m->rows)
            return hn_fail(HN_ERR_ARG, "hypothesis %d is to come from %d, there are %d", r,
                           from[r], m->rows);
    }
    if (same)
        return HN_OK;
    while (t < m->filled) // few sizes, and no long copies of short caches
        t *= 2;
    t = t < m->config.context ? t : m->config.context;
    HN_TRY(find_plan(m, m->rows, rows, t, &p));
    HN_TRY(hn__reserve((void **)&m->room, &m->cap_room, rows * t, sizeof *m->room));
    for (int64_t i = 0; i < rows * t; i++)
        m->room[i] = (int32_t)(from[i / t] * m->config.context + i % t);
    HN_TRY(put(p, "from", m->room, rows * t));
    HN_TRY(hn_plan_run(p));
    m->rows = rows;
    return HN_OK;
}
