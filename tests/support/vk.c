// Small kernels for tests of the Vulkan device.
#include "support/vk.h"

#include <string.h>

#include "test_shaders/axpy.h"
#include "test_shaders/count.h"

hn__kernel_desc test_axpy(uint32_t lanes, uint32_t twice)
{
    return (hn__kernel_desc){
        .name = "axpy", .spirv = test_spv_axpy, .n_words = sizeof test_spv_axpy / 4,
        .spec = { lanes, twice }, .n_spec = 2, .n_bind = 2, .push_bytes = 16,
    };
}

hn__cmd test_axpy_cmd(hn__kernel *k, hn_buffer *x, hn_buffer *y, uint32_t n, uint32_t lanes,
                      float a)
{
    hn__cmd c = {
        .label = "axpy", .kernel = k, .n_bind = 2, .n_groups = (n + lanes - 1) / lanes,
        .bind = { { x, 0, 4 * (int64_t)n, true, false }, { y, 0, 4 * (int64_t)n, true, true } },
        .flop = 2.0 * n,
    };
    c.push[2] = n;
    memcpy(&c.push[3], &a, 4);
    return c;
}

hn__kernel_desc test_count(void)
{
    return (hn__kernel_desc){
        .name = "count", .spirv = test_spv_count, .n_words = sizeof test_spv_count / 4,
        .spec = { 1 }, .n_spec = 1, .n_bind = 1, .push_bytes = 12,
    };
}

hn__cmd test_count_cmd(hn__kernel *k, hn_buffer *count, uint32_t n_groups, uint32_t steps)
{
    hn__cmd c = {
        .label = "count", .kernel = k, .n_bind = 1, .n_groups = n_groups,
        .bind = { { count, 0, 4 * (int64_t)n_groups, true, true } },
        .flop = 2.0 * n_groups * steps,
    };
    c.push[2] = steps;
    return c;
}
