// hornito bench step --export: what another framework needs to make the same steps.
#include "bench_step.h"

#include <string.h>

#include "base/base.h"
#include "hornito/io.h"

enum { LAST = 4 }; // ids, targets, losses, head size

struct step_export {
    hn_tensor *list;        // the weights, then LAST more
    int64_t n_weights;
    int32_t head_size;
    int32_t *ids, *targets; // [steps, batch, length]
    float *losses;          // [steps]
    int64_t n_ids;          // of a step
    int steps, n_done;
};

void step_export_destroy(step_export **e)
{
    step_export *x = *e;
    if (!x)
        return;
    for (int64_t i = 0; x->list && i < x->n_weights; i++)
        hn__free((void *)(uintptr_t)x->list[i].data);
    hn__free(x->list);
    hn__free(x->ids);
    hn__free(x->targets);
    hn__free(x->losses);
    hn__free(x);
    *e = NULL;
}

static hn_status keep_weight(step_export *e, hn_weights *w, const hn_weight_info *info)
{
    hn_tensor *t = &e->list[e->n_weights];
    void *data = hn__calloc(1, (size_t)hn_type_bytes(&info->type));
    if (!data)
        return hn__nomem((size_t)hn_type_bytes(&info->type));
    *t = (hn_tensor){ .name = info->name,
                      .dtype = info->type.dtype,
                      .rank = info->type.rank,
                      .data = data,
                      .n_bytes = hn_type_bytes(&info->type) };
    memcpy(t->dim, info->type.dim, sizeof info->type.dim);
    e->n_weights++;
    return hn_weights_read(w, info->name, data, t->n_bytes);
}

static hn_status begin(step_bench *b, int steps, step_export *e)
{
    hn_weights *w = hn_trainer_weights(b->v[0].trainer);
    const int64_t n = hn_weights_count(w), n_ids = b->params.batch * b->params.length;

    e->n_ids = n_ids;
    e->steps = steps;
    e->list = hn__calloc((size_t)n + LAST, sizeof *e->list);
    e->ids = hn__calloc((size_t)(steps * n_ids), sizeof *e->ids);
    e->targets = hn__calloc((size_t)(steps * n_ids), sizeof *e->targets);
    e->losses = hn__calloc((size_t)steps, sizeof *e->losses);
    if (!e->list || !e->ids || !e->targets || !e->losses)
        return hn__nomem((size_t)(steps * n_ids) * sizeof *e->ids);
    for (int64_t i = 0; i < n; i++) {
        const hn_weight_info info = hn_weights_info(w, i);
        if (info.trainable)
            HN_TRY(keep_weight(e, w, &info));
    }
    return HN_OK;
}

hn_status step_export_begin(step_bench *b, int steps, step_export **out)
{
    *out = hn__calloc(1, sizeof **out);
    if (!*out)
        return hn__nomem(sizeof **out);
    const hn_status s = begin(b, steps, *out);
    if (s)
        step_export_destroy(out);
    return hn_context(s, "--export");
}

hn_status step_export_add(step_export *e, step_bench *b)
{
    hn_plan *p = hn_trainer_plan(b->v[0].trainer);
    const int64_t at = e->n_done * e->n_ids, n_bytes = e->n_ids * (int64_t)sizeof *e->ids;

    HN_TRY(hn_plan_read(p, "ids", e->ids + at, n_bytes));
    HN_TRY(hn_plan_read(p, "targets", e->targets + at, n_bytes));
    e->losses[e->n_done++] = (float)b->v[0].loss[b->v[0].n_steps - 1];
    return HN_OK;
}

hn_status step_export_write(step_export *e, const step_bench *b, const char *path)
{
    const int64_t spans = (int64_t)e->steps * e->n_ids * (int64_t)sizeof *e->ids;
    const hn_tensor ids = { .name = "bench.ids",
                            .dtype = HN_I32,
                            .rank = 3,
                            .dim = { e->steps, b->params.batch, b->params.length },
                            .data = e->ids,
                            .n_bytes = spans };
    hn_tensor *last = e->list + e->n_weights;

    last[0] = last[1] = ids;
    last[1].name = "bench.targets";
    last[1].data = e->targets;
    last[2] = (hn_tensor){ .name = "bench.losses", .dtype = HN_F32, .rank = 1, .dim = { e->steps },
                           .data = e->losses, .n_bytes = e->steps * (int64_t)sizeof *e->losses };
    e->head_size = (int32_t)(b->params.model.width / b->params.model.heads);
    last[3] = (hn_tensor){ .name = "bench.head_size",
                           .dtype = HN_I32,
                           .rank = 1,
                           .dim = { 1 },
                           .data = &e->head_size,
                           .n_bytes = sizeof e->head_size };
    return hn_tensors_write(path, e->list, e->n_weights + LAST, NULL, 0);
}
