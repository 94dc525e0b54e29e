// embedding and scatter_add: rows of a table by their ids, and the sums back; code_scatter and
// code_gather: the same along the last dimension, by a map that all rows share.
//
// Of a tensor and ids, the "item" is what an id stands at and the "slot" what it names:
//   embedding, scatter_add     items and slots are rows, each of d "lanes"
//   code_scatter, code_gather  items and slots are columns, each of `rows` lanes
#include "ops/table.h"

#include <string.h>

typedef struct attr {
    int64_t n_slots; // of scatter_add and code_gather
} attr;

hn_val hn_embedding(hn_graph *g, hn_val table, hn_val ids)
{
    return HN__EMIT(g, embedding, NULL, table, ids);
}

hn_val hn_scatter_add(hn_graph *g, hn_val x, hn_val ids, int64_t n_rows)
{
    return HN__EMIT(g, scatter_add, (&(attr){ n_rows }), x, ids);
}

hn_val hn_code_scatter(hn_graph *g, hn_val x, hn_val map)
{
    return HN__EMIT(g, code_scatter, NULL, x, map);
}

hn_val hn_code_gather(hn_graph *g, hn_val x, hn_val map, int64_t n_codes)
{
    return HN__EMIT(g, code_gather, (&(attr){ n_codes }), x, map);
}

// ---- types ---------------------------------------------------------------------------------

static hn_status check_slots(const hn__inst *n)
{
    const attr *a = n->attr;

    return a->n_slots >= 1 && a->n_slots <= INT32_MAX
               ? HN_OK
               : hn_fail(HN_ERR_ARG, "%" PRId64 " rows or codes, must be 1 to %d", a->n_slots,
                         INT32_MAX);
}

static hn_status check_operands(hn__inst *n)
{
    HN_TRY(hn__want_float(n, 0));
    HN_TRY(hn__want_i32(n, 1));
    n->n_out = 1;
    n->out[0] = n->in[0];
    return HN_OK;
}

static hn_status embedding_infer(hn__inst *n)
{
    char t[128];

    if (!hn__is_quantised(n->in[0].dtype))
        HN_TRY(hn__want_float(n, 0));
    HN_TRY(hn__want_i32(n, 1));
    if (n->in[0].rank != 2)
        return hn_fail(HN_ERR_SHAPE, "table is %s, must have two dimensions",
                       hn__type_text(&n->in[0], t, sizeof t));
    if (n->in[1].rank >= HN_MAX_RANK)
        return hn_fail(HN_ERR_SHAPE, "ids are %s, rank must be below %d",
                       hn__type_text(&n->in[1], t, sizeof t), HN_MAX_RANK);
    n->n_out = 1;
    n->out[0] = n->in[1];
    n->out[0].dtype = hn__is_quantised(n->in[0].dtype) ? HN_F32 : n->in[0].dtype;
    n->out[0].dim[n->out[0].rank++] = n->in[0].dim[1];
    return HN_OK;
}

static hn_status scatter_add_infer(hn__inst *n)
{
    char tx[128], ti[128];

    HN_TRY(check_operands(n));
    HN_TRY(check_slots(n));
    hn_type ids = n->in[0];
    ids.rank--;
    ids.dtype = HN_I32;
    if (n->in[0].rank < 1 || !hn__type_equal(&ids, &n->in[1]))
        return hn_fail(
            HN_ERR_SHAPE, "rows are %s, ids %s: must be the rows' shape without the last",
            hn__type_text(&n->in[0], tx, sizeof tx), hn__type_text(&n->in[1], ti, sizeof ti));
    n->out[0].rank = 2;
    n->out[0].dim[1] = hn__cols(&n->in[0]);
    n->out[0].dim[0] = ((const attr *)n->attr)->n_slots;
    return HN_OK;
}

static hn_status check_map(hn__inst *n)
{
    char t[128];

    HN_TRY(check_operands(n));
    if (n->in[0].rank < 1 || n->in[1].rank != 1)
        return hn_fail(HN_ERR_SHAPE, "map is %s, must have one dimension, and x one or more",
                       hn__type_text(&n->in[1], t, sizeof t));
    return HN_OK;
}

static hn_status code_scatter_infer(hn__inst *n)
{
    HN_TRY(check_map(n));
    n->out[0].dim[n->out[0].rank - 1] = n->in[1].dim[0];
    return HN_OK;
}

static hn_status code_gather_infer(hn__inst *n)
{
    HN_TRY(check_map(n));
    HN_TRY(check_slots(n));
    if (hn__cols(&n->in[0]) != n->in[1].dim[0])
        return hn_fail(HN_ERR_SHAPE, "rows have %" PRId64 " elements, the map %" PRId64,
                       hn__cols(&n->in[0]), n->in[1].dim[0]);
    n->out[0].dim[n->out[0].rank - 1] = ((const attr *)n->attr)->n_slots;
    return HN_OK;
}

// ---- definitions ---------------------------------------------------------------------------

// The walk over both tensors: `item` has the ids' tensor, `slot` the other.
typedef struct walk {
    int64_t n_items, n_slots, n_lanes;
    int64_t item_step, item_lane; // elements from item to item, from lane to lane
    int64_t slot_step, slot_lane;
} walk;

static walk by_row(const hn_type *items, const hn_type *slots)
{
    const int64_t d = hn__cols(slots);
    return (walk){ hn__rows(items), hn__rows(slots), d, d, 1, d, 1 };
}

static walk by_column(const hn_type *items, const hn_type *slots)
{
    const int64_t n = hn__cols(items), k = hn__cols(slots);
    return (walk){ n, k, hn__rows(items), 1, n, 1, k };
}

static void gather(const walk *w, const double *x, const double *ids, double *y)
{
    for (int64_t i = 0; i < w->n_items; i++) {
        const int64_t slot = (int64_t)ids[i];
        for (int64_t c = 0; c < w->n_lanes; c++)
            y[i * w->item_step + c * w->item_lane] =
                slot >= 0 && slot < w->n_slots ? x[slot * w->slot_step + c * w->slot_lane] : 0;
    }
}

static void scatter(const walk *w, const double *x, const double *ids, double *y)
{
    memset(y, 0, sizeof *y * (size_t)(w->n_slots * w->n_lanes));
    for (int64_t i = 0; i < w->n_items; i++) {
        const int64_t slot = (int64_t)ids[i];
        for (int64_t c = 0; c < w->n_lanes && slot >= 0 && slot < w->n_slots; c++)
            y[slot * w->slot_step + c * w->slot_lane] += x[i * w->item_step + c * w->item_lane];
    }
}

static void embedding_ref(const hn__inst *n, const double *const in[], double *const out[])
{
    const walk w = by_row(&n->out[0], &n->in[0]);
    gather(&w, in[0], in[1], out[0]);
}

static void scatter_add_ref(const hn__inst *n, const double *const in[], double *const out[])
{
    const walk w = by_row(&n->in[0], &n->out[0]);
    scatter(&w, in[0], in[1], out[0]);
}

static void code_scatter_ref(const hn__inst *n, const double *const in[], double *const out[])
{
    const walk w = by_column(&n->out[0], &n->in[0]);
    gather(&w, in[0], in[1], out[0]);
}

static void code_gather_ref(const hn__inst *n, const double *const in[], double *const out[])
{
    const walk w = by_column(&n->in[0], &n->out[0]);
    scatter(&w, in[0], in[1], out[0]);
}

// ---- host ----------------------------------------------------------------------------------

typedef struct job {
    walk w;
    const float *x;
    const int32_t *ids;
    float *y;
} job;

// The table is as it is stored: only the rows that are named are converted.
typedef struct lookup {
    hn_type table;
    const char *x;
    const int32_t *ids;
    float *y;
} lookup;

static void embedding_part(void *ctx, int64_t begin, int64_t end, int thread)
{
    const lookup *j = ctx;
    const int64_t d = hn__cols(&j->table), row_bytes = hn_type_bytes(&j->table) / j->table.dim[0];

    (void)thread;
    for (int64_t i = begin; i < end; i++) {
        const int64_t slot = j->ids[i];
        if (slot >= 0 && slot < j->table.dim[0])
            hn__to_f32(j->table.dtype, j->x + slot * row_bytes, j->y + i * d, d);
        else
            memset(j->y + i * d, 0, (size_t)d * sizeof *j->y);
    }
}

// Each thread reads all ids and sums into its own rows of the result.
HN__HOT static void scatter_add_part(void *ctx, int64_t begin, int64_t end, int thread)
{
    const job *j = ctx;
    const int64_t d = j->w.n_lanes;

    (void)thread;
    memset(j->y + begin * d, 0, sizeof *j->y * (size_t)((end - begin) * d));
    for (int64_t i = 0; i < j->w.n_items; i++) {
        const int64_t slot = j->ids[i];
        if (slot < begin || slot >= end)
            continue;
        for (int64_t c = 0; c < d; c++)
            j->y[slot * d + c] += j->x[i * d + c];
    }
}

HN__HOT static void code_scatter_part(void *ctx, int64_t begin, int64_t end, int thread)
{
    const job *j = ctx;
    const int64_t n = j->w.n_items, k = j->w.n_slots;

    (void)thread;
    for (int64_t r = begin; r < end; r++) {
        const float *x = j->x + r * k;
        float *restrict y = j->y + r * n;
        for (int64_t i = 0; i < n; i++) {
            const uint32_t slot = (uint32_t)j->ids[i];
            const float v = x[slot < (uint32_t)k ? slot : 0];
            y[i] = slot < (uint32_t)k ? v : 0;
        }
    }
}

static void code_gather_part(void *ctx, int64_t begin, int64_t end, int thread)
{
    const job *j = ctx;
    const int64_t n = j->w.n_items, k = j->w.n_slots;

    (void)thread;
    memset(j->y + begin * k, 0, sizeof *j->y * (size_t)((end - begin) * k));
    for (int64_t r = begin; r < end; r++)
        for (int64_t i = 0; i < n; i++)
            if (j->ids[i] >= 0 && j->ids[i] < k)
                j->y[r * k + j->ids[i]] += j->x[r * n + i];
}

static void embedding_host(const hn__inst *n, const hn__host *h)
{
    lookup j = { n->in[0], h->in[0], h->in[1], h->out[0] };
    hn__parallel(h->pool, hn__numel(&n->in[1]), 1 + 32768 / hn__cols(&n->in[0]), embedding_part,
                 &j);
}

static bool embedding_stored(const hn__inst *n, int i)
{
    (void)n;
    return i == 0;
}

static void scatter_add_host(const hn__inst *n, const hn__host *h)
{
    job j = { by_row(&n->in[0], &n->out[0]), h->in[0], h->in[1], h->out[0] };
    hn__parallel(h->pool, j.w.n_slots, 1 + 32768 / j.w.n_lanes, scatter_add_part, &j);
}

static void code_scatter_host(const hn__inst *n, const hn__host *h)
{
    job j = { by_column(&n->out[0], &n->in[0]), h->in[0], h->in[1], h->out[0] };
    hn__parallel(h->pool, j.w.n_lanes, 1 + 16384 / j.w.n_items, code_scatter_part, &j);
}

static void code_gather_host(const hn__inst *n, const hn__host *h)
{
    job j = { by_column(&n->in[0], &n->out[0]), h->in[0], h->in[1], h->out[0] };
    hn__parallel(h->pool, j.w.n_lanes, 1 + 16384 / j.w.n_items, code_gather_part, &j);
}

// ---- gradients -----------------------------------------------------------------------------

static void embedding_grad(hn_graph *g, const hn__inst *n, const hn_val in[], const hn_val out[],
                           const hn_val dy[], hn_val din[])
{
    (void)out;
    if (!hn__is_quantised(n->in[0].dtype))
        din[0] = hn_scatter_add(g, dy[0], in[1], n->in[0].dim[0]);
}

static void scatter_add_grad(hn_graph *g, const hn__inst *n, const hn_val in[], const hn_val out[],
                             const hn_val dy[], hn_val din[])
{
    (void)n, (void)out;
    din[0] = hn_embedding(g, dy[0], in[1]);
}

static void code_scatter_grad(hn_graph *g, const hn__inst *n, const hn_val in[],
                              const hn_val out[], const hn_val dy[], hn_val din[])
{
    (void)out;
    din[0] = hn_code_gather(g, dy[0], in[1], hn__cols(&n->in[0]));
}

static void code_gather_grad(hn_graph *g, const hn__inst *n, const hn_val in[], const hn_val out[],
                             const hn_val dy[], hn_val din[])
{
    (void)n, (void)out;
    din[0] = hn_code_scatter(g, dy[0], in[1]);
}

// ---- launch --------------------------------------------------------------------------------

// Rows of y, in pieces (shaders/pieces.glsl). Where ids go with columns, four rows share what is
// read of them.
static void push_walk(const hn__launch *l, hn__dispatch *d, const walk *w, bool by_rows,
                      const hn_type *y)
{
    const int64_t cols = hn__cols(y), rows = hn__rows(y);

    HN__PUSH(d, scatter_push, .rows = (uint32_t)rows, .cols = (uint32_t)cols,
             .row_is_one = by_rows, .n_slots = (uint32_t)w->n_slots,
             .item_step = (uint32_t)w->item_step, .item_lane = (uint32_t)w->item_lane,
             .slot_step = (uint32_t)w->slot_step, .slot_lane = (uint32_t)w->slot_lane);
    hn__row_groups(l, d, y);
    d->spec[2] = by_rows ? 1 : 4;
    d->n_spec = 3;
    hn__groups(d, hn__pieces(rows, d->spec[2]) *
                      hn__pieces(hn__pieces(cols, 4), SCATTER_PIECE * d->spec[0]));
}

static void launch_gather(const hn__inst *n, hn__launch *l, const walk *w, bool by_rows)
{
    hn__dispatch *d = hn__add_dispatch(l, n, "gather");
    if (hn__is_quantised(n->in[0].dtype)) // embedding
        d->weights = n->in[0].dtype;
    push_walk(l, d, w, by_rows, &n->out[0]);
}

// Scratch: how many items a slot has; where they begin, then end; items by slot, unordered, then
// ordered.
enum { COUNT, FIRST, LIST, SORTED };

static void sort_step(const hn__inst *n, hn__launch *l, const walk *w, uint32_t step,
                      int64_t n_threads)
{
    hn__dispatch *d = hn__add_dispatch(l, n, "scatter_sort");

    d->type = HN_F32; // it handles ids only
    d->n_bind = 5;
    d->bind[0] = HN__IN(1);
    for (int i = 0; i < 4; i++)
        d->bind[1 + i] = HN__TMP(i);
    HN__PUSH(d, scatter_sort_push, .step = step, .n_items = (uint32_t)w->n_items,
             .n_slots = (uint32_t)w->n_slots);
    hn__threads(d, n_threads);
}

// Items are sorted by slot first (a counting sort: integer sums do not depend on their order, and
// the items of a slot are then ranked), so that each sum has its own thread and a fixed order. A
// scan of all ids for every slot would need no scratch but n_items x n_slots reads, and atomic
// float sums would differ from run to run.
static void launch_scatter(const hn__inst *n, hn__launch *l, const walk *w, bool by_rows)
{
    l->n_tmp = 4;
    l->tmp_bytes[COUNT] = l->tmp_bytes[FIRST] = 4 * w->n_slots;
    l->tmp_bytes[LIST] = l->tmp_bytes[SORTED] = 4 * w->n_items;
    sort_step(n, l, w, SCATTER_CLEAR, w->n_slots);
    sort_step(n, l, w, SCATTER_COUNT, w->n_items);
    sort_step(n, l, w, SCATTER_SCAN, 1);
    sort_step(n, l, w, SCATTER_PLACE, w->n_items);
    sort_step(n, l, w, SCATTER_RANK, w->n_items);

    hn__dispatch *d = hn__add_dispatch(l, n, "scatter_add");
    d->n_bind = 5;
    d->bind[1] = HN__TMP(COUNT);
    d->bind[2] = HN__TMP(FIRST);
    d->bind[3] = HN__TMP(SORTED);
    d->bind[4] = HN__OUT(0);
    push_walk(l, d, w, by_rows, &n->out[0]);
}

static void embedding_launch(const hn__inst *n, hn__launch *l)
{
    const walk w = by_row(&n->out[0], &n->in[0]);
    launch_gather(n, l, &w, true);
}

static void scatter_add_launch(const hn__inst *n, hn__launch *l)
{
    const walk w = by_row(&n->in[0], &n->out[0]);
    launch_scatter(n, l, &w, true);
}

static void code_scatter_launch(const hn__inst *n, hn__launch *l)
{
    const walk w = by_column(&n->out[0], &n->in[0]);
    launch_gather(n, l, &w, false);
}

static void code_gather_launch(const hn__inst *n, hn__launch *l)
{
    const walk w = by_column(&n->in[0], &n->out[0]);
    launch_scatter(n, l, &w, false);
}

// ---- samples -------------------------------------------------------------------------------

// Ids from one before to one after the slots: some are outside.
static void id_range(hn__sample *s, int64_t n_slots)
{
    s->inst.n_in = 2;
    s->range[1].lo = -1;
    s->range[1].hi = (double)n_slots;
}

static void embedding_sample(hn_rng *rng, hn__sample *s)
{
    const int64_t v = hn__rng_dim(rng, 300), items = hn__rng_dim(rng, 100);
    const int64_t block = hn_dtype_block(s->type);
    const int64_t d = block > 1 ? block * hn__rng_dim(rng, 4) : hn__rng_dim(rng, 130);

    id_range(s, v);
    s->inst.in[0] = (hn_type){ .rank = 2, .dim = { v, d } };
    s->inst.in[1] = (hn_type){ .dtype = HN_I32, .rank = 2, .dim = { hn__rng_dim(rng, 3), items } };
}

static void scatter_add_sample(hn_rng *rng, hn__sample *s)
{
    const int64_t v = hn__rng_dim(rng, 300), d = hn__rng_dim(rng, 130),
                  items = hn__rng_dim(rng, 300);

    id_range(s, v);
    s->inst.in[0] = (hn_type){ .rank = 2, .dim = { items, d } };
    s->inst.in[1] = (hn_type){ .dtype = HN_I32, .rank = 1, .dim = { items } };
    *(attr *)s->inst.attr = (attr){ v };
}

static void code_scatter_sample(hn_rng *rng, hn__sample *s)
{
    const int64_t r = hn__rng_dim(rng, 33), k = hn__rng_dim(rng, 130), v = hn__rng_dim(rng, 300);

    id_range(s, k);
    s->inst.in[0] = (hn_type){ .rank = 2, .dim = { r, k } };
    s->inst.in[1] = (hn_type){ .dtype = HN_I32, .rank = 1, .dim = { v } };
}

static void code_gather_sample(hn_rng *rng, hn__sample *s)
{
    const int64_t r = hn__rng_dim(rng, 33), k = hn__rng_dim(rng, 130), v = hn__rng_dim(rng, 300);

    id_range(s, k);
    s->inst.in[0] = (hn_type){ .rank = 2, .dim = { r, v } };
    s->inst.in[1] = (hn_type){ .dtype = HN_I32, .rank = 1, .dim = { v } };
    *(attr *)s->inst.attr = (attr){ k };
}

const hn__op_fns hn__fns_embedding = {
    .infer = embedding_infer, .ref = embedding_ref, .host = embedding_host,
    .stored = embedding_stored, .grad = embedding_grad, .launch = embedding_launch, .sample = embedding_sample
};
const hn__op_fns hn__fns_scatter_add = { .attr_bytes = sizeof(attr),
                                         .infer = scatter_add_infer,
                                         .ref = scatter_add_ref,
                                         .host = scatter_add_host,
                                         .grad = scatter_add_grad,
                                         .launch = scatter_add_launch,
                                         .sample = scatter_add_sample };
const hn__op_fns hn__fns_code_scatter = {
    .infer = code_scatter_infer, .ref = code_scatter_ref, .host = code_scatter_host,
    .grad = code_scatter_grad, .launch = code_scatter_launch, .sample = code_scatter_sample
};
const hn__op_fns hn__fns_code_gather = { .attr_bytes = sizeof(attr),
                                         .infer = code_gather_infer,
                                         .ref = code_gather_ref,
                                         .host = code_gather_host,
                                         .grad = code_gather_grad,
                                         .launch = code_gather_launch,
                                         .sample = code_gather_sample };
