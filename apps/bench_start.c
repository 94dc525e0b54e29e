// hornito bench start: time to the first result of a process that finds no cache, of the next one,
// which finds what we keep (pipelines, verdicts and choices of kernels) but not what the driver keeps
// by itself (Mesa's: MESA_SHADER_CACHE_DIR), and of a third, which finds both.
#include "bench.h"

#include <errno.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/os.h"
#include "bench_reference.h"
#include "bench_step.h"

extern char **environ;

enum { MOST_STARTS = 32, FIRST_LINE = 64 };

typedef struct start_options {
    bench_options bench;
    char *once, *data, *work;
} start_options;

// What a process finds.
enum { COLD, OURS, WARM, N_STARTS };
static const char *const kinds[] = { "cold", "our caches", "warm" };

// One work, started in each way.
typedef struct start_row {
    const char *name;
    double seconds[N_STARTS][MOST_STARTS];
    bench_stats stats[N_STARTS];
    double our_bytes, pipeline_bytes, driver_bytes; // what the caches held after the cold start
    char not_here[256];
} start_row;

static const char *const works[] = { "whisper-base encode", "training step" };
enum { N_WORKS = sizeof works / sizeof *works };

// ---- the child -----------------------------------------------------------------------------

static hn_status encode_once(const start_options *o, hn_device *d)
{
    bench_clip clip = { 0 };
    hn_whisper *w = NULL;
    char *path = NULL;
    hn_status s = app_model_path("whisper-base", &path);
    if (s == HN_OK)
        s = bench_clip_open(o->data, &clip);
    if (s == HN_OK)
        s = hn_whisper_open(d, path, NULL, &w);
    if (s == HN_OK)
        s = hn_whisper_encode(w, clip.mel, NULL);
    if (s == HN_OK)
        puts("first result");
    fflush(stdout);
    hn_whisper_close(&w);
    bench_clip_close(&clip);
    hn__free(path);
    return s;
}

static hn_status step_once(hn_device *d)
{
    hn_trainer *t;
    hn_train_step step;
    int32_t *text;
    int64_t tokens;
    hn_status s = bench_step_trainer(d, 1, &t, &text, &tokens);
    if (s == HN_OK)
        s = hn_trainer_step(t, &step);
    if (s == HN_OK)
        puts("first result");
    fflush(stdout);
    hn_trainer_destroy(&t);
    hn__free(text);
    return s;
}

static int run_once(const start_options *o)
{
    hn_device *d = NULL;
    int rc = app_fail(app_open_device(&o->bench.dev, &d));
    if (!rc)
        rc = app_fail(!strcmp(o->once, works[0]) ? encode_once(o, d) : step_once(d));
    return app_close_device(&d, rc);
}

// ---- the parent ----------------------------------------------------------------------------

// Starts this program again with its output on a pipe. Returns the reading end, or -1.
static int spawn_self(const char *const argv[], pid_t *pid)
{
    int fd[2];
    posix_spawn_file_actions_t to;

    if (pipe(fd))
        return -1;
    posix_spawn_file_actions_init(&to);
    posix_spawn_file_actions_adddup2(&to, fd[1], STDOUT_FILENO);
    posix_spawn_file_actions_addclose(&to, fd[0]);
    posix_spawn_file_actions_addclose(&to, fd[1]);
    const int failed = posix_spawn(pid, "/proc/self/exe", &to, NULL, (char *const *)argv, environ);
    posix_spawn_file_actions_destroy(&to);
    close(fd[1]);
    if (failed) {
        close(fd[0]);
        errno = failed;
        return -1;
    }
    return fd[0];
}

// Seconds from the start of a process to its first result.
static hn_status time_start(const start_options *o, const char *work, const char *cache,
                            double *out)
{
    char threads[16], line[FIRST_LINE] = "";
    const char *argv[16] = { "hornito", "bench", "start", "--once", work, "--cache", cache,
                             "--data", o->data, "--threads", threads };
    int n = 11, status = 0;
    pid_t pid;

    snprintf(threads, sizeof threads, "%d", o->bench.dev.threads);
    if (o->bench.dev.spec) {
        argv[n++] = "--device";
        argv[n++] = o->bench.dev.spec;
    }
    if (o->bench.dev.phone)
        argv[n++] = "--phone";
    const uint64_t began = hn__now_ns();
    const int fd = spawn_self(argv, &pid);
    if (fd < 0)
        return hn_fail(HN_ERR_IO, "cannot start another process: %s", strerror(errno));
    const ssize_t got = read(fd, line, sizeof line - 1);
    *out = (double)(hn__now_ns() - began) * 1e-9;
    close(fd);
    while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
        ;
    if (got <= 0 || strncmp(line, "first result", 12) || status)
        return hn_fail(HN_ERR_DEVICE, "'%s' in another process failed", work);
    return HN_OK;
}

typedef struct folder_size {
    const char *path;
    double bytes, pipelines;
} folder_size;

static hn_status add_size(void *user, const char *name)
{
    folder_size *f = user;
    char *path = hn__path_join(f->path, name);
    struct stat st;
    hn_status s = path ? HN_OK : hn__nomem(64);
    if (path && hn__is_dir(path)) {
        folder_size inside = { .path = path };
        s = hn__list(path, add_size, &inside);
        f->bytes += inside.bytes;
    } else if (path && !stat(path, &st)) {
        f->bytes += (double)st.st_size;
        f->pipelines += strncmp(name, "pipelines-", 10) ? 0 : (double)st.st_size;
    }
    hn__free(path);
    return s;
}

static hn_status take_sizes(start_row *r, const char *ours, const char *theirs)
{
    folder_size a = { .path = ours }, b = { .path = theirs };

    HN_TRY(hn__list(ours, add_size, &a));
    HN_TRY(hn__list(theirs, add_size, &b));
    r->our_bytes = a.bytes;
    r->pipeline_bytes = a.pipelines;
    r->driver_bytes = b.bytes;
    return HN_OK;
}

static hn_status time_starts(const start_options *o, start_row *r, const char *ours,
                             const char *theirs, int i)
{
    HN_TRY(hn__mkdirs(ours));
    HN_TRY(hn__mkdirs(theirs));
    if (setenv("MESA_SHADER_CACHE_DIR", theirs, 1))
        return hn_fail(HN_ERR_IO, "cannot set MESA_SHADER_CACHE_DIR");
    HN_TRY(time_start(o, r->name, ours, &r->seconds[COLD][i]));
    HN_TRY(take_sizes(r, ours, theirs));
    HN_TRY(hn__remove_all(theirs));
    HN_TRY(hn__mkdirs(theirs));
    HN_TRY(time_start(o, r->name, ours, &r->seconds[OURS][i]));
    return time_start(o, r->name, ours, &r->seconds[WARM][i]);
}

static hn_status start_in(const start_options *o, start_row *r, const char *folder, int i)
{
    char *ours = hn__path_join(folder, "ours"), *theirs = hn__path_join(folder, "theirs");
    const hn_status s =
        ours && theirs ? time_starts(o, r, ours, theirs, i) : hn__nomem(strlen(folder) + 8);

    hn__free(ours);
    hn__free(theirs);
    return s;
}

static hn_status measure(const start_options *o, start_row *r)
{
    char *path = NULL;
    if (!strncmp(r->name, "whisper", 7) && app_model_path("whisper-base", &path)) {
        snprintf(r->not_here, sizeof r->not_here, "tools/get-models fetches it");
        return HN_OK;
    }
    hn__free(path);
    for (int i = 0; i < o->bench.repeats; i++) {
        const char *tmp = getenv("TMPDIR");
        char folder[512];
        snprintf(folder, sizeof folder, "%.400s/hornito-start-XXXXXX", tmp ? tmp : "/tmp");
        if (!mkdtemp(folder))
            return hn_fail(HN_ERR_IO, "cannot make '%s': %s", folder, strerror(errno));
        const hn_status s = start_in(o, r, folder, i);
        const hn_status removed = hn__remove_all(folder);
        HN_TRY(s);
        HN_TRY(removed);
    }
    for (int k = 0; k < N_STARTS; k++)
        r->stats[k] = bench_summary(r->seconds[k], o->bench.repeats);
    return HN_OK;
}

// ---- saying --------------------------------------------------------------------------------

// A cache of pipelines without any is a header, ours and Vulkan's, of about 100 bytes.
static const char *stores(const start_row *r, const hn_device *d)
{
    if (hn_device_get_info(d)->kind != HN_DEVICE_VULKAN)
        return "no pipelines here";
    return r->pipeline_bytes > 1024 ? "the driver's pipeline cache stores pipelines"
           : r->driver_bytes > 65536
               ? "the driver's pipeline cache is empty; it keeps files of its own"
               : "the driver stores nothing";
}

static void print_start(const start_row *r, const hn_device *d)
{
    char text[64], bytes[2][32];
    if (*r->not_here) {
        printf("%-22s not here: %s\n", r->name, r->not_here);
        return;
    }
    for (int k = 0; k < N_STARTS; k++)
        printf("%-22s %-12s %s: %.2f times as soon\n", k ? "" : r->name, kinds[k],
               bench_text(&r->stats[k], text, sizeof text),
               r->stats[COLD].median / r->stats[k].median);
    printf("  after the cold start: our caches %s, the driver's %s; %s\n",
           app_bytes_text(r->our_bytes, bytes[0], 32),
           app_bytes_text(r->driver_bytes, bytes[1], 32), stores(r, d));
}

static void add_json(json_t *rows, const start_row *r, const hn_device *d)
{
    for (int k = 0; k < N_STARTS; k++) {
        json_t *o = app_json_object();
        char name[64];
        snprintf(name, sizeof name, "%s, %s", r->name, kinds[k]);
        app_json_set(o, "name", app_json_text(name));
        if (*r->not_here) {
            app_json_set(o, "not_here", app_json_text(r->not_here));
        } else {
            app_json_set(o, "wall", bench_json_times(&r->stats[k], r->seconds[k]));
            app_json_set(o, "our_cache_bytes", app_json_number(r->our_bytes));
            app_json_set(o, "pipeline_cache_bytes", app_json_number(r->pipeline_bytes));
            app_json_set(o, "driver_cache_bytes", app_json_number(r->driver_bytes));
            app_json_set(o, "stores", app_json_text(stores(r, d)));
        }
        app_json_add(rows, o);
    }
}

static int start(const start_options *o)
{
    start_row rows[N_WORKS] = { { .name = NULL } };
    json_t *list = app_json_array();
    report *none = NULL;
    hn_device *d = NULL;

    int rc = app_fail(app_open_device(&o->bench.dev, &d));
    for (int i = 0; !rc && i < N_WORKS; i++) {
        if (o->work && strcmp(o->work, works[i]))
            continue;
        rows[i].name = works[i];
        rc = app_fail(measure(o, &rows[i]));
        if (!rc && bench_prints(&o->bench))
            print_start(&rows[i], d);
        if (!rc)
            add_json(list, &rows[i], d);
    }
    if (rc) {
        json_decref(list);
    } else {
        json_t *root = bench_head("bench start", d);
        app_json_set(root, "starts", list);
        rc = bench_write(&o->bench, root, &none);
    }
    return app_close_device(&d, rc);
}

static int usage(const start_options *o)
{
    if (o->bench.repeats < 3 || o->bench.repeats > MOST_STARTS)
        return app_usage("--repeats %d: give 3 to %d", o->bench.repeats, MOST_STARTS);
    const char *const given = o->once ? o->once : o->work;
    for (int i = 0; given && i < N_WORKS; i++)
        if (!strcmp(given, works[i]))
            return -1;
    return given ? app_usage("no work '%s': there are '%s', '%s'", given, works[0], works[1]) : -1;
}

int app_bench_start(int argc, const char **argv)
{
    start_options o = { .bench = { .repeats = 3 } };
    const struct poptOption options[] = {
        { "once", 0, POPT_ARG_STRING, &o.once, 0,
          "do this in this process and say when it is done: what is measured", "WORK" },
        { "work", 0, POPT_ARG_STRING, &o.work, 0, "only this one", "WORK" },
        { "data", 0, POPT_ARG_STRING, &o.data, 0, "as of bench models", "DIR" },
        { "repeats", 'n', POPT_ARG_INT | POPT_ARGFLAG_SHOW_DEFAULT, &o.bench.repeats, 0,
          "times that processes are started", "N" },
        { "json", 0, POPT_ARG_STRING, &o.bench.json, 0,
          "results for machines (-: standard output)", "FILE" },
        APP_DEVICE_OPTIONS(o.bench.dev),
        APP_COMMON_OPTIONS,
    };
    app_args args;
    int rc = app_begin(argc, argv, options, &args);
    char *given = o.data;
    o.data = given ? given : (char *)HORNITO_REFERENCE;
    if (rc < 0)
        rc = usage(&o);
    if (rc < 0)
        rc = o.once ? run_once(&o) : start(&o);
    o.data = given; // what app_end frees
    return app_end(&args, rc);
}
