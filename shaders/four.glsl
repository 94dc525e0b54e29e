// Four neighbouring elements by one load of 8 or 16 bytes.
//
//   FOUR_WORDS   what four elements are in memory
//   FOUR(words)  the same as floats
//   IN4(b, name) the memory of IN(b, name) again, in fours: name##4[]
#ifndef HN_FOUR_GLSL
#define HN_FOUR_GLSL

#include "common.glsl"

vec4 four_f16(uvec2 u)
{
    return vec4(unpackHalf2x16(u.x), unpackHalf2x16(u.y));
}

vec4 four_bf16(uvec2 u)
{
    return uintBitsToFloat(uvec4(u.x << 16, u.x & 0xffff0000u, u.y << 16, u.y & 0xffff0000u));
}

#if defined(T_F32)
#define FOUR_WORDS vec4
#define FOUR(u) u
#elif defined(T_F16) || defined(T_F16P)
#define FOUR_WORDS uvec2
#define FOUR(u) four_f16(u)
#else
#define FOUR_WORDS uvec2
#define FOUR(u) four_bf16(u)
#endif
#define IN4(b, name) layout(binding = b) readonly buffer In##name##4 { FOUR_WORDS name##4[]; }

#endif
