// conv2d_weight_grad: the gradient of conv2d to its weight. in[0] is x, in[1] the gradient of y.
#include "ops/conv.h"

static hn_status sizes_of(const hn__inst *n, hn__conv_attr *a, hn__conv *c)
{
    const hn_type *x = &n->in[0], *y = &n->in[1];
    const int groups = a->p.groups > 0 ? a->p.groups : 1;
    hn_type w = { x->dtype, 4, { y->rank == 4 ? y->dim[1] : 1, 0, a->size[0], a->size[1] } };

    w.dim[1] = x->rank == 4 ? x->dim[1] / groups : 1;
    HN_TRY(hn__type_check(&w));
    HN_TRY(hn__conv_sizes(x, &w, &a->p, c));
    const hn_type want = hn__conv_y(c, x->dtype);
    return hn__conv_want(y, &want, "the gradient of y");
}

static hn_status infer(hn__inst *n)
{
    hn__conv c;

    HN_TRY(hn__want_float(n, 0));
    HN_TRY(sizes_of(n, n->attr, &c));
    n->n_out = 1;
    n->out[0] = hn__conv_w(&c, n->in[0].dtype);
    return HN_OK;
}

static hn__conv sizes(const hn__inst *n)
{
    hn__conv_attr a = *(const hn__conv_attr *)n->attr;
    hn__conv c = { 0 };

    sizes_of(n, &a, &c); // infer has seen that it fits
    return c;
}

static void ref(const hn__inst *n, const double *const in[], double *const out[])
{
    const hn__conv c = sizes(n);
    hn__conv_ref(&c, HN__CONV_W, (double *)(uintptr_t)in[0], out[0], (double *)(uintptr_t)in[1]);
}

static void host(const hn__inst *n, const hn__host *h)
{
    const hn__conv c = sizes(n);
    hn__conv_host(&c, HN__CONV_W, (float *)(uintptr_t)h->in[0], h->out[0],
                  (float *)(uintptr_t)h->in[1], h->scratch, h->pool);
}

static int64_t scratch(const hn__inst *n, int n_threads)
{
    const hn__conv c = sizes(n);
    return hn__conv_scratch(&c, n_threads);
}

static void grad(hn_graph *g, const hn__inst *n, const hn_val in[], const hn_val out[],
                 const hn_val dy[], hn_val din[])
{
    const hn__conv_attr *a = n->attr;
    const hn_type *x = &n->in[0];

    (void)out;
    din[0] = hn_conv2d_transpose(g, in[1], dy[0], x->dim[2], x->dim[3], &a->p);
    din[1] = hn_conv2d(g, in[0], dy[0], &a->p);
}

static int variants(const hn__inst *n, const hn_device_info *d, hn__variant out[])
{
    const hn__conv c = sizes(n);
    return hn__conv_variants(n, &c, HN__CONV_W, d, out);
}

static void launch(const hn__inst *n, hn__launch *l)
{
    const hn__conv c = sizes(n);
    hn__conv_launch(n, &c, HN__CONV_W, l);
}

static void sample(hn_rng *rng, hn__sample *s)
{
    hn__conv_attr *a = s->inst.attr;
    const hn__conv c = hn__conv_sample(rng, &a->p);

    a->size[0] = c.kh;
    a->size[1] = c.kw;
    s->inst.n_in = 2;
    s->inst.in[0] = hn__conv_x(&c, 0);
    s->inst.in[1] = hn__conv_y(&c, 0);
}

const hn__op_fns hn__fns_conv2d_weight_grad = {
    .attr_bytes = sizeof(hn__conv_attr), .infer = infer, .ref = ref, .host = host,
    .scratch = scratch, .grad = grad, .variants = variants, .launch = launch, .sample = sample
};
