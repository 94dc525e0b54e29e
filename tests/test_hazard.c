// Where barriers stand: no Vulkan here, only ranges.
#include "support/check.h"
#include "device/vk/hazard.h"

#include <string.h>

// Buffers are told apart by address; nothing looks inside.
static hn_buffer buffers[3];

static hn__bind touch(int buf, int64_t at, int64_t n, const char *how)
{
    return (hn__bind){ &buffers[buf], at, n, strchr(how, 'r') != NULL, strchr(how, 'w') != NULL };
}

static hn__barrier after(hn__hazards *h, unsigned stage, hn__bind b)
{
    hn__barrier out;
    CHECK_OK(hn__hazard(h, stage, &b, 1, &out));
    return out;
}

#define COMPUTE HN__STAGE_COMPUTE
#define COPY HN__STAGE_COPY

static void check_pairs(void **state)
{
    (void)state;
    static const struct {
        const char *first, *second;
        int buf;
        int64_t at; // of the second, in a buffer where the first touched [100, 200)
        bool barrier, memory;
    } rows[] = {
        { "w", "r", 0, 100, true, true },   { "w", "w", 0, 100, true, true },
        { "r", "w", 0, 100, true, false },  { "r", "r", 0, 100, false, false },
        { "rw", "r", 0, 100, true, true },  { "w", "r", 0, 199, true, true },
        { "w", "r", 0, 200, false, false }, { "w", "r", 0, 0, false, false },
        { "w", "r", 0, 1, true, true },     { "w", "r", 1, 100, false, false },
        { "", "w", 0, 100, false, false },  { "w", "", 0, 100, false, false },
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        hn__hazards h = { .stages = COMPUTE };
        CHECK(!after(&h, COMPUTE, touch(0, 100, 100, rows[i].first)).src, "row %zu: first", i);
        const hn__bind second = touch(rows[i].buf, rows[i].at, 100, rows[i].second);
        const hn__barrier b = after(&h, COMPUTE, second);
        CHECK((b.src == COMPUTE) == rows[i].barrier, "row %zu: barrier %u", i, b.src);
        CHECK(b.memory == rows[i].memory, "row %zu: memory %d", i, b.memory);
        hn__hazards_free(&h);
    }
}

static void check_stages(void **state)
{
    (void)state;
    hn__hazards h = { .stages = COMPUTE | COPY };
    after(&h, COMPUTE, touch(0, 0, 10, "w"));
    after(&h, COPY, touch(1, 0, 10, "r"));
    const hn__barrier b = after(&h, COPY, touch(0, 0, 10, "r"));
    CHECK(b.src == (COMPUTE | COPY) && b.dst == (COMPUTE | COPY), "stages %u to %u", b.src, b.dst);
    hn__hazards_free(&h);
}

static void check_close(void **state)
{
    (void)state;
    hn__hazards h = { .stages = COMPUTE };
    hn__barrier b;
    after(&h, COMPUTE, touch(0, 0, 10, "r"));
    CHECK_OK(hn__hazard(&h, HN__STAGE_HOST, NULL, 0, &b));
    CHECK(!b.src, "nothing was written");
    after(&h, COMPUTE, touch(1, 0, 10, "w"));
    CHECK_OK(hn__hazard(&h, HN__STAGE_HOST, NULL, 0, &b));
    CHECK(b.src && b.memory && (b.dst & HN__STAGE_HOST), "the host does not see it");
    CHECK_OK(hn__hazard(&h, HN__STAGE_HOST, NULL, 0, &b));
    CHECK(!b.src, "closed twice");
    hn__hazards_free(&h);
}

#define N_CMDS 40
#define N_BINDS 3

typedef struct list {
    hn__bind bind[N_CMDS][N_BINDS];
    bool barrier[N_CMDS]; // before the command
} list;

static bool conflict(const list *l, int i, int j)
{
    for (int a = 0; a < N_BINDS; a++)
        for (int b = 0; b < N_BINDS; b++) {
            const hn__bind *x = &l->bind[i][a], *y = &l->bind[j][b];
            const bool used = (x->read || x->write) && (y->read || y->write);
            if (used && x->buf == y->buf && (x->write || y->write) &&
                x->offset < y->offset + y->bytes && y->offset < x->offset + x->bytes)
                return true;
        }
    return false;
}

static void draw(list *l, hn_rng *r)
{
    static const char *const hows[] = { "r", "r", "w", "rw", "" };
    hn__hazards h = { .stages = COMPUTE };
    for (int i = 0; i < N_CMDS; i++) {
        for (int b = 0; b < N_BINDS; b++)
            l->bind[i][b] = touch((int)hn__rng_below(r, 3), hn__rng_below(r, 20),
                                  1 + hn__rng_below(r, 6), hows[hn__rng_below(r, 5)]);
        hn__barrier out;
        CHECK_OK(hn__hazard(&h, COMPUTE, l->bind[i], N_BINDS, &out));
        l->barrier[i] = out.src != 0;
    }
    hn__hazards_free(&h);
}

// Against the definition: any two conflicting commands have a barrier between them, and each
// barrier stands between two that conflict and have no other.
static void check_drawn(void **state)
{
    (void)state;
    for (uint64_t seed = 0; seed < 500; seed++) {
        hn_rng r = hn__rng(seed, 0);
        list l;
        draw(&l, &r);
        for (int j = 0; j < N_CMDS; j++) {
            bool needed = false;
            for (int i = j - 1; i >= 0; i--) {
                needed |= conflict(&l, i, j);
                if (l.barrier[i])
                    break;
            }
            CHECK(needed == l.barrier[j], "seed %d: command %d %s", (int)seed, j,
                  needed ? "lacks a barrier" : "has a barrier to no end");
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(check_pairs),
        cmocka_unit_test(check_stages),
        cmocka_unit_test(check_close),
        cmocka_unit_test(check_drawn),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
