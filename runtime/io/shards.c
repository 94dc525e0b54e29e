// Token shards: written in order, read anywhere.
#include "io/shards.h"
#include "io/json.h"

#include "base/os.h"

#include <string.h>

static char *file_path(const char *dir, int64_t i)
{
    char name[48];
    snprintf(name, sizeof name, "tokens-%05" PRId64 ".bin", i);
    return hn__path_join(dir, name);
}

static int bytes_for(int64_t vocab_size)
{
    return vocab_size <= 65536 ? 2 : 4;
}

// ---- writing ---------------------------------------------------------------------------------

struct hn__shards_writer {
    char *dir;
    int vocab_size;
    uint64_t tokenizer;
    int64_t most, n; // tokens a file may hold, and holds
    int64_t n_files;
    bool is_open;
    hn__newfile file;
    json_t *files;
};

static void writer_free(hn__shards_writer **wp)
{
    hn__shards_writer *w = *wp;
    hn__newfile_abort(&w->file);
    hn__free(w->dir);
    json_decref(w->files);
    hn__free(w);
    *wp = NULL;
}

void hn__shards_abort(hn__shards_writer **w)
{
    if (!w || !*w)
        return;
    for (int64_t i = 0; i < (*w)->n_files; i++) {
        char *path = file_path((*w)->dir, i);
        if (!path || hn__remove_all(path) != HN_OK)
            hn__log(HN_LOG_WARN, "folder '%s': a file of tokens is left", (*w)->dir);
        hn__free(path);
    }
    writer_free(w);
}

hn_status hn__shards_create(const char *dir, int vocab_size, uint64_t tokenizer_hash,
                            int64_t tokens_per_file, hn__shards_writer **out)
{
    *out = NULL;
    if (vocab_size < 1 || tokens_per_file < 1)
        return hn_fail(HN_ERR_ARG, "token shards: a vocabulary of %d, %" PRId64 " tokens a file",
                       vocab_size, tokens_per_file);
    HN_TRY(hn__mkdirs(dir));
    char *index = hn__path_join(dir, "index.json");
    if (!index)
        return hn__nomem(strlen(dir));
    const bool taken = hn__exists(index);
    hn__free(index);
    if (taken)
        return hn_fail(HN_ERR_ARG, "folder '%s' holds token shards already", dir);
    hn__shards_writer *w = hn__calloc(1, sizeof *w);
    if (!w)
        return hn__nomem(sizeof *w);
    *w = (hn__shards_writer){ .dir = hn__path_join(dir, ""), .vocab_size = vocab_size,
                              .tokenizer = tokenizer_hash, .most = tokens_per_file,
                              .files = json_array() };
    if (!w->dir || !w->files) {
        writer_free(&w);
        return hn__nomem(strlen(dir));
    }
    *out = w;
    return HN_OK;
}

static hn_status end_file(hn__shards_writer *w)
{
    w->is_open = false;
    HN_TRY(hn__newfile_commit(&w->file));
    char *path = file_path(w->dir, w->n_files);
    hn__map m = { 0 };
    hn_status s = path ? hn__map_open(path, &m) : hn__nomem(0);
    if (s == HN_OK)
        s = hn__json_append(w->files, json_pack("{s:s, s:I, s:o}", "name", strrchr(path, '/') + 1,
                                                "tokens", (json_int_t)w->n, "hash",
                                                hn__json_hash(hn__hash(m.data, m.size, 0))));
    hn__map_close(&m);
    hn__free(path);
    w->n_files++;
    w->n = 0;
    return s;
}

static hn_status begin_file(hn__shards_writer *w)
{
    char *path = file_path(w->dir, w->n_files);
    if (!path)
        return hn__nomem(0);
    const hn_status s = hn__newfile_open(path, &w->file);
    hn__free(path);
    w->is_open = s == HN_OK;
    return s;
}

hn_status hn__shards_put(hn__shards_writer *w, const int32_t *id, int64_t n)
{
    const int size = bytes_for(w->vocab_size);
    for (int64_t i = 0; i < n;) {
        if (!w->is_open)
            HN_TRY(begin_file(w));
        uint8_t raw[4096];
        int64_t m = 0;
        for (; m < (int64_t)sizeof raw / size && i < n && w->n < w->most; m++, i++, w->n++) {
            if (id[i] < 0 || id[i] >= w->vocab_size)
                return hn_fail(HN_ERR_ARG, "token shards: token %d, the vocabulary has %d",
                               (int)id[i], w->vocab_size);
            for (int b = 0; b < size; b++)
                raw[m * size + b] = (uint8_t)((uint32_t)id[i] >> 8 * b);
        }
        HN_TRY(hn__newfile_write(&w->file, raw, (size_t)(m * size)));
        if (w->n == w->most)
            HN_TRY(end_file(w));
    }
    return HN_OK;
}

static hn_status write_index(hn__shards_writer *w)
{
    char *path = hn__path_join(w->dir, "index.json");
    json_t *root = json_pack("{s:s, s:i, s:i, s:s, s:o, s:O}", "format", "hornito-tokens",
                             "version", 1, "vocab_size", w->vocab_size, "dtype",
                             bytes_for(w->vocab_size) == 2 ? "u16" : "u32", "tokenizer",
                             hn__json_hash(w->tokenizer), "files", w->files);
    hn_status s = path && root ? hn__json_seal(root) : hn__nomem(0);
    if (s == HN_OK)
        s = hn__json_save(path, root);
    json_decref(root);
    hn__free(path);
    return s;
}

hn_status hn__shards_commit(hn__shards_writer **w)
{
    hn_status s = (*w)->is_open ? end_file(*w) : HN_OK;
    if (s == HN_OK)
        s = write_index(*w);
    if (s == HN_OK)
        writer_free(w);
    else
        hn__shards_abort(w);
    return s;
}

// ---- reading ---------------------------------------------------------------------------------

typedef struct shard {
    hn__map map;
    int64_t first; // number of its first token
} shard;

struct hn__shards {
    shard *item; // and one more, whose `first` is the number of tokens
    int64_t n;
    int vocab_size, size;
    uint64_t tokenizer;
};

void hn__shards_close(hn__shards **sp)
{
    if (!sp || !*sp)
        return;
    for (int64_t i = 0; i < (*sp)->n; i++)
        hn__map_close(&(*sp)->item[i].map);
    hn__free((*sp)->item);
    hn__free(*sp);
    *sp = NULL;
}

static hn_status open_one(hn__shards *s, const char *dir, const char *where, const json_t *o,
                          bool verify)
{
    const char *name;
    int64_t tokens;
    uint64_t hash;
    HN_TRY(hn__json_string(o, where, "name", &name));
    HN_TRY(hn__json_int(o, where, "tokens", 0, INT64_MAX / 8, &tokens));
    HN_TRY(hn__json_get_hash(o, where, "hash", &hash));
    if (!*name || *name == '.' || strpbrk(name, "/\\"))
        return hn_fail(HN_ERR_FORMAT, "%s: \"name\": not the name of a file beside it", where);
    char *path = hn__path_join(dir, name);
    if (!path)
        return hn__nomem(strlen(name));
    shard *at = &s->item[s->n];
    hn_status status = hn__map_open(path, &at->map);
    if (status == HN_OK) {
        s->n++;
        s->item[s->n].first = at->first + tokens;
        if ((int64_t)at->map.size != tokens * s->size)
            status = hn_fail(HN_ERR_FORMAT,
                             "file '%s': has %zu bytes, its %" PRId64 " tokens take %" PRId64,
                             path, at->map.size, tokens, tokens * s->size);
        else if (verify && hn__hash(at->map.data, at->map.size, 0) != hash)
            status = hn_fail(HN_ERR_FORMAT,
                             "file '%s': its checksum is wrong; the file is damaged", path);
    }
    hn__free(path);
    return status;
}

static hn_status read_index(hn__shards *s, const char *dir, const char *where, const json_t *root,
                            bool verify)
{
    const char *format, *dtype;
    const json_t *files;
    int64_t version, vocab;
    HN_TRY(hn__json_string(root, where, "format", &format));
    if (strcmp(format, "hornito-tokens"))
        return hn_fail(HN_ERR_FORMAT, "%s: \"format\": not token shards of hornito", where);
    HN_TRY(hn__json_int(root, where, "version", 1, 1, &version));
    HN_TRY(hn__json_check_seal(root, where));
    HN_TRY(hn__json_int(root, where, "vocab_size", 1, INT32_MAX, &vocab));
    HN_TRY(hn__json_string(root, where, "dtype", &dtype));
    HN_TRY(hn__json_get_hash(root, where, "tokenizer", &s->tokenizer));
    HN_TRY(hn__json_array(root, where, "files", &files));
    s->vocab_size = (int)vocab;
    s->size = bytes_for(vocab);
    if (strcmp(dtype, s->size == 2 ? "u16" : "u32"))
        return hn_fail(HN_ERR_FORMAT, "%s: \"dtype\": '%.16s' for a vocabulary of %" PRId64, where,
                       dtype, vocab);
    const size_t n = json_array_size(files);
    s->item = hn__calloc(n + 1, sizeof *s->item);
    if (!s->item)
        return hn__nomem(n * sizeof *s->item);
    for (size_t i = 0; i < n; i++)
        HN_TRY(open_one(s, dir, where, json_array_get(files, i), verify));
    return HN_OK;
}

hn_status hn__shards_open(const char *dir, bool verify, hn__shards **out)
{
    *out = NULL;
    char *path = hn__path_join(dir, "index.json"), where[300];
    if (!path)
        return hn__nomem(strlen(dir));
    snprintf(where, sizeof where, "file '%s'", path);
    json_t *root = NULL;
    hn_status status = hn__json_load(path, 64 << 20, &root);
    hn__free(path);
    HN_TRY(status);
    hn__shards *s = hn__calloc(1, sizeof *s);
    status = s ? read_index(s, dir, where, root, verify) : hn__nomem(sizeof *s);
    json_decref(root);
    if (status != HN_OK)
        hn__shards_close(&s);
    *out = s;
    return status;
}

int64_t hn__shards_count(const hn__shards *s)
{
    return s->item[s->n].first;
}

int hn__shards_vocab_size(const hn__shards *s)
{
    return s->vocab_size;
}

uint64_t hn__shards_tokenizer_hash(const hn__shards *s)
{
    return s->tokenizer;
}

// The file that holds a token.
static int64_t file_of(const hn__shards *s, int64_t at)
{
    int64_t lo = 0, hi = s->n - 1;
    while (lo < hi) {
        const int64_t mid = lo + (hi - lo + 1) / 2;
        if (s->item[mid].first <= at)
            lo = mid;
        else
            hi = mid - 1;
    }
    return lo;
}

hn_status hn__shards_read(const hn__shards *s, int64_t at, int64_t n, int32_t *out)
{
    if (at < 0 || n < 0 || n > hn__shards_count(s) - at)
        return hn_fail(HN_ERR_ARG, "token shards: %" PRId64 " tokens from %" PRId64 " of %" PRId64,
                       n, at, hn__shards_count(s));
    if (n == 0)
        return HN_OK;
    for (int64_t file = file_of(s, at), end = at + n; at < end; file++) {
        const shard *f = &s->item[file];
        const uint8_t *p = f->map.data + (at - f->first) * s->size;
        for (; at < end && at < f[1].first; at++, p += s->size) {
            const uint32_t id = s->size == 2 ? (uint32_t)p[0] | (uint32_t)p[1] << 8
                                             : (uint32_t)p[0] | (uint32_t)p[1] << 8 |
                                                   (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
            if (id >= (uint32_t)s->vocab_size)
                return hn_fail(HN_ERR_FORMAT, "token shards: token %" PRId64 " is %" PRIu32
                               ", the vocabulary has %d", at, id, s->vocab_size);
            *out++ = (int32_t)id;
        }
    }
    return HN_OK;
}
