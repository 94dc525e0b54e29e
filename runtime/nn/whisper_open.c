// Opening a Whisper model: weights, tokenizer and tokens of a published checkpoint.
#include "io/pretrained.h"
#include "nn/load.h"
#include "nn/whisper.h"

#include <string.h>

// A matrix of the decoder that only products and lookups by token read.
static bool read_as_stored(const char *name, const hn_type *t)
{
    return t->rank == 2 && strncmp(name, "model.decoder.", 14) == 0 &&
           !strstr(name, "embed_positions");
}

static hn_status load_weight(hn_whisper *m, const hn_tensors *files, const char *name,
                             const hn__source_attr *a, bool f32)
{
    hn_type type = a->type;
    const hn_tensor *t;

    HN_TRY(hn_tensors_get(files, name, &t));
    if (!f32 && hn__is_float(t->dtype) && read_as_stored(name, &type))
        type.dtype = t->dtype;
    return hn__load_weight(m->weights, name, t, &type, a->trainable);
}

// Every param of the model's graph, from the files.
static hn_status load_weights(hn_whisper *m, const hn_tensors *files, bool f32)
{
    const hn_whisper_config *c = &m->config;
    hn_graph *g;

    HN_TRY(hn_graph_create(&g));
    const hn_val mel = hn_input(g, "mel", (hn_type){ HN_F32, 3, { 1, c->mels, 2 * c->frames } });
    const hn_val ids = hn_input(g, "ids", (hn_type){ HN_I32, 2, { 1, 1 } });
    hn_whisper_decoder(g, c, ids, hn_whisper_encoder(g, c, mel, NULL), NULL);
    hn_status s = hn_graph_status(g);
    for (int64_t i = 0; s == HN_OK && i < g->n_nodes; i++) {
        const hn__source_attr *a = g->nodes[i].attr;
        if (g->nodes[i].name && strcmp(g->nodes[i].op->name, "param") == 0)
            s = load_weight(m, files, g->nodes[i].name, a, f32);
    }
    hn_graph_destroy(&g);
    m->config.weights = m->weights;
    return s;
}

static hn_status load(hn_whisper *m, const hn_pretrained *p, bool f32)
{
    const char *type = hn_pretrained_model_type(p);

    if (strcmp(type, "whisper"))
        return hn_fail(HN_ERR_UNSUPPORTED, "a %.60s model, where a Whisper model is needed", type);
    HN_TRY(hn__whisper_config_read(p->config, "config.json", &m->config));
    HN_TRY(hn__pretrained_tokenizer(p, &m->tok));
    if (hn_tokenizer_vocab_size(m->tok) > m->config.vocab)
        return hn_fail(HN_ERR_FORMAT,
                       "the tokenizer has %d tokens, the model %" PRId64
                       ": it belongs to another model",
                       hn_tokenizer_vocab_size(m->tok), m->config.vocab);
    HN_TRY(hn__whisper_read_tokens(m, p->generation));
    return load_weights(m, hn_pretrained_tensors(p), f32);
}

hn_status hn_whisper_open(hn_device *d, const char *path, const hn_whisper_open_params *params,
                          hn_whisper **out)
{
    hn_pretrained *p;

    *out = NULL;
    HN_TRY(hn_pretrained_open(path, &p));
    hn_whisper *m = hn__calloc(1, sizeof *m);
    hn_status s = m ? HN_OK : hn__nomem(sizeof *m);
    if (s == HN_OK) {
        m->dev = d;
        s = hn_weights_create(d, &m->weights);
    }
    if (s == HN_OK)
        s = load(m, p, params && params->f32);
    hn_pretrained_close(&p);
    if (s)
        hn_whisper_close(&m);
    *out = m;
    return hn_context(s, "model '%s'", path);
}

void hn_whisper_close(hn_whisper **m)
{
    hn_whisper *w = *m;

    if (!w)
        return;
    for (int64_t i = 0; i < w->n_plans; i++)
        hn_plan_destroy(&w->plans[i].plan);
    hn_plan_destroy(&w->encode);
    hn_weights_destroy(&w->weights);
    hn_tokenizer_destroy(&w->tok);
    for (int i = 0; i < w->n_languages; i++)
        hn__free((char *)(uintptr_t)w->languages[i].code);
    hn__free(w->languages);
    hn__free(w->suppressed.id);
    hn__free(w->suppressed_first.id);
    hn__free(w->plans);
    hn__free(w->room);
    hn__free(w);
    *m = NULL;
}

const hn_whisper_config *hn_whisper_get_config(const hn_whisper *m)
{
    return &m->config;
}

hn_tokenizer *hn_whisper_get_tokenizer(hn_whisper *m)
{
    return m->tok;
}

hn_weights *hn_whisper_get_weights(hn_whisper *m)
{
    return m->weights;
}

hn_device *hn_whisper_get_device(const hn_whisper *m)
{
    return m->dev;
}
