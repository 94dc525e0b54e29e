// Lists of recordings with transcripts.
#include "clips.h"

#include "base/os.h"
#include "io/text.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct reader {
    const char *path; // of the list
    char *dir;        // of the recordings
    int64_t line;
    clips *out;
} reader;

static hn_status bad(const reader *r, const char *what)
{
    return hn_fail(HN_ERR_FORMAT, "file '%s', line %" PRId64 ": %s", r->path, r->line, what);
}

// The recording's file: as it is named, or with an ending.
static hn_status find(const reader *r, const char *name, const char **out)
{
    static const char *const endings[] = { "", ".wav", ".flac", ".ogg", ".opus", ".mp3" };

    for (size_t i = 0; i < sizeof endings / sizeof *endings; i++) {
        char with[1024];
        if (snprintf(with, sizeof with, "%s%s", name, endings[i]) >= (int)sizeof with)
            return bad(r, "the path is too long");
        char *full = *name == '/' ? hn__path_join("", with + 1) : hn__path_join(r->dir, with);
        if (!full)
            return hn__nomem(strlen(with));
        const bool there = hn__exists(full) && !hn__is_dir(full);
        *out = there ? hn__arena_string(&r->out->arena, full) : NULL;
        hn__free(full);
        if (there)
            return *out ? HN_OK : hn__nomem(strlen(with));
    }
    return hn_fail(HN_ERR_IO, "file '%s', line %" PRId64 ": no recording '%s'%s%s%s", r->path,
                   r->line, name, *name == '/' ? "" : " in '", *name == '/' ? "" : r->dir,
                   *name == '/' ? "" : "'");
}

static bool is_number(const char *text)
{
    char *end;
    strtod(text, &end);
    return end != text && !*end;
}

// One line, which is the reader's to cut.
static hn_status read_line(const reader *r, char *line)
{
    clips *c = r->out;
    char *text = strchr(line, '\t'), *more = text ? strchr(text + 1, '\t') : NULL;
    hn_clip clip;

    if (!*line)
        return HN_OK;
    if (!text)
        return bad(r, "no tab between path and text");
    *text++ = 0;
    if (more) {
        *more++ = 0;
        if (!is_number(text))
            return bad(r, "three columns are path, seconds and text; the second is no number");
        text = more;
    }
    if (strchr(text, '\t'))
        return bad(r, "more than three columns");
    if (!*text)
        return bad(r, "no text");
    HN_TRY(find(r, line, &clip.path));
    clip.text = hn__arena_string(&c->arena, text);
    if (!clip.text)
        return hn__nomem(strlen(text));
    HN_TRY(hn__reserve((void **)&c->clip, &c->cap, c->n + 1, sizeof *c->clip));
    c->clip[c->n++] = clip;
    return HN_OK;
}

static hn_status read_lines(reader *r, const hn__map *m)
{
    const char *at = (const char *)m->data, *end = at + m->size;
    hn_status s = HN_OK;

    while (s == HN_OK && at < end) {
        const char *stop = memchr(at, '\n', (size_t)(end - at));
        size_t n = (size_t)((stop ? stop : end) - at);
        if (n && at[n - 1] == '\r')
            n--;
        char *line = hn__calloc(n + 1, 1);
        if (!line)
            return hn__nomem(n + 1);
        memcpy(line, at, n);
        r->line++;
        s = strlen(line) == n ? read_line(r, line) : bad(r, "a NUL character");
        hn__free(line);
        at = stop ? stop + 1 : end;
    }
    return s == HN_OK && !r->out->n ? hn_fail(HN_ERR_FORMAT, "file '%s': no recordings", r->path)
                                    : s;
}

// The folder that a path names, or "." for a name alone.
static char *folder_of(const char *path)
{
    const char *slash = strrchr(path, '/');
    const size_t n = slash ? (size_t)(slash - path) + 1 : 1;
    char *dir = hn__calloc(n + 1, 1);
    if (dir)
        memcpy(dir, slash ? path : ".", n);
    return dir;
}

hn_status clips_read(const char *path, const char *dir, clips *out)
{
    hn__map m = { 0 };

    *out = (clips){ 0 };
    reader r = { .path = path, .dir = dir ? hn__path_join(dir, "") : folder_of(path), .out = out };
    hn_status s = r.dir ? hn__text_open(path, &m) : hn__nomem(strlen(path));
    if (s == HN_OK)
        s = read_lines(&r, &m);
    hn__map_close(&m);
    hn__free(r.dir);
    if (s)
        clips_free(out);
    return s;
}

void clips_free(clips *c)
{
    hn__arena_reset(&c->arena);
    hn__free(c->clip);
    *c = (clips){ 0 };
}
