// The table of operators, and what their files share: axes, broadcasting, launching.
#include "ops/shader.h"
#include "ops/table.h"

#include <string.h>

#define HN_OP(name, file, in, out, f32, f16, bf16, flags) extern const hn__op_fns hn__fns_##name;
#include "ops/ops.def"
#undef HN_OP

// Of a quantised type under test, results are f32 and as exact as those.
#define TOL(f32, op_flags) ((op_flags) & HN__BLOCKS && !((op_flags) & HN__VIEW) ? f32 : 0)
#define HN_OP(op, file, in, out, f32, f16, bf16, op_flags)                                        \
    { #op, HN__OP_##op, in, out,                                                                  \
      { [HN_F32] = f32, [HN_F16] = f16, [HN_BF16] = bf16, [HN_Q8_0] = TOL(f32, op_flags),         \
        [HN_Q4_0] = TOL(f32, op_flags), [HN_Q4_1] = TOL(f32, op_flags),                           \
        [HN_Q5_0] = TOL(f32, op_flags), [HN_Q5_1] = TOL(f32, op_flags),                           \
        [HN_Q4_K] = TOL(f32, op_flags), [HN_Q5_K] = TOL(f32, op_flags),                           \
        [HN_Q6_K] = TOL(f32, op_flags) },                                                         \
      op_flags, &hn__fns_##op },
const hn__op hn__ops[] = {
#include "ops/ops.def"
};
#undef HN_OP

#undef TOL

const int hn__n_ops = HN__OP_COUNT;

const hn__op *hn__op_find(const char *name)
{
    for (int i = 0; i < hn__n_ops; i++)
        if (!strcmp(hn__ops[i].name, name))
            return &hn__ops[i];
    return NULL;
}

// ---- shapes --------------------------------------------------------------------------------

hn_status hn__axis(const hn_type *x, int axis, int *out)
{
    const int at = axis < 0 ? axis + x->rank : axis;
    if (at < 0 || at >= x->rank)
        return hn_fail(HN_ERR_ARG, "axis %d of a tensor of rank %d", axis, x->rank);
    *out = at;
    return HN_OK;
}

int64_t hn__outer(const hn_type *x, int axis)
{
    int64_t n = 1;
    for (int i = 0; i < axis; i++)
        n *= x->dim[i];
    return n;
}

int64_t hn__inner(const hn_type *x, int axis)
{
    int64_t n = 1;
    for (int i = axis + 1; i < x->rank; i++)
        n *= x->dim[i];
    return n;
}

hn_status hn__broadcast_shape(const hn_type *a, const hn_type *b, hn_type *out)
{
    const int rank = a->rank > b->rank ? a->rank : b->rank;
    hn_type t = { .dtype = out->dtype, .rank = rank };
    for (int i = 1; i <= rank; i++) {
        const int64_t da = i <= a->rank ? a->dim[a->rank - i] : 1;
        const int64_t db = i <= b->rank ? b->dim[b->rank - i] : 1;
        if (da != db && da != 1 && db != 1) {
            char ta[128], tb[128];
            return hn_fail(HN_ERR_SHAPE, "%s and %s do not broadcast",
                           hn__type_text(a, ta, sizeof ta), hn__type_text(b, tb, sizeof tb));
        }
        t.dim[rank - i] = da > db ? da : db;
    }
    *out = t;
    return HN_OK;
}

void hn__broadcast_strides(const hn_type *x, const hn_type *to, int64_t stride[HN_MAX_RANK])
{
    int64_t step = 1;
    for (int i = 1; i <= to->rank; i++) {
        const int64_t d = i <= x->rank ? x->dim[x->rank - i] : 1;
        stride[to->rank - i] = d == 1 ? 0 : step;
        step *= d;
    }
}

static hn_status want(const hn__inst *n, int i, bool ok, const char *what)
{
    char t[128];
    return ok ? HN_OK
              : hn_fail(HN_ERR_ARG, "operand %d is %s, must be %s", i,
                        hn__type_text(&n->in[i], t, sizeof t), what);
}

hn_status hn__want_float(const hn__inst *n, int i)
{
    return want(n, i, hn__is_float(n->in[i].dtype), "f32, f16 or bf16");
}

hn_status hn__want_i32(const hn__inst *n, int i)
{
    return want(n, i, n->in[i].dtype == HN_I32, "i32");
}

hn_status hn__want_type(const hn_type *have, const hn_type *want, const char *what)
{
    char th[128], tw[128];

    return hn__type_equal(have, want)
               ? HN_OK
               : hn_fail(HN_ERR_SHAPE, "%s is %s, must be %s", what,
                         hn__type_text(have, th, sizeof th), hn__type_text(want, tw, sizeof tw));
}

// ---- launching -----------------------------------------------------------------------------

const hn__shader *hn__shader_find(const char *name)
{
    for (const hn__shader *s = hn__shaders; s->name; s++)
        if (!strcmp(s->name, name))
            return s;
    return NULL;
}

int hn__variants(const hn__inst *n, const hn_device_info *d, hn__variant out[HN__MAX_VARIANTS])
{
    out[0] = (hn__variant){ 0 };
    return n->op->fn->variants ? n->op->fn->variants(n, d, out) : 1;
}

hn__dispatch *hn__add_dispatch(hn__launch *l, const hn__inst *n, const char *stem)
{
    hn__dispatch *d = &l->d[l->n++];
    *d = (hn__dispatch){ .kernel = stem, .type = HN_F32, .n_spec = 1 };
    d->spec[0] = l->device->max_invocations < 128 ? l->device->max_invocations : 128;

    bool found = false;
    for (int i = 0; i < n->n_in + n->n_out; i++) {
        const bool is_out = i >= n->n_in;
        const hn_type *t = is_out ? &n->out[i - n->n_in] : &n->in[i];
        if (!found && hn__is_float(t->dtype)) {
            d->type = t->dtype;
            found = true;
        }
        d->flop += (double)hn__numel(t);
        d->bind[d->n_bind++] = is_out ? HN__OUT(i - n->n_in) : HN__IN(i);
    }
    return d;
}

void hn__push(hn__dispatch *d, const void *p, size_t n_bytes)
{
    memcpy(d->push, p, n_bytes);
    d->push_bytes = (uint32_t)n_bytes;
}

void hn__addresses(hn__dispatch *d, int n)
{
    d->n_address = n;
    d->push_bytes += 8 * (uint32_t)n;
}

void hn__groups(hn__dispatch *d, int64_t n)
{
    d->n_groups = (uint64_t)n;
}

void hn__threads(hn__dispatch *d, int64_t n)
{
    hn__groups(d, (n + d->spec[0] - 1) / d->spec[0]);
}

enum { ROW_LANES = 8, LEAST_LANES = 32, SHARERS = 4 };

void hn__row_groups(const hn__launch *l, hn__dispatch *d, const hn_type *x)
{
    const int64_t runs = (hn__cols(x) + 3) / 4;
    const uint32_t vector = hn__vector_lanes(l->device);
    if (!strcmp(l->device->type, "software"))
        d->spec[0] = vector && vector < ROW_LANES ? vector : ROW_LANES;
    while (d->spec[0] > LEAST_LANES && d->spec[0] / 2 >= runs)
        d->spec[0] /= 2;
    d->spec[1] = hn__cols(x) % 4 == 0;
    d->n_spec = 2;
    hn__groups(d, hn__rows(x));
}

void hn__row_sharers(const hn__launch *l, hn__dispatch *d, const hn_type *x)
{
    const int64_t rows = hn__rows(x);
    const bool share = !strcmp(l->device->type, "software") && rows % SHARERS == 0 && rows >= 64;

    hn__row_groups(l, d, x);
    d->spec[2] = share ? SHARERS : 1;
    d->n_spec = 3;
    hn__groups(d, rows / d->spec[2]);
}

uint32_t hn__vector_lanes(const hn_device_info *device)
{
    const uint32_t need = HN_FEATURE_INT64 | HN_FEATURE_SUBGROUP;

    if (strcmp(device->type, "software") || (device->features & need) != need)
        return 0;
    return device->subgroup_size;
}

bool hn__loads_once(const hn_device_info *device)
{
    return device->api_minor >= 4 && (device->features & HN_FEATURE_BDA) &&
           device->subgroup_size >= 8;
}

int64_t hn__register_tile(const hn_device_info *device)
{
    return !strcmp(device->type, "software") && device->subgroup_size >= 8 ? 8 : 4;
}

int64_t hn__enough_groups(const hn_device_info *device)
{
    return strcmp(device->type, "discrete") ? 24 : 128;
}

void hn__variant_first(hn__variant list[], int at)
{
    const hn__variant v = list[at];

    memmove(&list[1], list, (size_t)at * sizeof *list);
    list[0] = v;
}
