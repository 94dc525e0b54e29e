// hornito convert: a checkpoint in another format, or with other element types.
#include "app.h"

#include <stdio.h>
#include <string.h>

#include "io/convert.h"

// The type of a name; 0 for none. Errors: usage, said.
static int type_of(const char *name, hn_dtype *out)
{
    static const hn_dtype types[] = { HN_F32, HN_F16, HN_BF16, HN_Q8_0, HN_Q4_0, HN_Q4_1 };
    enum { N = sizeof types / sizeof *types };
    const char *names[N];
    *out = 0;
    for (int i = 0; name && i < N; i++) {
        names[i] = hn_dtype_name(types[i]);
        if (!strcmp(name, names[i]))
            *out = types[i];
    }
    if (!name || *out)
        return -1;
    const int near = app_nearest(name, names, N);
    return near >= 0 ? app_usage("--type %s: did you mean %s?", name, names[near])
                     : app_usage("--type %s: f32, f16, bf16, q8_0, q4_0 and q4_1 are known", name);
}

static int convert(const char *from, const char *to, hn_dtype type)
{
    hn_pretrained *p = NULL;
    char *path;
    hn_status s = app_model_path(from, &path);
    if (s == HN_OK)
        s = hn_pretrained_open(path, &p);
    if (s == HN_OK)
        s = hn__convert(p, to, type, &type);
    if (s == HN_OK)
        printf("%s written: %s, weights %s\n", to, hn_pretrained_model_type(p),
               type ? hn_dtype_name(type) : "as they were");
    hn_pretrained_close(&p);
    hn__free(path);
    return app_fail(s);
}

int app_convert(int argc, const char **argv)
{
    char *name = NULL;
    hn_dtype type;
    const struct poptOption options[] = {
        { "type", 't', POPT_ARG_STRING, &name, 0,
          "f32, f16 or bf16, and for .gguf also q8_0, q4_0 or q4_1; otherwise what IN has",
          "TYPE" },
        APP_COMMON_OPTIONS,
    };
    app_args args;
    int rc = app_begin(argc, argv, options, &args);
    if (rc < 0 && args.n_rest != 2)
        rc = app_usage("what to read and where to write are needed: a folder, or FILE.gguf");
    if (rc < 0)
        rc = type_of(name, &type);
    if (rc < 0)
        rc = convert(args.rest[0], args.rest[1], type);
    return app_end(&args, rc);
}
