// The gradient of a drawn instance, against differences of its reference.
#include "support/case.h"
#include "ops/table.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

// ---- a graph by its references -------------------------------------------------------------

static hn_status evaluate_node(const hn_graph *g, int64_t at, double *const in[], int *n_inputs,
                               hn__arena *arena, double **value)
{
    const hn__node *n = &g->nodes[at];
    const hn__inst inst = hn__graph_inst(g, at);
    const double *x[HN__MAX_IN] = { 0 };

    if (n->op->flags & HN__SOURCE && n->name) {
        value[n->out] = in[(*n_inputs)++];
        return HN_OK;
    }
    for (int i = 0; i < n->n_in; i++)
        x[i] = value[n->in[i]];
    for (int k = 0; k < n->n_out; k++) {
        const size_t bytes = (size_t)hn__numel(&inst.out[k]) * sizeof(double);
        value[n->out + (uint32_t)k] = hn__arena_alloc(arena, bytes);
        if (!value[n->out + (uint32_t)k])
            return hn__nomem(bytes);
    }
    n->op->fn->ref(&inst, x, value + n->out);
    return HN_OK;
}

hn_status hn__evaluate(const hn_graph *g, double *const in[], hn__arena *arena, double ***value)
{
    int n_inputs = 0;

    *value = hn__arena_alloc(arena, (size_t)g->n_values * sizeof **value);
    if (!*value)
        return hn__nomem((size_t)g->n_values * sizeof **value);
    for (int64_t i = 0; i < g->n_nodes; i++)
        HN_TRY(evaluate_node(g, i, in, &n_inputs, arena, *value));
    return HN_OK;
}

// ---- slopes --------------------------------------------------------------------------------

// The sum of v y over the float outputs, as a node.
static hn_val loss_node(hn_graph *g, const hn__case *c, hn_val first)
{
    hn_val loss = { 0 };

    for (int k = 0; k < c->s.inst.n_out; k++) {
        const hn_type *t = &c->s.inst.out[k];
        if (!c->v[k])
            continue;
        void *own = hn__calloc((size_t)hn__numel(t), (size_t)hn_dtype_size(t->dtype));
        if (!own)
            return hn__graph_fail(g, hn__nomem((size_t)hn_type_bytes(t)));
        hn__from_f64(t->dtype, c->v[k], own, hn__numel(t));
        const hn_val part = hn_sum_all(g, hn_mul(g, hn__out(first, k), hn_const(g, *t, own)));
        loss = loss.id ? hn_add(g, loss, part) : part;
        hn__free(own);
    }
    return loss;
}

// din[i]: the gradient of the loss to input i, in the arena; NULL where it is no float.
static hn_status gradients(hn__case *c, hn_graph *g, double *din[HN__MAX_IN])
{
    const hn__inst *n = &c->s.inst;
    hn_val in[HN__MAX_IN], wrt[HN__MAX_IN], d[HN__MAX_IN];
    int n_wrt = 0;

    for (int i = 0; i < n->n_in; i++) {
        char name[16];
        snprintf(name, sizeof name, "in%d", i);
        in[i] = hn_input(g, name, n->in[i]);
        if (c->dir[i])
            wrt[n_wrt++] = in[i];
    }
    const hn_val loss = loss_node(g, c, hn__emit(g, c->op, n->attr, in, n->n_in));
    HN_TRY(hn_graph_status(g));
    HN_TRY(hn_graph_grad(g, loss, wrt, n_wrt, d));

    double **value;
    HN_TRY(hn__evaluate(g, c->in, &c->arena, &value));
    for (int i = 0, k = 0; i < n->n_in; i++) {
        if (!c->dir[i])
            continue;
        const hn_type t = hn_val_type(g, d[k]);
        if (!hn__type_equal(&t, &n->in[i])) {
            char have[128], want[128];
            return hn_fail(HN_ERR_DEVICE, "gradient %d is %s, want %s", i,
                           hn__type_text(&t, have, sizeof have),
                           hn__type_text(&n->in[i], want, sizeof want));
        }
        din[i] = value[d[k++].id];
    }
    return HN_OK;
}

static hn_status case_gradients(hn__case *c, double *din[HN__MAX_IN])
{
    hn_graph *g;

    HN_TRY(hn_graph_create(&g));
    const hn_status s = gradients(c, g, din);
    hn_graph_destroy(&g);
    return s;
}

hn_status hn__case_slope(hn__case *c, double *out)
{
    double *din[HN__MAX_IN] = { 0 };

    HN_TRY(case_gradients(c, din));
    *out = 0;
    for (int i = 0; i < c->s.inst.n_in; i++)
        for (int64_t k = 0; din[i] && k < hn__numel(&c->s.inst.in[i]); k++)
            *out += din[i][k] * c->dir[i][k];
    return HN_OK;
}

hn_status hn__case_loss(hn__case *c, double h, double *out, double *out_size)
{
    const hn__inst *n = &c->s.inst;
    double *in[HN__MAX_IN], *y[HN__MAX_OUT];

    for (int i = 0; i < n->n_in; i++) {
        const int64_t size = hn__numel(&n->in[i]);
        in[i] = hn__arena_copy(&c->arena, c->in[i], (size_t)size * sizeof(double));
        if (!in[i])
            return hn__nomem((size_t)size * sizeof(double));
        for (int64_t k = 0; c->dir[i] && k < size; k++)
            in[i][k] += h * c->dir[i][k];
    }
    for (int k = 0; k < n->n_out; k++) {
        y[k] = hn__arena_alloc(&c->arena, (size_t)hn__numel(&n->out[k]) * sizeof(double));
        if (!y[k])
            return hn__nomem((size_t)hn__numel(&n->out[k]) * sizeof(double));
    }
    c->op->fn->ref(n, (const double *const *)in, y);
    *out = *out_size = 0;
    for (int k = 0; k < n->n_out; k++)
        for (int64_t i = 0; c->v[k] && i < hn__numel(&n->out[k]); i++) {
            *out += c->v[k][i] * y[k][i];
            *out_size += fabs(c->v[k][i] * y[k][i]);
        }
    return HN_OK;
}

bool hn__case_has_slope(const hn__case *c)
{
    bool in = false, out = false;

    for (int i = 0; i < c->s.inst.n_in; i++)
        in |= c->dir[i] != NULL;
    for (int k = 0; k < c->s.inst.n_out; k++)
        out |= c->v[k] != NULL;
    return in && out;
}

// In f64 a five-point difference leaves room for neither a wrong factor nor a missing term: its
// rounding is about 1e-11 of the loss's terms, which the second tolerance covers.
hn_status hn__case_check_grad(hn__case *c)
{
    const double h = 1e-5;
    double far[2], near[2], size, slope;

    HN_TRY(hn__case_loss(c, -2 * h, &far[0], &size));
    HN_TRY(hn__case_loss(c, 2 * h, &far[1], &size));
    HN_TRY(hn__case_loss(c, -h, &near[0], &size));
    HN_TRY(hn__case_loss(c, h, &near[1], &size));
    HN_TRY(hn__case_slope(c, &slope));
    const double want = (8 * (near[1] - near[0]) - (far[1] - far[0])) / (12 * h);
    if (!(fabs(slope - want) <= 1e-7 * fabs(want) + 1e-9 * size + 1e-12))
        return hn_fail(HN_ERR_DEVICE, "the slope by the gradient is %.12g, by differences %.12g",
                       slope, want);
    return HN_OK;
}

// v summed over the places of the output that an input's element is stretched to.
static double *summed_v(hn__case *c, const hn_type *in)
{
    const hn_type *out = &c->s.inst.out[0];
    int64_t stride[HN_MAX_RANK];
    double *sum = hn__arena_alloc(&c->arena, (size_t)hn__numel(in) * sizeof *sum);

    hn__broadcast_strides(in, out, stride);
    for (int64_t i = 0; sum && i < hn__numel(out); i++) {
        int64_t rest = i, at = 0;
        for (int d = out->rank - 1; d >= 0; rest /= out->dim[d--])
            at += rest % out->dim[d] * stride[d];
        sum[at] += c->v[0][i];
    }
    return sum;
}

hn_status hn__case_check_formula(hn__case *c, const double factor[HN__MAX_IN])
{
    double *din[HN__MAX_IN] = { 0 };

    HN_TRY(case_gradients(c, din));
    for (int i = 0; i < c->s.inst.n_in; i++) {
        const hn_type *t = &c->s.inst.in[i];
        const double *v = din[i] ? summed_v(c, t) : NULL;
        const double tol = t->dtype == HN_F32 ? 1e-12 : t->dtype == HN_F16 ? 1e-3 : 1e-2;
        if (din[i] && !v)
            return hn__nomem((size_t)hn__numel(t) * sizeof *v);
        for (int64_t k = 0; din[i] && k < hn__numel(t); k++)
            if (!(fabs(din[i][k] - factor[i] * v[k]) <= tol * (1 + fabs(v[k]))))
                return hn_fail(HN_ERR_DEVICE, "gradient %d: [%" PRId64 "] is %g, want %g", i, k,
                               din[i][k], factor[i] * v[k]);
    }
    return HN_OK;
}
