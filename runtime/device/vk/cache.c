// The pipeline cache on disk: a file a device and driver version, checked before the driver sees
// it.
#include "device/vk/vk.h"
#include "base/os.h"

#include <stdio.h>
#include <string.h>

typedef struct header {
    char magic[8];
    uint32_t version, driver_version;
    uint32_t vendor, device;
    uint8_t driver_uuid[VK_UUID_SIZE], cache_uuid[VK_UUID_SIZE];
    uint64_t n_bytes, hash; // of what follows
} header;

// All fields are set and none is padding, so headers compare as bytes.
static header header_of(const hn__vk *d, const void *data, size_t n)
{
    header h = { .magic = "hn-pipe", .version = 1, .driver_version = d->probe.driver_version,
                 .vendor = d->probe.vendor, .device = d->probe.device, .n_bytes = n,
                 .hash = hn__hash(data, n, 0) };
    memcpy(h.driver_uuid, d->probe.driver_uuid, VK_UUID_SIZE);
    memcpy(h.cache_uuid, d->probe.cache_uuid, VK_UUID_SIZE);
    return h;
}

// The bytes to give to the driver; n 0 where the file is not whole or not this driver's.
static const uint8_t *usable(const hn__vk *d, const hn__map *m, size_t *out_n)
{
    *out_n = 0;
    header h;
    const char *why = "is torn";
    if (m->size > sizeof h) {
        const uint8_t *data = m->data + sizeof h;
        const size_t n = m->size - sizeof h;
        const header want = header_of(d, data, n);
        memcpy(&h, m->data, sizeof h);
        if (memcmp(&h, &want, sizeof h) == 0) {
            *out_n = n;
            return data;
        }
        if (h.n_bytes == n && h.hash == want.hash)
            why = "is another driver's";
    }
    hn__log(HN_LOG_WARN, "vulkan: '%s' %s: not used, will be replaced", d->cache_path, why);
    return NULL;
}

static hn_status make_cache(hn__vk *d, const uint8_t *data, size_t n)
{
    const VkPipelineCacheCreateInfo info = {
        .sType = VK_STRUCTURE_TYPE_PIPELINE_CACHE_CREATE_INFO,
        .initialDataSize = n,
        .pInitialData = data,
    };
    HN__VK(d, d->vk.vkCreatePipelineCache(d->dev, &info, NULL, &d->cache));
    return HN_OK;
}

hn_status hn__vk_cache_open(hn__vk *d, const char *dir)
{
    hn__map m = { 0 };
    const uint8_t *data = NULL;
    size_t n = 0;
    if (dir) {
        char name[96];
        snprintf(name, sizeof name, "pipelines-%s-%08x.bin", d->head.info.uuid,
                 d->probe.driver_version);
        d->cache_path = hn__path_join(dir, name);
        if (!d->cache_path)
            return hn__nomem(strlen(dir) + sizeof name);
        HN_TRY(hn__mkdirs(dir));
        if (hn__exists(d->cache_path)) {
            HN_TRY(hn__map_open(d->cache_path, &m));
            data = usable(d, &m, &n);
        }
    }
    const hn_status s = make_cache(d, data, n);
    hn__map_close(&m);
    d->cache_bytes = n;
    return s;
}

static hn_status write_file(hn__vk *d, const uint8_t *data, size_t n)
{
    const header h = header_of(d, data, n);
    hn__newfile f;
    HN_TRY(hn__newfile_open(d->cache_path, &f));
    hn_status s = hn__newfile_write(&f, &h, sizeof h);
    if (s == HN_OK)
        s = hn__newfile_write(&f, data, n);
    if (s == HN_OK)
        s = hn__newfile_commit(&f);
    hn__newfile_abort(&f);
    return s;
}

static hn_status save(hn__vk *d)
{
    size_t n = 0;
    HN__VK(d, d->vk.vkGetPipelineCacheData(d->dev, d->cache, &n, NULL));
    if (n <= d->cache_bytes)
        return HN_OK;
    uint8_t *data = hn__calloc(n, 1);
    if (!data)
        return hn__nomem(n);
    VkResult r;
    HN__VK_CALL(r, d->vk.vkGetPipelineCacheData(d->dev, d->cache, &n, data));
    const hn_status s = r == VK_SUCCESS ? write_file(d, data, n)
                                        : hn__vk_result(d, r, "vkGetPipelineCacheData");
    hn__free(data);
    return s;
}

void hn__vk_cache_close(hn__vk *d)
{
    if (d->cache && d->cache_path && !d->head.lost && save(d) != HN_OK)
        hn__log(HN_LOG_WARN, "vulkan: pipeline cache not kept: %s", hn_error_text());
    d->vk.vkDestroyPipelineCache(d->dev, d->cache, NULL);
    hn__free(d->cache_path);
}
