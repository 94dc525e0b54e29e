// The attention kernels of GPUs, on drivers that need none: the variants that a card of the same
// limits would be given, on the operator's draws and on longer ones, so that keys come in many steps
// and parts.
//
//   test_attention_gpu [draws]    5 where nothing is said: each makes pipelines of its own, for
//                                 which software drivers take a second
#include "support/case.h"
#include "support/check.h"
#include "support/device.h"
#include "ops/attention.h"
#include "ops/shader.h"
#include "plan/choose.h"
#include "hornito/ops.h"

#include <stdlib.h>
#include <string.h>

static int n_draws = 5;
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

// ---- other draws ---------------------------------------------------------------------------

enum { MORE_QUERIES = 3, MORE_KEYS = 9, DY = 5 };
static const hn__op *sound;
static hn__op_fns fns;
static hn__op other;
static double times; // what sample_scaled multiplies gradients by

// The operator's own draw, of one batch, with more positions.
static void sample_longer(hn_rng *rng, hn__sample *s)
{
    sound->fn->sample(rng, s);
    for (int i = 0; i < s->inst.n_in; i++) {
        hn_type *t = &s->inst.in[i];
        t->dim[0] = 1;
        if (t->rank == 4)
            t->dim[1] *= i == 1 || i == 2 ? MORE_KEYS : MORE_QUERIES;
        else if (t->rank == 3)
            t->dim[2] *= MORE_QUERIES;
        else
            s->range[i].hi = (double)s->inst.in[1].dim[1] + 1;
    }
}

// The operator's own draw, as under a loss scale.
static void sample_scaled(hn_rng *rng, hn__sample *s)
{
    sound->fn->sample(rng, s);
    s->range[DY].lo *= times;
    s->range[DY].hi *= times;
    s->range[hn__attention_dlse_at(&s->inst)].hi *= times; // where it is not there, 0 stays 0
}

static const hn__op *drawn_by(const hn__op *op, void (*sample)(hn_rng *rng, hn__sample *s))
{
    sound = op;
    fns = *op->fn;
    fns.sample = sample;
    other = *op;
    other.fn = &fns;
    return &other;
}

// ---- variants on draws ---------------------------------------------------------------------

// One draw by one of its variants: those of all draws are spread over the list. Returns how many
// there are.
static int check_draw(const hn__op *op, hn_dtype t, uint64_t seed, int turn)
{
    hn__case *c;
    hn__variant v[HN__MAX_VARIANTS];
    char text[HN__TEXT], what[HN__TEXT];

    CHECK_OK(hn__case_draw(op, t, seed, &c));
    hn__case_run_ref(c);
    const int n = hn__variants(&c->s.inst, &dev->info, v);
    CHECK(n > 0 && n <= HN__MAX_VARIANTS, "%d variants", n);
    const hn__variant *taken = &v[turn * n / n_draws];
    hn_status s = hn__case_run_variant(c, dev, taken);
    if (s == HN_OK)
        s = hn__case_compare(c);
    CHECK(s == HN_OK, "%s, %s seed %d: %s", hn__inst_text(&c->s.inst, what),
          hn__variant_text(&c->s.inst, taken, text), (int)seed, hn_error_text());
    hn__case_destroy(&c);
    return n;
}

// Types, draws and variants have their turns.
static void check_draws(const hn__op *op)
{
    static const hn_dtype types[] = { HN_F32, HN_F16, HN_F32, HN_BF16 };
    int most = 0;

    for (int turn = 0; turn < n_draws; turn++) {
        const int count = check_draw(op, types[turn % 4], (uint64_t)turn + 1, turn);
        most = count > most ? count : most;
    }
    print_message("%s: %d draws, up to %d variants\n", op->name, n_draws, most);
    CHECK(most > 2, "no draw of %s has a kernel of GPUs", op->name);
}

static void check_every_variant(void **state)
{
    check_draws(hn__op_find(*state));
}

static void check_longer(void **state)
{
    check_draws(drawn_by(hn__op_find(*state), sample_longer));
}

// ---- cooperative matrices ------------------------------------------------------------------

// Runs every tile of the one size that the device now lists on a draw of f16; returns how many.
static int run_matrices(const hn__op *op, uint64_t seed)
{
    hn__case *c;
    hn__variant v[HN__MAX_VARIANTS];
    char text[HN__TEXT], what[HN__TEXT];
    int n_coop = 0;

    CHECK_OK(hn__case_draw(op, HN_F16, seed, &c));
    hn__case_run_ref(c);
    const int n = hn__variants(&c->s.inst, &dev->info, v);
    for (int i = 0; i < n; i++) {
        if (!strstr(v[i].kernel, "_coop"))
            continue;
        n_coop++;
        hn_status s = hn__case_run_variant(c, dev, &v[i]);
        if (s == HN_OK)
            s = hn__case_compare(c);
        CHECK(s == HN_OK, "%s, %s seed %d: %s", hn__inst_text(&c->s.inst, what),
              hn__variant_text(&c->s.inst, &v[i], text), (int)seed, hn_error_text());
    }
    hn__case_destroy(&c);
    return n_coop;
}

// Every size of f16 matrices that the driver lists, with each tile that takes it.
static void check_matrices(void **state)
{
    const hn__op *op = hn__op_find(*state);
    const int all = dev->info.n_matrices;
    hn_matrix_size list[HN_MAX_MATRICES];

    if (!(dev->info.features & HN_FEATURE_COOPMAT)) {
        print_message("no cooperative matrices\n");
        return;
    }
    CHECK(hn__shader_find("attention_coop.f16"), "this build has no kernel for them");
    memcpy(list, dev->info.matrices, sizeof list);
    dev->info.n_matrices = 1;
    for (int i = 0; i < all; i++) {
        dev->info.matrices[0] = list[i];
        const int n = list[i].type == HN_F16 ? run_matrices(op, 1) +
                                                   run_matrices(drawn_by(op, sample_longer), 3)
                                             : 0;
        print_message("%s, %ux%ux%u %s: %d runs\n", op->name, list[i].m, list[i].n, list[i].k,
                      hn_dtype_name(list[i].type), n);
        CHECK(n || list[i].type != HN_F16, "%ux%ux%u: no tile takes it", list[i].m, list[i].n,
              list[i].k);
    }
    dev->info.n_matrices = all;
    memcpy(dev->info.matrices, list, sizeof list);
}

// Gradients so small or large that f16 alone would not hold what comes between.
static void check_scales(void **state)
{
    (void)state;
    for (times = 1.0 / 64; times < 100; times *= 4096)
        print_message("gradients of %g: %d runs\n", times,
                      run_matrices(drawn_by(hn__op_find("attention_grad"), sample_scaled), 1));
}

// ---- reach ---------------------------------------------------------------------------------

// What attention of these sizes may be given, the self-test's draws run too.
static void check_reach_of(const hn__op *op, hn_dtype t, const int64_t dim[6])
{
    const hn_type q = { t, 4, { dim[0], dim[1], dim[3], dim[5] } },
                  k = { t, 4, { dim[0], dim[2], dim[4], dim[5] } };
    hn__attention_attr attr = { .causal = 1 };
    hn__inst i = { .op = op, .n_in = 3, .in = { q, k, k }, .attr = &attr };
    hn__variant v[HN__MAX_VARIANTS];
    char text[HN__TEXT];

    if (op->id == HN__OP_attention_grad) {
        i.in[3] = i.in[5] = q;
        i.in[4] = hn__attention_lse(&q);
        i.n_in = 6;
    }
    CHECK_OK(op->fn->infer(&i));
    const int n = hn__variants(&i, &dev->info, v);
    CHECK(n <= HN__MAX_VARIANTS, "%d variants", n);
    for (int c = 0; c < n; c++) {
        hn__launch l;
        uint64_t code;
        CHECK_OK(hn__launch_variant(&i, &dev->info, &v[c], false, &l, &code));
        CHECK(hn__self_test_finds(dev, &i, &v[c], code), "no draw runs %s of %s",
              hn__variant_text(&i, &v[c], text), hn_dtype_name(t));
    }
    char what[HN__TEXT];
    print_message("%s: %d variants, %s first\n", hn__inst_text(&i, what), n,
                  hn__variant_text(&i, &v[0], text));
}

static void check_reach(void **state)
{
    // batch, queries, keys, heads, heads of keys, width
    static const int64_t dims[][6] = {
        { 4, 1024, 1024, 12, 12, 64 }, { 1, 4096, 4096, 32, 8, 128 }, { 1, 1500, 1500, 8, 8, 64 },
        { 1, 64, 2048, 9, 3, 64 },     { 1, 1, 4096, 32, 8, 128 },    { 1, 256, 256, 4, 4, 256 },
    };
    const hn__op *op = hn__op_find(*state);

    for (size_t i = 0; i < sizeof dims / sizeof *dims; i++)
        check_reach_of(op, i % 3 == 2 ? HN_BF16 : i % 3 ? HN_F16 : HN_F32, dims[i]);
}

int main(int argc, char **argv)
{
    if (argc == 2)
        n_draws = atoi(argv[1]);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_prestate(check_reach, "attention"),
        cmocka_unit_test_prestate(check_every_variant, "attention"),
        cmocka_unit_test_prestate(check_longer, "attention"),
        cmocka_unit_test_prestate(check_matrices, "attention"),
        cmocka_unit_test_prestate(check_reach, "attention_grad"),
        cmocka_unit_test_prestate(check_every_variant, "attention_grad"),
        cmocka_unit_test_prestate(check_longer, "attention_grad"),
        cmocka_unit_test_prestate(check_matrices, "attention_grad"),
        cmocka_unit_test(check_scales),
    };
    return cmocka_run_group_tests_name("attention_gpu", tests, open_device, close_device);
}
