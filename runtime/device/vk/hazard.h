// Where a barrier is needed: the one place that knows.
#ifndef HN_DEVICE_VK_HAZARD_H
#define HN_DEVICE_VK_HAZARD_H

#include "device/device.h"

#define HN__STAGE_COMPUTE 1u
#define HN__STAGE_COPY 2u
#define HN__STAGE_HOST 4u

// A barrier to write before a command: what happened in the stages `src` comes before the stages
// `dst`. src 0 asks for none. `memory`: there are writes to make seen; otherwise order is enough.
typedef struct hn__barrier {
    unsigned src, dst;
    bool memory;
} hn__barrier;

typedef struct hn__touch {
    const void *buf;
    int64_t begin, end;
    unsigned stage;
    bool write;
} hn__touch;

// What commands did since the last barrier. {0} is nothing.
typedef struct hn__hazards {
    unsigned stages; // that commands of this list may run in: what a barrier must hold back
    hn__touch *seen;
    int64_t n, cap;
} hn__hazards;

// Takes the next command, which runs in `stage` and touches n ranges, and says which barrier it
// needs before it: one where a range overlaps an earlier one since the last barrier and either
// writes. A stage that is not in h->stages joins it.
// HN__STAGE_HOST with n 0 closes the list: a barrier where anything was written, after which the
// host and later submissions see it. NOMEM.
hn_status hn__hazard(hn__hazards *h, unsigned stage, const hn__bind *bind, int n,
                     hn__barrier *out);
void hn__hazards_free(hn__hazards *h);

#endif
