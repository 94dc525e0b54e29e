// Text files and token shards to tokens.
#include "lm_data.h"

#include "base/os.h"
#include "io/shards.h"
#include "io/text.h"

#include <stdio.h>
#include <string.h>

static const char end_of_text[] = "<|endoftext|>";

typedef struct joined {
    char *text;
    size_t n;
} joined;

static hn_status join(joined *j, const char *file, bool last)
{
    hn__map m;
    HN_TRY(hn__text_open(file, &m));
    char *more = hn__resize(j->text, j->n + m.size + sizeof end_of_text, 1);
    if (more) {
        j->text = more;
        memcpy(j->text + j->n, m.data, m.size);
        j->n += m.size;
        if (!last) {
            memcpy(j->text + j->n, end_of_text, sizeof end_of_text - 1);
            j->n += sizeof end_of_text - 1;
        }
    }
    const size_t n = m.size;
    hn__map_close(&m);
    return more ? HN_OK : hn__nomem(j->n + n);
}

static hn_status get_tokenizer(const lm_data_options *o, const joined *j, hn_tokenizer **out)
{
    static const char *const special[] = { end_of_text };
    const hn_tokenizer_params p = { .vocab_size = o->vocab, .special = special, .n_special = 1 };
    const uint64_t start = hn__now_ns();

    if (*out)
        return HN_OK;
    if (o->tokenizer)
        return hn_tokenizer_load(o->tokenizer, out);
    HN_TRY(hn_tokenizer_train(j->text, j->n, &p, out));
    printf("tokenizer: %d tokens from %.1f MB in %.1f s\n", hn_tokenizer_vocab_size(*out),
           (double)j->n / 1e6, (double)(hn__now_ns() - start) / 1e9);
    return HN_OK;
}

static hn_status read_texts(const char **files, int n, const lm_data_options *o, lm_data *out)
{
    joined j = { 0 };
    hn_status s = HN_OK;

    for (int i = 0; s == HN_OK && i < n; i++)
        s = join(&j, files[i], i + 1 == n);
    if (s == HN_OK && j.n == 0)
        s = hn_fail(HN_ERR_ARG, "'%s' is empty", files[0]);
    if (s == HN_OK)
        s = get_tokenizer(o, &j, &out->tok);
    if (s == HN_OK)
        s = hn_tokenizer_encode(out->tok, j.text, j.n, HN_ENCODE_SPECIAL, &out->tokens);
    if (s == HN_OK)
        printf("text: %zu bytes, %lld tokens, %.2f bytes a token\n", j.n, (long long)out->tokens.n,
               (double)j.n / (double)out->tokens.n);
    hn__free(j.text);
    return s;
}

static hn_status take_shards(const hn__shards *sh, const char *dir, lm_data *out)
{
    const int64_t n = hn__shards_count(sh);

    if (hn__shards_tokenizer_hash(sh) != hn_tokenizer_hash(out->tok))
        return hn_fail(HN_ERR_ARG, "the shards in '%s' were made by another tokenizer", dir);
    if (n < 1)
        return hn_fail(HN_ERR_ARG, "the shards in '%s' are empty", dir);
    out->tokens.id = hn__calloc((size_t)n, sizeof *out->tokens.id);
    if (!out->tokens.id)
        return hn__nomem((size_t)n * sizeof *out->tokens.id);
    out->tokens.n = out->tokens.cap = n;
    HN_TRY(hn__shards_read(sh, 0, n, out->tokens.id));
    printf("shards: %lld tokens\n", (long long)n);
    return HN_OK;
}

static hn_status read_shards(const char *dir, const lm_data_options *o, lm_data *out)
{
    hn__shards *sh;
    if (!out->tok && !o->tokenizer)
        return hn_fail(HN_ERR_ARG, "'%s' holds tokens: --tokenizer must name what made them", dir);
    if (!out->tok)
        HN_TRY(hn_tokenizer_load(o->tokenizer, &out->tok));
    HN_TRY(hn__shards_open(dir, false, &sh));
    const hn_status s = take_shards(sh, dir, out);
    hn__shards_close(&sh);
    return s;
}

hn_status lm_data_read(const char **files, int n, const lm_data_options *o, lm_data *out)
{
    *out = (lm_data){ .tok = o->ready };
    const hn_status s = n == 1 && hn__is_dir(files[0]) ? read_shards(files[0], o, out)
                                                       : read_texts(files, n, o, out);
    if (s)
        lm_data_free(out);
    return s;
}

void lm_data_free(lm_data *d)
{
    hn_tokenizer_destroy(&d->tok);
    hn_ids_free(&d->tokens);
}
