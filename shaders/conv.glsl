// What the three convolution kernels share: a thread's tile of sums, whose sizes are constants of
// specialization. Channels of a tile are the same for a whole workgroup, so that all its threads
// load the same weight at once.
#ifndef HN_CONV_GLSL
#define HN_CONV_GLSL

layout(constant_id = 1) const uint TILE = 4u;   // channels
layout(constant_id = 2) const uint PLACES = 1u; // or input channels; 8 at most, with TILE 32
layout(push_constant) uniform Push { conv_push p; };

float acc[32]; // [TILE, PLACES]

void clear_tile()
{
    for (uint r = 0u; r < TILE * PLACES; r++)
        acc[r] = 0.0;
}

#endif
