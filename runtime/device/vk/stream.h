// Streams: what record.c and stream.c share.
#ifndef HN_DEVICE_VK_STREAM_H
#define HN_DEVICE_VK_STREAM_H

#include "device/vk/vk.h"

// A command, as far as it must be kept to record it again.
typedef struct hn__vk_item {
    hn__kernel *kernel; // NULL: a copy
    VkDescriptorSet set;
    int64_t bind; // its first one in the stream's list
    int n_bind;
    uint32_t push[HN__MAX_PUSH / 4];
} hn__vk_item;

// Command buffers, a submission each.
typedef struct hn__vk_recording {
    VkCommandPool pool;
    VkCommandBuffer *cb;
    int n, n_barriers;
    VkQueryPool queries; // none: not timed
} hn__vk_recording;

struct hn__stream {
    hn__vk *dev;
    hn__vk_item *item;
    hn__cost *cost; // guessed, then measured in the first run
    hn__bind *bind;
    int64_t n, n_bind;
    unsigned stages;
    bool measured;
    VkDescriptorPool pool;
    VkFence fence;
    hn__parts parts;
    hn__vk_recording plain, timed;
};

// Records the stream's parts. *out is {0} on failure.
hn_status hn__vk_record(hn__stream *s, bool timed, hn__vk_recording *out);
// Accepts {0}.
void hn__vk_recording_free(hn__vk *d, hn__vk_recording *r);
// Nanoseconds of each command in the run of a timed recording that was just waited for.
hn_status hn__vk_recording_times(hn__stream *s, const hn__vk_recording *r, double *out_ns);

#endif
