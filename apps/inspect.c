// hornito inspect: what a checkpoint holds, and what is missing to run it.
#include "app.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "hornito/chat.h"
#include "io/bpe.h"
#include "io/checkpoint.h"
#include "io/pretrained.h"
#include "json.h"
#include "nn/problems.h"

enum { ROWS = 200, NEAR = 64, PROBLEMS = 20 };

typedef struct report {
    const char *path;
    hn_pretrained *model;      // NULL: tensors alone
    hn_tensors *alone;
    const hn_tensors *tensors; // under the file's names
    hn_tokenizer *tok;         // NULL: none, or none that can be read
    json_t *problems;          // texts
    int64_t step;              // of a training folder; -1: none
    bool all;
} report;

static void add_problem(void *user, const char *text)
{
    report *r = user;
    app_json_add(r->problems, app_json_text(text));
}

// ---- opening -----------------------------------------------------------------------------

static bool is_there(const char *dir, const char *name)
{
    char *path = hn__path_join(dir, name);
    const bool here = path && hn__exists(path);
    hn__free(path);
    return here;
}

static bool is_gguf(const char *path)
{
    char magic[4] = "";
    FILE *f = fopen(path, "rb");
    const bool is = f && fread(magic, 4, 1, f) == 1 && !memcmp(magic, "GGUF", 4);
    if (f)
        fclose(f);
    return is;
}

// A model, or else its tensors with the reason why they are no model.
static hn_status open_path(report *r, const char *path)
{
    hn_status s = hn_pretrained_open(path, &r->model);
    if (s == HN_ERR_NOMEM)
        return s;
    if (s == HN_OK) {
        r->tensors = r->model->files;
        if (hn__pretrained_tokenizer(r->model, &r->tok) == HN_ERR_NOMEM)
            return HN_ERR_NOMEM;
        return hn__model_problems(r->model, add_problem, r);
    }
    char why[1024];
    snprintf(why, sizeof why, "%s", hn_error_text());
    s = hn_tensors_open(path, &r->alone);
    r->tensors = r->alone;
    // Of a folder that is no model at all the first reason says more.
    if (s != HN_OK)
        return hn__is_dir(path) ? hn_fail(s, "%s", why) : s;
    const bool claims = hn__is_dir(path) || is_gguf(path);
    add_problem(r, claims ? why : "the file holds tensors alone: there is no config.json");
    return HN_OK;
}

static hn_status open_report(report *r)
{
    char *newest = NULL;
    r->step = -1;
    r->problems = app_json_array();
    const bool training =
        hn__is_dir(r->path) && !is_there(r->path, "config.json") && is_there(r->path, "latest");
    if (training)
        HN_TRY(hn__checkpoint_latest(r->path, &newest, &r->step));
    const hn_status s = open_path(r, training ? newest : r->path);
    hn__free(newest);
    return s;
}

static void close_report(report *r)
{
    hn_tokenizer_destroy(&r->tok);
    hn_pretrained_close(&r->model);
    hn_tensors_destroy(&r->alone);
    json_decref(r->problems);
}

// ---- figures -----------------------------------------------------------------------------

static int64_t elements(const hn_tensor *t)
{
    int64_t n = 1;
    for (int i = 0; i < t->rank; i++)
        n *= t->dim[i];
    return n;
}

static int64_t parameters(const hn_pretrained *p)
{
    int64_t n = 0;
    for (int64_t i = 0; i < hn_tensors_count(p->tensors); i++)
        n += elements(hn_tensors_at(p->tensors, i));
    return n;
}

typedef struct type_sum {
    const char *name;
    int64_t n, elements, bytes;
} type_sum;

// CTranslate2 lists second names of variables after all of them.
static bool is_alias(const hn_tensors *t, int64_t i)
{
    return i > 0 && hn_tensors_metadata(t, "spec") &&
           hn_tensors_at(t, i)->data < hn_tensors_at(t, i - 1)->data;
}

// By type, in order of appearance; the last sum is of all.
static int sum_types(const hn_tensors *t, type_sum sum[], int most)
{
    int n = 0;
    type_sum total = { .name = "all" };
    for (int64_t i = 0; i < hn_tensors_count(t); i++) {
        const hn_tensor *e = hn_tensors_at(t, i);
        int k = 0;
        if (is_alias(t, i))
            continue;
        while (k < n && strcmp(sum[k].name, e->file_dtype) != 0)
            k++;
        if (k == n && n < most - 1)
            sum[n++] = (type_sum){ .name = e->file_dtype };
        type_sum *const both[] = { &sum[k < n ? k : n - 1], &total };
        for (int b = 0; b < 2; b++) {
            both[b]->n++;
            both[b]->elements += elements(e);
            both[b]->bytes += e->n_bytes;
        }
    }
    sum[n++] = total;
    return n;
}

static const char *shape_text(const hn_tensor *t, char *buf, size_t n)
{
    size_t at = (size_t)snprintf(buf, n, "[");
    for (int i = 0; i < t->rank && at < n; i++)
        at += (size_t)snprintf(buf + at, n - at, i ? ", %" PRId64 : "%" PRId64, t->dim[i]);
    if (at < n)
        snprintf(buf + at, n - at, "]");
    return buf;
}

// Tensors that differ by the number of their layer only are one row.
typedef struct row {
    const hn_tensor *first;
    size_t before, after; // of the name: where the number begins and ends; equal: none
    int64_t low, high, n;
} row;

// The first run of digits that is a word of the name.
static row row_of(const hn_tensor *t)
{
    row r = { t, 0, 0, 0, 0, 1 };
    const char *p = t->name;
    for (size_t i = 0; p[i]; i++) {
        if (!isdigit((unsigned char)p[i]) || (i && isalnum((unsigned char)p[i - 1])))
            continue;
        const size_t n = strspn(p + i, "0123456789");
        if (n > 6 || (p[i + n] != '.' && p[i + n] != '/'))
            continue;
        r.before = i;
        r.after = i + n;
        r.low = r.high = strtol(p + i, NULL, 10);
        break;
    }
    return r;
}

static bool alike(const row *a, const row *b)
{
    const hn_tensor *x = a->first, *y = b->first;
    return a->after > a->before && b->after > b->before && a->before == b->before &&
           !strncmp(x->name, y->name, a->before) &&
           !strcmp(x->name + a->after, y->name + b->after) && x->rank == y->rank &&
           !memcmp(x->dim, y->dim, sizeof x->dim) && !strcmp(x->file_dtype, y->file_dtype);
}

// Returns the rows, which are freed by hn__free; NULL where memory ran out.
static row *make_rows(const hn_tensors *t, bool all, int64_t *n_rows)
{
    const int64_t n = hn_tensors_count(t);
    row *rows = hn__calloc((size_t)n + 1, sizeof *rows);
    *n_rows = 0;
    for (int64_t i = 0; rows && i < n; i++) {
        const row r = row_of(hn_tensors_at(t, i));
        int64_t k = *n_rows;
        while (!all && k > 0 && *n_rows - k < NEAR && !alike(&rows[k - 1], &r))
            k--;
        if (all || k == 0 || *n_rows - k >= NEAR) {
            rows[(*n_rows)++] = r;
            continue;
        }
        row *into = &rows[k - 1];
        into->low = r.low < into->low ? r.low : into->low;
        into->high = r.high > into->high ? r.high : into->high;
        into->n++;
    }
    return rows;
}

// ---- text --------------------------------------------------------------------------------

static void row_name(const row *r, char *buf, size_t n)
{
    const char *p = r->first->name;
    if (r->n == 1)
        snprintf(buf, n, "%s", p);
    else
        snprintf(buf, n, "%.*s{%" PRId64 "..%" PRId64 "}%s", (int)r->before, p, r->low, r->high,
                 p + r->after);
}

static hn_status print_table(const report *r)
{
    int64_t n;
    char name[4200], shape[256], size[32];
    int width = 6;
    row *rows = make_rows(r->tensors, r->all, &n);
    if (!rows)
        return hn__nomem(0);
    const int64_t shown = r->all || n <= ROWS ? n : ROWS;
    for (int64_t i = 0; i < shown; i++) {
        row_name(&rows[i], name, sizeof name);
        const int len = (int)strlen(name);
        width = len > width && len <= 60 ? len : width;
    }
    printf("\n%-*s  %-5s %5s  %10s  shape\n", width, "tensor", "type", "count", "bytes");
    for (int64_t i = 0; i < shown; i++) {
        row_name(&rows[i], name, sizeof name);
        printf("%-*s  %-5s %5" PRId64 "  %10s  %s\n", width, name, rows[i].first->file_dtype,
               rows[i].n, app_bytes_text((double)rows[i].first->n_bytes, size, sizeof size),
               shape_text(rows[i].first, shape, sizeof shape));
    }
    if (shown < n)
        printf("... %" PRId64 " more rows; --all shows every tensor\n", n - shown);
    hn__free(rows);
    return HN_OK;
}

static void print_sizes(const json_t *config)
{
    static const char *const sizes[][3] = {
        { "layers", "num_hidden_layers", "n_layer" },
        { "encoder layers", "encoder_layers", NULL },
        { "decoder layers", "decoder_layers", NULL },
        { "width", "hidden_size", "n_embd" },
        { "width", "d_model", NULL },
        { "heads", "num_attention_heads", "n_head" },
        { "heads", "encoder_attention_heads", NULL },
        { "key-value heads", "num_key_value_heads", NULL },
        { "feed-forward", "intermediate_size", "n_inner" },
        { "feed-forward", "encoder_ffn_dim", NULL },
        { "vocabulary", "vocab_size", NULL },
        { "context", "max_position_embeddings", "n_positions" },
        { "context", "max_target_positions", NULL },
        { "mel bins", "num_mel_bins", NULL },
        { "audio positions", "max_source_positions", NULL },
    };
    const bool pair = json_is_integer(json_object_get(config, "encoder_layers"));
    const char *between = "";
    printf("sizes          ");
    for (size_t i = pair ? 1 : 0; i < sizeof sizes / sizeof *sizes; i++) {
        const json_t *v = json_object_get(config, sizes[i][1]);
        if (!v && sizes[i][2])
            v = json_object_get(config, sizes[i][2]);
        if (!json_is_integer(v))
            continue;
        printf("%s%s %" PRId64, between, sizes[i][0], (int64_t)json_integer_value(v));
        between = ", ";
    }
    puts("");
}

static const char *pre_tokenizer(const report *r, char *buf, size_t n)
{
    hn__gguf_string s = { "", 0 };
    if (r->model && r->model->gguf && hn__gguf_has(r->model->gguf, "tokenizer.ggml.pre"))
        hn__gguf_get_string(r->model->gguf, "tokenizer.ggml.pre", &s);
    snprintf(buf, n, "%.*s", (int)s.n, s.p);
    return buf;
}

static const char *tokenizer_kind(const report *r)
{
    return r->tok->by_char ? "SentencePiece BPE" : "byte-level BPE";
}

// The name of the format that the template writes; NULL where it is not known.
static const char *chat_format(const report *r)
{
    hn_chat *c = NULL;
    const char *name = NULL;
    if (r->model->chat_template && hn_chat_create(NULL, r->model->chat_template, &c) == HN_OK)
        for (int i = 0; hn_chat_format_name(i) && !name; i++)
            if (!strcmp(hn_chat_format_name(i), hn_chat_format(c)))
                name = hn_chat_format_name(i); // it outlives the conversation
    hn_chat_destroy(&c);
    return name;
}

static void print_model(const report *r)
{
    const hn_pretrained *p = r->model;
    char pre[64];
    printf("format         %s\n", p->format);
    const char *class =
        json_string_value(json_array_get(json_object_get(p->config, "architectures"), 0));
    printf("architecture   %s%s%s%s\n", hn_pretrained_model_type(p), class ? " (" : "",
           class ? class : "", class ? ")" : "");
    print_sizes(p->config);
    if (r->tok) {
        pre_tokenizer(r, pre, sizeof pre);
        printf("tokenizer      %s%s%s, %d tokens", tokenizer_kind(r), *pre ? ", " : "", pre,
               hn_tokenizer_vocab_size(r->tok));
        if (hn_tokenizer_missing_bytes(r->tok))
            printf(", %d byte values have none", hn_tokenizer_missing_bytes(r->tok));
        puts("");
    } else
        puts("tokenizer      none that can be read");
    const char *format = chat_format(r);
    printf("chat template  %s\n", !p->chat_template ? "none"
                                  : format           ? format
                                                     : "not known; --template picks one");
    printf("licence        %s\n", p->license ? p->license : "not said in the files");
}

static hn_status print_report(const report *r)
{
    type_sum sum[64];
    char size[32];
    const int n = sum_types(r->tensors, sum, 64);
    printf("path           %s\n", r->path);
    if (r->step >= 0)
        printf("training run   step %" PRId64 "\n", r->step);
    if (r->model)
        print_model(r);
    if (r->model)
        printf("parameters     %" PRId64 "\n", parameters(r->model));
    printf("elements       %" PRId64 " in %" PRId64 " tensors, %s\n", sum[n - 1].elements,
           sum[n - 1].n, app_bytes_text((double)sum[n - 1].bytes, size, sizeof size));
    for (int i = 0; i < n - 1; i++)
        printf("%s%-5s %" PRId64 " tensors, %" PRId64 " elements, %s\n",
               i ? "               " : "types          ", sum[i].name, sum[i].n, sum[i].elements,
               app_bytes_text((double)sum[i].bytes, size, sizeof size));
    const size_t n_problems = json_array_size(r->problems);
    for (size_t i = 0; i < n_problems && (r->all || i < PROBLEMS); i++)
        printf("%s%s\n", i ? "               " : "to run it      ",
               json_string_value(json_array_get(r->problems, i)));
    if (n_problems > PROBLEMS && !r->all)
        printf("               ... %zu more; --all shows them\n", n_problems - PROBLEMS);
    if (n_problems == 0)
        puts("to run it      nothing is missing");
    return print_table(r);
}

// ---- JSON --------------------------------------------------------------------------------

static json_t *tensors_json(const hn_tensors *t)
{
    json_t *all = app_json_array();
    for (int64_t i = 0; i < hn_tensors_count(t); i++) {
        const hn_tensor *e = hn_tensors_at(t, i);
        json_t *o = app_json_object(), *shape = app_json_array();
        for (int k = 0; k < e->rank; k++)
            app_json_add(shape, app_json_int(e->dim[k]));
        app_json_set(o, "name", app_json_text(e->name));
        app_json_set(o, "type", app_json_text(e->file_dtype));
        app_json_set(o, "shape", shape);
        app_json_set(o, "bytes", app_json_int(e->n_bytes));
        app_json_add(all, o);
    }
    return all;
}

static json_t *types_json(const type_sum sum[], int n)
{
    json_t *all = app_json_array();
    for (int i = 0; i < n; i++) {
        json_t *o = app_json_object();
        app_json_set(o, "type", app_json_text(sum[i].name));
        app_json_set(o, "tensors", app_json_int(sum[i].n));
        app_json_set(o, "elements", app_json_int(sum[i].elements));
        app_json_set(o, "bytes", app_json_int(sum[i].bytes));
        app_json_add(all, o);
    }
    return all;
}

static json_t *text_or_null(const char *s)
{
    return s ? app_json_text(s) : json_null();
}

static json_t *tokenizer_json(const report *r)
{
    char pre[64];
    if (!r->tok)
        return json_null();
    json_t *o = app_json_object();
    pre_tokenizer(r, pre, sizeof pre);
    app_json_set(o, "kind", app_json_text(tokenizer_kind(r)));
    app_json_set(o, "pre_tokenizer", text_or_null(*pre ? pre : NULL));
    app_json_set(o, "tokens", app_json_int(hn_tokenizer_vocab_size(r->tok)));
    app_json_set(o, "bytes_without_token", app_json_int(hn_tokenizer_missing_bytes(r->tok)));
    return o;
}

static json_t *metadata_json(const hn__gguf *g)
{
    json_t *o = app_json_object();
    hn__gguf_type type;
    const char *key;
    char text[256];
    for (int64_t i = 0; (key = hn__gguf_key(g, i, &type)); i++) {
        hn__gguf_text(g, i, text, sizeof text);
        app_json_set(o, key, app_json_text(text));
    }
    return o;
}

static int print_json(const report *r)
{
    type_sum sum[64];
    const int n = sum_types(r->tensors, sum, 64);
    const hn_pretrained *p = r->model;
    json_t *o = app_json_object();
    app_json_set(o, "path", app_json_text(r->path));
    app_json_set(o, "step", r->step >= 0 ? app_json_int(r->step) : json_null());
    app_json_set(o, "format", text_or_null(p ? p->format : NULL));
    app_json_set(o, "model_type", text_or_null(p ? hn_pretrained_model_type(p) : NULL));
    app_json_set(o, "config", p ? json_incref(p->config) : json_null());
    app_json_set(o, "tokenizer", tokenizer_json(r));
    app_json_set(o, "chat_template", text_or_null(p ? p->chat_template : NULL));
    app_json_set(o, "chat_format", text_or_null(p ? chat_format(r) : NULL));
    app_json_set(o, "license", text_or_null(p ? p->license : NULL));
    app_json_set(o, "metadata", p && p->gguf ? metadata_json(p->gguf) : json_null());
    app_json_set(o, "parameters", p ? app_json_int(parameters(p)) : json_null());
    app_json_set(o, "elements", app_json_int(sum[n - 1].elements));
    app_json_set(o, "bytes", app_json_int(sum[n - 1].bytes));
    app_json_set(o, "types", types_json(sum, n - 1));
    app_json_set(o, "problems", json_incref(r->problems));
    app_json_set(o, "tensors", tensors_json(r->tensors));
    return app_json_write(o, "-");
}

int app_inspect(int argc, const char **argv)
{
    int json = 0, all = 0;
    char *path = NULL;
    const struct poptOption options[] = {
        { "all", 'a', POPT_ARG_NONE, &all, 0, "every tensor in a row of its own", NULL },
        { "json", 0, POPT_ARG_NONE, &json, 0, "for machines", NULL },
        APP_COMMON_OPTIONS,
    };
    app_args args;
    int rc = app_begin(argc, argv, options, &args);
    if (rc < 0 && args.n_rest != 1)
        rc = app_usage("one file, folder or name of a model is needed");
    if (rc < 0) {
        rc = app_fail(app_model_path(args.rest[0], &path));
        report r = { .path = path, .all = all };
        if (!rc)
            rc = app_fail(open_report(&r));
        if (!rc)
            rc = json ? print_json(&r) : app_fail(print_report(&r));
        close_report(&r);
        hn__free(path);
    }
    return app_end(&args, rc);
}
