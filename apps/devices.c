// hornito devices: every device with its features and limits, and the one that would be chosen.
#include "app.h"

#include <stdio.h>
#include <string.h>

#include "json.h"
#include "ops/shader.h"

// Names of the features in `bits`, with spaces between.
static void feature_words(uint32_t bits, char *out, size_t n)
{
    size_t at = 0;
    *out = 0;
    for (int i = 0; i < HN_FEATURE_COUNT; i++)
        if (bits >> i & 1 && at < n)
            at += (size_t)snprintf(out + at, n - at, "%s%s", at ? " " : "",
                                   hn_feature_name((hn_feature)(1u << i)));
}

// Sizes of cooperative matrices, and whether this build has kernels for them.
static void print_matrices(const hn_device_info *d)
{
    for (int i = 0; i < d->n_matrices; i++)
        printf("%s%ux%ux%u %s", i ? ", " : "    matrices  ", d->matrices[i].m, d->matrices[i].n,
               d->matrices[i].k, hn_dtype_name(d->matrices[i].type));
    if (d->n_matrices)
        puts(hn__shader_find("matmul_coop.f16")
                 ? ""
                 : "; not used: this build had no glslang 13 or newer (tools/get-glslang)");
}

static void print_device(const hn_device_info *d, bool chosen)
{
    char a[32], b[32], words[512];

    printf("%c %-10s  %s\n", chosen ? '*' : ' ', d->spec, d->name);
    if (*d->driver)
        printf("    driver    %s, Vulkan %u.%u\n", d->driver, d->api_major, d->api_minor);
    if (*d->uuid)
        printf("    uuid      %s\n", d->uuid);
    printf("    type      %s, %s of memory", d->type,
           app_bytes_text((double)d->heap_bytes, a, sizeof a));
    if (d->kind != HN_DEVICE_VULKAN) {
        printf(", %d threads\n", d->n_threads);
        return;
    }
    printf("\n    limits    %u invocations, %s shared, %s a binding", d->max_invocations,
           app_bytes_text(d->max_shared_bytes, a, sizeof a),
           app_bytes_text((double)d->max_binding_bytes, b, sizeof b));
    if (d->subgroup_size)
        printf(", subgroup %u", d->subgroup_size);
    feature_words(d->features, words, sizeof words);
    printf("\n    features  %s\n", *words ? words : "none beyond the floor");
    feature_words(~d->features, words, sizeof words);
    printf("    lacks     %s\n", *words ? words : "nothing");
    print_matrices(d);
}

static int print_json(const hn_device_info *list, int n, const hn_device_info *chosen,
                      const char *why)
{
    json_t *o = app_json_object(), *devices = app_json_array();
    for (int i = 0; i < n; i++)
        app_json_add(devices, app_json_device(&list[i]));
    app_json_set(o, "devices", devices);
    // As it would be opened: what --mask and --phone take away is gone from its features.
    app_json_set(o, "chosen", app_json_device(chosen));
    app_json_set(o, "why", app_json_text(why));
    return app_json_write(o, "-");
}

static int devices(const app_device_options *options, bool json)
{
    hn_device_info *list = NULL;
    hn_device *dev = NULL;
    int n = 0, rc;

    rc = app_fail(hn_device_list(&list, &n));
    if (!rc)
        rc = app_fail(app_open_device(options, &dev));
    if (!rc && json)
        rc = print_json(list, n, hn_device_get_info(dev), hn_device_reason(dev));
    else if (!rc) {
        const hn_device_info *chosen = hn_device_get_info(dev);
        for (int i = 0; i < n; i++)
            print_device(&list[i], !strcmp(list[i].spec, chosen->spec));
        printf("\n* %s\n", hn_device_reason(dev));
        if (options->mask || options->phone) {
            puts("\nAs it would be opened, with what the options take away:");
            print_device(chosen, true);
        }
    }
    hn_device_list_destroy(&list);
    return app_close_device(&dev, rc);
}

int app_devices(int argc, const char **argv)
{
    app_device_options dev = { 0 };
    int json = 0;
    const struct poptOption options[] = {
        { "json", 0, POPT_ARG_NONE, &json, 0, "for machines", NULL },
        APP_DEVICE_OPTIONS(dev),
        APP_COMMON_OPTIONS,
    };
    app_args args;
    int rc = app_begin(argc, argv, options, &args);
    if (rc < 0)
        rc = devices(&dev, json);
    return app_end(&args, rc);
}
