// What other operators know of rms_norm: they may do its work themselves.
#ifndef HN_OPS_RMS_NORM_H
#define HN_OPS_RMS_NORM_H

#include "ops/table.h"

typedef struct hn__rms_norm_attr {
    float eps;
} hn__rms_norm_attr;

static inline float hn__rms_norm_eps(const hn__inst *n)
{
    return ((const hn__rms_norm_attr *)n->attr)->eps;
}

#endif
