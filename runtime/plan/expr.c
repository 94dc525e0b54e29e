// Fused expressions: collapsing the iteration space.
#include "plan/expr.h"

static void drop(hn__expr *e, int at)
{
    for (int i = at; i + 1 < e->rank; i++) {
        e->dim[i] = e->dim[i + 1];
        for (int k = 0; k < e->n_in; k++)
            e->in[k].stride[i] = e->in[k].stride[i + 1];
    }
    e->rank--;
    if (e->axis > at)
        e->axis--;
}

// True where every input steps from row to row of dimension i as it would within one dimension.
static bool walks_as_one(const hn__expr *e, int i)
{
    for (int k = 0; k < e->n_in; k++)
        if (e->in[k].stride[i] != e->in[k].stride[i + 1] * e->dim[i + 1])
            return false;
    return true;
}

void hn__expr_collapse(hn__expr *e)
{
    const bool reduces = e->reduce != HN__REDUCE_NONE;

    for (int i = e->rank - 1; i >= 0; i--)
        if (e->dim[i] == 1 && !(reduces && e->axis == i))
            drop(e, i);
    for (int i = e->rank - 2; i >= 0; i--) {
        if (reduces && (e->axis == i || e->axis == i + 1))
            continue;
        if (!walks_as_one(e, i))
            continue;
        e->dim[i + 1] *= e->dim[i];
        drop(e, i);
    }
}
