// Every operator against its reference, drawn at random: on a device through a plan, its host
// kernel alone between guards, and its gradient against differences of the reference.
//
//   test_ops [device] [-n draws] [-o op] [-s seed]
//
// device: a device's spec ("cpu", "ref", "vulkan", ...), with the word "phone" after it to behave
// as a small phone; without one, ref and cpu. -n: draws of each op and type (40). -s: this seed
// alone. A new operator adds no line here.
#include "support/case.h"
#include "support/check.h"
#include "ops/table.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static struct {
    hn_device *dev[2];
    int n_dev;
    uint64_t first, n;
    const char *op;
    bool gradients; // a matter of the graph: checked once, without a Vulkan device
} run = { .first = 1, .n = 40 };

// Draws that once failed: they are run first, on every device.
static const struct {
    const char *op;
    hn_dtype type;
    uint64_t seed;
} failed_once[] = {
    { "reshape", HN_F32, 1 },
};

// Ops flagged HN__FORMULA: the gradient of input i is factor[i] times the output's.
static const struct {
    const char *op;
    double factor[HN__MAX_IN];
} formulas[] = {
    { "cast", { 1 } },
    { "stop_gradient", { 0 } },
    { "straight_through", { 1, 0 } },
};

// Fails with op, type and seed unless the call gives HN_OK.
#define CHECK_DRAW(call)                                                                          \
    do {                                                                                          \
        const hn_status draw_ = (call);                                                           \
        CHECK(draw_ == HN_OK, "%s.%s seed %" PRIu64 " on %s: %s", op->name, hn_dtype_name(t), seed, \
              where, hn_error_text());                                                            \
    } while (0)

static void check_forward(const hn__op *op, hn_dtype t, uint64_t seed, hn_device *dev)
{
    const char *where = dev->info.spec;
    hn__case *c;

    CHECK_DRAW(hn__case_draw(op, t, seed, &c));
    hn__case_run_ref(c);
    CHECK_DRAW(hn__case_run(c, dev));
    CHECK_DRAW(hn__case_compare(c));
    if (op->fn->host && dev->info.kind == HN_DEVICE_CPU) {
        CHECK_DRAW(hn__case_run_host(c, dev));
        CHECK_DRAW(hn__case_compare(c));
    }
    hn__case_destroy(&c);
}

// False where the draw has no slope.
static bool check_gradient(const hn__op *op, uint64_t seed)
{
    const hn_dtype t = HN_F32;
    const char *where = "ref";
    hn__case *c;

    CHECK_DRAW(hn__case_draw(op, t, seed, &c));
    const bool has_slope = hn__case_has_slope(c);
    if (has_slope && !(op->flags & HN__FORMULA)) {
        CHECK_DRAW(hn__case_check_grad(c));
    } else if (has_slope) {
        size_t i = 0;
        while (i < sizeof formulas / sizeof *formulas && strcmp(formulas[i].op, op->name))
            i++;
        CHECK(i < sizeof formulas / sizeof *formulas, "%s: no row in formulas", op->name);
        CHECK_DRAW(hn__case_check_formula(c, formulas[i].factor));
    }
    hn__case_destroy(&c);
    return has_slope;
}

static void check_op(void **state)
{
    const hn__op *op = *state;
    uint64_t n_slopes = 0;

    CHECK(op->fn->sample, "%s has no sample", op->name);
    for (size_t i = 0; i < sizeof failed_once / sizeof *failed_once; i++)
        for (int d = 0; d < run.n_dev && !strcmp(failed_once[i].op, op->name); d++)
            check_forward(op, failed_once[i].type, failed_once[i].seed, run.dev[d]);
    for (uint64_t seed = run.first; seed < run.first + run.n; seed++) {
        for (hn_dtype t = HN_F32; t <= HN_BF16; t++)
            for (int d = 0; d < run.n_dev && op->tol[t] > 0; d++)
                check_forward(op, t, seed, run.dev[d]);
        if (run.gradients && op->fn->grad)
            n_slopes += check_gradient(op, seed);
    }
    CHECK(n_slopes || run.n < 20 || !run.gradients || !op->fn->grad, "%s: no draw had a slope",
          op->name);
}

// A row that is tested for nothing, by mistake.
static void check_rows(void **state)
{
    (void)state;
    for (int i = 0; i < hn__n_ops; i++) {
        const hn__op *op = &hn__ops[i];
        const size_t n = strlen(op->name);
        const bool backward = n > 5 && !strcmp(op->name + n - 5, "_grad"); // refused, by name
        if (op->flags & HN__SOURCE)
            continue;
        CHECK(op->tol[HN_F32] > 0 || op->tol[HN_F16] > 0 || op->tol[HN_BF16] > 0,
              "%s: no tolerance in ops.def", op->name);
        CHECK(op->fn->grad ? !(op->flags & HN__NO_GRAD) : op->flags & HN__NO_GRAD || backward,
              "%s: a gradient and HN__NO_GRAD, or neither", op->name);
    }
}

static void check_validation(void **state)
{
    (void)state;
    for (int d = 0; d < run.n_dev; d++)
        CHECK(hn_device_validation_count(run.dev[d]) == 0, "%s: %" PRId64 " validation messages",
              run.dev[d]->info.spec, hn_device_validation_count(run.dev[d]));
}

static void print_log(void *user, hn_log_level level, const char *line)
{
    (void)user, (void)level;
    fprintf(stderr, "%s\n", line);
}

// Opens "vulkan phone" and the like; no word at all: ref and cpu.
static hn_status open_devices(const char *words)
{
    char spec[256];
    hn_device_params p = { .spec = spec, .validation = true };

    if (!words) {
        HN_TRY(hn_device_open(&(hn_device_params){ .spec = "ref" }, &run.dev[0]));
        run.n_dev = 1;
        HN_TRY(hn_device_open(&(hn_device_params){ .spec = "cpu" }, &run.dev[1]));
        run.n_dev = 2;
        run.gradients = true;
        return HN_OK;
    }
    snprintf(spec, sizeof spec, "%s", words);
    char *phone = strstr(spec, " phone");
    p.phone = phone != NULL;
    if (phone)
        *phone = 0;
    HN_TRY(hn_device_open(&p, &run.dev[0]));
    run.n_dev = 1;
    return HN_OK;
}

static int run_all(void)
{
    static struct CMUnitTest tests[HN__OP_COUNT + 2];
    size_t n = 0;

    tests[n++] = (struct CMUnitTest){ "rows", check_rows, NULL, NULL, NULL };
    for (int i = 0; i < hn__n_ops; i++)
        if (!(hn__ops[i].flags & HN__SOURCE) && (!run.op || !strcmp(run.op, hn__ops[i].name)))
            tests[n++] = (struct CMUnitTest){ hn__ops[i].name, check_op, NULL, NULL,
                                              (void *)(uintptr_t)&hn__ops[i] };
    if (n == 1)
        return fprintf(stderr, "test_ops: no operator '%s'\n", run.op), 1;
    tests[n++] = (struct CMUnitTest){ "validation", check_validation, NULL, NULL, NULL };
    return _cmocka_run_group_tests(run.dev[0]->info.name, tests, n, NULL, NULL);
}

int main(int argc, char **argv)
{
    const char *words = NULL;

    for (int i = 1; i < argc; i++) {
        const char *value = i + 1 < argc ? argv[i + 1] : "";
        if (argv[i][0] != '-')
            words = argv[i];
        else if (!strcmp(argv[i], "-n") && ++i)
            run.n = strtoull(value, NULL, 10);
        else if (!strcmp(argv[i], "-o") && ++i)
            run.op = value;
        else if (!strcmp(argv[i], "-s") && ++i)
            run.first = strtoull(value, NULL, 10), run.n = 1;
        else
            return fprintf(stderr, "test_ops: no option '%s'\n", argv[i]), 2;
    }
    hn_set_log(print_log, NULL, HN_LOG_WARN);
    if (open_devices(words)) {
        fprintf(stderr, "test_ops: %s\n", hn_error_text());
        return 1;
    }
    for (int d = 0; d < run.n_dev; d++)
        printf("%s %s: %s; %s\n", run.dev[d]->info.spec, words ? words : "", run.dev[d]->info.name,
               run.dev[d]->info.driver);
    printf("seeds %" PRIu64 " to %" PRIu64 "\n", run.first, run.first + run.n - 1);
    const int failed = run_all();
    for (int d = 0; d < run.n_dev; d++)
        hn_device_close(&run.dev[d]);
    return failed ? 1 : 0;
}
