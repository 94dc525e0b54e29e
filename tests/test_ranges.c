// Free ranges of a block of memory, and how streams are cut: no Vulkan here.
#include "support/check.h"
#include "device/vk/cut.h"
#include "device/vk/ranges.h"

#include <string.h>

#define SIZE 4096
#define MOST 64

typedef struct taken {
    int64_t at[MOST], n[MOST];
    int count;
} taken;

static void take_one(hn__ranges *r, taken *t, hn_rng *rng, uint8_t used[SIZE])
{
    const int64_t n = hn__rng_dim(rng, 600), align = (int64_t)1 << hn__rng_below(rng, 9);
    int64_t at;
    CHECK_OK(hn__ranges_take(r, n, align, &at));
    if (at < 0) {
        // It says that there is no room: no aligned run of n free bytes.
        for (int64_t a = 0; a + n <= SIZE; a += align)
            CHECK(memchr(used + a, 1, (size_t)n), "%d bytes were free at %d", (int)n, (int)a);
        return;
    }
    CHECK(at % align == 0 && at + n <= SIZE, "%d bytes at %d, aligned to %d", (int)n, (int)at,
          (int)align);
    CHECK(!memchr(used + at, 1, (size_t)n), "%d bytes at %d are taken already", (int)n, (int)at);
    memset(used + at, 1, (size_t)n);
    t->at[t->count] = at;
    t->n[t->count++] = n;
}

static void give_one(hn__ranges *r, taken *t, hn_rng *rng, uint8_t used[SIZE])
{
    const int64_t i = hn__rng_below(rng, t->count);
    hn__ranges_give(r, t->at[i], t->n[i]);
    memset(used + t->at[i], 0, (size_t)t->n[i]);
    t->count--;
    t->at[i] = t->at[t->count];
    t->n[i] = t->n[t->count];
}

static void check_ranges(void **state)
{
    (void)state;
    for (uint64_t seed = 0; seed < 50; seed++) {
        hn_rng rng = hn__rng(seed, 0);
        hn__ranges r;
        taken t = { .count = 0 };
        uint8_t used[SIZE] = { 0 };
        CHECK_OK(hn__ranges_init(&r, SIZE));
        for (int i = 0; i < 400; i++) {
            if (t.count < MOST && (t.count == 0 || hn__rng_below(&rng, 2)))
                take_one(&r, &t, &rng, used);
            else
                give_one(&r, &t, &rng, used);
            for (int64_t f = 1; f < r.n_free; f++)
                CHECK(r.free[f - 1].at + r.free[f - 1].n < r.free[f].at,
                      "seed %d: neighbours are not joined", (int)seed);
        }
        while (t.count)
            give_one(&r, &t, &rng, used);
        CHECK(r.n_free == 1 && r.free[0].n == SIZE && r.n_taken == 0, "seed %d: not whole again",
              (int)seed);
        hn__ranges_free(&r);
    }
}

static void check_cut(void **state)
{
    (void)state;
    for (uint64_t seed = 0; seed < 200; seed++) {
        hn_rng rng = hn__rng(seed, 1);
        hn__cost cost[20];
        const double limit = hn__rng_range(&rng, 1, 100);
        for (int i = 0; i < 20; i++)
            cost[i] = (hn__cost){ hn__rng_range(&rng, 0, 300), (uint64_t)hn__rng_below(&rng, 40) };
        hn__parts p = { 0 };
        CHECK_OK(hn__cut(cost, 20, limit, &p));

        double sum = 0;
        int n_cuts = 0;
        int64_t at = 0;
        for (int i = 0; i < 20; i++) {
            uint64_t next = 0;
            do {
                const hn__part *q = &p.item[at++];
                CHECK(q->cmd == i && q->first == next, "seed %d: command %d: part at %d",
                      (int)seed, i, (int)q->first);
                CHECK(q->end > q->first || cost[i].n_groups == 0, "seed %d: empty", (int)seed);
                n_cuts += q->cut;
                sum = q->cut ? q->ns : sum + q->ns;
                // Above the limit only where a single workgroup is, or what cannot be split.
                CHECK(sum <= limit * 1.0001 || (q->cut && q->end - q->first <= 1),
                      "seed %d: a submission of %g, limit %g", (int)seed, sum, limit);
                next = q->end;
            } while (next < cost[i].n_groups);
            CHECK(next == cost[i].n_groups, "seed %d: groups lost", (int)seed);
        }
        CHECK(at == p.n && n_cuts == p.n_cuts && p.item[0].cut, "seed %d: %d cuts", (int)seed,
              p.n_cuts);
        hn__parts_free(&p);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(check_ranges),
        cmocka_unit_test(check_cut),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
