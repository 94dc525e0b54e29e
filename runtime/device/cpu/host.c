// The host devices, cpu and ref: buffers are host memory, a stream is a list of calls.
#include "device/device.h"
#include "base/os.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#ifdef HN_HAVE_OPENBLAS
#include <cblas.h>
#endif

struct hn__stream {
    hn_device *dev;
    int64_t n;
    hn__cmd *cmds;
};

static void close_device(hn_device *d)
{
    hn__pool_destroy(&d->pool);
    hn__free(d);
}

static hn_status buffer_create(hn_device *d, int64_t n_bytes, hn_buffer **out)
{
    hn_buffer *b = hn__calloc(1, sizeof *b);
    if (!b)
        return hn__nomem(sizeof *b);
    b->dev = d;
    b->host = hn__alloc_aligned((size_t)n_bytes);
    if (!b->host) {
        hn__free(b);
        return hn__nomem((size_t)n_bytes);
    }
    *out = b;
    return HN_OK;
}

static void buffer_destroy(hn_buffer *b)
{
    hn__free_aligned(b->host);
    hn__free(b);
}

static hn_status buffer_write(hn_buffer *b, int64_t offset, const void *data, int64_t n)
{
    memcpy((char *)b->host + offset, data, (size_t)n);
    return HN_OK;
}

static hn_status buffer_read(hn_buffer *b, int64_t offset, void *out, int64_t n)
{
    memcpy(out, (const char *)b->host + offset, (size_t)n);
    return HN_OK;
}

static void stream_destroy(hn__stream *s)
{
    s->dev->n_streams--;
    hn__free(s->cmds);
    hn__free(s);
}

static hn_status stream_create(hn_device *d, const hn__cmd *cmds, int64_t n, hn__stream **out)
{
    hn__stream *s = hn__calloc(1, sizeof *s);
    hn__cmd *copy = hn__calloc((size_t)(n ? n : 1), sizeof *copy);
    if (!s || !copy) {
        hn__free(s);
        hn__free(copy);
        return hn__nomem((size_t)n * sizeof *copy);
    }
    memcpy(copy, cmds, (size_t)n * sizeof *copy);
    *s = (hn__stream){ d, n, copy };
    d->n_streams++;
    *out = s;
    return HN_OK;
}

static void call(const hn__cmd *c, hn__pool *pool)
{
    void *ptr[HN__MAX_BIND];
    for (int i = 0; i < c->n_bind; i++)
        ptr[i] = (char *)c->bind[i].buf->host + c->bind[i].offset;
    if (c->host)
        c->host(c->ctx, ptr, pool);
    else
        memmove(ptr[1], ptr[0], (size_t)c->bind[0].bytes);
}

static hn_status stream_run(hn__stream *s)
{
    for (int64_t i = 0; i < s->n; i++)
        call(&s->cmds[i], s->dev->pool);
    return HN_OK;
}

static hn_status stream_time(hn__stream *s, double *out_ns, int64_t n)
{
    for (int64_t i = 0; i < s->n; i++) {
        const uint64_t start = hn__now_ns();
        call(&s->cmds[i], s->dev->pool);
        if (i < n)
            out_ns[i] = (double)(hn__now_ns() - start);
    }
    return HN_OK;
}

static const hn__device_fns fns = {
    .close = close_device,
    .buffer_create = buffer_create,
    .buffer_destroy = buffer_destroy,
    .buffer_write = buffer_write,
    .buffer_read = buffer_read,
    .stream_create = stream_create,
    .stream_destroy = stream_destroy,
    .stream_run = stream_run,
    .stream_time = stream_time,
};

static int64_t host_bytes(void)
{
    const long pages = sysconf(_SC_PHYS_PAGES), size = sysconf(_SC_PAGESIZE);
    return pages > 0 && size > 0 ? (int64_t)pages * size : 0;
}

// The processor's name as Linux says it; empty where it does not.
static void cpu_name(char *buf, size_t n)
{
    char line[256];
    FILE *f = fopen("/proc/cpuinfo", "r");
    snprintf(buf, n, "host processor");
    while (f && fgets(line, sizeof line, f)) {
        const char *colon = strchr(line, ':');
        if (strncmp(line, "model name", 10) || !colon)
            continue;
        snprintf(buf, n, "%.*s", (int)strcspn(colon + 2, "\n"), colon + 2);
        break;
    }
    if (f)
        fclose(f);
}

hn_status hn__host_open(const hn_device_params *p, hn_device_kind kind, hn_device **out)
{
    hn_device *d = hn__calloc(1, sizeof *d);
    if (!d)
        return hn__nomem(sizeof *d);
    d->fn = &fns;
    d->info = (hn_device_info){ .kind = kind, .type = "host", .heap_bytes = host_bytes(),
                                .max_binding_bytes = INT64_MAX };
    const int threads = p->n_threads > 0 ? p->n_threads : hn__cpu_count();
    const hn_status s = hn__pool_create(threads, &d->pool);
    if (s) {
        close_device(d);
        return s;
    }
    d->info.n_threads = hn__pool_threads(d->pool);
    snprintf(d->info.spec, sizeof d->info.spec, "%s", kind == HN_DEVICE_CPU ? "cpu" : "ref");
    if (kind == HN_DEVICE_CPU)
        cpu_name(d->info.name, sizeof d->info.name);
    else
        snprintf(d->info.name, sizeof d->info.name, "f64 reference");
    snprintf(d->reason, sizeof d->reason, "asked for");
#ifdef HN_HAVE_OPENBLAS
    // The pool splits the work; a second team of threads inside a product would fight it.
    openblas_set_num_threads(1);
#endif
    *out = d;
    return HN_OK;
}
