// What a physical device is and can do, after masks; making a VkDevice with just that.
#include "device/vk/vk.h"

#include <stdio.h>
#include <string.h>

// Every structure a feature is asked through, chained on demand.
typedef struct feature_structs {
    VkPhysicalDevice16BitStorageFeatures storage_16;
    VkPhysicalDevice8BitStorageFeatures storage_8;
    VkPhysicalDeviceShaderFloat16Int8Features arithmetic;
    VkPhysicalDeviceShaderIntegerDotProductFeatures dot;
    VkPhysicalDeviceSubgroupSizeControlFeatures subgroup_size;
    VkPhysicalDeviceBufferDeviceAddressFeatures address;
    VkPhysicalDeviceTimelineSemaphoreFeatures timeline;
    VkPhysicalDeviceVulkanMemoryModelFeatures memory_model;
    VkPhysicalDeviceCooperativeMatrixFeaturesKHR coopmat;
    VkPhysicalDeviceCooperativeMatrix2FeaturesNV coopmat2;
    VkPhysicalDevicePipelineExecutablePropertiesFeaturesKHR exec_stats;
#ifdef VK_EXT_device_fault
    VkPhysicalDeviceFaultFeaturesEXT fault;
#endif
    VkBool32 always; // of rows that need no structure
} feature_structs;

// A feature is there when every row of its bit is: the extension (or the version that took it in)
// is, and its flag is true.
typedef struct feature_row {
    hn_feature bit;
    const char *extension;
    uint32_t core; // the Vulkan version it is part of; 0: none
    VkStructureType type;
    size_t at, flag; // offsets of the structure and of the flag in feature_structs
} feature_row;

#define ROW(bit, ext, core, type, field, flag)                                                    \
    { HN_FEATURE_##bit, ext, core, VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_##type,                      \
      offsetof(feature_structs, field), offsetof(feature_structs, field.flag) }
#define PLAIN(bit, ext)                                                                           \
    { HN_FEATURE_##bit, ext, 0, (VkStructureType)0, 0, offsetof(feature_structs, always) }

static const feature_row rows[] = {
    ROW(STORAGE_16, "VK_KHR_16bit_storage", VK_API_VERSION_1_1, 16BIT_STORAGE_FEATURES, storage_16,
        storageBuffer16BitAccess),
    ROW(STORAGE_8, "VK_KHR_8bit_storage", VK_API_VERSION_1_2, 8BIT_STORAGE_FEATURES, storage_8,
        storageBuffer8BitAccess),
    ROW(FP16, "VK_KHR_shader_float16_int8", VK_API_VERSION_1_2, SHADER_FLOAT16_INT8_FEATURES,
        arithmetic, shaderFloat16),
    ROW(INT8, "VK_KHR_shader_float16_int8", VK_API_VERSION_1_2, SHADER_FLOAT16_INT8_FEATURES,
        arithmetic, shaderInt8),
    ROW(INT_DOT, "VK_KHR_shader_integer_dot_product", VK_API_VERSION_1_3,
        SHADER_INTEGER_DOT_PRODUCT_FEATURES, dot, shaderIntegerDotProduct),
    ROW(SUBGROUP_SIZE, "VK_EXT_subgroup_size_control", VK_API_VERSION_1_3,
        SUBGROUP_SIZE_CONTROL_FEATURES, subgroup_size, subgroupSizeControl),
    ROW(BDA, "VK_KHR_buffer_device_address", VK_API_VERSION_1_2, BUFFER_DEVICE_ADDRESS_FEATURES,
        address, bufferDeviceAddress),
    ROW(TIMELINE, "VK_KHR_timeline_semaphore", VK_API_VERSION_1_2, TIMELINE_SEMAPHORE_FEATURES,
        timeline, timelineSemaphore),
    PLAIN(PUSH_DESCRIPTOR, "VK_KHR_push_descriptor"),
    ROW(COOPMAT, "VK_KHR_cooperative_matrix", 0, COOPERATIVE_MATRIX_FEATURES_KHR, coopmat,
        cooperativeMatrix),
    ROW(COOPMAT, "VK_KHR_vulkan_memory_model", VK_API_VERSION_1_2, VULKAN_MEMORY_MODEL_FEATURES,
        memory_model, vulkanMemoryModel),
    // With the memory model on, the device scope of an atomic must be on too.
    ROW(COOPMAT, "VK_KHR_vulkan_memory_model", VK_API_VERSION_1_2, VULKAN_MEMORY_MODEL_FEATURES,
        memory_model, vulkanMemoryModelDeviceScope),
    ROW(COOPMAT2, "VK_NV_cooperative_matrix2", 0, COOPERATIVE_MATRIX_2_FEATURES_NV, coopmat2,
        cooperativeMatrixFlexibleDimensions),
    PLAIN(MEMORY_BUDGET, "VK_EXT_memory_budget"),
    ROW(EXEC_STATS, "VK_KHR_pipeline_executable_properties", 0,
        PIPELINE_EXECUTABLE_PROPERTIES_FEATURES_KHR, exec_stats, pipelineExecutableInfo),
#ifdef VK_EXT_device_fault
    ROW(DEVICE_FAULT, "VK_EXT_device_fault", 0, FAULT_FEATURES_EXT, fault, deviceFault),
#endif
};
#define N_ROWS (sizeof rows / sizeof *rows)

// What a phone of Vulkan 1.1 keeps.
#define PHONE_FEATURES                                                                            \
    (HN_FEATURE_STORAGE_16 | HN_FEATURE_SUBGROUP | HN_FEATURE_TIMESTAMPS | HN_FEATURE_HOST_VISIBLE)

// Puts the row's structure at the head of the chain, once.
static void chain(feature_structs *f, const feature_row *row, void **head)
{
    VkBaseOutStructure *s = (void *)((char *)f + row->at);
    if (!row->type || s->sType)
        return;
    s->sType = row->type;
    s->pNext = *head;
    *head = s;
}

static VkBool32 *flag_of(feature_structs *f, const feature_row *row)
{
    return (VkBool32 *)(void *)((char *)f + row->flag);
}

typedef struct extension_list {
    VkExtensionProperties *item;
    uint32_t n;
} extension_list;

static hn_status list_extensions(const hn__vk_instance *ins, VkPhysicalDevice phys,
                                 extension_list *out)
{
    *out = (extension_list){ 0 };
    uint32_t n = 0;
    HN__VK(NULL, ins->vkEnumerateDeviceExtensionProperties(phys, NULL, &n, NULL));
    out->item = hn__calloc(n + 1, sizeof *out->item);
    if (!out->item)
        return hn__nomem(n * sizeof *out->item);
    out->n = n;
    VkResult r;
    HN__VK_CALL(r, ins->vkEnumerateDeviceExtensionProperties(phys, NULL, &out->n, out->item));
    if (r < 0) {
        hn__free(out->item);
        return hn__vk_result(NULL, r, "vkEnumerateDeviceExtensionProperties");
    }
    return HN_OK;
}

static bool has(const extension_list *l, const char *name)
{
    for (uint32_t i = 0; i < l->n; i++)
        if (strcmp(l->item[i].extensionName, name) == 0)
            return true;
    return false;
}

static bool offered(const extension_list *l, const feature_row *row, uint32_t api)
{
    return has(l, row->extension) || (row->core && api >= row->core);
}

// Bits of the rows the device offers, with their flags asked.
static uint32_t ask_rows(const hn__vk_instance *ins, VkPhysicalDevice phys,
                         const extension_list *ext, uint32_t api)
{
    feature_structs f = { .always = VK_TRUE };
    VkPhysicalDeviceFeatures2 ask = { .sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_FEATURES_2 };
    for (size_t i = 0; i < N_ROWS; i++)
        if (offered(ext, &rows[i], api))
            chain(&f, &rows[i], &ask.pNext);
    ins->vkGetPhysicalDeviceFeatures2(phys, &ask);

    uint32_t bits = 0, missing = 0;
    for (size_t i = 0; i < N_ROWS; i++) {
        bits |= rows[i].bit;
        if (!offered(ext, &rows[i], api) || !*flag_of(&f, &rows[i]))
            missing |= rows[i].bit;
    }
    bits &= ~missing;
    return ask.features.shaderInt64 ? bits | HN_FEATURE_INT64 : bits;
}

static uint32_t at_most(uint32_t a, uint32_t b)
{
    return a < b ? a : b;
}

uint32_t hn__vk_families(const hn__vk_instance *ins, VkPhysicalDevice phys,
                         VkQueueFamilyProperties out[HN__VK_FAMILIES])
{
    // Asked in two calls: SwiftShader leaves the count as it was when given room for more.
    uint32_t n = 0;
    ins->vkGetPhysicalDeviceQueueFamilyProperties(phys, &n, NULL);
    n = at_most(n, HN__VK_FAMILIES);
    ins->vkGetPhysicalDeviceQueueFamilyProperties(phys, &n, out);
    return n;
}

// A family that computes; without graphics where there is a choice, as those run beside the
// desktop's own work, and with timestamps before all.
static hn_status pick_family(const hn__vk_instance *ins, hn__vk_probe *p)
{
    VkQueueFamilyProperties family[HN__VK_FAMILIES];
    const uint32_t n = hn__vk_families(ins, p->phys, family);
    uint32_t best = 0;
    int best_score = -1;
    for (uint32_t i = 0; i < n; i++) {
        if (!(family[i].queueFlags & VK_QUEUE_COMPUTE_BIT) || !family[i].queueCount)
            continue;
        const int score = 2 * (family[i].timestampValidBits > 0) +
                          !(family[i].queueFlags & VK_QUEUE_GRAPHICS_BIT);
        if (score > best_score) {
            best_score = score;
            best = i;
        }
    }
    if (best_score < 0)
        return hn_fail(HN_ERR_UNSUPPORTED, "'%s' has no queue that computes", p->info.name);
    p->limits.family = best;
    p->limits.timestamp_bits = family[best].timestampValidBits;
    return HN_OK;
}

static void ask_memory(const hn__vk_instance *ins, hn__vk_probe *p)
{
    VkPhysicalDeviceMemoryProperties m;
    ins->vkGetPhysicalDeviceMemoryProperties(p->phys, &m);
    if (hn__vk_mem_mappable(&m, &p->info.heap_bytes))
        p->info.features |= HN_FEATURE_HOST_VISIBLE;
}

static void uuid_text(const uint8_t u[VK_UUID_SIZE], char out[37])
{
    for (int i = 0, at = 0; i < (int)VK_UUID_SIZE; i++)
        at += snprintf(out + at, (size_t)(37 - at), "%s%02x",
                       i == 4 || i == 6 || i == 8 || i == 10 ? "-" : "", u[i]);
}

static const char *type_name(VkPhysicalDeviceType t)
{
    switch (t) {
    case VK_PHYSICAL_DEVICE_TYPE_DISCRETE_GPU: return "discrete";
    case VK_PHYSICAL_DEVICE_TYPE_INTEGRATED_GPU: return "integrated";
    case VK_PHYSICAL_DEVICE_TYPE_VIRTUAL_GPU: return "virtual";
    case VK_PHYSICAL_DEVICE_TYPE_CPU: return "software";
    default: return "other";
    }
}

static void take_limits(const VkPhysicalDeviceLimits *l, bool phone, hn__vk_probe *p)
{
    // What is left of the bindings of a stage goes to nothing else: kernels bind buffers only.
    const uint32_t bind = at_most(at_most(l->maxPerStageDescriptorStorageBuffers,
                                          l->maxDescriptorSetStorageBuffers),
                                  l->maxPerStageResources);
    const uint32_t lanes = phone ? 128 : UINT32_MAX, shared = phone ? 16 << 10 : UINT32_MAX,
                   range = phone ? 128u << 20 : UINT32_MAX;
    p->info.max_invocations = at_most(l->maxComputeWorkGroupInvocations, lanes);
    p->info.max_shared_bytes = at_most(l->maxComputeSharedMemorySize, shared);
    p->info.max_bindings = at_most(bind, HN__MAX_BIND);
    p->info.max_binding_bytes = at_most(l->maxStorageBufferRange, range);
    p->limits = (hn__vk_limits){
        .max_groups_x = l->maxComputeWorkGroupCount[0],
        .max_groups_y = l->maxComputeWorkGroupCount[1],
        .max_size_x = at_most(l->maxComputeWorkGroupSize[0], p->info.max_invocations),
        .timestamp_ns = l->timestampPeriod,
        .atom = (int64_t)l->nonCoherentAtomSize,
    };
}

// Everything that vkGetPhysicalDeviceProperties2 tells.
static void ask_properties(const hn__vk_instance *ins, const extension_list *ext, bool phone,
                           uint32_t api, hn__vk_probe *p)
{
    const bool names_driver = has(ext, VK_KHR_DRIVER_PROPERTIES_EXTENSION_NAME) ||
                              (!phone && api >= VK_API_VERSION_1_2);
    VkPhysicalDeviceDriverProperties driver = {
        .sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_DRIVER_PROPERTIES
    };
    const bool sizes = has(ext, VK_EXT_SUBGROUP_SIZE_CONTROL_EXTENSION_NAME) ||
                       (!phone && api >= VK_API_VERSION_1_3);
    VkPhysicalDeviceSubgroupSizeControlProperties subgroup_sizes = {
        .sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_SUBGROUP_SIZE_CONTROL_PROPERTIES,
        .pNext = names_driver ? &driver : NULL,
    };
    VkPhysicalDeviceSubgroupProperties subgroup = {
        .sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_SUBGROUP_PROPERTIES,
        .pNext = sizes ? &subgroup_sizes : subgroup_sizes.pNext,
    };
    VkPhysicalDeviceIDProperties id = { .sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_ID_PROPERTIES,
                                        .pNext = &subgroup };
    VkPhysicalDeviceProperties2 props = { .sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_PROPERTIES_2,
                                          .pNext = &id };
    ins->vkGetPhysicalDeviceProperties2(p->phys, &props);
    const VkPhysicalDeviceProperties *v = &props.properties;

    p->type = v->deviceType;
    p->vendor = v->vendorID;
    p->device = v->deviceID;
    p->driver_version = v->driverVersion;
    memcpy(p->driver_uuid, id.driverUUID, VK_UUID_SIZE);
    memcpy(p->cache_uuid, v->pipelineCacheUUID, VK_UUID_SIZE);
    hn_device_info *info = &p->info;
    info->kind = HN_DEVICE_VULKAN;
    snprintf(info->name, sizeof info->name, "%.255s", v->deviceName);
    snprintf(info->driver, sizeof info->driver, "%.120s %.120s", driver.driverName,
             driver.driverInfo);
    if (!driver.driverInfo[0])
        snprintf(info->driver, sizeof info->driver, "%.120s%s%u.%u.%u", driver.driverName,
                 driver.driverName[0] ? " " : "", VK_API_VERSION_MAJOR(v->driverVersion),
                 VK_API_VERSION_MINOR(v->driverVersion), VK_API_VERSION_PATCH(v->driverVersion));
    snprintf(info->type, sizeof info->type, "%s", type_name(v->deviceType));
    uuid_text(id.deviceUUID, info->uuid);
    info->api_major = phone ? 1 : VK_API_VERSION_MAJOR(api);
    info->api_minor = phone ? 1 : VK_API_VERSION_MINOR(api);
    take_limits(&v->limits, phone, p);

    const VkSubgroupFeatureFlags need = VK_SUBGROUP_FEATURE_BASIC_BIT |
                                        VK_SUBGROUP_FEATURE_ARITHMETIC_BIT |
                                        VK_SUBGROUP_FEATURE_BALLOT_BIT |
                                        VK_SUBGROUP_FEATURE_SHUFFLE_BIT;
    if ((subgroup.supportedStages & VK_SHADER_STAGE_COMPUTE_BIT) &&
        (subgroup.supportedOperations & need) == need)
        info->features |= HN_FEATURE_SUBGROUP;
    info->subgroup_size = subgroup.subgroupSize;
    if (subgroup_sizes.requiredSubgroupSizeStages & VK_SHADER_STAGE_COMPUTE_BIT) {
        info->subgroup_min = subgroup_sizes.minSubgroupSize;
        info->subgroup_max = subgroup_sizes.maxSubgroupSize;
    }
}

// Keeps the sizes that a matrix product can use: both operands f16, sums in f32.
static void keep_matrices(const VkCooperativeMatrixPropertiesKHR *list, uint32_t n,
                          hn_device_info *info)
{
    for (uint32_t i = 0; i < n && info->n_matrices < HN_MAX_MATRICES; i++) {
        const VkCooperativeMatrixPropertiesKHR *m = &list[i];
        if (m->scope == VK_SCOPE_SUBGROUP_KHR && m->AType == VK_COMPONENT_TYPE_FLOAT16_KHR &&
            m->BType == m->AType && m->CType == VK_COMPONENT_TYPE_FLOAT32_KHR &&
            m->ResultType == m->CType && !m->saturatingAccumulation)
            info->matrices[info->n_matrices++] = (hn_matrix_size){
                (uint16_t)m->MSize, (uint16_t)m->NSize, (uint16_t)m->KSize, HN_F16 };
    }
}

static hn_status ask_matrices(const hn__vk_instance *ins, VkPhysicalDevice phys,
                              hn_device_info *info)
{
    uint32_t n = 0;
    HN__VK(NULL, ins->vkGetPhysicalDeviceCooperativeMatrixPropertiesKHR(phys, &n, NULL));
    VkCooperativeMatrixPropertiesKHR *list = hn__calloc(n + 1, sizeof *list);
    if (!list)
        return hn__nomem(n * sizeof *list);
    for (uint32_t i = 0; i < n; i++)
        list[i].sType = VK_STRUCTURE_TYPE_COOPERATIVE_MATRIX_PROPERTIES_KHR;
    VkResult r;
    HN__VK_CALL(r, ins->vkGetPhysicalDeviceCooperativeMatrixPropertiesKHR(phys, &n, list));
    if (r >= 0)
        keep_matrices(list, n, info);
    hn__free(list);
    return r < 0 ? hn__vk_result(NULL, r, "vkGetPhysicalDeviceCooperativeMatrixPropertiesKHR")
                 : HN_OK;
}

// What the features that are left after masks carry with them.
static hn_status settle_features(const hn__vk_instance *ins, hn__vk_probe *p)
{
    hn_device_info *info = &p->info;
    if (!ins->vkGetPhysicalDeviceCooperativeMatrixPropertiesKHR)
        info->features &= ~(uint32_t)HN_FEATURE_COOPMAT;
    if (!(info->features & HN_FEATURE_COOPMAT))
        info->features &= ~(uint32_t)HN_FEATURE_COOPMAT2;
    if (!(info->features & HN_FEATURE_SUBGROUP))
        info->subgroup_size = 0;
    if (!(info->features & HN_FEATURE_SUBGROUP_SIZE))
        info->subgroup_min = info->subgroup_max = 0;
    return info->features & HN_FEATURE_COOPMAT ? ask_matrices(ins, p->phys, info) : HN_OK;
}

hn_status hn__vk_ask(const hn__vk_instance *ins, VkPhysicalDevice phys, const hn_device_params *p,
                     hn__vk_probe *out)
{
    *out = (hn__vk_probe){ .phys = phys };
    VkPhysicalDeviceProperties old;
    ins->vkGetPhysicalDeviceProperties(phys, &old);
    if (old.apiVersion < VK_API_VERSION_1_1)
        return hn_fail(HN_ERR_UNSUPPORTED, "'%s' is below Vulkan 1.1", old.deviceName);
    extension_list ext;
    HN_TRY(list_extensions(ins, phys, &ext));
    ask_properties(ins, &ext, p->phone, old.apiVersion, out);
    ask_memory(ins, out);
    // Above 1.3 nothing is used, and an instance made for 1.1 gives no later core feature.
    const uint32_t most = p->phone ? VK_API_VERSION_1_1 : VK_API_VERSION_1_3;
    out->info.features |= ask_rows(ins, phys, &ext, at_most(old.apiVersion, most));
    hn__free(ext.item);
    HN_TRY(pick_family(ins, out));
    if (out->limits.timestamp_bits && out->limits.timestamp_ns > 0)
        out->info.features |= HN_FEATURE_TIMESTAMPS;
    out->info.features &= ~p->mask;
    if (p->phone)
        out->info.features &= PHONE_FEATURES;
    return settle_features(ins, out);
}

hn_status hn__vk_make_device(hn__vk *d, const hn__vk_probe *probe, uint32_t features)
{
    extension_list ext;
    HN_TRY(list_extensions(&d->ins, probe->phys, &ext));
    feature_structs f = { 0 };
    VkPhysicalDeviceFeatures2 want = { .sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_FEATURES_2 };
    const char *names[N_ROWS];
    uint32_t n = 0;
    want.features.shaderInt64 = features & HN_FEATURE_INT64 ? VK_TRUE : VK_FALSE;
    for (size_t i = 0; i < N_ROWS; i++) {
        if (!(features & rows[i].bit))
            continue;
        chain(&f, &rows[i], &want.pNext);
        *flag_of(&f, &rows[i]) = VK_TRUE;
        bool named = !has(&ext, rows[i].extension);
        for (uint32_t j = 0; j < n; j++)
            named |= strcmp(names[j], rows[i].extension) == 0;
        if (!named)
            names[n++] = rows[i].extension;
    }
    hn__free(ext.item);

    const float priority = 1;
    const VkDeviceQueueCreateInfo queue = {
        .sType = VK_STRUCTURE_TYPE_DEVICE_QUEUE_CREATE_INFO,
        .queueFamilyIndex = probe->limits.family,
        .queueCount = 1,
        .pQueuePriorities = &priority,
    };
    const VkDeviceCreateInfo info = {
        .sType = VK_STRUCTURE_TYPE_DEVICE_CREATE_INFO,
        .pNext = &want,
        .queueCreateInfoCount = 1,
        .pQueueCreateInfos = &queue,
        .enabledExtensionCount = n,
        .ppEnabledExtensionNames = names,
    };
    HN__VK(d, d->ins.vkCreateDevice(probe->phys, &info, NULL, &d->dev));
    return HN_OK;
}
