// transpose, slice, concat, pad, update: elements to other places, their bits untouched.
//
// All of them are walks over a box of at most six dimensions: element i of the box goes from src +
// sum of index * from to dst + sum of index * to.
#include "ops/table.h"

#include <string.h>

typedef struct walk {
    int rank;
    int64_t n[HN_MAX_RANK], from[HN_MAX_RANK], to[HN_MAX_RANK]; // elements
    int64_t src, dst;
} walk;

static void add_dim(walk *w, int64_t n, int64_t from, int64_t to)
{
    const int last = w->rank - 1;

    if (n == 1)
        return;
    if (w->rank && w->from[last] == n * from && w->to[last] == n * to) { // one run with the last
        w->n[last] *= n;
        w->from[last] = from;
        w->to[last] = to;
        return;
    }
    w->n[w->rank] = n;
    w->from[w->rank] = from;
    w->to[w->rank++] = to;
}

// A block [outer, n, inner] out of rows of from_n * inner elements into rows of to_n * inner.
static walk block_walk(const hn_type *t, int axis, int64_t n, int64_t from_n, int64_t to_n)
{
    const int64_t inner = hn__inner(t, axis);
    walk w = { 0 };

    add_dim(&w, hn__outer(t, axis), from_n * inner, to_n * inner);
    add_dim(&w, n, inner, inner);
    add_dim(&w, inner, 1, 1);
    return w;
}

// ---- reference -----------------------------------------------------------------------------

static void copy_f64(const walk *w, const double *x, double *y)
{
    int64_t total = 1;

    for (int k = 0; k < w->rank; k++)
        total *= w->n[k];
    for (int64_t i = 0; i < total; i++) {
        int64_t rest = i, src = w->src, dst = w->dst;
        for (int k = w->rank - 1; k >= 0; k--) {
            src += rest % w->n[k] * w->from[k];
            dst += rest % w->n[k] * w->to[k];
            rest /= w->n[k];
        }
        y[dst] = x[src];
    }
}

// ---- host ----------------------------------------------------------------------------------

enum { TILE = 32 };

// The last dimension is walked with another beside it, the one whose elements lie together in the
// source: tiles of the two stay in the cache on both sides.
typedef struct job {
    const char *x;
    char *y;
    walk w;        // without the two
    int64_t na, fa, ta, nb, fb, tb;
    int64_t tiles; // of b, for each place of w
    int size;      // bytes of an element
} job;

HN__HOT static void tile_words(const job *j, const int32_t *x, int32_t *y, int64_t nb)
{
    for (int64_t a0 = 0; a0 < j->na; a0 += TILE) {
        const int64_t a1 = a0 + TILE < j->na ? a0 + TILE : j->na;
        for (int64_t b = 0; b < nb; b++)
            for (int64_t a = a0; a < a1; a++)
                y[b * j->tb + a * j->ta] = x[b * j->fb + a * j->fa];
    }
}

static void tile_bytes(const job *j, const char *x, char *y, int64_t nb)
{
    for (int64_t b = 0; b < nb; b++)
        for (int64_t a = 0; a < j->na; a++)
            y[b * j->tb + a * j->ta] = x[b * j->fb + a * j->fa];
}

static void copy_tiles(void *ctx, int64_t begin, int64_t end, int thread)
{
    const job *j = ctx;

    (void)thread;
    for (int64_t i = begin; i < end; i++) {
        const int64_t b0 = i % j->tiles * TILE, nb = j->nb - b0 < TILE ? j->nb - b0 : TILE;
        int64_t rest = i / j->tiles, src = j->w.src + b0 * j->fb, dst = j->w.dst + b0 * j->tb;
        for (int k = j->w.rank - 1; k >= 0; k--) {
            src += rest % j->w.n[k] * j->w.from[k];
            dst += rest % j->w.n[k] * j->w.to[k];
            rest /= j->w.n[k];
        }
        const char *x = j->x + src * j->size;
        char *y = j->y + dst * j->size;
        if (j->fa == 1 && j->ta == 1)
            for (int64_t b = 0; b < nb; b++)
                memcpy(y + b * j->tb * j->size, x + b * j->fb * j->size,
                       (size_t)(j->na * j->size));
        else if (j->size == 4)
            tile_words(j, (const int32_t *)(const void *)x, (int32_t *)(void *)y, nb);
        else
            tile_bytes(j, x, y, nb);
    }
}

static void take(walk *w, int k, int64_t *n, int64_t *from, int64_t *to)
{
    *n = w->n[k];
    *from = w->from[k];
    *to = w->to[k];
    w->rank--;
    for (; k < w->rank; k++) {
        w->n[k] = w->n[k + 1];
        w->from[k] = w->from[k + 1];
        w->to[k] = w->to[k + 1];
    }
}

static void copy_host(const walk *w, const hn_type *t, const void *x, void *y, hn__pool *pool)
{
    job j = { .x = x, .y = y, .w = *w, .na = 1, .fa = 1, .ta = 1, .nb = 1 };

    j.size = t->dtype == HN_U8 ? 1 : 4;
    if (j.w.rank)
        take(&j.w, j.w.rank - 1, &j.na, &j.fa, &j.ta);
    int beside = j.w.rank - 1;
    for (int k = 0; k < j.w.rank && j.fa != 1; k++)
        if (j.w.from[k] == 1)
            beside = k;
    if (beside >= 0)
        take(&j.w, beside, &j.nb, &j.fb, &j.tb);
    j.tiles = (j.nb + TILE - 1) / TILE;
    int64_t units = j.tiles;
    for (int k = 0; k < j.w.rank; k++)
        units *= j.w.n[k];
    const int64_t unit = (j.nb < TILE ? j.nb : TILE) * j.na;
    hn__parallel(pool, units, 1 + 16384 / unit, copy_tiles, &j);
}

// ---- launch --------------------------------------------------------------------------------

static hn__dispatch *raw_kernel(hn__launch *l, const hn__inst *n, const char *stem)
{
    hn__dispatch *d = hn__add_dispatch(l, n, stem);

    if (n->in[0].dtype == HN_U8)
        d->type = HN_U8; // i32 goes by f32's build: both are 32-bit words to it
    return d;
}

// Whether places are multiples of four on both sides along all dimensions but the last and `but`.
static bool in_fours(const walk *w, int but)
{
    bool all = w->src % 4 == 0 && w->dst % 4 == 0;
    for (int k = 0; k + 1 < w->rank; k++)
        all = all && (k == but || (w->from[k] % 4 == 0 && w->to[k] % 4 == 0));
    return all;
}

// True where runs of four elements of the last dimension are four neighbours on both sides, all
// inside [lo, hi) of the axis or none.
static bool is_wide(const walk *w, int axis, int64_t lo, int64_t hi)
{
    const int last = w->rank - 1;
    return w->from[last] == 1 && w->to[last] == 1 && in_fours(w, -1) &&
           (axis != last || (lo % 4 == 0 && hi % 4 == 0));
}

// Where the last dimension's elements are neighbours in y only: the dimension whose are in x. -1:
// there is none, or the two are not in whole runs of four.
static int turned(const walk *w)
{
    const int last = w->rank - 1;
    for (int k = 0; k < last; k++)
        if (w->from[k] == 1 && w->to[last] == 1 && w->from[last] % 4 == 0 && w->to[k] % 4 == 0 &&
            w->n[last] % 4 == 0 && w->n[k] % 4 == 0 && in_fours(w, k))
            return k;
    return -1;
}

// A copy of input `in` to output 0. Where axis is not -1, places of the box outside [lo, hi) along
// it get `value` instead.
static void copy_launch(const hn__inst *n, hn__launch *l, const walk *w, int in, int axis,
                        int64_t lo, int64_t hi, uint32_t value)
{
    hn__dispatch *d = raw_kernel(l, n, "copy");
    const int beside = axis == -1 && d->type == HN_F32 ? turned(w) : -1;
    struct copy_push p = { .rank = (uint32_t)w->rank, .src = (uint32_t)w->src,
                           .dst = (uint32_t)w->dst, .axis = (uint32_t)(beside < 0 ? axis : beside),
                           .lo = (uint32_t)lo, .hi = (uint32_t)hi, .value = value };
    const int64_t n_last = w->rank ? w->n[w->rank - 1] : 1;
    const bool slow = !strcmp(l->device->type, "software"); // to find places, lane by lane
    int64_t total = 1;
    for (int k = 0; k < w->rank; k++) {
        total *= w->n[k];
        p.n[k] = (uint32_t)w->n[k];
        p.from[k] = (uint32_t)w->from[k];
        p.to[k] = (uint32_t)w->to[k];
    }
    p.total = (uint32_t)total;
    hn__push(d, &p, sizeof p);
    d->spec[1] = n_last % 16 == 0 && slow ? 16 : n_last % 4 == 0 ? 4 : 1;
    d->spec[2] = d->spec[1] > 1 && d->type == HN_F32 && is_wide(w, axis, lo, hi);
    if ((d->spec[3] = beside >= 0))
        d->spec[1] = n_last % 8 || w->n[beside] % 8 ? 4 : 8;
    d->n_spec = 4;
    hn__threads(d, total / d->spec[1] / (beside < 0 ? 1 : d->spec[1]));
    d->n_bind = 2;
    d->bind[0] = HN__IN(in);
    d->bind[1] = HN__OUT(0);
}

// ---- samples -------------------------------------------------------------------------------

// A random shape of at most 2^12 elements; sometimes integers, of any bits.
static void sample_type(hn_rng *rng, hn__sample *s, int rank_most)
{
    hn_type t = { .rank = 1 + (int)hn__rng_below(rng, rank_most) };
    int64_t left = 4096;
    const int64_t unit = hn__rng_below(rng, 3) ? 1 : 4; // of sizes: some kernels take fours
    for (int i = 0; i < t.rank; i++) {
        t.dim[i] = left < unit ? 1 : unit * hn__rng_dim(rng, (left < 70 ? left : 70) / unit);
        left /= t.dim[i];
    }
    const int64_t kind = hn__rng_below(rng, 6);
    if (kind < 2)
        t.dtype = kind ? HN_U8 : HN_I32;
    s->inst.n_in = 1;
    s->inst.in[0] = t;
    s->range[0].lo = kind == 0 ? INT32_MIN : kind == 1 ? 0 : -1;
    s->range[0].hi = kind == 0 ? INT32_MAX : kind == 1 ? 255 : 1;
}

// ---- transpose -----------------------------------------------------------------------------

typedef struct transpose_attr {
    int perm[HN_MAX_RANK];
} transpose_attr;

hn_val hn_transpose(hn_graph *g, hn_val x, const int perm[])
{
    transpose_attr a = { { 0 } };

    if (!x.id)
        return x;
    memcpy(a.perm, perm, sizeof *perm * (size_t)hn__type(g, x)->rank);
    return HN__EMIT(g, transpose, &a, x);
}

static hn_status infer_transpose(hn__inst *n)
{
    const transpose_attr *a = n->attr;
    const hn_type *x = &n->in[0];
    unsigned seen = 0;

    n->n_out = 1;
    n->out[0] = *x;
    for (int i = 0; i < x->rank; i++) {
        if (a->perm[i] < 0 || a->perm[i] >= x->rank || seen >> a->perm[i] & 1)
            return hn_fail(HN_ERR_ARG, "perm[%d] is %d: not a permutation of %d dimensions", i,
                           a->perm[i], x->rank);
        seen |= 1u << a->perm[i];
        n->out[0].dim[i] = x->dim[a->perm[i]];
    }
    return HN_OK;
}

static walk walk_transpose(const hn__inst *n)
{
    const transpose_attr *a = n->attr;
    walk w = { 0 };

    for (int i = 0; i < n->in[0].rank; i++)
        add_dim(&w, n->out[0].dim[i], hn__inner(&n->in[0], a->perm[i]), hn__inner(&n->out[0], i));
    return w;
}

static void ref_transpose(const hn__inst *n, const double *const in[], double *const out[])
{
    const walk w = walk_transpose(n);
    copy_f64(&w, in[0], out[0]);
}

static void host_transpose(const hn__inst *n, const hn__host *h)
{
    const walk w = walk_transpose(n);
    copy_host(&w, &n->in[0], h->in[0], h->out[0], h->pool);
}

static void launch_transpose(const hn__inst *n, hn__launch *l)
{
    const walk w = walk_transpose(n);
    copy_launch(n, l, &w, 0, -1, 0, 0, 0);
}

static void grad_transpose(hn_graph *g, const hn__inst *n, const hn_val in[], const hn_val out[],
                           const hn_val dy[], hn_val din[])
{
    const transpose_attr *a = n->attr;
    int back[HN_MAX_RANK];

    (void)in, (void)out;
    for (int i = 0; i < n->in[0].rank; i++)
        back[a->perm[i]] = i;
    din[0] = hn_transpose(g, dy[0], back);
}

static void sample_transpose(hn_rng *rng, hn__sample *s)
{
    transpose_attr *a = s->inst.attr;

    sample_type(rng, s, HN_MAX_RANK);
    for (int i = 0; i < s->inst.in[0].rank; i++) {
        const int64_t k = hn__rng_below(rng, i + 1);
        a->perm[i] = a->perm[k];
        a->perm[k] = i;
    }
}

const hn__op_fns hn__fns_transpose = {
    .attr_bytes = sizeof(transpose_attr), .infer = infer_transpose, .ref = ref_transpose,
    .host = host_transpose, .grad = grad_transpose, .launch = launch_transpose,
    .sample = sample_transpose
};

// ---- slice ---------------------------------------------------------------------------------

typedef struct slice_attr {
    int64_t start, n, step;
    int axis, unused; // no padding, so that equal attributes have equal bytes
} slice_attr;

hn_val hn_slice(hn_graph *g, hn_val x, int axis, int64_t start, int64_t n, int64_t step)
{
    return HN__EMIT(g, slice, (&(slice_attr){ start, n, step, axis }), x);
}

static hn_status infer_slice(hn__inst *n)
{
    slice_attr *a = n->attr;

    HN_TRY(hn__axis(&n->in[0], a->axis, &a->axis));
    const int64_t have = n->in[0].dim[a->axis];
    if (a->step < 1)
        return hn_fail(HN_ERR_ARG, "step is %" PRId64 ", must be at least 1", a->step);
    if (a->start < 0 || a->start >= have || a->n < 1 || a->n - 1 > (have - 1 - a->start) / a->step)
        return hn_fail(HN_ERR_SHAPE,
                       "%" PRId64 " elements from %" PRId64 " in steps of %" PRId64
                       ", the axis has %" PRId64, a->n, a->start, a->step, have);
    n->n_out = 1;
    n->out[0] = n->in[0];
    n->out[0].dim[a->axis] = a->n;
    return HN_OK;
}

static walk walk_slice(const hn__inst *n)
{
    const slice_attr *a = n->attr;
    const int64_t inner = hn__inner(&n->in[0], a->axis);
    walk w = { .src = a->start * inner };

    add_dim(&w, hn__outer(&n->in[0], a->axis), n->in[0].dim[a->axis] * inner, a->n * inner);
    add_dim(&w, a->n, a->step * inner, inner);
    add_dim(&w, inner, 1, 1);
    return w;
}

static void ref_slice(const hn__inst *n, const double *const in[], double *const out[])
{
    const walk w = walk_slice(n);
    copy_f64(&w, in[0], out[0]);
}

static void host_slice(const hn__inst *n, const hn__host *h)
{
    const walk w = walk_slice(n);
    copy_host(&w, &n->in[0], h->in[0], h->out[0], h->pool);
}

static void launch_slice(const hn__inst *n, hn__launch *l)
{
    const walk w = walk_slice(n);
    copy_launch(n, l, &w, 0, -1, 0, 0, 0);
}

// The places between get zeros by padding each element to `step` of them; what then stands past
// the end is cut off.
static void grad_slice(hn_graph *g, const hn__inst *n, const hn_val in[], const hn_val out[],
                       const hn_val dy[], hn_val din[])
{
    const slice_attr *a = n->attr;
    const hn_type *x = &n->in[0];
    const int64_t outer = hn__outer(x, a->axis), inner = hn__inner(x, a->axis);
    const int64_t have = x->dim[a->axis], room = have - a->start;
    int64_t wide = a->n * a->step;

    (void)in, (void)out;
    hn_val d = hn_reshape(g, dy[0], 4, (const int64_t[]){ outer, a->n, 1, inner });
    if (a->step > 1)
        d = hn_pad(g, d, 2, 0, a->step - 1, 0);
    d = hn_reshape(g, d, 3, (const int64_t[]){ outer, wide, inner });
    if (wide > room) {
        d = hn_slice(g, d, 1, 0, room, 1);
        wide = room;
    }
    if (wide < have)
        d = hn_pad(g, d, 1, a->start, room - wide, 0);
    din[0] = hn_reshape(g, d, x->rank, x->dim);
}

static void sample_slice(hn_rng *rng, hn__sample *s)
{
    slice_attr *a = s->inst.attr;

    sample_type(rng, s, HN_MAX_RANK);
    a->axis = (int)hn__rng_below(rng, s->inst.in[0].rank);
    const int64_t have = s->inst.in[0].dim[a->axis];
    a->start = hn__rng_below(rng, have);
    a->step = hn__rng_below(rng, 2) ? 1 : hn__rng_dim(rng, have);
    a->n = hn__rng_dim(rng, (have - 1 - a->start) / a->step + 1);
}

const hn__op_fns hn__fns_slice = {
    .attr_bytes = sizeof(slice_attr), .infer = infer_slice, .ref = ref_slice, .host = host_slice,
    .grad = grad_slice, .launch = launch_slice, .sample = sample_slice
};

// ---- concat --------------------------------------------------------------------------------

typedef struct axis_attr {
    int axis;
} axis_attr;

hn_val hn_concat(hn_graph *g, hn_val a, hn_val b, int axis)
{
    return HN__EMIT(g, concat, (&(axis_attr){ axis }), a, b);
}

// SHAPE unless the types are equal but for one dimension.
static hn_status want_like(const hn_type *x, const hn_type *y, int axis)
{
    hn_type t = *y;

    if (t.rank == x->rank)
        t.dim[axis] = x->dim[axis];
    if (!hn__type_equal(&t, x)) {
        char a[128], b[128];
        return hn_fail(HN_ERR_SHAPE, "%s and %s differ not only in dimension %d",
                       hn__type_text(x, a, sizeof a), hn__type_text(y, b, sizeof b), axis);
    }
    return HN_OK;
}

static hn_status infer_concat(hn__inst *n)
{
    axis_attr *a = n->attr;

    HN_TRY(hn__axis(&n->in[0], a->axis, &a->axis));
    HN_TRY(want_like(&n->in[0], &n->in[1], a->axis));
    n->n_out = 1;
    n->out[0] = n->in[0];
    n->out[0].dim[a->axis] += n->in[1].dim[a->axis];
    return HN_OK;
}

static walk walk_concat(const hn__inst *n, int i)
{
    const int axis = ((const axis_attr *)n->attr)->axis;
    const int64_t size = n->in[i].dim[axis];
    walk w = block_walk(&n->in[0], axis, size, size, n->out[0].dim[axis]);

    w.dst = i ? n->in[0].dim[axis] * hn__inner(&n->in[0], axis) : 0;
    return w;
}

static void ref_concat(const hn__inst *n, const double *const in[], double *const out[])
{
    for (int i = 0; i < 2; i++) {
        const walk w = walk_concat(n, i);
        copy_f64(&w, in[i], out[0]);
    }
}

static void host_concat(const hn__inst *n, const hn__host *h)
{
    for (int i = 0; i < 2; i++) {
        const walk w = walk_concat(n, i);
        copy_host(&w, &n->in[0], h->in[i], h->out[0], h->pool);
    }
}

static void launch_concat(const hn__inst *n, hn__launch *l)
{
    for (int i = 0; i < 2; i++) {
        const walk w = walk_concat(n, i);
        copy_launch(n, l, &w, i, -1, 0, 0, 0);
    }
}

static void grad_concat(hn_graph *g, const hn__inst *n, const hn_val in[], const hn_val out[],
                        const hn_val dy[], hn_val din[])
{
    const int axis = ((const axis_attr *)n->attr)->axis;
    const int64_t na = n->in[0].dim[axis];

    (void)in, (void)out;
    din[0] = hn_slice(g, dy[0], axis, 0, na, 1);
    din[1] = hn_slice(g, dy[0], axis, na, n->in[1].dim[axis], 1);
}

static void sample_concat(hn_rng *rng, hn__sample *s)
{
    axis_attr *a = s->inst.attr;

    sample_type(rng, s, HN_MAX_RANK);
    a->axis = (int)hn__rng_below(rng, s->inst.in[0].rank);
    s->inst.n_in = 2;
    s->inst.in[1] = s->inst.in[0];
    s->inst.in[1].dim[a->axis] = hn__rng_dim(rng, 9);
    s->range[1] = s->range[0];
}

const hn__op_fns hn__fns_concat = {
    .attr_bytes = sizeof(axis_attr), .infer = infer_concat, .ref = ref_concat, .host = host_concat,
    .grad = grad_concat, .launch = launch_concat, .sample = sample_concat
};

// ---- pad -----------------------------------------------------------------------------------

typedef struct pad_attr {
    int64_t before, after;
    int axis;
    float value;
} pad_attr;

hn_val hn_pad(hn_graph *g, hn_val x, int axis, int64_t before, int64_t after, float value)
{
    return HN__EMIT(g, pad, (&(pad_attr){ before, after, axis, value }), x);
}

static hn_status infer_pad(hn__inst *n)
{
    pad_attr *a = n->attr;
    const int64_t most = INT64_C(1) << 40;

    HN_TRY(hn__axis(&n->in[0], a->axis, &a->axis));
    if (a->before < 0 || a->after < 0 || a->before > most || a->after > most)
        return hn_fail(HN_ERR_ARG, "%" PRId64 " before and %" PRId64 " after, must be 0 to 2^40",
                       a->before, a->after);
    n->n_out = 1;
    n->out[0] = n->in[0];
    n->out[0].dim[a->axis] += a->before + a->after;
    return HN_OK;
}

static walk walk_pad(const hn__inst *n)
{
    const pad_attr *a = n->attr;
    const int64_t size = n->in[0].dim[a->axis];
    walk w = block_walk(&n->in[0], a->axis, size, size, n->out[0].dim[a->axis]);

    w.dst = a->before * hn__inner(&n->in[0], a->axis);
    return w;
}

// The value as the type holds it.
static uint32_t pad_bits(const hn__inst *n)
{
    const pad_attr *a = n->attr;
    uint32_t bits = 0;

    hn__from_f32(n->in[0].dtype, &a->value, &bits, 1);
    return bits;
}

static void ref_pad(const hn__inst *n, const double *const in[], double *const out[])
{
    const walk w = walk_pad(n);
    const uint32_t bits = pad_bits(n);
    double value;

    hn__to_f64(n->in[0].dtype, &bits, &value, 1);
    for (int64_t i = 0; i < hn__numel(&n->out[0]); i++)
        out[0][i] = value;
    copy_f64(&w, in[0], out[0]);
}

typedef struct fill_job {
    char *y;
    int64_t row, skip, keep; // elements: of a row, before the part that is left alone, of it
    int32_t word;
    int size;
} fill_job;

static void fill_run(const fill_job *j, int64_t at, int64_t n)
{
    if (j->size == 1) {
        memset(j->y + at, j->word, (size_t)n);
        return;
    }
    int32_t *y = (int32_t *)(void *)j->y + at;
    for (int64_t i = 0; i < n; i++)
        y[i] = j->word;
}

static void fill_rows(void *ctx, int64_t begin, int64_t end, int thread)
{
    const fill_job *j = ctx;

    (void)thread;
    for (int64_t r = begin; r < end; r++) {
        fill_run(j, r * j->row, j->skip);
        fill_run(j, r * j->row + j->skip + j->keep, j->row - j->skip - j->keep);
    }
}

static void host_pad(const hn__inst *n, const hn__host *h)
{
    const pad_attr *a = n->attr;
    const walk w = walk_pad(n);
    const int64_t inner = hn__inner(&n->in[0], a->axis);
    fill_job j = { .y = h->out[0], .row = n->out[0].dim[a->axis] * inner,
                   .skip = a->before * inner, .keep = n->in[0].dim[a->axis] * inner };

    // Floats are f32 here, but with the value that the type can hold.
    const uint32_t bits = pad_bits(n);
    float value;
    j.size = n->in[0].dtype == HN_U8 ? 1 : 4;
    hn__to_f32(n->in[0].dtype, &bits, &value, 1);
    memcpy(&j.word, hn__is_float(n->in[0].dtype) ? (const void *)&value : &bits, sizeof j.word);
    hn__parallel(h->pool, hn__outer(&n->in[0], a->axis), 1 + 65536 / j.row, fill_rows, &j);
    copy_host(&w, &n->in[0], h->in[0], h->out[0], h->pool);
}

// The box is the output's, so that each of its elements is written once.
static void launch_pad(const hn__inst *n, hn__launch *l)
{
    const pad_attr *a = n->attr;
    const hn_type *x = &n->in[0], *y = &n->out[0];
    const int64_t inner = hn__inner(x, a->axis), size = x->dim[a->axis];
    const walk w = { .rank = inner == 1 ? 2 : 3,
                     .n = { hn__outer(x, a->axis), y->dim[a->axis], inner },
                     .from = { size * inner, inner, 1 },
                     .to = { y->dim[a->axis] * inner, inner, 1 }, .src = -a->before * inner };

    copy_launch(n, l, &w, 0, 1, a->before, a->before + size, pad_bits(n));
}

static void grad_pad(hn_graph *g, const hn__inst *n, const hn_val in[], const hn_val out[],
                     const hn_val dy[], hn_val din[])
{
    const pad_attr *a = n->attr;

    (void)in, (void)out;
    din[0] = hn_slice(g, dy[0], a->axis, a->before, n->in[0].dim[a->axis], 1);
}

static void sample_pad(hn_rng *rng, hn__sample *s)
{
    pad_attr *a = s->inst.attr;

    sample_type(rng, s, HN_MAX_RANK);
    a->axis = (int)hn__rng_below(rng, s->inst.in[0].rank);
    a->before = hn__rng_below(rng, 5);
    a->after = hn__rng_below(rng, 5);
    a->value = (float)hn__rng_below(rng, 3);
}

const hn__op_fns hn__fns_pad = {
    .attr_bytes = sizeof(pad_attr), .infer = infer_pad, .ref = ref_pad, .host = host_pad,
    .grad = grad_pad, .launch = launch_pad, .sample = sample_pad
};

// ---- update --------------------------------------------------------------------------------

hn_val hn_update(hn_graph *g, hn_val x, hn_val y, hn_val at, int axis)
{
    return HN__EMIT(g, update, (&(axis_attr){ axis }), x, y, at);
}

static hn_status infer_update(hn__inst *n)
{
    axis_attr *a = n->attr;

    HN_TRY(hn__axis(&n->in[0], a->axis, &a->axis));
    HN_TRY(want_like(&n->in[0], &n->in[1], a->axis));
    HN_TRY(hn__want_i32(n, 2));
    if (hn__numel(&n->in[2]) != 1)
        return hn_fail(HN_ERR_SHAPE, "the place has %" PRId64 " elements, must have 1",
                       hn__numel(&n->in[2]));
    n->n_out = 1;
    n->out[0] = n->in[0];
    return HN_OK;
}

// The rows of y that fall inside: *first of them is at[0] + *first in the result. A count below 1
// is none.
static int64_t update_rows(const hn__inst *n, int64_t at, int64_t *first)
{
    const int axis = ((const axis_attr *)n->attr)->axis;
    const int64_t have = n->in[0].dim[axis], rows = n->in[1].dim[axis];

    *first = at < 0 ? -at : 0;
    return (have - at < rows ? have - at : rows) - *first;
}

static walk walk_update(const hn__inst *n, int64_t at, int64_t first, int64_t rows)
{
    const int axis = ((const axis_attr *)n->attr)->axis;
    const int64_t inner = hn__inner(&n->in[0], axis);
    walk w = block_walk(&n->in[0], axis, rows, n->in[1].dim[axis], n->in[0].dim[axis]);

    w.src = first * inner;
    w.dst = (at + first) * inner;
    return w;
}

static void ref_update(const hn__inst *n, const double *const in[], double *const out[])
{
    int64_t first;
    const int64_t at = (int64_t)in[2][0], rows = update_rows(n, at, &first);

    memcpy(out[0], in[0], sizeof(double) * (size_t)hn__numel(&n->out[0]));
    if (rows > 0) {
        const walk w = walk_update(n, at, first, rows);
        copy_f64(&w, in[1], out[0]);
    }
}

static void host_update(const hn__inst *n, const hn__host *h)
{
    int64_t first;
    const int64_t at = *(const int32_t *)h->in[2], rows = update_rows(n, at, &first);

    if (h->in[0] != h->out[0]) {
        walk all = { 0 };
        add_dim(&all, hn__numel(&n->in[0]), 1, 1);
        copy_host(&all, &n->in[0], h->in[0], h->out[0], h->pool);
    }
    if (rows > 0) {
        const walk w = walk_update(n, at, first, rows);
        copy_host(&w, &n->in[0], h->in[1], h->out[0], h->pool);
    }
}

static void launch_update(const hn__inst *n, hn__launch *l)
{
    const int axis = ((const axis_attr *)n->attr)->axis;

    if (!l->inplace) {
        walk all = { 0 };
        add_dim(&all, hn__numel(&n->in[0]), 1, 1);
        copy_launch(n, l, &all, 0, -1, 0, 0, 0);
    }
    hn__dispatch *d = raw_kernel(l, n, "update");
    const int64_t total = hn__numel(&n->in[1]);
    HN__PUSH(d, update_push, .total = (uint32_t)total, .rows = (uint32_t)n->in[1].dim[axis],
             .inner = (uint32_t)hn__inner(&n->in[0], axis), .size = (uint32_t)n->in[0].dim[axis]);
    hn__threads(d, total);
    d->n_bind = 3;
    d->bind[0] = HN__IN(1);
    d->bind[1] = HN__IN(2);
    d->bind[2] = HN__OUT(0);
}

static void sample_update(hn_rng *rng, hn__sample *s)
{
    axis_attr *a = s->inst.attr;

    sample_type(rng, s, HN_MAX_RANK);
    a->axis = (int)hn__rng_below(rng, s->inst.in[0].rank);
    const int64_t have = s->inst.in[0].dim[a->axis];
    s->inst.n_in = 3;
    s->inst.in[1] = s->inst.in[0];
    s->inst.in[1].dim[a->axis] = hn__rng_dim(rng, have + 2);
    s->range[1] = s->range[0];
    s->inst.in[2] = (hn_type){ .dtype = HN_I32, .rank = 1, .dim = { 1 } };
    s->range[2].lo = -3;
    s->range[2].hi = (double)have + 1;
}

const hn__op_fns hn__fns_update = {
    .attr_bytes = sizeof(axis_attr), .infer = infer_update, .ref = ref_update,
    .host = host_update, .launch = launch_update, .sample = sample_update
};
