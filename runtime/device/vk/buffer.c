// Buffers: each a VkBuffer on a part of a block.
#include "device/vk/vk.h"

#include <string.h>

static hn_status build(hn__vk *d, hn__vk_buffer *b)
{
    const int64_t n = (b->head.n_bytes + HN__VK_PAD - 1) / HN__VK_PAD * HN__VK_PAD;
    HN_TRY(hn__vk_mem_buffer(d, n, HN__VK_DEVICE, &b->buf, &b->mem));
    b->address = hn__vk_mem_address(d, b->buf);
    void *host = hn__vk_mem_host(&b->mem);
    if (!host)
        return hn__vk_zero(d, b);
    memset(host, 0, (size_t)n);
    return hn__vk_mem_flush(d, &b->mem, 0, n);
}

static void release(hn__vk *d, hn__vk_buffer *b)
{
    hn__vk_settle(d);
    d->vk.vkDestroyBuffer(d->dev, b->buf, NULL);
    hn__vk_mem_free(d, &b->mem);
    hn__free(b);
}

hn_status hn__vk_buffer_create(hn_device *base, int64_t n_bytes, hn_buffer **out)
{
    hn__vk *d = hn__vk_of(base);
    *out = NULL;
    HN_TRY(hn__vk_alive(d));
    // Nothing this long exists, and sums of offsets below never overflow.
    if (n_bytes > INT64_C(1) << 48)
        return hn__vk_no_room(d, n_bytes);
    hn__vk_buffer *b = hn__calloc(1, sizeof *b);
    if (!b)
        return hn__nomem(sizeof *b);
    b->head = (hn_buffer){ .dev = base, .n_bytes = n_bytes };
    const hn_status s = build(d, b);
    if (s != HN_OK) {
        release(d, b);
        return s;
    }
    *out = &b->head;
    return HN_OK;
}

void hn__vk_buffer_destroy(hn_buffer *b)
{
    release(hn__vk_of(b->dev), (hn__vk_buffer *)b);
}

hn_status hn__vk_buffer_write(hn_buffer *base, int64_t offset, const void *data, int64_t n)
{
    hn__vk *d = hn__vk_of(base->dev);
    hn__vk_buffer *b = (hn__vk_buffer *)base;
    HN_TRY(hn__vk_alive(d));
    uint8_t *host = hn__vk_mem_host(&b->mem);
    if (!host)
        return hn__vk_upload(d, b, offset, data, n);
    memcpy(host + offset, data, (size_t)n);
    return hn__vk_mem_flush(d, &b->mem, offset, n);
}

hn_status hn__vk_buffer_read(hn_buffer *base, int64_t offset, void *out, int64_t n)
{
    hn__vk *d = hn__vk_of(base->dev);
    hn__vk_buffer *b = (hn__vk_buffer *)base;
    HN_TRY(hn__vk_alive(d));
    const uint8_t *host = hn__vk_mem_host(&b->mem);
    // A card's memory mapped without a cache is read a word a bus transfer: slower than a copy.
    if (!host || !hn__vk_mem_cached(d, &b->mem))
        return hn__vk_download(d, b, offset, out, n);
    HN_TRY(hn__vk_mem_invalidate(d, &b->mem, offset, n));
    memcpy(out, host + offset, (size_t)n);
    return HN_OK;
}
