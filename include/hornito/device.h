// Devices and their memory.
#ifndef HORNITO_DEVICE_H
#define HORNITO_DEVICE_H

#include "hornito/base.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef enum hn_device_kind {
    HN_DEVICE_REF,    // every operator by its f64 reference: slow, exact
    HN_DEVICE_CPU,    // host kernels in f32, threads
    HN_DEVICE_VULKAN, // any Vulkan 1.1 device
} hn_device_kind;

// Optional features of a Vulkan device, as bits; `mask` in hn_device_params takes them away.
typedef enum hn_feature {
    HN_FEATURE_STORAGE_16 = 1 << 0,   // 16-bit elements in storage buffers
    HN_FEATURE_STORAGE_8 = 1 << 1,    // 8-bit elements in storage buffers
    HN_FEATURE_FP16 = 1 << 2,         // f16 arithmetic
    HN_FEATURE_INT8 = 1 << 3,         // 8-bit arithmetic
    HN_FEATURE_INT_DOT = 1 << 4,      // integer dot product
    HN_FEATURE_SUBGROUP = 1 << 5,     // subgroup arithmetic, broadcasts, shuffle in compute
    HN_FEATURE_SUBGROUP_SIZE = 1 << 6,// subgroup size control
    HN_FEATURE_BDA = 1 << 7,          // buffer device address
    HN_FEATURE_TIMELINE = 1 << 8,     // timeline semaphores
    HN_FEATURE_PUSH_DESCRIPTOR = 1 << 9,
    HN_FEATURE_COOPMAT = 1 << 10,     // KHR cooperative matrix
    HN_FEATURE_COOPMAT2 = 1 << 11,    // NV cooperative matrix 2
    HN_FEATURE_MEMORY_BUDGET = 1 << 12,
    HN_FEATURE_EXEC_STATS = 1 << 13,  // pipeline executable properties
    HN_FEATURE_DEVICE_FAULT = 1 << 14,
    HN_FEATURE_TIMESTAMPS = 1 << 15,
    HN_FEATURE_HOST_VISIBLE = 1 << 16,// device-local memory the host can map (no staging copy)
    HN_FEATURE_INT64 = 1 << 17,       // 64-bit integers
    HN_FEATURE_COUNT = 18,
} hn_feature;
// "storage_16", ...; NULL for a bit that is no feature.
HN_API const char *hn_feature_name(hn_feature f);

// A size of cooperative matrices: [m, k] times [k, n] in elements of `type` (today f16), summed in
// f32 by a subgroup.
typedef struct hn_matrix_size {
    uint16_t m, n, k;
    hn_dtype type;
} hn_matrix_size;
#define HN_MAX_MATRICES 16

typedef struct hn_device_info {
    hn_device_kind kind;
    char spec[32];    // what opens it: "cpu", "vulkan:0"
    char name[256];   // as the driver says it
    char driver[256]; // driver name and version text; empty for cpu and ref
    char uuid[37];    // 8-4-4-4-12 hex digits; empty for cpu and ref
    char type[16];    // "discrete", "integrated", "virtual", "software", "host"
    uint32_t api_major, api_minor;
    uint32_t features;         // hn_feature bits, after the mask
    uint32_t subgroup_size;    // 0 where there is none
    uint32_t subgroup_min, subgroup_max; // what a kernel may ask for; 0 where it may not
    uint32_t max_invocations;  // of a workgroup
    uint32_t max_shared_bytes; // of a workgroup
    int64_t max_binding_bytes; // of one storage binding
    uint32_t max_bindings;     // storage buffers that a kernel may bind; 0 on host devices
    int64_t heap_bytes;        // largest device-local heap, or host memory
    int n_matrices;            // 0 without HN_FEATURE_COOPMAT
    hn_matrix_size matrices[HN_MAX_MATRICES]; // those summed in f32, in the driver's order
    int n_threads;             // cpu and ref
} hn_device_info;

// Lists what is here: every Vulkan device, then "cpu", then "ref". *out is freed by
// hn_device_list_destroy. A machine without Vulkan is no error: its reason goes to the log.
HN_API hn_status hn_device_list(hn_device_info **out, int *out_n);
HN_API void hn_device_list_destroy(hn_device_info **list);

// A Vulkan device that the application already has. It stays the application's, must outlive the
// hn_device, and its queue is used only inside calls on that device and its plans.
typedef struct hn_vulkan_handles {
    void *get_instance_proc_addr; // PFN_vkGetInstanceProcAddr; NULL: the system's loader
    void *instance, *physical_device, *device, *queue; // dispatchable handles
    uint32_t queue_family;
    uint32_t features; // hn_feature bits that were enabled when the device was made
} hn_vulkan_handles;

typedef struct hn_device_params {
    // "cpu", "ref", "vulkan" (best rank), "vulkan:N", "vulkan:UUID" or "vulkan:part of the name".
    // NULL or "auto": a real GPU where there is one, otherwise "cpu".
    const char *spec;
    const char *cache_dir; // compiled pipelines and the tuning table are kept here; NULL: in
                           // memory only
    uint32_t mask;         // hn_feature bits to behave as if absent
    bool phone; // behave as a small phone: no fp16, 128 invocations, 16 KiB shared, 128 MiB
                // binding range, no features beyond Vulkan 1.1
    int64_t most_bytes;    // behave as if the heap were no larger; 0: it is what it is
    bool validation;       // turn the validation layer on; its messages go to the log as errors
    int n_threads;         // host threads; 0: one for each processor
    double submit_ms; // longest time one submission may take; 0: 200, mobile 50, software 1000
    bool no_self_test; // use kernels that were never tested on this driver without a test
    const hn_vulkan_handles *vulkan; // use this device instead of opening one
} hn_device_params;

// A device. Thread-safety: calls on one device and what it made must not overlap.
typedef struct hn_device hn_device;

// Opens a device. Errors: ARG (no such device; the text lists what there is), DEVICE, NOMEM,
// UNSUPPORTED (below Vulkan 1.1). *out is NULL on failure. params may be NULL.
HN_API hn_status hn_device_open(const hn_device_params *params, hn_device **out);
// Closes it and sets *d to NULL; what is still alive on it is logged. *d may be NULL.
HN_API void hn_device_close(hn_device **d);
HN_API const hn_device_info *hn_device_get_info(const hn_device *d);
// Why this device was chosen, one line. Valid as long as the device.
HN_API const char *hn_device_reason(const hn_device *d);
// Bytes of device memory in buffers now, and validation messages so far.
HN_API int64_t hn_device_bytes(const hn_device *d);
HN_API int64_t hn_device_validation_count(const hn_device *d);

// ---- kernels: which are used ---------------------------------------------------------------
//
// An operator has several kernels on a Vulkan device. Before one is used for the first time on a
// driver it answers a known question: a small instance, compared with the operator's f64
// reference. One that answers wrongly is put aside (the log says so) and the next serves. Which is
// used among those that are right is a guess from shapes until it was measured. Verdicts and
// measurements are kept in cache_dir, a file a driver, and count as long as the kernel's SPIR-V is
// the same. Other devices have no such table: these functions do nothing there, or say so.

// From now on plans made on d first measure the kernels for their shapes where nothing is known,
// the dearest first, until `seconds` are used in all. 0 turns it off. Results of a plan do not
// change but by rounding. Does nothing where d is no Vulkan device.
HN_API void hn_device_tune(hn_device *d, double seconds);
// Seconds left of those.
HN_API double hn_device_tune_left(const hn_device *d);

// Writes the table as text, or adds a file's rows: all of the same driver, and of another driver of
// the same device what was fastest, but not what answered rightly. Errors: IO; UNSUPPORTED (no
// Vulkan device); FORMAT (torn or damaged); ARG (another device's, by name); nothing is added then.
HN_API hn_status hn_device_tuning_export(const hn_device *d, const char *path);
HN_API hn_status hn_device_tuning_import(hn_device *d, const char *path);

typedef struct hn_tuning_entry {
    const char *what;      // the instance of an operator ("matmul f32[64, 64] ..."), or the operator
    const char *kernel;    // the kernel and its parameters
    const char *wrong;     // not NULL: it is put aside, and this is what it did
    double us, default_us; // measured: microseconds, and those of the unmeasured choice; otherwise 0
} hn_tuning_entry;
// Entries, and entry i in [0, count); its strings are valid until a plan is made on d.
HN_API int64_t hn_device_tuning_count(const hn_device *d);
HN_API hn_tuning_entry hn_device_tuning_at(const hn_device *d, int64_t i);

// ---- memory --------------------------------------------------------------------------------

// Device memory. Contents are zero at first.
typedef struct hn_buffer hn_buffer;
// Errors: ARG (n_bytes < 1), NOMEM (with bytes wanted and left). *out is NULL on failure.
HN_API hn_status hn_buffer_create(hn_device *d, int64_t n_bytes, hn_buffer **out);
HN_API void hn_buffer_destroy(hn_buffer **b);
HN_API int64_t hn_buffer_bytes(const hn_buffer *b);
// Copies n bytes in or out at a byte offset, and waits. Errors: ARG (outside the buffer), DEVICE.
HN_API hn_status hn_buffer_write(hn_buffer *b, int64_t offset, const void *data, int64_t n);
HN_API hn_status hn_buffer_read(hn_buffer *b, int64_t offset, void *out_data, int64_t n);

#ifdef __cplusplus
}
#endif
#endif
