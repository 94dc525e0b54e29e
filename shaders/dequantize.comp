// dequantize: blocks as f32, four elements a thread.
// types: w_q8_0
#version 460
#extension GL_GOOGLE_include_directive : require
#include "push.h"

layout(push_constant) uniform Push { quantize_push p; };
#define WEIGHTS_BINDING 0
#include "weights.glsl"
layout(binding = 1) writeonly buffer OutY { vec4 y[]; };

void main()
{
    HN_GROUP_GUARD;
    const uint i = thread_index();
    if (i < p.blocks * 8u)
        y[i] = weights_bytes(weights_quants(4u * i)) * weights_scale(4u * i).x + weights_scale(4u * i).y;
}
