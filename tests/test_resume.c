// Training killed with SIGKILL at random moments and resumed ends with the same loss as an
// undisturbed run, to the bit. A lost device gives a status; opened again in the same process, the
// run goes on from its checkpoint.
#include "support/check.h"
#include "support/device.h"

#include "base/os.h"
#include "device/vk/vk.h"
#include "hornito/train.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { N_TOKENS = 5000, STEPS = 30, KILLS = 20 };

static int32_t tokens[N_TOKENS];
static char root[] = "/tmp/hornito-resume-XXXXXX";

static hn_train_params params(void)
{
    return (hn_train_params){
        .model = { .family = HN_LM_GPT2,
                   .vocab = 512,
                   .width = 64,
                   .layers = 4,
                   .heads = 2,
                   .kv_heads = 2,
                   .ffn = 256,
                   .context = 64,
                   .eps = 1e-5f,
                   .act = HN_ACT_GELU,
                   .tied = true,
                   .dropout = 0.1f },
        .optimizer = { .adamw = { 0.9f, 0.95f, 1e-8f, 0.1f }, .clip = 1 },
        .batch = 2,
        .length = 64,
        .steps = STEPS,
        .lr = 1e-3f,
        .lr_end = 1e-4f,
        .warmup = 5,
        .seed = 3,
    };
}

static char *in_root(const char *name)
{
    char *p = hn__path_join(root, name);
    CHECK(p != NULL, "out of memory");
    return p;
}

// What is left to do of the run in `dir`, saving after every step; then one step more, which is not
// saved and whose loss goes to *loss: a run that was killed after its last save has it too.
static hn_status train(const char *dir, hn_device *d, float *loss)
{
    const hn_train_params p = params();
    hn_train_step r = { 0 };
    hn_trainer *t;
    char *latest = hn__path_join(dir, "latest");
    hn_status s = latest ? hn_trainer_create(d, &p, tokens, N_TOKENS, &t) : HN_ERR_NOMEM;
    if (s) {
        hn__free(latest);
        return s;
    }
    if (hn__exists(latest))
        s = hn_trainer_resume(t, dir);
    while (s == HN_OK && hn_trainer_steps_done(t) < STEPS) {
        s = hn_trainer_step(t, &r);
        if (s == HN_OK)
            s = hn_trainer_save(t, dir, NULL);
    }
    if (s == HN_OK)
        s = hn_trainer_step(t, &r);
    *loss = (float)r.loss;
    hn_trainer_destroy(&t);
    hn__free(latest);
    return s;
}

// In a process of its own, since it is to be killed: opens the device, trains, writes the loss.
static void child(const char *dir)
{
    const hn_device_params p = test_device_params();
    hn_device *d;
    float loss;
    hn_status s = hn_device_open(&p, &d);
    if (s == HN_OK)
        s = train(dir, d, &loss);
    if (s) {
        fprintf(stderr, "%s\n", hn_error_text());
        _exit(1);
    }
    char *path = hn__path_join(dir, "loss");
    hn__newfile f;
    s = hn__newfile_open(path, &f);
    if (s == HN_OK)
        s = hn__newfile_write(&f, &loss, sizeof loss);
    if (s == HN_OK)
        s = hn__newfile_commit(&f);
    _exit(s ? 1 : 0);
}

// True where the child was killed before its end.
static bool run_child(const char *dir, long kill_after_us)
{
    int status;
    const pid_t pid = fork();
    CHECK(pid >= 0, "fork");
    if (pid == 0)
        child(dir);
    if (kill_after_us >= 0) {
        const struct timespec t = { kill_after_us / 1000000, kill_after_us % 1000000 * 1000 };
        nanosleep(&t, NULL);
        kill(pid, SIGKILL);
    }
    CHECK(waitpid(pid, &status, 0) == pid, "waitpid");
    if (WIFSIGNALED(status))
        return true;
    CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 0, "the training process failed");
    return false;
}

static uint32_t final_loss(const char *dir)
{
    char *path = hn__path_join(dir, "loss");
    hn__map m;
    uint32_t bits;
    CHECK_OK(hn__map_open(path, &m));
    CHECK(m.size == sizeof bits, "%zu bytes", m.size);
    memcpy(&bits, m.data, sizeof bits);
    hn__map_close(&m);
    hn__free(path);
    return bits;
}

static void check_killed(void **state)
{
    (void)state;
    const uint64_t seed = (uint64_t)time(NULL);
    hn_rng rng = hn__rng(seed, 0);
    char *whole = in_root("whole"), *killed = in_root("killed");
    int kills = 0;

    print_message("seed %llu\n", (unsigned long long)seed);
    const uint64_t start = hn__now_ns();
    run_child(whole, -1);
    // Moments over the whole length of a run, so that some fall into opening, some into a step,
    // some into the writing of a checkpoint.
    const double length_us = (double)(hn__now_ns() - start) / 1e3;
    for (int tries = 0; kills < KILLS && tries < 200; tries++) {
        if (run_child(killed, (long)(hn__rng_uniform(&rng) * length_us * 0.6))) {
            kills++;
        } else { // it came to its end: compare, and begin again
            CHECK(final_loss(killed) == final_loss(whole),
                  "seed %llu: another loss after %d kills", (unsigned long long)seed, kills);
            CHECK_OK(hn__remove_all(killed));
        }
    }
    CHECK(kills == KILLS, "killed %d times only", kills);
    run_child(killed, -1);
    CHECK(final_loss(killed) == final_loss(whole), "seed %llu: another loss after %d kills",
          (unsigned long long)seed, kills);
    print_message("killed %d times; the last loss is the same, to the bit\n", kills);
    hn__free(whole);
    hn__free(killed);
}

// The device is lost in the middle of the run; nothing of it is used again but to be closed.
static void check_lost_device(void **state)
{
    (void)state;
    const hn_device_params dp = test_device_params();
    char *whole = in_root("whole"), *lost = in_root("lost");
    hn_device *d;
    float loss;

    CHECK_OK(hn_device_open(&dp, &d));
    if (hn_device_get_info(d)->kind != HN_DEVICE_VULKAN) {
        hn_device_close(&d);
        print_message("a host device cannot be lost\n");
        return;
    }
    // Counts the calls of a whole run, then loses the device in the steps of another.
    enum { FAR = 1 << 30 };
    hn__vk_fail_at(FAR, VK_ERROR_DEVICE_LOST);
    CHECK_OK(train(lost, d, &loss));
    const int64_t calls = FAR - hn__vk_fail_left();
    hn__vk_fail_at(0, VK_SUCCESS);
    hn_device_close(&d); // its kernels are made already
    CHECK_OK(hn__remove_all(lost));
    CHECK_OK(hn_device_open(&dp, &d));
    hn__vk_fail_at(calls - 100, VK_ERROR_DEVICE_LOST);
    CHECK_FAILS(train(lost, d, &loss), HN_ERR_DEVICE);
    print_message("%s\n", hn_error_text());
    hn__vk_fail_at(0, VK_SUCCESS);
    hn_device_close(&d);

    CHECK_OK(hn_device_open(&dp, &d));
    CHECK_OK(train(lost, d, &loss));
    hn_device_close(&d);
    const uint32_t want = final_loss(whole);
    CHECK(!memcmp(&want, &loss, sizeof loss), "another loss after the device was lost");
    hn__free(whole);
    hn__free(lost);
}

static void check_settings(void **state)
{
    (void)state;
    const hn_device_params dp = test_device_params();
    hn_train_params p = params();
    hn_device *d;
    hn_trainer *t;
    char *whole = in_root("whole"), *none = in_root("none");
    CHECK_OK(hn_device_open(&dp, &d));
    p.lr = 2e-3f;
    CHECK_OK(hn_trainer_create(d, &p, tokens, N_TOKENS, &t));
    CHECK_FAILS(hn_trainer_resume(t, whole), HN_ERR_ARG);
    CHECK(strstr(hn_error_text(), "lr"), "the text does not name what differs: %s",
          hn_error_text());
    CHECK_FAILS(hn_trainer_resume(t, none), HN_ERR_IO);
    hn_trainer_destroy(&t);
    hn_device_close(&d);
    hn__free(whole);
    hn__free(none);
}

int main(void)
{
    for (int i = 0; i < N_TOKENS; i++)
        tokens[i] = (int32_t)((uint32_t)(i % 700) * 2654435761u >> 23);
    if (!mkdtemp(root))
        return 1;
    const struct CMUnitTest tests[] = { cmocka_unit_test(check_killed),
                                        cmocka_unit_test(check_lost_device),
                                        cmocka_unit_test(check_settings) };
    const int failed = cmocka_run_group_tests(tests, NULL, NULL);
    hn__remove_all(root);
    return failed;
}
