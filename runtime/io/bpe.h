// Inside the byte-level BPE tokenizer: what its makers (train, load) fill and its users read.
#ifndef HN_IO_BPE_H
#define HN_IO_BPE_H

#include "base/os.h"
#include "hornito/io.h"
#include "io/pretoken.h"

#include <jansson.h>

enum { HN__TOKEN_MOST = 1 << 24 }; // tokens are smaller: a file cannot ask for more memory

typedef struct hn__bytes {
    const uint8_t *p;
    uint32_t n;
    bool raw; // its name in the file is not made of byte characters: text never gives it
} hn__bytes;

// A token found in the text before any pattern is used.
typedef struct hn__added {
    hn__bytes text; // what is looked for: the content, in normal form where `normalized`
    hn__bytes content;
    int32_t id;
    bool special, single_word, lstrip, rstrip, normalized;
    bool in_vocab; // stands in the vocabulary too; others are numbered on from its end
} hn__added;

// Open-addressed table from a pair of tokens to (rank, token). Size is a power of two.
typedef struct hn__merge {
    int32_t left, right; // left -1: free
    int32_t rank, made;
} hn__merge;

typedef struct hn__piece { // a cached pre-token
    uint64_t hash;
    const uint8_t *p;
    uint32_t n, n_ids;
    const int32_t *id;
} hn__piece;

typedef struct hn__symbol {
    int32_t id, before, after; // -1: none; id -1: merged away
} hn__symbol;

struct hn_tokenizer {
    hn__arena arena;     // token bytes, added tokens
    hn__bytes *token;    // [n_token]; p NULL: no token has this number
    int32_t n_token;
    int32_t *by_bytes; // [n_by_bytes] tokens hashed by bytes, -1 free; for find and ignore_merges
    uint32_t n_by_bytes; // a power of two
    int32_t byte_id[256];
    hn__merge *merge; // [n_merge_slots]
    uint32_t n_merge_slots;
    int32_t (*rule)[2]; // [n_rule] merges in order, for saving and hashing
    int32_t n_rule;
    hn__added *added; // first those found before normalisation, each part sorted by text
    int32_t n_added, n_raw; // n_raw: how many in the first part
    uint8_t added_start[256]; // bits 0 and 1: a text of the first or second part begins so
    bool ignore_merges; // a pre-token that is a token is not split
    bool nfc;
    hn__pretoken split;
    hn__pretoken word; // matches a character of a word; made where a token is single_word
    char *words; // JSON of "normalizer" and "pre_tokenizer", for saving and hashing

    hn__arena cache_arena;
    hn__piece *cache;
    uint32_t n_cached;
    hn__symbol *symbol; // scratch of a merge
    uint64_t *heap;
    int64_t cap_symbol, cap_heap;
};

enum { HN__CACHE_SLOTS = 1 << 16, HN__CACHE_MOST = 48 << 10, HN__CACHE_BYTES = 64 };

// A tokenizer with nothing in it, and its parts, in this order: tokens, merges, added tokens.
hn_status hn__bpe_create(int32_t n_token, hn_tokenizer **out);
// Copies the bytes. Errors: FORMAT where the number is taken or out of range.
hn_status hn__bpe_set_token(hn_tokenizer *t, int32_t id, const void *p, size_t n, bool raw);
// Call after the last token. Errors: FORMAT where a byte has no token.
hn_status hn__bpe_index(hn_tokenizer *t);
// The next merge; of two of the same pair the last one counts.
hn_status hn__bpe_add_merges(hn_tokenizer *t, const int32_t (*rule)[2], const int32_t *made,
                             int32_t n);
// Keeps how text is prepared (borrowed; normalizer may be NULL). Errors: NOMEM.
hn_status hn__bpe_set_words(hn_tokenizer *t, const json_t *normalizer, const json_t *pre);
// GPT-2's way: no normalizer, its pattern, no space put before.
hn_status hn__bpe_set_gpt2_split(hn_tokenizer *t);
// Takes n added tokens, text in place; sorts them. Errors: FORMAT where two have one text.
hn_status hn__bpe_set_added(hn_tokenizer *t, const hn__added *list, int32_t n);

// GPT-2's printable character for a byte: UTF-8 of 1 or 2 bytes into out; returns its length.
int hn__byte_char(uint8_t b, char out[2]);
// The bytes that a string of such characters stands for, or -1 where another one is in it.
// out holds n bytes.
int64_t hn__byte_chars_decode(const char *s, size_t n, uint8_t *out);

// Appends the tokens of one pre-token (any bytes).
hn_status hn__bpe_piece(hn_tokenizer *t, const uint8_t *p, size_t n, hn_ids *ids);
// Makes room for n more.
hn_status hn__ids_room(hn_ids *ids, int64_t n);

// Readers over memory, for tests and fuzzers; the names stand in error texts.
hn_status hn__tokenizer_read(const void *json, size_t n, const char *name, hn_tokenizer **out);
hn_status hn__tokenizer_read_pair(const void *vocab, size_t n_vocab, const char *vocab_name,
                                  const void *merges, size_t n_merges, const char *merges_name,
                                  hn_tokenizer **out);
// The tokenizer.json of t. Errors: NOMEM.
hn_status hn__tokenizer_to_json(const hn_tokenizer *t, json_t **out);

#endif
