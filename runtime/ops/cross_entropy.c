// cross_entropy: log-sum-exp minus the target's logit, by rows; cross_entropy_grad: its gradient
// in one pass, from the kept log-sum-exp.
#include "ops/table.h"

#include "ops/rows.h"

#include <string.h>

hn_val hn_cross_entropy(hn_graph *g, hn_val logits, hn_val targets)
{
    return HN__EMIT(g, cross_entropy, NULL, logits, targets);
}

static hn_status check_inputs(const hn__inst *n, hn_type *per_row)
{
    char x[128], t[128];

    HN_TRY(hn__want_float(n, 0));
    HN_TRY(hn__want_i32(n, 1));
    *per_row = n->in[0];
    per_row->rank--;
    per_row->dtype = HN_I32;
    if (n->in[0].rank < 1 || !hn__type_equal(per_row, &n->in[1]))
        return hn_fail(
            HN_ERR_SHAPE, "logits are %s, targets %s: must be the logits' shape without the last",
            hn__type_text(&n->in[0], x, sizeof x), hn__type_text(&n->in[1], t, sizeof t));
    per_row->dtype = HN_F32;
    return HN_OK;
}

// Outputs: loss and log-sum-exp, f32 of the targets' shape.
static hn_status infer(hn__inst *n)
{
    HN_TRY(check_inputs(n, &n->out[0]));
    n->n_out = 2;
    n->out[1] = n->out[0];
    return HN_OK;
}

static bool within(int64_t target, int64_t cols)
{
    return target >= 0 && target < cols;
}

static void ref(const hn__inst *n, const double *const in[], double *const out[])
{
    const int64_t cols = hn__cols(&n->in[0]), n_rows = hn__rows(&n->in[0]);

    for (int64_t r = 0; r < n_rows; r++) {
        const double *x = in[0] + r * cols;
        double most = x[0], sum = 0;
        for (int64_t c = 1; c < cols; c++)
            most = x[c] > most ? x[c] : most;
        for (int64_t c = 0; c < cols; c++)
            sum += exp(x[c] - most);
        const int64_t t = (int64_t)in[1][r];
        out[1][r] = most + log(sum);
        out[0][r] = within(t, cols) ? out[1][r] - x[t] : 0;
    }
}

typedef struct job {
    const float *x, *lse, *dloss, *dlse;
    const int32_t *targets;
    float *loss, *y;
    int64_t cols;
} job;

HN__HOT static void rows(void *ctx, int64_t begin, int64_t end, int thread)
{
    const job *j = ctx;
    const int64_t cols = j->cols;

    (void)thread;
    for (int64_t r = begin; r < end; r++) {
        const float *x = j->x + r * cols, most = hn__row_max(x, cols);
        const float log_sum = logf(hn__row_exp_sum(x, most, cols));
        const int64_t t = j->targets[r];
        j->y[r] = most + log_sum;
        j->loss[r] = within(t, cols) ? (most - x[t]) + log_sum : 0;
    }
}

static void host(const hn__inst *n, const hn__host *h)
{
    job j = { .x = h->in[0], .targets = h->in[1], .loss = h->out[0], .y = h->out[1],
              .cols = hn__cols(&n->in[0]) };

    hn__parallel(h->pool, hn__rows(&n->in[0]), 1 + 4096 / j.cols, rows, &j);
}

static void grad(hn_graph *g, const hn__inst *n, const hn_val in[], const hn_val out[],
                 const hn_val dy[], hn_val din[])
{
    const hn_val dloss = dy[0].id ? dy[0] : hn_fill(g, n->out[0], 0);
    const hn_val all[] = { in[0], in[1], out[1], dloss, dy[1] };

    din[0] = hn__emit(g, &hn__ops[HN__OP_cross_entropy_grad], NULL, all, dy[1].id ? 5 : 4);
}

static void launch(const hn__inst *n, hn__launch *l)
{
    hn__dispatch *d = hn__add_dispatch(l, n, "cross_entropy");

    HN__PUSH(d, cross_entropy_push, .cols = (uint32_t)hn__cols(&n->in[0]));
    hn__row_groups(l, d, &n->in[0]);
}

// Targets from one before to one after the columns: some are masked.
static void sample(hn_rng *rng, hn__sample *s)
{
    const int64_t r = hn__rng_dim(rng, 40), cols = hn__rng_dim(rng, 1100);

    s->inst.n_in = 2;
    s->inst.in[0] = (hn_type){ .rank = 2, .dim = { r, cols } };
    s->inst.in[1] = (hn_type){ .dtype = HN_I32, .rank = 1, .dim = { r } };
    s->range[0].hi =
        r < 8 ? 1.5 : 6; // where one logit is far above the others, the loss is all rounding
    s->range[0].lo = -s->range[0].hi;
    s->range[1].lo = -1;
    s->range[1].hi = (double)cols;
}

// ---- gradient ------------------------------------------------------------------------------
// Inputs: logits, targets, log-sum-exp, dloss, and where something depends on the log-sum-exp,
// its gradient.

static hn_status grad_infer(hn__inst *n)
{
    hn_type per_row;

    HN_TRY(check_inputs(n, &per_row));
    HN_TRY(hn__want_type(&n->in[2], &per_row, "log-sum-exp"));
    HN_TRY(hn__want_type(&n->in[3], &per_row, "dloss"));
    if (n->n_in > 4)
        HN_TRY(hn__want_type(&n->in[4], &per_row, "gradient of log-sum-exp"));
    n->n_out = 1;
    n->out[0] = n->in[0];
    return HN_OK;
}

static void grad_ref(const hn__inst *n, const double *const in[], double *const out[])
{
    const int64_t cols = hn__cols(&n->in[0]), n_rows = hn__rows(&n->in[0]);

    for (int64_t r = 0; r < n_rows; r++) {
        const int64_t t = (int64_t)in[1][r];
        const double dloss = within(t, cols) ? in[3][r] : 0, dlse = n->n_in > 4 ? in[4][r] : 0;
        for (int64_t c = 0; c < cols; c++)
            out[0][r * cols + c] =
                exp(in[0][r * cols + c] - in[2][r]) * (dloss + dlse) - (c == t ? dloss : 0);
    }
}

HN__HOT static void grad_rows(void *ctx, int64_t begin, int64_t end, int thread)
{
    const job *j = ctx;
    const int64_t cols = j->cols;

    (void)thread;
    for (int64_t r = begin; r < end; r++) {
        const float lse = j->lse[r];
        float *y = j->y + r * cols;
        const int64_t t = j->targets[r];
        const float dloss = within(t, cols) ? j->dloss[r] : 0,
                    all = dloss + (j->dlse ? j->dlse[r] : 0);
        if (j->y != j->x)
            memcpy(y, j->x + r * cols, (size_t)cols * sizeof *y);
        for (int64_t c = 0; c < cols; c++)
            y[c] = hn__vexp(y[c] - lse) * all;
        if (within(t, cols))
            y[t] -= dloss;
    }
}

static void grad_host(const hn__inst *n, const hn__host *h)
{
    job j = { .x = h->in[0], .targets = h->in[1], .lse = h->in[2], .dloss = h->in[3],
              .dlse = n->n_in > 4 ? h->in[4] : NULL, .y = h->out[0], .cols = hn__cols(&n->in[0]) };

    hn__parallel(h->pool, hn__rows(&n->in[0]), 1 + 4096 / j.cols, grad_rows, &j);
}

static void grad_launch(const hn__inst *n, hn__launch *l)
{
    hn__dispatch *d = hn__add_dispatch(l, n, "cross_entropy_grad");

    d->n_bind = 6;
    d->bind[4] = HN__IN(n->n_in > 4 ? 4 : 3); // an absent one is not read
    d->bind[5] = HN__OUT(0);
    HN__PUSH(d, cross_entropy_grad_push, .cols = (uint32_t)hn__cols(&n->in[0]),
             .has_dlse = n->n_in > 4);
    hn__row_groups(l, d, &n->in[0]);
}

static void grad_sample(hn_rng *rng, hn__sample *s)
{
    sample(rng, s);
    s->inst.n_in = 4 + (int)hn__rng_below(rng, 2);
    for (int i = 2; i < s->inst.n_in; i++) {
        s->inst.in[i] = s->inst.in[1];
        s->inst.in[i].dtype = HN_F32;
    }
    s->range[2].lo = 6; // about what such logits give
    s->range[2].hi = 9;
}

const hn__op_fns hn__fns_cross_entropy = {
    .infer = infer, .ref = ref, .host = host, .grad = grad, .launch = launch, .sample = sample
};
const hn__op_fns hn__fns_cross_entropy_grad = { .infer = grad_infer,
                                                .ref = grad_ref,
                                                .host = grad_host,
                                                .launch = grad_launch,
                                                .sample = grad_sample };
