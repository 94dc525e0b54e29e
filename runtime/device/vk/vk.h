// Inside the Vulkan device: its parts and what they call of each other.
//
//   loader.c    libvulkan, instances, the validation layer
//   features.c  what a physical device is and can do, after masks
//   open.c      choice of a device, its opening and closing
//   memory.c    blocks of device memory and ranges inside them (ranges.c)
//   buffer.c    buffers; transfer.c carries bytes in and out
//   kernel.c    pipelines; cache.c keeps them on disk
//   hazard.c    where a barrier is needed
//   cut.c       how a stream is cut into submissions
//   record.c    the command buffers of a stream; stream.c makes and runs it
//   fault.c     from a VkResult to a status
//   compile_only.c  a device whose pipelines are made and nothing is run
#ifndef HN_DEVICE_VK_VK_H
#define HN_DEVICE_VK_VK_H

#include "device/device.h"
#include "device/vk/cut.h"
#include "device/vk/hazard.h"
#include "device/vk/loader.h"
#include "device/vk/ranges.h"

// ---- fault.c -------------------------------------------------------------------------------

typedef struct hn__vk hn__vk;

// Turns a failed result into a status and its text; device loss sticks to d, which may be NULL.
hn_status hn__vk_result(hn__vk *d, VkResult r, const char *call);
// DEVICE with the text of the loss where the device was lost.
hn_status hn__vk_alive(const hn__vk *d);
// For tests, on this thread: the n-th fallible Vulkan call from now is not made and gives r.
// n 0 turns it off.
void hn__vk_fail_at(int64_t n, VkResult r);
// Fallible calls still to come before the planned failure; 0: it has happened, or there is none.
int64_t hn__vk_fail_left(void);
// Counts a call that can fail: true where it is the one planned to, *out is then its result.
bool hn__vk_planned(VkResult *out);

// Makes a Vulkan call, its result to r.
#define HN__VK_CALL(r, call)                                                                      \
    do {                                                                                          \
        if (!hn__vk_planned(&(r)))                                                                \
            (r) = (call);                                                                         \
    } while (0)

// As HN__VK_CALL, and returns from the function where it fails.
#define HN__VK(d, call)                                                                           \
    do {                                                                                          \
        VkResult hn_vk_;                                                                          \
        HN__VK_CALL(hn_vk_, call);                                                                \
        if (hn_vk_ < 0)                                                                           \
            return hn__vk_result(d, hn_vk_, #call);                                               \
    } while (0)

// ---- features.c ----------------------------------------------------------------------------

// What the rest needs to know of a physical device; clamped where a phone is imitated.
typedef struct hn__vk_limits {
    uint32_t max_groups_x, max_groups_y; // of a dispatch
    uint32_t max_size_x;                 // of a workgroup
    uint32_t family, timestamp_bits;     // the queue family used
    double timestamp_ns;                 // nanoseconds a tick
    int64_t atom;                        // nonCoherentAtomSize
} hn__vk_limits;

typedef struct hn__vk_probe {
    VkPhysicalDevice phys;
    VkPhysicalDeviceType type;
    uint32_t vendor, device, driver_version;
    uint8_t driver_uuid[VK_UUID_SIZE], cache_uuid[VK_UUID_SIZE];
    hn__vk_limits limits;
    hn_device_info info; // all but spec
} hn__vk_probe;

// Asks a physical device. UNSUPPORTED where it is below Vulkan 1.1 or cannot compute.
hn_status hn__vk_ask(const hn__vk_instance *ins, VkPhysicalDevice phys, const hn_device_params *p,
                     hn__vk_probe *out);
#define HN__VK_FAMILIES 32
// The queue families; returns how many.
uint32_t hn__vk_families(const hn__vk_instance *ins, VkPhysicalDevice phys,
                         VkQueueFamilyProperties out[HN__VK_FAMILIES]);
// Makes a VkDevice with one queue and exactly the features of `features` enabled.
hn_status hn__vk_make_device(hn__vk *d, const hn__vk_probe *probe, uint32_t features);

// ---- memory.c ------------------------------------------------------------------------------

typedef struct hn__vk_block hn__vk_block;

// A part of a block. {0} is none.
typedef struct hn__vk_mem {
    hn__vk_block *block;
    int64_t at, n;
} hn__vk_mem;

typedef enum hn__vk_use {
    HN__VK_DEVICE, // what kernels work on
    HN__VK_HOST,   // staging: mapped, and fast for the host to read
} hn__vk_use;

// The memory type among `types` that serves a use best, or -1.
int hn__vk_mem_pick(const hn__vk *d, uint32_t types, hn__vk_use use);
// The size of the largest device-local heap, and whether the host can map about all of it: a
// window of 256 MiB into a card's memory does not count.
bool hn__vk_mem_mappable(const VkPhysicalDeviceMemoryProperties *m, int64_t *out_largest);
// NOMEM with bytes wanted and left.
hn_status hn__vk_mem_alloc(hn__vk *d, const VkMemoryRequirements *r, hn__vk_use use,
                           hn__vk_mem *out);
void hn__vk_mem_free(hn__vk *d, hn__vk_mem *m);
// A buffer with memory bound to it. On failure the caller frees what was made of both.
hn_status hn__vk_mem_buffer(hn__vk *d, int64_t n_bytes, hn__vk_use use, VkBuffer *out_buf,
                            hn__vk_mem *out);
// Where kernels see it; 0 without HN_FEATURE_BDA.
uint64_t hn__vk_mem_address(const hn__vk *d, VkBuffer buf);
// Where the host sees it; NULL where it does not.
void *hn__vk_mem_host(const hn__vk_mem *m);
// True where host reads of it are cached, so that reading it directly is fast.
bool hn__vk_mem_cached(const hn__vk *d, const hn__vk_mem *m);
// Makes host writes seen by the device, or device writes seen by the host; nothing to do where the
// memory is coherent.
hn_status hn__vk_mem_flush(hn__vk *d, const hn__vk_mem *m, int64_t offset, int64_t n);
hn_status hn__vk_mem_invalidate(hn__vk *d, const hn__vk_mem *m, int64_t offset, int64_t n);
// Bytes left in the largest device-local heap, as far as is known.
int64_t hn__vk_mem_left(const hn__vk *d);
// NOMEM: n_bytes wanted, and what is left.
hn_status hn__vk_no_room(const hn__vk *d, int64_t n_bytes);
int64_t hn__vk_mem_blocks(const hn__vk *d);
// Frees the blocks that are left; closing only.
void hn__vk_mem_close(hn__vk *d);

// ---- buffer.c, transfer.c ------------------------------------------------------------------

// Kernels may read the last 16 bytes of a binding as one vector, or the last word of packed 16-bit
// elements: bindings are rounded up to this, and at a buffer's end the bytes are there and zero.
#define HN__VK_PAD 16

typedef struct hn__vk_buffer {
    hn_buffer head;
    VkBuffer buf;
    hn__vk_mem mem;
    uint64_t address; // with HN_FEATURE_BDA
} hn__vk_buffer;

hn_status hn__vk_buffer_create(hn_device *d, int64_t n_bytes, hn_buffer **out);
void hn__vk_buffer_destroy(hn_buffer *b);
hn_status hn__vk_buffer_write(hn_buffer *b, int64_t offset, const void *data, int64_t n);
hn_status hn__vk_buffer_read(hn_buffer *b, int64_t offset, void *out, int64_t n);

// One half of the staging ring: its commands, and the bytes it still owes to the host.
typedef struct hn__vk_slot {
    VkCommandBuffer cb;
    VkFence fence;
    bool pending;
    void *owed; // NULL: none
    int64_t n_owed;
} hn__vk_slot;

#define HN__VK_SLOTS 2
#define HN__VK_SLOT_BYTES (4 << 20)

typedef struct hn__vk_staging {
    VkCommandPool pool;
    VkBuffer buf;
    hn__vk_mem mem;
    hn__vk_slot slot[HN__VK_SLOTS];
    bool ready;
} hn__vk_staging;

hn_status hn__vk_upload(hn__vk *d, hn__vk_buffer *b, int64_t offset, const void *data, int64_t n);
hn_status hn__vk_download(hn__vk *d, hn__vk_buffer *b, int64_t offset, void *out, int64_t n);
hn_status hn__vk_zero(hn__vk *d, hn__vk_buffer *b);
void hn__vk_staging_destroy(hn__vk *d);

// ---- kernel.c, cache.c ---------------------------------------------------------------------

struct hn__kernel {
    uint64_t key;
    char name[64];
    int n_bind;
    uint32_t push_bytes, spec[HN__MAX_SPEC];
    int n_address;
    int n_spec;
    uint32_t subgroup;
    VkShaderModule module; // until the pipeline is made
    VkPipeline pipeline;
    VkResult made; // what making it gave, and how long it took
    double ms;
    hn__kernel *next;
};

// The kernel of a description, whose pipeline is made by the next hn__vk_kernels_finish.
hn_status hn__vk_kernel_get(hn_device *d, const hn__kernel_desc *desc, hn__kernel **out);
// Makes the pipelines that are still to be made, on as many threads as the host runs at once. Kernels
// whose pipelines cannot be made are gone after it.
hn_status hn__vk_kernels_finish(hn__vk *d);
void hn__vk_kernels_destroy(hn__vk *d);

// One figure of the driver's compiler: registers, spills, occupancy.
typedef struct hn__vk_stat {
    char executable[64], name[64];
    double value;
} hn__vk_stat;
// From now on the driver keeps statistics of every kernel that is made. False where it has none.
bool hn__vk_capture(hn_device *d);
// All figures of a kernel made after hn__vk_capture. *out is freed by hn__free.
// UNSUPPORTED where the driver does not keep them.
hn_status hn__vk_kernel_stats(hn__vk *d, const hn__kernel *k, hn__vk_stat **out, int *out_n);

// Makes d->cache, from the file in `dir` where it is this driver's. dir may be NULL.
hn_status hn__vk_cache_open(hn__vk *d, const char *dir);
// Writes the cache back where it grew, and frees it.
void hn__vk_cache_close(hn__vk *d);

// ---- stream.c, record.c --------------------------------------------------------------------

hn_status hn__vk_stream_create(hn_device *d, const hn__cmd *cmds, int64_t n, hn__stream **out);
void hn__vk_stream_destroy(hn__stream *s);
hn_status hn__vk_stream_run(hn__stream *s);
hn_status hn__vk_stream_time(hn__stream *s, double *out_ns, int64_t n);
// Submissions and barriers of the recording that runs are made of; 0 before the first run.
int hn__vk_stream_submits(const hn__stream *s);
int hn__vk_stream_barriers(const hn__stream *s);
// Runs once, waiting for each submission: wall milliseconds of each. ARG where n is not their
// number.
hn_status hn__vk_stream_submit_ms(hn__stream *s, double *out_ms, int n);

// Writes a barrier into a command buffer; nothing where b asks for none.
void hn__vk_barrier(const hn__vk *d, VkCommandBuffer cb, const hn__barrier *b);

// ---- open.c --------------------------------------------------------------------------------

struct hn__vk {
    hn_device head;
    hn__vk_instance ins;
    VkPhysicalDevice phys;
    VkDevice dev;
    VkQueue queue;
    bool owned; // instance and device are ours
    bool capture; // hn__vk_capture
    struct VolkDeviceTable vk;
    hn__vk_limits limits;
    hn__vk_probe probe;
    double submit_ns;

    bool busy; // work was submitted that nobody has waited for
    char lost_text[160];

    VkPhysicalDeviceMemoryProperties mem;
    hn__vk_block *blocks;
    hn__vk_staging staging;

    VkDescriptorSetLayout set_layout[HN__MAX_BIND + 1]; // by number of bindings
    VkPipelineLayout layout[HN__MAX_BIND + 1];
    hn__kernel *kernels;

    VkPipelineCache cache;
    char *cache_path;
    size_t cache_bytes; // when it was opened
};

static inline hn__vk *hn__vk_of(hn_device *d)
{
    return (hn__vk *)d;
}

// From now on plans made on d are compiled and never run: buffers hold nothing, streams are NULL.
// `room` is the caller's and must stay until d->fn is put back.
void hn__vk_compile_only(hn_device *d, hn__device_fns *room);
// Waits for whatever was submitted, whatever comes of it. Before anything it may use is freed.
void hn__vk_settle(hn__vk *d);

#endif
