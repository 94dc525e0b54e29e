// How a list of commands is cut into submissions that stay under a time.
#ifndef HN_DEVICE_VK_CUT_H
#define HN_DEVICE_VK_CUT_H

#include "base/base.h"

typedef struct hn__cost {
    double ns;         // of the whole command, measured or guessed
    uint64_t n_groups; // it can be split between any two; 0: it cannot be split
} hn__cost;

// A part of a command: workgroups [first, end) of command `cmd`.
typedef struct hn__part {
    int64_t cmd;
    uint64_t first, end;
    double ns;
    bool cut; // a submission begins before it
} hn__part;

typedef struct hn__parts {
    hn__part *item;
    int64_t n, cap;
    int n_cuts; // submissions
} hn__parts;

// Cuts n commands so that no submission is expected to take longer than limit_ns: commands longer
// than that are split in equal parts, down to one workgroup. Replaces what *out holds. NOMEM.
hn_status hn__cut(const hn__cost *cost, int64_t n, double limit_ns, hn__parts *out);
void hn__parts_free(hn__parts *p);

#endif
