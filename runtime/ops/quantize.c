// quantize: activations in blocks of 32 with one scale, Q8_0, for products with quantised weights.
#include "ops/table.h"

#include "base/formats.h"

hn_val hn_quantize(hn_graph *g, hn_val x)
{
    return HN__EMIT(g, quantize, NULL, x);
}

static hn_status infer(hn__inst *n)
{
    char t[128];

    if (n->in[0].dtype != HN_F32)
        return hn_fail(HN_ERR_ARG, "x is %s, must be f32", hn__type_text(&n->in[0], t, sizeof t));
    n->n_out = 1;
    n->out[0] = n->in[0];
    n->out[0].dtype = HN_Q8_0;
    return hn__type_check(&n->out[0]);
}

// In f32, as the type's rounding is defined: ties are the same on every device.
static void ref(const hn__inst *n, const double *const in[], double *const out[])
{
    for (int64_t at = 0; at < hn__numel(&n->in[0]); at += HN__BLOCK_32) {
        hn__q8_0 b;
        hn__from_f64(HN_Q8_0, in[0] + at, &b, HN__BLOCK_32);
        hn__to_f64(HN_Q8_0, &b, out[0] + at, HN__BLOCK_32);
    }
}

typedef struct job {
    const float *x;
    hn__q8_0 *y;
} job;

static void part(void *ctx, int64_t begin, int64_t end, int thread)
{
    const job *j = ctx;

    (void)thread;
    hn__quantise(HN_Q8_0, j->x + begin * HN__BLOCK_32, j->y + begin, (end - begin) * HN__BLOCK_32);
}

static void host(const hn__inst *n, const hn__host *h)
{
    job j = { h->in[0], h->out[0] };
    hn__parallel(h->pool, hn__numel(&n->in[0]) / HN__BLOCK_32, 512, part, &j);
}

// Straight through: rounding is taken for noise.
static void grad(hn_graph *g, const hn__inst *n, const hn_val in[], const hn_val out[],
                 const hn_val dy[], hn_val din[])
{
    (void)g, (void)n, (void)in, (void)out;
    din[0] = dy[0];
}

// A thread makes two blocks: they end at a whole word.
static void launch(const hn__inst *n, hn__launch *l)
{
    const int64_t blocks = hn__numel(&n->in[0]) / HN__BLOCK_32;
    hn__dispatch *d = hn__add_dispatch(l, n, "quantize");

    HN__PUSH(d, quantize_push, .blocks = (uint32_t)blocks);
    hn__threads(d, (blocks + 1) / 2);
}

// Multiples of a power of two make ties common.
static void sample(hn_rng *rng, hn__sample *s)
{
    const int64_t rows = hn__rng_dim(rng, 40);

    s->inst.n_in = 1;
    s->inst.in[0] = (hn_type){ .dtype = HN_F32,
                               .rank = 2,
                               .dim = { rows, HN__BLOCK_32 * hn__rng_dim(rng, 20) } };
    if (hn__rng_below(rng, 3) == 0) {
        s->range[0].lo = -127;
        s->range[0].hi = 127;
        s->range[0].step = 0.5;
    }
}

const hn__op_fns hn__fns_quantize = {
    .infer = infer, .ref = ref, .host = host, .grad = grad, .launch = launch, .sample = sample
};
