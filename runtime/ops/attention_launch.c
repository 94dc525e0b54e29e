// How attention and its gradient are launched: which kernels suit a device, and those that need no
// shared memory.
#include "ops/attention_launch.h"

#include <string.h>

static uint32_t within(int64_t n, int64_t most)
{
    return (uint32_t)(n < 1 ? 1 : n < most ? n : most);
}

static void push(const hn__inst *n, hn__dispatch *d, int64_t n_threads)
{
    const hn__attention_attr *at = n->attr;
    const hn__attention_dims a = hn__attention_dims_of(n);

    HN__PUSH(d, attention_push, .n_threads = (uint32_t)n_threads, .tq = (uint32_t)a.tq,
             .tk = (uint32_t)a.tk, .heads = (uint32_t)a.heads, .kv_heads = (uint32_t)a.kv_heads,
             .d = (uint32_t)a.d, .causal = (uint32_t)a.causal, .block = (uint32_t)a.block,
             .has_n_keys = (uint32_t)at->has_n_keys, .has_dlse = (uint32_t)at->has_dlse,
             .scale = a.scale);
}

static int add(hn__variant out[], int n, const char *kernel, uint32_t p0, uint32_t p1)
{
    out[n] = (hn__variant){ .kernel = kernel, .n = 2, .param = { p0, p1 } };
    return n + 1;
}

void hn__attention_spec(hn__dispatch *d, uint32_t size, uint32_t c2, uint32_t c3, uint32_t c4)
{
    d->spec[0] = size;
    d->spec[1] = 1;
    d->spec[2] = c2;
    d->spec[3] = c3;
    d->spec[4] = c4;
    d->n_spec = 5;
}

// Adds what joins the parts of `size` keys that d made, in tmp 0 and 1; d's bindings are whole.
static void join(const hn__inst *n, hn__launch *l, int64_t size)
{
    const hn__attention_dims a = hn__attention_dims_of(n);
    const int64_t rows = a.batch * a.heads * a.tq, n_sums = rows * hn__pieces(a.tk, size);

    l->n_tmp = 2;
    l->tmp_bytes[0] = (int64_t)sizeof(float) * n_sums * a.d;
    l->tmp_bytes[1] = (int64_t)sizeof(float) * n_sums * 2;

    hn__dispatch *d = hn__add_dispatch(l, n, "attention_join");
    d->bind[0] = HN__TMP(0);
    d->bind[1] = HN__TMP(1);
    d->bind[2] = HN__OUT(0);
    d->bind[3] = HN__OUT(1);
    d->n_bind = 4;
    push(n, d, rows * a.d);
    hn__attention_spec(d, 32, 1, (uint32_t)size, 1);
    hn__threads(d, rows * a.d);
}

void hn__attention_parts(const hn__inst *n, hn__launch *l, hn__dispatch *d, int64_t groups,
                         uint32_t keys)
{
    const hn__attention_dims a = hn__attention_dims_of(n);

    d->bind[5] = keys ? HN__TMP(1) : HN__OUT(1);
    d->bind[6] = keys ? HN__TMP(0) : HN__OUT(0); // not written where there are no parts
    d->n_bind = 7;
    hn__groups(d, groups * (keys ? hn__pieces(a.tk, keys) : 1));
    if (keys)
        join(n, l, keys);
}

// ---- tiles of a thread ---------------------------------------------------------------------

// "attention", "attention_grad_kv": queries by keys of a thread's tile.
static void thread_spec(hn__dispatch *d, int64_t tile, int64_t n_threads)
{
    d->spec[0] = 32;
    d->spec[1] = (uint32_t)tile;
    d->n_spec = 2;
    hn__threads(d, n_threads);
}

// ---- rows of lanes -------------------------------------------------------------------------

// "attention_lanes", "attention_grad_lanes_kv": rows that a lane owns, rows met in a step; of the
// first also keys of a part, 0 for all. All is unrolled, so they are for compilers that take it:
// llvmpipe from Vulkan 1.4 on has 64 columns in 0.7 s, that of Mesa 22.3 in 10 s, and gains
// nothing by them.
static bool takes_lanes(const hn_device_info *d, int64_t width)
{
    const bool is_new = d->api_major > 1 || d->api_minor >= 4;

    return d->features & HN_FEATURE_SUBGROUP && d->subgroup_size >= 8 &&
           width <= (is_new ? 256 : 16);
}

static int64_t width_of(const hn__attention_dims *a)
{
    return hn__pieces(a->d, 8) * 8;
}

// What a lane owns must stay in the first cache: `most` columns of rows of it.
static uint32_t lane_rows(const hn_device_info *d, int64_t t, int64_t width, int64_t most)
{
    return t <= d->subgroup_size ? 1 : within(most / width, 3);
}

// Returns how many workgroups t rows of each of `batch` take.
static int64_t lanes_spec(const hn__launch *l, hn__dispatch *d, int64_t width, int64_t batch, int64_t t)
{
    hn__attention_spec(d, l->device->subgroup_size, l->variant.param[0], l->variant.param[1],
                       (uint32_t)width);
    return batch * hn__pieces(t, d->spec[0] * d->spec[2]);
}

// ---- few queries ---------------------------------------------------------------------------

// "attention_split": threads of a workgroup, rows of one key head (positions of all its query heads)
// that it takes, keys that it takes. For decoding, where a tile of queries would be mostly empty.
enum { PART = 64 };

static void launch_split(const hn__inst *n, hn__launch *l, hn__dispatch *d)
{
    const hn__attention_dims a = hn__attention_dims_of(n);
    const uint32_t *v = l->variant.param;

    d->bind[4] = HN__TMP(0);
    d->bind[5] = HN__TMP(1);
    hn__attention_spec(d, v[0], v[1], v[2], (uint32_t)width_of(&a));
    hn__groups(d, a.batch * a.kv_heads * hn__pieces(hn__attention_rows(&a), v[1]) *
                      hn__pieces(a.tk, v[2]));
    join(n, l, v[2]);
}

// ---- forward -------------------------------------------------------------------------------

int hn__attention_variants(const hn__inst *n, const hn_device_info *info, hn__variant out[])
{
    const hn__attention_dims a = hn__attention_dims_of(n);
    const int64_t width = width_of(&a), rows = hn__attention_rows(&a);
    const bool is_software = !strcmp(info->type, "software"), are_few = rows <= 32 && a.tk > PART;
    int count = 0;

    if (is_software && takes_lanes(info, width))
        out[count++] = (hn__variant){ "attention_lanes", 3,
                                      { lane_rows(info, rows, width, 192), 6, are_few ? PART : 0 } };
    else if (are_few && width <= 256 && (!is_software || rows <= 4))
        out[count++] = (hn__variant){ "attention_split", 3,
                                      { is_software ? 32 : 64, rows > 4 ? 8 : 4, PART } };
    if (!is_software) {
        count += hn__attention_coop_variants(n, info, out + count);
        count += hn__attention_tile_variants(n, info, out + count);
    }
    return add(out, count, "attention", (uint32_t)hn__register_tile(info), 0);
}

static void launch_lanes(const hn__inst *n, hn__launch *l, hn__dispatch *d)
{
    const hn__attention_dims a = hn__attention_dims_of(n);
    const uint32_t part = l->variant.param[2];
    const int64_t groups =
        lanes_spec(l, d, width_of(&a), a.batch * a.kv_heads, hn__attention_rows(&a));

    d->spec[d->n_spec++] = part;
    hn__attention_parts(n, l, d, groups, part);
}

void hn__attention_launch(const hn__inst *n, hn__launch *l)
{
    const hn__attention_dims a = hn__attention_dims_of(n);
    const int64_t tile = l->variant.param[0],
                  n_threads = a.batch * a.heads * hn__pieces(a.tq, tile);
    hn__dispatch *d = hn__add_dispatch(l, n, l->variant.kernel);

    d->bind[3] = HN__IN(n->n_in > 3 ? 3 : 0); // an absent one is not read
    d->bind[4] = HN__OUT(0);
    d->bind[5] = HN__OUT(1);
    d->n_bind = 6;
    d->flop = 4.0 * (double)(a.batch * a.heads * a.tq) * (double)(a.tk * a.d);
    push(n, d, n_threads);
    if (!strcmp(d->kernel, "attention_lanes")) {
        launch_lanes(n, l, d);
    } else if (!strcmp(d->kernel, "attention_coop")) {
        hn__attention_coop_launch(n, l, d);
    } else if (!strcmp(d->kernel, "attention_tile")) {
        hn__attention_tile_launch(n, l, d);
    } else if (!strcmp(d->kernel, "attention_split")) {
        launch_split(n, l, d);
    } else {
        l->n_tmp = 1; // what threads have of the result so far
        l->tmp_bytes[0] = (int64_t)sizeof(float) * n_threads * tile * a.d;
        d->bind[d->n_bind++] = HN__TMP(0);
        thread_spec(d, tile, n_threads);
    }
}

// ---- backward ------------------------------------------------------------------------------

int hn__attention_grad_variants(const hn__inst *n, const hn_device_info *info, hn__variant out[])
{
    const hn__attention_dims a = hn__attention_dims_of(n);
    const int64_t width = width_of(&a);
    const uint32_t tile = (uint32_t)hn__register_tile(info);
    int count = 0;

    if (strcmp(info->type, "software")) {
        count = hn__attention_grad_coop_variants(n, info, out);
        count += hn__attention_grad_tile_variants(n, info, out + count);
    } else if (takes_lanes(info, width)) {
        count = add(out, count, "attention_grad_lanes_kv",
                    lane_rows(info, a.tq > a.tk ? a.tq : a.tk, width, 128), 4);
    }
    return add(out, count, "attention_grad_kv", tile, 0);
}

hn__dispatch *hn__attention_grad_dispatch(const hn__inst *n, hn__launch *l, const char *stem,
                                          int64_t n_threads)
{
    const hn__attention_attr *at = n->attr;
    const hn__attention_dims a = hn__attention_dims_of(n);
    hn__dispatch *d = hn__add_dispatch(l, n, stem); // q, k, v, y, lse, dy

    d->bind[6] = HN__IN(at->has_n_keys ? HN__ATTENTION_N_KEYS : 0); // absent ones are not read
    d->bind[7] = HN__TMP(0);                                        // delta
    d->n_bind = 8;
    d->flop = 8.0 * (double)(a.batch * a.heads * a.tq) * (double)(a.tk * a.d);
    push(n, d, n_threads);
    return d;
}

uint8_t hn__attention_grad_dlse(const hn__inst *n)
{
    const hn__attention_attr *at = n->attr;
    return HN__IN(at->has_dlse ? hn__attention_dlse_at(n) : 0);
}

static void launch_grad_lanes(const hn__inst *n, hn__launch *l)
{
    const hn__attention_dims a = hn__attention_dims_of(n);
    hn__dispatch *d = hn__attention_grad_dispatch(n, l, "attention_grad_lanes_q", 0);

    d->bind[d->n_bind++] = HN__OUT(0);
    d->bind[d->n_bind++] = hn__attention_grad_dlse(n);
    hn__groups(d, lanes_spec(l, d, width_of(&a), a.batch * a.heads, a.tq));
    d = hn__attention_grad_dispatch(n, l, "attention_grad_lanes_kv", 0);
    d->bind[d->n_bind++] = HN__OUT(1);
    d->bind[d->n_bind++] = HN__OUT(2);
    hn__groups(d, lanes_spec(l, d, width_of(&a), a.batch * a.kv_heads, a.tk));
}

// Scratch: delta, then what the two dispatches have of their sums so far.
static void launch_grad_threads(const hn__inst *n, hn__launch *l)
{
    const hn__attention_dims a = hn__attention_dims_of(n);
    const int64_t tile = l->variant.param[0], queries = a.batch * a.heads * hn__pieces(a.tq, tile),
                  keys = a.batch * a.kv_heads * hn__pieces(a.tk, tile);

    l->n_tmp = 4;
    l->tmp_bytes[1] = (int64_t)sizeof(float) * queries * tile * a.d;
    l->tmp_bytes[2] = l->tmp_bytes[3] = (int64_t)sizeof(float) * keys * tile * a.d;

    hn__dispatch *d = hn__attention_grad_dispatch(n, l, "attention_grad_q", queries);
    d->bind[d->n_bind++] = HN__OUT(0);
    d->bind[d->n_bind++] = HN__TMP(1);
    d->bind[d->n_bind++] = hn__attention_grad_dlse(n);
    thread_spec(d, tile, queries);
    d = hn__attention_grad_dispatch(n, l, "attention_grad_kv", keys);
    d->bind[d->n_bind++] = HN__OUT(1);
    d->bind[d->n_bind++] = HN__OUT(2);
    d->bind[d->n_bind++] = HN__TMP(2);
    d->bind[d->n_bind++] = HN__TMP(3);
    thread_spec(d, tile, keys);
}

void hn__attention_grad_launch(const hn__inst *n, hn__launch *l)
{
    const hn__attention_dims a = hn__attention_dims_of(n);

    l->n_tmp = 1;
    l->tmp_bytes[0] = (int64_t)sizeof(float) * a.batch * a.heads * a.tq;
    if (!strcmp(l->variant.kernel, "attention_grad_lanes_kv"))
        launch_grad_lanes(n, l);
    else if (!strcmp(l->variant.kernel, "attention_grad_coop_kv"))
        hn__attention_grad_coop_launch(n, l);
    else if (!strcmp(l->variant.kernel, "attention_grad_tile_kv"))
        hn__attention_grad_tile_launch(n, l);
    else
        launch_grad_threads(n, l);
}
