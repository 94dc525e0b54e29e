// matmul on GPUs where a has at most 8 rows, as in decoding: bound by reading b, once. Like the tiles,
// none of this was measured on a card.
#include "ops/matmul.h"

#include <string.h>

typedef hn__matmul_dims dims;

// Rows that a kernel is made for are a constant of its loops.
static uint32_t rows_for(int64_t m)
{
    uint32_t rows = 1;
    while (rows < m)
        rows *= 2;
    return rows;
}

// ---- both along k ---------------------------------------------------------------------------

enum { THREADS, COLS, ROWS, N_DOTS };

// matmul_dots, matmul_dots8: threads of a workgroup, and columns that it makes.
static const uint32_t dots_list[][2] = { { 32, 4 },  { 64, 4 },  { 128, 4 },
                                         { 64, 2 },  { 128, 2 }, { 256, 1 } };
enum { N_LIST = sizeof dots_list / sizeof *dots_list };

// Eight elements of both at a time, at places that are multiples of eight.
static bool takes_dots(const hn__inst *n, const dims *d, const hn_device_info *info)
{
    const uint32_t layout = hn__matmul_layout(n), along = MATMUL_A_ALONG_K | MATMUL_B_ALONG_K;

    return (layout & along) == along && d->k % 8 == 0 && (info->features & HN_FEATURE_SUBGROUP) &&
           info->subgroup_size >= 4;
}

// Two columns where four leave too few workgroups; then the most threads that have four turns each.
static bool is_better(const dims *d, const hn_device_info *info, const uint32_t *p)
{
    const bool few = d->batch * hn__pieces(d->n, 4) < 2 * hn__enough_groups(info);

    return p[COLS] == (few ? 2u : 4u) && (p[THREADS] <= 64 || d->k >= 8 * 4 * (int64_t)p[THREADS]);
}

// Adds those of a kernel, the best guess first; returns how many there are then.
static int add_dots(const char *kernel, const dims *d, const hn_device_info *info, hn__variant out[],
                    int n)
{
    const int begin = n;
    int best = n;

    for (int i = 0; i < N_LIST; i++) {
        const uint32_t *p = dots_list[i];
        if (p[THREADS] > info->max_invocations)
            continue;
        if (is_better(d, info, p))
            best = n;
        out[n++] = (hn__variant){ kernel, N_DOTS, { p[THREADS], p[COLS], rows_for(d->m) } };
    }
    hn__variant_first(&out[begin], best - begin);
    return n;
}

// matmul_dots8 where both are blocks and the device adds up products of bytes.
static int dots_variants(const hn__inst *n, const dims *d, const hn_device_info *info,
                         hn__variant out[])
{
    const bool by_bytes = hn__is_quantised(n->in[0].dtype) && (info->features & HN_FEATURE_INT_DOT);

    return add_dots("matmul_dots", d, info, out,
                    by_bytes ? add_dots("matmul_dots8", d, info, out, 0) : 0);
}

static void launch_dots(const hn__inst *n, hn__launch *l)
{
    const uint32_t *p = l->variant.param;
    const dims d = hn__matmul_dims_of(n);
    hn__dispatch *k = hn__matmul_dispatch(n, l, l->variant.kernel);

    k->spec[0] = p[THREADS];
    k->spec[1] = p[COLS];
    k->spec[2] = p[ROWS];
    k->n_spec = 3;
    if (!strcmp(k->kernel, "matmul_dots"))
        k->spec[k->n_spec++] = hn__matmul_norm_bind(n, k);
    hn__groups(k, d.batch * hn__pieces(d.n, p[COLS]));
}

// ---- any layout -----------------------------------------------------------------------------

enum { VEC_LANES, VEC_ROWS, N_VEC, VEC_THREADS = 128 };

static void launch_vec(const hn__inst *n, hn__launch *l)
{
    const uint32_t *p = l->variant.param, layout = hn__matmul_layout(n);
    const dims d = hn__matmul_dims_of(n);
    const int64_t cols = VEC_THREADS / p[VEC_LANES] * (layout & MATMUL_B_ALONG_K ? 1 : 4);
    hn__dispatch *k = hn__matmul_dispatch(n, l, "matmul_vec");

    k->spec[0] = VEC_THREADS;
    k->spec[1] = p[VEC_LANES];
    k->spec[2] = p[VEC_ROWS];
    k->spec[3] = layout;
    k->spec[4] = hn__matmul_norm_bind(n, k);
    k->n_spec = 5;
    hn__groups(k, d.batch * hn__pieces(d.n, cols));
}

int hn__matmul_few_variants(const hn__inst *n, const hn_device_info *info, hn__variant out[])
{
    static const uint32_t lanes[] = { 32, 16, 64 }; // that share a column's sums
    const dims d = hn__matmul_dims_of(n);
    int count = 0;

    if (d.m > 8)
        return 0;
    if (takes_dots(n, &d, info))
        count = dots_variants(n, &d, info, out);
    for (int i = 0; i < 3; i++)
        out[count++] = (hn__variant){ "matmul_vec", N_VEC, { lanes[i], rows_for(d.m) } };
    return count;
}

void hn__matmul_few_launch(const hn__inst *n, hn__launch *l)
{
    if (!strcmp(l->variant.kernel, "matmul_vec"))
        launch_vec(n, l);
    else
        launch_dots(n, l);
}
