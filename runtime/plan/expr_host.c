// Runs fused expressions on the cpu: registers, loads with strides, tiles, threads.
#include "plan/expr_host.h"

#include <string.h>

// ---- making the program --------------------------------------------------------------------

static int64_t space(const hn__expr *e, int from, int to)
{
    int64_t n = 1;
    for (int i = from; i < to; i++)
        n *= e->dim[i];
    return n;
}

static hn__tiling cut(int64_t rows, int64_t cols)
{
    hn__tiling t = { .rows = rows, .cols = cols, .step = cols, .pieces = 1, .block = 1 };

    if (cols > HN__TILE) {
        const int64_t pieces = (cols + HN__TILE - 1) / HN__TILE;
        t.step = ((cols + pieces - 1) / pieces + 15) / 16 * 16;
        t.pieces = (cols + t.step - 1) / t.step;
    } else {
        t.block = HN__TILE / cols;
    }
    return t;
}

static bool is_copy(const hn__expr_insn *n)
{
    const int id = n->op->id;
    return id == HN__OP_broadcast || id == HN__OP_stop_gradient || id == HN__OP_straight_through;
}

static void find_uses(hn__program *p)
{
    const hn__expr *e = p->e;

    for (int v = 0; v < e->n_in; v++)
        p->root[v] = (int8_t)v;
    memset(p->last, -1, sizeof p->last);
    for (int k = 0; k < e->n_insn; k++) {
        const hn__expr_insn *n = &e->insn[k];
        const int v = e->n_in + k;
        p->root[v] = is_copy(n) ? p->root[n->arg[n->arg[1] >= 0]] : (int8_t)v;
        for (int i = 0; i < 3 && p->root[v] == v; i++)
            if (n->arg[i] >= 0)
                p->last[(int)p->root[n->arg[i]]] = (int8_t)k;
    }
    for (int i = 0; i < e->n_out; i++)
        p->last[(int)p->root[e->out[i].value]] = (int8_t)e->n_insn;
}

// The input's elements lie in the order of the whole space.
static bool is_dense(const hn__expr *e, const hn__expr_in *in)
{
    int64_t step = 1;
    for (int i = e->rank - 1; i >= 0; i--) {
        if (in->stride[i] != step)
            return false;
        step *= e->dim[i];
    }
    return true;
}

// True where tiles read the input where it lies. One that is an output too is copied first:
// another output may be stored over it.
static bool in_place(const hn__program *p, int i)
{
    const hn__expr_in *in = &p->e->in[i];
    const int rank = p->e->rank;

    if (hn_dtype_size(in->type) != 4)
        return false;
    for (int o = 0; o < p->e->n_out; o++)
        if (!p->e->out[o].reduced && p->root[p->e->out[o].value] == i)
            return false;
    return is_dense(p->e, in) || (p->one_row && rank && in->stride[rank - 1] == 1);
}

static bool same_in_every_tile(const hn__program *p, int i)
{
    const hn__expr_in *in = &p->e->in[i];
    const int rank = p->e->rank;

    for (int d = 0; d < rank - 1; d++)
        if (in->stride[d])
            return false;
    return !rank || !in->stride[rank - 1] || p->at_rows;
}

static int take(uint64_t *used, int *n_regs)
{
    int r = 0;
    while (*used >> r & 1)
        r++;
    *used |= UINT64_C(1) << r;
    if (r >= *n_regs)
        *n_regs = r + 1;
    return r;
}

static void give(hn__program *p, int v, int after, uint64_t *used)
{
    const bool kept = v < p->e->n_in && p->fixed[v];
    if (p->reg[v] >= 0 && p->last[v] == after && !kept)
        *used &= ~(UINT64_C(1) << p->reg[v]);
}

static void place(hn__program *p)
{
    const hn__expr *e = p->e;
    uint64_t used = 0;

    memset(p->reg, -1, sizeof p->reg);
    for (int v = 0; v < e->n_in; v++) {
        p->fixed[v] = same_in_every_tile(p, v);
        if (p->last[v] >= 0 && !in_place(p, v))
            p->reg[v] = (int8_t)take(&used, &p->n_regs);
    }
    for (int k = 0; k < e->n_insn; k++) {
        const int v = e->n_in + k;
        if (p->root[v] != v)
            continue;
        for (int i = 0; i < 3; i++)
            if (e->insn[k].arg[i] >= 0)
                give(p, p->root[e->insn[k].arg[i]], k, &used);
        p->reg[v] = (int8_t)take(&used, &p->n_regs);
        give(p, v, -1, &used); // nothing reads it
    }
}

// An instruction may write its output's memory at once if no later one reads an input from there.
static bool may_write(const hn__program *p, int k, int o)
{
    const hn__expr *e = p->e;
    for (int i = 0; i < e->n_in; i++)
        if (p->ptr[i] == p->ptr[e->n_in + o] && p->reg[i] < 0 && p->last[i] > k)
            return false;
    return true;
}

static void find_direct(hn__program *p)
{
    const hn__expr *e = p->e;

    memset(p->direct, -1, sizeof p->direct);
    for (int o = 0; o < e->n_out; o++) {
        const int k = p->root[e->out[o].value] - e->n_in;
        if (k >= 0 && !e->out[o].reduced && hn_dtype_size(e->out[o].type) == 4 &&
            may_write(p, k, o))
            p->direct[k] = (int8_t)o;
    }
}

void hn__program_make(const hn__expr *e, void *const ptr[], void *scratch, hn__program *p)
{
    const bool columns = e->reduce != HN__REDUCE_NONE && e->axis < e->rank - 1;
    const int split = columns ? e->axis + 1 : e->rank - 1;

    *p = (hn__program){ .e = e, .ptr = ptr, .scratch = scratch };
    p->t = e->rank ? cut(space(e, 0, split), space(e, split, e->rank)) : cut(1, 1);
    p->at_rows = p->t.pieces == 1;
    p->one_row = e->rank && p->t.block == 1 && p->t.cols == e->dim[e->rank - 1];
    find_uses(p);
    place(p);
    if (ptr)
        find_direct(p);
    p->n_regs += hn__reduce_regs(e);
    p->thread_bytes = (int64_t)p->n_regs * HN__TILE * 4;
}

int64_t hn__expr_scratch(const hn__expr *e, int n_threads)
{
    hn__program p;
    hn__program_make(e, NULL, NULL, &p);
    return p.thread_bytes * n_threads + hn__reduce_scratch(e);
}

// ---- loads and stores ----------------------------------------------------------------------

// n elements of the type, from element `at` in steps of `stride`, to lanes.
static void load_run(hn_dtype type, const void *src, int64_t at, int64_t stride, int64_t n,
                     void *dst)
{
    const char *from = (const char *)src + at * hn_dtype_size(type);
    const uint32_t *wide = src;
    const uint16_t *half = src;
    const uint8_t *byte = src;

    if (hn_dtype_size(type) == 4) {
        if (stride == 1)
            memcpy(dst, from, (size_t)n * 4);
        else
            for (int64_t i = 0; i < n; i++)
                ((uint32_t *)dst)[i] = wide[at + i * stride];
    } else if (type == HN_U8) {
        for (int64_t i = 0; i < n; i++)
            ((int32_t *)dst)[i] = byte[at + i * stride];
    } else if (stride == 1) {
        hn__to_f32(type, from, dst, n);
    } else {
        for (int64_t i = 0; i < n; i++)
            ((float *)dst)[i] = type == HN_F16 ? hn__f16_to_f32(half[at + i * stride])
                                               : hn__bf16_to_f32(half[at + i * stride]);
    }
}

static void fill(void *dst, int64_t n)
{
    const uint32_t x = *(const uint32_t *)dst;
    for (int64_t i = 1; i < n; i++)
        ((uint32_t *)dst)[i] = x;
}

// Lanes [at, at + n) of the space, row by row of its last dimension.
static void load(const hn__expr *e, const hn__expr_in *in, const void *src, int64_t at, int64_t n,
                 char *dst)
{
    const int end = e->rank - 1;
    int64_t place[HN_MAX_RANK] = { 0 }, off = 0;

    for (int d = end; d >= 0; d--) {
        place[d] = at % e->dim[d];
        at /= e->dim[d];
        off += place[d] * in->stride[d];
    }
    while (n > 0) {
        const int64_t left = e->rank ? e->dim[end] - place[end] : 1, m = n < left ? n : left;
        const int64_t stride = e->rank ? in->stride[end] : 0;
        load_run(in->type, src, off, stride, stride ? m : 1, dst);
        if (!stride)
            fill(dst, m);
        dst += m * 4;
        n -= m;
        off += stride * m;
        if (e->rank)
            place[end] += m;
        for (int d = end; d > 0 && place[d] == e->dim[d]; d--) {
            off += in->stride[d - 1] - in->stride[d] * e->dim[d];
            place[d] = 0;
            place[d - 1]++;
        }
    }
}

// Where element `at` of the space is in an input that is read in place.
static void *within(const hn__expr *e, const hn__expr_in *in, void *src, int64_t at)
{
    int64_t off = 0;
    for (int d = e->rank - 1; d >= 0; d--) {
        off += at % e->dim[d] * in->stride[d];
        at /= e->dim[d];
    }
    return (char *)src + off * 4;
}

void hn__lanes_store(hn_dtype type, const void *lanes, void *dst, int64_t at, int64_t n)
{
    char *to = (char *)dst + at * hn_dtype_size(type);

    if (hn_dtype_size(type) == 4)
        memcpy(to, lanes, (size_t)n * 4);
    else if (type == HN_U8)
        for (int64_t i = 0; i < n; i++)
            ((uint8_t *)to)[i] = (uint8_t)((const int32_t *)lanes)[i];
    else
        hn__from_f32(type, lanes, to, n);
}

// ---- tiles ---------------------------------------------------------------------------------

hn__lanes hn__lanes_of(const hn__program *p, int thread)
{
    return (hn__lanes){ .p = p, .reg = p->scratch + p->thread_bytes * thread };
}

static void load_inputs(hn__lanes *l, int64_t at, int64_t n)
{
    const hn__program *p = l->p;
    const int64_t most = (p->t.rows < p->t.block ? p->t.rows : p->t.block) * p->t.step;

    for (int i = 0; i < p->e->n_in; i++) {
        const hn__expr_in *in = &p->e->in[i];
        if (p->last[i] < 0)
            continue;
        if (p->reg[i] < 0) {
            l->value[i] = within(p->e, in, p->ptr[i], at);
            continue;
        }
        l->value[i] = l->reg + p->reg[i] * (HN__TILE * 4);
        if (p->fixed[i] && l->warm)
            continue;
        load(p->e, in, p->ptr[i], p->fixed[i] ? 0 : at, p->fixed[i] ? most : n, l->value[i]);
    }
    l->warm = true;
}

void hn__tile_run(hn__lanes *l, int64_t at, int64_t n)
{
    const hn__program *p = l->p;
    const hn__expr *e = p->e;

    load_inputs(l, at, n);
    for (int k = 0; k < e->n_insn; k++) {
        const hn__expr_insn *in = &e->insn[k];
        const void *x[3] = { NULL };
        const int v = e->n_in + k;
        if (p->root[v] != v) {
            l->value[v] = l->value[(int)p->root[v]];
            continue;
        }
        for (int i = 0; i < 3; i++)
            if (in->arg[i] >= 0)
                x[i] = l->value[in->arg[i]];
        const int o = p->direct[k];
        l->value[v] =
            o < 0 ? l->reg + p->reg[v] * (HN__TILE * 4) : (char *)p->ptr[e->n_in + o] + at * 4;
        in->op->fn->tile(&in->pw, n, l->value[v], x);
    }
    for (int o = 0; o < e->n_out; o++) {
        const int k = p->root[e->out[o].value] - e->n_in;
        if (!e->out[o].reduced && !(k >= 0 && p->direct[k] == o))
            hn__lanes_store(e->out[o].type, l->value[e->out[o].value], p->ptr[e->n_in + o], at, n);
    }
}

int64_t hn__program_grain(const hn__program *p, int64_t n)
{
    return 1 + 32768 / (n * (p->e->n_insn + 1));
}

// ---- pointwise -----------------------------------------------------------------------------

// Tiles are counted in order: pieces of rows, or blocks of rows.
static void tiles(void *ctx, int64_t begin, int64_t end, int thread)
{
    const hn__program *p = ctx;
    const hn__tiling *t = &p->t;
    hn__lanes l = hn__lanes_of(p, thread);

    for (int64_t i = begin; i < end; i++) {
        const int64_t row = i / t->pieces * t->block, col = i % t->pieces * t->step;
        const int64_t rows = t->rows - row < t->block ? t->rows - row : t->block;
        const int64_t cols = t->cols - col < t->step ? t->cols - col : t->step;
        hn__tile_run(&l, row * t->cols + col, rows * cols);
    }
}

void hn__expr_run(const hn__expr *e, void *const ptr[], hn__pool *pool, void *scratch)
{
    hn__program p;

    hn__program_make(e, ptr, scratch, &p);
    if (e->reduce != HN__REDUCE_NONE)
        hn__reduce_run(&p, pool);
    else
        hn__parallel(pool, (p.t.rows + p.t.block - 1) / p.t.block * p.t.pieces,
                     hn__program_grain(&p, p.t.block * p.t.step), tiles, &p);
}
