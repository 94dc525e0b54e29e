// What attention and its gradient share: attributes, sizes, and which keys a query sees.
#ifndef HN_OPS_ATTENTION_H
#define HN_OPS_ATTENTION_H

#include "ops/table.h"

// int32_t throughout: no padding, so that equal attributes have equal bytes.
typedef struct hn__attention_attr {
    int32_t causal, block, has_n_keys, has_dlse; // has_dlse: of the gradient only
    float scale;                                 // 0 only before infer's default
} hn__attention_attr;

// q: [batch, tq, heads, d]   k, v: [batch, tk, kv_heads, d]
typedef struct hn__attention_dims {
    int64_t batch, tq, tk, heads, kv_heads, d;
    int64_t q_row, k_row; // elements from position to position
    int32_t causal, block;
    float scale;
} hn__attention_dims;

// Of in[0] q, in[1] k, in[2] v and the attributes.
hn__attention_dims hn__attention_dims_of(const hn__inst *n);
// Checks q, k, v, attributes, and in[n_keys_at] where the attributes say that it is there.
hn_status hn__attention_check(const hn__inst *n, int n_keys_at);
// Type of the log-sum-exp: f32 [batch, heads, tq].
hn_type hn__attention_lse(const hn_type *q);
// Draws q, k, v and attributes, and in[n_keys_at] where they have it. Sets n_in to 3.
void hn__attention_draw(hn_rng *rng, hn__sample *s, int n_keys_at);

// Query i of a batch with n_keys keys sees the keys [0, this). n_keys above tk is no mistake:
// queries of a cache's last, padded chunk stand past its end, and see all of it.
static inline int64_t hn__attention_limit(const hn__attention_dims *a, int64_t i, int64_t n_keys)
{
    const int64_t n = n_keys < 0 ? 0 : n_keys < a->tk ? n_keys : a->tk, at = i + n_keys - a->tq;
    const int64_t end = a->block ? (at / a->block + 1) * a->block : at + 1;

    return !a->causal ? n : at < 0 ? 0 : end < n ? end : n;
}

// Inputs of the gradient: q, k, v, y, lse, dy, and where the attributes say so n_keys and dlse.
enum { HN__ATTENTION_N_KEYS = 6 };
static inline int hn__attention_dlse_at(const hn__inst *n)
{
    return HN__ATTENTION_N_KEYS + ((const hn__attention_attr *)n->attr)->has_n_keys;
}

// Variants and launch of both operators (attention_launch.c).
int hn__attention_variants(const hn__inst *n, const hn_device_info *info, hn__variant out[]);
void hn__attention_launch(const hn__inst *n, hn__launch *l);
int hn__attention_grad_variants(const hn__inst *n, const hn_device_info *info, hn__variant out[]);
void hn__attention_grad_launch(const hn__inst *n, hn__launch *l);

// Queries of a host task: their scores against all keys stay in cache.
enum { HN__ATTENTION_ROWS = 96 };

#endif
