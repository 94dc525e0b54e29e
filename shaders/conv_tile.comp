// conv2d, conv2d_transpose and conv2d_weight_grad for GPUs: the product of matrices of conv_sum.glsl by
// tiles, as matmul_tile does it. What a slice holds of the image is read where its places and taps meet.
// Where p.k_part is not 0, sums go to scratch in parts, and matmul_join adds them.
#version 460
#extension GL_GOOGLE_include_directive : require
#extension GL_EXT_control_flow_attributes : require
#include "four.glsl"
#include "conv_sum.glsl"

IN(0, image);  // x, or where x is made y
IN(1, other);  // w, or where w is made y
IN4(1, other);
OUT(2, result);
OUTF(2, sums); // instead of it where p.k_part is not 0: [parts, result]

// As in matmul_tile; and threads are a multiple of the fours in a row of a slice, either way.
layout(constant_id = 1) const uint TILE_M = 64;
layout(constant_id = 2) const uint TILE_N = 64;
layout(constant_id = 3) const uint DEPTH = 16;
layout(constant_id = 4) const uint TM = 8;
layout(constant_id = 5) const uint TN = 4;
layout(constant_id = 6) const uint BUFFERS = 1;
layout(constant_id = 7) const uint SIDE = CONV_Y;   // what is made
layout(constant_id = 8) const uint HAS_FOURS = 0;   // `other` comes in fours along the sum

const uint SIZE = (TILE_M / TM) * (TILE_N / TN);
const uint LOADS_A = TILE_M * DEPTH / 4u / SIZE, LOADS_B = TILE_N * DEPTH / 4u / SIZE;
const uint GROUPS_M = TILE_M / 4u, GROUPS_N = TILE_N / 4u, GROUPS_K = DEPTH / 4u;
const uint PITCH_A = GROUPS_M + 1u, PITCH_B = GROUPS_N + 1u; // keeps neighbours in k off one bank
const uint STEP = 4u; // of k without a jump
const uint TM4 = TM / 4u, TN4 = TN / 4u;
const bool OVER_PLACES = SIDE == CONV_W;
const uint COLUMNS = OVER_PLACES ? LOADS_B : 4u;

shared vec4 slice_a[BUFFERS * DEPTH * PITCH_A], slice_b[BUFFERS * DEPTH * PITCH_B]; // [k, m or n]
vec4 next_a[LOADS_A], next_b[LOADS_B], sum[TM * TN4];

// What a thread fetches: fours of `other` along k; of the image fours of columns, or along k as well.
uint k_end;
uvec2 radix;                  // of k's digits
uvec3 k_a, k_b;               // of its first elements in the next slice
ivec3 column[COLUMNS]; // its columns: four of them, or one a load

float where_meet(conv_sum s, ivec3 place, ivec3 tap)
{
    const ivec3 at = place + tap;
    const bool inside = uint(at.y) < s.size.x && uint(at.z) < s.size.y;
    float v = 0.0;
    if (inside)
        v = LD(image, uint(at.x + at.y * int(s.size.y) + at.z));
    return v;
}

void begin_fetch(conv_sum s, uint col, uint k)
{
    const uint me = gl_LocalInvocationID.x;
    radix = OVER_PLACES ? s.places : s.taps;
    k_a = digits_of(k + me % GROUPS_K * 4u, radix);
    k_b = digits_of(k + me / GROUPS_N, radix);
    [[unroll]] for (uint i = 0u; i < COLUMNS; i++) {
        const uint c = col + (OVER_PLACES ? me / GROUPS_K + i * (SIZE / GROUPS_K) : me % GROUPS_N * 4u + i);
        const uvec3 d = digits_of(c, OVER_PLACES ? s.taps : s.places);
        column[i] = OVER_PLACES ? tap_at(s, d) : place_at(s, d);
        if (c >= s.n)
            column[i] = NOWHERE;
    }
}

// Along k, `other` and where OVER_PLACES the image too.
void fetch_along(conv_sum s, uint row, uint k0)
{
    const uint k = k0 + gl_LocalInvocationID.x % GROUPS_K * 4u;
    const uint first = row + gl_LocalInvocationID.x / GROUPS_K;
    uint from[4];
    ivec3 place[4];
    uvec3 d = k_a;
    [[unroll]] for (uint e = 0u; e < 4u; e++) {
        from[e] = s.other_from + d.x * s.other_step.x + d.y * s.other_step.y + d.z * s.other_step.z;
        if (OVER_PLACES)
            place[e] = k + e < k_end ? place_at(s, d) : NOWHERE;
        d = digits_sum(d, digits_of(1u, radix), radix);
    }
    [[unroll]] for (uint i = 0u; i < LOADS_A; i++) {
        const uint r = first + i * (SIZE / GROUPS_K);
        vec4 v = vec4(0.0);
        if (HAS_FOURS != 0u) {
            if (r < s.m && k < k_end)
                v = FOUR(other4[(from[0] + r * s.row_step) >> 2]);
        } else {
            [[unroll]] for (uint e = 0u; e < 4u; e++)
                if (r < s.m && k + e < k_end)
                    v[e] = LD(other, from[e] + r * s.row_step);
        }
        next_a[i] = v;
    }
    if (OVER_PLACES)
        [[unroll]] for (uint i = 0u; i < LOADS_B; i++)
            [[unroll]] for (uint e = 0u; e < 4u; e++)
                next_b[i][e] = where_meet(s, place[e], column[i]);
    k_a = digits_sum(k_a, digits_of(DEPTH, radix), radix);
}

void fetch(conv_sum s, uint row, uint k0)
{
    fetch_along(s, row, k0);
    if (OVER_PLACES)
        return;
    [[unroll]] for (uint i = 0u; i < LOADS_B; i++) {
        const uint k = k0 + gl_LocalInvocationID.x / GROUPS_N + i * (SIZE / GROUPS_N);
        const ivec3 tap = k < k_end ? tap_at(s, k_b) : NOWHERE;
        [[unroll]] for (uint e = 0u; e < 4u; e++)
            next_b[i][e] = where_meet(s, column[e], tap);
        k_b = digits_sum(k_b, digits_of(SIZE / GROUPS_N, radix), radix);
    }
}

void keep(uint buffer_k) // the first k of the buffer
{
    const uint k = buffer_k + gl_LocalInvocationID.x % GROUPS_K * 4u;
    [[unroll]] for (uint i = 0u; i < LOADS_A; i++) {
        const uint r = gl_LocalInvocationID.x / GROUPS_K + i * (SIZE / GROUPS_K);
        [[unroll]] for (uint e = 0u; e < 4u; e++)
            slice_a[(k + e) * PITCH_A + r / 4u][r & 3u] = next_a[i][e];
    }
    [[unroll]] for (uint i = 0u; i < LOADS_B; i++) {
        const uint at = gl_LocalInvocationID.x + i * SIZE, c = at / GROUPS_K;
        if (OVER_PLACES)
            [[unroll]] for (uint e = 0u; e < 4u; e++)
                slice_b[(k + e) * PITCH_B + c / 4u][c & 3u] = next_b[i][e];
        else
            slice_b[(buffer_k + at / GROUPS_N) * PITCH_B + at % GROUPS_N] = next_b[i];
    }
}

// The products of one k: a's column and b's row from these places on.
void add_products(uint from_a, uint from_b)
{
    vec4 va[TM4], vb[TN4];
    [[unroll]] for (uint i = 0u; i < TM4; i++)
        va[i] = slice_a[from_a + i * (TILE_M / TM)];
    [[unroll]] for (uint j = 0u; j < TN4; j++)
        vb[j] = slice_b[from_b + j * (TILE_N / TN)];
    [[unroll]] for (uint i = 0u; i < TM; i++)
        [[unroll]] for (uint j = 0u; j < TN4; j++)
            sum[i * TN4 + j] = fma(vec4(va[i / 4u][i % 4u]), vb[j], sum[i * TN4 + j]);
}

void store(conv_sum s, uint row, uint col, uint part)
{
    const uint numel = p.groups * (SIDE == CONV_Y   ? p.n * p.og * p.oh * p.ow
                                   : SIDE == CONV_X ? p.n * p.cg * p.h * p.w
                                                    : p.og * p.cg * p.kh * p.kw);
    [[unroll]] for (uint j = 0u; j < TN4; j++)
        [[unroll]] for (uint e = 0u; e < 4u; e++) {
            const uint c = col + j * (TILE_N / TN) * 4u + e;
            uint row_step = s.n, to = s.to + c;
            if (SIDE != CONV_W)
                to = place_to(s, SIDE == CONV_X, digits_of(c, s.places), row_step);
            [[unroll]] for (uint i = 0u; i < TM; i++) {
                const uint r = row + i / 4u * (TILE_M / TM) * 4u + i % 4u;
                const float v = sum[i * TN4 + j][e];
                if (r >= s.m || c >= s.n)
                    continue;
                if (p.k_part != 0u)
                    sums[part * numel + to + r * row_step] = v;
                else
                    ST(result, to + r * row_step, v);
            }
        }
}

void main()
{
    HN_GROUP_GUARD;
    // Tiles of one column are neighbours: what they read of the image stays in the cache.
    const uvec2 corners = SIDE == CONV_X ? min(uvec2(p.stride_h, p.stride_w), uvec2(p.h, p.w)) : uvec2(1u);
    const uint g = group_index() / p.tiles_m / p.tiles_n % p.groups;
    const uint rest = group_index() / p.tiles_m / p.tiles_n / p.groups;
    const uint corner = rest % (corners.x * corners.y), part = rest / (corners.x * corners.y);
    const uint row = group_index() % p.tiles_m * TILE_M, col = group_index() / p.tiles_m % p.tiles_n * TILE_N;
    conv_sum s;
    if (SIDE == CONV_X)
        sum_of_x(g, uvec2(corner / corners.y, corner % corners.y), s);
    else if (SIDE == CONV_Y)
        sum_of_y(g, s);
    else
        sum_of_w(g, s);
    const uint begin = part * p.k_part;
    k_end = p.k_part == 0u ? s.k : min(begin + p.k_part, s.k);
    // A thread's rows and columns come in fours, spread over the tile, as in matmul_tile.
    const uint me = gl_LocalInvocationID.x, across = TILE_N / TN / 8u;
    const uint me_m = me / 32u / across * 4u + me / 8u % 4u, me_n = me / 32u % across * 8u + me % 8u;

    [[unroll]] for (uint i = 0u; i < TM * TN4; i++)
        sum[i] = vec4(0.0);
    begin_fetch(s, col, begin);
    fetch(s, row, begin);
    keep(0u);
    barrier();
    uint buffer_k = 0u;
    for (uint k0 = begin; k0 < k_end; k0 += DEPTH) {
        const bool more = k0 + DEPTH < k_end;
        if (more)
            fetch(s, row, k0 + DEPTH);
        for (uint k = 0u; k < DEPTH; k += STEP)
            [[unroll]] for (uint e = 0u; e < STEP; e++)
                add_products((buffer_k + k + e) * PITCH_A + me_m, (buffer_k + k + e) * PITCH_B + me_n);
        if (BUFFERS == 1u)
            barrier();
        else
            buffer_k = DEPTH - buffer_k;
        if (more)
            keep(buffer_k);
        barrier();
    }
    store(s, row + me_m * 4u, col + me_n * 4u, part);
}
