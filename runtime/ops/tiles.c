#include "ops/tiles.h"

#include <string.h>

uint32_t hn__tile_threads(const uint32_t *p)
{
    return p[HN__TILE_M] / p[HN__TILE_TM] * (p[HN__TILE_N] / p[HN__TILE_TN]);
}

int64_t hn__tile_groups(const hn__tile_dims *d, const uint32_t *p)
{
    return d->times * hn__pieces(d->m, p[HN__TILE_M]) * hn__pieces(d->n, p[HN__TILE_N]);
}

uint32_t hn__tile_words(const uint32_t *p)
{
    return p[HN__TILE_BUFFERS] * p[HN__TILE_DEPTH] * (p[HN__TILE_M] + p[HN__TILE_N] + 8);
}

bool hn__tile_takes_parts(const hn__tile_dims *d, const uint32_t *p, uint32_t parts, uint32_t most,
                          const hn_device_info *info)
{
    return parts == 1 || (parts <= most && 2 * hn__tile_groups(d, p) <= hn__enough_groups(info));
}

static bool fits(const hn__tiles *t, const uint32_t *p, const hn_device_info *info)
{
    return hn__tile_threads(p) <= info->max_invocations &&
           (int64_t)sizeof(float) * t->words(p) <= info->max_shared_bytes;
}

// Parts that make up for workgroups that are missing; 1 where the sum is short.
static uint32_t parts_of(const hn__tile_dims *d, const uint32_t *p, const hn_device_info *info)
{
    const int64_t want = hn__enough_groups(info) / hn__tile_groups(d, p);
    const uint32_t parts = want >= 8 && d->k >= 2048 ? 16 : want >= 2 && d->k >= 512 ? 4 : 1;

    return parts < p[HN__TILE_PARTS] ? parts : p[HN__TILE_PARTS];
}

// The largest tile that gives a GPU enough workgroups, parts of a long sum among them, and is not
// mostly beyond the edge; -1 where none fits.
static int best_tile(const hn__tiles *t, const hn__tile_dims *d, const hn_device_info *info)
{
    int best = -1;

    for (int i = 0; i < t->n; i++) {
        const uint32_t *p = t->list[i];
        const int64_t parts = d->k >= 512 * p[HN__TILE_PARTS] ? p[HN__TILE_PARTS] : 1;
        if (!fits(t, p, info))
            continue;
        best = i;
        if (p[HN__TILE_M] < 2 * d->m && p[HN__TILE_N] < 2 * d->n &&
            parts * hn__tile_groups(d, p) >= hn__enough_groups(info))
            break;
    }
    return best;
}

int hn__tile_variants(const hn__tiles *t, const hn__tile_dims *d, const hn_device_info *info,
                      hn__variant out[], int n)
{
    const int best = best_tile(t, d, info), first = n;
    const uint32_t best_parts = best < 0 ? 1 : parts_of(d, t->list[best], info);
    int best_at = first;

    for (int i = 0; i < t->n; i++) {
        const uint32_t *p = t->list[i];
        for (uint32_t parts = 1; parts <= 16 && fits(t, p, info); parts *= 4) {
            const bool is_best = i == best && parts == best_parts;
            if (!is_best && !hn__tile_takes_parts(d, p, parts, p[HN__TILE_PARTS], info))
                continue;
            best_at = is_best ? n : best_at;
            out[n] = (hn__variant){ t->kernel, HN__N_TILE, { 0 } };
            memcpy(out[n].param, p, HN__N_TILE * sizeof *p);
            out[n++].param[HN__TILE_PARTS] = parts;
        }
    }
    if (n > first)
        hn__variant_first(&out[first], best_at - first);
    return n;
}
