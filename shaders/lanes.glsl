// For software devices that run the lanes of a subgroup in the registers of a processor and load
// what is the same for all lanes once. Operands are read through their addresses (hn__addresses),
// where no bounds are checked: as elements that are the same for all lanes, which become operands
// of arithmetic, or as runs, a neighbour a lane, which become one load of a whole register. A loop
// that tests first runs once more with no lane, loads and all: what it reads then must be there.
//
// Needs: push constants that end with uint address[], T_* and LD of common.glsl.
#ifndef HN_LANES_GLSL
#define HN_LANES_GLSL

#extension GL_EXT_control_flow_attributes : require
#extension GL_EXT_buffer_reference : require
#extension GL_EXT_buffer_reference_uvec2 : require
#extension GL_KHR_shader_subgroup_basic : require

#if defined(T_F16)
#define ELEMENT float16_t
#define ELEMENT_SHIFT 1
#elif defined(T_BF16)
#define ELEMENT uint16_t
#define ELEMENT_SHIFT 1
#else
#define ELEMENT float
#define ELEMENT_SHIFT 2
#endif
#define RUN_BUFFER(shift)                                                                         \
    layout(buffer_reference, std430, buffer_reference_align = 1 << shift) readonly buffer
RUN_BUFFER(ELEMENT_SHIFT) Run { ELEMENT v[]; };
RUN_BUFFER(2) Floats { float v[]; };

// Where element i of a binding lies, of elements of 1 << shift bytes.
uvec2 place_of(uint binding, uint i, uint shift)
{
    uint carry;
    const uint low = uaddCarry(address[2u * binding], i << shift, carry);
    return uvec2(low, address[2u * binding + 1u] + (i >> (32u - shift)) + carry);
}

// Neighbours from `first` on, one a lane. The compiler makes one load of what looks like many: the
// lanes' numbers are constants to it, and the elements lie side by side.
#define RUN_OF_LANES(v, load, from, first)                                                        \
    float v = load(from.v, first);                                                                \
    [[unroll]] for (uint lane = 1u; lane < gl_WorkGroupSize.x; lane++) {                          \
        const float other = load(from.v, (first) + lane);                                         \
        v = gl_SubgroupInvocationID == lane ? other : v;                                          \
    }
#define LANES_FLOAT(v, i) v[i]

float run_of(Run from, uint first)
{
    RUN_OF_LANES(v, LD, from, first)
    return v;
}

float floats_of(Floats from, uint first)
{
    RUN_OF_LANES(v, LANES_FLOAT, from, first)
    return v;
}

#endif
