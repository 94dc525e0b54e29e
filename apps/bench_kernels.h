// What the driver's compiler says of kernels: registers, spills, shared memory, occupancy, by
// VK_KHR_pipeline_executable_properties, under the names the driver gives them.
#ifndef HORNITO_BENCH_KERNELS_H
#define HORNITO_BENCH_KERNELS_H

#include "json.h"

#include "hornito/plan.h"

struct hn__kernel;

// An object: the kernel's name, its constants, and a number a figure. *out is the caller's.
// d is a Vulkan device; UNSUPPORTED where its driver keeps none (hn__vk_capture).
hn_status bench_kernel_json(hn_device *d, const struct hn__kernel *k, json_t **out);
// The kernels that a plan runs, each once: an array. Errors as above.
hn_status bench_plan_kernels(const hn_plan *p, json_t **out);
// "matmul_tiles.f32: VGPRs 96, Spilled VGPRs 0" into buf.
const char *bench_kernel_text(const json_t *kernel, char *buf, size_t n);

#endif
