// Hornito inside an application: loads a model and continues a text.
//   cc -std=c11 embed.c $(pkg-config --cflags --libs hornito) -lvulkan -o embed
//   ./embed MODEL-FOLDER TEXT            on the default device
//   ./embed MODEL-FOLDER TEXT vulkan:0   on another (hornito devices lists them)
//   ./embed MODEL-FOLDER TEXT own        on a Vulkan device that the application already has
#include <hornito/lm.h>

#include <stdio.h>
#include <string.h>
#include <vulkan/vulkan.h>

// Stands for what an application that draws has long made: instance, device, queue.
static bool make_vulkan(hn_vulkan_handles *h)
{
    const VkApplicationInfo app = { .sType = VK_STRUCTURE_TYPE_APPLICATION_INFO,
                                    .apiVersion = VK_API_VERSION_1_1 };
    const VkInstanceCreateInfo instance = { .sType = VK_STRUCTURE_TYPE_INSTANCE_CREATE_INFO,
                                            .pApplicationInfo = &app };
    const float priority = 1;
    const VkDeviceQueueCreateInfo queue = { .sType = VK_STRUCTURE_TYPE_DEVICE_QUEUE_CREATE_INFO,
                                            .queueCount = 1, .pQueuePriorities = &priority };
    const VkDeviceCreateInfo device = { .sType = VK_STRUCTURE_TYPE_DEVICE_CREATE_INFO,
                                        .queueCreateInfoCount = 1, .pQueueCreateInfos = &queue };
    VkInstance ins;
    VkPhysicalDevice phys;
    VkDevice dev;
    VkQueue q;
    uint32_t n = 1;

    if (vkCreateInstance(&instance, NULL, &ins) ||
        vkEnumeratePhysicalDevices(ins, &n, &phys) < 0 || !n ||
        vkCreateDevice(phys, &device, NULL, &dev))
        return false;
    vkGetDeviceQueue(dev, 0, 0, &q); // family 0 computes on every driver known to us
    *h =
        (hn_vulkan_handles){ .instance = ins, .physical_device = phys, .device = dev, .queue = q };
    return true;
}

static void free_vulkan(const hn_vulkan_handles *h)
{
    if (h->device)
        vkDestroyDevice(h->device, NULL);
    if (h->instance)
        vkDestroyInstance(h->instance, NULL);
}

static bool print(void *user, const void *bytes, size_t n)
{
    return fwrite(bytes, 1, n, user) == n;
}

int main(int argc, char **argv)
{
    if (argc < 3 || argc > 4)
        return fprintf(stderr, "usage: embed MODEL-FOLDER TEXT [DEVICE|own]\n"), 2;
    const bool own = argc == 4 && !strcmp(argv[3], "own");
    hn_vulkan_handles handles = { 0 };
    if (own && !make_vulkan(&handles))
        return fprintf(stderr, "embed: no Vulkan device\n"), 1;

    const hn_device_params params = { .spec = argc == 4 && !own ? argv[3] : NULL,
                                      .vulkan = own ? &handles : NULL };
    const hn_sample_params sample = {
        .temperature = 0.8f, .top_p = 0.95f, .seed = 1, .n_tokens = 60
    };
    hn_device *device = NULL;
    hn_lm *model = NULL;
    hn_status s = hn_device_open(&params, &device);
    if (!s)
        s = hn_lm_open(device, argv[1], NULL, &model);
    if (!s)
        s = hn_lm_generate(model, argv[2], strlen(argv[2]), &sample, print, stdout, NULL);
    puts("");
    if (s)
        fprintf(stderr, "embed: %s\n", hn_error_text());
    hn_lm_close(&model);
    hn_device_close(&device);
    free_vulkan(&handles);
    return s != HN_OK;
}
