// A fuzzer is one function over bytes. libFuzzer calls it with what it invents (HORNITO_FUZZ), and
// driver.c with the saved corpus in the normal test run. A property that does not hold aborts.
#ifndef HN_TESTS_FUZZ_H
#define HN_TESTS_FUZZ_H

#include "hornito/io.h"

#include <stdio.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

#define FUZZ_CHECK(cond)                                                                          \
    do {                                                                                          \
        if (!(cond)) {                                                                            \
            fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #cond);                            \
            abort();                                                                              \
        }                                                                                         \
    } while (0)

// A failure leaves words of one line.
void fuzz_check_text(void);
// Reads every byte of every tensor, and converts the small ones.
void fuzz_touch(const hn_tensors *t);
// Encodes and decodes; what is saved loads again and is the same.
void fuzz_touch_tokenizer(hn_tokenizer *t);

#endif
