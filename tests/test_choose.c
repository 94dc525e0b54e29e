// Which kernels a device uses: a planted wrong one is put aside and the next serves; a slow one
// loses when it is measured and its submissions are bounded; verdicts outlive the process's device.
#include "support/check.h"
#include "support/device.h"
#include "support/folder.h"

#include "base/os.h"
#include "device/tuning.h"
#include "device/vk/vk.h"
#include "plan/case.h"
#include "plan/choose.h"
#include "hornito/ops.h"
#include "ops/table.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { ROWS = 256, COLS = 300 };

// ---- planted variants of softmax -----------------------------------------------------------

enum { WRONG, RIGHT, SLOW };

static int listed[3], n_listed;  // what the planted operator lists
static int n_launched[3];
static const hn__op *sound;

static int planted_variants(const hn__inst *n, const hn_device_info *info, hn__variant out[])
{
    (void)n;
    (void)info;
    for (int i = 0; i < n_listed; i++)
        out[i] = (hn__variant){ "planted", 1, { (uint32_t)listed[i] } };
    return n_listed;
}

static void planted_launch(const hn__inst *n, hn__launch *l)
{
    const uint32_t way = l->variant.param[0];
    hn__variant v[HN__MAX_VARIANTS];
    hn__inst plain = *n;

    plain.op = sound;
    hn__variants(&plain, l->device, v);
    l->variant = v[0];
    sound->fn->launch(&plain, l);
    l->variant = (hn__variant){ "planted", 1, { way } };
    n_launched[way]++;
    if (way == WRONG) // the last of the result's rows are not written
        l->d[l->n - 1].n_groups -= (l->d[l->n - 1].n_groups + 1) / 2;
    while (way == SLOW && l->n < HN__MAX_DISPATCH) { // the same again and again
        l->d[l->n] = l->d[0];
        l->n++;
    }
}

static hn__op_fns fns;
static hn__op planted;

static const hn__op *plant(int n, const int ways[])
{
    sound = hn__op_find("softmax");
    fns = *sound->fn;
    fns.variants = planted_variants;
    fns.launch = planted_launch;
    planted = *sound;
    planted.fn = &fns;
    n_listed = n;
    memcpy(listed, ways, (size_t)n * sizeof *ways);
    memset(n_launched, 0, sizeof n_launched);
    return &planted;
}
#define PLANT(...)                                                                                \
    plant((int)(sizeof((int[]){ __VA_ARGS__ }) / sizeof(int)), (const int[]){ __VA_ARGS__ })

// softmax of a matrix by the planted operator.
static hn_graph *softmax_graph(const hn__op *op)
{
    hn_graph *g;
    hn__case *c; // for attributes that are legal
    CHECK_OK(hn__case_draw(op, HN_F32, 1, &c));
    CHECK_OK(hn_graph_create(&g));
    const hn_val x = hn_input(g, "x", (hn_type){ HN_F32, 2, { ROWS, COLS } });
    hn_output(g, "y", hn__emit(g, op, c->s.inst.attr, &x, 1));
    hn__case_destroy(&c);
    return g;
}

// The largest difference to a plan of the sound operator.
static double run_error(hn_device *d, hn_plan *p)
{
    static float x[ROWS * COLS], got[ROWS * COLS], want[ROWS * COLS];
    hn_graph *g = softmax_graph(sound);
    hn_plan *q;
    double worst = 0;

    for (int i = 0; i < ROWS * COLS; i++)
        x[i] = (float)(i % 97) / 31;
    CHECK_OK(hn_plan_create(g, d, NULL, &q));
    CHECK_OK(hn_plan_write(p, "x", x, sizeof x));
    CHECK_OK(hn_plan_write(q, "x", x, sizeof x));
    CHECK_OK(hn_plan_run(p));
    CHECK_OK(hn_plan_run(q));
    CHECK_OK(hn_plan_read(p, "y", got, sizeof got));
    CHECK_OK(hn_plan_read(q, "y", want, sizeof want));
    for (int i = 0; i < ROWS * COLS; i++)
        worst = fmax(worst, fabs((double)got[i] - want[i]));
    hn_plan_destroy(&q);
    hn_graph_destroy(&g);
    return worst;
}

static hn_device *open_tested(const char *cache)
{
    hn_device_params p = test_device_params();
    p.no_self_test = false;
    p.cache_dir = cache;
    return test_device_open(&p);
}

static int count_wrong(const hn_device *d)
{
    int n = 0;
    for (int64_t i = 0; i < hn_device_tuning_count(d); i++)
        n += hn_device_tuning_at(d, i).wrong != NULL;
    return n;
}

// ---- wrong ---------------------------------------------------------------------------------

static void check_quarantine(void **state)
{
    (void)state;
    folder_make("choose");
    for (int again = 0; again < 2; again++) {
        hn_device *d = open_tested(folder_path("cache"));
        hn_graph *g = softmax_graph(PLANT(WRONG, RIGHT));
        hn_plan *p;

        CHECK(count_wrong(d) == again, "%d wrong kernels known at opening", count_wrong(d));
        CHECK_OK(hn_plan_create(g, d, NULL, &p));
        CHECK(run_error(d, p) == 0, "another result than the sound kernel's");
        CHECK(count_wrong(d) == 1, "%d wrong kernels after use", count_wrong(d));
        // The first time it is looked for among draws and run; then its verdict is on the disk.
        CHECK(again ? n_launched[WRONG] == 1 : n_launched[WRONG] > 1,
              "launched %d times", n_launched[WRONG]);
        hn_plan_destroy(&p);
        hn_graph_destroy(&g);
        test_device_close(&d);
    }
    folder_remove();
}

// What is left where no variant is right is a failure that names kernel and driver.
static void check_none_left(void **state)
{
    (void)state;
    hn_device *d = open_tested(NULL);
    hn_graph *g = softmax_graph(PLANT(WRONG));
    hn_plan *p;

    CHECK_FAILS(hn_plan_create(g, d, NULL, &p), HN_ERR_DEVICE);
    CHECK(strstr(hn_error_text(), "no kernel of 'softmax' gives right results"), "%s",
          hn_error_text());
    CHECK(!p, "a plan all the same");
    hn_graph_destroy(&g);
    test_device_close(&d);
}

// Without the self-test the planted kernel is used, and is wrong: it is the test that finds it.
static void check_untested(void **state)
{
    (void)state;
    const hn_device_params params = test_device_params();
    hn_device *d = test_device_open(&params);
    hn_graph *g = softmax_graph(PLANT(WRONG, RIGHT));
    hn_plan *p;

    CHECK_OK(hn_plan_create(g, d, NULL, &p));
    CHECK(run_error(d, p) > 1e-3, "the planted kernel is right");
    CHECK(hn_device_tuning_count(d) == 0, "verdicts without a test");
    hn_plan_destroy(&p);
    hn_graph_destroy(&g);
    test_device_close(&d);
}

// What was best for these sizes or near ones is taken; of other code, or far sizes, it is not.
static void check_best(void **state)
{
    static const struct {
        const char *dims;
        uint64_t code_off;
        int want;
    } cases[] = {
        { "[256, 300]", 0, RIGHT }, { "[256, 300]", 1, SLOW },  { "[200, 400]", 0, RIGHT },
        { "[16, 300]", 0, SLOW },   { "[1, 256, 300]", 0, SLOW },
    };
    (void)state;
    hn_device_params params = test_device_params();
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        hn_device *d = test_device_open(&params);
        hn_graph *g = softmax_graph(PLANT(SLOW, RIGHT));
        const hn__inst n = hn__graph_inst(g, g->values[g->outputs[0].val].node);
        const hn__variant best = { "planted", 1, { RIGHT } };
        char text[HN__TEXT], what[HN__TEXT];
        hn__launch l;
        uint64_t code;
        hn_plan *p;

        CHECK_OK(hn__launch_variant(&n, &d->info, &best, false, &l, &code));
        hn__inst_text(&n, text);
        const char *end = strchr(text, ']') + 1;
        snprintf(what, sizeof what, "%.*s%s%s", (int)strcspn(text, "["), text, cases[i].dims, end);
        CHECK_OK(hn__tuning_put(d->tuning, &(hn__tuning_row){ .kind = HN__BEST,
                                                              .code = code + cases[i].code_off,
                                                              .what = what,
                                                              .variant = "planted 1",
                                                              .us = 1,
                                                              .default_us = 2 }));
        CHECK_OK(hn_plan_create(g, d, NULL, &p));
        const uint32_t got = p->steps[0].launch->variant.param[0];
        CHECK((int)got == cases[i].want, "case %d, '%s': variant %d", (int)i, what, (int)got);
        hn_plan_destroy(&p);
        hn_graph_destroy(&g);
        test_device_close(&d);
    }
}

// ---- fused steps ---------------------------------------------------------------------------

static uint32_t emit_one(hn__spv *b, const hn__pw *p, const uint32_t x[])
{
    (void)b;
    (void)p;
    return x[0]; // tanh as if it were the identity
}

static void check_chain(void **state)
{
    (void)state;
    const hn__op *op = hn__op_find("tanh");
    hn__op_fns wrong = *op->fn;
    hn__op copy = *op;
    hn_device *d = open_tested(NULL);
    hn_plan *p;

    wrong.emit = emit_one;
    copy.fn = &wrong;
    for (int k = 0; k < 2; k++) { // the sound one, then the wrong one under another verdict's name
        hn_graph *g;
        const char *name = k ? "planted tanh" : "tanh";
        hn__op named = k ? copy : *op;
        named.name = name;
        CHECK_OK(hn_graph_create(&g));
        const hn_val x = hn_input(g, "x", (hn_type){ HN_F32, 2, { ROWS, COLS } });
        hn_output(g, "y", hn_sum(g, hn__emit(g, &named, NULL, &x, 1), -1));
        CHECK_OK(hn_graph_status(g));
        if (!k) {
            CHECK_OK(hn_plan_create(g, d, NULL, &p));
            CHECK(hn_device_tuning_count(d) == 2, "%d verdicts for tanh and sum",
                  (int)hn_device_tuning_count(d));
            hn_plan_destroy(&p);
        } else {
            CHECK_FAILS(hn_plan_create(g, d, NULL, &p), HN_ERR_DEVICE);
            CHECK(strstr(hn_error_text(), "no kernel of 'planted tanh'"), "%s", hn_error_text());
        }
        hn_graph_destroy(&g);
    }
    test_device_close(&d);
}

// ---- slow ----------------------------------------------------------------------------------

static void check_slow_loses(void **state)
{
    (void)state;
    hn_device *d = open_tested(NULL);
    hn_graph *g = softmax_graph(PLANT(SLOW, RIGHT));
    hn_plan *p;

    hn_device_tune(d, 60);
    CHECK_OK(hn_plan_create(g, d, NULL, &p));
    CHECK(hn_device_tune_left(d) > 0, "all of a minute for one operator");
    bool found = false;
    for (int64_t i = 0; i < hn_device_tuning_count(d); i++) {
        const hn_tuning_entry e = hn_device_tuning_at(d, i);
        if (!(e.us > 0))
            continue;
        found = true;
        CHECK(!strcmp(e.kernel, "planted 1"), "'%s' won, %.1f us, default %.1f", e.kernel, e.us,
              e.default_us);
        CHECK(e.us < e.default_us, "it is no faster than the default");
    }
    CHECK(found, "nothing was measured");
    CHECK(run_error(d, p) == 0, "another result than the sound kernel's");
    hn_plan_destroy(&p);
    hn_graph_destroy(&g);
    test_device_close(&d);
}

// A kernel that claims to cost nothing is cut all the same once it was measured.
static void check_slow_is_bounded(void **state)
{
    (void)state;
    hn_device_params params = test_device_params();
    params.submit_ms = 1e-3;
    hn_device *d = test_device_open(&params);
    hn_graph *g = softmax_graph(PLANT(SLOW));
    hn_plan *p;

    CHECK_OK(hn_plan_create(g, d, NULL, &p));
    for (int64_t i = 0; i < p->n_cmds; i++)
        p->cmds[i].flop = 1;
    d->fn->stream_destroy(p->stream);
    CHECK_OK(d->fn->stream_create(d, p->cmds, p->n_cmds, &p->stream));
    CHECK_OK(hn_plan_run(p));
    const int first = hn__vk_stream_submits(p->stream);
    CHECK_OK(hn_plan_run(p));
    const int then = hn__vk_stream_submits(p->stream);
    if (d->info.features & HN_FEATURE_TIMESTAMPS)
        CHECK(then >= p->n_cmds, "%d submissions, then %d, of %d commands", first, then,
              (int)p->n_cmds);
    CHECK(run_error(d, p) == 0, "cut, it gives another result");
    hn_plan_destroy(&p);
    hn_graph_destroy(&g);
    test_device_close(&d);
}

// ---- reach ---------------------------------------------------------------------------------

// Every variant of every draw, and of products as large as models have them, is run by a draw that
// the self-test finds.
static void check_reach_of(hn_device *d, const hn__inst *n)
{
    hn__variant v[HN__MAX_VARIANTS];
    const int count = hn__variants(n, &d->info, v);
    char text[HN__TEXT], inst[HN__TEXT];

    for (int i = 0; i < count; i++) {
        hn__launch l;
        uint64_t code;
        CHECK_OK(hn__launch_variant(n, &d->info, &v[i], false, &l, &code));
        CHECK(hn__self_test_finds(d, n, &v[i], code), "%s of %s: no draw runs it",
              hn__variant_text(n, &v[i], text), hn__inst_text(n, inst));
    }
}

static void check_large(hn_device *d, hn_dtype t, int64_t m, int64_t k, int64_t cols)
{
    hn_graph *g;
    const hn_dtype own = hn__is_quantised(t) ? HN_F32 : t;

    for (int transposed = 0; transposed < 4; transposed++) {
        const bool ta = transposed & 1, tb = transposed & 2;
        if (hn__is_quantised(t) && (ta || !tb))
            continue;
        CHECK_OK(hn_graph_create(&g));
        const hn_val a = hn_input(g, "a", (hn_type){ own, 2, { ta ? k : m, ta ? m : k } });
        const hn_val b = hn_input(g, "b", (hn_type){ t, 2, { tb ? cols : k, tb ? k : cols } });
        const hn_val y = hn_matmul(g, a, b, &(hn_matmul_params){ .transpose_a = ta,
                                                                 .transpose_b = tb });
        CHECK_OK(hn_graph_status(g));
        const hn__inst n = hn__graph_inst(g, g->values[y.id].node);
        check_reach_of(d, &n);
        hn_graph_destroy(&g);
    }
}

static void check_reach(void **state)
{
    (void)state;
    const hn_device_params params = test_device_params();
    hn_device *d = test_device_open(&params);

    for (hn_dtype t = HN_F32; t < HN_DTYPE_COUNT; t++)
        if (hn__is_float(t) || hn__is_quantised(t)) {
            check_large(d, t, 1024, 1024, 1024);
            check_large(d, t, 1, 2048, 2048);
            check_large(d, t, 5, 512, 2048);
            check_large(d, t, 64, 4096, 256);
        }
    for (int i = 0; i < hn__n_ops; i++)
        for (hn_dtype t = HN_F32; t < HN_DTYPE_COUNT && hn__ops[i].fn->variants; t++)
            for (uint64_t seed = 1; hn__ops[i].tol[t] > 0 && seed <= 8; seed++) {
                hn__arena a = { 0 };
                hn__sample s;
                CHECK_OK(hn__case_types(&hn__ops[i], t, seed, &a, &s));
                check_reach_of(d, &s.inst);
                hn__arena_reset(&a);
            }
    test_device_close(&d);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(check_quarantine),  cmocka_unit_test(check_none_left),
        cmocka_unit_test(check_untested),    cmocka_unit_test(check_slow_loses),
        cmocka_unit_test(check_slow_is_bounded), cmocka_unit_test(check_reach),
        cmocka_unit_test(check_chain),     cmocka_unit_test(check_best),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
