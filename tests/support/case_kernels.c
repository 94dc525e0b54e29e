// The dispatches of a drawn instance, run on a Vulkan device without a plan.
#include "support/case.h"
#include "plan/build.h"

#include <string.h>

enum { GUARD = 256, PATTERN = 0xA5 }; // bytes behind a tensor

typedef struct buffers {
    hn_buffer *in[HN__MAX_IN], *out[HN__MAX_OUT], *tmp[HN__MAX_SCRATCH];
} buffers;

static hn_buffer *bound(const buffers *b, uint8_t place)
{
    const int k = place & 0x3f;
    return place >= HN__TMP(0) ? b->tmp[k] : place >= HN__OUT(0) ? b->out[k] : b->in[k];
}

// A tensor of these bytes, or full of the pattern where raw is NULL, with the pattern behind it.
static hn_status make(hn__case *c, hn_device *dev, const hn_type *t, const void *raw,
                      hn_buffer **out)
{
    const int64_t bytes = hn_type_bytes(t), all = (bytes + GUARD + 3) / 4 * 4;
    char *own = hn__arena_alloc(&c->arena, (size_t)all);

    if (!own)
        return hn__nomem((size_t)all);
    memset(own, PATTERN, (size_t)all);
    if (raw)
        memcpy(own, raw, (size_t)bytes);
    HN_TRY(hn_buffer_create(dev, all, out));
    return hn_buffer_write(*out, 0, own, all);
}

static hn_status make_all(hn__case *c, hn_device *dev, const hn__launch *l, buffers *b)
{
    const hn__inst *n = &c->s.inst;

    for (int i = 0; i < n->n_in; i++)
        HN_TRY(make(c, dev, &n->in[i], c->raw[i], &b->in[i]));
    for (int k = 0; k < n->n_out; k++) {
        if (l->inplace && k < n->n_in && hn__type_equal(&n->in[k], &n->out[k]))
            b->out[k] = b->in[k];
        else
            HN_TRY(make(c, dev, &n->out[k], NULL, &b->out[k]));
    }
    for (int k = 0; k < l->n_tmp; k++)
        HN_TRY(hn_buffer_create(dev, l->tmp_bytes[k], &b->tmp[k]));
    return HN_OK;
}

static hn_status make_cmd(hn_device *dev, const hn__dispatch *d, const buffers *b,
                          const hn__shader *planted, hn__cmd *cmd)
{
    hn__kernel_desc desc = { .n_spec = d->n_spec,
                             .subgroup = d->subgroup,
                             .n_bind = d->n_bind,
                             .push_bytes = d->push_bytes,
                             .n_address = d->n_address };
    const hn__shader *shader = planted;

    if (!planted)
        HN_TRY(hn__shader_of(&dev->info, d, &shader));
    desc.name = shader->name;
    desc.spirv = shader->words;
    desc.n_words = shader->n_words;
    memcpy(desc.spec, d->spec, sizeof desc.spec);
    *cmd = (hn__cmd){ .label = shader->name, .n_bind = d->n_bind, .n_groups = d->n_groups,
                      .flop = d->flop };
    memcpy(cmd->push, d->push, sizeof cmd->push);
    // Whole buffers, so that nothing but the kernel keeps it inside its tensors.
    for (int i = 0; i < d->n_bind; i++) {
        hn_buffer *buf = bound(b, d->bind[i]);
        cmd->bind[i] = (hn__bind){ buf, 0, hn_buffer_bytes(buf), true, d->bind[i] >= HN__OUT(0) };
    }
    return dev->fn->kernel_get(dev, &desc, &cmd->kernel);
}

static hn_status read_output(hn__case *c, hn_buffer *b, int k)
{
    const hn_type *t = &c->s.inst.out[k];
    const int64_t all = hn_buffer_bytes(b);
    unsigned char *own = hn__arena_alloc(&c->arena, (size_t)all);

    if (!own)
        return hn__nomem((size_t)all);
    HN_TRY(hn_buffer_read(b, 0, own, all));
    for (int64_t i = hn_type_bytes(t); i < all; i++)
        if (own[i] != PATTERN)
            return hn_fail(HN_ERR_DEVICE, "the kernel wrote %" PRId64 " bytes behind output %d",
                           i - hn_type_bytes(t), k);
    hn__to_f64(t->dtype, own, c->got[k], hn__numel(t));
    return HN_OK;
}

static hn_status run_once(hn__case *c, hn_device *dev, const hn__launch *l, const buffers *b,
                          const hn__shader *planted)
{
    hn__cmd cmd[HN__MAX_DISPATCH];
    hn__stream *s;

    for (int i = 0; i < l->n; i++)
        HN_TRY(make_cmd(dev, &l->d[i], b, planted, &cmd[i]));
    HN_TRY(dev->fn->stream_create(dev, cmd, l->n, &s));
    const hn_status ran = dev->fn->stream_run(s);
    dev->fn->stream_destroy(s);
    HN_TRY(ran);
    for (int k = 0; k < c->s.inst.n_out; k++)
        HN_TRY(read_output(c, b->out[k], k));
    return HN_OK;
}

static hn_status run(hn__case *c, hn_device *dev, const hn__variant *v, bool inplace,
                     const hn__shader *planted)
{
    hn__launch l = { .device = &dev->info, .variant = *v, .inplace = inplace };
    buffers b = { { 0 } };

    c->op->fn->launch(&c->s.inst, &l);
    hn_status s = make_all(c, dev, &l, &b);
    if (s == HN_OK)
        s = run_once(c, dev, &l, &b, planted);
    for (int k = 0; k < HN__MAX_OUT; k++)
        if (b.out[k] != b.in[k])
            hn_buffer_destroy(&b.out[k]);
    for (int i = 0; i < HN__MAX_IN; i++)
        hn_buffer_destroy(&b.in[i]);
    for (int k = 0; k < HN__MAX_SCRATCH; k++)
        hn_buffer_destroy(&b.tmp[k]);
    return s;
}

static hn_status run_variant(hn__case *c, hn_device *dev, const hn__variant *v,
                             const hn__shader *planted)
{
    HN_TRY(run(c, dev, v, false, planted));
    HN_TRY(hn__case_compare(c));
    if (c->op->flags & HN__INPLACE) {
        HN_TRY(hn_context(run(c, dev, v, true, planted), "in place"));
        HN_TRY(hn__case_compare(c));
    }
    return HN_OK;
}

hn_status hn__case_run_kernels(hn__case *c, hn_device *dev, const hn__shader *planted)
{
    if (!c->op->fn->launch || dev->info.kind != HN_DEVICE_VULKAN)
        return hn_fail(HN_ERR_UNSUPPORTED, "no kernel");
    hn__variant v[HN__MAX_VARIANTS];
    const int n = hn__variants(&c->s.inst, &dev->info, v);
    for (int i = 0; i < n; i++)
        HN_TRY(hn_context(run_variant(c, dev, &v[i], planted), "%s %u %u %u",
                          v[i].kernel ? v[i].kernel : "kernel", v[i].param[0], v[i].param[1],
                          v[i].param[2]));
    return HN_OK;
}
