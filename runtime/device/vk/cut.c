// How a list of commands is cut into submissions that stay under a time.
#include "device/vk/cut.h"

#include <math.h>

static uint64_t count_parts(const hn__cost *c, double limit_ns)
{
    const double n = ceil(c->ns / limit_ns), most = (double)c->n_groups;
    return n < most ? (n > 1 ? (uint64_t)n : 1) : (c->n_groups ? c->n_groups : 1);
}

hn_status hn__cut(const hn__cost *cost, int64_t n, double limit_ns, hn__parts *out)
{
    out->n = 0;
    out->n_cuts = 0;
    double sum = 0; // of the submission so far
    for (int64_t i = 0; i < n; i++) {
        const uint64_t n_parts = count_parts(&cost[i], limit_ns), groups = cost[i].n_groups;
        const double ns = cost[i].ns / (double)n_parts;
        HN_TRY(hn__reserve((void **)&out->item, &out->cap, out->n + (int64_t)n_parts,
                           sizeof *out->item));
        // The first groups % n_parts parts have one workgroup more.
        const uint64_t each = groups / n_parts, more = groups % n_parts;
        for (uint64_t p = 0, at = 0; p < n_parts; p++) {
            const bool cut = out->n == 0 || (sum > 0 && sum + ns > limit_ns);
            sum = cut ? ns : sum + ns;
            out->n_cuts += cut;
            const uint64_t end = at + each + (p < more);
            out->item[out->n++] = (hn__part){ i, at, end, ns, cut };
            at = end;
        }
    }
    return HN_OK;
}

void hn__parts_free(hn__parts *p)
{
    hn__free(p->item);
    *p = (hn__parts){ 0 };
}
