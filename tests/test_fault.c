// Making a plan and training on a Vulkan device while allocations, and Vulkan calls, fail in turn: a
// status each time, nothing left behind, and the device goes on.
#include "support/check.h"
#include "support/device.h"
#include "support/failing.h"

#include "base/base.h"
#include "device/vk/vk.h"
#include "hornito/train.h"

static hn_device *dev;
static int32_t tokens[200];

// Two steps on the open device, whose kernels are made once.
static hn_status work(void)
{
    const hn_train_params p = {
        .model = { .family = HN_LM_LLAMA, .vocab = 64, .width = 16, .layers = 1, .heads = 2,
                   .kv_heads = 1, .ffn = 32, .context = 16, .eps = 1e-5f, .rope_base = 10000,
                   .head = HN_HEAD_VQ, .codes = 8, .token_bias = true, .dropout = 0.1f },
        .optimizer = { .adamw = { 0.9f, 0.95f, 1e-8f, 0.1f }, .clip = 1, .scale_loss = true },
        .batch = 1, .length = 16, .steps = 3, .lr = 1e-3f, .seed = 3,
    };
    hn_trainer *t;
    hn_train_step r;
    HN_TRY(hn_trainer_create(dev, &p, tokens, 200, &t));
    hn_status s = HN_OK;
    for (int i = 0; s == HN_OK && i < 2; i++)
        s = hn_trainer_step(t, &r);
    hn_trainer_destroy(&t);
    return s;
}

static hn_status work_of(void *bytes)
{
    const hn_status s = work();
    CHECK(hn_device_bytes(dev) == *(const int64_t *)bytes, "bytes of the device are left");
    return s;
}

static void check_allocations(void **state)
{
    (void)state;
    int64_t bytes = hn_device_bytes(dev);
    CHECK_OK(work()); // makes the kernels, which stay
    const long n = failing_allocations("a plan on Vulkan", work_of, &bytes);
    print_message("%ld allocations made to fail in turn\n", n);
}

static void check_calls(void **state)
{
    (void)state;
    enum { FAR = 1 << 30 };
    hn__vk_fail_at(FAR, VK_ERROR_OUT_OF_DEVICE_MEMORY);
    CHECK_OK(work());
    const int64_t n = FAR - hn__vk_fail_left(), bytes = hn_device_bytes(dev);
    // The number of calls of the steps may differ by a few: submissions are cut by time.
    for (int64_t at = 1; at <= n - 20; at++) {
        hn__vk_fail_at(at, VK_ERROR_OUT_OF_DEVICE_MEMORY);
        const hn_status s = work();
        hn__vk_fail_at(0, VK_SUCCESS);
        // Memory of another kind is tried where the first has no room, so the call may succeed.
        CHECK(s == HN_ERR_NOMEM || s == HN_OK, "call %lld of %lld: %s: %s", (long long)at,
              (long long)n, hn_status_name(s), hn_error_text());
        CHECK(hn_device_bytes(dev) == bytes, "call %lld of %lld: bytes are left", (long long)at,
              (long long)n);
    }
    CHECK_OK(work());
    print_message("%lld Vulkan calls made to fail in turn\n", (long long)(n - 20));
}

int main(void)
{
    for (int i = 0; i < 200; i++)
        tokens[i] = i * 37 % 64;
    const struct CMUnitTest tests[] = { cmocka_unit_test(check_allocations),
                                        cmocka_unit_test(check_calls) };
    const hn_device_params p = test_device_params();
    dev = test_device_open(&p);
    const int failed = cmocka_run_group_tests(tests, NULL, NULL);
    test_device_close(&dev);
    return failed;
}
