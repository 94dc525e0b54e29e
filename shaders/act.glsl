// Activations by their number in hn_act (hornito/ops.h), and the functions they need: tanh and
// erf made of exp, since a driver's own tanh may overflow and GLSL has no erf.
#ifndef HN_ACT_GLSL
#define HN_ACT_GLSL

float tanh_of(float x)
{
    const float z = x * x;
    const float near = x + x * z * ((((-6.26911972e-3 * z + 2.111095905e-2) * z - 5.387394885e-2) * z
                       + 1.333291537e-1) * z - 3.333333033e-1);
    const float far = 1.0 - 2.0 / (exp(min(2.0 * abs(x), 40.0)) + 1.0);
    return abs(x) < 0.6 ? near : (x < 0.0 ? -far : far);
}

float erf_of(float x)
{
    const float z = x * x, t = min(abs(x), 4.0);
    const float near = x * ((((((7.875875063e-5 * z - 8.016864287e-4) * z + 5.189087423e-3) * z
                       - 2.685421201e-2) * z + 1.128359472e-1) * z - 3.761262667e-1) * z + 1.128379166);
    float q = -1.637151415e-6 * t + 4.605804269e-5;
    q = q * t - 5.968056257e-4;
    q = q * t + 4.759596293e-3;
    q = q * t - 2.642113601e-2;
    q = q * t + 1.100800829e-1;
    q = q * t + 6.318260516e-1;
    q = q * t + 1.130233435;
    q = q * t - 3.201380497e-4;
    const float far = 1.0 - exp(-q);
    return abs(x) < 1.0 ? near : (x < 0.0 ? -far : far);
}

float act_apply(uint act, float x)
{
    switch (act) {
    case 1u: return max(x, 0.0);
    case 2u: return 0.5 * x * (1.0 + erf_of(x * 0.707106781));
    case 3u: return 0.5 * x * (1.0 + tanh_of(0.797884561 * (x + 0.044715 * x * x * x)));
    case 4u: return x / (1.0 + exp(-x));
    }
    return x;
}

#endif
