// Small kernels for tests of the Vulkan device.
#ifndef HN_TESTS_VK_H
#define HN_TESTS_VK_H

#include "device/vk/vk.h"

// y[i] = a (1 + twice) x[i] + y[i], `lanes` threads a workgroup.
hn__kernel_desc test_axpy(uint32_t lanes, uint32_t twice);
hn__cmd test_axpy_cmd(hn__kernel *k, hn_buffer *x, hn_buffer *y, uint32_t n, uint32_t lanes,
                      float a);
// Each workgroup adds 1 to its own count, after `steps` steps.
hn__kernel_desc test_count(void);
hn__cmd test_count_cmd(hn__kernel *k, hn_buffer *count, uint32_t n_groups, uint32_t steps);

#endif
