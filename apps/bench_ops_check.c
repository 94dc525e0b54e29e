// hornito bench ops: inputs, and outputs compared with the f64 reference. Of a large shape the
// reference computes a part: some rows, columns, heads, drawn by a fixed seed, the first and the
// last among them. Each is compared in full: an inner product over all of its terms.
#include "bench_ops.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/base.h"
#include "ir/ir.h"
#include "plan/case.h"

enum { SMALL = 6, LARGE = 64, SEED = 17 };

// The places of the part: of each size that is cut some, of the others all.
typedef struct ops_sample {
    int64_t dim[BENCH_DIMS];       // sizes of the part
    int64_t place[BENCH_DIMS][32]; // along each size that is cut, rising
} ops_sample;

// ---- which part ----------------------------------------------------------------------------

// Places along size i of which the part consists: numbers that differ between sizes, so that a
// tensor's axis tells by its length which size it is.
static int64_t part_of(const bench_shape *b, int i)
{
    const int64_t n = b->dim[i];
    if (!(b->cut & 1u << i) || n < SMALL)
        return n;
    return n > LARGE ? 31 - 2 * i : 3 - i % 2;
}

static int by_value(const void *a, const void *b)
{
    const int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    return (x > y) - (x < y);
}

static bool is_among(const int64_t x[], int64_t n, int64_t value)
{
    for (int64_t i = 0; i < n; i++)
        if (x[i] == value)
            return true;
    return false;
}

static void draw_part(const bench_shape *b, ops_sample *s)
{
    hn_rng rng = hn__rng(SEED, 0);
    for (int i = 0; i < BENCH_DIMS; i++) {
        s->dim[i] = part_of(b, i);
        if (s->dim[i] == b->dim[i])
            continue;
        s->place[i][0] = 0;
        s->place[i][1] = b->dim[i] - 1;
        for (int64_t n = 2; n < s->dim[i];) {
            const int64_t at = hn__rng_below(&rng, b->dim[i]);
            if (!is_among(s->place[i], n, at))
                s->place[i][n++] = at;
        }
        qsort(s->place[i], (size_t)s->dim[i], sizeof(int64_t), by_value);
    }
}

// The size that an axis of `whole` elements, `part` of them taken, is of; -1 where all are taken.
static int size_of_axis(const bench_shape *b, const ops_sample *s, int64_t whole, int64_t part)
{
    for (int i = 0; whole != part && i < BENCH_DIMS; i++)
        if (b->dim[i] == whole && s->dim[i] == part)
            return i;
    return -1;
}

// Copies the part of a tensor: `from` has type `whole`, `to` type `part`. One axis at a time; rows
// of blocks are never cut along the last axis.
static hn_status take_part(const bench_shape *b, const ops_sample *s, const hn_type *whole,
                           const hn_type *part, const void *from, void *to)
{
    hn_type now = *whole;
    char *a = hn__calloc((size_t)hn_type_bytes(whole), 1);
    char *c = hn__calloc((size_t)hn_type_bytes(whole), 1);
    if (!a || !c) {
        hn__free(a);
        hn__free(c);
        return hn__nomem((size_t)hn_type_bytes(whole));
    }
    memcpy(a, from, (size_t)hn_type_bytes(whole));
    for (int axis = 0; axis < whole->rank; axis++) {
        const int size = size_of_axis(b, s, whole->dim[axis], part->dim[axis]);
        hn_type inner = { now.dtype, 0, { 0 } };
        int64_t outer = 1;
        if (size < 0)
            continue;
        for (int i = 0; i < axis; i++)
            outer *= now.dim[i];
        for (int i = axis + 1; i < now.rank; i++)
            inner.dim[inner.rank++] = now.dim[i];
        const int64_t n = hn_type_bytes(&inner), step = n * now.dim[axis];
        for (int64_t o = 0; o < outer; o++)
            for (int64_t k = 0; k < s->dim[size]; k++)
                memcpy(c + (o * s->dim[size] + k) * n, a + o * step + s->place[size][k] * n,
                       (size_t)n);
        now.dim[axis] = s->dim[size];
        memcpy(a, c, (size_t)hn_type_bytes(&now));
    }
    memcpy(to, a, (size_t)hn_type_bytes(part));
    hn__free(a);
    hn__free(c);
    return HN_OK;
}

// ---- inputs --------------------------------------------------------------------------------

// Elements of an input: integers in [0, below), floats in [-1, 1) or, where the name begins with
// "positive", in [0, 1). Allocated.
static hn_status draw_input(const char *name, const hn_type *t, int64_t below, void **out)
{
    const hn__fill how = { .stream = hn__hash_string(name),
                           .lo = strncmp(name, "positive", 8) ? -1 : 0,
                           .hi = 1,
                           .below = below };
    *out = hn__calloc((size_t)hn_type_bytes(t), 1);
    if (!*out)
        return hn__nomem((size_t)hn_type_bytes(t));
    hn__fill_tensor(&how, t, *out);
    return HN_OK;
}

static const hn_type *input_type(const hn_graph *g, int64_t i)
{
    const hn__node *n = &g->nodes[i];
    return n->op->flags & HN__SOURCE && n->name ? &g->values[n->out].type : NULL;
}

hn_status ops_write_inputs(const bench_shape *b, const hn_graph *g, hn_plan *p, double *bytes)
{
    *bytes = 0;
    for (int64_t i = 0; i < g->n_nodes; i++) {
        const hn_type *t = input_type(g, i);
        void *data = NULL;
        if (!t)
            continue;
        hn_status s = draw_input(g->nodes[i].name, t, b->below, &data);
        if (s == HN_OK)
            s = hn_plan_write(p, g->nodes[i].name, data, hn_type_bytes(t));
        hn__free(data);
        HN_TRY(s);
        *bytes += (double)hn_type_bytes(t);
    }
    for (int64_t i = 0; i < g->n_outputs; i++)
        *bytes += (double)hn_type_bytes(&g->values[g->outputs[i].val].type);
    return HN_OK;
}

// The type of an input of the same name in another graph of the shape.
static const hn_type *same_input(const hn_graph *g, const char *name)
{
    for (int64_t i = 0; i < g->n_nodes; i++)
        if (input_type(g, i) && !strcmp(g->nodes[i].name, name))
            return input_type(g, i);
    return NULL;
}

// Writes to the plan of the part what the plan of the whole was given.
static hn_status write_part(const bench_shape *b, const ops_sample *s, const hn_graph *whole,
                            const hn_graph *part, hn_plan *p)
{
    for (int64_t i = 0; i < part->n_nodes; i++) {
        const hn_type *t = input_type(part, i), *all;
        void *data = NULL, *some = NULL;
        if (!t)
            continue;
        const char *name = part->nodes[i].name;
        all = same_input(whole, name);
        if (!all)
            return hn_fail(HN_ERR_ARG, "input '%s' is of the part only", name);
        hn_status st = draw_input(name, all, b->below, &data);
        if (st == HN_OK && !(some = hn__calloc((size_t)hn_type_bytes(t), 1)))
            st = hn__nomem((size_t)hn_type_bytes(t));
        if (st == HN_OK)
            st = take_part(b, s, all, t, data, some);
        if (st == HN_OK)
            st = hn_plan_write(p, name, some, hn_type_bytes(t));
        hn__free(data);
        hn__free(some);
        HN_TRY(st);
    }
    return HN_OK;
}

// ---- outputs -------------------------------------------------------------------------------

// An output as f32 numbers, allocated.
static hn_status read_output(hn_plan *p, const char *name, const hn_type *t, float **out)
{
    const int64_t n = hn_type_numel(t);
    void *own = hn__calloc((size_t)n, (size_t)hn_dtype_size(t->dtype));
    *out = hn__calloc((size_t)n, sizeof **out);
    hn_status s =
        own && *out ? hn_plan_read(p, name, own, hn_type_bytes(t)) : hn__nomem((size_t)n * 8);
    if (s == HN_OK)
        hn__to_f32(t->dtype, own, *out, n);
    hn__free(own);
    return s;
}

static hn_status all_finite(const char *name, const float x[], int64_t n)
{
    for (int64_t i = 0; i < n; i++)
        if (!isfinite(x[i]))
            return hn_fail(HN_ERR_DEVICE, "wrong result: %s[%" PRId64 "] is %g", name, i, x[i]);
    return HN_OK;
}

static hn_status compare_output(const ops_sample *s, ops_result *r, const hn__named *o,
                                const hn_type *whole, hn_plan *p, const hn_type *part,
                                hn_plan *oracle)
{
    hn_type t = *whole, u = *part;
    float *all = NULL, *want = NULL, *got = NULL;
    t.dtype = u.dtype = HN_F32; // as they are read
    hn_status st = read_output(p, o->name, whole, &all);
    if (st == HN_OK)
        st = read_output(oracle, o->name, part, &want);
    if (st == HN_OK)
        st = all_finite(o->name, all, hn_type_numel(whole));
    if (st == HN_OK && !(got = hn__calloc((size_t)hn_type_numel(part), sizeof *got)))
        st = hn__nomem((size_t)hn_type_bytes(part));
    if (st == HN_OK)
        st = take_part(r->shape, s, &t, &u, all, got);
    if (st == HN_OK)
        r->error = fmax(r->error, bench_error(got, want, hn_type_numel(part)));
    r->n_checked += hn_type_numel(part);
    r->n_outputs += hn_type_numel(whole);
    hn__free(all);
    hn__free(want);
    hn__free(got);
    return st;
}

// Runs the part on the reference and compares all outputs.
static hn_status compare(const ops_sample *s, const hn_graph *g, hn_plan *p, const hn_graph *part,
                         hn_device *ref, ops_result *r)
{
    hn_plan *oracle = NULL;
    hn_status st = hn_plan_create(part, ref, NULL, &oracle);
    if (st == HN_OK)
        st = write_part(r->shape, s, g, part, oracle);
    if (st == HN_OK)
        st = hn_plan_run(oracle);
    for (int64_t i = 0; st == HN_OK && i < g->n_outputs; i++)
        st = compare_output(s, r, &g->outputs[i], &g->values[g->outputs[i].val].type, p,
                            &part->values[part->outputs[i].val].type, oracle);
    hn_plan_destroy(&oracle);
    return st;
}

hn_status ops_check(const hn_graph *g, hn_plan *p, hn_device *ref, ops_result *r)
{
    ops_sample sample = { { 0 } };
    hn_graph *part = NULL;

    r->error = 0;
    r->n_checked = r->n_outputs = 0;
    draw_part(r->shape, &sample);
    hn_status s = hn_graph_create(&part);
    if (s == HN_OK) {
        bench_shape_build(r->shape, sample.dim, part);
        s = hn_graph_status(part);
    }
    if (s == HN_OK)
        s = compare(&sample, g, p, part, ref, r);
    hn_graph_destroy(&part);
    HN_TRY(hn_context(s, "check"));
    if (!(r->error <= r->shape->tolerance))
        return hn_fail(HN_ERR_DEVICE,
                       "wrong result: off by %.2g of what the reference gives, %.2g is allowed",
                       r->error, r->shape->tolerance);
    return HN_OK;
}
