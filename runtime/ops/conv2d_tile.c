// Convolution on GPUs: a product of matrices by tiles in shared memory (shaders/conv_tile.comp). None
// of the choices was measured on a card; AMD's compiler gave registers and occupancy (build/radv.txt).
#include "ops/conv.h"
#include "ops/tiles.h"

#include <string.h>

static const uint32_t tile_list[][HN__N_TILE] = {
    { 128, 128, 8, 8, 8, 2, 1 }, { 128, 64, 16, 8, 8, 1, 1 }, { 64, 128, 16, 8, 8, 1, 1 },
    { 64, 64, 16, 8, 4, 1, 4 },  { 64, 64, 16, 4, 4, 1, 16 }, { 32, 128, 16, 8, 4, 1, 4 },
    { 32, 64, 16, 4, 4, 1, 16 }, { 16, 128, 32, 4, 4, 1, 4 }, { 32, 32, 32, 4, 4, 1, 16 },
};
static const hn__tiles tiles = { "conv_tile", sizeof tile_list / sizeof *tile_list, tile_list,
                                 hn__tile_words };

// The distance between taps that reach the same place of x: their places in y's grid, spread by the
// stride, are equal.
static int64_t tap_step(const hn__conv *c, int axis)
{
    int64_t step = 1;

    while (step < c->stride[axis] && step * c->dilation[axis] % c->stride[axis])
        step++;
    return step;
}

// The sizes of the product, of each of those that stand beside each other; the largest of them.
static hn__tile_dims dims_of(const hn__conv *c, hn__conv_side side)
{
    const int64_t taps = c->kh * c->kw, places = c->n * c->oh * c->ow;
    int64_t corners = 1, own = c->n, reach = c->og;

    if (side == HN__CONV_W)
        return (hn__tile_dims){ c->groups, c->og, c->cg * taps, places };
    if (side == HN__CONV_Y)
        return (hn__tile_dims){ c->groups, c->og, places, c->cg * taps };
    for (int i = 0; i < 2; i++) { // places of x a stride apart go together
        const int64_t size = i ? c->w : c->h, kernel = i ? c->kw : c->kh, s = c->stride[i];
        corners *= s < size ? s : size;
        own *= hn__pieces(size, s);
        reach *= hn__pieces(kernel, tap_step(c, i));
    }
    return (hn__tile_dims){ c->groups * corners, c->cg, own, reach };
}

int hn__conv_tile_variants(const hn__conv *c, hn__conv_side side, const hn_device_info *info,
                           hn__variant out[])
{
    const hn__tile_dims d = dims_of(c, side);

    return hn__tile_variants(&tiles, &d, info, out, 0);
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
    const hn__tile_dims d = dims_of(c, side);
    // Of whole slices.
    const int64_t part = hn__pieces(hn__pieces(d.k, p[HN__TILE_PARTS]), 32) * 32;
    const int64_t parts = p[HN__TILE_PARTS] > 1 ? hn__pieces(d.k, part) : 1;
    hn__dispatch *k = hn__conv_dispatch(n, l, c, "conv_tile");
    struct conv_push *push = (struct conv_push *)k->push;

    push->tiles_m = (uint32_t)hn__pieces(d.m, p[HN__TILE_M]);
    push->tiles_n = (uint32_t)hn__pieces(d.n, p[HN__TILE_N]);
    push->k_part = p[HN__TILE_PARTS] > 1 ? (uint32_t)part : 0;
    k->spec[0] = hn__tile_threads(p);
    memcpy(&k->spec[1], p, HN__TILE_PARTS * sizeof *p);
    k->spec[1 + HN__TILE_PARTS] = (uint32_t)side;
    k->spec[2 + HN__TILE_PARTS] = has_fours(c, side);
    k->n_spec = 3 + HN__TILE_PARTS;
    hn__groups(k, parts * hn__tile_groups(&d, p));
    if (p[HN__TILE_PARTS] == 1)
        return;
    k->bind[2] = HN__TMP(0);
    launch_join(n, l, parts);
}
