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

const bool OF_A = false, OF_B = true;

// Four neighbours from (i, k) on, i a row of a or a column of b, along k or along i; 0 beyond the last
// i and from k_end on.
vec4 group(bool of_b, uint base, uint i, uint k, uint k_end)
{
    const bool along_k = of_b ? B_ALONG_K : A_ALONG_K, fours = of_b ? B_FOURS : A_FOURS;
    const uint step = of_b ? p.b_col : p.a_row, step_k = of_b ? p.b_row : p.a_col, n = of_b ? p.n : p.m;
    vec4 v = vec4(0.0);

    if (fours) {
        const uint at = base + i * step + k * step_k;
        if (i < n && k < k_end)
            v = of_b ? four_b(at) : four_a(at);
        return v;
    }
    [[unroll]] for (uint e = 0u; e < 4u; e++) {
        const uint r = along_k ? i : i + e, c = along_k ? k + e : k, at = base + r * step + c * step_k;
        if (r < n && c < k_end)
            v[e] = of_b ? LDB(at) : LDA(at);
    }
    return v;
}

#endif
