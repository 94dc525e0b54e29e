// Drawing fused expressions, and evaluating them by the operators' references.
#include "support/expr.h"
#include "ops/pointwise.h"
#include "support/check.h"

#include <string.h>

static void *get(test_expr *t, int64_t n, size_t size)
{
    void *p = hn__arena_alloc(&t->arena, (size_t)n * size + 64);
    CHECK(p, "out of memory");
    return p;
}

// ---- inputs --------------------------------------------------------------------------------

static void draw_space(test_expr *t, hn_rng *rng)
{
    static const int64_t most[5] = { 0, 6000, 300, 30, 12 };
    hn__expr *e = &t->e;

    e->rank = (int)hn__rng_below(rng, 5);
    t->n = 1;
    for (int i = 0; i < e->rank; i++) {
        e->dim[i] = hn__rng_dim(rng, most[e->rank]);
        if (e->rank == 2 && hn__rng_below(rng, 4) == 0)
            e->dim[i] = hn__rng_dim(rng, 3000) % (40000 / (i ? e->dim[0] : 1) + 1) + 1;
        t->n *= e->dim[i];
    }
}

static void draw_elements(hn_rng *rng, hn_dtype type, double *x, int64_t n)
{
    const double lo = type == HN_U8    ? 0
                      : type == HN_I32 ? -9
                                       : -2,
                 hi = hn__is_float(type) ? 2 : 9;
    for (int64_t i = 0; i < n; i++)
        x[i] = hn__is_float(type) ? hn__rng_range(rng, lo, hi)
                                  : lo + (double)hn__rng_below(rng, (int64_t)(hi - lo) + 1);
}

// A tensor of some of the space's dimensions, or (strides in another order) a transposed one.
static void draw_input(test_expr *t, hn_rng *rng, int k)
{
    static const hn_dtype types[] = { HN_F32, HN_F32, HN_F32, HN_F16, HN_BF16, HN_I32, HN_U8 };
    hn__expr *e = &t->e;
    hn__expr_in *in = &e->in[k];
    const bool whole = hn__rng_below(rng, 2), turned = hn__rng_below(rng, 5) == 0;
    int64_t n = 1;

    in->type = k ? types[hn__rng_below(rng, 7)] : HN_F32;
    for (int i = 0; i < e->rank; i++) {
        const int d = turned ? i : e->rank - 1 - i;
        const bool has = whole || hn__rng_below(rng, 2);
        in->stride[d] = has && e->dim[d] > 1 ? n : 0;
        n *= has ? e->dim[d] : 1;
    }
    if (k == 0 && whole && !turned)
        t->alias = 0;
    t->n_io[k] = n;
    double *x = get(t, n, sizeof *x);
    draw_elements(rng, in->type, x, n);
    t->in[k] = get(t, n, (size_t)hn_dtype_size(in->type));
    hn__from_f64(in->type, x, t->in[k], n);
    hn__to_f64(in->type, t->in[k], x, n);
    t->value[k] = get(t, t->n, sizeof(double));
    for (int64_t i = 0; i < t->n; i++) {
        int64_t off = 0, rest = i;
        for (int d = e->rank - 1; d >= 0; rest /= e->dim[d--])
            off += rest % e->dim[d] * in->stride[d];
        t->value[k][i] = x[off];
    }
}

// ---- instructions --------------------------------------------------------------------------

static hn_dtype type_of(const test_expr *t, int v)
{
    return v < t->e.n_in ? t->e.in[v].type : t->e.insn[v - t->e.n_in].pw.out;
}

// Results that jump need operands that are exact: inputs.
static bool jumps(const hn__op *op, hn_dtype to)
{
    const int id = op->id;
    return id == HN__OP_eq || id == HN__OP_ne || id == HN__OP_lt || id == HN__OP_le ||
           id == HN__OP_floor || (id == HN__OP_cast && to != HN_F32);
}

static bool steep(const test_expr *t, const hn__op *op, const int arg[])
{
    const int of = op->id == HN__OP_div ? 1 : 0, id = op->id;
    if (id != HN__OP_div && id != HN__OP_log && id != HN__OP_sqrt && id != HN__OP_rsqrt)
        return false;
    for (int64_t i = 0; i < t->n; i++)
        if (t->value[arg[of]][i] < 0.25)
            return true;
    return false;
}

static bool evaluate(test_expr *t, const hn__expr_insn *in, double *y)
{
    hn__inst n = { .op = in->op, .attr = (void *)in->pw.attr };
    const double *x[3] = { NULL };
    double *const out[] = { y };

    for (int i = 0; i < 3 && in->arg[i] >= 0; i++) {
        n.in[n.n_in++] = (hn_type){ in->pw.in[i], 1, { t->n } };
        x[i] = t->value[in->arg[i]];
    }
    n.n_out = 1;
    n.out[0] = (hn_type){ in->pw.out, 1, { t->n } };
    in->op->fn->ref(&n, x, out);
    for (int64_t i = 0; i < t->n; i++)
        if (!(fabs(y[i]) < 500))
            return false;
    return true;
}

static bool types_fit(test_expr *t, hn_rng *rng, hn__expr_insn *in, hn__pw_attr *a)
{
    hn__inst n = { .op = in->op, .attr = a };
    for (int i = 0; i < in->op->n_in; i++) {
        hn_dtype type = type_of(t, in->arg[i]);
        // what is computed is f32 whatever the type was
        in->pw.in[i] = hn__is_float(type) ? HN_F32 : type;
        n.in[n.n_in++] = (hn_type){ in->pw.in[i], 1, { t->n } };
    }
    *a =
        (hn__pw_attr){ { (float)hn__rng_range(rng, -1.5, 0), (float)hn__rng_range(rng, 0.1, 1.5) },
                       { (hn_dtype)(1 + hn__rng_below(rng, 5)), 1, { t->n } } };
    if (in->op->fn->infer(&n))
        return false;
    in->pw.out = n.out[0].dtype;
    in->pw.attr = a;
    return true;
}

// Adds one instruction; false where what was drawn is not legal or not well conditioned.
static bool add_insn(test_expr *t, hn_rng *rng)
{
    hn__expr *e = &t->e;
    const int k = e->n_insn, n_values = e->n_in + k;
    hn__expr_insn in = { .arg = { -1, -1, -1 } };

    do
        in.op = &hn__ops[hn__rng_below(rng, hn__n_ops)];
    while (!(in.op->flags & HN__FUSE));
    for (int i = 0; i < in.op->n_in; i++)
        in.arg[i] = (int)(hn__rng_below(rng, 2) ? hn__rng_below(rng, n_values) : n_values - 1);
    if (!types_fit(t, rng, &in, &t->attr[k]) || steep(t, in.op, in.arg))
        return false;
    for (int i = 0; i < in.op->n_in && jumps(in.op, in.pw.out); i++)
        if (in.arg[i] >= e->n_in && hn__is_float(in.pw.in[i]))
            return false;
    double *y = get(t, t->n, sizeof *y);
    if (!evaluate(t, &in, y))
        return false;
    t->value[n_values] = y;
    e->insn[e->n_insn++] = in;
    return true;
}

// ---- outputs -------------------------------------------------------------------------------

static void reduce(test_expr *t, const double *x, double *y)
{
    static const int ops[] = { 0, HN__OP_reduce_sum, HN__OP_reduce_mean, HN__OP_reduce_max,
                               HN__OP_reduce_min };
    const hn__expr *e = &t->e;
    hn__inst n = {
        .op = &hn__ops[ops[e->reduce]], .n_in = 1, .n_out = 1, .attr = (void *)&e->axis
    };
    double *const out[] = { y };

    n.in[0] = n.out[0] = (hn_type){ .dtype = HN_F32, .rank = e->rank };
    memcpy(n.in[0].dim, e->dim, sizeof e->dim);
    memcpy(n.out[0].dim, e->dim, sizeof e->dim);
    n.out[0].dim[e->axis] = 1;
    n.op->fn->ref(&n, &x, out);
}

static void add_out(test_expr *t, hn_rng *rng, int v, bool reduced)
{
    hn__expr *e = &t->e;
    const hn_dtype type = type_of(t, v);
    const int64_t n = reduced ? t->n / e->dim[e->axis] : t->n;
    hn__expr_out *o = &e->out[e->n_out];

    *o = (hn__expr_out){ type, v, reduced };
    if (hn__is_float(type) && v >= e->n_in)
        o->type = (hn_dtype)(HN_F32 + hn__rng_below(rng, 3));
    t->n_io[e->n_in + e->n_out] = n;
    t->want[e->n_out] = get(t, n, sizeof(double));
    if (reduced)
        reduce(t, t->value[v], t->want[e->n_out]);
    else
        memcpy(t->want[e->n_out], t->value[v], sizeof(double) * (size_t)n);
    e->n_out++;
}

static void draw_outputs(test_expr *t, hn_rng *rng)
{
    hn__expr *e = &t->e;
    const int last = e->n_in + e->n_insn - 1;
    const bool is_float = hn__is_float(type_of(t, last));

    e->axis = e->rank ? (int)hn__rng_below(rng, e->rank) : 0;
    if (e->rank && hn__rng_below(rng, 2) && (is_float || type_of(t, last) == HN_I32)) {
        e->reduce = is_float ? (hn__reduce)(1 + hn__rng_below(rng, 4)) : HN__REDUCE_SUM;
        add_out(t, rng, last, true);
        for (int v = e->n_in; v < last && is_float && e->n_out < 3; v++)
            if (hn__rng_below(rng, 6) == 0 && hn__is_float(type_of(t, v)))
                add_out(t, rng, v, hn__rng_below(rng, 2));
        return;
    }
    add_out(t, rng, last, false);
    for (int v = 0; v < last && e->n_out < 4; v++)
        if (hn__rng_below(rng, 6) == 0)
            add_out(t, rng, v, false);
}

test_expr *test_expr_draw(uint64_t seed)
{
    test_expr *t = hn__calloc(1, sizeof *t);
    hn_rng rng = hn__rng(seed, 77);

    CHECK(t, "out of memory");
    t->alias = -1;
    draw_space(t, &rng);
    t->e.n_in = 1 + (int)hn__rng_below(&rng, 5);
    for (int k = 0; k < t->e.n_in; k++)
        draw_input(t, &rng, k);
    const int want = 1 + (int)hn__rng_below(&rng, hn__rng_below(&rng, 4) ? 8 : 40);
    for (int i = 0; i < 60 * want && t->e.n_insn < want; i++)
        add_insn(t, &rng);
    draw_outputs(t, &rng);
    if (t->e.reduce != HN__REDUCE_NONE || t->e.out[0].type != HN_F32)
        t->alias = -1;
    hn__expr_collapse(&t->e);
    return t;
}

void test_expr_destroy(test_expr *t)
{
    hn__arena_reset(&t->arena);
    hn__free(t);
}

int64_t test_expr_bad(const test_expr *t, int o, const double *got)
{
    static const double tol[HN_DTYPE_COUNT] = {
        [HN_F32] = 1e-4, [HN_F16] = 1.2e-3, [HN_BF16] = 1e-2
    };
    const hn__expr_out *out = &t->e.out[o];
    const double *want = t->want[o];
    const int64_t n = t->n_io[t->e.n_in + o];
    double sq = 0, scale = 0;

    for (int64_t i = 0; i < n; i++)
        sq += want[i] * want[i];
    for (int64_t i = 0; i < t->n && out->reduced; i++) // a sum's terms may cancel
        scale += t->value[out->value][i] * t->value[out->value][i];
    scale = sqrt(sq / (double)n) + sqrt(scale / (double)n);
    for (int64_t i = 0; i < n; i++)
        if (got[i] != want[i] &&
            !(fabs(got[i] - want[i]) <= tol[out->type] * (fabs(want[i]) + scale + 1e-3)))
            return i;
    return -1;
}

void test_expr_print(const test_expr *t)
{
    static const char *const kinds[] = { "", "sum", "mean", "max", "min" };
    const hn__expr *e = &t->e;

    for (int i = 0; i < e->rank; i++)
        print_message("%s%" PRId64, i ? " x " : "space ", e->dim[i]);
    print_message("  %s %d\n", kinds[e->reduce], e->axis);
    for (int i = 0; i < e->n_in; i++) {
        print_message("  %%%d: %s strides", i, hn_dtype_name(e->in[i].type));
        for (int d = 0; d < e->rank; d++)
            print_message(" %" PRId64, e->in[i].stride[d]);
        print_message("\n");
    }
    for (int k = 0; k < e->n_insn; k++) {
        print_message("  %%%d: %s %s", e->n_in + k, hn_dtype_name(e->insn[k].pw.out),
                      e->insn[k].op->name);
        for (int i = 0; i < 3 && e->insn[k].arg[i] >= 0; i++)
            print_message(" %%%d", e->insn[k].arg[i]);
        print_message("\n");
    }
    for (int o = 0; o < e->n_out; o++)
        print_message("  out %s %%%d%s\n", hn_dtype_name(e->out[o].type), e->out[o].value,
                      e->out[o].reduced ? " reduced" : "");
}
