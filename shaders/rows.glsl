// Rows of p.cols elements, four neighbours at a time: one load or store where rows are whole runs
// of four. Run r of a row begins at its element 4 r.
//
//   IN_ROWS(b, name)   get_name(row, r, beyond)  `beyond` stands for what is past the row's end
//   OUT_ROWS(b, name)  put_name(row, r, v)
//
// To be included after the push constants.
#ifndef HN_ROWS_GLSL
#define HN_ROWS_GLSL

#include "runs.glsl"

layout(constant_id = 1) const uint WHOLE = 0u; // 1: p.cols is a multiple of 4

#define RUNS ((p.cols + 3u) / 4u) // of a row

#define IN_ROWS(b, name)                                                                          \
    IN(b, name);                                                                                  \
    layout(binding = b) readonly buffer InRuns##name { HN_RUN name##_runs[]; };                   \
    vec4 get_##name(uint row, uint r, float beyond)                                               \
    {                                                                                             \
        if (WHOLE != 0u)                                                                          \
            return RUN_LANES(name##_runs[row * (p.cols / 4u) + r]);                               \
        const uint c = 4u * r, at = row * p.cols + c;                                             \
        vec4 v = vec4(LD(name, at), beyond, beyond, beyond);                                      \
        if (c + 1u < p.cols)                                                                      \
            v.y = LD(name, at + 1u);                                                              \
        if (c + 2u < p.cols)                                                                      \
            v.z = LD(name, at + 2u);                                                              \
        if (c + 3u < p.cols)                                                                      \
            v.w = LD(name, at + 3u);                                                              \
        return v;                                                                                 \
    }

#define OUT_ROWS(b, name)                                                                         \
    OUT(b, name);                                                                                 \
    layout(binding = b) buffer OutRuns##name { HN_RUN name##_runs[]; };                           \
    void put_##name(uint row, uint r, vec4 v)                                                     \
    {                                                                                             \
        if (WHOLE != 0u) {                                                                        \
            name##_runs[row * (p.cols / 4u) + r] = LANES_RUN(v);                                  \
            return;                                                                               \
        }                                                                                         \
        const uint c = 4u * r, at = row * p.cols + c;                                             \
        ST(name, at, v.x);                                                                        \
        if (c + 1u < p.cols)                                                                      \
            ST(name, at + 1u, v.y);                                                               \
        if (c + 2u < p.cols)                                                                      \
            ST(name, at + 2u, v.z);                                                               \
        if (c + 3u < p.cols)                                                                      \
            ST(name, at + 3u, v.w);                                                               \
    }

float run_sum(vec4 v)
{
    return (v.x + v.y) + (v.z + v.w);
}

#endif
