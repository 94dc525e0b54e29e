// matmul on devices: the ways to launch a product, and which one unmeasured.
#include "ops/matmul.h"

#include <math.h>
#include <string.h>

typedef hn__matmul_attr attr;
typedef hn__matmul_dims dims;

hn__dispatch *hn__matmul_dispatch(const hn__inst *n, hn__launch *l, const char *stem)
{
    const attr *at = n->attr;
    const dims d = hn__matmul_dims_of(n);
    hn__dispatch *k = hn__add_dispatch(l, n, stem);

    k->n_bind = 5;
    k->weights = n->in[1].dtype == n->out[0].dtype ? 0 : n->in[1].dtype;
    k->bind[2] = HN__IN(at->has_bias ? 2 : 0);
    k->bind[3] = HN__IN(hn__matmul_other(n));
    k->bind[4] = HN__OUT(0);
    k->flop = 2.0 * (double)(d.batch * d.m) * (double)d.n * (double)d.k;
    HN__PUSH(k, matmul_push, .batch = (uint32_t)d.batch, .m = (uint32_t)d.m, .n = (uint32_t)d.n,
             .k = (uint32_t)d.k, .a_batch = (uint32_t)d.a_batch, .b_batch = (uint32_t)d.b_batch,
             .a_row = (uint32_t)(at->transpose_a ? 1 : d.lda),
             .a_col = (uint32_t)(at->transpose_a ? d.lda : 1),
             .b_row = (uint32_t)(at->transpose_b ? 1 : d.ldb),
             .b_col = (uint32_t)(at->transpose_b ? d.ldb : 1), .scale = at->scale,
             .act = (uint32_t)at->act,
             .flags = (at->has_bias ? MATMUL_BIAS : 0) | (at->has_residual ? MATMUL_RESIDUAL : 0) |
                      (at->has_factor ? MATMUL_FACTOR : 0) |
                      (hn__is_quantised(n->in[0].dtype) ? MATMUL_A_BLOCKS : 0),
             .k_part = (uint32_t)d.k, .norm_eps = at->norm_eps);
    return k;
}

static int add_variant(hn__variant out[], int n, const char *kernel, uint32_t p0, uint32_t p1)
{
    out[n] = (hn__variant){ kernel, 2, { p0, p1 } };
    return n + 1;
}

// Software devices, "matmul": rows and columns of a thread's register tile. First the largest that
// leaves every lane of a few threads something to do. Measured on llvmpipe (Mesa 22.3, 2 threads;
// 512 x 512 x 1536): 16 x 16 17 GFLOP/s, 16 x 8 13, 8 x 8 9, 4 x 4 4; tiles in shared memory 1 to 5.
static int register_variants(const dims *d, int n, hn__variant out[])
{
    static const uint32_t tile[][2] = { { 16, 16 }, { 8, 8 }, { 4, 4 }, { 1, 4 } };
    enum { N = sizeof tile / sizeof *tile };
    int best = 0;

    while (best < N - 1 &&
           (tile[best][0] > 2 * d->m ||
            d->batch * hn__pieces(d->m, tile[best][0]) * hn__pieces(d->n, tile[best][1]) < 256))
        best++;
    n = add_variant(out, n, "matmul", tile[best][0], tile[best][1]);
    for (int c = 0; c < N; c++)
        if (c != best && tile[c][0] < 2 * d->m + tile[c][0] / 2)
            n = add_variant(out, n, "matmul", tile[c][0], tile[c][1]);
    return n;
}

// "matmul_lanes": rows of a lane, columns of tiles in a band. A step of k costs as much as 12 rows
// before the first: rows that are done twice count as well. Measured on llvmpipe (Mesa 26.1, 2
// threads): 42 to 76 GFLOP/s with 48 rows, 34 to 61 with 24, where "matmul" had 21 to 30.
static int lane_variants(const dims *d, int n, hn__variant out[])
{
    static const uint32_t rows[] = { 64, 48, 32, 24, 16, 12, 8, 6, 4, 3, 2, 1 };
    enum { N = sizeof rows / sizeof *rows, BAND = 8, FIRST = 12 };
    double cost[N], least = INFINITY;

    for (int i = 0; i < N; i++) {
        cost[i] =
            rows[i] > d->m ? INFINITY : (double)hn__pieces(d->m, rows[i]) * (rows[i] + FIRST);
        least = cost[i] < least ? cost[i] : least;
    }
    const int first = n;
    for (int i = 0; i < N; i++) {
        if (cost[i] > 1.25 * least)
            continue;
        add_variant(out, n, "matmul_lanes", rows[i], BAND);
        if (cost[i] == least) { // to the front
            const hn__variant best = out[n];
            out[n] = out[first];
            out[first] = best;
        }
        n++;
    }
    return n;
}

// "matmul_lanes_k": rows of a subgroup, which has as many lanes as columns. A word of a stored matrix
// is read once for all lanes, where each lane of "matmul_lanes" would gather eight.
enum { LANES_K = 8 };

static int lane_k_variants(const hn__inst *n, const hn_device_info *info, const dims *d,
                           hn__variant out[])
{
    enum { MOST = 4 };
    const attr *at = n->attr;
    const bool halves = hn__is_half(n->in[0].dtype) || hn__is_half(n->in[1].dtype);

    if (at->transpose_a || !at->transpose_b || info->subgroup_size != LANES_K || d->m > MOST ||
        !(info->features & HN_FEATURE_SUBGROUP) || (halves && d->k % 2))
        return 0;
    return add_variant(out, 0, "matmul_lanes_k", (uint32_t)d->m, 0);
}

static int software_variants(const hn__inst *n, const hn_device_info *info, const dims *d,
                             hn__variant out[])
{
    const hn_dtype a = n->in[0].dtype, b = n->in[1].dtype;
    const bool is_packed = !(info->features & HN_FEATURE_STORAGE_16) &&
                           (a == HN_F16 || a == HN_BF16 || b == HN_F16 || b == HN_BF16);
    const bool lanes = hn__loads_once(info) && !is_packed;
    const bool panels = !hn__is_quantised(a) && !is_packed;
    const bool pay = hn__matmul_panels_pay(d, info);
    int count = lanes ? lane_k_variants(n, info, d, out) : 0;

    if (panels && pay)
        count += hn__matmul_panel_variants(d, info, &out[count]);
    if (lanes)
        count = lane_variants(d, count, out);
    count = register_variants(d, count, out);
    if (panels && !pay)
        count += hn__matmul_panel_variants(d, info, &out[count]);
    return count;
}

int hn__matmul_variants(const hn__inst *n, const hn_device_info *info, hn__variant out[])
{
    const dims d = hn__matmul_dims_of(n);

    return strcmp(info->type, "software") ? hn__matmul_gpu_variants(n, info, out)
                                          : software_variants(n, info, &d, out);
}

// a of blocks as f32, in scratch: matmul_lanes reads it through its address.
static void expand_a(const hn__inst *n, hn__launch *l)
{
    const int64_t elements = hn__numel(&n->in[0]);
    hn__dispatch *k = hn__add_dispatch(l, n, "dequantize");

    k->weights = n->in[0].dtype;
    k->n_bind = 2;
    k->bind[0] = HN__IN(0);
    k->bind[1] = HN__TMP(0);
    HN__PUSH(k, quantize_push, .blocks = (uint32_t)(elements / hn_dtype_block(k->weights)));
    hn__threads(k, elements / 4);
    l->n_tmp = 1;
    l->tmp_bytes[0] = elements * 4;
}

// A dispatch that reads a through its address, as f32 where it came in blocks.
static hn__dispatch *lanes_dispatch(const hn__inst *n, hn__launch *l, int n_address)
{
    const bool expand = hn__is_quantised(n->in[0].dtype);

    if (expand)
        expand_a(n, l);
    hn__dispatch *k = hn__matmul_dispatch(n, l, l->variant.kernel);
    if (expand)
        k->bind[0] = HN__TMP(0);
    hn__addresses(k, n_address);
    return k;
}

static void launch_lanes(const hn__inst *n, hn__launch *l)
{
    const attr *at = n->attr;
    const uint32_t *p = l->variant.param;
    const dims d = hn__matmul_dims_of(n);
    hn__dispatch *k = lanes_dispatch(n, l, 1);

    k->spec[0] = l->device->subgroup_size;
    k->spec[1] = p[0];
    k->spec[2] = (uint32_t)at->transpose_a;
    k->spec[3] = p[1];
    k->n_spec = 4;
    hn__groups(k, d.batch * hn__pieces(d.m, p[0]) * hn__pieces(d.n, k->spec[0]));
}

static void launch_lanes_k(const hn__inst *n, hn__launch *l)
{
    const uint32_t rows = l->variant.param[0];
    const dims d = hn__matmul_dims_of(n);
    hn__dispatch *k = lanes_dispatch(n, l, 2);

    k->spec[0] = LANES_K;
    k->spec[1] = rows;
    k->n_spec = 2;
    hn__groups(k, d.batch * hn__pieces(d.m, rows) * hn__pieces(d.n, LANES_K));
}

static void launch_variant(const hn__inst *n, hn__launch *l)
{
    const uint32_t *p = l->variant.param;
    const dims d = hn__matmul_dims_of(n);

    if (!strcmp(l->variant.kernel, "matmul")) {
        hn__dispatch *k = hn__matmul_dispatch(n, l, "matmul");
        k->spec[0] = 32;
        k->spec[1] = p[0];
        k->spec[2] = p[1];
        k->n_spec = 3;
        hn__threads(k, d.batch * hn__pieces(d.m, p[0]) * hn__pieces(d.n, p[1]));
    } else if (!strcmp(l->variant.kernel, "matmul_lanes")) {
        launch_lanes(n, l);
    } else if (!strcmp(l->variant.kernel, "matmul_panels") ||
               !strcmp(l->variant.kernel, "matmul_shuffle")) {
        hn__matmul_panel_launch(n, l);
    } else if (!strcmp(l->variant.kernel, "matmul_lanes_k")) {
        launch_lanes_k(n, l);
    } else {
        hn__matmul_gpu_launch(n, l);
    }
}

void hn__matmul_launch(const hn__inst *n, hn__launch *l)
{
    launch_variant(n, l);
    hn__matmul_norm_launch(n, l);
}
