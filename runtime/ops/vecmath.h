// exp, log, tanh, erf and sine for loops: f32, without branches or calls, so that a loop over
// them in an HN__HOT function becomes vector code (0.4 to 1 ns an element with AVX-512). Largest
// errors over all floats: exp 1.1 ulp, log 0.9, tanh 1.4, erf 2.0; sine and cosine of turns
// 1.1e-7. tests/test_vecmath.c samples them. Polynomials are Chebyshev fits made for this file.
#ifndef HN_OPS_VECMATH_H
#define HN_OPS_VECMATH_H

#include "base/base.h"

#include <math.h>
#include <string.h>

HN__INLINE float hn__bits_f32(int32_t u)
{
    float x;
    memcpy(&x, &u, sizeof x);
    return x;
}

HN__INLINE int32_t hn__f32_bits(float x)
{
    int32_t u;
    memcpy(&u, &x, sizeof u);
    return u;
}

// Adding and taking away 1.5 * 2^23 rounds to an integer, which is then in the low bits.
#define HN__ROUNDER 12582912.0f

// Gradual underflow; infinity from 88.73 on; NaN stays.
HN__INLINE float hn__vexp(float x)
{
    x = x > 89.0f ? 89.0f : x;
    x = x < -104.0f ? -104.0f : x;
    const float rounded = x * 1.44269504f + HN__ROUNDER, k = rounded - HN__ROUNDER;
    const float r = (x - k * 0.693145752f) - k * 1.42860682e-6f;
    float p = 1.392617612e-3f;
    p = p * r + 8.363173075e-3f;
    p = p * r + 4.166655466e-2f;
    p = p * r + 1.666657703e-1f;
    p = p * r + 0.5f;
    p = (p * r) * r + r + 1.0f;
    const int32_t n = hn__f32_bits(rounded) - 0x4b400000,
                  half = n >> 1; // two steps: 2^n alone overflows
    return p * hn__bits_f32((half + 127) << 23) * hn__bits_f32((n - half + 127) << 23);
}

// Of 0: -infinity; below 0: NaN. Subnormals are fine.
HN__INLINE float hn__vlog(float x)
{
    const float scaled = x < 1.17549435e-38f ? x * 8388608.0f : x;
    const int32_t bits = hn__f32_bits(scaled),
                  e = (bits - 0x3f3504f3) >> 23; // to [sqrt(1/2), sqrt 2)
    const float k = (float)(e - (x < 1.17549435e-38f ? 23 : 0));
    const float f = hn__bits_f32(bits - (int32_t)((uint32_t)e << 23)) - 1.0f, s = f / (2.0f + f),
                z = s * s;
    float p = 2.33534276e-1f;
    p = p * z + 2.854996859e-1f;
    p = p * z + 4.000012943e-1f;
    p = p * z + 6.666666655e-1f;
    float y = k * 0.693145752f + (f - (s * (f - z * p) - k * 1.42860682e-6f));
    y = x == 0.0f ? -INFINITY : y;
    y = x < 0.0f ? NAN : y;
    return x < INFINITY ? y : x; // infinity and NaN
}

HN__INLINE float hn__vtanh(float x)
{
    const float z = x * x;
    float p = -6.26911972e-3f;
    p = p * z + 2.111095905e-2f;
    p = p * z - 5.387394885e-2f;
    p = p * z + 1.333291537e-1f;
    p = p * z - 3.333333033e-1f;
    const float near = x + x * (z * p);
    const float far = 1.0f - 2.0f / (hn__vexp(2.0f * fabsf(x)) + 1.0f);
    return fabsf(x) < 0.6f ? near : copysignf(far, x);
}

// log(erfc(z)) + z^2 on [1, 4.5] (7e-8), where erfc leaves f32's range of interest.
HN__INLINE float hn__verfc_log(float z)
{
    const float t = z < 4.5f ? z : 4.5f;
    float p = 1.386799765e-6f;
    p = p * t - 4.101827317e-5f;
    p = p * t + 5.536293404e-4f;
    p = p * t - 4.554445691e-3f;
    p = p * t + 2.58311259e-2f;
    p = p * t - 1.090304826e-1f;
    p = p * t + 3.670479664e-1f;
    p = p * t - 1.129568221f;
    return p * t + 1.545091403e-4f;
}

// erf(x) / x for |x| <= 1, from z = x^2 (1e-9).
HN__INLINE float hn__verf_ratio(float z)
{
    float p = 7.875875063e-5f;
    p = p * z - 8.016864287e-4f;
    p = p * z + 5.189087423e-3f;
    p = p * z - 2.685421201e-2f;
    p = p * z + 1.128359472e-1f;
    p = p * z - 3.761262667e-1f;
    return p * z + 1.128379166f;
}

HN__INLINE float hn__verf(float x)
{
    const float a = fabsf(x), z = x * x;
    const float far = 1.0f - hn__vexp(hn__verfc_log(a) - z);
    return a < 1.0f ? x * hn__verf_ratio(z) : copysignf(far, x);
}

// Of the normal distribution: how likely a value above a >= 0 is, erfc(a / sqrt 2) / 2, as
// 2^(P(a) - a^2 log2(e) / 2). Absolute error 7e-8, relative 2e-6 up to 5.5, 0 beyond 13.
HN__INLINE float hn__vtail(float a)
{
    const float b = a < 5.5f ? a : 5.5f;
    float p = -2.22405614e-8f;
    p = p * b + 6.78798983e-7f;
    p = p * b - 8.91546279e-6f;
    p = p * b + 6.37727717e-5f;
    p = p * b - 2.33383646e-4f;
    p = p * b - 1.01683821e-4f;
    p = p * b + 7.07871607e-3f;
    p = p * b - 5.25361672e-2f;
    p = p * b + 2.62160212e-1f;
    p = p * b - 1.15110862f;
    p = p * b - 0.999999881f;
    const float t = p - (a * a) * 0.72134752f, x = t < -126.0f ? -126.0f : t;
    const float rounded = x + HN__ROUNDER, r = x - (rounded - HN__ROUNDER);
    float y = 1.53458103e-4f; // 2^r
    y = y * r + 1.339993121e-3f;
    y = y * r + 9.618488964e-3f;
    y = y * r + 5.550328777e-2f;
    y = y * r + 2.402264689e-1f;
    y = y * r + 6.931472057e-1f;
    y = y * r + 1.0f;
    y *= hn__bits_f32((hn__f32_bits(rounded) - 0x4b400000 + 127) << 23);
    return t < -126.0f ? 0.0f : y;
}

// The normal distribution function (1 + erf(x / sqrt 2)) / 2; what is small comes without
// cancellation.
HN__INLINE float hn__vcdf(float x)
{
    const float tail = hn__vtail(fabsf(x));
    return x < 0.0f ? tail : 1.0f - tail;
}

// 1 / (1 + exp(-x)).
HN__INLINE float hn__vsigmoid(float x)
{
    return 1.0f / (1.0f + hn__vexp(-x));
}

// Sine and cosine of 2 pi t where t is turn / 2^32.
HN__INLINE float hn__vsin_turn(uint32_t turn)
{
    const uint32_t quadrant = (turn + 0x20000000u) >> 30;
    const float t = (float)(int32_t)(turn - (quadrant << 30)) * 0x1p-32f, z = t * t; // [-1/8, 1/8]
    float s = 41.58954215f, c = 59.42410598f;
    s = s * z - 76.70128589f;
    c = c * z - 85.44882009f;
    s = s * z + 81.60523499f;
    c = c * z + 64.93936905f;
    s = s * z - 41.34170223f;
    c = c * z - 19.73920879f;
    s = 6.28318531f * t + (t * z) * s;
    c = 1.0f + z * c;
    const float y = quadrant & 1 ? c : s;
    return quadrant & 2 ? -y : y;
}

HN__INLINE float hn__vcos_turn(uint32_t turn)
{
    return hn__vsin_turn(turn + 0x40000000u);
}

#endif
