// Opening a language model: a folder of config.json, weights and tokenizer.
#include "base/os.h"
#include "io/checkpoint.h"
#include "io/json.h"
#include "nn/lm.h"

#include <stdio.h>
#include <string.h>

// The tensor of a weight: by its name, or with the prefix that some GPT-2 files carry.
static const hn_tensor *find_tensor(const hn_tensors *files, const char *name)
{
    char longer[256];
    const hn_tensor *t = hn_tensors_find(files, name);
    if (t)
        return t;
    snprintf(longer, sizeof longer, "transformer.%s", name);
    return hn_tensors_find(files, longer);
}

static hn_status load_tensor(hn_weights *w, const hn_tensors *files, const char *name,
                             const hn_type *want, bool trainable)
{
    const hn_tensor *t = find_tensor(files, name);
    hn_type have;
    char a[128], b[128];

    if (!t)
        return hn_fail(HN_ERR_FORMAT, "tensor '%s' is missing", name);
    HN_TRY(hn_tensor_type(t, &have));
    if (!hn__shape_equal(&have, want))
        return hn_fail(HN_ERR_FORMAT, "tensor '%s' is %s, the configuration wants %s", name,
                       hn__type_text(&have, a, sizeof a), hn__type_text(want, b, sizeof b));
    void *data = hn__calloc((size_t)hn_type_bytes(want), 1);
    if (!data)
        return hn__nomem((size_t)hn_type_bytes(want));
    hn_status s = hn_tensor_read(t, want->dtype, data);
    if (s == HN_OK)
        s = hn_weights_put(w, name, *want, trainable);
    if (s == HN_OK)
        s = hn_weights_write(w, name, data, hn_type_bytes(want));
    hn__free(data);
    return s;
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
static hn_status load_weights(hn_lm *m, const hn_tensors *files)
{
    hn_graph *g;
    HN_TRY(hn_graph_create(&g));
    const hn_val ids = hn_input(g, "ids", (hn_type){ HN_I32, 2, { 1, 1 } });
    hn_lm_logits(g, &m->config, hn_lm_hidden(g, &m->config, ids, NULL));
    hn_status s = hn_graph_status(g);
    for (int64_t i = 0; s == HN_OK && i < g->n_nodes; i++) {
        const hn__source_attr *a = g->nodes[i].attr;
        if (g->nodes[i].name && strcmp(g->nodes[i].op->name, "param") == 0)
            s = load_tensor(m->weights, files, g->nodes[i].name, &a->type, a->trainable);
    }
    hn_graph_destroy(&g);
    return s == HN_OK && m->config.head == HN_HEAD_VQ ? check_map(m) : s;
}

// A token by config.json's key, or by its usual texts; -1 where there is none.
static int32_t find_special(const hn_lm *m, const json_t *config, const char *key)
{
    static const char *const usual[] = { "<|endoftext|>", "<|im_end|>", "</s>" };
    const json_t *v = json_object_get(config, key);
    if (json_is_integer(v) && json_integer_value(v) >= 0 &&
        json_integer_value(v) < m->config.vocab)
        return (int32_t)json_integer_value(v);
    for (size_t i = 0; i < sizeof usual / sizeof *usual; i++) {
        const int32_t id = hn_tokenizer_find(m->tok, usual[i], strlen(usual[i]));
        if (id >= 0 && id < m->config.vocab)
            return id;
    }
    return -1;
}

static hn_status load_folder(hn_lm *m, const char *dir)
{
    char *config = hn__path_join(dir, "config.json");
    hn_tensors *files = NULL;
    json_t *o = NULL;
    hn_status s = config ? hn_lm_config_load(config, &m->config) : hn__nomem(strlen(dir));

    if (s == HN_OK)
        s = hn__json_load(config, 1 << 20, &o);
    if (s == HN_OK)
        s = hn_tokenizer_load(dir, &m->tok);
    if (s == HN_OK && hn_tokenizer_vocab_size(m->tok) > m->config.vocab)
        s = hn_fail(HN_ERR_FORMAT, "the tokenizer has %d tokens, the model %" PRId64,
                    hn_tokenizer_vocab_size(m->tok), m->config.vocab);
    if (s == HN_OK)
        s = hn_tensors_open(dir, &files);
    if (s == HN_OK)
        s = load_weights(m, files);
    if (s == HN_OK) {
        m->start = find_special(m, o, "bos_token_id");
        m->end = find_special(m, o, "eos_token_id");
    }
    json_decref(o);
    hn_tensors_destroy(&files);
    hn__free(config);
    return s;
}

// A training folder's newest good checkpoint, or the folder itself.
static hn_status load(hn_lm *m, const char *path)
{
    char *config = hn__path_join(path, "config.json"), *newest;
    int64_t step;
    if (!config)
        return hn__nomem(strlen(path));
    const bool plain = hn__exists(config);
    hn__free(config);
    if (plain)
        return load_folder(m, path);
    HN_TRY(hn__checkpoint_latest(path, &newest, &step));
    const hn_status s = load_folder(m, newest);
    hn__free(newest);
    return s;
}

hn_status hn_lm_open(hn_device *d, const char *path, hn_lm **out)
{
    *out = NULL;
    hn_lm *m = hn__calloc(1, sizeof *m);
    if (!m)
        return hn__nomem(sizeof *m);
    m->dev = d;
    m->start = m->end = -1;
    hn_status s = hn_weights_create(d, &m->weights);
    if (s == HN_OK)
        s = load(m, path);
    if (s)
        hn_lm_close(&m);
    *out = m;
    return hn_context(s, "model '%s'", path);
}

void hn_lm_close(hn_lm **m)
{
    if (!*m)
        return;
    hn_plan_destroy(&(*m)->chunk.plan);
    hn_plan_destroy(&(*m)->one.plan);
    hn_plan_destroy(&(*m)->score);
    hn_weights_destroy(&(*m)->weights);
    hn_tokenizer_destroy(&(*m)->tok);
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
