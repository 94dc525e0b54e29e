// The end of a product made in parts of k: their sums in order, then the epilogue. A thread an
// element of y.
#version 460
#extension GL_GOOGLE_include_directive : require
#include "matmul.glsl"

INF(0, part); // [parts, batch, m, n]

void main()
{
    HN_GROUP_GUARD;
    const uint i = thread_index(), size = p.batch * p.m * p.n;
    if (i >= size)
        return;
    float sum = 0.0;
    for (uint k = 0u; k < p.k; k += p.k_part)
        sum += part[k / p.k_part * size + i];
    matmul_store(0u, i / p.n, i % p.n, sum);
}
