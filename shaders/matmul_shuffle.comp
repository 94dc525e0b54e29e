// matmul of operands that panels.comp copied, for devices where a load is dear whatever it brings: a
// subgroup of 8 makes TM rows of 64 columns. A load brings 64 numbers, a run of eight for each lane:
// those of b are the lane's columns, those of a go to all lanes by shuffles. STEPS of k are written
// out; k is a multiple.
// types: f32 f16 bf16
#version 460
#extension GL_GOOGLE_include_directive : require
#extension GL_EXT_control_flow_attributes : require
#extension GL_ARB_gpu_shader_int64 : require
#extension GL_KHR_shader_subgroup_shuffle : require

layout(constant_id = 1) const uint TM = 32;
layout(constant_id = 2) const uint STEPS = 4; // TM STEPS is a multiple of 64
// The epilogue is known when the kernel is compiled: software devices run what they skip.
layout(constant_id = 3) const uint FLAGS = 0;
layout(constant_id = 4) const uint ACT = 0;
#define MATMUL_FLAGS FLAGS
#define MATMUL_ACT ACT
#define MATMUL_RUNS
#include "matmul.glsl"

#define LANES 8u
#define RUN 8u
#define TN (LANES * RUN)
#define RUN_BUFFER(b, name) layout(binding = b) readonly buffer Run##name { u64vec4 name[]; }
#ifdef T_F32
RUN_BUFFER(2, bias_runs);
RUN_BUFFER(3, other_runs);
layout(binding = 4) writeonly buffer RunY { u64vec4 y_runs[]; };
#endif

float sum[TM * RUN];
shared u64vec4 tile_runs[TM * LANES]; // a lane sees its own

void unpack(u64vec4 bits, out float v[RUN])
{
    [[unroll]] for (uint c = 0u; c < 4u; c++) {
        const vec2 two = uintBitsToFloat(unpackUint2x32(bits[c]));
        v[2u * c] = two.x;
        v[2u * c + 1u] = two.y;
    }
}

u64vec4 pack(float v[RUN])
{
    u64vec4 bits;
    [[unroll]] for (uint c = 0u; c < 4u; c++)
        bits[c] = packUint2x32(floatBitsToUint(vec2(v[2u * c], v[2u * c + 1u])));
    return bits;
}

void add_products(uint a_run, uint b_run)
{
    for (uint k = 0u; k < p.k; k += STEPS) {
        float va[TM * STEPS / TN][RUN], vb[STEPS][RUN];
        [[unroll]] for (uint u = 0u; u < STEPS; u++)
            unpack(b_runs[b_run + u * LANES], vb[u]);
        [[unroll]] for (uint u = 0u; u < TM * STEPS / TN; u++)
            unpack(a_runs[a_run + u * LANES], va[u]);
        [[unroll]] for (uint i = 0u; i < TM; i++) {
            float a_i[STEPS];
            [[unroll]] for (uint u = 0u; u < STEPS; u++) {
                const uint e = u * TM + i;
                a_i[u] = subgroupShuffle(va[e / TN][e % RUN], e % TN / RUN);
            }
            [[unroll]] for (uint c = 0u; c < RUN; c++)
                [[unroll]] for (uint u = 0u; u < STEPS; u++)
                    sum[i * RUN + c] = fma(a_i[u], vb[u][c], sum[i * RUN + c]);
        }
        a_run += TM * STEPS / RUN;
        b_run += TN * STEPS / RUN;
    }
}

#ifdef T_F32
// A run of y that lies within a row.
void store_run(uint row, uint col, float v[RUN], uint y_first)
{
    const uint i = (y_first + row * p.n + col) / RUN;
    float bias_v[RUN], other_v[RUN];

    if ((FLAGS & MATMUL_BIAS) != 0u)
        unpack(bias_runs[col / RUN], bias_v);
    if ((FLAGS & (MATMUL_RESIDUAL | MATMUL_FACTOR)) != 0u)
        unpack(other_runs[i], other_v);
    [[unroll]] for (uint c = 0u; c < RUN; c++) {
        v[c] = act_apply(ACT, v[c] * p.scale + ((FLAGS & MATMUL_BIAS) != 0u ? bias_v[c] : 0.0));
        if ((FLAGS & MATMUL_RESIDUAL) != 0u)
            v[c] += other_v[c];
        if ((FLAGS & MATMUL_FACTOR) != 0u)
            v[c] *= other_v[c];
    }
    y_runs[i] = pack(v);
}
#endif

void main()
{
    HN_GROUP_GUARD;
    const uint tiles_m = (p.m + TM - 1u) / TM, tiles_n = (p.n + TN - 1u) / TN;
    const uint tile = group_index() % (tiles_m * tiles_n);
    const uint band = tile / (tiles_m * p.band) * p.band;
    const uint in_band = tile - band * tiles_m, width = min(p.band, tiles_n - band);
    const uint row = in_band / width * TM, col_first = (band + in_band % width) * TN;
    const uint lane = gl_SubgroupInvocationID, col = col_first + lane * RUN;
    const matmul_base at = matmul_at(group_index() / (tiles_m * tiles_n));

    [[unroll]] for (uint i = 0u; i < TM * RUN; i++)
        sum[i] = 0.0;
    add_products((at.a + row * p.k) / RUN + lane, (at.b + col_first * p.k) / RUN + lane);

    // Sums pass through memory, or what follows would be written out for all rows.
    [[unroll]] for (uint i = 0u; i < TM; i++) {
        float v[RUN];
        [[unroll]] for (uint c = 0u; c < RUN; c++)
            v[c] = sum[i * RUN + c];
        tile_runs[i * LANES + lane] = pack(v);
    }
    const uint rows = min(TM, p.m - row);
    float v[RUN];
#ifdef T_F32
    if (p.n % RUN == 0u) {
        for (uint i = 0u; i < rows && col < p.n; i++) {
            unpack(tile_runs[i * LANES + lane], v);
            store_run(row + i, col, v, at.y);
        }
        return;
    }
#endif
    for (uint i = 0u; i < rows; i++) {
        unpack(tile_runs[i * LANES + lane], v);
        [[unroll]] for (uint c = 0u; c < RUN; c++)
            if (col + c < p.n)
                matmul_store(at.y, row + i, col + c, v[c]);
    }
}
