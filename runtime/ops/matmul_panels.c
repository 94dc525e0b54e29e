// matmul on software devices whose lanes are a processor's registers: both operands are copied into
// panels, which are then read from beginning to end. "matmul_panels" is for lavapipe since Mesa 25
// (Vulkan 1.4); against "matmul_lanes" it saves gathers, conflicts of rows that lie a power of two
// apart, and most of what the driver's loops cost. "matmul_shuffle" is for drivers that fetch the lanes
// of a load one by one, in a loop of their own (lavapipe of Mesa 22): it makes few and wide ones.
// Measured on llvmpipe (Mesa 22.3, 2 threads of a Skylake, peak 30 GFLOP/s): 10 to 16 GFLOP/s, where
// "matmul" has 3.
#include "ops/matmul.h"

#include <string.h>

typedef hn__matmul_dims dims;

// Rows and columns of a tile; steps of k that are written out.
enum { ROWS, STEPS, COLUMNS, N_PARAMS };

static int add_variant(const dims *d, const hn_device_info *info, const hn__variant *v,
                       hn__variant out[], int n)
{
    const uint32_t *tile = v->param;
    const int64_t k = hn__pieces(d->k, tile[STEPS]) * tile[STEPS];
    const int64_t most = info->max_binding_bytes / (int64_t)sizeof(float);
    const int64_t rows = d->m + tile[ROWS], columns = d->n + tile[COLUMNS];
    const int64_t a = rows * (k + tile[STEPS]) * (d->a_batch ? d->batch : 1);
    const int64_t b = columns * (k + tile[STEPS]) * (d->b_batch ? d->batch : 1);

    if (a > most || b > most)
        return n;
    out[n] = *v;
    return n + 1;
}

int hn__matmul_panel_variants(const dims *d, const hn_device_info *info, hn__variant out[])
{
    enum { LANES = 8, COLUMNS_8 = 8 * LANES };
    static const hn__variant shuffles[] = {
        { "matmul_shuffle", N_PARAMS, { 32, 4, COLUMNS_8 } },
        { "matmul_shuffle", N_PARAMS, { 16, 4, COLUMNS_8 } },
    };
    const hn__variant panels = { "matmul_panels", N_PARAMS, { 24, 32, info->subgroup_size } };
    int n = 0;

    if (hn__loads_once(info))
        return add_variant(d, info, &panels, out, n);
    if (hn__vector_lanes(info) != LANES)
        return n;
    const int first = d->m <= 16;
    n = add_variant(d, info, &shuffles[first], out, n);
    return add_variant(d, info, &shuffles[!first], out, n);
}

bool hn__matmul_panels_pay(const dims *d, const hn_device_info *info)
{
    return hn__loads_once(info) ? d->m >= 128 && d->n >= 128 && d->k >= 64
                                : d->m >= 12 && d->n >= 32 && d->k >= 16;
}

// Neighbouring columns of tiles whose panels stay in a processor's second cache together.
static uint32_t band_of(uint32_t k, uint32_t columns)
{
    enum { BYTES = 512 << 10, MOST = 8 };
    const uint32_t band = BYTES / (uint32_t)sizeof(float) / columns / k;

    return band < 1 ? 1 : band > MOST ? MOST : band;
}

// Copies an operand into scratch, in panels of `wide` rows or columns.
static void launch_panels(const hn__inst *n, hn__launch *l, int operand, uint32_t wide,
                          const struct panels_push *p, int64_t batch)
{
    enum { DEEP = 64 };
    hn__dispatch *k = hn__add_dispatch(l, n, "panels");
    const hn_dtype t = n->in[operand].dtype;
    const int64_t panels = batch * hn__pieces(p->count, wide), size = panels * wide * p->k_panel;

    k->weights = t == n->out[0].dtype ? 0 : t;
    k->n_bind = 2;
    k->bind[0] = HN__IN(operand);
    k->bind[1] = HN__TMP(operand);
    k->spec[0] = l->device->subgroup_size;
    k->spec[1] = wide;
    k->spec[2] = DEEP;
    k->spec[3] = k->weights == 0 && hn__loads_once(l->device);
    k->n_spec = 4;
    k->flop = 4 * (double)size;
    hn__push(k, p, sizeof *p);
    hn__addresses(k, 1);
    hn__groups(k, panels * hn__pieces(p->k_panel, DEEP));
    l->n_tmp = operand + 1;
    // A turn of the product's loop more, which a driver may run with no lane active.
    l->tmp_bytes[operand] = (size + wide * l->variant.param[STEPS]) * (int64_t)sizeof(float);
}

// Both operands in panels; fills p for the product of these.
static void copy_operands(const hn__inst *n, hn__launch *l, struct matmul_push *p)
{
    const dims d = hn__matmul_dims_of(n);
    const uint32_t rows = l->variant.param[ROWS], columns = l->variant.param[COLUMNS];
    const uint32_t steps = l->variant.param[STEPS];
    const uint32_t k = (uint32_t)(hn__pieces(p->k, steps) * steps);
    struct panels_push a = { .count = p->m, .k = p->k, .k_panel = k, .batch_step = p->a_batch,
                             .step = p->a_row, .k_step = p->a_col };
    struct panels_push b = { .count = p->n, .k = p->k, .k_panel = k, .batch_step = p->b_batch,
                             .step = p->b_col, .k_step = p->b_row };

    launch_panels(n, l, 0, rows, &a, d.a_batch ? d.batch : 1);
    launch_panels(n, l, 1, columns, &b, d.b_batch ? d.batch : 1);
    p->k = k;
    p->a_batch = d.a_batch ? (uint32_t)(hn__pieces(p->m, rows) * rows * k) : 0;
    p->b_batch = d.b_batch ? (uint32_t)(hn__pieces(p->n, columns) * columns * k) : 0;
}

void hn__matmul_panel_launch(const hn__inst *n, hn__launch *l)
{
    const uint32_t *v = l->variant.param;
    const bool shuffles = !strcmp(l->variant.kernel, "matmul_shuffle");
    const dims d = hn__matmul_dims_of(n);
    hn__dispatch product = *hn__matmul_dispatch(n, l, l->variant.kernel);
    struct matmul_push p;

    l->n--; // the copies come before it
    memcpy(&p, product.push, sizeof p);
    copy_operands(n, l, &p);
    p.band = band_of(p.k, v[COLUMNS]);
    hn__push(&product, &p, sizeof p);
    product.weights = 0;
    product.type = n->out[0].dtype;
    product.bind[0] = HN__TMP(0);
    product.bind[1] = HN__TMP(1);
    const uint32_t spec[] = { l->device->subgroup_size, v[ROWS], v[STEPS], p.flags, p.act };
    product.n_spec = shuffles ? 5 : 3;
    memcpy(product.spec, spec, sizeof spec);
    if (!shuffles)
        hn__addresses(&product, 2);
    hn__groups(&product, d.batch * hn__pieces(d.m, v[ROWS]) * hn__pieces(d.n, v[COLUMNS]));
    l->d[l->n++] = product;
}
