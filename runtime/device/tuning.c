// The tuning table and its file.
#include "device/tuning.h"
#include "base/os.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MOST_ROWS = 1 << 16, FIELDS = 6 };

struct hn__tuning {
    char *name, *driver, *path;
    hn__tuning_row *rows;
    int64_t n, cap;
    hn__arena arena; // strings; those of replaced rows stay until the end
    bool changed;
};

static const char *const words[] = { [HN__RIGHT] = "right", [HN__WRONG] = "wrong",
                                     [HN__BEST] = "best" };

// ---- rows ----------------------------------------------------------------------------------

// A copy without what ends a field or a line; NULL when out of memory.
static char *field_copy(hn__arena *a, const char *s)
{
    char *c = hn__arena_string(a, s);
    for (char *p = c; p && *p; p++)
        if (*p == '\t' || *p == '\n' || *p == '\r')
            *p = ' ';
    return c;
}

static bool is_same(const hn__tuning_row *a, const hn__tuning_row *b)
{
    if ((a->kind == HN__BEST) != (b->kind == HN__BEST) || strcmp(a->what, b->what))
        return false;
    return a->kind == HN__BEST || (a->code == b->code && !strcmp(a->variant, b->variant));
}

hn_status hn__tuning_put(hn__tuning *t, const hn__tuning_row *row)
{
    hn__tuning_row r = *row;
    r.what = field_copy(&t->arena, row->what);
    r.variant = field_copy(&t->arena, row->variant);
    r.why = row->why ? field_copy(&t->arena, row->why) : NULL;
    if (!r.what || !r.variant || (row->why && !r.why))
        return hn__nomem(strlen(row->what) + strlen(row->variant));

    int64_t i = 0;
    while (i < t->n && !is_same(&t->rows[i], &r))
        i++;
    if (i == MOST_ROWS)
        return hn_fail(HN_ERR_UNSUPPORTED, "a tuning table of more than %d rows", MOST_ROWS);
    HN_TRY(hn__reserve((void **)&t->rows, &t->cap, i + 1, sizeof *t->rows));
    t->rows[i] = r;
    t->n = i < t->n ? t->n : i + 1;
    t->changed = true;
    return HN_OK;
}

int64_t hn__tuning_count(const hn__tuning *t)
{
    return t->n;
}

const hn__tuning_row *hn__tuning_at(const hn__tuning *t, int64_t i)
{
    return &t->rows[i];
}

// ---- writing -------------------------------------------------------------------------------

typedef struct writer {
    hn__newfile file;
    uint64_t hash;
} writer;

static hn_status write_line(writer *w, const char *line)
{
    const size_t n = strlen(line);
    w->hash = hn__hash(line, n, w->hash);
    return hn__newfile_write(&w->file, line, n);
}

static hn_status write_row(writer *w, const hn__tuning_row *r)
{
    char line[2048];
    int n = snprintf(line, sizeof line, "%s\t%016" PRIx64 "\t%s\t%s", words[r->kind], r->code,
                     r->what, r->variant);
    if (r->kind == HN__BEST && n < (int)sizeof line)
        n += snprintf(line + n, sizeof line - (size_t)n, "\t%.3f\t%.3f", r->us, r->default_us);
    else if (r->kind == HN__WRONG && n < (int)sizeof line)
        n += snprintf(line + n, sizeof line - (size_t)n, "\t%s", r->why ? r->why : "");
    if (n >= (int)sizeof line - 1) // a row too long to be read again is not worth keeping
        return HN_OK;
    line[n] = '\n';
    line[n + 1] = '\0';
    return write_line(w, line);
}

static hn_status write_all(writer *w, const hn__tuning *t)
{
    char line[1024];

    HN_TRY(write_line(w, "hornito tuning 1\n"));
    snprintf(line, sizeof line, "driver\t%s\t%s\n", t->name, t->driver);
    HN_TRY(write_line(w, line));
    for (int64_t i = 0; i < t->n; i++)
        HN_TRY(write_row(w, &t->rows[i]));
    snprintf(line, sizeof line, "end\t%016" PRIx64 "\n", w->hash);
    HN_TRY(hn__newfile_write(&w->file, line, strlen(line)));
    return hn__newfile_commit(&w->file);
}

hn_status hn__tuning_save(const hn__tuning *t, const char *path)
{
    writer w = { .hash = 0 };
    hn_status s = hn__newfile_open(path, &w.file);
    if (s == HN_OK)
        s = write_all(&w, t);
    hn__newfile_abort(&w.file);
    return hn_context(s, "'%s'", path);
}

// ---- reading -------------------------------------------------------------------------------

// One line without its end, cut at tabs into at most FIELDS; returns how many, 0 for too many.
static int cut_fields(char *line, char *field[FIELDS])
{
    int n = 0;
    for (int i = 0; i < FIELDS; i++)
        field[i] = NULL;
    for (char *p = line; p;) {
        if (n == FIELDS)
            return 0;
        field[n++] = p;
        p = strchr(p, '\t');
        if (p)
            *p++ = '\0';
    }
    return n;
}

static bool read_hex(const char *s, uint64_t *out)
{
    char *end;
    *out = strtoull(s, &end, 16);
    return strlen(s) == 16 && !*end;
}

static bool read_us(const char *s, double *out)
{
    char *end;
    *out = strtod(s, &end);
    return end != s && !*end && *out > 0 && *out < 1e12;
}

static bool read_row(char *field[], int n, hn__tuning_row *r)
{
    *r = (hn__tuning_row){ 0 };
    for (hn__verdict k = HN__RIGHT; k <= HN__BEST; k++)
        if (!strcmp(field[0], words[k]))
            r->kind = k;
    const int want = r->kind == HN__RIGHT ? 4 : r->kind == HN__WRONG ? 5 : 6;
    if (!r->kind || n != want || !read_hex(field[1], &r->code))
        return false;
    r->what = field[2];
    r->variant = field[3];
    r->why = r->kind == HN__WRONG ? field[4] : NULL;
    return r->kind != HN__BEST ||
           (read_us(field[4], &r->us) && read_us(field[5], &r->default_us));
}

// The file's text, checked to be whole: a first line, and a last one with the hash of the rest.
static hn_status check_whole(char *text, size_t n, size_t *out_end)
{
    static const char first[] = "hornito tuning 1\n";
    const size_t last = strlen("end\t0123456789abcdef\n");
    uint64_t hash = 0, want;

    if (n < sizeof first - 1 + last || memcmp(text, first, sizeof first - 1))
        return hn_fail(HN_ERR_FORMAT, "is no tuning table");
    char *end = text + n - last;
    if (memcmp(end, "end\t", 4) || text[n - 1] != '\n')
        return hn_fail(HN_ERR_FORMAT, "is torn: its last line is missing");
    text[n - 1] = '\0';
    const bool legal = read_hex(end + 4, &want);
    for (char *p = text; p < end;) { // a line at a time, as it was written
        char *stop = memchr(p, '\n', (size_t)(end - p));
        const size_t len = stop ? (size_t)(stop - p) + 1 : (size_t)(end - p);
        hash = hn__hash(p, len, hash);
        p += len;
    }
    if (!legal || hash != want)
        return hn_fail(HN_ERR_FORMAT, "is damaged: its hash is not that of its content");
    *out_end = (size_t)(end - text);
    return HN_OK;
}

typedef struct reading {
    bool same_driver;
    int line;
} reading;

static hn_status take_line(hn__tuning *t, char *line, reading *r)
{
    char *field[FIELDS];
    const int n = cut_fields(line, field);
    hn__tuning_row row;

    r->line++;
    if (r->line == 1)
        return HN_OK;
    if (r->line == 2) {
        if (n != 3 || strcmp(field[0], "driver"))
            return hn_fail(HN_ERR_FORMAT, "line 2 names no driver");
        r->same_driver = !strcmp(field[2], t->driver);
        return strcmp(field[1], t->name)
                   ? hn_fail(HN_ERR_ARG, "is of '%s', this device is '%s'", field[1], t->name)
                   : HN_OK;
    }
    if (!read_row(field, n, &row))
        return hn_fail(HN_ERR_FORMAT, "line %d is no row", r->line);
    return row.kind == HN__BEST || r->same_driver ? hn__tuning_put(t, &row) : HN_OK;
}

static hn_status take_text(hn__tuning *t, char *text, size_t n)
{
    reading r = { 0 };
    size_t end = 0;

    HN_TRY(check_whole(text, n, &end));
    for (size_t at = 0; at < end;) {
        char *stop = memchr(text + at, '\n', end - at);
        const size_t next = stop ? (size_t)(stop - text) + 1 : end;
        if (!stop || memchr(text + at, '\0', next - at))
            return hn_fail(HN_ERR_FORMAT, "line %d is no text", r.line + 1);
        *stop = '\0';
        HN_TRY(take_line(t, text + at, &r));
        at = next;
    }
    return HN_OK;
}

static hn_status read_text(const char *path, char **out, size_t *out_n)
{
    hn__map m;
    *out = NULL;
    HN_TRY(hn__map_open(path, &m));
    *out_n = m.size;
    *out = hn__calloc(m.size + 1, 1);
    if (*out)
        memcpy(*out, m.data, m.size);
    hn__map_close(&m);
    return *out ? HN_OK : hn__nomem(*out_n);
}

// Into a table of its own first, so that a file that is not legal adds nothing.
hn_status hn__tuning_load(hn__tuning *t, const char *path)
{
    hn__tuning read = { .name = t->name, .driver = t->driver };
    char *text;
    size_t n = 0;

    HN_TRY(hn_context(read_text(path, &text, &n), "'%s'", path));
    hn_status s = hn_context(take_text(&read, text, n), "'%s'", path);
    for (int64_t i = 0; s == HN_OK && i < read.n; i++)
        s = hn__tuning_put(t, &read.rows[i]);
    hn__free(read.rows);
    hn__arena_reset(&read.arena);
    hn__free(text);
    return s;
}

// ---- life ----------------------------------------------------------------------------------

static hn_status fill(hn__tuning *t, const char *name, const char *driver, const char *path)
{
    t->name = field_copy(&t->arena, name);
    t->driver = field_copy(&t->arena, driver);
    t->path = path ? hn__arena_string(&t->arena, path) : NULL;
    if (!t->name || !t->driver || (path && !t->path))
        return hn__nomem(strlen(name) + strlen(driver));
    if (path && hn__exists(path) && hn__tuning_load(t, path))
        hn__log(HN_LOG_WARN, "tuning table %s: not used, will be replaced", hn_error_text());
    t->changed = false;
    return HN_OK;
}

hn_status hn__tuning_create(const char *name, const char *driver, const char *path,
                            hn__tuning **out)
{
    *out = hn__calloc(1, sizeof **out);
    if (!*out)
        return hn__nomem(sizeof **out);
    const hn_status s = fill(*out, name, driver, path);
    if (s) {
        (*out)->path = NULL;
        hn__tuning_destroy(out);
    }
    return s;
}

void hn__tuning_destroy(hn__tuning **t)
{
    if (!*t)
        return;
    if ((*t)->path && (*t)->changed && hn__tuning_save(*t, (*t)->path))
        hn__log(HN_LOG_WARN, "tuning table not kept: %s", hn_error_text());
    hn__free((*t)->rows);
    hn__arena_reset(&(*t)->arena);
    hn__free(*t);
    *t = NULL;
}
