// A GGUF file of a language model, shown as Hugging Face's: tensors. (gguf_config.c: the rest.)
#include "io/gguf_model.h"

#include <stdlib.h>
#include <string.h>

enum { QUERIES = 1, KEYS = 2, TRANSPOSED = 4 };

typedef struct row {
    const char *from, *to;
    int flags;
} row;

static const row llama_rows[] = {
    { "token_embd.weight", "model.embed_tokens.weight", 0 },
    { "output_norm.weight", "model.norm.weight", 0 },
    { "output.weight", "lm_head.weight", 0 },
    { NULL, NULL, 0 },
};

// "blk.N." before the first, "model.layers.N." before the second.
static const row llama_layer[] = {
    { "attn_norm.weight", "input_layernorm.weight", 0 },
    { "attn_q.weight", "self_attn.q_proj.weight", QUERIES },
    { "attn_q.bias", "self_attn.q_proj.bias", QUERIES },
    { "attn_k.weight", "self_attn.k_proj.weight", KEYS },
    { "attn_k.bias", "self_attn.k_proj.bias", KEYS },
    { "attn_v.weight", "self_attn.v_proj.weight", 0 },
    { "attn_v.bias", "self_attn.v_proj.bias", 0 },
    { "attn_output.weight", "self_attn.o_proj.weight", 0 },
    { "attn_output.bias", "self_attn.o_proj.bias", 0 },
    { "ffn_norm.weight", "post_attention_layernorm.weight", 0 },
    { "ffn_gate.weight", "mlp.gate_proj.weight", 0 },
    { "ffn_gate.bias", "mlp.gate_proj.bias", 0 },
    { "ffn_up.weight", "mlp.up_proj.weight", 0 },
    { "ffn_up.bias", "mlp.up_proj.bias", 0 },
    { "ffn_down.weight", "mlp.down_proj.weight", 0 },
    { "ffn_down.bias", "mlp.down_proj.bias", 0 },
    { NULL, NULL, 0 },
};

static const row gpt2_rows[] = {
    { "token_embd.weight", "transformer.wte.weight", 0 },
    { "position_embd.weight", "transformer.wpe.weight", 0 },
    { "output_norm.weight", "transformer.ln_f.weight", 0 },
    { "output_norm.bias", "transformer.ln_f.bias", 0 },
    { "output.weight", "lm_head.weight", 0 },
    { NULL, NULL, 0 },
};

static const row gpt2_layer[] = {
    { "attn_norm.weight", "ln_1.weight", 0 },
    { "attn_norm.bias", "ln_1.bias", 0 },
    { "attn_qkv.weight", "attn.c_attn.weight", TRANSPOSED },
    { "attn_qkv.bias", "attn.c_attn.bias", 0 },
    { "attn_output.weight", "attn.c_proj.weight", TRANSPOSED },
    { "attn_output.bias", "attn.c_proj.bias", 0 },
    { "ffn_norm.weight", "ln_2.weight", 0 },
    { "ffn_norm.bias", "ln_2.bias", 0 },
    { "ffn_up.weight", "mlp.c_fc.weight", TRANSPOSED },
    { "ffn_up.bias", "mlp.c_fc.bias", 0 },
    { "ffn_down.weight", "mlp.c_proj.weight", TRANSPOSED },
    { "ffn_down.bias", "mlp.c_proj.bias", 0 },
    { NULL, NULL, 0 },
};

static const hn__gguf_names names[] = {
    [HN__GGUF_LLAMA] = { "llama", "model.layers", true },
    [HN__GGUF_QWEN2] = { "qwen2", "model.layers", false },
    [HN__GGUF_GPT2] = { "gpt2", "transformer.h", false },
};
enum { N_NAMES = sizeof names / sizeof *names };

hn_status hn__gguf_family_find(const char *architecture, const char *file, hn__gguf_family *out)
{
    for (int i = 0; i < N_NAMES; i++)
        if (!strcmp(names[i].architecture, architecture)) {
            *out = (hn__gguf_family)i;
            return HN_OK;
        }
    return hn_fail(HN_ERR_UNSUPPORTED,
                   "file '%s': architecture '%.60s' is not known; known are llama (with mistral), "
                   "qwen2 and gpt2", file, architecture);
}

const hn__gguf_names *hn__gguf_names_of(hn__gguf_family f)
{
    return &names[f];
}

static const row *rows_of(hn__gguf_family f, bool layer)
{
    if (f == HN__GGUF_GPT2)
        return layer ? gpt2_layer : gpt2_rows;
    return layer ? llama_layer : llama_rows;
}

// "<from>.N.<rest>" gives N and rest.
static bool split_layer(const char *name, const char *from, int64_t *layer, const char **rest)
{
    const size_t n = strlen(from);
    if (strncmp(name, from, n) != 0 || name[n] != '.')
        return false;
    const char *p = name + n + 1;
    const size_t digits = strspn(p, "0123456789");
    if (digits == 0 || digits > 6 || p[digits] != '.')
        return false;
    *layer = strtol(p, NULL, 10);
    *rest = p + digits + 1;
    return true;
}

static void set_flags(hn__gguf_family f, int flags, hn__gguf_place *out)
{
    out->queries = flags & QUERIES && names[f].paired;
    out->keys = flags & KEYS && names[f].paired;
    out->transposed = (flags & TRANSPOSED) != 0;
}

// The name in one of the two forms from the other.
static bool translate(hn__gguf_family f, const char *name, bool to_gguf, hn__gguf_place *out)
{
    const char *here = to_gguf ? names[f].layers : "blk",
               *there = to_gguf ? "blk" : names[f].layers;
    const char *rest = name;
    int64_t layer = -1;
    split_layer(name, here, &layer, &rest);
    for (const row *r = rows_of(f, layer >= 0); r->from; r++) {
        const char *a = to_gguf ? r->to : r->from, *b = to_gguf ? r->from : r->to;
        if (strcmp(a, rest) != 0)
            continue;
        if (layer >= 0)
            snprintf(out->name, sizeof out->name, "%s.%" PRId64 ".%s", there, layer, b);
        else
            snprintf(out->name, sizeof out->name, "%s", b);
        out->layer = layer;
        set_flags(f, r->flags, out);
        return true;
    }
    return false;
}

bool hn__gguf_to_model(hn__gguf_family f, const char *name, hn__gguf_place *out)
{
    return translate(f, name, false, out);
}

bool hn__gguf_from_model(hn__gguf_family f, const char *name, hn__gguf_place *out)
{
    char longer[192];
    if (translate(f, name, true, out))
        return true;
    // Older GPT-2 folders have their names without the first word.
    snprintf(longer, sizeof longer, "transformer.%.160s", name);
    return f == HN__GGUF_GPT2 && translate(f, longer, true, out);
}

// ---- tensors ---------------------------------------------------------------------------------

static hn_status add(hn__gguf_model *m, const hn_tensor *from)
{
    hn__gguf_place place;
    if (!hn__gguf_to_model(m->family, from->name, &place))
        return hn_fail(HN_ERR_UNSUPPORTED,
                       "file '%s': tensor %s is no part of %s as it is known here",
                       m->p->files->name, from->name, names[m->family].architecture);
    hn_tensor t = *from;
    t.paired_heads = place.queries ? m->heads : place.keys ? m->kv_heads : 0;
    if (t.paired_heads && (t.rank < 1 || t.dim[0] % (2 * t.paired_heads)))
        return hn_fail(HN_ERR_FORMAT,
                       "file '%s': tensor %s: its rows are not those of %" PRId64
                       " heads of an even size", m->p->files->name, from->name, t.paired_heads);
    if (place.transposed && t.rank != 2)
        return hn_fail(HN_ERR_FORMAT, "file '%s': tensor %s: has %d dimensions, must have 2",
                       m->p->files->name, from->name, t.rank);
    if (place.transposed) {
        t.transposed = true;
        t.dim[0] = from->dim[1];
        t.dim[1] = from->dim[0];
    }
    return hn__tensors_add(m->p->tensors, place.name, strlen(place.name), &t);
}

hn_status hn__gguf_model_tensors(hn__gguf_model *m)
{
    hn_pretrained *p = m->p;
    HN_TRY(hn__tensors_create(p->files->name, &p->tensors));
    for (int64_t i = 0; i < p->files->n; i++)
        if (strcmp(p->files->item[i].name, "rope_freqs.weight") != 0) // in the configuration
            HN_TRY(add(m, &p->files->item[i]));
    return hn__tensors_seal(p->tensors);
}

static hn_status open_file(hn_pretrained *p, const char *path)
{
    hn__map m;
    HN_TRY(hn__map_open(path, &m));
    hn_status s = hn__gguf_read(m.data, m.size, path, &p->gguf, &p->files);
    if (s == HN_OK)
        s = hn__tensors_keep(p->files, &m);
    hn__map_close(&m);
    return s;
}

hn_status hn__pretrained_from_gguf(hn_pretrained *p)
{
    hn__gguf_model m = { .p = p };
    char format[16];
    snprintf(format, sizeof format, "gguf %d", hn__gguf_version(p->gguf));
    HN_TRY(hn__pretrained_text(format, strlen(format), &p->format));
    HN_TRY(hn__gguf_model_config(&m));
    return hn__gguf_model_tensors(&m);
}

hn_status hn__pretrained_read_gguf(hn_pretrained *p, const char *path)
{
    HN_TRY(open_file(p, path));
    return hn__pretrained_from_gguf(p);
}
