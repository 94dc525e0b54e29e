// Checkpoints of a training run: everything that its next step depends on, and nothing else.
#include "base/os.h"
#include "io/checkpoint.h"
#include "io/json.h"
#include "train/trainer.h"

#include <stdio.h>
#include <string.h>

enum { KEEP = 2 };

// What belongs to the model is what lm_open reads; the rest belongs to the optimiser.
static bool of_model(const hn_weight_info *w)
{
    return w->trainable || !strcmp(w->name, "lm_head.map");
}

// ---- settings that must be equal for a run to go on ------------------------------------------

typedef struct setting {
    const char *name;
    double value;
} setting;

enum { N_SETTINGS = 30 };

static int list_settings(const hn_trainer *t, setting s[N_SETTINGS])
{
    const hn_train_params *p = &t->params;
    const hn_lm_config *c = &p->model;
    const hn_optimizer_params *o = &p->optimizer;
    const setting all[] = {
        { "family", c->family },
        { "vocab", (double)c->vocab },
        { "width", (double)c->width },
        { "layers", (double)c->layers },
        { "heads", (double)c->heads },
        { "kv_heads", (double)c->kv_heads },
        { "ffn", (double)c->ffn },
        { "context", (double)c->context },
        { "eps", c->eps },
        { "rope_base", c->rope_base },
        { "act", c->act },
        { "tied", c->tied },
        { "head", c->head },
        { "codes", (double)c->codes },
        { "token_bias", c->token_bias },
        { "dropout", c->dropout },
        { "batch", (double)p->batch },
        { "length", (double)p->length },
        { "steps", (double)p->steps },
        { "lr", p->lr },
        { "lr_end", p->lr_end },
        { "warmup", (double)p->warmup },
        { "beta1", o->adamw.beta1 },
        { "beta2", o->adamw.beta2 },
        { "adam_eps", o->adamw.eps },
        { "weight_decay", o->adamw.weight_decay },
        { "clip", o->clip },
        { "scale_loss", o->scale_loss },
        { "first_scale", o->first_scale },
        { "scale_interval", o->scale_interval },
    };
    memcpy(s, all, sizeof all);
    return (int)(sizeof all / sizeof *all);
}

static void hash_text(uint64_t h, char out[17])
{
    snprintf(out, 17, "%016" PRIx64, h);
}

static hn_status write_settings(const hn_trainer *t, const char *path)
{
    setting list[N_SETTINGS];
    char data[17], seed[17];
    const int n = list_settings(t, list);
    json_t *o = json_object();
    hash_text(t->data_hash, data);
    hash_text(t->params.seed, seed);
    hn_status s = o ? HN_OK : hn__nomem(256);
    if (s == HN_OK)
        s = hn__json_set(o, "step", json_integer((json_int_t)t->done));
    if (s == HN_OK)
        s = hn__json_set(o, "seed", json_string(seed));
    if (s == HN_OK)
        s = hn__json_set(o, "data", json_string(data));
    for (int i = 0; s == HN_OK && i < n; i++)
        s = hn__json_set(o, list[i].name, json_real(list[i].value));
    if (s == HN_OK)
        s = hn__json_save(path, o);
    json_decref(o);
    return s;
}

static hn_status same_text(const json_t *o, const char *where, const char *key, uint64_t have,
                           const char *what)
{
    const char *text;
    char mine[17];
    hash_text(have, mine);
    HN_TRY(hn__json_string(o, where, key, &text));
    return strcmp(text, mine)
               ? hn_fail(HN_ERR_ARG, "%s: the run was made with another %s", where, what)
               : HN_OK;
}

static hn_status read_settings(const hn_trainer *t, const json_t *o, const char *where,
                               int64_t *step)
{
    setting list[N_SETTINGS];
    const int n = list_settings(t, list);

    HN_TRY(hn__json_int(o, where, "step", 0, INT64_C(1) << 50, step));
    HN_TRY(same_text(o, where, "seed", t->params.seed, "seed"));
    HN_TRY(same_text(o, where, "data", t->data_hash, "training text or tokenizer"));
    for (int i = 0; i < n; i++) {
        double x;
        HN_TRY(hn__json_real(o, where, list[i].name, &x));
        if (x != list[i].value)
            return hn_fail(HN_ERR_ARG, "%s: the run was made with %s %g, not %g", where,
                           list[i].name, x, list[i].value);
    }
    return HN_OK;
}

// ---- tensors -------------------------------------------------------------------------------

static hn_status put_tensor(hn_weights *w, const hn_weight_info *i, hn_tensor_writer *out)
{
    const int64_t n = hn_type_bytes(&i->type);
    void *data = hn__calloc((size_t)n, 1);
    if (!data)
        return hn__nomem((size_t)n);
    hn_status s = hn_weights_read(w, i->name, data, n);
    if (s == HN_OK)
        s = hn_tensor_writer_put(out, data, n);
    hn__free(data);
    return s;
}

static hn_status write_listed(hn_weights *w, bool model, const hn_tensor *list, int64_t n,
                              const char *path)
{
    const hn_metadata meta = { "format", "pt" }; // what readers of Hugging Face's files look for
    hn_tensor_writer *out;

    HN_TRY(hn_tensor_writer_create(path, list, n, &meta, 1, &out));
    hn_status s = HN_OK;
    for (int64_t i = 0; s == HN_OK && i < hn_weights_count(w); i++) {
        const hn_weight_info info = hn_weights_info(w, i);
        if (of_model(&info) == model)
            s = put_tensor(w, &info, out);
    }
    if (s == HN_OK)
        return hn_tensor_writer_commit(&out);
    hn_tensor_writer_destroy(&out);
    return s;
}

static hn_status write_tensors(hn_weights *w, bool model, const char *path)
{
    int64_t n = 0;
    hn_tensor *list = hn__calloc((size_t)hn_weights_count(w) + 1, sizeof *list);
    if (!list)
        return hn__nomem((size_t)hn_weights_count(w) * sizeof *list);
    for (int64_t i = 0; i < hn_weights_count(w); i++) {
        const hn_weight_info info = hn_weights_info(w, i);
        if (of_model(&info) != model)
            continue;
        list[n] =
            (hn_tensor){ .name = info.name, .dtype = info.type.dtype, .rank = info.type.rank };
        memcpy(list[n++].dim, info.type.dim, sizeof info.type.dim);
    }
    const hn_status s = write_listed(w, model, list, n, path);
    hn__free(list);
    return s;
}

// Every weight of this part is read; one that is missing or of another type is named.
static hn_status read_tensors(hn_weights *w, bool model, const char *path)
{
    hn_tensors *files;
    HN_TRY(hn_tensors_open(path, &files));
    hn_status s = HN_OK;
    for (int64_t i = 0; s == HN_OK && i < hn_weights_count(w); i++) {
        const hn_weight_info info = hn_weights_info(w, i);
        const hn_tensor *t;
        hn_type type = { 0 };
        if (of_model(&info) != model)
            continue;
        s = hn_tensors_get(files, info.name, &t);
        if (s == HN_OK)
            s = hn_tensor_type(t, &type);
        if (s == HN_OK && !hn__type_equal(&type, &info.type))
            s = hn_fail(HN_ERR_FORMAT, "file '%s': tensor '%s' has another type than the model's",
                        path, info.name);
        if (s == HN_OK)
            s = hn_weights_write(w, info.name, t->data, t->n_bytes);
    }
    hn_tensors_destroy(&files);
    return s;
}

// ---- the folder ----------------------------------------------------------------------------

typedef hn_status (*write_fn)(hn_trainer *t, const hn_tokenizer *tok, const char *path);

static hn_status write_config(hn_trainer *t, const hn_tokenizer *tok, const char *path)
{
    (void)tok;
    return hn_lm_config_save(&t->params.model, path);
}

static hn_status write_model(hn_trainer *t, const hn_tokenizer *tok, const char *path)
{
    (void)tok;
    return write_tensors(t->weights, true, path);
}

static hn_status write_optimizer(hn_trainer *t, const hn_tokenizer *tok, const char *path)
{
    (void)tok;
    return write_tensors(t->weights, false, path);
}

static hn_status write_trainer(hn_trainer *t, const hn_tokenizer *tok, const char *path)
{
    (void)tok;
    return write_settings(t, path);
}

static hn_status write_tokenizer(hn_trainer *t, const hn_tokenizer *tok, const char *path)
{
    (void)t;
    return hn_tokenizer_save(tok, path);
}

hn_status hn_trainer_save(hn_trainer *t, const char *dir, const hn_tokenizer *tok)
{
    static const struct {
        const char *name;
        write_fn write;
    } files[] = { { "config.json", write_config },
                  { "model.safetensors", write_model },
                  { "optimizer.safetensors", write_optimizer },
                  { "trainer.json", write_trainer },
                  { "tokenizer.json", write_tokenizer } };
    hn__checkpoint *c;
    hn_status s = HN_OK;

    HN_TRY(hn__checkpoint_begin(dir, t->done, &c));
    for (size_t i = 0; s == HN_OK && i < sizeof files / sizeof *files; i++) {
        const char *path;
        if (!tok && files[i].write == write_tokenizer)
            continue;
        s = hn__checkpoint_add(c, files[i].name, &path);
        if (s == HN_OK)
            s = files[i].write(t, tok, path);
    }
    if (s == HN_OK)
        return hn__checkpoint_commit(&c, KEEP);
    hn__checkpoint_abort(&c);
    return s;
}

static hn_status load_settings(hn_trainer *t, const char *folder, int64_t *step)
{
    char where[512];
    json_t *o = NULL;
    char *path = hn__path_join(folder, "trainer.json");
    if (!path)
        return hn__nomem(strlen(folder));
    hn_status s = hn__json_load(path, 1 << 20, &o);
    snprintf(where, sizeof where, "file '%.480s'", path);
    if (s == HN_OK)
        s = read_settings(t, o, where, step);
    json_decref(o);
    hn__free(path);
    return s;
}

static hn_status load_part(hn_trainer *t, const char *folder, bool model)
{
    char *path = hn__path_join(folder, model ? "model.safetensors" : "optimizer.safetensors");
    if (!path)
        return hn__nomem(strlen(folder));
    const hn_status s = read_tensors(t->weights, model, path);
    hn__free(path);
    return s;
}

hn_status hn_trainer_resume(hn_trainer *t, const char *dir)
{
    char *folder;
    int64_t named, step = 0;

    HN_TRY(hn__checkpoint_latest(dir, &folder, &named));
    hn_status s = load_settings(t, folder, &step);
    if (s == HN_OK)
        s = load_part(t, folder, true);
    if (s == HN_OK)
        s = load_part(t, folder, false);
    if (s == HN_OK)
        t->done = step;
    hn__free(folder);
    return hn_context(s, "resume from '%s'", dir);
}
