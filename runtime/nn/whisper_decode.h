// Inside nn/: what Whisper may say next, and the search for what it says. Functions of logits:
// no model, no device, no clock.
#ifndef HN_NN_WHISPER_DECODE_H
#define HN_NN_WHISPER_DECODE_H

#include "base/base.h"

// What the rules need to know of a model's tokens. Lists are borrowed.
typedef struct hn__whisper_rules {
    int64_t vocab;
    int32_t end;                      // <|endoftext|>
    int32_t no_timestamps;            // never said; -1: none
    int32_t first_timestamp;          // 0.00 s, and all tokens from it on are timestamps; -1: none
    const int32_t *never, *not_first; // suppressed always, and as the first token
    int n_never, n_not_first;
    bool timestamps;      // the rules of timestamps hold
    int32_t latest_start; // the first timestamp is at most this many after 0.00 s
} hn__whisper_rules;

// Makes -infinity of the logits [vocab] that may not follow the n tokens said so far.
//
// Of timestamps (Radford et al. 2022, section 2.3, as OpenAI's decoder has it): the first token is
// one; they come in pairs but for the first and a last one before the end; they do not fall, and a
// segment ends after it starts; where together they are likelier than any one other token, one of
// them must come.
void hn__whisper_mask(const hn__whisper_rules *r, const int32_t said[], int64_t n, float logits[]);

// log(sum(exp(x))); -infinity where all are.
double hn__log_sum_exp(const float x[], int64_t n);

// ---- the search ----------------------------------------------------------------------------

typedef struct hn__search_params {
    int rows;             // hypotheses at a time: 1, the beam's width, or how many are sampled
    float temperature;    // 0: the likeliest, by a beam where rows > 1; above: sampled
    float patience;       // a beam ends with rows * patience hypotheses found; 0: 1
    float length_penalty; // of a beam: scores are log-probability / length^penalty
    int64_t most;         // tokens of a hypothesis at most
    uint64_t seed;        // of the samples
} hn__search_params;

typedef struct hn__search hn__search;

// Errors: ARG, NOMEM. *out is then NULL. The rules must outlive it.
hn_status hn__search_create(const hn__whisper_rules *r, const hn__search_params *p,
                            hn__search **out);
void hn__search_destroy(hn__search **s);

// Takes the logits after the last token of each hypothesis, [rows, vocab] or at the first step
// [1, vocab], and changes them. Returns false at the end of the search; otherwise hypothesis i is
// to go on from what from[i] was, with ids[i]. Both hold `rows`.
bool hn__search_step(hn__search *s, float logits[], int32_t ids[], int32_t from[]);

// The best one found. Valid as long as the search.
typedef struct hn__found {
    const int32_t *ids; // without the end token
    int64_t n;
    double log_prob; // of all tokens, with the end token where it was said
} hn__found;
hn__found hn__search_best(const hn__search *s);

#endif
