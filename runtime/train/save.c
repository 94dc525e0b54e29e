// Checkpoints of a training run: everything that its next step depends on, and nothing else.
#include "base/os.h"
#include "io/json.h"
#include "train/adapter.h"
#include "train/trainer.h"
#include "train/tune.h"

#include <stdio.h>
#include <string.h>

enum { KEEP = 2 };

// ---- settings that must be equal for a run to go on ------------------------------------------

// The task's, then those of every run.
static int list_settings(const hn_trainer *t, hn__setting s[HN__MAX_SETTINGS])
{
    const hn_train_params *p = &t->params;
    const hn_optimizer_params *o = &p->optimizer;
    const hn__setting all[] = {
        { "batch", (double)p->batch },
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
        { "lora", p->tune.rank },
        { "lora_alpha", p->tune.alpha },
    };
    const int n = t->task->fn->settings(t->task, s);
    memcpy(s + n, all, sizeof all);
    return n + (int)(sizeof all / sizeof *all);
}

// Those that are text; hashes as their digits.
enum { N_TEXTS = 6 };

typedef struct text_setting {
    const char *key, *what;
    char hash[17];
    const char *text;
} text_setting;

static void list_texts(const hn_trainer *t, text_setting s[N_TEXTS])
{
    const uint64_t hashes[] = { t->params.seed, t->task->data_hash, t->base ? t->base->hash : 0 };
    static const char *const names[][2] = {
        { "seed", "seed" },
        { "data", "training data or tokenizer" },
        { "base", "model to start from" },
    };
    for (int i = 0; i < 3; i++) {
        s[i] = (text_setting){ .key = names[i][0], .what = names[i][1] };
        snprintf(s[i].hash, sizeof s[i].hash, "%016" PRIx64, hashes[i]);
    }
    s[3] =
        (text_setting){ .key = "freeze", .what = "choice of frozen weights", .text = t->freeze };
    s[4] =
        (text_setting){ .key = "lora_targets", .what = "choice of adapters", .text = t->targets };
    s[5] = (text_setting){ .key = "precision",
                           .what = "precision",
                           .text = hn_dtype_name(t->params.precision) };
}

static hn_status write_settings(const hn_trainer *t, const char *path)
{
    hn__setting list[HN__MAX_SETTINGS];
    text_setting texts[N_TEXTS];
    const int n = list_settings(t, list);
    json_t *o = json_object();
    list_texts(t, texts);
    hn_status s = o ? HN_OK : hn__nomem(256);
    if (s == HN_OK)
        s = hn__json_set(o, "step", json_integer((json_int_t)t->done));
    for (int i = 0; s == HN_OK && i < N_TEXTS; i++)
        s = hn__json_set(o, texts[i].key,
                         json_string(texts[i].text ? texts[i].text : texts[i].hash));
    for (int i = 0; s == HN_OK && i < n; i++)
        s = hn__json_set(o, list[i].name, json_real(list[i].value));
    if (s == HN_OK)
        s = hn__json_save(path, o);
    json_decref(o);
    return s;
}

static hn_status read_settings(const hn_trainer *t, const json_t *o, const char *where,
                               int64_t *step)
{
    hn__setting list[HN__MAX_SETTINGS];
    text_setting texts[N_TEXTS];
    const int n = list_settings(t, list);

    list_texts(t, texts);
    HN_TRY(hn__json_int(o, where, "step", 0, INT64_C(1) << 50, step));
    for (int i = 0; i < N_TEXTS; i++) {
        const char *have;
        HN_TRY(hn__json_string(o, where, texts[i].key, &have));
        if (strcmp(have, texts[i].text ? texts[i].text : texts[i].hash) != 0)
            return hn_fail(HN_ERR_ARG, "%s: the run was made with another %s", where,
                           texts[i].what);
    }
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

// What belongs to the model is what other programs read; adapters and moments are the run's own.
static bool of_model(const hn_weight_info *w)
{
    return hn__part_of(w->name) == HN__PART_MODEL;
}

// The type that a weight has in a file. Frozen weights of 16 bits in the base are as they were
// there; what quantised blocks say is written in full.
static hn_dtype type_in_file(const hn_trainer *t, const hn_weight_info *w)
{
    char a[256], b[256];
    const hn_tensor *from =
        t->base && !w->trainable && of_model(w) && !hn__lora_names(t->weights, w->name, a, b)
            ? hn__base_find(t->base, w->name)
            : NULL;
    if (from && (from->dtype == HN_F16 || from->dtype == HN_BF16))
        return from->dtype;
    return hn__is_quantised(w->type.dtype) ? HN_F32 : w->type.dtype;
}

// A frozen weight, or one with an adapter, as a file has it.
static hn_status put_converted(const hn_trainer *t, const hn_weight_info *w, hn_dtype as,
                               hn_tensor_writer *out)
{
    const int64_t n = hn_type_numel(&w->type);
    const hn_type file = { as, 1, { n } };
    float *x;
    HN_TRY(hn__merged_weight(t, w, &x));
    hn_status s = HN_OK;
    void *data = x;
    if (as != HN_F32) {
        data = hn__calloc((size_t)hn_type_bytes(&file), 1);
        if (data)
            hn__from_f32(as, x, data, n);
        else
            s = hn__nomem((size_t)hn_type_bytes(&file));
    }
    if (s == HN_OK)
        s = hn_tensor_writer_put(out, data, hn_type_bytes(&file));
    if (as != HN_F32)
        hn__free(data);
    hn__free(x);
    return s;
}

static hn_status put_tensor(const hn_trainer *t, const hn_weight_info *w, hn_tensor_writer *out)
{
    const hn_dtype as = type_in_file(t, w);
    const int64_t n = hn_type_bytes(&w->type);
    if (of_model(w) && !w->trainable && hn__is_float(as))
        return put_converted(t, w, as, out);
    void *data = hn__calloc((size_t)n, 1);
    if (!data)
        return hn__nomem((size_t)n);
    hn_status s = hn_weights_read(t->weights, w->name, data, n);
    if (s == HN_OK)
        s = hn_tensor_writer_put(out, data, n);
    hn__free(data);
    return s;
}

static hn_status write_listed(const hn_trainer *t, bool model, const hn_tensor *list, int64_t n,
                              const char *path)
{
    const hn_metadata meta = { "format", "pt" }; // what readers of Hugging Face's files look for
    hn_tensor_writer *out;

    HN_TRY(hn_tensor_writer_create(path, list, n, &meta, 1, &out));
    hn_status s = HN_OK;
    for (int64_t i = 0; s == HN_OK && i < hn_weights_count(t->weights); i++) {
        const hn_weight_info info = hn_weights_info(t->weights, i);
        if (of_model(&info) == model)
            s = put_tensor(t, &info, out);
    }
    if (s == HN_OK)
        return hn_tensor_writer_commit(&out);
    hn_tensor_writer_destroy(&out);
    return s;
}

static hn_status write_tensors(const hn_trainer *t, bool model, const char *path)
{
    int64_t n = 0;
    const int64_t all = hn_weights_count(t->weights);
    hn_tensor *list = hn__calloc((size_t)all + 1, sizeof *list);
    if (!list)
        return hn__nomem((size_t)all * sizeof *list);
    for (int64_t i = 0; i < all; i++) {
        const hn_weight_info info = hn_weights_info(t->weights, i);
        if (of_model(&info) != model)
            continue;
        list[n] = (hn_tensor){ .name = info.name,
                               .dtype = type_in_file(t, &info),
                               .rank = info.type.rank };
        memcpy(list[n++].dim, info.type.dim, sizeof info.type.dim);
    }
    const hn_status s = write_listed(t, model, list, n, path);
    hn__free(list);
    return s;
}

// Every weight of this part is read; one that is missing or of another type is named. What is
// frozen is there already, as the base has it.
static hn_status read_tensors(hn_trainer *t, bool model, const char *path)
{
    hn_tensors *files;
    HN_TRY(hn_tensors_open(path, &files));
    hn_status s = HN_OK;
    for (int64_t i = 0; s == HN_OK && i < hn_weights_count(t->weights); i++) {
        const hn_weight_info info = hn_weights_info(t->weights, i);
        const hn_tensor *from;
        hn_type type = { 0 };
        if (of_model(&info) != model || (model && t->base && !info.trainable))
            continue;
        s = hn_tensors_get(files, info.name, &from);
        if (s == HN_OK)
            s = hn_tensor_type(from, &type);
        if (s == HN_OK && !hn__type_equal(&type, &info.type))
            s = hn_fail(HN_ERR_FORMAT, "file '%s': tensor '%s' has another type than the model's",
                        path, info.name);
        if (s == HN_OK)
            s = hn_weights_write(t->weights, info.name, from->data, from->n_bytes);
    }
    hn_tensors_destroy(&files);
    return s;
}

// ---- the folder ----------------------------------------------------------------------------

// Configuration and tokenizer: the base's own files, or those of a model that began here.
static hn_status write_model_files(const hn_trainer *t, const hn_tokenizer *tok, hn__checkpoint *c)
{
    const char *path;
    if (t->base)
        return hn__base_save(t->base, tok, c);
    HN_TRY(hn__checkpoint_add(c, "config.json", &path));
    HN_TRY(t->task->fn->save_config(t->task, path));
    if (!tok)
        return HN_OK;
    HN_TRY(hn__checkpoint_add(c, "tokenizer.json", &path));
    return hn_tokenizer_save(tok, path);
}

static hn_status write_all(const hn_trainer *t, const hn_tokenizer *tok, hn__checkpoint *c)
{
    const char *path;
    HN_TRY(write_model_files(t, tok, c));
    HN_TRY(hn__checkpoint_add(c, "model.safetensors", &path));
    HN_TRY(write_tensors(t, true, path));
    HN_TRY(hn__checkpoint_add(c, "optimizer.safetensors", &path));
    HN_TRY(write_tensors(t, false, path));
    HN_TRY(hn__checkpoint_add(c, "trainer.json", &path));
    return write_settings(t, path);
}

hn_status hn_trainer_save(hn_trainer *t, const char *dir, const hn_tokenizer *tok)
{
    hn__checkpoint *c;

    HN_TRY(hn__checkpoint_begin(dir, t->done, &c));
    const hn_status s = write_all(t, tok, c);
    if (s) {
        hn__checkpoint_abort(&c);
        return s;
    }
    HN_TRY(hn__checkpoint_commit(&c, KEEP));
    return t->params.tune.rank ? hn__adapter_save(t, dir) : HN_OK;
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
    const hn_status s = read_tensors(t, model, path);
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
