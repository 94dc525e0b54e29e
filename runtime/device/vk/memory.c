// Device memory: few large allocations, cut into parts.
#include "device/vk/vk.h"

#include <string.h>

#define BLOCK_BYTES (16ll << 20)

struct hn__vk_block {
    hn__vk_block *next;
    VkDeviceMemory mem;
    uint8_t *map; // NULL: the host does not see it
    uint32_t type;
    hn__ranges ranges;
};

// Kinds of memory that need a feature of their own, or hold nothing for kernels.
#define STRANGE                                                                                   \
    (VK_MEMORY_PROPERTY_LAZILY_ALLOCATED_BIT | VK_MEMORY_PROPERTY_PROTECTED_BIT |                 \
     VK_MEMORY_PROPERTY_DEVICE_COHERENT_BIT_AMD | VK_MEMORY_PROPERTY_DEVICE_UNCACHED_BIT_AMD |    \
     VK_MEMORY_PROPERTY_RDMA_CAPABLE_BIT_NV)

static VkMemoryPropertyFlags flags_of(const hn__vk *d, uint32_t type)
{
    return d->mem.memoryTypes[type].propertyFlags;
}

static bool maps(const hn__vk *d, hn__vk_use use)
{
    return use == HN__VK_HOST || (d->head.info.features & HN_FEATURE_HOST_VISIBLE);
}

// How well a memory type serves a use; below 0 not at all.
static int score(const hn__vk *d, uint32_t type, hn__vk_use use)
{
    const VkMemoryPropertyFlags f = flags_of(d, type);
    const int local = !!(f & VK_MEMORY_PROPERTY_DEVICE_LOCAL_BIT),
              seen = !!(f & VK_MEMORY_PROPERTY_HOST_VISIBLE_BIT),
              cached = !!(f & VK_MEMORY_PROPERTY_HOST_CACHED_BIT),
              coherent = !!(f & VK_MEMORY_PROPERTY_HOST_COHERENT_BIT);
    if (f & STRANGE)
        return -1;
    if (use == HN__VK_HOST)
        return seen ? 8 * cached + 4 * coherent + 2 * !local : -1;
    if (maps(d, use))
        return 16 * local + 8 * seen + 4 * cached + 2 * coherent;
    return 16 * local + 8 * !seen;
}

int hn__vk_mem_pick(const hn__vk *d, uint32_t types, hn__vk_use use)
{
    int best = -1, best_score = -1;
    for (uint32_t i = 0; i < d->mem.memoryTypeCount; i++)
        if ((types & 1u << i) && score(d, i, use) > best_score) {
            best = (int)i;
            best_score = score(d, i, use);
        }
    return best;
}

bool hn__vk_mem_mappable(const VkPhysicalDeviceMemoryProperties *m, int64_t *out_largest)
{
    VkDeviceSize largest = 0;
    for (uint32_t i = 0; i < m->memoryHeapCount; i++)
        if ((m->memoryHeaps[i].flags & VK_MEMORY_HEAP_DEVICE_LOCAL_BIT) &&
            m->memoryHeaps[i].size > largest)
            largest = m->memoryHeaps[i].size;
    *out_largest = (int64_t)largest;
    const VkMemoryPropertyFlags both =
        VK_MEMORY_PROPERTY_DEVICE_LOCAL_BIT | VK_MEMORY_PROPERTY_HOST_VISIBLE_BIT;
    bool all = false;
    for (uint32_t i = 0; i < m->memoryTypeCount; i++)
        all |= (m->memoryTypes[i].propertyFlags & (both | STRANGE)) == both &&
               m->memoryHeaps[m->memoryTypes[i].heapIndex].size >= largest / 2;
    return all;
}

static void unlink_block(hn__vk *d, hn__vk_block *b)
{
    hn__vk_block **at = &d->blocks;
    while (*at && *at != b)
        at = &(*at)->next;
    if (*at)
        *at = b->next;
}

static void free_block(hn__vk *d, hn__vk_block *b)
{
    unlink_block(d, b);
    if (b->mem)
        d->vk.vkFreeMemory(d->dev, b->mem, NULL); // unmaps it as well
    hn__ranges_free(&b->ranges);
    hn__free(b);
}

static bool has_addresses(const hn__vk *d)
{
    return d->head.info.features & HN_FEATURE_BDA;
}

static hn_status fill_block(hn__vk *d, hn__vk_block *b, int64_t size, hn__vk_use use)
{
    const VkMemoryAllocateFlagsInfo addresses = {
        .sType = VK_STRUCTURE_TYPE_MEMORY_ALLOCATE_FLAGS_INFO,
        .flags = VK_MEMORY_ALLOCATE_DEVICE_ADDRESS_BIT,
    };
    const VkMemoryAllocateInfo info = {
        .sType = VK_STRUCTURE_TYPE_MEMORY_ALLOCATE_INFO,
        .pNext = has_addresses(d) ? &addresses : NULL,
        .allocationSize = (VkDeviceSize)size,
        .memoryTypeIndex = b->type,
    };
    HN_TRY(hn__ranges_init(&b->ranges, size));
    HN__VK(d, d->vk.vkAllocateMemory(d->dev, &info, NULL, &b->mem));
    if (maps(d, use) && (flags_of(d, b->type) & VK_MEMORY_PROPERTY_HOST_VISIBLE_BIT)) {
        void *map;
        HN__VK(d, d->vk.vkMapMemory(d->dev, b->mem, 0, VK_WHOLE_SIZE, 0, &map));
        b->map = map;
    }
    return HN_OK;
}

static hn_status new_block(hn__vk *d, uint32_t type, int64_t size, hn__vk_use use,
                           hn__vk_block **out)
{
    const VkDeviceSize heap = d->mem.memoryHeaps[d->mem.memoryTypes[type].heapIndex].size;
    if ((VkDeviceSize)size > heap)
        return hn_fail(HN_ERR_NOMEM, "larger than its heap");
    hn__vk_block *b = hn__calloc(1, sizeof *b);
    if (!b)
        return hn__nomem(sizeof *b);
    b->type = type;
    const hn_status s = fill_block(d, b, size, use);
    if (s != HN_OK) {
        free_block(d, b);
        return s;
    }
    b->next = d->blocks;
    d->blocks = b;
    *out = b;
    return HN_OK;
}

static hn_status take(hn__vk_block *b, int64_t n, int64_t align, hn__vk_mem *out)
{
    int64_t at;
    HN_TRY(hn__ranges_take(&b->ranges, n, align, &at));
    if (at >= 0)
        *out = (hn__vk_mem){ b, at, n };
    return HN_OK;
}

// n bytes of memory of one type: from a block with room, from a new one, from a new one no larger
// than n. HN_OK with out->block NULL where there is none.
static hn_status alloc_type(hn__vk *d, uint32_t type, hn__vk_use use, int64_t n, int64_t align,
                            hn__vk_mem *out)
{
    const bool mapped = maps(d, use) && (flags_of(d, type) & VK_MEMORY_PROPERTY_HOST_VISIBLE_BIT);
    for (hn__vk_block *b = d->blocks; b && !out->block; b = b->next)
        if (b->type == type && !!b->map == mapped)
            HN_TRY(take(b, n, align, out));
    if (out->block)
        return HN_OK;
    hn__vk_block *b = NULL;
    hn_status s = new_block(d, type, n > BLOCK_BYTES ? n : BLOCK_BYTES, use, &b);
    if (s == HN_ERR_NOMEM && n < BLOCK_BYTES)
        s = new_block(d, type, n, use, &b);
    if (s == HN_ERR_NOMEM)
        return HN_OK;
    HN_TRY(s);
    s = take(b, n, align, out);
    if (s != HN_OK)
        free_block(d, b);
    return s;
}

hn_status hn__vk_mem_alloc(hn__vk *d, const VkMemoryRequirements *r, hn__vk_use use,
                           hn__vk_mem *out)
{
    *out = (hn__vk_mem){ 0 };
    // Parts begin and end at multiples of the atom, so flushing one never touches another.
    int64_t align = HN__ALIGN;
    if ((int64_t)r->alignment > align)
        align = (int64_t)r->alignment;
    if (d->limits.atom > align)
        align = d->limits.atom;
    const int64_t n = ((int64_t)r->size + align - 1) & ~(align - 1);

    for (uint32_t types = r->memoryTypeBits;;) {
        const int best = hn__vk_mem_pick(d, types, use);
        if (best < 0)
            return hn__vk_no_room(d, n);
        HN_TRY(alloc_type(d, (uint32_t)best, use, n, align, out));
        if (out->block)
            break;
        types &= ~(1u << best);
    }
    const bool local = flags_of(d, out->block->type) & VK_MEMORY_PROPERTY_DEVICE_LOCAL_BIT;
    if (use == HN__VK_DEVICE && !local)
        hn__log(HN_LOG_WARN, "vulkan: %" PRId64 " bytes placed outside the device's own memory: "
                             "slower", n);
    return HN_OK;
}

void hn__vk_mem_free(hn__vk *d, hn__vk_mem *m)
{
    if (!m->block)
        return;
    hn__ranges_give(&m->block->ranges, m->at, m->n);
    if (m->block->ranges.n_taken == 0)
        free_block(d, m->block);
    *m = (hn__vk_mem){ 0 };
}

hn_status hn__vk_mem_buffer(hn__vk *d, int64_t n_bytes, hn__vk_use use, VkBuffer *out_buf,
                            hn__vk_mem *out)
{
    const VkBufferUsageFlags addressed =
        has_addresses(d) ? VK_BUFFER_USAGE_SHADER_DEVICE_ADDRESS_BIT : 0;
    const VkBufferCreateInfo info = {
        .sType = VK_STRUCTURE_TYPE_BUFFER_CREATE_INFO,
        .size = (VkDeviceSize)n_bytes,
        .usage = VK_BUFFER_USAGE_STORAGE_BUFFER_BIT | VK_BUFFER_USAGE_TRANSFER_SRC_BIT |
                 VK_BUFFER_USAGE_TRANSFER_DST_BIT | addressed,
        .sharingMode = VK_SHARING_MODE_EXCLUSIVE,
    };
    *out_buf = VK_NULL_HANDLE;
    *out = (hn__vk_mem){ 0 };
    VkResult made;
    HN__VK_CALL(made, d->vk.vkCreateBuffer(d->dev, &info, NULL, out_buf));
    if (made == VK_ERROR_OUT_OF_DEVICE_MEMORY)
        return hn__vk_no_room(d, n_bytes);
    if (made < 0)
        return hn__vk_result(d, made, "vkCreateBuffer");
    VkMemoryRequirements r;
    d->vk.vkGetBufferMemoryRequirements(d->dev, *out_buf, &r);
    HN_TRY(hn__vk_mem_alloc(d, &r, use, out));
    HN__VK(d, d->vk.vkBindBufferMemory(d->dev, *out_buf, out->block->mem, (VkDeviceSize)out->at));
    return HN_OK;
}

uint64_t hn__vk_mem_address(const hn__vk *d, VkBuffer buf)
{
    const VkBufferDeviceAddressInfo info = {
        .sType = VK_STRUCTURE_TYPE_BUFFER_DEVICE_ADDRESS_INFO, .buffer = buf
    };
    if (!has_addresses(d))
        return 0;
    return d->vk.vkGetBufferDeviceAddressKHR ? d->vk.vkGetBufferDeviceAddressKHR(d->dev, &info)
                                             : d->vk.vkGetBufferDeviceAddress(d->dev, &info);
}

void *hn__vk_mem_host(const hn__vk_mem *m)
{
    return m->block->map ? m->block->map + m->at : NULL;
}

bool hn__vk_mem_cached(const hn__vk *d, const hn__vk_mem *m)
{
    return flags_of(d, m->block->type) & VK_MEMORY_PROPERTY_HOST_CACHED_BIT;
}

// The range to flush for n bytes at an offset of m: whole atoms, inside the part.
static bool flush_range(const hn__vk *d, const hn__vk_mem *m, int64_t offset, int64_t n,
                        VkMappedMemoryRange *out)
{
    if (flags_of(d, m->block->type) & VK_MEMORY_PROPERTY_HOST_COHERENT_BIT)
        return false;
    const int64_t atom = d->limits.atom, begin = (m->at + offset) / atom * atom,
                  end = (m->at + offset + n + atom - 1) / atom * atom;
    *out = (VkMappedMemoryRange){
        .sType = VK_STRUCTURE_TYPE_MAPPED_MEMORY_RANGE,
        .memory = m->block->mem,
        .offset = (VkDeviceSize)begin,
        .size = (VkDeviceSize)(end - begin),
    };
    return true;
}

hn_status hn__vk_mem_flush(hn__vk *d, const hn__vk_mem *m, int64_t offset, int64_t n)
{
    VkMappedMemoryRange range;
    if (flush_range(d, m, offset, n, &range))
        HN__VK(d, d->vk.vkFlushMappedMemoryRanges(d->dev, 1, &range));
    return HN_OK;
}

hn_status hn__vk_mem_invalidate(hn__vk *d, const hn__vk_mem *m, int64_t offset, int64_t n)
{
    VkMappedMemoryRange range;
    if (flush_range(d, m, offset, n, &range))
        HN__VK(d, d->vk.vkInvalidateMappedMemoryRanges(d->dev, 1, &range));
    return HN_OK;
}

int64_t hn__vk_mem_left(const hn__vk *d)
{
    VkPhysicalDeviceMemoryBudgetPropertiesEXT budget = {
        .sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_MEMORY_BUDGET_PROPERTIES_EXT
    };
    const bool known = d->head.info.features & HN_FEATURE_MEMORY_BUDGET;
    VkPhysicalDeviceMemoryProperties2 m = {
        .sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_MEMORY_PROPERTIES_2,
        .pNext = known ? &budget : NULL,
    };
    d->ins.vkGetPhysicalDeviceMemoryProperties2(d->phys, &m);
    int64_t used[VK_MAX_MEMORY_HEAPS] = { 0 }, most = 0;
    for (const hn__vk_block *b = d->blocks; b; b = b->next)
        used[d->mem.memoryTypes[b->type].heapIndex] += b->ranges.size;
    for (uint32_t i = 0; i < d->mem.memoryHeapCount; i++) {
        if (!(d->mem.memoryHeaps[i].flags & VK_MEMORY_HEAP_DEVICE_LOCAL_BIT))
            continue;
        const int64_t left =
            known ? (int64_t)budget.heapBudget[i] - (int64_t)budget.heapUsage[i]
                  : (int64_t)d->mem.memoryHeaps[i].size - used[i];
        most = left > most ? left : most;
    }
    return most;
}

hn_status hn__vk_no_room(const hn__vk *d, int64_t n_bytes)
{
    return hn_fail(HN_ERR_NOMEM, "%" PRId64 " bytes of device memory wanted, %" PRId64 " left",
                   n_bytes, hn__vk_mem_left(d));
}

int64_t hn__vk_mem_blocks(const hn__vk *d)
{
    int64_t n = 0;
    for (const hn__vk_block *b = d->blocks; b; b = b->next)
        n++;
    return n;
}

void hn__vk_mem_close(hn__vk *d)
{
    while (d->blocks)
        free_block(d, d->blocks);
}
