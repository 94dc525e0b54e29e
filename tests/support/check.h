// Thin wrappers on cmocka's fail_msg. Include this instead of cmocka.h.
#ifndef HN_TESTS_CHECK_H
#define HN_TESTS_CHECK_H

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "hornito/base.h"

// The text after the condition is printf's and says what was tested: op, type, seed.
#define CHECK(cond, ...)                                                                          \
    do {                                                                                          \
        if (!(cond))                                                                              \
            fail_msg(__VA_ARGS__);                                                                \
    } while (0)

#define CHECK_OK(call)                                                                            \
    do {                                                                                          \
        const hn_status check_ = (call);                                                          \
        if (check_ != HN_OK)                                                                      \
            fail_msg("%s: %s: %s", #call, hn_status_name(check_), hn_error_text());               \
    } while (0)

// The call fails with this status, and leaves a text.
#define CHECK_FAILS(call, want)                                                                   \
    do {                                                                                          \
        const hn_status check_ = (call);                                                          \
        if (check_ != (want))                                                                     \
            fail_msg("%s gave %s, not %s", #call, hn_status_name(check_), hn_status_name(want));  \
        if (!*hn_error_text())                                                                    \
            fail_msg("%s left no text", #call);                                                   \
    } while (0)

#endif
