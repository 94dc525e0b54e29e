// Inside nn/: what the files of Whisper share.
#ifndef HN_NN_WHISPER_H
#define HN_NN_WHISPER_H

#include "hornito/whisper.h"
#include "io/json.h"
#include "ir/ir.h"

// The configuration from config.json's object; `where` comes first in an error text.
hn_status hn__whisper_config_read(const json_t *o, const char *where, hn_whisper_config *out);

// The cache of keys ('k') or values ('v') of a layer for so many hypotheses: [rows, context, H, D].
hn_val hn__whisper_cache(hn_graph *g, const hn_whisper_config *c, int64_t rows, char which,
                         int64_t layer);

// A list of tokens: suppressed ones.
typedef struct hn__whisper_list {
    int32_t *id;
    int n;
} hn__whisper_list;

// Plans over the caches of `rows` hypotheses: one that feeds t tokens to each, or one that fills
// them with the first t positions of `rows_before` others.
typedef struct hn__whisper_plan {
    hn_plan *plan;
    int rows_before; // 0: it feeds
    int rows;
    int64_t t;
} hn__whisper_plan;

struct hn_whisper {
    hn_device *dev;
    hn_whisper_config config;
    hn_tokenizer *tok;
    hn_weights *weights;
    hn_whisper_tokens tokens;
    hn_whisper_language *languages;
    int n_languages;
    hn__whisper_list suppressed, suppressed_first;
    hn_plan *encode; // these are made when first needed
    hn__whisper_plan *plans;
    int64_t n_plans, cap_plans;
    bool has_window;
    int rows;       // of the last step
    int64_t filled; // positions of each
    int32_t *room;  // what is written to a plan
    int64_t cap_room;
};

// Takes tokens, languages and suppressed tokens from generation_config.json's object, the special
// tokens that it does not name from the tokenizer. Errors: FORMAT; NOMEM.
hn_status hn__whisper_read_tokens(hn_whisper *m, const json_t *generation);

#endif
