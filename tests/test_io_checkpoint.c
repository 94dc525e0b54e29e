// Checkpoints: committed, kept, damaged, and written by a process that is killed at any moment.
#include "support/check.h"
#include "support/failing.h"
#include "support/folder.h"

#include "base/os.h"
#include "hornito/io.h"
#include "io/checkpoint.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

// A checkpoint of two files whose contents follow from the step.
static hn_status write_one(const char *dir, int64_t step, int keep)
{
    hn__checkpoint *c;
    const char *path;
    HN_TRY(hn__checkpoint_begin(dir, step, &c));
    enum { N = 4096 };
    static int32_t x[N];
    for (int i = 0; i < N; i++)
        x[i] = (int32_t)(step + i);
    const hn_tensor t = { .name = "x", .dtype = HN_I32, .rank = 1, .dim = { N }, .data = x,
                          .n_bytes = sizeof x };
    hn_status s = hn__checkpoint_add(c, "model.safetensors", &path);
    if (s == HN_OK)
        s = hn_tensors_write(path, &t, 1, NULL, 0);
    if (s == HN_OK)
        s = hn__checkpoint_add(c, "state.json", &path);
    hn__newfile f = { 0 };
    if (s == HN_OK)
        s = hn__newfile_open(path, &f);
    if (s == HN_OK)
        s = hn__newfile_write(&f, &step, sizeof step);
    if (s == HN_OK)
        s = hn__newfile_commit(&f);
    else
        hn__newfile_abort(&f);
    if (s == HN_OK)
        return hn__checkpoint_commit(&c, keep);
    hn__checkpoint_abort(&c);
    return s;
}

// The newest one is whole, of this step or a later one, and holds what was written.
static int64_t check_latest(const char *dir, int64_t least)
{
    char *path, file[512];
    int64_t step;
    CHECK_OK(hn__checkpoint_latest(dir, &path, &step));
    CHECK(step >= least, "step %d was committed, %d is found", (int)least, (int)step);
    snprintf(file, sizeof file, "%s/model.safetensors", path);
    hn_tensors *t;
    CHECK_OK(hn_tensors_open(file, &t));
    const int32_t *x = hn_tensors_find(t, "x")->data;
    CHECK(x[0] == step && x[4095] == step + 4095, "step %d holds %d", (int)step, (int)x[0]);
    hn_tensors_destroy(&t);
    hn__free(path);
    return step;
}

static int n_logged;
static void count_log(void *user, hn_log_level level, const char *line)
{
    (void)user;
    (void)line;
    n_logged += level == HN_LOG_WARN;
}

static void check_keeps(void **state)
{
    (void)state;
    folder_make("keeps");
    const char *dir = folder_path("c");
    char *path;
    int64_t step;
    CHECK_FAILS(hn__checkpoint_latest(dir, &path, &step), HN_ERR_IO);
    for (int i = 1; i <= 5; i++) {
        CHECK_OK(write_one(dir, i * 10, 2));
        assert_int_equal(check_latest(dir, 0), i * 10);
    }
    assert_false(hn__exists(folder_path("c/step-30")));
    assert_true(hn__exists(folder_path("c/step-40")));
    hn__map m;
    CHECK_OK(hn__map_open(folder_path("c/latest"), &m));
    assert_memory_equal(m.data, "step-50\n", 8);
    hn__map_close(&m);
    // A run that went back: the newest is what was written last, not the highest step.
    CHECK_OK(write_one(dir, 20, 2));
    assert_int_equal(check_latest(dir, 0), 20);
    // The same step again replaces it.
    CHECK_OK(write_one(dir, 20, 2));
    assert_int_equal(check_latest(dir, 0), 20);
    assert_true(hn__exists(folder_path("c/step-50")));
    folder_remove();
}

static void damage(const char *path, int how)
{
    FILE *f = fopen(path, "r+b");
    CHECK(f, "cannot open %s", path);
    fseek(f, 0, SEEK_END);
    const long n = ftell(f);
    fclose(f);
    if (how == 0)
        CHECK(!truncate(path, n / 2), "truncate");
    else if (how == 1)
        CHECK(!unlink(path), "unlink");
    else {
        f = fopen(path, "r+b");
        fseek(f, n / 2, SEEK_SET);
        const int c = fgetc(f);
        fseek(f, n / 2, SEEK_SET);
        fputc(c ^ 1, f);
        fclose(f);
    }
}

// Whatever is damaged in the newest, the one before is taken, and the log says so.
static void check_damaged(void **state)
{
    (void)state;
    static const char *const files[] = { "c/step-2/model.safetensors", "c/step-2/state.json",
                                         "c/step-2/checkpoint.json" };
    hn_set_log(count_log, NULL, HN_LOG_WARN);
    for (int i = 0; i < 9; i++) {
        folder_make("damaged");
        const char *dir = folder_path("c");
        CHECK_OK(write_one(dir, 1, 9));
        CHECK_OK(write_one(dir, 2, 9));
        damage(folder_path(files[i / 3]), i % 3);
        n_logged = 0;
        assert_int_equal(check_latest(dir, 0), 1);
        assert_int_equal(n_logged, 1);
        int64_t step;
        const hn_status s = hn__checkpoint_check(folder_path("c/step-2"), &step);
        CHECK(s == HN_ERR_FORMAT || s == HN_ERR_IO, "damage %d is %s", i, hn_status_name(s));
        char *path;
        damage(folder_path("c/step-1/state.json"), 0);
        CHECK_FAILS(hn__checkpoint_latest(dir, &path, &step), HN_ERR_FORMAT);
        // A good one can be written over the ruins.
        CHECK_OK(write_one(dir, 2, 9));
        assert_int_equal(check_latest(dir, 0), 2);
        folder_remove();
    }
    hn_set_log(NULL, NULL, HN_LOG_WARN);
}

static void check_refused(void **state)
{
    (void)state;
    folder_make("refused");
    hn__checkpoint *c;
    const char *path;
    CHECK_FAILS(hn__checkpoint_begin(folder_path("c"), -1, &c), HN_ERR_ARG);
    CHECK_OK(hn__checkpoint_begin(folder_path("c"), 1, &c));
    static const char *const names[] = { "", ".", "../x", "a/b", "checkpoint.json", "a\nb" };
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        CHECK_FAILS(hn__checkpoint_add(c, names[i], &path), HN_ERR_ARG);
    CHECK_OK(hn__checkpoint_add(c, "a", &path));
    CHECK_FAILS(hn__checkpoint_add(c, "a", &path), HN_ERR_ARG);
    CHECK_FAILS(hn__checkpoint_commit(&c, 1), HN_ERR_IO); // "a" was never written
    assert_null(c);
    int64_t step, serial;
    static const char *const texts[] = {
        "{}", "[]", "{\"format\":\"x\"}", "{\"format\":\"hornito-checkpoint\",\"version\":2}",
        "{\"format\":\"hornito-checkpoint\",\"version\":1,\"hash\":\"0000000000000000\"}",
        "{\"format\":\"hornito-checkpoint\",\"version\":1,\"hash\":\"x\"}",
    };
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        const hn_status s = hn__checkpoint_read(texts[i], strlen(texts[i]), "c", &step, &serial,
                                                NULL, NULL);
        CHECK(s == HN_ERR_FORMAT || s == HN_ERR_UNSUPPORTED, "text %zu", i);
    }
    folder_remove();
}

// Writes for ever, and tells each step that is committed.
static void child(const char *dir, int64_t step, int to)
{
    for (;; step++) {
        if (write_one(dir, step % 7 == 0 ? step - 1 : step, 2) != HN_OK)
            _exit(1);
        if (write(to, &step, sizeof step) != sizeof step)
            _exit(2);
    }
}

static void check_killed(void **state)
{
    (void)state;
    folder_make("killed");
    const char *dir = folder_path("c");
    const uint64_t seed = hn__now_ns();
    print_message("seed %llu\n", (unsigned long long)seed);
    hn_rng r = hn__rng(seed, 5);
    int64_t last = 0;
    // A disk may be slow: moments are drawn from what one checkpoint takes here.
    const uint64_t start = hn__now_ns();
    CHECK_OK(write_one(dir, 0, 2));
    const int64_t took = (int64_t)(hn__now_ns() - start);
    for (int round = 0; round < 20; round++) {
        int fd[2];
        CHECK(!pipe(fd), "pipe");
        const pid_t pid = fork();
        if (pid == 0) {
            close(fd[0]);
            child(dir, last + 1, fd[1]);
        }
        close(fd[1]);
        int64_t done = -1;
        if (round % 2 && read(fd[0], &done, sizeof done) == sizeof done)
            last = done; // in these rounds one is committed before
        const int64_t wait = hn__rng_below(&r, 2 * took);
        nanosleep(&(struct timespec){ wait / 1000000000, wait % 1000000000 }, NULL);
        kill(pid, SIGKILL);
        int status;
        waitpid(pid, &status, 0);
        CHECK(WIFSIGNALED(status), "round %d: the child ended with %d", round, status);
        while (read(fd[0], &done, sizeof done) == sizeof done)
            last = done;
        close(fd[0]);
        if (last > 0)
            check_latest(dir, last % 7 == 0 ? last - 1 : last);
    }
    CHECK(last >= 10, "only %d checkpoints were written", (int)last);
    folder_remove();
}

static hn_status work(void *user)
{
    char *path;
    int64_t step;
    HN_TRY(write_one(user, 3, 1));
    HN_TRY(hn__checkpoint_latest(user, &path, &step));
    hn__free(path);
    return HN_OK;
}

static void check_allocations(void **state)
{
    (void)state;
    folder_make("checkpoint-nomem");
    const char *dir = folder_path("c");
    CHECK_OK(write_one(dir, 3, 1));
    assert_true(failing_allocations("checkpoint", work, (void *)(uintptr_t)dir) > 20);
    check_latest(dir, 3);
    folder_remove();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(check_keeps),   cmocka_unit_test(check_damaged),
        cmocka_unit_test(check_refused), cmocka_unit_test(check_killed),
        cmocka_unit_test(check_allocations),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
