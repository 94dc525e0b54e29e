// hornito lm train: a language model from text files, from the beginning or from a checkpoint.
#include "lm_data.h"
#include "train.h"

#include "base/os.h"
#include "train/base.h"

#include <string.h>

typedef struct options {
    train_options run;
    char *tokenizer, *family, *head, *act;
    // 0: not given
    int vocab, width, layers, heads, kv_heads, ffn, context, codes, token_bias, untied, length;
} options;

static bool is(const char *given, const char *word, bool otherwise)
{
    return given ? !strcmp(given, word) : otherwise;
}

// 2 (said) where a word is none of those known; 0 otherwise.
static int check_words(const options *o)
{
    if (!is(o->family, "llama", true) && !is(o->family, "gpt2", false))
        return app_usage("--family %s: use llama or gpt2", o->family);
    if (!is(o->head, "dense", true) && !is(o->head, "vq", false))
        return app_usage("--head %s: use dense or vq", o->head);
    if (!is(o->act, "gelu", true) && !is(o->act, "gelu_tanh", false))
        return app_usage("--act %s: use gelu or gelu_tanh", o->act);
    return 0;
}

// What the model says itself is not to be said again: it could only be wrong.
static int check_from(const options *o)
{
    const struct {
        const char *name;
        bool given;
    } own[] = {
        { "tokenizer", o->tokenizer != NULL },
        { "vocab", o->vocab },
        { "family", o->family != NULL },
        { "act", o->act != NULL },
        { "head", o->head != NULL },
        { "width", o->width },
        { "layers", o->layers },
        { "heads", o->heads },
        { "kv-heads", o->kv_heads },
        { "ffn", o->ffn },
        { "context", o->context },
        { "codes", o->codes },
        { "token-bias", o->token_bias },
        { "untied", o->untied },
    };
    for (size_t i = 0; o->run.from && i < sizeof own / sizeof *own; i++)
        if (own[i].given)
            return app_usage("--%s and --from: '%s' has its own", own[i].name, o->run.from);
    return 0;
}

static int or_else(int given, int otherwise)
{
    return given ? given : otherwise;
}

static hn_lm_config make_model(const options *o, int vocab)
{
    const bool llama = is(o->family, "llama", true), vq = is(o->head, "vq", false);
    const int width = or_else(o->width, 256), heads = or_else(o->heads, 4);
    const int gated = (8 * width / 3 + 63) / 64 * 64;
    return (hn_lm_config){
        .family = llama ? HN_LM_LLAMA : HN_LM_GPT2,
        .vocab = vocab,
        .width = width,
        .layers = or_else(o->layers, 4),
        .heads = heads,
        .kv_heads = or_else(o->kv_heads, heads),
        .ffn = or_else(o->ffn, llama ? gated : 4 * width),
        .context = or_else(o->context, 256),
        .eps = 1e-5f,
        .rope_base = 10000,
        .act = is(o->act, "gelu", true) ? HN_ACT_GELU : HN_ACT_GELU_TANH,
        .tied = !o->untied && !vq,
        .head = vq ? HN_HEAD_VQ : HN_HEAD_DENSE,
        .codes = vq ? or_else(o->codes, 1024) : 0,
        .token_bias = vq && o->token_bias,
    };
}

// The text by the tokenizer of the model to start from; its configuration.
static hn_status read_from(const char *from, const char **files, int n, lm_data *data,
                           hn_lm_config *model)
{
    lm_data_options o = { 0 };
    hn__base *b;

    HN_TRY(hn__base_open(from, &b));
    hn_status s = hn__base_lm_config(b, model);
    if (s == HN_OK)
        s = hn__pretrained_tokenizer(b->model, &o.ready);
    if (s == HN_OK)
        s = lm_data_read(files, n, &o, data);
    hn__base_close(&b);
    return hn_context(s, "--from");
}

// The text by a tokenizer that is given, trained, or in the checkpoint of a run that goes on.
static hn_status read_new(const options *o, const char *resumed, const char **files, int n,
                          lm_data *data, hn_lm_config *model)
{
    lm_data_options l = { .tokenizer = o->tokenizer, .vocab = or_else(o->vocab, 4096) };

    if (resumed)
        l.tokenizer = resumed;
    else if (!l.tokenizer && n == 1 && hn__is_dir(files[0]))
        l.tokenizer = files[0]; // shards with their tokenizer, as lm tokenize writes them
    HN_TRY(lm_data_read(files, n, &l, data));
    *model = make_model(o, hn_tokenizer_vocab_size(data->tok));
    return HN_OK;
}

static hn_status create(train_run *r, hn_trainer **out)
{
    const lm_data *data = r->user;
    return hn_trainer_create(r->dev, &r->params, data->tokens.id, data->tokens.n, out);
}

static hn_status train(train_run *r, const options *o, const char **files, int n, lm_data *data)
{
    enum { MOST = 512 }; // tokens of a sequence, where a model takes more and none are asked for
    hn_lm_config *model = &r->params.model;

    if (r->from)
        HN_TRY(read_from(r->from, files, n, data, model));
    else
        HN_TRY(read_new(o, r->resumed, files, n, data, model));
    model->dropout = (float)o->run.dropout;
    const int64_t most = r->from && model->context > MOST ? MOST : model->context;
    r->params.length = o->length ? o->length : most;
    r->create = create;
    r->user = data;
    r->tok = data->tok;
    r->title = "Language model training";
    r->unit = "tokens";
    r->per_step = (double)(r->params.batch * r->params.length);
    return train_go(r);
}

static int run(const options *o, const char **files, int n_files)
{
    train_run r = { 0 };
    lm_data data = { 0 };
    int rc = check_words(o);

    if (!rc)
        rc = check_from(o);
    if (rc)
        return rc;
    if (!n_files)
        return app_usage("no text: name text files, or a folder of token shards");
    rc = train_begin(&r, &o->run);
    if (rc < 0)
        rc = app_fail(train(&r, o, files, n_files, &data));
    rc = train_end(&r, rc);
    lm_data_free(&data);
    return rc;
}

#define SIZE(name, at, help)                                                                      \
    {                                                                                             \
        name, 0, POPT_ARG_INT, &o.at, 0, help, "N"                                                \
    }

int app_lm_train(int argc, const char **argv)
{
    options o = { .run = { TRAIN_DEFAULTS } };
    const struct poptOption table[] = {
        TRAIN_WORD("tokenizer", o.tokenizer,
                   "tokenizer.json or its folder; otherwise one is trained on the text", "PATH"),
        SIZE("vocab", vocab, "tokens of the tokenizer that is trained (4096)"),
        TRAIN_WORD("family", o.family, "llama (the default) or gpt2", "NAME"),
        TRAIN_WORD("act", o.act, "of gpt2: gelu (the default) or gelu_tanh", "NAME"),
        SIZE("width", width, "of the model (256)"),
        SIZE("layers", layers, "blocks (4)"),
        SIZE("heads", heads, "of attention (4)"),
        SIZE("kv-heads", kv_heads, "key-value heads (as --heads)"),
        SIZE("ffn", ffn, "feed-forward width (8/3 of the width, gpt2 4)"),
        SIZE("context", context, "longest sequence (256)"),
        TRAIN_WORD("head", o.head, "dense (the default) or vq: a codebook and a map", "NAME"),
        SIZE("codes", codes, "of a vq head (1024)"),
        TRAIN_FLAG("token-bias", o.token_bias, "of a vq head: a learned bias for each token"),
        TRAIN_FLAG("untied", o.untied, "a dense head of its own, not the embedding"),
        SIZE("length", length, "tokens of a sequence (the context; with --from at most 512)"),
        TRAIN_OPTIONS(o.run),
        APP_COMMON_OPTIONS,
    };
    app_args args;
    int rc = app_begin(argc, argv, table, &args);
    if (rc < 0)
        rc = run(&o, args.rest, args.n_rest);
    return app_end(&args, rc);
}
