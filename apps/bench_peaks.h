// What a device can do at most, measured: what the rates of `hornito bench ops` are shares of.
#ifndef HORNITO_BENCH_PEAKS_H
#define HORNITO_BENCH_PEAKS_H

#include "bench.h"

// A figure a row of peak_rows (bench_peaks.c).
typedef enum peak_id {
    PEAK_FMA_F32, // a = a x + y on registers, two operations
    PEAK_FMA_F16,
    PEAK_DOT_I8,  // dot products of four 8-bit integers plus a sum, eight operations
    PEAK_COOPMAT, // f16 KHR cooperative matrices summed in f32
    PEAK_COPY,    // by a kernel from memory to memory: bytes read and written
    PEAK_SUBMIT,  // one trivial dispatch, submitted and waited for
    PEAK_WAKE,    // host devices: one trivial loop of all threads
    PEAK_WAKE_SLEEPING, // the same after a pause that sends them to sleep
    PEAK_UPLOAD,
    PEAK_DOWNLOAD,
    N_PEAKS,
} peak_id;

enum { PEAK_MOST_FORMS = 8, PEAK_MOST_TIMES = 200 };

// One way to write the kernel, and what it reached; the figure is of the best one.
typedef struct bench_peak_way {
    char text[32];
    double rate;
} bench_peak_way;

typedef struct bench_peak {
    double seconds[PEAK_MOST_TIMES];
    bench_stats time; // of them; n 0: not measured
    double amount; // operations or bytes in that time; 0: the time itself is the figure
    char why[192]; // not empty: unsupported, and why
    bench_peak_way ways[PEAK_MOST_FORMS];
    int n_ways, best; // n_ways 0: there is one way only
} bench_peak;

typedef struct bench_peaks {
    bench_peak peak[N_PEAKS];
} bench_peaks;

enum { PEAK_REPEATS = 11 };

// Measures those of `wanted` (bits 1 << peak_id) and checks that the work was done: DEVICE where a
// result is wrong. What the device or the build lacks is no error: its `why` says so.
hn_status bench_peaks_measure(hn_device *d, unsigned wanted, bench_peaks *out);
// Operations or bytes a second, of the fastest run: what else a machine does only ever slows one
// down, and a roof is not to be surpassed. 0 where it is unsupported, was not wanted, or is a
// time.
double bench_peak_rate(const bench_peaks *p, peak_id id);
// The kernel that reached it, "12 x 16" (sums a thread x steps a turn of the loop), "8x8x8" (sizes
// of a matrix); "" where there is one only.
const char *bench_peak_best(const bench_peaks *p, peak_id id);
// Object of all that were wanted; "unsupported: ..." where they are.
json_t *bench_peaks_json(const bench_peaks *p);
// The shortest time in which a device with these peaks can do as much arithmetic (f32) and carry
// as many bytes; 0 where the peaks it needs are not known.
double bench_roof(const bench_peaks *p, double flop, double bytes);

// ---- by kind of device (bench_peaks_vk.c, bench_peaks_host.c) --------------------------------

hn_status bench_peak_vk(hn_device *d, peak_id id, bench_peak *out);
hn_status bench_peak_host(hn_device *d, peak_id id, bench_peak *out);
// Makes n times the figure, n in [1, PEAK_MOST_TIMES].
void bench_peak_keep(bench_peak *out, double amount, const double seconds[], int n);
// Notes what one way reached in PEAK_REPEATS times; it is the figure where it is the best so far.
void bench_peak_form(bench_peak *out, double amount, const double seconds[], const char *fmt, ...)
    __attribute__((format(printf, 4, 5)));
// Writes why there is no figure and returns HN_OK.
hn_status bench_peak_lacks(bench_peak *out, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));

#endif
