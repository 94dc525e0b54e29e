// uniform, normal, dropout: random numbers by counted Philox 4x32-10 (base/random.c). Element i is
// word i % 4 of block i / 4; the counter of a block is { block, block >> 32, stream, 0 }. So the
// words are the same on every device, and only arithmetic on them rounds.
#include "ops/table.h"
#include "ops/vecmath.h"

typedef struct draw_attr {
    hn_type type;
    uint32_t stream;
} draw_attr;

typedef struct dropout_attr {
    float p;
    uint32_t stream;
} dropout_attr;

static hn_status want_key(const hn__inst *n, int i)
{
    HN_TRY(hn__want_i32(n, i));
    if (hn__numel(&n->in[i]) != 2)
        return hn_fail(HN_ERR_SHAPE, "the key has %" PRId64 " elements, must have 2",
                       hn__numel(&n->in[i]));
    return HN_OK;
}

static void block_of(const double *key, int64_t block, uint32_t stream, uint32_t out[4])
{
    const uint32_t k[2] = { (uint32_t)(int32_t)key[0], (uint32_t)(int32_t)key[1] };
    const uint32_t counter[4] = { (uint32_t)block, (uint32_t)(block >> 32), stream, 0 };

    hn__philox(k, counter, out);
}

// ---- words by tiles ------------------------------------------------------------------------

enum { TILE = 128 }; // blocks

// The words of n blocks, n at most TILE: hn__philox in every lane of a vector.
HN__HOT static void tile_words(const int32_t *key, int64_t block, uint32_t stream, int64_t n,
                               uint32_t *out)
{
    uint32_t c[4][TILE], k0 = (uint32_t)key[0], k1 = (uint32_t)key[1];

    for (int64_t i = 0; i < TILE; i++) {
        c[0][i] = (uint32_t)(block + i);
        c[1][i] = (uint32_t)((uint64_t)(block + i) >> 32);
        c[2][i] = stream;
        c[3][i] = 0;
    }
    for (int round = 0; round < 10; round++, k0 += 0x9E3779B9, k1 += 0xBB67AE85)
        for (int64_t i = 0; i < TILE; i++) {
            const uint64_t a = (uint64_t)0xD2511F53 * c[0][i], b = (uint64_t)0xCD9E8D57 * c[2][i];
            c[0][i] = (uint32_t)(b >> 32) ^ c[1][i] ^ k0;
            c[2][i] = (uint32_t)(a >> 32) ^ c[3][i] ^ k1;
            c[1][i] = (uint32_t)b;
            c[3][i] = (uint32_t)a;
        }
    for (int64_t i = 0; i < n; i++)
        for (int k = 0; k < 4; k++)
            out[4 * i + k] = c[k][i];
}

typedef struct job {
    const int32_t *key;
    uint32_t stream, threshold;
    int shift;
    float scale;
    const float *x;
    float *y;
    int64_t n; // elements
    void (*fill)(const struct job *j, const uint32_t *word, int64_t at, int64_t n);
} job;

static void tiles(void *ctx, int64_t begin, int64_t end, int thread)
{
    const job *j = ctx;
    uint32_t word[4 * TILE];

    (void)thread;
    for (int64_t b = begin; b < end; b += TILE) {
        const int64_t blocks = end - b < TILE ? end - b : TILE;
        const int64_t left = j->n - 4 * b, n = left < 4 * blocks ? left : 4 * blocks;
        tile_words(j->key, b, j->stream, blocks, word);
        j->fill(j, word, 4 * b, n);
    }
}

static void run(job *j, hn__pool *pool)
{
    hn__parallel(pool, (j->n + 3) / 4, 1024, tiles, j);
}

// ---- uniform -------------------------------------------------------------------------------

hn_val hn_uniform(hn_graph *g, hn_type type, hn_val key, uint32_t stream)
{
    return HN__EMIT(g, uniform, (&(draw_attr){ type, stream }), key);
}

static hn_status infer_draw(hn__inst *n)
{
    const draw_attr *a = n->attr;
    char text[128];

    HN_TRY(want_key(n, 0));
    HN_TRY(hn__type_check(&a->type));
    if (!hn__is_float(a->type.dtype))
        return hn_fail(HN_ERR_ARG, "%s, must be f32, f16 or bf16",
                       hn__type_text(&a->type, text, sizeof text));
    n->n_out = 1;
    n->out[0] = a->type;
    return HN_OK;
}

// Bits that a type holds of every number in [0, 1), so that none rounds up to 1.
static int uniform_bits(hn_dtype t)
{
    return t == HN_F32 ? 24 : t == HN_F16 ? 11 : 8;
}

static void ref_uniform(const hn__inst *n, const double *const in[], double *const out[])
{
    const draw_attr *a = n->attr;
    const int bits = uniform_bits(a->type.dtype);
    uint32_t word[4];

    for (int64_t i = 0; i < hn__numel(&n->out[0]); i++) {
        if (i % 4 == 0)
            block_of(in[0], i / 4, a->stream, word);
        out[0][i] = (double)(word[i % 4] >> (32 - bits)) / (double)(1 << bits);
    }
}

HN__HOT static void fill_uniform(const job *j, const uint32_t *word, int64_t at, int64_t n)
{
    for (int64_t i = 0; i < n; i++)
        j->y[at + i] = (float)(int32_t)(word[i] >> j->shift) * j->scale;
}

static void host_uniform(const hn__inst *n, const hn__host *h)
{
    const draw_attr *a = n->attr;
    const int bits = uniform_bits(a->type.dtype);
    job j = { .key = h->in[0], .stream = a->stream, .shift = 32 - bits,
              .scale = 1 / (float)(1 << bits), .y = h->out[0], .n = hn__numel(&n->out[0]),
              .fill = fill_uniform };

    run(&j, h->pool);
}

// A thread fills a block.
static void launch_draw(const hn__inst *n, hn__launch *l)
{
    const draw_attr *a = n->attr;
    hn__dispatch *d = hn__add_dispatch(l, n, "draw");
    const int64_t size = hn__numel(&n->out[0]);
    const int bits = uniform_bits(a->type.dtype);

    HN__PUSH(d, draw_push, .n = (uint32_t)size, .stream = a->stream, .shift = 32 - (uint32_t)bits,
             .scale = 1 / (float)(1 << bits));
    d->spec[d->n_spec++] = n->op->id == HN__OP_normal;
    hn__threads(d, (size + 3) / 4);
}

static void sample_draw(hn_rng *rng, hn__sample *s)
{
    draw_attr *a = s->inst.attr;

    a->type = (hn_type){ s->type, 2, { hn__rng_dim(rng, 33), hn__rng_dim(rng, 65) } };
    a->stream = hn__rng_u32(rng);
    s->inst.n_in = 1;
    s->inst.in[0] = (hn_type){ .dtype = HN_I32, .rank = 1, .dim = { 2 } };
    s->range[0].lo = INT32_MIN;
    s->range[0].hi = INT32_MAX;
}

const hn__op_fns hn__fns_uniform = {
    .attr_bytes = sizeof(draw_attr), .infer = infer_draw, .ref = ref_uniform,
    .host = host_uniform, .launch = launch_draw, .sample = sample_draw
};

// ---- normal --------------------------------------------------------------------------------
// Box and Muller: words 2k and 2k + 1 give u in (0, 1] and an angle of v turns, and elements 2k
// and 2k + 1 are sqrt(-2 ln u) times its cosine and sine.

hn_val hn_normal(hn_graph *g, hn_type type, hn_val key, uint32_t stream)
{
    return HN__EMIT(g, normal, (&(draw_attr){ type, stream }), key);
}

static void ref_normal(const hn__inst *n, const double *const in[], double *const out[])
{
    const draw_attr *a = n->attr;
    uint32_t word[4];

    for (int64_t i = 0; i < hn__numel(&n->out[0]); i++) {
        if (i % 4 == 0)
            block_of(in[0], i / 4, a->stream, word);
        const uint32_t *pair = word + (i % 4 & 2);
        const double u = (double)((pair[0] >> 8) + 1) * 0x1p-24;
        const double angle = (double)(pair[1] >> 8) * 0x1p-24 * 6.283185307179586;
        out[0][i] = sqrt(-2 * log(u)) * (i % 2 ? sin(angle) : cos(angle));
    }
}

HN__HOT static void fill_normal(const job *j, const uint32_t *word, int64_t at, int64_t n)
{
    float *y = j->y + at;

    for (int64_t i = 0; i + 1 < n; i += 2) {
        const float u = (float)(int32_t)((word[i] >> 8) + 1) * 0x1p-24f;
        const float r = sqrtf(-2 * hn__vlog(u));
        y[i] = r * hn__vcos_turn(word[i + 1] & 0xffffff00u);
        y[i + 1] = r * hn__vsin_turn(word[i + 1] & 0xffffff00u);
    }
    if (n % 2) {
        const float u = (float)(int32_t)((word[n - 1] >> 8) + 1) * 0x1p-24f;
        y[n - 1] = sqrtf(-2 * hn__vlog(u)) * hn__vcos_turn(word[n] & 0xffffff00u);
    }
}

static void host_normal(const hn__inst *n, const hn__host *h)
{
    const draw_attr *a = n->attr;
    job j = { .key = h->in[0], .stream = a->stream, .y = h->out[0], .n = hn__numel(&n->out[0]),
              .fill = fill_normal };

    run(&j, h->pool);
}

const hn__op_fns hn__fns_normal = {
    .attr_bytes = sizeof(draw_attr), .infer = infer_draw, .ref = ref_normal, .host = host_normal,
    .launch = launch_draw, .sample = sample_draw
};

// ---- dropout -------------------------------------------------------------------------------

hn_val hn_dropout(hn_graph *g, hn_val x, float p, hn_val key, uint32_t stream)
{
    return HN__EMIT(g, dropout, (&(dropout_attr){ p, stream }), x, key);
}

static hn_status infer_dropout(hn__inst *n)
{
    const dropout_attr *a = n->attr;

    HN_TRY(hn__want_float(n, 0));
    HN_TRY(want_key(n, 1));
    if (!(a->p >= 0 && a->p < 1))
        return hn_fail(HN_ERR_ARG, "p is %g, must be at least 0 and below 1", (double)a->p);
    n->n_out = 1;
    n->out[0] = n->in[0];
    return HN_OK;
}

// An element stays where the upper 24 bits of its word are at least this.
static uint32_t threshold(float p)
{
    return (uint32_t)(p * 0x1p24f);
}

static void ref_dropout(const hn__inst *n, const double *const in[], double *const out[])
{
    const dropout_attr *a = n->attr;
    uint32_t word[4];

    for (int64_t i = 0; i < hn__numel(&n->out[0]); i++) {
        if (i % 4 == 0)
            block_of(in[1], i / 4, a->stream, word);
        out[0][i] = word[i % 4] >> 8 >= threshold(a->p) ? in[0][i] / (1 - (double)a->p) : 0;
    }
}

HN__HOT static void fill_dropout(const job *j, const uint32_t *word, int64_t at, int64_t n)
{
    for (int64_t i = 0; i < n; i++)
        j->y[at + i] = word[i] >> 8 >= j->threshold ? j->x[at + i] * j->scale : 0;
}

static void host_dropout(const hn__inst *n, const hn__host *h)
{
    const dropout_attr *a = n->attr;
    job j = { .key = h->in[1], .stream = a->stream, .threshold = threshold(a->p),
              .scale = (float)(1 / (1 - (double)a->p)), .x = h->in[0], .y = h->out[0],
              .n = hn__numel(&n->out[0]), .fill = fill_dropout };

    run(&j, h->pool);
}

// The same words again: what was dropped gets no gradient.
static void grad_dropout(hn_graph *g, const hn__inst *n, const hn_val in[], const hn_val out[],
                         const hn_val dy[], hn_val din[])
{
    const dropout_attr *a = n->attr;

    (void)out;
    din[0] = hn_dropout(g, dy[0], a->p, in[1], a->stream);
}

static void launch_dropout(const hn__inst *n, hn__launch *l)
{
    const dropout_attr *a = n->attr;
    hn__dispatch *d = hn__add_dispatch(l, n, "dropout");
    const int64_t size = hn__numel(&n->out[0]);

    HN__PUSH(d, dropout_push, .n = (uint32_t)size, .stream = a->stream,
             .threshold = threshold(a->p), .scale = (float)(1 / (1 - (double)a->p)));
    hn__threads(d, (size + 3) / 4);
}

static void sample_dropout(hn_rng *rng, hn__sample *s)
{
    dropout_attr *a = s->inst.attr;

    a->p = hn__rng_below(rng, 4) ? (float)hn__rng_range(rng, 0, 0.95) : 0;
    a->stream = hn__rng_u32(rng);
    s->inst.n_in = 2;
    s->inst.in[0] = (hn_type){ .rank = 2, .dim = { hn__rng_dim(rng, 33), hn__rng_dim(rng, 65) } };
    s->inst.in[1] = (hn_type){ .dtype = HN_I32, .rank = 1, .dim = { 2 } };
    s->range[1].lo = INT32_MIN;
    s->range[1].hi = INT32_MAX;
}

const hn__op_fns hn__fns_dropout = {
    .attr_bytes = sizeof(dropout_attr), .infer = infer_dropout, .ref = ref_dropout,
    .host = host_dropout, .grad = grad_dropout, .launch = launch_dropout, .sample = sample_dropout
};
