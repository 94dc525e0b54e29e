// Steps to Vulkan dispatches: shaders by name and element type, or SPIR-V written for a fused
// chain.
#include "plan/choose.h"
#include "plan/lower.h"

#include <stdio.h>
#include <string.h>

static bool shares_first(const hn_plan *p, const hn__step *s)
{
    if (!s->n_in || !s->n_out)
        return false;
    const hn__slot *in = &p->slots[s->in[0]], *out = &p->slots[s->out[0]];
    if (in->where == HN__BLOCK && out->where == HN__BLOCK)
        return out->on && (out->on == s->in[0] || out->on == in->on);
    return in->where == HN__WEIGHT && out->where == HN__WEIGHT && in->buf == out->buf;
}

hn_status hn__tmp_vk(hn_plan *p)
{
    for (int64_t i = 0; i < p->n_steps; i++) {
        hn__step *s = &p->steps[i];
        if (s->kind == HN__STEP_EXPR)
            HN_TRY(hn__choose_chain(p, s->expr));
        if (s->kind != HN__STEP_OP)
            continue;
        if (!s->inst.op->fn->launch)
            return hn_fail(HN_ERR_UNSUPPORTED, "operator %s has no Vulkan kernel",
                           s->inst.op->name);
        s->launch = hn__arena_alloc(&p->arena, sizeof *s->launch);
        if (!s->launch)
            return hn__nomem(sizeof *s->launch);
        HN_TRY(hn__choose(p, &s->inst, shares_first(p, s), s->launch));
        for (int k = 0; k < s->launch->n_tmp; k++)
            HN_TRY(hn__add_tmp(p, i, s->launch->tmp_bytes[k]));
    }
    return HN_OK;
}

// "<stem>.<type>" or "<stem>.w_<type of the weights>"; 16-bit types without 16-bit storage take the
// packed build. Where there is one, software devices take the build that moves pairs, GPUs the one that
// joins values by subgroups.
hn_status hn__shader_of(const hn_device_info *info, const hn__dispatch *d, const hn__shader **out)
{
    char name[96];
    const hn_dtype t = d->weights ? d->weights : d->type;
    const bool packed =
        (t == HN_F16 || t == HN_BF16) && !(info->features & HN_FEATURE_STORAGE_16);
    snprintf(name, sizeof name, "%s.%s%s%s", d->kernel, d->weights ? "w_" : "", hn_dtype_name(t),
             packed ? "p" : "");
    *out = hn__shader_find(name);
    if (!*out)
        return hn_fail(HN_ERR_UNSUPPORTED, "no shader '%s' was built", name);
    const bool pairs = t == HN_F32 && hn__vector_lanes(info),
               subgroups = info->features & HN_FEATURE_SUBGROUP && strcmp(info->type, "software");
    if (!packed && !d->weights && (pairs || subgroups)) {
        snprintf(name, sizeof name, "%s.%s%s", d->kernel, hn_dtype_name(t), pairs ? "d" : "s");
        const hn__shader *better = hn__shader_find(name);
        *out = better ? better : *out;
    }
    return HN_OK;
}

hn_status hn__check_ranges(const hn_plan *p, const char *label, const hn__cmd *c)
{
    for (int i = 0; i < c->n_bind; i++)
        if (c->bind[i].bytes > p->dev->info.max_binding_bytes)
            return hn_fail(HN_ERR_UNSUPPORTED,
                           "%s: a tensor of %" PRId64 " bytes; this device binds at most %" PRId64,
                           label, c->bind[i].bytes, p->dev->info.max_binding_bytes);
    return HN_OK;
}

hn_status hn__add_kernel(hn_plan *p, const char *label, const hn__dispatch *d, hn__cmd **out)
{
    const hn__shader *shader;
    hn__kernel_desc desc = { .n_spec = d->n_spec,
                             .subgroup = d->subgroup,
                             .n_bind = d->n_bind,
                             .push_bytes = d->push_bytes,
                             .n_address = d->n_address };

    HN_TRY(hn__shader_of(&p->dev->info, d, &shader));
    desc.name = shader->name;
    desc.spirv = shader->words;
    desc.n_words = shader->n_words;
    memcpy(desc.spec, d->spec, sizeof desc.spec);
    HN_TRY(hn__add_cmd(p, out));
    HN_TRY(p->dev->fn->kernel_get(p->dev, &desc, &(*out)->kernel));
    (*out)->label = label;
    memcpy((*out)->push, d->push, sizeof (*out)->push);
    (*out)->n_groups = d->n_groups;
    (*out)->flop = d->flop;
    return HN_OK;
}

static hn_status add_dispatch(hn_plan *p, const hn__step *s, const hn__dispatch *d)
{
    hn__cmd *c;

    HN_TRY(hn__add_kernel(p, s->label, d, &c));
    c->n_bind = d->n_bind;
    for (int i = 0; i < d->n_bind; i++) {
        const int b = d->bind[i], k = b & 0x3f;
        const uint32_t slot = b >= HN__TMP(0)   ? (uint32_t)s->tmp[k]
                              : b >= HN__OUT(0) ? s->out[k]
                                                : s->in[k];
        c->bind[i] = hn__bind_slot(p, slot, b >= HN__OUT(0));
        c->bind[i].read = true; // scratch and in-place outputs are read as well
    }
    return hn__check_ranges(p, s->label, c);
}

// Threads of a workgroup: where barriers are dear, one vector for a row that is reduced.
static uint32_t expr_threads(const hn_device_info *info, const hn__expr *e)
{
    const bool rows = e->reduce != HN__REDUCE_NONE && e->axis == e->rank - 1;
    if (rows && !strcmp(info->type, "software"))
        return 8;
    return info->max_invocations < 128 ? info->max_invocations : 128;
}

static hn_status add_expr(hn_plan *p, const hn__step *s)
{
    hn__kernel_desc desc = { .name = s->label, .n_spec = 1,
                             .spec = { expr_threads(&p->dev->info, s->expr) },
                             .n_bind = s->n_in + s->n_out, .push_bytes = 8 };
    uint32_t *words;
    hn__cmd *c;

    HN_TRY(hn__add_cmd(p, &c));
    HN_TRY(hn__expr_spirv(s->expr, desc.spec[0], hn__vector_lanes(&p->dev->info), &words,
                          &desc.n_words, &c->n_groups));
    desc.spirv = words;
    const hn_status made = p->dev->fn->kernel_get(p->dev, &desc, &c->kernel);
    hn__free(words);
    HN_TRY(made);
    c->label = s->label;
    for (int k = 0; k < s->n_in; k++)
        c->bind[c->n_bind++] = hn__bind_slot(p, s->in[k], false);
    for (int k = 0; k < s->n_out; k++)
        c->bind[c->n_bind++] = hn__bind_slot(p, s->out[k], true);
    c->flop = 0;
    for (int k = 0; k < c->n_bind; k++)
        c->flop += (double)c->bind[k].bytes / 4 * (1 + s->expr->n_insn);
    return hn__check_ranges(p, s->label, c);
}

static hn_status add_copy(hn_plan *p, const hn__step *s)
{
    hn__cmd *c;
    HN_TRY(hn__add_cmd(p, &c));
    c->label = s->label;
    c->n_bind = 2;
    c->bind[0] = hn__bind_slot(p, s->in[0], false);
    c->bind[1] = hn__bind_slot(p, s->out[0], true);
    return HN_OK;
}

hn_status hn__lower_vk(hn_plan *p)
{
    for (int64_t i = 0; i < p->n_steps; i++) {
        const hn__step *s = &p->steps[i];
        HN_TRY(hn_context(hn__lower_many(p, i), "%s", s->label));
        if (s->kind == HN__STEP_COPY)
            HN_TRY(add_copy(p, s));
        else if (s->kind == HN__STEP_EXPR)
            HN_TRY(hn_context(add_expr(p, s), "%s", s->label));
        for (int k = 0; s->kind == HN__STEP_OP && !s->is_lowered && k < s->launch->n; k++)
            HN_TRY(hn_context(add_dispatch(p, s, &s->launch->d[k]), "%s", s->label));
    }
    return HN_OK;
}
