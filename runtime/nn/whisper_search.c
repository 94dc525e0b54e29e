// The search for what Whisper says: the likeliest token each time, samples, or a beam.
//
// The beam is CTranslate2's: twice as many candidates as hypotheses; an ended one among the best
// leaves its place to the next that goes on; the search ends when enough have ended.
#include "nn/logits.h"
#include "nn/whisper_decode.h"

#include <math.h>
#include <string.h>

typedef struct candidate {
    double score; // log-probability of the whole hypothesis
    int32_t id, row;
} candidate;

typedef struct ended {
    int64_t n;
    double score;
} ended;

struct hn__search {
    const hn__whisper_rules *rules;
    hn__search_params p;
    hn_rng rng;
    int64_t n;           // tokens of each hypothesis so far
    int32_t *ids, *next; // [rows, most]: the hypotheses, and room for the next
    double *score;       // [rows]
    bool *done;          // [rows], of samples
    candidate *best;     // [2 rows], in falling order
    ended *ended;        // [most_ended]: of a beam
    int32_t *ended_ids;  // [most_ended, most]
    int n_ended, enough, most_ended;
};

static hn_status check(const hn__search_params *p)
{
    if (p->rows < 1 || p->rows > 1024)
        return hn_fail(HN_ERR_ARG, "%d hypotheses; 1 to 1024 are possible", p->rows);
    if (p->most < 1 || p->most > 1 << 20)
        return hn_fail(HN_ERR_ARG, "%" PRId64 " tokens at most", p->most);
    if (!(p->patience <= 1024))
        return hn_fail(HN_ERR_ARG, "patience %g: at most 1024", (double)p->patience);
    if (!(p->temperature >= 0) || !(p->patience >= 0) || !(p->length_penalty >= 0))
        return hn_fail(HN_ERR_ARG,
                       "temperature %g, patience %g, length penalty %g: none may be "
                       "below 0",
                       (double)p->temperature, (double)p->patience, (double)p->length_penalty);
    return HN_OK;
}

hn_status hn__search_create(const hn__whisper_rules *r, const hn__search_params *p,
                            hn__search **out)
{
    const size_t rows = (size_t)p->rows, most = (size_t)p->most;

    *out = NULL;
    HN_TRY(check(p));
    hn__search *s = hn__calloc(1, sizeof *s);
    if (!s)
        return hn__nomem(sizeof *s);
    s->rules = r;
    s->p = *p;
    s->rng = hn__rng(p->seed, 0x776869);
    // A step may end as many as there are rows, and only after it is looked whether they are
    // enough.
    s->enough = (int)fmax(1, round(p->rows * (p->patience > 0 ? (double)p->patience : 1)));
    s->most_ended = s->enough + p->rows;
    s->ids = hn__calloc(rows * most, sizeof *s->ids);
    s->next = hn__calloc(rows * most, sizeof *s->next);
    s->score = hn__calloc(rows, sizeof *s->score);
    s->done = hn__calloc(rows, sizeof *s->done);
    s->best = hn__calloc(2 * rows, sizeof *s->best);
    s->ended = hn__calloc((size_t)s->most_ended, sizeof *s->ended);
    s->ended_ids = hn__calloc((size_t)s->most_ended * most, sizeof *s->ended_ids);
    if (!s->ids || !s->next || !s->score || !s->done || !s->best || !s->ended || !s->ended_ids) {
        hn__search_destroy(&s);
        return hn__nomem(3 * rows * most * sizeof(int32_t));
    }
    *out = s;
    return HN_OK;
}

void hn__search_destroy(hn__search **s)
{
    if (!*s)
        return;
    hn__free((*s)->ids);
    hn__free((*s)->next);
    hn__free((*s)->score);
    hn__free((*s)->done);
    hn__free((*s)->best);
    hn__free((*s)->ended);
    hn__free((*s)->ended_ids);
    hn__free(*s);
    *s = NULL;
}

static int32_t *row_ids(const hn__search *s, int64_t row)
{
    return s->ids + row * s->p.most;
}

// ---- one by one ----------------------------------------------------------------------------

static int32_t sample(hn__search *s, const float *logits)
{
    const int64_t n = s->rules->vocab;
    const int32_t best = hn__likeliest(logits, n);
    double sum = 0;

    for (int64_t i = 0; i < n; i++)
        sum += expf((logits[i] - logits[best]) / s->p.temperature);
    double at = hn__rng_uniform(&s->rng) * sum;
    for (int64_t i = 0; i < n; i++) {
        const double p = expf((logits[i] - logits[best]) / s->p.temperature);
        if (p > 0 && (at -= p) < 0)
            return (int32_t)i;
    }
    return best;
}

// Each hypothesis goes its own way; one that has ended says the end token on and on. The first row
// of logits serves all at the first step.
static bool step_alone(hn__search *s, float *logits, int32_t *ids, int32_t *from)
{
    const int64_t vocab = s->rules->vocab;
    bool going = false;

    for (int row = 0; row < s->p.rows; row++) {
        float *x = logits + (s->n ? row : 0) * vocab;
        from[row] = s->n ? row : 0;
        ids[row] = s->rules->end;
        if (s->done[row])
            continue;
        if (s->n || row == 0)
            hn__whisper_mask(s->rules, row_ids(s, row), s->n, x);
        ids[row] = s->p.temperature > 0 ? sample(s, x) : hn__likeliest(x, vocab);
        s->score[row] += (double)x[ids[row]] - hn__log_sum_exp(x, vocab);
        row_ids(s, row)[s->n] = ids[row];
        s->done[row] = ids[row] == s->rules->end;
        going |= !s->done[row];
    }
    s->n++;
    return going && s->n < s->p.most;
}

// ---- a beam --------------------------------------------------------------------------------

// Keeps the best candidates in falling order; of equals the first found stays first.
static void offer(hn__search *s, int *n, candidate c)
{
    const int most = 2 * s->p.rows;
    int at = *n;

    if (*n == most && !(c.score > s->best[most - 1].score))
        return;
    if (*n == most)
        at--;
    else
        ++*n;
    for (; at > 0 && c.score > s->best[at - 1].score; at--)
        s->best[at] = s->best[at - 1];
    s->best[at] = c;
}

static int find_candidates(hn__search *s, float *logits)
{
    const int64_t vocab = s->rules->vocab;
    int n = 0;

    for (int row = 0; row < (s->n ? s->p.rows : 1); row++) {
        float *x = logits + row * vocab;
        if (!(s->score[row] > -INFINITY))
            continue;
        hn__whisper_mask(s->rules, row_ids(s, row), s->n, x);
        const double base = s->score[row] - hn__log_sum_exp(x, vocab);
        for (int64_t i = 0; i < vocab; i++)
            if (x[i] > -INFINITY)
                offer(s, &n, (candidate){ base + (double)x[i], (int32_t)i, row });
    }
    return n;
}

// Keeps hypothesis c, which ends here: with its last token unless that is the end token.
static void keep(hn__search *s, const candidate *c)
{
    int32_t *ids = s->ended_ids + s->n_ended * s->p.most;

    memcpy(ids, row_ids(s, c->row), (size_t)s->n * sizeof *ids);
    ids[s->n] = c->id;
    s->ended[s->n_ended++] = (ended){ s->n + (c->id != s->rules->end), c->score };
}

static bool step_beam(hn__search *s, float *logits, int32_t *ids, int32_t *from)
{
    const int rows = s->p.rows, n = find_candidates(s, logits);
    const bool last = s->n + 1 == s->p.most;
    int spare = rows;

    for (int k = 0; k < rows; k++) {
        candidate c = { -INFINITY, s->rules->end, 0 }; // where there are fewer than rows
        if (k < n)
            c = s->best[k];
        if (k < n && (last || c.id == s->rules->end)) {
            keep(s, &c);
            while (spare < n && s->best[spare].id == s->rules->end)
                spare++;
            c = spare < n ? s->best[spare++] : (candidate){ -INFINITY, s->rules->end, 0 };
        }
        int32_t *to = s->next + k * s->p.most;
        memcpy(to, row_ids(s, c.row), (size_t)s->n * sizeof *to);
        to[s->n] = ids[k] = c.id;
        from[k] = c.row;
        s->score[k] = c.score;
    }
    int32_t *swap = s->ids;
    s->ids = s->next;
    s->next = swap;
    s->n++;
    return !last && n > 0 && s->n_ended < s->enough;
}

bool hn__search_step(hn__search *s, float logits[], int32_t ids[], int32_t from[])
{
    if (s->p.temperature > 0 || s->p.rows == 1)
        return step_alone(s, logits, ids, from);
    return step_beam(s, logits, ids, from);
}

// ---- the result ----------------------------------------------------------------------------

static double normalised(const hn__search *s, double log_prob, int64_t n)
{
    return log_prob / pow((double)(n > 1 ? n : 1), s->p.length_penalty);
}

static hn__found best_alone(const hn__search *s)
{
    hn__found best = { NULL, 0, -INFINITY };

    for (int row = 0; row < s->p.rows; row++) {
        const int32_t *ids = row_ids(s, row);
        int64_t n = 0;
        while (n < s->n && ids[n] != s->rules->end)
            n++;
        if (!best.ids || normalised(s, s->score[row], n) > normalised(s, best.log_prob, best.n))
            best = (hn__found){ ids, n, s->score[row] };
    }
    return best;
}

hn__found hn__search_best(const hn__search *s)
{
    hn__found best = { s->ended_ids, 0, -INFINITY };

    if (s->p.temperature > 0 || s->p.rows == 1)
        return best_alone(s);
    for (int i = 0; i < s->n_ended; i++) {
        const double score = normalised(s, s->ended[i].score, s->ended[i].n);
        if (i == 0 || score > normalised(s, best.log_prob, best.n))
            best = (hn__found){ s->ended_ids + i * s->p.most, s->ended[i].n, s->ended[i].score };
    }
    return best;
}
