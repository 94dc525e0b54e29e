// A convolution as a product of matrices: rows are channels, and a column and an index of the sum are
// a place (image, row, column) and a tap (channel, row, column) of the image's side, which meet at an
// element of it. Where the sum runs over places (w is made) columns are taps.
#ifndef HN_CONV_SUM_GLSL
#define HN_CONV_SUM_GLSL

#include "push.h"

layout(push_constant) uniform Push {
    conv_push p;
#ifdef CONV_ADDRESSES
    uint address[2 * CONV_ADDRESSES];
#endif
};

struct conv_sum {
    uint m, n, k;            // rows, columns, length of the sum
    uvec2 places, taps;      // how many there are: the radixes of the last two digits
    uvec2 tap_first, tap_step; // of the weight's rows and columns
    uvec2 size;              // of the image: rows, columns
    ivec2 stride, dilation, first; // a place and a tap meet at place * stride + tap * dilation + first
    uint image_step, from;   // elements of an image, of all its channels; where its group begins
    uint row_step, other_from; // of the other operand
    uvec3 other_step;        // by digits of the sum's index
    uint to;
    uvec2 to_step;           // of places: rows, columns
};

// Of the taps k * dilation of an axis those that lead from place `at` of y's grid, spread by stride, to
// elements of y: the first, and the distance between two; count 0: there is none.
void taps_of(uint at, uint count, uint stride, uint dilation, out uint first, out uint step, out uint n)
{
    first = 0u;
    while (first < count && first < stride && (first * dilation + stride - at % stride) % stride != 0u)
        first++;
    step = 1u;
    while (step < count && step * dilation % stride != 0u)
        step++;
    const bool any = first < count && (first * dilation + stride - at % stride) % stride == 0u;
    n = any ? (count - first + step - 1u) / step : 0u;
}

void sum_of_y(uint g, out conv_sum s)
{
    const uint taps = p.kh * p.kw, area = p.h * p.w;
    s.m = p.og;
    s.places = uvec2(p.oh, p.ow);
    s.n = p.n * p.oh * p.ow;
    s.taps = uvec2(p.kh, p.kw);
    s.tap_first = uvec2(0u);
    s.tap_step = uvec2(1u);
    s.k = p.cg * taps;
    s.size = uvec2(p.h, p.w);
    s.stride = ivec2(p.stride_h, p.stride_w);
    s.dilation = ivec2(p.dilation_h, p.dilation_w);
    s.first = -ivec2(p.pad_h, p.pad_w);
    s.image_step = p.groups * p.cg * area;
    s.from = g * p.cg * area;
    s.row_step = s.k;
    s.other_from = g * p.og * s.k;
    s.other_step = uvec3(taps, p.kw, 1u);
    s.to = g * p.og * p.oh * p.ow;
    s.to_step = uvec2(p.ow, 1u);
}

// The same seen from w: rows are of y, columns taps.
void sum_of_w(uint g, out conv_sum s)
{
    const uint area = p.oh * p.ow;
    sum_of_y(g, s);
    s.k = s.n;
    s.n = p.cg * p.kh * p.kw;
    s.row_step = area;
    s.other_from = g * p.og * area;
    s.other_step = uvec3(p.groups * p.og * area, p.ow, 1u);
    s.to = g * p.og * s.n;
}

// x's places a stride apart, from `corner` on: they share the taps that reach them.
void sum_of_x(uint g, uvec2 corner, out conv_sum s)
{
    const uint area = p.oh * p.ow, taps = p.kh * p.kw;
    const uvec2 stride = uvec2(p.stride_h, p.stride_w), at = corner + uvec2(p.pad_h, p.pad_w);
    const uvec2 dilation = uvec2(p.dilation_h, p.dilation_w);
    taps_of(at.x, p.kh, stride.x, dilation.x, s.tap_first.x, s.tap_step.x, s.taps.x);
    taps_of(at.y, p.kw, stride.y, dilation.y, s.tap_first.y, s.tap_step.y, s.taps.y);
    s.m = p.cg;
    s.places = (uvec2(p.h, p.w) - corner + stride - 1u) / stride;
    s.n = p.n * s.places.x * s.places.y;
    s.k = p.og * s.taps.x * s.taps.y;
    s.size = uvec2(p.oh, p.ow);
    s.stride = ivec2(1);
    s.dilation = -ivec2(s.tap_step * dilation / stride);
    s.first = ivec2(at / stride) - ivec2(s.tap_first * dilation / stride);
    s.image_step = p.groups * p.og * area;
    s.from = g * p.og * area;
    s.row_step = taps;
    s.other_from = g * p.og * p.cg * taps + s.tap_first.x * p.kw + s.tap_first.y;
    s.other_step = uvec3(p.cg * taps, s.tap_step.x * p.kw, s.tap_step.y);
    s.to = g * p.cg * p.h * p.w + corner.x * p.w + corner.y;
    s.to_step = uvec2(stride.x * p.w, stride.y);
}

// ---- digits --------------------------------------------------------------------------------

uvec3 digits_of(uint i, uvec2 radix)
{
    const uint low = max(radix.y, 1u), high = i / low, mid = max(radix.x, 1u);
    return uvec3(high / mid, high % mid, i % low);
}

uvec3 digits_sum(uvec3 a, uvec3 b, uvec2 radix)
{
    uvec3 d = a + b;
    if (d.z >= radix.y) {
        d.z -= radix.y;
        d.y++;
    }
    if (d.y >= radix.x) {
        d.y -= radix.x;
        d.x++;
    }
    return d;
}

// ---- elements ------------------------------------------------------------------------------

const ivec3 NOWHERE = ivec3(0, -0x40000000, 0); // as a place or a tap: gives 0

ivec3 place_at(conv_sum s, uvec3 d)
{
    return ivec3(int(s.from + d.x * s.image_step), ivec2(d.yz) * s.stride + s.first);
}

ivec3 tap_at(conv_sum s, uvec3 d)
{
    return ivec3(int(d.x * s.size.x * s.size.y), ivec2(d.yz) * s.dilation);
}

// Where a column's row 0 lies in y or x, of place d; and how far its rows are apart.
uint place_to(conv_sum s, bool of_x, uvec3 d, out uint row_step)
{
    row_step = of_x ? p.h * p.w : p.oh * p.ow;
    const uint image = d.x * p.groups * s.m * row_step;
    return s.to + image + d.y * s.to_step.x + d.z * s.to_step.y;
}

#endif
