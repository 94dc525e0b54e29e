// Finding the newest good checkpoint.
#include "io/checkpoint_find.h"
#include "io/checkpoint.h"

#include "base/os.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { JSON_MOST = 16 << 20 };

bool hn__checkpoint_is_plain(const char *name)
{
    if (!*name || *name == '.' || !strcmp(name, "checkpoint.json") || strlen(name) > 200)
        return false;
    for (const char *c = name; *c; c++)
        if (*c == '/' || *c == '\\' || (unsigned char)*c < 0x20 || *c == 0x7f)
            return false;
    return true;
}

// ---- checkpoint.json -------------------------------------------------------------------------

static hn_status read_root(const json_t *root, const char *where, int64_t *step, int64_t *serial,
                           const json_t **files)
{
    const char *format;
    int64_t version;
    HN_TRY(hn__json_string(root, where, "format", &format));
    if (strcmp(format, "hornito-checkpoint"))
        return hn_fail(HN_ERR_FORMAT, "%s: \"format\": not a checkpoint of hornito", where);
    HN_TRY(hn__json_int(root, where, "version", 1, INT64_MAX, &version));
    if (version != 1)
        return hn_fail(HN_ERR_UNSUPPORTED, "%s: version %" PRId64 ", this reads version 1", where,
                       version);
    HN_TRY(hn__json_check_seal(root, where));
    HN_TRY(hn__json_int(root, where, "step", 0, INT64_MAX, step));
    HN_TRY(hn__json_int(root, where, "serial", 0, INT64_MAX - 1, serial));
    return hn__json_array(root, where, "files", files);
}

hn_status hn__checkpoint_read(const void *json, size_t n, const char *name, int64_t *step,
                              int64_t *serial, hn__checkpoint_file_fn each, void *user)
{
    *step = *serial = 0;
    char where[300];
    snprintf(where, sizeof where, "file '%s'", name);
    json_t *root;
    HN_TRY(hn__json_parse(json, n, name, &root));
    const json_t *files = NULL;
    hn_status s = read_root(root, where, step, serial, &files);
    for (size_t i = 0; s == HN_OK && i < json_array_size(files); i++) {
        const json_t *o = json_array_get(files, i);
        const char *file = "";
        int64_t n_bytes = 0;
        uint64_t hash = 0;
        s = hn__json_string(o, where, "name", &file);
        if (s == HN_OK && !hn__checkpoint_is_plain(file))
            s = hn_fail(HN_ERR_FORMAT, "%s: file %zu: not a plain name", where, i);
        if (s == HN_OK)
            s = hn__json_int(o, where, "bytes", 0, INT64_MAX, &n_bytes);
        if (s == HN_OK)
            s = hn__json_get_hash(o, where, "hash", &hash);
        if (s == HN_OK && each)
            s = each(user, file, n_bytes, hash);
    }
    json_decref(root);
    return s;
}

static hn_status read_file(const char *folder, int64_t *step, int64_t *serial,
                           hn__checkpoint_file_fn each, void *user)
{
    char *path = hn__path_join(folder, "checkpoint.json");
    if (!path)
        return hn__nomem(strlen(folder));
    hn__map m = { 0 };
    hn_status s = hn__map_open(path, &m);
    if (s == HN_OK && m.size > JSON_MOST)
        s = hn_fail(HN_ERR_FORMAT, "file '%s': more than %d bytes", path, (int)JSON_MOST);
    if (s == HN_OK)
        s = hn__checkpoint_read(m.data, m.size, path, step, serial, each, user);
    hn__map_close(&m);
    hn__free(path);
    return s;
}

static hn_status check_file(void *user, const char *name, int64_t n_bytes, uint64_t hash)
{
    char *path = hn__path_join(user, name);
    if (!path)
        return hn__nomem(strlen(name));
    hn__map m = { 0 };
    hn_status s = hn__map_open(path, &m);
    if (s == HN_OK && (int64_t)m.size != n_bytes)
        s = hn_fail(HN_ERR_FORMAT, "file '%s': has %zu bytes, was written with %" PRId64, path,
                    m.size, n_bytes);
    else if (s == HN_OK && hn__hash(m.data, m.size, 0) != hash)
        s = hn_fail(HN_ERR_FORMAT, "file '%s': its checksum is wrong; the file is damaged", path);
    hn__map_close(&m);
    hn__free(path);
    return s;
}

hn_status hn__checkpoint_check(const char *path, int64_t *out_step)
{
    int64_t serial;
    return read_file(path, out_step, &serial, check_file, (void *)(uintptr_t)path);
}

// ---- folders ---------------------------------------------------------------------------------

void hn__found_free(hn__found_list *l)
{
    for (int64_t i = 0; i < l->n; i++)
        hn__free(l->item[i].path);
    hn__free(l->item);
    *l = (hn__found_list){ 0 };
}

typedef struct listing {
    const char *dir;
    hn__found_list *out;
} listing;

static hn_status add_found(void *user, const char *name)
{
    const listing *l = user;
    if (strncmp(name, "step-", 5) || strstr(name, ".tmp-"))
        return HN_OK;
    HN_TRY(hn__reserve((void **)&l->out->item, &l->out->cap, l->out->n + 1, sizeof *l->out->item));
    hn__found f = { .path = hn__path_join(l->dir, name), .aside = strstr(name, ".old-") != NULL };
    if (!f.path)
        return hn__nomem(strlen(name));
    const hn_status s =
        hn__is_dir(f.path) ? read_file(f.path, &f.step, &f.serial, NULL, NULL) : HN_ERR_FORMAT;
    if (s == HN_OK) {
        l->out->item[l->out->n++] = f;
        return HN_OK;
    }
    if (hn__is_dir(f.path) && s != HN_ERR_NOMEM) {
        hn__log(HN_LOG_WARN, "checkpoint '%s' is left out: %s", f.path, hn_error_text());
        l->out->n_unreadable++;
    }
    hn__free(f.path);
    return s == HN_ERR_NOMEM ? s : HN_OK;
}

static int newest_first(const void *pa, const void *pb)
{
    const hn__found *a = pa, *b = pb;
    if (a->serial != b->serial)
        return a->serial > b->serial ? -1 : 1;
    return (a->step < b->step) - (a->step > b->step);
}

hn_status hn__checkpoint_list(const char *dir, hn__found_list *out)
{
    listing l = { dir, out };
    HN_TRY(hn__list(dir, add_found, &l));
    if (out->n)
        qsort(out->item, (size_t)out->n, sizeof *out->item, newest_first);
    return HN_OK;
}

static hn_status sweep_one(void *user, const char *name)
{
    const char *tmp = strstr(name, ".tmp-");
    if (strncmp(name, "step-", 5) || !tmp)
        return HN_OK;
    char *end;
    const long pid = strtol(tmp + 5, &end, 10);
    if (*end || pid <= 0 || (pid != (long)getpid() && (!kill((pid_t)pid, 0) || errno != ESRCH)))
        return HN_OK; // its writer may be alive
    char *path = hn__path_join(user, name);
    if (!path)
        return hn__nomem(strlen(name));
    hn__log(HN_LOG_INFO, "checkpoint '%s' was never finished: removed", path);
    const hn_status s = hn__remove_all(path);
    hn__free(path);
    return s;
}

hn_status hn__checkpoint_sweep(const char *dir)
{
    return hn__list(dir, sweep_one, (void *)(uintptr_t)dir);
}

hn_status hn__checkpoint_latest(const char *dir, char **out_path, int64_t *out_step)
{
    *out_path = NULL;
    *out_step = 0;
    hn__found_list found = { 0 };
    hn_status s = hn__checkpoint_list(dir, &found);
    const bool any = found.n || found.n_unreadable;
    for (int64_t i = 0; i < found.n && s == HN_OK && !*out_path; i++) {
        const hn_status good = hn__checkpoint_check(found.item[i].path, out_step);
        if (good == HN_ERR_NOMEM)
            s = good;
        else if (good != HN_OK)
            hn__log(HN_LOG_WARN, "checkpoint '%s' is left out: %s", found.item[i].path,
                    hn_error_text());
        else {
            *out_path = found.item[i].path;
            found.item[i].path = NULL;
        }
    }
    hn__found_free(&found);
    if (s != HN_OK || *out_path)
        return s;
    return any ? hn_fail(HN_ERR_FORMAT, "folder '%s': no checkpoint in it is whole", dir)
               : hn_fail(HN_ERR_IO, "folder '%s': no checkpoint in it", dir);
}
