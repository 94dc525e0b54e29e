// Streams: descriptors written once, command buffers recorded once and replayed.
#include "device/vk/stream.h"
#include "base/os.h"

#include <string.h>

// Part of the time allowed that a submission is planned to take: runs differ.
#define FILL 0.75

// ---- what a stream is made of --------------------------------------------------------------

static hn_status check_bind(const hn__vk *d, const hn__cmd *c, int i)
{
    const hn__bind *b = &c->bind[i];
    if (!b->buf || b->buf->dev != &d->head)
        return hn_fail(HN_ERR_ARG, "'%s': binding %d has no buffer of this device", c->label, i);
    if (b->offset < 0 || b->bytes < 1 || b->offset % HN__ALIGN ||
        b->bytes > b->buf->n_bytes - b->offset)
        return hn_fail(HN_ERR_ARG,
                       "'%s': binding %d is bytes %" PRId64 " to %" PRId64 " of %" PRId64,
                       c->label, i, b->offset, b->offset + b->bytes, b->buf->n_bytes);
    // The limit is one of descriptors; copies have none.
    if (c->kernel && b->bytes > d->head.info.max_binding_bytes)
        return hn_fail(HN_ERR_UNSUPPORTED,
                       "'%s': binding %d is %" PRId64 " bytes, '%s' binds at most %" PRId64,
                       c->label, i, b->bytes, d->head.info.name, d->head.info.max_binding_bytes);
    return HN_OK;
}

static hn_status check(const hn__vk *d, const hn__cmd *c)
{
    const int want = c->kernel ? c->kernel->n_bind : 2;
    if (c->n_bind != want)
        return hn_fail(HN_ERR_ARG, "'%s' has %d bindings, its kernel %d", c->label, c->n_bind,
                       want);
    for (int i = 0; i < c->n_bind; i++)
        HN_TRY(check_bind(d, c, i));
    if (!c->kernel && c->bind[0].bytes != c->bind[1].bytes)
        return hn_fail(HN_ERR_ARG, "'%s' copies %" PRId64 " bytes to %" PRId64, c->label,
                       c->bind[0].bytes, c->bind[1].bytes);
    const uint64_t most = (uint64_t)d->limits.max_groups_x * d->limits.max_groups_y;
    if (c->kernel && (c->n_groups < 1 || c->n_groups > INT32_MAX || c->n_groups > most))
        return hn_fail(HN_ERR_ARG, "'%s' has %" PRIu64 " workgroups", c->label, c->n_groups);
    return HN_OK;
}

// Before anything is measured a command is taken to be slow: its arithmetic and its bytes at rates
// that any such device beats.
static double guess_ns(const hn__vk *d, const hn__cmd *c)
{
    const bool soft = d->probe.type == VK_PHYSICAL_DEVICE_TYPE_CPU;
    const double flop_ns = soft ? 1 : 50, byte_ns = soft ? 1 : 10;
    double bytes = 0;
    for (int i = 0; i < c->n_bind; i++)
        bytes += (double)c->bind[i].bytes;
    const double a = c->flop / flop_ns, b = bytes / byte_ns;
    return 1000 + (a > b ? a : b);
}

// The addresses of the first bindings, as the last push constants.
static void put_addresses(const hn__cmd *c, hn__vk_item *it)
{
    const int n = c->kernel ? c->kernel->n_address : 0;
    for (int i = 0; i < n; i++) {
        const hn__bind *b = &c->bind[i];
        const uint64_t at = ((const hn__vk_buffer *)b->buf)->address + (uint64_t)b->offset;
        memcpy(&it->push[c->kernel->push_bytes / 4 - 2 * (uint32_t)(n - i)], &at, sizeof at);
    }
}

static hn_status copy_commands(hn__stream *s, const hn__cmd *cmds)
{
    for (int64_t i = 0; i < s->n; i++) {
        HN_TRY(check(s->dev, &cmds[i]));
        s->n_bind += cmds[i].n_bind;
    }
    s->item = hn__calloc((size_t)s->n, sizeof *s->item);
    s->cost = hn__calloc((size_t)s->n, sizeof *s->cost);
    s->bind = hn__calloc((size_t)s->n_bind, sizeof *s->bind);
    if (!s->item || !s->cost || !s->bind)
        return hn__nomem((size_t)s->n * (sizeof *s->item + sizeof *s->cost) +
                         (size_t)s->n_bind * sizeof *s->bind);
    int64_t at = 0;
    for (int64_t i = 0; i < s->n; i++) {
        const hn__cmd *c = &cmds[i];
        s->item[i] = (hn__vk_item){ .kernel = c->kernel, .bind = at, .n_bind = c->n_bind };
        memcpy(s->item[i].push, c->push, sizeof c->push);
        put_addresses(c, &s->item[i]);
        memcpy(&s->bind[at], c->bind, (size_t)c->n_bind * sizeof *c->bind);
        at += c->n_bind;
        s->cost[i] = (hn__cost){ guess_ns(s->dev, c), c->kernel ? c->n_groups : 0 };
        s->stages |= c->kernel ? HN__STAGE_COMPUTE : HN__STAGE_COPY;
    }
    return HN_OK;
}

static hn_status make_pool(hn__stream *s)
{
    hn__vk *d = s->dev;
    uint32_t n_sets = 0, n_bind = 0;
    for (int64_t i = 0; i < s->n; i++)
        if (s->item[i].kernel) {
            n_sets++;
            n_bind += (uint32_t)s->item[i].n_bind;
        }
    if (!n_sets)
        return HN_OK;
    const VkDescriptorPoolSize size = { VK_DESCRIPTOR_TYPE_STORAGE_BUFFER, n_bind };
    const VkDescriptorPoolCreateInfo info = {
        .sType = VK_STRUCTURE_TYPE_DESCRIPTOR_POOL_CREATE_INFO,
        .maxSets = n_sets,
        .poolSizeCount = 1,
        .pPoolSizes = &size,
    };
    HN__VK(d, d->vk.vkCreateDescriptorPool(d->dev, &info, NULL, &s->pool));
    return HN_OK;
}

static hn_status make_set(hn__stream *s, hn__vk_item *it)
{
    hn__vk *d = s->dev;
    const VkDescriptorSetAllocateInfo info = {
        .sType = VK_STRUCTURE_TYPE_DESCRIPTOR_SET_ALLOCATE_INFO,
        .descriptorPool = s->pool,
        .descriptorSetCount = 1,
        .pSetLayouts = &d->set_layout[it->n_bind],
    };
    HN__VK(d, d->vk.vkAllocateDescriptorSets(d->dev, &info, &it->set));
    VkDescriptorBufferInfo buf[HN__MAX_BIND];
    VkWriteDescriptorSet write[HN__MAX_BIND];
    for (int i = 0; i < it->n_bind; i++) {
        const hn__bind *b = &s->bind[it->bind + i];
        // Rounded up, as far as the limit goes: see HN__VK_PAD.
        const int64_t padded = (b->bytes + HN__VK_PAD - 1) / HN__VK_PAD * HN__VK_PAD,
                      most = d->head.info.max_binding_bytes;
        buf[i] = (VkDescriptorBufferInfo){ ((hn__vk_buffer *)b->buf)->buf,
                                           (VkDeviceSize)b->offset,
                                           (VkDeviceSize)(padded < most ? padded : most) };
        write[i] = (VkWriteDescriptorSet){
            .sType = VK_STRUCTURE_TYPE_WRITE_DESCRIPTOR_SET,
            .dstSet = it->set,
            .dstBinding = (uint32_t)i,
            .descriptorCount = 1,
            .descriptorType = VK_DESCRIPTOR_TYPE_STORAGE_BUFFER,
            .pBufferInfo = &buf[i],
        };
    }
    d->vk.vkUpdateDescriptorSets(d->dev, (uint32_t)it->n_bind, write, 0, NULL);
    return HN_OK;
}

static hn_status build(hn__stream *s, const hn__cmd *cmds)
{
    hn__vk *d = s->dev;
    const VkFenceCreateInfo fence = { .sType = VK_STRUCTURE_TYPE_FENCE_CREATE_INFO };
    HN_TRY(hn__vk_kernels_finish(d));
    HN_TRY(copy_commands(s, cmds));
    HN_TRY(make_pool(s));
    for (int64_t i = 0; i < s->n; i++)
        if (s->item[i].kernel)
            HN_TRY(make_set(s, &s->item[i]));
    HN__VK(d, d->vk.vkCreateFence(d->dev, &fence, NULL, &s->fence));
    return HN_OK;
}

hn_status hn__vk_stream_create(hn_device *base, const hn__cmd *cmds, int64_t n, hn__stream **out)
{
    hn__vk *d = hn__vk_of(base);
    *out = NULL;
    HN_TRY(hn__vk_alive(d));
    hn__stream *s = hn__calloc(1, sizeof *s);
    if (!s)
        return hn__nomem(sizeof *s);
    *s = (hn__stream){ .dev = d, .n = n };
    const hn_status st = n ? build(s, cmds) : HN_OK;
    if (st != HN_OK) {
        hn__vk_stream_destroy(s);
        return st;
    }
    *out = s;
    return HN_OK;
}

void hn__vk_stream_destroy(hn__stream *s)
{
    hn__vk *d = s->dev;
    hn__vk_settle(d);
    hn__vk_recording_free(d, &s->plain);
    hn__vk_recording_free(d, &s->timed);
    hn__parts_free(&s->parts);
    d->vk.vkDestroyFence(d->dev, s->fence, NULL);
    d->vk.vkDestroyDescriptorPool(d->dev, s->pool, NULL); // with its sets
    hn__free(s->item);
    hn__free(s->cost);
    hn__free(s->bind);
    hn__free(s);
}

// ---- running -------------------------------------------------------------------------------

// Submits command buffers [first, end) of a recording and waits for the last.
static hn_status submit(hn__stream *s, const hn__vk_recording *r, int first, int end)
{
    hn__vk *d = s->dev;
    HN__VK(d, d->vk.vkResetFences(d->dev, 1, &s->fence));
    d->busy = true;
    for (int i = first; i < end; i++) {
        const VkSubmitInfo info = {
            .sType = VK_STRUCTURE_TYPE_SUBMIT_INFO,
            .commandBufferCount = 1,
            .pCommandBuffers = &r->cb[i],
        };
        HN__VK(d, d->vk.vkQueueSubmit(d->queue, 1, &info,
                                      i == end - 1 ? s->fence : VK_NULL_HANDLE));
    }
    HN__VK(d, d->vk.vkWaitForFences(d->dev, 1, &s->fence, VK_TRUE, UINT64_MAX));
    d->busy = false;
    return HN_OK;
}

// As submit; after a failure nothing is in flight.
static hn_status submit_all(hn__stream *s, const hn__vk_recording *r, int first, int end)
{
    const hn_status st = submit(s, r, first, end);
    if (st != HN_OK)
        hn__vk_settle(s->dev);
    return st;
}

// Submits one at a time: wall milliseconds of each.
static hn_status submit_each(hn__stream *s, const hn__vk_recording *r, double *out_ms)
{
    for (int i = 0; i < r->n; i++) {
        const uint64_t begin = hn__now_ns();
        HN_TRY(submit_all(s, r, i, i + 1));
        out_ms[i] = (double)(hn__now_ns() - begin) * 1e-6;
    }
    return HN_OK;
}

// Commands' times where there are no timestamps: each submission's wall time, shared out among its
// parts as they were guessed.
static hn_status run_by_wall(hn__stream *s, double *out_ns)
{
    double *wall = hn__calloc((size_t)s->plain.n, sizeof *wall);
    if (!wall)
        return hn__nomem((size_t)s->plain.n * sizeof *wall);
    const hn_status st = submit_each(s, &s->plain, wall);
    for (int64_t i = 0, cut = -1; st == HN_OK && i < s->parts.n;) {
        int64_t end = i + 1;
        double sum = s->parts.item[i].ns;
        for (; end < s->parts.n && !s->parts.item[end].cut; end++)
            sum += s->parts.item[end].ns;
        for (cut++; i < end; i++)
            out_ns[s->parts.item[i].cmd] += wall[cut] * 1e6 * s->parts.item[i].ns / sum;
    }
    hn__free(wall);
    return st;
}

static hn_status run_timed(hn__stream *s, double *out_ns)
{
    if (!s->timed.n)
        HN_TRY(hn__vk_record(s, true, &s->timed));
    HN_TRY(submit_all(s, &s->timed, 0, s->timed.n));
    return hn__vk_recording_times(s, &s->timed, out_ns);
}

static void forget(hn__stream *s)
{
    hn__vk_recording_free(s->dev, &s->plain);
    hn__vk_recording_free(s->dev, &s->timed);
}

static hn_status cut_and_record(hn__stream *s)
{
    forget(s);
    HN_TRY(hn__cut(s->cost, s->n, FILL * s->dev->submit_ns, &s->parts));
    return hn__vk_record(s, false, &s->plain);
}

// The first run: cut by guesses, measured, and then cut and recorded for good.
static hn_status first_run(hn__stream *s)
{
    double *ns = hn__calloc((size_t)s->n, sizeof *ns);
    if (!ns)
        return hn__nomem((size_t)s->n * sizeof *ns);
    const bool stamps = s->dev->head.info.features & HN_FEATURE_TIMESTAMPS;
    hn_status st = cut_and_record(s);
    if (st == HN_OK)
        st = stamps ? run_timed(s, ns) : run_by_wall(s, ns);
    for (int64_t i = 0; st == HN_OK && i < s->n; i++)
        s->cost[i].ns = ns[i];
    hn__free(ns);
    if (st == HN_OK)
        st = cut_and_record(s);
    s->measured = st == HN_OK;
    return st;
}

hn_status hn__vk_stream_run(hn__stream *s)
{
    HN_TRY(hn__vk_alive(s->dev));
    if (!s->n)
        return HN_OK;
    if (!s->measured)
        return first_run(s);
    return submit_all(s, &s->plain, 0, s->plain.n);
}

hn_status hn__vk_stream_time(hn__stream *s, double *out_ns, int64_t n)
{
    hn__vk *d = s->dev;
    HN_TRY(hn__vk_alive(d));
    if (n != s->n)
        return hn_fail(HN_ERR_ARG, "room for %" PRId64 " times, the stream has %" PRId64
                       " commands", n, s->n);
    if (!(d->head.info.features & HN_FEATURE_TIMESTAMPS))
        return hn_fail(HN_ERR_UNSUPPORTED, "'%s' has no timestamps", d->head.info.name);
    if (!s->n)
        return HN_OK;
    if (!s->measured)
        HN_TRY(first_run(s));
    return run_timed(s, out_ns);
}

hn_status hn__vk_stream_submit_ms(hn__stream *s, double *out_ms, int n)
{
    HN_TRY(hn__vk_alive(s->dev));
    if (n != s->plain.n)
        return hn_fail(HN_ERR_ARG, "room for %d times, the stream has %d submissions", n,
                       s->plain.n);
    return submit_each(s, &s->plain, out_ms);
}

int hn__vk_stream_submits(const hn__stream *s)
{
    return s->plain.n;
}

int hn__vk_stream_barriers(const hn__stream *s)
{
    return s->plain.n_barriers;
}
