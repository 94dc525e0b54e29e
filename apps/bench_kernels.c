// What the driver's compiler says of kernels.
#include "bench_kernels.h"

#include <stdio.h>
#include <string.h>

#include "base/base.h"
#include "device/vk/vk.h"
#include "plan/build.h"

static bool is_figure(const hn__vk_stat *s)
{
    return !strstr(s->name, "ash"); // hashes say nothing
}

hn_status bench_kernel_json(hn_device *d, const hn__kernel *k, json_t **out)
{
    hn__vk_stat *s;
    int n;

    *out = NULL;
    HN_TRY(hn__vk_kernel_stats(hn__vk_of(d), k, &s, &n));
    json_t *o = app_json_object(), *constants = app_json_array();
    app_json_set(o, "kernel", app_json_text(k->name));
    for (int i = 0; i < k->n_spec; i++)
        app_json_add(constants, app_json_int(k->spec[i]));
    app_json_set(o, "constants", constants);
    for (int i = 0; i < n; i++)
        if (is_figure(&s[i]))
            app_json_set(o, s[i].name, app_json_number(s[i].value));
    hn__free(s);
    *out = o;
    return HN_OK;
}

static bool runs_before(const hn_plan *p, int64_t at)
{
    for (int64_t i = 0; i < at; i++)
        if (p->cmds[i].kernel == p->cmds[at].kernel)
            return true;
    return false;
}

hn_status bench_plan_kernels(const hn_plan *p, json_t **out)
{
    json_t *rows = app_json_array(), *row;
    hn_status s = HN_OK;

    *out = NULL;
    for (int64_t i = 0; s == HN_OK && i < p->n_cmds; i++) {
        if (!p->cmds[i].kernel || runs_before(p, i))
            continue; // a copy
        s = bench_kernel_json(p->dev, p->cmds[i].kernel, &row);
        if (s == HN_OK)
            app_json_add(rows, row);
    }
    if (s == HN_OK)
        *out = rows;
    else
        json_decref(rows);
    return s;
}

const char *bench_kernel_text(const json_t *kernel, char *buf, size_t n)
{
    json_t *o = (json_t *)(uintptr_t)kernel, *value; // jansson's iterators take no const
    const char *key;
    size_t at = (size_t)snprintf(buf, n, "%s", json_string_value(json_object_get(o, "kernel")));

    json_object_foreach(o, key, value)
        if (json_is_number(value) && at < n)
            at += (size_t)snprintf(buf + at, n - at, "%s %s %g", strchr(buf, ':') ? "," : ":", key,
                                   json_number_value(value));
    return buf;
}
