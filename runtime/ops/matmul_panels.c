// matmul on lavapipe since Mesa 25 (Vulkan 1.4): both operands are copied into panels, which are
// then read from beginning to end. Against "matmul_lanes" that saves gathers, conflicts of rows
// that lie a power of two apart, and most of what the driver's loops cost.
#include "ops/matmul.h"

#include <string.h>

typedef hn__matmul_dims dims;

// Rows of a lane; steps of k that are written out.
enum { ROWS, STEPS, N_PARAMS };
static const uint32_t tile[N_PARAMS] = { 24, 32 };

int hn__matmul_panel_variants(const dims *d, const hn_device_info *info, hn__variant out[])
{
    const int64_t k = hn__pieces(d->k, tile[STEPS]) * tile[STEPS];
    const int64_t most = info->max_binding_bytes / (int64_t)sizeof(float);
    const int64_t rows = d->m + tile[ROWS], columns = d->n + info->subgroup_size;
    const int64_t a = rows * (k + tile[STEPS]) * (d->a_batch ? d->batch : 1);
    const int64_t b = columns * (k + tile[STEPS]) * (d->b_batch ? d->batch : 1);

    if (a > most || b > most)
        return 0;
    *out = (hn__variant){ "matmul_panels", N_PARAMS, { tile[ROWS], tile[STEPS] } };
    return 1;
}

bool hn__matmul_panels_pay(const dims *d)
{
    return d->m >= 128 && d->n >= 128 && d->k >= 64;
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
    k->spec[3] = k->weights == 0;
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
    const uint32_t rows = l->variant.param[ROWS], columns = l->device->subgroup_size;
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
    const uint32_t *v = l->variant.param, lanes = l->device->subgroup_size;
    const dims d = hn__matmul_dims_of(n);
    hn__dispatch product = *hn__matmul_dispatch(n, l, "matmul_panels");
    struct matmul_push p;

    l->n--; // the copies come before it
    memcpy(&p, product.push, sizeof p);
    copy_operands(n, l, &p);
    p.band = band_of(p.k, lanes);
    hn__push(&product, &p, sizeof p);
    hn__addresses(&product, 2);
    product.weights = 0;
    product.type = n->out[0].dtype;
    product.bind[0] = HN__TMP(0);
    product.bind[1] = HN__TMP(1);
    product.spec[0] = lanes;
    memcpy(&product.spec[1], v, N_PARAMS * sizeof *v);
    product.n_spec = 1 + N_PARAMS;
    hn__groups(&product, d.batch * hn__pieces(d.m, v[ROWS]) * hn__pieces(d.n, lanes));
    l->d[l->n++] = product;
}
