// The public device functions: choosing a kind, and the checks that all kinds share.
#include "device/device.h"
#include "base/os.h"
#include "device/tuning.h"

#include <stdio.h>
#include <string.h>

static const char *const features[HN_FEATURE_COUNT] = {
    "storage_16", "storage_8", "fp16",     "int8",          "int_dot", "subgroup",
    "subgroup_size", "bda",    "timeline", "push_descriptor", "coopmat", "coopmat2",
    "memory_budget", "exec_stats", "device_fault", "timestamps", "host_visible",
    "int64",
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

// ---- kernels: which are used ---------------------------------------------------------------

// The table of the driver as it behaves with these features, masks included.
static hn_status open_tuning(hn_device *d, const char *cache_dir)
{
    char driver[320], name[96], *path = NULL;

    snprintf(driver, sizeof driver, "%s, features %05" PRIx32 ", %" PRIu32 " invocations",
             d->info.driver, d->info.features, d->info.max_invocations);
    snprintf(name, sizeof name, "tuning-%s-%016" PRIx64 ".txt", d->info.uuid,
             hn__hash_string(driver));
    if (cache_dir && !(path = hn__path_join(cache_dir, name)))
        return hn__nomem(sizeof name);
    const hn_status s = hn__tuning_create(d->info.name, driver, path, &d->tuning);
    hn__free(path);
    return s;
}

void hn_device_tune(hn_device *d, double seconds)
{
    d->tune_ns = d->tuning && seconds > 0 ? seconds * 1e9 : 0;
}

double hn_device_tune_left(const hn_device *d)
{
    return d->tune_ns > 0 ? d->tune_ns * 1e-9 : 0;
}

static hn_status want_tuning(const hn_device *d)
{
    return d->tuning ? HN_OK
                     : hn_fail(HN_ERR_UNSUPPORTED, "'%s' has no kernels to choose from: only "
                                                   "Vulkan devices are tuned", d->info.spec);
}

hn_status hn_device_tuning_export(const hn_device *d, const char *path)
{
    HN_TRY(want_tuning(d));
    return hn__tuning_save(d->tuning, path);
}

hn_status hn_device_tuning_import(hn_device *d, const char *path)
{
    HN_TRY(want_tuning(d));
    return hn__tuning_load(d->tuning, path);
}

int64_t hn_device_tuning_count(const hn_device *d)
{
    return d->tuning ? hn__tuning_count(d->tuning) : 0;
}

hn_tuning_entry hn_device_tuning_at(const hn_device *d, int64_t i)
{
    const hn__tuning_row *r = hn__tuning_at(d->tuning, i);
    return (hn_tuning_entry){ r->what, r->variant, r->kind == HN__WRONG ? r->why : NULL, r->us,
                              r->default_us };
}

// ---- opening -------------------------------------------------------------------------------

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
    if ((*out)->info.kind != HN_DEVICE_VULKAN)
        return HN_OK;
    (*out)->self_tests = !p.no_self_test;
    const hn_status s = open_tuning(*out, p.cache_dir);
    if (s)
        hn_device_close(out);
    return s;
}

void hn_device_close(hn_device **d)
{
    if (!*d)
        return;
    if ((*d)->n_buffers || (*d)->n_streams)
        hn__log(HN_LOG_ERROR,
                "device '%s' closed with %d buffers (%" PRId64 " bytes) and %d streams alive",
                (*d)->info.name, (*d)->n_buffers, (*d)->n_bytes, (*d)->n_streams);
    hn__tuning_destroy(&(*d)->tuning);
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
