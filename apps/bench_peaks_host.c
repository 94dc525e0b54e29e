// Peaks of the cpu device: its threads, its memory.
#include "bench_peaks.h"

#include <string.h>
#include <time.h>

#include "base/base.h"
#include "base/os.h"
#include "device/device.h"

enum { LANES = 16, VECTORS = 12, FMA_STEPS = 1 << 20, FMA_PARTS = 8, COPY_BYTES = 64 << 20 };

// ---- arithmetic ----------------------------------------------------------------------------

// A vector of the widest registers there are; 12 of them hide the latency of an addition that
// takes four cycles on two units, and are as many as a core of 16 registers has room for.
typedef struct fma_work {
    float x, y;
    float sum[64][LANES]; // a thread
} fma_work;

#define EACH(m) m(0) m(1) m(2) m(3) m(4) m(5) m(6) m(7) m(8) m(9) m(10) m(11)
#define BEGIN(i) float a##i[LANES];
#define FIRST(i) a##i[j] = (float)i;
#define STEP(i)                                                                                   \
    for (int j = 0; j < LANES; j++)                                                               \
        a##i[j] = a##i[j] * x + y;
#define SUM(i) to[j] += a##i[j];

HN__HOT static void fma_loop(float x, float y, int64_t steps, float to[LANES])
{
    EACH(BEGIN)
    for (int j = 0; j < LANES; j++) {
        EACH(FIRST)
    }
    for (int64_t k = 0; k < steps; k++) {
        EACH(STEP)
    }
    for (int j = 0; j < LANES; j++) {
        to[j] = 0;
        EACH(SUM)
    }
}

static void fma_part(void *ctx, int64_t begin, int64_t end, int thread)
{
    fma_work *w = ctx;
    for (int64_t i = begin; i < end; i++)
        fma_loop(w->x, w->y, FMA_STEPS, w->sum[thread]);
}

static hn_status peak_fma(hn_device *d, bench_peak *out)
{
    const int n = hn__pool_threads(d->pool);
    fma_work w = { .x = 1, .y = 1 };
    double seconds[PEAK_REPEATS], want = 0;

    for (int i = -1; i < PEAK_REPEATS; i++) {
        const uint64_t began = hn__now_ns();
        hn__parallel(d->pool, n * FMA_PARTS, 1, fma_part, &w);
        if (i >= 0)
            seconds[i] = (double)(hn__now_ns() - began) * 1e-9;
    }
    for (int i = 0; i < VECTORS; i++)
        want += i + FMA_STEPS; // exact: below 2^24 in all
    for (int t = 0; t < n; t++)
        for (int j = 0; j < LANES; j++)
            if (w.sum[t][j] != (float)want)
                return hn_fail(HN_ERR_DEVICE, "thread %d has %g, want %g", t, w.sum[t][j], want);
    bench_peak_keep(out, 2.0 * n * LANES * VECTORS * FMA_STEPS * FMA_PARTS, seconds, PEAK_REPEATS);
    return HN_OK;
}

// ---- memory --------------------------------------------------------------------------------

typedef struct copy_work {
    char *from, *to;
} copy_work;

static void copy_part(void *ctx, int64_t begin, int64_t end, int thread)
{
    const copy_work *w = ctx;
    (void)thread;
    memcpy(w->to + begin, w->from + begin, (size_t)(end - begin));
}

static hn_status peak_copy(hn_device *d, bench_peak *out)
{
    copy_work w = { hn__calloc(COPY_BYTES, 1), hn__calloc(COPY_BYTES, 1) };
    double seconds[PEAK_REPEATS];
    hn_status s = w.from && w.to ? HN_OK : hn__nomem(2 * (size_t)COPY_BYTES);

    for (int i = 0; s == HN_OK && i < COPY_BYTES; i += 4)
        memcpy(w.from + i, &(uint32_t){ (uint32_t)i * 2654435761u }, 4);
    for (int i = -2; s == HN_OK && i < PEAK_REPEATS; i++) {
        const uint64_t began = hn__now_ns();
        hn__parallel(d->pool, COPY_BYTES, 4096, copy_part, &w);
        if (i >= 0)
            seconds[i] = (double)(hn__now_ns() - began) * 1e-9;
    }
    if (s == HN_OK && memcmp(w.from, w.to, COPY_BYTES))
        s = hn_fail(HN_ERR_DEVICE, "what was copied differs");
    if (s == HN_OK)
        bench_peak_keep(out, 2.0 * COPY_BYTES, seconds, PEAK_REPEATS);
    hn__free(w.from);
    hn__free(w.to);
    return s;
}

// ---- threads -------------------------------------------------------------------------------

static void mark(void *ctx, int64_t begin, int64_t end, int thread)
{
    int *count = ctx;
    count[thread * 16] += (int)(end - begin); // 64 bytes apart
}

static hn_status peak_wake(hn_device *d, bool sleeping, bench_peak *out)
{
    enum { TIMES = PEAK_MOST_TIMES, WARM = 20 };
    const struct timespec pause = { 0, 2000000 };
    const int n = hn__pool_threads(d->pool);
    double seconds[TIMES];
    int count[64 * 16] = { 0 };

    for (int i = -WARM; i < TIMES; i++) {
        if (sleeping)
            nanosleep(&pause, NULL);
        const uint64_t began = hn__now_ns();
        hn__parallel(d->pool, n, 1, mark, count);
        if (i >= 0)
            seconds[i] = (double)(hn__now_ns() - began) * 1e-9;
    }
    for (int t = 0; t < n; t++)
        if (count[t * 16] != TIMES + WARM)
            return hn_fail(HN_ERR_DEVICE, "part %d ran %d times, want %d", t, count[t * 16],
                           TIMES + WARM);
    bench_peak_keep(out, 0, seconds, TIMES);
    return HN_OK;
}

hn_status bench_peak_host(hn_device *d, peak_id id, bench_peak *out)
{
    switch (id) {
    case PEAK_FMA_F32: return peak_fma(d, out);
    case PEAK_COPY: return peak_copy(d, out);
    case PEAK_WAKE: return peak_wake(d, false, out);
    case PEAK_WAKE_SLEEPING: return peak_wake(d, true, out);
    case PEAK_FMA_F16: return bench_peak_lacks(out, "the cpu device computes f16 in f32");
    case PEAK_DOT_I8: return bench_peak_lacks(out, "not measured on the cpu device");
    default: return bench_peak_lacks(out, "of Vulkan devices");
    }
}
