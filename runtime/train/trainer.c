// The trainer of any task: one plan for the whole step, and the schedule of the learning rate.
#include "train/precision.h"
#include "train/trainer.h"
#include "train/tune.h"

#include <math.h>
#include <string.h>

static hn_status check(const hn_train_params *p)
{
    if (p->batch < 1)
        return hn_fail(HN_ERR_ARG, "batch %" PRId64 " must be > 0", p->batch);
    if (p->steps < 1 || p->warmup < 0 || !(p->lr > 0) || !(p->lr_end >= 0))
        return hn_fail(HN_ERR_ARG, "steps %" PRId64 ", warm-up %" PRId64 ", rates %g to %g",
                       p->steps, p->warmup, p->lr, p->lr_end);
    if (p->precision && p->precision != HN_F32 && !hn__is_half(p->precision))
        return hn_fail(HN_ERR_ARG, "precision %s: must be f32, f16 or bf16",
                       hn_dtype_name(p->precision));
    return HN_OK;
}

// ---- making one ----------------------------------------------------------------------------

static hn_dtype stored(void *user, const char *name)
{
    const hn__base *b = user;
    const hn_tensor *t = b ? hn__base_find(b, name) : NULL;
    return t && t->dtype && !t->transposed ? t->dtype : HN_F32;
}

// The task's loss as the graph's output "loss", tuned, in the run's precision.
static hn_status build_loss(hn_trainer *t, hn_graph **out)
{
    hn_graph *g;
    hn_val loss = { 0 };

    *out = NULL;
    HN_TRY(hn_graph_create(&g));
    const hn_val key = hn_input(g, "key", (hn_type){ HN_I32, 1, { 2 } });
    hn_status s = t->task->fn->build(t->task, g, key, &loss);
    if (s == HN_OK) {
        hn_output(g, "loss", loss);
        s = hn__tune(g, &t->params.tune, stored, t->base, out);
    }
    hn_graph_destroy(&g);
    if (s || !hn__is_half(t->params.precision))
        return s;
    g = *out;
    s = hn__set_precision(g, t->params.precision, out);
    hn_graph_destroy(&g);
    return s;
}

static hn_status add_optimizer(const hn_trainer *t, hn_graph *g)
{
    const hn_val lr = hn_input(g, "lr", (hn_type){ HN_F32, 1, { 1 } });
    hn_optimizer_out o;

    HN_TRY(hn_optimize(g, (hn_val){ g->outputs[0].val }, lr, &t->params.optimizer, &o));
    hn_output(g, "grad_norm", o.grad_norm);
    hn_output(g, "scale", o.scale);
    hn_output(g, "overflows", o.overflows);
    return hn_graph_status(g);
}

static bool has_held(const hn_trainer *t)
{
    return t->task->fn->held && t->task->fn->held(t->task) > 0;
}

// Whether the device's memory holds the run, before any of it is taken. `loss` may be NULL.
static hn_status check_memory(const hn_graph *g, const hn_graph *loss, hn_device *d,
                              const hn_plan_params *p)
{
    const int64_t heap = hn_device_get_info(d)->heap_bytes, mib = 1 << 20;
    hn_plan_info i, held = { 0 };

    HN_TRY(hn_plan_predict(g, d, p, &i));
    if (loss)
        HN_TRY(hn_plan_predict(loss, d, p, &held));
    const int64_t plans = i.block_bytes + i.io_bytes + held.block_bytes + held.io_bytes;
    const int64_t all = plans + i.weight_bytes;
    if (all <= heap - hn_device_bytes(d))
        return HN_OK;
    return hn_fail(HN_ERR_NOMEM,
                   "a step takes %" PRId64 " MiB (%" PRId64 " of weights and moments, %" PRId64
                   " of activations and gradients), the device has %" PRId64
                   ": compute blocks again, hold activations in 16 bits, freeze weights, train "
                   "low-rank adapters, or make the batch smaller",
                   (all + mib - 1) / mib, i.weight_bytes / mib, plans / mib, heap / mib);
}

// Weights, then the plans of the step's graph g and of what is held out.
static hn_status make_plans(hn_trainer *t, hn_device *d, const hn_graph *g, const hn_graph *loss)
{
    const hn_train_params *p = &t->params;
    hn_plan_params plan = { .no_fuse = p->no_fuse, .no_replay = p->no_replay };

    HN_TRY(check_memory(g, loss, d, &plan));
    HN_TRY(hn_weights_create(d, &t->weights));
    if (t->base)
        HN_TRY(hn__base_load(t->base, g, t->weights));
    HN_TRY(hn_weights_add(t->weights, g, p->seed));
    if (t->task->fn->begin)
        HN_TRY(t->task->fn->begin(t->task, t->weights));
    plan.weights = t->weights;
    if (loss)
        HN_TRY(hn_plan_create(loss, d, &plan, &t->measure));
    return hn_plan_create(g, d, &plan, &t->plan);
}

static char *join(const char *const words[], int n)
{
    size_t bytes = 1;
    for (int i = 0; i < n; i++)
        bytes += strlen(words[i]) + 1;
    char *text = hn__calloc(bytes, 1);
    for (int i = 0; text && i < n; i++) {
        strcat(text, words[i]);
        if (i + 1 < n)
            strcat(text, ",");
    }
    return text;
}

static hn_status make(hn_trainer *t, hn_device *d)
{
    const hn_tune_params *tune = &t->params.tune;
    hn_graph *g = NULL, *loss = NULL;

    t->freeze = join(tune->freeze, tune->n_freeze);
    t->targets = join(tune->targets, tune->n_targets);
    if (!t->freeze || !t->targets)
        return hn__nomem(256);
    HN_TRY(check(&t->params));
    if (t->base)
        HN_TRY(hn__base_hash(t->base));
    hn_status s = build_loss(t, &g);
    if (s == HN_OK && has_held(t))
        s = build_loss(t, &loss);
    if (s == HN_OK)
        s = add_optimizer(t, g);
    if (s == HN_OK)
        s = make_plans(t, d, g, loss);
    hn_graph_destroy(&g);
    hn_graph_destroy(&loss);
    return s;
}

hn_status hn__trainer_create(hn_device *d, const hn_train_params *p, hn__task *task,
                             hn__base *base, hn_trainer **out)
{
    hn_trainer *t = hn__calloc(1, sizeof *t);

    *out = NULL;
    if (!t) {
        task->fn->destroy(task);
        hn__base_close(&base);
        return hn__nomem(sizeof *t);
    }
    *t = (hn_trainer){ .params = *p, .task = task, .base = base };
    t->params.precision = p->precision ? p->precision : HN_F32;
    t->params.optimizer.scale_loss |= p->precision == HN_F16;
    const hn_status s = make(t, d);
    if (s)
        hn_trainer_destroy(&t);
    else
        t->params.tune.freeze = t->params.tune.targets = NULL; // the caller's
    *out = t;
    return hn_context(s, "training");
}

void hn_trainer_destroy(hn_trainer **t)
{
    if (!*t)
        return;
    hn_plan_destroy(&(*t)->plan);
    hn_plan_destroy(&(*t)->measure);
    hn_weights_destroy(&(*t)->weights);
    (*t)->task->fn->destroy((*t)->task);
    hn__base_close(&(*t)->base);
    hn__free((*t)->freeze);
    hn__free((*t)->targets);
    hn__free(*t);
    *t = NULL;
}

hn_weights *hn_trainer_weights(hn_trainer *t)
{
    return t->weights;
}

hn_plan *hn_trainer_plan(hn_trainer *t)
{
    return t->plan;
}

int64_t hn_trainer_steps_done(const hn_trainer *t)
{
    return t->done;
}

void hn_trainer_count(const hn_trainer *t, int64_t *trained, int64_t *frozen)
{
    *trained = *frozen = 0;
    for (int64_t i = 0; i < hn_weights_count(t->weights); i++) {
        const hn_weight_info w = hn_weights_info(t->weights, i);
        if (w.trainable)
            *trained += hn_type_numel(&w.type);
        else if (hn__part_of(w.name) == HN__PART_MODEL)
            *frozen += hn_type_numel(&w.type);
    }
}

// ---- steps ---------------------------------------------------------------------------------

// Linear warm-up, then a cosine from lr to lr_end (Loshchilov and Hutter 2017, arXiv 1608.03983).
static double rate(const hn_train_params *p, int64_t step)
{
    if (step <= p->warmup)
        return p->lr * (double)step / (double)p->warmup;
    if (step >= p->steps)
        return p->lr_end;
    const double at = (double)(step - p->warmup) / (double)(p->steps - p->warmup);
    return p->lr_end + (p->lr - p->lr_end) * 0.5 * (1 + cos(3.141592653589793 * at));
}

static hn_status read_number(hn_plan *plan, const char *name, double *out)
{
    float x;
    HN_TRY(hn_plan_read(plan, name, &x, sizeof x));
    *out = x;
    return HN_OK;
}

hn_status hn_trainer_step(hn_trainer *t, hn_train_step *out)
{
    const int64_t step = t->done + 1;
    const float lr = (float)rate(&t->params, step);
    const int32_t key[2] = { (int32_t)t->params.seed, (int32_t)step };

    HN_TRY(t->task->fn->feed(t->task, t->plan, step));
    HN_TRY(hn_plan_write(t->plan, "lr", &lr, sizeof lr));
    HN_TRY(hn_plan_write(t->plan, "key", key, sizeof key));
    HN_TRY(hn_plan_run(t->plan));
    t->done = step;
    *out = (hn_train_step){ .step = step, .lr = rate(&t->params, step) };
    HN_TRY(read_number(t->plan, "loss", &out->loss));
    HN_TRY(read_number(t->plan, "grad_norm", &out->grad_norm));
    HN_TRY(read_number(t->plan, "scale", &out->scale));
    return read_number(t->plan, "overflows", &out->overflows);
}

bool hn_trainer_has_held(const hn_trainer *t)
{
    return t->measure != NULL;
}

hn_status hn_trainer_measure(hn_trainer *t, double *out_loss)
{
    double nats = 0, tokens = 0;

    if (!t->measure)
        return hn_fail(HN_ERR_ARG, "nothing is held out");
    for (int64_t i = 0; i < t->task->fn->held(t->task); i++) {
        double n, mean;
        HN_TRY(t->task->fn->feed_held(t->task, t->measure, i, &n));
        HN_TRY(hn_plan_run(t->measure));
        HN_TRY(read_number(t->measure, "loss", &mean));
        nats += mean * n;
        tokens += n;
    }
    *out_loss = nats / tokens;
    return HN_OK;
}
