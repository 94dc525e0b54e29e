// matmul for devices where loads and barriers are dear (software ones): each thread keeps a tile of
// TM x TN sums in registers and shares nothing.
// types: f32 f16 bf16 f16p bf16p w_f16 w_bf16 w_f16p w_bf16p w_q8_0 w_q4_0 w_q4_1 w_q5_0 w_q5_1 w_q4_k w_q5_k w_q6_k
#version 460
#extension GL_GOOGLE_include_directive : require
#extension GL_EXT_control_flow_attributes : require
#include "matmul.glsl"

layout(constant_id = 1) const uint TM = 8;
layout(constant_id = 2) const uint TN = 8;

void main()
{
    HN_GROUP_GUARD;
    const uint tiles_m = (p.m + TM - 1u) / TM, tiles_n = (p.n + TN - 1u) / TN;
    const uint tile = thread_index();
    if (tile >= p.batch * tiles_m * tiles_n)
        return;
    const matmul_base at = matmul_at(tile / (tiles_m * tiles_n));
    const uint in_batch = tile % (tiles_m * tiles_n);
    const uint row = in_batch / tiles_n * TM, col = in_batch % tiles_n * TN;

    // Beyond the edge the last row or column is read again, and not stored.
    uint ia[TM], ib[TN];
    [[unroll]] for (uint i = 0u; i < TM; i++)
        ia[i] = at.a + min(row + i, p.m - 1u) * p.a_row;
    [[unroll]] for (uint j = 0u; j < TN; j++)
        ib[j] = at.b + min(col + j, p.n - 1u) * p.b_col;

    float sum[TM * TN];
    [[unroll]] for (uint i = 0u; i < TM * TN; i++)
        sum[i] = 0.0;
    uint done = 0u;
#ifdef HN_BLOCKS // along k: 16 elements have one scale, and four come by a word
    vec2 scale[TN];
    uint quants[TN];
    for (; p.b_row == 1u && done < p.k; done++) {
        if ((done & 15u) == 0u)
            [[unroll]] for (uint j = 0u; j < TN; j++)
                scale[j] = weights_scale(ib[j] + done);
        if ((done & 3u) == 0u)
            [[unroll]] for (uint j = 0u; j < TN; j++)
                quants[j] = weights_quants(ib[j] + done);
        float va[TM];
        [[unroll]] for (uint i = 0u; i < TM; i++)
            va[i] = LDA(ia[i] + done);
        [[unroll]] for (uint j = 0u; j < TN; j++) {
            const float vb = weights_of(quants[j], done & 3u, scale[j]);
            [[unroll]] for (uint i = 0u; i < TM; i++)
                sum[i * TN + j] = fma(va[i], vb, sum[i * TN + j]);
        }
    }
#endif
    for (uint k = done; k < p.k; k++) {
        float va[TM], vb[TN];
        [[unroll]] for (uint i = 0u; i < TM; i++)
            va[i] = LDA(ia[i] + k * p.a_col);
        [[unroll]] for (uint j = 0u; j < TN; j++)
            vb[j] = LDB(ib[j] + k * p.b_row);
        [[unroll]] for (uint i = 0u; i < TM; i++)
            [[unroll]] for (uint j = 0u; j < TN; j++)
                sum[i * TN + j] = fma(va[i], vb[j], sum[i * TN + j]);
    }

    [[unroll]] for (uint i = 0u; i < TM; i++)
        [[unroll]] for (uint j = 0u; j < TN; j++)
            if (row + i < p.m && col + j < p.n)
                matmul_store(at.y, row + i, col + j, sum[i * TN + j]);
}
