// Copies a convolution's weight into panels of TM rows, [groups, panels, taps, channels, TM] in f32, with
// zeros beyond the last row and channel: the sums then read it from beginning to end. Rows are the
// channels of what is made, and `channels` those that are summed over. A workgroup copies a channel.
#version 460
#extension GL_GOOGLE_include_directive : require
#include "common.glsl"
#include "push.h"

layout(constant_id = 1) const uint TM = 24;
layout(push_constant) uniform Push { conv_panel_push p; };
IN(0, w);      // [groups * og, cg, kh, kw]
OUTF(1, panel);

void main()
{
    HN_GROUP_GUARD;
    const uint k = group_index() % p.panel_channels, at = group_index() / p.panel_channels;
    const uint first = at % p.panels * TM;
    const uint from = at / p.panels * p.rows * p.channels * p.taps + k * p.channel_step;
    for (uint tap = 0u; tap < p.taps; tap++) {
        const uint to = ((at * p.taps + tap) * p.panel_channels + k) * TM;
        for (uint i = gl_LocalInvocationID.x; i < TM; i += gl_WorkGroupSize.x) {
            const bool inside = first + i < p.rows && k < p.channels;
            const float v = LD(w, inside ? from + (first + i) * p.row_step + tap : 0u);
            panel[to + i] = inside ? v : 0.0;
        }
    }
}
