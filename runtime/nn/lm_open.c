// Opening a language model: configuration, weights and tokenizer out of any format.
#include "io/pretrained.h"
#include "nn/lm.h"
#include "nn/load.h"

#include <stdio.h>
#include <string.h>

// ---- weights -------------------------------------------------------------------------------

const hn_tensor *hn__lm_find_tensor(const hn_tensors *files, const char *name)
{
    char longer[256];
    const hn_tensor *t = hn_tensors_find(files, name);
    if (t)
        return t;
    snprintf(longer, sizeof longer, "transformer.%s", name);
    return hn_tensors_find(files, longer);
}

// Matrices stay as they lie in the file, if the graph can take them so.
static hn_dtype stored_type(const hn_type *have, const hn_type *want, bool f32)
{
    const bool floats = have->dtype == HN_F16 || have->dtype == HN_BF16;
    const bool keep = floats || hn_dtype_block(have->dtype) > 1;
    return !f32 && want->rank == 2 && want->dtype == HN_F32 && keep ? have->dtype : want->dtype;
}

// A tensor that the file has the other way round, as the file has it.
static hn_tensor as_stored(const hn_tensor *t)
{
    hn_tensor r = *t;
    if (t->transposed) {
        r.dim[0] = t->dim[1];
        r.dim[1] = t->dim[0];
        r.transposed = false;
    }
    return r;
}

static hn_status load_tensor(hn_lm *m, const hn_pretrained *p, const hn__node *node, bool f32)
{
    const hn__source_attr *a = node->attr;
    const hn_tensor *found = hn__lm_find_tensor(p->tensors, node->name);
    hn_type have, type = a->type;

    if (!found)
        return hn_fail(HN_ERR_FORMAT, "tensor '%s' is missing", node->name);
    const hn_tensor turned = as_stored(found), *t = m->config.rows_out ? &turned : found;
    HN_TRY(hn_tensor_type(t, &have));
    type.dtype = stored_type(&have, &a->type, f32);
    HN_TRY(hn__load_weight(m->weights, node->name, t, &type,
                           a->trainable && type.dtype == HN_F32));
    hn__tensors_release(p->files, t);
    return HN_OK;
}

static hn_status check_map(hn_lm *m)
{
    const size_t n = (size_t)m->config.vocab;
    int32_t *map = hn__calloc(n, sizeof *map);
    if (!map)
        return hn__nomem(n * sizeof *map);
    hn_status s = hn_weights_read(m->weights, "lm_head.map", map, (int64_t)(n * sizeof *map));
    for (size_t i = 0; s == HN_OK && i < n; i++)
        if (map[i] < 0 || map[i] >= m->config.codes)
            s = hn_fail(HN_ERR_FORMAT, "tensor 'lm_head.map': token %zu has code %d of %" PRId64,
                        i, map[i], m->config.codes);
    hn__free(map);
    return s;
}

// Every param and state of the model's graph, from the files.
static hn_status load_weights(hn_lm *m, const hn_pretrained *p, bool f32)
{
    hn_graph *g;
    HN_TRY(hn_graph_create(&g));
    const hn_val ids = hn_input(g, "ids", (hn_type){ HN_I32, 2, { 1, 1 } });
    hn_lm_logits(g, &m->config, hn_lm_hidden(g, &m->config, ids, NULL));
    hn_status s = hn_graph_status(g);
    for (int64_t i = 0; s == HN_OK && i < g->n_nodes; i++)
        if (g->nodes[i].name && !strcmp(g->nodes[i].op->name, "param"))
            s = load_tensor(m, p, &g->nodes[i], f32);
    hn_graph_destroy(&g);
    m->config.weights = m->weights;
    return s == HN_OK && m->config.head == HN_HEAD_VQ ? check_map(m) : s;
}

// GPT-2's matrices lie as [out, in] in GGUF files, and are multiplied so; elsewhere, and where
// they are to be f32, as [in, out].
static void find_layout(hn_lm *m, const hn_pretrained *p, bool f32)
{
    const hn_tensor *t = hn__lm_find_tensor(p->tensors, "h.0.attn.c_attn.weight");
    m->config.rows_out = m->config.family == HN_LM_GPT2 && t && t->transposed && !f32;
}

// ---- tokens --------------------------------------------------------------------------------

static bool is_token(const hn_lm *m, const json_t *v)
{
    return json_is_integer(v) && json_integer_value(v) >= 0 &&
           json_integer_value(v) < m->config.vocab;
}

static void add_end(hn_lm *m, const json_t *v)
{
    if (is_token(m, v) && m->n_ends < HN__LM_MAX_ENDS &&
        !hn_lm_is_end(m, (int32_t)json_integer_value(v)))
        m->ends[m->n_ends++] = (int32_t)json_integer_value(v);
}

// One end token or a list of them.
static void add_ends(hn_lm *m, const json_t *o)
{
    const json_t *v = json_object_get(o, "eos_token_id");
    add_end(m, v);
    for (size_t i = 0; i < json_array_size(v); i++)
        add_end(m, json_array_get(v, i));
}

static int32_t usual_end(const hn_lm *m)
{
    static const char *const usual[] = { "<|endoftext|>", "<|im_end|>", "</s>" };
    for (size_t i = 0; i < sizeof usual / sizeof *usual; i++) {
        const int32_t id = hn_tokenizer_find(m->tok, usual[i], strlen(usual[i]));
        if (id >= 0 && id < m->config.vocab)
            return id;
    }
    return -1;
}

static int32_t start_token(const hn_lm *m, const hn_pretrained *p)
{
    const int32_t *before;
    const int64_t n = hn_tokenizer_start(m->tok, &before);
    if (n > 0 && before[n - 1] < m->config.vocab)
        return before[n - 1];
    const json_t *const from[] = { p->config, p->generation };
    for (size_t i = 0; i < sizeof from / sizeof *from; i++) {
        const json_t *v = json_object_get(from[i], "bos_token_id");
        if (is_token(m, v))
            return (int32_t)json_integer_value(v);
    }
    return -1;
}

// Whether the files want a start token before a prompt: they say so, or leave it to the template of
// the tokenizer, or to the habit of the one that they name.
static bool adds_start(const hn_lm *m, const hn_pretrained *p)
{
    const json_t *v = json_object_get(p->tokenizer_config, "add_bos_token");
    const char *kind = json_string_value(json_object_get(p->tokenizer_config, "tokenizer_class"));
    const int32_t *before;
    if (json_is_boolean(v))
        return json_is_true(v);
    return hn_tokenizer_start(m->tok, &before) > 0 ||
           (kind && !strncmp(kind, "LlamaTokenizer", 14));
}

// What stands before texts, and what ends them. In a model trained here the end of text parts the
// texts it saw, so it may stand before one.
static void find_tokens(hn_lm *m, const hn_pretrained *p)
{
    const int32_t end = usual_end(m), start = start_token(m, p);
    const bool ours = hn__json_has(p->config, "hornito");

    add_ends(m, p->generation);
    add_ends(m, p->config);
    if (!m->n_ends && end >= 0)
        m->ends[m->n_ends++] = end;
    m->adds_start = start >= 0 && adds_start(m, p);
    m->start = m->adds_start ? start : ours ? end : -1;
    m->empty = start >= 0 ? start : end;
}

bool hn_lm_is_end(const hn_lm *m, int32_t id)
{
    for (int i = 0; i < m->n_ends; i++)
        if (m->ends[i] == id)
            return true;
    return false;
}

// Vocabularies are often rounded up, but not by as much as this.
static hn_status check_tokenizer(const hn_lm *m)
{
    const int64_t have = hn_tokenizer_vocab_size(m->tok), want = m->config.vocab;
    const int64_t most = want / 16 > 1024 ? want / 16 : 1024;
    if (have > want || have < want - most)
        return hn_fail(HN_ERR_FORMAT,
                       "the tokenizer has %" PRId64 " tokens and the model %" PRId64
                       ": it belongs to another model", have, want);
    return HN_OK;
}

// ---- the whole -----------------------------------------------------------------------------

static hn_status refuse_other(const hn_pretrained *p)
{
    const char *type = hn_pretrained_model_type(p);
    return strcmp(type, "whisper") ? HN_OK
                                   : hn_fail(HN_ERR_UNSUPPORTED,
                                             "this is a speech model (whisper), not a language "
                                             "model; hornito speech takes it");
}

static hn_status load(hn_lm *m, const hn_pretrained *p, const hn_lm_open_params *params)
{
    HN_TRY(refuse_other(p));
    HN_TRY(hn__lm_config_read(p->config, "config.json", &m->config));
    m->config.i8 = params->i8;
    HN_TRY(hn__pretrained_tokenizer(p, &m->tok));
    HN_TRY(check_tokenizer(m));
    find_tokens(m, p);
    find_layout(m, p, params->f32);
    return load_weights(m, p, params->f32);
}

hn_status hn_lm_open(hn_device *d, const char *path, const hn_lm_open_params *params, hn_lm **out)
{
    static const hn_lm_open_params none = { 0 };
    hn_pretrained *p = NULL;
    *out = NULL;
    hn_lm *m = hn__calloc(1, sizeof *m);
    if (!m)
        return hn__nomem(sizeof *m);
    m->dev = d;
    hn_status s = hn_weights_create(d, &m->weights);
    if (s == HN_OK)
        s = hn_pretrained_open(path, &p);
    if (s == HN_OK)
        s = load(m, p, params ? params : &none);
    hn_pretrained_close(&p);
    if (s)
        hn_lm_close(&m);
    *out = m;
    return hn_context(s, "model '%s'", path);
}

void hn_lm_close(hn_lm **m)
{
    if (!*m)
        return;
    for (int i = 0; i < HN__LM_STEPPERS; i++)
        hn_plan_destroy(&(*m)->steppers[i].plan);
    hn_plan_destroy(&(*m)->score);
    hn_weights_destroy(&(*m)->weights);
    hn_tokenizer_destroy(&(*m)->tok);
    hn_ids_free(&(*m)->fed);
    hn__free(*m);
    *m = NULL;
}

const hn_lm_config *hn_lm_get_config(const hn_lm *m)
{
    return &m->config;
}

hn_tokenizer *hn_lm_get_tokenizer(hn_lm *m)
{
    return m->tok;
}

hn_weights *hn_lm_get_weights(hn_lm *m)
{
    return m->weights;
}
