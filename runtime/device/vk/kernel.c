// Pipelines: made once for equal descriptions, owned by the device. Those of a plan are made together
// when its stream is, by several threads: drivers compile them one at a time for each caller.
#include "device/vk/vk.h"
#include "base/os.h"

#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

static uint64_t key_of(const hn__kernel_desc *k)
{
    uint64_t h = hn__hash(k->spirv, k->n_words * 4, (uint64_t)k->n_bind);
    h = hn__hash(k->spec, (size_t)k->n_spec * 4, h);
    h = hn__hash(&k->subgroup, sizeof k->subgroup, h);
    return hn__hash(&k->push_bytes, sizeof k->push_bytes, h);
}

static hn_status check(const hn__vk *d, const hn__kernel_desc *k)
{
    if (k->n_spec < 0 || k->n_spec > HN__MAX_SPEC || k->n_bind < 1 || k->n_bind > HN__MAX_BIND ||
        k->push_bytes < 8 || k->push_bytes > HN__MAX_PUSH || k->push_bytes % 4)
        return hn_fail(HN_ERR_ARG,
                       "kernel '%s': %d constants, %d bindings, %u bytes pushed; at most %d, %d, "
                       "%d, and at least 1 binding and 8 bytes",
                       k->name, k->n_spec, k->n_bind, k->push_bytes, HN__MAX_SPEC, HN__MAX_BIND,
                       HN__MAX_PUSH);
    if ((uint32_t)k->n_bind > d->head.info.max_bindings)
        return hn_fail(HN_ERR_UNSUPPORTED, "kernel '%s' binds %d buffers, '%s' allows %u", k->name,
                       k->n_bind, d->head.info.name, d->head.info.max_bindings);
    if (k->n_address > k->n_bind || 8 + 8 * (uint32_t)k->n_address > k->push_bytes)
        return hn_fail(HN_ERR_ARG, "kernel '%s': %d addresses of %d bindings, %u bytes pushed",
                       k->name, k->n_address, k->n_bind, k->push_bytes);
    if (k->n_address && !(d->head.info.features & HN_FEATURE_BDA))
        return hn_fail(HN_ERR_UNSUPPORTED, "kernel '%s' reads through addresses, '%s' gives none",
                       k->name, d->head.info.name);
    if (k->n_spec && k->spec[0] > d->limits.max_size_x)
        return hn_fail(HN_ERR_UNSUPPORTED, "kernel '%s' has workgroups of %u, '%s' allows %u",
                       k->name, k->spec[0], d->head.info.name, d->limits.max_size_x);
    const hn_device_info *info = &d->head.info;
    if (k->subgroup && (k->subgroup < info->subgroup_min || k->subgroup > info->subgroup_max))
        return hn_fail(HN_ERR_UNSUPPORTED, "kernel '%s' wants subgroups of %u, '%s' allows %u to %u",
                       k->name, k->subgroup, info->name, info->subgroup_min, info->subgroup_max);
    return HN_OK;
}

// The layouts of n bindings, which all kernels with that many share.
static hn_status need_layout(hn__vk *d, int n)
{
    VkDescriptorSetLayoutBinding bind[HN__MAX_BIND];
    for (int i = 0; i < n; i++)
        bind[i] = (VkDescriptorSetLayoutBinding){
            .binding = (uint32_t)i,
            .descriptorType = VK_DESCRIPTOR_TYPE_STORAGE_BUFFER,
            .descriptorCount = 1,
            .stageFlags = VK_SHADER_STAGE_COMPUTE_BIT,
        };
    const VkDescriptorSetLayoutCreateInfo set = {
        .sType = VK_STRUCTURE_TYPE_DESCRIPTOR_SET_LAYOUT_CREATE_INFO,
        .bindingCount = (uint32_t)n,
        .pBindings = bind,
    };
    const VkPushConstantRange push = { VK_SHADER_STAGE_COMPUTE_BIT, 0, HN__MAX_PUSH };
    const VkPipelineLayoutCreateInfo layout = {
        .sType = VK_STRUCTURE_TYPE_PIPELINE_LAYOUT_CREATE_INFO,
        .setLayoutCount = 1,
        .pSetLayouts = &d->set_layout[n],
        .pushConstantRangeCount = 1,
        .pPushConstantRanges = &push,
    };
    if (!d->set_layout[n])
        HN__VK(d, d->vk.vkCreateDescriptorSetLayout(d->dev, &set, NULL, &d->set_layout[n]));
    if (!d->layout[n])
        HN__VK(d, d->vk.vkCreatePipelineLayout(d->dev, &layout, NULL, &d->layout[n]));
    return HN_OK;
}

static VkResult make_pipeline(const hn__vk *d, hn__kernel *k)
{
    VkSpecializationMapEntry entry[HN__MAX_SPEC];
    for (uint32_t i = 0; i < HN__MAX_SPEC; i++)
        entry[i] = (VkSpecializationMapEntry){ i, i * 4, 4 };
    const VkSpecializationInfo spec = { (uint32_t)k->n_spec, entry, (size_t)k->n_spec * 4,
                                        k->spec };
    const VkPipelineShaderStageRequiredSubgroupSizeCreateInfo subgroup = {
        .sType = VK_STRUCTURE_TYPE_PIPELINE_SHADER_STAGE_REQUIRED_SUBGROUP_SIZE_CREATE_INFO,
        .requiredSubgroupSize = k->subgroup,
    };
    const VkComputePipelineCreateInfo info = {
        .sType = VK_STRUCTURE_TYPE_COMPUTE_PIPELINE_CREATE_INFO,
        .flags = d->capture ? VK_PIPELINE_CREATE_CAPTURE_STATISTICS_BIT_KHR : 0,
        .stage = {
            .sType = VK_STRUCTURE_TYPE_PIPELINE_SHADER_STAGE_CREATE_INFO,
            .pNext = k->subgroup ? &subgroup : NULL,
            .stage = VK_SHADER_STAGE_COMPUTE_BIT,
            .module = k->module,
            .pName = "main",
            .pSpecializationInfo = &spec,
        },
        .layout = d->layout[k->n_bind],
    };
    return d->vk.vkCreateComputePipelines(d->dev, d->cache, 1, &info, NULL, &k->pipeline);
}

// Makes k to be finished: its layout and its module.
static hn_status begin(hn__vk *d, const hn__kernel_desc *desc, hn__kernel *k)
{
    const VkShaderModuleCreateInfo info = {
        .sType = VK_STRUCTURE_TYPE_SHADER_MODULE_CREATE_INFO,
        .codeSize = desc->n_words * 4,
        .pCode = desc->spirv,
    };
    HN_TRY(need_layout(d, desc->n_bind));
    HN__VK(d, d->vk.vkCreateShaderModule(d->dev, &info, NULL, &k->module));
    return HN_OK;
}

hn_status hn__vk_kernel_get(hn_device *base, const hn__kernel_desc *desc, hn__kernel **out)
{
    hn__vk *d = hn__vk_of(base);
    *out = NULL;
    HN_TRY(hn__vk_alive(d));
    HN_TRY(check(d, desc));
    const uint64_t key = key_of(desc);
    for (hn__kernel *k = d->kernels; k; k = k->next)
        if (k->key == key) {
            *out = k;
            return HN_OK;
        }
    hn__kernel *k = hn__calloc(1, sizeof *k);
    if (!k)
        return hn__nomem(sizeof *k);
    *k = (hn__kernel){ .key = key, .n_bind = desc->n_bind, .push_bytes = desc->push_bytes,
                       .n_spec = desc->n_spec, .n_address = desc->n_address,
                       .subgroup = desc->subgroup };
    memcpy(k->spec, desc->spec, sizeof k->spec);
    snprintf(k->name, sizeof k->name, "%s", desc->name);
    const hn_status s = begin(d, desc, k);
    if (s != HN_OK) {
        hn__free(k);
        return hn_context(s, "kernel '%s'", desc->name);
    }
    k->next = d->kernels;
    d->kernels = k;
    *out = k;
    return HN_OK;
}

// ---- several at once -----------------------------------------------------------------------

// Kernels without a pipeline come first in the device's list.
typedef struct queue {
    const hn__vk *d;
    _Atomic(hn__kernel *) next;
} queue;

static hn__kernel *take(queue *q)
{
    hn__kernel *k = atomic_load(&q->next);
    while (k && k->module && !atomic_compare_exchange_weak(&q->next, &k, k->next))
        ;
    return k && k->module ? k : NULL;
}

static void make_some(void *ctx, int64_t begin_at, int64_t end, int thread)
{
    queue *q = ctx;

    (void)begin_at;
    (void)end;
    (void)thread;
    for (hn__kernel *k; (k = take(q));) {
        const uint64_t began = hn__now_ns();
        if (k->made == VK_NOT_READY)
            k->made = make_pipeline(q->d, k);
        k->ms = (double)(hn__now_ns() - began) * 1e-6;
    }
}

// The first failure; kernels that failed leave the list.
static hn_status take_results(hn__vk *d)
{
    hn_status s = HN_OK;

    for (hn__kernel **at = &d->kernels; *at && (*at)->module;) {
        hn__kernel *k = *at;
        d->vk.vkDestroyShaderModule(d->dev, k->module, NULL);
        k->module = VK_NULL_HANDLE;
        if (k->made >= 0) {
            hn__log(HN_LOG_DEBUG, "vulkan: pipeline '%s' in %.1f ms", k->name, k->ms);
            at = &k->next;
            continue;
        }
        if (s == HN_OK)
            s = hn_context(hn__vk_result(d, k->made, "vkCreateComputePipelines"), "kernel '%s'",
                           k->name);
        *at = k->next;
        hn__free(k);
    }
    return s;
}

hn_status hn__vk_kernels_finish(hn__vk *d)
{
    queue q = { .d = d, .next = d->kernels };
    int n = 0;

    for (hn__kernel *k = d->kernels; k && k->module; k = k->next, n++)
        if (!hn__vk_planned(&k->made))
            k->made = VK_NOT_READY;
    const int most = d->ins.messenger ? 1 : hn__cpu_count(), threads = n < most ? n : most;
    if (threads > 1) {
        hn__pool *pool;
        HN_TRY(hn__pool_create(threads, &pool));
        hn__parallel(pool, threads, 1, make_some, &q);
        hn__pool_destroy(&pool);
    } else {
        make_some(&q, 0, 1, 0);
    }
    return take_results(d);
}

void hn__vk_kernels_destroy(hn__vk *d)
{
    while (d->kernels) {
        hn__kernel *k = d->kernels;
        d->kernels = k->next;
        d->vk.vkDestroyShaderModule(d->dev, k->module, NULL);
        d->vk.vkDestroyPipeline(d->dev, k->pipeline, NULL);
        hn__free(k);
    }
    for (int i = 0; i <= HN__MAX_BIND; i++) {
        d->vk.vkDestroyPipelineLayout(d->dev, d->layout[i], NULL);
        d->vk.vkDestroyDescriptorSetLayout(d->dev, d->set_layout[i], NULL);
    }
}

// ---- figures of the driver's compiler ------------------------------------------------------

typedef struct stat_list {
    hn__vk_stat *item;
    int64_t n, cap;
} stat_list;

static double value_of(const VkPipelineExecutableStatisticKHR *s)
{
    switch (s->format) {
    case VK_PIPELINE_EXECUTABLE_STATISTIC_FORMAT_BOOL32_KHR: return s->value.b32;
    case VK_PIPELINE_EXECUTABLE_STATISTIC_FORMAT_INT64_KHR: return (double)s->value.i64;
    case VK_PIPELINE_EXECUTABLE_STATISTIC_FORMAT_UINT64_KHR: return (double)s->value.u64;
    default: return s->value.f64;
    }
}

static hn_status stats_of(hn__vk *d, const hn__kernel *k, uint32_t index, const char *executable,
                          stat_list *l)
{
    const VkPipelineExecutableInfoKHR info = {
        .sType = VK_STRUCTURE_TYPE_PIPELINE_EXECUTABLE_INFO_KHR,
        .pipeline = k->pipeline,
        .executableIndex = index,
    };
    VkPipelineExecutableStatisticKHR s[64];
    uint32_t n = 64;
    for (uint32_t i = 0; i < n; i++)
        s[i] = (VkPipelineExecutableStatisticKHR){
            .sType = VK_STRUCTURE_TYPE_PIPELINE_EXECUTABLE_STATISTIC_KHR
        };
    HN__VK(d, d->vk.vkGetPipelineExecutableStatisticsKHR(d->dev, &info, &n, s));
    HN_TRY(hn__reserve((void **)&l->item, &l->cap, l->n + n, sizeof *l->item));
    for (uint32_t i = 0; i < n; i++) {
        hn__vk_stat *to = &l->item[l->n++];
        *to = (hn__vk_stat){ .value = value_of(&s[i]) };
        snprintf(to->executable, sizeof to->executable, "%.63s", executable);
        snprintf(to->name, sizeof to->name, "%.63s", s[i].name);
    }
    return HN_OK;
}

static hn_status all_stats(hn__vk *d, const hn__kernel *k, stat_list *l)
{
    const VkPipelineInfoKHR info = { .sType = VK_STRUCTURE_TYPE_PIPELINE_INFO_KHR,
                                     .pipeline = k->pipeline };
    VkPipelineExecutablePropertiesKHR exe[8];
    uint32_t n = 8;
    for (uint32_t i = 0; i < n; i++)
        exe[i] = (VkPipelineExecutablePropertiesKHR){
            .sType = VK_STRUCTURE_TYPE_PIPELINE_EXECUTABLE_PROPERTIES_KHR
        };
    HN__VK(d, d->vk.vkGetPipelineExecutablePropertiesKHR(d->dev, &info, &n, exe));
    for (uint32_t i = 0; i < n; i++)
        HN_TRY(stats_of(d, k, i, exe[i].name, l));
    return HN_OK;
}

bool hn__vk_capture(hn_device *d)
{
    return hn__vk_of(d)->capture = (d->info.features & HN_FEATURE_EXEC_STATS) != 0;
}

hn_status hn__vk_kernel_stats(hn__vk *d, const hn__kernel *k, hn__vk_stat **out, int *out_n)
{
    *out = NULL;
    *out_n = 0;
    if (!d->capture)
        return hn_fail(HN_ERR_UNSUPPORTED, "'%s' keeps no statistics of kernels",
                       d->head.info.name);
    HN_TRY(hn__vk_kernels_finish(d));
    stat_list l = { 0 };
    const hn_status s = all_stats(d, k, &l);
    if (s != HN_OK) {
        hn__free(l.item);
        return s;
    }
    *out = l.item;
    *out_n = (int)l.n;
    return HN_OK;
}
