// Where a barrier is needed. Every barrier of the Vulkan device comes from here.
#include "device/vk/hazard.h"

static bool clashes(const hn__hazards *h, const hn__bind *b)
{
    for (int64_t i = 0; i < h->n; i++) {
        const hn__touch *t = &h->seen[i];
        if (t->buf == b->buf && t->begin < b->offset + b->bytes && b->offset < t->end &&
            (t->write || b->write))
            return true;
    }
    return false;
}

// A barrier after all that was seen, which is then forgotten.
static hn__barrier flush(hn__hazards *h, unsigned dst)
{
    hn__barrier b = { .dst = dst };
    for (int64_t i = 0; i < h->n; i++) {
        b.src |= h->seen[i].stage;
        b.memory |= h->seen[i].write;
    }
    h->n = 0;
    return b;
}

static bool wrote(const hn__hazards *h)
{
    for (int64_t i = 0; i < h->n; i++)
        if (h->seen[i].write)
            return true;
    return false;
}

hn_status hn__hazard(hn__hazards *h, unsigned stage, const hn__bind *bind, int n, hn__barrier *out)
{
    *out = (hn__barrier){ 0 };
    if (stage == HN__STAGE_HOST) {
        // What comes in later submissions may be anything, so the barrier holds all of it back.
        if (wrote(h))
            *out = flush(h, HN__STAGE_COMPUTE | HN__STAGE_COPY | HN__STAGE_HOST);
        return HN_OK;
    }
    h->stages |= stage;
    HN_TRY(hn__reserve((void **)&h->seen, &h->cap, h->n + n, sizeof *h->seen));
    for (int i = 0; i < n && !out->src; i++)
        if ((bind[i].read || bind[i].write) && clashes(h, &bind[i]))
            *out = flush(h, h->stages);
    for (int i = 0; i < n; i++)
        if (bind[i].read || bind[i].write)
            h->seen[h->n++] = (hn__touch){ bind[i].buf, bind[i].offset,
                                           bind[i].offset + bind[i].bytes, stage, bind[i].write };
    return HN_OK;
}

void hn__hazards_free(hn__hazards *h)
{
    hn__free(h->seen);
    *h = (hn__hazards){ 0 };
}
