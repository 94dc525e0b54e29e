// Fused expressions as SPIR-V modules. Tensors are arrays of 32-bit words; smaller elements are
// packed, so that no optional feature is needed. A thread makes a run of 4 or 8 neighbours, which
// it loads and stores as vectors of words where they lie side by side: that is what memory and
// software devices are fast at. Where the last dimension is no multiple of that, it makes as many
// elements as fill a word of the output with the smallest elements, one by one.
#include "plan/expr_spirv.h"

#include <string.h>

// ---- arithmetic and structure --------------------------------------------------------------

uint32_t hn__w_u32(hn__writer *w, SpvOp op, uint32_t x, uint32_t y)
{
    return HN__SPV(w->b, op, w->u32, x, y);
}

uint32_t hn__w_u32k(hn__writer *w, SpvOp op, uint32_t x, uint32_t k)
{
    if ((k == 1 && (op == SpvOpIMul || op == SpvOpUDiv)) || (k == 0 && op == SpvOpIAdd))
        return x;
    if ((k == 1 && op == SpvOpUMod) || (k == 0 && op == SpvOpIMul))
        return hn__spv_u32(w->b, 0);
    return hn__w_u32(w, op, x, hn__spv_u32(w->b, k));
}

uint32_t hn__w_test(hn__writer *w, SpvOp op, uint32_t x, uint32_t y)
{
    return HN__SPV(w->b, op, w->truth, x, y);
}

uint32_t hn__w_if(hn__writer *w, uint32_t truth)
{
    const uint32_t inside = hn__spv_id(w->b), merge = hn__spv_id(w->b);
    HN__SPV_DO(w->b, SpvOpSelectionMerge, merge, SpvSelectionControlMaskNone);
    HN__SPV_DO(w->b, SpvOpBranchConditional, truth, inside, merge);
    hn__spv_label(w->b, inside);
    return merge;
}

void hn__w_end(hn__writer *w, uint32_t merge)
{
    HN__SPV_DO(w->b, SpvOpBranch, merge);
    hn__spv_label(w->b, merge);
}

// ---- elements ------------------------------------------------------------------------------

// What `wide` words are in memory: themselves, or pairs.
static uint32_t stored_type(hn__writer *w, uint32_t wide)
{
    const bool pairs = w->vector && wide > 1;
    const uint32_t one = pairs ? hn__spv_uint64(w->b) : w->u32, n = pairs ? wide / 2 : wide;
    return n > 1 ? hn__spv_vector(w->b, one, (int)n) : one;
}

// Element i of a binding's array: `wide` words.
static uint32_t words_at(hn__writer *w, int binding, uint32_t i)
{
    const uint32_t pointer = hn__spv_pointer(w->b, SpvStorageClassStorageBuffer,
                                             stored_type(w, w->wide[binding]));
    return HN__SPV(w->b, SpvOpAccessChain, pointer, w->buffer[binding], hn__spv_u32(w->b, 0), i);
}

static uint32_t load_words(hn__writer *w, int binding, uint32_t i)
{
    const uint32_t wide = w->wide[binding];
    const uint32_t words =
        HN__SPV(w->b, SpvOpLoad, stored_type(w, wide), words_at(w, binding, i));
    return w->vector && wide > 1
               ? HN__SPV(w->b, SpvOpBitcast, hn__spv_vector(w->b, w->u32, (int)wide), words)
               : words;
}

static void store_words(hn__writer *w, int binding, uint32_t i, uint32_t words)
{
    const uint32_t wide = w->wide[binding];
    if (w->vector && wide > 1)
        words = HN__SPV(w->b, SpvOpBitcast, stored_type(w, wide), words);
    HN__SPV_DO(w->b, SpvOpStore, words_at(w, binding, i), words);
}

static int per_word(hn_dtype t)
{
    return 4 / hn_dtype_size(t);
}

// The element in the lowest bits of a word, as a lane.
static uint32_t lane_of(hn__writer *w, hn_dtype t, uint32_t word)
{
    hn__spv *b = w->b;
    switch (t) {
    case HN_F16: {
        const uint32_t two =
            HN__SPV_GLSL(b, GLSLstd450UnpackHalf2x16, hn__spv_vector(b, w->f32, 2), word);
        return HN__SPV(b, SpvOpCompositeExtract, w->f32, two, 0);
    }
    case HN_BF16:
        return HN__SPV(b, SpvOpBitcast, w->f32, hn__w_u32k(w, SpvOpShiftLeftLogical, word, 16));
    case HN_U8:
        return HN__SPV(b, SpvOpBitcast, w->i32, hn__w_u32k(w, SpvOpBitwiseAnd, word, 255));
    default:
        return HN__SPV(b, SpvOpBitcast, t == HN_F32 ? w->f32 : w->i32, word);
    }
}

// A lane as the lowest bits of a word, the others 0.
static uint32_t bits_of(hn__writer *w, hn_dtype t, uint32_t lane)
{
    hn__spv *b = w->b;
    if (t == HN_F16) { // rounded first: how the packing rounds is the driver's choice
        const hn__pw pw = { .in = { HN_F32 }, .out = HN_F16 };
        const uint32_t x = hn__ops[HN__OP_cast].fn->emit(b, &pw, &lane);
        const uint32_t two = HN__SPV(b, SpvOpCompositeConstruct, hn__spv_vector(b, w->f32, 2), x,
                                     hn__spv_f32(b, 0));
        return HN__SPV_GLSL(b, GLSLstd450PackHalf2x16, w->u32, two);
    }
    if (t == HN_BF16) {
        const hn__pw pw = { .in = { HN_F32 }, .out = HN_BF16 };
        lane = hn__ops[HN__OP_cast].fn->emit(b, &pw, &lane);
    }
    const uint32_t word = HN__SPV(b, SpvOpBitcast, w->u32, lane);
    return t == HN_BF16 ? hn__w_u32k(w, SpvOpShiftRightLogical, word, 16)
           : t == HN_U8 ? hn__w_u32k(w, SpvOpBitwiseAnd, word, 255)
                        : word;
}

// Bits by which element i of the type is shifted in its word.
static uint32_t shift_of(hn__writer *w, hn_dtype t, uint32_t i)
{
    const int per = per_word(t);
    return hn__w_u32k(w, SpvOpIMul, hn__w_u32k(w, SpvOpBitwiseAnd, i, (uint32_t)per - 1),
                      32 / (uint32_t)per);
}

uint32_t hn__w_load(hn__writer *w, int binding, hn_dtype t, uint32_t i)
{
    const int per = per_word(t);
    const uint32_t word = load_words(w, binding, hn__w_u32k(w, SpvOpUDiv, i, (uint32_t)per));
    return lane_of(
        w, t, per == 1 ? word : hn__w_u32(w, SpvOpShiftRightLogical, word, shift_of(w, t, i)));
}

void hn__w_store(hn__writer *w, int binding, hn_dtype t, uint32_t i, uint32_t lane)
{
    hn__spv *b = w->b;
    const int per = per_word(t);
    const uint32_t word = bits_of(w, t, lane);

    if (per == 1) {
        store_words(w, binding, i, word);
        return;
    }
    const uint32_t shift = shift_of(w, t, i),
                   at = words_at(w, binding, hn__w_u32k(w, SpvOpUDiv, i, (uint32_t)per));
    const uint32_t mine =
        hn__w_u32(w, SpvOpShiftLeftLogical, hn__spv_u32(b, UINT32_MAX >> (32 - 32 / per)), shift);
    const uint32_t others = HN__SPV(b, SpvOpNot, w->u32, mine);
    const uint32_t scope = hn__spv_u32(b, SpvScopeDevice), relaxed = hn__spv_u32(b, 0);
    HN__SPV(b, SpvOpAtomicAnd, w->u32, at, scope, relaxed, others);
    HN__SPV(b, SpvOpAtomicOr, w->u32, at, scope, relaxed,
            hn__w_u32(w, SpvOpShiftLeftLogical, word, shift));
}

// ---- runs of elements ----------------------------------------------------------------------

static bool has_type(const hn__expr *e, int size)
{
    bool has = false;
    for (int i = 0; i < e->n_in; i++)
        has = has || hn_dtype_size(e->in[i].type) == size;
    for (int i = 0; i < e->n_out; i++)
        has = has || hn_dtype_size(e->out[i].type) == size;
    return has;
}

// Words that a run of an input's elements can be loaded in; 0: they are loaded one by one.
static uint32_t input_width(const hn__expr *e, const hn__expr_in *in, uint32_t each)
{
    const uint32_t per = (uint32_t)per_word(in->type);
    uint32_t wide = each / per < 4 ? each / per : 4;

    if (in->stride[e->rank - 1] != 1)
        return 0;
    for (int d = 0; d < e->rank - 1; d++)
        while (wide && in->stride[d] % (wide * per))
            wide /= 2;
    return wide;
}

void hn__w_widths(hn__writer *w)
{
    const hn__expr *e = w->e;
    const bool columns = e->reduce != HN__REDUCE_NONE && e->axis < e->rank - 1;
    const int64_t cols = e->rank && !(columns && !w->vector) ? e->dim[e->rank - 1] : 1;

    // columns that are reduced: GPUs want the threads more, and shared memory has a place for each;
    // software devices: what comes before the first element costs them as much as some of these
    const bool longer = has_type(e, 2) || w->vector;
    w->each = longer && cols % 8 == 0 && !columns ? 8 : cols % 4 == 0 ? 4 : 1;
    for (int i = 0; i < e->n_in + e->n_out; i++)
        w->wide[i] = 1;
    if (w->each == 1)
        return;
    for (int i = 0; i < e->n_in; i++) {
        const uint32_t wide = input_width(e, &e->in[i], w->each);
        w->wide[i] = wide ? wide : 1;
    }
    for (int i = 0; i < e->n_out; i++) {
        const uint32_t words = w->each / (uint32_t)per_word(e->out[i].type);
        w->wide[e->n_in + i] = e->out[i].reduced ? 1 : words < 4 ? words : 4;
    }
}

// Word k of `wide` that were loaded together.
static uint32_t one_of(hn__writer *w, uint32_t words, uint32_t wide, uint32_t k)
{
    return wide > 1 ? HN__SPV(w->b, SpvOpCompositeExtract, w->u32, words, k) : words;
}

void hn__w_load_run(hn__writer *w, int in, uint32_t at, uint32_t lane[])
{
    const hn__expr_in *x = &w->e->in[in];
    const uint32_t per = (uint32_t)per_word(x->type), wide = w->wide[in];
    const int64_t stride = x->stride[w->e->rank - 1];

    if (!stride) {
        lane[0] = hn__w_load(w, in, x->type, at);
        for (uint32_t k = 1; k < w->each; k++)
            lane[k] = lane[0];
        return;
    }
    if (!input_width(w->e, x, w->each)) {
        for (uint32_t k = 0; k < w->each; k++)
            lane[k] = hn__w_load(w, in, x->type,
                                 hn__w_u32k(w, SpvOpIAdd, at, k * (uint32_t)stride));
        return;
    }
    const uint32_t first = hn__w_u32k(w, SpvOpUDiv, at, per * wide);
    uint32_t words = 0;
    for (uint32_t k = 0; k < w->each; k++) {
        const uint32_t word = k / per;
        if (k % (per * wide) == 0)
            words = load_words(w, in, hn__w_u32k(w, SpvOpIAdd, first, word / wide));
        uint32_t bits = one_of(w, words, wide, word % wide);
        if (k % per)
            bits = hn__w_u32k(w, SpvOpShiftRightLogical, bits, 32 / per * (k % per));
        lane[k] = lane_of(w, x->type, bits);
    }
}

// `per` lanes as a word.
static uint32_t packed(hn__writer *w, hn_dtype t, const uint32_t lane[])
{
    const uint32_t per = (uint32_t)per_word(t);
    uint32_t word = bits_of(w, t, lane[0]);
    for (uint32_t s = 1; s < per; s++)
        word = hn__w_u32(w, SpvOpBitwiseOr, word,
                         hn__w_u32k(w, SpvOpShiftLeftLogical, bits_of(w, t, lane[s]),
                                    32 / per * s));
    return word;
}

void hn__w_store_run(hn__writer *w, int out, uint32_t at, const uint32_t lane[])
{
    const hn_dtype t = w->e->out[out].type;
    const int binding = w->e->n_in + out;
    const uint32_t per = (uint32_t)per_word(t), wide = w->wide[binding];
    const uint32_t first = hn__w_u32k(w, SpvOpUDiv, at, per * wide);

    for (uint32_t v = 0; v * per * wide < w->each; v++) {
        uint32_t word[4];
        for (uint32_t k = 0; k < wide; k++)
            word[k] = packed(w, t, lane + (v * wide + k) * per);
        const uint32_t words =
            wide > 1 ? hn__spv_value(w->b, SpvOpCompositeConstruct,
                                     hn__spv_vector(w->b, w->u32, (int)wide), (int)wide, word)
                     : word[0];
        store_words(w, binding, hn__w_u32k(w, SpvOpIAdd, first, v), words);
    }
}

void hn__w_insns(hn__writer *w)
{
    const hn__expr *e = w->e;
    for (int k = 0; k < e->n_insn; k++) {
        const hn__expr_insn *n = &e->insn[k];
        uint32_t x[3] = { 0 };
        for (int i = 0; i < 3; i++)
            if (n->arg[i] >= 0)
                x[i] = w->value[n->arg[i]];
        w->value[e->n_in + k] = n->op->fn->emit(w->b, &n->pw, x);
    }
}

// ---- the frame -----------------------------------------------------------------------------

static uint32_t input_variable(hn__writer *w, SpvBuiltIn what, uint32_t type)
{
    const uint32_t id =
        HN__SPV_GLOBAL(w->b, SpvOpVariable, hn__spv_pointer(w->b, SpvStorageClassInput, type),
                       false, SpvStorageClassInput);
    HN__SPV_DECORATE(w->b, SpvOpDecorate, id, SpvDecorationBuiltIn, (uint32_t)what);
    return id;
}

static uint32_t component(hn__writer *w, uint32_t variable, uint32_t i)
{
    const uint32_t v = HN__SPV(w->b, SpvOpLoad, hn__spv_vector(w->b, w->u32, 3), variable);
    return HN__SPV(w->b, SpvOpCompositeExtract, w->u32, v, i);
}

// A pointer to a block of words, `wide` of them an element.
static uint32_t block_of(hn__writer *w, uint32_t wide)
{
    hn__spv *b = w->b;
    const uint32_t words =
        HN__SPV_GLOBAL(b, SpvOpTypeRuntimeArray, 0, true, stored_type(w, wide));
    const uint32_t block = HN__SPV_GLOBAL(b, SpvOpTypeStruct, 0, false, words);

    HN__SPV_DECORATE(b, SpvOpDecorate, words, SpvDecorationArrayStride, 4 * wide);
    HN__SPV_DECORATE(b, SpvOpDecorate, block, SpvDecorationBlock);
    HN__SPV_DECORATE(b, SpvOpMemberDecorate, block, 0, SpvDecorationOffset, 0);
    return hn__spv_pointer(b, SpvStorageClassStorageBuffer, block);
}

static void buffers(hn__writer *w)
{
    hn__spv *b = w->b;
    uint32_t block[5] = { 0 }; // by width

    for (int i = 0; i < w->e->n_in + w->e->n_out; i++) {
        uint32_t *pointer = &block[w->wide[i]];
        if (!*pointer)
            *pointer = block_of(w, w->wide[i]);
        w->buffer[i] =
            HN__SPV_GLOBAL(b, SpvOpVariable, *pointer, false, SpvStorageClassStorageBuffer);
        HN__SPV_DECORATE(b, SpvOpDecorate, w->buffer[i], SpvDecorationDescriptorSet, 0);
        HN__SPV_DECORATE(b, SpvOpDecorate, w->buffer[i], SpvDecorationBinding, (uint32_t)i);
        if (i < w->e->n_in)
            HN__SPV_DECORATE(b, SpvOpDecorate, w->buffer[i], SpvDecorationNonWritable);
    }
}

static void workgroup_size(hn__writer *w)
{
    hn__spv *b = w->b;
    const uint32_t one = hn__spv_u32(b, 1), v3 = hn__spv_vector(b, w->u32, 3);
    const uint32_t x = HN__SPV_GLOBAL(b, SpvOpSpecConstant, w->u32, false, w->local);
    const uint32_t size = HN__SPV_GLOBAL(b, SpvOpSpecConstantComposite, v3, false, x, one, one);

    HN__SPV_DECORATE(b, SpvOpDecorate, x, SpvDecorationSpecId, 0);
    HN__SPV_DECORATE(b, SpvOpDecorate, size, SpvDecorationBuiltIn, SpvBuiltInWorkgroupSize);
}

// Word i of the push constants.
static uint32_t push_word(hn__writer *w, uint32_t push, uint32_t i)
{
    const uint32_t pointer = hn__spv_pointer(w->b, SpvStorageClassPushConstant, w->u32);
    return HN__SPV(w->b, SpvOpLoad, w->u32,
                   HN__SPV(w->b, SpvOpAccessChain, pointer, push, hn__spv_u32(w->b, i)));
}

static uint32_t push_constants(hn__writer *w)
{
    hn__spv *b = w->b;
    const uint32_t block = HN__SPV_GLOBAL(b, SpvOpTypeStruct, 0, false, w->u32, w->u32);
    HN__SPV_DECORATE(b, SpvOpDecorate, block, SpvDecorationBlock);
    HN__SPV_DECORATE(b, SpvOpMemberDecorate, block, 0, SpvDecorationOffset, 0);
    HN__SPV_DECORATE(b, SpvOpMemberDecorate, block, 1, SpvDecorationOffset, 4);
    return HN__SPV_GLOBAL(b, SpvOpVariable, hn__spv_pointer(b, SpvStorageClassPushConstant, block),
                          false, SpvStorageClassPushConstant);
}

// ---- pointwise -----------------------------------------------------------------------------

static int64_t space(const hn__expr *e)
{
    int64_t n = 1;
    for (int i = 0; i < e->rank; i++)
        n *= e->dim[i];
    return n;
}

static uint32_t per_thread(const hn__expr *e)
{
    uint32_t n = 1;
    for (int i = 0; i < e->n_out; i++)
        if ((uint32_t)per_word(e->out[i].type) > n)
            n = (uint32_t)per_word(e->out[i].type);
    return n;
}

// Where element `i` of the space is in an input.
static uint32_t offset(hn__writer *w, const hn__expr_in *in, uint32_t i)
{
    const hn__expr *e = w->e;
    uint32_t sum = hn__spv_u32(w->b, 0);
    int64_t step = 1;
    bool dense = true, first = true;

    for (int d = e->rank - 1; d >= 0; step *= e->dim[d--])
        dense = dense && in->stride[d] == step;
    if (dense)
        return i;
    step = 1;
    for (int d = e->rank - 1; d >= 0; step *= e->dim[d--]) {
        if (!in->stride[d])
            continue;
        uint32_t at = hn__w_u32k(w, SpvOpUDiv, i, (uint32_t)step);
        if (d > 0)
            at = hn__w_u32k(w, SpvOpUMod, at, (uint32_t)e->dim[d]);
        at = hn__w_u32k(w, SpvOpIMul, at, (uint32_t)in->stride[d]);
        sum = first ? at : hn__w_u32(w, SpvOpIAdd, sum, at);
        first = false;
    }
    return sum;
}

// A thread's elements from `base`, one by one: all outputs are stored in whole words.
static void elements(hn__writer *w, uint32_t base, uint32_t n_each, uint32_t total)
{
    const hn__expr *e = w->e;
    const bool has_tail = total % n_each != 0;
    uint32_t lane[HN__EXPR_OUT][4];

    for (uint32_t k = 0; k < n_each; k++) {
        uint32_t i = hn__w_u32k(w, SpvOpIAdd, base, k);
        if (has_tail && k)
            i = HN__SPV_GLSL(w->b, GLSLstd450UMin, w->u32, i, hn__spv_u32(w->b, total - 1));
        for (int v = 0; v < e->n_in; v++)
            w->value[v] = hn__w_load(w, v, e->in[v].type, offset(w, &e->in[v], i));
        hn__w_insns(w);
        for (int o = 0; o < e->n_out; o++)
            lane[o][k] = w->value[e->out[o].value];
    }
    for (int o = 0; o < e->n_out; o++) {
        const hn_dtype t = e->out[o].type;
        const uint32_t per = (uint32_t)per_word(t);
        for (uint32_t k = 0; k < n_each; k += per) {
            const uint32_t word = packed(w, t, lane[o] + k), i = hn__w_u32k(w, SpvOpIAdd, base, k);
            const bool guarded = has_tail && k;
            const uint32_t end =
                guarded ? hn__w_if(w, hn__w_test(w, SpvOpULessThan, i, hn__spv_u32(w->b, total)))
                        : 0;
            store_words(w, e->n_in + o, hn__w_u32k(w, SpvOpUDiv, i, per), word);
            if (guarded)
                hn__w_end(w, end);
        }
    }
}

// The same where they are a run.
static void run(hn__writer *w, uint32_t base)
{
    const hn__expr *e = w->e;
    uint32_t in[HN__EXPR_IN][HN__RUN], out[HN__EXPR_OUT][HN__RUN];

    for (int v = 0; v < e->n_in; v++)
        hn__w_load_run(w, v, offset(w, &e->in[v], base), in[v]);
    for (uint32_t k = 0; k < w->each; k++) {
        for (int v = 0; v < e->n_in; v++)
            w->value[v] = in[v][k];
        hn__w_insns(w);
        for (int o = 0; o < e->n_out; o++)
            out[o][k] = w->value[e->out[o].value];
    }
    for (int o = 0; o < e->n_out; o++)
        hn__w_store_run(w, o, base, out[o]);
}

static uint64_t pointwise(hn__writer *w)
{
    const uint32_t total = (uint32_t)space(w->e);
    const uint32_t n_each = w->each > 1 ? w->each : per_thread(w->e);
    const uint32_t place =
        hn__w_u32(w, SpvOpIAdd, hn__w_u32k(w, SpvOpIMul, w->group, w->local), w->thread);
    const uint32_t base = hn__w_u32k(w, SpvOpIMul, place, n_each);
    const uint32_t end =
        hn__w_if(w, hn__w_test(w, SpvOpULessThan, base, hn__spv_u32(w->b, total)));

    if (w->each > 1)
        run(w, base);
    else
        elements(w, base, n_each, total);
    hn__w_end(w, end);
    const uint64_t threads = ((uint64_t)total + n_each - 1) / n_each;
    return (threads + w->local - 1) / w->local;
}

// ---- the module ----------------------------------------------------------------------------

static hn_status check_sizes(const hn__expr *e)
{
    const int64_t most = INT64_C(0xfff00000); // indices past the end, within the last workgroup
    bool fits = space(e) < most;
    for (int k = 0; k < e->n_in; k++) {
        int64_t last = 0;
        for (int d = 0; d < e->rank; d++)
            last += e->in[k].stride[d] * (e->dim[d] - 1);
        fits = fits && last < most;
    }
    return fits ? HN_OK
                : hn_fail(HN_ERR_UNSUPPORTED,
                          "a fused step over %" PRId64 " elements; at most 2^32", space(e));
}

// The places of the workgroup and of the thread in it. A software device divides to find the latter, a
// lane at a time, but knows the number of a vector and of a lane in it. Gives the input variables.
static int place(hn__writer *w, uint32_t in[4])
{
    const uint32_t v3 = hn__spv_vector(w->b, w->u32, 3);
    int n = 2;

    in[0] = input_variable(w, SpvBuiltInWorkgroupId, v3);
    in[1] = input_variable(w, SpvBuiltInNumWorkgroups, v3);
    w->push = push_constants(w);
    const uint32_t line =
        hn__w_u32(w, SpvOpIMul, component(w, in[0], 1), component(w, in[1], 0));
    const uint32_t at = hn__w_u32(w, SpvOpIAdd, line, component(w, in[0], 0));
    w->group = hn__w_u32(w, SpvOpIAdd, push_word(w, w->push, 1), at);
    if (!w->vector) {
        in[n++] = input_variable(w, SpvBuiltInLocalInvocationId, v3);
        w->thread = component(w, in[2], 0);
        return n;
    }
    hn__spv_subgroups(w->b);
    in[n++] = input_variable(w, SpvBuiltInSubgroupId, w->u32);
    in[n++] = input_variable(w, SpvBuiltInSubgroupLocalInvocationId, w->u32);
    const uint32_t first = hn__w_u32k(w, SpvOpIMul, HN__SPV(w->b, SpvOpLoad, w->u32, in[2]),
                                      w->vector);
    w->thread = hn__w_u32(w, SpvOpIAdd, first, HN__SPV(w->b, SpvOpLoad, w->u32, in[3]));
    return n;
}

hn_status hn__expr_spirv(const hn__expr *e, uint32_t local, uint32_t vector, uint32_t **words,
                         size_t *n_words, uint64_t *n_groups)
{
    HN_TRY(check_sizes(e));
    hn__writer w = { .b = hn__spv_create(), .e = e, .local = local, .vector = vector };
    if (!w.b)
        return hn__nomem(sizeof w);
    hn__spv *b = w.b;
    w.f32 = hn__spv_float(b), w.i32 = hn__spv_int(b), w.u32 = hn__spv_uint(b),
    w.truth = hn__spv_bool(b);
    hn__w_widths(&w);
    buffers(&w);
    workgroup_size(&w);
    uint32_t in[4];
    const int n_in = place(&w, in);
    const uint32_t end =
        hn__w_if(&w, hn__w_test(&w, SpvOpULessThan, w.group, push_word(&w, w.push, 0)));
    *n_groups = e->reduce == HN__REDUCE_NONE ? pointwise(&w) : hn__w_reduce(&w);
    hn__w_end(&w, end);
    hn__spv_do(b, SpvOpReturn, 0, &end);
    const hn_status s = hn__spv_finish(b, n_in, in, words, n_words);
    hn__spv_destroy(&b);
    return s;
}
