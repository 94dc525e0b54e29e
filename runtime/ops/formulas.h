// What every pointwise operator computes, once: lists of rows (name, operands, formula) over the
// operands x, y, z, the attributes A0, A1, and a small vocabulary. Three files give the words a
// meaning and so make three forms of each operator:
//   pointwise.c        f64 and the C library: the reference
//   pointwise_tile.c   lanes of f32 and i32 for the cpu device
//   pointwise_spirv.c  SPIR-V
//
// Words: K(c) constant; ADD SUB MUL DIV NEG ABS FLOOR SQRT RSQRT; LT LE EQ (truth), NOT, OR;
// PICK(truth, a, b); EXP LOG TANH ERF SIN COS; CDF, the normal distribution's, and
// BELL, exp(-x^2 / 2); LARGEST, the greatest finite number.
#ifndef HN_OPS_FORMULAS_H
#define HN_OPS_FORMULAS_H

#include "hornito/base.h"

#define SIGMOID(x) DIV(K(1), ADD(K(1), EXP(NEG(x))))
// The tanh form of GELU is x (1 + tanh(u)) / 2 = x / (1 + exp(-2 u)); 2 u with 2 sqrt(2/pi)
// = 1.59...
#define GELU_2U(x)                                                                                \
    MUL(MUL(K(1.5957691216057307118), x), ADD(K(1), MUL(K(0.044715), MUL(x, x))))

// Of f32 or i32: the result has the operands' type. A NaN operand gives NaN.
#define HN__FORMULAS_ANY(F)                                                                       \
    F(add, 2, ADD(x, y))                                                                          \
    F(sub, 2, SUB(x, y))                                                                          \
    F(mul, 2, MUL(x, y))                                                                          \
    F(min, 2, PICK(OR(LE(x, y), NOT(EQ(x, x))), x, y))                                            \
    F(max, 2, PICK(OR(LE(y, x), NOT(EQ(x, x))), x, y))                                            \
    F(neg, 1, NEG(x))                                                                             \
    F(abs, 1, ABS(x))                                                                             \
    F(broadcast, 1, x)                                                                            \
    F(stop_gradient, 1, x)                                                                        \
    F(straight_through, 2, y)

// Of f32 or i32, to truth.
#define HN__FORMULAS_TEST(F)                                                                      \
    F(eq, 2, EQ(x, y))                                                                            \
    F(ne, 2, NOT(EQ(x, y)))                                                                       \
    F(lt, 2, LT(x, y))                                                                            \
    F(le, 2, LE(x, y))                                                                            \
    F(is_finite, 1, LE(ABS(x), LARGEST))

// Of f32.
#define HN__FORMULAS_FLOAT(F)                                                                     \
    F(div, 2, DIV(x, y))                                                                          \
    F(exp, 1, EXP(x))                                                                             \
    F(log, 1, LOG(x))                                                                             \
    F(sqrt, 1, SQRT(x))                                                                           \
    F(rsqrt, 1, RSQRT(x))                                                                         \
    F(tanh, 1, TANH(x))                                                                           \
    F(erf, 1, ERF(x))                                                                             \
    F(sin, 1, SIN(x))                                                                             \
    F(cos, 1, COS(x))                                                                             \
    F(floor, 1, FLOOR(x))                                                                         \
    F(sigmoid, 1, SIGMOID(x))                                                                     \
    F(relu, 1, PICK(LT(x, K(0)), K(0), x))                                                        \
    F(leaky_relu, 1, PICK(LT(x, K(0)), MUL(A0, x), x))                                            \
    F(silu, 1, DIV(x, ADD(K(1), EXP(NEG(x)))))                                                    \
    F(silu_grad, 1, MUL(SIGMOID(x), ADD(K(1), MUL(x, SIGMOID(NEG(x))))))                          \
    F(gelu, 1, MUL(x, CDF(x)))                                                                    \
    F(gelu_grad, 1,                                                                               \
      ADD(CDF(x), MUL(MUL(K(0.39894228040143267794), x), BELL(x))))                               \
    F(gelu_tanh, 1, DIV(x, ADD(K(1), EXP(NEG(GELU_2U(x))))))                                      \
    F(gelu_tanh_grad, 1,                                                                          \
      MUL(SIGMOID(GELU_2U(x)),                                                                    \
          ADD(K(1), MUL(SIGMOID(NEG(GELU_2U(x))),                                                 \
                        MUL(x, ADD(K(1.5957691216057307118),                                      \
                                   MUL(K(0.21406444881780073636), MUL(x, x))))))))                \
    F(clamp, 1, PICK(LT(x, A0), A0, PICK(LT(A1, x), A1, x)))                                      \
    F(affine, 1, ADD(MUL(A0, x), A1))

// cast and select mix types and are written out in each of the three files.

// Attributes of the operators above that have any; also cast's target and broadcast's shape.
typedef struct hn__pw_attr {
    float a[2]; // A0, A1
    hn_type to;
} hn__pw_attr;

#endif
