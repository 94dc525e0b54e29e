// What --model names: a path, or a model that tools/get-models has fetched.
#include "app.h"

#include "base/os.h"

#include <stdlib.h>
#include <string.h>

#ifndef HORNITO_MODEL_NAMES
#error "HORNITO_MODEL_NAMES is set by the build"
#endif

static hn_status copy_of(const char *path, char **out)
{
    *out = hn__calloc(strlen(path) + 1, 1);
    if (!*out)
        return hn__nomem(strlen(path) + 1);
    strcpy(*out, path);
    return HN_OK;
}

// The folder that tools/get-models fills. NULL where the environment names none, or memory ran
// out.
static char *models_dir(void)
{
    const char *ours = getenv("HORNITO_MODELS"), *xdg = getenv("XDG_CACHE_HOME");
    const char *home = getenv("HOME");
    char *cache, *dir = NULL;

    if (ours && *ours)
        return copy_of(ours, &dir) ? NULL : dir;
    if (xdg && xdg[0] == '/') // a relative one is to be ignored, says its specification
        return hn__path_join(xdg, "hornito/models");
    cache = home && *home ? hn__path_join(home, ".cache") : NULL;
    dir = cache ? hn__path_join(cache, "hornito/models") : NULL;
    hn__free(cache);
    return dir;
}

// The .gguf files of a folder: how many, and the last one.
typedef struct search {
    int n;
    bool config;
    char *found;
} search;

static hn_status look_at(void *user, const char *name)
{
    search *s = user;
    const size_t n = strlen(name);

    s->config = s->config || !strcmp(name, "config.json");
    if (n < 5 || strcmp(name + n - 5, ".gguf"))
        return HN_OK;
    char *copy = hn__calloc(n + 1, 1);
    if (!copy)
        return hn__nomem(n + 1);
    memcpy(copy, name, n);
    hn__free(s->found);
    s->found = copy;
    s->n++;
    return HN_OK;
}

// A folder stands for the GGUF file that is its only model.
static hn_status inside(char *dir, char **out)
{
    search s = { 0 };
    hn_status st = hn__list(dir, look_at, &s);

    if (st == HN_OK && s.n == 1 && !s.config) {
        *out = hn__path_join(dir, s.found);
        st = *out ? HN_OK : hn__nomem(strlen(dir));
        hn__free(dir);
    } else if (st == HN_OK)
        *out = dir;
    if (st)
        hn__free(dir);
    hn__free(s.found);
    return st;
}

static bool can_be_fetched(const char *name)
{
    static const char *const names[] = { HORNITO_MODEL_NAMES };
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (!strcmp(names[i], name))
            return true;
    return false;
}

hn_status app_model_path(const char *name, char **out)
{
    hn_status s = HN_OK;

    *out = NULL;
    if (hn__exists(name) || !*name || strchr(name, '/'))
        return copy_of(name, out);
    char *root = models_dir(), *dir = root ? hn__path_join(root, name) : NULL;
    if (dir && hn__is_dir(dir)) {
        s = inside(dir, out);
        dir = NULL;
    } else if (can_be_fetched(name))
        s = hn_fail(HN_ERR_IO, "model '%s' is not in '%s' yet: tools/get-models %s fetches it",
                    name, root ? root : "a cache folder", name);
    else
        s = copy_of(name, out);
    hn__free(dir);
    hn__free(root);
    return s;
}

hn_status app_read_activations(const char *word, bool *i8)
{
    *i8 = word && !strcmp(word, "i8");
    return !word || *i8 || !strcmp(word, "f32")
               ? HN_OK
               : hn_fail(HN_ERR_ARG, "--activations %s: give f32 or i8", word);
}

int app_read_sampling(const app_sampling *o, hn_sample_params *out)
{
    if (o->tokens < 1)
        return app_usage("--tokens %d: at least 1", o->tokens);
    if (!(o->temperature >= 0) || !(o->top_p >= 0) || o->top_k < 0)
        return app_usage("--temperature, --top-k and --top-p are not negative");
    out->temperature = (float)o->temperature;
    out->top_k = o->top_k;
    out->top_p = (float)o->top_p;
    out->seed = (uint64_t)o->seed;
    out->n_tokens = o->tokens;
    return 0;
}
