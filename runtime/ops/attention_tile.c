// Attention and its gradient by tiles in shared memory, on GPUs. None of the figures that the choices
// rest on was measured on a card; AMD's compiler gave registers and occupancy (build/radv.txt).
#include "ops/attention_launch.h"

// "attention_tile", "attention_grad_tile_kv": rows that a workgroup owns, rows met in a step, a
// thread's tile of scores; of the first also keys of a part, 0 for all. The first N_USUAL are taken
// unmeasured.
enum { OWN, MET, TM, TN, KEYS, N_TILE, N_USUAL = 5, MOST_WIDTH = 256 };
static const uint32_t tile_list[][KEYS] = {
    { 64, 32, 4, 4 }, { 32, 64, 4, 4 }, { 32, 32, 4, 4 }, { 32, 32, 2, 4 },
    { 16, 32, 4, 4 }, { 64, 64, 4, 8 }, { 64, 32, 8, 4 }, { 128, 32, 8, 4 },
};
enum { N_TILES = sizeof tile_list / sizeof *tile_list };

static uint32_t threads(const uint32_t *p)
{
    return p[OWN] / p[TM] * (p[MET] / p[TN]);
}

// Columns that lie in shared memory at a time.
static uint32_t slice(const uint32_t *p)
{
    return p[MET] / p[TN] * 4;
}

static int64_t width_of(const uint32_t *p, int64_t d)
{
    return hn__pieces(d, slice(p)) * slice(p);
}

// What a thread keeps of `sums` results in registers.
static int64_t registers(const uint32_t *p, int64_t d, int64_t sums)
{
    return sums * p[TM] * width_of(p, d) / (p[MET] / p[TN]);
}

static bool fits(const uint32_t *p, const hn_device_info *info, int64_t d, int64_t sums)
{
    const int64_t slices = (p[OWN] + p[MET]) * (slice(p) + 4), weights = p[OWN] * (p[MET] + 4),
                  rows = p[OWN] + threads(p);

    return threads(p) <= info->max_invocations && width_of(p, d) <= MOST_WIDTH &&
           registers(p, d, sums) <= (p[TM] <= 4 ? 128 : 64) &&
           (int64_t)sizeof(float) * (slices + weights + rows) <= info->max_shared_bytes;
}

// The largest of the usual tiles that leaves registers free, keeps a GPU busy and is not mostly
// beyond the last row; otherwise the smallest; N_TILES where none fits. `rows` are a key head's.
static int usual_tile(const hn__attention_dims *a, const hn_device_info *info, int64_t rows,
                      int64_t sums)
{
    int best = N_TILES;

    for (int i = 0; i < N_USUAL; i++) {
        const uint32_t *p = tile_list[i];
        if (!fits(p, info, a->d, sums) || registers(p, a->d, sums) > 64)
            continue;
        best = i;
        if (p[OWN] < 2 * rows &&
            a->batch * a->kv_heads * hn__pieces(rows, p[OWN]) >= hn__enough_groups(info))
            break;
    }
    return best;
}

// Of those that own rows of queries, where the keys are in one part.
static int64_t groups(const hn__attention_dims *a, const uint32_t *p)
{
    return a->batch * a->kv_heads * hn__pieces(hn__attention_rows(a), p[OWN]);
}

// ---- forward -------------------------------------------------------------------------------

// All tiles; where workgroups would be few, also with the keys in parts, which are listed however
// few keys there are: the self-test's draws are short.
int hn__attention_tile_variants(const hn__inst *n, const hn_device_info *info, hn__variant out[])
{
    const hn__attention_dims a = hn__attention_dims_of(n);
    const int best = usual_tile(&a, info, hn__attention_rows(&a), 1);
    int count = 0, first = 0;

    for (int i = 0; i < N_TILES; i++) {
        const uint32_t *p = tile_list[i];
        const bool are_few = groups(&a, p) < hn__enough_groups(info);
        if (!fits(p, info, a.d, 1))
            continue;
        for (uint32_t k = 0; k <= (uint32_t)(i < N_USUAL && are_few); k++) {
            if (i == best && k == (uint32_t)(are_few && a.tk > HN__ATTENTION_PART))
                first = count;
            out[count++] = (hn__variant){ "attention_tile", N_TILE,
                                          { p[OWN], p[MET], p[TM], p[TN],
                                            k * HN__ATTENTION_PART } };
        }
    }
    if (count)
        hn__variant_first(out, first);
    return count;
}

// Constants 0 to 7 of all kernels by tiles.
static void spec(hn__dispatch *d, const uint32_t *p, const hn__attention_dims *a)
{
    hn__attention_spec(d, threads(p), p[OWN], p[MET], p[TM]);
    d->spec[d->n_spec++] = p[TN];
    d->spec[d->n_spec++] = (uint32_t)width_of(p, a->d);
    d->spec[d->n_spec++] = a->d % 4 == 0;
}

void hn__attention_tile_launch(const hn__inst *n, hn__launch *l, hn__dispatch *d)
{
    const hn__attention_dims a = hn__attention_dims_of(n);
    const uint32_t *p = l->variant.param;

    spec(d, p, &a);
    d->spec[d->n_spec++] = p[KEYS];
    hn__attention_parts(n, l, d, groups(&a, p), p[KEYS]);
}

// ---- backward ------------------------------------------------------------------------------

// The same tiles: own rows are queries, then keys.
int hn__attention_grad_tile_variants(const hn__inst *n, const hn_device_info *info,
                                     hn__variant out[])
{
    const hn__attention_dims a = hn__attention_dims_of(n);
    const int best = usual_tile(&a, info, a.tk, 2);
    int count = 0, first = 0;

    for (int i = 0; i < N_TILES; i++) {
        const uint32_t *p = tile_list[i];
        if (!fits(p, info, a.d, 2))
            continue;
        if (i == best)
            first = count;
        out[count++] = (hn__variant){ "attention_grad_tile_kv", KEYS,
                                      { p[OWN], p[MET], p[TM], p[TN] } };
    }
    if (count)
        hn__variant_first(out, first);
    return count;
}

void hn__attention_grad_tile_launch(const hn__inst *n, hn__launch *l)
{
    const hn__attention_dims a = hn__attention_dims_of(n);
    const uint32_t *p = l->variant.param;
    hn__dispatch *d = hn__attention_grad_dispatch(n, l, "attention_grad_tile_q", 0);

    d->bind[d->n_bind++] = HN__OUT(0);
    d->bind[d->n_bind++] = hn__attention_grad_dlse(n);
    spec(d, p, &a);
    hn__groups(d, groups(&a, p));
    d = hn__attention_grad_dispatch(n, l, "attention_grad_tile_kv", 0);
    d->bind[d->n_bind++] = HN__OUT(1);
    d->bind[d->n_bind++] = HN__OUT(2);
    spec(d, p, &a);
    hn__groups(d, a.batch * a.kv_heads * hn__pieces(a.tk, p[OWN]));
}
