// What the results of whole models are compared with: a folder as tests/data/reference is.
#ifndef HORNITO_BENCH_REFERENCE_H
#define HORNITO_BENCH_REFERENCE_H

#include "hornito/lm.h"
#include "hornito/whisper.h"

enum { CLIP_MOST_TOKENS = 64 };

// A recording as Whisper's features, with the tokens it must give.
typedef struct bench_clip {
    float *mel; // [80, 3000]
    int32_t prompt[8], want[CLIP_MOST_TOKENS];
    int n_prompt, n_want;
} bench_clip;
// Errors: IO, FORMAT, NOMEM. bench_clip_close afterwards in any case.
hn_status bench_clip_open(const char *folder, bench_clip *out);
void bench_clip_close(bench_clip *c);
// Decodes the window that `w` has encoded, greedily; logits: room for a vocabulary. DEVICE where a
// token is not the one wanted.
hn_status bench_clip_decode(const bench_clip *c, hn_whisper *w, float *logits);

// Continues a prompt of the folder greedily. DEVICE where a token is not the one wanted.
hn_status bench_check_greedy(const char *folder, hn_lm *lm, int *out_tokens);
// Encodes all texts of the folder. DEVICE where tokens differ.
hn_status bench_check_tokens(const char *folder, hn_tokenizer *t, int *out_texts);

#endif
