// hornito lm chat: a conversation with a language model, in a terminal or line by line through a
// pipe.
#include "app.h"

#include "base/base.h"
#include "hornito/chat.h"
#include "hornito/lm.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

typedef struct chat_options {
    char *model, *system, *format, *activations;
    app_sampling draw;
} chat_options;

typedef struct talk {
    hn_lm *m;
    hn_chat *chat;
    hn_sample_params sample;
    int32_t ends[HN_CHAT_ENDS];
    hn_ids ids;    // of the whole conversation
    bool terminal; // people read and write here
    char *line, *answer;
    int64_t cap_line, n_answer, cap_answer;
    int64_t shown; // bytes of the answer
    bool broken;   // standard output
    hn_status s;   // of taking an answer's bytes
} talk;

// ---- reading -------------------------------------------------------------------------------

// A line without its end. *more is false at the end of the input, or after Ctrl-C.
static hn_status read_line(talk *t, int64_t *n, bool *more)
{
    int c = 0;
    *n = 0;
    while ((c = getchar()) != EOF && c != '\n') {
        HN_TRY(hn__reserve((void **)&t->line, &t->cap_line, *n + 1, 1));
        t->line[(*n)++] = (char)c;
    }
    *n -= *n && t->line[*n - 1] == '\r';
    *more = !app_interrupted() && (c != EOF || *n);
    return ferror(stdin) && errno != EINTR
               ? hn_fail(HN_ERR_IO, "cannot read standard input: %s", strerror(errno))
               : HN_OK;
}

// ---- an answer -----------------------------------------------------------------------------

// Writes what of the answer is whole characters, or all of it, but for the space that some formats
// have before it.
static void show(talk *t, bool all)
{
    const size_t n = (size_t)(t->n_answer - t->shown);
    size_t whole = all ? n : hn_utf8_complete(t->answer + t->shown, n);
    while (t->shown < t->n_answer && whole && strspn(t->answer, " \n") > (size_t)t->shown) {
        t->shown++;
        whole--;
    }
    if (whole && fwrite(t->answer + t->shown, 1, whole, stdout) != whole)
        t->broken = true;
    t->broken |= fflush(stdout) != 0;
    t->shown += (int64_t)whole;
}

static bool on_bytes(void *user, const void *bytes, size_t n)
{
    talk *t = user;
    t->s = hn__reserve((void **)&t->answer, &t->cap_answer, t->n_answer + (int64_t)n + 1, 1);
    if (t->s != HN_OK)
        return false;
    memcpy(t->answer + t->n_answer, bytes, n);
    t->n_answer += (int64_t)n;
    t->answer[t->n_answer] = 0;
    show(t, false);
    return !t->broken && !app_interrupted();
}

static bool is_end(const talk *t, int32_t id)
{
    for (int i = 0; i < t->sample.n_ends; i++)
        if (t->ends[i] == id)
            return true;
    return hn_lm_is_end(t->m, id);
}

static hn_status context_full(const talk *t)
{
    return hn_fail(HN_ERR_ARG, "the conversation has %" PRId64 " tokens and fills the model's "
                   "context of %" PRId64 ": begin a new one", t->ids.n,
                   hn_lm_get_config(t->m)->context);
}

// The model's answer to the tokens so far, and what comes of it for the conversation.
static hn_status answer(talk *t)
{
    const int64_t room = hn_lm_get_config(t->m)->context - t->ids.n;
    hn_sample_params p = t->sample;
    hn_generated done;
    if (room < 1)
        return context_full(t);
    p.n_tokens = p.n_tokens < room ? p.n_tokens : room;
    t->n_answer = t->shown = 0;
    app_catch_interrupts();
    HN_TRY(hn_lm_continue(t->m, &t->ids, &p, on_bytes, t, &done));
    HN_TRY(t->s);
    hn__log(HN_LOG_INFO, "%" PRId64 " tokens put in, %" PRId64 " made", done.prompt_tokens,
            done.tokens);
    if (t->n_answer)
        show(t, true);
    t->broken |= printf("\n") < 0 || fflush(stdout);
    // The format writes the end itself, also where the model was stopped before it.
    const bool ended = is_end(t, t->ids.id[t->ids.n - 1]);
    t->ids.n -= ended;
    if (!ended && !app_interrupted() && !t->broken && p.n_tokens == room)
        return context_full(t);
    if (!ended && t->terminal && !t->broken)
        fprintf(stderr, "(%s)\n", app_interrupted() ? "stopped" : "cut: --tokens allows no more");
    t->sample.seed++; // the next answer draws other numbers
    return hn_chat_add(t->chat, HN_CHAT_ASSISTANT, t->answer, (size_t)t->n_answer);
}

static hn_status turn(talk *t, int64_t n)
{
    HN_TRY(hn_chat_add(t->chat, HN_CHAT_USER, t->line, (size_t)n));
    HN_TRY(hn_chat_open_answer(t->chat));
    HN_TRY(hn_chat_take(t->chat, hn_lm_get_tokenizer(t->m), &t->ids));
    return answer(t);
}

static hn_status converse(talk *t)
{
    bool more = true;
    int64_t n;
    while (!t->broken) {
        app_catch_interrupts(); // anew: the last one may have stopped an answer
        if (t->terminal)
            fputs("> ", stderr);
        HN_TRY(read_line(t, &n, &more));
        if (!more || (n == 5 && !memcmp(t->line, "/exit", 5)))
            break;
        if (n)
            HN_TRY(turn(t, n));
    }
    if (t->terminal && !more)
        fputs("\n", stderr);
    return HN_OK;
}

// ---- the command ---------------------------------------------------------------------------

static hn_status open_chat(talk *t, const chat_options *o, const hn_pretrained *p)
{
    HN_TRY(hn_chat_create(o->format, hn_pretrained_chat_template(p), &t->chat));
    HN_TRY(hn_chat_ends(t->chat, hn_lm_get_tokenizer(t->m), t->ends, &t->sample.n_ends));
    t->sample.ends = t->ends;
    if (o->system)
        HN_TRY(hn_chat_add(t->chat, HN_CHAT_SYSTEM, o->system, strlen(o->system)));
    if (t->terminal)
        fprintf(stderr, "%s, %s. Ctrl-C stops an answer; Ctrl-D or /exit leaves.\n", o->model,
                hn_chat_format(t->chat));
    return HN_OK;
}

static void talk_free(talk *t)
{
    hn_chat_destroy(&t->chat);
    hn_lm_close(&t->m);
    hn_ids_free(&t->ids);
    hn__free(t->line);
    hn__free(t->answer);
}

static int chat(const chat_options *o, const app_device_options *d)
{
    talk t = { .terminal = isatty(0) && isatty(1) };
    hn_pretrained *p = NULL;
    hn_device *dev = NULL;
    char *path = NULL;
    if (!o->model)
        return app_usage("--model is needed");
    const int wrong = app_read_sampling(&o->draw, &t.sample);
    if (wrong)
        return wrong;
    hn_lm_open_params open = { 0 };
    hn_status s = app_read_activations(o->activations, &open.i8);
    if (s == HN_OK)
        s = app_model_path(o->model, &path);
    if (s == HN_OK)
        s = hn_pretrained_open(path, &p);
    if (s == HN_OK)
        s = app_open_device(d, &dev);
    if (s == HN_OK)
        s = hn_lm_open(dev, path, &open, &t.m);
    if (s == HN_OK)
        s = open_chat(&t, o, p);
    if (s == HN_OK)
        s = converse(&t);
    int rc = app_fail(s);
    if (rc == 0 && t.broken)
        rc = app_error("cannot write to standard output");
    talk_free(&t);
    hn_pretrained_close(&p);
    hn__free(path);
    return app_close_device(&dev, rc);
}

int app_lm_chat(int argc, const char **argv)
{
    app_device_options dev = { 0 };
    chat_options o = {
        .draw = { .tokens = 1000, .temperature = 0.7, .top_p = 0.95, .seed = 1 }
    };
    char formats[256] = "the chat format, otherwise that of the model's template:";
    for (int i = 0; hn_chat_format_name(i); i++) {
        const size_t at = strlen(formats);
        snprintf(formats + at, sizeof formats - at, "%s %s", i ? "," : "", hn_chat_format_name(i));
    }
    const struct poptOption table[] = {
        APP_MODEL_OPTION(o.model),
        { "system", 's', POPT_ARG_STRING, &o.system, 0,
          "the system message (otherwise the template's own, where it has one)", "TEXT" },
        { "template", 0, POPT_ARG_STRING, &o.format, 0,
          formats, "NAME" },
        APP_SAMPLING_OPTIONS(o.draw, "at most in an answer"),
        APP_ACTIVATIONS_OPTION(o.activations),
        APP_DEVICE_OPTIONS(dev),
        APP_COMMON_OPTIONS,
    };
    app_args args;
    int rc = app_begin(argc, argv, table, &args);
    if (rc < 0)
        rc = chat(&o, &dev);
    return app_end(&args, rc);
}
