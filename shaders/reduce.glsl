// Reductions over a workgroup in a fixed order: every thread gets the result. Sizes that are no
// power of two are fine. All threads must call.
#ifndef HN_REDUCE_GLSL
#define HN_REDUCE_GLSL

shared float reduce_slot[gl_WorkGroupSize.x];

#define HN_REDUCE(name, combine)                                                                  \
    float name(float v)                                                                           \
    {                                                                                             \
        const uint me = gl_LocalInvocationID.x;                                                   \
        barrier();                                                                                \
        reduce_slot[me] = v;                                                                      \
        for (uint n = gl_WorkGroupSize.x; n > 1u;) {                                              \
            const uint half_n = (n + 1u) / 2u;                                                    \
            barrier();                                                                            \
            if (me + half_n < n) {                                                                \
                const float a = reduce_slot[me], b = reduce_slot[me + half_n];                    \
                reduce_slot[me] = combine;                                                        \
            }                                                                                     \
            n = half_n;                                                                           \
        }                                                                                         \
        barrier();                                                                                \
        return reduce_slot[0];                                                                    \
    }

HN_REDUCE(reduce_add, a + b)
HN_REDUCE(reduce_max, max(a, b))

#endif
