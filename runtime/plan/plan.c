// A plan's life: made from a graph, written, run, read, destroyed.
#include "plan/choose.h"

#include <stdio.h>
#include <string.h>

hn_status hn__add_cmd(hn_plan *p, hn__cmd **out)
{
    HN_TRY(hn__reserve((void **)&p->cmds, &p->cap_cmds, p->n_cmds + 1, sizeof *p->cmds));
    *out = &p->cmds[p->n_cmds++];
    **out = (hn__cmd){ 0 };
    return HN_OK;
}

hn__bind hn__bind_slot(const hn_plan *p, int64_t slot, bool write)
{
    const hn__slot *s = &p->slots[slot];
    return (hn__bind){
        .buf = s->where == HN__WEIGHT ? s->buf : s->where == HN__IO ? p->io : p->block,
        .offset = s->where == HN__WEIGHT ? 0 : s->offset,
        .bytes = (s->bytes + 3) & ~INT64_C(3),
        .read = !write,
        .write = write,
    };
}

static hn_status rewrite(hn_plan *p, const hn_graph *g)
{
    hn_graph *plain;

    if (p->params.no_fuse || p->force_op)
        return hn__rewrite(g, &p->g);
    HN_TRY(hn__rewrite(g, &plain));
    const hn_status s = hn__absorb(plain, &p->dev->info, &p->g);
    hn_graph_destroy(&plain);
    return s;
}

static hn_status make_steps(hn_plan *p, const hn_graph *g)
{
    const bool host = p->dev->info.kind != HN_DEVICE_VULKAN;

    HN_TRY(rewrite(p, g));
    HN_TRY(hn__steps_make(p));
    if (!host && !p->force_op && p->dev->tune_ns > 0)
        HN_TRY(hn_context(hn__tune_steps(p), "tuning"));
    HN_TRY(host ? hn__tmp_host(p) : hn__tmp_vk(p));
    return hn__place(p);
}

static hn_status make_buffers(hn_plan *p)
{
    hn_status s = HN_OK;
    if (p->info.block_bytes)
        s = hn_buffer_create(p->dev, p->info.block_bytes, &p->block);
    if (s == HN_OK && p->info.io_bytes)
        s = hn_buffer_create(p->dev, p->info.io_bytes, &p->io);
    return hn_context(
        s, "the plan needs %" PRId64 " bytes of device memory beside %" PRId64 " of weights",
        p->info.block_bytes + p->info.io_bytes, p->info.weight_bytes);
}

static hn_status write_constants(hn_plan *p)
{
    for (int64_t i = 0; i < p->g->n_nodes; i++) {
        const hn__node *n = &p->g->nodes[i];
        const hn__source_attr *a = n->attr;
        if (n->op->flags & HN__SOURCE && !n->name)
            HN_TRY(
                hn_buffer_write(p->io, p->slots[n->out].offset, a->data, hn_type_bytes(&a->type)));
    }
    return HN_OK;
}

static hn_status make(hn_plan *p, const hn_graph *g)
{
    HN_TRY(make_steps(p, g));
    HN_TRY(make_buffers(p));
    HN_TRY(write_constants(p));
    HN_TRY(p->dev->info.kind == HN_DEVICE_VULKAN ? hn__lower_vk(p) : hn__lower_host(p));
    return p->dev->fn->stream_create(p->dev, p->cmds, p->n_cmds, &p->stream);
}

static hn_status begin(hn_device *d, const hn_plan_params *params, hn_plan **out)
{
    *out = hn__calloc(1, sizeof **out);
    if (!*out)
        return hn__nomem(sizeof **out);
    (*out)->dev = d;
    if (params)
        (*out)->params = *params;
    return HN_OK;
}

// Makes the plan that was begun, or destroys it.
static hn_status finish(hn_plan *p, const hn_graph *g, hn_plan **out)
{
    const hn_status s = make(p, g);
    if (s)
        hn_plan_destroy(&p);
    *out = p;
    return hn_context(s, "plan");
}

hn_status hn_plan_create(const hn_graph *g, hn_device *d, const hn_plan_params *params,
                         hn_plan **out)
{
    *out = NULL;
    HN_TRY(hn_graph_status(g));
    hn_plan *p;
    HN_TRY(begin(d, params, &p));
    return finish(p, g, out);
}

hn_status hn__plan_forced(const hn_graph *g, hn_device *d, const hn__op *op, const hn__variant *v,
                          hn_plan **out)
{
    *out = NULL;
    HN_TRY(hn_graph_status(g));
    hn_plan *p;
    HN_TRY(begin(d, NULL, &p));
    p->force_op = op;
    p->force = *v;
    return finish(p, g, out);
}

hn_status hn_plan_predict(const hn_graph *g, hn_device *d, const hn_plan_params *params,
                          hn_plan_info *out)
{
    HN_TRY(hn_graph_status(g));
    hn_plan *p;
    HN_TRY(begin(d, params, &p));
    p->predicting = true;
    const hn_status s = make_steps(p, g);
    *out = p->info;
    hn_plan_destroy(&p);
    return s;
}

void hn_plan_destroy(hn_plan **p)
{
    hn_plan *q = *p;
    if (!q)
        return;
    if (q->stream)
        q->dev->fn->stream_destroy(q->stream);
    hn_buffer_destroy(&q->block);
    hn_buffer_destroy(&q->io);
    hn_graph_destroy(&q->g);
    hn__arena_reset(&q->arena);
    hn__free(q->root);
    hn__free(q->out_slot);
    hn__free(q->slots);
    hn__free(q->steps);
    hn__free(q->cmds);
    hn__free(q);
    *p = NULL;
}

// ---- writing, reading, running -------------------------------------------------------------

// The slot of an output, or else of an input; its type.
static hn_status find(const hn_plan *p, const char *name, bool outputs, uint32_t *slot, hn_type *t)
{
    const hn_graph *g = p->g;
    for (int64_t i = 0; outputs && i < g->n_outputs; i++)
        if (!strcmp(g->outputs[i].name, name)) {
            *slot = p->out_slot[i];
            *t = g->values[g->outputs[i].val].type;
            return HN_OK;
        }
    for (int64_t i = 0; i < g->n_nodes; i++)
        if (g->nodes[i].name && !strcmp(g->nodes[i].op->name, "input") &&
            !strcmp(g->nodes[i].name, name)) {
            *slot = g->nodes[i].out;
            *t = g->values[*slot].type;
            return HN_OK;
        }
    return hn_fail(HN_ERR_ARG, "the plan has no %s '%s'", outputs ? "output or input" : "input",
                   name);
}

static hn_status reach(const hn_plan *p, const char *name, bool outputs, int64_t n_bytes,
                       hn__bind *out)
{
    uint32_t slot = 0;
    hn_type t = { 0 };
    HN_TRY(find(p, name, outputs, &slot, &t));
    if (hn_type_bytes(&t) != n_bytes) {
        char text[128];
        return hn_fail(HN_ERR_ARG, "'%s' is %s, %" PRId64 " bytes; given %" PRId64, name,
                       hn__type_text(&t, text, sizeof text), hn_type_bytes(&t), n_bytes);
    }
    *out = hn__bind_slot(p, slot, false);
    return HN_OK;
}

hn_status hn_plan_write(hn_plan *p, const char *name, const void *data, int64_t n_bytes)
{
    hn__bind b;
    HN_TRY(reach(p, name, false, n_bytes, &b));
    return hn_buffer_write(b.buf, b.offset, data, n_bytes);
}

hn_status hn_plan_read(hn_plan *p, const char *name, void *out_data, int64_t n_bytes)
{
    hn__bind b;
    HN_TRY(reach(p, name, true, n_bytes, &b));
    return hn_buffer_read(b.buf, b.offset, out_data, n_bytes);
}

static hn_status record_anew(hn_plan *p)
{
    if (p->stream)
        p->dev->fn->stream_destroy(p->stream);
    p->stream = NULL;
    return p->dev->fn->stream_create(p->dev, p->cmds, p->n_cmds, &p->stream);
}

hn_status hn_plan_run(hn_plan *p)
{
    if (p->params.no_replay || !p->stream)
        HN_TRY(record_anew(p));
    return p->dev->fn->stream_run(p->stream);
}

hn_plan_info hn_plan_get_info(const hn_plan *p)
{
    return p->info;
}

hn_status hn_plan_time(hn_plan *p, hn_step_time *out, int n, int *out_n)
{
    *out_n = (int)p->n_cmds;
    double *ns = hn__calloc((size_t)p->n_cmds + 1, sizeof *ns);
    if (!ns)
        return hn__nomem((size_t)p->n_cmds * sizeof *ns);
    const hn_status s = p->dev->fn->stream_time(p->stream, ns, p->n_cmds);
    for (int i = 0; s == HN_OK && i < n && i < p->n_cmds; i++)
        out[i] = (hn_step_time){ p->cmds[i].label, ns[i] };
    hn__free(ns);
    return s;
}

static int print_slot(const hn_plan *p, uint32_t slot, char *buf, size_t n)
{
    static const char *const names[] = { "none", "block", "io", "weight" };
    const hn__slot *s = &p->slots[slot];
    return snprintf(buf, n, " %s+%" PRId64 ":%" PRId64, names[s->where], s->offset, s->bytes);
}

void hn_plan_print(const hn_plan *p, void (*write)(void *user, const char *line), void *user)
{
    for (int64_t i = 0; i < p->n_steps; i++) {
        const hn__step *s = &p->steps[i];
        char line[1024];
        size_t at = (size_t)snprintf(line, sizeof line, "%4" PRId64 " %-47s", i, s->label);
        for (int k = 0; k < s->n_in + s->n_out && at < sizeof line - 80; k++) {
            if (k == s->n_in)
                at += (size_t)snprintf(line + at, sizeof line - at, " ->");
            at += (size_t)print_slot(p, k < s->n_in ? s->in[k] : s->out[k - s->n_in], line + at,
                                     sizeof line - at);
        }
        write(user, line);
    }
}
