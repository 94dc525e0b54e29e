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
    hn_tensors *tensors; // under Hugging Face's names, pointing into `files`
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

#endif
