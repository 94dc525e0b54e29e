// The matrix products of GPUs, on drivers that need none: the variants that a card of the same limits
// would be given, drawn at random. Each draw takes one of them; types and variants have their turns.
//
//   test_matmul_gpu [draws]    12 where nothing is said: each makes pipelines of its own, for which software
//                              drivers take a second
#include "support/case.h"
#include "support/check.h"
#include "support/device.h"
#include "ops/shader.h"
#include "ops/table.h"
#include "plan/choose.h"

#include <stdlib.h>
#include <string.h>

static int n_draws = 12;
static hn_device *dev;
static const hn__op *op;

static int open_device(void **state)
{
    (void)state;
    dev = test_device_open_posing();
    op = hn__op_find("matmul");
    return op ? 0 : -1;
}

// Runs tiles of a kernel, of the one size that the device now lists, on `most` draws of all transposes, batches and
// epilogues: each tile on each of them, or one on each, in turn. Returns how many tiles there are.
static int run_kernel(hn_dtype t, const char *kernel, int most, bool in_turn)
{
    int n_tiles = 0, n_drawn = 0;

    for (uint64_t seed = 1; seed <= 64 && n_drawn < most; seed++) {
        hn__case *c;
        hn__variant v[HN__MAX_VARIANTS];
        char text[HN__TEXT];
        CHECK_OK(hn__case_draw(op, t, seed, &c));
        const int n = hn__variants(&c->s.inst, &dev->info, v);
        int first = 0, end = 0;
        while (first < n && strcmp(v[first].kernel, kernel))
            first++;
        for (end = first; end < n && !strcmp(v[end].kernel, kernel);)
            end++;
        n_tiles = end - first > n_tiles ? end - first : n_tiles;
        if (end > first)
            hn__case_run_ref(c);
        if (end > first && in_turn) {
            first += (n_drawn + (int)t) % (end - first);
            end = first + 1;
        }
        for (int i = first; i < end; i++) {
            hn_status s = hn__case_run_variant(c, dev, &v[i]);
            if (s == HN_OK)
                s = hn__case_compare(c);
            CHECK(s == HN_OK, "%s of %s seed %d: %s", hn__variant_text(&c->s.inst, &v[i], text),
                  hn_dtype_name(t), (int)seed, hn_error_text());
        }
        n_drawn += end > first;
        hn__case_destroy(&c);
    }
    return n_tiles;
}

// Every size of cooperative matrices that the driver lists, with each tile that takes it.
static void check_matrices(void **state)
{
    int n_run = 0;

    (void)state;
    if (!(dev->info.features & HN_FEATURE_COOPMAT)) {
        print_message("no cooperative matrices\n");
        return;
    }
    CHECK(dev->info.n_matrices, "the driver lists no size");
    CHECK(hn__shader_find("matmul_coop.f16"), "this build has no kernel for them");
    const int all = dev->info.n_matrices;
    hn_matrix_size list[HN_MAX_MATRICES];
    memcpy(list, dev->info.matrices, sizeof list);
    dev->info.n_matrices = 1;
    for (int i = 0; i < all; i++) {
        dev->info.matrices[0] = list[i];
        const int n = run_kernel(HN_F16, "matmul_coop", 6, false);
        for (hn_dtype t = HN_F32; t < HN_DTYPE_COUNT; t++)
            if (hn__is_quantised(t))
                CHECK(run_kernel(t, "matmul_blocks_coop", 1, true), "%s: no variant takes it",
                      hn_dtype_name(t));
        print_message("%ux%ux%u %s: %d variants\n", list[i].m, list[i].n, list[i].k,
                      hn_dtype_name(list[i].type), n);
        CHECK(n, "%ux%ux%u: no variant takes it", list[i].m, list[i].n, list[i].k);
        n_run += n;
    }
    dev->info.n_matrices = all;
    memcpy(dev->info.matrices, list, sizeof list);
    CHECK(n_run, "nothing was run");
}

// Tiles by integer dot products beside each type of blocks.
static void check_integers(void **state)
{
    (void)state;
    if (!(dev->info.features & HN_FEATURE_INT_DOT)) {
        print_message("no integer dot products\n");
        return;
    }
    for (hn_dtype t = HN_F32; t < HN_DTYPE_COUNT; t++)
        if (hn__is_quantised(t))
            CHECK(run_kernel(t, "matmul_tile8", 2, true) > 1, "%s: no variant takes it",
                  hn_dtype_name(t));
}

static int close_device(void **state)
{
    (void)state;
    test_device_close(&dev);
    return 0;
}

static void check_draw(hn_dtype t, int turn)
{
    hn__case *c;
    hn__variant v[HN__MAX_VARIANTS];

    CHECK_OK(hn__case_draw(op, t, (uint64_t)turn + 1, &c));
    hn__case_run_ref(c);
    const int n = hn__variants(&c->s.inst, &dev->info, v);
    CHECK(n > 0 && n <= HN__MAX_VARIANTS, "%d variants", n);
    char text[HN__TEXT];
    const hn__variant *taken = &v[turn % n];
    hn_status s = hn__case_run_variant(c, dev, taken);
    if (s == HN_OK)
        s = hn__case_compare(c);
    CHECK(s == HN_OK, "%s of %s seed %d: %s", hn__variant_text(&c->s.inst, taken, text),
          hn_dtype_name(t), turn + 1, hn_error_text());
    hn__case_destroy(&c);
}

static void check_every_variant(void **state)
{
    hn_dtype types[HN_DTYPE_COUNT];
    int n_types = 0;

    (void)state;
    for (hn_dtype t = HN_F32; t < HN_DTYPE_COUNT; t++)
        if (op->tol[t] > 0)
            types[n_types++] = t;
    for (int turn = 0; turn < n_draws; turn++)
        check_draw(types[turn % n_types], turn);
}

// Draws of a type whose first variants are kernels for few rows: two by each kernel, sizes in turn.
static void run_few_rows(hn_dtype t, const char *kernel, int most)
{
    int n_run = 0;

    for (uint64_t seed = 1; seed <= 256 && n_run < most; seed++) {
        hn__case *c;
        hn__variant v[HN__MAX_VARIANTS];
        char text[HN__TEXT];
        CHECK_OK(hn__case_draw(op, t, seed, &c));
        const int n = hn__variants(&c->s.inst, &dev->info, v);
        int first = 0, n_own = 0;
        while (first < n && strcmp(v[first].kernel, kernel))
            first++;
        while (first + n_own < n && !strcmp(v[first + n_own].kernel, kernel))
            n_own++;
        if (n_own) {
            const hn__variant *taken = &v[first + n_run % n_own];
            hn__case_run_ref(c);
            hn_status s = hn__case_run_variant(c, dev, taken);
            if (s == HN_OK)
                s = hn__case_compare(c);
            CHECK(s == HN_OK, "%s of %s seed %d: %s", hn__variant_text(&c->s.inst, taken, text),
                  hn_dtype_name(t), (int)seed, hn_error_text());
            n_run++;
        }
        hn__case_destroy(&c);
    }
    CHECK(n_run == most, "%s of %s: %d draws run it", kernel, hn_dtype_name(t), n_run);
}

static void check_few_rows(void **state)
{
    (void)state;
    for (hn_dtype t = HN_F32; t < HN_DTYPE_COUNT; t++) {
        if (op->tol[t] <= 0)
            continue;
        run_few_rows(t, "matmul_vec", 2);
        if (dev->info.features & HN_FEATURE_SUBGROUP)
            run_few_rows(t, "matmul_dots", 3);
        if (hn__is_quantised(t) && (dev->info.features & HN_FEATURE_INT_DOT))
            run_few_rows(t, "matmul_dots8", 3);
    }
}

// What a model's product of these sizes may be given, the self-test's draws run too.
static void check_reach_of(hn_dtype own, hn_dtype t, int64_t m, int64_t n, int64_t k)
{
    hn_graph *g;
    hn__variant v[HN__MAX_VARIANTS];
    char text[HN__TEXT];

    CHECK_OK(hn_graph_create(&g));
    const hn_val y = hn_matmul(g, hn_input(g, "a", (hn_type){ own, 2, { m, k } }),
                               hn_input(g, "b", (hn_type){ t, 2, { n, k } }),
                               &(hn_matmul_params){ .transpose_b = true });
    CHECK_OK(hn_graph_status(g));
    const hn__inst i = hn__graph_inst(g, g->values[y.id].node);
    const int count = hn__variants(&i, &dev->info, v);
    for (int c = 0; c < count; c++) {
        hn__launch l;
        uint64_t code;
        CHECK_OK(hn__launch_variant(&i, &dev->info, &v[c], false, &l, &code));
        CHECK(hn__self_test_finds(dev, &i, &v[c], code), "no draw runs %s of %dx%dx%d %s",
              hn__variant_text(&i, &v[c], text), (int)m, (int)n, (int)k, hn_dtype_name(t));
    }
    print_message("%s %dx%dx%d: %d variants, %s first\n", hn_dtype_name(t), (int)m, (int)n, (int)k,
                  count, hn__variant_text(&i, &v[0], text));
    hn_graph_destroy(&g);
}

static void check_reach(void **state)
{
    static const hn_dtype types[][2] = { { HN_F32, HN_F32 }, { HN_F16, HN_F16 }, { HN_BF16, HN_BF16 },
                                         { HN_F32, HN_Q4_K }, { HN_Q8_0, HN_Q4_1 } };

    (void)state;
    for (size_t t = 0; t < sizeof types / sizeof *types; t++) {
        check_reach_of(types[t][0], types[t][1], 4096, 4096, 4096);
        check_reach_of(types[t][0], types[t][1], 512, 768, 512);
        check_reach_of(types[t][0], types[t][1], 64, 256, 4096);
        check_reach_of(types[t][0], types[t][1], 5, 256, 4096);
        check_reach_of(types[t][0], types[t][1], 1, 4096, 2048);
    }
}

int main(int argc, char **argv)
{
    if (argc == 2)
        n_draws = atoi(argv[1]);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(check_reach),
        cmocka_unit_test(check_matrices),
        cmocka_unit_test(check_integers),
        cmocka_unit_test(check_few_rows),
        cmocka_unit_test(check_every_variant),
    };
    return cmocka_run_group_tests_name("matmul_gpu", tests, open_device, close_device);
}
