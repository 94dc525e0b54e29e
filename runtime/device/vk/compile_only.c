// A device that makes pipelines and nothing else, such as RADV without hardware: it has no memory,
// so buffers are put aside and plans get as far as their kernels.
#include "device/vk/vk.h"

static hn_status no_buffer(hn_device *d, int64_t n_bytes, hn_buffer **out)
{
    (void)d;
    (void)n_bytes;
    *out = hn__calloc(1, sizeof **out);
    return *out ? HN_OK : hn__nomem(sizeof **out);
}

static void free_buffer(hn_buffer *b)
{
    hn__free(b);
}

static hn_status no_write(hn_buffer *b, int64_t offset, const void *data, int64_t n)
{
    (void)b;
    (void)offset;
    (void)data;
    (void)n;
    return HN_OK;
}

static hn_status no_stream(hn_device *d, const hn__cmd *cmds, int64_t n, hn__stream **out)
{
    (void)cmds;
    (void)n;
    *out = NULL;
    return hn__vk_kernels_finish(hn__vk_of(d));
}

void hn__vk_compile_only(hn_device *d, hn__device_fns *room)
{
    *room = *d->fn;
    room->buffer_create = no_buffer;
    room->buffer_destroy = free_buffer;
    room->buffer_write = no_write;
    room->stream_create = no_stream;
    d->fn = room;
}
