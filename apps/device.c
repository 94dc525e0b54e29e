// The device that the options name, and the folder for caches.
#include "app.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/os.h"

static hn_status one_feature(const char *word, size_t len, uint32_t *mask)
{
    const char *names[HN_FEATURE_COUNT];
    char name[64];
    snprintf(name, sizeof name, "%.*s", (int)len, word);
    for (int i = 0; i < HN_FEATURE_COUNT; i++) {
        names[i] = hn_feature_name((hn_feature)(1u << i));
        if (!strcmp(names[i], name)) {
            *mask |= 1u << i;
            return HN_OK;
        }
    }
    const int near = app_nearest(name, names, HN_FEATURE_COUNT);
    return hn_fail(
        HN_ERR_ARG, "--mask: no feature '%s'; %s%s%s", name, near < 0 ? "" : "did you mean '",
        near < 0 ? "hornito devices --json lists them" : names[near], near < 0 ? "" : "'?");
}

static hn_status read_mask(const char *text, uint32_t *mask)
{
    *mask = 0;
    while (text) {
        const size_t len = strcspn(text, ",");
        HN_TRY(one_feature(text, len, mask));
        text = text[len] ? text + len + 1 : NULL;
    }
    return HN_OK;
}

char *app_cache_dir(const app_device_options *o)
{
    const char *xdg = getenv("XDG_CACHE_HOME"), *home = getenv("HOME");
    char *base = NULL, *dir;

    if (o->cache)
        dir = hn__path_join(o->cache, ".");
    else if (xdg && xdg[0] == '/') // a relative one is to be ignored, says its specification
        dir = hn__path_join(xdg, "hornito");
    else {
        base = home && *home ? hn__path_join(home, ".cache") : NULL;
        dir = base ? hn__path_join(base, "hornito") : NULL;
    }
    hn__free(base);
    if (!dir)
        hn__log(HN_LOG_WARN, "nothing is cached: HOME is not set; give --cache DIR");
    else if (hn__mkdirs(dir)) {
        hn__log(HN_LOG_WARN, "nothing is cached: %s; give --cache DIR", hn_error_text());
        hn__free(dir);
        dir = NULL;
    }
    return dir;
}

hn_status app_open_other(const app_device_options *o, const char *spec, hn_device **out)
{
    hn_device_params p = { .spec = spec, .phone = o->phone, .validation = o->validation,
                           .n_threads = o->threads, .no_self_test = o->untested };

    *out = NULL;
    if (o->threads < 0 || o->threads > 1024)
        return hn_fail(HN_ERR_ARG, "--threads %d: give 0 (all processors) to 1024", o->threads);
    if (!(o->tune >= 0 && o->tune <= 86400))
        return hn_fail(HN_ERR_ARG, "--tune %g: give 0 to 86400 seconds", o->tune);
    HN_TRY(read_mask(o->mask, &p.mask));
    char *cache = app_cache_dir(o);
    p.cache_dir = cache;
    const hn_status s = hn_device_open(&p, out);
    hn__free(cache);
    if (s == HN_OK)
        hn_device_tune(*out, o->tune);
    return s;
}

hn_status app_open_device(const app_device_options *o, hn_device **out)
{
    return app_open_other(o, o->spec, out);
}

int app_close_device(hn_device **d, int rc)
{
    const int64_t n = *d ? hn_device_validation_count(*d) : 0;
    hn_device_close(d);
    if (rc || !n)
        return rc;
    return app_error("%" PRId64 " messages from the validation layer", n);
}
