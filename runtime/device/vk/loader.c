// libvulkan, found at run time; instances and the validation layer.
#include "device/vk/vk.h"

#include <pthread.h>
#include <string.h>

// volk loads into variables of its own. They are used only under this lock, and what is needed of
// them is copied, so devices of different instances and loaders do not meet.
static pthread_mutex_t volk_lock = PTHREAD_MUTEX_INITIALIZER;

static const char validation_layer[] = "VK_LAYER_KHRONOS_validation";

static hn_status find_vulkan(void)
{
    VkResult r;
    HN__VK_CALL(r, volkInitialize());
    if (r < 0)
        return hn_fail(HN_ERR_UNSUPPORTED, "no Vulkan: libvulkan.so.1 is not installed");
    if (volkGetInstanceVersion() < VK_API_VERSION_1_1)
        return hn_fail(HN_ERR_UNSUPPORTED, "no Vulkan 1.1: the loader is older");
    return HN_OK;
}

// The names of the layer's or the loader's instance extensions hold `name`.
static hn_status has_extension(const char *layer, const char *name, bool *out)
{
    *out = false;
    uint32_t n = 0;
    HN__VK(NULL, vkEnumerateInstanceExtensionProperties(layer, &n, NULL));
    VkExtensionProperties *ext = hn__calloc(n + 1, sizeof *ext);
    if (!ext)
        return hn__nomem(n * sizeof *ext);
    VkResult r;
    HN__VK_CALL(r, vkEnumerateInstanceExtensionProperties(layer, &n, ext));
    for (uint32_t i = 0; r >= 0 && i < n; i++)
        *out |= strcmp(ext[i].extensionName, name) == 0;
    hn__free(ext);
    return r < 0 ? hn__vk_result(NULL, r, "vkEnumerateInstanceExtensionProperties") : HN_OK;
}

static hn_status need_layer(void)
{
    uint32_t n = 0;
    HN__VK(NULL, vkEnumerateInstanceLayerProperties(&n, NULL));
    VkLayerProperties *layer = hn__calloc(n + 1, sizeof *layer);
    if (!layer)
        return hn__nomem(n * sizeof *layer);
    bool found = false;
    VkResult r;
    HN__VK_CALL(r, vkEnumerateInstanceLayerProperties(&n, layer));
    for (uint32_t i = 0; r >= 0 && i < n; i++)
        found |= strcmp(layer[i].layerName, validation_layer) == 0;
    hn__free(layer);
    if (r < 0)
        return hn__vk_result(NULL, r, "vkEnumerateInstanceLayerProperties");
    if (!found)
        return hn_fail(HN_ERR_UNSUPPORTED,
                       "validation: the layer %s is not installed "
                       "(Debian: vulkan-validationlayers)",
                       validation_layer);
    bool utils;
    HN_TRY(has_extension(NULL, VK_EXT_DEBUG_UTILS_EXTENSION_NAME, &utils));
    if (!utils)
        HN_TRY(has_extension(validation_layer, VK_EXT_DEBUG_UTILS_EXTENSION_NAME, &utils));
    if (!utils)
        return hn_fail(HN_ERR_UNSUPPORTED, "validation: %s is missing, messages could not be seen",
                       VK_EXT_DEBUG_UTILS_EXTENSION_NAME);
    return HN_OK;
}

static VKAPI_ATTR VkBool32 VKAPI_CALL on_message(VkDebugUtilsMessageSeverityFlagBitsEXT severity,
                                                 VkDebugUtilsMessageTypeFlagsEXT type,
                                                 const VkDebugUtilsMessengerCallbackDataEXT *m,
                                                 void *user)
{
    int64_t *n_validation = user;
    // General messages are the loader's words about drivers and layers it could not load.
    if (type & VK_DEBUG_UTILS_MESSAGE_TYPE_VALIDATION_BIT_EXT) {
        ++*n_validation;
        hn__log(HN_LOG_ERROR, "validation: %s", m->pMessage);
    } else {
        const bool error = severity >= VK_DEBUG_UTILS_MESSAGE_SEVERITY_ERROR_BIT_EXT;
        hn__log(error ? HN_LOG_WARN : HN_LOG_DEBUG, "vulkan: %s", m->pMessage);
    }
    return VK_FALSE;
}

// Needs volk_lock.
static void take_functions(PFN_vkGetInstanceProcAddr get, hn__vk_instance *ins)
{
#define X(fn) ins->fn = (PFN_##fn)get(ins->handle, #fn);
    HN__VK_INSTANCE_FNS(X)
#undef X
}

static hn_status make_instance(bool phone, hn__vk_instance *ins)
{
    HN_TRY(find_vulkan());
    bool features = false;
    const bool check = ins->n_validation != NULL;
    if (check) {
        HN_TRY(need_layer());
        HN_TRY(has_extension(validation_layer, VK_EXT_VALIDATION_FEATURES_EXTENSION_NAME,
                             &features));
    }
    const char *const layers[] = { validation_layer };
    const char *const extensions[] = { VK_EXT_DEBUG_UTILS_EXTENSION_NAME,
                                       VK_EXT_VALIDATION_FEATURES_EXTENSION_NAME };
    const VkValidationFeatureEnableEXT enables[] = {
        VK_VALIDATION_FEATURE_ENABLE_SYNCHRONIZATION_VALIDATION_EXT
    };
    const VkValidationFeaturesEXT sync = {
        .sType = VK_STRUCTURE_TYPE_VALIDATION_FEATURES_EXT,
        .enabledValidationFeatureCount = 1,
        .pEnabledValidationFeatures = enables,
    };
    const VkDebugUtilsMessengerCreateInfoEXT messages = {
        .sType = VK_STRUCTURE_TYPE_DEBUG_UTILS_MESSENGER_CREATE_INFO_EXT,
        .pNext = features ? &sync : NULL,
        .messageSeverity = VK_DEBUG_UTILS_MESSAGE_SEVERITY_WARNING_BIT_EXT |
                           VK_DEBUG_UTILS_MESSAGE_SEVERITY_ERROR_BIT_EXT,
        .messageType = VK_DEBUG_UTILS_MESSAGE_TYPE_GENERAL_BIT_EXT |
                       VK_DEBUG_UTILS_MESSAGE_TYPE_VALIDATION_BIT_EXT,
        .pfnUserCallback = on_message,
        .pUserData = ins->n_validation,
    };
    const VkApplicationInfo app = {
        .sType = VK_STRUCTURE_TYPE_APPLICATION_INFO,
        .pEngineName = "hornito",
        .apiVersion = phone ? VK_API_VERSION_1_1 : VK_API_VERSION_1_3,
    };
    const VkInstanceCreateInfo info = {
        .sType = VK_STRUCTURE_TYPE_INSTANCE_CREATE_INFO,
        .pNext = check ? &messages : NULL,
        .pApplicationInfo = &app,
        .enabledLayerCount = check ? 1 : 0,
        .ppEnabledLayerNames = layers,
        .enabledExtensionCount = check ? 1 + features : 0,
        .ppEnabledExtensionNames = extensions,
    };
    VkResult r;
    HN__VK_CALL(r, vkCreateInstance(&info, NULL, &ins->handle));
    if (r == VK_ERROR_INCOMPATIBLE_DRIVER)
        return hn_fail(HN_ERR_UNSUPPORTED, "no Vulkan: no driver is installed");
    if (r < 0)
        return hn__vk_result(NULL, r, "vkCreateInstance");
    take_functions(vkGetInstanceProcAddr, ins);
    if (!check)
        return HN_OK;
    VkDebugUtilsMessengerCreateInfoEXT kept = messages;
    kept.pNext = NULL;
    HN__VK(NULL, ins->vkCreateDebugUtilsMessengerEXT(ins->handle, &kept, NULL, &ins->messenger));
    return HN_OK;
}

hn_status hn__vk_instance_create(bool phone, int64_t *n_validation, hn__vk_instance *out)
{
    *out = (hn__vk_instance){ .n_validation = n_validation };
    pthread_mutex_lock(&volk_lock);
    const hn_status s = make_instance(phone, out);
    pthread_mutex_unlock(&volk_lock);
    if (s != HN_OK)
        hn__vk_instance_destroy(out);
    return s;
}

hn_status hn__vk_instance_borrow(const hn_vulkan_handles *h, hn__vk_instance *out)
{
    PFN_vkGetInstanceProcAddr get;
    memcpy(&get, &h->get_instance_proc_addr, sizeof get);
    *out = (hn__vk_instance){ .handle = h->instance };
    pthread_mutex_lock(&volk_lock);
    const hn_status s = get ? HN_OK : find_vulkan();
    if (s == HN_OK)
        take_functions(get ? get : vkGetInstanceProcAddr, out);
    pthread_mutex_unlock(&volk_lock);
    HN_TRY(s);
    if (!out->vkGetPhysicalDeviceProperties2)
        return hn_fail(HN_ERR_UNSUPPORTED, "vulkan handles: the instance is below Vulkan 1.1");
    return HN_OK;
}

void hn__vk_instance_destroy(hn__vk_instance *ins)
{
    if (ins->messenger)
        ins->vkDestroyDebugUtilsMessengerEXT(ins->handle, ins->messenger, NULL);
    if (ins->handle)
        ins->vkDestroyInstance(ins->handle, NULL);
    *ins = (hn__vk_instance){ 0 };
}

hn_status hn__vk_instance_devices(const hn__vk_instance *ins, VkPhysicalDevice **out, int *out_n)
{
    *out = NULL;
    *out_n = 0;
    uint32_t n = 0;
    HN__VK(NULL, ins->vkEnumeratePhysicalDevices(ins->handle, &n, NULL));
    VkPhysicalDevice *list = hn__calloc(n + 1, sizeof(VkPhysicalDevice));
    if (!list)
        return hn__nomem(n * sizeof(VkPhysicalDevice));
    VkResult r;
    HN__VK_CALL(r, ins->vkEnumeratePhysicalDevices(ins->handle, &n, list));
    if (r < 0) {
        hn__free(list);
        return hn__vk_result(NULL, r, "vkEnumeratePhysicalDevices");
    }
    *out = list;
    *out_n = (int)n;
    return HN_OK;
}

void hn__vk_load_table(const hn__vk_instance *ins, VkDevice dev, struct VolkDeviceTable *out)
{
    pthread_mutex_lock(&volk_lock);
    vkGetDeviceProcAddr = ins->vkGetDeviceProcAddr;
    volkLoadDeviceTable(out, dev);
    pthread_mutex_unlock(&volk_lock);
}
