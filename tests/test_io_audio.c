// Recordings: every format, rate and number of channels gives the same sine wave as a stream;
// what is no recording, or holds what is no number, is refused in words.
#include "support/check.h"
#include "support/failing.h"
#include "support/folder.h"

#include "hornito/audio.h"

#include <sndfile.h>
#include <stdlib.h>
#include <string.h>

enum { RATE = 16000 };
static const double hz = 440, pi = 3.14159265358979323846;

// A file of `seconds` of a sine: channel c has it (c + 1) / channels times as loud.
static const char *make_sine(const char *name, int format, int rate, int channels, double seconds)
{
    SF_INFO info = { .samplerate = rate, .channels = channels, .format = format };
    const char *path = folder_path(name);
    SNDFILE *f = sf_open(path, SFM_WRITE, &info);
    CHECK(f, "%s: %s", name, sf_strerror(NULL));
    for (int64_t i = 0; i < (int64_t)(seconds * rate); i++) {
        float x[8];
        for (int c = 0; c < channels; c++)
            x[c] = (float)(0.5 * (c + 1) / channels * sin(2 * pi * hz * (double)i / rate));
        CHECK(sf_writef_float(f, x, 1) == 1, "%s: %s", name, sf_strerror(f));
    }
    sf_close(f);
    return path;
}

// Everything in pieces of odd sizes; the caller frees it.
static float *read_all(const char *path, int64_t *n)
{
    const int64_t pieces[] = { 1, 7, 4096, 160, 33333 };
    int64_t cap = 1 << 18, got;
    float *x = malloc((size_t)cap * sizeof *x);
    hn_audio *a;
    CHECK_OK(hn_audio_open(path, RATE, &a));
    *n = 0;
    for (int i = 0;; i++) {
        const int64_t want = pieces[i % 5];
        CHECK(*n + want <= cap, "'%s' does not end", path);
        CHECK_OK(hn_audio_read(a, x + *n, want, &got));
        *n += got;
        if (got < want)
            break;
    }
    CHECK_OK(hn_audio_read(a, x + *n, 1, &got));
    CHECK(got == 0, "'%s' goes on after its end", path);
    hn_audio_close(&a);
    return x;
}

static void check_sine(const char *path, double loud, double seconds, double tolerance)
{
    int64_t n;
    float *x = read_all(path, &n);
    CHECK(fabs((double)n - seconds * RATE) <= 2, "'%s': %d samples for %g s", path, (int)n,
          seconds);
    for (int64_t i = RATE / 10; i < n - RATE / 10; i++) {
        const double want = loud * sin(2 * pi * hz * (double)i / RATE);
        CHECK(fabs((double)x[i] - want) <= tolerance, "'%s': sample %d is %g, want %g", path,
              (int)i, (double)x[i], want);
    }
    free(x);
}

static void check_rates(void **state)
{
    const int rates[] = { 8000, 11025, 16000, 22050, 44100, 48000, 96000, 192000 };
    (void)state;
    for (size_t i = 0; i < sizeof rates / sizeof *rates; i++) {
        const char *path =
            make_sine("rate.wav", SF_FORMAT_WAV | SF_FORMAT_FLOAT, rates[i], 1, 1.5);
        check_sine(path, 0.5, 1.5, rates[i] == RATE ? 1e-6 : 2e-4);
    }
    for (int channels = 2; channels <= 8; channels *= 2) // the mean of (c + 1) / channels
        check_sine(make_sine("wide.wav", SF_FORMAT_WAV | SF_FORMAT_PCM_24, 192000, channels, 1),
                   0.25 * (channels + 1) / channels, 1, 2e-4);
}

static void check_formats(void **state)
{
    const struct {
        const char *name;
        int format, rate;
        double tolerance;
    } row[] = {
        { "a.wav", SF_FORMAT_WAV | SF_FORMAT_PCM_16, 44100, 1e-3 },
        { "a.flac", SF_FORMAT_FLAC | SF_FORMAT_PCM_16, 44100, 1e-3 },
        { "a.ogg", SF_FORMAT_OGG | SF_FORMAT_VORBIS, 44100, 0.03 },
        { "a.opus", SF_FORMAT_OGG | SF_FORMAT_OPUS, 48000, 0.1 },
        { "a.mp3", SF_FORMAT_MPEG | SF_FORMAT_MPEG_LAYER_III, 44100, 0.03 },
    };
    (void)state;
    for (size_t i = 0; i < sizeof row / sizeof *row; i++)
        check_sine(make_sine(row[i].name, row[i].format, row[i].rate, 2, 2), 0.375, 2,
                   row[i].tolerance);
}

static void expect_refusal(const char *path, hn_status want, const char *words)
{
    hn_audio *a = NULL;
    float x[64];
    int64_t n;
    hn_status s = hn_audio_open(path, RATE, &a);
    while (s == HN_OK) {
        s = hn_audio_read(a, x, 64, &n);
        CHECK(s || n == 64, "'%s' was read to its end", path);
    }
    CHECK(s == want, "'%s': %s, not %s: %s", path, hn_status_name(s), hn_status_name(want),
          hn_error_text());
    CHECK(strstr(hn_error_text(), words) && strstr(hn_error_text(), path), "the text is: %s",
          hn_error_text());
    hn_audio_close(&a);
}

static const char *make_samples(const char *name, const float *x, int64_t n)
{
    SF_INFO info = { .samplerate = RATE,
                     .channels = 1,
                     .format = SF_FORMAT_WAV | SF_FORMAT_FLOAT };
    SNDFILE *f = sf_open(folder_path(name), SFM_WRITE, &info);
    CHECK(f, "%s", sf_strerror(NULL));
    CHECK(sf_write_float(f, x, n) == n, "%s", sf_strerror(f));
    sf_close(f);
    return folder_path(name);
}

static void check_refused(void **state)
{
    float x[100] = { 0 };
    int64_t n;
    (void)state;
    expect_refusal(folder_path("missing.wav"), HN_ERR_IO, "No such file");
    expect_refusal(folder_path("."), HN_ERR_IO, "not a file");
    expect_refusal(folder_put("empty.wav", "", 0), HN_ERR_FORMAT, "empty");
    expect_refusal(folder_put("text.wav", "It was a dark and stormy night.", 31), HN_ERR_FORMAT,
                   "not a recording");
    expect_refusal(folder_put("half.wav", "RIFF\x20\0\0\0WAVEfmt ", 16), HN_ERR_FORMAT,
                   "not a recording");
    x[70] = NAN;
    expect_refusal(make_samples("nan.wav", x, 100), HN_ERR_FORMAT, "0.0044 s is not a finite");
    x[70] = INFINITY;
    expect_refusal(make_samples("inf.wav", x, 100), HN_ERR_FORMAT, "not a finite");
    expect_refusal(make_sine("slow.wav", SF_FORMAT_WAV | SF_FORMAT_PCM_16, 999, 1, 1),
                   HN_ERR_UNSUPPORTED, "999 samples a second");

    float *none = read_all(make_samples("none.wav", x, 0), &n); // a header and no sample
    CHECK(n == 0, "%d samples of none", (int)n);
    free(none);
    x[0] = 0.5f;
    float *one = read_all(make_samples("one.wav", x, 1), &n);
    CHECK(n == 1 && one[0] == 0.5f, "%d samples of one", (int)n);
    free(one);
}

static hn_status read_some(void *user)
{
    float x[1000];
    int64_t n;
    hn_audio *a;
    hn_status s = hn_audio_open(user, RATE, &a);
    if (s == HN_OK)
        s = hn_audio_read(a, x, 1000, &n);
    hn_audio_close(&a);
    return s;
}

static void check_nomem(void **state)
{
    (void)state;
    failing_allocations("audio", read_some,
                        (void *)(uintptr_t)make_sine(
                            "nomem.flac", SF_FORMAT_FLAC | SF_FORMAT_PCM_16, 44100, 2, 0.2));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(check_rates),
        cmocka_unit_test(check_formats),
        cmocka_unit_test(check_refused),
        cmocka_unit_test(check_nomem),
    };
    folder_make("audio");
    const int failed = cmocka_run_group_tests(tests, NULL, NULL);
    folder_remove();
    return failed;
}
