// The graph: nodes and values in growing arrays, handles that are indices, one sticky error.
#include "ir/ir.h"

#include <stdio.h>
#include <string.h>

hn_status hn_graph_create(hn_graph **out)
{
    *out = NULL;
    hn_graph *g = hn__calloc(1, sizeof *g);
    if (!g)
        return hn__nomem(sizeof *g);
    const hn_status s = hn__reserve((void **)&g->values, &g->cap_values, 1, sizeof *g->values);
    if (s) {
        hn_graph_destroy(&g);
        return s;
    }
    g->values[0] = (hn__value){ 0 };
    g->n_values = 1;
    *out = g;
    return HN_OK;
}

void hn_graph_destroy(hn_graph **g)
{
    if (!*g)
        return;
    hn__arena_reset(&(*g)->arena);
    hn__free((*g)->nodes);
    hn__free((*g)->values);
    hn__free((*g)->outputs);
    hn__free((*g)->assigns);
    hn__free((*g)->marks);
    hn__free(*g);
    *g = NULL;
}

hn_status hn_graph_status(const hn_graph *g)
{
    return g->status ? hn_fail(g->status, "%s", g->error) : HN_OK;
}

hn_val hn__graph_fail(hn_graph *g, hn_status s)
{
    if (!g->status) {
        g->status = s;
        snprintf(g->error, sizeof g->error, "%s", hn_error_text());
    }
    return (hn_val){ 0 };
}

hn_type hn_val_type(const hn_graph *g, hn_val v)
{
    return v.id < g->n_values ? g->values[v.id].type : (hn_type){ 0 };
}

hn__inst hn__graph_inst(const hn_graph *g, int64_t node)
{
    const hn__node *n = &g->nodes[node];
    hn__inst inst = { .op = n->op, .n_in = n->n_in, .n_out = n->n_out, .attr = n->attr };
    for (int i = 0; i < n->n_in; i++)
        inst.in[i] = g->values[n->in[i]].type;
    for (int i = 0; i < n->n_out; i++)
        inst.out[i] = g->values[n->out + (uint32_t)i].type;
    return inst;
}

static hn_status add_node(hn_graph *g, const hn__inst *inst, const hn_val in[])
{
    HN_TRY(hn__reserve((void **)&g->nodes, &g->cap_nodes, g->n_nodes + 1, sizeof *g->nodes));
    HN_TRY(hn__reserve((void **)&g->values, &g->cap_values, g->n_values + inst->n_out,
                       sizeof *g->values));
    hn__node *n = &g->nodes[g->n_nodes];
    *n = (hn__node){ .op = inst->op, .n_in = inst->n_in, .n_out = inst->n_out,
                     .out = (uint32_t)g->n_values };
    if (inst->attr) {
        n->attr = hn__arena_copy(&g->arena, inst->attr, inst->op->fn->attr_bytes);
        if (!n->attr)
            return hn__nomem(inst->op->fn->attr_bytes);
    }
    for (int i = 0; i < inst->n_in; i++)
        n->in[i] = in[i].id;
    for (int i = 0; i < inst->n_out; i++)
        g->values[g->n_values++] =
            (hn__value){ .type = inst->out[i], .node = (uint32_t)g->n_nodes, .index = i };
    g->n_nodes++;
    return HN_OK;
}

// Few operators take blocks; whoever forgets to say so has them refused.
static hn_status want_plain(const hn__op *op, const hn_type t[], int n, const char *what)
{
    char text[128];

    for (int i = 0; i < n && !(op->flags & HN__BLOCKS); i++)
        if (hn__is_quantised(t[i].dtype))
            return hn_fail(HN_ERR_UNSUPPORTED, "%s %d is %s, must not be quantised", what, i,
                           hn__type_text(&t[i], text, sizeof text));
    return HN_OK;
}

hn_val hn__emit(hn_graph *g, const hn__op *op, const void *attr, const hn_val in[], int n)
{
    char copy[HN__MAX_ATTR];
    hn__inst inst = { .op = op, .n_in = n };

    if (g->status)
        return (hn_val){ 0 };
    for (int i = 0; i < n; i++) {
        if (in[i].id == 0 || in[i].id >= g->n_values)
            return hn__graph_fail(
                g, hn_fail(HN_ERR_ARG, "%s: operand %d is no value of this graph", op->name, i));
        inst.in[i] = g->values[in[i].id].type;
    }
    if (attr)
        inst.attr = memcpy(copy, attr, op->fn->attr_bytes);
    hn_status s = want_plain(op, inst.in, n, "operand");
    if (s == HN_OK)
        s = op->fn->infer(&inst);
    for (int i = 0; s == HN_OK && i < inst.n_out; i++)
        s = hn__type_check(&inst.out[i]);
    if (s == HN_OK)
        s = want_plain(op, inst.out, inst.n_out, "result");
    if (s == HN_OK)
        s = add_node(g, &inst, in);
    if (s)
        return hn__graph_fail(g, hn_context(s, "%s", op->name));
    return (hn_val){ g->nodes[g->n_nodes - 1].out };
}

hn_val hn__emit_copy(hn_graph *g, const hn__node *n, const hn_val in[])
{
    const hn_val v = hn__emit(g, n->op, n->attr, in, n->n_in);

    if (!v.id)
        return v;
    hn__node *made = &g->nodes[g->n_nodes - 1];
    made->again = n->again;
    if (n->name) {
        made->name = hn__arena_string(&g->arena, n->name);
        if (!made->name)
            return hn__graph_fail(g, hn__nomem(strlen(n->name)));
    } else if (n->op->flags & HN__SOURCE) {
        const hn__source_attr *a = n->attr;
        const void *data =
            hn__arena_copy(&g->arena, a->data, (size_t)hn_type_bytes(&a->type));
        ((hn__source_attr *)made->attr)->data = data;
        if (!data)
            return hn__graph_fail(g, hn__nomem((size_t)hn_type_bytes(&a->type)));
    }
    return v;
}

void hn_output(hn_graph *g, const char *name, hn_val v)
{
    if (g->status)
        return;
    hn_status s = HN_OK;
    if (v.id == 0 || v.id >= g->n_values)
        s = hn_fail(HN_ERR_ARG, "output '%s' is no value of this graph", name);
    for (int64_t i = 0; s == HN_OK && i < g->n_outputs; i++)
        if (!strcmp(g->outputs[i].name, name))
            s = hn_fail(HN_ERR_ARG, "output '%s' is there already", name);
    if (s == HN_OK)
        s = hn__reserve((void **)&g->outputs, &g->cap_outputs, g->n_outputs + 1,
                        sizeof *g->outputs);
    const char *copy = s ? NULL : hn__arena_string(&g->arena, name);
    if (s == HN_OK && !copy)
        s = hn__nomem(strlen(name));
    if (s == HN_OK)
        g->outputs[g->n_outputs++] = (hn__named){ copy, v.id };
    else
        hn__graph_fail(g, s);
}

hn_status hn__copy_ends(const hn_graph *from, const hn_val map[], hn_graph *to)
{
    for (int64_t i = 0; i < from->n_outputs; i++)
        hn_output(to, from->outputs[i].name, map[from->outputs[i].val]);
    for (int64_t i = 0; i < from->n_assigns; i++)
        hn_assign(to, map[from->assigns[i].dst], map[from->assigns[i].src]);
    return hn_graph_status(to);
}

static hn_status check_assign(const hn_graph *g, hn_val dst, hn_val src)
{
    if (!dst.id || !src.id || dst.id >= g->n_values || src.id >= g->n_values)
        return hn_fail(HN_ERR_ARG, "assign: no value of this graph");
    const hn__node *n = &g->nodes[g->values[dst.id].node];
    const hn__source_attr *a = n->attr;
    if (!(n->op->flags & HN__SOURCE) || !n->name || n->n_in || a->data)
        return hn_fail(HN_ERR_ARG, "assign: only a param or a state can be assigned");
    if (!hn__type_equal(&g->values[dst.id].type, &g->values[src.id].type)) {
        char from[128], to[128];
        return hn_fail(HN_ERR_SHAPE, "assign: '%s' is %s, given %s", n->name,
                       hn__type_text(hn__type(g, dst), to, sizeof to),
                       hn__type_text(hn__type(g, src), from, sizeof from));
    }
    for (int64_t i = 0; i < g->n_assigns; i++)
        if (g->assigns[i].dst == dst.id)
            return hn_fail(HN_ERR_ARG, "assign: '%s' is assigned already", n->name);
    return HN_OK;
}

void hn_assign(hn_graph *g, hn_val dst, hn_val src)
{
    if (g->status)
        return;
    hn_status s = check_assign(g, dst, src);
    if (s == HN_OK)
        s = hn__reserve((void **)&g->assigns, &g->cap_assigns, g->n_assigns + 1,
                        sizeof *g->assigns);
    if (s == HN_OK)
        g->assigns[g->n_assigns++] = (hn__assignment){ dst.id, src.id };
    else
        hn__graph_fail(g, s);
}

void hn_mark_block(hn_graph *g, hn_val v)
{
    if (g->status)
        return;
    hn_status s = HN_OK;
    if (v.id == 0 || v.id >= g->n_values)
        s = hn_fail(HN_ERR_ARG, "a block ends in no value of this graph");
    else if (g->n_marks && g->values[g->marks[g->n_marks - 1]].node >= g->values[v.id].node)
        s = hn_fail(HN_ERR_ARG, "a block ends before the one that was marked last");
    if (s == HN_OK)
        s = hn__reserve((void **)&g->marks, &g->cap_marks, g->n_marks + 1, sizeof *g->marks);
    if (s == HN_OK)
        g->marks[g->n_marks++] = v.id;
    else
        hn__graph_fail(g, s);
}

// A param or state; an input has the same attributes, and is told apart by its operator.
static bool is_trainable(const hn__node *n)
{
    const hn__source_attr *a = n->attr;
    return n->op->flags & HN__SOURCE && n->name && a->trainable;
}

hn_status hn_graph_params(const hn_graph *g, hn_named_val **out, int *out_n)
{
    *out = NULL;
    *out_n = 0;
    int64_t n = 0;
    for (int64_t i = 0; i < g->n_nodes; i++)
        n += is_trainable(&g->nodes[i]);
    if (!n)
        return HN_OK;
    hn_named_val *list = hn__calloc((size_t)n, sizeof *list);
    if (!list)
        return hn__nomem((size_t)n * sizeof *list);
    n = 0;
    for (int64_t i = 0; i < g->n_nodes; i++)
        if (is_trainable(&g->nodes[i]))
            list[n++] = (hn_named_val){ g->nodes[i].name, { g->nodes[i].out } };
    *out = list;
    *out_n = (int)n;
    return HN_OK;
}

void hn_params_destroy(hn_named_val **list)
{
    hn__free(*list);
    *list = NULL;
}

void hn_graph_print(const hn_graph *g, void (*write)(void *user, const char *line), void *user)
{
    for (int64_t i = 0; i < g->n_nodes; i++) {
        const hn__node *n = &g->nodes[i];
        char line[512], type[128];
        int at = snprintf(line, sizeof line, "%%%u", n->out);
        if (n->n_out > 1)
            at += snprintf(line + at, sizeof line - (size_t)at, "..%u",
                           n->out + (uint32_t)n->n_out - 1);
        at += snprintf(line + at, sizeof line - (size_t)at, " = %s", n->op->name);
        for (int k = 0; k < n->n_in; k++)
            at += snprintf(line + at, sizeof line - (size_t)at, " %%%u", n->in[k]);
        at += snprintf(line + at, sizeof line - (size_t)at, " : %s",
                       hn__type_text(&g->values[n->out].type, type, sizeof type));
        if (n->name)
            snprintf(line + at, sizeof line - (size_t)at, " '%.200s'", n->name);
        write(user, line);
    }
}
