// Splitting text into pre-tokens, between which no merge is made: by patterns, through PCRE2.
#ifndef HN_IO_PRETOKEN_H
#define HN_IO_PRETOKEN_H

#include "base/base.h"

enum { HN__SPLITS = 8 }; // most steps in a row

typedef struct hn__split {
    void *code, *match; // pcre2_code, pcre2_match_data
    bool drop_matches;  // what matches is left out
    bool drop_rest;     // what does not match is left out
} hn__split;

// Each step splits every piece of the one before.
typedef struct hn__pretoken {
    hn__split step[HN__SPLITS + 1];
    int n;
    bool prefix_space; // before the last step, a piece that does not begin with ' ' gets one
    int prefix_at;     // the step that has it
} hn__pretoken;

// Ranges of characters, from `first` to `last`; see unicode_rows.c.
typedef struct hn__unicode_row {
    char name[12];
    uint32_t first, last;
} hn__unicode_row;
extern const hn__unicode_row hn__unicode_rows[];
extern const int hn__n_unicode_rows;

// GPT-2's pattern.
extern const char hn__gpt2_pattern[];

// Adds a step. The pattern is in the syntax of the Oniguruma library as tokenizer files have it;
// constructs that could mean another thing here are refused.
// Errors: UNSUPPORTED with the construct and its place; FORMAT where it is no pattern; NOMEM.
hn_status hn__pretoken_add(hn__pretoken *p, const char *pattern, bool drop_matches,
                           bool drop_rest);
// The same for a fixed string.
hn_status hn__pretoken_add_literal(hn__pretoken *p, const char *text, bool drop_matches,
                                   bool drop_rest);
void hn__pretoken_free(hn__pretoken *p);

// Calls `each` for every pre-token of n bytes of valid UTF-8, in order, until one fails.
typedef hn_status (*hn__pretoken_fn)(void *user, const uint8_t *p, size_t n);
hn_status hn__pretoken_run(const hn__pretoken *p, const uint8_t *text, size_t n,
                           hn__pretoken_fn each, void *user);

#endif
