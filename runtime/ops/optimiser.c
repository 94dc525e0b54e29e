// adamw and sgd: one step of an optimiser on one tensor. Operands are in the order of what is
// written: p, m, v (or p, m), then the gradient and `hyper`, so that each may stay in its place.
#include "ops/table.h"

#include <math.h>
#include <string.h>

// Rate, step and gradient factor (adamw), or rate and factor (sgd).
static hn_status want_hyper(const hn__inst *n, int i, int64_t count)
{
    char text[128];

    for (int k = 0; k < i; k++)
        if (!hn__type_equal(&n->in[k], &n->in[0]) || n->in[k].dtype != HN_F32) {
            char first[128];
            return hn_fail(HN_ERR_SHAPE,
                           "operand %d is %s, the parameter %s: must be equal, of f32", k,
                           hn__type_text(&n->in[k], text, sizeof text),
                           hn__type_text(&n->in[0], first, sizeof first));
        }
    if (n->in[i].dtype != HN_F32 || hn__numel(&n->in[i]) != count)
        return hn_fail(HN_ERR_SHAPE, "hyper is %s, must be f32[%" PRId64 "]",
                       hn__type_text(&n->in[i], text, sizeof text), count);
    return HN_OK;
}

static void sample_operands(hn_rng *rng, hn__sample *s, int n_like, int64_t hypers)
{
    s->inst.n_in = n_like + 1;
    for (int i = 0; i < n_like; i++)
        s->inst.in[i] = (hn_type){ HN_F32, 2, { 0 } };
    s->inst.in[0].dim[0] = hn__rng_dim(rng, 33);
    s->inst.in[0].dim[1] = hn__rng_dim(rng, 65);
    for (int i = 1; i < n_like; i++)
        s->inst.in[i] = s->inst.in[0];
    s->inst.in[n_like] = (hn_type){ HN_F32, 1, { hypers } };
    // One draw in eight has all of them 0, as f32 has nothing that near to it: a skipped step.
    const bool skip = !hn__rng_below(rng, 8);
    s->range[n_like].lo = skip ? 0 : 0.25;
    s->range[n_like].hi = skip ? 1e-60 : (double)hn__rng_dim(rng, 2000);
}

// ---- adamw ---------------------------------------------------------------------------------

hn_adamw_out hn_adamw(hn_graph *g, hn_val p, hn_val grad, hn_val m, hn_val v, hn_val hyper,
                      const hn_adamw_params *params)
{
    if (!params) {
        hn__graph_fail(g, hn_fail(HN_ERR_ARG, "adamw: no parameters"));
        return (hn_adamw_out){ { 0 }, { 0 }, { 0 } };
    }
    const hn_val y = HN__EMIT(g, adamw, params, p, m, v, grad, hyper);
    return (hn_adamw_out){ hn__out(y, 0), hn__out(y, 1), hn__out(y, 2) };
}

static hn_status infer_adamw(hn__inst *n)
{
    const hn_adamw_params *a = n->attr;

    HN_TRY(want_hyper(n, 4, 3));
    if (!(a->beta1 > 0 && a->beta1 < 1 && a->beta2 > 0 && a->beta2 < 1 && a->eps > 0))
        return hn_fail(HN_ERR_ARG, "beta1 %g, beta2 %g and eps %g: must be above 0, betas below 1",
                       (double)a->beta1, (double)a->beta2, (double)a->eps);
    n->n_out = 3;
    for (int k = 0; k < 3; k++)
        n->out[k] = n->in[k];
    return HN_OK;
}

static void ref_adamw(const hn__inst *n, const double *const in[], double *const out[])
{
    const hn_adamw_params *a = n->attr;
    const double b1 = a->beta1, b2 = a->beta2, rate = in[4][0], step = in[4][1], scale = in[4][2];

    for (int64_t i = 0; i < hn__numel(&n->in[0]); i++) {
        const double g = scale * in[3][i];
        out[0][i] = in[0][i];
        out[1][i] = in[1][i];
        out[2][i] = in[2][i];
        if (scale == 0)
            continue;
        out[1][i] = b1 * in[1][i] + (1 - b1) * g;
        out[2][i] = b2 * in[2][i] + (1 - b2) * g * g;
        const double mean = out[1][i] / (1 - pow(b1, step));
        const double square = out[2][i] / (1 - pow(b2, step));
        out[0][i] =
            in[0][i] * (1 - rate * a->weight_decay) - rate * mean / (sqrt(square) + a->eps);
    }
}

typedef struct adamw_job {
    const float *p, *m, *v, *g;
    float *po, *mo, *vo;
    float b1, b2, c1, c2, scale; // betas, and 1 - betas
    float keep, rate, root, eps; // p' = keep p - rate m' / (root sqrt(v') + eps)
} adamw_job;

HN__HOT static void adamw_part(void *ctx, int64_t begin, int64_t end, int thread)
{
    const adamw_job j = *(const adamw_job *)ctx;

    (void)thread;
    for (int64_t i = begin; i < end; i++) {
        const float g = j.scale * j.g[i];
        const float m = j.b1 * j.m[i] + j.c1 * g, v = j.b2 * j.v[i] + j.c2 * (g * g);
        j.mo[i] = m;
        j.vo[i] = v;
        j.po[i] = j.keep * j.p[i] - j.rate * m / (j.root * sqrtf(v) + j.eps);
    }
}

static void keep_all(const hn__inst *n, const hn__host *h)
{
    for (int k = 0; k < n->n_out; k++)
        if (h->out[k] != h->in[k])
            memcpy(h->out[k], h->in[k], (size_t)hn_type_bytes(&n->in[k]));
}

static void host_adamw(const hn__inst *n, const hn__host *h)
{
    const hn_adamw_params *a = n->attr;
    const float *hyper = h->in[4];
    const double b1 = a->beta1, b2 = a->beta2, rate = hyper[0], step = hyper[1];

    if (hyper[2] == 0) {
        keep_all(n, h);
        return;
    }
    adamw_job j = { h->in[0], h->in[1], h->in[2], h->in[3], h->out[0], h->out[1], h->out[2] };
    j.b1 = a->beta1;
    j.b2 = a->beta2;
    j.c1 = (float)(1 - b1);
    j.c2 = (float)(1 - b2);
    j.scale = hyper[2];
    j.keep = (float)(1 - rate * a->weight_decay);
    j.rate = (float)(rate / (1 - pow(b1, step)));
    j.root = (float)(1 / sqrt(1 - pow(b2, step)));
    j.eps = a->eps;
    hn__parallel(h->pool, hn__numel(&n->in[0]), 8192, adamw_part, &j);
}

static void launch_adamw(const hn__inst *n, hn__launch *l)
{
    const hn_adamw_params *a = n->attr;
    hn__dispatch *d = hn__add_dispatch(l, n, "adamw");
    const int64_t size = hn__numel(&n->in[0]);

    HN__PUSH(d, adamw_push, .n = (uint32_t)size, .beta1 = a->beta1, .beta2 = a->beta2,
             .rest1 = (float)(1 - (double)a->beta1), .rest2 = (float)(1 - (double)a->beta2),
             .log1 = (float)log(a->beta1), .log2 = (float)log(a->beta2), .eps = a->eps,
             .decay = a->weight_decay);
    d->many = "adamw_many";
    hn__threads(d, (size + 3) / 4);
}

static void sample_adamw(hn_rng *rng, hn__sample *s)
{
    hn_adamw_params *a = s->inst.attr;

    sample_operands(rng, s, 4, 3);
    s->range[2].lo = 1e-6; // v
    s->range[2].hi = 1;
    a->beta1 = hn__rng_below(rng, 2) ? 0.9f : 0.5f;
    a->beta2 = hn__rng_below(rng, 2) ? 0.999f : 0.95f;
    a->eps = hn__rng_below(rng, 2) ? 1e-8f : 1e-2f;
    a->weight_decay = hn__rng_below(rng, 2) ? 0.1f : 0;
}

const hn__op_fns hn__fns_adamw = {
    .attr_bytes = sizeof(hn_adamw_params), .infer = infer_adamw, .ref = ref_adamw,
    .host = host_adamw, .launch = launch_adamw, .sample = sample_adamw
};

// ---- sgd -----------------------------------------------------------------------------------

typedef struct sgd_attr {
    float momentum, decay;
} sgd_attr;

hn_sgd_out hn_sgd(hn_graph *g, hn_val p, hn_val grad, hn_val m, hn_val hyper, float momentum,
                  float weight_decay)
{
    const hn_val y = HN__EMIT(g, sgd, (&(sgd_attr){ momentum, weight_decay }), p, m, grad, hyper);
    return (hn_sgd_out){ hn__out(y, 0), hn__out(y, 1) };
}

static hn_status infer_sgd(hn__inst *n)
{
    HN_TRY(want_hyper(n, 3, 2));
    n->n_out = 2;
    n->out[0] = n->in[0];
    n->out[1] = n->in[1];
    return HN_OK;
}

static void ref_sgd(const hn__inst *n, const double *const in[], double *const out[])
{
    const sgd_attr *a = n->attr;
    const double rate = in[3][0], scale = in[3][1];

    for (int64_t i = 0; i < hn__numel(&n->in[0]); i++) {
        const double m = a->momentum * in[1][i] + scale * in[2][i] + a->decay * in[0][i];
        out[1][i] = scale == 0 ? in[1][i] : m;
        out[0][i] = scale == 0 ? in[0][i] : in[0][i] - rate * m;
    }
}

typedef struct sgd_job {
    const float *p, *m, *g;
    float *po, *mo;
    float rate, scale, momentum, decay;
} sgd_job;

HN__HOT static void sgd_part(void *ctx, int64_t begin, int64_t end, int thread)
{
    const sgd_job j = *(const sgd_job *)ctx;

    (void)thread;
    for (int64_t i = begin; i < end; i++) {
        const float p = j.p[i], m = j.momentum * j.m[i] + j.scale * j.g[i] + j.decay * p;
        j.mo[i] = m;
        j.po[i] = p - j.rate * m;
    }
}

static void host_sgd(const hn__inst *n, const hn__host *h)
{
    const sgd_attr *a = n->attr;
    const float *hyper = h->in[3];

    if (hyper[1] == 0) {
        keep_all(n, h);
        return;
    }
    sgd_job j = { h->in[0], h->in[1], h->in[2], h->out[0], h->out[1],
                  hyper[0], hyper[1], a->momentum, a->decay };
    hn__parallel(h->pool, hn__numel(&n->in[0]), 8192, sgd_part, &j);
}

static void launch_sgd(const hn__inst *n, hn__launch *l)
{
    const sgd_attr *a = n->attr;
    hn__dispatch *d = hn__add_dispatch(l, n, "sgd");
    const int64_t size = hn__numel(&n->in[0]);

    HN__PUSH(d, sgd_push, .n = (uint32_t)size, .momentum = a->momentum, .decay = a->decay);
    hn__threads(d, size);
}

static void sample_sgd(hn_rng *rng, hn__sample *s)
{
    sgd_attr *a = s->inst.attr;

    sample_operands(rng, s, 3, 2);
    a->momentum = hn__rng_below(rng, 2) ? 0.9f : 0;
    a->decay = hn__rng_below(rng, 2) ? 0.01f : 0;
}

const hn__op_fns hn__fns_sgd = {
    .attr_bytes = sizeof(sgd_attr), .infer = infer_sgd, .ref = ref_sgd, .host = host_sgd,
    .launch = launch_sgd, .sample = sample_sgd
};
