// peak: arithmetic on registers alone, for `hornito bench peaks`: a = a x + y, in f32, in pairs of
// f16, or as the dot product of four 8-bit integers plus y. x and y come when it runs, and each
// step needs the one before, so no compiler can leave a step out.
// types: f32 f16 u8
#version 460
#extension GL_GOOGLE_include_directive : require
#extension GL_EXT_control_flow_attributes : require
#if defined(T_F16)
#extension GL_EXT_shader_explicit_arithmetic_types_float16 : require
#elif defined(T_U8)
#include "dot8.glsl"
#endif
#include "common.glsl"
#include "push.h"

layout(constant_id = 1) const uint FORM_USED = 0u;
layout(push_constant) uniform Push { peak_push p; };
OUTF(0, sums); // one a thread

#if defined(T_F16)
#define T f16vec2
#define OF(bits) f16vec2(unpackHalf2x16(bits))
#define STEP(a, x, y) fma(a, x, y)
#define SUM(a) (float(a.x) + float(a.y))
#elif defined(T_U8)
#define T int
#define OF(bits) int(bits)
#define STEP(a, x, y) (dot8(a, x) + y)
#define SUM(a) float(a)
#else
#define T float
#define OF(bits) uintBitsToFloat(bits)
#define STEP(a, x, y) fma(a, x, y)
#define SUM(a) (a)
#endif

#define FORM(form, chains, turn)                                                                  \
    if (FORM_USED == form) {                                                                      \
        T a[chains];                                                                              \
        [[unroll]] for (uint i = 0u; i < chains; i++)                                             \
            a[i] = T(i + lane);                                                                   \
        for (uint n = 0u; n < p.steps; n += turn) {                                               \
            [[unroll]] for (uint u = 0u; u < turn; u++) {                                         \
                [[unroll]] for (uint i = 0u; i < chains; i++)                                     \
                    a[i] = STEP(a[i], x, y);                                                      \
            }                                                                                     \
        }                                                                                         \
        [[unroll]] for (uint i = 0u; i < chains; i++)                                             \
            sum += SUM(a[i]);                                                                     \
    }

void main()
{
    HN_GROUP_GUARD;
    const T x = OF(p.x), y = OF(p.y);
    // Threads differ, or a compiler may leave the work to a unit for what is the same in all.
    const uint lane = gl_LocalInvocationID.x & (PEAK_LANES - 1u);
    float sum = 0.0;
    PEAK_FORMS(FORM)
    sums[thread_index()] = sum;
}
