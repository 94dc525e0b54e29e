// Reductions over a workgroup in a fixed order: every thread gets the result. Sizes that are no
// power of two are fine. All threads must call.
#ifndef HN_REDUCE_GLSL
#define HN_REDUCE_GLSL

#ifdef HN_PAIRS // of software devices, where a workgroup is within a subgroup (hn__row_groups)
#extension GL_KHR_shader_subgroup_shuffle : require
#define HN_REDUCE(name, combine, join)                                                            \
    float name(float a)                                                                           \
    {                                                                                             \
        for (uint n = gl_WorkGroupSize.x / 2u; n > 0u; n /= 2u) {                                 \
            const float b = subgroupShuffleXor(a, n);                                             \
            a = combine;                                                                          \
        }                                                                                         \
        return a;                                                                                 \
    }
#elif defined(HN_SUBGROUPS) // each joins its own, which takes no barrier; all threads join the rest
#extension GL_KHR_shader_subgroup_arithmetic : require
shared float reduce_slot[gl_WorkGroupSize.x]; // one a subgroup: only the driver knows how many
#define HN_REDUCE(name, combine, join)                                                            \
    float name(float v)                                                                           \
    {                                                                                             \
        float a = join(v);                                                                        \
        if (gl_NumSubgroups == 1u)                                                                \
            return a;                                                                             \
        barrier();                                                                                \
        if (gl_SubgroupInvocationID == 0u)                                                        \
            reduce_slot[gl_SubgroupID] = a;                                                       \
        barrier();                                                                                \
        a = reduce_slot[0];                                                                       \
        for (uint i = 1u; i < gl_NumSubgroups; i++) {                                             \
            const float b = reduce_slot[i];                                                       \
            a = combine;                                                                          \
        }                                                                                         \
        return a;                                                                                 \
    }
#else // the last few slots are read by all threads, as the barriers of more halvings would cost more
shared float reduce_slot[gl_WorkGroupSize.x];
#define HN_REDUCE(name, combine, join)                                                            \
    float name(float v)                                                                           \
    {                                                                                             \
        const uint me = gl_LocalInvocationID.x;                                                   \
        uint n = gl_WorkGroupSize.x;                                                              \
        barrier();                                                                                \
        reduce_slot[me] = v;                                                                      \
        for (; n > 8u; n = (n + 1u) / 2u) {                                                       \
            const uint half_n = (n + 1u) / 2u;                                                    \
            barrier();                                                                            \
            if (me + half_n < n) {                                                                \
                const float a = reduce_slot[me], b = reduce_slot[me + half_n];                    \
                reduce_slot[me] = combine;                                                        \
            }                                                                                     \
        }                                                                                         \
        barrier();                                                                                \
        float a = reduce_slot[0];                                                                 \
        for (uint i = 1u; i < n; i++) {                                                           \
            const float b = reduce_slot[i];                                                       \
            a = combine;                                                                          \
        }                                                                                         \
        return a;                                                                                 \
    }
#endif

HN_REDUCE(reduce_add, a + b, subgroupAdd)
HN_REDUCE(reduce_max, max(a, b), subgroupMax)

#endif
