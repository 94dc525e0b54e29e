// A pretrained model opened by what its path holds, and what all formats have in common.
#include "io/pretrained.h"

#include "io/checkpoint.h"

#include <string.h>

hn_status hn__pretrained_text(const char *text, size_t n, char **out)
{
    *out = hn__calloc(n + 1, 1);
    if (!*out)
        return hn__nomem(n + 1);
    memcpy(*out, text, n);
    return HN_OK;
}

hn_status hn__pretrained_has(const char *dir, const char *name, bool *out)
{
    char *path = hn__path_join(dir, name);
    *out = path && hn__exists(path);
    hn__free(path);
    return path ? HN_OK : hn__nomem(strlen(dir));
}

hn_status hn__pretrained_json(const char *dir, const char *name, bool array, json_t **out)
{
    char *path = hn__path_join(dir, name);
    hn_status s = path ? HN_OK : hn__nomem(strlen(dir));
    *out = NULL;
    if (s == HN_OK && hn__exists(path))
        s = hn__json_load(path, 64 << 20, out);
    if (*out && !(array ? json_is_array(*out) : json_is_object(*out))) {
        s = hn_fail(HN_ERR_FORMAT, "file '%s': not an %s", path, array ? "array" : "object");
        json_decref(*out);
        *out = NULL;
    }
    hn__free(path);
    return s;
}

// ---- which format ----------------------------------------------------------------------------

static bool ends_with(const char *s, const char *end)
{
    const size_t n = strlen(s), m = strlen(end);
    return n >= m && !strcmp(s + n - m, end);
}

typedef struct finding {
    char *gguf; // the only one
    int n_gguf;
} finding;

static hn_status look(void *user, const char *name)
{
    finding *f = user;
    if (!ends_with(name, ".gguf") || f->n_gguf++)
        return HN_OK;
    return hn__pretrained_text(name, strlen(name), &f->gguf);
}

// A folder without config.json and weights: one GGUF file, a training folder, or nothing known.
static hn_status read_other(hn_pretrained *p, const char *dir)
{
    finding f = { 0 };
    bool training = false;
    hn_status s = hn__list(dir, look, &f);
    if (s == HN_OK)
        s = hn__pretrained_has(dir, "latest", &training);
    char *path = NULL;
    if (s == HN_OK && f.n_gguf == 1) {
        path = hn__path_join(dir, f.gguf);
        s = path ? hn__pretrained_read_gguf(p, path) : hn__nomem(strlen(dir));
    } else if (s == HN_OK && f.n_gguf)
        s = hn_fail(HN_ERR_FORMAT, "folder '%s' holds %d .gguf files; name one of them", dir,
                    f.n_gguf);
    else if (s == HN_OK && training) {
        int64_t step;
        s = hn__checkpoint_latest(dir, &path, &step);
        if (s == HN_OK)
            s = hn__pretrained_read_folder(p, path);
    } else if (s == HN_OK)
        s = hn_fail(HN_ERR_FORMAT,
                    "folder '%s' holds no model: neither config.json with model.safetensors or "
                    "model.bin, nor one .gguf file", dir);
    hn__free(path);
    hn__free(f.gguf);
    return s;
}

static hn_status refuse_weights(const char *dir)
{
    static const char *const names[] = { "pytorch_model.bin", "pytorch_model.bin.index.json",
                                         "tf_model.h5", "flax_model.msgpack" };
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        bool here;
        HN_TRY(hn__pretrained_has(dir, names[i], &here));
        if (here)
            return hn_fail(HN_ERR_UNSUPPORTED,
                           "folder '%s' has its weights in %s, which is not read; save the model "
                           "as safetensors", dir, names[i]);
    }
    return hn_fail(HN_ERR_FORMAT,
                   "folder '%s' has a config.json but no weights: no model.safetensors, "
                   "model.safetensors.index.json or model.bin", dir);
}

static hn_status read_dir(hn_pretrained *p, const char *dir)
{
    bool config, one, shards, bin;
    HN_TRY(hn__pretrained_has(dir, "config.json", &config));
    HN_TRY(hn__pretrained_has(dir, "model.safetensors", &one));
    HN_TRY(hn__pretrained_has(dir, "model.safetensors.index.json", &shards));
    HN_TRY(hn__pretrained_has(dir, "model.bin", &bin));
    if (one || shards)
        return config ? hn__pretrained_read_folder(p, dir)
                      : hn_fail(HN_ERR_FORMAT, "folder '%s' has weights but no config.json", dir);
    if (bin)
        return hn__pretrained_read_ctranslate2(p, dir);
    return config ? refuse_weights(dir) : read_other(p, dir);
}

static hn_status read_path(hn_pretrained *p, const char *path)
{
    hn__map m;
    if (hn__is_dir(path))
        return read_dir(p, path);
    HN_TRY(hn__map_open(path, &m));
    const bool gguf = m.size >= 4 && !memcmp(m.data, "GGUF", 4);
    hn__map_close(&m);
    return gguf ? hn__pretrained_read_gguf(p, path)
                : hn_fail(HN_ERR_FORMAT,
                          "file '%s' is no GGUF file; of other formats name the folder that "
                          "holds config.json and the weights", path);
}

hn_status hn_pretrained_open(const char *path, hn_pretrained **out)
{
    *out = NULL;
    hn_pretrained *p = hn__calloc(1, sizeof *p);
    if (!p)
        return hn__nomem(sizeof *p);
    hn_status s = hn__pretrained_text(path, strlen(path), &p->path);
    if (s == HN_OK)
        s = read_path(p, path);
    if (s == HN_OK && !p->generation && !(p->generation = json_object()))
        s = hn__nomem(0);
    if (s == HN_OK && !p->tokenizer_config && !(p->tokenizer_config = json_object()))
        s = hn__nomem(0);
    if (s == HN_OK && !hn_pretrained_model_type(p))
        s = hn_fail(HN_ERR_FORMAT, "model '%s': config.json: \"model_type\": missing", path);
    if (s != HN_OK)
        hn_pretrained_close(&p);
    *out = p;
    return s;
}

void hn_pretrained_close(hn_pretrained **p)
{
    if (!p || !*p)
        return;
    hn_pretrained *q = *p;
    if (q->tensors != q->files)
        hn_tensors_destroy(&q->tensors);
    hn__gguf_destroy(&q->gguf);
    hn_tensors_destroy(&q->files);
    json_decref(q->config);
    json_decref(q->generation);
    json_decref(q->tokenizer_config);
    hn__free(q->path);
    hn__free(q->format);
    hn__free(q->license);
    hn__free(q->chat_template);
    hn__free(q->tokenizer_path);
    hn__free(q);
    *p = NULL;
}

const char *hn_pretrained_format(const hn_pretrained *p)
{
    return p->format;
}

const char *hn_pretrained_model_type(const hn_pretrained *p)
{
    return json_string_value(json_object_get(p->config, "model_type"));
}

const char *hn_pretrained_license(const hn_pretrained *p)
{
    return p->license;
}

const char *hn_pretrained_chat_template(const hn_pretrained *p)
{
    return p->chat_template;
}

const hn_tensors *hn_pretrained_tensors(const hn_pretrained *p)
{
    return p->tensors;
}

const hn_tensors *hn_pretrained_file_tensors(const hn_pretrained *p)
{
    return p->files;
}

hn_status hn__pretrained_tokenizer(const hn_pretrained *p, hn_tokenizer **out)
{
    *out = NULL;
    if (p->tokenizer_path) {
        HN_TRY(hn_tokenizer_load(p->tokenizer_path, out));
        const hn_status s = hn__tokenizer_set_config(*out, p->tokenizer_config);
        if (s != HN_OK)
            hn_tokenizer_destroy(out);
        return s;
    }
    if (p->gguf)
        return hn__tokenizer_from_gguf(p->gguf, out);
    return hn_fail(HN_ERR_FORMAT,
                   "model '%s' has no tokenizer: neither tokenizer.json nor vocab.json with "
                   "merges.txt lies beside its weights", p->path);
}
