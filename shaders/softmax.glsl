// A sum of exponentials met one by one (Milakov and Gimelshein 2018, arXiv 1805.02867): the sum is
// relative to the largest so far.
#ifndef HN_SOFTMAX_GLSL
#define HN_SOFTMAX_GLSL

struct running_sum {
    float most, sum; // sum of exp(v - most)
};

const float LEAST = -3.402823466e38; // stands for minus infinity, of which a difference is NaN
const running_sum running_none = running_sum(LEAST, 0.0);

running_sum running_add(running_sum s, float v)
{
    const float most = max(s.most, v);
    return running_sum(most, s.sum * exp(s.most - most) + exp(v - most));
}

// Four at once: one sum to rescale. An element that is not there is NOTHING.
#define NOTHING uintBitsToFloat(0xff800000u) // minus infinity
running_sum running_add_run(running_sum s, vec4 v)
{
    const float most = max(s.most, max(max(v.x, v.y), max(v.z, v.w)));
    const vec4 e = exp(v - most);
    return running_sum(most, s.sum * exp(s.most - most) + ((e.x + e.y) + (e.z + e.w)));
}

// The same sum relative to `most`, which is at least s.most.
float running_to(running_sum s, float most)
{
    return s.sum * exp(s.most - most);
}

// Both, relative to the larger of their largest.
running_sum running_join(running_sum a, running_sum b)
{
    const float most = max(a.most, b.most);
    return running_sum(most, running_to(a, most) + running_to(b, most));
}

#endif
