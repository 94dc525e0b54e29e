// Elements as bits: for kernels that move them and must not touch a NaN's pattern. f32's build
// serves i32 as well; u8 is packed four to a word.
//
//   INW(b, name)  OUTW(b, name)    buffers of the type under build
//   LDW(name, i)  STW(name, i, u)  element i as a uint, and back
#ifndef HN_RAW_GLSL
#define HN_RAW_GLSL

#if defined(T_F16) || defined(T_BF16)
#extension GL_EXT_shader_16bit_storage : require
#define INW(b, name) layout(binding = b) readonly buffer In##name { uint16_t name[]; }
#define OUTW(b, name) layout(binding = b) buffer Out##name { uint16_t name[]; }
#define LDW(name, i) uint(name[i])
#define STW(name, i, u) name[i] = uint16_t(u)

#else
#define INW(b, name) layout(binding = b) readonly buffer In##name { uint name[]; }
#define OUTW(b, name) layout(binding = b) buffer Out##name { uint name[]; }

#if defined(T_F32)
#define LDW(name, i) name[i]
#define STW(name, i, u) name[i] = (u)

#else // several elements a word: a store touches its own bits only
#ifdef T_U8
#define RAW_LOG 2u
#define RAW_MASK 0xffu
#else
#define RAW_LOG 1u
#define RAW_MASK 0xffffu
#endif
#define RAW_SHIFT(i) ((uint(i) & ((1u << RAW_LOG) - 1u)) * (32u >> RAW_LOG))
#define LDW(name, i) ((name[uint(i) >> RAW_LOG] >> RAW_SHIFT(i)) & RAW_MASK)
#define STW(name, i, u)                                                                           \
    do {                                                                                          \
        const uint st_i = uint(i), st_shift = RAW_SHIFT(st_i);                                    \
        const uint st_bits = (u) & RAW_MASK;                                                      \
        atomicAnd(name[st_i >> RAW_LOG], ~(RAW_MASK << st_shift));                                \
        atomicOr(name[st_i >> RAW_LOG], st_bits << st_shift);                                     \
    } while (false)
#endif
#endif

#endif
