// Peaks of a Vulkan device: shaders/peak.comp and peak_copy.comp, run alone and checked.
#include "bench_peaks.h"

#include <string.h>

#include "base/os.h"
#include "device/device.h"
#include "plan/build.h"
#include "push.h"

enum {
    COOP_MOST = 32 * 32, // elements of a cooperative matrix
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

// Makes the kernel of a built shader; `d` holds what follows from the shader's own place.
static hn_status job_kernel(job *j, const char *stem, hn_dtype type, const hn__kernel_desc *d)
{
    const hn__dispatch what = { .kernel = stem, .type = type };
    const hn__shader *shader;
    hn__kernel_desc desc = *d;

    HN_TRY(hn__shader_of(&j->dev->info, &what, &shader));
    desc.name = shader->name;
    desc.spirv = shader->words;
    desc.n_words = shader->n_words;
    j->size = d->spec[0];
    j->cmd.label = shader->name;
    j->cmd.n_bind = d->n_bind;
    return j->dev->fn->kernel_get(j->dev, &desc, &j->cmd.kernel);
}

// Threads of a workgroup where nothing asks for another number.
static uint32_t usual_size(const hn_device *d)
{
    return d->info.max_invocations < 256 ? d->info.max_invocations : 256;
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

static hn_status job_measure(job *j, double seconds[PEAK_REPEATS])
{
    HN_TRY(j->dev->fn->stream_run(j->stream)); // the first is cut anew, the second not counted
    HN_TRY(j->dev->fn->stream_run(j->stream));
    for (int i = 0; i < PEAK_REPEATS; i++)
        HN_TRY(job_time(j, &seconds[i]));
    return HN_OK;
}

// ---- arithmetic ----------------------------------------------------------------------------

// What a kernel computes on registers, and what comes out.
typedef struct work {
    struct peak_push push;
    double flop;             // of a workgroup
    int64_t n_out;           // numbers a workgroup writes
    float want[COOP_MOST];   // what they must be, over and over
    int n_want;
} work;

static hn_status check_sums(const job *j, const work *w, uint64_t n_groups)
{
    const int64_t n = (int64_t)n_groups * w->n_out;
    float *sum = hn__calloc((size_t)n, sizeof *sum);
    hn_status s = sum ? hn_buffer_read(j->out, 0, sum, n * 4) : hn__nomem((size_t)n * 4);
    for (int64_t i = 0; s == HN_OK && i < n; i++) {
        const float want = w->want[i % w->n_out % w->n_want];
        if (sum[i] != want)
            s = hn_fail(HN_ERR_DEVICE, "%s: number %" PRId64 " is %g, want %g", j->cmd.label, i,
                        sum[i], want);
    }
    hn__free(sum);
    return s;
}

static hn_status work_stream(job *j, const work *w, uint64_t n_groups)
{
    const int64_t bytes = (int64_t)n_groups * w->n_out * 4;

    if (j->stream)
        j->dev->fn->stream_destroy(j->stream);
    j->stream = NULL;
    hn_buffer_destroy(&j->out);
    HN_TRY(hn_buffer_create(j->dev, bytes, &j->out));
    memcpy(j->cmd.push, &w->push, sizeof w->push);
    j->cmd.bind[0] = (hn__bind){ j->out, 0, bytes, false, true };
    j->cmd.n_groups = n_groups;
    j->cmd.flop = w->flop * (double)n_groups;
    return j->dev->fn->stream_create(j->dev, &j->cmd, 1, &j->stream);
}

// Doubles the work until a run is long enough for the clock, and checks what comes out.
static hn_status work_begin(job *j, const work *w)
{
    const double least = is_software(j->dev) ? 30e-3 : 10e-3;
    double seconds = 0;

    for (uint64_t n = 16;; n *= 2) {
        HN_TRY(work_stream(j, w, n));
        HN_TRY(j->dev->fn->stream_run(j->stream)); // the first is cut anew
        HN_TRY(job_time(j, &seconds));
        if (seconds >= least || n >= MOST_GROUPS)
            return check_sums(j, w, n);
    }
}

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

// What the sum of a thread of this lane must be. f32: every step adds 1, exactly. f16: the same up
// to 2048, where 1 is lost to rounding, nearest or to zero. i8: the lowest byte, with its sign,
// plus 3.
static float sum_wanted(const arithmetic *a, int chains, int lane)
{
    double sum = 0;
    for (int i = 0; i < chains; i++) {
        int v = i + lane;
        for (int k = 0; k < STEPS; k++)
            v = a->type == HN_F32   ? v + 1
                : a->type == HN_F16 ? (v < 2048 ? v + 1 : v)
                                    : ((v & 0xff) ^ 0x80) - 0x80 + 3;
        sum += a->type == HN_F16 ? 2 * v : v;
    }
    return (float)sum;
}

static hn_status form_begin(job *j, const arithmetic *a, uint32_t i)
{
    const uint32_t size = usual_size(j->dev);
    const hn__kernel_desc desc = { .spec = { size, i }, .n_spec = 2, .n_bind = 1,
                                   .push_bytes = sizeof(struct peak_push) };
    work w = { .push = { .steps = STEPS, .x = a->x, .y = a->y },
               .flop = a->per_step * STEPS * forms[i].chains * size,
               .n_out = size, .n_want = PEAK_LANES };

    for (int lane = 0; lane < w.n_want; lane++)
        w.want[lane] = sum_wanted(a, (int)forms[i].chains, lane);
    HN_TRY(job_kernel(j, "peak", a->type, &desc));
    return work_begin(j, &w);
}

// All forms in turn, so that a moment in which the machine has other work falls on each.
static hn_status forms_measure(job j[N_FORMS], const arithmetic *a, bench_peak *out)
{
    double seconds[N_FORMS][PEAK_REPEATS];

    for (uint32_t i = 0; i < N_FORMS; i++)
        HN_TRY(form_begin(&j[i], a, i));
    for (int k = 0; k < PEAK_REPEATS; k++)
        for (uint32_t i = 0; i < N_FORMS; i++)
            HN_TRY(job_time(&j[i], &seconds[i][k]));
    for (uint32_t i = 0; i < N_FORMS; i++)
        bench_peak_form(out, j[i].cmd.flop, seconds[i], "%u x %u", forms[i].chains, forms[i].turn);
    return HN_OK;
}

static hn_status peak_arithmetic(hn_device *d, peak_id id, bench_peak *out)
{
    const arithmetic *a = arithmetic_of(id);
    job j[N_FORMS];

    if (a->needs && !(d->info.features & a->needs))
        return bench_peak_lacks(out, "the device has no %s", hn_feature_name(a->needs));
    for (uint32_t i = 0; i < N_FORMS; i++)
        j[i] = (job){ .dev = d };
    const hn_status s = forms_measure(j, a, out);
    for (uint32_t i = 0; i < N_FORMS; i++)
        job_end(&j[i]);
    return s == HN_ERR_UNSUPPORTED ? bench_peak_lacks(out, "%s", hn_error_text()) : s;
}

// ---- cooperative matrices ------------------------------------------------------------------

// Small integers, the same on every device.
static int coop_element(int row, int col)
{
    return (row * 7 + col * 5 + row * col) % 5 - 2;
}

// Writes both operands; want: what each element of the sum over all accumulators must be.
static hn_status coop_operands(job *j, const hn_matrix_size *m, float *want)
{
    uint16_t ab[2 * COOP_MOST];
    const int n_a = m->m * m->k, n_b = m->k * m->n, n_sums = (int)PEAK_MATRICES;

    for (int i = 0; i < n_a; i++)
        ab[i] = hn__f32_to_f16((float)coop_element(i / m->k, i % m->k));
    for (int i = 0; i < n_b; i++)
        ab[n_a + i] = hn__f32_to_f16((float)coop_element(i % m->n, i / m->n + 3));
    for (int i = 0; i < m->m * m->n; i++) {
        int sum = 0;
        for (int k = 0; k < m->k; k++)
            sum += coop_element(i / m->n, k) * coop_element(i % m->n, k + 3);
        want[i] = (float)(n_sums * (n_sums - 1) / 2 + n_sums * sum);
    }
    HN_TRY(hn_buffer_create(j->dev, (n_a + n_b) * 2, &j->in));
    j->cmd.bind[1] = (hn__bind){ j->in, 0, (n_a + n_b) * 2, true, false };
    return hn_buffer_write(j->in, 0, ab, (n_a + n_b) * 2);
}

static hn_status coop_size(hn_device *d, const hn_matrix_size *m, bench_peak *out)
{
    const uint32_t lanes = d->info.subgroup_size;
    const bool may_ask = lanes >= d->info.subgroup_min && lanes <= d->info.subgroup_max;
    const hn__kernel_desc desc = { .spec = { lanes, m->m, m->n, m->k }, .n_spec = 4, .n_bind = 2,
                                   .push_bytes = sizeof(struct peak_push),
                                   .subgroup = may_ask ? lanes : 0 };
    work w = { .push = { .steps = STEPS + 1 }, // odd
               .flop = 2.0 * m->m * m->n * m->k * PEAK_MATRICES * (STEPS + 1),
               .n_out = m->m * m->n, .n_want = m->m * m->n };
    job j = { .dev = d };
    double time[PEAK_REPEATS];

    if (m->m * m->k > COOP_MOST || m->k * m->n > COOP_MOST || w.n_out > COOP_MOST)
        return HN_OK; // none is known to be so large
    hn_status s = coop_operands(&j, m, w.want);
    if (s == HN_OK)
        s = job_kernel(&j, "peak_coop", HN_F32, &desc);
    if (s == HN_OK)
        s = work_begin(&j, &w);
    if (s == HN_OK)
        s = job_measure(&j, time);
    if (s == HN_OK)
        bench_peak_form(out, j.cmd.flop, time, "%dx%dx%d", m->m, m->n, m->k);
    job_end(&j);
    return s;
}

static hn_status peak_coopmat(hn_device *d, bench_peak *out)
{
    hn_status s = HN_OK;

    const uint32_t needs = HN_FEATURE_COOPMAT | HN_FEATURE_FP16 | HN_FEATURE_STORAGE_16;
    if ((d->info.features & needs) != needs)
        return bench_peak_lacks(out, "the device has no coopmat");
    if (!d->info.n_matrices)
        return bench_peak_lacks(out, "the device lists no f16 matrices summed in f32");
    for (int i = 0; s == HN_OK && i < d->info.n_matrices; i++)
        s = coop_size(d, &d->info.matrices[i], out);
    if (s == HN_OK && !out->n_ways)
        return bench_peak_lacks(out, "all sizes are above %d elements", COOP_MOST);
    return s == HN_ERR_UNSUPPORTED ? bench_peak_lacks(out, "%s", hn_error_text()) : s;
}

// ---- memory --------------------------------------------------------------------------------

static hn_status copy_kernel(job *j)
{
    const hn__kernel_desc desc = { .spec = { usual_size(j->dev) }, .n_spec = 1, .n_bind = 2,
                                   .push_bytes = sizeof(struct peak_copy_push) };
    return job_kernel(j, "peak_copy", HN_F32, &desc);
}

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
    double seconds[PEAK_REPEATS];
    HN_TRY(copy_kernel(j));
    HN_TRY(copy_stream(j, bytes));
    HN_TRY(copy_check(j, bytes));
    HN_TRY(job_measure(j, seconds));
    bench_peak_keep(out, 2.0 * (double)bytes, seconds, PEAK_REPEATS);
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
    enum { TIMES = PEAK_MOST_TIMES };
    double seconds[TIMES];

    HN_TRY(copy_kernel(j));
    HN_TRY(copy_stream(j, HN__ALIGN));
    HN_TRY(copy_check(j, HN__ALIGN));
    for (int i = -20; i < TIMES; i++) {
        const uint64_t began = hn__now_ns();
        HN_TRY(j->dev->fn->stream_run(j->stream));
        if (i >= 0)
            seconds[i] = (double)(hn__now_ns() - began) * 1e-9;
    }
    bench_peak_keep(out, 0, seconds, TIMES);
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
    case PEAK_COOPMAT: return peak_coopmat(d, out);
    default: return peak_arithmetic(d, id, out);
    }
}
