// What compare_peers.py measures of hornito: each part prints a JSON object of milliseconds, and of
// what was made, so that the script can compare results with its peers'.
//
//   bench_peers ops|product|openblas THREADS REPEATS
//   bench_peers whisper THREADS REPEATS MODEL MEL.npy ID...     (the prompt)
//   bench_peers lm THREADS REPEATS MODEL PROMPT TOKENS f32|i8   (their numbers)
#include "hornito/device.h"
#include "hornito/lm.h"
#include "hornito/ops.h"
#include "hornito/whisper.h"

#include "base/os.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#ifdef HN_HAVE_OPENBLAS
#include <cblas.h>
#endif

enum { MOST = 1000, WARMUP = 3 };

typedef struct bench {
    hn_device *dev;
    int threads, repeats;
    bool comma;
} bench;

static void must(hn_status s)
{
    if (s == HN_OK)
        return;
    fprintf(stderr, "bench_peers: %s\n", hn_error_text());
    exit(1);
}

static void *room(size_t n)
{
    void *p = calloc(n ? n : 1, 1);
    if (!p)
        must(hn_fail(HN_ERR_NOMEM, "%zu bytes", n));
    return p;
}

static double now_ms(void)
{
    return (double)hn__now_ns() * 1e-6;
}

static void say_times(bench *b, const char *name, const double ms[], int n)
{
    printf("%s\"%s\": [", b->comma ? ",\n " : "{", name);
    for (int i = 0; i < n; i++)
        printf("%s%.4f", i ? ", " : "", ms[i]);
    printf("]");
    b->comma = true;
}

static void say_ids(bench *b, const char *name, const int32_t id[], int64_t n)
{
    printf("%s\"%s\": [", b->comma ? ",\n " : "{", name);
    for (int64_t i = 0; i < n; i++)
        printf("%s%d", i ? ", " : "", (int)id[i]);
    printf("]");
    b->comma = true;
}

// ---- operators -----------------------------------------------------------------------------

static hn_val input(hn_graph *g, const char *name, int64_t rows, int64_t cols)
{
    return hn_input(g, name,
                    rows ? (hn_type){ HN_F32, 2, { rows, cols } } : (hn_type){ HN_F32, 1, { cols } });
}

// n numbers in [-2, 2), the same each time.
static void draw(float *x, int64_t n)
{
    uint32_t s = 1;
    for (int64_t i = 0; i < n; i++) {
        s = s * 1664525u + 1013904223u;
        x[i] = (float)(int32_t)s * 0x1p-30f;
    }
}

static void write_drawn(hn_plan *p, const char *name, int64_t n)
{
    float *x = room((size_t)n * sizeof *x);
    draw(x, n);
    must(hn_plan_write(p, name, x, n * (int64_t)sizeof *x));
    free(x);
}

static hn_plan *make_plan(bench *b, hn_graph **g)
{
    hn_plan *p;
    must(hn_graph_status(*g));
    must(hn_plan_create(*g, b->dev, NULL, &p));
    hn_graph_destroy(g);
    return p;
}

enum { ROWS = 1024, COLS = 4096 };

static const char *const op_names[] = { "softmax", "rms_norm", "layer_norm", "gelu" };

static hn_val op_of(hn_graph *g, int op, hn_val x)
{
    switch (op) {
    case 0: return hn_softmax(g, x);
    case 1: return hn_rms_norm(g, x, input(g, "w", 0, COLS), 1e-5f);
    case 2: return hn_layer_norm(g, x, input(g, "w", 0, COLS), input(g, "b", 0, COLS), 1e-5f);
    default: return hn_gelu(g, x);
    }
}

static void bench_ops(bench *b)
{
    double ms[MOST];

    for (int op = 0; op < 4; op++) {
        hn_graph *g;
        must(hn_graph_create(&g));
        hn_output(g, "y", op_of(g, op, input(g, "x", ROWS, COLS)));
        hn_plan *p = make_plan(b, &g);
        write_drawn(p, "x", (int64_t)ROWS * COLS);
        if (op == 1 || op == 2)
            write_drawn(p, "w", COLS);
        if (op == 2)
            write_drawn(p, "b", COLS);
        for (int i = -5; i < b->repeats; i++) {
            const double began = now_ms();
            must(hn_plan_run(p));
            if (i >= 0)
                ms[i] = now_ms() - began;
        }
        say_times(b, op_names[op], ms, b->repeats);
        hn_plan_destroy(&p);
    }
}

// ---- products ------------------------------------------------------------------------------

typedef struct shape {
    int64_t m, k, n;
} shape;

// OpenBLAS by its own threads: c = a b.
static void bare(const bench *b, const shape *s, const float *x, const float *w, float *y)
{
#ifdef HN_HAVE_OPENBLAS
    openblas_set_num_threads(b->threads);
    cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasNoTrans, (blasint)s->m, (blasint)s->n,
                (blasint)s->k, 1, x, (blasint)s->k, w, (blasint)s->n, 0, y, (blasint)s->n);
#else
    (void)b, (void)s, (void)x, (void)w, (void)y;
    must(hn_fail(HN_ERR_UNSUPPORTED, "built without OpenBLAS"));
#endif
}

static void say_product(bench *b, const char *what, const shape *s, const double ms[])
{
    char name[96];
    snprintf(name, sizeof name, "%s %dx%dx%d", what, (int)s->m, (int)s->k, (int)s->n);
    say_times(b, name, ms, b->repeats);
}

// OpenBLAS's, in a process without ours: its threads wait busily for what comes next.
static void bench_openblas(bench *b, const shape *s)
{
    double ms[MOST];
    float *x = room((size_t)(s->m * s->k) * 4), *w = room((size_t)(s->k * s->n) * 4),
          *y = room((size_t)(s->m * s->n) * 4);

    draw(x, s->m * s->k);
    draw(w, s->k * s->n);
    for (int i = -WARMUP; i < b->repeats; i++) {
        const double began = now_ms();
        bare(b, s, x, w, y);
        ms[i < 0 ? 0 : i] = now_ms() - began;
    }
    say_product(b, "OpenBLAS product", s, ms);
    free(x);
    free(w);
    free(y);
}

static hn_plan *product_plan(bench *b, const shape *s, bool all)
{
    hn_matmul_params p = { 0 };
    hn_graph *g;

    must(hn_graph_create(&g));
    if (all)
        p = (hn_matmul_params){ .bias = input(g, "bias", 0, s->n), .act = HN_ACT_GELU };
    hn_output(g, "y", hn_matmul(g, input(g, "x", s->m, s->k), input(g, "w", s->k, s->n), &p));
    hn_plan *plan = make_plan(b, &g);
    write_drawn(plan, "x", s->m * s->k);
    write_drawn(plan, "w", s->k * s->n);
    return plan;
}

// A bare product, and one with bias and GELU, in turn.
static void bench_product(bench *b, const shape *s)
{
    double ms[2][MOST];
    hn_plan *plan[] = { product_plan(b, s, false), product_plan(b, s, true) };

    for (int i = -WARMUP; i < b->repeats; i++)
        for (int k = 0; k < 2; k++) {
            const double began = now_ms();
            must(hn_plan_run(plan[k]));
            ms[k][i < 0 ? 0 : i] = now_ms() - began;
        }
    say_product(b, "hornito product", s, ms[0]);
    say_product(b, "hornito product + bias + GELU", s, ms[1]);
    hn_plan_destroy(&plan[0]);
    hn_plan_destroy(&plan[1]);
}

static void bench_products(bench *b, void (*one)(bench *b, const shape *s))
{
    static const shape shapes[] = { { 512, 512, 512 },
                                    { 1024, 1024, 1024 },
                                    { 2048, 2048, 2048 },
                                    { 4096, 512, 1536 } };
    for (int i = 0; i < 4; i++)
        one(b, &shapes[i]);
}

static float *read_mel(const char *path, const hn_whisper_config *c)
{
    hn_tensors *t;
    float *mel = room((size_t)(c->mels * 2 * c->frames) * sizeof *mel);
    must(hn_tensors_open(path, &t));
    must(hn_tensor_read(hn_tensors_at(t, 0), HN_F32, mel));
    hn_tensors_destroy(&t);
    return mel;
}

// The likeliest token that may be said.
static int32_t choose(hn_whisper *m, float *logits, bool first)
{
    const int64_t vocab = hn_whisper_get_config(m)->vocab;
    int n, n_first;
    const int32_t *never = hn_whisper_get_suppressed(m, &n),
                  *not_first = hn_whisper_get_suppressed_first(m, &n_first);
    int32_t best = 0;

    for (int i = 0; i < n; i++)
        logits[never[i]] = -INFINITY;
    for (int i = 0; first && i < n_first; i++)
        logits[not_first[i]] = -INFINITY;
    logits[hn_whisper_get_tokens(m)->no_timestamps] = -INFINITY;
    for (int64_t i = 1; i < vocab; i++)
        if (logits[i] > logits[best])
            best = (int32_t)i;
    return best;
}

enum { MOST_TOKENS = 200 };

// Greedy tokens after the prompt, without the end token; how many.
static int transcribe(hn_whisper *m, const int32_t prompt[], int n_prompt, float *logits,
                      int32_t out[MOST_TOKENS])
{
    const int32_t end = hn_whisper_get_tokens(m)->end;
    int n = 0;

    must(hn_whisper_decode(m, prompt, 1, n_prompt, 0, logits));
    for (;; n++) {
        out[n] = choose(m, logits, n == 0);
        if (out[n] == end || n + 1 == MOST_TOKENS)
            return n;
        must(hn_whisper_decode(m, &out[n], 1, 1, n_prompt + n, logits));
    }
}

static void bench_whisper(bench *b, const char *model, const char *mel_path, char **ids, int n_ids)
{
    hn_whisper *m;
    double encode[MOST] = { 0 }, all[MOST] = { 0 };
    int32_t prompt[8], out[MOST_TOKENS];
    int n = 0;

    must(hn_whisper_open(b->dev, model, NULL, &m));
    const hn_whisper_config *c = hn_whisper_get_config(m);
    float *mel = read_mel(mel_path, c), *logits = room((size_t)c->vocab * sizeof *logits);
    for (int i = 0; i < n_ids && i < 8; i++)
        prompt[i] = (int32_t)strtol(ids[i], NULL, 10);
    for (int i = -1; i < b->repeats; i++) {
        const double began = now_ms();
        must(hn_whisper_encode(m, mel, NULL));
        const double encoded = now_ms();
        n = transcribe(m, prompt, n_ids, logits, out);
        if (i >= 0) {
            encode[i] = encoded - began;
            all[i] = now_ms() - began;
        }
    }
    say_times(b, "encoder", encode, b->repeats);
    say_times(b, "encoder + tokens", all, b->repeats);
    say_ids(b, "tokens", out, n);
    free(mel);
    free(logits);
    hn_whisper_close(&m);
}

// ---- language models -----------------------------------------------------------------------

// One run: `put` tokens in, then `made` more by the likeliest. The first tokens differ from run to
// run, so that no caches serve again.
static void talk(hn_lm *m, int64_t put, int64_t made, int run, hn_generated *out)
{
    const hn_sample_params p = { .n_tokens = made, .ignore_end = true };
    hn_ids ids = { 0 };

    ids.id = hn__calloc((size_t)(put + made + 1), sizeof *ids.id);
    if (!ids.id)
        must(hn__nomem((size_t)put));
    ids.cap = put + made + 1;
    for (int64_t i = 0; i < put; i++)
        ids.id[ids.n++] = (int32_t)(1000 + (i * 7919 + run * 104729) % 40000);
    must(hn_lm_continue(m, &ids, &p, NULL, NULL, out));
    hn_ids_free(&ids);
}

static void bench_lm(bench *b, const char *model, int64_t put, int64_t made, bool i8)
{
    hn_lm *m;
    hn_generated g;
    double prompt[MOST], decode[MOST], after[MOST];

    must(hn_lm_open(b->dev, model, &(hn_lm_open_params){ .i8 = i8 }, &m));
    for (int i = -1; i < b->repeats; i++) {
        const int at = i < 0 ? 0 : i;
        talk(m, put, made / 4, 2 * i + 2, &g);
        prompt[at] = g.prompt_ns * 1e-6;
        after[at] = g.ns * 1e-6 / (double)g.tokens;
        talk(m, 1, made, 2 * i + 3, &g);
        decode[at] = g.ns * 1e-6 / (double)g.tokens;
    }
    say_times(b, "prompt", prompt, b->repeats);
    say_times(b, "a token", decode, b->repeats);
    say_times(b, "a token after the prompt", after, b->repeats);
    hn_lm_close(&m);
}

// ---- the command ---------------------------------------------------------------------------

static int usage(void)
{
    fprintf(stderr, "usage: bench_peers ops|product|openblas THREADS REPEATS\n"
                    "       bench_peers whisper THREADS REPEATS MODEL MEL.npy ID...\n"
                    "       bench_peers lm THREADS REPEATS MODEL PROMPT TOKENS f32|i8\n");
    return 2;
}

int main(int argc, char **argv)
{
    if (argc < 4)
        return usage();
    bench b = { .threads = atoi(argv[2]), .repeats = atoi(argv[3]) };
    if (b.threads < 1 || b.repeats < 1 || b.repeats > MOST)
        return usage();
    must(hn_device_open(&(hn_device_params){ .spec = "cpu", .n_threads = b.threads }, &b.dev));
    if (!strcmp(argv[1], "ops"))
        bench_ops(&b);
    else if (!strcmp(argv[1], "product"))
        bench_products(&b, bench_product);
    else if (!strcmp(argv[1], "openblas"))
        bench_products(&b, bench_openblas);
    else if (!strcmp(argv[1], "whisper") && argc > 6)
        bench_whisper(&b, argv[4], argv[5], argv + 6, argc - 6);
    else if (!strcmp(argv[1], "lm") && argc == 8)
        bench_lm(&b, argv[4], atoi(argv[5]), atoi(argv[6]), !strcmp(argv[7], "i8"));
    else
        return usage();
    printf("}\n");
    hn_device_close(&b.dev);
    return 0;
}
