// Low-rank adapters once trained: added into their weights, and as files that PEFT reads.
#include "train/adapter.h"
#include "train/tune.h"

#include <stdio.h>
#include <string.h>

// ---- adding --------------------------------------------------------------------------------

// A weight's values as f32, whatever its storage.
static hn_status read_f32(hn_weights *w, const char *name, const hn_type *type, float **out)
{
    const int64_t n = hn_type_numel(type), bytes = hn_type_bytes(type);
    float *x = hn__calloc((size_t)n, sizeof *x);
    void *raw = type->dtype == HN_F32 ? x : hn__calloc((size_t)bytes, 1);
    hn_status s =
        x && raw ? hn_weights_read(w, name, raw, bytes) : hn__nomem((size_t)n * sizeof *x);

    if (s == HN_OK && raw != x)
        hn__to_f32(type->dtype, raw, x, n);
    if (raw != x)
        hn__free(raw);
    if (s) {
        hn__free(x);
        x = NULL;
    }
    *out = x;
    return s;
}

static hn_status read_factor(hn_weights *w, const char *name, hn_type *type, float **out)
{
    *type = hn_weights_info(w, hn_weights_find(w, name)).type;
    return read_f32(w, name, type, out);
}

// y[i] += f x[i]
static void add_scaled(float *y, const float *x, float f, int64_t n)
{
    for (int64_t i = 0; i < n; i++)
        y[i] += f * x[i];
}

// x += scale B A of a weight [out, in], or its transpose of one [in, out]. a: [r, in], b: [out, r]
static void add_product(float *x, bool in_out, const float *a, const float *b, int64_t r,
                        int64_t in, int64_t out, float scale)
{
    if (!in_out) {
        for (int64_t o = 0; o < out; o++)
            for (int64_t k = 0; k < r; k++)
                add_scaled(x + o * in, a + k * in, scale * b[o * r + k], in);
        return;
    }
    for (int64_t i = 0; i < in; i++)
        for (int64_t k = 0; k < r; k++)
            for (int64_t o = 0; o < out; o++)
                x[i * out + o] += scale * a[k * in + i] * b[o * r + k];
}

hn_status hn__merged_weight(const hn_trainer *t, const hn_weight_info *info, float **out)
{
    hn_weights *w = t->weights;
    char a_name[256], b_name[256];
    hn_type at, bt;
    float *a = NULL, *b = NULL;

    HN_TRY(read_f32(w, info->name, &info->type, out));
    if (!hn__lora_names(w, info->name, a_name, b_name))
        return HN_OK;
    hn_status s = read_factor(w, a_name, &at, &a);
    if (s == HN_OK)
        s = read_factor(w, b_name, &bt, &b);
    if (s == HN_OK)
        add_product(*out, t->task->in_out, a, b, at.dim[0], at.dim[1], bt.dim[0],
                    hn__lora_scale(&t->params.tune));
    hn__free(a);
    hn__free(b);
    if (s) {
        hn__free(*out);
        *out = NULL;
    }
    return s;
}

// ---- files ---------------------------------------------------------------------------------

static hn_status write_factors(const hn_trainer *t, hn_tensor *list, char (*names)[288],
                               const char *path)
{
    hn_weights *w = t->weights;
    const hn_metadata meta = { "format", "pt" };
    hn_status s = HN_OK;
    int64_t n = 0;

    for (int64_t i = 0; s == HN_OK && i < hn_weights_count(w); i++) {
        const hn_weight_info info = hn_weights_info(w, i);
        float *x;
        if (hn__part_of(info.name) != HN__PART_ADAPTER)
            continue;
        s = read_f32(w, info.name, &info.type, &x);
        snprintf(names[n], sizeof names[n], "base_model.model.%s%s", t->task->peft_prefix,
                 info.name);
        list[n] = (hn_tensor){ .name = names[n],
                               .dtype = HN_F32,
                               .rank = 2,
                               .data = x,
                               .n_bytes = hn_type_bytes(&info.type) };
        memcpy(list[n].dim, info.type.dim, sizeof info.type.dim);
        n += s == HN_OK;
    }
    if (s == HN_OK)
        s = hn_tensors_write(path, list, n, &meta, 1);
    for (int64_t i = 0; i < n; i++)
        hn__free((void *)(uintptr_t)list[i].data);
    return s;
}

// The layers' last words, each once.
static hn_status add_targets(const hn_weights *w, json_t *list)
{
    for (int64_t i = 0; i < hn_weights_count(w); i++) {
        const char *name = hn_weights_info(w, i).name, *end = strstr(name, ".lora_A.weight");
        bool there = false;
        if (!end || hn__part_of(name) != HN__PART_ADAPTER)
            continue;
        const char *at = end;
        while (at > name && at[-1] != '.')
            at--;
        for (size_t k = 0; k < json_array_size(list); k++) {
            const char *have = json_string_value(json_array_get(list, k));
            there |= strlen(have) == (size_t)(end - at) && !strncmp(have, at, strlen(have));
        }
        if (!there)
            HN_TRY(hn__json_append(list, json_stringn(at, (size_t)(end - at))));
    }
    return HN_OK;
}

static hn_status write_config(const hn_trainer *t, const char *path)
{
    const hn_tune_params *p = &t->params.tune;
    json_t *list = json_array();
    json_t *o = json_pack(
        "{s:s, s:s, s:i, s:f, s:f, s:s, s:b, s:b, s:o}", "peft_type", "LORA",
        "base_model_name_or_path", t->base ? t->base->model->path : "", "r", p->rank, "lora_alpha",
        (double)(p->alpha > 0 ? p->alpha : (float)p->rank), "lora_dropout", 0.0, "bias", "none",
        "inference_mode", 1, "fan_in_fan_out", t->task->in_out, "target_modules", list);
    hn_status s = o ? add_targets(t->weights, list) : hn__nomem(1024);
    if (s == HN_OK)
        s = hn__json_set(o, "task_type", json_string(t->task->peft_task));
    if (s == HN_OK)
        s = hn__json_save(path, o);
    json_decref(o);
    return s;
}

static hn_status write_folder(const hn_trainer *t, const char *folder)
{
    char *weights = hn__path_join(folder, "adapter_model.safetensors");
    char *config = hn__path_join(folder, "adapter_config.json");
    const size_t n = (size_t)hn_weights_count(t->weights);
    hn_tensor *list = hn__calloc(n, sizeof *list);
    char(*names)[288] = hn__calloc(n, sizeof *names);
    hn_status s =
        weights && config && list && names ? hn__mkdirs(folder) : hn__nomem(n * sizeof *names);
    if (s == HN_OK)
        s = write_factors(t, list, names, weights);
    if (s == HN_OK)
        s = write_config(t, config);
    hn__free(weights);
    hn__free(config);
    hn__free(list);
    hn__free(names);
    return s;
}

hn_status hn__adapter_save(const hn_trainer *t, const char *dir)
{
    char *folder = hn__path_join(dir, "adapter");
    if (!folder)
        return hn__nomem(strlen(dir));
    const hn_status s = write_folder(t, folder);
    hn__free(folder);
    return s;
}
