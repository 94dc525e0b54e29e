// Whisper's log-mel: the filter bank and the features of a real recording against an independent
// implementation's, and against the definition in f64; the streaming form against its definition.
#include "support/check.h"
#include "support/device.h"
#include "support/failing.h"
#include "support/models.h"

#include "base/base.h"
#include "hornito/audio.h"
#include "hornito/io.h"
#include "hornito/speech.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MELS = 80, FRAMES = 3000, SEGMENT = FRAMES * HN_MEL_HOP };

static hn_device *dev;

static float *reference(const char *path, int64_t n)
{
    hn_tensors *t;
    CHECK_OK(hn_tensors_open(path, &t));
    CHECK(hn_tensors_at(t, 0)->n_bytes == n * 4, "%s has another size", path);
    float *x = malloc((size_t)n * sizeof *x);
    CHECK_OK(hn_tensor_read(hn_tensors_at(t, 0), HN_F32, x));
    hn_tensors_destroy(&t);
    return x;
}

static void check_filters(void **state)
{
    float *want = reference(reference_path("mel_filters_201x80.npy"), HN_MEL_BINS * MELS), *got;
    (void)state;
    got = malloc(HN_MEL_BINS * MELS * sizeof *got);
    hn_mel_filters(MELS, got);
    double most = 0;
    for (int m = 0; m < MELS; m++)
        for (int k = 0; k < HN_MEL_BINS; k++)
            most = fmax(most, fabs((double)got[m * HN_MEL_BINS + k] - (double)want[k * MELS + m]));
    print_message("largest difference of the filters: %.3g\n", most);
    CHECK(most <= 1e-7, "filters differ by %g", most);
    free(want);
    free(got);
}

// The definition: log10 of the mel powers of the frame centred on sample `at`, mirrored at the
// ends of x.
static void define_frame(const float *x, int64_t n, int64_t at, int n_mels, const float *filters,
                         double *out)
{
    double power[HN_MEL_BINS];
    const double pi = acos(-1);
    for (int k = 0; k < HN_MEL_BINS; k++) {
        double re = 0, im = 0;
        for (int i = 0; i < HN_MEL_WINDOW; i++) {
            int64_t j = at - HN_MEL_WINDOW / 2 + i;
            j = j < 0 ? -j : j >= n ? 2 * (n - 1) - j : j;
            const double v = (double)x[j] * (0.5 - 0.5 * cos(2 * pi * i / HN_MEL_WINDOW));
            re += v * cos(2 * pi * i * k / HN_MEL_WINDOW);
            im += v * sin(2 * pi * i * k / HN_MEL_WINDOW);
        }
        power[k] = re * re + im * im;
    }
    for (int m = 0; m < n_mels; m++) {
        double sum = 0;
        for (int k = 0; k < HN_MEL_BINS; k++)
            sum += power[k] * (double)filters[m * HN_MEL_BINS + k];
        out[m] = log10(fmax(sum, 1e-10));
    }
}

// Speech-like noise that grows: bursts of filtered noise, louder and louder.
static void make_noise(float *x, int64_t n, uint64_t seed)
{
    hn_rng rng = hn__rng(seed, 1);
    double y = 0;
    for (int64_t i = 0; i < n; i++) {
        y = 0.9 * y + 0.1 * hn__rng_normal(&rng);
        x[i] = (float)(y * (i / 3000 % 2 ? 0.3 : 0.003) * (double)(1 + i / 6000));
    }
}

typedef struct heard {
    float *x; // [frames, mels]
    int64_t n, most, n_mels;
} heard;

static void hear(void *user, const float frames[], int64_t n)
{
    heard *h = user;
    CHECK(h->n + n <= h->most, "more than %d frames", (int)h->most);
    memcpy(h->x + h->n * h->n_mels, frames, (size_t)(n * h->n_mels) * sizeof *frames);
    h->n += n;
}

// Both forms of n samples against the definition.
static void check_against_definition(int64_t n, int n_mels, uint64_t seed)
{
    const int64_t n_frames = n / HN_MEL_HOP;
    float *x = malloc((size_t)n * sizeof *x), *filters = malloc(HN_MEL_BINS * 128 * sizeof *x);
    double *want = malloc((size_t)(n_frames * n_mels) * sizeof *want);
    float *got = malloc((size_t)(n_frames * n_mels) * sizeof *got);
    heard h = { malloc((size_t)(n_frames * n_mels) * sizeof *got), 0, n_frames, n_mels };
    hn_mel_plan *plan;
    hn_mel_stream *stream;
    double most = -30, most_exact = 0, most_stream = 0;

    make_noise(x, n, seed);
    hn_mel_filters(n_mels, filters);
    for (int64_t t = 0; t < n_frames; t++)
        define_frame(x, n, t * HN_MEL_HOP, n_mels, filters, want + t * n_mels);
    for (int64_t i = 0; i < n_frames * n_mels; i++)
        most = fmax(most, want[i]);

    CHECK_OK(hn_mel_plan_create(dev, n_mels, n_frames, &plan));
    CHECK_OK(hn_mel_stream_create(dev, n_mels, &stream));
    CHECK_OK(hn_mel_plan_run(plan, x, n_frames * HN_MEL_HOP, got));
    for (int round = 0; round < 2; round++) { // the second is a new recording
        h.n = 0;
        for (int64_t at = 0, part = 1; at < n; at += part, part = part * 3 % 4001 + 1) {
            part = part < n - at ? part : n - at;
            CHECK_OK(hn_mel_stream_put(stream, x + at, part, hear, &h));
            CHECK(h.n <= (at + part) / HN_MEL_HOP, "frames before their sound");
        }
        CHECK_OK(hn_mel_stream_end(stream, hear, &h));
        CHECK(h.n == n_frames, "%d frames, not %d", (int)h.n, (int)n_frames);
    }
    double so_far = -30;
    for (int64_t t = 0; t < n_frames; t++) {
        for (int m = 0; m < n_mels; m++)
            so_far = fmax(so_far, want[t * n_mels + m]);
        for (int m = 0; m < n_mels; m++) {
            const double w = want[t * n_mels + m];
            const double exact = (fmax(w, most - 8) + 4) / 4, run = (fmax(w, so_far - 8) + 4) / 4;
            // The segment of whole hops is mirrored at another place than the recording.
            if (n % HN_MEL_HOP == 0 || t + 2 < n_frames)
                most_exact = fmax(most_exact, fabs((double)got[m * n_frames + t] - exact));
            most_stream = fmax(most_stream, fabs((double)h.x[t * n_mels + m] - run));
        }
    }
    print_message("%d samples, %d bins, seed %d: off by %.3g, streaming by %.3g\n", (int)n, n_mels,
                  (int)seed, most_exact, most_stream);
    CHECK(most_exact <= 2e-5 && most_stream <= 2e-5, "off by %g and %g", most_exact, most_stream);
    hn_mel_plan_destroy(&plan);
    hn_mel_stream_destroy(&stream);
    free(x);
    free(filters);
    free(want);
    free(got);
    free(h.x);
}

static void check_definition(void **state)
{
    (void)state;
    check_against_definition(16000, MELS, 1);
    check_against_definition(12345, 128, 2);
    check_against_definition(320, MELS, 3);
    check_against_definition(1840, MELS, 4); // exactly one block
}

// A recording shorter than what is mirrored goes on with zeros, as a segment does.
static void check_short(void **state)
{
    float x[200], got[MELS], want[2 * MELS];
    heard h = { got, 0, 1, MELS };
    hn_mel_plan *plan;
    hn_mel_stream *stream;
    (void)state;
    make_noise(x, 200, 9);
    CHECK_OK(hn_mel_stream_create(dev, MELS, &stream));
    CHECK_OK(hn_mel_plan_create(dev, MELS, 2, &plan));
    CHECK_OK(hn_mel_stream_put(stream, x, 159, hear, &h));
    CHECK_OK(hn_mel_stream_end(stream, hear, &h));
    CHECK(h.n == 0, "a frame of 159 samples");
    CHECK_OK(hn_mel_stream_put(stream, x, 180, hear, &h));
    CHECK_OK(hn_mel_stream_end(stream, hear, &h));
    CHECK(h.n == 1, "%d frames of 180 samples", (int)h.n);
    CHECK_OK(hn_mel_plan_run(plan, x, 180, want));
    float most = -30;
    for (int m = 0; m < MELS; m++)
        most = fmaxf(most, want[2 * m]);
    for (int m = 0; m < MELS; m++)
        CHECK(fabsf(got[m] - fmaxf(want[2 * m], most - 2)) < 2e-4f, "bin %d: %g, not %g", m,
              (double)got[m], (double)want[2 * m]);
    CHECK_FAILS(hn_mel_plan_run(plan, x, 321, want), HN_ERR_ARG);
    hn_mel_plan_destroy(&plan);
    hn_mel_stream_destroy(&stream);
    CHECK_FAILS(hn_mel_plan_create(dev, 0, 10, &plan), HN_ERR_ARG);
    CHECK_FAILS(hn_mel_plan_create(dev, 80, 1, &plan), HN_ERR_ARG);
    CHECK_FAILS(hn_mel_stream_create(dev, 257, &stream), HN_ERR_ARG);
}

static void check_recording(void **state)
{
    float *want = reference(reference_path("logmel_80x3000.npy"), MELS * FRAMES);
    float *x = malloc(SEGMENT * sizeof *x), *got = malloc(MELS * FRAMES * sizeof *got);
    hn_audio *a;
    hn_mel_plan *plan;
    hn_mel_stream *stream;
    hn_mel_difference d;
    int64_t n;
    double most = 0, sum = 0;
    (void)state;

    CHECK_OK(hn_audio_open(reference_path("librivox_0870.wav"), HN_SPEECH_RATE, &a));
    CHECK_OK(hn_audio_read(a, x, SEGMENT, &n));
    hn_audio_close(&a);
    CHECK_OK(hn_mel_plan_create(dev, MELS, FRAMES, &plan));
    CHECK_OK(hn_mel_plan_run(plan, x, n, got));
    for (int64_t i = 0; i < MELS * FRAMES; i++) {
        const double off = fabs((double)got[i] - (double)want[i]);
        most = fmax(most, off);
        sum += off;
    }
    print_message("features of the recording: largest difference %.3g, mean %.3g\n", most,
                  sum / MELS / FRAMES);
    CHECK(most <= 1e-4, "features differ by %g", most);

    CHECK_OK(hn_mel_stream_create(dev, MELS, &stream));
    if (hn_device_get_info(dev)->kind != HN_DEVICE_REF) {
        CHECK_OK(hn_mel_compare(plan, stream, x, n, &d));
        print_message("streaming: %.2f %% of %d values differ, mean %.3g, largest %.3g\n",
                      100 * (double)d.n_differ / (double)d.n_values, (int)d.n_values, d.mean,
                      d.largest);
        CHECK(d.n_values == (n + 159) / 160 * MELS && d.n_differ > 0, "nothing was compared");
        CHECK(d.n_differ < d.n_values / 5 && d.largest < 2, "the forms are too far apart");
    }
    hn_mel_plan_destroy(&plan);
    hn_mel_stream_destroy(&stream);
    free(want);
    free(got);
    free(x);
}

static hn_status make_both(void *user)
{
    hn_mel_plan *plan = NULL;
    hn_mel_stream *stream = NULL;
    const float x[1000] = { 0 };
    hn_mel_difference d;
    (void)user;
    hn_status s = hn_mel_plan_create(dev, 8, 20, &plan);
    if (s == HN_OK)
        s = hn_mel_stream_create(dev, 8, &stream);
    if (s == HN_OK)
        s = hn_mel_compare(plan, stream, x, 1000, &d);
    hn_mel_plan_destroy(&plan);
    hn_mel_stream_destroy(&stream);
    return s;
}

static void check_nomem(void **state)
{
    (void)state;
    if (hn_device_get_info(dev)->kind == HN_DEVICE_VULKAN)
        skip(); // drivers' allocations are theirs; the host's are the same on each device
    failing_allocations("log-mel", make_both, NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(check_filters), cmocka_unit_test(check_definition),
        cmocka_unit_test(check_short),   cmocka_unit_test(check_recording),
        cmocka_unit_test(check_nomem),
    };
    const hn_device_params p = test_device_params();
    dev = test_device_open(&p);
    const int failed = cmocka_run_group_tests(tests, NULL, NULL);
    test_device_close(&dev);
    return failed;
}
