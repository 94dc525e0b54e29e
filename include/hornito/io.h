// Files: named tensors (safetensors, ONNX, npy), pretrained models, BPE tokenizers.
#ifndef HORNITO_IO_H
#define HORNITO_IO_H

#include "hornito/base.h"

#ifdef __cplusplus
extern "C" {
#endif

// ---- named tensors --------------------------------------------------------------------------

// A directory of named tensors over one or several mapped files. Read-only once made, so any
// number of threads may use it.
typedef struct hn_tensors hn_tensors;

#define HN_FILE_RANK 8 // a file may hold tensors of more dimensions than a graph takes

// A tensor in a file. All pointers live as long as the directory.
typedef struct hn_tensor {
    const char *name;
    const char *file_dtype; // as the format calls it: "F32", "I64"
    hn_dtype dtype;         // 0 where no hn_dtype is the same
    int rank;
    int64_t dim[HN_FILE_RANK]; // slowest first; a file may hold zeros
    const void *data;          // little-endian, row-major, of any alignment
    int64_t n_bytes;
    // 0, or how many attention heads the rows make up whose rotary pairs stand side by side (rows
    // 2i and 2i + 1 of a head), as GGUF has them; hn_tensor_read gives them as split halves (rows
    // i and i + D / 2), as Hugging Face has them.
    int64_t paired_heads;
    // True where the file has the two dimensions the other way round: data is [dim[1], dim[0]],
    // and blocks of a quantised type run along dim[0]. GGUF has GPT-2's projections so.
    bool transposed;
} hn_tensor;

// A pair of strings that a file carries beside its tensors.
typedef struct hn_metadata {
    const char *key, *value;
} hn_metadata;

// Opens by what is there: a .safetensors file, a .safetensors.index.json with its shards beside
// it, a .onnx or .npy file, a GGUF file, CTranslate2's model.bin, or a folder that holds
// model.safetensors or its index.
// Errors: IO; FORMAT with file, place and reason; UNSUPPORTED; NOMEM. *out is then NULL.
HN_API hn_status hn_tensors_open(const char *path, hn_tensors **out);
// Closes the files and sets *t to NULL. *t may be NULL already.
HN_API void hn_tensors_destroy(hn_tensors **t);

// The tensors in the order of the file; NULL where i is no index.
HN_API int64_t hn_tensors_count(const hn_tensors *t);
HN_API const hn_tensor *hn_tensors_at(const hn_tensors *t, int64_t i);
// By name; NULL where there is none.
HN_API const hn_tensor *hn_tensors_find(const hn_tensors *t, const char *name);
// By name. Errors: FORMAT where there is none, with the name of the file.
HN_API hn_status hn_tensors_get(const hn_tensors *t, const char *name, const hn_tensor **out);
// The value of a key in the file's metadata; NULL where there is none.
HN_API const char *hn_tensors_metadata(const hn_tensors *t, const char *key);

// The type that a graph gives the tensor. Errors: UNSUPPORTED for an element type without an
// hn_dtype, more than HN_MAX_RANK dimensions, or a dimension of 0. Of a quantised tensor that is
// transposed it is HN_F32.
HN_API hn_status hn_tensor_type(const hn_tensor *t, hn_type *out);
// Copies all elements to dst, converted to `as`, in the order that the name's owner has: rotary
// pairs as split halves, nothing transposed. dst holds as many elements as the tensor. Beside the
// types of hn_dtype it reads F64, I64 and BOOL. Floats are rounded to the type; to i32 and u8
// fractions are dropped; blocks stay as they are where `as` is the tensor's type, and are made for
// HN_Q8_0, HN_Q4_0 and HN_Q4_1.
// Errors: UNSUPPORTED for another type, and for blocks of a transposed tensor; ARG where rows are
// no whole blocks; FORMAT for a number outside i32 or u8.
HN_API hn_status hn_tensor_read(const hn_tensor *t, hn_dtype as, void *dst);

// Writes a safetensors file as a stream: the list first (name, dtype, rank and dim of each are
// read; data and n_bytes are not), then the bytes of all tensors in that order. The file appears
// whole at commit, or not at all.
typedef struct hn_tensor_writer hn_tensor_writer;
// Errors: ARG for an illegal or repeated name, a type that is no hn_dtype, an illegal shape; IO.
HN_API hn_status hn_tensor_writer_create(const char *path, const hn_tensor list[], int64_t n,
                                         const hn_metadata meta[], int64_t n_meta,
                                         hn_tensor_writer **out);
// The next n_bytes, in pieces of any size. Errors: ARG for more than the list says; IO.
HN_API hn_status hn_tensor_writer_put(hn_tensor_writer *w, const void *data, int64_t n_bytes);
// Ends the file, and *w, whatever the result. Errors: ARG where bytes are missing; IO.
HN_API hn_status hn_tensor_writer_commit(hn_tensor_writer **w);
// Gives up: nothing is left of the file. *w may be NULL.
HN_API void hn_tensor_writer_destroy(hn_tensor_writer **w);
// The whole file from memory: data and n_bytes of each are used too.
HN_API hn_status hn_tensors_write(const char *path, const hn_tensor list[], int64_t n,
                                  const hn_metadata meta[], int64_t n_meta);

// ---- pretrained models ----------------------------------------------------------------------

// A model as other tools publish it, opened from any of
//   a Hugging Face folder: config.json with safetensors, one file or shards;
//   a GGUF file (versions 2 and 3) of a language model;
//   a CTranslate2 folder with model.bin (binary version 6) of a Whisper model;
// and shown as if it were the first: a config.json, tensors under Hugging Face's names, a
// tokenizer. Read-only once opened; nothing of the weights is read before it is asked for.
typedef struct hn_pretrained hn_pretrained;

// Errors: IO, FORMAT, UNSUPPORTED with file, place and reason; NOMEM. *out is then NULL.
HN_API hn_status hn_pretrained_open(const char *path, hn_pretrained **out);
// Closes the files and sets *p to NULL. *p may be NULL already.
HN_API void hn_pretrained_close(hn_pretrained **p);
// "safetensors", "gguf 3", "ctranslate2 6". All strings live as long as p.
HN_API const char *hn_pretrained_format(const hn_pretrained *p);
// config.json's model_type: "llama", "gpt2", "qwen2", "mistral", "whisper".
HN_API const char *hn_pretrained_model_type(const hn_pretrained *p);
// The licence as the files name it; NULL where they do not.
HN_API const char *hn_pretrained_license(const hn_pretrained *p);
// The chat template's text (Jinja); NULL where there is none.
HN_API const char *hn_pretrained_chat_template(const hn_pretrained *p);
// Tensors under Hugging Face's names, and under the file's own. Owned by p.
HN_API const hn_tensors *hn_pretrained_tensors(const hn_pretrained *p);
HN_API const hn_tensors *hn_pretrained_file_tensors(const hn_pretrained *p);

// ---- tokenizers -----------------------------------------------------------------------------

// A BPE tokenizer, of one of two kinds: byte-level (GPT-2, Llama 3, Qwen2, Whisper), or over
// characters with bytes to fall back on (SentencePiece's: Llama 2, Mistral). It keeps a cache, so
// one thread at a time.
typedef struct hn_tokenizer hn_tokenizer;

// Token numbers: a growing list. Start with {0}; hn_ids_free ends it.
typedef struct hn_ids {
    int32_t *id;
    int64_t n, cap;
} hn_ids;
HN_API void hn_ids_free(hn_ids *ids);

// Loads a tokenizer.json, or a folder: tokenizer.json where it is there, else vocab.json and
// merges.txt, else encoder.json and vocab.bpe (GPT-2's, with <|endoftext|> special).
// Errors: IO; FORMAT with file, place and reason; UNSUPPORTED with the name of what the file asks
// for and this reader does not do; NOMEM. *out is then NULL. A file's "truncation" and "padding"
// are about batches and left to the caller: a text is encoded whole.
HN_API hn_status hn_tokenizer_load(const char *path, hn_tokenizer **out);
// GPT-2's pair of files by name.
HN_API hn_status hn_tokenizer_load_pair(const char *vocab_path, const char *merges_path,
                                        hn_tokenizer **out);
HN_API void hn_tokenizer_destroy(hn_tokenizer **t);

// How to train one. Token b < 256 is the byte b, then come the merges, then the special tokens.
typedef struct hn_tokenizer_params {
    int vocab_size;             // in all: at least 256 + n_special
    int64_t least_count;        // a pair seen fewer times is not merged; 0 means 2
    const char *const *special; // UTF-8, not empty, each once
    int n_special;
} hn_tokenizer_params;
// Trains on n bytes of text, split by GPT-2's pattern. The same text gives the same tokenizer
// everywhere: of pairs as frequent, the one with the lower tokens is merged first. Where the text
// has too few pairs the vocabulary is smaller than asked, and the log says so.
// Errors: ARG; NOMEM.
HN_API hn_status hn_tokenizer_train(const void *text, size_t n, const hn_tokenizer_params *p,
                                    hn_tokenizer **out);
// Writes a tokenizer.json, atomically. Errors: IO; NOMEM.
HN_API hn_status hn_tokenizer_save(const hn_tokenizer *t, const char *path);

// One more than the largest token.
HN_API int hn_tokenizer_vocab_size(const hn_tokenizer *t);
// A hash over what decides the tokens of a text: the same on every machine.
HN_API uint64_t hn_tokenizer_hash(const hn_tokenizer *t);

// How many of the 256 byte values no token stands for. Text loses them when it is encoded (the
// log says so once), or gets the unknown token where the file names one.
HN_API int hn_tokenizer_missing_bytes(const hn_tokenizer *t);
// The tokens that the file wants before a text (a template; GGUF's add_bos_token): how many, and
// *out, valid as long as t. Mostly none or one.
HN_API int64_t hn_tokenizer_start(const hn_tokenizer *t, const int32_t **out);

typedef enum hn_encode_flags {
    HN_ENCODE_SPECIAL = 1, // special tokens written in the text become their tokens
    HN_ENCODE_START = 2,   // the tokens that the file wants before a text are put there,
    HN_ENCODE_END = 4,     // and after it
} hn_encode_flags;
// Appends the tokens of n bytes of text to ids. Without HN_ENCODE_SPECIAL the text of a special
// token is encoded as any other; added tokens that are not special are always found. Bytes that
// are not UTF-8 become the tokens of these bytes, and the text before and after is encoded as if
// it stood alone; decoding gives back every byte (unless the tokenizer itself normalises, drops
// what its pattern does not match, or lacks tokens for some bytes).
// Errors: ARG for more than 2^31 - 1 bytes; UNSUPPORTED where the split pattern of the file needs
// too much backtracking; NOMEM. ids->n is unchanged on failure.
HN_API hn_status hn_tokenizer_encode(hn_tokenizer *t, const void *text, size_t n, int flags,
                                     hn_ids *ids);

// A piece of a text of several: `special` says whether special tokens are found in it.
typedef struct hn_text_part {
    const void *text;
    size_t n;
    bool special;
} hn_text_part;
// The same for parts that make up one text together: what is no special token of a special part is
// encoded as if it had been written in one go. A special token across two parts is none.
HN_API hn_status hn_tokenizer_encode_parts(hn_tokenizer *t, const hn_text_part parts[], int64_t n,
                                           hn_ids *ids);
// The bytes of one token, valid as long as t; *n_bytes is 0 and NULL is returned where id is no
// token. A token may end inside a character, so bytes are not text until joined.
HN_API const void *hn_tokenizer_bytes(const hn_tokenizer *t, int32_t id, size_t *n_bytes);
// The token of these bytes, or -1. Special tokens are found by their text.
HN_API int32_t hn_tokenizer_find(const hn_tokenizer *t, const void *bytes, size_t n);
HN_API bool hn_tokenizer_is_special(const hn_tokenizer *t, int32_t id);
// The bytes of n tokens, joined. Writes at most cap bytes to out (NULL where cap is 0) and the
// number of bytes in all to *n_bytes: call twice, or check. Special tokens give their text. Where
// the tokenizer puts a space before a text, the first token loses it again.
// Errors: ARG for an id that is no token.
HN_API hn_status hn_tokenizer_decode(const hn_tokenizer *t, const int32_t ids[], int64_t n,
                                     void *out, size_t cap, size_t *n_bytes);
// How many of the n bytes are whole UTF-8 characters or can never become one: what a stream may
// show now. At most the last 3 bytes wait.
HN_API size_t hn_utf8_complete(const void *bytes, size_t n);

#ifdef __cplusplus
}
#endif
#endif
