// What the three convolution kernels share. The channels of a thread's register tile are a
// specialization constant.
#ifndef HN_CONV_GLSL
#define HN_CONV_GLSL

layout(constant_id = 1) const uint TILE = 4u; // at most 8
layout(push_constant) uniform Push { conv_push p; };

float acc[8];

void clear_tile()
{
    for (uint r = 0u; r < TILE; r++)
        acc[r] = 0.0;
}

#endif
