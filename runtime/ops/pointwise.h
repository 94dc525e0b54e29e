// The three forms of a pointwise operator, made from formulas.h; pointwise.c puts them in the
// table.
#ifndef HN_OPS_POINTWISE_H
#define HN_OPS_POINTWISE_H

#include "ops/formulas.h"
#include "ops/table.h"

#define HN__POINTWISE(name, n, formula)                                                           \
    void hn__tile_##name(const hn__pw *p, int64_t n_lanes, void *y, const void *const x[]);       \
    uint32_t hn__emit_##name(hn__spv *b, const hn__pw *p, const uint32_t x[]);
HN__FORMULAS_ANY(HN__POINTWISE)
HN__FORMULAS_TEST(HN__POINTWISE)
HN__FORMULAS_FLOAT(HN__POINTWISE)
HN__POINTWISE(cast, 1, )
HN__POINTWISE(select, 3, )
#undef HN__POINTWISE

#endif
