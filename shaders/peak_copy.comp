// peak_copy: runs of 16 bytes from one buffer to another, for `hornito bench peaks`; as two words of
// 64 bits where the kernels of rows move them so.
// types: f32 f32d
#version 460
#extension GL_GOOGLE_include_directive : require
#extension GL_EXT_control_flow_attributes : require
#include "common.glsl"
#include "push.h"

layout(push_constant) uniform Push { peak_copy_push p; };
#ifdef HN_PAIRS
#define RUN u64vec2
#else
#define RUN uvec4
#endif
layout(binding = 0) readonly buffer Inx { RUN x[]; };
layout(binding = 1) writeonly buffer Outy { RUN y[]; };

void main()
{
    HN_GROUP_GUARD;
    const uint first = group_index() * gl_WorkGroupSize.x * PEAK_WORDS + gl_LocalInvocationID.x;
    [[unroll]] for (uint i = 0u; i < PEAK_WORDS; i++) {
        const uint at = first + i * gl_WorkGroupSize.x;
        if (at < p.total)
            y[at] = x[at];
    }
}
