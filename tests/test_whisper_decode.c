// Whisper's rules and search on made-up logits: what may follow what, the likeliest path, samples
// with the right frequencies, and a beam held against every hypothesis there is.
#include "support/check.h"
#include "support/failing.h"

#include "nn/whisper_decode.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

// Tokens 0 to 9 are text, 10 the end, 11 <|notimestamps|>, 12 to 31 timestamps.
enum { END = 10, NO_STAMPS = 11, STAMP = 12, VOCAB = 32 };

static const int32_t never[] = { 7, 11, 99, -1 }, not_first[] = { 3, END };
static const hn__whisper_rules plain = { .vocab = VOCAB,
                                         .end = END,
                                         .no_timestamps = NO_STAMPS,
                                         .first_timestamp = STAMP,
                                         .never = never,
                                         .n_never = 4,
                                         .not_first = not_first,
                                         .n_not_first = 2,
                                         .latest_start = 5 };

// The tokens that may follow, as "0-6 8-10 12-31".
static const char *allowed(const hn__whisper_rules *r, const int32_t *said, int64_t n,
                           const float *logits)
{
    static char text[256];
    float x[VOCAB];
    size_t at = 0;
    memcpy(x, logits, sizeof x);
    hn__whisper_mask(r, said, n, x);
    text[0] = 0;
    for (int i = 0; i < VOCAB; i++) {
        int to = i;
        while (to < VOCAB && x[to] > -INFINITY)
            to++;
        if (to == i)
            continue;
        at += (size_t)snprintf(text + at, sizeof text - at, to - i > 1 ? "%s%d-%d" : "%s%d",
                               at ? " " : "", i, to - 1);
        i = to;
    }
    return text;
}

static void check_rules(void **state)
{
    const float flat[VOCAB] = { 0 };
    hn__whisper_rules stamps = plain;
    float text_likely[VOCAB] = { 0 };
    (void)state;
    stamps.timestamps = true;
    for (int i = 0; i < STAMP; i++) // one text token outweighs all timestamps together
        text_likely[i] = 10;
    const struct {
        const hn__whisper_rules *r;
        const float *logits;
        int32_t said[6];
        int64_t n;
        const char *want;
    } row[] = {
        { &plain, flat, { 0 }, 0, "0-2 4-6 8-9 12-31" },
        { &plain, flat, { 4 }, 1, "0-6 8-10 12-31" },
        // The first is a timestamp, and an early one, however likely the others are.
        { &stamps, text_likely, { 0 }, 0, "12-17" },
        // After the one that opens: text, or the end; nothing that repeats or falls.
        { &stamps, text_likely, { STAMP }, 1, "0-6 8-10" },
        // After text: text, the end, or a timestamp past the segment's start.
        { &stamps, text_likely, { STAMP + 3, 4 }, 2, "0-6 8-10 16-31" },
        // After the one that closes: the same again or a later one, or the end; no text.
        { &stamps, text_likely, { STAMP + 3, 4, STAMP + 8 }, 3, "10 20-31" },
        { &stamps, text_likely, { STAMP + 3, 4, STAMP + 8, STAMP + 8 }, 4, "0-6 8-10" },
        { &stamps, text_likely, { STAMP + 3, 4, STAMP + 8, STAMP + 8, 5 }, 5, "0-6 8-10 21-31" },
        // Together likelier than any other token: one must come.
        { &stamps, flat, { STAMP + 3, 4 }, 2, "16-31" },
        { &stamps, flat, { STAMP + 3, 4, STAMP + 8 }, 3, "20-31" },
        // The last timestamp is the only one left that does not fall: as likely as each other
        // token and no more, so it is not forced.
        { &stamps, flat, { STAMP, 4, VOCAB - 2, VOCAB - 2, 4 }, 5, "0-6 8-10 31" },
        { &stamps, flat, { STAMP, 4, VOCAB - 1 }, 3, "10 31" },
    };
    for (size_t i = 0; i < sizeof row / sizeof *row; i++) {
        const char *got = allowed(row[i].r, row[i].said, row[i].n, row[i].logits);
        CHECK(!strcmp(got, row[i].want), "row %zu: '%s' may follow, not '%s'", i, got,
              row[i].want);
    }
}

// ---- a made-up model ------------------------------------------------------------------------

enum { SMALL = 5, SMALL_END = 4, MOST = 4 };
static const hn__whisper_rules small_rules = {
    .vocab = SMALL, .end = SMALL_END, .no_timestamps = -1, .first_timestamp = -1
};

// Logits that depend on all tokens said and the seed.
static void think(uint64_t seed, const int32_t *said, int64_t n, float *x)
{
    hn_rng rng = hn__rng(hn__hash(said, (size_t)n * sizeof *said, seed), 3);
    for (int i = 0; i < SMALL; i++)
        x[i] = (float)(1.5 * hn__rng_normal(&rng));
}

typedef struct result {
    int32_t ids[MOST];
    int64_t n;
    double log_prob, score;
} result;

// Runs a search over the made-up model; said[] of the hypotheses is kept here as a model would.
static result run(uint64_t seed, const hn__search_params *p)
{
    enum { ROWS = 700 };
    static int32_t said[ROWS][MOST], moved[ROWS][MOST], ids[ROWS], from[ROWS];
    static float x[ROWS * SMALL];
    hn__search *s;
    int64_t n = 0;
    bool going;
    result r = { { 0 }, 0, 0, 0 };
    CHECK(p->rows <= ROWS, "%d rows", p->rows);
    CHECK_OK(hn__search_create(&small_rules, p, &s));
    do {
        for (int row = 0; row < (n ? p->rows : 1); row++)
            think(seed, said[row], n, x + row * SMALL);
        going = hn__search_step(s, x, ids, from);
        for (int row = 0; going && row < p->rows; row++) {
            CHECK(from[row] >= 0 && from[row] < (n ? p->rows : 1), "row %d from %d", row,
                  from[row]);
            memcpy(moved[row], said[from[row]], sizeof *moved);
            moved[row][n] = ids[row];
        }
        memcpy(said, moved, sizeof said);
        CHECK(++n <= p->most, "the search does not end");
    } while (going);
    const hn__found f = hn__search_best(s);
    memcpy(r.ids, f.ids, (size_t)f.n * sizeof *r.ids);
    r.n = f.n;
    r.log_prob = f.log_prob;
    hn__search_destroy(&s);
    return r;
}

// Every hypothesis of at most MOST tokens: the one with the best normalised score.
static void try_all(uint64_t seed, result *at, double penalty, result *best)
{
    float x[SMALL];
    think(seed, at->ids, at->n, x);
    const double norm = hn__log_sum_exp(x, SMALL);
    for (int i = 0; i < SMALL; i++) {
        result next = *at;
        next.log_prob += (double)x[i] - norm;
        if (i != SMALL_END)
            next.ids[next.n++] = i;
        if (i == SMALL_END || next.n == MOST) {
            next.score = next.log_prob / pow((double)(next.n > 1 ? next.n : 1), penalty);
            if (next.score > best->score)
                *best = next;
        } else {
            try_all(seed, &next, penalty, best);
        }
    }
}

static void expect_same(const char *what, uint64_t seed, const result *got, const result *want)
{
    CHECK(got->n == want->n && !memcmp(got->ids, want->ids, (size_t)want->n * sizeof *want->ids),
          "%s, seed %d: %d tokens, not %d, or others", what, (int)seed, (int)got->n, (int)want->n);
    CHECK(fabs(got->log_prob - want->log_prob) < 1e-5, "%s, seed %d: log-probability %g, not %g",
          what, (int)seed, got->log_prob, want->log_prob);
}

// A beam with room for every hypothesis finds the best there is.
static void check_wide_beam(void **state)
{
    (void)state;
    for (uint64_t seed = 0; seed < 50; seed++)
        for (int penalty = 0; penalty <= 1; penalty++) {
            result nothing = { { 0 }, 0, 0, 0 }, best = { { 0 }, 0, 0, -INFINITY };
            const hn__search_params p = {
                .rows = 512, .patience = 2, .length_penalty = (float)penalty, .most = MOST
            };
            try_all(seed, &nothing, penalty, &best);
            const result got = run(seed, &p);
            expect_same("wide beam", seed, &got, &best);
        }
}

// The likeliest token each time, and a beam of two worked by hand.
static void check_greedy(void **state)
{
    (void)state;
    for (uint64_t seed = 0; seed < 50; seed++) {
        result want = { { 0 }, 0, 0, 0 };
        for (bool ended = false; !ended && want.n < MOST;) {
            float x[SMALL];
            int best = 0;
            think(seed, want.ids, want.n, x);
            for (int i = 1; i < SMALL; i++)
                best = x[i] > x[best] ? i : best;
            want.log_prob += (double)x[best] - hn__log_sum_exp(x, SMALL);
            ended = best == SMALL_END;
            if (!ended)
                want.ids[want.n++] = best;
        }
        const result got =
            run(seed, &(hn__search_params){ .rows = 1, .length_penalty = 1, .most = MOST });
        expect_same("greedy", seed, &got, &want);
    }
}

static void logs(float *x, const double p[SMALL])
{
    for (int i = 0; i < SMALL; i++)
        x[i] = (float)log(p[i]);
}

// The end among the best leaves its place to the next candidate, and the search ends when two
// have ended.
static void check_small_beam(void **state)
{
    const hn__search_params p = { .rows = 2, .length_penalty = 1, .most = 10 };
    float x[2 * SMALL];
    int32_t ids[2], from[2];
    hn__search *s;
    (void)state;
    CHECK_OK(hn__search_create(&small_rules, &p, &s));
    logs(x, (double[]){ 0.5, 0.3, 0.1, 0.06, 0.04 });
    CHECK(hn__search_step(s, x, ids, from), "ended at once");
    CHECK(ids[0] == 0 && ids[1] == 1 && !from[0] && !from[1], "%d, %d", ids[0], ids[1]);
    // 0 4: .5 * .6 = .3 (ends); 1 2: .3 * .8 = .24; 0 1: .5 * .3 = .15 takes the place.
    logs(x, (double[]){ 0.04, 0.3, 0.03, 0.03, 0.6 });
    logs(x + SMALL, (double[]){ 0.05, 0.05, 0.8, 0.05, 0.05 });
    CHECK(hn__search_step(s, x, ids, from), "ended with one hypothesis");
    CHECK(ids[0] == 1 && from[0] == 0 && ids[1] == 2 && from[1] == 1, "%d of %d, %d of %d", ids[0],
          from[0], ids[1], from[1]);
    // 1 2 4: .24 * .9 = .216 ends too. Per token: log .3 / 1 = -1.20, log .216 / 2 = -0.77.
    logs(x, (double[]){ 0.2, 0.2, 0.2, 0.2, 0.2 });
    logs(x + SMALL, (double[]){ 0.025, 0.025, 0.025, 0.025, 0.9 });
    CHECK(!hn__search_step(s, x, ids, from), "goes on with two ended");
    const hn__found best = hn__search_best(s);
    CHECK(best.n == 2 && best.ids[0] == 1 && best.ids[1] == 2, "%d tokens: %d", (int)best.n,
          best.ids[0]);
    CHECK(fabs(best.log_prob - log(0.216)) < 1e-5, "%g", best.log_prob);
    hn__search_destroy(&s);
}

// Samples come with the probabilities of the logits divided by the temperature; the best of
// several is the one with the highest probability a token.
static void check_samples(void **state)
{
    const double p[SMALL] = { 0.4, 0.3, 0.15, 0.1, 0.05 };
    int count[SMALL] = { 0 };
    double sum = 0;
    enum { DRAWS = 4000 };
    (void)state;
    for (int i = 0; i < DRAWS; i++) {
        float x[SMALL];
        int32_t id, from;
        hn__search *s;
        logs(x, p);
        CHECK_OK(hn__search_create(
            &small_rules,
            &(hn__search_params){ .rows = 1, .temperature = 0.5f, .most = 1, .seed = (uint64_t)i },
            &s));
        CHECK(!hn__search_step(s, x, &id, &from), "goes on past one token");
        const hn__found f = hn__search_best(s);
        count[f.n ? f.ids[0] : SMALL_END]++;
        hn__search_destroy(&s);
    }
    for (int i = 0; i < SMALL; i++)
        sum += p[i] * p[i];
    for (int i = 0; i < SMALL; i++) {
        const double want = p[i] * p[i] / sum;
        CHECK(fabs((double)count[i] / DRAWS - want) < 4 * sqrt(want * (1 - want) / DRAWS),
              "token %d: %d of %d, want %g", i, count[i], DRAWS, want);
    }
    for (uint64_t seed = 0; seed < 20; seed++) {
        const hn__search_params one = {
            .rows = 1, .temperature = 1, .length_penalty = 1, .most = MOST, .seed = seed
        };
        hn__search_params many = one;
        many.rows = 200;
        const result a = run(seed, &one), b = run(seed, &many);
        const double per_a = a.log_prob / (double)(a.n > 1 ? a.n : 1),
                     per_b = b.log_prob / (double)(b.n > 1 ? b.n : 1);
        CHECK(per_b >= per_a, "seed %d: the best of 200 is worse than one", (int)seed);
        const result c = run(seed, &many);
        expect_same("the same seed", seed, &c, &b);
    }
}

static hn_status make_search(void *user)
{
    hn__search *s;
    (void)user;
    const hn_status st =
        hn__search_create(&small_rules, &(hn__search_params){ .rows = 3, .most = 5 }, &s);
    hn__search_destroy(&s);
    return st;
}

static void check_errors(void **state)
{
    hn__search *s;
    (void)state;
    CHECK_FAILS(hn__search_create(&plain, &(hn__search_params){ .rows = 0, .most = 5 }, &s),
                HN_ERR_ARG);
    CHECK_FAILS(hn__search_create(&plain, &(hn__search_params){ .rows = 2, .most = 0 }, &s),
                HN_ERR_ARG);
    CHECK_FAILS(hn__search_create(
                    &plain, &(hn__search_params){ .rows = 2, .most = 5, .temperature = -1 }, &s),
                HN_ERR_ARG);
    failing_allocations("search", make_search, NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(check_rules),     cmocka_unit_test(check_greedy),
        cmocka_unit_test(check_wide_beam), cmocka_unit_test(check_small_beam),
        cmocka_unit_test(check_samples),   cmocka_unit_test(check_errors),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
