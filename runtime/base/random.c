// Philox 4x32-10 and a stream over it; hashing.
#include "base/base.h"

#include <math.h>
#include <string.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

void hn__philox(const uint32_t key[2], const uint32_t counter[4], uint32_t out[4])
{
    uint32_t k0 = key[0], k1 = key[1], c[4];
    memcpy(c, counter, sizeof c);
    for (int round = 0; round < 10; round++) {
        const uint64_t a = (uint64_t)0xD2511F53 * c[0], b = (uint64_t)0xCD9E8D57 * c[2];
        const uint32_t n0 = (uint32_t)(b >> 32) ^ c[1] ^ k0, n2 = (uint32_t)(a >> 32) ^ c[3] ^ k1;
        c[0] = n0;
        c[1] = (uint32_t)b;
        c[2] = n2;
        c[3] = (uint32_t)a;
        k0 += 0x9E3779B9;
        k1 += 0xBB67AE85;
    }
    memcpy(out, c, sizeof c);
}

hn_rng hn__rng(uint64_t seed, uint64_t stream)
{
    const uint64_t mixed = seed ^ (stream * UINT64_C(0x9E3779B97F4A7C15));
    return (hn_rng){ .key = { (uint32_t)mixed, (uint32_t)(mixed >> 32) } };
}

uint32_t hn__rng_u32(hn_rng *r)
{
    const uint64_t block = r->n >> 2;
    const uint32_t counter[4] = { (uint32_t)block, (uint32_t)(block >> 32) };
    uint32_t out[4];
    hn__philox(r->key, counter, out);
    return out[r->n++ & 3];
}

double hn__rng_uniform(hn_rng *r)
{
    const uint64_t hi = hn__rng_u32(r), lo = hn__rng_u32(r);
    return (double)((hi << 32 | lo) >> 11) * 0x1p-53;
}

int64_t hn__rng_below(hn_rng *r, int64_t n)
{
    return (int64_t)(hn__rng_uniform(r) * (double)n);
}

double hn__rng_range(hn_rng *r, double lo, double hi)
{
    return lo + (hi - lo) * hn__rng_uniform(r);
}

double hn__rng_normal(hn_rng *r)
{
    const double u = 1 - hn__rng_uniform(r), v = hn__rng_uniform(r);
    return sqrt(-2 * log(u)) * cos(6.283185307179586 * v);
}

int64_t hn__rng_dim(hn_rng *r, int64_t most)
{
    int64_t n;
    switch (hn__rng_below(r, 4)) {
    case 0: n = 1; break;
    case 1: n = 1 + hn__rng_below(r, most); break;
    default: {
        int bits = 0;
        while (INT64_C(2) << bits <= most)
            bits++;
        n = (INT64_C(1) << hn__rng_below(r, bits + 1)) + hn__rng_below(r, 3) - 1;
    }
    }
    return n < 1 ? 1 : n > most ? most : n;
}

uint64_t hn__hash(const void *p, size_t n, uint64_t seed)
{
    return XXH3_64bits_withSeed(p, n, seed);
}

uint64_t hn__hash_string(const char *s)
{
    return hn__hash(s, strlen(s), 0);
}
