// Reductions at the end of a fused expression as SPIR-V. A workgroup makes `width` results, or as
// many runs of `per` neighbouring ones, with `lanes` threads each; a thread takes every lanes-th
// element, or run of elements, then the threads of a result are joined in a fixed order, through
// shared memory or by shuffles. A NaN stays, for extremes too, where the driver keeps NaNs.
#include "plan/expr_spirv.h"

#include <math.h>

typedef struct shape {
    uint32_t results, count, inner; // results * per = outer * inner
    uint32_t per;                   // neighbouring columns whose results a thread makes
    uint32_t steps;                 // count, in runs of rows
    uint32_t lanes, width;
    bool shuffled;                  // a result's lanes are of one subgroup, and joined by shuffles
    bool along_rows;                // inner is 1: a result's threads are neighbours
} shape;

static shape shape_of(const hn__writer *w)
{
    const hn__expr *e = w->e;
    int64_t outer = 1, inner = 1;
    for (int i = 0; i < e->rank; i++)
        if (i != e->axis)
            *(i < e->axis ? &outer : &inner) *= e->dim[i];
    shape s = { .count = (uint32_t)e->dim[e->axis], .inner = (uint32_t)inner, .lanes = 1,
                .along_rows = inner == 1 };
    s.per = s.along_rows ? 1 : w->each;
    s.results = (uint32_t)(outer * inner) / s.per;
    s.steps = s.along_rows ? s.count / w->each : s.count;

    // columns are read by neighbours together, 16 at least; many results keep a device busy alone
    const uint32_t most = s.along_rows ? w->local : s.results >= 8192 ? 1 : w->local / 16;
    while (s.lanes * 2 <= most && s.lanes * 8 <= s.steps)
        s.lanes *= 2;
    s.width = w->local / s.lanes;
    s.shuffled = s.along_rows && s.lanes > 1 && s.lanes <= w->vector;
    return s;
}

// Where the first element of result `r` is in an input.
static uint32_t start(hn__writer *w, const hn__expr_in *in, uint32_t r)
{
    const hn__expr *e = w->e;
    uint32_t sum = hn__spv_u32(w->b, 0);
    int64_t step = 1;
    int seen = 0;

    for (int d = e->rank - 1; d >= 0; d--) {
        if (d == e->axis)
            continue;
        if (in->stride[d]) {
            uint32_t at = hn__w_u32k(w, SpvOpUDiv, r, (uint32_t)step);
            if (d > (e->axis == 0))
                at = hn__w_u32k(w, SpvOpUMod, at, (uint32_t)e->dim[d]);
            at = hn__w_u32k(w, SpvOpIMul, at, (uint32_t)in->stride[d]);
            sum = seen++ ? hn__w_u32(w, SpvOpIAdd, sum, at) : at;
        }
        step *= e->dim[d];
    }
    return sum;
}

typedef struct accumulator {
    int out;
    uint32_t at;        // which of a thread's results
    bool is_int;
    uint32_t type;
    uint32_t acc, done; // variables: what the last 64 elements gave, and all before (float sums)
    uint32_t shared;    // array of the workgroup; 0 where nothing is joined through it
} accumulator;

static bool sums(const hn__expr *e)
{
    return e->reduce == HN__REDUCE_SUM || e->reduce == HN__REDUCE_MEAN;
}

static uint32_t join(hn__writer *w, const accumulator *a, uint32_t x, uint32_t y)
{
    hn__spv *b = w->b;
    if (sums(w->e))
        return HN__SPV(b, a->is_int ? SpvOpIAdd : SpvOpFAdd, a->type, x, y);
    const SpvOp better = w->e->reduce == HN__REDUCE_MAX ? SpvOpFOrdGreaterThan : SpvOpFOrdLessThan;
    const uint32_t nan = HN__SPV(b, SpvOpIsNan, w->truth, y);
    const uint32_t take = HN__SPV(b, SpvOpLogicalOr, w->truth, hn__w_test(w, better, y, x), nan);
    return HN__SPV(b, SpvOpSelect, a->type, take, y, x);
}

static uint32_t identity(hn__writer *w, const accumulator *a)
{
    if (a->is_int)
        return hn__spv_i32(w->b, 0);
    return hn__spv_f32(w->b, sums(w->e)                       ? 0
                             : w->e->reduce == HN__REDUCE_MAX ? -INFINITY
                                                              : INFINITY);
}

static void set(hn__writer *w, uint32_t variable, uint32_t x)
{
    HN__SPV_DO(w->b, SpvOpStore, variable, x);
}

static accumulator prepare(hn__writer *w, const shape *s, int out, uint32_t at)
{
    hn__spv *b = w->b;
    accumulator a = { .out = out, .at = at, .is_int = w->e->out[out].type == HN_I32 };
    a.type = a.is_int ? w->i32 : w->f32;
    a.acc = hn__spv_local(b, a.type);
    a.done = hn__spv_local(b, a.type);
    if (s->lanes > 1 && !s->shuffled) {
        const uint32_t array =
            HN__SPV_GLOBAL(b, SpvOpTypeArray, 0, true, a.type, hn__spv_u32(b, w->local));
        a.shared =
            HN__SPV_GLOBAL(b, SpvOpVariable, hn__spv_pointer(b, SpvStorageClassWorkgroup, array),
                           false, SpvStorageClassWorkgroup);
    }
    set(w, a.acc, identity(w, &a));
    set(w, a.done, identity(w, &a));
    return a;
}

// Takes a value into an accumulator in a thread's `round`.
static void take(hn__writer *w, const accumulator *a, uint32_t x, uint32_t round)
{
    hn__spv *b = w->b;
    const uint32_t next = join(w, a, HN__SPV(b, SpvOpLoad, a->type, a->acc), x);
    if (!sums(w->e)) {
        set(w, a->acc, next);
        return;
    }
    // every 64 rounds what was summed moves on, so that a long sum is not one chain
    const uint32_t full = hn__w_test(w, SpvOpIEqual, hn__w_u32k(w, SpvOpBitwiseAnd, round, 63),
                                     hn__spv_u32(b, 63));
    const uint32_t done = HN__SPV(b, SpvOpLoad, a->type, a->done);
    set(w, a->done, HN__SPV(b, SpvOpSelect, a->type, full, join(w, a, done, next), done));
    set(w, a->acc, HN__SPV(b, SpvOpSelect, a->type, full, identity(w, a), next));
}

// One element: k-th of the axis, `round`-th of this thread.
static void element(hn__writer *w, const shape *s, const accumulator *a, int n,
                    const uint32_t from[], uint32_t first, uint32_t k, uint32_t round)
{
    const hn__expr *e = w->e;

    for (int v = 0; v < e->n_in; v++) {
        const uint32_t off = hn__w_u32k(w, SpvOpIMul, k, (uint32_t)e->in[v].stride[e->axis]);
        w->value[v] = hn__w_load(w, v, e->in[v].type, hn__w_u32(w, SpvOpIAdd, from[v], off));
    }
    hn__w_insns(w);
    for (int o = 0; o < e->n_out; o++)
        if (!e->out[o].reduced)
            hn__w_store(w, e->n_in + o, e->out[o].type,
                        hn__w_u32(w, SpvOpIAdd, first, hn__w_u32k(w, SpvOpIMul, k, s->inner)),
                        w->value[e->out[o].value]);
    for (int i = 0; i < n; i++)
        take(w, &a[i], w->value[e->out[a[i].out].value], round);
}

// What a thread's results get of a run: of a row, joined; of columns, each its own.
static void take_run(hn__writer *w, const shape *s, const accumulator *a,
                     const uint32_t lane[HN__RUN], uint32_t round)
{
    uint32_t part = lane[a->at];

    for (uint32_t i = 1; s->along_rows && i < w->each; i++)
        part = join(w, a, part, lane[i]);
    take(w, a, part, round);
}

// A run of elements of a row, or of neighbouring columns: the k-th, `round`-th of this thread.
static void element_run(hn__writer *w, const shape *s, const accumulator *a, int n,
                        const uint32_t from[], uint32_t first, uint32_t k, uint32_t round)
{
    const hn__expr *e = w->e;
    uint32_t in[HN__EXPR_IN][HN__RUN], out[HN__EXPR_OUT][HN__RUN];
    const uint32_t run = s->along_rows ? w->each : 1;

    for (int v = 0; v < e->n_in; v++) {
        const uint32_t off = hn__w_u32k(w, SpvOpIMul, k, run * (uint32_t)e->in[v].stride[e->axis]);
        hn__w_load_run(w, v, hn__w_u32(w, SpvOpIAdd, from[v], off), in[v]);
    }
    for (uint32_t i = 0; i < w->each; i++) {
        for (int v = 0; v < e->n_in; v++)
            w->value[v] = in[v][i];
        hn__w_insns(w);
        for (int o = 0; o < e->n_out; o++)
            out[o][i] = w->value[e->out[o].value];
    }
    for (int o = 0; o < e->n_out; o++)
        if (!e->out[o].reduced)
            hn__w_store_run(
                w, o,
                hn__w_u32(w, SpvOpIAdd, first, hn__w_u32k(w, SpvOpIMul, k, run * s->inner)),
                out[o]);
    for (int j = 0; j < n; j++)
        take_run(w, s, &a[j], out[a[j].out], round);
}

// for (k = lane, round = 0; k < end; k += lanes, round++)
static void loop(hn__writer *w, const shape *s, const accumulator *a, int n, uint32_t group,
                 uint32_t lane, uint32_t end)
{
    hn__spv *b = w->b;
    const hn__expr *e = w->e;
    const uint32_t head = hn__spv_id(b), test = hn__spv_id(b), body = hn__spv_id(b);
    const uint32_t next = hn__spv_id(b), merge = hn__spv_id(b);
    const uint32_t k_at = hn__spv_local(b, w->u32), round_at = hn__spv_local(b, w->u32);
    const uint32_t result = hn__w_u32k(w, SpvOpIMul, group, s->per);
    uint32_t from[HN__EXPR_IN];

    for (int v = 0; v < e->n_in; v++)
        from[v] = start(w, &e->in[v], result);
    const uint32_t row =
        hn__w_u32k(w, SpvOpIMul, hn__w_u32k(w, SpvOpUDiv, result, s->inner), s->count * s->inner);
    const uint32_t first =
        hn__w_u32(w, SpvOpIAdd, row, hn__w_u32k(w, SpvOpUMod, result, s->inner));
    set(w, k_at, lane);
    set(w, round_at, hn__spv_u32(b, 0));
    HN__SPV_DO(b, SpvOpBranch, head);
    hn__spv_label(b, head);
    HN__SPV_DO(b, SpvOpLoopMerge, merge, next, SpvLoopControlMaskNone);
    HN__SPV_DO(b, SpvOpBranch, test);
    hn__spv_label(b, test);
    const uint32_t k = HN__SPV(b, SpvOpLoad, w->u32, k_at),
                   round = HN__SPV(b, SpvOpLoad, w->u32, round_at);
    HN__SPV_DO(b, SpvOpBranchConditional, hn__w_test(w, SpvOpULessThan, k, end), body, merge);
    hn__spv_label(b, body);
    if (w->each > 1)
        element_run(w, s, a, n, from, first, k, round);
    else
        element(w, s, a, n, from, first, k, round);
    HN__SPV_DO(b, SpvOpBranch, next);
    hn__spv_label(b, next);
    set(w, k_at, hn__w_u32k(w, SpvOpIAdd, k, s->lanes));
    set(w, round_at, hn__w_u32k(w, SpvOpIAdd, round, 1));
    HN__SPV_DO(b, SpvOpBranch, head);
    hn__spv_label(b, merge);
}

static void barrier(hn__writer *w)
{
    const uint32_t group = hn__spv_u32(w->b, SpvScopeWorkgroup);
    HN__SPV_DO(w->b, SpvOpControlBarrier, group, group,
               hn__spv_u32(w->b, SpvMemorySemanticsAcquireReleaseMask |
                                     SpvMemorySemanticsWorkgroupMemoryMask));
}

static uint32_t shared_at(hn__writer *w, const accumulator *a, uint32_t i)
{
    return HN__SPV(w->b, SpvOpAccessChain,
                   hn__spv_pointer(w->b, SpvStorageClassWorkgroup, a->type), a->shared, i);
}

// Joins the lanes of each result in halves; lane 0's place in shared memory has the result.
static void tree(hn__writer *w, const shape *s, const accumulator *a, int n, uint32_t lane)
{
    for (int i = 0; i < n; i++)
        set(w, shared_at(w, &a[i], w->thread), HN__SPV(w->b, SpvOpLoad, a[i].type, a[i].acc));
    for (uint32_t half = s->lanes / 2; half; half /= 2) {
        barrier(w);
        const uint32_t end =
            hn__w_if(w, hn__w_test(w, SpvOpULessThan, lane, hn__spv_u32(w->b, half)));
        const uint32_t other =
            hn__w_u32k(w, SpvOpIAdd, w->thread, half * (s->along_rows ? 1 : s->width));
        for (int i = 0; i < n; i++) {
            const uint32_t mine = shared_at(w, &a[i], w->thread);
            const uint32_t x = HN__SPV(w->b, SpvOpLoad, a[i].type, mine);
            const uint32_t y = HN__SPV(w->b, SpvOpLoad, a[i].type, shared_at(w, &a[i], other));
            set(w, mine, join(w, &a[i], x, y));
        }
        hn__w_end(w, end);
    }
}

// The same by shuffles: each lane's variable has the result.
static void butterfly(hn__writer *w, const shape *s, const accumulator *a)
{
    uint32_t x = HN__SPV(w->b, SpvOpLoad, a->type, a->acc);
    for (uint32_t half = s->lanes / 2; half; half /= 2)
        x = join(w, a, x, hn__spv_shuffle_xor(w->b, a->type, x, half));
    set(w, a->acc, x);
}

static void store_results(hn__writer *w, const shape *s, const accumulator *a, int n,
                          uint32_t group)
{
    const hn__expr *e = w->e;

    for (int i = 0; i < n; i++) {
        uint32_t x = HN__SPV(w->b, SpvOpLoad, a[i].type,
                             a[i].shared ? shared_at(w, &a[i], w->thread) : a[i].acc);
        if (e->reduce == HN__REDUCE_MEAN)
            x = HN__SPV(w->b, SpvOpFDiv, w->f32, x, hn__spv_f32(w->b, (float)s->count));
        const uint32_t first = hn__w_u32k(w, SpvOpIMul, group, s->per);
        hn__w_store(w, e->n_in + a[i].out, e->out[a[i].out].type,
                    hn__w_u32k(w, SpvOpIAdd, first, a[i].at), x);
    }
}

uint64_t hn__w_reduce(hn__writer *w)
{
    const hn__expr *e = w->e;
    const shape s = shape_of(w);
    accumulator a[HN__EXPR_OUT * HN__RUN];
    int n = 0;

    for (int o = 0; o < e->n_out; o++)
        for (uint32_t i = 0; i < s.per && e->out[o].reduced; i++)
            a[n++] = prepare(w, &s, o, i);
    const uint32_t split = s.along_rows ? s.lanes : s.width;
    const uint32_t low = hn__w_u32k(w, SpvOpUMod, w->thread, split),
                   high = hn__w_u32k(w, SpvOpUDiv, w->thread, split);
    const uint32_t lane = s.along_rows ? low : high, column = s.along_rows ? high : low;
    const uint32_t result =
        hn__w_u32(w, SpvOpIAdd, hn__w_u32k(w, SpvOpIMul, w->group, s.width), column);

    // threads beyond the last result, or left over, take part with no elements
    const uint32_t there =
        HN__SPV(w->b, SpvOpLogicalAnd, w->truth,
                hn__w_test(w, SpvOpULessThan, result, hn__spv_u32(w->b, s.results)),
                hn__w_test(w, SpvOpULessThan, w->thread, hn__spv_u32(w->b, s.width * s.lanes)));
    const uint32_t end = HN__SPV(w->b, SpvOpSelect, w->u32, there, hn__spv_u32(w->b, s.steps),
                                 hn__spv_u32(w->b, 0));
    loop(w, &s, a, n, result, lane, end);
    for (int i = 0; i < n && sums(e); i++)
        set(w, a[i].acc, join(w, &a[i], HN__SPV(w->b, SpvOpLoad, a[i].type, a[i].done),
                              HN__SPV(w->b, SpvOpLoad, a[i].type, a[i].acc)));
    for (int i = 0; i < n && s.shuffled; i++)
        butterfly(w, &s, &a[i]);
    if (s.lanes > 1 && !s.shuffled)
        tree(w, &s, a, n, lane);
    const uint32_t is_first = hn__w_test(w, SpvOpIEqual, lane, hn__spv_u32(w->b, 0));
    const uint32_t merge = hn__w_if(w, HN__SPV(w->b, SpvOpLogicalAnd, w->truth, there, is_first));
    store_results(w, &s, a, n, result);
    hn__w_end(w, merge);
    return (s.results + s.width - 1) / s.width;
}
