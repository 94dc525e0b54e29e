// matmul for software devices that run the lanes of a subgroup in the registers of a processor and
// load what is the same for all lanes once: each lane has a column of b and TM rows of a. Rows of a
// are read through its address, where no bounds are checked, and come as an operand of the
// multiplication; one element of b serves TM products.
// types: f32 f16 bf16 w_f16 w_bf16 w_q8_0 w_q4_0 w_q4_1 w_q5_0 w_q5_1 w_q4_k w_q5_k w_q6_k
#version 460
#extension GL_GOOGLE_include_directive : require
#extension GL_EXT_control_flow_attributes : require
#extension GL_EXT_buffer_reference : require
#extension GL_EXT_buffer_reference_uvec2 : require
#define MATMUL_ADDRESSES 1
#include "matmul.glsl"

layout(constant_id = 1) const uint TM = 48;
layout(constant_id = 2) const uint A_IS_COLUMNS = 0; // a came transposed
layout(constant_id = 3) const uint BAND = 8;         // neighbouring columns of tiles, done row by row

// Of k; a literal, or drivers would not see that offsets are constant.
#ifdef HN_BLOCKS
#define STEP 32
#else
#define STEP 8
#endif
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
#define A_BUFFER layout(buffer_reference, std430, buffer_reference_align = 1 << ELEMENT_SHIFT) readonly buffer
A_BUFFER Run { ELEMENT v[]; };
A_BUFFER Steps { ELEMENT v[][STEP]; };

// Where element i of a lies.
uvec2 a_place(uint i)
{
    uint carry;
    const uint low = uaddCarry(address[0], i << ELEMENT_SHIFT, carry);
    return uvec2(low, address[1] + (i >> (32 - ELEMENT_SHIFT)) + carry);
}

// Elements [k, k + STEP) of a column of b that begins at `from`.
void load_b(uint from, uint k, out float v[STEP])
{
#ifdef HN_BLOCKS
    if (p.b_row == 1u) {
        [[unroll]] for (uint w = 0u; w < STEP; w += 4u) {
            const uint quants = weights_quants_of(from + k, w);
            const vec2 scale = weights_scale_of(from + k, w);
            [[unroll]] for (uint u = 0u; u < 4u; u++)
                v[w + u] = weights_of(quants, u, scale);
        }
        return;
    }
#endif
    [[unroll]] for (uint u = 0u; u < STEP; u++)
        v[u] = LDB(from + (k + u) * p.b_row);
}

void main()
{
    HN_GROUP_GUARD;
    const uint lanes = gl_WorkGroupSize.x;
    const uint tiles_m = (p.m + TM - 1u) / TM, tiles_n = (p.n + lanes - 1u) / lanes;
    const uint tile = group_index() % (tiles_m * tiles_n), band = tile / (tiles_m * BAND) * BAND;
    const uint in_band = tile - band * tiles_m, width = min(BAND, tiles_n - band);
    const matmul_base at = matmul_at(group_index() / (tiles_m * tiles_n));
    // The last tile goes back over rows of the one before it, which get what they have; a column
    // beyond the edge is the last one again, and not stored.
    const uint row = min(in_band / width * TM, p.m - TM);
    const uint col = (band + in_band % width) * lanes + gl_LocalInvocationID.x;
    const uint b_from = at.b + min(col, p.n - 1u) * p.b_col, a_from = at.a + row * p.a_row;

    float sum[TM];
    [[unroll]] for (uint i = 0u; i < TM; i++)
        sum[i] = 0.0;
    const uint steps = p.k / STEP;
    float vb[STEP];
    if (A_IS_COLUMNS == 0u) {
        Steps a_rows[TM];
        [[unroll]] for (uint i = 0u; i < TM; i++)
            a_rows[i] = Steps(a_place(a_from + i * p.a_row));
        uint s = 0u;
        if (steps > 0u)
            do { // tests last, as all loops here: see lanes.glsl
                load_b(b_from, s * STEP, vb);
                [[unroll]] for (uint i = 0u; i < TM; i++)
                    [[unroll]] for (uint u = 0u; u < STEP; u++)
                        sum[i] = fma(LD(a_rows[i].v[s], u), vb[u], sum[i]);
            } while (++s < steps);
    } else {
        uint s = 0u;
        if (steps > 0u)
            do {
                Run a_cols[STEP];
                [[unroll]] for (uint u = 0u; u < STEP; u++)
                    a_cols[u] = Run(a_place(a_from + (s * STEP + u) * p.a_col));
                load_b(b_from, s * STEP, vb);
                [[unroll]] for (uint i = 0u; i < TM; i++)
                    [[unroll]] for (uint u = 0u; u < STEP; u++)
                        sum[i] = fma(LD(a_cols[u].v, i), vb[u], sum[i]);
            } while (++s < steps);
    }
    uint k = steps * STEP;
    if (k < p.k)
        do {
            const float b_k = LDB(b_from + k * p.b_row);
            [[unroll]] for (uint i = 0u; i < TM; i++)
                sum[i] =
                    fma(LD(Run(a_place(a_from + i * p.a_row + k * p.a_col)).v, 0), b_k, sum[i]);
        } while (++k < p.k);

    [[unroll]] for (uint i = 0u; i < TM; i++)
        if (col < p.n)
            matmul_store(at.y, row + i, col, sum[i]);
}
