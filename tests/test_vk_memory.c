// Which kind of memory is chosen: no Vulkan here, only tables of the shape that drivers of such
// GPUs report. They are written down from memory, not read from a GPU; sizes are examples.
#include "support/check.h"
#include "device/vk/vk.h"

#include <string.h>

#define LOCAL VK_MEMORY_PROPERTY_DEVICE_LOCAL_BIT
#define SEEN VK_MEMORY_PROPERTY_HOST_VISIBLE_BIT
#define COHERENT VK_MEMORY_PROPERTY_HOST_COHERENT_BIT
#define CACHED VK_MEMORY_PROPERTY_HOST_CACHED_BIT
#define LAZY VK_MEMORY_PROPERTY_LAZILY_ALLOCATED_BIT
#define AMD                                                                                       \
    (VK_MEMORY_PROPERTY_DEVICE_COHERENT_BIT_AMD | VK_MEMORY_PROPERTY_DEVICE_UNCACHED_BIT_AMD)

typedef struct machine {
    const char *name;
    struct {
        int mib;
        bool local;
    } heap[3];
    struct {
        VkMemoryPropertyFlags flags;
        uint32_t heap;
    } type[8];
    int n_types;
    // wanted
    bool mappable;
    int device, device_masked, host; // types; masked: without host_visible
} machine;

static const machine machines[] = {
    { "NVIDIA card", { { 8192, true }, { 16384, false }, { 246, true } },
      { { 0, 1 }, { LOCAL, 0 }, { SEEN | COHERENT, 1 }, { SEEN | COHERENT | CACHED, 1 },
        { LOCAL | SEEN | COHERENT, 2 } },
      5, false, 1, 1, 3 },
    { "NVIDIA card, all of it mapped", { { 24576, true }, { 32768, false } },
      { { 0, 1 }, { LOCAL, 0 }, { SEEN | COHERENT, 1 }, { SEEN | COHERENT | CACHED, 1 },
        { LOCAL | SEEN | COHERENT, 0 } },
      5, true, 4, 1, 3 },
    { "AMD card, RADV", { { 7936, true }, { 15872, false }, { 256, true } },
      { { LOCAL, 0 }, { SEEN | COHERENT, 1 }, { LOCAL | SEEN | COHERENT, 2 },
        { SEEN | COHERENT | CACHED, 1 }, { LOCAL | AMD, 0 }, { SEEN | COHERENT | AMD, 1 },
        { LOCAL | SEEN | COHERENT | AMD, 2 }, { SEEN | COHERENT | CACHED | AMD, 1 } },
      8, false, 0, 0, 3 },
    { "Intel, integrated", { { 24000, true } },
      { { LOCAL, 0 }, { LOCAL | SEEN | COHERENT, 0 }, { LOCAL | SEEN | COHERENT | CACHED, 0 } },
      3, true, 2, 0, 2 },
    { "Arm Mali", { { 7600, true } },
      { { LOCAL | SEEN | COHERENT, 0 }, { LOCAL | SEEN | CACHED, 0 }, { LOCAL | LAZY, 0 } },
      3, true, 1, 0, 1 },
    { "Qualcomm Adreno", { { 5500, true } },
      { { LOCAL, 0 }, { LOCAL | SEEN | COHERENT, 0 }, { LOCAL | SEEN | CACHED, 0 },
        { LOCAL | SEEN | COHERENT | CACHED, 0 } },
      4, true, 3, 0, 3 },
};

static void fill(const machine *m, VkPhysicalDeviceMemoryProperties *out)
{
    memset(out, 0, sizeof *out);
    for (int i = 0; i < 3 && m->heap[i].mib; i++) {
        out->memoryHeaps[i].size = (VkDeviceSize)m->heap[i].mib << 20;
        out->memoryHeaps[i].flags = m->heap[i].local ? VK_MEMORY_HEAP_DEVICE_LOCAL_BIT : 0;
        out->memoryHeapCount++;
    }
    for (int i = 0; i < m->n_types; i++) {
        out->memoryTypes[i].propertyFlags = m->type[i].flags;
        out->memoryTypes[i].heapIndex = m->type[i].heap;
    }
    out->memoryTypeCount = (uint32_t)m->n_types;
}

static void check_choice(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof machines / sizeof *machines; i++) {
        const machine *m = &machines[i];
        static hn__vk d;
        int64_t largest;
        fill(m, &d.mem);
        const bool mappable = hn__vk_mem_mappable(&d.mem, &largest);
        CHECK(mappable == m->mappable, "%s: mappable %d", m->name, mappable);
        CHECK(largest == (int64_t)m->heap[0].mib << 20, "%s: largest heap", m->name);
        d.head.info.features = 0;
        const int masked = hn__vk_mem_pick(&d, UINT32_MAX, HN__VK_DEVICE),
                  host = hn__vk_mem_pick(&d, UINT32_MAX, HN__VK_HOST);
        CHECK(masked == m->device_masked, "%s: masked, device memory of type %d, not %d", m->name,
              masked, m->device_masked);
        CHECK(host == m->host, "%s: staging of type %d, not %d", m->name, host, m->host);
        d.head.info.features = mappable ? HN_FEATURE_HOST_VISIBLE : 0;
        const int device = hn__vk_mem_pick(&d, UINT32_MAX, HN__VK_DEVICE);
        CHECK(device == m->device, "%s: device memory of type %d, not %d", m->name, device,
              m->device);
    }
}

// Where the best kind is full the others are tried, and those nobody may use never are.
static void check_fallback(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof machines / sizeof *machines; i++) {
        static hn__vk d;
        fill(&machines[i], &d.mem);
        uint32_t types = UINT32_MAX;
        int n = 0, n_usable = 0;
        for (int t; (t = hn__vk_mem_pick(&d, types, HN__VK_DEVICE)) >= 0; n++) {
            CHECK(!(machines[i].type[t].flags & (LAZY | AMD)), "%s: type %d", machines[i].name, t);
            types &= ~(1u << t);
        }
        for (int t = 0; t < machines[i].n_types; t++)
            n_usable += !(machines[i].type[t].flags & (LAZY | AMD));
        CHECK(n == n_usable, "%s: %d of %d types are tried", machines[i].name, n, n_usable);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(check_choice),
        cmocka_unit_test(check_fallback),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
