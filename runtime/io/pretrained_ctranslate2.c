// A CTranslate2 folder of a Whisper model, shown as Hugging Face's.
//
// The file's weights lie in the same order with the same shapes; projections that read the same
// input are stacked by rows, and each becomes a view of its rows.
#include "io/pretrained.h"

#include <stdio.h>
#include <string.h>

// A tensor of the file, and one of the `parts` equal pieces of its rows. `to` NULL: keys have no
// bias in Whisper; the file holds zeros in its place.
typedef struct row {
    const char *from, *to;
    int part, parts;
} row;

// One side (encoder or decoder), its name before each.
static const row encoder_rows[] = {
    { "conv1/weight", "conv1.weight", 0, 1 },
    { "conv1/bias", "conv1.bias", 0, 1 },
    { "conv2/weight", "conv2.weight", 0, 1 },
    { "conv2/bias", "conv2.bias", 0, 1 },
    { "position_encodings/encodings", "embed_positions.weight", 0, 1 },
    { "layer_norm/gamma", "layer_norm.weight", 0, 1 },
    { "layer_norm/beta", "layer_norm.bias", 0, 1 },
    { NULL, NULL, 0, 0 },
};

static const row decoder_rows[] = {
    { "embeddings/weight", "embed_tokens.weight", 0, 1 },
    { "position_encodings/encodings", "embed_positions.weight", 0, 1 },
    { "layer_norm/gamma", "layer_norm.weight", 0, 1 },
    { "layer_norm/beta", "layer_norm.bias", 0, 1 },
    { NULL, NULL, 0, 0 },
};

// A layer: "<side>/layer_N/" before the first, "<side>.layers.N." before the second.
static const row layer_rows[] = {
    { "self_attention/layer_norm/gamma", "self_attn_layer_norm.weight", 0, 1 },
    { "self_attention/layer_norm/beta", "self_attn_layer_norm.bias", 0, 1 },
    { "self_attention/linear_0/weight", "self_attn.q_proj.weight", 0, 3 },
    { "self_attention/linear_0/weight", "self_attn.k_proj.weight", 1, 3 },
    { "self_attention/linear_0/weight", "self_attn.v_proj.weight", 2, 3 },
    { "self_attention/linear_0/bias", "self_attn.q_proj.bias", 0, 3 },
    { "self_attention/linear_0/bias", NULL, 1, 3 },
    { "self_attention/linear_0/bias", "self_attn.v_proj.bias", 2, 3 },
    { "self_attention/linear_1/weight", "self_attn.out_proj.weight", 0, 1 },
    { "self_attention/linear_1/bias", "self_attn.out_proj.bias", 0, 1 },
    { "ffn/layer_norm/gamma", "final_layer_norm.weight", 0, 1 },
    { "ffn/layer_norm/beta", "final_layer_norm.bias", 0, 1 },
    { "ffn/linear_0/weight", "fc1.weight", 0, 1 },
    { "ffn/linear_0/bias", "fc1.bias", 0, 1 },
    { "ffn/linear_1/weight", "fc2.weight", 0, 1 },
    { "ffn/linear_1/bias", "fc2.bias", 0, 1 },
    { NULL, NULL, 0, 0 },
};

// What a layer of the decoder has beside.
static const row cross_rows[] = {
    { "attention/layer_norm/gamma", "encoder_attn_layer_norm.weight", 0, 1 },
    { "attention/layer_norm/beta", "encoder_attn_layer_norm.bias", 0, 1 },
    { "attention/linear_0/weight", "encoder_attn.q_proj.weight", 0, 1 },
    { "attention/linear_0/bias", "encoder_attn.q_proj.bias", 0, 1 },
    { "attention/linear_1/weight", "encoder_attn.k_proj.weight", 0, 2 },
    { "attention/linear_1/weight", "encoder_attn.v_proj.weight", 1, 2 },
    { "attention/linear_1/bias", NULL, 0, 2 },
    { "attention/linear_1/bias", "encoder_attn.v_proj.bias", 1, 2 },
    { "attention/linear_2/weight", "encoder_attn.out_proj.weight", 0, 1 },
    { "attention/linear_2/bias", "encoder_attn.out_proj.bias", 0, 1 },
    { NULL, NULL, 0, 0 },
};

typedef struct builder {
    hn_pretrained *p;
    bool *used; // by index: the variables of the file that were asked for
    int64_t encoder_layers, decoder_layers;
} builder;

static hn_status get(builder *b, const char *name, const hn_tensor **out)
{
    HN_TRY(hn_tensors_get(b->p->files, name, out));
    b->used[*out - b->p->files->item] = true;
    return HN_OK;
}

static hn_status check_zero(const builder *b, const hn_tensor *t)
{
    for (int64_t i = 0; i < t->n_bytes; i++)
        if (((const uint8_t *)t->data)[i])
            return hn_fail(HN_ERR_UNSUPPORTED,
                           "file '%s': variable '%s': its keys have a bias, which Whisper's have "
                           "not", b->p->files->name, t->name);
    return HN_OK;
}

static hn_status add(builder *b, const row *r, const char *from, const char *to)
{
    const hn_tensor *t;
    char name[160];

    snprintf(name, sizeof name, "%s/%s", from, r->from);
    HN_TRY(get(b, name, &t));
    if (t->rank < 1 || t->dim[0] < 1 || t->dim[0] % r->parts || !hn__is_float(t->dtype))
        return hn_fail(HN_ERR_UNSUPPORTED,
                       "file '%s': variable '%s' is of type %s and cannot be used; convert the "
                       "model with --quantization float16 or float32",
                       b->p->files->name, t->name, t->file_dtype);
    hn_tensor part = *t;
    part.dim[0] /= r->parts;
    part.n_bytes /= r->parts;
    part.data = (const uint8_t *)t->data + r->part * part.n_bytes;
    if (!r->to)
        return check_zero(b, &part);
    const int n = snprintf(name, sizeof name, "model.%s.%s", to, r->to);
    return hn__tensors_add(b->p->tensors, name, (size_t)n, &part);
}

static hn_status add_all(builder *b, const row rows[], const char *from, const char *to)
{
    for (const row *r = rows; r->from; r++)
        HN_TRY(add(b, r, from, to));
    return HN_OK;
}

// As many layers as the file has variables of.
static hn_status add_layers(builder *b, const char *side, bool cross, int64_t *n)
{
    char from[64], to[64], first[128];
    for (*n = 0;; ++*n) {
        snprintf(from, sizeof from, "%s/layer_%" PRId64, side, *n);
        snprintf(to, sizeof to, "%s.layers.%" PRId64, side, *n);
        snprintf(first, sizeof first, "%s/%s", from, layer_rows->from);
        if (*n && !hn_tensors_find(b->p->files, first))
            return HN_OK;
        HN_TRY(add_all(b, layer_rows, from, to));
        if (cross)
            HN_TRY(add_all(b, cross_rows, from, to));
    }
}

// A weight that nothing above asks for would be left out of the model in silence.
static hn_status check_used(const builder *b)
{
    const hn_tensors *f = b->p->files;
    const hn_tensor *embed = hn_tensors_find(f, "decoder/embeddings/weight");
    for (int64_t i = 0; i < f->n; i++)
        if (!b->used[i] && f->item[i].rank > 0 && f->item[i].data != embed->data &&
            strcmp(f->item[i].name, "decoder/alignment_heads") != 0)
            return hn_fail(HN_ERR_UNSUPPORTED,
                           "file '%s': variable '%s' is no part of Whisper as it is known here",
                           f->name, f->item[i].name);
    return HN_OK;
}

// ---- settings --------------------------------------------------------------------------------

// A whole number that the file keeps as a variable of rank 0. Errors: FORMAT where it is not
// there; UNSUPPORTED outside [least, most].
static hn_status setting(const builder *b, const char *name, int64_t least, int64_t most,
                         int64_t *out)
{
    const hn_tensor *t;
    int32_t x = 0;
    HN_TRY(hn_tensors_get(b->p->files, name, &t));
    const char *type = t->file_dtype;
    const bool whole = !strcmp(type, "I8") || !strcmp(type, "I16") || !strcmp(type, "I32");
    if (t->rank || !whole)
        return hn_fail(HN_ERR_FORMAT, "file '%s': variable '%s': no whole number",
                       b->p->files->name, name);
    for (int64_t i = 0; i < t->n_bytes; i++)
        x |= (int32_t)((uint32_t)((const uint8_t *)t->data)[i] << 8 * i);
    if (t->n_bytes < 4)
        x = (x ^ 1 << (8 * t->n_bytes - 1)) - (1 << (8 * t->n_bytes - 1)); // its sign
    *out = x;
    return x >= least && x <= most
               ? HN_OK
               : hn_fail(HN_ERR_UNSUPPORTED,
                         "file '%s': variable '%s' is %d, which is not known for Whisper",
                         b->p->files->name, name, (int)x);
}

// Where the file has it, it must be what Whisper's definition says.
static hn_status require(const builder *b, const char *name, int64_t want)
{
    int64_t x;
    return hn_tensors_find(b->p->files, name) ? setting(b, name, want, want, &x) : HN_OK;
}

static int64_t dim_of(const builder *b, const char *name, int i)
{
    const hn_tensor *t = hn_tensors_find(b->p->tensors, name);
    return t && i < t->rank ? t->dim[i] : 0;
}

static hn_status check_settings(const builder *b)
{
    static const struct {
        const char *name;
        int64_t want;
    } known[] = {
        { "decoder/activation", 3 }, // GELU
        { "decoder/alibi", 0 },
        { "decoder/pre_norm", 1 },
        { "decoder/scale_embeddings", 0 },
        { "decoder/start_from_zero_embedding", 0 },
        { "encoder/activation", 3 },
        { "encoder/pre_norm", 1 },
    };
    for (size_t i = 0; i < sizeof known / sizeof *known; i++)
        HN_TRY(require(b, known[i].name, known[i].want));
    return HN_OK;
}

static json_t *whisper_json(const builder *b, int64_t encoder_heads, int64_t decoder_heads)
{
    const hn_tensor *t = hn_tensors_find(b->p->tensors, "model.decoder.embed_tokens.weight");
    const char *type = t->dtype == HN_F16   ? "float16"
                       : t->dtype == HN_F32 ? "float32"
                                            : "bfloat16";
    return json_pack(
        "{s:s, s:[s], s:s, s:b, s:b, s:b, s:s, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, "
        "s:I, s:I}",
        "model_type", "whisper", "architectures", "WhisperForConditionalGeneration", "torch_dtype",
        type, "is_encoder_decoder", 1, "scale_embedding", 0, "tie_word_embeddings", 1,
        "activation_function", "gelu", "d_model", (json_int_t)t->dim[1], "encoder_layers",
        (json_int_t)b->encoder_layers, "decoder_layers", (json_int_t)b->decoder_layers,
        "num_hidden_layers", (json_int_t)b->encoder_layers, "encoder_attention_heads",
        (json_int_t)encoder_heads, "decoder_attention_heads", (json_int_t)decoder_heads,
        "encoder_ffn_dim", (json_int_t)dim_of(b, "model.encoder.layers.0.fc1.weight", 0),
        "decoder_ffn_dim", (json_int_t)dim_of(b, "model.decoder.layers.0.fc1.weight", 0),
        "num_mel_bins", (json_int_t)dim_of(b, "model.encoder.conv1.weight", 1),
        "max_source_positions", (json_int_t)dim_of(b, "model.encoder.embed_positions.weight", 0),
        "max_target_positions", (json_int_t)dim_of(b, "model.decoder.embed_positions.weight", 0),
        "vocab_size", (json_int_t)t->dim[0]);
}

static hn_status make_config(builder *b)
{
    const hn_tensor *t = hn_tensors_find(b->p->tensors, "model.decoder.embed_tokens.weight");
    int64_t heads, decoder_heads;
    if (t->rank != 2)
        return hn_fail(HN_ERR_FORMAT, "file '%s': variable 'decoder/embeddings/weight': has %d "
                       "dimensions, must have 2", b->p->files->name, t->rank);
    HN_TRY(setting(b, "encoder/num_heads", 1, 4096, &heads));
    decoder_heads = heads;
    if (hn_tensors_find(b->p->files, "decoder/num_heads"))
        HN_TRY(setting(b, "decoder/num_heads", 1, 4096, &decoder_heads));
    HN_TRY(check_settings(b));
    json_decref(b->p->config);
    b->p->config = whisper_json(b, heads, decoder_heads);
    return b->p->config ? HN_OK : hn__nomem(0);
}

// ---- opening ---------------------------------------------------------------------------------

static hn_status make_tensors(builder *b)
{
    hn_pretrained *p = b->p;
    HN_TRY(hn__tensors_create(p->files->name, &p->tensors));
    HN_TRY(add_all(b, encoder_rows, "encoder", "encoder"));
    HN_TRY(add_layers(b, "encoder", false, &b->encoder_layers));
    HN_TRY(add_all(b, decoder_rows, "decoder", "decoder"));
    HN_TRY(add_layers(b, "decoder", true, &b->decoder_layers));
    HN_TRY(check_used(b));
    return hn__tensors_seal(p->tensors);
}

static hn_status open_file(hn_pretrained *p, const char *dir)
{
    char *path = hn__path_join(dir, "model.bin");
    hn__map m = { 0 };
    hn_status s = path ? hn__map_open(path, &m) : hn__nomem(strlen(dir));
    if (s == HN_OK && m.size > 4 && !memcmp(m.data, "PK\3\4", 4))
        s = hn_fail(HN_ERR_UNSUPPORTED, "file '%s': a PyTorch archive, which is not read; save "
                    "the model as safetensors", path);
    if (s == HN_OK)
        s = hn__ctranslate2_read(m.data, m.size, path, &p->files);
    if (s == HN_OK)
        s = hn__tensors_keep(p->files, &m);
    hn__map_close(&m);
    hn__free(path);
    return s;
}

static hn_status check_spec(const hn_pretrained *p)
{
    const char *spec = hn_tensors_metadata(p->files, "spec");
    const char *revision = hn_tensors_metadata(p->files, "revision");
    return !strcmp(spec, "WhisperSpec") && !strcmp(revision, "3")
               ? HN_OK
               : hn_fail(HN_ERR_UNSUPPORTED,
                         "file '%s': %.64s of revision %s; of CTranslate2's models only "
                         "WhisperSpec of revision 3 is read", p->files->name, spec, revision);
}

// config.json's own words, in Hugging Face's.
static hn_status make_generation(hn_pretrained *p, const json_t *own)
{
    static const char *const keys[][2] = {
        { "suppress_tokens", "suppress_ids" },
        { "begin_suppress_tokens", "suppress_ids_begin" },
        { "alignment_heads", "alignment_heads" },
    };
    if (!p->generation && !(p->generation = json_object()))
        return hn__nomem(0);
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++) {
        json_t *v = json_object_get(own, keys[i][1]);
        if (json_is_array(v) && !hn__json_has(p->generation, keys[i][0]))
            HN_TRY(hn__json_set(p->generation, keys[i][0], json_incref(v)));
    }
    return HN_OK;
}

hn_status hn__pretrained_from_ctranslate2(hn_pretrained *p)
{
    builder b = { .p = p };
    HN_TRY(check_spec(p));
    HN_TRY(hn__pretrained_text("ctranslate2 6", 13, &p->format));
    b.used = hn__calloc((size_t)p->files->n + 1, sizeof *b.used);
    hn_status s = b.used ? make_tensors(&b) : hn__nomem((size_t)p->files->n);
    if (s == HN_OK)
        s = make_config(&b);
    hn__free(b.used);
    return s;
}

hn_status hn__pretrained_read_ctranslate2(hn_pretrained *p, const char *dir)
{
    json_t *own = NULL;
    HN_TRY(open_file(p, dir));
    HN_TRY(hn__pretrained_from_ctranslate2(p));
    HN_TRY(hn__pretrained_read_beside(p, dir));
    HN_TRY(hn__pretrained_json(dir, "config.json", false, &own));
    const hn_status s = make_generation(p, own);
    json_decref(own);
    return s == HN_OK ? hn__pretrained_whisper(p, dir) : s;
}
