// Convolution on devices: the ways to launch it, and the direct kernels, which share nothing between
// threads: for a few channels, and where no tile fits.
#include "ops/conv.h"

#include <string.h>

hn__dispatch *hn__conv_dispatch(const hn__inst *n, hn__launch *l, const hn__conv *c,
                                const char *kernel)
{
    hn__dispatch *d = hn__add_dispatch(l, n, kernel);

    HN__PUSH(d, conv_push, .n = (uint32_t)c->n, .groups = (uint32_t)c->groups,
             .cg = (uint32_t)c->cg, .og = (uint32_t)c->og, .h = (uint32_t)c->h,
             .w = (uint32_t)c->w, .kh = (uint32_t)c->kh, .kw = (uint32_t)c->kw,
             .oh = (uint32_t)c->oh, .ow = (uint32_t)c->ow, .stride_h = (int)c->stride[0],
             .stride_w = (int)c->stride[1], .dilation_h = (int)c->dilation[0],
             .dilation_w = (int)c->dilation[1], .pad_h = (int)c->pad[0], .pad_w = (int)c->pad[1]);
    d->flop = 2.0 * (double)(c->n * c->groups * c->og * c->oh * c->ow) *
              (double)(c->cg * c->kh * c->kw);
    return d;
}

// ---- direct --------------------------------------------------------------------------------

static bool is_software(const hn_device_info *d)
{
    return !strcmp(d->type, "software");
}

static uint32_t width_of(const hn_device_info *d) // threads of a workgroup
{
    return is_software(d) ? 32 : 64;
}

static const char *direct_kernel(hn__conv_side side)
{
    return side == HN__CONV_X ? "conv2d_transpose"
           : side == HN__CONV_W ? "conv2d_weight_grad" : "conv2d";
}

// What a direct kernel shares out between tiles, as { channels, places or input channels }: places in
// widths of a workgroup; and how often.
typedef struct shares {
    int64_t channels, across, times;
} shares;

static shares shares_of(const hn__conv *c, hn__conv_side side, const hn_device_info *d)
{
    const int64_t width = width_of(d);

    if (side == HN__CONV_W)
        return (shares){ c->og, c->cg, c->groups * c->kh * c->kw };
    if (side == HN__CONV_X)
        return (shares){ c->cg, hn__pieces(c->n * c->h * c->w, width), c->groups };
    return (shares){ c->og, hn__pieces(c->n * c->oh * c->ow, width), c->groups };
}

static int64_t groups_of(const shares *s, const uint32_t *tile)
{
    return s->times * hn__pieces(s->channels, tile[0]) * hn__pieces(s->across, tile[1]);
}

// The first tile that is not half empty and leaves a GPU enough workgroups.
static int direct_variants(const hn__conv *c, hn__conv_side side, const hn_device_info *d,
                           hn__variant out[], int n)
{
    static const uint32_t tile[][2] = { { 8, 4 }, { 8, 2 }, { 16, 2 },
                                        { 4, 4 }, { 4, 1 }, { 1, 1 } };
    enum { N = sizeof tile / sizeof *tile, BUSY = 256 };
    const shares s = shares_of(c, side, d);
    const int begin = n;
    int best = n;

    for (int i = 0; i < N; i++)
        if (tile[i][0] < 2 * s.channels && tile[i][1] < 2 * s.across)
            out[n++] = (hn__variant){ direct_kernel(side), 2, { tile[i][0], tile[i][1] } };
    while (!is_software(d) && best < n - 1 && groups_of(&s, out[best].param) < BUSY)
        best++;
    const hn__variant first = out[best];
    out[best] = out[begin];
    out[begin] = first;
    return n;
}

static void launch_direct(const hn__inst *n, const hn__conv *c, hn__conv_side side, hn__launch *l)
{
    const shares s = shares_of(c, side, l->device);
    hn__dispatch *d = hn__conv_dispatch(n, l, c, l->variant.kernel);

    d->spec[0] = width_of(l->device);
    d->spec[1] = l->variant.param[0];
    d->spec[2] = l->variant.param[1];
    d->n_spec = 3;
    hn__groups(d, groups_of(&s, l->variant.param));
}

// ---- all -----------------------------------------------------------------------------------

int hn__conv_variants(const hn__inst *n, const hn__conv *c, hn__conv_side side,
                      const hn_device_info *d, hn__variant out[])
{
    enum { FEW = 4 }; // channels, of which a tile would be mostly empty
    const int64_t channels = side == HN__CONV_X ? c->cg : c->og;
    const bool packed = hn__is_half(n->in[0].dtype) && !(d->features & HN_FEATURE_STORAGE_16);
    int count = 0;

    // SwiftShader, where tiles of 16 x 16 in registers were slower than the direct kernel.
    const bool plain = is_software(d) && hn__register_tile(d) < 8;

    if (channels < FEW || plain)
        count = direct_variants(c, side, d, out, count);
    count += is_software(d) ? hn__conv_grid_variants(c, side, hn__loads_once(d) && !packed, d, &out[count])
                            : hn__conv_tile_variants(c, side, d, &out[count]);
    return count ? count : direct_variants(c, side, d, out, 0);
}

void hn__conv_launch(const hn__inst *n, const hn__conv *c, hn__conv_side side, hn__launch *l)
{
    if (!strcmp(l->variant.kernel, "conv_tile"))
        hn__conv_tile_launch(n, c, side, l);
    else if (!strncmp(l->variant.kernel, "conv_", 5))
        hn__conv_grid_launch(n, c, side, l);
    else
        launch_direct(n, c, side, l);
}
