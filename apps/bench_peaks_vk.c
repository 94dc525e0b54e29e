// Peaks of a Vulkan device: shaders/peak.comp and peak_copy.comp, run alone and checked.
#include "bench_peaks.h"

#include <string.h>

#include "base/os.h"
#include "device/device.h"
#include "plan/build.h"
#include "push.h"

enum {
    STEPS = 4096, // of each sum; those of f16 reach their end at 2048
    MOST_GROUPS = 1 << 16,
    COPY_BYTES_SOFT = 64 << 20,
    COPY_BYTES = 256 << 20,
};

// One command, and the memory it touches.
typedef struct job {
    hn_device *dev;
    hn__cmd cmd;
    uint32_t size; // of a workgroup
    hn_buffer *in, *out;
    hn__stream *stream;
} job;

static bool is_software(const hn_device *d)
{
    return !strcmp(d->info.type, "software");
}

static hn_status job_kernel(job *j, const char *kernel, hn_dtype type, uint32_t form,
                            int n_bind, size_t push_bytes)
{
    const uint32_t most = j->dev->info.max_invocations;
    const hn__dispatch what = { .kernel = kernel, .type = type };
    const hn__shader *shader;

    j->size = most < 256 ? most : 256;
    HN_TRY(hn__shader_of(&j->dev->info, &what, &shader));
    const hn__kernel_desc desc = { .name = shader->name, .spirv = shader->words,
                                   .n_words = shader->n_words, .spec = { j->size, form }, .n_spec = 2,
                                   .n_bind = n_bind, .push_bytes = (uint32_t)push_bytes };
    j->cmd.label = kernel;
    j->cmd.n_bind = n_bind;
    return j->dev->fn->kernel_get(j->dev, &desc, &j->cmd.kernel);
}

static void job_end(job *j)
{
    if (j->stream)
        j->dev->fn->stream_destroy(j->stream);
    hn_buffer_destroy(&j->in);
    hn_buffer_destroy(&j->out);
    *j = (job){ .dev = j->dev };
}

// Seconds of one run: by the device's own clock where it has one.
static hn_status job_time(job *j, double *out)
{
    double ns = 0;
    hn_status s = j->dev->fn->stream_time(j->stream, &ns, 1);
    if (s == HN_ERR_UNSUPPORTED) {
        const uint64_t began = hn__now_ns();
        s = j->dev->fn->stream_run(j->stream);
        ns = (double)(hn__now_ns() - began);
    }
    *out = ns * 1e-9;
    return s;
}

static hn_status job_measure(job *j, bench_stats *out)
{
    double seconds[PEAK_REPEATS];
    HN_TRY(j->dev->fn->stream_run(j->stream)); // the first is cut anew, the second not counted
    HN_TRY(j->dev->fn->stream_run(j->stream));
    for (int i = 0; i < PEAK_REPEATS; i++)
        HN_TRY(job_time(j, &seconds[i]));
    *out = bench_summary(seconds, PEAK_REPEATS);
    return HN_OK;
}

// ---- arithmetic ----------------------------------------------------------------------------

typedef struct arithmetic {
    hn_dtype type;
    hn_feature needs; // 0: nothing
    uint32_t x, y;    // bits
    double per_step;  // operations of a step of one sum
} arithmetic;

typedef struct form {
    uint32_t chains, turn; // sums a thread, steps a turn of the loop
} form;
#define FORM(i, chains, turn) { chains, turn },
static const form forms[] = { PEAK_FORMS(FORM) };
enum { N_FORMS = sizeof forms / sizeof *forms };

static const arithmetic *arithmetic_of(peak_id id)
{
    static const arithmetic f32 = { HN_F32, 0, 0x3f800000, 0x3f800000, 2 }, // 1, 1
        f16 = { HN_F16, HN_FEATURE_FP16, 0x3c003c00, 0x3c003c00, 4 },       // 1, 1, twice
        i8 = { HN_U8, HN_FEATURE_INT_DOT, 1, 3, 8 }; // (1, 0, 0, 0), 3
    return id == PEAK_FMA_F32 ? &f32 : id == PEAK_FMA_F16 ? &f16 : &i8;
}

// What each thread's sum must be. f32: every step adds 1, exactly. f16: the same up to 2048, where
// 1 is lost to rounding, nearest or to zero. i8: the lowest byte, with its sign, plus 3.
static float sum_wanted(const arithmetic *a, int chains)
{
    double sum = 0;
    for (int i = 0; i < chains; i++) {
        int v = i;
        for (int k = 0; k < STEPS; k++)
            v = a->type == HN_F32   ? v + 1
                : a->type == HN_F16 ? (v < 2048 ? v + 1 : v)
                                    : ((v & 0xff) ^ 0x80) - 0x80 + 3;
        sum += a->type == HN_F16 ? 2 * v : v;
    }
    return (float)sum;
}

static hn_status check_sums(const job *j, uint64_t n_groups, float want)
{
    const int64_t n = (int64_t)n_groups * j->size;
    float *sum = hn__calloc((size_t)n, sizeof *sum);
    hn_status s = sum ? hn_buffer_read(j->out, 0, sum, n * 4) : hn__nomem((size_t)n * 4);
    for (int64_t i = 0; s == HN_OK && i < n; i++)
        if (sum[i] != want)
            s = hn_fail(HN_ERR_DEVICE, "thread %" PRId64 " has %g, want %g", i, sum[i], want);
    hn__free(sum);
    return s;
}

static hn_status arithmetic_stream(job *j, const arithmetic *a, const form *f, uint64_t n_groups)
{
    const int64_t bytes = (int64_t)n_groups * j->size * 4;
    const struct peak_push push = { .steps = STEPS, .x = a->x, .y = a->y };

    if (j->stream)
        j->dev->fn->stream_destroy(j->stream);
    j->stream = NULL;
    hn_buffer_destroy(&j->out);
    HN_TRY(hn_buffer_create(j->dev, bytes, &j->out));
    memcpy(j->cmd.push, &push, sizeof push);
    j->cmd.bind[0] = (hn__bind){ j->out, 0, bytes, false, true };
    j->cmd.n_groups = n_groups;
    j->cmd.flop = a->per_step * STEPS * f->chains * j->size * (double)n_groups;
    return j->dev->fn->stream_create(j->dev, &j->cmd, 1, &j->stream);
}

// Doubles the work until a run is long enough for the clock; keeps the figure where it is better
// than that of the forms before.
static hn_status arithmetic_run(job *j, const arithmetic *a, const form *f, bench_peak *out)
{
    const double least = is_software(j->dev) ? 30e-3 : 10e-3;
    bench_stats time;
    uint64_t n = 16;
    double seconds = 0;

    for (;; n *= 2) {
        HN_TRY(arithmetic_stream(j, a, f, n));
        HN_TRY(j->dev->fn->stream_run(j->stream));
        HN_TRY(job_time(j, &seconds));
        if (seconds >= least || n >= MOST_GROUPS)
            break;
    }
    HN_TRY(job_measure(j, &time));
    HN_TRY(check_sums(j, n, sum_wanted(a, (int)f->chains)));
    bench_peak_form(out, j->cmd.flop, &time, "%u x %u", f->chains, f->turn);
    return HN_OK;
}

static hn_status peak_arithmetic(hn_device *d, peak_id id, bench_peak *out)
{
    const arithmetic *a = arithmetic_of(id);
    hn_status s = HN_OK;

    if (a->needs && !(d->info.features & a->needs))
        return bench_peak_lacks(out, "the device has no %s", hn_feature_name(a->needs));
    for (uint32_t i = 0; s == HN_OK && i < N_FORMS; i++) {
        job j = { .dev = d };
        s = job_kernel(&j, "peak", a->type, i, 1, sizeof(struct peak_push));
        if (s == HN_ERR_UNSUPPORTED)
            return bench_peak_lacks(out, "%s", hn_error_text());
        if (s == HN_OK)
            s = arithmetic_run(&j, a, &forms[i], out);
        job_end(&j);
    }
    return s;
}

// ---- memory --------------------------------------------------------------------------------

static hn_status copy_stream(job *j, int64_t bytes)
{
    const struct peak_copy_push push = { .total = (uint32_t)(bytes / 16) };
    const uint64_t per_group = (uint64_t)j->size * PEAK_WORDS * 16;

    HN_TRY(hn_buffer_create(j->dev, bytes, &j->in));
    HN_TRY(hn_buffer_create(j->dev, bytes, &j->out));
    memcpy(j->cmd.push, &push, sizeof push);
    j->cmd.bind[0] = (hn__bind){ j->in, 0, bytes, true, false };
    j->cmd.bind[1] = (hn__bind){ j->out, 0, bytes, false, true };
    j->cmd.n_groups = ((uint64_t)bytes + per_group - 1) / per_group;
    return j->dev->fn->stream_create(j->dev, &j->cmd, 1, &j->stream);
}

// Writes a pattern, runs the copy once, and compares.
static hn_status copy_check(job *j, int64_t bytes)
{
    uint32_t *x = hn__calloc((size_t)bytes, 1), *y = hn__calloc((size_t)bytes, 1);
    hn_status s = x && y ? HN_OK : hn__nomem((size_t)bytes * 2);
    for (int64_t i = 0; s == HN_OK && i < bytes / 4; i++)
        x[i] = (uint32_t)i * 2654435761u;
    if (s == HN_OK)
        s = hn_buffer_write(j->in, 0, x, bytes);
    if (s == HN_OK)
        s = j->dev->fn->stream_run(j->stream);
    if (s == HN_OK)
        s = hn_buffer_read(j->out, 0, y, bytes);
    if (s == HN_OK && memcmp(x, y, (size_t)bytes))
        s = hn_fail(HN_ERR_DEVICE, "what was copied differs");
    hn__free(x);
    hn__free(y);
    return s;
}

// Far more than caches hold, within what the device binds and has.
static int64_t copy_bytes(const hn_device *d)
{
    int64_t n = is_software(d) ? COPY_BYTES_SOFT : COPY_BYTES;
    if (n > d->info.max_binding_bytes)
        n = d->info.max_binding_bytes;
    if (n > d->info.heap_bytes / 8)
        n = d->info.heap_bytes / 8;
    return n / HN__ALIGN * HN__ALIGN;
}

static hn_status copy_run(job *j, int64_t bytes, bench_peak *out)
{
    HN_TRY(job_kernel(j, "peak_copy", HN_F32, 0, 2, sizeof(struct peak_copy_push)));
    HN_TRY(copy_stream(j, bytes));
    HN_TRY(copy_check(j, bytes));
    HN_TRY(job_measure(j, &out->time));
    out->amount = 2.0 * (double)bytes;
    return HN_OK;
}

static hn_status peak_copy(hn_device *d, bench_peak *out)
{
    job j = { .dev = d };
    const hn_status s = copy_run(&j, copy_bytes(d), out);
    job_end(&j);
    return s;
}

// ---- submission ----------------------------------------------------------------------------

static hn_status submit_run(job *j, bench_peak *out)
{
    enum { TIMES = 200 };
    double seconds[TIMES];

    HN_TRY(job_kernel(j, "peak_copy", HN_F32, 0, 2, sizeof(struct peak_copy_push)));
    HN_TRY(copy_stream(j, HN__ALIGN));
    HN_TRY(copy_check(j, HN__ALIGN));
    for (int i = -20; i < TIMES; i++) {
        const uint64_t began = hn__now_ns();
        HN_TRY(j->dev->fn->stream_run(j->stream));
        if (i >= 0)
            seconds[i] = (double)(hn__now_ns() - began) * 1e-9;
    }
    out->time = bench_summary(seconds, TIMES);
    return HN_OK;
}

static hn_status peak_submit(hn_device *d, bench_peak *out)
{
    job j = { .dev = d };
    const hn_status s = submit_run(&j, out);
    job_end(&j);
    return s;
}

hn_status bench_peak_vk(hn_device *d, peak_id id, bench_peak *out)
{
    switch (id) {
    case PEAK_COPY: return peak_copy(d, out);
    case PEAK_SUBMIT: return peak_submit(d, out);
    case PEAK_WAKE:
    case PEAK_WAKE_SLEEPING: return bench_peak_lacks(out, "of host devices");
    case PEAK_COOPMAT: return bench_peak_lacks(out, "this build has no such shader");
    default: return peak_arithmetic(d, id, out);
    }
}
