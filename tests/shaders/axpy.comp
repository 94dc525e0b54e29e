// y[i] = a * x[i] + y[i], an element a thread.
#version 450
layout(local_size_x_id = 0) in;
layout(constant_id = 1) const uint twice = 0; // adds once more
layout(push_constant) uniform Push { uint end, first, n; float a; } p;
layout(binding = 0) readonly buffer X { float x[]; };
layout(binding = 1) buffer Y { float y[]; };

void main()
{
    const uint group = p.first + gl_WorkGroupID.y * gl_NumWorkGroups.x + gl_WorkGroupID.x;
    const uint i = group * gl_WorkGroupSize.x + gl_LocalInvocationID.x;
    if (group >= p.end || i >= p.n)
        return;
    y[i] = p.a * x[i] * float(1 + twice) + y[i];
}
