// The optimiser as nodes of the graph: gradient, global-norm clipping, loss scaling, AdamW.
#include "hornito/train.h"
#include "ir/ir.h"

#include <stdio.h>

static hn_val counter(hn_graph *g, const char *name, float first)
{
    return hn_state(g, name, (hn_type){ HN_F32, 1, { 1 } }, (hn_init){ HN_INIT_CONST, first });
}

// sqrt(sum of all squares), f32 [1].
static hn_val global_norm(hn_graph *g, const hn_val squares[], int n)
{
    hn_val sum = { 0 };
    for (int i = 0; i < n; i++)
        sum = i ? hn_add(g, sum, squares[i]) : squares[i];
    return hn_reshape(g, hn_sqrt(g, sum), 1, (int64_t[]){ 1 });
}

// min(1, clip / norm)
static hn_val clip_factor(hn_graph *g, hn_val norm, float clip)
{
    const hn_val one = hn_fill(g, (hn_type){ HN_F32, 1, { 1 } }, 1);
    if (!(clip > 0))
        return one;
    const hn_val limit = hn_fill(g, (hn_type){ HN_F32, 1, { 1 } }, clip);
    return hn_min(g, hn_div(g, limit, hn_add_scalar(g, norm, 1e-6f)), one);
}

typedef struct scaling {
    hn_val scale, good, overflows; // states, f32 [1]
} scaling;

// After `interval` steps without overflow the scale doubles; an overflow halves it and is counted:
// returns the new count.
static hn_val update_scale(hn_graph *g, const scaling *s, hn_val finite, int interval)
{
    const hn_type one = { HN_F32, 1, { 1 } };
    const hn_val zero = hn_fill(g, one, 0), good = hn_add_scalar(g, s->good, 1);
    const hn_val due = hn_le(g, hn_fill(g, one, (float)interval), good);
    const hn_val up = hn_min(g, hn_mul_scalar(g, s->scale, 2), hn_fill(g, one, 0x1p40f));
    const hn_val down = hn_max(g, hn_mul_scalar(g, s->scale, 0.5f), hn_fill(g, one, 0x1p-20f));

    hn_assign(g, s->scale, hn_select(g, finite, hn_select(g, due, up, s->scale), down));
    hn_assign(g, s->good, hn_select(g, finite, hn_select(g, due, zero, good), zero));
    const hn_val count = hn_select(g, finite, s->overflows, hn_add_scalar(g, s->overflows, 1));
    hn_assign(g, s->overflows, count);
    return count;
}

static hn_val moment(hn_graph *g, const char *prefix, const char *name, hn_type t)
{
    char full[256];
    snprintf(full, sizeof full, "%s.%s", prefix, name);
    return hn_state(g, full, t, (hn_init){ HN_INIT_ZERO, 0 });
}

static void adamw_one(hn_graph *g, const hn_named_val *p, hn_val grad, hn_val hyper,
                      const hn_adamw_params *a)
{
    hn_adamw_params own = *a;
    const hn_type t = hn_val_type(g, p->val);
    const hn_val m = moment(g, "adam.m", p->name, t), v = moment(g, "adam.v", p->name, t);

    if (t.rank < 2)
        own.weight_decay = 0;
    const hn_adamw_out out = hn_adamw(g, p->val, grad, m, v, hyper, &own);
    hn_assign(g, p->val, out.p);
    hn_assign(g, m, out.m);
    hn_assign(g, v, out.v);
}

// Gradients that came in 16 bits are held so until the norm and the optimiser read them. The
// squares follow the gradients.
static void add_steps(hn_graph *g, const hn_named_val params[], const hn_val grads[], int n,
                      hn_val lr, const hn_optimizer_params *p, const scaling *s,
                      hn_optimizer_out *out)
{
    const hn_type one = { HN_F32, 1, { 1 } };
    hn_val norm = global_norm(g, grads + n, n);
    if (p->scale_loss)
        norm = hn_div(g, norm, s->scale);
    const hn_val finite = hn_is_finite(g, norm), zero = hn_fill(g, one, 0);
    hn_val factor = clip_factor(g, norm, p->clip);
    if (p->scale_loss)
        factor = hn_div(g, factor, s->scale);
    factor = hn_select(g, finite, factor, zero);

    const hn_val before = counter(g, "train.step", 0);
    const hn_val step = hn_add(g, before, hn_select(g, finite, hn_fill(g, one, 1), zero));
    const hn_val t = hn_max(g, step, hn_fill(g, one, 1)); // an overflow at the very first step
    const hn_val hyper = hn_concat(g, hn_concat(g, lr, t, 0), factor, 0);
    for (int i = 0; i < n; i++)
        adamw_one(g, &params[i], hn__cast_again(g, grads[i], HN__AGAIN_STEP), hyper, &p->adamw);
    hn_assign(g, before, step);
    *out = (hn_optimizer_out){ norm, hn_fill(g, one, 1), zero };
    if (!p->scale_loss)
        return;
    out->scale = s->scale;
    out->overflows = update_scale(g, s, finite, p->scale_interval ? p->scale_interval : 2000);
}

hn_status hn_optimize(hn_graph *g, hn_val loss, hn_val lr, const hn_optimizer_params *p,
                      hn_optimizer_out *out)
{
    hn_named_val *params = NULL;
    int n;
    scaling s = { { 0 }, { 0 }, { 0 } };

    HN_TRY(hn_graph_status(g));
    HN_TRY(hn_graph_params(g, &params, &n));
    hn_val *wrt = hn__calloc((size_t)n + 1, sizeof *wrt),
           *grads = hn__calloc(2 * (size_t)n + 1, sizeof *grads);
    hn_status st = wrt && grads ? HN_OK : hn__nomem((size_t)n * sizeof *wrt);
    for (int i = 0; st == HN_OK && i < n; i++)
        wrt[i] = params[i].val;
    if (p->scale_loss) {
        s.scale = counter(g, "train.scale", p->first_scale > 0 ? p->first_scale : 65536);
        s.good = counter(g, "train.good", 0);
        s.overflows = counter(g, "train.overflows", 0);
        loss = hn_mul(g, hn_reshape(g, loss, 1, (int64_t[]){ 1 }), s.scale);
    }
    if (st == HN_OK)
        st = hn__graph_grad(g, loss, wrt, n, p->recompute, grads, grads + n);
    if (st == HN_OK) {
        add_steps(g, params, grads, n, lr, p, &s, out);
        st = hn_graph_status(g);
    }
    hn__free(wrt);
    hn__free(grads);
    hn_params_destroy(&params);
    return st;
}
