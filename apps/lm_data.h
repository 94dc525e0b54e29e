// What lm train and lm tokenize read: text files, or a folder of token shards, as tokens.
#ifndef HORNITO_APP_LM_DATA_H
#define HORNITO_APP_LM_DATA_H

#include "hornito/io.h"

typedef struct lm_data {
    hn_tokenizer *tok;
    hn_ids tokens; // all of them; texts are joined by <|endoftext|>
} lm_data;

typedef struct lm_data_options {
    const char *tokenizer; // tokenizer.json or its folder; NULL: one is trained on the text
    int vocab;             // of one that is trained
    hn_tokenizer *ready;   // or the tokenizer itself, which is taken, even on failure
} lm_data_options;

// Reads `files` (n of them: text files, or one folder of shards, which needs a tokenizer) and says
// what it found on standard output. Errors: IO, FORMAT, ARG (shards made by another tokenizer),
// NOMEM.
hn_status lm_data_read(const char **files, int n, const lm_data_options *o, lm_data *out);
void lm_data_free(lm_data *d);

#endif
