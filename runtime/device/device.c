// The public device functions: choosing a kind, and the checks that all kinds share.
#include "device/device.h"

#include <stdio.h>
#include <string.h>

static const char *const features[HN_FEATURE_COUNT] = {
    "storage_16", "storage_8", "fp16",     "int8",          "int_dot", "subgroup",
    "subgroup_size", "bda",    "timeline", "push_descriptor", "coopmat", "coopmat2",
    "memory_budget", "exec_stats", "device_fault", "timestamps", "host_visible",
};

const char *hn_feature_name(hn_feature f)
{
    for (int i = 0; i < HN_FEATURE_COUNT; i++)
        if ((unsigned)f == 1u << i)
            return features[i];
    return NULL;
}

static hn_status append(hn_device_info **list, int *n, const hn_device_info *info)
{
    hn_device_info *more = hn__resize(*list, (size_t)*n + 1, sizeof *more);
    if (!more)
        return hn__nomem(sizeof *more);
    more[(*n)++] = *info;
    *list = more;
    return HN_OK;
}

static hn_status list_all(hn_device_info **list, int *n)
{
    HN_TRY(hn__vk_list(list, n));
    for (hn_device_kind k = HN_DEVICE_CPU; ; k = HN_DEVICE_REF) {
        const hn_device_params p = { .spec = k == HN_DEVICE_CPU ? "cpu" : "ref" };
        hn_device *d;
        HN_TRY(hn__host_open(&p, k, &d));
        const hn_status s = append(list, n, &d->info);
        hn_device_close(&d);
        if (s || k == HN_DEVICE_REF)
            return s;
    }
}

hn_status hn_device_list(hn_device_info **out, int *out_n)
{
    *out = NULL;
    *out_n = 0;
    const hn_status s = list_all(out, out_n);
    if (s) {
        hn_device_list_destroy(out);
        *out_n = 0;
    }
    return s;
}

void hn_device_list_destroy(hn_device_info **list)
{
    hn__free(*list);
    *list = NULL;
}

// "auto": Vulkan where the machine has a GPU that is not software, otherwise the cpu device.
static hn_status open_auto(hn_device_params p, hn_device **out)
{
    hn_device_info *list = NULL;
    int n = 0;
    bool gpu = false;
    HN_TRY(hn__vk_list(&list, &n));
    for (int i = 0; i < n; i++)
        gpu |= strcmp(list[i].type, "software") != 0;
    hn_device_list_destroy(&list);
    p.spec = gpu ? "vulkan" : "cpu";
    if (gpu)
        return hn__vk_open(&p, out);
    HN_TRY(hn__host_open(&p, HN_DEVICE_CPU, out));
    snprintf((*out)->reason, sizeof(*out)->reason,
             "chosen: no GPU here (%d software Vulkan device%s)", n, n == 1 ? "" : "s");
    return HN_OK;
}

static hn_status open_any(hn_device_params p, hn_device **out)
{
    if (p.vulkan) {
        p.spec = "vulkan";
        return hn__vk_open(&p, out);
    }
    if (!p.spec || !strcmp(p.spec, "auto"))
        return open_auto(p, out);
    if (!strcmp(p.spec, "cpu") || !strcmp(p.spec, "ref"))
        return hn__host_open(&p, p.spec[0] == 'c' ? HN_DEVICE_CPU : HN_DEVICE_REF, out);
    if (!strcmp(p.spec, "vulkan") || !strncmp(p.spec, "vulkan:", 7))
        return hn__vk_open(&p, out);
    return hn_fail(
        HN_ERR_ARG,
        "no device '%s': use cpu, ref, vulkan, vulkan:NUMBER, vulkan:UUID or vulkan:NAME", p.spec);
}

hn_status hn_device_open(const hn_device_params *params, hn_device **out)
{
    const hn_device_params p = params ? *params : (hn_device_params){ 0 };

    *out = NULL;
    if (p.most_bytes < 0)
        return hn_fail(HN_ERR_ARG, "a device of %" PRId64 " bytes", p.most_bytes);
    HN_TRY(open_any(p, out));
    (*out)->most_bytes = p.most_bytes;
    if (p.most_bytes && p.most_bytes < (*out)->info.heap_bytes)
        (*out)->info.heap_bytes = p.most_bytes;
    return HN_OK;
}

void hn_device_close(hn_device **d)
{
    if (!*d)
        return;
    if ((*d)->n_buffers || (*d)->n_streams)
        hn__log(HN_LOG_ERROR,
                "device '%s' closed with %d buffers (%" PRId64 " bytes) and %d streams alive",
                (*d)->info.name, (*d)->n_buffers, (*d)->n_bytes, (*d)->n_streams);
    (*d)->fn->close(*d);
    *d = NULL;
}

const hn_device_info *hn_device_get_info(const hn_device *d)
{
    return &d->info;
}

const char *hn_device_reason(const hn_device *d)
{
    return d->reason;
}

int64_t hn_device_bytes(const hn_device *d)
{
    return d->n_bytes;
}

int64_t hn_device_validation_count(const hn_device *d)
{
    return d->n_validation;
}

hn_status hn_buffer_create(hn_device *d, int64_t n_bytes, hn_buffer **out)
{
    *out = NULL;
    if (n_bytes < 1)
        return hn_fail(HN_ERR_ARG, "a buffer of %" PRId64 " bytes", n_bytes);
    if (d->most_bytes && n_bytes > d->most_bytes - d->n_bytes)
        return hn_fail(HN_ERR_NOMEM, "a buffer of %" PRId64 " bytes; %" PRId64
                       " of %" PRId64 " are left", n_bytes, d->most_bytes - d->n_bytes,
                       d->most_bytes);
    HN_TRY(d->fn->buffer_create(d, n_bytes, out));
    (*out)->dev = d;
    (*out)->n_bytes = n_bytes;
    d->n_bytes += n_bytes;
    d->n_buffers++;
    return HN_OK;
}

void hn_buffer_destroy(hn_buffer **b)
{
    if (!*b)
        return;
    hn_device *d = (*b)->dev;
    d->n_bytes -= (*b)->n_bytes;
    d->n_buffers--;
    d->fn->buffer_destroy(*b);
    *b = NULL;
}

int64_t hn_buffer_bytes(const hn_buffer *b)
{
    return b->n_bytes;
}

static hn_status in_range(const hn_buffer *b, int64_t offset, int64_t n)
{
    if (offset < 0 || n < 0 || offset > b->n_bytes - n)
        return hn_fail(HN_ERR_ARG, "bytes %" PRId64 " to %" PRId64 " of a buffer of %" PRId64,
                       offset, offset + n, b->n_bytes);
    return HN_OK;
}

hn_status hn_buffer_write(hn_buffer *b, int64_t offset, const void *data, int64_t n)
{
    HN_TRY(in_range(b, offset, n));
    return n ? b->dev->fn->buffer_write(b, offset, data, n) : HN_OK;
}

hn_status hn_buffer_read(hn_buffer *b, int64_t offset, void *out_data, int64_t n)
{
    HN_TRY(in_range(b, offset, n));
    return n ? b->dev->fn->buffer_read(b, offset, out_data, n) : HN_OK;
}
