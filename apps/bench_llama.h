// A token of a Llama of a billion parameters, whose weights are drawn: what decoding costs,
// without any file.
#ifndef HORNITO_BENCH_LLAMA_H
#define HORNITO_BENCH_LLAMA_H

#include "hornito/lm.h"

typedef struct bench_llama bench_llama;

// Makes the model on a device with matrices of a type: f16, q8_0, q4_1. `small`: two of its layers
// and few tokens.
hn_status bench_llama_create(hn_device *d, hn_dtype weights, bool small, bench_llama **out);
void bench_llama_destroy(bench_llama **m);
// Bytes of weights that every token reads.
double bench_llama_bytes(const bench_llama *m);
int64_t bench_llama_vocab(const bench_llama *m);
// Puts the next token in and reads the logits after it, [vocab].
hn_status bench_llama_step(bench_llama *m, float logits[]);

#endif
