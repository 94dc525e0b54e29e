// The better of two elements: the larger, and of equals the first. NaN counts as -infinity.
#ifndef HN_PICK_GLSL
#define HN_PICK_GLSL

struct pick {
    float key;
    uint at;
};

shared float pick_key[gl_WorkGroupSize.x];
shared uint pick_at[gl_WorkGroupSize.x];

#define PICK_LEAST uintBitsToFloat(0xff800000u)

pick pick_none()
{
    return pick(PICK_LEAST, 0xffffffffu);
}

pick pick_of(float v, uint at)
{
    const bool is_nan = (floatBitsToUint(v) & 0x7fffffffu) > 0x7f800000u;
    return pick(is_nan ? PICK_LEAST : v, at);
}

pick pick_better(pick a, pick b)
{
    if (b.key > a.key || (b.key == a.key && b.at < a.at))
        return b;
    return a;
}

// The best of a workgroup, for every thread. All threads must call. The last few are read by all,
// as the barriers of more halvings would cost more.
pick pick_reduce(pick v)
{
    const uint me = gl_LocalInvocationID.x;
    uint n = gl_WorkGroupSize.x;

    barrier();
    pick_key[me] = v.key;
    pick_at[me] = v.at;
    for (; n > 8u; n = (n + 1u) / 2u) {
        const uint half_n = (n + 1u) / 2u;
        barrier();
        if (me + half_n < n) {
            const pick best = pick_better(pick(pick_key[me], pick_at[me]),
                                          pick(pick_key[me + half_n], pick_at[me + half_n]));
            pick_key[me] = best.key;
            pick_at[me] = best.at;
        }
    }
    barrier();
    pick best = pick(pick_key[0], pick_at[0]);
    for (uint i = 1u; i < n; i++)
        best = pick_better(best, pick(pick_key[i], pick_at[i]));
    return best;
}

#endif
