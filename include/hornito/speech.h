// Speech: Whisper's log-mel features, on the device.
//
// Features are those of Radford et al. 2022 (arXiv 2212.04356, section 2.2) as OpenAI's tools make
// them: 16 kHz, frames of 400 samples every 160, centred and reflected at both ends, periodic Hann
// window, power spectrum, Slaney's mel scale and norm from 0 to 8 kHz, log10 of at least 1e-10,
// floored at the largest value less 8, then (x + 4) / 4.
#ifndef HORNITO_SPEECH_H
#define HORNITO_SPEECH_H

#include "hornito/graph.h"
#include "hornito/plan.h"

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

#ifdef __cplusplus
}
#endif
#endif
