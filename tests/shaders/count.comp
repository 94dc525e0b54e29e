// Each workgroup adds 1 to its own count, after a chain of `n` dependent steps.
#version 450
layout(local_size_x_id = 0) in;
layout(push_constant) uniform Push { uint end, first, n; } p;
layout(binding = 0) buffer Count { uint count[]; };

void main()
{
    const uint group = p.first + gl_WorkGroupID.y * gl_NumWorkGroups.x + gl_WorkGroupID.x;
    if (group >= p.end || gl_LocalInvocationID.x != 0)
        return;
    uint v = group;
    for (uint i = 0; i < p.n; i++)
        v = v * 1664525u + 1013904223u;
    count[group] += v == 0xffffffffu ? 2u : 1u;
}
