// A Llama of 1.24 B parameters with drawn weights: 16 layers 2048 wide, 32 heads of 64 of which
// keys have 8, feed-forward of 8192, 128256 tokens, tied (the sizes of Llama 3.2 1B).
#include "bench_llama.h"

#include <math.h>
#include <string.h>

#include "ir/ir.h"
#include "plan/case.h"

enum { POSITIONS = 2048 }; // more than bench measures

struct bench_llama {
    hn_lm_config config;
    hn_weights *weights;
    hn_plan *plan;
    double bytes;
    int32_t at; // positions that the caches hold
};

static hn_lm_config config_of(bool small)
{
    return (hn_lm_config){ .family = HN_LM_LLAMA,
                           .vocab = small ? 4096 : 128256,
                           .width = 2048,
                           .layers = small ? 2 : 16,
                           .heads = 32,
                           .kv_heads = 8,
                           .ffn = 8192,
                           .context = POSITIONS,
                           .eps = 1e-5f,
                           .rope_base = 500000,
                           .tied = true,
                           .head = HN_HEAD_DENSE };
}

static hn_val decode_graph(const bench_llama *m, hn_graph *g)
{
    const hn_type one = { HN_I32, 1, { 1 } };
    const hn_val at = hn_input(g, "at", one);
    const hn_lm_build build = { .at = at,
                                .cache = POSITIONS,
                                .positions = hn_input(g, "positions", one),
                                .n_keys = hn_input(g, "n_keys", one) };
    const hn_val ids = hn_input(g, "ids", (hn_type){ HN_I32, 2, { 1, 1 } });
    const hn_val y = hn_lm_logits(g, &m->config, hn_lm_hidden(g, &m->config, ids, &build));
    hn_output(g, "logits", y);
    return y;
}

// Matrices in [-1, 1), vectors (of norms) such that a row times a matrix is about as large as 1.
static hn_status make_weight(bench_llama *m, const hn__node *n, hn_dtype matrices)
{
    const hn__source_attr *a = n->attr;
    const bool matrix = a->type.rank == 2;
    const double size = 1 / sqrt((double)m->config.width);
    const hn__fill how = { .stream = hn__hash_string(n->name),
                           .lo = matrix ? -1 : size,
                           .hi = matrix ? 1 : size };
    hn_type t = a->type;

    t.dtype = matrix ? matrices : HN_F32;
    HN_TRY(hn_weights_put(m->weights, n->name, t, false));
    void *data = hn__calloc((size_t)hn_type_bytes(&t), 1);
    if (!data)
        return hn__nomem((size_t)hn_type_bytes(&t));
    hn__fill_tensor(&how, &t, data);
    const hn_status s = hn_weights_write(m->weights, n->name, data, hn_type_bytes(&t));
    hn__free(data);
    m->bytes += (double)hn_type_bytes(&t);
    return s;
}

// Every param of the model as a graph without weights has it.
static hn_status make_weights(bench_llama *m, hn_dtype matrices)
{
    hn_graph *g;
    HN_TRY(hn_graph_create(&g));
    decode_graph(m, g);
    hn_status s = hn_graph_status(g);
    for (int64_t i = 0; s == HN_OK && i < g->n_nodes; i++)
        if (g->nodes[i].name && !strcmp(g->nodes[i].op->name, "param"))
            s = make_weight(m, &g->nodes[i], matrices);
    hn_graph_destroy(&g);
    m->config.weights = m->weights;
    return s;
}

static hn_status make_plan(bench_llama *m, hn_device *d)
{
    hn_graph *g;
    HN_TRY(hn_graph_create(&g));
    decode_graph(m, g);
    hn_status s = hn_weights_add(m->weights, g, 0); // the caches
    if (s == HN_OK)
        s = hn_plan_create(g, d, &(hn_plan_params){ .weights = m->weights }, &m->plan);
    hn_graph_destroy(&g);
    return s;
}

hn_status bench_llama_create(hn_device *d, hn_dtype weights, bool small, bench_llama **out)
{
    *out = NULL;
    bench_llama *m = hn__calloc(1, sizeof *m);
    if (!m)
        return hn__nomem(sizeof *m);
    m->config = config_of(small);
    hn_status s = hn_weights_create(d, &m->weights);
    if (s == HN_OK)
        s = make_weights(m, weights);
    if (s == HN_OK)
        s = make_plan(m, d);
    if (s)
        bench_llama_destroy(&m);
    *out = m;
    return hn_context(s, "llama of %s", hn_dtype_name(weights));
}

void bench_llama_destroy(bench_llama **m)
{
    if (!*m)
        return;
    hn_plan_destroy(&(*m)->plan);
    hn_weights_destroy(&(*m)->weights);
    hn__free(*m);
    *m = NULL;
}

double bench_llama_bytes(const bench_llama *m)
{
    return m->bytes;
}

int64_t bench_llama_vocab(const bench_llama *m)
{
    return m->config.vocab;
}

hn_status bench_llama_step(bench_llama *m, float logits[])
{
    const struct {
        const char *name;
        int32_t value;
    } in[] = { { "ids", (int32_t)(7919 * (m->at + 1) % m->config.vocab) },
               { "positions", m->at }, { "at", m->at }, { "n_keys", m->at + 1 } };

    if (m->at == POSITIONS)
        return hn_fail(HN_ERR_ARG, "the caches hold %d positions", POSITIONS);
    for (size_t i = 0; i < sizeof in / sizeof *in; i++)
        HN_TRY(hn_plan_write(m->plan, in[i].name, &in[i].value, 4));
    HN_TRY(hn_plan_run(m->plan));
    m->at++;
    return hn_plan_read(m->plan, "logits", logits, m->config.vocab * (int64_t)sizeof *logits);
}
