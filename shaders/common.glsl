// What every kernel shares: the workgroup's size, its place in the grid, and element access that
// is written once for every type.
//
//   IN(b, name)  OUT(b, name)    buffers of the type under build
//   LD(name, i)  ST(name, i, v)  load element i as float; store a float as element i
//   INF, OUTF                    buffers of f32 always; INI, OUTI of i32: plain name[i]
//
// The build defines one of T_F32, T_F16, T_BF16 (16-bit storage) and T_F16P, T_BF16P (two elements
// packed in a 32-bit word, for drivers without it; a store touches its own half only); or T_U8, which
// has the accessors of raw.glsl alone. HN_PAIRS beside T_F32: runs of four move as 64-bit integers.
#ifndef HN_COMMON_GLSL
#define HN_COMMON_GLSL

layout(local_size_x_id = 0) in;

// Workgroups are counted in one line; main() begins with HN_GROUP_GUARD.
#define group_index() (p.first_group + gl_WorkGroupID.y * gl_NumWorkGroups.x + gl_WorkGroupID.x)
#define HN_GROUP_GUARD if (group_index() >= p.end_group) return
// The thread's place among all threads, for kernels of one element a thread.
#define thread_index() (group_index() * gl_WorkGroupSize.x + gl_LocalInvocationID.x)

#define INF(b, name) layout(binding = b) readonly buffer In##name { float name[]; }
#define OUTF(b, name) layout(binding = b) buffer Out##name { float name[]; }
#define INI(b, name) layout(binding = b) readonly buffer In##name { int name[]; }
#define OUTI(b, name) layout(binding = b) buffer Out##name { int name[]; }

uint bf16_bits(float v) // round to nearest, ties to even; NaN stays NaN
{
    const uint u = floatBitsToUint(v);
    return (u & 0x7fffffffu) > 0x7f800000u ? (u >> 16) | 0x40u : (u + 0x7fffu + ((u >> 16) & 1u)) >> 16;
}

#ifdef HN_PAIRS
#extension GL_ARB_gpu_shader_int64 : require
#endif
#if defined(T_F32)
#define IN(b, name) INF(b, name)
#define OUT(b, name) OUTF(b, name)
#define LD(name, i) name[i]
#define ST(name, i, v) name[i] = (v)

#elif defined(T_F16)
#extension GL_EXT_shader_16bit_storage : require
#define IN(b, name) layout(binding = b) readonly buffer In##name { float16_t name[]; }
#define OUT(b, name) layout(binding = b) buffer Out##name { float16_t name[]; }
#define LD(name, i) float(name[i])
#define ST(name, i, v) name[i] = float16_t(v)

#elif defined(T_BF16)
#extension GL_EXT_shader_16bit_storage : require
#define IN(b, name) layout(binding = b) readonly buffer In##name { uint16_t name[]; }
#define OUT(b, name) layout(binding = b) buffer Out##name { uint16_t name[]; }
#define LD(name, i) uintBitsToFloat(uint(name[i]) << 16)
#define ST(name, i, v) name[i] = uint16_t(bf16_bits(v))

#elif !defined(T_U8) // u8 is for raw.glsl
#define IN(b, name) layout(binding = b) readonly buffer In##name { uint name[]; }
#define OUT(b, name) layout(binding = b) buffer Out##name { uint name[]; }
#if defined(T_F16P)
float unpack_element(uint word, uint i)
{
    const vec2 both = unpackHalf2x16(word);
    return (i & 1u) == 0u ? both.x : both.y;
}
uint pack_element(float v)
{
    return packHalf2x16(vec2(v, 0.0));
}
#else
float unpack_element(uint word, uint i)
{
    return uintBitsToFloat((i & 1u) == 0u ? word << 16 : word & 0xffff0000u);
}
uint pack_element(float v)
{
    return bf16_bits(v);
}
#endif
#define LD(name, i) unpack_element(name[(i) >> 1], uint(i))
#define ST(name, i, v)                                                                            \
    do {                                                                                          \
        const uint st_i = uint(i), st_shift = (st_i & 1u) * 16u;                                  \
        const uint st_bits = pack_element(v);                                                     \
        atomicAnd(name[st_i >> 1], 0xffff0000u >> st_shift);                                      \
        atomicOr(name[st_i >> 1], st_bits << st_shift);                                           \
    } while (false)
#endif

#endif
