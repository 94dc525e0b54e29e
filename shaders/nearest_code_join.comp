// nearest_code, second: a thread a row takes the best two of all parts, the lower code of equals,
// and their distances.
#version 460
#extension GL_GOOGLE_include_directive : require
#include "common.glsl"
#include "push.h"

layout(push_constant) uniform Push { nearest_code_push p; };
IN(0, x);            // [rows, d]
IN(1, codes);        // [k, d]
OUTI(2, index);      // [rows]
OUTF(3, distance_to);
OUTI(4, index2);
OUTF(5, distance2);
INI(6, found);       // [n_parts, rows, 4]

float squared(uint row, int code)
{
    float sum = 0.0;
    for (uint i = 0u; code >= 0 && i < p.d; i++) {
        const float v = LD(x, row * p.d + i) - LD(codes, uint(code) * p.d + i);
        sum += v * v;
    }
    return sum;
}

void main()
{
    HN_GROUP_GUARD;
    const uint row = thread_index();
    if (row >= p.rows)
        return;
    int at[2] = int[2](-1, -1);
    float best[2] = float[2](0.0, 0.0);
    for (uint i = 0u; i < 2u * p.n_parts; i++) { // codes rise from part to part
        const uint from = (i / 2u * p.rows + row) * 4u + i % 2u;
        const int code = found[from];
        const float score = intBitsToFloat(found[from + 2u]);
        if (code >= 0 && (at[0] < 0 || score > best[0])) {
            at[1] = at[0];
            best[1] = best[0];
            at[0] = code;
            best[0] = score;
        } else if (code >= 0 && (at[1] < 0 || score > best[1])) {
            at[1] = code;
            best[1] = score;
        }
    }
    index[row] = at[0];
    distance_to[row] = squared(row, at[0]);
    index2[row] = at[1];
    distance2[row] = squared(row, at[1]);
}
