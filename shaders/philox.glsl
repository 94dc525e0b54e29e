// Philox 4x32-10, as in runtime/base/random.c. Block i of a draw has the counter
// { i, 0, stream, 0 }: a tensor has fewer than 2^32 elements here.
#ifndef HN_PHILOX_GLSL
#define HN_PHILOX_GLSL

uvec4 philox_block(ivec2 key, uint block, uint stream)
{
    uvec2 k = uvec2(key);
    uvec4 c = uvec4(block, 0u, stream, 0u);

    for (int round = 0; round < 10; round++) {
        uint a_hi, a_lo, b_hi, b_lo;
        umulExtended(0xD2511F53u, c.x, a_hi, a_lo);
        umulExtended(0xCD9E8D57u, c.z, b_hi, b_lo);
        c = uvec4(b_hi ^ c.y ^ k.x, b_lo, a_hi ^ c.w ^ k.y, a_lo);
        k += uvec2(0x9E3779B9u, 0xBB67AE85u);
    }
    return c;
}

#endif
