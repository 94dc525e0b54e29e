// The device a test runs on, which its row of CTest names through the environment:
//   HN_TEST_DEVICE   what hn_device_params.spec takes; default "vulkan"
//   HN_TEST_DRIVER   words that the driver's name must hold, so that a row is what it says
//   HN_TEST_MASK     features to mask, such as "host_visible,timestamps"
//   HN_TEST_PHONE    set: imitate a phone
//   HN_TEST_UNCUT    set: no command is cut into several submissions
//   HN_TEST_PLAIN    set: without the validation layer
#ifndef HN_TESTS_DEVICE_H
#define HN_TESTS_DEVICE_H

#include "device/device.h"

// Parameters of the row.
hn_device_params test_device_params(void);
// Opens the row's device and says which it is; fails the test where it is not the driver named.
hn_device *test_device_open(const hn_device_params *p);
// The same by the row's parameters, and the device says of itself that it is a card: operators then list
// the variants of GPUs.
hn_device *test_device_open_posing(void);
// Closes it; fails the test after a validation message, or where something was left alive.
void test_device_close(hn_device **d);

#endif
