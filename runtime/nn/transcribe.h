// Inside nn/: what the files of the transcriber share.
#ifndef HN_NN_TRANSCRIBE_H
#define HN_NN_TRANSCRIBE_H

#include "hornito/speech.h"
#include "nn/whisper_decode.h"

// What one window came to.
typedef struct hn__window_result {
    const int32_t *ids; // in the transcriber's room
    int64_t n;
    float temperature;
    double avg_log_prob, no_speech, compression;
} hn__window_result;

struct hn_transcriber {
    hn_whisper *m;
    hn_mel_plan *mel;
    hn_mel_stream *stream;  // made when first needed
    int64_t n_mels, window; // samples of a window
    float *samples;         // [window]: from where the window stands
    float *features;        // [n_mels, window / HN_MEL_HOP]
    float *logits;          // [HN_WHISPER_MAX_ROWS, vocab]
    int32_t *ids;           // [context]: of the result
    int32_t *prompt;        // [context]
    int32_t *before;        // [context / 2 - 1]: what was said before the window
    int64_t n_before;
    char *text; // of a result or a segment
    int64_t cap_text;

    // Of the recording at hand:
    const hn_transcribe_params *p;
    hn_transcript *out;
    hn__whisper_rules rules;
    int32_t language; // its token; -1: not known, or the model has none
    int64_t have;     // samples in the window
    bool ended;       // the recording gave its last sample
    int64_t at;       // of the window's first sample
    bool said_any;    // a segment was given on
};

// ---- transcribe_window.c -------------------------------------------------------------------

// Decodes the encoded window: at one temperature after the other until the result will do.
hn_status hn__window_decode(hn_transcriber *t, hn__window_result *out);
// The language that the encoded window is likeliest to be in, to t->language and t->out.
hn_status hn__window_detect(hn_transcriber *t);
// The text of n tokens without those that are none, UTF-8 whatever the tokens, in t->text.
hn_status hn__window_text(hn_transcriber *t, const int32_t *ids, int64_t n);
// False where progress wants to stop.
bool hn__window_go_on(hn_transcriber *t);

#endif
