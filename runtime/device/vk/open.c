// Choosing, opening and closing a Vulkan device.
#include "device/vk/vk.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

// Every usable device of an instance, in the driver's order: "vulkan:N" counts these.
static hn_status probe_all(const hn__vk_instance *ins, const hn_device_params *p,
                           hn__vk_probe **out, int *out_n)
{
    *out = NULL;
    *out_n = 0;
    VkPhysicalDevice *phys;
    int n_phys;
    HN_TRY(hn__vk_instance_devices(ins, &phys, &n_phys));
    hn__vk_probe *probe = hn__calloc((size_t)n_phys + 1, sizeof *probe);
    hn_status s = probe ? HN_OK : hn__nomem((size_t)n_phys * sizeof *probe);
    int n = 0;
    for (int i = 0; s == HN_OK && i < n_phys; i++) {
        s = hn__vk_ask(ins, phys[i], p, &probe[n]);
        if (s == HN_ERR_UNSUPPORTED) {
            hn__log(HN_LOG_INFO, "vulkan: passed over: %s", hn_error_text());
            s = HN_OK;
        } else if (s == HN_OK) {
            snprintf(probe[n].info.spec, sizeof probe[n].info.spec, "vulkan:%d", n);
            n++;
        }
    }
    hn__free(phys);
    if (s != HN_OK) {
        hn__free(probe);
        return s;
    }
    *out = probe;
    *out_n = n;
    return HN_OK;
}

hn_status hn__vk_list(hn_device_info **list, int *n)
{
    const hn_device_params p = { 0 };
    hn__vk_instance ins;
    hn__vk_probe *probe = NULL;
    int n_probe = 0;
    hn_status s = hn__vk_instance_create(false, NULL, &ins);
    if (s == HN_OK) {
        s = probe_all(&ins, &p, &probe, &n_probe);
        hn__vk_instance_destroy(&ins);
    }
    // No Vulkan, or one that is broken: the other kinds of device serve as well.
    if (s == HN_ERR_UNSUPPORTED || s == HN_ERR_DEVICE) {
        hn__log(s == HN_ERR_DEVICE ? HN_LOG_WARN : HN_LOG_INFO, "%s", hn_error_text());
        return HN_OK;
    }
    HN_TRY(s);
    if (n_probe) {
        hn_device_info *grown = hn__resize(*list, (size_t)(*n + n_probe), sizeof *grown);
        s = grown ? HN_OK : hn__nomem((size_t)(*n + n_probe) * sizeof *grown);
        for (int i = 0; grown && i < n_probe; i++)
            grown[(*n)++] = probe[i].info;
        if (grown)
            *list = grown;
    }
    hn__free(probe);
    return s;
}

// ---- choice --------------------------------------------------------------------------------

static int rank(VkPhysicalDeviceType t)
{
    switch (t) {
    case VK_PHYSICAL_DEVICE_TYPE_DISCRETE_GPU: return 4;
    case VK_PHYSICAL_DEVICE_TYPE_INTEGRATED_GPU: return 3;
    case VK_PHYSICAL_DEVICE_TYPE_VIRTUAL_GPU: return 2;
    case VK_PHYSICAL_DEVICE_TYPE_CPU: return 1;
    default: return 0;
    }
}

// part stands in text, whatever the case of the letters.
static bool contains(const char *text, const char *part)
{
    const size_t n = strlen(part);
    for (; *text; text++) {
        size_t i = 0;
        while (i < n && tolower((unsigned char)text[i]) == tolower((unsigned char)part[i]))
            i++;
        if (i == n)
            return true;
    }
    return n == 0;
}

// "vulkan:0 'AMD Radeon ...' (discrete); ..." for the text of a failure.
static void list_text(const hn__vk_probe *probe, int n, char *out, size_t size)
{
    size_t at = 0;
    out[0] = 0;
    for (int i = 0; i < n && at < size; i++)
        at += (size_t)snprintf(out + at, size - at, "%s%s '%s' (%s)", i ? "; " : "",
                               probe[i].info.spec, probe[i].info.name, probe[i].info.type);
}

static int by_rank(const hn__vk_probe *probe, int n, char *reason, size_t size)
{
    int best = 0, n_soft = 0;
    for (int i = 0; i < n; i++) {
        if (rank(probe[i].type) > rank(probe[best].type))
            best = i;
        n_soft += probe[i].type == VK_PHYSICAL_DEVICE_TYPE_CPU;
    }
    const bool soft = probe[best].type == VK_PHYSICAL_DEVICE_TYPE_CPU;
    const int n_gpu = n - n_soft - !soft, n_after = soft ? n - 1 : n_soft;
    char gpus[32] = "", others[40] = "";
    if (n_gpu)
        snprintf(gpus, sizeof gpus, "%d more GPU%s", n_gpu, n_gpu == 1 ? "" : "s");
    if (n_after)
        snprintf(others, sizeof others, "%d %ssoftware device%s", n_after, soft ? "more " : "",
                 n_after == 1 ? "" : "s");
    snprintf(reason, size, "%s %s, %s%s%s%s", probe[best].info.type, soft ? "device" : "GPU",
             n == 1 ? "the only Vulkan device" : "before ", gpus, n_gpu && n_after ? " and " : "",
             others);
    return best;
}

// The device that the words after "vulkan:" name, or -1.
static int by_name(const hn__vk_probe *probe, int n, const char *want, char *reason, size_t size)
{
    char *end;
    const long index = strtol(want, &end, 10);
    if (isdigit((unsigned char)want[0]) && !*end) {
        snprintf(reason, size, "asked for by number");
        return index < n ? (int)index : -1;
    }
    for (int i = 0; i < n; i++)
        if (strlen(want) == 36 && contains(probe[i].info.uuid, want)) {
            snprintf(reason, size, "asked for by UUID");
            return i;
        }
    // Of several with the same words the better rank is meant.
    int best = -1;
    for (int i = 0; i < n; i++)
        if (contains(probe[i].info.name, want) &&
            (best < 0 || rank(probe[i].type) > rank(probe[best].type)))
            best = i;
    snprintf(reason, size, "its name holds '%.200s'", want);
    return best;
}

static hn_status choose(const hn__vk_probe *probe, int n, const char *spec, char *reason,
                        size_t size, int *out)
{
    if (n == 0)
        return hn_fail(HN_ERR_ARG, "device '%s': there is no Vulkan 1.1 device here", spec);
    const char *colon = strchr(spec, ':');
    if (!colon || !colon[1]) {
        *out = by_rank(probe, n, reason, size);
        return HN_OK;
    }
    *out = by_name(probe, n, colon + 1, reason, size);
    if (*out >= 0)
        return HN_OK;
    char here[700];
    list_text(probe, n, here, sizeof here);
    return hn_fail(HN_ERR_ARG, "no device '%s' here; there are: %s", spec, here);
}

// ---- opening -------------------------------------------------------------------------------

static void close_device(hn_device *base)
{
    hn__vk *d = hn__vk_of(base);
    hn__vk_settle(d);
    if (d->dev) {
        hn__vk_staging_destroy(d);
        hn__vk_kernels_destroy(d);
        hn__vk_cache_close(d);
        hn__vk_mem_close(d);
    }
    if (d->dev && d->owned)
        d->vk.vkDestroyDevice(d->dev, NULL);
    if (d->owned)
        hn__vk_instance_destroy(&d->ins);
    hn__free(d);
}

static const hn__device_fns fns = {
    .close = close_device,
    .buffer_create = hn__vk_buffer_create,
    .buffer_destroy = hn__vk_buffer_destroy,
    .buffer_write = hn__vk_buffer_write,
    .buffer_read = hn__vk_buffer_read,
    .kernel_get = hn__vk_kernel_get,
    .stream_create = hn__vk_stream_create,
    .stream_destroy = hn__vk_stream_destroy,
    .stream_run = hn__vk_stream_run,
    .stream_time = hn__vk_stream_time,
};

// Our own instance, and the device that spec names on it.
static hn_status open_own(hn__vk *d, const hn_device_params *p)
{
    d->owned = true;
    int64_t *n_validation = p->validation ? &d->head.n_validation : NULL;
    HN_TRY(hn__vk_instance_create(p->phone, n_validation, &d->ins));
    hn__vk_probe *probe;
    int n, at;
    HN_TRY(probe_all(&d->ins, p, &probe, &n));
    hn_status s = choose(probe, n, p->spec, d->head.reason, sizeof d->head.reason, &at);
    if (s == HN_OK)
        d->probe = probe[at];
    hn__free(probe);
    HN_TRY(s);
    HN_TRY(hn__vk_make_device(d, &d->probe, d->probe.info.features));
    hn__vk_load_table(&d->ins, d->dev, &d->vk);
    d->vk.vkGetDeviceQueue(d->dev, d->probe.limits.family, 0, &d->queue);
    return HN_OK;
}

// The application's instance, device and queue.
static hn_status open_borrowed(hn__vk *d, const hn_device_params *p)
{
    const hn_vulkan_handles *h = p->vulkan;
    if (!h->instance || !h->physical_device || !h->device || !h->queue)
        return hn_fail(HN_ERR_ARG, "vulkan handles: instance, physical device, device and queue "
                                   "must all be set");
    if (p->validation)
        return hn_fail(HN_ERR_ARG, "vulkan handles: validation is set where the application makes "
                                   "its instance");
    HN_TRY(hn__vk_instance_borrow(h, &d->ins));
    HN_TRY(hn__vk_ask(&d->ins, h->physical_device, p, &d->probe));

    VkQueueFamilyProperties family[HN__VK_FAMILIES];
    const uint32_t n = hn__vk_families(&d->ins, h->physical_device, family);
    if (h->queue_family >= n || !(family[h->queue_family].queueFlags & VK_QUEUE_COMPUTE_BIT))
        return hn_fail(HN_ERR_ARG, "vulkan handles: queue family %u of '%s' does not compute",
                       h->queue_family, d->probe.info.name);
    d->probe.limits.family = h->queue_family;
    d->probe.limits.timestamp_bits = family[h->queue_family].timestampValidBits;
    // What needs no enabling is there anyway.
    uint32_t enabled = h->features | HN_FEATURE_SUBGROUP | HN_FEATURE_HOST_VISIBLE;
    if (d->probe.limits.timestamp_bits)
        enabled |= HN_FEATURE_TIMESTAMPS;
    d->probe.info.features &= enabled;
    snprintf(d->probe.info.spec, sizeof d->probe.info.spec, "vulkan");
    snprintf(d->head.reason, sizeof d->head.reason, "the application's own device");
    d->dev = h->device;
    d->queue = h->queue;
    hn__vk_load_table(&d->ins, d->dev, &d->vk);
    return HN_OK;
}

// Nanoseconds a submission may take: what the desktop, a phone's watchdog and patience allow.
static double default_ns(const hn__vk_probe *p)
{
    static const uint32_t mobile[] = { 0x5143, 0x13b5, 0x1010 }; // Qualcomm, Arm, Imagination
    if (p->type == VK_PHYSICAL_DEVICE_TYPE_CPU)
        return 1000e6;
    for (size_t i = 0; i < sizeof mobile / sizeof *mobile; i++)
        if (p->vendor == mobile[i])
            return 50e6;
    return 200e6;
}

static hn_status open_device(hn__vk *d, const hn_device_params *p)
{
    HN_TRY(p->vulkan ? open_borrowed(d, p) : open_own(d, p));
    d->phys = d->probe.phys;
    d->limits = d->probe.limits;
    d->head.info = d->probe.info;
    d->ins.vkGetPhysicalDeviceMemoryProperties(d->phys, &d->mem);
    d->submit_ns = p->submit_ms > 0 ? 1e6 * p->submit_ms : default_ns(&d->probe);
    return hn__vk_cache_open(d, p->cache_dir);
}

hn_status hn__vk_open(const hn_device_params *p, hn_device **out)
{
    *out = NULL;
    hn__vk *d = hn__calloc(1, sizeof *d);
    if (!d)
        return hn__nomem(sizeof *d);
    d->head.fn = &fns;
    const hn_status s = open_device(d, p);
    if (s != HN_OK) {
        close_device(&d->head);
        return s;
    }
    hn__log(HN_LOG_INFO, "vulkan: '%s' (%s): %s", d->head.info.name, d->head.info.driver,
            d->head.reason);
    *out = &d->head;
    return HN_OK;
}

void hn__vk_settle(hn__vk *d)
{
    // A failure here says that the device is gone, and its work with it.
    if (d->busy)
        d->vk.vkQueueWaitIdle(d->queue);
    d->busy = false;
}
