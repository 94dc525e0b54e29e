// conv2d_transpose: the gradient of conv2d to its image, as an operator of its own.
#include "ops/conv.h"

hn_val hn_conv2d_transpose(hn_graph *g, hn_val y, hn_val w, int64_t h, int64_t width,
                           const hn_conv_params *params)
{
    hn__conv_attr a = { .size = { h, width } };

    if (params)
        a.p = *params;
    return HN__EMIT(g, conv2d_transpose, &a, y, w);
}

static hn_status sizes_of(const hn__inst *n, hn__conv_attr *a, hn__conv *c)
{
    const hn_type *y = &n->in[0], *w = &n->in[1];
    hn_type x = { y->dtype, 4, { y->rank == 4 ? y->dim[0] : 1, 0, a->size[0], a->size[1] } };

    x.dim[1] = (w->rank == 4 ? w->dim[1] : 1) * (a->p.groups > 0 ? a->p.groups : 1);
    HN_TRY(hn__type_check(&x));
    HN_TRY(hn__conv_sizes(&x, w, &a->p, c));
    const hn_type want = hn__conv_y(c, w->dtype);
    return hn__conv_want(y, &want, "y");
}

static hn_status infer(hn__inst *n)
{
    hn__conv c;

    HN_TRY(hn__want_float(n, 0));
    HN_TRY(sizes_of(n, n->attr, &c));
    n->n_out = 1;
    n->out[0] = hn__conv_x(&c, n->in[0].dtype);
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
    hn__conv_ref(&c, HN__CONV_X, out[0], (double *)(uintptr_t)in[1], (double *)(uintptr_t)in[0]);
}

static void host(const hn__inst *n, const hn__host *h)
{
    const hn__conv c = sizes(n);
    hn__conv_host(&c, HN__CONV_X, h->out[0], (float *)(uintptr_t)h->in[1],
                  (float *)(uintptr_t)h->in[0], h->scratch, h->pool);
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
    const hn_type *w = &n->in[1];

    (void)out;
    din[0] = hn_conv2d(g, dy[0], in[1], &a->p);
    din[1] = HN__EMIT(g, conv2d_weight_grad,
                      (&(hn__conv_attr){ a->p, { w->dim[2], w->dim[3] } }), dy[0], in[0]);
}

static int variants(const hn__inst *n, const hn_device_info *d, hn__variant out[])
{
    const hn__conv c = sizes(n);
    return hn__conv_variants(n, &c, HN__CONV_X, d, out);
}

static void launch(const hn__inst *n, hn__launch *l)
{
    const hn__conv c = sizes(n);
    hn__conv_launch(n, &c, HN__CONV_X, l);
}

static void sample(hn_rng *rng, hn__sample *s)
{
    hn__conv_attr *a = s->inst.attr;
    const hn__conv c = hn__conv_sample(rng, &a->p);

    a->size[0] = c.h;
    a->size[1] = c.w;
    s->inst.n_in = 2;
    s->inst.in[0] = hn__conv_y(&c, 0);
    s->inst.in[1] = hn__conv_w(&c, 0);
}

const hn__op_fns hn__fns_conv2d_transpose = {
    .attr_bytes = sizeof(hn__conv_attr), .infer = infer, .ref = ref, .host = host,
    .scratch = scratch, .grad = grad, .variants = variants, .launch = launch, .sample = sample
};
