// What of a model is trained: its graph copied with frozen params and low-rank adapters.
#include "train/tune.h"
#include "ops/matmul.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

enum { NAME = 256 };

// ---- words ---------------------------------------------------------------------------------

typedef struct meaning {
    const char *word, *text;
} meaning;

// What names begin with.
static const meaning prefixes[] = {
    { "embed", "model.embed_tokens." },
    { "embed", "wte." },
    { "embed", "wpe." },
    { "embed", "model.decoder.embed_" },
    { "embed", "model.encoder.embed_" },
    { "encoder", "model.encoder." },
    { NULL, NULL },
};

// What layers' names end with: Llama's and Whisper's, GPT-2's.
static const meaning endings[] = {
    { "q", "q_proj" },      { "q", "attn.c_attn" },  { "k", "k_proj" },   { "k", "attn.c_attn" },
    { "v", "v_proj" },      { "v", "attn.c_attn" },  { "o", "o_proj" },   { "o", "out_proj" },
    { "o", "attn.c_proj" }, { "gate", "gate_proj" }, { "up", "up_proj" }, { "up", "fc1" },
    { "up", "mlp.c_fc" },   { "down", "down_proj" }, { "down", "fc2" },   { "down", "mlp.c_proj" },
    { NULL, NULL },
};

static const char *const all_targets[] = { "q", "k", "v", "o", "gate", "up", "down" };

static bool begins(const char *name, const char *text)
{
    return !strncmp(name, text, strlen(text));
}

// text ends the stem of "STEM.weight", as whole words between dots.
static bool ends(const char *name, const char *text)
{
    const size_t n = strlen(text), weight = sizeof ".weight" - 1, all = strlen(name);
    if (all < n + weight || strcmp(name + all - weight, ".weight") != 0)
        return false;
    const char *at = name + all - weight - n;
    return !strncmp(at, text, n) && (at == name || at[-1] == '.');
}

// The word's meanings, or the word itself where it has none.
static bool fits(const meaning *table, const char *word, const char *name,
                 bool (*test)(const char *name, const char *text))
{
    bool known = false;
    for (const meaning *m = table; m->word; m++) {
        if (strcmp(m->word, word) != 0)
            continue;
        known = true;
        if (test(name, m->text))
            return true;
    }
    return !known && *word && test(name, word);
}

static bool held(const hn_tune_params *p, const char *name)
{
    for (int i = 0; i < p->n_freeze; i++)
        if (fits(prefixes, p->freeze[i], name, begins))
            return true;
    return false;
}

static bool is_target(const hn_tune_params *p, const char *name)
{
    const char *const *words = p->n_targets ? p->targets : all_targets;
    const int n = p->n_targets ? p->n_targets : (int)(sizeof all_targets / sizeof *all_targets);
    for (int i = 0; p->rank && i < n; i++)
        if (fits(endings, words[i], name, ends))
            return !held(p, name);
    return false;
}

static bool is_param(const hn__node *n)
{
    const hn__source_attr *a = n->attr;
    return n->op->id == HN__OP_param && n->name && a->trainable;
}

// Each word must mean something in this model: a slip of the finger would train what it names.
static hn_status check_words(const hn_graph *g, const hn_tune_params *p)
{
    if (p->rank < 0 || !(p->alpha >= 0))
        return hn_fail(HN_ERR_ARG, "adapters of rank %d with alpha %g: neither may be negative",
                       p->rank, (double)p->alpha);
    if (p->n_targets && !p->rank)
        return hn_fail(HN_ERR_ARG, "targets of adapters without their rank");
    for (int i = 0; i < p->n_freeze + p->n_targets; i++) {
        const bool freeze = i < p->n_freeze;
        const char *word = freeze ? p->freeze[i] : p->targets[i - p->n_freeze];
        bool found = false;
        for (int64_t k = 0; !found && k < g->n_nodes; k++)
            found =
                is_param(&g->nodes[k]) && (freeze ? fits(prefixes, word, g->nodes[k].name, begins)
                                                  : fits(endings, word, g->nodes[k].name, ends));
        if (!found)
            return hn_fail(HN_ERR_ARG,
                           freeze ? "to freeze: no weight's name begins with '%s'"
                                  : "target of adapters: no layer's name ends with "
                                    "'%s'",
                           word);
    }
    return HN_OK;
}

// ---- names ---------------------------------------------------------------------------------

static bool has_end(const char *name, const char *end)
{
    const size_t n = strlen(name), k = strlen(end);
    return n >= k && !strcmp(name + n - k, end);
}

hn__part hn__part_of(const char *name)
{
    if (begins(name, "adam.m.") || begins(name, "adam.v.") || begins(name, "train."))
        return HN__PART_OPTIMIZER;
    return has_end(name, ".lora_A.weight") || has_end(name, ".lora_B.weight") ? HN__PART_ADAPTER
                                                                              : HN__PART_MODEL;
}

// "STEM.weight" -> "STEM.lora_A.weight"
static void factor_name(const char *weight, char which, char out[NAME])
{
    const size_t stem = strlen(weight) - (sizeof ".weight" - 1);
    snprintf(out, NAME, "%.*s.lora_%c.weight", (int)stem, weight, which);
}

bool hn__lora_names(const hn_weights *w, const char *weight, char a[NAME], char b[NAME])
{
    if (!has_end(weight, ".weight") || hn__part_of(weight) != HN__PART_MODEL)
        return false;
    factor_name(weight, 'A', a);
    factor_name(weight, 'B', b);
    return hn_weights_find(w, a) >= 0 && hn_weights_find(w, b) >= 0;
}

float hn__lora_scale(const hn_tune_params *p)
{
    return p->alpha > 0 ? p->alpha / (float)p->rank : 1;
}

// ---- the copy ------------------------------------------------------------------------------

typedef struct tuning {
    const hn_graph *from;
    hn_graph *to;
    const hn_tune_params *p;
    hn__stored_fn stored;
    void *user;
    hn_val *map;    // of values
    uint8_t *reads; // of params: by what, but for products
} tuning;

enum { LOOKED_UP = 1, OTHERWISE = 2 };

static void find_reads(const tuning *t)
{
    const hn_graph *g = t->from;
    for (int64_t i = 0; i < g->n_nodes; i++) {
        const hn__node *n = &g->nodes[i];
        for (int k = 0; k < n->n_in; k++)
            if (n->op->id != HN__OP_matmul || k != 1)
                t->reads[g->values[n->in[k]].node] |=
                    n->op->id == HN__OP_embedding && k == 0 ? LOOKED_UP : OTHERWISE;
    }
}

// A look-up in a table of 16 bits gives such rows; in one of blocks it gives f32.
static bool can_store(hn_dtype type, uint8_t reads)
{
    return hn__is_quantised(type) ? !(reads & OTHERWISE) : hn__is_float(type) && !reads;
}

static hn_val copy_param(const tuning *t, int64_t at)
{
    const hn__node *n = &t->from->nodes[at];
    hn__source_attr a = *(const hn__source_attr *)n->attr;
    hn__node changed = *n;

    changed.attr = &a;
    if (t->p->rank || held(t->p, n->name)) {
        const hn_dtype stored = t->stored ? t->stored(t->user, n->name) : HN_F32;
        a.trainable = false;
        if (can_store(stored, t->reads[at]))
            a.type.dtype = stored;
    }
    return hn__emit_copy(t->to, &changed, NULL);
}

static hn_val activate(hn_graph *g, hn_act act, hn_val x)
{
    switch (act) {
    case HN_ACT_RELU:
        return hn_relu(g, x);
    case HN_ACT_GELU:
        return hn_gelu(g, x);
    case HN_ACT_GELU_TANH:
        return hn_gelu_tanh(g, x);
    case HN_ACT_SILU:
        return hn_silu(g, x);
    default:
        return x;
    }
}

// The target that a product multiplies by, whole or some of its columns (`cut`); NULL: none.
static const hn__node *target_of(const tuning *t, const hn__node *n, const hn__node **cut)
{
    const hn_graph *g = t->from;
    *cut = NULL;
    if (n->op->id != HN__OP_matmul)
        return NULL;
    const hn__node *w = &g->nodes[g->values[n->in[1]].node];
    if (w->op->id == HN__OP_slice && g->values[w->in[0]].type.rank == 2 &&
        g->values[w->in[0]].type.dim[0] == g->values[w->out].type.dim[0]) {
        *cut = w;
        w = &g->nodes[g->values[w->in[0]].node];
    }
    return is_param(w) && is_target(t->p, w->name) ? w : NULL;
}

// B^T of a weight [in, out], [rank, out], or the columns of it that `cut` takes.
static hn_val columns(hn_graph *g, hn_val b, const hn__node *cut)
{
    const hn_val bt = hn_transpose(g, b, (int[]){ 1, 0 });
    return cut ? hn__emit(g, cut->op, cut->attr, &bt, 1) : bt;
}

// The product n with its adapter, as a residual before the activation.
static hn_val adapted(const tuning *t, const hn__node *n, const hn__node *w, const hn__node *cut)
{
    hn_graph *g = t->to;
    hn_matmul_params p = hn__matmul_params(n);
    const hn_type *wt = &t->from->values[w->out].type;
    const int64_t r = t->p->rank, in = wt->dim[p.transpose_b], out = wt->dim[!p.transpose_b];
    char name[NAME];

    if (p.transpose_a || strlen(w->name) > NAME - 16)
        return hn__graph_fail(g, hn_fail(HN_ERR_UNSUPPORTED, "no adapter for '%.100s'", w->name));
    const hn_val x = t->map[n->in[0]], bias = t->map[p.bias.id], after = t->map[p.residual.id];
    factor_name(w->name, 'A', name);
    const hn_val a = hn_param(g, name, (hn_type){ HN_F32, 2, { r, in } },
                              (hn_init){ HN_INIT_NORMAL, 1 / sqrtf((float)in) });
    factor_name(w->name, 'B', name);
    const hn_val b =
        hn_param(g, name, (hn_type){ HN_F32, 2, { out, r } }, (hn_init){ HN_INIT_ZERO, 0 });

    hn_matmul_params side = { .transpose_b = p.transpose_b, .scale = hn__lora_scale(t->p) };
    if (p.act == HN_ACT_NONE)
        side.residual = after;
    const hn_val low = hn_matmul(g, x, a, &(hn_matmul_params){ .transpose_b = true });
    p.residual = hn_matmul(g, low, p.transpose_b ? b : columns(g, b, cut), &side);
    p.bias = bias;
    const hn_act act = p.act;
    p.act = HN_ACT_NONE;
    const hn_val y = activate(g, act, hn_matmul(g, x, t->map[n->in[1]], &p));
    return act != HN_ACT_NONE && after.id ? hn_add(g, y, after) : y;
}

static hn_status copy_all(const tuning *t)
{
    const hn_graph *g = t->from;

    find_reads(t);
    for (int64_t i = 0; i < g->n_nodes; i++) {
        const hn__node *n = &g->nodes[i], *cut;
        const hn__node *w = target_of(t, n, &cut);
        hn_val in[HN__MAX_IN], v;
        for (int k = 0; k < n->n_in; k++)
            in[k] = t->map[n->in[k]];
        v = is_param(n) ? copy_param(t, i)
            : w         ? adapted(t, n, w, cut)
                        : hn__emit_copy(t->to, n, in);
        for (int k = 0; k < n->n_out; k++)
            t->map[n->out + (uint32_t)k] = hn__out(v, k);
    }
    for (int64_t i = 0; i < g->n_marks; i++)
        hn_mark_block(t->to, t->map[g->marks[i]]);
    return hn__copy_ends(g, t->map, t->to);
}

static hn_status something_left(const hn_graph *g)
{
    for (int64_t i = 0; i < g->n_nodes; i++)
        if (is_param(&g->nodes[i]))
            return HN_OK;
    return hn_fail(HN_ERR_ARG, "nothing is left to train: all weights are frozen");
}

hn_status hn__tune(const hn_graph *g, const hn_tune_params *p, hn__stored_fn stored, void *user,
                   hn_graph **out)
{
    *out = NULL;
    HN_TRY(hn_graph_status(g));
    HN_TRY(check_words(g, p));
    tuning t = { .from = g, .p = p, .stored = stored, .user = user };
    HN_TRY(hn_graph_create(&t.to));
    t.map = hn__calloc((size_t)g->n_values, sizeof *t.map);
    t.reads = hn__calloc((size_t)g->n_nodes + 1, sizeof *t.reads);
    hn_status s = t.map && t.reads ? copy_all(&t) : hn__nomem((size_t)g->n_values * sizeof *t.map);
    if (s == HN_OK)
        s = something_left(t.to);
    hn__free(t.map);
    hn__free(t.reads);
    if (s)
        hn_graph_destroy(&t.to);
    *out = t.to;
    return s;
}
