// Whisper's log-mel features as a graph: frames, a windowed Fourier transform as one matrix
// product, the mel bins as another.
#include "hornito/speech.h"

#include "hornito/ops.h"
#include "ir/ir.h"

#include <float.h>
#include <math.h>
#include <string.h>

enum { HALF = HN_MEL_WINDOW / 2, STREAM_FRAMES = 10 };

static const double pi = 3.14159265358979323846;
static const float ln_10 = 2.30258509299404568402f;

// ---- constants -----------------------------------------------------------------------------

static double mel_to_hz(double mel)
{
    return mel < 15 ? mel * 200 / 3 : 1000 * exp((mel - 15) * log(6.4) / 27);
}

static double hz_to_mel(double hz)
{
    return hz < 1000 ? hz * 3 / 200 : 15 + 27 * log(hz / 1000) / log(6.4);
}

void hn_mel_filters(int n_mels, float out[])
{
    const double top = hz_to_mel(HN_SPEECH_RATE / 2), step = top / (n_mels + 1);

    for (int m = 0; m < n_mels; m++) {
        const double low = mel_to_hz(m * step), mid = mel_to_hz((m + 1) * step),
                     high = mel_to_hz((m + 2) * step);
        for (int k = 0; k < HN_MEL_BINS; k++) {
            const double hz = (double)k * HN_SPEECH_RATE / HN_MEL_WINDOW;
            const double up = (hz - low) / (mid - low), down = (high - hz) / (high - mid);
            const double w = up < down ? up : down;
            out[m * HN_MEL_BINS + k] = w > 0 ? (float)(w * 2 / (high - low)) : 0;
        }
    }
}

// [HN_MEL_WINDOW, 2 HN_MEL_BINS]: cosines, then sines, times the window.
static void fill_fourier(float *out)
{
    for (int i = 0; i < HN_MEL_WINDOW; i++) {
        const double window = 0.5 - 0.5 * cos(2 * pi * i / HN_MEL_WINDOW);
        float *row = out + (size_t)i * 2 * HN_MEL_BINS;
        for (int k = 0; k < HN_MEL_BINS; k++) {
            // The product is taken modulo a turn in integers: the angle stays exact.
            const double angle = 2 * pi * (i * k % HN_MEL_WINDOW) / HN_MEL_WINDOW;
            row[k] = (float)(window * cos(angle));
            row[HN_MEL_BINS + k] = (float)(window * sin(angle));
        }
    }
}

static hn_val make_const(hn_graph *g, int64_t rows, int64_t cols, int n_mels)
{
    float *x = hn__calloc((size_t)(rows * cols), sizeof *x);
    if (!x)
        return hn__graph_fail(g, hn__nomem((size_t)(rows * cols) * sizeof *x));
    if (n_mels)
        hn_mel_filters(n_mels, x);
    else
        fill_fourier(x);
    const hn_val v = hn_const(g, (hn_type){ HN_F32, 2, { rows, cols } }, x);
    hn__free(x);
    return v;
}

// ---- the graph -----------------------------------------------------------------------------

// [F + 2, 160] -> [F, 400]: a frame is two rows and the half of a third.
static hn_val cut_frames(hn_graph *g, hn_val rows, int64_t n_frames)
{
    const hn_val a = hn_slice(g, rows, 0, 0, n_frames, 1),
                 b = hn_slice(g, rows, 0, 1, n_frames, 1);
    const hn_val c =
        hn_slice(g, hn_slice(g, rows, 0, 2, n_frames, 1), 1, 0, HN_MEL_WINDOW - 2 * HN_MEL_HOP, 1);
    return hn_concat(g, hn_concat(g, a, b, 1), c, 1);
}

static hn_status check_mels(int n_mels)
{
    if (n_mels < 1 || n_mels > HN_MEL_MOST)
        return hn_fail(HN_ERR_ARG, "%d mel bins; 1 to %d can be made", n_mels, HN_MEL_MOST);
    return HN_OK;
}

hn_val hn_log_mel(hn_graph *g, hn_val samples, int n_mels)
{
    const hn_type type = hn_val_type(g, samples);
    const int64_t rows = type.dim[0] / HN_MEL_HOP;

    if (samples.id == 0)
        return samples;
    if (check_mels(n_mels))
        return hn__graph_fail(g, HN_ERR_ARG);
    if (type.rank != 1 || type.dim[0] % HN_MEL_HOP || rows < 3)
        return hn__graph_fail(g, hn_fail(HN_ERR_SHAPE,
                                         "log-mel: %" PRId64 " samples are not %d (F + 2)",
                                         type.dim[0], HN_MEL_HOP));
    const hn_val x = hn_reshape(g, samples, 2, (int64_t[]){ rows, HN_MEL_HOP });
    const hn_val spectrum =
        hn_matmul(g, cut_frames(g, x, rows - 2), make_const(g, HN_MEL_WINDOW, 2 * HN_MEL_BINS, 0),
                  NULL); // [F, 2 bins]
    const hn_val square = hn_mul(g, spectrum, spectrum);
    const hn_val power = hn_add(g, hn_slice(g, square, 1, 0, HN_MEL_BINS, 1),
                                hn_slice(g, square, 1, HN_MEL_BINS, HN_MEL_BINS, 1));
    const hn_val mel = hn_matmul(g, make_const(g, n_mels, HN_MEL_BINS, n_mels), power,
                                 &(hn_matmul_params){ .transpose_b = true }); // [n_mels, F]
    return hn_mul_scalar(g, hn_log(g, hn_clamp(g, mel, 1e-10f, FLT_MAX)), 1 / ln_10);
}

// (max(x, most - 8) + 4) / 4
static hn_val scale(hn_graph *g, hn_val x, hn_val most)
{
    return hn_affine(g, hn_max(g, x, hn_add_scalar(g, most, -8)), 0.25f, 1);
}

static hn_val samples_input(hn_graph *g, int64_t n_frames)
{
    return hn_input(g, "samples", (hn_type){ HN_F32, 1, { (n_frames + 2) * HN_MEL_HOP } });
}

// ---- a segment -----------------------------------------------------------------------------

struct hn_mel_plan {
    hn_plan *plan;
    int n_mels;
    int64_t n_frames;
    float *samples; // [(n_frames + 2) HN_MEL_HOP]
};

static hn_status make_segment_plan(hn_mel_plan *m, hn_device *d)
{
    hn_graph *g;
    HN_TRY(hn_graph_create(&g));
    const hn_val x = hn_log_mel(g, samples_input(g, m->n_frames), m->n_mels);
    const hn_val all = hn_reshape(g, x, 2, (int64_t[]){ 1, -1 });
    hn_output(g, "features", scale(g, all, hn_reduce_max(g, all, 1)));
    const hn_status s = hn_plan_create(g, d, NULL, &m->plan);
    hn_graph_destroy(&g);
    return s;
}

hn_status hn_mel_plan_create(hn_device *d, int n_mels, int64_t n_frames, hn_mel_plan **out)
{
    *out = NULL;
    HN_TRY(check_mels(n_mels));
    if (n_frames < 2 || n_frames > 100000)
        return hn_fail(HN_ERR_ARG, "%" PRId64 " frames; 2 to 100000 can be made", n_frames);
    hn_mel_plan *m = hn__calloc(1, sizeof *m);
    if (!m)
        return hn__nomem(sizeof *m);
    m->n_mels = n_mels;
    m->n_frames = n_frames;
    const size_t n = (size_t)(n_frames + 2) * HN_MEL_HOP;
    m->samples = hn__calloc(n, sizeof *m->samples);
    const hn_status s = m->samples ? make_segment_plan(m, d) : hn__nomem(n * sizeof *m->samples);
    if (s)
        hn_mel_plan_destroy(&m);
    *out = m;
    return s;
}

void hn_mel_plan_destroy(hn_mel_plan **m)
{
    if (!*m)
        return;
    hn_plan_destroy(&(*m)->plan);
    hn__free((*m)->samples);
    hn__free(*m);
    *m = NULL;
}

// The samples that stand before the first and after the last of `x`, as in a mirror.
static void reflect(const float *x, int64_t n, float *before, float *after)
{
    for (int64_t i = 0; i < HALF; i++) {
        if (before)
            before[HALF - 1 - i] = x[i + 1];
        if (after)
            after[i] = x[n - 2 - i];
    }
}

hn_status hn_mel_plan_run(hn_mel_plan *m, const float samples[], int64_t n, float out[])
{
    const int64_t all = m->n_frames * HN_MEL_HOP;
    float *x = m->samples + HALF;

    if (n < 0 || n > all)
        return hn_fail(HN_ERR_ARG, "%" PRId64 " samples for a segment of %" PRId64, n, all);
    if (n)
        memcpy(x, samples, (size_t)n * sizeof *x);
    memset(x + n, 0, (size_t)(all - n) * sizeof *x);
    // The last frame ends 40 samples past the segment; what follows it in the block is not used.
    float after[HALF];
    reflect(x, all, m->samples, after);
    memcpy(x + all, after, 2 * HN_MEL_HOP * sizeof *x - HALF * sizeof *x);
    HN_TRY(hn_plan_write(m->plan, "samples", m->samples,
                         (all + 2 * HN_MEL_HOP) * (int64_t)sizeof *x));
    HN_TRY(hn_plan_run(m->plan));
    return hn_plan_read(m->plan, "features", out, m->n_mels * m->n_frames * (int64_t)sizeof *out);
}

// ---- a stream ------------------------------------------------------------------------------

enum { BLOCK = (STREAM_FRAMES + 2) * HN_MEL_HOP };

struct hn_mel_stream {
    hn_weights *weights; // "mel.most": the largest value so far, [1, 1]
    hn_plan *plan;
    int n_mels;
    bool begun;     // the mirror before the first sample is in place
    int64_t n;      // samples in x, of which the mirror's are HALF
    float x[BLOCK]; // the samples of the next frames
    float *frames;  // [STREAM_FRAMES, n_mels]
};

static const float nothing = -30; // below log10(1e-10)

// The largest of the values up to each frame, [F, 1]: of `most`, [1, F], with those after it
// pushed out of the way.
static hn_val largest_so_far(hn_graph *g, hn_val most)
{
    float later[STREAM_FRAMES][STREAM_FRAMES] = { { 0 } };

    for (int t = 0; t < STREAM_FRAMES; t++)
        for (int s = t + 1; s < STREAM_FRAMES; s++)
            later[t][s] = -1e6f;
    const hn_type square = { HN_F32, 2, { STREAM_FRAMES, STREAM_FRAMES } };
    return hn_reduce_max(g, hn_add(g, most, hn_const(g, square, later)), 1);
}

static hn_status make_stream_plan(hn_mel_stream *m, hn_device *d)
{
    hn_graph *g;
    HN_TRY(hn_graph_create(&g));
    const hn_val x = hn_log_mel(g, samples_input(g, STREAM_FRAMES), m->n_mels);
    const hn_val before = hn_state(g, "mel.most", (hn_type){ HN_F32, 2, { 1, 1 } },
                                   (hn_init){ HN_INIT_CONST, nothing });
    const hn_val most = hn_max(g, largest_so_far(g, hn_reduce_max(g, x, 0)), before);
    hn_assign(g, before, hn_slice(g, most, 0, STREAM_FRAMES - 1, 1, 1));
    hn_output(g, "features", scale(g, hn_transpose(g, x, (int[]){ 1, 0 }), most));
    hn_status s = hn_weights_create(d, &m->weights);
    if (s == HN_OK)
        s = hn_weights_add(m->weights, g, 0);
    if (s == HN_OK)
        s = hn_plan_create(g, d, &(hn_plan_params){ .weights = m->weights }, &m->plan);
    hn_graph_destroy(&g);
    return s;
}

hn_status hn_mel_stream_create(hn_device *d, int n_mels, hn_mel_stream **out)
{
    *out = NULL;
    HN_TRY(check_mels(n_mels));
    hn_mel_stream *m = hn__calloc(1, sizeof *m);
    if (!m)
        return hn__nomem(sizeof *m);
    m->n_mels = n_mels;
    m->n = HALF;
    const size_t n = (size_t)STREAM_FRAMES * (size_t)n_mels;
    m->frames = hn__calloc(n, sizeof *m->frames);
    const hn_status s = m->frames ? make_stream_plan(m, d) : hn__nomem(n * sizeof *m->frames);
    if (s)
        hn_mel_stream_destroy(&m);
    *out = m;
    return s;
}

void hn_mel_stream_destroy(hn_mel_stream **m)
{
    if (!*m)
        return;
    hn_plan_destroy(&(*m)->plan);
    hn_weights_destroy(&(*m)->weights);
    hn__free((*m)->frames);
    hn__free(*m);
    *m = NULL;
}

// Runs the block in x and gives its first n frames.
static hn_status run_block(hn_mel_stream *m, int64_t n, hn_mel_frames_fn fn, void *user)
{
    HN_TRY(hn_plan_write(m->plan, "samples", m->x, sizeof m->x));
    HN_TRY(hn_plan_run(m->plan));
    HN_TRY(hn_plan_read(m->plan, "features", m->frames,
                        STREAM_FRAMES * m->n_mels * (int64_t)sizeof *m->frames));
    fn(user, m->frames, n);
    return HN_OK;
}

hn_status hn_mel_stream_put(hn_mel_stream *m, const float samples[], int64_t n,
                            hn_mel_frames_fn fn, void *user)
{
    enum { USED = STREAM_FRAMES * HN_MEL_HOP, NEEDED = USED + HN_MEL_WINDOW - HN_MEL_HOP };

    while (n > 0) {
        const int64_t part = n < NEEDED - m->n ? n : NEEDED - m->n;
        memcpy(m->x + m->n, samples, (size_t)part * sizeof *samples);
        m->n += part;
        samples += part;
        n -= part;
        if (m->n < NEEDED)
            break;
        if (!m->begun)
            reflect(m->x + HALF, NEEDED - HALF, m->x, NULL);
        m->begun = true;
        HN_TRY(run_block(m, STREAM_FRAMES, fn, user));
        m->n -= USED;
        memmove(m->x, m->x + USED, (size_t)m->n * sizeof *m->x);
    }
    return HN_OK;
}

hn_status hn_mel_stream_end(hn_mel_stream *m, hn_mel_frames_fn fn, void *user)
{
    const int64_t n_frames = (m->n - HALF) / HN_MEL_HOP;
    float after[HALF];
    hn_status s = HN_OK;

    memset(m->x + m->n, 0, (size_t)(BLOCK - m->n) * sizeof *m->x);
    // A recording shorter than the mirror goes on with zeros.
    const int64_t n = m->begun || m->n > 2 * HALF ? m->n : 2 * HALF + 1;
    if (n_frames > 0) {
        if (!m->begun)
            reflect(m->x + HALF, n - HALF, m->x, NULL);
        reflect(m->x, n, NULL, after);
        memcpy(m->x + n, after, (size_t)(BLOCK - n < HALF ? BLOCK - n : HALF) * sizeof *m->x);
        s = run_block(m, n_frames, fn, user);
    }
    m->n = HALF;
    m->begun = false;
    if (s == HN_OK)
        s = hn_weights_write(m->weights, "mel.most", &nothing, sizeof nothing);
    return s;
}

// ---- comparing -----------------------------------------------------------------------------

typedef struct comparison {
    const float *exact; // [n_mels, n_frames]
    int64_t n_mels, n_frames, at, most;
    double sum;
    hn_mel_difference *out;
} comparison;

static void compare_frames(void *user, const float frames[], int64_t n)
{
    comparison *c = user;

    for (int64_t i = 0; i < n && c->at < c->most; i++, c->at++)
        for (int64_t b = 0; b < c->n_mels; b++) {
            const double off = fabs((double)frames[i * c->n_mels + b] -
                                    (double)c->exact[b * c->n_frames + c->at]);
            c->out->n_values++;
            c->out->n_differ += off > 1e-4; // not by rounding
            c->sum += off;
            if (off > c->out->largest)
                c->out->largest = off;
        }
}

hn_status hn_mel_compare(hn_mel_plan *exact, hn_mel_stream *stream, const float samples[],
                         int64_t n, hn_mel_difference *out)
{
    const float zeros[HN_MEL_HOP] = { 0 };
    const int64_t all = exact->n_frames * HN_MEL_HOP;
    const size_t n_values = (size_t)exact->n_mels * (size_t)exact->n_frames;

    *out = (hn_mel_difference){ 0 };
    if (stream->n_mels != exact->n_mels)
        return hn_fail(HN_ERR_ARG, "%d mel bins and %d", exact->n_mels, stream->n_mels);
    float *features = hn__calloc(n_values, sizeof *features);
    if (!features)
        return hn__nomem(n_values * sizeof *features);
    comparison c = {
        features, exact->n_mels, exact->n_frames, 0, (n + HN_MEL_HOP - 1) / HN_MEL_HOP, 0, out
    };
    hn_status s = hn_mel_plan_run(exact, samples, n, features);
    if (s == HN_OK)
        s = hn_mel_stream_put(stream, samples, n, compare_frames, &c);
    for (int64_t at = n; s == HN_OK && at < all; at += HN_MEL_HOP) {
        const int64_t part = all - at < HN_MEL_HOP ? all - at : HN_MEL_HOP;
        s = hn_mel_stream_put(stream, zeros, part, compare_frames, &c);
    }
    if (s == HN_OK)
        s = hn_mel_stream_end(stream, compare_frames, &c);
    out->mean = out->n_values ? c.sum / (double)out->n_values : 0;
    hn__free(features);
    return s;
}
