// Running a drawn instance: through a plan, and its host kernel alone between guards.
#include "plan/case.h"
#include "plan/build.h"

#include <stdio.h>
#include <string.h>

// ---- through a plan ------------------------------------------------------------------------

hn_status hn__inst_graph(const hn__inst *n, hn_graph *g)
{
    hn_val in[HN__MAX_IN];
    char name[16];

    for (int i = 0; i < n->n_in; i++) {
        snprintf(name, sizeof name, "in%d", i);
        in[i] = hn_input(g, name, n->in[i]);
    }
    const hn_val y = hn__emit(g, n->op, n->attr, in, n->n_in);
    for (int k = 0; k < n->n_out; k++) {
        snprintf(name, sizeof name, "out%d", k);
        hn_output(g, name, hn__out(y, k));
    }
    return hn_graph_status(g);
}

// Reads every output; `bytes[k]` is NULL at first, and holds the earlier run's the second time.
static hn_status read_outputs(hn__case *c, hn_plan *p, void *bytes[HN__MAX_OUT])
{
    for (int k = 0; k < c->s.inst.n_out; k++) {
        const hn_type *t = &c->s.inst.out[k];
        const size_t n = (size_t)hn_type_bytes(t);
        char name[16];
        snprintf(name, sizeof name, "out%d", k);
        void *own = hn__arena_alloc(&c->arena, n + 1);
        if (!own)
            return hn__nomem(n);
        HN_TRY(hn_plan_read(p, name, own, (int64_t)n));
        if (bytes[k] && memcmp(bytes[k], own, n))
            return hn_fail(HN_ERR_DEVICE, "output %d: two runs differ", k);
        bytes[k] = own;
        hn__to_f64(t->dtype, own, c->got[k], hn__numel(t));
    }
    return HN_OK;
}

static hn_status run_plan(hn__case *c, hn_plan *p)
{
    void *bytes[HN__MAX_OUT] = { 0 };

    for (int i = 0; i < c->s.inst.n_in; i++) {
        const hn_type *t = &c->s.inst.in[i];
        char name[16];
        snprintf(name, sizeof name, "in%d", i);
        HN_TRY(hn_plan_write(p, name, c->raw[i], hn_type_bytes(t)));
    }
    for (int times = 0; times < 2; times++) {
        HN_TRY(hn_plan_run(p));
        HN_TRY(read_outputs(c, p, bytes));
    }
    return HN_OK;
}

// v NULL: as the device chooses.
static hn_status run_case(hn__case *c, hn_device *dev, const hn__variant *v)
{
    hn_graph *g = NULL;
    hn_plan *p = NULL;

    hn_status s = hn_graph_create(&g);
    if (s == HN_OK)
        s = hn__inst_graph(&c->s.inst, g);
    if (s == HN_OK)
        s = v ? hn__plan_forced(g, dev, c->op, v, &p) : hn_plan_create(g, dev, NULL, &p);
    hn_graph_destroy(&g);
    if (s == HN_OK)
        s = run_plan(c, p);
    hn_plan_destroy(&p);
    return s;
}

hn_status hn__case_run(hn__case *c, hn_device *dev)
{
    return run_case(c, dev, NULL);
}

hn_status hn__case_run_variant(hn__case *c, hn_device *dev, const hn__variant *v)
{
    return run_case(c, dev, v);
}

// ---- the host kernel alone -----------------------------------------------------------------

enum { GUARD = 256, PATTERN = 0xA5 }; // bytes on either side of an output

// The type as host kernels see it.
static hn_type host_input(const hn__inst *n, int i)
{
    hn_type t = n->in[i];
    t.dtype = hn__host_converts(n, i) ? HN_F32 : t.dtype;
    return t;
}

static hn_type host_output(const hn__inst *n, int k)
{
    hn_type t = n->out[k];
    t.dtype = hn__is_float(t.dtype) ? HN_F32 : t.dtype;
    return t;
}

static size_t host_bytes(const hn_type *t)
{
    return (size_t)hn_type_bytes(t);
}

// Memory of a tensor between guards, full of the pattern.
static char *guarded(hn__case *c, const hn_type *t)
{
    char *p = hn__arena_alloc(&c->arena, host_bytes(t) + 2 * GUARD);
    if (!p)
        return NULL;
    memset(p, PATTERN, host_bytes(t) + 2 * GUARD);
    return p + GUARD;
}

static bool guards_intact(const char *p, const hn_type *t)
{
    for (size_t i = 1; i <= GUARD; i++)
        if ((unsigned char)p[-(ptrdiff_t)i] != PATTERN ||
            (unsigned char)p[host_bytes(t) + i - 1] != PATTERN)
            return false;
    return true;
}

// Operands for one call; with `in_place`, out[i] is in[i] wherever the types are equal.
static hn_status host_operands(hn__case *c, bool in_place, hn__host *h)
{
    const hn__inst *n = &c->s.inst;

    for (int i = 0; i < n->n_in; i++) {
        const hn_type t = host_input(n, i);
        char *p = guarded(c, &t);
        if (!p)
            return hn__nomem(host_bytes(&t));
        if (t.dtype == n->in[i].dtype)
            memcpy(p, c->raw[i], host_bytes(&t));
        else
            hn__from_f64(t.dtype, c->in[i], p, hn__numel(&t));
        h->in[i] = p;
    }
    for (int k = 0; k < n->n_out; k++) {
        const bool same = in_place && k < n->n_in && hn__type_equal(&n->in[k], &n->out[k]);
        const hn_type t = host_output(n, k);
        h->out[k] = same ? (void *)(uintptr_t)h->in[k] : guarded(c, &t);
        if (!h->out[k])
            return hn__nomem(host_bytes(&t));
    }
    return HN_OK;
}

static hn_status call_host(hn__case *c, hn_device *dev, bool in_place)
{
    const hn__inst *n = &c->s.inst;
    const int64_t scratch =
        c->op->fn->scratch ? c->op->fn->scratch(n, hn__pool_threads(dev->pool)) : 0;
    hn__host h = { .pool = dev->pool };

    HN_TRY(host_operands(c, in_place, &h));
    if (scratch && !(h.scratch = hn__alloc_aligned((size_t)scratch)))
        return hn__nomem((size_t)scratch);
    c->op->fn->host(n, &h);
    hn__free_aligned(h.scratch);
    for (int i = 0; i < n->n_in; i++) {
        const hn_type t = host_input(n, i);
        if (!guards_intact(h.in[i], &t))
            return hn_fail(HN_ERR_DEVICE, "the host kernel wrote outside input %d", i);
    }
    for (int k = 0; k < n->n_out; k++) {
        const hn_type t = host_output(n, k);
        if (!guards_intact(h.out[k], &t))
            return hn_fail(HN_ERR_DEVICE, "the host kernel wrote outside output %d", k);
        hn__to_f64(t.dtype, h.out[k], c->got[k], hn__numel(&t));
    }
    return HN_OK;
}

hn_status hn__case_run_host(hn__case *c, hn_device *dev)
{
    if (!c->op->fn->host || dev->info.kind == HN_DEVICE_VULKAN)
        return hn_fail(HN_ERR_UNSUPPORTED, "no host kernel");
    HN_TRY(call_host(c, dev, false));
    if (c->op->flags & HN__INPLACE) {
        HN_TRY(hn__case_compare(c));
        HN_TRY(hn_context(call_host(c, dev, true), "in place"));
    }
    return HN_OK;
}
