// matmul_dots where a came in blocks too (q8_0): four products of 8-bit integers and their sum by one
// instruction. An element of b is s u + o with an unsigned u, so that four of them with a's d q come
// to d (s sum of u q + o sum of q), exact but for the scales.
// types: w_q8_0 w_q4_0 w_q4_1 w_q5_0 w_q5_1 w_q4_k w_q5_k w_q6_k
#version 460
#extension GL_GOOGLE_include_directive : require
#extension GL_EXT_control_flow_attributes : require
#include "matmul_dots.glsl"
#include "dot8.glsl"

// Two words of a, with the scale of each, from element i on and APART later.
void eight_a(uint i, out ivec2 q, out vec2 d)
{
    const uint one = i / 32u * 34u, two = (i + APART) / 32u * 34u;

    q = ivec2(a_word(one + 2u + i % 32u), a_word(two + 2u + (i + APART) % 32u));
    d.x = half_value(a[one >> 2] >> ((one & 2u) * 8u));
    d.y = APART < 32u ? d.x : half_value(a[two >> 2] >> ((two & 2u) * 8u));
}

void add_eight(matmul_base at, uint col, uint k)
{
    ivec2 b[COLS];
    vec4 so[COLS];

    [[unroll]] for (uint c = 0u; c < COLS; c++) {
        const uint i = col_at(at, col + c) + k;
        b[c] = ivec2(weights_eight_quants(i));
        so[c] = weights_eight_scales(i);
#ifdef T_W_Q8_0 // as they are stored: no offset
        b[c] ^= int(0x80808080u);
#endif
    }
    [[unroll]] for (uint r = 0u; r < ROWS; r++) {
        ivec2 q;
        vec2 d;
        eight_a(row_at(at, r) + k, q, d);
        const vec2 ones = d * vec2(dot8(q.x, 0x01010101), dot8(q.y, 0x01010101));
        [[unroll]] for (uint c = 0u; c < COLS; c++) {
            const vec2 products = d * vec2(dot8(q.x, b[c].x), dot8(q.y, b[c].y));
            sum[r * COLS + c] += dot(products, so[c].xz);
#ifndef T_W_Q8_0
            sum[r * COLS + c] += dot(ones, so[c].yw);
#endif
        }
    }
}

void main()
{
    HN_GROUP_GUARD;
    const uint blocks = (p.n + COLS - 1u) / COLS, col = group_index() % blocks * COLS;
    const matmul_base at = matmul_at(group_index() / blocks);

    [[unroll]] for (uint s = 0u; s < SUMS; s++)
        sum[s] = 0.0;
    for (uint i = gl_LocalInvocationID.x; i < p.k / 8u; i += SIZE)
        add_eight(at, col, first_k(i));
    finish(at, col);
}
