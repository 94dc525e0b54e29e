// conv2d: cross-correlation in two dimensions; and what its gradients share with it (ops/conv.h).
#include "ops/conv.h"

// ---- sizes ---------------------------------------------------------------------------------

hn_type hn__conv_x(const hn__conv *c, hn_dtype t)
{
    return (hn_type){ t, 4, { c->n, c->groups * c->cg, c->h, c->w } };
}

hn_type hn__conv_w(const hn__conv *c, hn_dtype t)
{
    return (hn_type){ t, 4, { c->groups * c->og, c->cg, c->kh, c->kw } };
}

hn_type hn__conv_y(const hn__conv *c, hn_dtype t)
{
    return (hn_type){ t, 4, { c->n, c->groups * c->og, c->oh, c->ow } };
}

hn_status hn__conv_want(const hn_type *have, const hn_type *want, const char *what)
{
    char a[128], b[128];
    return hn__type_equal(have, want)
               ? HN_OK
               : hn_fail(HN_ERR_SHAPE, "%s is %s, must be %s", what,
                         hn__type_text(have, a, sizeof a), hn__type_text(want, b, sizeof b));
}

static hn_status check_params(hn_conv_params *p)
{
    const int most = 1 << 20;

    for (int i = 0; i < 2; i++) {
        p->stride[i] = p->stride[i] ? p->stride[i] : 1;
        p->dilation[i] = p->dilation[i] ? p->dilation[i] : 1;
        if (p->stride[i] < 1 || p->stride[i] > most || p->dilation[i] < 1 || p->dilation[i] > most)
            return hn_fail(HN_ERR_ARG, "stride %d and dilation %d, must be 1 to %d", p->stride[i],
                           p->dilation[i], most);
        if (p->pad_before[i] < 0 || p->pad_before[i] > most || p->pad_after[i] < 0 ||
            p->pad_after[i] > most)
            return hn_fail(HN_ERR_ARG, "padding %d and %d, must be 0 to %d", p->pad_before[i],
                           p->pad_after[i], most);
    }
    p->groups = p->groups ? p->groups : 1;
    return p->groups > 0 ? HN_OK : hn_fail(HN_ERR_ARG, "%d groups", p->groups);
}

hn_status hn__conv_sizes(const hn_type *x, const hn_type *w, hn_conv_params *p, hn__conv *out)
{
    char tx[128], tw[128];
    int64_t size[2];

    HN_TRY(check_params(p));
    if (x->rank != 4 || w->rank != 4 || x->dtype != w->dtype ||
        x->dim[1] != w->dim[1] * p->groups || w->dim[0] % p->groups)
        return hn_fail(HN_ERR_SHAPE, "%s and %s in %d groups: must be [N, C, H, W] and "
                       "[O, C / groups, KH, KW]", hn__type_text(x, tx, sizeof tx),
                       hn__type_text(w, tw, sizeof tw), p->groups);
    for (int i = 0; i < 2; i++) {
        const int64_t padded = x->dim[2 + i] + p->pad_before[i] + p->pad_after[i];
        const int64_t reach = p->dilation[i] * (w->dim[2 + i] - 1) + 1;
        if (reach > padded)
            return hn_fail(HN_ERR_SHAPE, "the window reaches over %" PRId64 " places, there are %"
                           PRId64 " with padding", reach, padded);
        size[i] = (padded - reach) / p->stride[i] + 1;
    }
    *out = (hn__conv){ .n = x->dim[0], .groups = p->groups, .cg = w->dim[1],
                       .og = w->dim[0] / p->groups, .h = x->dim[2], .w = x->dim[3],
                       .kh = w->dim[2], .kw = w->dim[3], .oh = size[0], .ow = size[1],
                       .stride = { p->stride[0], p->stride[1] },
                       .dilation = { p->dilation[0], p->dilation[1] },
                       .pad = { p->pad_before[0], p->pad_before[1] } };
    return HN_OK;
}

// The outputs [*lo, *hi) along axis i whose tap k falls inside x.
static void clip(const hn__conv *c, int i, int64_t k, int64_t *lo, int64_t *hi)
{
    const int64_t at = k * c->dilation[i] - c->pad[i], s = c->stride[i]; // of output 0
    const int64_t size = i ? c->w : c->h, most = i ? c->ow : c->oh;

    *lo = at < 0 ? (-at + s - 1) / s : 0;
    *hi = at >= size ? 0 : (size - 1 - at) / s + 1;
    *hi = *hi < most ? *hi : most;
    *lo = *lo < *hi ? *lo : *hi;
}

// ---- reference -----------------------------------------------------------------------------

// All taps of one pair of channels.
static void ref_pair(const hn__conv *c, hn__conv_side side, double *x, double *w, double *y)
{
    for (int64_t oh = 0; oh < c->oh; oh++)
        for (int64_t ow = 0; ow < c->ow; ow++)
            for (int64_t kh = 0; kh < c->kh; kh++)
                for (int64_t kw = 0; kw < c->kw; kw++) {
                    const int64_t ih = oh * c->stride[0] + kh * c->dilation[0] - c->pad[0];
                    const int64_t iw = ow * c->stride[1] + kw * c->dilation[1] - c->pad[1];
                    if (ih < 0 || ih >= c->h || iw < 0 || iw >= c->w)
                        continue;
                    double *tx = &x[ih * c->w + iw], *tw = &w[kh * c->kw + kw];
                    double *ty = &y[oh * c->ow + ow];
                    if (side == HN__CONV_X)
                        *tx += *tw * *ty;
                    else if (side == HN__CONV_W)
                        *tw += *tx * *ty;
                    else
                        *ty += *tx * *tw;
                }
}

void hn__conv_ref(const hn__conv *c, hn__conv_side side, double *x, double *w, double *y)
{
    const hn_type t[3] = { hn__conv_x(c, HN_F32), hn__conv_w(c, HN_F32), hn__conv_y(c, HN_F32) };
    double *const result = side == HN__CONV_X ? x : side == HN__CONV_W ? w : y;
    const int64_t cg = c->cg, og = c->og;

    for (int64_t i = 0; i < hn__numel(&t[side]); i++)
        result[i] = 0;
    for (int64_t n = 0; n < c->n; n++)
        for (int64_t o = 0; o < c->groups * og; o++)
            for (int64_t k = 0; k < cg; k++)
                ref_pair(c, side, x + (n * c->groups * cg + o / og * cg + k) * c->h * c->w,
                         w + (o * cg + k) * c->kh * c->kw,
                         y + (n * c->groups * og + o) * c->oh * c->ow);
}

// ---- host, by rows -------------------------------------------------------------------------

typedef struct job {
    const hn__conv *c;
    hn__conv_side side;
    float *x, *w, *y;
    float *col;     // of all threads
    int64_t block;  // positions of an image that are laid out together
    int64_t chunks, chunk; // parts of cg, and their length
} job;

HN__HOT static void axpy(float *y, int64_t sy, const float *x, int64_t sx, float a, int64_t n)
{
    if (sx == 1 && sy == 1)
        for (int64_t i = 0; i < n; i++)
            y[i] += a * x[i];
    else
        for (int64_t i = 0; i < n; i++)
            y[i * sy] += a * x[i * sx];
}

HN__HOT static float dot(const float *y, const float *x, int64_t sx, int64_t n)
{
    float lane[16] = { 0 }, sum = 0;
    int64_t i = 0;

    for (; i + 16 <= n; i += 16)
        for (int l = 0; l < 16; l++)
            lane[l] += y[i + l] * x[(i + l) * sx];
    for (; i < n; i++)
        sum += y[i] * x[i * sx];
    for (int l = 0; l < 16; l++)
        sum += lane[l];
    return sum;
}

// All taps of one pair of channels, a row of outputs at a time.
static void rows_pair(const hn__conv *c, hn__conv_side side, float *x, float *w, float *y)
{
    for (int64_t kh = 0; kh < c->kh; kh++)
        for (int64_t kw = 0; kw < c->kw; kw++) {
            int64_t h0, h1, w0, w1;
            float *tap = &w[kh * c->kw + kw];
            clip(c, 0, kh, &h0, &h1);
            clip(c, 1, kw, &w0, &w1);
            for (int64_t oh = h0; oh < h1; oh++) {
                const int64_t ih = oh * c->stride[0] + kh * c->dilation[0] - c->pad[0];
                const int64_t iw = w0 * c->stride[1] + kw * c->dilation[1] - c->pad[1];
                float *xr = x + ih * c->w + iw, *yr = y + oh * c->ow + w0;
                if (side == HN__CONV_X)
                    axpy(xr, c->stride[1], yr, 1, *tap, w1 - w0);
                else if (side == HN__CONV_W)
                    *tap += dot(yr, xr, c->stride[1], w1 - w0);
                else
                    axpy(yr, 1, xr, c->stride[1], *tap, w1 - w0);
            }
        }
}

static void zero(float *p, int64_t n)
{
    for (int64_t i = 0; i < n; i++)
        p[i] = 0;
}

// A unit is one channel of one image of the result, or for the weight one pair of channels.
static void by_rows(void *ctx, int64_t begin, int64_t end, int thread)
{
    const job *j = ctx;
    const hn__conv *c = j->c;
    const int64_t nx = c->h * c->w, nw = c->kh * c->kw, ny = c->oh * c->ow;
    const int64_t cs = c->groups * c->cg, os = c->groups * c->og;

    (void)thread;
    for (int64_t u = begin; u < end; u++) {
        if (j->side == HN__CONV_W) { // u = o * cg + k
            const int64_t o = u / c->cg, k = o / c->og * c->cg + u % c->cg;
            zero(j->w + u * nw, nw);
            for (int64_t n = 0; n < c->n; n++)
                rows_pair(c, j->side, j->x + (n * cs + k) * nx, j->w + u * nw,
                          j->y + (n * os + o) * ny);
        } else if (j->side == HN__CONV_X) { // u = n * cs + k
            const int64_t n = u / cs, g = u % cs / c->cg;
            zero(j->x + u * nx, nx);
            for (int64_t o = g * c->og; o < (g + 1) * c->og; o++)
                rows_pair(c, j->side, j->x + u * nx, j->w + (o * c->cg + u % c->cg) * nw,
                          j->y + (n * os + o) * ny);
        } else { // u = n * os + o
            const int64_t n = u / os, o = u % os, g = o / c->og;
            zero(j->y + u * ny, ny);
            for (int64_t k = 0; k < c->cg; k++)
                rows_pair(c, j->side, j->x + (n * cs + g * c->cg + k) * nx,
                          j->w + (o * c->cg + k) * nw, j->y + u * ny);
        }
    }
}

// ---- host, by matrix products --------------------------------------------------------------

#ifdef HN_HAVE_OPENBLAS
#include <cblas.h>
#include <string.h>

// One channel's row of the matrix for one tap: positions [p0, p1) of the outputs; col[p - p0].
// `back` adds it to the image instead.
static void tap_row(const hn__conv *c, float *x, int64_t kh, int64_t kw, int64_t p0, int64_t p1,
                    float *col, bool back)
{
    int64_t h0, h1, w0, w1;

    clip(c, 0, kh, &h0, &h1);
    clip(c, 1, kw, &w0, &w1);
    for (int64_t p = p0, next; p < p1; p = next) {
        const int64_t oh = p / c->ow, row = oh * c->ow;
        next = row + c->ow < p1 ? row + c->ow : p1;
        int64_t lo = row + w0 > p ? row + w0 : p, hi = row + w1 < next ? row + w1 : next;
        if (oh < h0 || oh >= h1 || lo >= hi)
            lo = hi = next;
        const int64_t ih = oh * c->stride[0] + kh * c->dilation[0] - c->pad[0];
        const int64_t iw = (lo - row) * c->stride[1] + kw * c->dilation[1] - c->pad[1];
        if (back) {
            if (lo < hi)
                axpy(x + ih * c->w + iw, c->stride[1], col + (lo - p0), 1, 1, hi - lo);
            continue;
        }
        zero(col + (p - p0), lo - p);
        for (int64_t i = lo; i < hi; i++)
            col[i - p0] = x[ih * c->w + iw + (i - lo) * c->stride[1]];
        zero(col + (hi - p0), next - hi);
    }
}

// The matrix [channels * kh * kw, p1 - p0] of a run of channels, and back.
static void columns(const job *j, float *x, int64_t channels, int64_t p0, int64_t p1, float *col,
                    bool back)
{
    const hn__conv *c = j->c;

    for (int64_t k = 0; k < channels; k++)
        for (int64_t kh = 0; kh < c->kh; kh++)
            for (int64_t kw = 0; kw < c->kw; kw++, col += j->block)
                tap_row(c, x + k * c->h * c->w, kh, kw, p0, p1, col, back);
}

static void product(bool ta, bool tb, int64_t m, int64_t n, int64_t k, const float *a, int64_t lda,
                    const float *b, int64_t ldb, float beta, float *out, int64_t ldo)
{
    cblas_sgemm(CblasRowMajor, ta ? CblasTrans : CblasNoTrans, tb ? CblasTrans : CblasNoTrans,
                (int)m, (int)n, (int)k, 1, a, (int)lda, b, (int)ldb, beta, out, (int)ldo);
}

// y: a unit is a block of positions of one group of one image.
static void y_blocks(void *ctx, int64_t begin, int64_t end, int thread)
{
    const job *j = ctx;
    const hn__conv *c = j->c;
    const int64_t taps = c->cg * c->kh * c->kw, ny = c->oh * c->ow;
    const int64_t blocks = (ny + j->block - 1) / j->block;
    float *col = j->col + thread * taps * j->block;

    for (int64_t u = begin; u < end; u++) {
        const int64_t p0 = u % blocks * j->block, ng = u / blocks;
        const int64_t p1 = p0 + j->block < ny ? p0 + j->block : ny;
        columns(j, j->x + ng * c->cg * c->h * c->w, c->cg, p0, p1, col, false);
        product(false, false, c->og, p1 - p0, taps, j->w + ng % c->groups * c->og * taps, taps,
                col, j->block, 0, j->y + ng * c->og * ny + p0, ny);
    }
}

// x and w: a unit is a run of channels of one group, of one image (x) or of all (w).
static void channel_runs(void *ctx, int64_t begin, int64_t end, int thread)
{
    const job *j = ctx;
    const hn__conv *c = j->c;
    const int64_t kk = c->kh * c->kw, taps = c->cg * kk, ny = c->oh * c->ow, nx = c->h * c->w;
    float *col = j->col + thread * taps * j->block;

    for (int64_t u = begin; u < end; u++) {
        const int64_t k0 = u % j->chunks * j->chunk, ng = u / j->chunks;
        const int64_t run = c->cg - k0 < j->chunk ? c->cg - k0 : j->chunk;
        const int64_t images = j->side == HN__CONV_W ? c->n : 1;
        float *w = j->w + (ng % c->groups * c->og * c->cg + k0) * kk;
        if (j->side == HN__CONV_X)
            zero(j->x + (ng * c->cg + k0) * nx, run * nx);
        for (int64_t i = 0; i < images; i++)
            for (int64_t p0 = 0; p0 < ny; p0 += j->block) {
                const int64_t p1 = p0 + j->block < ny ? p0 + j->block : ny;
                float *x = j->x + ((i * c->groups + ng) * c->cg + k0) * nx;
                const float *y = j->y + (i * c->groups + ng) * c->og * ny + p0;
                if (j->side == HN__CONV_X) {
                    product(true, false, run * kk, p1 - p0, c->og, w, taps, y, ny, 0, col,
                            j->block);
                    columns(j, x, run, p0, p1, col, true);
                } else {
                    columns(j, x, run, p0, p1, col, false);
                    product(false, true, c->og, run * kk, p1 - p0, y, ny, col, j->block,
                            i || p0 ? 1 : 0, w, taps);
                }
            }
    }
}

static void by_products(job *j, float *scratch, hn__pool *pool)
{
    const hn__conv *c = j->c;
    const int64_t ny = c->oh * c->ow, images = j->side == HN__CONV_W ? 1 : c->n;

    j->col = scratch;
    if (j->side == HN__CONV_Y) {
        hn__parallel(pool, c->n * c->groups * ((ny + j->block - 1) / j->block), 1, y_blocks, j);
        return;
    }
    const int64_t units = images * c->groups, threads = hn__pool_threads(pool);
    const int64_t want = (threads + units - 1) / units;
    j->chunk = (c->cg + want - 1) / want;
    j->chunks = (c->cg + j->chunk - 1) / j->chunk;
    hn__parallel(pool, units * j->chunks, 1, channel_runs, j);
}
#endif

// Positions of a block: the matrix of a block is about a MiB. 0 where rows serve better.
static int64_t block_of(const hn__conv *c)
{
#ifdef HN_HAVE_OPENBLAS
    const int64_t taps = c->cg * c->kh * c->kw, want = 262144 / taps;

    if (c->og < 4 || taps < 8)
        return 0;
    return want < 64 ? 64 : want > 1024 ? 1024 : want;
#else
    (void)c;
    return 0;
#endif
}

int64_t hn__conv_scratch(const hn__conv *c, int n_threads)
{
    return n_threads * c->cg * c->kh * c->kw * block_of(c) * (int64_t)sizeof(float);
}

void hn__conv_host(const hn__conv *c, hn__conv_side side, float *x, float *w, float *y,
                   void *scratch, hn__pool *pool)
{
    job j = { .c = c, .side = side, .x = x, .w = w, .y = y, .block = block_of(c) };

#ifdef HN_HAVE_OPENBLAS
    if (j.block) {
        by_products(&j, scratch, pool);
        return;
    }
#endif
    (void)scratch;
    const int64_t units = side == HN__CONV_W   ? c->groups * c->og * c->cg
                          : side == HN__CONV_X ? c->n * c->groups * c->cg
                                               : c->n * c->groups * c->og;
    hn__parallel(pool, units, 1, by_rows, &j);
}

// ---- sample ---------------------------------------------------------------------------------

hn__conv hn__conv_sample(hn_rng *rng, hn_conv_params *p)
{
    hn__conv c;
    hn_type x, w;

    do {
        *p = (hn_conv_params){ .groups = (int)hn__rng_dim(rng, 3) };
        x = (hn_type){ .dtype = HN_F32, .rank = 4, .dim = { hn__rng_dim(rng, 2) } };
        w = (hn_type){ .dtype = HN_F32, .rank = 4 };
        w.dim[0] = p->groups * hn__rng_dim(rng, 17);
        w.dim[1] = hn__rng_dim(rng, 9);
        x.dim[1] = p->groups * w.dim[1];
        for (int i = 0; i < 2; i++) {
            x.dim[2 + i] = hn__rng_dim(rng, 13);
            w.dim[2 + i] = hn__rng_dim(rng, 4);
            p->stride[i] = (int)hn__rng_dim(rng, 3);
            p->dilation[i] = (int)hn__rng_dim(rng, 2);
            p->pad_before[i] = (int)hn__rng_below(rng, 4);
            p->pad_after[i] = (int)hn__rng_below(rng, 4);
        }
    } while (hn__conv_sizes(&x, &w, p, &c));
    return c;
}

// ---- the operator --------------------------------------------------------------------------

hn_val hn_conv2d(hn_graph *g, hn_val x, hn_val w, const hn_conv_params *params)
{
    hn__conv_attr a = { .size = { 0 } };

    if (params)
        a.p = *params;
    return HN__EMIT(g, conv2d, &a, x, w);
}

static hn_status infer(hn__inst *n)
{
    hn__conv_attr *a = n->attr;
    hn__conv c;

    HN_TRY(hn__want_float(n, 0));
    HN_TRY(hn__conv_sizes(&n->in[0], &n->in[1], &a->p, &c));
    n->n_out = 1;
    n->out[0] = hn__conv_y(&c, n->in[0].dtype);
    return HN_OK;
}

static hn__conv sizes(const hn__inst *n)
{
    hn__conv_attr a = *(const hn__conv_attr *)n->attr;
    hn__conv c = { 0 };

    hn__conv_sizes(&n->in[0], &n->in[1], &a.p, &c); // infer has seen that it fits
    return c;
}

static void ref(const hn__inst *n, const double *const in[], double *const out[])
{
    const hn__conv c = sizes(n);
    hn__conv_ref(&c, HN__CONV_Y, (double *)(uintptr_t)in[0], (double *)(uintptr_t)in[1], out[0]);
}

static void host(const hn__inst *n, const hn__host *h)
{
    const hn__conv c = sizes(n);
    hn__conv_host(&c, HN__CONV_Y, (float *)(uintptr_t)h->in[0], (float *)(uintptr_t)h->in[1],
                  h->out[0], h->scratch, h->pool);
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
    const hn_type *x = &n->in[0], *w = &n->in[1];

    (void)out;
    din[0] = hn_conv2d_transpose(g, dy[0], in[1], x->dim[2], x->dim[3], &a->p);
    din[1] = HN__EMIT(g, conv2d_weight_grad,
                      (&(hn__conv_attr){ a->p, { w->dim[2], w->dim[3] } }), in[0], dy[0]);
}

static int variants(const hn__inst *n, const hn_device_info *d, hn__variant out[])
{
    const hn__conv c = sizes(n);
    return hn__conv_variants(n, &c, HN__CONV_Y, d, out);
}

static void launch(const hn__inst *n, hn__launch *l)
{
    const hn__conv c = sizes(n);
    hn__conv_launch(n, &c, HN__CONV_Y, l);
}

static void sample(hn_rng *rng, hn__sample *s)
{
    hn__conv_attr *a = s->inst.attr;
    const hn__conv c = hn__conv_sample(rng, &a->p);

    s->inst.n_in = 2;
    s->inst.in[0] = hn__conv_x(&c, 0);
    s->inst.in[1] = hn__conv_w(&c, 0);
}

const hn__op_fns hn__fns_conv2d = {
    .attr_bytes = sizeof(hn__conv_attr), .infer = infer, .ref = ref, .host = host,
    .scratch = scratch, .grad = grad, .variants = variants, .launch = launch, .sample = sample
};

// ---- one dimension -------------------------------------------------------------------------

// Height 1; index 0 of the parameters becomes width's.
static hn_conv_params widen(const hn_conv_params *p)
{
    hn_conv_params wide = { .groups = 1 };

    if (!p)
        return wide;
    wide.groups = p->groups;
    wide.stride[1] = p->stride[0];
    wide.dilation[1] = p->dilation[0];
    wide.pad_before[1] = p->pad_before[0];
    wide.pad_after[1] = p->pad_after[0];
    return wide;
}

static hn_val flat_to_row(hn_graph *g, hn_val v)
{
    const hn_type t = hn_val_type(g, v);

    if (!v.id)
        return v;
    if (t.rank != 3) {
        char text[128];
        return hn__graph_fail(g, hn_fail(HN_ERR_SHAPE, "conv1d: %s, must have 3 dimensions",
                                         hn__type_text(&t, text, sizeof text)));
    }
    return hn_reshape(g, v, 4, (const int64_t[]){ t.dim[0], t.dim[1], 1, t.dim[2] });
}

static hn_val row_to_flat(hn_graph *g, hn_val v)
{
    const hn_type t = hn_val_type(g, v);
    return v.id ? hn_reshape(g, v, 3, (const int64_t[]){ t.dim[0], t.dim[1], t.dim[3] }) : v;
}

hn_val hn_conv1d(hn_graph *g, hn_val x, hn_val w, const hn_conv_params *params)
{
    const hn_conv_params p = widen(params);
    return row_to_flat(g, hn_conv2d(g, flat_to_row(g, x), flat_to_row(g, w), &p));
}

hn_val hn_conv1d_transpose(hn_graph *g, hn_val y, hn_val w, int64_t t,
                           const hn_conv_params *params)
{
    const hn_conv_params p = widen(params);
    return row_to_flat(g, hn_conv2d_transpose(g, flat_to_row(g, y), flat_to_row(g, w), 1, t, &p));
}
