// Writing checkpoints; finding the newest good one is in checkpoint_find.c.
#include "io/checkpoint.h"
#include "io/checkpoint_find.h"
#include "io/json.h"

#include "base/os.h"

#include <string.h>
#include <unistd.h>

struct hn__checkpoint {
    char *dir, *tmp, *final;
    int64_t step, serial;
    json_t *files;
    char *path; // of the file added last
};

static char *format(const char *dir, int64_t step, const char *end, long pid)
{
    char name[96];
    if (pid)
        snprintf(name, sizeof name, "step-%" PRId64 "%s%ld", step, end, pid);
    else
        snprintf(name, sizeof name, "step-%" PRId64, step);
    return hn__path_join(dir, name);
}

void hn__checkpoint_abort(hn__checkpoint **cp)
{
    hn__checkpoint *c = cp ? *cp : NULL;
    if (!c)
        return;
    if (c->tmp && hn__remove_all(c->tmp) != HN_OK)
        hn__log(HN_LOG_WARN, "%s", hn_error_text());
    hn__free(c->dir);
    hn__free(c->tmp);
    hn__free(c->final);
    hn__free(c->path);
    json_decref(c->files);
    hn__free(c);
    *cp = NULL;
}

static hn_status begin(hn__checkpoint *c, const char *dir)
{
    c->dir = hn__path_join(dir, "");
    c->tmp = format(dir, c->step, ".tmp-", (long)getpid());
    c->final = format(dir, c->step, "", 0);
    c->files = json_array();
    if (!c->dir || !c->tmp || !c->final || !c->files)
        return hn__nomem(strlen(dir));
    HN_TRY(hn__mkdirs(dir));
    HN_TRY(hn__checkpoint_sweep(dir));
    hn__found_list found = { 0 };
    hn_status s = hn__checkpoint_list(dir, &found);
    c->serial = s == HN_OK && found.n ? found.item[0].serial + 1 : 1;
    hn__found_free(&found);
    HN_TRY(s);
    HN_TRY(hn__remove_all(c->tmp));
    return hn__mkdirs(c->tmp);
}

hn_status hn__checkpoint_begin(const char *dir, int64_t step, hn__checkpoint **out)
{
    *out = NULL;
    if (step < 0)
        return hn_fail(HN_ERR_ARG, "checkpoint: step is %" PRId64, step);
    hn__checkpoint *c = hn__calloc(1, sizeof *c);
    if (!c)
        return hn__nomem(sizeof *c);
    c->step = step;
    const hn_status s = begin(c, dir);
    if (s == HN_OK)
        *out = c;
    else
        hn__checkpoint_abort(&c);
    return hn_context(s, "checkpoint '%s'", dir);
}

hn_status hn__checkpoint_add(hn__checkpoint *c, const char *name, const char **out_path)
{
    *out_path = NULL;
    if (!hn__checkpoint_is_plain(name))
        return hn_fail(HN_ERR_ARG, "checkpoint: '%s' is no name for a file of it", name);
    for (size_t i = 0; i < json_array_size(c->files); i++)
        if (!strcmp(json_string_value(json_array_get(c->files, i)), name))
            return hn_fail(HN_ERR_ARG, "checkpoint: '%s' is added twice", name);
    HN_TRY(hn__json_append(c->files, json_string(name)));
    hn__free(c->path);
    c->path = hn__path_join(c->tmp, name);
    *out_path = c->path;
    return c->path ? HN_OK : hn__nomem(strlen(name));
}

// Syncs one file and describes it.
static hn_status describe(const hn__checkpoint *c, const char *name, json_t *list)
{
    char *path = hn__path_join(c->tmp, name);
    if (!path)
        return hn__nomem(strlen(name));
    hn__map m = { 0 };
    hn_status s = hn__sync(path);
    if (s == HN_OK)
        s = hn__map_open(path, &m);
    hn__free(path);
    HN_TRY(s);
    s = hn__json_append(list, json_pack("{s:s, s:I, s:o}", "name", name, "bytes",
                                        (json_int_t)m.size, "hash",
                                        hn__json_hash(hn__hash(m.data, m.size, 0))));
    hn__map_close(&m);
    return s;
}

static hn_status write_json(const hn__checkpoint *c)
{
    json_t *list = json_array();
    json_t *root =
        json_pack("{s:s, s:i, s:I, s:I, s:o}", "format", "hornito-checkpoint", "version", 1,
                  "step", (json_int_t)c->step, "serial", (json_int_t)c->serial, "files", list);
    hn_status s = root ? HN_OK : hn__nomem(0);
    for (size_t i = 0; s == HN_OK && i < json_array_size(c->files); i++)
        s = describe(c, json_string_value(json_array_get(c->files, i)), list);
    if (s == HN_OK)
        s = hn__json_seal(root);
    char *path = s == HN_OK ? hn__path_join(c->tmp, "checkpoint.json") : NULL;
    if (s == HN_OK)
        s = path ? hn__json_save(path, root) : hn__nomem(0);
    hn__free(path);
    json_decref(root);
    return s;
}

// The folder gets its name. One of the same step steps aside first, and can still be found there.
static hn_status publish(hn__checkpoint *c)
{
    HN_TRY(hn__sync(c->tmp));
    if (hn__exists(c->final)) {
        char *aside = format(c->dir, c->step, ".old-", (long)getpid());
        hn_status s = aside ? hn__remove_all(aside) : hn__nomem(0);
        if (s == HN_OK)
            s = hn__rename(c->final, aside);
        if (s == HN_OK && (s = hn__rename(c->tmp, c->final)) != HN_OK)
            hn__rename(aside, c->final);
        hn__free(aside);
        return s;
    }
    return hn__rename(c->tmp, c->final);
}

static hn_status write_latest(const hn__checkpoint *c)
{
    char *path = hn__path_join(c->dir, "latest");
    if (!path)
        return hn__nomem(0);
    char text[64];
    const int n = snprintf(text, sizeof text, "step-%" PRId64 "\n", c->step);
    hn__newfile f;
    hn_status s = hn__newfile_open(path, &f);
    hn__free(path);
    HN_TRY(s);
    s = hn__newfile_write(&f, text, (size_t)n);
    if (s == HN_OK)
        return hn__newfile_commit(&f);
    hn__newfile_abort(&f);
    return s;
}

// Old ones beyond `keep`, and those that stepped aside.
static hn_status remove_old(const char *dir, int keep)
{
    hn__found_list found = { 0 };
    hn_status s = hn__checkpoint_list(dir, &found);
    for (int64_t i = 0, kept = 0; i < found.n && s == HN_OK; i++) {
        kept += !found.item[i].aside;
        if (kept > keep || found.item[i].aside)
            s = hn__remove_all(found.item[i].path);
    }
    hn__found_free(&found);
    return s;
}

hn_status hn__checkpoint_commit(hn__checkpoint **cp, int keep)
{
    hn__checkpoint *c = *cp;
    hn_status s = write_json(c);
    if (s == HN_OK)
        s = publish(c);
    if (s == HN_OK) {
        // From here it is there; the rest is housekeeping.
        if (write_latest(c) != HN_OK || remove_old(c->dir, keep < 1 ? 1 : keep) != HN_OK)
            hn__log(HN_LOG_WARN, "checkpoint '%s': %s", c->dir, hn_error_text());
    } else
        hn_context(s, "checkpoint '%s'", c->dir);
    hn__checkpoint_abort(cp);
    return s;
}
