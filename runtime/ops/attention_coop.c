// Attention by cooperative matrices, f16 on GPUs that list sizes of them. None of the figures that
// the choices rest on was measured on a card; AMD's compiler gave registers and occupancy
// (build/radv25.txt).
#include "ops/attention_launch.h"
#include "ops/shader.h"

// Rows that a workgroup owns, rows met in a step, its subgroups, a size of matrices that the device
// lists, lanes of a subgroup, keys of a part (0: all; of attention only).
enum { OWN, MET, WARPS, MAT_M, MAT_N, MAT_K, LANES, KEYS, N_COOP };

// Whole matrices, and eights.
static int64_t width_of(const uint32_t *p, int64_t d)
{
    const int64_t step = p[MAT_K] > 16 || p[MAT_N] > 16 ? 32 : 16;

    return hn__pieces(d, step) * step;
}

// Whether subgroups have whole matrices.
static bool is_whole(const uint32_t *p, const hn_device_info *info)
{
    return p[WARPS] * p[LANES] <= info->max_invocations &&
           p[OWN] / p[WARPS] % p[MAT_M] == 0 && p[MET] % p[MAT_N] == 0 && p[MET] % p[MAT_K] == 0;
}

// What a lane keeps in registers of a result of the rows owned.
static int64_t registers(const uint32_t *p, int64_t d)
{
    return p[OWN] / p[WARPS] * width_of(p, d) / p[LANES];
}

static bool fits(const uint32_t *p, const hn_device_info *info, int64_t d)
{
    const int64_t threads = p[WARPS] * p[LANES], width = width_of(p, d);
    const int64_t halves = (p[OWN] + p[MET]) * (width + 8) + 2 * p[OWN] * (p[MET] + 8),
                  floats = p[OWN] * (p[MET] + 4) + p[OWN] + (threads > p[OWN] ? threads : p[OWN]);
    const bool is_shared_out = threads <= p[OWN] ? p[OWN] % threads == 0
                                                 : p[MET] * p[OWN] % (8 * threads) == 0;

    return is_whole(p, info) && is_shared_out && registers(p, d) <= (p[LANES] < 32 ? 256 : 64) &&
           2 * halves + 4 * floats <= info->max_shared_bytes;
}

// Of both kernels of the gradient: own and met rows of two operands, two scores for each pair, and
// what is known of rows. Registers hold two results and the met rows that are on their way. Sums of
// eight columns lie where scores of a row will be.
static bool grad_fits(const uint32_t *p, const hn_device_info *info, int64_t d)
{
    const int64_t width = width_of(p, d), rows = p[OWN] > p[MET] ? p[OWN] : p[MET];
    const int64_t halves = 2 * (p[OWN] + p[MET]) * (width + 8),
                  floats = 2 * p[OWN] * (p[MET] + 4) + 5 * rows,
                  kept = 2 * registers(p, d) + p[MET] * width / (p[WARPS] * p[LANES]);

    return is_whole(p, info) && width / 8 <= p[MET] + 4 && kept <= (p[LANES] < 32 ? 640 : 160) &&
           2 * halves + 4 * floats <= info->max_shared_bytes;
}

// A kernel, its tiles, of which the first `n_parts` may take the keys in parts.
typedef struct coop {
    const char *kernel;
    bool (*fits)(const uint32_t *p, const hn_device_info *info, int64_t d);
    int n_tiles, n_parts;
    uint32_t tiles[6][MAT_M];
} coop;
static const coop forward = { "attention_coop", fits, 5, 2,
                              { { 64, 32, 4 }, { 32, 32, 2 }, { 64, 64, 4 }, { 128, 32, 4 },
                                { 16, 32, 1 } } };
static const coop backward = { "attention_grad_coop_kv", grad_fits, 6, 0,
                               { { 64, 32, 4 }, { 64, 16, 4 }, { 32, 32, 2 }, { 32, 16, 2 },
                                 { 64, 32, 2 }, { 128, 16, 8 } } };
enum { N_SIZES = 2 };

static bool takes_coop(const hn__inst *n, const hn_device_info *info)
{
    const uint32_t need = HN_FEATURE_COOPMAT | HN_FEATURE_FP16 | HN_FEATURE_STORAGE_16 |
                          HN_FEATURE_SUBGROUP;

    return n->in[0].dtype == HN_F16 && (info->features & need) == need &&
           hn__shader_find("attention_coop.f16");
}

static int64_t groups(const hn__attention_dims *a, const uint32_t *p)
{
    return a->batch * a->kv_heads * hn__pieces(hn__attention_rows(a), p[OWN]);
}

// Tiles of the first sizes that the device lists; where workgroups would be few, first with the keys
// in parts.
static int variants_of(const coop *c, const hn__inst *n, const hn_device_info *info,
                       hn__variant out[])
{
    const hn__attention_dims a = hn__attention_dims_of(n);
    const uint32_t lanes = info->subgroup_min ? info->subgroup_min : info->subgroup_size;
    int count = 0, sizes = 0;

    for (int i = 0; takes_coop(n, info) && i < info->n_matrices && sizes < N_SIZES; i++) {
        const hn_matrix_size *m = &info->matrices[i];
        if (m->type != HN_F16)
            continue;
        sizes++;
        for (int t = 0; t < c->n_tiles; t++) {
            const uint32_t *p = c->tiles[t];
            hn__variant v = { c->kernel, N_COOP,
                              { p[OWN], p[MET], p[WARPS], m->m, m->n, m->k, lanes,
                                HN__ATTENTION_PART } };
            if (!c->fits(v.param, info, a.d))
                continue;
            if (t < c->n_parts && groups(&a, p) < hn__enough_groups(info))
                out[count++] = v;
            v.param[KEYS] = 0;
            out[count++] = v;
        }
    }
    return count;
}

int hn__attention_coop_variants(const hn__inst *n, const hn_device_info *info, hn__variant out[])
{
    return variants_of(&forward, n, info, out);
}

// First the largest of the first size that keeps a GPU busy, otherwise the one with fewest keys.
int hn__attention_grad_coop_variants(const hn__inst *n, const hn_device_info *info,
                                     hn__variant out[])
{
    const hn__attention_dims a = hn__attention_dims_of(n);
    const int count = variants_of(&backward, n, info, out);
    int best = 0;

    for (int i = 1; i < count; i++) {
        const uint32_t own = out[best].param[OWN];
        if (a.batch * a.kv_heads * hn__pieces(a.tk, own) >= hn__enough_groups(info))
            break;
        best = out[i].param[OWN] < own ? i : best;
    }
    if (count)
        hn__variant_first(out, best);
    return count;
}

// Constants 0 to 9 of all kernels by cooperative matrices.
static void spec(const hn__launch *l, hn__dispatch *d, const hn__attention_dims *a)
{
    const uint32_t *p = l->variant.param;

    hn__attention_spec(d, p[WARPS] * p[LANES], p[OWN], p[MET], p[WARPS]);
    for (int i = MAT_M; i <= MAT_K; i++)
        d->spec[d->n_spec++] = p[i];
    d->spec[d->n_spec++] = (uint32_t)width_of(p, a->d);
    d->spec[d->n_spec++] = a->d % 8 == 0;
    d->subgroup = l->device->subgroup_min ? p[LANES] : 0;
}

void hn__attention_coop_launch(const hn__inst *n, hn__launch *l, hn__dispatch *d)
{
    const hn__attention_dims a = hn__attention_dims_of(n);
    const uint32_t *p = l->variant.param;

    spec(l, d, &a);
    d->spec[d->n_spec++] = p[KEYS];
    hn__attention_parts(n, l, d, groups(&a, p), p[KEYS]);
}

void hn__attention_grad_coop_launch(const hn__inst *n, hn__launch *l)
{
    const hn__attention_dims a = hn__attention_dims_of(n);
    const uint32_t *p = l->variant.param;

    l->tmp_bytes[0] *= 2; // two numbers for each query
    hn__dispatch *d = hn__attention_grad_dispatch(n, l, "attention_grad_coop_q", 0);
    d->bind[d->n_bind++] = HN__OUT(0);
    d->bind[d->n_bind++] = hn__attention_grad_dlse(n);
    spec(l, d, &a);
    hn__groups(d, groups(&a, p));
    d = hn__attention_grad_dispatch(n, l, "attention_grad_coop_kv", 0);
    d->bind[d->n_bind++] = HN__OUT(1);
    d->bind[d->n_bind++] = HN__OUT(2);
    spec(l, d, &a);
    hn__groups(d, a.batch * a.kv_heads * hn__pieces(a.tk, p[OWN]));
}
