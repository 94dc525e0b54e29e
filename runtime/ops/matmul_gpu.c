// matmul on GPUs: tiles in shared memory and cooperative matrices. None of the figures that the choices
// rest on was measured on a card; AMD's compiler gave registers and occupancy (build/radv.txt).
#include "ops/matmul.h"
#include "ops/shader.h"
#include "ops/tiles.h"

#include <string.h>

typedef hn__matmul_attr attr;
typedef hn__matmul_dims dims;

static hn__tile_dims tile_dims(const dims *d)
{
    return (hn__tile_dims){ d->batch, d->m, d->n, d->k };
}

uint32_t hn__matmul_layout(const hn__inst *n)
{
    const attr *at = n->attr;
    const dims d = hn__matmul_dims_of(n);
    const bool a_blocks = hn__is_quantised(n->in[0].dtype), b_blocks = hn__is_quantised(n->in[1].dtype);

    return (at->transpose_a ? 0 : MATMUL_A_ALONG_K) | (at->transpose_b ? MATMUL_B_ALONG_K : 0) |
           (a_blocks || d.lda % 4 == 0 ? MATMUL_A_FOURS : 0) |
           (b_blocks || d.ldb % 4 == 0 ? MATMUL_B_FOURS : 0) |
           (d.lda % 8 == 0 ? MATMUL_A_EIGHTS : 0) | (d.ldb % 8 == 0 ? MATMUL_B_EIGHTS : 0);
}

// ---- tiles ---------------------------------------------------------------------------------

static const uint32_t float_list[][HN__N_TILE] = {
    { 128, 128, 8, 8, 8, 2, 4 },  { 128, 128, 16, 8, 8, 1, 1 }, { 128, 64, 16, 8, 8, 1, 1 },
    { 64, 128, 16, 8, 8, 1, 1 },  { 64, 64, 16, 8, 4, 2, 1 },   { 64, 64, 16, 4, 4, 1, 16 },
    { 64, 64, 32, 8, 4, 1, 1 },   { 32, 64, 16, 4, 4, 2, 1 },   { 32, 32, 32, 4, 4, 1, 16 },
};
// Slices of a block, in one buffer.
static const uint32_t integer_list[][HN__N_TILE] = {
    { 128, 64, 32, 8, 4, 1, 4 }, { 64, 64, 32, 4, 4, 1, 4 }, { 64, 32, 32, 4, 4, 1, 4 },
    { 32, 32, 32, 4, 2, 1, 16 },
};

// Eight words of quants an element of a side, one of padding, and the scales.
static uint32_t integer_words(const uint32_t *p)
{
    return p[HN__TILE_M] * (9 + 1) + p[HN__TILE_N] * (9 + 4);
}

static const hn__tiles floats = { "matmul_tile", sizeof float_list / sizeof *float_list, float_list,
                                  hn__tile_words },
                       integers = { "matmul_tile8", sizeof integer_list / sizeof *integer_list,
                                    integer_list, integer_words };

// The epilogue of sums that were made in parts.
static void launch_join(const hn__inst *n, hn__launch *l, const hn__dispatch *parts)
{
    hn__dispatch *k = hn__matmul_dispatch(n, l, "matmul_join");

    k->weights = 0;
    memcpy(k->push, parts->push, sizeof k->push);
    ((struct matmul_push *)k->push)->flags &= ~MATMUL_PARTS;
    k->bind[0] = HN__TMP(0);
    const dims d = hn__matmul_dims_of(n);
    hn__threads(k, d.batch * d.m * d.n);
}

// So many workgroups for each of the parts of k that a variant asks for; parts are of whole slices.
static void launch_parts(const hn__inst *n, hn__launch *l, hn__dispatch *k, int64_t groups,
                         uint32_t wanted)
{
    const dims d = hn__matmul_dims_of(n);
    const int64_t part = hn__pieces(hn__pieces(d.k, wanted), 32) * 32, parts = hn__pieces(d.k, part);
    struct matmul_push *push = (struct matmul_push *)k->push;

    hn__groups(k, parts * groups);
    if (wanted == 1)
        return;
    push->flags |= MATMUL_PARTS;
    push->k_part = (uint32_t)part;
    k->bind[4] = HN__TMP(0);
    l->n_tmp = 1;
    l->tmp_bytes[0] = parts * d.batch * d.m * d.n * 4;
    launch_join(n, l, k);
}

static void launch_tile(const hn__inst *n, hn__launch *l)
{
    const uint32_t *p = l->variant.param;
    const dims d = hn__matmul_dims_of(n);
    const hn__tile_dims t = tile_dims(&d);
    hn__dispatch *k = hn__matmul_dispatch(n, l, l->variant.kernel);

    k->spec[0] = hn__tile_threads(p);
    if (!strcmp(k->kernel, integers.kernel)) {
        const uint32_t spec[] = { p[HN__TILE_M], p[HN__TILE_N], p[HN__TILE_TM], p[HN__TILE_TN] };
        memcpy(&k->spec[1], spec, sizeof spec);
        k->n_spec = 5;
    } else {
        memcpy(&k->spec[1], p, HN__TILE_PARTS * sizeof *p);
        k->spec[1 + HN__TILE_PARTS] = hn__matmul_layout(n);
        k->n_spec = 2 + HN__TILE_PARTS;
    }
    launch_parts(n, l, k, hn__tile_groups(&t, p), p[HN__TILE_PARTS]);
}

// ---- cooperative matrices ------------------------------------------------------------------

// The constants of matmul_coop, the subgroup's size and into how many parts k is cut; in the list, at
// most.
enum { TILE_M, TILE_N, WARPS_M, WARPS_N, COOP_BUFFERS, COOP_PARTS, MAT_M, MAT_N, MAT_K, SUBGROUP, N_COOP };
static const uint32_t coop_list[][COOP_PARTS + 1] = {
    { 128, 128, 2, 4, 2, 4 }, { 128, 128, 2, 2, 1, 1 }, { 128, 64, 2, 2, 2, 1 },
    { 64, 64, 2, 2, 2, 16 },  { 32, 32, 1, 1, 2, 1 },   { 256, 128, 4, 2, 1, 1 },
};
enum { N_COOPS = sizeof coop_list / sizeof *coop_list, SLICE_K = 32, COOP_SIZES = 2 };

// The kernel for these operands, or NULL. f32 is never rounded on its way: beside blocks each element
// goes as two numbers of f16.
static const char *coop_kernel(const hn__inst *n, const hn_device_info *info)
{
    const uint32_t need = HN_FEATURE_COOPMAT | HN_FEATURE_FP16 | HN_FEATURE_STORAGE_16 |
                          HN_FEATURE_SUBGROUP;
    const uint32_t along = MATMUL_A_ALONG_K | MATMUL_B_ALONG_K;
    const bool halves = n->in[0].dtype == HN_F16 && n->in[1].dtype == HN_F16;
    const bool blocks =
        hn__is_quantised(n->in[1].dtype) && (hn__matmul_layout(n) & along) == along;

    if ((info->features & need) != need || !hn__shader_find("matmul_coop.f16"))
        return NULL;
    return halves ? "matmul_coop" : blocks ? "matmul_blocks_coop" : NULL;
}

// Bytes of the slices of a side, whichever way they lie: the most and the least.
static uint32_t slice_bytes(uint32_t tile, uint32_t slices, bool most)
{
    const uint32_t along_k = tile * (SLICE_K + 8) * 2, across = SLICE_K * (tile + 8) * 2;
    return slices * ((along_k > across) == most ? along_k : across);
}

// A tile of a size of matrices, or false where it does not fit. The kernel of blocks has one buffer,
// of two slices of a, and vectors along the sides: at most three floats an element.
static bool coop_of(const char *kernel, const uint32_t *tile, const hn_matrix_size *m,
                    const hn_device_info *info, hn__variant *v)
{
    const bool blocks = strcmp(kernel, "matmul_coop");
    const uint32_t lanes = info->subgroup_min ? info->subgroup_min : info->subgroup_size;
    const uint32_t warps = tile[WARPS_M] * tile[WARPS_N], buffers = blocks ? 1 : tile[COOP_BUFFERS];
    const uint32_t slices_a = blocks ? 2 : buffers;
    const uint32_t bytes = slice_bytes(tile[TILE_M], slices_a, true) +
                           slice_bytes(tile[TILE_N], buffers, true) +
                           (blocks ? (tile[TILE_M] + tile[TILE_N]) * 12 : 0);

    *v = (hn__variant){ kernel, N_COOP,
                        { tile[TILE_M], tile[TILE_N], tile[WARPS_M], tile[WARPS_N], buffers, 1, m->m,
                          m->n, m->k, lanes } };
    const uint32_t sums = tile[TILE_M] * tile[TILE_N] / (warps * lanes); // registers of each lane
    return m->type == HN_F16 && sums <= 128 && warps * lanes <= info->max_invocations &&
           bytes <= info->max_shared_bytes && (blocks ? 16 : SLICE_K) % m->k == 0 && lanes >= 8 &&
           warps * m->m * m->n * 4 <= slice_bytes(tile[TILE_M], slices_a, false) &&
           tile[TILE_M] / tile[WARPS_M] % m->m == 0 && tile[TILE_N] / tile[WARPS_N] % m->n == 0;
}

// Of the device's sizes the largest first, two of them.
static int coop_sizes(const hn_device_info *info, hn_matrix_size out[COOP_SIZES])
{
    int n = 0;

    for (int i = 0; i < info->n_matrices; i++) {
        const hn_matrix_size *m = &info->matrices[i];
        int at = n;
        while (at > 0 && m->m * m->n * m->k > out[at - 1].m * out[at - 1].n * out[at - 1].k)
            at--;
        if (at >= COOP_SIZES)
            continue;
        n = n < COOP_SIZES ? n + 1 : n;
        memmove(&out[at + 1], &out[at], (size_t)(n - at - 1) * sizeof *out);
        out[at] = *m;
    }
    return n;
}

// Adds a tile of a size, with k whole and in parts.
static int add_coop(const char *kernel, const hn__tile_dims *d, const uint32_t *tile, const hn_matrix_size *m,
                    const hn_device_info *info, hn__variant out[], int n)
{
    for (uint32_t parts = 1; parts <= 16; parts *= 4)
        if (hn__tile_takes_parts(d, tile, parts, tile[COOP_PARTS], info) &&
            coop_of(kernel, tile, m, info, &out[n]))
            out[n++].param[COOP_PARTS] = parts;
    return n;
}

// The largest tile that gives enough workgroups first.
static int coop_variants(const char *kernel, const hn__tile_dims *d, const hn_device_info *info,
                         hn__variant out[], int n)
{
    hn_matrix_size size[COOP_SIZES];
    const int n_sizes = coop_sizes(info, size), first = n;

    for (int s = 0; s < n_sizes; s++)
        for (int i = 0; i < N_COOPS; i++)
            n = add_coop(kernel, d, coop_list[i], &size[s], info, out, n);
    int best = first;
    while (best + 1 < n && hn__tile_groups(d, out[best].param) < hn__enough_groups(info) &&
           out[best + 1].param[TILE_M] <= out[best].param[TILE_M])
        best++;
    if (n > first)
        hn__variant_first(&out[first], best - first);
    return n;
}

static void launch_coop(const hn__inst *n, hn__launch *l)
{
    const uint32_t *p = l->variant.param;
    const dims d = hn__matmul_dims_of(n);
    const hn__tile_dims t = tile_dims(&d);
    hn__dispatch *k = hn__matmul_dispatch(n, l, l->variant.kernel);

    k->spec[0] = p[WARPS_M] * p[WARPS_N] * p[SUBGROUP];
    memcpy(&k->spec[1], p, (WARPS_N + 1) * sizeof *p);
    memcpy(&k->spec[5], &p[MAT_M], 3 * sizeof *p);
    k->spec[8] = p[COOP_BUFFERS];
    k->spec[9] = hn__matmul_layout(n);
    k->n_spec = 10;
    k->subgroup = l->device->subgroup_min ? p[SUBGROUP] : 0;
    launch_parts(n, l, k, hn__tile_groups(&t, p), p[COOP_PARTS]);
}

int hn__matmul_gpu_variants(const hn__inst *n, const hn_device_info *info, hn__variant out[])
{
    const dims d = hn__matmul_dims_of(n);
    const hn__tile_dims t = tile_dims(&d);
    int count = hn__matmul_few_variants(n, info, out);

    const char *coop = count ? NULL : coop_kernel(n, info);
    if (coop)
        count = coop_variants(coop, &t, info, out, count);
    if (d.m > 8 && hn__is_quantised(n->in[0].dtype) && (info->features & HN_FEATURE_INT_DOT))
        count = hn__tile_variants(&integers, &t, info, out, count);
    return hn__tile_variants(&floats, &t, info, out, count);
}

void hn__matmul_gpu_launch(const hn__inst *n, hn__launch *l)
{
    if (!strcmp(l->variant.kernel, floats.kernel) || !strcmp(l->variant.kernel, integers.kernel))
        launch_tile(n, l);
    else if (strstr(l->variant.kernel, "_coop"))
        launch_coop(n, l);
    else
        hn__matmul_few_launch(n, l);
}
