// The enumeration of operators, and what operator files share.
#ifndef HN_OPS_TABLE_H
#define HN_OPS_TABLE_H

#include "hornito/ops.h"
#include "ir/ir.h"
#include "push.h"

#define HN_OP(name, file, in, out, f32, f16, bf16, flags) HN__OP_##name,
enum {
#include "ops/ops.def"
    HN__OP_COUNT
};
#undef HN_OP

// An axis from 0; ARG where it is none of x's.
hn_status hn__axis(const hn_type *x, int axis, int *out);
// Product of the dimensions before, and after, an axis.
int64_t hn__outer(const hn_type *x, int axis);
int64_t hn__inner(const hn_type *x, int axis);
// The shape that a and b broadcast to; SHAPE where they do not.
hn_status hn__broadcast_shape(const hn_type *a, const hn_type *b, hn_type *out);
// Element strides of x over the dimensions of `to`, 0 where it is stretched.
void hn__broadcast_strides(const hn_type *x, const hn_type *to, int64_t stride[HN_MAX_RANK]);
// ARG with the operand's number and its type where n->in[i] is not float / not i32.
hn_status hn__want_float(const hn__inst *n, int i);
hn_status hn__want_i32(const hn__inst *n, int i);
// SHAPE with both types where an operand called `what` is not of the type wanted.
hn_status hn__want_type(const hn_type *have, const hn_type *want, const char *what);

// How many pieces of `size` hold n, the last of them maybe not full.
static inline int64_t hn__pieces(int64_t n, int64_t size)
{
    return (n + size - 1) / size;
}

// The kind and the axis of a reduction; NONE for other operators (reduce.c).
hn__reduce hn__reduce_of(const hn__inst *n, int *axis);

// For kernels that take rows of x four elements at a time (shaders/rows.glsl): a workgroup a row,
// no wider than it has runs of four; where barriers are dear, one vector wide. Specialization
// constant 1 says that rows are whole runs. May only follow hn__add_dispatch.
void hn__row_groups(const hn__launch *l, hn__dispatch *d, const hn_type *x);
// The same for kernels that read something which all rows share: where each load is dear, a
// workgroup has a few rows. Specialization constant 2 says how many.
void hn__row_sharers(const hn__launch *l, hn__dispatch *d, const hn_type *x);

// Lanes of a software device's vectors, which are its subgroups; 0: it is none, or lacks features.
// There a load costs a lane the same whatever its width, so kernels take two 32-bit words as one of
// 64; and barriers are dear, so they join lanes by shuffles.
uint32_t hn__vector_lanes(const hn_device_info *device);

// Lavapipe since Mesa 25 (Vulkan 1.4): what is the same for all lanes is loaded once. In older ones
// every load is one of each lane, and "matmul_lanes" a sixth as fast as register tiles.
bool hn__loads_once(const hn_device_info *device);

// Rows by columns of a square tile that a thread keeps in registers: 8 where a device's compiler
// takes the unrolled code well; SwiftShader's wants minutes and 20 GB for it.
int64_t hn__register_tile(const hn_device_info *device);

// Makes the variant at `at` the first of a list: the best guess. The others keep their order.
void hn__variant_first(hn__variant list[], int at);

// Workgroups that keep a GPU of this kind busy.
int64_t hn__enough_groups(const hn_device_info *device);

#endif
