// Copies the image's side of a convolution into grids of f32, with the zeros that padding stands for:
// planes of [step_h, step_w, rows, cols], where element (a, b, r, c) is that of row r * step_h + a +
// first_h and of column c * step_w + b + first_w. Channels are rounded up to whole turns of the loop that
// reads them, and a plane to `plane` elements, all zeros. A workgroup copies a plane.
#version 460
#extension GL_GOOGLE_include_directive : require
#include "common.glsl"
#include "push.h"

layout(push_constant) uniform Push { conv_grid_push p; };
IN(0, x);     // [images, channels, h, w]
OUTF(1, grid); // [images, channels of the grid, step_h, step_w, plane]

void main()
{
    HN_GROUP_GUARD;
    const uint phase = group_index() % (p.step_h * p.step_w), at = group_index() / (p.step_h * p.step_w);
    const uint k = at % p.grid_channels, from = (at / p.grid_channels * p.channels + k) * p.h * p.w;
    const int h0 = int(phase / p.step_w) + p.first_h, w0 = int(phase % p.step_w) + p.first_w;
    const uint to = group_index() * p.plane;
    const float one_row = 1.0 / float(p.cols);

    uint row = 0u, col = gl_LocalInvocationID.x;
    for (uint i = 0u; i < p.plane; i += gl_WorkGroupSize.x) {
        const uint more = uint((float(col) + 0.5) * one_row); // exact: rows are short, or col is
        row += more;
        col -= more * p.cols;
        const int ih = int(row * p.step_h) + h0, iw = int(col * p.step_w) + w0;
        const bool inside = k < p.channels && row < p.rows && uint(ih) < p.h && uint(iw) < p.w;
        float v = LD(x, inside ? from + uint(ih) * p.w + uint(iw) : 0u);
        if (i + gl_LocalInvocationID.x < p.plane)
            grid[to + i + gl_LocalInvocationID.x] = inside ? v : 0.0;
        col += gl_WorkGroupSize.x;
    }
}
