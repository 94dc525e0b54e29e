// Convolution on software devices: the image's side is copied into grids that hold the zeros of the
// padding, in which neighbouring places of a tap are neighbours whatever the stride
// (shaders/conv_grid.comp); sums are then of whole registers.
#include "ops/conv.h"

#include <string.h>

// Elements behind a plane's last row, for a turn of places more; channels that are written out.
enum { SLACK = 32, MOST_TURN = 16 };

// A grid of the image's side and the planes it has: of each channel one a phase of the stride.
typedef struct grid {
    int64_t channels, real_channels; // of a group
    int64_t rows, cols, plane;       // elements
    int64_t phases[2];
    int64_t before[2];               // rows and columns before the first of the image, where x is made
    int64_t places;                  // that sums are made for, with those between rows
} grid;

// Channels that conv_lanes has written out; the other kernels take them one by one.
static int64_t turn_of(int64_t channels)
{
    int64_t turn = MOST_TURN;

    while (turn > 4 && hn__pieces(channels, turn) * turn > channels + channels / 8)
        turn /= 2;
    return turn;
}

static uint32_t lanes_of(const hn_device_info *info)
{
    return info->subgroup_size ? info->subgroup_size : 8;
}

static int64_t round_up(int64_t n, int64_t to)
{
    return hn__pieces(n, to) * to;
}

// An odd number of cache lines: channels of a power of two would all want the same ones.
static void set_plane(grid *g)
{
    g->plane = round_up((g->rows + 1) * g->cols + SLACK, 32) + 16;
}

// Of x, by the phases of the stride.
static grid grid_of_x(const hn__conv *c)
{
    grid g = { .real_channels = c->cg, .phases = { c->stride[0], c->stride[1] } };

    g.channels = round_up(c->cg, turn_of(c->cg));
    g.rows = c->oh + (c->kh - 1) * c->dilation[0] / c->stride[0];
    g.cols = c->ow + (c->kw - 1) * c->dilation[1] / c->stride[1];
    g.places = (c->oh - 1) * g.cols + c->ow;
    set_plane(&g);
    return g;
}

// Of y, with what lies before and behind it for the outermost taps of x's places.
static grid grid_of_y(const hn__conv *c)
{
    grid g = { .real_channels = c->og, .phases = { 1, 1 } };
    const int64_t reach[2] = { (c->kh - 1) * c->dilation[0], (c->kw - 1) * c->dilation[1] };

    for (int i = 0; i < 2; i++)
        g.before[i] = reach[i] > c->pad[i] ? (reach[i] - c->pad[i]) / c->stride[i] : 0;
    g.channels = round_up(c->og, turn_of(c->og));
    g.rows = (c->pad[0] + c->h - 1) / c->stride[0] + g.before[0] + 1;
    g.cols = (c->pad[1] + c->w - 1) / c->stride[1] + g.before[1] + 1;
    g.places = (hn__pieces(c->h, c->stride[0]) - 1) * g.cols + hn__pieces(c->w, c->stride[1]);
    set_plane(&g);
    return g;
}

static int64_t planes_of(const hn__conv *c, const grid *g)
{
    return c->n * c->groups * g->channels * g->phases[0] * g->phases[1];
}

// The grid that a side's sums run over.
static grid grid_of(const hn__conv *c, hn__conv_side side)
{
    return side == HN__CONV_X ? grid_of_y(c) : grid_of_x(c);
}

// ---- variants ------------------------------------------------------------------------------

// Rows and columns of a thread's tile, or a lane's; the sums are of rows * columns.
typedef struct tile {
    uint32_t rows, cols;
} tile;

static int64_t channels_of(const hn__conv *c, hn__conv_side side)
{
    return side == HN__CONV_X ? c->cg : c->og;
}

// Adds all tiles by one kernel, first the one whose sums cost least: before its first row, a step costs
// as much as `first` of them.
static int add_tiles(const hn__conv *c, hn__conv_side side, const char *kernel, const tile *list,
                     int n_tiles, int64_t first, hn__variant out[])
{
    const int64_t m = channels_of(c, side), n = side == HN__CONV_W ? c->cg : 1;
    double least = 0;

    for (int i = 0; i < n_tiles; i++) {
        const int64_t r = list[i].rows, q = side == HN__CONV_W ? list[i].cols : 1;
        const double cost = (double)(hn__pieces(m, r) * hn__pieces(n, q)) * (double)(r * q + first);
        out[i] = (hn__variant){ kernel, 2, { list[i].rows, list[i].cols } };
        if (i && cost >= least)
            continue;
        const hn__variant best = out[i]; // to the front
        out[i] = out[0];
        out[0] = best;
        least = cost;
    }
    return n_tiles;
}

// Whether the grids are of a size with the operands: padding and dilation may be any.
static bool grids_fit(const hn__conv *c, hn__conv_side side, const grid *g,
                      const hn_device_info *info)
{
    enum { ALWAYS = 1 << 20 };
    const hn_type x = hn__conv_x(c, HN_F32), y = hn__conv_y(c, HN_F32);
    const double own = (double)planes_of(c, g) * (double)g->plane;
    const double beside = side == HN__CONV_W ? (double)(c->n * c->groups * c->og) * (double)g->plane : 0;
    const double most = (double)info->max_binding_bytes / sizeof(float);

    return own < most && beside < most &&
           own + beside < ALWAYS + 4 * (double)(hn__numel(&x) + hn__numel(&y));
}

#define TILES(list) list, (int)(sizeof list / sizeof *list)

int hn__conv_grid_variants(const hn__conv *c, hn__conv_side side, bool lanes,
                           const hn_device_info *info, hn__variant out[])
{
    static const tile lane[] = { { 32, 1 }, { 24, 1 }, { 16, 1 }, { 8, 1 }, { 4, 1 } };
    static const tile lane_w[] = { { 6, 4 }, { 4, 4 }, { 4, 2 } };
    static const tile thread[] = { { 16, 16 }, { 8, 8 }, { 4, 4 } };
    const grid g = grid_of(c, side);
    const bool w = side == HN__CONV_W;
    int n = 0;

    if (!grids_fit(c, side, &g, info))
        return 0;
    if (lanes && !w)
        n = add_tiles(c, side, "conv_lanes", TILES(lane), 8, out);
    if (lanes && w && (info->features & HN_FEATURE_SUBGROUP))
        n = add_tiles(c, side, "conv_lanes_w", TILES(lane_w), 8, out);
    return n + add_tiles(c, side, w ? "conv_registers_w" : "conv_registers", TILES(thread), 16, &out[n]);
}

// ---- launch --------------------------------------------------------------------------------

// Copies operand i into scratch i.
static void launch_grid(const hn__inst *n, hn__launch *l, int i, const grid *g, int64_t planes,
                        const struct conv_grid_push *p)
{
    hn__dispatch *d = hn__add_dispatch(l, n, "conv_grid");

    d->n_bind = 2;
    d->bind[0] = HN__IN(i);
    d->bind[1] = HN__TMP(i);
    d->spec[0] = lanes_of(l->device);
    d->flop = 4 * (double)(planes * p->plane);
    hn__push(d, p, sizeof *p);
    hn__groups(d, planes);
    l->n_tmp = i + 1;
    // A turn of the sums' loop more, which a driver may run with no lane active.
    l->tmp_bytes[i] = (planes + MOST_TURN * g->phases[0] * g->phases[1]) * p->plane * (int64_t)sizeof(float);
}

static void copy_image(const hn__inst *n, hn__launch *l, const hn__conv *c, const grid *g, bool of_y)
{
    struct conv_grid_push p = {
        .channels = (uint32_t)g->real_channels, .grid_channels = (uint32_t)g->channels,
        .h = (uint32_t)(of_y ? c->oh : c->h), .w = (uint32_t)(of_y ? c->ow : c->w),
        .step_h = (uint32_t)g->phases[0], .step_w = (uint32_t)g->phases[1],
        .first_h = (int)-(of_y ? g->before[0] : c->pad[0]),
        .first_w = (int)-(of_y ? g->before[1] : c->pad[1]), .rows = (uint32_t)g->rows,
        .cols = (uint32_t)g->cols, .plane = (uint32_t)g->plane
    };
    launch_grid(n, l, 0, g, planes_of(c, g), &p);
}

static void copy_weights(const hn__inst *n, hn__launch *l, const hn__conv *c, hn__conv_side side,
                         const grid *g)
{
    const uint32_t rows = l->variant.param[0], taps = (uint32_t)(c->kh * c->kw);
    const uint32_t m = (uint32_t)channels_of(c, side);
    const int64_t panels = hn__pieces(m, rows);
    const int64_t size = c->groups * panels * taps * g->channels * rows;
    hn__dispatch *d = hn__add_dispatch(l, n, "conv_panel");

    d->n_bind = 2;
    d->bind[0] = HN__IN(1);
    d->bind[1] = HN__TMP(1);
    d->spec[0] = lanes_of(l->device);
    d->spec[1] = rows;
    d->n_spec = 2;
    d->flop = 4 * (double)size;
    HN__PUSH(d, conv_panel_push, .rows = m, .channels = (uint32_t)g->real_channels,
             .panel_channels = (uint32_t)g->channels, .taps = taps, .panels = (uint32_t)panels,
             .row_step = side == HN__CONV_X ? taps : (uint32_t)c->cg * taps,
             .channel_step = side == HN__CONV_X ? (uint32_t)c->cg * taps : taps);
    hn__groups(d, c->groups * panels * g->channels);
    l->n_tmp = 2;
    l->tmp_bytes[1] = (size + MOST_TURN * rows) * (int64_t)sizeof(float);
}

// Neighbouring runs of places whose registers stay in a processor's second cache together.
static uint32_t band_of(const hn__conv *c, const grid *g, uint32_t lanes)
{
    enum { BYTES = 256 << 10 };
    const int64_t band = BYTES / (g->channels * c->kh * lanes * (int64_t)sizeof(float));

    return band < 1 ? 1 : (uint32_t)band;
}

static bool is_lanes(const hn__launch *l)
{
    return !strncmp(l->variant.kernel, "conv_lanes", 10);
}

// The dispatch of the sums; its grid is left to the caller.
static hn__dispatch *launch_sums(const hn__inst *n, hn__launch *l, const hn__conv *c, const grid *g)
{
    const uint32_t lanes = lanes_of(l->device);
    hn__dispatch *d = hn__conv_dispatch(n, l, c, l->variant.kernel);
    struct conv_push *p = (struct conv_push *)d->push;

    p->grid_channels = (uint32_t)g->channels;
    p->cols = (uint32_t)g->cols;
    p->plane = (uint32_t)g->plane;
    p->before_h = (uint32_t)g->before[0];
    p->before_w = (uint32_t)g->before[1];
    p->band = band_of(c, g, lanes);
    d->bind[0] = HN__TMP(0);
    d->bind[1] = HN__TMP(1);
    d->spec[0] = lanes;
    d->spec[1] = l->variant.param[0];
    d->spec[2] = l->variant.param[1];
    d->n_spec = 4;
    if (is_lanes(l))
        hn__addresses(d, 2);
    return d;
}

// A tile a workgroup, or a thread.
static void set_tiles(hn__launch *l, hn__dispatch *d, int64_t tiles)
{
    if (is_lanes(l))
        hn__groups(d, tiles);
    else
        hn__threads(d, tiles);
}

static void launch_places(const hn__inst *n, hn__launch *l, const hn__conv *c, hn__conv_side side)
{
    const grid g = grid_of(c, side);
    const uint32_t *v = l->variant.param, lanes = lanes_of(l->device);
    int64_t parts = c->n * c->groups;

    for (int i = 0; i < 2 && side == HN__CONV_X; i++) {
        const int64_t size = i ? c->w : c->h;
        parts *= c->stride[i] < size ? c->stride[i] : size;
    }
    copy_image(n, l, c, &g, side == HN__CONV_X);
    copy_weights(n, l, c, side, &g);
    hn__dispatch *d = launch_sums(n, l, c, &g);
    struct conv_push *p = (struct conv_push *)d->push;
    p->tiles_m = (uint32_t)hn__pieces(channels_of(c, side), v[0]);
    p->tiles_n = (uint32_t)hn__pieces(g.places, is_lanes(l) ? lanes : v[1]);
    if (is_lanes(l))
        d->spec[2] = (uint32_t)turn_of(g.real_channels);
    d->spec[3] = (uint32_t)side;
    set_tiles(l, d, parts * p->tiles_m * p->tiles_n);
}

static void launch_weight(const hn__inst *n, hn__launch *l, const hn__conv *c)
{
    enum { TURN = 32 }; // places that conv_lanes_w has written out
    grid g = grid_of_x(c);
    const uint32_t *v = l->variant.param;
    const int64_t planes_y = c->n * c->groups * c->og;

    g.channels = c->cg; // each is read by itself
    struct conv_grid_push y = { .channels = (uint32_t)(c->groups * c->og), .h = (uint32_t)c->oh,
                                .w = (uint32_t)c->ow, .step_h = 1, .step_w = 1,
                                .rows = (uint32_t)c->oh, .cols = (uint32_t)g.cols };
    y.grid_channels = y.channels;
    y.plane = (uint32_t)round_up(c->oh * g.cols, TURN);
    copy_image(n, l, c, &g, false);
    launch_grid(n, l, 1, &g, planes_y, &y);
    hn__dispatch *d = launch_sums(n, l, c, &g);
    struct conv_push *p = (struct conv_push *)d->push;
    p->tiles_m = (uint32_t)hn__pieces(c->og, v[0]);
    p->tiles_n = (uint32_t)hn__pieces(c->cg, v[1]);
    p->plane_y = y.plane;
    d->spec[3] = TURN;
    set_tiles(l, d, c->groups * p->tiles_m * p->tiles_n * c->kh * c->kw);
}

void hn__conv_grid_launch(const hn__inst *n, const hn__conv *c, hn__conv_side side, hn__launch *l)
{
    if (side == HN__CONV_W)
        launch_weight(n, l, c);
    else
        launch_places(n, l, c, side);
}
