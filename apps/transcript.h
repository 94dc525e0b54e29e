// A transcript as it is written: text, SubRip, WebVTT or JSON, segment by segment.
#ifndef HORNITO_TRANSCRIPT_H
#define HORNITO_TRANSCRIPT_H

#include <stdio.h>

#include "base/os.h"
#include "hornito/speech.h"
#include "json.h"

typedef enum transcript_format {
    TRANSCRIPT_TXT,
    TRANSCRIPT_SRT,
    TRANSCRIPT_VTT,
    TRANSCRIPT_JSON,
    TRANSCRIPT_FORMATS
} transcript_format;
// "txt", "srt", "vtt", "json", which are also the endings of files; NULL past the last.
extern const char *const transcript_formats[TRANSCRIPT_FORMATS + 1];

typedef struct transcript {
    transcript_format format;
    hn__newfile file; // {0}: standard output
    hn_status status; // of writing so far
    int64_t n_segments;
    bool lines; // text: a segment a line, as a progress line stands below
    bool is_one;      // the only recording: JSON is then indented
    json_t *segments; // of JSON
    char *text;       // of JSON: all of it
    int64_t n_text, cap_text;
} transcript;

// Begins one: on standard output where path is NULL.
hn_status transcript_begin(transcript *t, transcript_format format, const char *path, bool is_one);
void transcript_add(transcript *t, const hn_segment *s);
// What JSON says beside the segments: taken, and NULL for the other formats.
hn_status transcript_end(transcript *t, json_t *about);
// Gives up: nothing is left of the file; a line begun on standard output is ended.
void transcript_abort(transcript *t);

#endif
