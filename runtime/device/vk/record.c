// Recording a stream: from parts to command buffers with barriers, and their timestamps.
#include "device/vk/stream.h"

#include <string.h>

void hn__vk_barrier(const hn__vk *d, VkCommandBuffer cb, const hn__barrier *b)
{
    static const struct {
        unsigned stage;
        VkPipelineStageFlags pipeline;
        VkAccessFlags read, write;
    } map[] = {
        { HN__STAGE_COMPUTE, VK_PIPELINE_STAGE_COMPUTE_SHADER_BIT, VK_ACCESS_SHADER_READ_BIT,
          VK_ACCESS_SHADER_WRITE_BIT },
        { HN__STAGE_COPY, VK_PIPELINE_STAGE_TRANSFER_BIT, VK_ACCESS_TRANSFER_READ_BIT,
          VK_ACCESS_TRANSFER_WRITE_BIT },
        { HN__STAGE_HOST, VK_PIPELINE_STAGE_HOST_BIT, VK_ACCESS_HOST_READ_BIT, 0 },
    };
    if (!b->src)
        return;
    VkMemoryBarrier m = { .sType = VK_STRUCTURE_TYPE_MEMORY_BARRIER };
    VkPipelineStageFlags src = 0, dst = 0;
    for (size_t i = 0; i < sizeof map / sizeof *map; i++) {
        if (b->src & map[i].stage) {
            src |= map[i].pipeline;
            m.srcAccessMask |= map[i].write;
        }
        if (b->dst & map[i].stage) {
            dst |= map[i].pipeline;
            m.dstAccessMask |= map[i].read | map[i].write;
        }
    }
    d->vk.vkCmdPipelineBarrier(cb, src, dst, 0, b->memory ? 1 : 0, &m, 0, NULL, 0, NULL);
}

void hn__vk_recording_free(hn__vk *d, hn__vk_recording *r)
{
    d->vk.vkDestroyCommandPool(d->dev, r->pool, NULL); // with its command buffers
    d->vk.vkDestroyQueryPool(d->dev, r->queries, NULL);
    hn__free(r->cb);
    *r = (hn__vk_recording){ 0 };
}

static hn_status make_buffers(hn__vk *d, hn__vk_recording *r, int n)
{
    const VkCommandPoolCreateInfo pool = {
        .sType = VK_STRUCTURE_TYPE_COMMAND_POOL_CREATE_INFO,
        .queueFamilyIndex = d->limits.family,
    };
    HN__VK(d, d->vk.vkCreateCommandPool(d->dev, &pool, NULL, &r->pool));
    r->cb = hn__calloc((size_t)n, sizeof(VkCommandBuffer));
    if (!r->cb)
        return hn__nomem((size_t)n * sizeof(VkCommandBuffer));
    const VkCommandBufferAllocateInfo buffers = {
        .sType = VK_STRUCTURE_TYPE_COMMAND_BUFFER_ALLOCATE_INFO,
        .commandPool = r->pool,
        .level = VK_COMMAND_BUFFER_LEVEL_PRIMARY,
        .commandBufferCount = (uint32_t)n,
    };
    HN__VK(d, d->vk.vkAllocateCommandBuffers(d->dev, &buffers, r->cb));
    r->n = n;
    return HN_OK;
}

// A timestamp at the begin of each submission and one after each part.
static hn_status make_queries(hn__vk *d, hn__vk_recording *r, const hn__parts *parts)
{
    const VkQueryPoolCreateInfo info = {
        .sType = VK_STRUCTURE_TYPE_QUERY_POOL_CREATE_INFO,
        .queryType = VK_QUERY_TYPE_TIMESTAMP,
        .queryCount = (uint32_t)(parts->n + parts->n_cuts),
    };
    HN__VK(d, d->vk.vkCreateQueryPool(d->dev, &info, NULL, &r->queries));
    return HN_OK;
}

// Writes workgroups [first, end) over a grid within the device's limits. The last row may be
// longer than what is left; kernels return where their index is past `end`.
static void dispatch(const hn__vk *d, VkCommandBuffer cb, const hn__vk_item *it,
                     const hn__part *p)
{
    const hn__kernel *k = it->kernel;
    const uint64_t n = p->end - p->first, y = (n - 1) / d->limits.max_groups_x + 1,
                   x = (n - 1) / y + 1;
    uint32_t push[HN__MAX_PUSH / 4];
    memcpy(push, it->push, sizeof push);
    push[0] = (uint32_t)p->end;
    push[1] = (uint32_t)p->first;
    d->vk.vkCmdBindPipeline(cb, VK_PIPELINE_BIND_POINT_COMPUTE, k->pipeline);
    d->vk.vkCmdBindDescriptorSets(cb, VK_PIPELINE_BIND_POINT_COMPUTE, d->layout[k->n_bind], 0, 1,
                                  &it->set, 0, NULL);
    d->vk.vkCmdPushConstants(cb, d->layout[k->n_bind], VK_SHADER_STAGE_COMPUTE_BIT, 0,
                             k->push_bytes, push);
    d->vk.vkCmdDispatch(cb, (uint32_t)x, (uint32_t)y, 1);
}

static void copy_bytes(const hn__vk *d, VkCommandBuffer cb, const hn__bind *bind)
{
    const VkBufferCopy c = { (VkDeviceSize)bind[0].offset, (VkDeviceSize)bind[1].offset,
                             (VkDeviceSize)bind[0].bytes };
    d->vk.vkCmdCopyBuffer(cb, ((hn__vk_buffer *)bind[0].buf)->buf,
                          ((hn__vk_buffer *)bind[1].buf)->buf, 1, &c);
}

static hn_status begin(hn__vk *d, hn__vk_recording *r, const hn__parts *parts, int cut,
                       int64_t part)
{
    const VkCommandBufferBeginInfo info = { .sType = VK_STRUCTURE_TYPE_COMMAND_BUFFER_BEGIN_INFO };
    VkCommandBuffer cb = r->cb[cut];
    HN__VK(d, d->vk.vkBeginCommandBuffer(cb, &info));
    if (!r->queries)
        return HN_OK;
    int64_t n = 1;
    while (part + n < parts->n && !parts->item[part + n].cut)
        n++;
    const uint32_t base = (uint32_t)(part + cut);
    d->vk.vkCmdResetQueryPool(cb, r->queries, base, (uint32_t)n + 1);
    d->vk.vkCmdWriteTimestamp(cb, VK_PIPELINE_STAGE_TOP_OF_PIPE_BIT, r->queries, base);
    return HN_OK;
}

static hn_status write_part(hn__stream *s, hn__vk_recording *r, VkCommandBuffer cb,
                            const hn__part *p, hn__hazards *h)
{
    hn__vk *d = s->dev;
    const hn__vk_item *it = &s->item[p->cmd];
    const hn__bind *bind = &s->bind[it->bind];
    if (p->first == 0) { // parts of one command do not wait for each other
        hn__barrier b;
        const unsigned stage = it->kernel ? HN__STAGE_COMPUTE : HN__STAGE_COPY;
        HN_TRY(hn__hazard(h, stage, bind, it->n_bind, &b));
        hn__vk_barrier(d, cb, &b);
        r->n_barriers += b.src != 0;
    }
    if (it->kernel)
        dispatch(d, cb, it, p);
    else
        copy_bytes(d, cb, bind);
    return HN_OK;
}

static hn_status end(hn__vk *d, VkCommandBuffer cb)
{
    HN__VK(d, d->vk.vkEndCommandBuffer(cb));
    return HN_OK;
}

static hn_status write_all(hn__stream *s, hn__vk_recording *r, hn__hazards *h)
{
    hn__vk *d = s->dev;
    int cut = -1;
    for (int64_t i = 0; i < s->parts.n; i++) {
        const hn__part *p = &s->parts.item[i];
        if (p->cut) {
            if (cut >= 0)
                HN_TRY(end(d, r->cb[cut]));
            HN_TRY(begin(d, r, &s->parts, ++cut, i));
        }
        HN_TRY(write_part(s, r, r->cb[cut], p, h));
        if (r->queries)
            d->vk.vkCmdWriteTimestamp(r->cb[cut], VK_PIPELINE_STAGE_BOTTOM_OF_PIPE_BIT, r->queries,
                                      (uint32_t)(i + cut + 1));
    }
    hn__barrier b;
    HN_TRY(hn__hazard(h, HN__STAGE_HOST, NULL, 0, &b));
    hn__vk_barrier(d, r->cb[cut], &b);
    r->n_barriers += b.src != 0;
    return end(d, r->cb[cut]);
}

hn_status hn__vk_record(hn__stream *s, bool timed, hn__vk_recording *out)
{
    hn__vk *d = s->dev;
    *out = (hn__vk_recording){ 0 };
    // Barriers hold back the stages this stream uses, so what they cover can be forgotten.
    hn__hazards h = { .stages = s->stages };
    hn_status st = make_buffers(d, out, s->parts.n_cuts);
    if (st == HN_OK && timed)
        st = make_queries(d, out, &s->parts);
    if (st == HN_OK)
        st = write_all(s, out, &h);
    hn__hazards_free(&h);
    if (st != HN_OK)
        hn__vk_recording_free(d, out);
    return st;
}

hn_status hn__vk_recording_times(hn__stream *s, const hn__vk_recording *r, double *out_ns)
{
    hn__vk *d = s->dev;
    const uint32_t n = (uint32_t)(s->parts.n + s->parts.n_cuts);
    uint64_t *t = hn__calloc(n, sizeof *t);
    if (!t)
        return hn__nomem(n * sizeof *t);
    VkResult got;
    HN__VK_CALL(got, d->vk.vkGetQueryPoolResults(d->dev, r->queries, 0, n, n * sizeof *t, t,
                                                 sizeof *t, VK_QUERY_RESULT_64_BIT));
    if (got != VK_SUCCESS) {
        hn__free(t);
        return hn__vk_result(d, got < 0 ? got : VK_ERROR_UNKNOWN, "vkGetQueryPoolResults");
    }
    const uint32_t bits = d->limits.timestamp_bits;
    const uint64_t mask = bits == 64 ? UINT64_MAX : (UINT64_C(1) << bits) - 1;
    for (int64_t i = 0; i < s->n; i++)
        out_ns[i] = 0;
    for (int64_t i = 0, at = -1; i < s->parts.n; i++) {
        at += s->parts.item[i].cut;
        // A submission may begin while the one before it still runs.
        const int64_t q = i + at;
        if (s->parts.item[i].cut && q > 0 && ((t[q] - t[q - 1]) & mask) > mask / 2)
            t[q] = t[q - 1];
        out_ns[s->parts.item[i].cmd] +=
            (double)((t[q + 1] - t[q]) & mask) * d->limits.timestamp_ns;
    }
    hn__free(t);
    return HN_OK;
}
