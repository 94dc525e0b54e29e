// Output heads: dense, and a codebook with a map from tokens to codes (VQ-Logits,
// arXiv 2505.10202).
//
// With L = h C^T, M the map and b the bias of tokens (0 without one), the logit of token w is
// L[M(w)] + b[w]. With beta_k = log(sum over w in k of exp(b_w)), the normaliser is
// log(sum_k exp(L_k + beta_k)), so
//   -log P(w) = CE(L + beta, M(w)) + beta_{M(w)} - b_w,
// which takes K terms instead of V.
#include "nn/lm.h"

#include <stdlib.h>

static hn_val codebook(hn_graph *g, const hn_lm_config *c)
{
    const hn_type t = { HN_F32, 2, { c->codes, c->width } };
    return hn__lm_param(g, c, "lm_head.codebook", t, (hn_init){ HN_INIT_NORMAL, 0.02f });
}

static hn_val token_map(hn_graph *g, const hn_lm_config *c)
{
    return hn_state(g, "lm_head.map", (hn_type){ HN_I32, 1, { c->vocab } },
                    (hn_init){ HN_INIT_ZERO, 0 });
}

// The bias of tokens, [1, V]; zeros where the head has none.
static hn_val token_bias(hn_graph *g, const hn_lm_config *c)
{
    const hn_type t = { HN_F32, 1, { c->vocab } };
    const hn_val b = c->token_bias
                         ? hn__lm_param(g, c, "lm_head.token_bias", t, (hn_init){ HN_INIT_ZERO, 0 })
                         : hn_fill(g, t, 0);
    return hn_reshape(g, b, 2, (int64_t[]){ 1, c->vocab });
}

static hn_val dense_weight(hn_graph *g, const hn_lm_config *c)
{
    if (c->tied)
        return hn__lm_embedding(g, c);
    const hn_type t = { HN_F32, 2, { c->vocab, c->width } };
    return hn__lm_param(g, c, "lm_head.weight", t, (hn_init){ HN_INIT_NORMAL, 0.02f });
}

// Never in 8 bits: an error here goes into every logit, and the product is a small part of a step.
static hn_val project(hn_graph *g, hn_val hidden, hn_val rows)
{
    return hn_matmul(g, hidden, rows, &(hn_matmul_params){ .transpose_b = true });
}

hn_val hn_lm_logits(hn_graph *g, const hn_lm_config *c, hn_val hidden)
{
    if (c->head == HN_HEAD_DENSE)
        return project(g, hidden, dense_weight(g, c));
    const hn_val codes = project(g, hidden, codebook(g, c)); // [.., K]
    const hn_val spread = hn_code_scatter(g, codes, token_map(g, c));
    return c->token_bias ? hn_add(g, spread, token_bias(g, c)) : spread;
}

// One number a token from a table: f32 [1, V], ids i32 [n] -> [n]; 0 where the id is -1.
static hn_val look_up(hn_graph *g, hn_val table, hn_val ids)
{
    if (!table.id || !ids.id)
        return (hn_val){ 0 };
    const int64_t v = hn__numel(hn__type(g, table)), n = hn__numel(hn__type(g, ids));
    const hn_val rows = hn_reshape(g, table, 2, (int64_t[]){ v, 1 });
    return hn_reshape(g, hn_embedding(g, rows, ids), 1, (int64_t[]){ n });
}

// The code of each target, -1 where it is masked. Codes are below 2^24, so f32 holds them.
static hn_val target_codes(hn_graph *g, const hn_lm_config *c, hn_val map, hn_val targets)
{
    const hn_val table = hn_cast(g, hn_reshape(g, map, 2, (int64_t[]){ 1, c->vocab }), HN_F32);
    const hn_val found = hn_cast(g, look_up(g, table, targets), HN_I32);
    const hn_val zero = hn_const(g, (hn_type){ .dtype = HN_I32 }, &(int32_t){ 0 });
    const hn_val none = hn_const(g, (hn_type){ .dtype = HN_I32 }, &(int32_t){ -1 });
    return hn_select(g, hn_lt(g, targets, zero), none, found);
}

static hn_val vq_loss(hn_graph *g, const hn_lm_config *c, hn_val hidden, hn_val targets)
{
    const hn_val map = token_map(g, c), bias = token_bias(g, c);
    const hn_val mass = hn_code_gather(g, hn_exp(g, bias), map, c->codes); // [1, K]
    // A code without tokens has exp(-69) instead of log 0.
    const hn_val beta = hn_log(g, hn_clamp(g, mass, 1e-30f, 3e38f));
    const hn_val logits = hn_add(g, project(g, hidden, codebook(g, c)), beta);
    const hn_val ce = hn_cross_entropy(g, logits, target_codes(g, c, map, targets));
    const hn_val rest = hn_sub(g, hn_code_scatter(g, beta, map), bias); // [1, V]
    return hn_add(g, ce, look_up(g, rest, targets));
}

hn_val hn_lm_loss(hn_graph *g, const hn_lm_config *c, hn_val hidden, hn_val targets)
{
    const hn_type t = hn_val_type(g, hidden);

    if (!hidden.id || !targets.id)
        return (hn_val){ 0 };
    const int64_t rows = hn__numel(&t) / c->width;
    hidden = hn_reshape(g, hidden, 2, (int64_t[]){ rows, c->width });
    targets = hn_reshape(g, targets, 1, (int64_t[]){ rows });
    if (c->head == HN_HEAD_VQ)
        return vq_loss(g, c, hidden, targets);
    return hn_cross_entropy(g, project(g, hidden, dense_weight(g, c)), targets);
}

typedef struct counted {
    int64_t count;
    int32_t token;
} counted;

static int falling(const void *a, const void *b)
{
    const counted *x = a, *y = b;
    return x->count != y->count ? (x->count < y->count ? 1 : -1) : x->token - y->token;
}

// Each code takes tokens up to its even share of the mass that is left, and leaves at least one
// token for each code to come.
static void share_out(const counted order[], int64_t vocab, int64_t codes, double left,
                      int32_t map[])
{
    int64_t at = 0;
    for (int64_t k = 0; k < codes; k++) {
        const double share = left / (double)(codes - k);
        const int64_t most = vocab - (codes - k - 1);
        double mass = 0;
        do {
            map[order[at].token] = (int32_t)k;
            mass += (double)order[at++].count;
        } while (at < most && (k == codes - 1 || mass + (double)order[at].count / 2 < share));
        left -= mass;
    }
}

hn_status hn_vq_map_by_mass(const int64_t counts[], int64_t vocab, int64_t codes,
                            int32_t out_map[])
{
    if (codes < 1 || codes > vocab)
        return hn_fail(HN_ERR_ARG, "%" PRId64 " codes for %" PRId64 " tokens", codes, vocab);
    counted *order = hn__calloc((size_t)vocab, sizeof *order);
    if (!order)
        return hn__nomem((size_t)vocab * sizeof *order);
    double mass = 0;
    for (int64_t i = 0; i < vocab; i++) {
        order[i] = (counted){ counts[i] + 1, (int32_t)i }; // an unseen token weighs something
        mass += (double)order[i].count;
    }
    qsort(order, (size_t)vocab, sizeof *order, falling);
    share_out(order, vocab, codes, mass, out_map);
    hn__free(order);
    return HN_OK;
}
