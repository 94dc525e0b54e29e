// Convolution on GPUs: a product of matrices by tiles in shared memory (shaders/conv_tile.comp). None
// of the choices was measured on a card; AMD's compiler gave registers and occupancy (build/radv.txt).
#include "ops/conv.h"

#include <string.h>

// The constants of conv_tile, and into how many parts the sum is cut; in the list, at most.
enum { TILE_M, TILE_N, DEPTH, TM, TN, BUFFERS, PARTS, N_TILE };
static const uint32_t tile_list[][N_TILE] = {
    { 128, 128, 8, 8, 8, 2, 1 }, { 128, 64, 16, 8, 8, 1, 1 }, { 64, 128, 16, 8, 8, 1, 1 },
    { 64, 64, 16, 8, 4, 1, 4 },  { 64, 64, 16, 4, 4, 1, 16 }, { 32, 128, 16, 8, 4, 1, 4 },
    { 32, 64, 16, 4, 4, 1, 16 }, { 16, 128, 32, 4, 4, 1, 4 }, { 32, 32, 32, 4, 4, 1, 16 },
};
enum { N_TILES = sizeof tile_list / sizeof *tile_list };

// The product's sizes, of each of `times` that stand beside each other; the largest of them.
typedef struct dims {
    int64_t times, m, n, k;
} dims;

// The distance between taps that reach the same place of x: their places in y's grid, spread by the
// stride, are equal.
static int64_t tap_step(const hn__conv *c, int axis)
{
    int64_t step = 1;

    while (step < c->stride[axis] && step * c->dilation[axis] % c->stride[axis])
        step++;
    return step;
}

static dims dims_of(const hn__conv *c, hn__conv_side side)
{
    const int64_t taps = c->kh * c->kw, places = c->n * c->oh * c->ow;
    int64_t corners = 1, own = c->n, reach = c->og;

    if (side == HN__CONV_W)
        return (dims){ c->groups, c->og, c->cg * taps, places };
    if (side == HN__CONV_Y)
        return (dims){ c->groups, c->og, places, c->cg * taps };
    for (int i = 0; i < 2; i++) { // places of x a stride apart go together
        const int64_t size = i ? c->w : c->h, kernel = i ? c->kw : c->kh, s = c->stride[i];
        corners *= s < size ? s : size;
        own *= hn__pieces(size, s);
        reach *= hn__pieces(kernel, tap_step(c, i));
    }
    return (dims){ c->groups * corners, c->cg, own, reach };
}

static uint32_t threads_of(const uint32_t *p)
{
    return p[TILE_M] / p[TM] * (p[TILE_N] / p[TN]);
}

static bool fits(const uint32_t *p, const hn_device_info *info)
{
    const uint32_t bytes = p[BUFFERS] * p[DEPTH] * (p[TILE_M] + p[TILE_N] + 8) * 4;

    return threads_of(p) <= info->max_invocations && bytes <= info->max_shared_bytes;
}

static int64_t groups_of(const dims *d, const uint32_t *p)
{
    return d->times * hn__pieces(d->m, p[TILE_M]) * hn__pieces(d->n, p[TILE_N]);
}

// The largest tile that gives a GPU enough workgroups, parts of the sum among them, and is not mostly
// beyond the edge.
static int best_tile(const dims *d, const hn_device_info *info)
{
    int best = -1;

    for (int i = 0; i < N_TILES; i++) {
        const uint32_t *p = tile_list[i];
        const int64_t parts = d->k >= 512 * p[PARTS] ? p[PARTS] : 1;
        if (!fits(p, info))
            continue;
        best = i;
        if (p[TILE_M] < 2 * d->m && p[TILE_N] < 2 * d->n &&
            parts * groups_of(d, p) >= hn__enough_groups(info))
            break;
    }
    return best;
}

// Parts that make up for workgroups that are missing; 1 where the sum is short.
static uint32_t parts_of(const dims *d, const uint32_t *p, const hn_device_info *info)
{
    const int64_t want = hn__pieces(hn__enough_groups(info), groups_of(d, p));
    const uint32_t parts = want > 4 && d->k >= 2048 ? 16 : want > 1 && d->k >= 512 ? 4 : 1;

    return parts < p[PARTS] ? parts : p[PARTS];
}

static int add_tile(hn__variant out[], int n, const uint32_t *p, uint32_t parts)
{
    hn__variant *v = &out[n];

    *v = (hn__variant){ "conv_tile", N_TILE, { 0 } };
    memcpy(v->param, p, N_TILE * sizeof *p);
    v->param[PARTS] = parts;
    return n + 1;
}

// In parts where workgroups are few, however short the sum, since the self-test's are.
int hn__conv_tile_variants(const hn__conv *c, hn__conv_side side, const hn_device_info *info,
                           hn__variant out[])
{
    const dims d = dims_of(c, side);
    const int best = best_tile(&d, info);
    const uint32_t best_parts = best < 0 ? 1 : parts_of(&d, tile_list[best], info);
    int n = 0;

    if (best >= 0)
        n = add_tile(out, n, tile_list[best], best_parts);
    for (int i = 0; i < N_TILES; i++) {
        const uint32_t *p = tile_list[i];
        const bool few = 2 * groups_of(&d, p) <= hn__enough_groups(info);
        for (uint32_t parts = 1; parts <= p[PARTS] && fits(p, info); parts *= 4)
            if ((parts == 1 || few) && (i != best || parts != best_parts))
                n = add_tile(out, n, p, parts);
    }
    return n;
}

// Adds the parts that lie in scratch.
static void launch_join(const hn__inst *n, hn__launch *l, int64_t parts)
{
    const int64_t size = hn__numel(&n->out[0]);
    hn__dispatch *k = hn__add_dispatch(l, n, "matmul_join");

    k->n_bind = 5;
    k->bind[0] = HN__TMP(0);
    k->bind[2] = k->bind[3] = HN__IN(1);
    k->bind[4] = HN__OUT(0);
    k->flop = (double)(parts * size);
    HN__PUSH(k, matmul_push, .batch = 1, .m = 1, .n = (uint32_t)size, .k = (uint32_t)parts,
             .scale = 1, .k_part = 1);
    l->n_tmp = 1;
    l->tmp_bytes[0] = parts * size * (int64_t)sizeof(float);
    hn__threads(k, size);
}

// Whether what meets the image comes in fours along the sum.
static bool has_fours(const hn__conv *c, hn__conv_side side)
{
    return side == HN__CONV_Y   ? c->cg * c->kh * c->kw % 4 == 0
           : side == HN__CONV_W ? c->oh * c->ow % 4 == 0
                                : false;
}

void hn__conv_tile_launch(const hn__inst *n, const hn__conv *c, hn__conv_side side, hn__launch *l)
{
    const uint32_t *p = l->variant.param;
    const dims d = dims_of(c, side);
    // Of whole slices.
    const int64_t part = hn__pieces(hn__pieces(d.k, p[PARTS]), 32) * 32;
    const int64_t parts = p[PARTS] > 1 ? hn__pieces(d.k, part) : 1;
    hn__dispatch *k = hn__conv_dispatch(n, l, c, "conv_tile");
    struct conv_push *push = (struct conv_push *)k->push;

    push->tiles_m = (uint32_t)hn__pieces(d.m, p[TILE_M]);
    push->tiles_n = (uint32_t)hn__pieces(d.n, p[TILE_N]);
    push->k_part = p[PARTS] > 1 ? (uint32_t)part : 0;
    k->spec[0] = threads_of(p);
    memcpy(&k->spec[1], p, PARTS * sizeof *p);
    k->spec[1 + PARTS] = (uint32_t)side;
    k->spec[2 + PARTS] = has_fours(c, side);
    k->n_spec = 3 + PARTS;
    hn__groups(k, parts * groups_of(&d, p));
    if (p[PARTS] == 1)
        return;
    k->bind[2] = HN__TMP(0);
    launch_join(n, l, parts);
}
