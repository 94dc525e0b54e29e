// JSON as the subcommands write it.
#include "json.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "app.h"
#include "base/os.h"

static void ran_out(void)
{
    app_error("no memory for the results; close something, or ask for less");
    exit(APP_FAILED);
}

static json_t *made(json_t *v)
{
    if (!v)
        ran_out();
    return v;
}

json_t *app_json_object(void)
{
    return made(json_object());
}

json_t *app_json_array(void)
{
    return made(json_array());
}

json_t *app_json_int(int64_t x)
{
    return made(json_integer(x));
}

json_t *app_json_number(double x)
{
    return made(isfinite(x) ? json_real(x) : json_null());
}

json_t *app_json_text(const char *s)
{
    json_t *whole = json_string(s);
    if (whole)
        return whole;
    char clean[512];
    size_t n = 0;
    for (; s[n] && n < sizeof clean - 1; n++)
        clean[n] = (unsigned char)s[n] < 0x80 ? s[n] : '?';
    clean[n] = 0;
    return made(json_string(clean));
}

void app_json_set(json_t *object, const char *key, json_t *value)
{
    if (json_object_set_new(object, key, value))
        ran_out();
}

void app_json_add(json_t *array, json_t *value)
{
    if (json_array_append_new(array, value))
        ran_out();
}

static json_t *features(uint32_t bits)
{
    json_t *o = app_json_object();
    for (int i = 0; i < HN_FEATURE_COUNT; i++)
        app_json_set(o, hn_feature_name((hn_feature)(1u << i)), json_boolean(bits >> i & 1));
    return o;
}

static json_t *matrices(const hn_device_info *d)
{
    json_t *list = app_json_array();

    for (int i = 0; i < d->n_matrices; i++) {
        const hn_matrix_size *m = &d->matrices[i];
        json_t *o = app_json_object();
        app_json_set(o, "m", app_json_int(m->m));
        app_json_set(o, "n", app_json_int(m->n));
        app_json_set(o, "k", app_json_int(m->k));
        app_json_set(o, "type", app_json_text(hn_dtype_name(m->type)));
        app_json_add(list, o);
    }
    return list;
}

json_t *app_json_device(const hn_device_info *d)
{
    char api[32];
    json_t *o = app_json_object();

    app_json_set(o, "device", app_json_text(d->spec));
    app_json_set(o, "name", app_json_text(d->name));
    app_json_set(o, "type", app_json_text(d->type));
    app_json_set(o, "memory_bytes", app_json_int(d->heap_bytes));
    if (d->kind != HN_DEVICE_VULKAN) {
        app_json_set(o, "threads", app_json_int(d->n_threads));
        return o;
    }
    snprintf(api, sizeof api, "%u.%u", d->api_major, d->api_minor);
    app_json_set(o, "driver", app_json_text(d->driver));
    app_json_set(o, "uuid", app_json_text(d->uuid));
    app_json_set(o, "vulkan", app_json_text(api));
    app_json_set(o, "max_invocations", app_json_int(d->max_invocations));
    app_json_set(o, "max_shared_bytes", app_json_int(d->max_shared_bytes));
    app_json_set(o, "max_binding_bytes", app_json_int(d->max_binding_bytes));
    app_json_set(o, "subgroup_size", app_json_int(d->subgroup_size));
    app_json_set(o, "features", features(d->features));
    app_json_set(o, "matrices", matrices(d));
    return o;
}

static hn_status write_file(const char *path, const char *text)
{
    hn__newfile f = { 0 };
    hn_status s = hn__newfile_open(path, &f);
    if (!s)
        s = hn__newfile_write(&f, text, strlen(text));
    if (!s)
        s = hn__newfile_write(&f, "\n", 1);
    if (!s)
        s = hn__newfile_commit(&f);
    hn__newfile_abort(&f);
    return s;
}

int app_json_write(json_t *value, const char *path)
{
    char *text = json_dumps(value, JSON_INDENT(2) | JSON_REAL_PRECISION(9));
    int rc = APP_DONE;
    if (!text)
        ran_out();
    else if (!strcmp(path, "-"))
        puts(text);
    else
        rc = app_fail(write_file(path, text));
    json_decref(value);
    free(text);
    return rc;
}
