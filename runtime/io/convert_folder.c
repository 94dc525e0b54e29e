// A pretrained model written as a Hugging Face folder.
#include "io/convert.h"

#include <string.h>

// ---- tensors ---------------------------------------------------------------------------------

// Numbers of the model take its type; anything else stays what it is.
static hn_status list_tensor(const hn_tensor *t, hn_dtype type, hn_tensor *out)
{
    *out = *t;
    if (!t->dtype)
        return hn_fail(HN_ERR_UNSUPPORTED, "tensor '%s': elements of type %s cannot be written",
                       t->name, t->file_dtype);
    if (t->dtype != HN_I32 && t->dtype != HN_U8)
        out->dtype = type;
    return HN_OK;
}

static hn_status put_tensor(const hn_tensor *t, const hn_tensor *as, hn_tensor_writer *w)
{
    int64_t n = hn_dtype_size(as->dtype);
    for (int i = 0; i < t->rank; i++)
        n *= t->dim[i];
    if (n == 0)
        return HN_OK;
    if (t->dtype == as->dtype && !t->paired_heads && !t->transposed)
        return hn_tensor_writer_put(w, t->data, n);
    void *data = hn__resize(NULL, (size_t)n, 1);
    if (!data)
        return hn__nomem((size_t)n);
    hn_status s = hn_tensor_read(t, as->dtype, data);
    if (s == HN_OK)
        s = hn_tensor_writer_put(w, data, n);
    hn__free(data);
    return s;
}

static hn_status write_tensors(const hn_pretrained *p, const char *path, hn_dtype type)
{
    const hn_metadata meta = { "format", "pt" }; // other readers ask for it
    const int64_t count = hn_tensors_count(p->tensors);
    hn_tensor *list = hn__calloc((size_t)count + 1, sizeof *list);
    const hn_tensor **from = hn__calloc((size_t)count + 1, sizeof *from);
    hn_tensor_writer *w = NULL;
    int64_t n = 0;
    hn_status s = list && from ? HN_OK : hn__nomem((size_t)count * sizeof *list);
    for (int64_t i = 0; s == HN_OK && i < count; i++) {
        from[n] = hn_tensors_at(p->tensors, i);
        if (!hn__convert_is_buffer(from[n])) {
            s = list_tensor(from[n], type, &list[n]);
            n++;
        }
    }
    if (s == HN_OK)
        s = hn_tensor_writer_create(path, list, n, &meta, 1, &w);
    for (int64_t i = 0; s == HN_OK && i < n; i++)
        s = put_tensor(from[i], &list[i], w);
    if (s == HN_OK)
        s = hn_tensor_writer_commit(&w);
    hn_tensor_writer_destroy(&w);
    hn__free(from);
    hn__free(list);
    return s;
}

// ---- what lies beside them -------------------------------------------------------------------

static hn_status save(const char *dir, const char *name, const json_t *o)
{
    char *path = hn__path_join(dir, name);
    const hn_status s = path ? hn__json_save(path, o) : hn__nomem(strlen(dir));
    hn__free(path);
    return s;
}

static hn_status write_config(const hn_pretrained *p, const char *dir, hn_dtype type)
{
    static const char *const names[] = { [HN_F32] = "float32", [HN_F16] = "float16",
                                         [HN_BF16] = "bfloat16" };
    json_t *o = json_copy(p->config);
    if (!o)
        return hn__nomem(0);
    const bool newer = json_object_get(o, "dtype") && !json_object_get(o, "torch_dtype");
    hn_status s = hn__json_set(o, newer ? "dtype" : "torch_dtype", json_string(names[type]));
    if (s == HN_OK)
        s = save(dir, "config.json", o);
    json_decref(o);
    return s;
}

static hn_status copy_file(const char *from_dir, const char *dir, const char *name)
{
    char *from = hn__path_join(from_dir, name), *to = hn__path_join(dir, name);
    hn__map m = { 0 };
    hn__newfile f = { 0 };
    hn_status s = from && to ? HN_OK : hn__nomem(strlen(dir));
    if (s == HN_OK && hn__exists(from)) {
        s = hn__map_open(from, &m);
        if (s == HN_OK)
            s = hn__newfile_open(to, &f);
        if (s == HN_OK)
            s = hn__newfile_write(&f, m.data, m.size);
        if (s == HN_OK)
            s = hn__newfile_commit(&f);
        hn__newfile_abort(&f);
        hn__map_close(&m);
    }
    hn__free(from);
    hn__free(to);
    return s;
}

// What other tools keep beside the weights of the same model goes along.
static hn_status copy_files(const char *from, const char *dir)
{
    static const char *const names[] = {
        "tokenizer.json", "vocab.json", "merges.txt", "encoder.json", "vocab.bpe",
        "tokenizer.model", "added_tokens.json", "special_tokens_map.json", "normalizer.json",
        "chat_template.jinja", "preprocessor_config.json", "README.md", "LICENSE",
    };
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        HN_TRY(copy_file(from, dir, names[i]));
    return HN_OK;
}

static hn_status write_tokenizer(const hn_pretrained *p, const char *dir)
{
    hn_tokenizer *t = NULL;
    if (p->tokenizer_path)
        return copy_files(p->tokenizer_path, dir);
    if (!p->gguf || !hn__gguf_has(p->gguf, "tokenizer.ggml.model"))
        return HN_OK;
    HN_TRY(hn__pretrained_tokenizer(p, &t));
    char *path = hn__path_join(dir, "tokenizer.json");
    const hn_status s = path ? hn_tokenizer_save(t, path) : hn__nomem(strlen(dir));
    hn__free(path);
    hn_tokenizer_destroy(&t);
    return s;
}

static hn_status write_tokenizer_config(const hn_pretrained *p, const char *dir, bool whisper)
{
    json_t *o = json_copy(p->tokenizer_config);
    hn_status s = o ? HN_OK : hn__nomem(0);
    if (s == HN_OK && !json_object_get(o, "tokenizer_class"))
        s = hn__json_set(o, "tokenizer_class",
                         json_string(whisper ? "WhisperTokenizer" : "PreTrainedTokenizerFast"));
    if (s == HN_OK)
        s = save(dir, "tokenizer_config.json", o);
    json_decref(o);
    return s;
}

// The features that Whisper's definition fixes, where the source does not say them.
static hn_status write_features(const hn_pretrained *p, const char *dir)
{
    bool here;
    HN_TRY(hn__pretrained_has(dir, "preprocessor_config.json", &here));
    if (here)
        return HN_OK;
    const json_int_t mels = json_integer_value(json_object_get(p->config, "num_mel_bins"));
    json_t *o = json_pack("{s:s, s:s, s:I, s:i, s:i, s:i, s:i, s:i, s:i, s:s, s:f, s:b}",
                          "feature_extractor_type", "WhisperFeatureExtractor", "processor_class",
                          "WhisperProcessor", "feature_size", mels, "sampling_rate", 16000,
                          "hop_length", 160, "chunk_length", 30, "n_fft", 400, "n_samples", 480000,
                          "nb_max_frames", 3000, "padding_side", "right", "padding_value", 0.0,
                          "return_attention_mask", 0);
    const hn_status s = o ? save(dir, "preprocessor_config.json", o) : hn__nomem(0);
    json_decref(o);
    return s;
}

// A licence that the source says elsewhere stands at the head of README.md.
static hn_status write_license(const hn_pretrained *p, const char *dir)
{
    char text[512];
    hn__newfile f;
    bool here;
    HN_TRY(hn__pretrained_has(dir, "README.md", &here));
    if (here || !p->license || strlen(p->license) > 200)
        return HN_OK;
    char *path = hn__path_join(dir, "README.md");
    if (!path)
        return hn__nomem(strlen(dir));
    const int n = snprintf(text, sizeof text,
                           "---\nlicense: %s\n---\n\nConverted by `hornito convert`.\n",
                           p->license);
    hn_status s = hn__newfile_open(path, &f);
    if (s == HN_OK)
        s = hn__newfile_write(&f, text, (size_t)n);
    if (s == HN_OK)
        s = hn__newfile_commit(&f);
    hn__newfile_abort(&f);
    hn__free(path);
    return s;
}

hn_status hn__convert_folder(const hn_pretrained *p, const char *dir, hn_dtype type)
{
    const bool whisper = !strcmp(hn_pretrained_model_type(p), "whisper");
    char *path = hn__path_join(dir, "model.safetensors");
    const hn_status s = path ? write_tensors(p, path, type) : hn__nomem(strlen(dir));
    hn__free(path);
    HN_TRY(s);
    HN_TRY(write_config(p, dir, type));
    if (json_object_size(p->generation))
        HN_TRY(save(dir, "generation_config.json", p->generation));
    HN_TRY(write_tokenizer(p, dir));
    HN_TRY(write_tokenizer_config(p, dir, whisper));
    if (whisper)
        HN_TRY(write_features(p, dir));
    return write_license(p, dir);
}
