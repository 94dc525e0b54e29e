// Operands of a product four neighbours at a time, by one load of 8 or 16 bytes; LAYOUT says how they
// lie in memory (push.h).
#ifndef HN_MATMUL_FOUR_GLSL
#define HN_MATMUL_FOUR_GLSL

#include "four.glsl"
#include "matmul.glsl"

const bool A_ALONG_K = (LAYOUT & MATMUL_A_ALONG_K) != 0u, A_FOURS = (LAYOUT & MATMUL_A_FOURS) != 0u;
const bool B_ALONG_K = (LAYOUT & MATMUL_B_ALONG_K) != 0u, B_FOURS = (LAYOUT & MATMUL_B_FOURS) != 0u;

// The same memory as a and b. Four elements of 16 bits are two words.
#if defined(HN_BLOCKS)
layout(binding = 0) readonly buffer InA4 { uvec4 a4[]; };
#else
IN4(0, a);
#endif
#if defined(HN_WEIGHTS)
layout(binding = 1) readonly buffer InB4 { uvec2 b4[]; };
#else
IN4(1, b);
#endif

#ifdef HN_BLOCKS
uint a_word(uint at) // at a byte that is a multiple of 2
{
    const uint low = a[at >> 2];
    return (at & 2u) == 0u ? low : (low >> 16) | (a[(at >> 2) + 1u] << 16);
}
#endif

// Elements i to i + 3; i is a multiple of 4.
vec4 four_a(uint i)
{
#if defined(HN_BLOCKS)
    if ((p.flags & MATMUL_A_BLOCKS) == 0u)
        return uintBitsToFloat(a4[i >> 2]);
    const uint at = i / 32u * 34u, word = a_word(at + 2u + i % 32u);
    const ivec4 bytes = ivec4(word << 24, word << 16, word << 8, word) >> 24;
    return half_value(a[at >> 2] >> ((at & 2u) * 8u)) * vec4(bytes);
#else
    return FOUR(a4[i >> 2]);
#endif
}

vec4 four_b(uint i)
{
#if defined(HN_BLOCKS)
    const uint quants = weights_quants(i);
    const vec2 scale = weights_scale(i);
    return vec4(quants & 0xffu, (quants >> 8) & 0xffu, (quants >> 16) & 0xffu, quants >> 24) * scale.x +
           scale.y;
#elif defined(T_W_F16) || defined(T_W_F16P)
    return four_f16(b4[i >> 2]);
#elif defined(T_W_BF16) || defined(T_W_BF16P)
    return four_bf16(b4[i >> 2]);
#else
    return FOUR(b4[i >> 2]);
#endif
}

// Four neighbours of a from (row, k) on, along k or down the rows; 0 from row m and from k_end on.
vec4 group_a(uint base, uint row, uint k, uint k_end)
{
    vec4 v = vec4(0.0);
    if (A_FOURS) {
        if (row < p.m && k < k_end)
            v = four_a(base + row * p.a_row + k * p.a_col);
        return v;
    }
    [[unroll]] for (uint e = 0u; e < 4u; e++) {
        const uint r = A_ALONG_K ? row : row + e, c = A_ALONG_K ? k + e : k;
        if (r < p.m && c < k_end)
            v[e] = LDA(base + r * p.a_row + c * p.a_col);
    }
    return v;
}

vec4 group_b(uint base, uint col, uint k, uint k_end)
{
    vec4 v = vec4(0.0);
    if (B_FOURS) {
        if (col < p.n && k < k_end)
            v = four_b(base + col * p.b_col + k * p.b_row);
        return v;
    }
    [[unroll]] for (uint e = 0u; e < 4u; e++) {
        const uint r = B_ALONG_K ? col : col + e, c = B_ALONG_K ? k + e : k;
        if (r < p.n && c < k_end)
            v[e] = LDB(base + r * p.b_col + c * p.b_row);
    }
    return v;
}

#endif
