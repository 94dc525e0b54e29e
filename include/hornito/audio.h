// Recordings read as a stream: one channel of f32 at the rate asked for.
//
// Files are read by libsndfile (wav, flac, ogg, opus, mp3 and what else it knows) and resampled by
// libsoxr. What these two allocate is their own: it does not come through hn_set_allocator, and
// does not grow with the length of the recording.
#ifndef HORNITO_AUDIO_H
#define HORNITO_AUDIO_H

#include "hornito/base.h"

#ifdef __cplusplus
extern "C" {
#endif

// An open recording. Thread-safety: none.
typedef struct hn_audio hn_audio;

typedef struct hn_audio_info {
    int rate, channels; // of the file
    int64_t n_frames;   // samples of one channel in the file; -1: the file does not say
    double seconds;     // -1: the file does not say
    const char *format; // "WAV (Microsoft)"; lives as long as the recording
} hn_audio_info;

// Opens a recording to be read at `rate` samples a second (1,000 to 768,000, as the file's own
// must be). Channels are averaged; samples are in [-1, 1] where the file has integers.
// Errors: IO (cannot be opened), FORMAT (no sound file, or a damaged one), UNSUPPORTED (a rate out
// of range), ARG, NOMEM. *out is then NULL.
HN_API hn_status hn_audio_open(const char *path, int rate, hn_audio **out);
HN_API void hn_audio_close(hn_audio **a); // sets *a to NULL, which it may be already
HN_API hn_audio_info hn_audio_get_info(const hn_audio *a);

// The next n samples. *out_n < n only at the end of the recording.
// Errors: FORMAT for a sample that is infinite or not a number (with its place), and for a file
// that breaks off inside what its coding needs; NOMEM.
HN_API hn_status hn_audio_read(hn_audio *a, float *out, int64_t n, int64_t *out_n);

#ifdef __cplusplus
}
#endif
#endif
