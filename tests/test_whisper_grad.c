// Gradients of the whole of Whisper base, with its real weights and a whole window, against
// PyTorch's in f64 (tests/oracle/whisper_grad.py): the loss, the norm of every gradient, and
// elements of ten.
#include "support/check.h"
#include "support/device.h"
#include "support/models.h"

#include "hornito/whisper.h"
#include "io/json.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MOST_IDS = 64, MOST_PARAMS = 512, KEPT = 64 };

static hn_device *dev;

typedef struct training {
    json_t *numbers;
    hn_whisper *model;
    hn_graph *g;
    hn_plan *plan;
    hn_named_val *params;
    int n_params;
} training;

static int read_ids(const json_t *o, const char *key, int32_t out[MOST_IDS])
{
    const json_t *a;
    CHECK_OK(hn__json_array(o, "whisper_base_grad.json", key, &a));
    const int n = (int)json_array_size(a);
    CHECK(n > 0 && n <= MOST_IDS, "%d %s", n, key);
    for (int i = 0; i < n; i++)
        out[i] = (int32_t)json_integer_value(json_array_get(a, (size_t)i));
    return n;
}

// The mean over targets that are not -1, and every gradient: its squares summed, and all of it
// where elements are compared.
static void build(training *t, int n, int n_targets)
{
    const hn_whisper_config *c = hn_whisper_get_config(t->model);
    const hn_whisper_build b = { .train = true };
    const hn_type ids = { HN_I32, 2, { 1, n } };
    const json_t *elements;
    hn_val wrt[MOST_PARAMS], grads[MOST_PARAMS];
    char name[160];

    CHECK_OK(hn_graph_create(&t->g));
    hn_graph *g = t->g;
    const hn_val mel = hn_input(g, "mel", (hn_type){ HN_F32, 3, { 1, c->mels, 2 * c->frames } });
    const hn_val hidden = hn_whisper_decoder(g, c, hn_input(g, "ids", ids),
                                             hn_whisper_encoder(g, c, mel, &b), &b);
    const hn_val nats = hn_whisper_loss(g, c, hidden, hn_input(g, "targets", ids));
    const hn_val loss = hn_mul_scalar(g, hn_sum_all(g, nats), 1 / (float)n_targets);
    hn_output(g, "loss", loss);
    CHECK_OK(hn_graph_params(g, &t->params, &t->n_params));
    CHECK(t->n_params <= MOST_PARAMS, "%d params", t->n_params);
    for (int i = 0; i < t->n_params; i++)
        wrt[i] = t->params[i].val;
    CHECK_OK(hn_graph_grad(g, loss, wrt, t->n_params, grads));
    CHECK_OK(hn__json_object(t->numbers, "whisper_base_grad.json", "elements", &elements));
    for (int i = 0; i < t->n_params; i++) {
        snprintf(name, sizeof name, "squares.%s", t->params[i].name);
        hn_output(g, name, hn_sum_all(g, hn_mul(g, grads[i], grads[i])));
        if (hn__json_has(elements, t->params[i].name))
            hn_output(g, t->params[i].name, grads[i]);
    }
    CHECK_OK(hn_plan_create(
        g, dev, &(hn_plan_params){ .weights = hn_whisper_get_weights(t->model) }, &t->plan));
}

static void run(training *t)
{
    int32_t ids[MOST_IDS], targets[MOST_IDS];
    const int n = read_ids(t->numbers, "ids", ids), m = read_ids(t->numbers, "targets", targets);
    int n_targets = 0;
    hn_tensors *clip;

    CHECK(n == m, "%d ids, %d targets", n, m);
    for (int i = 0; i < n; i++)
        n_targets += targets[i] >= 0;
    build(t, n, n_targets);
    CHECK_OK(hn_tensors_open(reference_path("logmel_80x3000.npy"), &clip));
    const hn_tensor *mel = hn_tensors_at(clip, 0);
    float *x = malloc((size_t)mel->n_bytes);
    CHECK_OK(hn_tensor_read(mel, HN_F32, x));
    CHECK_OK(hn_plan_write(t->plan, "mel", x, mel->n_bytes));
    CHECK_OK(hn_plan_write(t->plan, "ids", ids, n * 4));
    CHECK_OK(hn_plan_write(t->plan, "targets", targets, n * 4));
    CHECK_OK(hn_plan_run(t->plan));
    free(x);
    hn_tensors_destroy(&clip);
}

static void check_norm(const training *t, int i, const json_t *norms)
{
    float squares;
    double want;
    char name[160];

    snprintf(name, sizeof name, "squares.%s", t->params[i].name);
    CHECK_OK(hn_plan_read(t->plan, name, &squares, sizeof squares));
    CHECK_OK(hn__json_real(norms, "whisper_base_grad.json", t->params[i].name, &want));
    CHECK(fabs(sqrt((double)squares) - want) <= 2e-4 * want,
          "%s: gradient of norm %g, PyTorch's %g", t->params[i].name, sqrt((double)squares), want);
}

// 64 elements at equal distances, off by at most 2e-4 of their norm together.
static void check_elements(const training *t, const char *name, const json_t *want)
{
    const hn_weights *w = hn_whisper_get_weights(t->model);
    const hn_type type = hn_weights_info(w, hn_weights_find(w, name)).type;
    const int64_t n = hn_type_numel(&type);
    float *dw = malloc((size_t)n * sizeof *dw);
    double off = 0, all = 0;

    CHECK(json_array_size(want) == KEPT, "%s: %zu elements", name, json_array_size(want));
    CHECK_OK(hn_plan_read(t->plan, name, dw, n * 4));
    for (int i = 0; i < KEPT; i++) {
        const double one = json_number_value(json_array_get(want, (size_t)i));
        off += pow((double)dw[i * n / KEPT] - one, 2);
        all += one * one;
    }
    print_message("%s: off by %.2g of the norm\n", name, sqrt(off / all));
    CHECK(sqrt(off / all) <= 2e-4, "%s: gradient off by %g of its norm", name, sqrt(off / all));
    free(dw);
}

static void check_gradients(void **state)
{
    (void)state;
    training t = { .n_params = 0 };
    const json_t *norms, *elements, *v;
    const char *name;
    float loss;
    double want;

    CHECK_OK(hn_whisper_open(dev, model_folder("whisper-base"),
                             &(hn_whisper_open_params){ .f32 = true }, &t.model));
    CHECK_OK(hn__json_load(HN_TEST_DATA "/whisper_base_grad.json", 1 << 20, &t.numbers));
    run(&t);
    const hn_plan_info info = hn_plan_get_info(t.plan);
    print_message("activations %.0f MB, inputs and outputs %.0f MB\n",
                  (double)info.block_bytes * 1e-6, (double)info.io_bytes * 1e-6);
    CHECK_OK(hn_plan_read(t.plan, "loss", &loss, sizeof loss));
    CHECK_OK(hn__json_real(t.numbers, "whisper_base_grad.json", "loss", &want));
    CHECK(fabs((double)loss - want) <= 1e-3 * want, "loss is %.7f, PyTorch's %.7f", (double)loss,
          want);
    CHECK_OK(hn__json_object(t.numbers, "whisper_base_grad.json", "norms", &norms));
    CHECK((int)json_object_size(norms) == t.n_params, "%d params, PyTorch's %zu", t.n_params,
          json_object_size(norms));
    for (int i = 0; i < t.n_params; i++)
        check_norm(&t, i, norms);
    CHECK_OK(hn__json_object(t.numbers, "whisper_base_grad.json", "elements", &elements));
    json_object_foreach((json_t *)(uintptr_t)elements, name, v)
        check_elements(&t, name, v);
    hn_params_destroy(&t.params);
    hn_plan_destroy(&t.plan);
    hn_graph_destroy(&t.g);
    hn_whisper_close(&t.model);
    json_decref(t.numbers);
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
