// Activations by their number in hn_act (hornito/ops.h).
#ifndef HN_ACT_GLSL
#define HN_ACT_GLSL

// The normal distribution function, as in runtime/ops/vecmath.h: what is small comes without
// cancellation.
float normal_cdf(float x)
{
    const float a = abs(x) * 0.707106781, z = 0.5 * x * x, t = min(a, 4.5);
    float m = 7.875875063e-5 * z - 8.016864287e-4;
    m = m * z + 5.189087423e-3;
    m = m * z - 2.685421201e-2;
    m = m * z + 1.128359472e-1;
    m = m * z - 3.761262667e-1;
    m = m * z + 1.128379166;
    float q = 1.386799765e-6 * t - 4.101827317e-5;
    q = q * t + 5.536293404e-4;
    q = q * t - 4.554445691e-3;
    q = q * t + 2.58311259e-2;
    q = q * t - 1.090304826e-1;
    q = q * t + 3.670479664e-1;
    q = q * t - 1.129568221;
    q = q * t + 1.545091403e-4;
    const float tail = 0.5 * exp(q - z);
    return a < 1.0 ? 0.5 + 0.5 * (x * 0.707106781) * m : x < 0.0 ? tail : 1.0 - tail;
}

float act_apply(uint act, float x)
{
    switch (act) {
    case 1u: return max(x, 0.0);
    case 2u: return x * normal_cdf(x);
    case 3u: return x / (1.0 + exp(-1.59576912 * (x + 0.044715 * x * x * x)));
    case 4u: return x / (1.0 + exp(-x));
    }
    return x;
}

#endif
