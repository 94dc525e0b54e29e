// What the files that lower steps to Vulkan share.
#ifndef HN_PLAN_LOWER_H
#define HN_PLAN_LOWER_H

#include "ops/shader.h"
#include "ops/table.h"
#include "plan/build.h"

// Adds a command that runs a dispatch's kernel; bindings are left to the caller.
hn_status hn__add_kernel(hn_plan *p, const char *label, const hn__dispatch *d, hn__cmd **out);
// UNSUPPORTED where a binding is larger than the device's.
hn_status hn__check_ranges(const hn_plan *p, const char *label, const hn__cmd *c);
// Adds the command of step `at` and of those behind it that go together, and marks them
// (is_lowered); does nothing where it goes alone.
hn_status hn__lower_many(hn_plan *p, int64_t at);

#endif
