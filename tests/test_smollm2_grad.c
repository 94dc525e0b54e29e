// Gradients of the real SmolLM2 against PyTorch's in f64: the loss, and of ten tensors the norm
// and 32 values, which tests/oracle/smollm2_grad.py made. Takes about 2 GB of memory.
#include "support/check.h"
#include "support/device.h"
#include "support/models.h"

#include "hornito/lm.h"
#include "io/json.h"
#include "ir/ir.h"

#include <stdlib.h>
#include <string.h>

enum { LENGTH = 64, KEPT = 10, VALUES = 32 };

static hn_device *dev;

static double number(const json_t *o, const char *key)
{
    const json_t *v = json_object_get(o, key);
    CHECK(json_is_number(v), "no number \"%s\"", key);
    return json_number_value(v);
}

// The loss of the tokens and its gradients for the tensors listed, as outputs by their names.
static hn_plan *make_plan(hn_lm *m, const json_t *kept)
{
    const hn_lm_config *c = hn_lm_get_config(m);
    const hn_type span = { HN_I32, 2, { 1, LENGTH } };
    hn_val wrt[KEPT], d[KEPT];
    hn_graph *g;
    hn_plan *plan;
    const char *name;
    json_t *v;
    int n = 0;

    CHECK_OK(hn_graph_create(&g));
    const hn_val ids = hn_input(g, "ids", span), targets = hn_input(g, "targets", span);
    const hn_val loss = hn_mean_all(g, hn_lm_loss(g, c, hn_lm_hidden(g, c, ids, NULL), targets));
    json_object_foreach((json_t *)(uintptr_t)kept, name, v)
    {
        CHECK(n < KEPT, "more than %d tensors", KEPT);
        const int64_t i = hn_weights_find(hn_lm_get_weights(m), name);
        CHECK(i >= 0, "no weight '%s'", name);
        wrt[n++] =
            hn_param(g, name, hn_weights_info(hn_lm_get_weights(m), i).type, (hn_init){ 0 });
    }
    CHECK(n == KEPT, "%d tensors", n);
    CHECK_OK(hn_graph_grad(g, loss, wrt, n, d));
    n = 0;
    json_object_foreach((json_t *)(uintptr_t)kept, name, v) hn_output(g, name, d[n++]);
    hn_output(g, "loss", loss);
    CHECK_OK(hn_plan_create(g, dev, &(hn_plan_params){ .weights = hn_lm_get_weights(m) }, &plan));
    hn_graph_destroy(&g);
    return plan;
}

// Norm and values; the largest difference of both, relative to |want| + rms and to the norm.
static double compare(const char *name, const float *x, int64_t n, const json_t *want)
{
    const json_t *at = json_object_get(want, "at"), *values = json_object_get(want, "values");
    const double norm = number(want, "norm"), rms = norm / sqrt((double)n);
    double sum = 0, worst;

    for (int64_t i = 0; i < n; i++)
        sum += (double)x[i] * x[i];
    worst = fabs(sqrt(sum) - norm) / norm;
    CHECK(worst <= 1e-3, "%s: norm %.7g, PyTorch has %.7g", name, sqrt(sum), norm);
    CHECK(json_array_size(at) == VALUES && json_array_size(values) == VALUES, "%s: values", name);
    for (size_t k = 0; k < VALUES; k++) {
        const int64_t i = json_integer_value(json_array_get(at, k));
        const double w = json_number_value(json_array_get(values, k));
        CHECK(i >= 0 && i < n, "%s: element %lld", name, (long long)i);
        const double off = fabs(x[i] - w) / (fabs(w) + rms);
        CHECK(off <= 1e-3, "%s[%lld] is %.7g, PyTorch has %.7g", name, (long long)i, (double)x[i],
              w);
        worst = off > worst ? off : worst;
    }
    return worst;
}

static void check_gradients(void **state)
{
    (void)state;
    const char *moved = getenv("HN_TEST_DATA");
    const char *folder = model_folder("smollm2-135m");
    char path[512];
    int32_t ids[LENGTH + 1];
    hn_lm *m;
    json_t *o;
    float loss;
    double worst = 0;

    snprintf(path, sizeof path, "%s/smollm2_grad.json", moved ? moved : HN_TEST_DATA);
    CHECK_OK(hn__json_load(path, 1 << 20, &o));
    const json_t *kept = json_object_get(o, "gradients"), *list = json_object_get(o, "ids");
    CHECK(json_array_size(list) == LENGTH + 1, "%zu tokens", json_array_size(list));
    for (size_t i = 0; i <= LENGTH; i++)
        ids[i] = (int32_t)json_integer_value(json_array_get(list, i));
    CHECK_OK(hn_lm_open(dev, folder, &(hn_lm_open_params){ .f32 = true }, &m));
    hn_plan *plan = make_plan(m, kept);
    CHECK_OK(hn_plan_write(plan, "ids", ids, LENGTH * 4));
    CHECK_OK(hn_plan_write(plan, "targets", ids + 1, LENGTH * 4));
    CHECK_OK(hn_plan_run(plan));
    CHECK_OK(hn_plan_read(plan, "loss", &loss, sizeof loss));
    CHECK(fabs(loss - number(o, "loss")) <= 1e-4 * loss, "loss %.7g, PyTorch has %.7g",
          (double)loss, number(o, "loss"));
    const char *name;
    json_t *want;
    json_object_foreach((json_t *)(uintptr_t)kept, name, want)
    {
        hn_weights *w = hn_lm_get_weights(m);
        const hn_type t = hn_weights_info(w, hn_weights_find(w, name)).type;
        float *x = malloc((size_t)hn_type_bytes(&t));
        CHECK_OK(hn_plan_read(plan, name, x, hn_type_bytes(&t)));
        const double off = compare(name, x, hn_type_numel(&t), want);
        worst = off > worst ? off : worst;
        free(x);
    }
    print_message("loss %.6f; ten gradients within %.2g of PyTorch's\n", (double)loss, worst);
    hn_plan_destroy(&plan);
    hn_lm_close(&m);
    json_decref(o);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(check_gradients) };
    const hn_device_params p = test_device_params();
    dev = test_device_open(&p);
    const int failed = cmocka_run_group_tests(tests, NULL, NULL);
    test_device_close(&dev);
    return failed;
}
