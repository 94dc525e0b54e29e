// Pointwise operators on lanes of f32 and i32, for the cpu device: loops that the compiler turns
// into vector code for each level of the instruction set.
#include "ops/pointwise.h"

#include <float.h>
#include <math.h>
#include <string.h>

// Lanes are independent even where y is one of x.
#if defined(__clang__)
#define EACH_LANE _Pragma("clang loop vectorize(assume_safety)") for (int64_t i = 0; i < n; i++)
#elif defined(__GNUC__)
#define EACH_LANE _Pragma("GCC ivdep") for (int64_t i = 0; i < n; i++)
#else
#define EACH_LANE for (int64_t i = 0; i < n; i++)
#endif

static inline int32_t bits(float x)
{
    int32_t u;
    memcpy(&u, &x, sizeof u);
    return u;
}

static inline float of_bits(int32_t u)
{
    float x;
    memcpy(&x, &u, sizeof x);
    return x;
}

// Wraps, as devices do.
static inline int32_t wrap(uint32_t u)
{
    return (int32_t)u;
}

#define PICK(truth, a, b) ((truth) ? (a) : (b))
#define LT(x, y) ((x) < (y))
#define LE(x, y) ((x) <= (y))
#define EQ(x, y) ((x) == (y))
#define NOT(t) (!(t))
#define OR(s, t) ((s) | (t))

// ---- i32 -----------------------------------------------------------------------------------

#define ADD(x, y) wrap((uint32_t)(x) + (uint32_t)(y))
#define SUB(x, y) wrap((uint32_t)(x) - (uint32_t)(y))
#define MUL(x, y) wrap((uint32_t)(x) * (uint32_t)(y))
#define NEG(x) wrap(0 - (uint32_t)(x))
#define ABS(x) PICK((x) < 0, NEG(x), x)
#define LARGEST INT32_MAX

#define I32(name, n_in, formula)                                                                  \
    static inline int32_t name##_i32(int32_t x, int32_t y)                                        \
    {                                                                                             \
        (void)x, (void)y;                                                                         \
        return formula;                                                                           \
    }
HN__FORMULAS_ANY(I32)
HN__FORMULAS_TEST(I32)

#undef ADD
#undef SUB
#undef MUL
#undef NEG
#undef ABS
#undef LARGEST

// ---- f32 -----------------------------------------------------------------------------------

#define FN HN__INLINE
#define V float
#define I int32_t
#define PARAM
#define ARG
#define K(c) ((float)(c))
#define ADD(x, y) ((x) + (y))
#define SUB(x, y) ((x) - (y))
#define MUL(x, y) ((x) * (y))
#define DIV(x, y) ((x) / (y))
#define NEG(x) (-(x))
#define ABS(x) fabsf(x)
#define FLOOR(x) floorf(x)
#define SQRT(x) sqrtf(x)
#define RSQRT(x) (1 / sqrtf(x))
#define LARGEST FLT_MAX
#define MAD(x, y, z) ((x) * (y) + (z))
// Adding 1.5 x 2^23 leaves no bits for a fraction, and the integer in the low bits.
#define RINT(x) ((x) + 12582912.0f - 12582912.0f)
#define TO_I(x) (bits((x) + 12582912.0f) - 0x4b400000)
#define TO_V(i) ((float)(i))
#define BITS(x) bits(x)
#define OF_BITS(i) of_bits(i)
#define KI(c) (c)
#define IADD(a, b) wrap((uint32_t)(a) + (uint32_t)(b))
#define ISUB(a, b) wrap((uint32_t)(a) - (uint32_t)(b))
#define IAND(a, b) ((a) & (b))
#define IOR(a, b) ((a) | (b))
#define ISHL(a, n) wrap((uint32_t)(a) << (n))
#define ISHR(a, n) ((a) >> (n))
#define IODD(a) ((a) & 1)
#define IPICK PICK
#define TRUNC_I(x) ((int32_t)(x))
#include "ops/elementary.h"

#define EXP(x) exp_any(x)
#define LOG(x) log_any(x)
#define TANH(x) tanh_any(x)
#define ERF(x) erf_any(x)
#define CDF(x) cdf_any(x)
#define BELL(x) bell(x)
#define SIN(x) sin_any(x, 0)
#define COS(x) sin_any(x, 1)

#define F32(type, name, formula)                                                                  \
    HN__INLINE type name##_f32(float x, float y, float A0, float A1)                              \
    {                                                                                             \
        (void)x, (void)y, (void)A0, (void)A1;                                                     \
        return formula;                                                                           \
    }
#define F32_VALUE(name, n_in, formula) F32(float, name, formula)
#define F32_TEST(name, n_in, formula) F32(int32_t, name, formula)
HN__FORMULAS_ANY(F32_VALUE)
HN__FORMULAS_FLOAT(F32_VALUE)
HN__FORMULAS_TEST(F32_TEST)

// ---- loops ---------------------------------------------------------------------------------

#define LOOP_F32(type, name, n_in)                                                                \
    HN__HOT static void name##_lanes_f32(const float *a, int64_t n, type *y, const float *x0,     \
                                         const float *x1)                                         \
    {                                                                                             \
        const float a0 = a[0], a1 = a[1];                                                         \
        EACH_LANE y[i] = name##_f32(x0[i], (n_in) > 1 ? x1[i] : 0, a0, a1);                       \
    }
#define LOOP_I32(name, n_in)                                                                      \
    HN__HOT static void name##_lanes_i32(int64_t n, int32_t *y, const int32_t *x0,                \
                                         const int32_t *x1)                                       \
    {                                                                                             \
        EACH_LANE y[i] = name##_i32(x0[i], (n_in) > 1 ? x1[i] : 0);                               \
    }

static const float no_attr[2];

static const float *attr_of(const hn__pw *p)
{
    return p->attr ? ((const hn__pw_attr *)p->attr)->a : no_attr;
}

#define TILE_FLOAT(name, n_in, formula)                                                           \
    LOOP_F32(float, name, n_in)                                                                   \
    void hn__tile_##name(const hn__pw *p, int64_t n, void *y, const void *const x[])              \
    {                                                                                             \
        name##_lanes_f32(attr_of(p), n, y, x[0], (n_in) > 1 ? x[1] : NULL);                       \
    }
#define TILE_EITHER(name, n_in)                                                                   \
    LOOP_I32(name, n_in)                                                                          \
    void hn__tile_##name(const hn__pw *p, int64_t n, void *y, const void *const x[])              \
    {                                                                                             \
        if (hn__is_float(p->in[0]))                                                               \
            name##_lanes_f32(no_attr, n, y, x[0], (n_in) > 1 ? x[1] : NULL);                      \
        else                                                                                      \
            name##_lanes_i32(n, y, x[0], (n_in) > 1 ? x[1] : NULL);                               \
    }
#define TILE_ANY(name, n_in, formula) LOOP_F32(float, name, n_in) TILE_EITHER(name, n_in)
#define TILE_TEST(name, n_in, formula) LOOP_F32(int32_t, name, n_in) TILE_EITHER(name, n_in)
HN__FORMULAS_FLOAT(TILE_FLOAT)
HN__FORMULAS_ANY(TILE_ANY)
HN__FORMULAS_TEST(TILE_TEST)

// ---- select and cast -----------------------------------------------------------------------

// f32 and i32 are both moved as 32 bits.
HN__HOT static void select_lanes(int64_t n, int32_t *y, const int32_t *c, const int32_t *a,
                                 const int32_t *b)
{
    EACH_LANE y[i] = c[i] ? a[i] : b[i];
}

void hn__tile_select(const hn__pw *p, int64_t n, void *y, const void *const x[])
{
    (void)p;
    select_lanes(n, y, x[0], x[1], x[2]);
}

#define CAST(name, from, to, value)                                                               \
    HN__HOT static void name(int64_t n, to *y, const from *x)                                     \
    {                                                                                             \
        EACH_LANE y[i] = value;                                                                   \
    }
CAST(f32_to_f32, float, float, x[i])
CAST(f32_to_f16, float, float, round_f16(x[i]))
CAST(f32_to_bf16, float, float, round_bf16(x[i]))
CAST(f32_to_i32, float, int32_t, to_i32(x[i]))
CAST(f32_to_u8, float, int32_t, to_u8(x[i]))
CAST(i32_to_f32, int32_t, float, (float)x[i])
CAST(i32_to_f16, int32_t, float, round_f16((float)x[i]))
CAST(i32_to_bf16, int32_t, float, round_bf16((float)x[i]))
CAST(i32_to_i32, int32_t, int32_t, x[i])
CAST(i32_to_u8, int32_t, int32_t, x[i] < 0 ? 0 : x[i] > 255 ? 255 : x[i])

void hn__tile_cast(const hn__pw *p, int64_t n, void *y, const void *const x[])
{
    const bool from_float = hn__is_float(p->in[0]);

    switch (p->out) {
    case HN_F32: from_float ? f32_to_f32(n, y, x[0]) : i32_to_f32(n, y, x[0]); break;
    case HN_F16: from_float ? f32_to_f16(n, y, x[0]) : i32_to_f16(n, y, x[0]); break;
    case HN_BF16: from_float ? f32_to_bf16(n, y, x[0]) : i32_to_bf16(n, y, x[0]); break;
    case HN_I32: from_float ? f32_to_i32(n, y, x[0]) : i32_to_i32(n, y, x[0]); break;
    case HN_U8: from_float ? f32_to_u8(n, y, x[0]) : i32_to_u8(n, y, x[0]); break;
    default: break;
    }
}
