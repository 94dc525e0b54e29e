// What stands between the files of a model and running it.
#ifndef HN_NN_PROBLEMS_H
#define HN_NN_PROBLEMS_H

#include "io/pretrained.h"

// Called with each reason, one line.
typedef void (*hn__problem_fn)(void *user, const char *text);

// What config.json asks for and nothing here does, tensors that are missing or of another shape
// than the configuration says, a tokenizer that is missing, unknown or of another model. Reads
// names and shapes only. Errors: NOMEM.
hn_status hn__model_problems(const hn_pretrained *p, hn__problem_fn each, void *user);

#endif
