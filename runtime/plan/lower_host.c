// Steps to calls of host kernels: conversion of 16-bit types around f32 kernels, and the f64
// references on the ref device, or where the cpu device has no kernel.
#include "plan/build.h"

#include <string.h>

// What a call needs, beside its pointers: inputs, outputs, then one scratch area.
typedef struct call {
    hn__inst inst;
    bool ref;                        // by the reference
    bool wide[HN__MAX_IN + HN__MAX_OUT]; // the value is f64 in memory (ref device, in the block)
    int64_t at[HN__MAX_IN + HN__MAX_OUT]; // place of the converted operand in scratch, or -1
    int64_t own;                     // place of the kernel's own scratch
    int64_t bytes;                   // of all scratch
} call;

static const hn_type *operand(const hn__inst *n, int i)
{
    return i < n->n_in ? &n->in[i] : &n->out[i - n->n_in];
}

static bool converts(const call *c, int i)
{
    const hn_dtype t = operand(&c->inst, i)->dtype;
    return c->ref              ? !c->wide[i]
           : i < c->inst.n_in ? hn__host_converts(&c->inst, i)
                              : t == HN_F16 || t == HN_BF16;
}

// Whether output k may be computed over the converted operand k.
static bool shares(const call *c, int k)
{
    return c->inst.op->flags & HN__INPLACE && k < c->inst.n_in && c->at[k] >= 0 &&
           hn__type_equal(&c->inst.in[k], &c->inst.out[k]);
}

static call describe(const hn_plan *p, const hn__step *s)
{
    call c = { .inst = s->inst, .ref = hn__is_ref(p) || !s->inst.op->fn->host };

    for (int i = 0; i < s->n_in + s->n_out; i++) {
        const uint32_t slot = i < s->n_in ? s->in[i] : s->out[i - s->n_in];
        c.wide[i] = hn__is_ref(p) && p->slots[slot].where == HN__BLOCK;
        c.at[i] = -1;
        if (!converts(&c, i))
            continue;
        if (i >= s->n_in && shares(&c, i - s->n_in)) {
            c.at[i] = c.at[i - s->n_in];
            continue;
        }
        c.at[i] = c.bytes;
        c.bytes += hn__align(hn__numel(operand(&c.inst, i)) * (c.ref ? 8 : 4));
    }
    c.own = c.bytes;
    if (!c.ref && s->inst.op->fn->scratch)
        c.bytes += hn__align(s->inst.op->fn->scratch(&s->inst, p->dev->info.n_threads));
    return c;
}

typedef struct conversion {
    hn_dtype t;
    bool ref, back;
    char *raw, *made;
} conversion;

static void convert_part(void *ctx, int64_t begin, int64_t end, int thread)
{
    const conversion *v = ctx;
    const int64_t block = hn_dtype_block(v->t), at = begin * block, n = (end - begin) * block;
    char *raw = v->raw + begin * hn_dtype_size(v->t), *made = v->made + at * (v->ref ? 8 : 4);

    (void)thread;
    if (v->ref && v->back)
        hn__from_f64(v->t, (const double *)(const void *)made, raw, n);
    else if (v->ref)
        hn__to_f64(v->t, raw, (double *)(void *)made, n);
    else if (v->back)
        hn__from_f32(v->t, (const float *)(const void *)made, raw, n);
    else
        hn__to_f32(v->t, raw, (float *)(void *)made, n);
}

static void convert(const call *c, int i, bool back, char *raw, char *made, hn__pool *pool)
{
    conversion v = { operand(&c->inst, i)->dtype, c->ref, back, raw, made };
    const int64_t block = hn_dtype_block(v.t);
    hn__parallel(pool, hn__numel(operand(&c->inst, i)) / block, 4096 / block, convert_part, &v);
}

static void run_op(const void *ctx, void *const ptr[], hn__pool *pool)
{
    const call *c = ctx;
    const int n = c->inst.n_in + c->inst.n_out;
    char *scratch = c->bytes ? ptr[n] : NULL;
    void *got[HN__MAX_IN + HN__MAX_OUT];

    for (int i = 0; i < n; i++) {
        got[i] = c->at[i] < 0 ? ptr[i] : scratch + c->at[i];
        if (c->at[i] >= 0 && i < c->inst.n_in)
            convert(c, i, false, ptr[i], got[i], pool);
    }
    if (c->ref) {
        const double *in[HN__MAX_IN];
        double *out[HN__MAX_OUT];
        for (int i = 0; i < c->inst.n_in; i++)
            in[i] = got[i];
        for (int i = 0; i < c->inst.n_out; i++)
            out[i] = got[c->inst.n_in + i];
        c->inst.op->fn->ref(&c->inst, in, out);
    } else {
        hn__host h = { .scratch = scratch ? scratch + c->own : NULL, .pool = pool };
        for (int i = 0; i < c->inst.n_in; i++)
            h.in[i] = got[i];
        for (int i = 0; i < c->inst.n_out; i++)
            h.out[i] = got[c->inst.n_in + i];
        c->inst.op->fn->host(&c->inst, &h);
    }
    for (int i = c->inst.n_in; i < n; i++)
        if (c->at[i] >= 0)
            convert(c, i, true, ptr[i], got[i], pool);
}

typedef struct expr_call {
    const hn__expr *e;
} expr_call;

static void run_expr(const void *ctx, void *const ptr[], hn__pool *pool)
{
    const hn__expr *e = ((const expr_call *)ctx)->e;
    hn__expr_run(e, ptr, pool, ptr[e->n_in + e->n_out]);
}

// On the ref device values of the block are f64, those of weights and io are in their own type.
typedef struct copy_call {
    hn_type type;
    bool from_wide, to_wide;
} copy_call;

static void run_copy(const void *ctx, void *const ptr[], hn__pool *pool)
{
    const copy_call *c = ctx;
    const int64_t n = hn__numel(&c->type);

    (void)pool;
    if (c->from_wide == c->to_wide)
        memmove(ptr[1], ptr[0], (size_t)(c->to_wide ? 8 * n : hn_type_bytes(&c->type)));
    else if (c->to_wide)
        hn__to_f64(c->type.dtype, ptr[0], ptr[1], n);
    else
        hn__from_f64(c->type.dtype, ptr[0], ptr[1], n);
}

hn_status hn__tmp_host(hn_plan *p)
{
    for (int64_t i = 0; i < p->n_steps; i++) {
        const hn__step *s = &p->steps[i];
        int64_t bytes = 0;
        if (s->kind == HN__STEP_OP)
            bytes = describe(p, s).bytes;
        else if (s->kind == HN__STEP_EXPR)
            bytes = hn__expr_scratch(s->expr, p->dev->info.n_threads);
        if (bytes)
            HN_TRY(hn__add_tmp(p, i, bytes));
    }
    return HN_OK;
}

static hn_status make_call(hn_plan *p, const hn__step *s, hn__cmd *cmd)
{
    const void *ctx;

    if (s->kind == HN__STEP_OP) {
        const call c = describe(p, s);
        cmd->host = run_op;
        ctx = hn__arena_copy(&p->arena, &c, sizeof c);
    } else if (s->kind == HN__STEP_EXPR) {
        const expr_call c = { s->expr };
        cmd->host = run_expr;
        ctx = hn__arena_copy(&p->arena, &c, sizeof c);
    } else {
        const bool ref = hn__is_ref(p);
        const copy_call c = { s->inst.in[0], ref && p->slots[s->in[0]].where == HN__BLOCK,
                              ref && p->slots[s->out[0]].where == HN__BLOCK };
        cmd->host = run_copy;
        ctx = hn__arena_copy(&p->arena, &c, sizeof c);
    }
    cmd->ctx = ctx;
    return ctx ? HN_OK : hn__nomem(sizeof(call));
}

hn_status hn__lower_host(hn_plan *p)
{
    for (int64_t i = 0; i < p->n_steps; i++) {
        const hn__step *s = &p->steps[i];
        hn__cmd *c;
        HN_TRY(hn__add_cmd(p, &c));
        c->label = s->label;
        for (int k = 0; k < s->n_in; k++)
            c->bind[c->n_bind++] = hn__bind_slot(p, s->in[k], false);
        for (int k = 0; k < s->n_out; k++)
            c->bind[c->n_bind++] = hn__bind_slot(p, s->out[k], true);
        for (int k = 0; k < s->n_tmp; k++)
            c->bind[c->n_bind++] = hn__bind_slot(p, s->tmp[k], true);
        if (s->kind == HN__STEP_EXPR && !s->n_tmp) // run_expr always passes a scratch pointer
            c->bind[c->n_bind++] = c->bind[0];
        HN_TRY(make_call(p, s, c));
    }
    return HN_OK;
}
