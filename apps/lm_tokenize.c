// hornito lm tokenize: text files to token shards, with a tokenizer that is given or trained.
#include "app.h"
#include "lm_data.h"

#include "base/os.h"
#include "io/shards.h"

#include <stdio.h>
#include <string.h>

static hn_status write_shards(const lm_data *d, const char *dir, int64_t per_file)
{
    hn__shards_writer *w;
    HN_TRY(hn__shards_create(dir, hn_tokenizer_vocab_size(d->tok), hn_tokenizer_hash(d->tok),
                             per_file, &w));
    const hn_status s = hn__shards_put(w, d->tokens.id, d->tokens.n);
    if (s == HN_OK)
        return hn__shards_commit(&w);
    hn__shards_abort(&w);
    return s;
}

// The tokenizer lies beside the shards, so that the folder is all that training needs.
static hn_status tokenize(const char *dir, const char **files, int n, const lm_data_options *o,
                          int64_t per_file)
{
    lm_data d;
    HN_TRY(hn__mkdirs(dir));
    HN_TRY(lm_data_read(files, n, o, &d));
    char *path = hn__path_join(dir, "tokenizer.json");
    hn_status s = path ? hn_tokenizer_save(d.tok, path) : hn__nomem(strlen(dir));
    if (s == HN_OK)
        s = write_shards(&d, dir, per_file);
    if (s == HN_OK)
        printf("written to %s\n", dir);
    hn__free(path);
    lm_data_free(&d);
    return s;
}

int app_lm_tokenize(int argc, const char **argv)
{
    char *out = NULL, *tokenizer = NULL;
    int vocab = 4096, per_file = 100000000;
    const struct poptOption table[] = {
        { "out", 'o', POPT_ARG_STRING, &out, 0, "folder for shards, index.json and tokenizer.json",
          "DIR" },
        { "tokenizer", 0, POPT_ARG_STRING, &tokenizer, 0,
          "tokenizer.json or its folder; otherwise one is trained", "PATH" },
        { "vocab", 0, POPT_ARG_INT | POPT_ARGFLAG_SHOW_DEFAULT, &vocab, 0,
          "tokens of one that is trained", "N" },
        { "per-file", 0, POPT_ARG_INT | POPT_ARGFLAG_SHOW_DEFAULT, &per_file, 0,
          "tokens of a shard", "N" },
        APP_COMMON_OPTIONS,
    };
    app_args args;
    int rc = app_begin(argc, argv, table, &args);
    if (rc < 0 && (!out || !args.n_rest))
        rc = app_usage("--out and one or more text files are needed");
    if (rc < 0)
        rc = app_fail(tokenize(out, args.rest, args.n_rest, &(lm_data_options){ tokenizer, vocab },
                               per_file));
    return app_end(&args, rc);
}
