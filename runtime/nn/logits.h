// What all who choose tokens by their logits share.
#ifndef HN_NN_LOGITS_H
#define HN_NN_LOGITS_H

#include <stdint.h>

// The token with the largest of n >= 1 logits, the first of equals.
static inline int32_t hn__likeliest(const float *logits, int64_t n)
{
    int64_t best = 0;
    for (int64_t i = 1; i < n; i++)
        if (logits[i] > logits[best])
            best = i;
    return (int32_t)best;
}

#endif
