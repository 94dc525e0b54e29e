// What the matrix products share: operands, the place of a tile in the grid, the epilogue.
// y[m, n] = act(scale sum_k a[m, k] b[k, n] + bias[n]) + residual[m, n], a batch at a time.
#ifndef HN_MATMUL_GLSL
#define HN_MATMUL_GLSL

#include "common.glsl"
#include "act.glsl"
#include "push.h"

layout(push_constant) uniform Push { matmul_push p; };
IN(0, a);
#ifdef HN_WEIGHTS
#define WEIGHTS_BINDING 1
#include "weights.glsl"
#define LDB(i) LDW(i)
#else
IN(1, b);
#define LDB(i) LD(b, i)
#endif
IN(2, bias);     // [n], where p.flags has MATMUL_BIAS
IN(3, residual); // like y, where p.flags has MATMUL_RESIDUAL
OUT(4, y);       // [batch, m, n]

// First elements of this batch.
struct matmul_base {
    uint a, b, y;
};

matmul_base matmul_at(uint batch)
{
    return matmul_base(batch * p.a_batch, batch * p.b_batch, batch * p.m * p.n);
}

void matmul_store(uint y_base, uint row, uint col, float sum)
{
    const uint i = y_base + row * p.n + col;
    float v = sum * p.scale;
    if ((p.flags & MATMUL_BIAS) != 0u)
        v += LD(bias, col);
    v = act_apply(p.act, v);
    if ((p.flags & MATMUL_RESIDUAL) != 0u)
        v += LD(residual, i);
    ST(y, i, v);
}

#endif
