// Inside the library: what is known of a pretrained model beside hornito/io.h.
#ifndef HN_IO_PRETRAINED_H
#define HN_IO_PRETRAINED_H

#include "io/gguf.h"
#include "io/json.h"

struct hn_pretrained {
    char *path;    // as given
    char *format;
    char *license, *chat_template; // NULL: none
    hn_tensors *files;   // under the file's names; keeps the maps
    hn_tensors *tensors; // under Hugging Face's names, pointing into `files`; may be the same
    json_t *config;      // as config.json has it, whatever the format
    json_t *generation;  // as generation_config.json has it; an empty object where there is none
    json_t *tokenizer_config; // the same for tokenizer_config.json
    hn__gguf *gguf;      // NULL for the other formats
    char *tokenizer_path; // what hn_tokenizer_load takes; NULL: in the GGUF file, or missing
};

// The tokenizer, from files beside the weights or from GGUF metadata.
// Errors: FORMAT where there is none; those of hn_tokenizer_load.
hn_status hn__pretrained_tokenizer(const hn_pretrained *p, hn_tokenizer **out);
// From GGUF metadata (tokenizer.ggml.*). Errors: FORMAT; UNSUPPORTED with the name of a model or
// pre-tokenizer that is not known; NOMEM.
hn_status hn__tokenizer_from_gguf(const hn__gguf *g, hn_tokenizer **out);
// What tokenizer_config.json says beside it: with "add_bos_token" a start token is put before a
// text, or is not. Errors: FORMAT; NOMEM.
hn_status hn__tokenizer_set_config(hn_tokenizer *t, const json_t *config);

// ---- parts of hn_pretrained_open -------------------------------------------------------------

// Each fills p from a folder or file; what is there already stays. On failure the caller closes p.
hn_status hn__pretrained_read_folder(hn_pretrained *p, const char *dir);
hn_status hn__pretrained_read_ctranslate2(hn_pretrained *p, const char *dir);
hn_status hn__pretrained_read_gguf(hn_pretrained *p, const char *path);
// The same once p holds the file as it was read: p->files, and of GGUF p->gguf.
hn_status hn__pretrained_from_gguf(hn_pretrained *p);
hn_status hn__pretrained_from_ctranslate2(hn_pretrained *p);
// What lies beside weights of either folder: generation_config.json, tokenizer_config.json with
// the chat template, the tokenizer's path, the licence in README.md.
hn_status hn__pretrained_read_beside(hn_pretrained *p, const char *dir);
// The fields of `generation` that a Whisper model needs and its files say elsewhere: in
// config.json as older folders have it, or by the texts of special tokens.
hn_status hn__pretrained_whisper(hn_pretrained *p, const char *dir);

// A copy of n bytes, terminated by 0. Errors: NOMEM; *out is then NULL.
hn_status hn__pretrained_text(const char *text, size_t n, char **out);
// dir/name as JSON where it is there; otherwise *out is NULL. Errors: those of hn__json_load;
// FORMAT where it is no object (or, with `array`, no array).
hn_status hn__pretrained_json(const char *dir, const char *name, bool array, json_t **out);
// Whether dir/name is there. Errors: NOMEM.
hn_status hn__pretrained_has(const char *dir, const char *name, bool *out);

#endif
