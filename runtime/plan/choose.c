// The choice among an operator's variants.
#include "plan/choose.h"
#include "device/tuning.h"
#include "ops/table.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

// ---- words ---------------------------------------------------------------------------------

const char *hn__variant_text(const hn__inst *n, const hn__variant *v, char buf[HN__TEXT])
{
    int at = snprintf(buf, HN__TEXT, "%s", v->kernel ? v->kernel : n->op->name);
    for (int i = 0; i < v->n; i++)
        at += snprintf(buf + at, (size_t)(HN__TEXT - at), " %" PRIu32, v->param[i]);
    return buf;
}

const char *hn__inst_text(const hn__inst *n, char buf[HN__TEXT])
{
    uint64_t hash = n->op->fn->attr_bytes ? hn__hash(n->attr, n->op->fn->attr_bytes, 0) : 0;
    int at = snprintf(buf, HN__TEXT, "%s", n->op->name);

    for (int i = 0; i < n->n_in; i++) {
        char type[128];
        at += snprintf(buf + at, (size_t)(HN__TEXT - at), " %s",
                       hn__type_text(&n->in[i], type, sizeof type));
        if (at > HN__TEXT - 32) // operands of the largest rank and sizes: still one text each
            at = HN__TEXT - 32;
    }
    at += snprintf(buf + at, (size_t)(HN__TEXT - at), " =");
    for (; hash; hash >>= 4)
        buf[at++] = (char)('g' + (hash & 15));
    buf[at] = '\0';
    return buf;
}

// How far apart two instances' sizes are: the sum of |log2| of their ratios; infinite where
// anything but a size differs.
static double distance(const char *a, const char *b)
{
    double sum = 0;
    bool sizes = false;

    while (*a && *b) {
        if (sizes && *a >= '0' && *a <= '9' && *b >= '0' && *b <= '9') {
            char *end_a, *end_b;
            const double x = strtod(a, &end_a), y = strtod(b, &end_b);
            sum += fabs(log2((x + (x < 1)) / (y + (y < 1))));
            a = end_a;
            b = end_b;
            continue;
        }
        if (*a != *b)
            return INFINITY;
        sizes = *a == '[' || (sizes && *a != ']');
        a++;
        b++;
    }
    return *a == *b ? sum : INFINITY;
}

// ---- what is known -------------------------------------------------------------------------

static hn__verdict verdict(const hn__tuning *t, const char *op, const char *variant,
                           uint64_t code, const char **why)
{
    for (int64_t i = 0; i < hn__tuning_count(t); i++) {
        const hn__tuning_row *r = hn__tuning_at(t, i);
        if (r->kind == HN__BEST || r->code != code || strcmp(r->what, op) ||
            strcmp(r->variant, variant))
            continue;
        *why = r->why;
        return r->kind;
    }
    return HN__UNTESTED;
}

// The best row of an instance, or of the nearest whose sizes are all in all within a factor of 4.
static const hn__tuning_row *nearest(const hn__tuning *t, const char *inst)
{
    const hn__tuning_row *best = NULL;
    double least = 2;

    for (int64_t i = 0; i < hn__tuning_count(t); i++) {
        const hn__tuning_row *r = hn__tuning_at(t, i);
        if (r->kind != HN__BEST)
            continue;
        const double d = distance(inst, r->what);
        if (d <= least && (!best || d < least)) {
            best = r;
            least = d;
        }
    }
    return best;
}

// Moves the variant that was measured best to the front, where it is still listed and runs the
// same code.
static void put_best_first(const hn_device *d, const hn__inst *n, hn__variant v[], int count)
{
    char text[HN__TEXT];
    const hn__tuning_row *best = count > 1 ? nearest(d->tuning, hn__inst_text(n, text)) : NULL;
    hn__launch l;
    uint64_t code;

    for (int i = 1; best && i < count; i++)
        if (!strcmp(hn__variant_text(n, &v[i], text), best->variant)) {
            const hn__variant first = v[i];
            if (hn__launch_variant(n, &d->info, &first, false, &l, &code) || code != best->code)
                return;
            memmove(&v[1], &v[0], (size_t)i * sizeof *v);
            v[0] = first;
            return;
        }
}

// ---- launching -----------------------------------------------------------------------------

hn_status hn__launch_variant(const hn__inst *n, const hn_device_info *info, const hn__variant *v,
                             bool inplace, hn__launch *l, uint64_t *out_code)
{
    *l = (hn__launch){ .device = info, .variant = *v, .inplace = inplace };
    n->op->fn->launch(n, l);
    *out_code = 0;
    for (int i = 0; i < l->n; i++) {
        const hn__shader *s;
        HN_TRY(hn__shader_of(info, &l->d[i], &s));
        *out_code = hn__hash(s->words, s->n_words * sizeof *s->words, *out_code);
    }
    return HN_OK;
}

// Whether there is a verdict already; *out is OK, or DEVICE with what was wrong.
static bool has_verdict(const hn_device *d, const char *op, const char *variant, uint64_t code,
                        hn_status *out)
{
    const char *why = NULL;
    const hn__verdict known = verdict(d->tuning, op, variant, code, &why);

    *out = known == HN__WRONG ? hn_fail(HN_ERR_DEVICE, "%s: %s", variant, why) : HN_OK;
    return known != HN__UNTESTED;
}

// Keeps what a test gave, and returns it. What is no answer of the kernel's gives no verdict.
static hn_status keep_verdict(hn_device *d, const char *op, const char *variant, uint64_t code,
                              hn_status s)
{
    char said[512];

    if (s && (s != HN_ERR_DEVICE || d->lost))
        return s;
    snprintf(said, sizeof said, "%s", s ? hn_error_text() : "");
    HN_TRY(hn__tuning_put(d->tuning, &(hn__tuning_row){ .kind = s ? HN__WRONG : HN__RIGHT,
                                                        .code = code,
                                                        .what = op,
                                                        .variant = variant,
                                                        .why = s ? said : NULL }));
    if (s == HN_OK)
        return HN_OK;
    hn__log(HN_LOG_WARN, "%s on '%s' (%s): wrong result, put aside: %s", variant, d->info.name,
            d->info.driver, said);
    return hn_fail(HN_ERR_DEVICE, "%s: %s", variant, said);
}

// The verdict of a launch, found now where there is none. OK, or DEVICE with what was wrong.
static hn_status judge(hn_device *d, const hn__inst *n, const hn__launch *l, uint64_t code)
{
    char text[HN__TEXT];
    hn_status s;
    bool reached;

    hn__variant_text(n, &l->variant, text);
    if (has_verdict(d, n->op->name, text, code, &s))
        return s;
    s = hn__self_test(d, n, &l->variant, code, &reached);
    if (s == HN_OK && !reached)
        hn__log(HN_LOG_WARN, "%s: no draw of '%s' runs it: not tested", text, n->op->name);
    return keep_verdict(d, n->op->name, text, code, s);
}

static hn_status no_kernel(const hn_device *d, const hn__op *op, hn_status s)
{
    return hn_context(s, "no kernel of '%s' gives right results on '%s' (%s); use another device",
                      op->name, d->info.name, d->info.driver);
}

static hn_status choose(hn_device *d, const hn__inst *n, bool inplace, hn__launch *l)
{
    hn__variant v[HN__MAX_VARIANTS];
    const int count = hn__variants(n, &d->info, v);
    hn_status s = HN_OK;
    uint64_t code;

    if (d->tuning)
        put_best_first(d, n, v, count);
    for (int i = 0; i < count; i++) {
        s = hn__launch_variant(n, &d->info, &v[i], inplace, l, &code);
        if (s == HN_OK && d->tuning && d->self_tests)
            s = judge(d, n, l, code);
        if (s == HN_OK || (s != HN_ERR_DEVICE && s != HN_ERR_UNSUPPORTED) || d->lost)
            return s;
    }
    return s == HN_ERR_DEVICE ? no_kernel(d, n->op, s) : s;
}

hn_status hn__choose(hn_plan *p, const hn__inst *n, bool inplace, hn__launch *l)
{
    uint64_t code;
    if (p->force_op == n->op)
        return hn__launch_variant(n, &p->dev->info, &p->force, inplace, l, &code);
    return choose(p->dev, n, inplace, l);
}

// ---- fused steps ---------------------------------------------------------------------------

// Their SPIR-V differs from graph to graph; this stands for the writer of it, and goes up with it.
enum { CHAIN_CODE = 1 };

static hn_status judge_member(hn_device *d, const hn__op *op)
{
    hn_status s;
    if (has_verdict(d, op->name, "chain", CHAIN_CODE, &s))
        return s ? no_kernel(d, op, s) : HN_OK;
    s = keep_verdict(d, op->name, "chain", CHAIN_CODE, hn__self_test_chain(d, op));
    return s == HN_ERR_DEVICE && !d->lost ? no_kernel(d, op, s) : s;
}

hn_status hn__choose_chain(hn_plan *p, const hn__expr *e)
{
    static const int reductions[] = { [HN__REDUCE_SUM] = HN__OP_reduce_sum,
                                      [HN__REDUCE_MEAN] = HN__OP_reduce_mean,
                                      [HN__REDUCE_MAX] = HN__OP_reduce_max,
                                      [HN__REDUCE_MIN] = HN__OP_reduce_min };
    if (!p->dev->tuning || !p->dev->self_tests || p->force_op)
        return HN_OK;
    for (int i = 0; i < e->n_insn; i++)
        HN_TRY(judge_member(p->dev, e->insn[i].op));
    return e->reduce ? judge_member(p->dev, &hn__ops[reductions[e->reduce]]) : HN_OK;
}
