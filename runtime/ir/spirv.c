// The writer of SPIR-V modules: four growing lists of words, joined at the end.
#include "ir/spirv.h"

#include <string.h>

typedef struct list {
    uint32_t *word;
    int64_t n, cap;
} list;

struct hn__spv {
    bool failed;
    bool int64, subgroups, shuffles; // capabilities that are asked for
    uint32_t n_ids;
    uint32_t glsl; // the imported set
    list decorations, globals, locals, body;
};

hn__spv *hn__spv_create(void)
{
    hn__spv *b = hn__calloc(1, sizeof *b);
    if (b) {
        b->n_ids = 1;
        b->glsl = hn__spv_id(b);
    }
    return b;
}

void hn__spv_destroy(hn__spv **b)
{
    if (!*b)
        return;
    hn__free((*b)->decorations.word);
    hn__free((*b)->globals.word);
    hn__free((*b)->locals.word);
    hn__free((*b)->body.word);
    hn__free(*b);
    *b = NULL;
}

uint32_t hn__spv_id(hn__spv *b)
{
    return b->n_ids++;
}

// ---- words ---------------------------------------------------------------------------------

static void put(hn__spv *b, list *l, int n, const uint32_t word[])
{
    if (b->failed || hn__reserve((void **)&l->word, &l->cap, l->n + n, sizeof *l->word)) {
        b->failed = true;
        return;
    }
    if (n)
        memcpy(l->word + l->n, word, sizeof *word * (size_t)n);
    l->n += n;
}

static uint32_t head(SpvOp op, int n_words)
{
    return (uint32_t)n_words << SpvWordCountShift | (uint32_t)op;
}

// op [type] [id] args; type and id are left out where they are 0.
static void instruction(hn__spv *b, list *l, SpvOp op, uint32_t type, uint32_t id, int n,
                        const uint32_t arg[])
{
    uint32_t start[3] = { 0 };
    int at = 1;
    if (type)
        start[at++] = type;
    if (id)
        start[at++] = id;
    start[0] = head(op, at + n);
    put(b, l, at, start);
    put(b, l, n, arg);
}

// The id of a global of these words, or 0.
static uint32_t find(const list *l, SpvOp op, uint32_t type, int n, const uint32_t arg[])
{
    const int skip = type ? 3 : 2;
    const uint32_t first = head(op, skip + n);
    for (int64_t at = 0; at < l->n; at += l->word[at] >> SpvWordCountShift) {
        const uint32_t *w = l->word + at;
        if (w[0] == first && (!type || w[1] == type) &&
            (!n || !memcmp(w + skip, arg, sizeof *arg * (size_t)n)))
            return w[skip - 1];
    }
    return 0;
}

uint32_t hn__spv_global(hn__spv *b, SpvOp op, uint32_t type, bool once, int n,
                        const uint32_t arg[])
{
    if (b->failed) // the last instruction may be half there
        return 0;
    uint32_t id = once ? find(&b->globals, op, type, n, arg) : 0;
    if (!id) {
        id = hn__spv_id(b);
        instruction(b, &b->globals, op, type, id, n, arg);
    }
    return b->failed ? 0 : id;
}

uint32_t hn__spv_value(hn__spv *b, SpvOp op, uint32_t type, int n, const uint32_t arg[])
{
    const uint32_t id = hn__spv_id(b);
    instruction(b, &b->body, op, type, id, n, arg);
    return b->failed ? 0 : id;
}

void hn__spv_do(hn__spv *b, SpvOp op, int n, const uint32_t arg[])
{
    instruction(b, &b->body, op, 0, 0, n, arg);
}

void hn__spv_label(hn__spv *b, uint32_t id)
{
    instruction(b, &b->body, SpvOpLabel, 0, id, 0, &id);
}

void hn__spv_decorate(hn__spv *b, SpvOp op, int n, const uint32_t arg[])
{
    instruction(b, &b->decorations, op, 0, 0, n, arg);
}

uint32_t hn__spv_glsl(hn__spv *b, enum GLSLstd450 op, uint32_t type, int n, const uint32_t arg[])
{
    uint32_t all[8] = { b->glsl, op };
    memcpy(all + 2, arg, sizeof *arg * (size_t)n);
    return hn__spv_value(b, SpvOpExtInst, type, 2 + n, all);
}

uint32_t hn__spv_local(hn__spv *b, uint32_t type)
{
    const uint32_t id = hn__spv_id(b), where = SpvStorageClassFunction;
    instruction(b, &b->locals, SpvOpVariable, hn__spv_pointer(b, where, type), id, 1, &where);
    return b->failed ? 0 : id;
}

// ---- types and constants -------------------------------------------------------------------

uint32_t hn__spv_void(hn__spv *b)
{
    return hn__spv_global(b, SpvOpTypeVoid, 0, true, 0, (const uint32_t[]){ 0 });
}

uint32_t hn__spv_bool(hn__spv *b)
{
    return hn__spv_global(b, SpvOpTypeBool, 0, true, 0, (const uint32_t[]){ 0 });
}

uint32_t hn__spv_float(hn__spv *b)
{
    return HN__SPV_GLOBAL(b, SpvOpTypeFloat, 0, true, 32);
}

uint32_t hn__spv_int(hn__spv *b)
{
    return HN__SPV_GLOBAL(b, SpvOpTypeInt, 0, true, 32, 1);
}

uint32_t hn__spv_uint(hn__spv *b)
{
    return HN__SPV_GLOBAL(b, SpvOpTypeInt, 0, true, 32, 0);
}

uint32_t hn__spv_uint64(hn__spv *b)
{
    b->int64 = true;
    return HN__SPV_GLOBAL(b, SpvOpTypeInt, 0, true, 64, 0);
}

void hn__spv_subgroups(hn__spv *b)
{
    b->subgroups = true;
}

uint32_t hn__spv_shuffle_xor(hn__spv *b, uint32_t type, uint32_t x, uint32_t mask)
{
    b->subgroups = b->shuffles = true;
    return HN__SPV(b, SpvOpGroupNonUniformShuffleXor, type, hn__spv_u32(b, SpvScopeSubgroup), x,
                   hn__spv_u32(b, mask));
}

uint32_t hn__spv_vector(hn__spv *b, uint32_t type, int n)
{
    return HN__SPV_GLOBAL(b, SpvOpTypeVector, 0, true, type, (uint32_t)n);
}

uint32_t hn__spv_pointer(hn__spv *b, SpvStorageClass where, uint32_t type)
{
    return HN__SPV_GLOBAL(b, SpvOpTypePointer, 0, true, (uint32_t)where, type);
}

uint32_t hn__spv_f32(hn__spv *b, float x)
{
    uint32_t u;
    memcpy(&u, &x, sizeof u);
    return HN__SPV_GLOBAL(b, SpvOpConstant, hn__spv_float(b), true, u);
}

uint32_t hn__spv_i32(hn__spv *b, int32_t x)
{
    return HN__SPV_GLOBAL(b, SpvOpConstant, hn__spv_int(b), true, (uint32_t)x);
}

uint32_t hn__spv_u32(hn__spv *b, uint32_t x)
{
    return HN__SPV_GLOBAL(b, SpvOpConstant, hn__spv_uint(b), true, x);
}

// ---- the module ----------------------------------------------------------------------------

// What stands before decorations: capability, import, memory model, entry point.
static void preamble(hn__spv *b, list *l, uint32_t main_id, int n_inputs, const uint32_t inputs[])
{
    static const char set[] = "GLSL.std.450", name[] = "main";
    uint32_t import[4] = { 0 }, entry[2 + 2 + 8] = { SpvExecutionModelGLCompute, main_id };
    const uint32_t magic[2] = { SpvMagicNumber, 0x00010300 }, rest[3] = { 0, 0, 0 };

    memcpy(import, set, sizeof set);
    memcpy(entry + 2, name, sizeof name);
    memcpy(entry + 4, inputs, sizeof *inputs * (size_t)n_inputs);
    put(b, l, 2, magic);
    put(b, l, 3, rest);
    if (!b->failed)
        l->word[3] = b->n_ids;
    instruction(b, l, SpvOpCapability, 0, 0, HN__SPV_ARGS(SpvCapabilityShader));
    if (b->int64)
        instruction(b, l, SpvOpCapability, 0, 0, HN__SPV_ARGS(SpvCapabilityInt64));
    if (b->subgroups)
        instruction(b, l, SpvOpCapability, 0, 0, HN__SPV_ARGS(SpvCapabilityGroupNonUniform));
    if (b->shuffles)
        instruction(b, l, SpvOpCapability, 0, 0,
                    HN__SPV_ARGS(SpvCapabilityGroupNonUniformShuffle));
    instruction(b, l, SpvOpExtInstImport, 0, b->glsl, 4, import);
    instruction(b, l, SpvOpMemoryModel, 0, 0,
                HN__SPV_ARGS(SpvAddressingModelLogical, SpvMemoryModelGLSL450));
    instruction(b, l, SpvOpEntryPoint, 0, 0, 4 + n_inputs, entry);
    instruction(b, l, SpvOpExecutionMode, 0, 0,
                HN__SPV_ARGS(main_id, SpvExecutionModeLocalSize, 1, 1, 1));
}

hn_status hn__spv_finish(hn__spv *b, int n_inputs, const uint32_t inputs[], uint32_t **words,
                         size_t *n_words)
{
    list l = { 0 };
    const uint32_t nothing = hn__spv_void(b), main_id = hn__spv_id(b), label = hn__spv_id(b);
    const uint32_t type = HN__SPV_GLOBAL(b, SpvOpTypeFunction, 0, true, nothing);

    preamble(b, &l, main_id, n_inputs, inputs);
    put(b, &l, (int)b->decorations.n, b->decorations.word);
    put(b, &l, (int)b->globals.n, b->globals.word);
    instruction(b, &l, SpvOpFunction, nothing, main_id,
                HN__SPV_ARGS(SpvFunctionControlMaskNone, type));
    instruction(b, &l, SpvOpLabel, 0, label, 0, &label);
    put(b, &l, (int)b->locals.n, b->locals.word);
    put(b, &l, (int)b->body.n, b->body.word);
    instruction(b, &l, SpvOpFunctionEnd, 0, 0, 0, &label);
    if (b->failed) {
        hn__free(l.word);
        return hn__nomem(sizeof(uint32_t) * (size_t)l.cap);
    }
    *words = l.word;
    *n_words = (size_t)l.n;
    return HN_OK;
}
