// The convolution kernels of GPUs, on drivers that need none: the variants that a card of the same
// limits would be given, on the operators' draws. Types, draws and variants have their turns.
//
//   test_conv_gpu [draws]    4 of each operator where nothing is said: each makes pipelines of its own,
//                            for which software drivers take a second
#include "support/case.h"
#include "support/check.h"
#include "support/device.h"
#include "hornito/ops.h"
#include "plan/choose.h"

#include <stdlib.h>
#include <string.h>

static int n_draws = 4;
static hn_device *dev;

static int open_device(void **state)
{
    (void)state;
    dev = test_device_open_posing();
    return 0;
}

static int close_device(void **state)
{
    (void)state;
    test_device_close(&dev);
    return 0;
}

// One draw by one of its variants; a prime step, so that all of the list have their turn.
static void check_draw(const hn__op *op, hn_dtype t, int turn)
{
    hn__case *c;
    hn__variant v[HN__MAX_VARIANTS];
    char text[HN__TEXT], what[HN__TEXT];

    CHECK_OK(hn__case_draw(op, t, (uint64_t)turn + 1, &c));
    hn__case_run_ref(c);
    const int n = hn__variants(&c->s.inst, &dev->info, v);
    CHECK(n > 0 && n <= HN__MAX_VARIANTS, "%d variants", n);
    const hn__variant *taken = &v[turn * 7 % n];
    hn_status s = hn__case_run_variant(c, dev, taken);
    if (s == HN_OK)
        s = hn__case_compare(c);
    CHECK(s == HN_OK, "%s, %s seed %d: %s", hn__inst_text(&c->s.inst, what),
          hn__variant_text(&c->s.inst, taken, text), turn + 1, hn_error_text());
    hn__case_destroy(&c);
}

static void check_every_variant(void **state)
{
    static const hn_dtype types[] = { HN_F32, HN_F16, HN_F32, HN_BF16 };
    const hn__op *op = hn__op_find(*state);

    for (int turn = 0; turn < n_draws; turn++)
        check_draw(op, types[turn % 4], turn);
}

// ---- reach ---------------------------------------------------------------------------------

typedef struct shape {
    int64_t n, c, size, o, kernel;
    int stride, groups;
} shape;

static void check_reach_of(const hn__inst *i)
{
    hn__variant v[HN__MAX_VARIANTS];
    char text[HN__TEXT], what[HN__TEXT];
    const int n = hn__variants(i, &dev->info, v);

    CHECK(n > 0 && n <= HN__MAX_VARIANTS, "%d variants", n);
    for (int c = 0; c < n; c++) {
        hn__launch l;
        uint64_t code;
        CHECK_OK(hn__launch_variant(i, &dev->info, &v[c], false, &l, &code));
        CHECK(hn__self_test_finds(dev, i, &v[c], code), "no draw runs %s of %s",
              hn__variant_text(i, &v[c], text), hn__inst_text(i, what));
    }
    print_message("%s: %d variants, %s first\n", hn__inst_text(i, what), n,
                  hn__variant_text(i, &v[0], text));
}

// What a model's convolution may be given, and its gradients, the self-test's draws run too.
static void check_reach(void **state)
{
    static const shape shapes[] = { { 8, 32, 32, 64, 3, 1, 1 },  { 1, 256, 14, 512, 3, 2, 1 },
                                    { 1, 3, 224, 64, 7, 2, 1 },  { 4, 64, 56, 64, 1, 1, 1 },
                                    { 2, 64, 16, 64, 3, 1, 64 }, { 1, 512, 7, 512, 3, 1, 1 } };
    static const hn_dtype types[] = { HN_F32, HN_F16, HN_BF16 };

    (void)state;
    for (size_t k = 0; k < sizeof shapes / sizeof *shapes; k++) {
        const shape *s = &shapes[k];
        const int pad = (int)s->kernel / 2;
        const hn_conv_params p = { .stride = { s->stride, s->stride }, .pad_before = { pad, pad },
                                   .pad_after = { pad, pad }, .groups = s->groups };
        const hn_dtype t = types[k % 3];
        hn_graph *g;
        hn_val d[2];
        CHECK_OK(hn_graph_create(&g));
        const hn_val in[2] = {
            hn_input(g, "x", (hn_type){ t, 4, { s->n, s->c, s->size, s->size } }),
            hn_input(g, "w", (hn_type){ t, 4, { s->o, s->c / s->groups, s->kernel, s->kernel } })
        };
        CHECK_OK(hn_graph_grad(g, hn_sum_all(g, hn_conv2d(g, in[0], in[1], &p)), in, 2, d));
        for (int64_t i = 0; i < g->n_nodes; i++)
            if (!strncmp(g->nodes[i].op->name, "conv2d", 6)) {
                const hn__inst inst = hn__graph_inst(g, i);
                check_reach_of(&inst);
            }
        hn_graph_destroy(&g);
    }
}

int main(int argc, char **argv)
{
    static char *names[] = { "conv2d", "conv2d_transpose", "conv2d_weight_grad" };
    enum { N = sizeof names / sizeof *names };
    struct CMUnitTest tests[1 + N] = { cmocka_unit_test(check_reach) };

    if (argc == 2)
        n_draws = atoi(argv[1]);
    for (int i = 0; i < N; i++)
        tests[1 + i] = (struct CMUnitTest)cmocka_unit_test_prestate(check_every_variant, names[i]);
    return cmocka_run_group_tests_name("conv_gpu", tests, open_device, close_device);
}
