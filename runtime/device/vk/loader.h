// libvulkan, found at run time, and instances with their own table of functions.
#ifndef HN_DEVICE_VK_LOADER_H
#define HN_DEVICE_VK_LOADER_H

// volk's variables bear the names of Vulkan's functions. They are renamed, or a program that
// links this library statically beside libvulkan would call into them.
#include "volk_names.h"
#define VK_NO_PROTOTYPES
#include <volk.h>

#include "device/vk/extra.h"
#include "device/device.h"

#define HN__VK_INSTANCE_FNS(X)                                                                    \
    X(vkDestroyInstance)                                                                          \
    X(vkEnumeratePhysicalDevices)                                                                 \
    X(vkEnumerateDeviceExtensionProperties)                                                       \
    X(vkGetPhysicalDeviceProperties)                                                              \
    X(vkGetPhysicalDeviceProperties2)                                                             \
    X(vkGetPhysicalDeviceFeatures2)                                                               \
    X(vkGetPhysicalDeviceMemoryProperties)                                                        \
    X(vkGetPhysicalDeviceMemoryProperties2)                                                       \
    X(vkGetPhysicalDeviceQueueFamilyProperties)                                                   \
    X(vkCreateDevice)                                                                             \
    X(vkGetPhysicalDeviceCooperativeMatrixPropertiesKHR)                                          \
    X(vkGetDeviceProcAddr)                                                                        \
    X(vkCreateDebugUtilsMessengerEXT)                                                             \
    X(vkDestroyDebugUtilsMessengerEXT)

typedef struct hn__vk_instance {
    VkInstance handle;
    VkDebugUtilsMessengerEXT messenger;
    int64_t *n_validation; // where messages are counted; NULL: validation is off
#define X(fn) PFN_##fn fn;
    HN__VK_INSTANCE_FNS(X)
#undef X
} hn__vk_instance;

// Makes an instance. With n_validation the validation layer is on, its messages go to the log and
// are counted there. UNSUPPORTED without libvulkan, without Vulkan 1.1, or without the layer.
hn_status hn__vk_instance_create(bool phone, int64_t *n_validation, hn__vk_instance *out);
// Takes the functions of an instance that belongs to the application.
hn_status hn__vk_instance_borrow(const hn_vulkan_handles *h, hn__vk_instance *out);
// Accepts a half-made one and {0}.
void hn__vk_instance_destroy(hn__vk_instance *ins);
// The physical devices of an instance; *out is freed by hn__free.
hn_status hn__vk_instance_devices(const hn__vk_instance *ins, VkPhysicalDevice **out, int *out_n);

// Fills a device's table.
void hn__vk_load_table(const hn__vk_instance *ins, VkDevice dev, struct VolkDeviceTable *out);

#endif
