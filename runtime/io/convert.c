// A pretrained model written in another format: which one, and where.
#include "io/convert.h"

#include <string.h>
#include <unistd.h>

bool hn__convert_is_buffer(const hn_tensor *t)
{
    static const char *const ends[] = { ".attn.masked_bias", ".rotary_emb.inv_freq" };
    const size_t n = strlen(t->name);
    for (size_t i = 0; i < sizeof ends / sizeof *ends; i++)
        if (n > strlen(ends[i]) && !strcmp(t->name + n - strlen(ends[i]), ends[i]))
            return true;
    // GPT-2's causal mask; a bias has one dimension.
    return t->rank == 4 && n > 10 && !strcmp(t->name + n - 10, ".attn.bias");
}

// The type of most of the matrices' elements, which a folder gets as a whole.
static hn_dtype main_type(const hn_tensors *t)
{
    int64_t n[HN_DTYPE_COUNT] = { 0 };
    hn_dtype best = HN_F32;
    for (int64_t i = 0; i < hn_tensors_count(t); i++) {
        const hn_tensor *e = hn_tensors_at(t, i);
        const hn_dtype as = hn__is_quantised(e->dtype) ? HN_F16 : e->dtype;
        if (hn__is_float(as))
            n[as] += e->n_bytes / hn_dtype_size(e->dtype) * hn_dtype_block(e->dtype);
    }
    for (hn_dtype as = HN_F32; as <= HN_BF16; as++)
        best = n[as] > n[best] ? as : best;
    return best;
}

static hn_status to_folder(const hn_pretrained *p, const char *out, hn_dtype type)
{
    const size_t size = strlen(out) + 32;
    char *tmp = hn__calloc(size, 1);
    if (!tmp)
        return hn__nomem(size);
    size_t n = strlen(out);
    while (n > 1 && out[n - 1] == '/') // the other name stands beside it, not in it
        n--;
    snprintf(tmp, size, "%.*s.tmp-%ld", (int)n, out, (long)getpid());
    hn_status s = hn__remove_all(tmp);
    if (s == HN_OK)
        s = hn__mkdirs(tmp);
    if (s == HN_OK)
        s = hn__convert_folder(p, tmp, type);
    if (s == HN_OK)
        s = hn__sync(tmp);
    if (s == HN_OK)
        s = hn__rename(tmp, out);
    if (s != HN_OK) { // the words of the failure are kept
        char why[1024];
        snprintf(why, sizeof why, "%s", hn_error_text());
        hn__remove_all(tmp);
        s = hn_fail(s, "%s", why);
    }
    hn__free(tmp);
    return s;
}

hn_status hn__convert(const hn_pretrained *p, const char *out, hn_dtype type, hn_dtype *out_type)
{
    const size_t n = strlen(out);
    const bool gguf = n > 5 && !strcmp(out + n - 5, ".gguf");
    *out_type = type;
    if (type && !hn__is_float(type) && !hn__can_quantise(type))
        return hn_fail(HN_ERR_ARG, "nothing is converted to %s; f32, f16, bf16, q8_0, q4_0 and "
                       "q4_1 are known", hn_dtype_name(type));
    if (!gguf && hn__is_quantised(type))
        return hn_fail(HN_ERR_UNSUPPORTED,
                       "a Hugging Face folder has f32, f16 or bf16; for %s name a file that ends "
                       "in .gguf", hn_dtype_name(type));
    if (hn__exists(out))
        return hn_fail(HN_ERR_ARG, "'%s' is there already; name another, or remove it", out);
    if (gguf)
        return hn__convert_gguf(p, out, type);
    *out_type = type ? type : main_type(p->tensors);
    return to_folder(p, out, *out_type);
}
