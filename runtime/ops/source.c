// input, param, constant: values that no operator makes.
#include "ops/table.h"

#include <string.h>

static hn_status infer(hn__inst *n)
{
    const hn__source_attr *a = n->attr;

    HN_TRY(hn__type_check(&a->type));
    n->n_out = 1;
    n->out[0] = a->type;
    return HN_OK;
}

static void ref(const hn__inst *n, const double *const in[], double *const out[])
{
    const hn__source_attr *a = n->attr;

    (void)in;
    if (a->data)
        hn__to_f64(a->type.dtype, a->data, out[0], hn__numel(&a->type));
}

const hn__op_fns hn__fns_input = { .attr_bytes = sizeof(hn__source_attr), .infer = infer };
const hn__op_fns hn__fns_param = { .attr_bytes = sizeof(hn__source_attr), .infer = infer };
const hn__op_fns hn__fns_constant = { .attr_bytes = sizeof(hn__source_attr),
                                      .infer = infer,
                                      .ref = ref };

static hn_val named(hn_graph *g, const hn__op *op, const char *name, const hn__source_attr *a)
{
    if (g->status)
        return (hn_val){ 0 };
    for (int64_t i = 0; i < g->n_nodes; i++) {
        const hn__node *n = &g->nodes[i];
        if (!n->name || strcmp(n->name, name))
            continue;
        const hn__source_attr *have = n->attr;
        if (n->op == op && op->id == HN__OP_param && have->trainable == a->trainable &&
            hn__type_equal(&have->type, &a->type))
            return (hn_val){ n->out };
        return hn__graph_fail(
            g, hn_fail(HN_ERR_ARG, "'%s' is there already, of another kind or type", name));
    }
    const hn_val v = hn__emit(g, op, a, NULL, 0);
    if (!v.id)
        return v;
    g->nodes[g->n_nodes - 1].name = hn__arena_string(&g->arena, name);
    if (!g->nodes[g->n_nodes - 1].name)
        return hn__graph_fail(g, hn__nomem(strlen(name)));
    return v;
}

hn_val hn_input(hn_graph *g, const char *name, hn_type type)
{
    return named(g, &hn__ops[HN__OP_input], name, &(hn__source_attr){ .type = type });
}

hn_val hn_param(hn_graph *g, const char *name, hn_type type, hn_init init)
{
    return named(g, &hn__ops[HN__OP_param], name,
                 &(hn__source_attr){ .type = type, .init = init, .trainable = true });
}

hn_val hn_state(hn_graph *g, const char *name, hn_type type, hn_init init)
{
    return named(g, &hn__ops[HN__OP_param], name,
                 &(hn__source_attr){ .type = type, .init = init });
}

hn_val hn_const(hn_graph *g, hn_type type, const void *data)
{
    hn__source_attr a = { .type = type };

    if (g->status)
        return (hn_val){ 0 };
    const hn_status s = hn__type_check(&type);
    if (s)
        return hn__graph_fail(g, s);
    a.data = hn__arena_copy(&g->arena, data, (size_t)hn_type_bytes(&type));
    if (!a.data)
        return hn__graph_fail(g, hn__nomem((size_t)hn_type_bytes(&type)));
    return hn__emit(g, &hn__ops[HN__OP_constant], &a, NULL, 0);
}

hn_val hn_scalar(hn_graph *g, float x)
{
    return hn_const(g, (hn_type){ .dtype = HN_F32 }, &x);
}

// A stretched scalar: as large as its type only where something stores it.
hn_val hn_fill(hn_graph *g, hn_type type, float x)
{
    char one[4];
    hn__from_f32(type.dtype, &x, one, 1);
    return hn_broadcast(g, hn_const(g, (hn_type){ .dtype = type.dtype }, one), type.rank,
                        type.dim);
}
