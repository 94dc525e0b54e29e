// hornito speech train: a Whisper model from recordings with transcripts.
#include "clips.h"
#include "train.h"

typedef struct options {
    train_options run;
    char *audio, *valid, *language;
    double window;
} options;

typedef struct data {
    clips train, held;
    hn_clips all;
} data;

static hn_status read_data(const options *o, const char *list, data *d)
{
    HN_TRY(clips_read(list, o->audio, &d->train));
    if (o->valid)
        HN_TRY(clips_read(o->valid, o->audio, &d->held));
    d->all = (hn_clips){ .clip = d->train.clip,
                         .n = d->train.n,
                         .held = d->held.clip,
                         .n_held = d->held.n,
                         .language = o->language,
                         .window = o->window };
    return HN_OK;
}

static hn_status create(train_run *r, hn_trainer **out)
{
    const data *d = r->user;
    return hn_trainer_create_whisper(r->dev, &r->params, &d->all, out);
}

static hn_status train(train_run *r, const options *o, const char *list, data *d)
{
    HN_TRY(read_data(o, list, d));
    r->params.model.dropout = (float)o->run.dropout;
    r->create = create;
    r->user = d;
    r->title = "Speech recognition training";
    r->unit = "recordings";
    r->per_step = (double)r->params.batch;
    return train_go(r);
}

static int run(const options *o, const char **lists, int n)
{
    train_run r = { 0 };
    data d = { 0 };

    if (n != 1)
        return app_usage("one list of recordings is needed: path, tab, text, a line each");
    if (!o->run.from)
        return app_usage("--from MODEL is needed: a Whisper model to start from");
    int rc = train_begin(&r, &o->run);
    if (rc < 0)
        rc = app_fail(train(&r, o, lists[0], &d));
    rc = train_end(&r, rc);
    clips_free(&d.train);
    clips_free(&d.held);
    return rc;
}

int app_speech_train(int argc, const char **argv)
{
    options o = { .run = { TRAIN_DEFAULTS } };
    const struct poptOption table[] = {
        TRAIN_WORD("audio", o.audio, "folder of the recordings (that of the list)", "DIR"),
        TRAIN_WORD("valid", o.valid, "list of recordings to measure on, not to train on",
                   "FILE.tsv"),
        TRAIN_WORD("language", o.language, "of models of many languages (en)", "CODE"),
        { "window", 0, POPT_ARG_DOUBLE, &o.window, 0,
          "seconds that recordings are padded to (the model's 30; fewer is faster)", "X" },
        TRAIN_OPTIONS(o.run),
        APP_COMMON_OPTIONS,
    };
    app_args args;
    int rc = app_begin(argc, argv, table, &args);
    if (rc < 0)
        rc = run(&o, args.rest, args.n_rest);
    return app_end(&args, rc);
}
