// Pointwise operators as SPIR-V: the vocabulary of formulas.h and elementary.h writes
// instructions. A lane is a float id or a signed int id.
#include "ops/pointwise.h"
#include "ir/spirv.h"

#include <float.h>
#include <math.h>

static uint32_t f1(hn__spv *b, SpvOp op, uint32_t x)
{
    return HN__SPV(b, op, hn__spv_float(b), x);
}

static uint32_t f2(hn__spv *b, SpvOp op, uint32_t x, uint32_t y)
{
    return HN__SPV(b, op, hn__spv_float(b), x, y);
}

static uint32_t fx(hn__spv *b, enum GLSLstd450 op, uint32_t x)
{
    return HN__SPV_GLSL(b, op, hn__spv_float(b), x);
}

static uint32_t i1(hn__spv *b, SpvOp op, uint32_t x)
{
    return HN__SPV(b, op, hn__spv_int(b), x);
}

static uint32_t i2(hn__spv *b, SpvOp op, uint32_t x, uint32_t y)
{
    return HN__SPV(b, op, hn__spv_int(b), x, y);
}

static uint32_t truth1(hn__spv *b, SpvOp op, uint32_t x)
{
    return HN__SPV(b, op, hn__spv_bool(b), x);
}

static uint32_t truth2(hn__spv *b, SpvOp op, uint32_t x, uint32_t y)
{
    return HN__SPV(b, op, hn__spv_bool(b), x, y);
}

static uint32_t ipick(hn__spv *b, uint32_t t, uint32_t x, uint32_t y)
{
    return HN__SPV(b, SpvOpSelect, hn__spv_int(b), t, x, y);
}

#define NOT(t) truth1(b, SpvOpLogicalNot, t)
#define OR(s, t) truth2(b, SpvOpLogicalOr, s, t)
#define IPICK(t, x, y) ipick(b, t, x, y)
#define UNUSED (void)b, (void)x, (void)y

// ---- i32 -----------------------------------------------------------------------------------

#define ADD(x, y) i2(b, SpvOpIAdd, x, y)
#define SUB(x, y) i2(b, SpvOpISub, x, y)
#define MUL(x, y) i2(b, SpvOpIMul, x, y)
#define NEG(x) i1(b, SpvOpSNegate, x)
#define ABS(x) HN__SPV_GLSL(b, GLSLstd450SAbs, hn__spv_int(b), x)
#define LT(x, y) truth2(b, SpvOpSLessThan, x, y)
#define LE(x, y) truth2(b, SpvOpSLessThanEqual, x, y)
#define EQ(x, y) truth2(b, SpvOpIEqual, x, y)
#define PICK(t, x, y) IPICK(t, x, y)
#define LARGEST hn__spv_i32(b, INT32_MAX)

#define I32(name, n_in, formula)                                                                  \
    static uint32_t name##_i32(hn__spv *b, uint32_t x, uint32_t y)                                \
    {                                                                                             \
        UNUSED;                                                                                   \
        return formula;                                                                           \
    }
HN__FORMULAS_ANY(I32)
HN__FORMULAS_TEST(I32)

#undef ADD
#undef SUB
#undef MUL
#undef NEG
#undef ABS
#undef LT
#undef LE
#undef EQ
#undef PICK
#undef LARGEST

// ---- f32 -----------------------------------------------------------------------------------

#define FN static
#define V uint32_t
#define I uint32_t
#define PARAM hn__spv *b,
#define ARG b,
#define K(c) hn__spv_f32(b, (float)(c))
#define ADD(x, y) f2(b, SpvOpFAdd, x, y)
#define SUB(x, y) f2(b, SpvOpFSub, x, y)
#define MUL(x, y) f2(b, SpvOpFMul, x, y)
#define DIV(x, y) f2(b, SpvOpFDiv, x, y)
#define NEG(x) f1(b, SpvOpFNegate, x)
#define ABS(x) fx(b, GLSLstd450FAbs, x)
#define FLOOR(x) fx(b, GLSLstd450Floor, x)
#define SQRT(x) fx(b, GLSLstd450Sqrt, x)
#define RSQRT(x) fx(b, GLSLstd450InverseSqrt, x)
#define MAD(x, y, z) HN__SPV_GLSL(b, GLSLstd450Fma, hn__spv_float(b), x, y, z)
#define RINT(x) fx(b, GLSLstd450RoundEven, x)
#define LT(x, y) truth2(b, SpvOpFOrdLessThan, x, y)
#define LE(x, y) truth2(b, SpvOpFOrdLessThanEqual, x, y)
#define EQ(x, y) truth2(b, SpvOpFOrdEqual, x, y)
#define PICK(t, x, y) HN__SPV(b, SpvOpSelect, hn__spv_float(b), t, x, y)
#define LARGEST K(FLT_MAX)
// Adding 1.5 x 2^23 leaves the integer in the low bits; conversions are dear on lavapipe 26.
#define TO_I(x) ISUB(BITS(ADD(x, K(12582912))), KI(0x4b400000))
#define TO_V(i) f1(b, SpvOpConvertSToF, i)
#define BITS(x) i1(b, SpvOpBitcast, x)
#define OF_BITS(i) f1(b, SpvOpBitcast, i)
#define KI(c) hn__spv_i32(b, c)
#define IADD(x, y) i2(b, SpvOpIAdd, x, y)
#define ISUB(x, y) i2(b, SpvOpISub, x, y)
#define IAND(x, y) i2(b, SpvOpBitwiseAnd, x, y)
#define IOR(x, y) i2(b, SpvOpBitwiseOr, x, y)
#define ISHL(x, n) i2(b, SpvOpShiftLeftLogical, x, KI(n))
#define ISHR(x, n) i2(b, SpvOpShiftRightArithmetic, x, KI(n))
#define IODD(x) truth2(b, SpvOpINotEqual, IAND(x, KI(1)), KI(0))
#define TRUNC_I(x) i1(b, SpvOpConvertFToS, x)
#include "ops/elementary.h"

#define EXP(x) exp_any(b, x)
#define LOG(x) log_any(b, x)
#define TANH(x) tanh_any(b, x)
#define ERF(x) erf_any(b, x)
#define CDF(x) cdf_any(b, x)
#define BELL(x) bell(b, x)
#define SIN(x) sin_any(b, x, 0)
#define COS(x) sin_any(b, x, 1)
#define A0 K(a[0])
#define A1 K(a[1])

#define F32(name, n_in, formula)                                                                  \
    static uint32_t name##_f32(hn__spv *b, const float *a, uint32_t x, uint32_t y)                \
    {                                                                                             \
        UNUSED, (void)a;                                                                          \
        return formula;                                                                           \
    }
HN__FORMULAS_ANY(F32)
HN__FORMULAS_FLOAT(F32)
HN__FORMULAS_TEST(F32)

// ---- emit ----------------------------------------------------------------------------------

static uint32_t truth_lane(hn__spv *b, uint32_t t)
{
    return IPICK(t, KI(1), KI(0));
}

static const float no_attr[2];

#define EMIT_FLOAT(name, n_in, formula)                                                           \
    uint32_t hn__emit_##name(hn__spv *b, const hn__pw *p, const uint32_t x[])                     \
    {                                                                                             \
        const hn__pw_attr *a = p->attr;                                                           \
        return name##_f32(b, a ? a->a : no_attr, x[0], (n_in) > 1 ? x[1] : 0);                    \
    }
#define EMIT_EITHER(name, n_in, wrap)                                                             \
    uint32_t hn__emit_##name(hn__spv *b, const hn__pw *p, const uint32_t x[])                     \
    {                                                                                             \
        const uint32_t y = (n_in) > 1 ? x[1] : 0;                                                 \
        return wrap(hn__is_float(p->in[0]) ? name##_f32(b, no_attr, x[0], y)                      \
                                           : name##_i32(b, x[0], y));                             \
    }
#define AS_IT_IS(x) (x)
#define AS_LANE(t) truth_lane(b, t)
#define EMIT_ANY(name, n_in, formula) EMIT_EITHER(name, n_in, AS_IT_IS)
#define EMIT_TEST(name, n_in, formula) EMIT_EITHER(name, n_in, AS_LANE)
HN__FORMULAS_FLOAT(EMIT_FLOAT)
HN__FORMULAS_ANY(EMIT_ANY)
HN__FORMULAS_TEST(EMIT_TEST)

uint32_t hn__emit_select(hn__spv *b, const hn__pw *p, const uint32_t x[])
{
    const uint32_t t = truth2(b, SpvOpINotEqual, x[0], KI(0));
    return hn__is_float(p->out) ? PICK(t, x[1], x[2]) : IPICK(t, x[1], x[2]);
}

uint32_t hn__emit_cast(hn__spv *b, const hn__pw *p, const uint32_t x[])
{
    const bool from_float = hn__is_float(p->in[0]);

    if (p->out == HN_I32)
        return from_float ? to_i32(b, x[0]) : x[0];
    if (p->out == HN_U8 && from_float)
        return to_u8(b, x[0]);
    if (p->out == HN_U8)
        return HN__SPV_GLSL(b, GLSLstd450SClamp, hn__spv_int(b), x[0], KI(0), KI(255));
    const uint32_t v = from_float ? x[0] : TO_V(x[0]);
    return p->out == HN_F16 ? round_f16(b, v) : p->out == HN_BF16 ? round_bf16(b, v) : v;
}
