// A pretrained model written in another format, or with other element types.
#ifndef HN_IO_CONVERT_H
#define HN_IO_CONVERT_H

#include "io/gguf_model.h"
#include "io/gguf_write.h"

// Writes p to `out`, which must not be there yet: a GGUF file where the name ends in .gguf,
// otherwise a Hugging Face folder. What is at `out` appears whole or not at all.
// `type` is the element type of the weights: F32, F16 or BF16, and in GGUF also Q8_0, Q4_0 or
// Q4_1; 0 takes what p has, where a folder gets F16 for blocks. *out_type is what was taken; 0 for
// a GGUF file in which each tensor keeps its own.
// Errors: ARG where `out` is there; UNSUPPORTED, by name, for what the format has no place for;
// IO, FORMAT, NOMEM.
hn_status hn__convert(const hn_pretrained *p, const char *out, hn_dtype type, hn_dtype *out_type);

// ---- parts -----------------------------------------------------------------------------------

// `dir` is there and empty.
hn_status hn__convert_folder(const hn_pretrained *p, const char *dir, hn_dtype type);
hn_status hn__convert_gguf(const hn_pretrained *p, const char *path, hn_dtype type);
// Key-values of the model and of its tokenizer. Errors: UNSUPPORTED by name; FORMAT; NOMEM.
hn_status hn__convert_gguf_config(const hn_pretrained *p, hn__gguf_family f, hn__gguf_writer *w);
hn_status hn__convert_gguf_tokenizer(const hn_pretrained *p, hn__gguf_writer *w);
// How config.json wants rotary positions: the base and the pairs of a head, and of LINEAR the
// factor, of LLAMA3 all fields. Errors: UNSUPPORTED for any other scaling, by name; FORMAT.
typedef enum hn__rope_kind { HN__ROPE_PLAIN, HN__ROPE_LINEAR, HN__ROPE_LLAMA3 } hn__rope_kind;
enum { HN__PAIRS = 512 }; // most in a head
hn_status hn__convert_rope(const json_t *config, hn__llama3_rope *out, hn__rope_kind *kind);
// Tensors that a file may carry beside its weights: masks and tables that the model's definition
// gives.
bool hn__convert_is_buffer(const hn_tensor *t);
// The name of tokenizer.ggml.pre under which a reader prepares text as these parts of a
// tokenizer.json say; NULL where there is none.
const char *hn__gguf_pre_find(const json_t *normalizer, const json_t *pre, bool ignore_merges);

#endif
