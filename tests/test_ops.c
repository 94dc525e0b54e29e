// Every operator against its reference, drawn at random: on a device through a plan, its host
// kernel alone between guards, and its gradient against differences of the reference.
//
//   test_ops [-n draws] [-o op] [-s seed]
//
// The device is its row's (support/device.h); without one, ref and cpu. -n: draws of each op and
// type (40; on a Vulkan device 12). -s: this seed alone. A new operator adds no line here.
#include "support/case.h"
#include "support/check.h"
#include "support/device.h"
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
} run = { .first = 1 };

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
        CHECK(draw_ == HN_OK, "%s.%s seed %" PRIu64 " on %s: %s", op->name, hn_dtype_name(t),     \
              seed, where, hn_error_text());                                                      \
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
    if (op->fn->launch && dev->info.kind == HN_DEVICE_VULKAN) {
        CHECK_DRAW(hn__case_run_kernels(c, dev, NULL));
    }
    hn__case_destroy(&c);
}

// False where the draw has no slope.
static bool check_gradient(const hn__op *op, hn_dtype t, uint64_t seed)
{
    const char *where = "ref";
    hn__case *c;

    CHECK_DRAW(hn__case_draw(op, t, seed, &c));
    // Blocks go on to a product only, and their gradient comes from one: test_builders.
    const bool is_blocks = hn__is_quantised(c->s.inst.out[0].dtype);
    const bool has_slope = !is_blocks && hn__case_has_slope(c);
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
    return has_slope || is_blocks;
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
        CHECK(run.n_dev, "no device");
        for (hn_dtype t = HN_F32; t < HN_DTYPE_COUNT; t++)
            for (int d = 0; d < run.n_dev && op->tol[t] > 0; d++)
                check_forward(op, t, seed, run.dev[d]);
        for (hn_dtype t = HN_F32; t < HN_DTYPE_COUNT && run.gradients && op->fn->grad; t++)
            if (t == HN_F32 || (hn__is_quantised(t) && op->tol[t] > 0))
                n_slopes += check_gradient(op, t, seed);
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

static void open_devices(void **state)
{
    (void)state;
    if (getenv("HN_TEST_DEVICE")) {
        const hn_device_params p = test_device_params();
        run.dev[0] = test_device_open(&p);
        run.n_dev = 1;
        return;
    }
    run.dev[0] = test_device_open(&(hn_device_params){ .spec = "ref" });
    run.dev[1] = test_device_open(&(hn_device_params){ .spec = "cpu" });
    run.n_dev = 2;
    run.gradients = true;
}

static void close_devices(void **state)
{
    (void)state;
    while (run.n_dev)
        test_device_close(&run.dev[--run.n_dev]);
}

static int run_all(void)
{
    static struct CMUnitTest tests[HN__OP_COUNT + 3];
    size_t n = 0, n_ops = 0;

    tests[n++] = (struct CMUnitTest){ "rows", check_rows, NULL, NULL, NULL };
    tests[n++] = (struct CMUnitTest){ "devices", open_devices, NULL, NULL, NULL };
    for (int i = 0; i < hn__n_ops; i++)
        if (!(hn__ops[i].flags & HN__SOURCE) && (!run.op || !strcmp(run.op, hn__ops[i].name))) {
            tests[n++] = (struct CMUnitTest){ hn__ops[i].name, check_op, NULL, NULL,
                                              (void *)(uintptr_t)&hn__ops[i] };
            n_ops++;
        }
    tests[n++] = (struct CMUnitTest){ "close", close_devices, NULL, NULL, NULL };
    if (!n_ops)
        return fprintf(stderr, "test_ops: no operator '%s'\n", run.op), 1;
    return _cmocka_run_group_tests("operators", tests, n, NULL, NULL);
}

int main(int argc, char **argv)
{
    const char *device = getenv("HN_TEST_DEVICE");

    run.n = device && !strncmp(device, "vulkan", 6) ? 12 : 40;
    for (int i = 1; i < argc; i++) {
        const char *value = i + 1 < argc ? argv[i + 1] : "";
        if (!strcmp(argv[i], "-n") && ++i)
            run.n = strtoull(value, NULL, 10);
        else if (!strcmp(argv[i], "-o") && ++i)
            run.op = value;
        else if (!strcmp(argv[i], "-s") && ++i)
            run.first = strtoull(value, NULL, 10), run.n = 1;
        else
            return fprintf(stderr, "test_ops: no option '%s'\n", argv[i]), 2;
    }
    printf("seeds %" PRIu64 " to %" PRIu64 "\n", run.first, run.first + run.n - 1);
    return run_all() ? 1 : 0;
}
