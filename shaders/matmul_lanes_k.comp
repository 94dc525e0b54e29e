// matmul of few rows with a transposed b, for software devices that run the 8 lanes of a subgroup in
// the registers of a processor. There a gather costs more than the arithmetic on what it brings, and
// a load that is the same for all lanes costs little. So the lanes share k, four neighbours each, and
// nothing is gathered: all lanes read all 32 elements of a step, and each keeps its own; neighbours of
// neighbouring lanes become one wide load. Operands are read through their addresses, where no bounds
// are checked. A subgroup makes TM rows of 8 columns.
// types: f32 f16 bf16 w_f16 w_bf16 w_q8_0 w_q4_0 w_q4_1 w_q5_0 w_q5_1 w_q4_k w_q5_k w_q6_k
#version 460
#extension GL_GOOGLE_include_directive : require
#extension GL_EXT_control_flow_attributes : require
#extension GL_EXT_buffer_reference : require
#extension GL_EXT_buffer_reference_uvec2 : require
#extension GL_KHR_shader_subgroup_ballot : require
#define MATMUL_ADDRESSES 2
#define WEIGHTS_BY_LANES
#include "matmul.glsl"

layout(constant_id = 1) const uint TM = 1;

#define lane() gl_SubgroupInvocationID
// Literals, or drivers would not see that offsets are constant.
#define LANES 8
#define COLS 8 // as many as lanes: each lane unpacks the scales of one
#define STEP 32

// Words of elements; 16-bit ones lie two to a word, and rows begin at whole words.
#ifdef T_F32
#define A_SHIFT 2
#else
#define A_SHIFT 1
#endif
#ifdef HN_WEIGHTS
#define B_SHIFT 1
#else
#define B_SHIFT A_SHIFT
#endif
layout(buffer_reference, std430, buffer_reference_align = 4) readonly buffer Row {
    uint v[][STEP >> (2 - A_SHIFT)];
};
#ifdef HN_BLOCKS
layout(buffer_reference, std430, buffer_reference_align = 4) readonly buffer Column { uint v[]; };
#else
layout(buffer_reference, std430, buffer_reference_align = 4) readonly buffer Column {
    uint v[][STEP >> (2 - B_SHIFT)];
};
#endif
Column column[COLS];
// Element e of the four that lane l has of a step.
#if defined(HN_BLOCKS)
#define ELEMENT(e, l) (4u * (l) + (e))
#elif B_SHIFT == 1
#define ELEMENT(e, l) ((e) / 2u * 16u + 2u * (l) + (e) % 2u)
#else
#define ELEMENT(e, l) (8u * (e) + (l))
#endif

uint keep(bool mine, uint x, uint other)
{
    return mine ? x : other;
}

float keep(bool mine, float x, float other)
{
    return mine ? x : other;
}

// ---- blocks --------------------------------------------------------------------------------

#ifdef HN_BLOCKS
uint here;       // the column whose quants are read
#ifdef WEIGHTS_IN_WORDS
#define FROM(c) 0u
#else
uint from[COLS]; // 2 where a column begins in the middle of a word
#define FROM(c) from[c]
#endif

uint word_at(uint at)
{
    const uint begin = FROM(here) + at, i = begin >> 2, half_word = (begin & 2u) >> 1;
    const uint low = column[here].v[i], high = column[here].v[i + half_word];
    return half_word == 0u ? low : (low >> 16) | (high << 16);
}

// No word is read that the lanes have nothing of.
uint word_behind(uint at, uint e)
{
    const uint begin = FROM(here) + at, i = begin >> 2, half_word = (begin & 2u) >> 1;
    uint low = column[here].v[i], high = column[here].v[i + half_word];
    [[unroll]] for (uint u = 1u; u < LANES; u++) {
        low = keep(e == 4u * u, column[here].v[i + u], low);
        high = keep(e == 4u * u, column[here].v[i + half_word + u], high);
    }
    return half_word == 0u ? low : (low >> 16) | (high << 16);
}

// Scales: each lane has those of its column.
uint half_bits(uint at)
{
    uint v = column[0].v[(FROM(0) + at) >> 2] >> (((FROM(0) + at) & 2u) * 8u);
    [[unroll]] for (uint c = 1u; c < COLS; c++)
        v = keep(lane() == c, column[c].v[(FROM(c) + at) >> 2] >> (((FROM(c) + at) & 2u) * 8u), v);
    return v;
}

uint byte_at(uint at)
{
    return (half_bits(at & ~1u) >> ((at & 1u) * 8u)) & 0xffu;
}
#endif

// ---- operands ------------------------------------------------------------------------------

// Where the byte (high, low) of an operand lies.
uvec2 place(uint operand, uint high, uint low)
{
    uint carry;
    const uint sum = uaddCarry(address[2u * operand], low, carry);
    return uvec2(sum, address[2u * operand + 1u] + high + carry);
}

// Elements of a lane in step s of `place`, with STEP of them.
#define FOUR_32(four, place, s)                                                                   \
    [[unroll]] for (uint e = 0u; e < 4u; e++) {                                                   \
        uint x = place.v[s][ELEMENT(e, 0u)];                                                      \
        [[unroll]] for (uint l = 1u; l < LANES; l++)                                              \
            x = keep(lane() == l, place.v[s][ELEMENT(e, l)], x);                                  \
        four[e] = uintBitsToFloat(x);                                                             \
    }
#define FOUR_16(four, place, s)                                                                   \
    [[unroll]] for (uint e = 0u; e < 4u; e += 2u) {                                               \
        uint x = place.v[s][ELEMENT(e, 0u) / 2u];                                                 \
        [[unroll]] for (uint l = 1u; l < LANES; l++)                                              \
            x = keep(lane() == l, place.v[s][ELEMENT(e, l) / 2u], x);                             \
        const vec2 both = two_of(x);                                                              \
        four[e] = both.x;                                                                         \
        four[e + 1u] = both.y;                                                                    \
    }
#if A_SHIFT == 2
#define A_FOUR FOUR_32
#else
#define A_FOUR FOUR_16
#endif
#if B_SHIFT == 2
#define B_FOUR FOUR_32
#else
#define B_FOUR FOUR_16
#endif

vec2 two_of(uint x)
{
#if defined(T_F16) || defined(T_W_F16)
    return unpackHalf2x16(x);
#else
    return uintBitsToFloat(uvec2(x << 16, x & 0xffff0000u));
#endif
}

// Four neighbours of a column; of blocks, their quants.
vec4 four_b(uint c, uint s)
{
    vec4 v;
#ifdef HN_BLOCKS
    here = c;
    const uint quants = weights_quants_of(s * STEP, 4u * lane());
    v = vec4(quants & 0xffu, (quants >> 8) & 0xffu, (quants >> 16) & 0xffu, quants >> 24);
#else
    B_FOUR(v, column[c], s)
#endif
    return v;
}

// Of all lanes, always in one order.
float total_of(float v)
{
    return ((subgroupBroadcast(v, 0u) + subgroupBroadcast(v, 1u)) +
            (subgroupBroadcast(v, 2u) + subgroupBroadcast(v, 3u))) +
           ((subgroupBroadcast(v, 4u) + subgroupBroadcast(v, 5u)) +
            (subgroupBroadcast(v, 6u) + subgroupBroadcast(v, 7u)));
}

// The lane of a broadcast must be a literal before SPIR-V 1.5.
#define EACH_COLUMN(DO) DO(0u) DO(1u) DO(2u) DO(3u) DO(4u) DO(5u) DO(6u) DO(7u)

#if !defined(HN_BLOCKS)
#define ADD_PRODUCTS(c)                                                                           \
    {                                                                                             \
        const vec4 vb = four_b(c, s);                                                             \
        [[unroll]] for (uint r = 0u; r < TM; r++)                                                 \
            sum[r * COLS + c] += dot(va[r], vb);                                                  \
    }
#else
#if defined(T_W_Q6_K) // half a step has one
#define SCALE_OF(i, c)                                                                            \
    keep(lane() < 4u, subgroupBroadcast(scale[i], c), subgroupBroadcast(scale[i + 2u], c))
#else
#define SCALE_OF(i, c) subgroupBroadcast(scale[i], c)
#endif
#define ADD_PRODUCTS(c)                                                                           \
    {                                                                                             \
        const vec4 vb = four_b(c, s);                                                             \
        const float so_x = SCALE_OF(0u, c), so_y = SCALE_OF(1u, c);                               \
        [[unroll]] for (uint r = 0u; r < TM; r++)                                                 \
            sum[r * COLS + c] += dot(va[r], vb) * so_x + dot(va[r], vec4(1.0)) * so_y;            \
    }
#endif

void main()
{
    HN_GROUP_GUARD;
    const uint tiles_m = (p.m + TM - 1u) / TM, tiles_n = (p.n + COLS - 1u) / COLS;
    const uint tile = group_index() % (tiles_m * tiles_n);
    const matmul_base at = matmul_at(group_index() / (tiles_m * tiles_n));
    // The last tile goes back over rows of the one before it, which get what they have; a column
    // beyond the edge is the last one again, and not stored.
    const uint row = min(tile / tiles_n * TM, p.m - TM), col = tile % tiles_n * COLS;

    Row a_row[TM];
    [[unroll]] for (uint r = 0u; r < TM; r++) {
        const uint i = at.a + (row + r) * p.a_row;
        a_row[r] = Row(place(0u, i >> (32 - A_SHIFT), i << A_SHIFT));
    }
    [[unroll]] for (uint c = 0u; c < COLS; c++) {
        const uint i = at.b + min(col + c, p.n - 1u) * p.b_col;
#if !defined(HN_BLOCKS)
        column[c] = Column(place(1u, i >> (32 - B_SHIFT), i << B_SHIFT));
#elif defined(WEIGHTS_IN_WORDS)
        column[c] = Column(place(1u, 0u, i / BLOCK_OF * SIZE_OF));
#else
        from[c] = i / BLOCK_OF * SIZE_OF & 2u;
        column[c] = Column(place(1u, 0u, i / BLOCK_OF * SIZE_OF - from[c]));
#endif
    }
    float sum[TM * COLS];
    [[unroll]] for (uint i = 0u; i < TM * COLS; i++)
        sum[i] = 0.0;

    const uint steps = p.k / STEP;
    uint s = 0u;
    if (steps > 0u)
        do { // tests last: see lanes.glsl
            vec4 va[TM];
            [[unroll]] for (uint r = 0u; r < TM; r++)
                A_FOUR(va[r], a_row[r], s)
#ifdef HN_BLOCKS
            vec4 scale = vec4(weights_scale_of(s * STEP, 0u), 0.0, 0.0);
#ifdef T_W_Q6_K
            scale.zw = weights_scale_of(s * STEP, 16u);
#endif
#endif
            EACH_COLUMN(ADD_PRODUCTS)
        } while (++s < steps);
#ifndef HN_BLOCKS
    for (uint k = steps * STEP + lane(); k < p.k; k += LANES)
        [[unroll]] for (uint c = 0u; c < COLS; c++) {
            const float v = LDB(at.b + min(col + c, p.n - 1u) * p.b_col + k);
            [[unroll]] for (uint r = 0u; r < TM; r++)
                sum[r * COLS + c] += LDA(at.a + (row + r) * p.a_row + k) * v;
        }
#endif
    [[unroll]] for (uint r = 0u; r < TM; r++) {
        float mine = total_of(sum[r * COLS]);
        [[unroll]] for (uint c = 1u; c < COLS; c++)
            mine = keep(lane() == c, total_of(sum[r * COLS + c]), mine);
        if (col + lane() < p.n)
            matmul_store(at.y, row + r, col + lane(), mine);
    }
}
