// What stands between the files of a model and running it: its graph is built, and each weight
// that the graph names is looked for.
#include "nn/problems.h"

#include "nn/lm.h"
#include "nn/whisper.h"

#include <stdio.h>
#include <string.h>

typedef struct finder {
    const hn_pretrained *p;
    hn__problem_fn each;
    void *user;
    int64_t vocab;
} finder;

// A failure is a problem of the model, unless memory ran out.
static hn_status note(const finder *f, hn_status s)
{
    if (s == HN_OK || s == HN_ERR_NOMEM)
        return s;
    f->each(f->user, hn_error_text());
    return HN_OK;
}

static hn_status check_tensor(const finder *f, const char *name, const hn_type *want)
{
    char longer[256], a[128], b[128];
    const hn_tensor *t = hn_tensors_find(f->p->tensors, name);
    hn_type have;
    if (!t) { // as GPT-2's folders may have it
        snprintf(longer, sizeof longer, "transformer.%.200s", name);
        t = hn_tensors_find(f->p->tensors, longer);
    }
    if (!t)
        return hn_fail(HN_ERR_FORMAT, "tensor '%s' is missing", name);
    HN_TRY(hn_tensor_type(t, &have));
    return hn__shape_equal(&have, want)
               ? HN_OK
               : hn_fail(HN_ERR_FORMAT, "tensor '%s' is %s, the configuration wants %s", name,
                         hn__type_text(&have, a, sizeof a), hn__type_text(want, b, sizeof b));
}

static hn_status check_graph(const finder *f, const hn_graph *g)
{
    HN_TRY(hn_graph_status(g));
    for (int64_t i = 0; i < g->n_nodes; i++) {
        const hn__source_attr *a = g->nodes[i].attr;
        if (g->nodes[i].name && !strcmp(g->nodes[i].op->name, "param"))
            HN_TRY(note(f, check_tensor(f, g->nodes[i].name, &a->type)));
    }
    return HN_OK;
}

static hn_status check_lm(finder *f, hn_graph *g)
{
    hn_lm_config c;
    HN_TRY(hn__lm_config_read(f->p->config, "config.json", &c));
    f->vocab = c.vocab;
    const hn_val ids = hn_input(g, "ids", (hn_type){ HN_I32, 2, { 1, 1 } });
    hn_lm_logits(g, &c, hn_lm_hidden(g, &c, ids, NULL));
    return check_graph(f, g);
}

static hn_status check_whisper(finder *f, hn_graph *g)
{
    hn_whisper_config c;
    HN_TRY(hn__whisper_config_read(f->p->config, "config.json", &c));
    f->vocab = c.vocab;
    const hn_val mel = hn_input(g, "mel", (hn_type){ HN_F32, 3, { 1, c.mels, 2 * c.frames } });
    const hn_val ids = hn_input(g, "ids", (hn_type){ HN_I32, 2, { 1, 1 } });
    const hn_val audio = hn_whisper_encoder(g, &c, mel, NULL);
    hn_whisper_logits(g, &c, hn_whisper_decoder(g, &c, ids, audio, NULL));
    return check_graph(f, g);
}

static hn_status check_tokenizer(const finder *f)
{
    hn_tokenizer *tok;
    HN_TRY(hn__pretrained_tokenizer(f->p, &tok));
    const int n = hn_tokenizer_vocab_size(tok);
    hn_tokenizer_destroy(&tok);
    return f->vocab && n > f->vocab
               ? hn_fail(HN_ERR_FORMAT,
                         "the tokenizer has %d tokens, the model %" PRId64
                         ": it is of another model", n, f->vocab)
               : HN_OK;
}

hn_status hn__model_problems(const hn_pretrained *p, hn__problem_fn each, void *user)
{
    finder f = { p, each, user, 0 };
    const char *type = hn_pretrained_model_type(p);
    hn_graph *g;
    HN_TRY(hn_graph_create(&g));
    hn_status s = note(&f, strcmp(type, "whisper") ? check_lm(&f, g) : check_whisper(&f, g));
    hn_graph_destroy(&g);
    HN_TRY(s);
    return note(&f, check_tokenizer(&f));
}
