// matmul on GPUs: tiles in shared memory, and products of few rows. None of the figures that the
// choices rest on was measured on a card; AMD's compiler gave registers and occupancy (build/radv.txt).
#include "ops/matmul.h"

#include <string.h>

typedef hn__matmul_attr attr;
typedef hn__matmul_dims dims;

static int64_t tiles(int64_t n, int64_t tile)
{
    return (n + tile - 1) / tile;
}

// How the operands lie in memory, as the kernels want it.
static uint32_t layout_of(const hn__inst *n)
{
    const attr *at = n->attr;
    const dims d = hn__matmul_dims_of(n);
    const bool a_blocks = hn__is_quantised(n->in[0].dtype), b_blocks = hn__is_quantised(n->in[1].dtype);

    return (at->transpose_a ? 0 : MATMUL_A_ALONG_K) | (at->transpose_b ? MATMUL_B_ALONG_K : 0) |
           (a_blocks || d.lda % 4 == 0 ? MATMUL_A_FOURS : 0) |
           (b_blocks || d.ldb % 4 == 0 ? MATMUL_B_FOURS : 0) |
           (d.lda % 8 == 0 ? MATMUL_A_EIGHTS : 0) | (d.ldb % 8 == 0 ? MATMUL_B_EIGHTS : 0);
}

// Workgroups that keep a GPU of this kind busy.
static int64_t enough_groups(const hn_device_info *info)
{
    return strcmp(info->type, "discrete") ? 24 : 128;
}

// ---- tiles ---------------------------------------------------------------------------------

// The constants of matmul_tile, and parts of k after them.
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

static int64_t tile_groups(const dims *d, const uint32_t *p)
{
    return d->batch * tiles(d->m, p[TILE_M]) * tiles(d->n, p[TILE_N]);
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
        if (p[TILE_M] < 2 * d->m && p[TILE_N] < 2 * d->n && tile_groups(d, p) >= enough_groups(info))
            break;
    }
    return best;
}

// Parts of k that make up for workgroups that are missing; 1 where k is short. Each has at least 128
// of k, so that its sums cost less to write and read than to make.
static uint32_t parts_of(const dims *d, const uint32_t *p, const hn_device_info *info)
{
    const int64_t want = enough_groups(info) / tile_groups(d, p), most = d->k / 128;
    const int64_t parts = want < most ? want : most;

    return parts < 2 ? 1 : parts > 16 ? 16 : (uint32_t)parts;
}

static int add_tile(hn__variant out[], int n, const uint32_t *p, uint32_t parts)
{
    hn__variant *v = &out[n];

    *v = (hn__variant){ "matmul_tile", N_TILE, { 0 } };
    memcpy(v->param, p, N_TILE * sizeof *p);
    v->param[PARTS] = parts;
    return n + 1;
}

static int tile_variants(const dims *d, const hn_device_info *info, hn__variant out[], int n)
{
    const int best = best_tile(d, info);

    for (int c = -1; best >= 0 && c < N_TILES; c++) {
        const int i = c < 0 ? best : c;
        if (c == best || !tile_fits(tile_list[i], info))
            continue;
        const uint32_t parts = parts_of(d, tile_list[i], info);
        n = add_tile(out, n, tile_list[i], parts);
        if (parts > 1)
            n = add_tile(out, n, tile_list[i], 1);
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
    const int64_t part = tiles(tiles(d.k, p[PARTS]), 32) * 32, parts = tiles(d.k, part);
    struct matmul_push *push = (struct matmul_push *)k->push;

    k->spec[0] = tile_threads(p);
    memcpy(&k->spec[1], p, PARTS * sizeof *p);
    k->spec[1 + PARTS] = layout_of(n);
    k->n_spec = 2 + PARTS;
    hn__groups(k, parts * tile_groups(&d, p));
    if (parts == 1)
        return;
    push->flags |= MATMUL_PARTS;
    push->k_part = (uint32_t)part;
    k->bind[4] = HN__TMP(0);
    l->n_tmp = 1;
    l->tmp_bytes[0] = parts * d.batch * d.m * d.n * 4;
    launch_join(n, l, k);
}

// ---- few rows ------------------------------------------------------------------------------

static void launch_vec(const hn__inst *n, hn__launch *l)
{
    const uint32_t *p = l->variant.param;
    const dims d = hn__matmul_dims_of(n);
    hn__dispatch *k = hn__matmul_dispatch(n, l, "matmul_vec");

    k->spec[0] = 128;
    k->spec[k->n_spec++] = p[0];
    hn__groups(k, d.batch * tiles(d.n, 128 / p[0]));
}

int hn__matmul_gpu_variants(const hn__inst *n, const hn_device_info *info, hn__variant out[])
{
    const attr *at = n->attr;
    const dims d = hn__matmul_dims_of(n);
    int count = 0;

    if (d.m <= 4)
        out[count++] = (hn__variant){ "matmul_vec", 1, { at->transpose_b ? 32 : 4 } };
    return tile_variants(&d, info, out, count);
}

void hn__matmul_gpu_launch(const hn__inst *n, hn__launch *l)
{
    if (!strcmp(l->variant.kernel, "matmul_vec"))
        launch_vec(n, l);
    else
        launch_tile(n, l);
}
