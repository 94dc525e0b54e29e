// From a VkResult to a status, sticky device loss, and planned failures for tests.
#include "device/vk/vk.h"

#include <stdio.h>
#include <string.h>

// A test's plan, of its thread only.
static _Thread_local struct {
    int64_t left;
    VkResult result;
} plan;

void hn__vk_fail_at(int64_t n, VkResult r)
{
    plan.left = n;
    plan.result = r;
}

int64_t hn__vk_fail_left(void)
{
    return plan.left;
}

bool hn__vk_planned(VkResult *out)
{
    if (plan.left == 0 || --plan.left > 0)
        return false;
    *out = plan.result;
    return true;
}

static const char *result_text(VkResult r)
{
    switch (r) {
    case VK_ERROR_OUT_OF_HOST_MEMORY: return "out of host memory";
    case VK_ERROR_OUT_OF_DEVICE_MEMORY: return "out of device memory";
    case VK_ERROR_OUT_OF_POOL_MEMORY: return "out of pool memory";
    case VK_ERROR_FRAGMENTED_POOL: return "pool fragmented";
    case VK_ERROR_TOO_MANY_OBJECTS: return "too many objects";
    case VK_ERROR_MEMORY_MAP_FAILED: return "memory could not be mapped";
    case VK_ERROR_DEVICE_LOST: return "device lost";
    case VK_ERROR_INITIALIZATION_FAILED: return "initialization failed";
    case VK_ERROR_LAYER_NOT_PRESENT: return "layer not present";
    case VK_ERROR_EXTENSION_NOT_PRESENT: return "extension not present";
    case VK_ERROR_FEATURE_NOT_PRESENT: return "feature not present";
    case VK_ERROR_INCOMPATIBLE_DRIVER: return "incompatible driver";
    case VK_ERROR_INVALID_SHADER_NV: return "invalid shader";
    case VK_ERROR_UNKNOWN: return "unknown error";
    default: return "failed";
    }
}

static bool is_memory(VkResult r)
{
    return r == VK_ERROR_OUT_OF_HOST_MEMORY || r == VK_ERROR_OUT_OF_DEVICE_MEMORY ||
           r == VK_ERROR_OUT_OF_POOL_MEMORY || r == VK_ERROR_FRAGMENTED_POOL ||
           r == VK_ERROR_TOO_MANY_OBJECTS || r == VK_ERROR_MEMORY_MAP_FAILED;
}

// "vkQueueSubmit" of "d->vk.vkQueueSubmit(d->queue, ...)".
static void call_name(const char *call, char *out, size_t n)
{
    const char *open = strchr(call, '('), *at = open ? open : call + strlen(call);
    while (at > call && at[-1] != '.' && at[-1] != '>' && at[-1] != ' ')
        at--;
    snprintf(out, n, "%.*s", (int)(open ? open - at : (int)strlen(at)), at);
}

// What the driver says of the loss, where it can.
static void add_fault(hn__vk *d)
{
#ifdef VK_EXT_device_fault
    if (!(d->head.info.features & HN_FEATURE_DEVICE_FAULT) || !d->vk.vkGetDeviceFaultInfoEXT)
        return;
    VkDeviceFaultCountsEXT counts = { VK_STRUCTURE_TYPE_DEVICE_FAULT_COUNTS_EXT };
    VkDeviceFaultInfoEXT info = { VK_STRUCTURE_TYPE_DEVICE_FAULT_INFO_EXT };
    if (d->vk.vkGetDeviceFaultInfoEXT(d->dev, &counts, NULL) < 0)
        return;
    counts.addressInfoCount = counts.vendorInfoCount = 0;
    counts.vendorBinarySize = 0;
    if (d->vk.vkGetDeviceFaultInfoEXT(d->dev, &counts, &info) < 0 || !info.description[0])
        return;
    const size_t n = strlen(d->lost_text);
    snprintf(d->lost_text + n, sizeof d->lost_text - n, " (%.80s)", info.description);
#else
    (void)d;
#endif
}

hn_status hn__vk_result(hn__vk *d, VkResult r, const char *call)
{
    char name[64];
    call_name(call, name, sizeof name);
    if (r == VK_ERROR_DEVICE_LOST && d && !d->head.lost) {
        d->head.lost = true;
        snprintf(d->lost_text, sizeof d->lost_text, "device lost in %s", name);
        add_fault(d);
    }
    if (r == VK_ERROR_DEVICE_LOST && d)
        return hn__vk_alive(d);
    return hn_fail(is_memory(r) ? HN_ERR_NOMEM : HN_ERR_DEVICE, "%s: %s (%d)", name,
                   result_text(r), r);
}

hn_status hn__vk_alive(const hn__vk *d)
{
    if (!d->head.lost)
        return HN_OK;
    return hn_fail(HN_ERR_DEVICE, "'%s': %s; close the device and open it again",
                   d->head.info.name, d->lost_text);
}
