// Inside the library: language models in GGUF files: names, row orders and configuration against
// those of Hugging Face. Reading and writing use the same tables.
#ifndef HN_IO_GGUF_MODEL_H
#define HN_IO_GGUF_MODEL_H

#include "io/pretrained.h"

typedef enum hn__gguf_family { HN__GGUF_LLAMA, HN__GGUF_QWEN2, HN__GGUF_GPT2 } hn__gguf_family;

typedef struct hn__gguf_names {
    const char *architecture; // as general.architecture calls it
    const char *layers;       // what Hugging Face's names of layers begin with
    bool paired;              // rotary pairs stand side by side in the file
} hn__gguf_names;

// Errors: UNSUPPORTED, naming file and architecture.
hn_status hn__gguf_family_find(const char *architecture, const char *file, hn__gguf_family *out);
const hn__gguf_names *hn__gguf_names_of(hn__gguf_family f);

// A tensor's name in the other form, and how its elements lie in the GGUF file.
typedef struct hn__gguf_place {
    char name[192];
    int64_t layer; // -1: of none
    bool queries, keys; // rows in rotary pairs, of the query or key-value heads
    bool transposed;
} hn__gguf_place;

// From GGUF's name to Hugging Face's, and back. False for a name that the family does not have.
bool hn__gguf_to_model(hn__gguf_family f, const char *name, hn__gguf_place *out);
bool hn__gguf_from_model(hn__gguf_family f, const char *name, hn__gguf_place *out);

// Llama 3's scaling of rotary frequencies, in the words of Hugging Face's "rope_scaling".
typedef struct hn__llama3_rope {
    double base, factor, low, high, original;
    int64_t pairs; // of a head
} hn__llama3_rope;
// What the frequency of pair i is divided by: 1 for short waves, the factor for long ones, and a
// blend between.
double hn__llama3_divisor(const hn__llama3_rope *r, int64_t i);

// One being opened.
typedef struct hn__gguf_model {
    hn_pretrained *p;
    hn__gguf_family family;
    int64_t heads, kv_heads;
} hn__gguf_model;

// Fills p's config, generation, tokenizer_config, license and chat_template from the key-values.
hn_status hn__gguf_model_config(hn__gguf_model *m);
hn_status hn__gguf_model_tensors(hn__gguf_model *m);

#endif
