// matmul on GPUs: tiles in shared memory. None of the figures that the
// choices rest on was measured on a card; AMD's compiler gave registers and occupancy (build/radv.txt).
#include "ops/matmul.h"
#include "ops/shader.h"

#include <string.h>

typedef hn__matmul_attr attr;
typedef hn__matmul_dims dims;

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

// The constants of matmul_tile, and at most how many parts of k there are.
enum { TILE_M, TILE_N, DEPTH, TM, TN, BUFFERS, PARTS, N_TILE };
static const uint32_t tile_list[][N_TILE] = {
    { 128, 128, 8, 8, 8, 2, 1 },  { 128, 128, 16, 8, 8, 1, 1 }, { 128, 64, 16, 8, 8, 1, 1 },
    { 64, 128, 16, 8, 8, 1, 1 },  { 64, 64, 16, 8, 4, 2, 1 },   { 64, 64, 16, 4, 4, 1, 1 },
    { 64, 64, 32, 8, 4, 1, 1 },   { 32, 64, 16, 4, 4, 2, 1 },   { 32, 32, 32, 4, 4, 1, 1 },
};
enum { N_TILES = sizeof tile_list / sizeof *tile_list };

static uint32_t tile_threads(const uint32_t *p)
{
    return p[TILE_M] / p[TM] * (p[TILE_N] / p[TN]);
}

static bool tile_fits(const uint32_t *p, const hn_device_info *info)
{
    const uint32_t bytes = p[BUFFERS] * p[DEPTH] * (p[TILE_M] + p[TILE_N] + 8) * 4;

    return tile_threads(p) <= info->max_invocations && bytes <= info->max_shared_bytes;
}

// Of any kernel whose first parameters are a tile.
static int64_t tile_groups(const dims *d, const uint32_t *p)
{
    return d->batch * hn__pieces(d->m, p[TILE_M]) * hn__pieces(d->n, p[TILE_N]);
}

// The largest tile that gives a GPU enough workgroups and is not mostly beyond the edge.
static int best_tile(const dims *d, const hn_device_info *info)
{
    int best = -1;

    for (int i = 0; i < N_TILES; i++) {
        const uint32_t *p = tile_list[i];
        if (!tile_fits(p, info))
            continue;
        best = i;
        if (p[TILE_M] < 2 * d->m && p[TILE_N] < 2 * d->n && tile_groups(d, p) >= hn__enough_groups(info))
            break;
    }
    return best;
}

// Parts of k that make up for workgroups that are missing; 1 where k is short.
static uint32_t parts_of(const dims *d, const uint32_t *p, const hn_device_info *info)
{
    const int64_t want = hn__enough_groups(info) / tile_groups(d, p);

    return want >= 8 && d->k >= 2048 ? 16 : want >= 2 && d->k >= 512 ? 4 : 1;
}

static int add_tile(hn__variant out[], int n, const uint32_t *p, uint32_t parts)
{
    hn__variant *v = &out[n];

    *v = (hn__variant){ "matmul_tile", N_TILE, { 0 } };
    memcpy(v->param, p, N_TILE * sizeof *p);
    v->param[PARTS] = parts;
    return n + 1;
}

// All tiles, the best guess first. Parts are listed whatever k is: the self-test's products are short.
static int tile_variants(const dims *d, const hn_device_info *info, hn__variant out[], int n)
{
    static const uint32_t parts[] = { 1, 4, 16 };
    const int best = best_tile(d, info);
    const uint32_t best_parts = best < 0 ? 1 : parts_of(d, tile_list[best], info);

    if (best >= 0)
        n = add_tile(out, n, tile_list[best], best_parts);
    for (int i = 0; i < N_TILES; i++) {
        const uint32_t *p = tile_list[i];
        const bool in_parts = p[TILE_M] == p[TILE_N] && p[TILE_M] < 128 && p[TM] == 4 &&
                              2 * tile_groups(d, p) <= hn__enough_groups(info);
        for (int k = 0; tile_fits(p, info) && k < (in_parts ? 3 : 1); k++)
            if (i != best || parts[k] != best_parts)
                n = add_tile(out, n, p, parts[k]);
    }
    return n;
}

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

static void launch_tile(const hn__inst *n, hn__launch *l)
{
    const uint32_t *p = l->variant.param;
    const dims d = hn__matmul_dims_of(n);
    hn__dispatch *k = hn__matmul_dispatch(n, l, "matmul_tile");
    const int64_t part = hn__pieces(hn__pieces(d.k, p[PARTS]), 32) * 32,
                  parts = hn__pieces(d.k, part);
    struct matmul_push *push = (struct matmul_push *)k->push;

    k->spec[0] = tile_threads(p);
    memcpy(&k->spec[1], p, PARTS * sizeof *p);
    k->spec[1 + PARTS] = hn__matmul_layout(n);
    k->n_spec = 2 + PARTS;
    hn__groups(k, parts * tile_groups(&d, p));
    if (p[PARTS] == 1)
        return;
    push->flags |= MATMUL_PARTS;
    push->k_part = (uint32_t)part;
    k->bind[4] = HN__TMP(0);
    l->n_tmp = 1;
    l->tmp_bytes[0] = parts * d.batch * d.m * d.n * 4;
    launch_join(n, l, k);
}

// ---- cooperative matrices ------------------------------------------------------------------

// The constants of matmul_coop, and the subgroup's size after them.
enum { WARPS_M = 2, WARPS_N, MAT_M, MAT_N, MAT_K, SUBGROUP, N_COOP };
static const uint32_t coop_list[][4] = {
    { 256, 128, 4, 2 }, { 128, 128, 2, 4 }, { 128, 128, 2, 2 },
    { 128, 64, 2, 2 },  { 64, 64, 2, 2 },   { 32, 32, 1, 1 },
};
enum { N_COOPS = sizeof coop_list / sizeof *coop_list, SLICE_K = 32, COOP_SIZES = 2 };

// 16-bit operands only: f32 is never rounded on its way.
static bool takes_coop(const hn__inst *n, const hn_device_info *info)
{
    const uint32_t need = HN_FEATURE_COOPMAT | HN_FEATURE_FP16 | HN_FEATURE_STORAGE_16 |
                          HN_FEATURE_SUBGROUP;

    return n->in[0].dtype == HN_F16 && n->in[1].dtype == HN_F16 &&
           (info->features & need) == need && hn__shader_find("matmul_coop.f16");
}

// A tile of a size of matrices, or false where it does not fit.
static bool coop_of(const uint32_t *tile, const hn_matrix_size *m, const hn_device_info *info,
                    hn__variant *v)
{
    const uint32_t lanes = info->subgroup_min ? info->subgroup_min : info->subgroup_size;
    const uint32_t warps = tile[WARPS_M] * tile[WARPS_N];
    // Slices, whichever way they lie, and a matrix of each subgroup.
    const uint32_t bytes = (tile[TILE_M] + tile[TILE_N] + 16) * (SLICE_K + 8) * 2 +
                           warps * m->m * m->n * 4;

    *v = (hn__variant){ "matmul_coop", N_COOP,
                        { tile[TILE_M], tile[TILE_N], tile[WARPS_M], tile[WARPS_N], m->m, m->n,
                          m->k, lanes } };
    const uint32_t sums = tile[TILE_M] * tile[TILE_N] / (warps * lanes); // registers of each lane
    return m->type == HN_F16 && sums <= 128 && warps * lanes <= info->max_invocations &&
           bytes <= info->max_shared_bytes && SLICE_K % m->k == 0 &&
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

// The largest tile that gives enough workgroups first.
static int coop_variants(const dims *d, const hn_device_info *info, hn__variant out[], int n)
{
    hn_matrix_size size[COOP_SIZES];
    const int n_sizes = coop_sizes(info, size), first = n;

    for (int s = 0; s < n_sizes; s++)
        for (int i = 0; i < N_COOPS; i++)
            n += coop_of(coop_list[i], &size[s], info, &out[n]);
    int best = first;
    while (best + 1 < n && tile_groups(d, out[best].param) < hn__enough_groups(info) &&
           out[best + 1].param[TILE_M] <= out[best].param[TILE_M])
        best++;
    if (n > first) {
        const hn__variant v = out[best];
        memmove(&out[first + 1], &out[first], (size_t)(best - first) * sizeof *out);
        out[first] = v;
    }
    return n;
}

static void launch_coop(const hn__inst *n, hn__launch *l)
{
    const uint32_t *p = l->variant.param;
    const dims d = hn__matmul_dims_of(n);
    hn__dispatch *k = hn__matmul_dispatch(n, l, "matmul_coop");

    k->spec[0] = p[WARPS_M] * p[WARPS_N] * p[SUBGROUP];
    memcpy(&k->spec[1], p, SUBGROUP * sizeof *p);
    k->spec[1 + SUBGROUP] = hn__matmul_layout(n);
    k->n_spec = 2 + SUBGROUP;
    k->subgroup = l->device->subgroup_min ? p[SUBGROUP] : 0;
    hn__groups(k, tile_groups(&d, p));
}

int hn__matmul_gpu_variants(const hn__inst *n, const hn_device_info *info, hn__variant out[])
{
    const dims d = hn__matmul_dims_of(n);
    int count = hn__matmul_few_variants(n, info, out);

    if (!count && takes_coop(n, info))
        count = coop_variants(&d, info, out, count);
    return tile_variants(&d, info, out, count);
}

void hn__matmul_gpu_launch(const hn__inst *n, hn__launch *l)
{
    if (!strcmp(l->variant.kernel, "matmul_tile"))
        launch_tile(n, l);
    else if (!strcmp(l->variant.kernel, "matmul_coop"))
        launch_coop(n, l);
    else
        hn__matmul_few_launch(n, l);
}
