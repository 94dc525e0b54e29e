// reshape: the same elements in the same order under another shape; no copy.
#include "ops/table.h"

#include <string.h>

typedef struct attr {
    hn_type to; // dtype unused
} attr;

hn_val hn_reshape(hn_graph *g, hn_val x, int rank, const int64_t dim[])
{
    attr a = { .to = { .rank = rank } };

    if (!x.id)
        return x;
    if (rank < 0 || rank > HN_MAX_RANK)
        return hn__graph_fail(g, hn_fail(HN_ERR_ARG, "reshape: rank %d", rank));
    int64_t known = 1;
    int rest = -1;
    for (int i = 0; i < rank; i++) {
        a.to.dim[i] = dim[i];
        if (dim[i] == -1 && rest < 0)
            rest = i;
        else
            known *= dim[i];
    }
    if (rest >= 0)
        a.to.dim[rest] = known > 0 ? hn__numel(hn__type(g, x)) / known : 0;
    return HN__EMIT(g, reshape, &a, x);
}

static hn_status infer(hn__inst *n)
{
    const attr *a = n->attr;

    n->n_out = 1;
    n->out[0] = a->to;
    n->out[0].dtype = n->in[0].dtype;
    HN_TRY(hn__type_check(&n->out[0]));
    if (hn__numel(&n->out[0]) != hn__numel(&n->in[0])) {
        char from[128], to[128];
        return hn_fail(HN_ERR_SHAPE, "%s cannot become %s",
                       hn__type_text(&n->in[0], from, sizeof from),
                       hn__type_text(&n->out[0], to, sizeof to));
    }
    return HN_OK;
}

static void ref(const hn__inst *n, const double *const in[], double *const out[])
{
    memcpy(out[0], in[0], sizeof(double) * (size_t)hn__numel(&n->out[0]));
}

static void grad(hn_graph *g, const hn__inst *n, const hn_val in[], const hn_val out[],
                 const hn_val dy[], hn_val din[])
{
    (void)in, (void)out;
    din[0] = hn_reshape(g, dy[0], n->in[0].rank, n->in[0].dim);
}

static void sample(hn_rng *rng, hn__sample *s)
{
    const int64_t a = hn__rng_dim(rng, 16), b = hn__rng_dim(rng, 16), c = hn__rng_dim(rng, 16);

    s->inst.n_in = 1;
    s->inst.in[0] = (hn_type){ .rank = 3, .dim = { a, b, c } };
    *(attr *)s->inst.attr = (attr){ .to = { .rank = 2, .dim = { a * b, c } } };
}

const hn__op_fns hn__fns_reshape = {
    .attr_bytes = sizeof(attr), .infer = infer, .ref = ref, .grad = grad, .sample = sample
};
