// peak_coop: products of f16 cooperative matrices summed in f32, on registers alone, for
// `hornito bench peaks`. The second operand changes its sign each step, so that no product of the
// two stays the same and could be made once; an odd number of steps adds one product.
// types: f32
#version 460
#extension GL_GOOGLE_include_directive : require
#extension GL_EXT_control_flow_attributes : require
#extension GL_EXT_shader_16bit_storage : require
#extension GL_EXT_shader_explicit_arithmetic_types_float16 : require
#extension GL_KHR_memory_scope_semantics : require
#extension GL_KHR_cooperative_matrix : require
#include "common.glsl"
#include "push.h"

layout(constant_id = 1) const uint M = 16u;
layout(constant_id = 2) const uint N = 16u;
layout(constant_id = 3) const uint K = 16u;
layout(push_constant) uniform Push { peak_push p; };
OUTF(0, sums); // [workgroups, M, N]; a workgroup is one subgroup
layout(binding = 1) readonly buffer Inab { float16_t ab[]; }; // [M, K], [K, N]

void main()
{
    HN_GROUP_GUARD;
    coopmat<float16_t, gl_ScopeSubgroup, M, K, gl_MatrixUseA> a;
    coopmat<float16_t, gl_ScopeSubgroup, K, N, gl_MatrixUseB> b;
    coopmat<float, gl_ScopeSubgroup, M, N, gl_MatrixUseAccumulator> c[PEAK_MATRICES];

    coopMatLoad(a, ab, 0u, K, gl_CooperativeMatrixLayoutRowMajor);
    coopMatLoad(b, ab, M * K, N, gl_CooperativeMatrixLayoutRowMajor);
    [[unroll]] for (uint i = 0u; i < PEAK_MATRICES; i++)
        c[i] = coopmat<float, gl_ScopeSubgroup, M, N, gl_MatrixUseAccumulator>(float(i));
    for (uint n = 0u; n < p.steps; n++) {
        [[unroll]] for (uint i = 0u; i < PEAK_MATRICES; i++)
            c[i] = coopMatMulAdd(a, b, c[i]);
        b = -b;
    }
    [[unroll]] for (uint i = 1u; i < PEAK_MATRICES; i++)
        c[0] += c[i];
    coopMatStore(c[0], sums, group_index() * M * N, N, gl_CooperativeMatrixLayoutRowMajor);
}
