// A language model written as a GGUF file: its tensors. (convert_keys.c: the rest.)
#include "io/convert.h"
#include "io/gguf_read.h"

#include <string.h>

// A tensor of the file that is to be.
typedef struct item {
    hn_tensor from;  // as it is read: of the shape that the file is to have
    hn_tensor as;    // name, type, shape
    int64_t heads;   // whose rows go into rotary pairs; 0: they stay
    char name[192];
} item;

typedef struct job {
    const hn_pretrained *p;
    hn__gguf_family family;
    hn_dtype type;
    int64_t heads, kv_heads;
    item *list;
    int64_t n;
    float divisors[HN__PAIRS]; // the tensor that Llama 3's scaling becomes
} job;

// Vectors and the table of positions are f32 as other readers want them, and so are their sums.
static hn_dtype target(const job *j, const item *i)
{
    const hn_tensor *t = &i->as;
    if (t->rank < 2 || !strcmp(t->name, "position_embd.weight"))
        return HN_F32;
    const hn_dtype as = j->type ? j->type : t->dtype;
    const bool whole = t->dim[t->rank - 1] % hn_dtype_block(as) == 0;
    if (!whole)
        hn__log(HN_LOG_WARN, "tensor '%s': rows of %" PRId64 " are no whole blocks of %s: it is "
                "f16", t->name, t->dim[t->rank - 1], hn_dtype_name(as));
    return whole ? as : HN_F16;
}

static hn_status add_item(job *j, const hn_tensor *t, const hn__gguf_place *place)
{
    item *i = &j->list[j->n++];
    i->from = *t;
    snprintf(i->name, sizeof i->name, "%s", place->name);
    i->heads = place->queries ? j->heads : place->keys ? j->kv_heads : 0;
    if (!hn__is_float(t->dtype) && !hn__is_quantised(t->dtype))
        return hn_fail(HN_ERR_UNSUPPORTED, "tensor '%s': elements of type %s have no place in a "
                       "GGUF file of this model", t->name, t->file_dtype);
    if (place->transposed && t->rank != 2)
        return hn_fail(HN_ERR_FORMAT, "tensor '%s': has %d dimensions, must have 2", t->name,
                       t->rank);
    if (i->heads && (t->rank < 1 || t->dim[0] % (2 * i->heads)))
        return hn_fail(HN_ERR_FORMAT, "tensor '%s': its rows are not those of %" PRId64
                       " heads of an even size", t->name, i->heads);
    if (place->transposed) {
        i->from.transposed = !t->transposed;
        i->from.dim[0] = t->dim[1];
        i->from.dim[1] = t->dim[0];
    }
    i->as = i->from;
    i->as.name = i->name;
    i->as.dtype = target(j, i);
    return HN_OK;
}

static bool is_tied(const hn_pretrained *p)
{
    const bool gpt2 = !strcmp(hn_pretrained_model_type(p), "gpt2"); // tied unless it says not
    const json_t *v = json_object_get(p->config, "tie_word_embeddings");
    return v ? json_is_true(v) : gpt2;
}

// From a folder: names and row orders change.
static hn_status list_model(job *j)
{
    for (int64_t i = 0; i < j->p->tensors->n; i++) {
        const hn_tensor *t = &j->p->tensors->item[i];
        hn__gguf_place place;
        if (hn__convert_is_buffer(t) || (is_tied(j->p) && !strcmp(t->name, "lm_head.weight")))
            continue;
        if (!hn__gguf_from_model(j->family, t->name, &place))
            return hn_fail(HN_ERR_UNSUPPORTED, "tensor '%s' has no place in a GGUF file", t->name);
        HN_TRY(add_item(j, t, &place));
    }
    return HN_OK;
}

// From another GGUF file: nothing but types.
static hn_status list_file(job *j)
{
    for (int64_t i = 0; i < j->p->files->n; i++) {
        const hn_tensor *t = &j->p->files->item[i];
        hn__gguf_place place = { .layer = -1 };
        snprintf(place.name, sizeof place.name, "%s", t->name);
        HN_TRY(add_item(j, t, &place));
    }
    return HN_OK;
}

// Llama 3's scaling of frequencies is a tensor of what each is divided by.
static hn_status list_divisors(job *j)
{
    hn__llama3_rope r;
    hn__rope_kind kind;
    if (j->family == HN__GGUF_GPT2)
        return HN_OK;
    HN_TRY(hn__convert_rope(j->p->config, &r, &kind));
    if (kind != HN__ROPE_LLAMA3)
        return HN_OK;
    for (int64_t i = 0; i < r.pairs; i++)
        j->divisors[i] = (float)hn__llama3_divisor(&r, i);
    const hn_tensor t = { .name = "rope_freqs.weight", .file_dtype = "F32", .dtype = HN_F32,
                          .rank = 1, .dim = { r.pairs }, .data = j->divisors,
                          .n_bytes = r.pairs * (int64_t)sizeof *j->divisors };
    const hn__gguf_place place = { .name = "rope_freqs.weight", .layer = -1 };
    return add_item(j, &t, &place);
}

// ---- bytes -----------------------------------------------------------------------------------

static hn_status read_item(const item *i, void *data, int64_t n)
{
    if (!i->from.transposed || !hn__is_quantised(i->as.dtype))
        return hn_tensor_read(&i->from, i->as.dtype, data);
    float *x = hn__resize(NULL, (size_t)n, sizeof *x);
    if (!x)
        return hn__nomem((size_t)n * sizeof *x);
    const hn_status s = hn_tensor_read(&i->from, HN_F32, x);
    if (s == HN_OK)
        hn__from_f32(i->as.dtype, x, data, n);
    hn__free(x);
    return s;
}

// Rows i and i + D / 2 of a head become its rows 2i and 2i + 1.
static hn_status put_paired(const item *i, const char *data, int64_t n_bytes, hn__gguf_writer *w)
{
    const int64_t rows = i->as.dim[0], size = n_bytes / rows, head = rows / i->heads;
    for (int64_t r = 0; r < rows; r++) {
        const int64_t at = r % head, from = r - at + at % 2 * (head / 2) + at / 2;
        HN_TRY(hn__gguf_writer_put(w, data + from * size, size));
    }
    return HN_OK;
}

static hn_status put_item(const item *i, hn__gguf_writer *w)
{
    hn_type type = { .dtype = i->as.dtype, .rank = i->as.rank };
    memcpy(type.dim, i->as.dim, sizeof *type.dim * (size_t)type.rank);
    const int64_t n = hn_type_numel(&type), n_bytes = hn_type_bytes(&type);
    void *data = hn__resize(NULL, (size_t)n_bytes, 1);
    if (!data)
        return hn__nomem((size_t)n_bytes);
    hn_status s = read_item(i, data, n);
    if (s == HN_OK)
        s = i->heads ? put_paired(i, data, n_bytes, w) : hn__gguf_writer_put(w, data, n_bytes);
    hn__free(data);
    return s;
}

// ---- keys ------------------------------------------------------------------------------------

// What the file says it mostly holds, by elements.
static int file_type(const job *j)
{
    static const int types[HN_DTYPE_COUNT] = {
        [HN_F32] = 0,  [HN_F16] = 1,  [HN_BF16] = 32, [HN_Q8_0] = 7,  [HN_Q4_0] = 2,
        [HN_Q4_1] = 3, [HN_Q5_0] = 8, [HN_Q5_1] = 9,  [HN_Q4_K] = 15, [HN_Q5_K] = 17,
        [HN_Q6_K] = 18,
    };
    int64_t n[HN_DTYPE_COUNT] = { 0 };
    hn_dtype most = HN_F32;
    for (int64_t i = 0; i < j->n; i++) {
        const hn_tensor *t = &j->list[i].as;
        n[t->dtype] += t->rank > 1 ? t->dim[0] * t->dim[1] : t->dim[0];
        most = n[t->dtype] > n[most] ? t->dtype : most;
    }
    return types[most];
}

static void copy_keys(const hn__gguf *g, hn__gguf_writer *w)
{
    static const char *const own[] = { "general.file_type", "general.quantization_version",
                                       "general.alignment" };
    for (int64_t i = 0; i < g->n; i++) {
        bool ours = false;
        for (size_t k = 0; k < sizeof own / sizeof *own; k++)
            ours |= !strcmp(g->item[i].key, own[k]);
        if (!ours)
            hn__gguf_put_copy(w, g, i);
    }
}

static hn_status put_keys(const job *j, hn__gguf_writer *w)
{
    if (j->p->gguf)
        copy_keys(j->p->gguf, w);
    else {
        HN_TRY(hn__convert_gguf_config(j->p, j->family, w));
        HN_TRY(hn__convert_gguf_tokenizer(j->p, w));
    }
    hn__gguf_put_int(w, "general.file_type", file_type(j));
    hn__gguf_put_int(w, "general.quantization_version", 2);
    return HN_OK;
}

static hn_status prepare(job *j)
{
    const json_t *o = j->p->config;
    const char *type = hn_pretrained_model_type(j->p);
    if (!strcmp(type, "whisper"))
        return hn_fail(HN_ERR_UNSUPPORTED,
                       "GGUF files hold language models; a Whisper model goes into a folder: name "
                       "one that does not end in .gguf");
    HN_TRY(hn__gguf_family_find(!strcmp(type, "mistral") ? "llama" : type, j->p->path,
                                &j->family));
    if (j->family != HN__GGUF_GPT2)
        HN_TRY(hn__json_int(o, "config.json", "num_attention_heads", 1, 1 << 16, &j->heads));
    j->kv_heads = j->heads;
    if (hn__json_has(o, "num_key_value_heads"))
        HN_TRY(hn__json_int(o, "config.json", "num_key_value_heads", 1, 1 << 16, &j->kv_heads));
    const int64_t most = j->p->tensors->n + j->p->files->n + 1;
    j->list = hn__calloc((size_t)most, sizeof *j->list);
    if (!j->list)
        return hn__nomem((size_t)most * sizeof *j->list);
    if (j->p->gguf)
        return list_file(j);
    HN_TRY(list_model(j));
    return list_divisors(j);
}

hn_status hn__convert_gguf(const hn_pretrained *p, const char *path, hn_dtype type)
{
    job *j = hn__calloc(1, sizeof *j);
    hn__gguf_writer *w = NULL;
    hn_status s = j ? hn__gguf_writer_create(&w) : hn__nomem(sizeof *j);
    if (s == HN_OK) {
        j->p = p;
        j->type = type;
        s = prepare(j);
    }
    if (s == HN_OK)
        s = put_keys(j, w);
    for (int64_t i = 0; s == HN_OK && i < j->n; i++)
        hn__gguf_add_tensor(w, &j->list[i].as);
    if (s == HN_OK)
        s = hn__gguf_writer_open(w, path);
    for (int64_t i = 0; s == HN_OK && i < j->n; i++)
        s = put_item(&j->list[i], w);
    if (s == HN_OK)
        s = hn__gguf_writer_commit(&w);
    hn__gguf_writer_destroy(&w);
    if (j)
        hn__free(j->list);
    hn__free(j);
    return s;
}
