// Where a tap's element lies in the grids of conv_grid.comp, from that of place (0, 0) of the sum.
#ifndef HN_CONV_GRID_GLSL
#define HN_CONV_GRID_GLSL

// In x's grid, which has the phases of the stride beside each other.
uint tap_in_x(uvec2 tap)
{
    const uvec2 stride = uvec2(p.stride_h, p.stride_w);
    const uvec2 there = tap * uvec2(p.dilation_h, p.dilation_w), phase = there % stride, off = there / stride;
    return (phase.x * stride.y + phase.y) * p.plane + off.x * p.cols + off.y;
}

// In y's grid, of the taps that reach a place of x.
uint tap_in_y(conv_sum s, uvec2 t)
{
    const uvec2 off = uvec2(ivec2(t) * s.dilation + s.first + ivec2(p.before_h, p.before_w));
    return off.x * p.cols + off.y;
}

// A part of the result is of an image and a group; where x is made, also of a corner: the place where those
// begin that are a stride apart.
uint parts_of_sum(bool of_x)
{
    const uint corners = min(uint(p.stride_h), p.h) * min(uint(p.stride_w), p.w);
    return p.n * p.groups * (of_x ? corners : 1u);
}

conv_sum sum_of_part(bool of_x, uint part, out uint image, out uint g)
{
    const uint width = min(uint(p.stride_w), p.w), corner = part / p.groups / p.n;
    conv_sum s;
    g = part % p.groups;
    image = part / p.groups % p.n;
    if (of_x)
        sum_of_x(g, uvec2(corner / width, corner % width), s);
    else
        sum_of_y(g, s);
    return s;
}

#endif
