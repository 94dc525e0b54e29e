// What the files that launch attention and its gradient share.
#ifndef HN_OPS_ATTENTION_LAUNCH_H
#define HN_OPS_ATTENTION_LAUNCH_H

#include "ops/attention.h"

// Rows of a key head: the positions of all query heads that use it.
static inline int64_t hn__attention_rows(const hn__attention_dims *a)
{
    return a->heads / a->kv_heads * a->tq;
}

// The workgroup's size and constants 2 to 4; constant 1 is of the kernels of threads.
void hn__attention_spec(hn__dispatch *d, uint32_t size, uint32_t c2, uint32_t c3, uint32_t c4);

// Of a forward kernel with `groups` workgroups that can take the keys in parts: where the results
// go, the grid, and what joins parts of `keys` keys (0: all, nothing is to be joined).
void hn__attention_parts(const hn__inst *n, hn__launch *l, hn__dispatch *d, int64_t groups,
                         uint32_t keys);
enum { HN__ATTENTION_PART = 256 }; // keys of a part, where workgroups would be few

// A kernel of the gradient with its operands at their places; what it writes is to follow.
hn__dispatch *hn__attention_grad_dispatch(const hn__inst *n, hn__launch *l, const char *stem,
                                          int64_t n_threads);
// The gradient of the log-sum-exp; where there is none, what is not read.
uint8_t hn__attention_grad_dlse(const hn__inst *n);

// ---- tiles in shared memory (attention_tile.c) ---------------------------------------------

// Fill a list, the best guess first, and return how many there are.
int hn__attention_tile_variants(const hn__inst *n, const hn_device_info *info, hn__variant out[]);
int hn__attention_grad_tile_variants(const hn__inst *n, const hn_device_info *info,
                                     hn__variant out[]);
void hn__attention_tile_launch(const hn__inst *n, hn__launch *l, hn__dispatch *d);
void hn__attention_grad_tile_launch(const hn__inst *n, hn__launch *l);

// ---- cooperative matrices (attention_coop.c) -----------------------------------------------

// The same; none where the device or the operands do not take them.
int hn__attention_coop_variants(const hn__inst *n, const hn_device_info *info, hn__variant out[]);
int hn__attention_grad_coop_variants(const hn__inst *n, const hn_device_info *info,
                                     hn__variant out[]);
void hn__attention_coop_launch(const hn__inst *n, hn__launch *l, hn__dispatch *d);
void hn__attention_grad_coop_launch(const hn__inst *n, hn__launch *l);

#endif
