// Opening tensors by path: one file, a folder, or shards with their index.
#include "io/gguf.h"
#include "io/json.h"

#include <string.h>

static bool ends_with(const char *s, const char *end)
{
    const size_t n = strlen(s), m = strlen(end);
    return n >= m && !strcmp(s + n - m, end);
}

static hn_status read_gguf(const hn__map *m, const char *path, hn_tensors **out)
{
    hn__gguf *g;
    const hn_status s = hn__gguf_read(m->data, m->size, path, &g, out);
    hn__gguf_destroy(&g);
    return s;
}

static hn_status open_file(const char *path, hn_tensors **out)
{
    hn__map m;
    *out = NULL;
    HN_TRY(hn__map_open(path, &m));
    hn_status s;
    if (m.size >= 4 && !memcmp(m.data, "GGUF", 4))
        s = read_gguf(&m, path, out);
    else if (ends_with(path, ".bin"))
        s = hn__ctranslate2_read(m.data, m.size, path, out);
    else if (ends_with(path, ".onnx"))
        s = hn__onnx_read(m.data, m.size, path, out);
    else if (ends_with(path, ".npy"))
        s = hn__npy_read(m.data, m.size, path, out);
    else
        s = hn__safetensors_read(m.data, m.size, path, out);
    if (s == HN_OK)
        s = hn__tensors_keep(*out, &m);
    else
        hn__map_close(&m);
    if (s != HN_OK)
        hn_tensors_destroy(out);
    return s;
}

// A shard stands beside its index: its name must not lead anywhere else.
static bool is_plain(const char *file)
{
    return *file && *file != '.' && !strpbrk(file, "/\\") && ends_with(file, ".safetensors");
}

// Moves what the index places in this shard from `shard` to `t`, with the maps.
static hn_status take(hn_tensors *t, hn_tensors *shard, const json_t *map, const char *file)
{
    for (int64_t i = 0; i < shard->n; i++) {
        const hn_tensor *e = &shard->item[i];
        const char *place = json_string_value(json_object_get(map, e->name));
        if (place && !strcmp(place, file))
            HN_TRY(hn__tensors_add(t, e->name, strlen(e->name), e));
        else
            hn__log(HN_LOG_WARN,
                    "file '%s': tensor '%s' is left out, as '%s' does not place it here",
                    shard->name, e->name, t->name);
    }
    for (int64_t i = 0; i < shard->n_meta; i++)
        if (!hn_tensors_metadata(t, shard->meta[i].key))
            HN_TRY(hn__tensors_add_metadata(t, shard->meta[i].key, shard->meta[i].value));
    for (int64_t i = 0; i < shard->n_map; i++)
        HN_TRY(hn__tensors_keep(t, &shard->map[i]));
    return HN_OK;
}

static hn_status add_shard(hn_tensors *t, const char *dir, const char *file, const json_t *map)
{
    char *path = hn__path_join(dir, file);
    if (!path)
        return hn__nomem(strlen(dir));
    hn_tensors *shard;
    hn_status s = open_file(path, &shard);
    hn__free(path);
    HN_TRY(s);
    s = take(t, shard, map, file);
    hn_tensors_destroy(&shard);
    return s;
}

static hn_status read_index(hn_tensors *t, const char *dir, const json_t *root)
{
    char where[256];
    snprintf(where, sizeof where, "file '%s'", t->name);
    const json_t *map;
    HN_TRY(hn__json_object(root, where, "weight_map", &map));
    json_t *seen = json_object();
    hn_status s = seen ? HN_OK : hn__nomem(0);
    const char *key;
    json_t *v;
    json_object_foreach((json_t *)(uintptr_t)map, key, v) {
        if (s != HN_OK)
            break;
        const char *file = json_string_value(v);
        if (!file || !is_plain(file))
            s = hn_fail(HN_ERR_FORMAT,
                        "%s: tensor '%.128s': not the name of a .safetensors file beside it",
                        where, key);
        else if (!json_object_get(seen, file)) {
            s = hn__json_set(seen, file, json_true());
            if (s == HN_OK)
                s = add_shard(t, dir, file, map);
        }
    }
    json_decref(seen);
    HN_TRY(s);
    HN_TRY(hn__tensors_seal(t));
    json_object_foreach((json_t *)(uintptr_t)map, key, v)
        if (!hn_tensors_find(t, key))
            return hn_fail(HN_ERR_FORMAT, "%s: tensor '%.128s' is not in '%.128s'", where, key,
                           json_string_value(v));
    return HN_OK;
}

static hn_status open_index(const char *path, hn_tensors **out)
{
    json_t *root;
    HN_TRY(hn__json_load(path, 256 << 20, &root));
    const char *slash = strrchr(path, '/');
    const size_t n = slash ? (size_t)(slash - path) + 1 : 2;
    char *dir = hn__calloc(n + 1, 1);
    hn_status s = dir ? hn__tensors_create(path, out) : hn__nomem(n);
    if (s == HN_OK) {
        memcpy(dir, slash ? path : "./", n);
        s = read_index(*out, dir, root);
        if (s != HN_OK)
            hn_tensors_destroy(out);
    }
    hn__free(dir);
    json_decref(root);
    return s;
}

static hn_status open_folder(const char *path, hn_tensors **out)
{
    static const char *const names[] = { "model.safetensors", "model.safetensors.index.json" };
    for (int i = 0; i < 2; i++) {
        char *file = hn__path_join(path, names[i]);
        if (!file)
            return hn__nomem(strlen(path));
        const bool here = hn__exists(file);
        const hn_status s = here ? hn_tensors_open(file, out) : HN_OK;
        hn__free(file);
        if (here)
            return s;
    }
    return hn_fail(HN_ERR_IO, "folder '%s' has neither %s nor %s", path, names[0], names[1]);
}

hn_status hn_tensors_open(const char *path, hn_tensors **out)
{
    *out = NULL;
    if (hn__is_dir(path))
        return open_folder(path, out);
    return ends_with(path, ".json") ? open_index(path, out) : open_file(path, out);
}
