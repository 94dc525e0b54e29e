// Four neighbouring elements, a run, of the type under build (common.glsl): what they are in memory,
// HN_RUN; as floats, RUN_LANES(run); and back, LANES_RUN(four).
#ifndef HN_RUNS_GLSL
#define HN_RUNS_GLSL

#if defined(HN_PAIRS)
#define HN_RUN u64vec2
vec4 run_lanes(u64vec2 r)
{
    return uintBitsToFloat(uvec4(unpackUint2x32(r.x), unpackUint2x32(r.y)));
}
#define RUN_LANES(r) run_lanes(r)
#define LANES_RUN(v)                                                                              \
    u64vec2(packUint2x32(floatBitsToUint(v.xy)), packUint2x32(floatBitsToUint(v.zw)))
#elif defined(T_F32)
#define HN_RUN vec4
#define RUN_LANES(r) (r)
#define LANES_RUN(v) (v)
#elif defined(T_F16)
#define HN_RUN f16vec4
#define RUN_LANES(r) vec4(r)
#define LANES_RUN(v) f16vec4(v)
#elif defined(T_BF16)
#define HN_RUN u16vec4
#define RUN_LANES(r) uintBitsToFloat(uvec4(r) << 16)
#define LANES_RUN(v)                                                                              \
    u16vec4(uvec4(bf16_bits(v.x), bf16_bits(v.y), bf16_bits(v.z), bf16_bits(v.w)))
#else
#define HN_RUN uvec2
vec4 run_lanes(uvec2 r)
{
    return vec4(unpack_element(r.x, 0u), unpack_element(r.x, 1u), unpack_element(r.y, 0u),
                unpack_element(r.y, 1u));
}
#define RUN_LANES(r) run_lanes(r)
#define LANES_RUN(v)                                                                              \
    uvec2(pack_element(v.x) | pack_element(v.y) << 16, pack_element(v.z) | pack_element(v.w) << 16)
#endif

#endif
