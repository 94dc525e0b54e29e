// What the results of whole models are compared with.
#include "bench_reference.h"

#include <jansson.h>
#include <math.h>
#include <string.h>

#include "app.h"
#include "base/os.h"

static hn_status read_json(const char *folder, const char *name, json_t **out)
{
    char *path = hn__path_join(folder, name), *text = NULL;
    size_t n = 0;
    json_error_t error;
    hn_status s = path ? app_read_text(path, &text, &n) : hn__nomem(strlen(folder));
    *out = s == HN_OK ? json_loadb(text, n, 0, &error) : NULL;
    if (s == HN_OK && !*out)
        s = hn_fail(HN_ERR_FORMAT, "'%s' line %d: %s", path, error.line, error.text);
    hn__free(path);
    hn__free(text);
    return s;
}

// An array of numbers; how many, or -1 where it is none or longer than `most`.
static int read_ids(const json_t *a, int32_t out[], int most)
{
    if (!json_is_array(a) || json_array_size(a) > (size_t)most)
        return -1;
    for (size_t i = 0; i < json_array_size(a); i++)
        out[i] = (int32_t)json_integer_value(json_array_get(a, i));
    return (int)json_array_size(a);
}

// ---- the recording -------------------------------------------------------------------------

static hn_status read_mel(const char *folder, float **out)
{
    enum { MELS = 80, FRAMES = 3000 };
    char *path = hn__path_join(folder, "logmel_80x3000.npy");
    hn_tensors *t = NULL;
    hn_type type;

    *out = hn__calloc(MELS * FRAMES, sizeof **out);
    hn_status s = path && *out ? hn_tensors_open(path, &t) : hn__nomem(MELS * FRAMES * 4);
    if (s == HN_OK)
        s = hn_tensor_type(hn_tensors_at(t, 0), &type);
    if (s == HN_OK && hn_type_numel(&type) != MELS * FRAMES)
        s = hn_fail(HN_ERR_FORMAT, "'%s' has %" PRId64 " numbers, want %d", path,
                    hn_type_numel(&type), MELS * FRAMES);
    if (s == HN_OK)
        s = hn_tensor_read(hn_tensors_at(t, 0), HN_F32, *out);
    hn_tensors_destroy(&t);
    hn__free(path);
    return s;
}

hn_status bench_clip_open(const char *folder, bench_clip *out)
{
    json_t *root;
    *out = (bench_clip){ 0 };
    HN_TRY(read_json(folder, "whisper-base/decode.json", &root));
    out->n_prompt = read_ids(json_object_get(root, "prompt_no_timestamps"), out->prompt, 8);
    out->n_want =
        read_ids(json_object_get(root, "greedy_no_timestamps"), out->want, CLIP_MOST_TOKENS);
    json_decref(root);
    if (out->n_prompt < 1 || out->n_want < 1)
        return hn_fail(HN_ERR_FORMAT, "'%s/whisper-base/decode.json' has no tokens", folder);
    return read_mel(folder, &out->mel);
}

void bench_clip_close(bench_clip *c)
{
    hn__free(c->mel);
    *c = (bench_clip){ 0 };
}

// The likeliest token that may be said.
static int32_t choose(hn_whisper *w, float *logits, bool first)
{
    const int64_t vocab = hn_whisper_get_config(w)->vocab;
    int n, n_first;
    const int32_t *never = hn_whisper_get_suppressed(w, &n),
                  *not_first = hn_whisper_get_suppressed_first(w, &n_first);
    int32_t best = 0;

    for (int i = 0; i < n; i++)
        logits[never[i]] = -INFINITY;
    for (int i = 0; first && i < n_first; i++)
        logits[not_first[i]] = -INFINITY;
    logits[hn_whisper_get_tokens(w)->no_timestamps] = -INFINITY;
    for (int64_t i = 1; i < vocab; i++)
        if (logits[i] > logits[best])
            best = (int32_t)i;
    return best;
}

hn_status bench_clip_decode(const bench_clip *c, hn_whisper *w, float *logits)
{
    const int32_t end = hn_whisper_get_tokens(w)->end;

    HN_TRY(hn_whisper_decode(w, c->prompt, 1, c->n_prompt, 0, logits));
    for (int i = 0; i <= c->n_want; i++) {
        const int32_t want = i < c->n_want ? c->want[i] : end, got = choose(w, logits, i == 0);
        if (got != want)
            return hn_fail(HN_ERR_DEVICE, "wrong result: token %d is %d, want %d", i, got, want);
        if (i < c->n_want)
            HN_TRY(hn_whisper_decode(w, &got, 1, 1, c->n_prompt + i, logits));
    }
    return HN_OK;
}

// ---- language models -----------------------------------------------------------------------

static hn_status greedy(hn_lm *lm, const json_t *prompt, int *out_tokens)
{
    enum { MOST = 256 };
    int32_t put[MOST], want[MOST];
    const int n_put = read_ids(json_object_get(prompt, "ids"), put, MOST),
              n = read_ids(json_object_get(prompt, "greedy48_f64"), want, MOST);
    const hn_sample_params p = { .n_tokens = n, .ignore_end = true };
    hn_ids ids = { 0 };

    if (n_put < 1 || n < 1)
        return hn_fail(HN_ERR_FORMAT, "prompts.json has no prompt with its tokens");
    ids.id = hn__calloc((size_t)(n_put + n + 1), sizeof *ids.id);
    if (!ids.id)
        return hn__nomem((size_t)n_put * sizeof *ids.id);
    ids.cap = n_put + n + 1;
    ids.n = n_put;
    memcpy(ids.id, put, (size_t)n_put * sizeof *put);
    hn_status s = hn_lm_continue(lm, &ids, &p, NULL, NULL, NULL);
    for (int i = 0; s == HN_OK && i < n; i++)
        if (ids.n != n_put + n || ids.id[n_put + i] != want[i])
            s = hn_fail(HN_ERR_DEVICE, "wrong result: token %d is %d, want %d", i,
                        ids.id[n_put + i], want[i]);
    hn_ids_free(&ids);
    *out_tokens = n;
    return s;
}

hn_status bench_check_greedy(const char *folder, hn_lm *lm, int *out_tokens)
{
    json_t *root;
    HN_TRY(read_json(folder, "smollm2-135m/prompts.json", &root));
    const hn_status s =
        greedy(lm, json_object_get(json_object_get(root, "prompts"), "plain"), out_tokens);
    json_decref(root);
    return s;
}

// A line of tokenizer.jsonl.
static hn_status check_line(hn_tokenizer *t, const char *line, size_t n)
{
    json_t *o = json_loadb(line, n, JSON_ALLOW_NUL, NULL);
    const json_t *text = json_object_get(o, "text"), *want = json_object_get(o, "ids");
    hn_ids ids = { 0 };
    hn_status s = HN_OK;

    if (!json_is_string(text) || !json_is_array(want))
        s = hn_fail(HN_ERR_FORMAT, "tokenizer.jsonl: a line without text and ids");
    if (s == HN_OK)
        s = hn_tokenizer_encode(t, json_string_value(text), json_string_length(text),
                                HN_ENCODE_SPECIAL, &ids);
    if (s == HN_OK && ids.n != (int64_t)json_array_size(want))
        s = hn_fail(HN_ERR_DEVICE, "wrong result: %" PRId64 " tokens, want %zu", ids.n,
                    json_array_size(want));
    for (int64_t i = 0; s == HN_OK && i < ids.n; i++)
        if (ids.id[i] != json_integer_value(json_array_get(want, (size_t)i)))
            s = hn_fail(HN_ERR_DEVICE, "wrong result: token %" PRId64 " is %d", i, ids.id[i]);
    hn_ids_free(&ids);
    json_decref(o);
    return s;
}

hn_status bench_check_tokens(const char *folder, hn_tokenizer *t, int *out_texts)
{
    char *path = hn__path_join(folder, "smollm2-135m/tokenizer.jsonl"), *text = NULL;
    size_t n = 0;
    hn_status s = path ? app_read_text(path, &text, &n) : hn__nomem(strlen(folder));

    *out_texts = 0;
    for (size_t at = 0; s == HN_OK && at < n;) {
        const char *end = memchr(text + at, '\n', n - at);
        const size_t length = end ? (size_t)(end - text) - at : n - at;
        if (length)
            s = check_line(t, text + at, length);
        *out_texts += length > 0;
        at += length + 1;
    }
    hn__free(path);
    hn__free(text);
    return s;
}
