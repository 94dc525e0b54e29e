// matmul on devices: the ways to launch a product, and which one unmeasured.
#include "ops/matmul.h"

#include <string.h>

typedef hn__matmul_attr attr;
typedef hn__matmul_dims dims;

static int64_t tiles(int64_t n, int64_t tile)
{
    return (n + tile - 1) / tile;
}

hn__dispatch *hn__matmul_dispatch(const hn__inst *n, hn__launch *l, const char *stem)
{
    const attr *at = n->attr;
    const dims d = hn__matmul_dims_of(n);
    hn__dispatch *k = hn__add_dispatch(l, n, stem);

    k->n_bind = 5;
    k->weights = n->in[1].dtype == n->out[0].dtype ? 0 : n->in[1].dtype;
    k->bind[2] = HN__IN(at->has_bias ? 2 : 0);
    k->bind[3] = HN__IN(at->has_residual ? n->n_in - 1 : 0);
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
                      (hn__is_quantised(n->in[0].dtype) ? MATMUL_A_BLOCKS : 0),
             .k_part = (uint32_t)d.k);
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
static int register_variants(const dims *d, hn__variant out[])
{
    static const uint32_t tile[][2] = { { 16, 16 }, { 8, 8 }, { 4, 4 }, { 1, 4 } };
    enum { N = sizeof tile / sizeof *tile };
    int best = 0, n = 0;

    while (best < N - 1 && (tile[best][0] > 2 * d->m ||
                            d->batch * tiles(d->m, tile[best][0]) * tiles(d->n, tile[best][1]) < 256))
        best++;
    n = add_variant(out, n, "matmul", tile[best][0], tile[best][1]);
    for (int c = 0; c < N; c++)
        if (c != best && tile[c][0] < 2 * d->m + tile[c][0] / 2)
            n = add_variant(out, n, "matmul", tile[c][0], tile[c][1]);
    return n;
}

int hn__matmul_variants(const hn__inst *n, const hn_device_info *info, hn__variant out[])
{
    const dims d = hn__matmul_dims_of(n);

    return strcmp(info->type, "software") ? hn__matmul_gpu_variants(n, info, out)
                                          : register_variants(&d, out);
}

void hn__matmul_launch(const hn__inst *n, hn__launch *l)
{
    const uint32_t *p = l->variant.param;
    const dims d = hn__matmul_dims_of(n);

    if (strcmp(l->variant.kernel, "matmul")) {
        hn__matmul_gpu_launch(n, l);
        return;
    }
    hn__dispatch *k = hn__matmul_dispatch(n, l, l->variant.kernel);
    k->spec[0] = 32;
    k->spec[1] = p[0];
    k->spec[2] = p[1];
    k->n_spec = 3;
    hn__threads(k, d.batch * tiles(d.m, p[0]) * tiles(d.n, p[1]));
}
