// matmul of few rows with the RMS norm that a passes first: the kernels of GPUs that read all of a row
// for each column add up its squares on the way, so that a norm is no dispatch of its own. On software
// devices what that adds to five products a layer costs what the dispatch did (lavapipe 26, a token of
// SmolLM2: level), so there a norm stays one.
#include "ops/matmul.h"

#include "ops/rms_norm.h"

#include <string.h>

// Beyond, what each kernel does again for a row is more than a pass over a.
enum { MOST_ROWS = 4 };

int hn__matmul_norm_weight(const hn__inst *n)
{
    const hn__matmul_attr *at = n->attr;
    return at->norm_eps > 0 ? 2 + at->has_bias : 0;
}

// Whether a kernel does the norm itself.
static bool takes_norm(const hn__inst *n, const char *kernel)
{
    return hn__matmul_dims_of(n).m <= MOST_ROWS &&
           (!strcmp(kernel, "matmul_dots") || !strcmp(kernel, "matmul_vec"));
}

bool hn__matmul_prepend(hn__inst *n, const hn__inst *before, const hn_device_info *info, int *out_at)
{
    hn__matmul_attr *at = n->attr;
    hn__variant v[HN__MAX_VARIANTS];

    if (before->op->id != HN__OP_rms_norm || at->norm_eps > 0 || at->transpose_a ||
        info->kind != HN_DEVICE_VULKAN)
        return false;
    hn__matmul_variants(n, info, v);
    if (!takes_norm(n, v[0].kernel))
        return false;
    at->norm_eps = hn__rms_norm_eps(before);
    *out_at = hn__matmul_norm_weight(n);
    return true;
}

// The norm alone, of operand 0.
static hn__inst norm_of(const hn__inst *n, hn__rms_norm_attr *attr)
{
    *attr = (hn__rms_norm_attr){ ((const hn__matmul_attr *)n->attr)->norm_eps };
    return (hn__inst){ .op = &hn__ops[HN__OP_rms_norm], .n_in = 2, .n_out = 1,
                       .in = { n->in[0], n->in[hn__matmul_norm_weight(n)] },
                       .out = { n->in[0] }, .attr = attr };
}

// For kernels that do not: the norm goes to scratch, which takes a's place in all dispatches.
static void norm_first(const hn__inst *n, hn__launch *l)
{
    hn__rms_norm_attr attr;
    const hn__inst norm = norm_of(n, &attr);
    hn__launch own = { .device = l->device };
    const uint8_t made = HN__TMP(l->n_tmp);

    norm.op->fn->launch(&norm, &own);
    for (int i = 0; i < l->n; i++)
        for (int k = 0; k < l->d[i].n_bind; k++)
            if (l->d[i].bind[k] == HN__IN(0))
                l->d[i].bind[k] = made;
    memmove(&l->d[1], &l->d[0], (size_t)l->n * sizeof *l->d);
    l->n++;
    l->d[0] = own.d[0];
    l->d[0].bind[1] = HN__IN(hn__matmul_norm_weight(n));
    l->d[0].bind[2] = made;
    l->tmp_bytes[l->n_tmp++] = hn_type_bytes(&n->in[0]);
}

void hn__matmul_norm_launch(const hn__inst *n, hn__launch *l)
{
    if (hn__matmul_norm_weight(n) && !takes_norm(n, l->variant.kernel))
        norm_first(n, l);
}

uint32_t hn__matmul_norm_bind(const hn__inst *n, hn__dispatch *k)
{
    k->bind[k->n_bind++] = HN__IN(hn__matmul_norm_weight(n));
    return hn__matmul_norm_weight(n) && takes_norm(n, k->kernel);
}

// ---- host ----------------------------------------------------------------------------------

int64_t hn__matmul_norm_scratch(const hn__inst *n)
{
    return hn__matmul_norm_weight(n) ? hn__numel(&n->in[0]) * (int64_t)sizeof(float) : 0;
}

const void *hn__matmul_norm_host(const hn__inst *n, const hn__host *h, void *room)
{
    hn__rms_norm_attr attr;
    const hn__inst norm = norm_of(n, &attr);

    if (!hn__matmul_norm_weight(n))
        return h->in[0];
    norm.op->fn->host(&norm, &(hn__host){ .in = { h->in[0], h->in[hn__matmul_norm_weight(n)] },
                                          .out = { room }, .pool = h->pool });
    return room;
}
