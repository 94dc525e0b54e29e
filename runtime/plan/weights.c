// Weights: named tensors in device memory, found by name, first filled from a seed.
#include "plan/build.h"

#include <math.h>
#include <string.h>

typedef struct tensor {
    char *name;
    hn_type type;
    bool trainable;
    hn_buffer *buf;
} tensor;

struct hn_weights {
    hn_device *dev;
    tensor *tensors;
    int64_t n, cap;
    int64_t *bucket; // hash -> index + 1; power of two, at most half full
    int64_t n_buckets;
};

hn_status hn_weights_create(hn_device *d, hn_weights **out)
{
    *out = hn__calloc(1, sizeof **out);
    if (!*out)
        return hn__nomem(sizeof **out);
    (*out)->dev = d;
    return HN_OK;
}

void hn_weights_destroy(hn_weights **w)
{
    if (!*w)
        return;
    for (int64_t i = 0; i < (*w)->n; i++) {
        hn_buffer_destroy(&(*w)->tensors[i].buf);
        hn__free((*w)->tensors[i].name);
    }
    hn__free((*w)->tensors);
    hn__free((*w)->bucket);
    hn__free(*w);
    *w = NULL;
}

static int64_t *find(const hn_weights *w, const char *name)
{
    int64_t at = (int64_t)(hn__hash_string(name) & (uint64_t)(w->n_buckets - 1));
    while (w->bucket[at] && strcmp(w->tensors[w->bucket[at] - 1].name, name))
        at = (at + 1) & (w->n_buckets - 1);
    return &w->bucket[at];
}

static hn_status grow(hn_weights *w)
{
    HN_TRY(hn__reserve((void **)&w->tensors, &w->cap, w->n + 1, sizeof *w->tensors));
    if (2 * (w->n + 1) <= w->n_buckets)
        return HN_OK;
    const int64_t n = w->n_buckets ? 2 * w->n_buckets : 64;
    int64_t *bucket = hn__calloc((size_t)n, sizeof *bucket);
    if (!bucket)
        return hn__nomem((size_t)n * sizeof *bucket);
    hn__free(w->bucket);
    w->bucket = bucket;
    w->n_buckets = n;
    for (int64_t i = 0; i < w->n; i++)
        *find(w, w->tensors[i].name) = i + 1;
    return HN_OK;
}

void hn_weights_remove(hn_weights *w, const char *name)
{
    const int64_t at = hn_weights_find(w, name);

    if (at < 0)
        return;
    hn_buffer_destroy(&w->tensors[at].buf);
    hn__free(w->tensors[at].name);
    w->n--;
    memmove(&w->tensors[at], &w->tensors[at + 1], (size_t)(w->n - at) * sizeof *w->tensors);
    memset(w->bucket, 0, (size_t)w->n_buckets * sizeof *w->bucket);
    for (int64_t i = 0; i < w->n; i++)
        *find(w, w->tensors[i].name) = i + 1;
}

int64_t hn_weights_find(const hn_weights *w, const char *name)
{
    return w->n_buckets ? *find(w, name) - 1 : -1;
}

static hn_status put(hn_weights *w, const char *name, const hn_type *type, bool trainable,
                     bool *made)
{
    *made = false;
    const int64_t have = hn_weights_find(w, name);
    if (have >= 0) {
        char a[128], b[128];
        if (!hn__type_equal(&w->tensors[have].type, type))
            return hn_fail(HN_ERR_SHAPE, "weight '%s' is %s, wanted %s", name,
                           hn__type_text(&w->tensors[have].type, a, sizeof a),
                           hn__type_text(type, b, sizeof b));
        return HN_OK;
    }
    HN_TRY(hn__type_check(type));
    HN_TRY(grow(w));
    tensor t = { .type = *type, .trainable = trainable, .name = hn__calloc(strlen(name) + 1, 1) };
    if (!t.name)
        return hn__nomem(strlen(name));
    strcpy(t.name, name);
    // Whole words: kernels read 16-bit types two to a word.
    const hn_status s = hn_buffer_create(w->dev, (hn_type_bytes(type) + 3) & ~3, &t.buf);
    if (s) {
        hn__free(t.name);
        return hn_context(s, "weight '%s'", name);
    }
    w->tensors[w->n++] = t;
    *find(w, name) = w->n;
    *made = true;
    return HN_OK;
}

hn_status hn_weights_put(hn_weights *w, const char *name, hn_type type, bool trainable)
{
    bool made;
    return put(w, name, &type, trainable, &made);
}

// Element i depends on seed, name and i only. Four values from one Philox block.
static void draw(const hn_init *init, uint64_t seed, const char *name, float *x, int64_t n)
{
    const uint64_t mixed = hn__hash(name, strlen(name), seed);
    const uint32_t key[2] = { (uint32_t)mixed, (uint32_t)(mixed >> 32) };
    for (int64_t i = 0; i < n; i += 4) {
        const uint64_t block = (uint64_t)i / 4;
        const uint32_t counter[4] = { (uint32_t)block, (uint32_t)(block >> 32) };
        uint32_t bits[4];
        double v[4];
        hn__philox(key, counter, bits);
        for (int k = 0; k < 4; k++)
            v[k] = ((double)bits[k] + 0.5) * 0x1p-32;
        for (int k = 0; init->kind == HN_INIT_NORMAL && k < 4; k += 2) {
            const double r = sqrt(-2 * log(v[k])), a = 6.283185307179586 * v[k + 1];
            v[k] = r * cos(a);
            v[k + 1] = r * sin(a);
        }
        for (int k = 0; k < 4 && i + k < n; k++)
            x[i + k] = (float)(init->scale * (init->kind == HN_INIT_NORMAL ? v[k] : 2 * v[k] - 1));
    }
}

static hn_status fill(tensor *t, const hn_init *init, uint64_t seed)
{
    const int64_t n = hn__numel(&t->type);
    if (init->kind == HN_INIT_ZERO)
        return HN_OK; // as buffers are
    if (hn__is_quantised(t->type.dtype) && !hn__can_quantise(t->type.dtype))
        return hn_fail(HN_ERR_UNSUPPORTED, "weight '%s': nothing is rounded to %s; init it to zero "
                       "and write its blocks", t->name, hn_dtype_name(t->type.dtype));
    float *x = hn__calloc((size_t)n, sizeof *x);
    void *raw = hn__calloc((size_t)hn_type_bytes(&t->type), 1);
    hn_status s = x && raw ? HN_OK : hn__nomem((size_t)n * sizeof *x);
    if (s == HN_OK) {
        if (init->kind == HN_INIT_CONST)
            for (int64_t i = 0; i < n; i++)
                x[i] = init->scale;
        else
            draw(init, seed, t->name, x, n);
        hn__from_f32(t->type.dtype, x, raw, n);
        s = hn_buffer_write(t->buf, 0, raw, hn_type_bytes(&t->type));
    }
    hn__free(x);
    hn__free(raw);
    return s;
}

hn_status hn_weights_add(hn_weights *w, const hn_graph *g, uint64_t seed)
{
    HN_TRY(hn_graph_status(g));
    for (int64_t i = 0; i < g->n_nodes; i++) {
        const hn__node *n = &g->nodes[i];
        const hn__source_attr *a = n->attr;
        bool made;
        if (!n->name || strcmp(n->op->name, "param"))
            continue;
        HN_TRY(put(w, n->name, &a->type, a->trainable, &made));
        if (made)
            HN_TRY(fill(&w->tensors[w->n - 1], &a->init, seed));
    }
    return HN_OK;
}

int64_t hn_weights_count(const hn_weights *w)
{
    return w->n;
}

hn_weight_info hn_weights_info(const hn_weights *w, int64_t i)
{
    const tensor *t = &w->tensors[i];
    return (hn_weight_info){ t->name, t->type, t->trainable };
}

static hn_status sized(const hn_weights *w, const char *name, int64_t n_bytes, tensor **out)
{
    const int64_t i = hn_weights_find(w, name);
    if (i < 0)
        return hn_fail(HN_ERR_ARG, "no weight '%s'", name);
    *out = &w->tensors[i];
    if (hn_type_bytes(&(*out)->type) != n_bytes)
        return hn_fail(HN_ERR_ARG, "weight '%s' has %" PRId64 " bytes, given %" PRId64, name,
                       hn_type_bytes(&(*out)->type), n_bytes);
    return HN_OK;
}

hn_status hn_weights_write(hn_weights *w, const char *name, const void *data, int64_t n_bytes)
{
    tensor *t = NULL;
    HN_TRY(sized(w, name, n_bytes, &t));
    return hn_buffer_write(t->buf, 0, data, n_bytes);
}

hn_status hn_weights_read(hn_weights *w, const char *name, void *out_data, int64_t n_bytes)
{
    tensor *t = NULL;
    HN_TRY(sized(w, name, n_bytes, &t));
    return hn_buffer_read(t->buf, 0, out_data, n_bytes);
}

hn_buffer *hn__weights_buffer(const hn_weights *w, const char *name, const hn_type *type)
{
    const int64_t i = w ? hn_weights_find(w, name) : -1;
    return i >= 0 && hn__type_equal(&w->tensors[i].type, type) ? w->tensors[i].buf : NULL;
}
