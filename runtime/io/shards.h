// Token shards: a folder of raw token files and index.json, mapped for training.
#ifndef HN_IO_SHARDS_H
#define HN_IO_SHARDS_H

#include "base/base.h"

// One being written: files of tokens, then the index as the last act. Tokens are u16 where the
// vocabulary has at most 65,536 tokens, else u32, little-endian.
typedef struct hn__shards_writer hn__shards_writer;

// Errors: ARG where dir holds token shards already, or for a size < 1; IO; NOMEM.
// tokenizer_hash: hn_tokenizer_hash of what made the tokens.
hn_status hn__shards_create(const char *dir, int vocab_size, uint64_t tokenizer_hash,
                            int64_t tokens_per_file, hn__shards_writer **out);
// Errors: ARG for a token outside the vocabulary; IO.
hn_status hn__shards_put(hn__shards_writer *w, const int32_t *id, int64_t n);
// Ends *w, whatever the result. Errors: IO; NOMEM. Without an index the folder holds no shards.
hn_status hn__shards_commit(hn__shards_writer **w);
// Gives up. The files written are removed. *w may be NULL.
void hn__shards_abort(hn__shards_writer **w);

// Read-only, so any number of threads may use it.
typedef struct hn__shards hn__shards;

// Maps all files. `verify` reads every token to check the files' hashes; without it only their
// sizes are checked. Errors: IO; FORMAT with file and reason; NOMEM.
hn_status hn__shards_open(const char *dir, bool verify, hn__shards **out);
void hn__shards_close(hn__shards **s);
int64_t hn__shards_count(const hn__shards *s); // tokens in all
int hn__shards_vocab_size(const hn__shards *s);
uint64_t hn__shards_tokenizer_hash(const hn__shards *s);
// Copies tokens at .. at + n - 1, across files. Errors: ARG outside the tokens; FORMAT for a
// token outside the vocabulary.
hn_status hn__shards_read(const hn__shards *s, int64_t at, int64_t n, int32_t *out);

#endif
