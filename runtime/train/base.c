// The model that a run starts from: opened, hashed, read into weights, its other files copied.
#include "train/base.h"
#include "base/os.h"
#include "nn/load.h"
#include "train/tune.h"

#include <string.h>

// ---- opening -------------------------------------------------------------------------------

hn_status hn__base_open(const char *path, hn__base **out)
{
    *out = NULL;
    hn__base *b = hn__calloc(1, sizeof *b);
    if (!b)
        return hn__nomem(sizeof *b);
    const hn_status s = hn_pretrained_open(path, &b->model);
    if (s)
        hn__base_close(&b);
    *out = b;
    return hn_context(s, "start from '%s'", path);
}

void hn__base_close(hn__base **b)
{
    if (!*b)
        return;
    hn_pretrained_close(&(*b)->model);
    hn__free(*b);
    *b = NULL;
}

// By names, shapes and bytes, so that a copy elsewhere is the same.
hn_status hn__base_hash(hn__base *b)
{
    const hn_tensors *files = b->model->tensors;
    HN_TRY(hn__json_content(b->model->config, &b->hash));
    for (int64_t i = 0; i < hn_tensors_count(files); i++) {
        const hn_tensor *t = hn_tensors_at(files, i);
        b->hash = hn__hash(t->name, strlen(t->name), b->hash);
        b->hash = hn__hash(t->dim, sizeof *t->dim * (size_t)t->rank, b->hash);
        b->hash = hn__hash(t->data, (size_t)t->n_bytes, b->hash);
        hn__tensors_release(b->model->files, t);
    }
    return HN_OK;
}

hn_status hn__base_lm_config(const hn__base *b, hn_lm_config *out)
{
    const char *type = hn_pretrained_model_type(b->model);
    if (!strcmp(type, "whisper"))
        return hn_fail(HN_ERR_UNSUPPORTED,
                       "'%s' is a speech model (whisper), not a language model; hornito speech "
                       "train takes it",
                       b->model->path);
    return hn__lm_config_read(b->model->config, b->model->path, out);
}

// ---- weights -------------------------------------------------------------------------------

const hn_tensor *hn__base_find(const hn__base *b, const char *name)
{
    return hn__lm_find_tensor(b->model->tensors, name);
}

hn_status hn__base_load(const hn__base *b, const hn_graph *g, hn_weights *w)
{
    for (int64_t i = 0; i < g->n_nodes; i++) {
        const hn__node *n = &g->nodes[i];
        if (!n->name || strcmp(n->op->name, "param") != 0 ||
            hn__part_of(n->name) != HN__PART_MODEL)
            continue;
        const hn__source_attr *a = n->attr;
        const hn_tensor *t = hn__base_find(b, n->name);
        const hn_status s = t ? hn__load_weight(w, n->name, t, &a->type, a->trainable)
                              : hn_fail(HN_ERR_FORMAT, "tensor '%s' is missing", n->name);
        HN_TRY(hn_context(s, "start from '%s'", b->model->path));
        hn__tensors_release(b->model->files, t);
    }
    return HN_OK;
}

// ---- files ---------------------------------------------------------------------------------

static hn_status copy_file(const char *from, const char *to)
{
    hn__map m;
    hn__newfile f;

    HN_TRY(hn__map_open(from, &m));
    hn_status s = hn__newfile_open(to, &f);
    if (s == HN_OK) {
        s = hn__newfile_write(&f, m.data, m.size);
        if (s == HN_OK)
            s = hn__newfile_commit(&f);
        else
            hn__newfile_abort(&f);
    }
    hn__map_close(&m);
    return s;
}

// The folder that holds tokenizer and weights; NULL where they are one file.
static const char *folder_of(const hn_pretrained *p)
{
    return p->gguf ? NULL : p->tokenizer_path;
}

static hn_status save_json(hn__checkpoint *c, const char *name, const json_t *o)
{
    const char *path;
    if (!json_object_size(o))
        return HN_OK;
    HN_TRY(hn__checkpoint_add(c, name, &path));
    return hn__json_save(path, o);
}

// The configuration says of what type weights are: here of what training makes them.
static hn_status save_config(const hn__base *b, hn__checkpoint *c)
{
    json_t *o = json_copy(b->model->config);
    hn_status s = o ? HN_OK : hn__nomem(1024);
    if (s == HN_OK && hn__json_has(o, "torch_dtype"))
        s = hn__json_set(o, "torch_dtype", json_string("float32"));
    if (s == HN_OK)
        s = save_json(c, "config.json", o);
    json_decref(o);
    return s;
}

// The file of the folder, if there is one.
static hn_status copy_named(const char *dir, const char *name, hn__checkpoint *c, bool *there)
{
    char *from = hn__path_join(dir, name);
    const char *to;
    *there = false;
    if (!from)
        return hn__nomem(strlen(dir));
    *there = hn__exists(from);
    hn_status s = *there ? hn__checkpoint_add(c, name, &to) : HN_OK;
    if (s == HN_OK && *there)
        s = copy_file(from, to);
    hn__free(from);
    return s;
}

// Files that the tokenizer is made of: any of the first makes it whole.
static hn_status copy_tokenizer(const char *dir, hn__checkpoint *c, bool *whole)
{
    static const char *const names[] = {
        "tokenizer.json",    "merges.txt",      "vocab.bpe",
        "vocab.json",        "encoder.json",    "special_tokens_map.json",
        "added_tokens.json", "normalizer.json", "preprocessor_config.json"
    };
    *whole = false;
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        bool there;
        HN_TRY(copy_named(dir, names[i], c, &there));
        *whole |= there && i < 3;
    }
    return HN_OK;
}

hn_status hn__base_save(const hn__base *b, const hn_tokenizer *tok, hn__checkpoint *c)
{
    const char *dir = folder_of(b->model), *path;
    bool whole = false;

    HN_TRY(save_config(b, c));
    HN_TRY(save_json(c, "generation_config.json", b->model->generation));
    HN_TRY(save_json(c, "tokenizer_config.json", b->model->tokenizer_config));
    if (dir)
        HN_TRY(copy_tokenizer(dir, c, &whole));
    if (whole || !tok)
        return HN_OK;
    HN_TRY(hn__checkpoint_add(c, "tokenizer.json", &path));
    return hn_tokenizer_save(tok, path);
}
