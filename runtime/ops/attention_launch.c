// How attention and its gradient are launched: the kernels, and which of them suit a device.
#include "ops/attention.h"
#include "ops/shader.h"

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

// The workgroup's size and constants 2 to 4; constant 1 is of other kernels.
static void spec(hn__dispatch *d, uint32_t size, uint32_t c2, uint32_t c3, uint32_t c4)
{
    d->spec[0] = size;
    d->spec[1] = 1;
    d->spec[2] = c2;
    d->spec[3] = c3;
    d->spec[4] = c4;
    d->n_spec = 5;
}

static void lanes_spec(hn__launch *l, hn__dispatch *d, int64_t width, int64_t batch, int64_t t)
{
    spec(d, l->device->subgroup_size, l->variant.param[0], l->variant.param[1], (uint32_t)width);
    hn__groups(d, batch * hn__pieces(t, d->spec[0] * d->spec[2]));
}

// ---- few queries ---------------------------------------------------------------------------

// "attention_split": threads of a workgroup, rows of one key head (positions of all its query heads)
// that it takes, keys that it takes. For decoding, where a tile of queries would be mostly empty.
enum { PART = 64 };

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
    spec(d, 32, 1, (uint32_t)size, 1);
    hn__threads(d, rows * a.d);
}

static void launch_split(const hn__inst *n, hn__launch *l, hn__dispatch *d)
{
    const hn__attention_dims a = hn__attention_dims_of(n);
    const uint32_t *v = l->variant.param;

    d->bind[4] = HN__TMP(0);
    d->bind[5] = HN__TMP(1);
    spec(d, v[0], v[1], v[2], (uint32_t)width_of(&a));
    hn__groups(d, a.batch * a.kv_heads * hn__pieces(a.heads / a.kv_heads * a.tq, v[1]) *
                      hn__pieces(a.tk, v[2]));
    join(n, l, v[2]);
}

// ---- tiles in shared memory ----------------------------------------------------------------

// "attention_tile", "attention_grad_tile_kv": rows that a workgroup owns, rows met in a step, a
// thread's tile of scores; of the first also keys of a part, 0 for all. None was measured on a card;
// AMD's compiler gave registers and occupancy, by which the first N_USUAL are taken unmeasured.
enum { OWN, MET, TM, TN, KEYS, N_TILE, N_USUAL = 5, MOST_WIDTH = 256, KEYS_OF_PART = 256 };
static const uint32_t tile_list[][KEYS] = {
    { 64, 32, 4, 4 }, { 32, 64, 4, 4 }, { 32, 32, 4, 4 }, { 32, 32, 2, 4 },
    { 16, 32, 4, 4 }, { 64, 64, 4, 8 }, { 64, 32, 8, 4 }, { 128, 32, 8, 4 },
};
enum { N_TILES = sizeof tile_list / sizeof *tile_list };

static uint32_t tile_threads(const uint32_t *p)
{
    return p[OWN] / p[TM] * (p[MET] / p[TN]);
}

// Columns that lie in shared memory at a time.
static uint32_t tile_slice(const uint32_t *p)
{
    return p[MET] / p[TN] * 4;
}

static int64_t tile_width(const uint32_t *p, int64_t d)
{
    return hn__pieces(d, tile_slice(p)) * tile_slice(p);
}

// What a thread keeps of `sums` results in registers.
static int64_t tile_registers(const uint32_t *p, int64_t d, int64_t sums)
{
    return sums * p[TM] * tile_width(p, d) / (p[MET] / p[TN]);
}

static bool tile_fits(const uint32_t *p, const hn_device_info *info, int64_t d, int64_t sums)
{
    const int64_t slices = (p[OWN] + p[MET]) * (tile_slice(p) + 4),
                  weights = p[OWN] * (p[MET] + 4), rows = p[OWN] + tile_threads(p);

    return tile_threads(p) <= info->max_invocations && tile_width(p, d) <= MOST_WIDTH &&
           tile_registers(p, d, sums) <= (p[TM] <= 4 ? 128 : 64) &&
           (int64_t)sizeof(float) * (slices + weights + rows) <= info->max_shared_bytes;
}

// The largest of the usual tiles that leaves registers free, keeps a GPU busy and is not mostly
// beyond the last row; otherwise the smallest; N_TILES where none fits. `rows` are a key head's.
static int usual_tile(const hn__attention_dims *a, const hn_device_info *info, int64_t rows,
                      int64_t sums)
{
    int best = N_TILES;

    for (int i = 0; i < N_USUAL; i++) {
        const uint32_t *p = tile_list[i];
        if (!tile_fits(p, info, a->d, sums) || tile_registers(p, a->d, sums) > 64)
            continue;
        best = i;
        if (p[OWN] < 2 * rows &&
            a->batch * a->kv_heads * hn__pieces(rows, p[OWN]) >= hn__enough_groups(info))
            break;
    }
    return best;
}

// Rows of a key head: the positions of all query heads that use it.
static int64_t rows_of(const hn__attention_dims *a)
{
    return a->heads / a->kv_heads * a->tq;
}

static int64_t tile_groups(const hn__attention_dims *a, const uint32_t *p)
{
    return a->batch * a->kv_heads * hn__pieces(rows_of(a), p[OWN]) *
           (p[KEYS] ? hn__pieces(a->tk, p[KEYS]) : 1);
}

static hn__variant tile_of(const uint32_t *p, uint32_t keys)
{
    return (hn__variant){ "attention_tile", N_TILE, { p[OWN], p[MET], p[TM], p[TN], keys } };
}

// All tiles, the best guess first: the usual one; where workgroups would be few, with the keys in
// parts. Parts are listed however few keys there are: the self-test's draws are short.
static int tile_variants(const hn__attention_dims *a, const hn_device_info *info,
                         hn__variant out[], int n)
{
    const int64_t enough = hn__enough_groups(info);
    const int best = usual_tile(a, info, rows_of(a), 1);
    uint32_t best_keys = 0;

    if (best < N_TILES) {
        out[n] = tile_of(tile_list[best], 0);
        if (a->tk > KEYS_OF_PART && tile_groups(a, out[n].param) < enough)
            best_keys = out[n].param[KEYS] = KEYS_OF_PART;
        n++;
    }
    for (int i = 0; i < N_TILES; i++) {
        const uint32_t *p = tile_list[i];
        const bool in_parts = i < N_USUAL && tile_groups(a, tile_of(p, 0).param) < enough;
        for (uint32_t k = 0; tile_fits(p, info, a->d, 1) && k <= in_parts; k++)
            if (i != best || k * KEYS_OF_PART != best_keys)
                out[n++] = tile_of(p, k * KEYS_OF_PART);
    }
    return n;
}

// Constants 0 to 7 of all kernels by tiles.
static void tile_spec(hn__dispatch *d, const uint32_t *p, const hn__attention_dims *a)
{
    spec(d, tile_threads(p), p[OWN], p[MET], p[TM]);
    d->spec[d->n_spec++] = p[TN];
    d->spec[d->n_spec++] = (uint32_t)tile_width(p, a->d);
    d->spec[d->n_spec++] = a->d % 4 == 0;
}

static void launch_tile(const hn__inst *n, hn__launch *l, hn__dispatch *d)
{
    const hn__attention_dims a = hn__attention_dims_of(n);
    const uint32_t *p = l->variant.param;

    d->bind[5] = p[KEYS] ? HN__TMP(1) : HN__OUT(1);
    d->bind[6] = p[KEYS] ? HN__TMP(0) : HN__OUT(0); // not written where there are no parts
    d->n_bind = 7;
    tile_spec(d, p, &a);
    d->spec[d->n_spec++] = p[KEYS];
    hn__groups(d, tile_groups(&a, p));
    if (p[KEYS])
        join(n, l, p[KEYS]);
}

// ---- cooperative matrices ------------------------------------------------------------------

// "attention_coop": rows that a workgroup owns, keys met in a step, its subgroups, a size of
// matrices that the device lists, lanes of a subgroup, keys of a part (0: all).
enum { WARPS = 2, MAT_M, MAT_N, MAT_K, LANES, COOP_KEYS, N_COOP };
static const uint32_t coop_list[][MAT_M] = { { 64, 32, 4 }, { 32, 32, 2 }, { 64, 64, 4 },
                                             { 128, 32, 4 }, { 16, 32, 1 } };
enum { N_COOPS = sizeof coop_list / sizeof *coop_list, COOP_SIZES = 2 };

static bool takes_coop(const hn__inst *n, const hn_device_info *info)
{
    const uint32_t need = HN_FEATURE_COOPMAT | HN_FEATURE_FP16 | HN_FEATURE_STORAGE_16 |
                          HN_FEATURE_SUBGROUP;

    return n->in[0].dtype == HN_F16 && (info->features & need) == need &&
           hn__shader_find("attention_coop.f16");
}

// Whole matrices, and eights.
static int64_t coop_width(const uint32_t *p, int64_t d)
{
    const int64_t step = p[MAT_K] > 16 || p[MAT_N] > 16 ? 32 : 16;

    return hn__pieces(d, step) * step;
}

static bool coop_fits(const uint32_t *p, const hn_device_info *info, int64_t d)
{
    const int64_t threads = p[WARPS] * p[LANES], rows = p[OWN] / p[WARPS],
                  width = coop_width(p, d);
    const int64_t halves = (p[OWN] + p[MET]) * (width + 8) + 2 * p[OWN] * (p[MET] + 8),
                  floats = p[OWN] * (p[MET] + 4) + p[OWN] + (threads > p[OWN] ? threads : p[OWN]);
    const bool is_shared_out = threads <= p[OWN] ? p[OWN] % threads == 0
                                                 : p[MET] * p[OWN] % (8 * threads) == 0;

    return threads <= info->max_invocations && is_shared_out && rows % p[MAT_M] == 0 &&
           p[MET] % p[MAT_N] == 0 && p[MET] % p[MAT_K] == 0 &&
           rows * width / p[LANES] <= (p[LANES] < 32 ? 256 : 64) && // registers of the result
           2 * halves + 4 * floats <= info->max_shared_bytes;
}

// Tiles of the first sizes that the device lists; where workgroups would be few, first with the keys
// in parts.
static int coop_variants(const hn__inst *n, const hn_device_info *info, hn__variant out[],
                         int count)
{
    const hn__attention_dims a = hn__attention_dims_of(n);
    const uint32_t lanes = info->subgroup_min ? info->subgroup_min : info->subgroup_size;
    int sizes = 0;

    for (int i = 0; i < info->n_matrices && sizes < COOP_SIZES; i++) {
        const hn_matrix_size *m = &info->matrices[i];
        if (m->type != HN_F16)
            continue;
        sizes++;
        for (int t = 0; t < N_COOPS; t++) {
            const uint32_t *p = coop_list[t];
            hn__variant v = { "attention_coop", N_COOP,
                              { p[OWN], p[MET], p[WARPS], m->m, m->n, m->k, lanes, 0 } };
            if (!coop_fits(v.param, info, a.d))
                continue;
            const bool are_few = a.batch * a.kv_heads * hn__pieces(rows_of(&a), p[OWN]) <
                                 hn__enough_groups(info);
            if (are_few && t < 2) {
                v.param[COOP_KEYS] = KEYS_OF_PART;
                out[count++] = v;
                v.param[COOP_KEYS] = 0;
            }
            out[count++] = v;
        }
    }
    return count;
}

static void launch_coop(const hn__inst *n, hn__launch *l, hn__dispatch *d)
{
    const hn__attention_dims a = hn__attention_dims_of(n);
    const uint32_t *p = l->variant.param;
    const uint32_t keys = p[COOP_KEYS];

    d->bind[5] = keys ? HN__TMP(1) : HN__OUT(1);
    d->bind[6] = keys ? HN__TMP(0) : HN__OUT(0); // not written where there are no parts
    d->n_bind = 7;
    spec(d, p[WARPS] * p[LANES], p[OWN], p[MET], p[WARPS]);
    for (int i = MAT_M; i <= MAT_K; i++)
        d->spec[d->n_spec++] = p[i];
    d->spec[d->n_spec++] = (uint32_t)coop_width(p, a.d);
    d->spec[d->n_spec++] = a.d % 8 == 0;
    d->spec[d->n_spec++] = keys;
    d->subgroup = l->device->subgroup_min ? p[LANES] : 0;
    hn__groups(d, a.batch * a.kv_heads * hn__pieces(rows_of(&a), p[OWN]) *
                      (keys ? hn__pieces(a.tk, keys) : 1));
    if (keys)
        join(n, l, keys);
}

// ---- forward -------------------------------------------------------------------------------

int hn__attention_variants(const hn__inst *n, const hn_device_info *info, hn__variant out[])
{
    const hn__attention_dims a = hn__attention_dims_of(n);
    const int64_t width = width_of(&a), rows = rows_of(&a);
    const bool is_software = !strcmp(info->type, "software"), are_few = rows <= 32 && a.tk > PART;
    int count = 0;

    if (is_software && takes_lanes(info, width))
        out[count++] = (hn__variant){ "attention_lanes", 3,
                                      { lane_rows(info, rows, width, 192), 6, are_few ? PART : 0 } };
    else if (are_few && width <= 256 && (!is_software || rows <= 4))
        out[count++] = (hn__variant){ "attention_split", 3,
                                      { is_software ? 32 : 64, rows > 4 ? 8 : 4, PART } };
    if (!is_software && takes_coop(n, info))
        count = coop_variants(n, info, out, count);
    if (!is_software)
        count = tile_variants(&a, info, out, count);
    return add(out, count, "attention", (uint32_t)hn__register_tile(info), 0);
}

static void launch_lanes(const hn__inst *n, hn__launch *l, hn__dispatch *d)
{
    const hn__attention_dims a = hn__attention_dims_of(n);
    const uint32_t part = l->variant.param[2];

    d->bind[5] = part ? HN__TMP(1) : HN__OUT(1);
    d->bind[6] = part ? HN__TMP(0) : HN__OUT(0); // not written where there are no parts
    d->n_bind = 7;
    lanes_spec(l, d, width_of(&a), a.batch * a.kv_heads, a.heads / a.kv_heads * a.tq);
    d->spec[d->n_spec++] = part;
    if (part) {
        hn__groups(d, (int64_t)d->n_groups * hn__pieces(a.tk, part));
        join(n, l, part);
    }
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
        launch_coop(n, l, d);
    } else if (!strcmp(d->kernel, "attention_tile")) {
        launch_tile(n, l, d);
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

// The same tiles, the usual one first: own rows are queries, then keys.
static int grad_tile_variants(const hn__attention_dims *a, const hn_device_info *info,
                              hn__variant out[])
{
    const int best = usual_tile(a, info, a->tk, 2);
    int n = 0;

    for (int i = -1; i < N_TILES; i++) {
        const int at = i < 0 ? best : i;
        if (at < N_TILES && i != best && tile_fits(tile_list[at], info, a->d, 2)) {
            out[n] = tile_of(tile_list[at], 0);
            out[n].n = KEYS;
            out[n++].kernel = "attention_grad_tile_kv";
        }
    }
    return n;
}

int hn__attention_grad_variants(const hn__inst *n, const hn_device_info *info, hn__variant out[])
{
    const hn__attention_dims a = hn__attention_dims_of(n);
    const int64_t width = width_of(&a);
    const uint32_t tile = (uint32_t)hn__register_tile(info);
    int count = 0;

    if (strcmp(info->type, "software"))
        count = grad_tile_variants(&a, info, out);
    else if (takes_lanes(info, width))
        count = add(out, count, "attention_grad_lanes_kv",
                    lane_rows(info, a.tq > a.tk ? a.tq : a.tk, width, 128), 4);
    return add(out, count, "attention_grad_kv", tile, 0);
}

static hn__dispatch *grad_dispatch(const hn__inst *n, hn__launch *l, const char *stem,
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

static uint8_t dlse_bind(const hn__inst *n)
{
    const hn__attention_attr *at = n->attr;
    return HN__IN(at->has_dlse ? hn__attention_dlse_at(n) : 0);
}

static void launch_grad_lanes(const hn__inst *n, hn__launch *l)
{
    const hn__attention_dims a = hn__attention_dims_of(n);
    hn__dispatch *d = grad_dispatch(n, l, "attention_grad_lanes_q", 0);

    d->bind[d->n_bind++] = HN__OUT(0);
    d->bind[d->n_bind++] = dlse_bind(n);
    lanes_spec(l, d, width_of(&a), a.batch * a.heads, a.tq);
    d = grad_dispatch(n, l, "attention_grad_lanes_kv", 0);
    d->bind[d->n_bind++] = HN__OUT(1);
    d->bind[d->n_bind++] = HN__OUT(2);
    lanes_spec(l, d, width_of(&a), a.batch * a.kv_heads, a.tk);
}

static void launch_grad_tile(const hn__inst *n, hn__launch *l)
{
    const hn__attention_dims a = hn__attention_dims_of(n);
    const uint32_t *p = l->variant.param;
    hn__dispatch *d = grad_dispatch(n, l, "attention_grad_tile_q", 0);

    d->bind[d->n_bind++] = HN__OUT(0);
    d->bind[d->n_bind++] = dlse_bind(n);
    tile_spec(d, p, &a);
    hn__groups(d, a.batch * a.kv_heads * hn__pieces(rows_of(&a), p[OWN]));
    d = grad_dispatch(n, l, "attention_grad_tile_kv", 0);
    d->bind[d->n_bind++] = HN__OUT(1);
    d->bind[d->n_bind++] = HN__OUT(2);
    tile_spec(d, p, &a);
    hn__groups(d, a.batch * a.kv_heads * hn__pieces(a.tk, p[OWN]));
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

    hn__dispatch *d = grad_dispatch(n, l, "attention_grad_q", queries);
    d->bind[d->n_bind++] = HN__OUT(0);
    d->bind[d->n_bind++] = HN__TMP(1);
    d->bind[d->n_bind++] = dlse_bind(n);
    thread_spec(d, tile, queries);
    d = grad_dispatch(n, l, "attention_grad_kv", keys);
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
    else if (!strcmp(l->variant.kernel, "attention_grad_tile_kv"))
        launch_grad_tile(n, l);
    else
        launch_grad_threads(n, l);
}
