// Every shader through AMD's compiler: RADV without hardware, for several generations of GPU. What is
// compiled: each built shader with its default constants; the kernels that plans of drawn
// operators ask for, fused chains among them; every variant of large products, of attention and of convolution. Registers, spills and
// what else the driver says go to FILE.txt and FILE.json. The row of CTest names the driver by
// VK_ICD_FILENAMES.
//
//   radv_shaders FILE FAMILY...
#include "support/check.h"
#include "device/vk/vk.h"
#include "hornito/ops.h"
#include "ops/attention.h"
#include "ops/shader.h"
#include "plan/case.h"
#include "plan/choose.h"

#include <jansson.h>
#include <spirv/unified1/spirv.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MOST_FAMILIES = 8, N_SEEDS = 3 };

static const char *file; // where the figures go
static json_t *report;     // an array, an entry a family
static FILE *table;

// ---- what is compiled ----------------------------------------------------------------------

// One more than the highest binding that a module decorates.
static int bindings_of(const hn__shader *s)
{
    int n = 0;
    for (size_t i = 5; i < s->n_words;) {
        const uint32_t length = s->words[i] >> SpvWordCountShift;
        CHECK(length, "shader '%s': an instruction without words at %zu", s->name, i);
        if ((s->words[i] & SpvOpCodeMask) == SpvOpDecorate &&
            s->words[i + 2] == SpvDecorationBinding && (int)s->words[i + 3] >= n)
            n = (int)s->words[i + 3] + 1;
        i += length;
    }
    return n;
}

static int compile_shaders(hn_device *d)
{
    int n = 0;
    for (const hn__shader *s = hn__shaders; s->name; s++) {
        const hn__kernel_desc desc = { .name = s->name, .spirv = s->words, .n_words = s->n_words,
                                       .n_bind = bindings_of(s), .push_bytes = HN__MAX_PUSH };
        hn__kernel *k;
        const char *type = strrchr(s->name, '.');
        const bool joins = !strcmp(type, ".f32s") || !strcmp(type, ".f16s") || !strcmp(type, ".bf16s");
        if ((!strncmp(type, ".f16", 4) || !strncmp(type, ".bf16", 5)) && !strchr(type, 'p') &&
            !(d->info.features & HN_FEATURE_STORAGE_16))
            continue;
        if (joins && !(d->info.features & HN_FEATURE_SUBGROUP))
            continue;
        if (!strcmp(type, ".f32d") && !(d->info.features & HN_FEATURE_INT64))
            continue;
        if (strstr(s->name, "_coop")) // of no use without a size that the device lists
            continue;
        CHECK_OK(d->fn->kernel_get(d, &desc, &k));
        n++;
    }
    return n;
}

// The kernels that a plan of this instance is made of.
static void compile_case(hn_device *d, const hn__op *op, hn_dtype type, uint64_t seed)
{
    hn__case *c;
    hn_graph *g;
    hn_plan *p;

    CHECK_OK(hn__case_draw(op, type, seed, &c));
    CHECK_OK(hn_graph_create(&g));
    CHECK_OK(hn__inst_graph(&c->s.inst, g));
    const hn_status s = hn_plan_create(g, d, NULL, &p);
    CHECK(s == HN_OK, "%s.%s seed %d: %s", op->name, hn_dtype_name(type), (int)seed,
          hn_error_text());
    hn_plan_destroy(&p);
    hn_graph_destroy(&g);
    hn__case_destroy(&c);
}

static void compile_ops(hn_device *d)
{
    for (int i = 0; i < hn__n_ops; i++) {
        const hn__op *op = &hn__ops[i];
        if (op->flags & (HN__SOURCE | HN__VIEW) || !op->fn->sample)
            continue;
        for (hn_dtype t = HN_F32; t < HN_DTYPE_COUNT; t++)
            for (uint64_t seed = 1; op->tol[t] > 0 && seed <= N_SEEDS; seed++)
                compile_case(d, op, t, seed);
    }
}

static void compile_dispatch(hn_device *d, const hn__dispatch *k)
{
    const hn__shader *s;
    hn__kernel *kernel;

    CHECK_OK(hn__shader_of(&d->info, k, &s));
    hn__kernel_desc desc = { .name = s->name, .spirv = s->words, .n_words = s->n_words,
                             .n_spec = k->n_spec, .subgroup = k->subgroup,
                             .n_bind = k->n_bind, .push_bytes = k->push_bytes };
    memcpy(desc.spec, k->spec, sizeof desc.spec);
    CHECK_OK(d->fn->kernel_get(d, &desc, &kernel));
}

// All dispatches of every variant.
static void compile_variants(hn_device *d, const hn__inst *n)
{
    hn__variant v[HN__MAX_VARIANTS];
    const int count = hn__variants(n, &d->info, v);

    for (int i = 0; i < count; i++) {
        hn__launch l;
        uint64_t code;
        CHECK_OK(hn__launch_variant(n, &d->info, &v[i], false, &l, &code));
        for (int j = 0; j < l.n; j++)
            compile_dispatch(d, &l.d[j]);
    }
}

static void compile_product(hn_device *d, hn_dtype own, hn_dtype t, int64_t m, int64_t n, int64_t k)
{
    hn_graph *g;

    CHECK_OK(hn_graph_create(&g));
    const hn_val y = hn_matmul(g, hn_input(g, "a", (hn_type){ own, 2, { m, k } }),
                               hn_input(g, "b", (hn_type){ t, 2, { n, k } }),
                               &(hn_matmul_params){ .transpose_b = true });
    CHECK_OK(hn_graph_status(g));
    const hn__inst inst = hn__graph_inst(g, g->values[y.id].node);
    compile_variants(d, &inst);
    hn_graph_destroy(&g);
}

static void compile_products(hn_device *d)
{
    static const hn_dtype types[][2] = { { HN_F32, HN_F32 }, { HN_F16, HN_F16 }, { HN_F32, HN_Q4_K },
                                         { HN_Q8_0, HN_Q4_K } };
    for (size_t i = 0; i < sizeof types / sizeof *types; i++) {
        compile_product(d, types[i][0], types[i][1], 4096, 4096, 4096);
        compile_product(d, types[i][0], types[i][1], 64, 256, 4096);
        compile_product(d, types[i][0], types[i][1], 8, 4096, 4096);
        compile_product(d, types[i][0], types[i][1], 1, 4096, 4096);
    }
}

// Forward and backward of 12 heads.
static void compile_attention(hn_device *d, hn_dtype t, int64_t tq, int64_t width)
{
    const hn_type q = { t, 4, { 4, tq, 12, width } }, k = { t, 4, { 4, 1024, 12, width } },
                  lse = hn__attention_lse(&q);
    hn__attention_attr attr = { .causal = 1 };
    const hn__inst y = { hn__op_find("attention"), 3, 2, { q, k, k }, { q, lse }, &attr };
    const hn__inst dq = { hn__op_find("attention_grad"), 6, 3, { q, k, k, q, lse, q },
                          { q, k, k }, &attr };

    compile_variants(d, &y);
    compile_variants(d, &dq);
}

static void compile_attentions(hn_device *d)
{
    static const hn_dtype types[] = { HN_F32, HN_F16 };
    for (int i = 0; i < 2; i++)
        for (int64_t width = 64; width <= 128; width *= 2) {
            compile_attention(d, types[i], 1024, width);
            compile_attention(d, types[i], 1, width);
        }
}

// A convolution and its gradients.
static void compile_convolution(hn_device *d, hn_dtype t)
{
    const hn_conv_params p = { .pad_before = { 1, 1 }, .pad_after = { 1, 1 } };
    hn_graph *g;
    hn_val grad[2];

    CHECK_OK(hn_graph_create(&g));
    const hn_val in[2] = { hn_input(g, "x", (hn_type){ t, 4, { 8, 32, 14, 14 } }),
                           hn_input(g, "w", (hn_type){ t, 4, { 64, 32, 3, 3 } }) };
    CHECK_OK(hn_graph_grad(g, hn_sum_all(g, hn_conv2d(g, in[0], in[1], &p)), in, 2, grad));
    for (int64_t i = 0; i < g->n_nodes; i++)
        if (!strncmp(g->nodes[i].op->name, "conv2d", 6)) {
            const hn__inst inst = hn__graph_inst(g, i);
            compile_variants(d, &inst);
        }
    hn_graph_destroy(&g);
}

// ---- figures -------------------------------------------------------------------------------

static double stat(json_t *kernel, const char *name)
{
    return json_number_value(json_object_get(kernel, name));
}

static json_t *figures_of(hn__vk *d, const hn__kernel *k)
{
    hn__vk_stat *s;
    int n;
    CHECK_OK(hn__vk_kernel_stats(d, k, &s, &n));
    CHECK(n > 0, "the driver says nothing of '%s'", k->name);

    json_t *out = json_pack("{s:s}", "name", k->name), *spec = json_array();
    for (int i = 0; i < k->n_spec; i++)
        json_array_append_new(spec, json_integer(k->spec[i]));
    json_object_set_new(out, "constants", spec);
    for (int i = 0; i < n; i++)
        if (!strstr(s[i].name, "ash")) // hashes are no figures
            json_object_set_new(out, s[i].name, json_integer((json_int_t)s[i].value));
    hn__free(s);
    CHECK(stat(out, "VGPRs") > 0, "'%s' takes no registers", k->name);
    fprintf(table, "%-9s %-24s %6.0f %6.0f %6.0f %6.0f %6.0f %7.0f %5.0f ", getenv("RADV_FORCE_FAMILY"),
            k->name, stat(out, "VGPRs"), stat(out, "SGPRs"), stat(out, "Spilled VGPRs"),
            stat(out, "Spilled SGPRs"), stat(out, "LDS size"), stat(out, "Code size"),
            stat(out, "Subgroups per SIMD"));
    for (int i = 0; i < k->n_spec; i++)
        fprintf(table, " %u", k->spec[i]);
    fputc('\n', table);
    return out;
}

// Compiles all there is for a device with these features masked; its kernels join the list.
static void compile_masked(uint32_t mask, json_t *kernels, int *n_shaders, int *n_spills)
{
    const hn_device_params params = { .spec = "vulkan", .mask = mask };
    hn_device *d;

    CHECK_OK(hn__vk_open(&params, &d));
    CHECK(hn__vk_capture(d), "'%s' keeps no statistics", d->info.name);
    CHECK(strstr(d->info.driver, "radv"), "the driver is '%s'", d->info.driver);
    *n_shaders += compile_shaders(d);
    const hn__device_fns *own = d->fn;
    hn__device_fns compiling;
    hn__vk_compile_only(d, &compiling);
    compile_ops(d);
    d->fn = own;
    if (!mask) {
        compile_products(d);
        compile_attentions(d);
        compile_convolution(d, HN_F32);
        compile_convolution(d, HN_F16);
    }

    for (const hn__kernel *k = hn__vk_of(d)->kernels; k; k = k->next) {
        json_t *f = figures_of(hn__vk_of(d), k);
        *n_spills += stat(f, "Spilled VGPRs") > 0 || stat(f, "Spilled SGPRs") > 0;
        json_array_append_new(kernels, f);
    }
    if (!mask)
        json_array_append_new(report,
                              json_pack("{s:s, s:s, s:s, s:O}", "family",
                                        getenv("RADV_FORCE_FAMILY"), "device", d->info.name,
                                        "driver", d->info.driver, "kernels", kernels));
    hn_device_close(&d);
}

static void check_family(void **state)
{
    const char *family = *state;
    json_t *kernels = json_array();
    int n_shaders = 0, n_spills = 0;

    CHECK(!setenv("RADV_FORCE_FAMILY", family, 1), "setenv");
    compile_masked(0, kernels, &n_shaders, &n_spills);
    // As on a device that packs 16-bit elements and has no subgroup operations.
    compile_masked(HN_FEATURE_STORAGE_16 | HN_FEATURE_SUBGROUP, kernels, &n_shaders, &n_spills);
    CHECK(n_shaders > 0, "no shader was built");
    print_message("%s: %d shaders, %d pipelines, %d of them spill\n", family, n_shaders,
                  (int)json_array_size(kernels), n_spills);
    json_decref(kernels);
}

static int begin(void **state)
{
    (void)state;
    char path[4096];
    snprintf(path, sizeof path, "%s.txt", file);
    table = fopen(path, "w");
    report = json_array();
    if (!table || !report)
        return -1;
    fprintf(table, "%-9s %-24s %6s %6s %6s %6s %6s %7s %5s  %s\n", "family", "kernel", "VGPRs",
            "SGPRs", "spillV", "spillS", "LDS", "code", "waves", "constants");
    return 0;
}

static int end(void **state)
{
    (void)state;
    char path[4096];
    snprintf(path, sizeof path, "%s.json", file);
    const int failed = json_dump_file(report, path, JSON_INDENT(1)) | fclose(table);
    json_decref(report);
    return failed;
}

int main(int argc, char **argv)
{
    struct CMUnitTest tests[MOST_FAMILIES];
    const int n = argc - 2;

    if (n < 1 || n > MOST_FAMILIES)
        return fprintf(stderr, "usage: radv_shaders FILE FAMILY...\n"), 2;
    file = argv[1];
    for (int i = 0; i < n; i++)
        tests[i] = (struct CMUnitTest){ .name = argv[i + 2], .test_func = check_family,
                                        .initial_state = argv[i + 2] };
    return _cmocka_run_group_tests("radv", tests, (size_t)n, begin, end);
}
