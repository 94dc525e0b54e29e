// Which values of a loss are held in 16 bits: a copy of its graph with casts where types meet. All
// kernels sum in f32 whatever they are given; what is decided here is what is stored.
#include "train/precision.h"
#include "ops/table.h"

// An operator that may hold its operands, the first n of them, in 16 bits. One that asks for it
// has f32 operands cast; the others take over what comes. Operators that are not listed are f32:
// norms, softmax and reductions for their statistics, exp, log and quotients for their range, and
// look-ups for the gradients that they add up.
typedef struct rule {
    int op, n;
    bool asks;
} rule;

static const rule rules[] = {
    { HN__OP_matmul, 4, true },
    { HN__OP_attention, 3, true },
    { HN__OP_conv2d, 2, true },
    { HN__OP_conv2d_transpose, 2, true },
    { HN__OP_cross_entropy, 1, false }, // its sums and its loss are f32
    { HN__OP_rope, 1, false },
    { HN__OP_dropout, 1, false },
    { HN__OP_reshape, 1, false },
    { HN__OP_transpose, 1, false },
    { HN__OP_slice, 1, false },
    { HN__OP_concat, 2, false },
    { HN__OP_pad, 1, false },
    { HN__OP_broadcast, 1, false },
    { HN__OP_add, 2, false },
    { HN__OP_sub, 2, false },
    { HN__OP_mul, 2, false },
    { HN__OP_min, 2, false },
    { HN__OP_max, 2, false },
    { HN__OP_neg, 1, false },
    { HN__OP_abs, 1, false },
    { HN__OP_affine, 1, false },
    { HN__OP_clamp, 1, false },
    { HN__OP_tanh, 1, false },
    { HN__OP_sigmoid, 1, false },
    { HN__OP_relu, 1, false },
    { HN__OP_leaky_relu, 1, false },
    { HN__OP_silu, 1, false },
    { HN__OP_gelu, 1, false },
    { HN__OP_gelu_tanh, 1, false },
    { HN__OP_stop_gradient, 1, false },
    { HN__OP_straight_through, 2, false },
};

typedef struct lowering {
    const hn_graph *from;
    hn_graph *to;
    hn_dtype half;
    hn_val *map;     // of values
    hn_val *as_half; // the same cast, once each
    hn_val *as_f32;
} lowering;

static hn_dtype type_of(const lowering *l, uint32_t value)
{
    return hn__type(l->to, l->map[value])->dtype;
}

static const rule *rule_of(const hn__node *n)
{
    for (size_t i = 0; i < sizeof rules / sizeof *rules; i++)
        if (rules[i].op == n->op->id)
            return &rules[i];
    return NULL;
}

// Whether the node's first operands, all of them floats that can be cast, are to be 16-bit.
static bool lowers(const lowering *l, const hn__node *n, const rule *r)
{
    bool any = r && r->asks;

    for (int i = 0; r && i < n->n_in && i < r->n; i++) {
        const hn_dtype t = type_of(l, n->in[i]);
        if (!hn__is_float(t)) // blocks of a frozen matrix go with f32
            return false;
        any |= t == l->half;
    }
    return any;
}

static hn_val cast(lowering *l, uint32_t value, hn_dtype to)
{
    hn_val *kept = to == HN_F32 ? &l->as_f32[value] : &l->as_half[value];

    if (!kept->id)
        *kept = hn_cast(l->to, l->map[value], to);
    return *kept;
}

// The operand as the node wants it. In f32 a product with a frozen matrix takes that as it is
// stored, and so does a look-up.
static hn_val operand(lowering *l, const hn__node *n, int i, const rule *lowered)
{
    const uint32_t v = n->in[i];
    const hn_dtype t = type_of(l, v);
    const bool half = lowered && i < lowered->n;
    const bool stored = l->from->values[v].type.dtype == t && hn__is_half(t);

    if (half ? hn__is_float(t) && t != l->half : hn__is_half(t) && !stored)
        return cast(l, v, half ? l->half : HN_F32);
    return l->map[v];
}

static void copy_node(lowering *l, int64_t at)
{
    const hn__node *n = &l->from->nodes[at];
    const rule *r = rule_of(n), *lowered = lowers(l, n, r) ? r : NULL;
    hn_val in[HN__MAX_IN];

    for (int k = 0; k < n->n_in; k++)
        in[k] = n->op->id == HN__OP_cast ? l->map[n->in[k]] : operand(l, n, k, lowered);
    const hn_val v = hn__emit_copy(l->to, n, in);
    for (int k = 0; k < n->n_out; k++)
        l->map[n->out + (uint32_t)k] = hn__out(v, k);
}

// A value that leaves the graph has the type it had.
static hn_val leaving(lowering *l, uint32_t value)
{
    const hn_dtype was = l->from->values[value].type.dtype;

    if (l->to->status || type_of(l, value) == was)
        return l->map[value];
    return cast(l, value, was);
}

static hn_status copy_all(lowering *l)
{
    const hn_graph *g = l->from;

    for (int64_t i = 0; i < g->n_nodes && !l->to->status; i++)
        copy_node(l, i);
    for (int64_t i = 0; i < g->n_outputs; i++)
        hn_output(l->to, g->outputs[i].name, leaving(l, g->outputs[i].val));
    for (int64_t i = 0; i < g->n_assigns; i++)
        hn_assign(l->to, l->map[g->assigns[i].dst], leaving(l, g->assigns[i].src));
    for (int64_t i = 0; i < g->n_marks; i++)
        hn_mark_block(l->to, l->map[g->marks[i]]);
    return hn_graph_status(l->to);
}

hn_status hn__set_precision(const hn_graph *g, hn_dtype half, hn_graph **out)
{
    const size_t n = (size_t)g->n_values;

    *out = NULL;
    HN_TRY(hn_graph_status(g));
    lowering l = { .from = g, .half = half };
    HN_TRY(hn_graph_create(&l.to));
    l.map = hn__calloc(n, sizeof *l.map);
    l.as_half = hn__calloc(n, sizeof *l.as_half);
    l.as_f32 = hn__calloc(n, sizeof *l.as_f32);
    const hn_status s =
        l.map && l.as_half && l.as_f32 ? copy_all(&l) : hn__nomem(3 * n * sizeof *l.map);
    hn__free(l.map);
    hn__free(l.as_half);
    hn__free(l.as_f32);
    if (s)
        hn_graph_destroy(&l.to);
    *out = l.to;
    return s;
}
