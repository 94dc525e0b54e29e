// Bytes in and out of memory that the host does not see: through a staging ring of two halves, so
// that the host copies one while the device copies the other.
#include "device/vk/vk.h"

#include <string.h>

static hn_status make_slot(hn__vk *d, hn__vk_slot *s)
{
    const VkCommandBufferAllocateInfo buffers = {
        .sType = VK_STRUCTURE_TYPE_COMMAND_BUFFER_ALLOCATE_INFO,
        .commandPool = d->staging.pool,
        .level = VK_COMMAND_BUFFER_LEVEL_PRIMARY,
        .commandBufferCount = 1,
    };
    const VkFenceCreateInfo fence = { .sType = VK_STRUCTURE_TYPE_FENCE_CREATE_INFO };
    HN__VK(d, d->vk.vkAllocateCommandBuffers(d->dev, &buffers, &s->cb));
    HN__VK(d, d->vk.vkCreateFence(d->dev, &fence, NULL, &s->fence));
    return HN_OK;
}

static hn_status make_staging(hn__vk *d)
{
    hn__vk_staging *t = &d->staging;
    const VkCommandPoolCreateInfo pool = {
        .sType = VK_STRUCTURE_TYPE_COMMAND_POOL_CREATE_INFO,
        .flags = VK_COMMAND_POOL_CREATE_RESET_COMMAND_BUFFER_BIT |
                 VK_COMMAND_POOL_CREATE_TRANSIENT_BIT,
        .queueFamilyIndex = d->limits.family,
    };
    HN__VK(d, d->vk.vkCreateCommandPool(d->dev, &pool, NULL, &t->pool));
    for (int i = 0; i < HN__VK_SLOTS; i++)
        HN_TRY(make_slot(d, &t->slot[i]));
    return hn__vk_mem_buffer(d, HN__VK_SLOTS * HN__VK_SLOT_BYTES, HN__VK_HOST, &t->buf, &t->mem);
}

static hn_status need_staging(hn__vk *d)
{
    if (d->staging.ready)
        return HN_OK;
    const hn_status s = make_staging(d);
    if (s != HN_OK)
        hn__vk_staging_destroy(d);
    else
        d->staging.ready = true;
    return s;
}

void hn__vk_staging_destroy(hn__vk *d)
{
    hn__vk_staging *t = &d->staging;
    for (int i = 0; i < HN__VK_SLOTS; i++)
        d->vk.vkDestroyFence(d->dev, t->slot[i].fence, NULL);
    d->vk.vkDestroyCommandPool(d->dev, t->pool, NULL); // with its command buffers
    d->vk.vkDestroyBuffer(d->dev, t->buf, NULL);
    hn__vk_mem_free(d, &t->mem);
    *t = (hn__vk_staging){ 0 };
}

// Waits for a half, and hands over the bytes it owes.
static hn_status finish(hn__vk *d, int i)
{
    hn__vk_slot *s = &d->staging.slot[i];
    if (!s->pending)
        return HN_OK;
    s->pending = false;
    HN__VK(d, d->vk.vkWaitForFences(d->dev, 1, &s->fence, VK_TRUE, UINT64_MAX));
    HN__VK(d, d->vk.vkResetFences(d->dev, 1, &s->fence));
    if (s->owed) {
        const int64_t at = (int64_t)i * HN__VK_SLOT_BYTES;
        HN_TRY(hn__vk_mem_invalidate(d, &d->staging.mem, at, s->n_owed));
        memcpy(s->owed, (uint8_t *)hn__vk_mem_host(&d->staging.mem) + at, (size_t)s->n_owed);
        s->owed = NULL;
    }
    return HN_OK;
}

static hn_status finish_all(hn__vk *d)
{
    for (int i = 0; i < HN__VK_SLOTS; i++)
        HN_TRY(finish(d, i));
    d->busy = false;
    return HN_OK;
}

// After a failure nothing of the ring may be in flight or owed.
static hn_status give_up(hn__vk *d, hn_status s)
{
    hn__vk_settle(d);
    hn__vk_staging_destroy(d);
    return s;
}

// One copy, or a fill with zeros where src is none.
typedef struct copy {
    VkBuffer src, dst;
    VkBufferCopy region;
} copy;

static hn_status submit(hn__vk *d, hn__vk_slot *s, const copy *c)
{
    const VkCommandBufferBeginInfo begin = {
        .sType = VK_STRUCTURE_TYPE_COMMAND_BUFFER_BEGIN_INFO,
        .flags = VK_COMMAND_BUFFER_USAGE_ONE_TIME_SUBMIT_BIT,
    };
    const VkSubmitInfo info = {
        .sType = VK_STRUCTURE_TYPE_SUBMIT_INFO,
        .commandBufferCount = 1,
        .pCommandBuffers = &s->cb,
    };
    HN__VK(d, d->vk.vkBeginCommandBuffer(s->cb, &begin));
    if (c->src)
        d->vk.vkCmdCopyBuffer(s->cb, c->src, c->dst, 1, &c->region);
    else
        d->vk.vkCmdFillBuffer(s->cb, c->dst, 0, VK_WHOLE_SIZE, 0);

    hn__hazards h = { 0 };
    hn__barrier b;
    const hn__bind wrote = { .bytes = 1, .write = true }; // a list of this copy alone
    hn_status st = hn__hazard(&h, HN__STAGE_COPY, &wrote, 1, &b);
    if (st == HN_OK)
        st = hn__hazard(&h, HN__STAGE_HOST, NULL, 0, &b);
    if (st == HN_OK)
        hn__vk_barrier(d, s->cb, &b);
    hn__hazards_free(&h);
    HN_TRY(st);

    HN__VK(d, d->vk.vkEndCommandBuffer(s->cb));
    d->busy = true;
    HN__VK(d, d->vk.vkQueueSubmit(d->queue, 1, &info, s->fence));
    s->pending = true;
    return HN_OK;
}

hn_status hn__vk_zero(hn__vk *d, hn__vk_buffer *b)
{
    HN_TRY(need_staging(d));
    const copy c = { .dst = b->buf };
    hn_status s = submit(d, &d->staging.slot[0], &c);
    if (s == HN_OK)
        s = finish_all(d);
    return s == HN_OK ? s : give_up(d, s);
}

static hn_status upload_part(hn__vk *d, int i, const copy *c, const uint8_t *data)
{
    const VkDeviceSize n = c->region.size, at = c->region.srcOffset;
    HN_TRY(finish(d, i));
    memcpy((uint8_t *)hn__vk_mem_host(&d->staging.mem) + at, data, (size_t)n);
    HN_TRY(hn__vk_mem_flush(d, &d->staging.mem, (int64_t)at, (int64_t)n));
    return submit(d, &d->staging.slot[i], c);
}

static hn_status download_part(hn__vk *d, int i, const copy *c, uint8_t *out)
{
    HN_TRY(finish(d, i));
    HN_TRY(submit(d, &d->staging.slot[i], c));
    d->staging.slot[i].owed = out;
    d->staging.slot[i].n_owed = (int64_t)c->region.size;
    return HN_OK;
}

// Calls a part function for each piece of [0, n), halves in turn.
static hn_status pieces(hn__vk *d, hn__vk_buffer *b, int64_t offset, const uint8_t *data,
                        uint8_t *out, int64_t n)
{
    HN_TRY(need_staging(d));
    hn_status s = HN_OK;
    int i = 0;
    for (int64_t done = 0; done < n && s == HN_OK; i = (i + 1) % HN__VK_SLOTS) {
        const int64_t len = n - done < HN__VK_SLOT_BYTES ? n - done : HN__VK_SLOT_BYTES;
        const VkDeviceSize here = (VkDeviceSize)i * HN__VK_SLOT_BYTES,
                           there = (VkDeviceSize)(offset + done);
        copy c = { .src = d->staging.buf, .dst = b->buf,
                   .region = { here, there, (VkDeviceSize)len } };
        if (out) {
            c = (copy){ .src = b->buf, .dst = d->staging.buf,
                        .region = { there, here, (VkDeviceSize)len } };
            s = download_part(d, i, &c, out + done);
        } else {
            s = upload_part(d, i, &c, data + done);
        }
        done += len;
    }
    if (s == HN_OK)
        s = finish_all(d);
    return s == HN_OK ? s : give_up(d, s);
}

hn_status hn__vk_upload(hn__vk *d, hn__vk_buffer *b, int64_t offset, const void *data, int64_t n)
{
    return pieces(d, b, offset, data, NULL, n);
}

hn_status hn__vk_download(hn__vk *d, hn__vk_buffer *b, int64_t offset, void *out, int64_t n)
{
    return pieces(d, b, offset, NULL, out, n);
}
