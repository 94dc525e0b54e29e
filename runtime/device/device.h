// Inside the library: what a kind of device implements. A plan talks to these functions only.
//
// A plan lowers its steps to commands (hn__cmd): a kernel, the memory it touches, its push
// constants. A stream is a list of commands recorded once and run many times.
#ifndef HN_DEVICE_DEVICE_H
#define HN_DEVICE_DEVICE_H

#include "base/base.h"
#include "hornito/device.h"

#define HN__MAX_BIND 40   // a command's bindings; more than 8 only where the device's limit allows
#define HN__MAX_SPEC 12   // specialization constants
#define HN__MAX_PUSH 128  // bytes; Vulkan's floor
#define HN__ALIGN 256     // every offset inside a buffer that a plan hands out; covers
                          // minStorageBufferOffsetAlignment of any Vulkan device

typedef struct hn__kernel hn__kernel;
typedef struct hn__stream hn__stream;
typedef struct hn__pool hn__pool;
typedef struct hn__tuning hn__tuning; // device/tuning.h

// What a host kernel gets: one pointer a binding, in order.
typedef void (*hn__host_fn)(const void *ctx, void *const ptr[], hn__pool *pool);

typedef struct hn__kernel_desc {
    const char *name; // for texts and labels
    // vulkan
    const uint32_t *spirv;
    size_t n_words;
    uint32_t spec[HN__MAX_SPEC]; // constants 0..n_spec-1; 0 is the workgroup's size in x
    int n_spec;
    uint32_t subgroup;           // the subgroup's size it must run with; 0: the driver's choice
    int n_bind;                  // storage buffers at set 0, bindings 0..n_bind-1
    uint32_t push_bytes;         // at least 8: the device's own two words
    int n_address; // so many bindings are also read through their addresses (HN_FEATURE_BDA), which
                   // the device puts into the last push constants, 8 bytes each
} hn__kernel_desc;

typedef struct hn__bind {
    hn_buffer *buf;
    int64_t offset,
        bytes; // offset is a multiple of HN__ALIGN; a kernel may see up to 15 bytes more
    bool read, write;
} hn__bind;

typedef struct hn__cmd {
    const char *label;
    hn__kernel
        *kernel; // vulkan; NULL on host devices. NULL with host NULL: a copy of bind[0] to bind[1]
    hn__host_fn host;   // host devices
    const void *ctx;    // of host; outlives the stream
    int n_bind;
    hn__bind bind[HN__MAX_BIND];
    // Words 0 and 1 are set by the device: workgroups [word 1, word 0) are to run. It spreads them
    // over the grid's limits, so a kernel returns where its index is past the end, and it may
    // split a long command in several dispatches.
    uint32_t push[HN__MAX_PUSH / 4];
    uint64_t n_groups; // linear, below 2^31
    double flop;                     // rough cost, for bounding the first submission
} hn__cmd;

typedef struct hn__device_fns {
    void (*close)(hn_device *d);
    hn_status (*buffer_create)(hn_device *d, int64_t n_bytes, hn_buffer **out);
    void (*buffer_destroy)(hn_buffer *b);
    hn_status (*buffer_write)(hn_buffer *b, int64_t offset, const void *data, int64_t n);
    hn_status (*buffer_read)(hn_buffer *b, int64_t offset, void *out, int64_t n);
    // Owned by the device, made once for equal descriptions. NULL on host devices.
    hn_status (*kernel_get)(hn_device *d, const hn__kernel_desc *desc, hn__kernel **out);
    // Records n commands to run in order. The array is borrowed for the call only.
    hn_status (*stream_create)(hn_device *d, const hn__cmd *cmds, int64_t n, hn__stream **out);
    void (*stream_destroy)(hn__stream *s);
    // Runs all commands once and waits.
    hn_status (*stream_run)(hn__stream *s);
    // Nanoseconds of each command in the latest timed run (runs once more, timed). UNSUPPORTED
    // without timestamps. out_ns has room for n.
    hn_status (*stream_time)(hn__stream *s, double *out_ns, int64_t n);
} hn__device_fns;

// The head of every device; a kind's own struct begins with it.
struct hn_device {
    const hn__device_fns *fn;
    hn_device_info info;
    char reason[256];
    int64_t n_bytes;      // in buffers now
    int64_t most_bytes;   // of hn_device_params
    int64_t n_validation; // messages so far
    int n_buffers, n_streams;
    hn__pool *pool;       // host devices
    bool lost;            // nothing runs there any more
    hn__tuning *tuning;   // what is known of its kernels; NULL: nothing is kept
    bool self_tests;      // a kernel answers a known question before its first use
    double tune_ns;       // left for measuring the variants of plans made from now on
};

// The head of every buffer.
struct hn_buffer {
    hn_device *dev;
    int64_t n_bytes;
    void *host; // host devices: the memory itself
};

// Openers of the kinds. params is never NULL, spec never NULL or "auto".
hn_status hn__host_open(const hn_device_params *p, hn_device_kind kind, hn_device **out);
hn_status hn__vk_open(const hn_device_params *p, hn_device **out);
// Appends the machine's Vulkan devices to a growing list. No Vulkan: HN_OK, nothing appended.
hn_status hn__vk_list(hn_device_info **list, int *n);

// ---- threads of host devices ---------------------------------------------------------------

hn_status hn__pool_create(int n_threads, hn__pool **out);
void hn__pool_destroy(hn__pool **p);
int hn__pool_threads(const hn__pool *p);
// Memory for parts of a loop to work in, HN__POOL_ROOM elements aligned to 64 bytes; `thread` is the
// number of the part (hn__parallel). What is in it lasts as long as the part.
enum { HN__POOL_ROOM = 128 << 10 };
float *hn__pool_room(const hn__pool *p, int thread);
// Calls fn(ctx, begin, end, thread) on parts of [0, n): at most as many as there are threads, split
// in order, none shorter than `grain` but the last. The split depends on n, grain and the number of
// threads only; `thread` is the number of the part, whichever thread runs it, so what fn keeps under
// it is its own. Returns when all are done. fn must not call hn__parallel.
typedef void (*hn__range_fn)(void *ctx, int64_t begin, int64_t end, int thread);
void hn__parallel(hn__pool *p, int64_t n, int64_t grain, hn__range_fn fn, void *ctx);

#endif
