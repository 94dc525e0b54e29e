// Speech: Whisper's log-mel features on the device, and recordings transcribed by Whisper.
//
// Features are those of Radford et al. 2022 (arXiv 2212.04356, section 2.2) as OpenAI's tools make
// them: 16 kHz, frames of 400 samples every 160, centred and reflected at both ends, periodic Hann
// window, power spectrum, Slaney's mel scale and norm from 0 to 8 kHz, log10 of at least 1e-10,
// floored at the largest value less 8, then (x + 4) / 4.
#ifndef HORNITO_SPEECH_H
#define HORNITO_SPEECH_H

#include "hornito/graph.h"
#include "hornito/plan.h"
#include "hornito/whisper.h"

#ifdef __cplusplus
extern "C" {
#endif

enum {
    HN_SPEECH_RATE = 16000, // samples a second
    HN_MEL_HOP = 160,       // samples from a frame to the next
    HN_MEL_WINDOW = 400,    // samples of a frame
    HN_MEL_BINS = 201,      // of its spectrum
    HN_MEL_MOST = 256,      // mel bins at most; Whisper has 80 or 128
};

// The weights of the mel bins, [n_mels, HN_MEL_BINS]: triangles between points that are evenly
// spaced on Slaney's scale (Auditory Toolbox, 1998: linear to 1 kHz, then logarithmic), each of
// area 1 in Hz. n_mels in [1, HN_MEL_MOST].
HN_API void hn_mel_filters(int n_mels, float out[]);

// log10 of the mel powers, before any floor but 1e-10.
// samples: f32 [160 (F + 2)], the first frame's window first (its centre is sample 200; the last
// 80 samples are not used)   result f32 [n_mels, F]
HN_API hn_val hn_log_mel(hn_graph *g, hn_val samples, int n_mels);

// ---- the exact form: a whole segment at a time ----------------------------------------------

// A plan for segments of n_frames. The device must outlive it. Thread-safety: none.
typedef struct hn_mel_plan hn_mel_plan;
// Errors: ARG (n_mels out of range, n_frames outside [2, 100000]), NOMEM, DEVICE.
HN_API hn_status hn_mel_plan_create(hn_device *d, int n_mels, int64_t n_frames, hn_mel_plan **out);
HN_API void hn_mel_plan_destroy(hn_mel_plan **m);
// Features of n samples, n in [0, 160 n_frames], with zeros after them to the end of the segment;
// the floor lies under the largest value of the whole segment.   out: [n_mels, n_frames]
HN_API hn_status hn_mel_plan_run(hn_mel_plan *m, const float samples[], int64_t n, float out[]);

// ---- the streaming form: frames as the sound arrives -----------------------------------------

// The same features but for the floor, which lies under the largest value of the frames so far: a
// frame louder than all before it raises the floor of those after it only. How a recording is cut
// into pieces makes no difference. Thread-safety: none.
typedef struct hn_mel_stream hn_mel_stream;
// Receives n frames in turn.   frames: [n, n_mels]
typedef void (*hn_mel_frames_fn)(void *user, const float frames[], int64_t n);
HN_API hn_status hn_mel_stream_create(hn_device *d, int n_mels, hn_mel_stream **out);
HN_API void hn_mel_stream_destroy(hn_mel_stream **m);
// The next n samples; fn gets the frames that are whole by then, ten at a time: at most 0.12 s
// after their sound.
HN_API hn_status hn_mel_stream_put(hn_mel_stream *m, const float samples[], int64_t n,
                                   hn_mel_frames_fn fn, void *user);
// The end of the recording: the frames that are left (n / 160 in all, for n samples). What comes
// next is a new recording.
HN_API hn_status hn_mel_stream_end(hn_mel_stream *m, hn_mel_frames_fn fn, void *user);

// How far the two forms are apart over the frames that hold the n samples of a segment.
typedef struct hn_mel_difference {
    int64_t n_values, n_differ;  // n_differ of them by more than 1e-4
    double mean, largest;        // difference, over all values
} hn_mel_difference;
// Runs both. Errors: ARG where they have another number of mel bins; NOMEM; DEVICE.
HN_API hn_status hn_mel_compare(hn_mel_plan *exact, hn_mel_stream *stream, const float samples[],
                                int64_t n, hn_mel_difference *out);

// ---- transcribing --------------------------------------------------------------------------

// Gives the next n samples of a recording, 16 kHz, one channel; *out_n < n only at its end.
typedef hn_status (*hn_samples_fn)(void *user, float out[], int64_t n, int64_t *out_n);

// A stretch of what was said. Everything it points to is valid during the call.
typedef struct hn_segment {
    double start, end;    // seconds from the start of the recording; they never fall
    const char *text;     // UTF-8, not empty; usually begins with a space
    const int32_t *ids;   // its tokens, with timestamps
    int64_t n_ids;
    float temperature;    // at which its window was decoded; the rest is of the window too
    double avg_log_prob;  // of a token, natural logarithm
    double no_speech;     // probability that nobody speaks
    double compression;   // bytes of text / bytes of it compressed by zlib
} hn_segment;
// Returning false stops.
typedef bool (*hn_segment_fn)(void *user, const hn_segment *s);

// What {0} stands for is what OpenAI's command does, but that a window is not told what was said
// before it.
typedef struct hn_transcribe_params {
    const char *language;  // "en", ...; NULL: detected in the first window that is not silent
    bool translate;        // to English, instead of writing down
    bool no_timestamps;    // a window is one segment, and windows stand 30 s apart
    bool condition_on_previous; // a window is told what was said before it
    const char *prompt;    // said to come before the recording; NULL: nothing
    int beam;              // hypotheses at temperature 0; 1: none but the likeliest token; 0: 5
    int best_of;           // samples at temperatures above 0; 0: 5
    float patience;        // of the beam; 0: 1
    float length_penalty;  // log-probability / length^penalty decides; 0: 1
    // Tried in turn until a result is neither too repetitive nor too unlikely; NULL: 0, 0.2, ...
    // 1. With one there is no second try.
    const float *temperatures;
    int n_temperatures;
    double least_log_prob;   // of a token on average; 0: -1
    double most_compression; // 0: 2.4
    double most_no_speech;   // above it an unlikely result (or any, where least_log_prob is
                             // -INFINITY) is taken for silence; 0: 0.6; above 1: never
    bool streaming_features; // each window's features in their streaming form
    bool compare_features;   // both forms are made, and their difference is reported
    uint64_t seed;           // of the samples
    hn_segment_fn segment;   // may be NULL
    // Seconds of the recording that are done; called between tokens too. Returning false stops.
    // May be NULL.
    bool (*progress)(void *user, double seconds);
    void *user;
} hn_transcribe_params;

typedef struct hn_transcript {
    const char *language;   // the model's code, as given or detected; NULL: nothing was decoded
    double language_probability; // among all languages; 1 where it was given
    double seconds;         // of the recording that are done: all of it, unless stopped
    int64_t n_windows;      // decoded
    int64_t n_silent;       // windows that nothing was heard in
    int64_t n_tokens;       // of the results
    int64_t n_retries;      // at a temperature above the first
    bool stopped;
    hn_mel_difference features; // where compare_features asks for it: over all windows
} hn_transcript;

// A Whisper model with what transcribing needs beside it: one for any number of recordings.
// Thread-safety: none.
typedef struct hn_transcriber hn_transcriber;

// The model must outlive it. Errors: NOMEM, DEVICE; UNSUPPORTED for a model whose window is not
// 30 s or whose tokens lack what transcribing needs. *out is then NULL.
HN_API hn_status hn_transcriber_create(hn_whisper *m, hn_transcriber **out);
HN_API void hn_transcriber_destroy(hn_transcriber **t);

// Transcribes a recording by windows of 30 s that are moved by the timestamps in them (Radford et
// al. 2022, section 3.8). Memory does not grow with the recording. What ends before its window does
// is followed by zeros in the sound. A window whose samples all lie within 1e-4 is silent, and so
// is a last one of less than 10 ms.
// Errors: ARG (a language that the model lacks, and which it has; translation by a model of one
// language; a number out of range), DEVICE (logits that are no numbers), those of `read`, NOMEM.
HN_API hn_status hn_transcribe(hn_transcriber *t, hn_samples_fn read, void *read_user,
                               const hn_transcribe_params *p, hn_transcript *out);

#ifdef __cplusplus
}
#endif
#endif
