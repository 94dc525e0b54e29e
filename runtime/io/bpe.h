// Inside the BPE tokenizer: what its makers (train, load) fill and its users read. There are two
// kinds. Byte-level ones split text by patterns and begin each piece with its bytes; their files
// write a byte as a printable character. The others (SentencePiece's) write a space as U+2581 and
// begin with characters; one that has no token falls back to the tokens <0xNN> of its bytes.
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

// A hash table from names to their numbers in a list. The first of two equal names counts.
typedef struct hn__index {
    int32_t *slot; // -1: free
    uint32_t n;    // a power of two
} hn__index;

// A step that text goes through before it is split.
typedef struct hn__norm {
    enum { HN__NORM_NFC, HN__NORM_PREPEND, HN__NORM_REPLACE } how;
    hn__bytes from, to; // prepend: `to`; replace: every `from` by `to`
} hn__norm;

enum { HN__NORMS = 8 }; // most of them

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
    hn__arena arena;  // bytes of tokens, of added tokens, of steps
    bool by_char;     // the second kind
    hn__bytes *token; // [n_token]; p NULL: no token has this number. by_char: as the file has it
    hn__bytes *text;  // by_char: what the tokens stand for, [n_token]; otherwise `token`
    int32_t n_token;
    hn__index by_text;    // of `text`; for find and ignore_merges
    hn__index by_name;    // by_char: of `token`, those of the vocabulary
    int32_t byte_id[256]; // -1: none, and such a byte is unknown or lost
    int n_no_byte;        // how many these are
    int32_t unknown;      // the token of what has none; -1: it is lost
    bool fuse_unknown;    // one for all of them in a row
    bool warned;          // that bytes were lost
    hn__merge *merge; // [n_merge_slots]
    uint32_t n_merge_slots;
    int32_t (*rule)[2]; // [n_rule] merges in order, for saving and hashing
    int32_t n_rule;
    hn__added *added; // first those found before normalisation, each part sorted by text
    int32_t n_added, n_raw; // n_raw: how many in the first part
    uint8_t added_start[256]; // bits 0 and 1: a text of the first or second part begins so
    bool ignore_merges; // a pre-token that is a token is not split
    hn__norm norm[HN__NORMS];
    int n_norm;
    // Metaspace: spaces become U+2581, and one is put before a part of the text that has none
    // there: before none, the part that begins the text, or all.
    enum { HN__META_OFF, HN__META_NONE, HN__META_FIRST, HN__META_ALL } meta;
    hn__pretoken split;
    hn__pretoken word; // matches a character of a word; made where a token is single_word
    char *words; // JSON of "normalizer" and "pre_tokenizer", for saving and hashing
    int32_t *around; // tokens put before and after a text where that is asked for
    int32_t n_before, n_after;
    bool strip_space; // by_char: decoding takes one space off the start of a text

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
// by_char: call after the last token of the vocabulary. What tokens stand for: the bytes of
// <0xNN> where fallback says so, otherwise the name with spaces for U+2581.
hn_status hn__bpe_set_text(hn_tokenizer *t, bool fallback);
// Call after the last token.
hn_status hn__bpe_index(hn_tokenizer *t);
// Logs how many byte values have no token, where any has none and none serves for unknown ones.
void hn__bpe_say_missing(const hn_tokenizer *t, const char *where);
// The next merge; of two of the same pair the last one counts.
hn_status hn__bpe_add_merges(hn_tokenizer *t, const int32_t (*rule)[2], const int32_t *made,
                             int32_t n);
// by_char: call after the merges and the steps. Where no merge makes a token with a space after
// something else, text is split before such spaces: the same tokens, from pieces that are short
// and can be remembered.
hn_status hn__bpe_split_words(hn_tokenizer *t);
// Keeps how text is prepared (borrowed; each may be NULL). Errors: NOMEM.
hn_status hn__bpe_set_words(hn_tokenizer *t, const json_t *normalizer, const json_t *pre);
// GPT-2's way: no normalizer, its pattern, no space put before.
hn_status hn__bpe_set_gpt2_split(hn_tokenizer *t);
// Takes n added tokens, text in place; sorts them. Errors: FORMAT where two have one text.
hn_status hn__bpe_set_added(hn_tokenizer *t, const hn__added *list, int32_t n);
// Keeps the tokens around a text, in order. Errors: NOMEM.
hn_status hn__bpe_set_around(hn_tokenizer *t, const int32_t *before, int32_t n_before,
                             const int32_t *after, int32_t n_after);

// Adds steps to t from the parts of a tokenizer.json; `where` begins error texts.
// Errors: FORMAT; UNSUPPORTED with the name of what is not known; NOMEM.
hn_status hn__steps_normalizer(hn_tokenizer *t, const json_t *o, const char *where);
hn_status hn__steps_pre_tokenizer(hn_tokenizer *t, const json_t *o, const char *where);
// Whether the file is of the second kind, and whether it then falls back to bytes.
hn_status hn__steps_decoder(hn_tokenizer *t, const json_t *o, const char *where, bool *fallback);
// Where the tokens around a text have these numbers.
hn_status hn__steps_post_processor(hn_tokenizer *t, const json_t *o, const char *where);
// Every key of o must be in the list (NULL ends it): an unknown one may change the result.
hn_status hn__steps_keys(const json_t *o, const char *where, const char *what,
                         const char *const *known);

// Every `from` (not empty) replaced by `to`, after `before` (may be empty); *out as below.
hn_status hn__replace(const uint8_t *p, size_t n, hn__bytes before, hn__bytes from, hn__bytes to,
                      uint8_t **out, size_t *n_out);
// Text through the steps of its normalizer. *out is NULL where nothing changes; otherwise it is
// freed by hn__free. Errors: ARG where it grows above 2^31 - 1 bytes; NOMEM.
hn_status hn__normalise(const hn_tokenizer *t, const uint8_t *p, size_t n, uint8_t **out,
                        size_t *n_out);

// Names to numbers. Make room for n, add each, then ask; -1 where there is none.
hn_status hn__index_make(hn__index *x, int64_t n);
void hn__index_add(hn__index *x, const hn__bytes *list, int32_t i);
int32_t hn__index_find(const hn__index *x, const hn__bytes *list, const void *p, size_t n);

// GPT-2's printable character for a byte: UTF-8 of 1 or 2 bytes into out; returns its length.
int hn__byte_char(uint8_t b, char out[2]);
// The bytes that a string of such characters stands for, or -1 where another one is in it.
// out holds n bytes.
int64_t hn__byte_chars_decode(const char *s, size_t n, uint8_t *out);

// Appends the tokens of one pre-token (any bytes; by_char: UTF-8).
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
